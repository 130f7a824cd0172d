"""The interpolator nearest to a start in Bregman divergence, computed directly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._units import units_of
from skoverparam.optim._mirrors import Mirror

_ARMIJO = 1e-4
_LEAST_STEP = 1e-12
# Regularization of Newton's matrix, relative to its mean diagonal: at first, and bounds.
_FIRST_DAMPING = 1e-4
_LEAST_DAMPING = 1e-18
_STALLED = 8


class BregmanProjection(NamedTuple):
    """The point of an affine space with the least divergence from another one.

    Attributes
    ----------
    coef : Tensor of shape (d,)
        The projection.

    multipliers : Tensor of shape (n,) or None
        Lagrange multipliers, ``phi(coef) - phi(w0) = X' multipliers``; None if they were not
        solved for.

    divergence : float
        Bregman divergence of `coef` from the start.

    residual : float
        ``||y - X coef|| / ||y||``.

    n_iter : int
        Steps of Newton's method.
    """

    coef: Tensor
    multipliers: Tensor | None
    divergence: float
    residual: float
    n_iter: int


class NoProjectionError(ValueError):
    """No solution of the equations was found in the domain of a mirror."""


def bregman_projection(
    X: Tensor, y: Tensor, w0: Tensor, mirror: Mirror, *, tol: float = 1e-10, max_iter: int = 1000
) -> BregmanProjection:
    """Minimize the divergence of w from w0 over all w with ``X w = y``, in float64.

    Where the curvature may be zero (p-norms above 2) this is Newton's method on the solutions of
    the system, of which d - n numbers are free; else Newton's method on the n multipliers, a
    smooth concave maximization without constraints.
    """
    mirror.check_domain(w0, "w0")
    # The same equations in units, a power of two, in which squares of X are within range.
    unit = units_of(X.reshape(-1, 1))
    X, y = X / unit, y / unit
    if not bool(y.isfinite().all()):
        raise ValueError("X and y must be of sizes less different: no number holds the solution.")
    scale = float(y.norm())
    # A solution of the equations, whatever its divergence.
    some = torch.linalg.pinv(X) @ (y - X @ w0) + w0
    off = float((X @ some - y).norm())
    if off > tol * max(scale, torch.finfo(X.dtype).tiny) and off > tol * float(X.norm()) * float(
        some.norm()
    ):
        raise ValueError(
            "X w = y must have a solution; the least squares solution misses y by "
            f"{off / scale if scale else off:.3g} of its norm."
        )
    if mirror.flat_at_zero:
        w, n_iter = _in_null_space(X, some, w0, mirror, tol, max_iter)
        multipliers = None
    else:
        w, multipliers, n_iter = _by_multipliers(X, y, w0, mirror, tol, max_iter)
    off = float((X @ w - y).norm())
    residual = off / scale if scale else off
    if not residual <= max(tol, 1e-6):
        raise NoProjectionError(
            f"No solution of X w = y was found in the domain of {type(mirror).__name__}: after "
            f"{n_iter} steps the residual is {residual:.3g} of the norm of y. If weights must be "
            "positive there may be none."
        )
    if multipliers is not None:
        multipliers = multipliers / unit
    return BregmanProjection(w, multipliers, float(mirror.divergence(w, w0)), residual, n_iter)


def _by_multipliers(
    X: Tensor, y: Tensor, w0: Tensor, mirror: Mirror, tol: float, max_iter: int
) -> tuple[Tensor, Tensor, int]:
    z0 = mirror.to_dual(w0)

    def value(multipliers: Tensor) -> Tensor:
        z = z0 + X.T @ multipliers
        w = mirror.to_primal(z)
        # The conjugate of the potential, by Fenchel's equality.
        return (w * z).sum() - mirror.potential(w) - y @ multipliers

    def gradient(multipliers: Tensor) -> Tensor:
        return X @ mirror.to_primal(z0 + X.T @ multipliers) - y

    def hessian(multipliers: Tensor) -> Tensor:
        flexibility = mirror.curvature(mirror.to_primal(z0 + X.T @ multipliers)).reciprocal()
        return (X * flexibility) @ X.T

    # Where the curvature is very large weights do not move at first: start where the best multiple
    # of the residual leads.
    ray = y - X @ w0
    multiples = 2.0 ** torch.arange(-20, 21, dtype=y.dtype, device=y.device)
    multiples = torch.cat([multiples.new_zeros(1), multiples])
    heights = torch.stack([value(multiple * ray) for multiple in multiples])
    heights = torch.where(torch.isfinite(heights), heights, torch.inf)
    start = multiples[heights.argmin()] * ray
    enough = tol * float(y.norm())
    multipliers, n_iter = _newton(value, gradient, hessian, start, enough, max_iter)
    return mirror.to_primal(z0 + X.T @ multipliers), multipliers, n_iter


def _in_null_space(
    X: Tensor, some: Tensor, w0: Tensor, mirror: Mirror, tol: float, max_iter: int
) -> tuple[Tensor, int]:
    _, s, Vt = torch.linalg.svd(X, full_matrices=True)
    rank = int((s > s.max() * max(X.shape) * torch.finfo(X.dtype).eps).sum())
    N = Vt[rank:].T
    z0 = mirror.to_dual(w0)

    def value(free: Tensor) -> Tensor:
        w = some + N @ free
        return mirror.potential(w) - z0 @ w

    def gradient(free: Tensor) -> Tensor:
        return N.T @ (mirror.to_dual(some + N @ free) - z0)

    def hessian(free: Tensor) -> Tensor:
        return (N.T * mirror.curvature(some + N @ free)) @ N

    start = some.new_zeros(N.shape[1])
    enough = tol * float(mirror.to_dual(some).norm())
    free, n_iter = _newton(value, gradient, hessian, start, enough, max_iter)
    return some + N @ free, n_iter


def _newton(
    value: Callable[[Tensor], Tensor],
    gradient: Callable[[Tensor], Tensor],
    hessian: Callable[[Tensor], Tensor],
    x: Tensor,
    enough: float,
    max_iter: int,
) -> tuple[Tensor, int]:
    """Minimize a convex function by damped Newton steps until its gradient is small."""
    damping = _FIRST_DAMPING
    f, g = value(x), gradient(x)
    best, best_size, stalled = x, float(g.norm()), 0
    for n_iter in range(max_iter):
        size = float(g.norm())
        if size < 0.9 * best_size or best is x:
            stalled = 0
        else:
            stalled += 1
        if size <= best_size:
            best, best_size = x, size
        # At the rounding error of the gradient steps no longer help.
        if size <= enough * 1e-4 or (size <= enough and stalled >= _STALLED):
            return best, n_iter
        H = hessian(x)
        if not bool(torch.isfinite(H).all()):
            return best, n_iter
        direction = -_solve_damped(H, g, damping)
        slope = float(g @ direction)
        step = 1.0
        while True:
            following = x + step * direction
            f_next, g_next = value(following), gradient(following)
            falls = bool(f_next <= f + _ARMIJO * step * slope)
            size_next = float(g_next.norm())
            nearer = size_next <= (1 - _ARMIJO * step) * size
            if (falls or nearer or step < _LEAST_STEP) and math.isfinite(size_next):
                break
            if step == 0:
                return best, n_iter
            # Zero in the end: nothing finite lies that way.
            step *= 0.5
        damping = max(damping * (0.1 if step == 1 else 4.0), _LEAST_DAMPING)
        x, f, g = following, f_next, g_next
    return best, max_iter


def _solve_damped(H: Tensor, g: Tensor, damping: float) -> Tensor:
    """Solve with a positive semidefinite matrix plus a share of its mean diagonal."""
    # Curvatures of very different sizes: only a scaled matrix has a meaningful mean.
    scale = H.diagonal().clamp_min(torch.finfo(H.dtype).tiny).rsqrt()
    scaled = H * scale[:, None] * scale
    values, vectors = torch.linalg.eigh(scaled)
    floor = torch.finfo(H.dtype).eps * len(H)
    return scale * (vectors @ ((vectors.T @ (scale * g)) / (values.clamp_min(floor) + damping)))
