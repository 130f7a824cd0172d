"""Squared hinge loss by Newton's method: what remains when there is no hard margin."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.margins._constraints import Constraints

# Newton's method ends after some ten steps: if so many in a row close no gap, rounding is left.
_STALLED = 20


class SoftMargin(NamedTuple):
    """A soft-margin solution.

    Attributes
    ----------
    weights : Tensor of shape (N,)
        Multipliers ``2 C max(0, 1 - values)``.

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
        direction = -torch.linalg.solve(hessian, gradient)
        along = A @ direction
        step = _exact_step(x, direction, ridge, values, along, C)
        x, values = x + step * direction, values + step * along
        gap = _gap(A, ridge, E, x, values, C)
        stalled = 0 if gap < best else stalled + 1
        best = min(best, gap)
        if gap <= tol or step == 0 or stalled == _STALLED:
            break
    slack = (1 - values).clamp(min=0)
    norm = float(torch.linalg.vector_norm(x[:r]))
    return SoftMargin(2 * C * slack, x[r:], values, norm, gap, n_iter)


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
    low, high = 0.0, 1.0
    while slope(high) < 0 and high < 1e6:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    # A full step that is right to rounding ends the method.
    return 1.0 if abs(high - 1) < 1e-9 else high


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
    return max(0.0, 1 - dual / primal) if primal > 0 else 0.0
