"""Conjugate gradients for many positive definite systems in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


class CGResult(NamedTuple):
    """Solutions of a batch of systems.

    Attributes
    ----------
    x : Tensor of the shape of Y
        The solutions.

    residual : Tensor of shape (b,)
        True relative residuals ``||y - A x|| / ||y||``, recomputed at the end, never recurred.

    n_iter : int
        Products with the operator, the recomputed residual not counted.

    converged : bool
        Whether every residual is at most ``tol``.
    """

    x: Tensor
    residual: Tensor
    n_iter: int
    converged: bool


def conjugate_gradients(
    apply: Operator,
    Y: Tensor,
    *,
    tol: float,
    max_iter: int,
    x0: Tensor | None = None,
    precondition: Operator | None = None,
) -> CGResult:
    """Solve ``A x = y`` for a batch of right-hand sides, each with its own step lengths.

    Parameters
    ----------
    apply : callable
        Symmetric positive definite operator on tensors of the shape of ``Y``. It may differ from
        system to system (several ridges at once, say), but never mixes them.

    Y : Tensor of shape (b, ...)
        Right-hand sides: ``b`` systems, the trailing axes are the unknowns.

    tol : float
        Stop when every relative residual is at most ``tol``.

    max_iter : int
        Upper bound of the number of products.

    x0 : Tensor of the shape of Y, default=None
        Where to start, None for zero.

    precondition : callable, default=None
        Approximate inverse of ``apply``, symmetric positive definite.

    Returns
    -------
    CGResult
        Solutions with their true residuals.

    Notes
    -----
    A step costs one product and a few passes over ``Y``; memory is six tensors of the shape of
    ``Y``. A system that has converged, or whose curvature is not positive, stands still while the
    others go on. Where a singular system has no solution, steps grow without bounds once all that
    can be solved has been: it goes back to where it started if its residual is larger in the end.
    The recurred residual drifts from the true one in low precision: the true one is recomputed
    when the recurred one claims convergence, and the recurrence restarted from it while that
    still helps.
    """
    norms = _norm(Y)
    scale = torch.where(norms > 0, norms, torch.ones_like(norms))
    x = torch.zeros_like(Y) if x0 is None else x0.clone()
    n_iter = 0
    relative = torch.full_like(norms, float("inf"))
    while True:
        R = Y - apply(x)
        fresh = _norm(R) / scale
        # Restarting pays only while it still brings the true residual down.
        stalled = bool((fresh > 0.5 * relative)[fresh > tol].any())
        relative = fresh
        if bool((relative <= tol).all()) or n_iter >= max_iter or stalled:
            return CGResult(x, relative, n_iter, bool((relative <= tol).all()))
        thresholds, left = tol * scale, max_iter - n_iter
        start, before = x.clone(), _norm(R)
        n_iter += sum(1 for _ in recurrence(apply, x, R, thresholds, left, precondition))
        x = torch.where(_over(_norm(R) <= before, x), x, start)


def recurrence(
    apply: Operator,
    x: Tensor,
    R: Tensor,
    thresholds: Tensor,
    max_iter: int,
    precondition: Operator | None = None,
) -> Iterator[Tensor]:
    """Improve solutions step by step, by residuals that are recurred.

    Parameters
    ----------
    apply : callable
        As in :func:`conjugate_gradients`.

    x, R : Tensor of shape (b, ...)
        Solutions and their residuals, both updated in place.

    thresholds : Tensor of shape (b,)
        Norms of the residuals that are small enough.

    max_iter : int
        Largest number of steps.

    precondition : callable, default=None
        As in :func:`conjugate_gradients`.

    Yields
    ------
    Tensor of shape (b,)
        Norms of the residuals after every step; the last one when no system moves any more.
    """
    Z = R if precondition is None else precondition(R)
    D = Z.clone()
    rz = _dot(R, Z)
    norms = _norm(R)
    for _ in range(max_iter):
        Q = apply(D)
        curvature = _dot(D, Q)
        active = (curvature > 0) & (norms > thresholds)
        step = torch.where(active, rz / torch.where(active, curvature, 1), 0)
        x.addcmul_(_over(step, D), D)
        R.addcmul_(_over(step, D), Q, value=-1)
        norms = _norm(R)
        yield norms
        if not bool((active & (norms > thresholds)).any()):
            return
        Z = R if precondition is None else precondition(R)
        rz_next = _dot(R, Z)
        ratio = torch.where(active, rz_next / torch.where(rz > 0, rz, 1), 0)
        D.mul_(_over(ratio, D)).add_(Z)
        rz = rz_next


def _dot(A: Tensor, B: Tensor) -> Tensor:
    return torch.linalg.vecdot(A.flatten(1), B.flatten(1))


def _norm(A: Tensor) -> Tensor:
    return torch.linalg.vector_norm(A.flatten(1), dim=1)


def _over(scalars: Tensor, like: Tensor) -> Tensor:
    """Shape one number per system so that it multiplies that system's unknowns."""
    return scalars.view(-1, *(1,) * (like.ndim - 1))
