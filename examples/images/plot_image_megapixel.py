"""
===================
A megapixel at once
===================

The kernel between the pixels of a megapixel image has :math:`10^{12}` entries. With
``prior="stationary"`` it is never written down: it depends on displacements only, its products are
fast Fourier transforms, and regression on half a million observed pixels takes seconds.
"""

# %%
# 1024 x 1024 pixels
# ------------------
# A photograph that scikit-learn brings along, with its mirror images around it.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.inspection import ImageCompletionDisplay

photograph = load_sample_image("china.jpg").mean(axis=2)


def enlarged(side):
    height, width = photograph.shape
    margin = ((0, max(0, side - height)), (0, max(0, side - width)))
    return np.pad(photograph, margin, mode="symmetric")[:side, :side]


def complete(side):
    images = enlarged(side)[None]
    masked = mask_images(images, missing=0.5, random_state=0)
    completer = NTKImageCompleter(prior="stationary")
    start = time.perf_counter()
    completer.fit(masked)
    return completer, masked, images, time.perf_counter() - start


completer, masked, images, seconds = complete(1024)
print(f"{masked.size:,} pixels, {np.isnan(masked).sum():,} of them missing: {seconds:.1f} s")
print(f"{completer.n_iter_} products, relative residual {completer.residual_:.1e}")
ImageCompletionDisplay.from_estimator(completer, masked, images, data_range=255)
plt.show()

# %%
# The residual is the true one, recomputed in float64: the system really is solved to ``tol``. How
# good the completion is remains another question: a stationary prior sees no edges. The adaptive
# one does and takes longer, also in proportion to the pixels.

# %%
# Time by size
# ------------
# Twice the side is four times the pixels, and a little more than four times the work, which grows
# like N log N; small images take a constant besides. For a dense system it would be 64 times.

sides = np.array([128, 256, 512, 1024])
times = np.array([*(min(complete(side)[3] for _ in range(2)) for side in sides[:-1]), seconds])
work = sides**2 * np.log(sides**2)

figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.loglog(sides**2, times, "o-", label="measured")
ax.loglog(sides**2, times[-1] * work / work[-1], "--", color="0.5", label="N log N")
ax.set(xlabel="pixels N", ylabel="seconds", title="Half of the pixels missing, stationary prior")
ax.set_xticks(sides**2, [f"{side} x {side}" for side in sides])
ax.minorticks_off()
ax.legend(frameon=False)
plt.show()
