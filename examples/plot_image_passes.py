"""
================================
A prior that adapts to the image
================================

A convolutional network with a fixed input knows only how far two pixels are apart. The default
prior of :class:`skoverparam.NTKImageCompleter` also looks at what surrounds them in the
completion, and since a better completion tells more, it does so pass by pass. Here we watch it.
"""

# %%
# The error falls from pass to pass
# ---------------------------------
# Three quarters of the pixels of a photograph are hidden. ``n_passes`` ends after so many passes;
# by default their number follows the share of missing pixels. For comparison,
# ``prior="stationary"`` is regression with the network's own kernel.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.inspection import ImageCompletionDisplay

images = load_sample_image("china.jpg")[60:316, 200:456].mean(axis=2)[None]
masked = mask_images(images, missing=0.75, random_state=0)


def decibels(completed):
    return 10 * np.log10(255**2 / np.mean((completed - images) ** 2))


passes = (1, 2, 3, 5, 7)
completers = {n: NTKImageCompleter(n_passes=n).fit(masked) for n in passes}
reached = [decibels(completers[n].transform(masked)) for n in passes]
stationary = decibels(NTKImageCompleter(prior="stationary").fit_transform(masked))

figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.plot(passes, reached, "o-", label="adaptive")
ax.axhline(stationary, color="0.5", linestyle="--", label="stationary")
ax.set(xlabel="pass", ylabel="PSNR in dB", xticks=passes, title="75 % of the pixels missing")
ax.legend(frameon=False, loc="center right")
plt.show()

# %%
# Most is gained in the first passes. A part of the picture after one pass, two and seven; the
# decibels are those of the whole:

shown = (1, 2, 7)
figure, rows = plt.subplots(3, 3, figsize=(10, 8), layout="constrained")
displays = [
    ImageCompletionDisplay.from_estimator(completers[n], masked, images, data_range=255, ax=axes)
    for n, axes in zip(shown, rows, strict=True)
]
for ax in rows.ravel():
    ax.set(xlim=(0, 128), ylim=(254, 164))
plt.show()

# %%
# The kernel finds what is alike
# ------------------------------
# On the left the completion around a pixel on the roof, again after one pass, two and seven. In
# the middle the kernel of the network between that pixel and the others, which never changes. On
# the right the kernel adapted to the image: that of the network, lifted by a constant, times a
# kernel of the surroundings. The bright pixels there are those from which the marked one is
# predicted. After one pass they are scattered; in the end they are the same place of every tile,
# and the frieze above the roof has little to say.

figure, rows = plt.subplots(3, 3, figsize=(10, 8.6), layout="constrained")
for display, n, axes in zip(displays, shown, rows, strict=True):
    display.plot_kernel((205, 45), axes, radius=16)
    axes[0].set_ylabel(f"pass {n}")
plt.show()
