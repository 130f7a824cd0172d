"""Conjugate gradients for one matrix and several ridges at the price of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class ShiftedStep(NamedTuple):
    """Iterates after one product.

    Attributes
    ----------
    x : Tensor of shape (s, n)
        Approximate solutions of ``(A + shift_k I) x_k = y``. Overwritten by the next step.

    residual : float
        Relative residual of the smallest shift by the recurrence, an upper bound of the others'.
    """

    x: Tensor
    residual: float


def shifted_conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    y: Tensor,
    shifts: Tensor,
    *,
    tol: float,
    max_iter: int,
) -> Iterator[ShiftedStep]:
    """Solve ``(A + shift I) x = y`` for all shifts with one product a step.

    Parameters
    ----------
    apply : callable
        Positive semidefinite A on vectors.

    y : Tensor of shape (n,)
        Right-hand side.

    shifts : Tensor of shape (s,)
        Ridges, not negative, in any order.

    tol : float
        Stop when the relative residual of the smallest shift is at most this.

    max_iter : int
        Upper bound of the number of products.

    Yields
    ------
    ShiftedStep
        After every product; at least one.

    Notes
    -----
    The Krylov spaces of A and A + shift I agree, and so do the directions of the residuals: those
    of the larger shifts are ``zeta_k`` times those of the smallest, with ``zeta_k <= 1`` from a
    scalar recurrence (arXiv:hep-lat/9612014). Memory is ``2 s + 3`` vectors.
    """
    base = shifts.min()
    gap = (shifts - base).to(y)[:, None]
    x = y.new_zeros(len(shifts), len(y))
    P = y.repeat(len(shifts), 1)
    r, p = y.clone(), y.clone()
    zeta, zeta_before = torch.ones_like(gap), torch.ones_like(gap)
    rr = r @ r
    size = float(rr) ** 0.5
    step_before, ratio = y.new_ones(()), y.new_zeros(())
    if size == 0.0:
        yield ShiftedStep(x, 0.0)
        return
    for _ in range(max_iter):
        q = apply(p) + base * p
        step = rr / (p @ q)
        held = zeta_before * step_before
        zeta_next = zeta * held / (step * ratio * (zeta_before - zeta) + held * (1 + gap * step))
        factor = zeta_next / zeta
        x += step * factor * P
        r -= step * q
        rr_next = r @ r
        ratio = rr_next / rr
        P.mul_(ratio * factor * factor).add_(zeta_next * r)
        p.mul_(ratio).add_(r)
        zeta_before, zeta, step_before, rr = zeta, zeta_next, step, rr_next
        residual = float(rr) ** 0.5 / size
        yield ShiftedStep(x, residual)
        if not residual > tol:
            return
