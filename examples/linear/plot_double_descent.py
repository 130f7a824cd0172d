"""
==================================
Double descent with the exact line
==================================

The test error of least squares rises as the number of features comes near the number of samples,
is infinite there, and falls again beyond: the second descent. For Gaussian features of equal
variance the whole curve is known in closed form. Here it stands beside the measurement.
"""

# %%
# Every number of features at once
# --------------------------------
# 40 samples and 120 features, all of them equally useful, and labels with noise. The model of size
# d sees the first d features. :class:`skoverparam.MinNormRegressor` fits all sizes in one pass,
# and :func:`skoverparam.model_selection.generalization_curve` repeats that on fresh draws. The
# theory of :func:`skoverparam.theory.minimum_norm_risk` is the excess over the noise, which we
# add.

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from skoverparam import MinNormRegressor
from skoverparam.datasets import make_minimum_norm_regression
from skoverparam.model_selection import GeneralizationCurveDisplay, generalization_curve
from skoverparam.theory import minimum_norm_risk, spectrum

n, D, noise = 40, 120, 0.5
coef = np.full(D, D**-0.5)


def draw(seed):
    X, y = make_minimum_norm_regression(n + 500, D, noise=noise, random_state=seed)
    return X[:n], y[:n], X[n:], y[n:]


dims = np.arange(1, D + 1)
theory = minimum_norm_risk(n, spectrum("isotropic", D), coef, noise, n_features_used=dims)
with threadpool_limits(1):  # the fits are tiny, threads would wait for each other
    curve = generalization_curve(
        MinNormRegressor(fit_intercept=False),
        draw,
        param_range=dims,
        n_repeats=100,
        theory=theory.total + noise**2,
        random_state=0,
    )
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
GeneralizationCurveDisplay.from_curve(
    curve, ax=ax, statistic=["median", "mean"], score_name="mean squared error"
)
null = 1 + noise**2
ax.axhline(null, color="C2", linewidth=1, label="predicting zero")
ax.set(ylim=(0.2, 200), title="40 samples: the exact line is that of the mean")
ax.legend(frameon=False)
plt.show()

# %%
# The line is that of the mean. Near the threshold the mean comes from few unlucky draws: closer
# than two features it is infinite, closer than four its variance is, and the median stays far
# below. More draws do not help there; that is what the exact line is for.

far = np.abs(dims - n) >= 5
measured = -curve.mean - noise**2
error = np.abs(measured / theory.total - 1)
print(
    f"largest relative error of the mean, 5 or more features from the peak: {error[far].max():.2f}"
)

# %%
# What the error is made of
# -------------------------
# Bias is what labels without noise would cost, variance what the noise adds. While features are
# missing, what they would have told acts like noise, too; hence the peak of the bias. Here the
# second descent ends below where the curve began: all features together, three times as many as
# samples, are the best model.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(dims, theory.total, "0.2", label="excess risk")
ax.plot(dims, theory.bias, "C0--", label="bias")
ax.plot(dims, theory.variance, "C1--", label="variance")
ax.axhline(1, color="C2", linewidth=1, label="predicting zero")
ax.set(yscale="log", ylim=(0.02, 100), xlabel="features used", ylabel="excess risk")
ax.legend(frameon=False)
plt.show()

# %%
# Other spectra
# -------------
# With unequal variances there is no closed form beyond the threshold, but a deterministic
# equivalent: it is too low by a share of about 1 / (d - n), here seen next to the peak. Monte
# Carlo averages the exact risk of random designs. The second descent needs a tail of many features
# that share the noise. Where variances fall fast, the effective rank of the tail stays small, and
# noise expensive.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
some = np.r_[2:36:4, 45:121:5]
for number, exponent in enumerate([0.0, 1.0, 2.0]):
    lam = spectrum("power", D, exponent=exponent)
    predicted = minimum_norm_risk(n, lam, n_features_used=dims).total
    drawn = minimum_norm_risk(
        n, lam, n_features_used=some, method="monte_carlo", n_draws=200, random_state=0
    ).total
    color = f"C{number}"
    # Infinite values are left out of the line.
    finite = np.where(np.abs(dims - n) > 1, predicted, np.nan)
    ax.plot(dims, finite, color, label=f"variances $k^{{-{exponent:g}}}$")
    ax.plot(some, drawn, "o", color=color, markersize=3)
ax.plot([], [], "ko", markersize=3, label="Monte Carlo")
ax.set(yscale="log", xlabel="features used", ylabel="excess risk of pure noise")
ax.legend(frameon=False)
plt.show()
