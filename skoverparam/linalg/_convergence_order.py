"""The order of convergence of a sequence of errors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

# An error of ten times the floor is known to a tenth of itself, and its logarithm far better.
_ABOVE_FLOOR = 10.0


class ConvergenceOrder(NamedTuple):
    """A power law ``e[t + 1] = constant * e[t] ** order`` fitted to errors.

    Attributes
    ----------
    order : float
        The exponent; NaN with fewer than two pairs.

    constant : float
        The factor: the rate, if the order is one.

    steps : Tensor of shape (k,), int64
        The t of the pairs that were used.

    ratios : Tensor of shape (k,), float64
        ``log(e[t + 1]) / log(e[t])`` of each pair, which tends to the order.
    """

    order: float
    constant: float
    steps: Tensor
    ratios: Tensor


def convergence_order(errors: Tensor, *, floor: float, below: float) -> ConvergenceOrder:
    """Fit a line to the logarithms of successive errors.

    Parameters
    ----------
    errors : Tensor of shape (n,)
        Errors, not negative, relative to what counts as one.

    floor : float
        Size of rounding errors. Pairs that end below ten times that say nothing.

    below : float
        Pairs that start above this are not yet in the local phase.

    Returns
    -------
    fit : ConvergenceOrder
        Order and constant.
    """
    e = errors.double()
    used = (e[:-1] < below) & (e[1:] > _ABOVE_FLOOR * floor) & (e[:-1] > 0) & (e[1:] > 0)
    used &= torch.isfinite(e[1:])
    steps = used.nonzero()[:, 0]
    before, after = e[steps].log(), e[steps + 1].log()
    order = constant = math.nan
    if len(steps) > 1:
        centered = before - before.mean()
        spread = float(centered.square().sum())
        if spread > 0:
            order = float(centered @ after) / spread
            constant = float((after.mean() - order * before.mean()).exp())
    return ConvergenceOrder(order, constant, steps, after / before)


def stalled_floor(errors: Tensor) -> float:
    """Guess the floor of errors: where they stopped halving at the end, else the precision."""
    eps = torch.finfo(errors.dtype).eps
    if len(errors) > 1 and float(errors[-1]) > 0.5 * float(errors[-2]):
        tail = len(errors) - 1
        # Slow linear convergence is no floor: it has been just as slow all the time.
        fastest = float((errors[1:] / errors[:-1].clamp_min(torch.finfo(errors.dtype).tiny)).min())
        if fastest < 0.1 and tail > 1:
            return max(eps, float(errors[-1]))
    return eps
