"""
====================================
Kernel interpolation of many samples
====================================

A kernel matrix of n samples has n² entries, and its factorization costs n³ / 3 multiplications.
:class:`skoverparam.KernelInterpolatorRegressor` plans before it allocates: exact where that takes
a moment, in half the memory of the matrix; by preconditioned conjugate gradients where these are
faster; with entries computed on the fly where they do not fit. What it reaches is measured, not
promised. This page takes about two minutes.
"""

# %%
# Forty thousand positions of a robot's arm
# -----------------------------------------
# How far is the hand of an arm from a ball? It has eight joints; each turns about an axis across
# the one before. The classical data set kin40k comes from a simulation of this kind. Beside it,
# scikit-learn's boosted trees.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from skoverparam import KernelInterpolatorRegressor, config_context


def distance(angles):
    hand = np.zeros((len(angles), 3))
    for angle in angles.T[::-1]:
        x, y, z = (hand + [0.25, 0.0, 0.0]).T
        cos, sin = np.cos(angle), np.sin(angle)
        hand = np.stack([cos * x - sin * y, z, sin * x + cos * y], axis=1)
    return np.linalg.norm(hand - 0.5, axis=1)


rng = np.random.default_rng(0)
X, X_test = (rng.uniform(-np.pi / 2, np.pi / 2, (n, 8)) for n in (40000, 5000))
y, y_test = distance(X), distance(X_test)
models = {
    "boosted trees": HistGradientBoostingRegressor(random_state=0),
    "Matérn kernel": KernelInterpolatorRegressor(
        kernel="matern", bandwidth=5.0, ridge=1e-3, tol=1e-2, random_state=0
    ),
}
sizes = [2500, 10000, 40000]
errors = {name: [] for name in models}
for name, model in models.items():
    for n in sizes:
        start = time.perf_counter()
        model.fit(X[:n], y[:n])
        seconds = time.perf_counter() - start
        errors[name].append(np.mean((model.predict(X_test) - y_test) ** 2) / y_test.var())
        print(f"{name}, {n} samples: {seconds:.1f} s, error {errors[name][-1]:.4f}")

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for name, marker in zip(models, "so", strict=True):
    ax.loglog(sizes, errors[name], marker + "-", ms=5, label=name)
ax.set(xlabel="number of samples", ylabel="mean squared error / variance", xticks=sizes)
ax.set_xticklabels(sizes)
ax.minorticks_off()
ax.legend(frameon=False)
plt.show()

# %%
# The function is smooth, and every joint moves all of the arm: the kernel knows the one, and trees
# that split one angle at a time miss the other.
#
# The plan, and what came out
# ---------------------------
# The attributes of a fit say how it was made and what it is worth: the relative residual of the
# linear system in double precision, and what a plan expected of every way that was considered.

model = models["Matérn kernel"]
print("solver:", model.solver_, "because:", model.plan_["why"])
print(f"{model.n_iter_} iterations, residual {model.residual_:.1e}")
for candidate in model.plan_["candidates"]:
    kind = f"{candidate['solver']}, {candidate['precision']}"
    kind += "" if candidate["stored"] or candidate["solver"] == "cholesky" else ", on the fly"
    print(f"{kind:30} {candidate['n_bytes'] / 2**30:6.1f} GB {candidate['seconds']:7.0f} s")

# %%
# Less memory
# -----------
# With a budget of 80 MB the matrix of 5000 samples, 200 MB in double precision, is never stored.
# The solver then evaluates it again in every iteration. Its error falls by a constant factor each
# time, and predictions are as good long before the last digit.

for tol in (1e-2, 1e-6):
    lean = KernelInterpolatorRegressor(
        kernel="matern", bandwidth=5.0, ridge=1e-3, solver="pcg", tol=tol, random_state=0
    )
    with config_context(memory_budget=80e6):
        lean.fit(X[:5000], y[:5000])
    error = np.mean((lean.predict(X_test) - y_test) ** 2) / y_test.var()
    print(
        f"tol={tol:g}: {lean.n_iter_} iterations, residual {lean.residual_:.1e}, "
        f"error {error:.4f}, {lean.plan_['n_bytes'] / 1e6:.0f} MB"
    )

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ax.semilogy(np.arange(len(lean.residual_history_)), lean.residual_history_, "o-", ms=3)
ax.axhline(lean.tol, color="gray", ls=":", lw=0.8)
ax.set(xlabel="iteration", ylabel="relative residual", title="Preconditioned conjugate gradients")
plt.show()
