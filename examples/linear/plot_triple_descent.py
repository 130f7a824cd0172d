"""
=========================
A designed triple descent
=========================

A generalization curve has no shape of its own: the features decide. Here we say where the test
error shall peak and how high, and :func:`skoverparam.datasets.design_staircase` makes Gaussian
features for it.
"""

# %%
# Peaks where we want them
# ------------------------
# 20 samples with labels of pure noise. Every curve has its peak at 20 features; we ask for two
# more, at 70 and 120, of height 10. The features come in blocks, each of much larger variance than
# the one before: to a new block, the old ones are noise, and it brings an interpolation threshold
# of its own after 20 of its features.

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from skoverparam import MinNormRegressor
from skoverparam.datasets import design_staircase, make_minimum_norm_regression
from skoverparam.model_selection import GeneralizationCurveDisplay, generalization_curve
from skoverparam.theory import minimum_norm_risk

design = design_staircase(20, peaks=[70, 120], heights=[10, 10])
starts = np.flatnonzero(np.diff(design.laws.scale)) + 1
print("standard deviations", design.laws.scale[[0, *starts]].round())
print("new blocks after", starts, "features; predicted peaks at", design.peaks)

drawn = minimum_norm_risk(
    20,
    design.laws,
    n_features_used=design.n_features,
    method="monte_carlo",
    n_draws=500,
    random_state=0,
)
mean = drawn.total
print("Monte Carlo peaks at", 41 + mean[40:95].argmax(), "and", 96 + mean[95:].argmax())

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(design.n_features, mean, "C0", label="Monte Carlo, mean of 500 designs")
finite = np.where(np.isfinite(design.risk), design.risk, np.nan)
ax.plot(design.n_features, finite, "k:", label="predicted")
for peak in design.peaks:
    ax.axvline(peak, color="0.8", zorder=0)
ax.set(yscale="log", ylim=(0.04, 100), xlabel="features used", ylabel="excess risk")
ax.legend(frameon=False)
plt.show()

# %%
# An estimator follows
# --------------------
# The design says what to draw; data and fits are as usual. Predictions are scored against the
# labels without noise, which are zero.


def draw(seed):
    X, y = make_minimum_norm_regression(
        520, spectrum=design.laws, coef=0.0, noise=1.0, random_state=seed
    )
    return X[:20], y[:20], X[20:], np.zeros(500)


with threadpool_limits(1):  # the fits are tiny, threads would wait for each other
    curve = generalization_curve(
        MinNormRegressor(fit_intercept=False),
        draw,
        param_range=design.n_features,
        n_repeats=100,
        theory=design.risk,
        random_state=0,
    )
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
GeneralizationCurveDisplay.from_curve(curve, ax=ax, score_name="excess risk", train=False)
ax.set(ylim=(0.04, 100), title="Triple descent of MinNormRegressor")
plt.show()

# %%
# As many as we like
# ------------------
# Heights and distances are free, within reason: peaks need room of one and a half times the number
# of samples, and must rise above the valley between them. Prediction is off by about one in n.

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
wishes = [([60, 100, 140, 180], [2, 4, 8, 16]), ([80, 150, 200], [30, 3, 30])]
for ax, (peaks, heights) in zip(axes, wishes, strict=True):
    design = design_staircase(20, peaks, heights)
    drawn = minimum_norm_risk(
        20,
        design.laws,
        n_features_used=design.n_features,
        method="monte_carlo",
        n_draws=200,
        random_state=0,
    )
    ax.plot(design.n_features, drawn.total, "C0")
    ax.plot(design.n_features, np.where(np.isinf(design.risk), np.nan, design.risk), "k:")
    ax.plot(peaks, heights, "C3x", label="asked for")
    ax.set(yscale="log", ylim=(0.04, 100), xlabel="features used")
axes[0].set_ylabel("excess risk")
axes[0].legend(frameon=False)
plt.show()
