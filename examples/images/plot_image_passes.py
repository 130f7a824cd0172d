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
# Three quarters of the pixels of a photograph are hidden. Callbacks are shown the estimator after
# every pass, as it would be if the fit had ended there. Pass 0 is the start, regression on the
# nearest pixels without a look at the picture. The number of passes follows the share of missing
# pixels, unless ``n_passes`` says otherwise. For comparison, ``prior="stationary"`` is regression
# on all pixels with the network's own kernel.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.inspection import ImageCompletionDisplay

images = load_sample_image("china.jpg")[60:316, 200:456].mean(axis=2)[None]
masked = mask_images(images, missing=0.75, random_state=0)


class Watch:
    """Keeps the estimator after every pass."""

    def __init__(self):
        self.seen = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "pass":
            self.seen.append(fitted_estimator)


def decibels(completed):
    return 10 * np.log10(255**2 / np.mean((completed - images) ** 2))


watch = Watch()
NTKImageCompleter().set_callbacks(watch).fit(masked)
reached = [decibels(completer.transform(masked)) for completer in watch.seen]
stationary = decibels(NTKImageCompleter(prior="stationary").fit_transform(masked))

figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.plot(reached, "o-", label="adaptive")
ax.axhline(stationary, color="0.5", linestyle="--", label="stationary")
ax.set(xlabel="pass", ylabel="PSNR in dB", title="75 % of the pixels missing")
ax.legend(frameon=False, loc="center right")
plt.show()

# %%
# Most is gained in the first passes. A part of the picture at the start, after one pass and after
# the last; the decibels are those of the whole:

shown = {"start": watch.seen[0], "pass 1": watch.seen[1], "last pass": watch.seen[-1]}
figure, rows = plt.subplots(3, 3, figsize=(10, 8), layout="constrained")
displays = [
    ImageCompletionDisplay.from_estimator(completer, masked, images, data_range=255, ax=axes)
    for completer, axes in zip(shown.values(), rows, strict=True)
]
for ax in rows.ravel():
    ax.set(xlim=(0, 128), ylim=(254, 164))
plt.show()

# %%
# The kernel finds what is alike
# ------------------------------
# On the left the completion around a pixel on the roof, at the start, after one pass and after the
# last. In the middle the kernel of the network between that pixel and the others, which never
# changes. On the right the kernel adapted to the image: that of the network, lifted by a constant,
# times a kernel of the surroundings. The bright pixels there are those from which the marked one
# is predicted. At first they are scattered; in the end they are the same place of every tile, and
# the frieze above the roof has little to say.

figure, rows = plt.subplots(3, 3, figsize=(10, 8.6), layout="constrained")
for display, name, axes in zip(displays, shown, rows, strict=True):
    display.plot_kernel((205, 45), axes, radius=16)
    axes[0].set_ylabel(name)
plt.show()
