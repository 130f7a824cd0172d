"""
==================================
Removing letters from a photograph
==================================

Letters written over a color photograph hide thin strokes of it.
:class:`skoverparam.NTKImageCompleter` takes color images as they are, of shape
(n_images, height, width, channels), and completes the channels together.
"""

# %%
# A picture with letters
# ----------------------
# The photograph is one that scikit-learn brings along. Where the letters are has to be known; here
# :func:`~skoverparam.datasets.mask_images` writes them. Missing pixels are NaN in all three
# channels, and are drawn in a color that is not in the picture. The completion has the units of
# the image, here 0 to 255, and stays within the range of what was observed.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.inspection import ImageCompletionDisplay

images = load_sample_image("flower.jpg")[120:312, 220:460][None]
masked = mask_images(images, missing=0.2, mechanism="text", random_state=0)
completer = NTKImageCompleter().fit(masked)
ImageCompletionDisplay.from_estimator(completer, masked, images, data_range=255)
plt.show()

# %%
# The red, green and blue around a pixel are all features of it: an edge that shows in one of the
# channels guides the others. Completing each channel as a grey picture of its own takes longer,
# and the result is a little worse.


def decibels(completed):
    return 10 * np.log10(255**2 / np.mean((completed - images) ** 2))


channels = np.moveaxis(masked[0], 2, 0)  # (3, height, width): three grey pictures
for name, X in (("channels together", masked), ("each by itself", channels)):
    start = time.perf_counter()
    completed = NTKImageCompleter().fit_transform(X)
    seconds = time.perf_counter() - start
    if name == "each by itself":
        completed = np.moveaxis(completed, 0, 2)[None]
    print(f"{name:20}{decibels(completed):6.2f} dB {seconds:6.1f} s")

# %%
# With pixels missing at random
# -----------------------------
# The same with seven pixels in ten missing, of another photograph.

images = load_sample_image("china.jpg")[60:220, 220:412][None]
masked = mask_images(images, missing=0.7, random_state=0)
completer = NTKImageCompleter().fit(masked)
ImageCompletionDisplay.from_estimator(completer, masked, images, data_range=255)
plt.show()

# %%
# A picture that guides
# ---------------------
# Sometimes another picture of the same scene is complete: another band of a satellite, an
# intensity beside a sparse depth. Given as ``guide`` it supplies the features. Here the grey
# picture is complete, and of the colors nine pixels in ten are missing.

gray = images[0].mean(axis=2)
masked = mask_images(images, missing=0.9, random_state=0)
for name, guide in (("without guide", None), ("grey picture as guide", gray)):
    completer = NTKImageCompleter(guide=guide).fit(masked)
    print(f"{name:24}{decibels(completer.transform(masked)):6.2f} dB")
ImageCompletionDisplay.from_estimator(completer, masked, images, data_range=255)
plt.show()
