"""
==================================================
What the depth of a network does to an image prior
==================================================

An infinitely wide convolutional network completes an image by kernel regression between its
pixels, and the kernel is all there is to know about the network. Here we look at it: the kernel
of one pixel with those around it, for networks that halve the image more and more often, as in
`arXiv:2108.00131 <https://arxiv.org/abs/2108.00131>`_.
"""

# %%
# One pixel and its surroundings
# ------------------------------
# With s halvings the kernel depends on the displacement of two pixels and on their place in a
# grid of cells of :math:`2^s \times 2^s` pixels, and is stored as such: ``blocks[a, b, u, v]``.
# Repeated pixels on the way up leave the grid visible. The upper row of pictures shows a pixel in
# the corner of a cell: it is closer to its neighbors on one side than to those on the other. The
# mean over all positions of the grid, in the lower row, has no such preference; it is what
# :meth:`~skoverparam.kernels.BlockCirculantKernel.averaged` returns.
#
# Each picture is a little larger than the part in which the kernel is not constant. Colors go
# from the value at distant pixels to that at the pixel itself.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam.kernels import convolutional_ntk, encoder_decoder

side, middle = 64, 32
levels = range(5)
kernels = [convolutional_ntk(encoder_decoder(s), shape=(side, side)) for s in levels]


def relative(row):
    """A row of a kernel, 1 at its pixel and 0 far from it."""
    return (row - row.min()) / (row.max() - row.min())


figure, axes = plt.subplots(2, 5, figsize=(10, 4.2), layout="constrained")
for s, kernel, column in zip(levels, kernels, axes.T, strict=True):
    reach = 2**s + 1
    near = slice(middle - reach, middle + reach + 1)
    extent = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
    for ax, shown in zip(column, (kernel, kernel.averaged()), strict=True):
        part = relative(shown.row(middle, middle))[near, near]
        picture = ax.imshow(part, cmap="magma_r", vmin=0, vmax=1, extent=extent)
        ax.set(xticks=[-(2**s), 0, 2**s], yticks=[-(2**s), 0, 2**s])
    column[0].set_title(f"s = {s}")
axes[0, 0].set_ylabel("corner of a cell")
axes[1, 0].set_ylabel("averaged")
figure.colorbar(picture, ax=axes, label="kernel, relative", shrink=0.8)
plt.show()

# %%
# How far a pixel reaches
# -----------------------
# On the left, averaged kernels along a row of pixels, divided by their value at the pixel itself.
# The network without halving is linear and knows only that all pixels have a mean in common:
# it fills in the mean. From displacement :math:`2^s` on each kernel is exactly constant, so that a
# network with few levels cannot reach across a large hole. Depth also lowers the constant: what
# is far is less alike.
#
# On the right, the kernel for s = 3 at eight places that a pixel can have in its cell, and the
# mean over all places. For direct neighbors it differs by up to a fifth, which says nothing
# about the picture to be completed.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
displacements = np.arange(21)
for s, kernel in zip(levels, kernels, strict=True):
    row = kernel.averaged().row(0, 0)[0]
    left.plot(displacements, row[:21] / row[0], "o-", markersize=4, label=f"s = {s}")
left.set(
    title="Averaged kernels",
    xlabel="displacement in pixels",
    ylabel="kernel / its value at 0",
    xticks=[0, 1, 2, 4, 8, 16],
    ylim=(0, 1.05),
)
left.legend(frameon=False, ncols=2)

displacements = np.arange(-9, 10)
for j in range(middle, middle + 8):
    row = relative(kernels[3].row(middle, j)[middle])
    label = "pixels of one cell" if j == middle else None
    right.plot(displacements, row[j + displacements], color="0.7", linewidth=1, label=label)
row = relative(kernels[3].averaged().row(middle, middle)[middle])
right.plot(displacements, row[middle + displacements], color="C3", label="averaged")
right.set(
    title="The grid, s = 3",
    xlabel="displacement in pixels",
    ylabel="kernel, relative",
    xticks=[-8, -4, 0, 4, 8],
)
right.legend(frameon=False)
plt.show()

# %%
# Size costs little
# -----------------
# What a kernel holds beyond the constant are :math:`4^s (2^{s+1} - 1)^2` numbers, whatever the
# size of the image. Only writing it down takes more.

large = convolutional_ntk(encoder_decoder(2), shape=(512, 768))
print(f"{large.blocks.nbytes / 1e6:.0f} MB, of which {4**2 * 7**2} numbers say it all")
