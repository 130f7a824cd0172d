"""Squared hinge loss by Newton's method: what remains when there is no hard margin."""

from __future__ import annotations

import bisect
import math
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.margins._constraints import Constraints

# Beyond this weight of the violations rounding errors of the matrix hide the ridge.
_HIDDEN = 1e12
# Newton's method ends after some ten steps: if so many in a row close no gap, rounding is left.
_STALLED = 20


class SoftMargin(NamedTuple):
    """A soft-margin solution.

    Attributes
    ----------
    weights : Tensor of shape (N,)
        Multipliers ``2 C max(0, 1 - values)``.

    theta : Tensor of shape (r q,)
        Coefficients of the features of the constraints. Where violations weigh much, those that
        the multipliers combine to are known less well: rounding errors of slacks weigh as much.

    offset : Tensor of shape (q,) or (0,)
        The intercept.

    values : Tensor of shape (N,)
        Left-hand sides of the constraints.

    norm : float
        Norm of theta.

    gap : float
        Relative duality gap.

    n_iter : int
        Newton steps.
    """

    weights: Tensor
    theta: Tensor
    offset: Tensor
    values: Tensor
    norm: float
    gap: float
    n_iter: int


def soft_margin(constraints: Constraints, C: float, *, tol: float, max_iter: int) -> SoftMargin:
    r"""Minimize ``||theta||^2 / 2 + C sum(max(0, 1 - values)^2)``.

    Parameters
    ----------
    constraints : Constraints
        The problem.

    C : float
        Weight of the violations.

    tol : float
        Relative duality gap to stop at.

    max_iter : int
        Largest number of steps.

    Returns
    -------
    SoftMargin
        The solution.

    Notes
    -----
    The objective is piecewise quadratic: Newton's method with a line search ends after finitely
    many steps, about ten. A step factorizes a matrix of the size r of the features and costs
    :math:`N r^2`. The dual is that of the hard margin with :math:`K + I / (2C)`, where every
    problem is feasible.
    """
    F, E = constraints.features(), constraints.intercepts
    A = torch.hstack([F, E])
    r = F.shape[1]
    ridge = A.new_zeros(A.shape[1])
    ridge[:r] = 1
    x, values, gap, n_iter = torch.zeros_like(ridge), A.new_zeros(len(A)), 1.0, 0
    best, stalled = math.inf, 0
    while n_iter < max_iter:
        n_iter += 1
        slack = (1 - values).clamp(min=0)
        active = slack > 0
        gradient = ridge * x - 2 * C * (A.T @ slack)
        rows = A[active]
        hessian = torch.diag(ridge) + 2 * C * (rows.T @ rows)
        # Without active rows nothing holds the intercept.
        hessian.diagonal()[r:] += 1e-12 * C * len(A)
        direction = -_solved(hessian, gradient)
        along = A @ direction
        step = _exact_step(x, direction, ridge, values, along, C)
        x = x + step * direction
        values = A @ x
        gap = _gap(A, ridge, E, x, values, C)
        stalled = 0 if gap < best else stalled + 1
        best = min(best, gap)
        if gap <= tol or step == 0 or stalled == _STALLED:
            break
    slack = (1 - values).clamp(min=0)
    norm = float(torch.linalg.vector_norm(x[:r]))
    return SoftMargin(2 * C * slack, x[:r], x[r:], values, norm, gap, n_iter)


def _solved(hessian: Tensor, gradient: Tensor) -> Tensor:
    """Solve the Newton system; without the directions that only a hidden ridge could tell."""
    diagonal = hessian.diagonal()
    if float(diagonal.max()) < _HIDDEN:
        return torch.linalg.solve(hessian, gradient)
    # Columns of any size are told apart: the matrix is that of columns of unit length.
    lengths = diagonal.sqrt()
    scaled = hessian / lengths / lengths[:, None]
    return torch.linalg.pinv(scaled, hermitian=True) @ (gradient / lengths) / lengths


def _exact_step(
    x: Tensor, direction: Tensor, ridge: Tensor, values: Tensor, along: Tensor, C: float
) -> float:
    """Minimize the objective on a line: the root of its increasing, piecewise linear slope."""
    linear = float((ridge * x) @ direction)
    quadratic = float((ridge * direction) @ direction)

    def slope(t: float) -> float:
        slack = (1 - values - t * along).clamp(min=0)
        return linear + t * quadratic - 2 * C * float(slack @ along)

    if slope(1.0) <= 0 and abs(slope(1.0)) <= 1e-12 * abs(slope(0.0)):
        return 1.0
    # Between its kinks, which may be any number of powers of ten apart, the slope is a line.
    crossings = (1 - values) / along
    ahead = crossings.isfinite() & (crossings > 0)
    kinks: list[float] = crossings[ahead].sort().values.tolist()
    first = bisect.bisect_left(kinks, 0.0, key=slope)
    low = kinks[first - 1] if first else 0.0
    high = kinks[first] if first < len(kinks) else max(2 * low, 2.0)
    active = 1 - values - (low + (high - low) / 2) * along > 0
    rise = quadratic + 2 * C * float(along[active] @ along[active])
    fall = 2 * C * float((1 - values)[active] @ along[active]) - linear
    root = fall / rise if rise > 0 else low
    # Past the last kink the line goes on.
    root = max(root, low) if first == len(kinks) else min(max(root, low), high)
    # A full step that is right to rounding ends the method.
    return 1.0 if abs(root - 1) < 1e-9 else root


def _gap(A: Tensor, ridge: Tensor, E: Tensor, x: Tensor, values: Tensor, C: float) -> float:
    slack = (1 - values).clamp(min=0)
    primal = float((ridge * x) @ x) / 2 + C * float(slack @ slack)
    a = 2 * C * slack
    if E.shape[1]:
        # Take out what the intercept's condition leaves over, on the active constraints.
        rows = E * (slack > 0)[:, None]
        left = torch.linalg.pinv(rows.T @ rows, hermitian=True) @ (E.T @ a)
        a = (a - rows @ left).clamp(min=0)
    theta = (A.T @ a) * ridge
    dual = float(a.sum()) - float(theta @ theta) / 2 - float(a @ a) / (4 * C)
    if primal == 0:
        return 0.0
    # Weights of zero are dual feasible, too, with the objective zero.
    return max(0.0, 1 - dual / primal) if dual > 0 else 1.0
