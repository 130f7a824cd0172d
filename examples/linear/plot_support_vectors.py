"""
==================================================
When every sample becomes a support vector
==================================================

In few dimensions a handful of samples carries the margin. In many, all of them do, and the
classifier of widest margin is the interpolator of the labels with minimum norm: the two theories
are then one. The switch is sharper and earlier than sufficient conditions suggest.
"""

# %%
# How often it happens
# --------------------
# Gaussian clusters at :math:`\pm \mu`, :math:`\|\mu\| = 2`, without intercept. Against
# :math:`d / (n \ln n)` the curves of different sample sizes cross near 2, and get steeper. The
# dimension that proofs ask for is of the order of :math:`n^2`.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import MaxMarginClassifier
from skoverparam.datasets import make_subgaussian_mixture

rng = np.random.RandomState(1)
classifier = MaxMarginClassifier(fit_intercept=False)
factors = [1, 1.5, 2, 2.5, 3, 4]
n_draws = 25


def all_on_margin(n, d):
    X, y = make_subgaussian_mixture(n, d, mean=2.0, random_state=rng)
    return classifier.fit(X, y).interpolates_


frequencies = {}
for n in (20, 50, 100):
    sizes = [round(factor * n * np.log(n)) for factor in factors]
    frequencies[n] = [np.mean([all_on_margin(n, d) for _ in range(n_draws)]) for d in sizes]
    print(f"n = {n:<4}", " ".join(f"{frequency:.2f}" for frequency in frequencies[n]))

# %%
# Why it happens
# --------------
# The interpolator has the multipliers :math:`a = K^{-1} 1`, with
# :math:`K_{ij} = y_i y_j \langle x_i, x_j \rangle`. The more features, the closer K is to a
# multiple of the identity and the closer the multipliers are to one another. When the smallest
# has become positive, they satisfy the conditions of the widest margin, and the solver is done
# after one factorization.

n = 100
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for n_samples, frequency in frequencies.items():
    left.plot(factors, frequency, "o-", label=f"n = {n_samples}")
left.set(
    xlabel=r"$d \, / \, (n \ln n)$",
    ylabel=f"share of {n_draws} draws",
    title="Every sample is a support vector",
)
left.legend(frameon=False)

for factor, color in zip([0.5, 1, 2, 4], ["C3", "C1", "C2", "C0"], strict=True):
    d = round(factor * n * np.log(n))
    X, y = make_subgaussian_mixture(n, d, mean=2.0, random_state=rng)
    classifier.fit(X, y)
    multipliers = np.sort(y * np.linalg.solve(X @ X.T, y))
    widest = np.zeros(n)
    widest[classifier.support_] = np.abs(classifier.dual_coef_[0])
    label = f"d = {d}: {classifier.n_support_} support vectors"
    right.plot(d * multipliers, color=color, linestyle=":")
    right.plot(d * np.sort(widest), color=color, label=label)
right.axhline(0, color="0.6", linewidth=0.8)
right.set(
    ylim=(-1.5, 4.5),
    xlabel="sample, sorted",
    ylabel=r"$d \cdot$ multiplier",
    title="n = 100: widest margin, and interpolator (dotted)",
)
right.legend(frameon=False, fontsize="small")
plt.show()
