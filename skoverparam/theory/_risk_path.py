"""Risks of the minimum-norm solution for every number of features, by rank-one updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from skoverparam.theory._arguments import FloatArray
from skoverparam.theory._feature_laws import FeatureLaws, draw_feature

# Entries of the stacks of n x n matrices that are updated together: they should stay in the cache.
_CHUNK_ENTRIES = 2**16
# A new column this close to the span of the others, relative to its length, squared, lies in it.
_DEPENDENT = 1e-18


class PathState(NamedTuple):
    """What the risks need of T designs A of shape (n, d), W their pseudoinverses.

    ``metrics[:, 0]`` is W^T W, ``metrics[:, 1]`` is W^T S W with S the covariance of the features;
    ``outside`` projects to the complement of the range of A and is None once that is empty.
    """

    metrics: FloatArray
    outside: FloatArray | None
    rank: FloatArray


def empty_path(n_draws: int, n_samples: int) -> PathState:
    """Start with no features."""
    n = n_samples
    outside = np.broadcast_to(np.eye(n), (n_draws, n, n)).copy()
    return PathState(np.zeros((n_draws, 2, n, n)), outside, np.zeros(n_draws))


def append_feature(
    state: PathState, b: FloatArray, variance: float
) -> tuple[PathState, FloatArray]:
    r"""Append a column to each design by a rank-one update, in place.

    With :math:`W` the pseudoinverse, the new one is :math:`W (I - b k^T)` over :math:`k^T`
    (Greville). Outside the range of the design, :math:`k = Pb / b^T P b`; inside it,
    :math:`k = u / (1 + b^T u)` with :math:`u = W^T W b`. Any :math:`W^T S W` becomes
    :math:`(I - k b^T) W^T S W (I - b k^T) + v k k^T` with the variance v of the new feature.

    Returns the state and k of shape (T, n).
    """
    metrics, outside, rank = state
    image = np.matmul(metrics, b[:, None, :, None])[..., 0]
    u = image[:, 0]
    k = u / (1 + np.einsum("ti,ti->t", b, u))[:, None]
    if outside is not None:
        c = np.matmul(outside, b[:, :, None])[..., 0]
        length = np.einsum("ti,ti->t", c, c)
        fresh = length > _DEPENDENT * np.einsum("ti,ti->t", b, b)
        k[fresh] = c[fresh] / length[fresh, None]
        outside -= np.where(fresh[:, None], c, 0)[:, :, None] * k[:, None, :]
        rank = rank + fresh
        if rank.min() == b.shape[1]:
            outside = None
    energy = np.einsum("tmi,ti->tm", image, b) + np.array([1.0, variance])
    half = image - energy[:, :, None] / 2 * k[:, None, :]
    # The correction must be symmetric to the last bit: later updates damp symmetric rounding along
    # with the metrics, but never the rest, which would outweigh them once variances have grown.
    outer = k[:, None, :, None] * half[:, :, None, :]
    metrics -= outer + outer.swapaxes(-1, -2)
    return PathState(metrics, outside, rank), k


def risk_path(
    n_samples: int,
    laws: FeatureLaws,
    coef: FloatArray,
    dims: Sequence[int],
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Draw designs and find the risks of their first d features.

    Cost: O(n_draws * n_samples**2 * max(dims)) time.

    Parameters
    ----------
    n_samples : int
        Number of samples n.

    laws : FeatureLaws
        Laws of the features.

    coef : ndarray of shape (n_features,)
        True coefficients.

    dims : sequence of int
        Numbers d of features that are used, rising.

    n_draws : int
        Number of designs.

    rng : numpy Generator
        Where they come from.

    Returns
    -------
    bias : ndarray of shape (n_draws, len(dims))
        Excess risk of noiseless labels that depend on the first d features alone.

    variance : ndarray of shape (n_draws, len(dims))
        Excess risk of labels that are noise of unit variance.
    """
    size = max(1, _CHUNK_ENTRIES // (2 * n_samples**2))
    parts = []
    for start in range(0, n_draws, size):
        draws = min(size, n_draws - start)
        steps = list(_chunk(n_samples, laws, coef, dims, draws, rng))
        parts.append(np.array(steps).reshape(len(dims), 2, draws))
    both = np.concatenate(parts, axis=2)
    return both[:, 0].T, both[:, 1].T


def _chunk(
    n_samples: int,
    laws: FeatureLaws,
    coef: FloatArray,
    dims: Sequence[int],
    n_draws: int,
    rng: np.random.Generator,
) -> Iterator[tuple[FloatArray, FloatArray]]:
    state = empty_path(n_draws, n_samples)
    variances = laws.variances
    # The fit to y = A coef errs by y^T M y - 2 g^T y + null with M = W^T S W and g = W^T S coef.
    y, g = np.zeros((2, n_draws, n_samples))
    null = 0.0
    wanted = set(dims)
    for d in range(max(dims) + 1):
        if d in wanted:
            M = state.metrics[:, 1]
            bias = np.zeros(n_draws)
            if null:
                bias = np.einsum("ti,tij,tj->t", y, M, y) - 2 * (g * y).sum(axis=1) + null
                # A design of full column rank makes no error; what is left is rounding.
                bias = np.where(state.rank == d, 0, np.maximum(bias, 0))
            yield bias, np.trace(M, axis1=1, axis2=2)
        if d == max(dims):
            return
        v = float(variances[d])
        b = draw_feature(laws, d, rng, (n_draws, n_samples))
        state, k = append_feature(state, b, v)
        g += k * (v * coef[d] - np.einsum("ti,ti->t", b, g))[:, None]
        y += coef[d] * b
        null += v * float(coef[d]) ** 2
