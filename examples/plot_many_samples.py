"""
====================================
Kernel interpolation of many samples
====================================

A kernel matrix of n samples has n² entries, and its factorization costs n³ / 3 multiplications.
:class:`skoverparam.KernelInterpolatorRegressor` plans before it allocates: exact where that takes
a moment, in half the memory of the matrix; by preconditioned conjugate gradients where these are
faster; with entries computed on the fly where they do not fit. What it reaches is measured, not
promised.
"""

# %%
# More samples, smaller errors
# ----------------------------
# A smooth function of eight features with some noise, beside scikit-learn's boosted trees.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from skoverparam import KernelInterpolatorRegressor, config_context


def function(X):
    return np.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + np.cos(2 * X[:, 3])


rng = np.random.default_rng(0)
X, X_test = rng.normal(size=(6000, 8)), rng.normal(size=(2000, 8))
y, y_test = function(X) + 0.1 * rng.normal(size=6000), function(X_test)
models = {
    "boosted trees": HistGradientBoostingRegressor(random_state=0),
    "Laplace interpolation": KernelInterpolatorRegressor(bandwidth=10.0, random_state=0),
    "Matérn, small ridge": KernelInterpolatorRegressor(
        kernel="matern", bandwidth=10.0, ridge=1e-3, random_state=0
    ),
}
sizes = [750, 1500, 3000, 6000]
errors = {name: [] for name in models}
for name, model in models.items():
    for n in sizes:
        model.fit(X[:n], y[:n])
        errors[name].append(np.mean((model.predict(X_test) - y_test) ** 2) / y_test.var())

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for name, marker in zip(models, "so^", strict=True):
    ax.loglog(sizes, errors[name], marker + "-", ms=5, label=name)
ax.set(xlabel="number of samples", ylabel="mean squared error / variance", xticks=sizes)
ax.set_xticklabels(sizes)
ax.minorticks_off()
ax.legend(frameon=False)
plt.show()

# %%
# Trees split one feature at a time, which suits this function. The rough kernel pays for not
# knowing that it is smooth; a smoother one with a small ridge nearly catches up with the trees.
#
# The plan, and what came out
# ---------------------------
# The attributes of a fit say how it was made and what it is worth: the relative residual of the
# linear system in double precision, whether every target is met, and what a plan expected.

model = models["Laplace interpolation"]
print("solver:", model.solver_, "because:", model.plan_["why"])
print(f"residual {model.residual_:.1e}, interpolates: {model.interpolates_}")
for candidate in model.plan_["candidates"]:
    kind = f"{candidate['solver']}, {candidate['precision']}"
    print(f"{kind:20} {candidate['n_bytes'] / 2**20:7.0f} MB {candidate['seconds']:7.1f} s")

# %%
# Less memory
# -----------
# With a budget of 100 MB the matrix, 288 MB in double precision, is never stored. The solver
# then evaluates it again in every iteration. Its error falls by a constant factor each time, and
# predictions are as good long before the noise is met to the last digit.

for tol in (1e-2, 1e-6):
    lean = KernelInterpolatorRegressor(bandwidth=10.0, solver="pcg", tol=tol, random_state=0)
    with config_context(memory_budget=100e6):
        lean.fit(X, y)
    error = np.mean((lean.predict(X_test) - y_test) ** 2) / y_test.var()
    print(
        f"tol={tol:g}: {lean.n_iter_} iterations, residual {lean.residual_:.1e}, "
        f"error {error:.5f}, {lean.plan_['n_bytes'] / 1e6:.0f} MB"
    )

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.semilogy(np.arange(len(lean.residual_history_)), lean.residual_history_, "o-", ms=3)
ax.axhline(lean.tol, color="gray", ls=":", lw=0.8)
ax.set(xlabel="iteration", ylabel="relative residual", title="Preconditioned conjugate gradients")
plt.show()
