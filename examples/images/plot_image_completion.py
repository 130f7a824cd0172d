"""
=======================
Completing a photograph
=======================

Half of the pixels of a photograph are missing at random, or a square is missing altogether.
:class:`skoverparam.NTKImageCompleter` fills in both, from nothing but the picture itself: it is
kernel regression between pixels with the kernel of an infinitely wide convolutional network,
adapted to the image while it is completed.
"""

# %%
# Half of the pixels
# ------------------
# The photograph is one that scikit-learn brings along, in grey. Missing pixels are NaN.
# :func:`~skoverparam.datasets.mask_images` hides pixels of images, here one pixel in two.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.inspection import ImageCompletionDisplay

image = load_sample_image("china.jpg")[60:316, 200:456].mean(axis=2)
images = image[None]  # estimators take many samples, here one
masked = mask_images(images, missing=0.5, random_state=0)

completer = NTKImageCompleter()
start = time.perf_counter()
completed = completer.fit_transform(masked)
print(f"{image.shape[0]} x {image.shape[1]} pixels in {time.perf_counter() - start:.1f} s")

# %%
# Observed pixels come back as they were. Over the missing ones, ``score`` is minus the root mean
# square error, in the units of the image: grey levels.

observed = ~np.isnan(masked)
print("observed pixels unchanged:", np.array_equal(completed[observed], masked[observed]))
print(f"error of a missing pixel: {-completer.score(masked, images):.1f} of 255 levels")

# %%
# :class:`~skoverparam.inspection.ImageCompletionDisplay` draws all of it. The usual measure is the
# peak signal-to-noise ratio in decibels, over all pixels: 6 dB more is half the error.

ImageCompletionDisplay.from_estimator(completer, masked, images, data_range=255)
plt.show()

# %%
# Four fifths
# -----------
# With only one pixel in five, the shape of the roofs is still found. Fine ornaments are not: what
# no pixel has seen, no prior brings back.

sparse = mask_images(images, missing=0.8, random_state=0)
completer = NTKImageCompleter().fit(sparse)
ImageCompletionDisplay.from_estimator(completer, sparse, images, data_range=255)
plt.show()

# %%
# Holes
# -----
# Inside a hole there is nothing near to be predicted from. Holes are noticed by themselves and
# filled from the border inwards, so that lines and textures grow into them. The result is a guess
# that fits the surroundings, not a measurement: the tiles of the upper roof go on as they are, the
# shore and the bridge end in haze, and what the corner of the lower roof looks like nothing tells.

hole = images.copy()
for rows, columns in ((slice(16, 42), slice(14, 44)), (slice(146, 180), slice(170, 214))):
    hole[0, rows, columns] = np.nan
hole[0, 196:226, 88:122] = np.nan
completer = NTKImageCompleter().fit(hole)
display = ImageCompletionDisplay.from_estimator(completer, hole, images, data_range=255)
plt.show()
