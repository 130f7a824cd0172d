"""Accelerated projected gradient for the nearest points of two hulls: little memory, any size."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skoverparam.linalg._lanczos import largest_eigenvalue
from skoverparam.margins._constraints import Candidate, Constraints

# So many steps come within a percent from below, mostly much closer.
_LANCZOS_STEPS = 20
_ABOVE = 1.05


def accelerated_gradient(
    constraints: Constraints, *, max_iter: int, every: int = 50
) -> Iterator[Candidate]:
    r"""Minimize ``||Z^T a||^2 / 2`` over weights that sum to 1, of each class to 1/2.

    Parameters
    ----------
    constraints : Constraints
        The problem, with one code of -1 or +1 per constraint.

    max_iter : int
        Largest number of steps.

    every : int, default=50
        Steps between two candidates.

    Yields
    ------
    Candidate
        The weights after every `every` steps and after the last one. The intercept is left at
        zero: certifying the candidate finds the best one.

    Notes
    -----
    The minimum is the margin: the distance of the origin from the hull of the rows of Z, with a
    free intercept half the distance between the hulls of the classes. It is 0 exactly where the
    data are not separable. Nesterov's method with restarts where the objective rises; a step
    costs two passes over the points, :math:`4 n d`, and a projection, :math:`n \log n`.
    """
    signs = constraints.codes[:, 0]
    a = _projected(torch.ones_like(signs), signs, constraints.free)
    step = 1 / _bound_of_eigenvalues(constraints)
    ahead, momentum = a, 1.0
    for n_iter in range(1, max_iter + 1):
        slope = constraints.products(ahead)
        a_next = _projected(ahead - step * slope, signs, constraints.free)
        if float((ahead - a_next) @ (a_next - a)) > 0:
            momentum, ahead = 1.0, a
        else:
            momentum_next = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            ahead = a_next + (momentum - 1) / momentum_next * (a_next - a)
            momentum, a = momentum_next, a_next
        if n_iter % every == 0 or n_iter == max_iter:
            yield Candidate(a, constraints.intercepts.new_zeros(int(constraints.free)), n_iter)


def balanced_to_zero(constraints: Constraints, weights: Tensor) -> Tensor | None:
    """Correct weights that almost prove that there is no margin, so that they do.

    Parameters
    ----------
    constraints : Constraints
        The problem.

    weights : Tensor of shape (N,)
        Weights for which ``Z^T a`` is small.

    Returns
    -------
    Tensor of shape (N,) or None
        Positive weights with ``Z^T a = 0`` and ``E^T a = 0`` to rounding, the closest ones
        relative to their size; None if there are none nearby.
    """
    P = weights > 0
    A = torch.hstack([constraints.features() / constraints.scale, constraints.intercepts])[P]
    a = weights[P]
    for _ in range(6):
        weighted = A * a[:, None]
        correction = torch.linalg.pinv(weighted.T @ weighted, hermitian=True) @ (A.T @ a)
        a = a * (1 - weighted @ correction)
        if not bool((a > 0).all()):
            return None
    found = torch.zeros_like(weights)
    found[P] = a
    return found


def _projected(a: Tensor, signs: Tensor, free: bool) -> Tensor:
    """Project to the simplex, or to a simplex of size 1/2 for each class."""
    if not free:
        return _on_simplex(a, 1.0)
    out = torch.empty_like(a)
    for side in (signs > 0, signs < 0):
        out[side] = _on_simplex(a[side], 0.5)
    return out


def _on_simplex(a: Tensor, total: float) -> Tensor:
    falling = a.sort(descending=True).values
    places = torch.arange(1, len(a) + 1, dtype=a.dtype, device=a.device)
    thresholds = (falling.cumsum(0) - total) / places
    last = int((falling > thresholds).sum()) - 1
    return (a - thresholds[last]).clamp_(min=0)


def _bound_of_eigenvalues(constraints: Constraints) -> float:
    """Bound the largest eigenvalue of ``Z Z^T`` from above, closely."""
    places = torch.arange(len(constraints.codes), device=constraints.codes.device)
    start = 1 + 0.5 * torch.cos(places.to(constraints.codes.dtype))[:, None]
    largest = largest_eigenvalue(
        lambda v: constraints.products(v[:, 0])[:, None], start, n_steps=_LANCZOS_STEPS
    )
    return _ABOVE * largest or 1.0
