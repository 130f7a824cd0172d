"""Training points: the distinct ones among them, and logarithms of distances from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Below this many features the difference of every pair is as fast as a matrix product.
_FEW_FEATURES = 24
# Squared distances below this share of the squared norms lose too many digits in a product.
_NEAR = 1e-4
# Relative to the size of the cloud: from further away, all points are equally far to rounding.
_FAR = 1e100
_PAIRS_AT_A_TIME = 2**21
_SQUARES_UNDERFLOW = 1e-280


class Distinct(NamedTuple):
    """Which rows of a matrix are the same.

    ``first`` (m,) holds the first row of each kind, ascending; ``group`` (n,) the kind of a row.
    """

    first: Tensor
    group: Tensor


def distinct_rows(X: Tensor) -> Distinct:
    """Find the distinct rows of an (n, d) tensor in float64, by sorting a hash of their bits."""
    X = (X + 0.0).contiguous()  # -0.0 becomes 0.0, which it equals
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(2**62, (X.shape[1],), generator=generator).to(X.device) * 2 + 1
    key = torch.cat([_hash(part, factors) for part in X.split(_block(X.shape[1]))])
    _, group = torch.unique(key, return_inverse=True)
    found = _in_order(group)
    if bool((X[found.first][found.group] == X).all()):
        return found
    return _in_order(torch.unique(X, dim=0, return_inverse=True)[1])


def indicators(labels: Tensor, n_classes: int) -> Tensor:
    """Make a column for each class, one where the label (n,) is that class and zero elsewhere."""
    return torch.nn.functional.one_hot(labels.long(), n_classes).double()


class Merged(NamedTuple):
    """Training points without repetition.

    ``X`` (m, d); ``values`` (m, t), the mean targets of each point; ``mass`` (m,), their total
    weight; ``group`` (n,), the point that each of the n samples became.
    """

    X: Tensor
    values: Tensor
    mass: Tensor
    group: Tensor


def merge(X: Tensor, Y: Tensor, weights: Tensor, *, seen: Tensor | None = None) -> Merged:
    """Average the targets (n, t) of equal rows of X (n, d), with weights (n,) that are positive.

    Equal targets are not averaged but kept, so that they come back to the last digit. `seen` are
    the rows in the units of those who see no difference below; None is X.
    """
    first, group = distinct_rows(X if seen is None else seen)
    if len(first) == len(X):
        return Merged(X, Y, weights, group)
    mass = weights.new_zeros(len(first)).index_add_(0, group, weights)
    # Deviations from the first of each group: zero if all agree.
    share = (weights / mass[group])[:, None]
    deviations = torch.zeros_like(Y[first]).index_add_(0, group, share * (Y - Y[first][group]))
    return Merged(X[first], Y[first] + deviations, mass, group)


def without_own(
    merged: Merged, Y: Tensor, weights: Tensor, elsewhere: Callable[[], Tensor]
) -> Tensor:
    """Predict every sample by a rule that interpolates the others.

    Parameters
    ----------
    merged : Merged
        What :func:`merge` made of the samples.

    Y : Tensor of shape (n, t)
        Targets of the samples.

    weights : Tensor of shape (n,)
        Their weights, in the units of ``merged.mass``.

    elsewhere : callable
        Returns the predictions (m, t) at every point by the other points; called if needed.

    Returns
    -------
    Tensor of shape (n, t)
        The mean of the other samples at the same point; where there are none, `elsewhere`.
    """
    group = merged.group
    repeated = torch.bincount(group)[group] > 1
    mass, own = merged.mass[group], weights
    rest = torch.where(repeated, mass - own, 1.0)[:, None]
    others = merged.values[group] + (merged.values[group] - Y) * (own[:, None] / rest)
    if bool(repeated.all()):
        return others
    return torch.where(repeated[:, None], others, elsewhere()[group])


def _hash(X: Tensor, factors: Tensor) -> Tensor:
    # Numbers with few digits end in zeros, which a product would carry through: fold them first.
    bits = X.view(torch.int64)
    bits = (bits ^ (bits >> 32)) * 0x1B873593_CC9E2D51
    return ((bits ^ (bits >> 29)) * factors).sum(1)


def _in_order(group: Tensor) -> Distinct:
    """Renumber groups (n,) by their first rows."""
    n, count = len(group), int(group.max()) + 1
    rows = torch.arange(n, device=group.device)
    first = rows.new_full((count,), n).scatter_reduce(0, group, rows, "amin")
    order = first.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(count, device=group.device)
    return Distinct(first[order], rank[group])


def _block(row_size: int) -> int:
    return max(1, _PAIRS_AT_A_TIME // max(row_size, 1))


class Cloud:
    """Points from which distances are measured to full relative precision.

    A distance of zero means that two points are the same, never that digits were lost: products
    are taken of centered coordinates, pairs that are close by differences, and all of it in units
    in which squares neither overflow nor vanish.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        The points, in float64.

    given : torch.dtype, default=torch.float64
        The type that their coordinates had before, and were rounded to.

    Attributes
    ----------
    X : Tensor of shape (n, d)
        The points in units in which the cloud is of size one.

    center, centered : Tensor of shape (d,) and (n, d)
        Their mean, and what remains.

    rounding : float
        Size of the rounding errors of coordinates, in these units.
    """

    def __init__(self, X: Tensor, *, given: torch.dtype = torch.float64) -> None:
        # Powers of two: units change, digits do not.
        self._exponents = [_power_of_two(X)]
        X = _scaled(X, self._exponents)
        # Around the middle and not the mean: points that come twice change no unit.
        low, high = X.aminmax(dim=0)
        self._exponents.append(_power_of_two(X - (low + high) / 2))
        self.X = _scaled(X, self._exponents[1:])
        self.rounding = torch.finfo(given).eps * float(self.X.abs().max())
        self.center = self.X.mean(0)
        self.centered = self.X - self.center
        self._squares = self.centered.square().sum(1)

    def __len__(self) -> int:
        return len(self.X)

    def queries(self, Q: Tensor) -> Tensor:
        """Bring query points (q, d) to the units of the cloud; those far away come closer."""
        Q = _scaled(Q, self._exponents).clamp(-1e300, 1e300)
        away = Q - self.center
        size = away.abs().amax(1, keepdim=True)
        near = self.center + away / size.clamp(min=1.0) * _FAR
        return torch.where(size > _FAR, near, Q)

    def log_length(self, length: float) -> float:
        """Logarithm of a length, in the units of the cloud."""
        return math.log(length) + sum(self._exponents) * math.log(2.0)

    def log_distances(self, Q: Tensor) -> Tensor:
        """Logarithms (q, n) of the distances of all points; Q as :meth:`queries` left it."""
        if Q.shape[1] <= _FEW_FEATURES:
            mode = "donot_use_mm_for_euclid_dist"
            squares = torch.cdist(Q, self.X, compute_mode=mode).square_()
            close = squares < _SQUARES_UNDERFLOW
        else:
            away = Q - self.center
            sizes = away.square().sum(1, keepdim=True) + self._squares
            squares = torch.addmm(sizes, away, self.centered.T, alpha=-2.0)
            close = squares < _NEAR * sizes
        row, point = close.nonzero(as_tuple=True)
        logs = squares.log_().mul_(0.5)
        for start in range(0, len(row), _block(Q.shape[1])):
            part = slice(start, start + _block(Q.shape[1]))
            logs[row[part], point[part]] = _log_norm(Q[row[part]] - self.X[point[part]])
        return logs

    def log_distances_at(self, Q: Tensor, index: Tensor) -> Tensor:
        """Logarithms (q, k) of the distances of the points that `index` (q, k) names."""
        rows = _block(Q.shape[1] * max(index.shape[1], 1))
        parts = zip(Q.split(rows), index.split(rows), strict=True)
        return torch.cat([_log_norm(part[:, None] - self.X[at]) for part, at in parts])


def _log_norm(V: Tensor) -> Tensor:
    """Logarithms of the norms along the last axis, without overflow or underflow."""
    size = V.abs().amax(-1)
    norm = torch.linalg.vector_norm(V / torch.where(size > 0, size, 1.0)[..., None], dim=-1)
    return norm.log() + size.log()


def _power_of_two(X: Tensor) -> int:
    """Exponent that brings the largest entry to [1/2, 1); 0 if all are zero."""
    return -math.frexp(float(X.abs().max()))[1]


def _scaled(X: Tensor, exponents: list[int]) -> Tensor:
    # Steps, because 2**1074 is not a number.
    for exponent in exponents:
        for step in (exponent // 2, exponent - exponent // 2):
            X = X * 2.0**step
    return X
