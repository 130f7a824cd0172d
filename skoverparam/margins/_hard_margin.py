"""The hard margin by the route that fits the problem, with a certificate either way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.margins._accelerated import accelerated_gradient, balanced_to_zero
from skoverparam.margins._constraints import Candidate, Certified, Constraints, certified
from skoverparam.margins._least_distance import least_distance
from skoverparam.margins._pivoting import block_pivoting, polished

# A margin below this share of the size of the points is not told from none.
_NO_MARGIN = 1e-13
# Weights that bound the margin by this share of the size of the points prove that there is none.
_NO_SEPARATION = 1e-11
# Least-distance programming adds one constraint at a time: above so many features a gradient
# method first finds out which.
_MANY_FEATURES = 400
# Block pivoting takes a handful of steps, or it goes on for very long.
_MANY_PIVOTS = 300
# From a gradient method this close, by its relative gap, least-distance programming is quicker.
_CLOSE = 1e-2


class HardMargin(NamedTuple):
    """A hard-margin problem, decided.

    Attributes
    ----------
    separable : bool or None
        Whether there is a margin; None if neither was proved within `max_iter`.

    weights : Tensor of shape (N,)
        Multipliers of the constraints in the scale in which ``theta = Z^T weights`` satisfies
        them. If not separable, the proof: nonnegative, summing to 1, with ``Z^T a = 0`` and
        ``E^T a = 0`` to rounding.

    offset : Tensor of shape (q,) or (0,)
        The intercept; zero if not separable.

    coef : Tensor of shape (d, q) or None
        Coefficients of the features, where they are known better than from the weights.

    values : Tensor of shape (N,)
        Left-hand sides of the constraints.

    margin : float
        Distance from the separating hyperplane to the closest point.

    bound : float
        No classifier has a larger margin than this.

    gap : float
        Relative duality gap, ``1 - (margin / bound)^2``.

    n_iter : int
        Steps of the solver.

    solver : str
        Which one it was.
    """

    separable: bool | None
    weights: Tensor
    offset: Tensor
    coef: Tensor | None
    values: Tensor
    margin: float
    bound: float
    gap: float
    n_iter: int
    solver: str


def hard_margin(constraints: Constraints, *, solver: str, tol: float, max_iter: int) -> HardMargin:
    """Maximize the margin, or prove that there is none.

    Parameters
    ----------
    constraints : Constraints
        The problem.

    solver : {"auto", "pivoting", "least_distance", "gradient"}
        "pivoting" is tried where the points can be affinely independent, "least_distance" decides
        all else, "gradient" needs the least memory and is refined to the exact solution where its
        active set allows. "auto" goes through them until one has an answer.

    tol : float
        Relative duality gap to accept.

    max_iter : int
        Largest number of steps of each route.

    Returns
    -------
    HardMargin
        The best that was found; compare `gap` with `tol`.
    """
    best: HardMargin | None = None
    for name, candidate in _candidates(constraints, solver, max_iter):
        found = _decided(constraints, certified(constraints, candidate), candidate, name)
        if best is None or _better(found, best):
            best = found
        if best.separable is False or best.separable and best.gap <= tol:
            return best
    if best is None:
        zero = torch.zeros_like(constraints.codes[:, 0])
        none = Candidate(
            zero, constraints.intercepts.new_zeros(constraints.intercepts.shape[1]), 1
        )
        best = _decided(constraints, certified(constraints, none), none, solver)
    return best


def _candidates(
    constraints: Constraints, solver: str, max_iter: int
) -> Iterator[tuple[str, Candidate]]:
    """Propose solutions, by the routes in order."""
    points = constraints.points
    width = points.count if points.X is None else points.X.shape[1]
    n_unknowns = width * constraints.codes.shape[1] + constraints.intercepts.shape[1]
    independent = constraints.count <= n_unknowns
    if solver == "pivoting" or solver == "auto" and independent:
        limit = max_iter if solver == "pivoting" else min(max_iter, _MANY_PIVOTS)
        candidate = block_pivoting(constraints, max_iter=limit)
        if candidate is not None:
            yield "pivoting", candidate
    binary = constraints.codes.shape[1] == 1
    start = None
    few = min(constraints.count, n_unknowns) <= _MANY_FEATURES
    if solver == "gradient" or solver == "auto" and binary and not few:
        for candidate in accelerated_gradient(constraints, max_iter=max_iter):
            yield "gradient", candidate
            bounds = certified(constraints, candidate)
            start = _likely_active(candidate.weights)
            yield from _exact_from(constraints, candidate, bounds, start)
            if solver == "auto" and bounds.gap < _CLOSE:
                break
    if solver in ("least_distance", "auto"):
        for candidate in least_distance(constraints, max_iter=max_iter, start=start):
            yield "least_distance", candidate
            refined = polished(constraints, candidate.weights.nonzero()[:, 0], candidate.n_iter)
            if refined is not None:
                yield "least_distance", refined


def _exact_from(
    constraints: Constraints, candidate: Candidate, bounds: Certified, active: Tensor
) -> Iterator[tuple[str, Candidate]]:
    """Turn what a gradient method has come to into exact weights, if it is close enough."""
    if bounds.gap < 0.5:
        refined = polished(constraints, active, candidate.n_iter)
        if refined is not None:
            yield "gradient", refined
    elif bounds.upper < 1e-2 * constraints.scale:
        weights = balanced_to_zero(constraints, candidate.weights)
        if weights is not None:
            yield "gradient", candidate._replace(weights=weights)


def _likely_active(weights: Tensor) -> Tensor:
    return (weights > 1e-3 * weights.mean()).nonzero()[:, 0]


def _decided(
    constraints: Constraints, bounds: Certified, candidate: Candidate, name: str
) -> HardMargin:
    separable: bool | None = None
    weights, offset, values = bounds.weights, bounds.offset, bounds.values
    if bounds.lower > _NO_MARGIN * constraints.scale:
        separable = True
    elif bounds.upper <= _NO_SEPARATION * constraints.scale:
        separable = False
        weights = weights / weights.sum()
        offset, values = torch.zeros_like(offset), torch.zeros_like(values)
    return HardMargin(
        separable=separable,
        weights=weights,
        offset=offset,
        coef=bounds.coef,
        values=values,
        margin=max(bounds.lower, 0.0),
        bound=bounds.upper,
        gap=bounds.gap,
        n_iter=max(candidate.n_iter, 1),
        solver=name,
    )


def _better(found: HardMargin, best: HardMargin) -> bool:
    if found.separable is not None and best.separable is not None:
        return found.gap < best.gap
    return found.separable is not None or best.separable is None and found.bound < best.bound
