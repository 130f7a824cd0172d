"""
=========================================
Risk of the widest margin, by dimension
=========================================

Two clusters, 50 samples, more and more features: the classes are always separated, and the
classifier of widest margin always fits every sample. Whether that is harmless depends on how fast
the distance of the clusters grows with the dimension
(`arXiv:2104.13628 <https://arxiv.org/abs/2104.13628>`_).
"""

# %%
# Three scalings of the signal
# ----------------------------
# The clusters are :math:`\pm \mu` with unit covariance, and
# :math:`\|\mu\| = 1.4 \, (d / 100)^r`. For Gaussian clusters the risk of a linear classifier is
# known exactly, so that no test set is needed: :func:`~skoverparam.theory.linear_classifier_risk`.
# The lines are :func:`~skoverparam.theory.max_margin_risk`, a closed form for the interpolator of
# minimum norm.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import MaxMarginClassifier
from skoverparam.datasets import make_subgaussian_mixture
from skoverparam.theory import linear_classifier_risk, max_margin_risk

n_samples, n_draws = 50, 12
dimensions = [70, 100, 150, 250, 400, 700, 1200, 2200, 4000]
exponents = {0.0: "C3", 0.25: "C1", 0.4: "C0"}
rng = np.random.RandomState(0)
classifier = MaxMarginClassifier(fit_intercept=False)


def mean_length(d, r):
    return 1.4 * (d / 100) ** r


def draw(d, r):
    """One training set; the risk and whether all of it lies on the margin."""
    X, y = make_subgaussian_mixture(n_samples, d, mean=mean_length(d, r), random_state=rng)
    classifier.fit(X, y)
    mean = np.zeros(d)
    mean[0] = mean_length(d, r)
    risk = linear_classifier_risk(classifier.coef_[0], mean, np.ones(d)).risk
    return float(risk), classifier.interpolates_


measured = {
    r: np.array([[draw(d, r) for _ in range(n_draws)] for d in dimensions]) for r in exponents
}

# %%
# Up, level or down
# -----------------
# With a signal of constant length more features drown it. With :math:`r = 1/4` the risk levels
# off, here at :math:`\Phi(-1.4^2 \sqrt{n} / 10) = 0.08`, and above that it falls to zero although
# every sample is fitted: the change of phase is at :math:`\|\mu\| \sim (d / n)^{1/4}`.
#
# The closed form is the risk of another classifier, the interpolator of minimum norm. To the
# right of :math:`d = 2 n \ln n` the two are the same, since every sample is a support vector; to
# the left the widest margin has the lower risk.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
grid = np.geomspace(70, 4000, 60).astype(int)
for r, color in exponents.items():
    low, middle, high = np.quantile(measured[r][:, :, 0], [0.1, 0.5, 0.9], axis=1)
    predicted = [max_margin_risk(n_samples, np.ones(d), mean_length(d, r)).risk for d in grid]
    left.fill_between(dimensions, low, high, color=color, alpha=0.2, linewidth=0)
    left.plot(dimensions, middle, "o", color=color, label=f"r = {r}")
    left.plot(grid, predicted, color=color)
    right.plot(dimensions, measured[r][:, :, 1].mean(1), "o-", color=color, label=f"r = {r}")
for ax in (left, right):
    ax.axvline(2 * n_samples * np.log(n_samples), color="0.6", linestyle=":")
    ax.set(xscale="log", xlabel="features d")
    ax.legend(frameon=False)
left.set(
    yscale="log",
    ylabel="risk: median, 10 % to 90 %, closed form",
    title="Fitting all samples, for better or worse",
)
right.set(ylabel="share of draws", title="Every sample is a support vector")
plt.show()

# %%
# The numbers behind the points, and the margin of the classifiers that were fitted last.

for r in exponents:
    print(
        f"r = {r:<4}", " ".join(f"{risk:.4f}" for risk in np.median(measured[r][:, :, 0], axis=1))
    )
print(f"margin {classifier.margin_:.1f}, relative duality gap {classifier.duality_gap_:.1e}")
