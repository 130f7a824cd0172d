"""Ridges of a kernel system compared by leave-one-out errors, from one decomposition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._eigen import KernelEigen, eigen_bytes
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix


class RidgeChoice(NamedTuple):
    """The ridge with the smallest leave-one-out error, and its solution.

    Attributes
    ----------
    ridge : float
        The choice.

    dual_coef : Tensor of shape (n, c), float64
        Coefficients A of ``(K + ridge W^-1) A = Y``.

    loo_residuals : Tensor of shape (n, c)
        Targets minus their predictions by fits to all other points.

    errors : Tensor of shape (number of ridges,)
        Mean squared leave-one-out errors of all candidates, weighted; infinite for 0 where the
        matrix is singular.

    condition_estimate : float
        Condition number of the system that was chosen.
    """

    ridge: float
    dual_coef: Tensor
    loo_residuals: Tensor
    errors: Tensor
    condition_estimate: float


def choose_ridge(
    matrix: KernelMatrix, Y: Tensor, weights: Tensor | None, ridges: list[float]
) -> RidgeChoice:
    """Solve for every ridge and take the one with the smallest leave-one-out error.

    Parameters
    ----------
    matrix : KernelMatrix
        K, of order n.

    Y : Tensor of shape (n, c), float64
        Targets, which share the ridge.

    weights : Tensor of shape (n, 1) or (n, c), or None
        Positive weights of the squared errors.

    ridges : list of float
        Candidates. 0 is one where the matrix is regular to rounding.

    Returns
    -------
    RidgeChoice

    Notes
    -----
    One eigendecomposition for all targets, or for each if weights differ, then ``n^2`` operations
    for every ridge and target.
    """
    n, c = Y.shape
    errors = Y.new_zeros(len(ridges))
    coefs, residuals = Y.new_empty(len(ridges), n, c), Y.new_empty(len(ridges), n, c)
    conditions = [1.0] * len(ridges)
    for columns, eigen in _decompositions(matrix, c, weights):
        own = 1.0 if weights is None else weights[:, columns if weights.shape[1] > 1 else [0]]
        inverses = eigen.inverse_diagonals(ridges)
        for place, ridge in enumerate(ridges):
            coef = eigen.solve(Y[:, columns], ridge)
            left_out = coef / inverses[:, place, None]
            coefs[place, :, columns] = coef
            residuals[place, :, columns] = left_out
            conditions[place] = max(conditions[place], eigen.condition(ridge))
            error = (own * left_out.square()).sum()
            errors[place] += error if bool(eigen.kept(ridge).all()) else torch.inf
    best = int(errors.nan_to_num(nan=torch.inf).argmin())
    total = n * c if weights is None else float(weights.expand(n, c).sum())
    return RidgeChoice(
        ridges[best],
        coefs[best].clone(),
        residuals[best].clone(),
        errors / total,
        conditions[best],
    )


def ridges_path(
    matrix: KernelMatrix, Y: Tensor, weights: Tensor | None, ridges: list[float]
) -> Tensor:
    """Coefficients for every ridge, shape (number of ridges, n, c)."""
    coefs = Y.new_empty(len(ridges), *Y.shape)
    for columns, eigen in _decompositions(matrix, Y.shape[1], weights):
        for place, ridge in enumerate(ridges):
            coefs[place, :, columns] = eigen.solve(Y[:, columns], ridge)
    return coefs


def choice_bytes(n: int, c: int, n_ridges: int) -> int:
    """Bytes that a choice takes: a decomposition, and all solutions."""
    return eigen_bytes(n) + 2 * 8 * n * c * n_ridges


def _decompositions(
    matrix: KernelMatrix, c: int, weights: Tensor | None
) -> Iterator[tuple[list[int], KernelEigen]]:
    """Columns that share weights, with their eigenvectors."""
    if weights is None or weights.shape[1] == 1:
        yield list(range(c)), KernelEigen.of(matrix, weights)
        return
    for k in range(c):
        yield [k], KernelEigen.of(matrix, weights[:, k : k + 1])
