"""Ratings by the million: time, memory and accuracy beside what offsets alone explain.

    python benchmarks/acceptance_ratings_scale.py [N_RATINGS]

Generated: as many users and items for the ratings as in the largest public sets (one user for
about 140 ratings, one item for about 930), activity and popularity log-normal, values the inner
product of three standard normal tastes, plus offsets and noise of variance one. 1 % is held out.
"""

import resource
import sys
import time

import numpy as np

from skoverparam import NTKInteractionRegressor

N_TASTES = 3
OFFSET = 0.5


def ratings(n, rng):
    """Pairs of ids, values, and the values without noise."""
    m, k = n // 140, n // 930
    activity, popularity = rng.lognormal(0, 1.0, m), rng.lognormal(0, 1.6, k)
    i = np.searchsorted(np.cumsum(activity / activity.sum()), rng.random(int(1.25 * n)))
    j = np.searchsorted(np.cumsum(popularity / popularity.sum()), rng.random(int(1.25 * n)))
    pairs = rng.permutation(np.unique(i.clip(max=m - 1) * k + j.clip(max=k - 1)))[:n]
    i, j = pairs // k, pairs % k
    truth = (rng.normal(size=(m, N_TASTES))[i] * rng.normal(size=(k, N_TASTES))[j]).sum(1)
    truth += OFFSET * (rng.normal(size=m)[i] + rng.normal(size=k)[j])
    return np.stack([i, j], axis=1), truth + rng.normal(size=len(i)), truth


def offsets_alone(X, y, X_test, shrinkage=8.0):
    """Shrunken row and column means, in turn."""
    sizes = np.maximum(X.max(0), X_test.max(0)) + 1
    offsets = [np.zeros(size) for size in sizes]
    rest = y - y.mean()
    for _ in range(10):
        for f, other in ((0, 1), (1, 0)):
            left = rest - offsets[other][X[:, other]]
            sums = np.bincount(X[:, f], left, sizes[f])
            offsets[f] = sums / (np.bincount(X[:, f], minlength=sizes[f]) + shrinkage)
    return y.mean() + offsets[0][X_test[:, 0]] + offsets[1][X_test[:, 1]]


def r2(y, prediction):
    """Share of the variance explained."""
    return 1 - np.mean((y - prediction) ** 2) / y.var()


if __name__ == "__main__":
    n = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    X, y, truth = ratings(n, np.random.default_rng(0))
    test = np.arange(len(y)) < len(y) // 100
    print(f"{len(y)} ratings of {X[:, 0].max() + 1} users and {X[:, 1].max() + 1} items")
    print(f"R2 of the truth {r2(y[test], truth[test]):.3f}, of offsets alone ", end="")
    print(f"{r2(y[test], offsets_alone(X[~test], y[~test], X[test])):.3f}", flush=True)
    model = NTKInteractionRegressor(alpha=1.0, mask_weight=0.0, rank=64, tol=5e-2)
    start = time.perf_counter()
    model.fit(X[~test], y[~test])
    seconds = time.perf_counter() - start
    print(f"R2 {r2(y[test], model.predict(X[test])):.3f}, rank {model.rank_}, {seconds:.0f} s, ")
    print(f"{model.n_iter_} steps to a residual of {model.residual_:.2g}, peak memory ", end="")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
