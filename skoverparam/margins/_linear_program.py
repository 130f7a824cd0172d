"""Margins in other norms, by linear programming."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor

from skoverparam.margins._hard_margin import HardMargin

_NO_MARGIN = 1e-10

_ITERATION_LIMIT = 1  # status of scipy's linprog


def p_norm_margin(X: Tensor, signs: Tensor, *, free: bool, norm: str, max_iter: int) -> HardMargin:
    r"""Maximize the margin of a linear classifier whose coefficients are measured in another norm.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Points.

    signs : Tensor of shape (n,)
        Classes, -1 or +1.

    free : bool
        Whether there is a free intercept.

    norm : {"l1", "linf"}
        Norm of the coefficients. Distances are then measured in the dual one: the largest
        coordinate for "l1", the sum of them for "linf".

    max_iter : int
        Largest number of simplex or interior point iterations.

    Returns
    -------
    HardMargin
        Coefficients, intercept, multipliers and certificate.

    Notes
    -----
    The program is ``max gamma`` subject to ``y_i (w x_i + b) >= gamma`` and ``||w|| <= 1``: it
    always has a solution, and its multipliers prove that no margin is larger than
    :math:`\|\sum_i a_i y_i x_i\|_* / \sum_i a_i`. Solved by HiGHS on the host.
    """
    Z = (X * signs[:, None]).cpu().numpy()
    y = signs.cpu().numpy()
    n, d = Z.shape
    scale = float(np.abs(Z).max()) or 1.0
    tail = np.hstack([-y[:, None] if free else np.zeros((n, 0)), np.ones((n, 1))])
    n_tail = tail.shape[1]
    bounds: list[tuple[int | None, int | None]]
    if norm == "l1":
        rows = np.hstack([-Z / scale, Z / scale, tail])
        rows = np.vstack([rows, np.r_[np.ones(2 * d), np.zeros(n_tail)]])
        limits = np.r_[np.zeros(n), 1.0]
        bounds = [(0, None)] * (2 * d) + [(None, None)] * n_tail
    else:
        rows, limits = np.hstack([-Z / scale, tail]), np.zeros(n)
        bounds = [(-1, 1)] * d + [(None, None)] * n_tail
    target = np.zeros(rows.shape[1])
    target[-1] = -1
    found = linprog(
        target,
        A_ub=rows,
        b_ub=limits,
        bounds=bounds,
        method="highs",
        options={"maxiter": max_iter},
    )
    if found.x is None and found.status == _ITERATION_LIMIT:
        return _undecided(X, free=free, n_iter=int(found.nit))
    if found.x is None:
        raise RuntimeError(f"The linear program of the margin failed: {found.message}")
    w = found.x[:d] - found.x[d : 2 * d] if norm == "l1" else found.x[:d]
    w = w / scale
    a = np.maximum(-found.ineqlin.marginals[:n], 0)
    products, pull = Z @ w, Z.T @ a
    if free:
        b = (np.min(products[y < 0]) - np.min(products[y > 0])) / 2
        for side in (y > 0, y < 0):
            a[side] *= 0.5 / a[side].sum() if a[side].sum() > 0 else 0.0
        pull = Z.T @ a
    else:
        b = 0.0
    size = np.abs(w).sum() if norm == "l1" else np.abs(w).max(initial=0)
    values = products + y * b
    smallest = float(values.min())
    lower = smallest / size if size > 0 else 0.0
    bound = np.abs(pull).max(initial=0) if norm == "l1" else np.abs(pull).sum()
    upper = float(bound / a.sum()) if a.sum() > 0 else float("inf")
    separable: bool | None = None
    if lower > _NO_MARGIN * scale:
        separable, a = True, a / smallest
        w, b, values = w / smallest, b / smallest, values / smallest
    elif upper <= _NO_MARGIN * scale:
        separable = False
    return HardMargin(
        separable=separable,
        weights=_tensor(a, X),
        offset=_tensor(np.full(int(free), b), X),
        coef=_tensor(w[:, None], X),
        values=_tensor(values, X),
        margin=max(lower, 0.0),
        bound=upper,
        gap=max(0.0, 1 - (lower / upper) ** 2) if lower > 0 else 1.0,
        n_iter=max(int(found.nit), 1),
        solver="linear_program",
    )


def _undecided(X: Tensor, *, free: bool, n_iter: int) -> HardMargin:
    """Say that the iterations ended before a solution, or that there is none, was found."""
    zeros = X.new_zeros(len(X))
    return HardMargin(
        separable=None,
        weights=zeros,
        offset=X.new_zeros(int(free)),
        coef=X.new_zeros(X.shape[1], 1),
        values=zeros,
        margin=0.0,
        bound=float("inf"),
        gap=1.0,
        n_iter=max(n_iter, 1),
        solver="linear_program",
    )


def _tensor(array: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like)
