"""How far each id shifts its values: additive offsets with learned variances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._entries import Entries
from skoverparam.linalg._units import units_of

_ROUNDS = 50
# Stop when no variance changes by more than this share of itself.
_SETTLED = 1e-3
# A component of variance below this share of the values' variance is noise of the estimation.
_SMALLEST_SHARE = 1e-6
# Offsets of ids that are seen once each cannot be told from noise: a factor with fewer entries per
# id than this has none.
_FEWEST_ENTRIES_PER_ID = 1.5
# Every id's noise is estimated as if this many entries of the average noise had been seen, too.
_NOISE_PRIOR_COUNT = 5.0


class BiasComponents(NamedTuple):
    """Variance components of ``y = mean + sum_f offset_f[id_f] + remainder``.

    Attributes
    ----------
    mean : float
        Weighted mean of what the offsets leave.

    scale : float
        Root mean square of the remainder of a value of weight one; 1 if nothing remains.

    variances : tuple of float
        Variance of each factor's offsets, in units of ``scale**2``.

    remainder : Tensor of shape (n,)
        The remainders over ``scale``.

    noise_share : float
        Noise variance in units of ``scale**2``: the offsets' own uncertainty is taken out of it.

    noise : tuple of Tensor
        For each factor and id the mean square remainder of its entries (in units of
        ``scale**2``), shrunk towards 1.
    """

    mean: float
    scale: float
    variances: tuple[float, ...]
    remainder: Tensor
    noise_share: float
    noise: tuple[Tensor, ...]


def estimate_bias_components(entries: Entries) -> BiasComponents:
    """Estimate offsets, their variances and the noise together.

    Parameters
    ----------
    entries : Entries
        At least one.

    Notes
    -----
    Expectation maximization for a Gaussian model in the mean-field approximation: each offset has
    its own posterior mean and variance given the others' means; the variances of the factors and
    of the noise are then re-estimated. A fixed shrinkage constant does worse where few entries are
    known of many ids. ``O(n p)`` a round.
    """
    # In units of a power of two, which changes no digit, squares of the values are numbers.
    unit = float(units_of(entries.values))
    found = _estimate(entries._replace(values=entries.values / unit))
    return found._replace(mean=found.mean * unit, scale=found.scale * unit)


def _estimate(entries: Entries) -> BiasComponents:
    y, w = entries.values, entries.weights
    total = w.sum()
    mean = (w * y).sum() / total
    spread = (w * (y - mean).square()).sum() / total
    floor = spread * _SMALLEST_SHARE
    if not float(spread) > torch.finfo(y.dtype).eps * float(mean.square()):
        return _constant(entries, float(mean))
    offsets = [y.new_zeros(size) for size in entries.sizes]
    counts = [
        _sums(w, ids, size) for ids, size in zip(entries.codes.T, entries.sizes, strict=True)
    ]
    known = [
        f
        for f, count in enumerate(counts)
        if len(y) >= _FEWEST_ENTRIES_PER_ID * int((count > 0).sum())
    ]
    variances = [spread / 4 if f in known else 0 * spread for f in range(len(counts))]
    noise = spread.clone()
    rest = y - mean
    for _ in range(_ROUNDS):
        before = torch.stack([noise, *variances])
        uncertainty = torch.zeros_like(y)
        for f in known:
            ids = entries.codes[:, f]
            rest += offsets[f][ids]
            precision = counts[f] / noise + 1 / variances[f]
            offsets[f] = _sums(w * rest, ids, entries.sizes[f]) / noise / precision
            rest -= offsets[f][ids]
            seen = counts[f] > 0
            variances[f] = (offsets[f].square() + 1 / precision)[seen].mean().clamp_min(floor)
            uncertainty += (1 / precision)[ids]
        shift = (w * rest).sum() / total
        mean, rest = mean + shift, rest - shift
        noise = ((w * (rest.square() + uncertainty)).sum() / total).clamp_min(floor)
        after = torch.stack([noise, *variances])
        if bool(((after - before).abs() <= _SETTLED * before).all()):
            break
    return _standardized(entries, float(mean), rest, variances, noise)


def _standardized(
    entries: Entries, mean: float, rest: Tensor, variances: list[Tensor], noise_variance: Tensor
) -> BiasComponents:
    w = entries.weights
    square = ((w * rest.square()).sum() / w.sum()).clamp_min(noise_variance * _SMALLEST_SHARE)
    z = rest / square.sqrt()
    noise = []
    for ids, size in zip(entries.codes.T, entries.sizes, strict=True):
        squares = _sums(w * z.square(), ids, size) + _NOISE_PRIOR_COUNT
        noise.append(squares / (_sums(w, ids, size) + _NOISE_PRIOR_COUNT))
    share = float(noise_variance / square)
    ratios = tuple(float(v / square) for v in variances)
    return BiasComponents(mean, float(square.sqrt()), ratios, z, share, tuple(noise))


def _constant(entries: Entries, mean: float) -> BiasComponents:
    zero = torch.zeros_like(entries.values)
    noise = tuple(zero.new_ones(size) for size in entries.sizes)
    return BiasComponents(mean, 1.0, (0.0,) * len(entries.sizes), zero, 1.0, noise)


def _sums(values: Tensor, ids: Tensor, size: int) -> Tensor:
    return values.new_zeros(size).index_add_(0, ids, values)
