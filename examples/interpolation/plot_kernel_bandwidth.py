"""
==============================
Which bandwidth, which kernel?
==============================

Interpolation has no penalty to tune, but it has a kernel and its bandwidth. They are constructor
parameters, which scikit-learn searches like any others; and leave-one-out errors, which come with
the fit, rank them without a single split.
"""

# %%
# A grid, cross-validated
# -----------------------
# The target of Friedman's first problem, five features that matter and five that do not, with
# little noise. Three kernels of increasing smoothness.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GridSearchCV

from skoverparam import KernelInterpolatorRegressor
from skoverparam.model_selection import GeneralizationCurveDisplay, generalization_curve

X, y = make_friedman1(600, noise=0.3, random_state=0)
X_test, y_test = make_friedman1(2000, noise=0.0, random_state=1)
bandwidths = np.geomspace(0.3, 100, 12)
kernels = [
    {"kernel": ["laplace"], "bandwidth": bandwidths},
    {"kernel": ["matern"], "nu": [2.5], "bandwidth": bandwidths[:9]},
    {"kernel": ["gaussian"], "bandwidth": bandwidths[:6]},
]
search = GridSearchCV(
    KernelInterpolatorRegressor(random_state=0), kernels, scoring="neg_mean_squared_error", cv=5
)
search.fit(X, y)
print(search.best_params_)
print(f"R2 on noiseless data: {search.best_estimator_.score(X_test, y_test):.3f}")

# %%
# The same by leave-one-out errors
# --------------------------------
# ``loo_residuals_`` are the errors at each sample of a fit to all others, exact and without
# refitting. Their mean square is what cross-validation estimates by five fits to fewer samples.

figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
table = search.cv_results_
for color, grid in zip(("C0", "C2", "C1"), kernels, strict=True):
    name = grid["kernel"][0]
    chosen = table["param_kernel"] == name
    ax.loglog(grid["bandwidth"], -table["mean_test_score"][chosen], color + "o", ms=5, mfc="none")
    left_out, unseen = [], []
    for bandwidth in grid["bandwidth"]:
        model = KernelInterpolatorRegressor(kernel=name, bandwidth=bandwidth, nu=2.5)
        model.fit(X, y)
        left_out.append(np.mean(model.loo_residuals_**2))
        unseen.append(np.mean((model.predict(X_test) - y_test) ** 2) + 0.3**2)
    ax.loglog(grid["bandwidth"], left_out, color, label=name)
    ax.loglog(grid["bandwidth"], unseen, color, ls=":")
ax.plot([], [], "k", label="leave-one-out")
ax.plot([], [], "ko", mfc="none", label="cross-validation, 5 folds")
ax.plot([], [], "k:", label="new data with that noise")
ax.axhline(0.3**2, color="gray", lw=0.8)
ax.text(0.3, 0.095, "noise", color="gray")
ax.set(xlabel="bandwidth", ylabel="mean squared error", title="Interpolation, no penalty at all")
ax.legend(frameon=False)
plt.show()

# %%
# Rough kernels want wide bandwidths: all that the Laplace kernel needs of it is to be large, and
# past that it has no effect but on the scale of the norm. The Gaussian kernel has an optimum, and
# soon beyond it the matrix is singular to rounding, which the estimator says; here the curves of
# the smooth kernels end before.
#
# And with a ridge?
# -----------------
# With ten times the noise a penalty helps. A whole curve over ridges costs one eigendecomposition
# for each split: :func:`skoverparam.model_selection.generalization_curve` asks the estimator for
# its path. ``ridge="loo"`` chooses by leave-one-out errors, from one decomposition of all samples.

X, y = make_friedman1(600, noise=3.0, random_state=0)
ridges = np.geomspace(1e-6, 1e2, 25)
model = KernelInterpolatorRegressor(kernel="matern", nu=2.5, bandwidth=5.0)
curve = generalization_curve(
    model, X, y, param_name="ridge", param_range=ridges, n_repeats=5, random_state=0
)
display = GeneralizationCurveDisplay.from_curve(curve)
chosen = model.set_params(ridge="loo").fit(X, y)
display.ax_.axvline(chosen.ridge_, color="k", ls="--", lw=0.8, label='chosen by ridge="loo"')
display.ax_.axhline(3.0**2, color="gray", lw=0.8, label="noise")
display.ax_.set(xscale="log", yscale="log", ylim=(1e-1, None))
display.ax_.legend(frameon=False)
plt.show()
