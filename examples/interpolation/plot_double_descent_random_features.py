"""
=================================
Double descent of random features
=================================

A two-layer network whose first layer is random, of any width, on handwritten digits. When it has
just enough features to fit its training samples it predicts badly; with many more it predicts
better than every smaller one, and becomes the interpolant of a kernel.
"""

# %%
# Every width on one set of random features
# -----------------------------------------
# 500 digits to train and 1297 to test, no ridge and no intercept. Features are nested: a wider
# model has those of a narrower one and more. ``fit_predict_path`` goes through all widths in one
# pass and returns the norms of the coefficients, too. The limit of infinite width is the kernel
# interpolant, here solved directly; it is what
# :class:`skoverparam.KernelInterpolatorClassifier` computes.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import rbf_kernel

from skoverparam import RandomFeatureClassifier, RandomFeatureRegressor

X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(X))
X, y = X[order] / 16, y[order]
n, bandwidth = 500, 2.0
Y = np.eye(10)[y]
widths = np.unique(
    np.r_[np.geomspace(20, 440, 15), 450:560:10, np.geomspace(570, 10_000, 15)].astype(int)
)
model = RandomFeatureRegressor(bandwidth=bandwidth, fit_intercept=False, random_state=0)
outputs, norms = model.fit_predict_path(X[:n], Y[:n], X, param_range=widths, return_norm=True)

K = rbf_kernel(X, X[:n], gamma=1 / (2 * bandwidth**2))
dual = np.linalg.solve(K[:n], Y[:n])
limit = K @ dual
limit_norm = np.sqrt(np.sum(dual * (K[:n] @ dual)))

# %%
# Three pictures of the same models
# ---------------------------------
# Squared errors of ten outputs, one for each digit; the share of digits for which the largest
# output is another one's; and the norm of all coefficients. All of them peak at 500 features, as
# many as training samples. Beyond, the training error is zero, but for rounding: it is that of
# numbers with sixteen digits, times the norm, and so largest at the peak.


def square_loss(outputs, part):
    return np.square(outputs[..., part, :] - Y[part]).mean((-1, -2))


def error_rate(outputs, part):
    return (outputs[..., part, :].argmax(-1) != y[part]).mean(-1)


train, test = slice(n), slice(n, None)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for ax, loss in zip(axes, [square_loss, error_rate], strict=False):
    ax.plot(widths, loss(outputs, test), "C0.-", label="test")
    ax.plot(widths, loss(outputs, train), "C1.-", label="training")
    ax.axhline(loss(limit, test), color="C0", linestyle=":", label="test, kernel")
axes[0].set(yscale="log", title="square loss", ylim=(1e-4, 100))
axes[1].set(title="share of wrong digits", ylim=(-0.02, 1))
axes[2].plot(widths, np.linalg.norm(norms, axis=1), "C2.-", label="coefficients")
axes[2].axhline(limit_norm, color="C2", linestyle=":", label="kernel interpolant")
axes[2].set(yscale="log", title="norm")
for ax in axes:
    ax.axvline(n, color="0.6", linewidth=1, zorder=0)
    ax.set(xscale="log", xlabel="random features")
    ax.legend(frameon=False)
plt.show()

best_small = error_rate(outputs, test)[widths < n].min()
print(f"wrong test digits, best below {n} features: {best_small:.1%}")
print(f"with {widths[-1]} features: {error_rate(outputs, test)[-1]:.1%}")
print(f"kernel interpolant: {error_rate(limit, test):.1%}")

# %%
# The peak is a matter of rank, and a ridge removes it
# ----------------------------------------------------
# ReLU features without a bias: pixels are not negative, directions point everywhere, and some
# features are zero on all samples. The rank lags behind the number of features, and the peak waits
# for it; ``rank_`` says where. Centered pixels have no such features. A ridge takes the peak off
# altogether. Here :func:`~skoverparam.model_selection.generalization_curve` averages over random
# splits.

from sklearn.model_selection import ShuffleSplit

from skoverparam.model_selection import generalization_curve

sizes = np.arange(120, 301, 4)
variants = {
    "ReLU": ({"feature": "relu"}, X),
    "ReLU, centered pixels": ({"feature": "relu"}, X - X.mean(axis=0)),
    "Fourier": ({}, X),
    "Fourier, ridge 0.01": ({"ridge": 0.01}, X),
}
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for number, (name, (options, data)) in enumerate(variants.items()):
    classifier = RandomFeatureClassifier(
        bandwidth=bandwidth, fit_intercept=False, random_state=0, **options
    )
    curve = generalization_curve(
        classifier,
        data,
        y,
        param_name="n_features",
        param_range=sizes,
        cv=ShuffleSplit(5, train_size=200, random_state=0),
        scoring="accuracy",
    )
    ax.plot(sizes, 1 - curve.mean, f"C{number}", label=name)
ax.axvline(curve.threshold, color="0.6", linewidth=1, zorder=0, label="training samples")
ax.set(xlabel="random features", ylabel="share of wrong test digits", ylim=(0, 1))
ax.legend(frameon=False)
plt.show()

few = RandomFeatureClassifier("relu", n_features=200, fit_intercept=False, random_state=0)
print(f"rank of 200 ReLU features on 200 samples: {few.fit(X[:200], y[:200]).rank_}")
centered = X[:200] - X.mean(axis=0)
print(f"and on centered pixels: {few.fit(centered, y[:200]).rank_}")

# %%
# Interpolation is not free: at the right ridge, or stopped in the first valley, a narrow model is
# good, too. What the picture says is that the classical advice, no more parameters than samples,
# stops one step before the better half of the curve.
