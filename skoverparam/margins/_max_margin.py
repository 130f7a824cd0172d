"""A whole classifier: the problems of its classes solved, or softened where they must be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._units import units_of
from skoverparam.margins._codes import between_corners, one_against_rest, simplex_codes
from skoverparam.margins._constraints import Constraints, Points
from skoverparam.margins._hard_margin import hard_margin
from skoverparam.margins._linear_program import p_norm_margin
from skoverparam.margins._logistic_descent import logistic_descent
from skoverparam.margins._soft_margin import soft_margin

# Points this close to the margin, relative to it, lie on it.
_ON_MARGIN = 1e-6
# Steps in which every problem that we met was solved.
_ENOUGH = 10_000
# Coefficients this small, of points of about unit size, are none: there is no boundary.
_NO_BOUNDARY = 1e-150
# Weights of violations beyond these, of points of about unit size, mean all or nothing.
LEAST_WEIGHT, _GREATEST_WEIGHT = 1e-290, 1e290


@dataclass(frozen=True)
class Settings:
    """What a maximum-margin classifier is asked to do.

    Attributes
    ----------
    coding : {"ovr", "simplex"}
        How more than two classes are coded.

    free : bool
        Whether there is a free intercept.

    norm : {"l2", "l1", "linf"}
        Norm of the coefficients that is minimized.

    solver : {"auto", "pivoting", "least_distance", "gradient", "gd"}
        Route to the solution.

    C : float
        Weight of the squared violations where there is no hard margin.

    tol : float
        Relative duality gap.

    max_iter : int
        Largest number of steps.
    """

    coding: str
    free: bool
    norm: str
    solver: str
    C: float
    tol: float
    max_iter: int


class MaxMargin(NamedTuple):
    """A classifier ``f(x) = sum_i dual_i <x_i, x> + intercept``, with what is proved about it.

    Attributes
    ----------
    dual : Tensor of shape (m, n)
        Coefficients of the points divided by `unit`, twice; m is 1 for two classes, else their
        number.

    intercept : Tensor of shape (m,)
        Intercepts, zero where there is none.

    coef : Tensor of shape (m, d) or None
        Coefficients of the features divided by `unit`, where they are known otherwise than from
        `dual`.

    margin : float
        Smallest signed distance of a training point from its boundary.

    gap : float
        Largest relative duality gap of the problems.

    separable : bool or None
        Whether all problems have a margin; None if one of them could not be decided.

    certificate : Tensor of shape (m, n) or None
        For problems without margin signed weights of the points that prove it; zeros for others.

    on_margin : bool
        Whether every constraint holds with equality.

    n_iter : int
        Steps of the solvers, all problems together.

    solver : str
        The route that led to the last solution.

    unit : float
        A power of two in which the points are of about unit size, and squares within range.

    loss, margin_ratio, cosine : float or None
        The path of gradient descent.
    """

    dual: Tensor
    intercept: Tensor
    coef: Tensor | None
    margin: float
    gap: float
    separable: bool | None
    certificate: Tensor | None
    on_margin: bool
    n_iter: int
    solver: str
    unit: float = 1.0
    loss: float | None = None
    margin_ratio: float | None = None
    cosine: float | None = None


class _Part(NamedTuple):
    """One problem, solved: columns are outputs of its code."""

    dual: Tensor
    offset: Tensor
    coef: Tensor | None
    margin: float
    gap: float
    separable: bool | None
    proof: Tensor | None
    on_margin: bool
    n_iter: int
    solver: str


def max_margin_steps(
    points: Points, labels: Tensor, n_classes: int, settings: Settings
) -> Iterator[MaxMargin]:
    """Solve the problems of a classifier.

    Parameters
    ----------
    points : Points
        The training points.

    labels : Tensor of int, shape (n,)
        Classes 0, 1, ...

    n_classes : int
        How many there are.

    settings : Settings
        How.

    Yields
    ------
    MaxMargin
        Once; with ``solver="gd"`` on separable points after every step of gradient descent.
    """
    unit = _unit(points, constant=settings.solver == "gd" and settings.free)
    if points.X is not None:
        points = Points(X=points.X / unit)
    else:
        points = Points(K=points.like / unit / unit)
    # Multiplied one by one: the square of a unit need not be a number.
    weight = min(max(settings.C * unit * unit, LEAST_WEIGHT), _GREATEST_WEIGHT)
    for found in _steps(points, labels, n_classes, replace(settings, C=weight), 1 / unit):
        yield found._replace(margin=found.margin * unit, unit=unit)


def _unit(points: Points, *, constant: bool) -> float:
    """Find the power of two next to the largest coordinate, or next to the largest norm."""
    largest = points.like.abs().max().reshape(1, 1)
    unit = float(units_of(largest if points.X is not None else largest.sqrt()))
    # The constant feature is 1 whatever the unit of the others.
    return max(unit, 1.0) if constant else unit


def _steps(
    points: Points, labels: Tensor, n_classes: int, settings: Settings, one: float
) -> Iterator[MaxMargin]:
    """Solve the problems of a classifier of points of about unit size."""
    descends = settings.solver == "gd"
    free = settings.free and not descends
    if descends and settings.free:
        points = _with_constant(points, one)
    elif free:
        points, means = _centered(points)
    if settings.coding == "simplex":
        corners = simplex_codes(n_classes, points.like)
        problems = [between_corners(points, labels, corners, free)]
        # Two classes have one output.
        corners = corners[1:] if n_classes == 2 else corners
    else:
        problems = one_against_rest(points, labels, n_classes, free)
        corners = torch.eye(len(problems), dtype=points.like.dtype, device=points.like.device)
    parts = [_solved(problem, settings) for problem in problems]
    solution = _assembled(parts, corners)
    if descends:
        yield from _descent(points, problems, parts, solution, settings, one)
    elif free:
        yield _shifted(means, solution)
    else:
        yield solution


def _solved(problem: Constraints, settings: Settings) -> _Part:
    """Solve one problem; soften it if it has no margin."""
    points = problem.points
    if settings.norm == "l2":
        solver, max_iter = settings.solver, settings.max_iter
        if solver == "gd":
            # The steps are those of the descent, not of the solution it is compared with.
            solver, max_iter = "auto", max(max_iter, _ENOUGH)
        found = hard_margin(problem, solver=solver, tol=settings.tol, max_iter=max_iter)
    else:
        found = p_norm_margin(
            points.like,
            problem.codes[:, 0],
            free=problem.free,
            norm=settings.norm,
            max_iter=settings.max_iter,
        )
    if found.separable:
        dual, coef = problem.coefficients(found.weights).T, found.coef
        if coef is None and points.X is not None:
            coef = problem.combination(found.weights)
        return _Part(
            dual=dual,
            offset=found.offset,
            coef=None if coef is None else coef.T,
            margin=found.margin,
            gap=found.gap,
            separable=True,
            proof=None,
            on_margin=bool((found.values - 1 <= _ON_MARGIN).all()),
            n_iter=found.n_iter,
            solver=found.solver,
        )
    soft = soft_margin(problem, settings.C, tol=settings.tol, max_iter=settings.max_iter)
    proof = problem.coefficients(found.weights).T if found.separable is False else None
    return _Part(
        dual=problem.coefficients(soft.weights).T,
        offset=soft.offset,
        coef=None if points.X is None else problem.lifted(soft.theta).T,
        margin=float(soft.values.min()) / soft.norm if soft.norm > _NO_BOUNDARY else 0.0,
        gap=soft.gap,
        separable=found.separable,
        proof=proof,
        on_margin=False,
        n_iter=found.n_iter + soft.n_iter,
        solver="soft",
    )


def _assembled(parts: list[_Part], corners: Tensor) -> MaxMargin:
    """Put the outputs of the problems together, one row per class."""
    dual = corners @ torch.vstack([part.dual for part in parts])
    offsets = torch.hstack([part.offset for part in parts])
    verdicts = [part.separable for part in parts]
    separable = False if False in verdicts else None if None in verdicts else True
    proofs = None
    if separable is False:
        rows = [
            part.dual.new_zeros(part.dual.shape) if part.proof is None else part.proof
            for part in parts
        ]
        proofs = corners @ torch.vstack(rows)
    coefs = [part.coef for part in parts if part.coef is not None]
    return MaxMargin(
        dual=dual,
        intercept=corners @ offsets if len(offsets) else dual.new_zeros(len(dual)),
        coef=corners @ torch.vstack(coefs) if coefs else None,
        margin=min(part.margin for part in parts),
        gap=max(part.gap for part in parts),
        separable=separable,
        certificate=proofs,
        on_margin=all(part.on_margin for part in parts),
        n_iter=sum(part.n_iter for part in parts),
        solver="soft" if not separable else parts[-1].solver,
    )


def _descent(
    points: Points,
    problems: list[Constraints],
    parts: list[_Part],
    solution: MaxMargin,
    settings: Settings,
    one: float,
) -> Iterator[MaxMargin]:
    """Walk gradient descent towards the solutions, or stay with them if there is no margin."""
    if not solution.separable:
        yield _constant_split(solution, settings.free, one)
        return
    signs = torch.stack([problem.codes[:, 0] for problem in problems])
    margins = signs.new_tensor([part.margin for part in parts])
    path = logistic_descent(
        points.features, signs, solution.dual, margins, max_iter=settings.max_iter
    )
    for n_iter, step in enumerate(path, 1):
        yield _constant_split(
            solution._replace(
                dual=step.dual,
                margin=step.margin,
                gap=1 - step.margin_ratio**2 if step.margin_ratio > 0 else 1.0,
                on_margin=False,
                n_iter=n_iter,
                solver="gd",
                loss=step.loss,
                margin_ratio=step.margin_ratio,
                cosine=step.cosine,
            ),
            settings.free,
            one,
        )


def _constant_split(solution: MaxMargin, constant: bool, one: float) -> MaxMargin:
    """Read the intercept off: it is the coefficient of the constant feature."""
    # Coefficients would cost more than a step, and only the last ones are wanted.
    coef, intercept = None, solution.intercept
    if constant and solution.coef is not None and solution.solver == "soft":
        coef, intercept = solution.coef[:, :-1], solution.coef[:, -1] * one
    elif constant:
        intercept = solution.dual.sum(1) * one * one
    return solution._replace(coef=coef, intercept=intercept)


def _with_constant(points: Points, one: float) -> Points:
    if points.X is not None:
        return Points(X=torch.hstack([points.X, points.X.new_full((len(points.X), 1), one)]))
    assert points.K is not None
    return Points(K=points.K + one * one)


def _centered(points: Points) -> tuple[Points, Tensor]:
    """Move the origin to the mean of the points; a free intercept makes up for it."""
    if points.X is not None:
        mean = points.X.mean(0)
        return Points(X=points.X - mean), mean
    assert points.K is not None
    means = points.K.mean(0)
    return Points(K=points.K - means - means[:, None] + means.mean()), means


def _shifted(means: Tensor, solution: MaxMargin) -> MaxMargin:
    """Move the origin back."""
    rows = solution.dual if solution.coef is None else solution.coef
    return solution._replace(intercept=solution.intercept - rows @ means)
