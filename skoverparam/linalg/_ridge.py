"""Least squares with a ridge, whole paths of it, and its limit without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._minimum_norm import (
    default_rcond,
    minimum_norm,
    rank_above,
    thin_svd,
)

# A Cholesky factorization of a Gram matrix is good for ridges above this share of its norm: it
# then misses by the machine precision over this share, relative to the residual of the fit.
_SAFE_SHARE = 1e-8
SOLVERS = ("svd", "cholesky")


class RidgeSolution(NamedTuple):
    """A minimizer of ``||Y - Z coef||^2 + ridge ||coef||^2``, of smallest norm for ridge 0.

    Attributes
    ----------
    coef : Tensor of shape (d, t)
        The solution, one column for each target.

    rank : int or None
        Numerical rank of the design, None where nothing was decomposed.

    singular_values : Tensor of shape (min(n, d),) or None
        Singular values of the design, those below the cut-off, too.

    solver : {"svd", "cholesky"}
        What was used.
    """

    coef: Tensor
    rank: int | None
    singular_values: Tensor | None
    solver: str


def ridge_solution(
    Z: Tensor, Y: Tensor, *, ridge: float, rcond: float | None = None, solver: str = "auto"
) -> RidgeSolution:
    """Solve for one ridge.

    Parameters
    ----------
    Z : Tensor of shape (n, d)
        The design.

    Y : Tensor of shape (n, t)
        Targets.

    ridge : float
        Zero or positive.

    rcond : float, default=None
        Cut-off of "svd" relative to the largest singular value; None is that of rounding errors.

    solver : {"auto", "svd", "cholesky"}, default="auto"
        "auto" factorizes the smaller Gram matrix if the ridge is large enough for that to be
        exact, and decomposes the design else. "cholesky" needs a ridge.

    Returns
    -------
    RidgeSolution
        The solution.
    """
    if solver != "svd" and ridge > 0:
        gram = _gram(Z)
        if solver == "cholesky" or _is_safe(gram, ridge):
            found = _by_cholesky(gram, Z, Y, ridge)
            if found is not None:
                return RidgeSolution(found, None, None, "cholesky")
    if ridge == 0:
        least = minimum_norm(Z, Y, rcond=rcond)
        return RidgeSolution(least.coef, least.rank, least.singular_values, "svd")
    rcond = default_rcond(len(Z), Z.shape[1], Z.dtype) if rcond is None else rcond
    U, S, V, values = thin_svd(Z, rcond)
    return RidgeSolution(V @ _shrunk(S, U.T @ Y, ridge), len(S), values, "svd")


def ridges_path(
    Z: Tensor, Y: Tensor, ridges: list[float], rconds: list[float]
) -> Iterator[Tensor]:
    """Yield the solution for every ridge, each with a cut-off of its own.

    Parameters
    ----------
    Z : Tensor of shape (n, d)
        The design, decomposed once.

    Y : Tensor of shape (n, t)
        Targets.

    ridges, rconds : list of float
        Ridges, zero or positive, and cut-offs relative to the largest singular value.

    Yields
    ------
    Tensor of shape (d, t)
        The solutions.
    """
    U, S, V, _ = thin_svd(Z, min(rconds))
    UY = U.T @ Y
    for ridge, rcond in zip(ridges, rconds, strict=True):
        rank = rank_above(S, rcond)
        yield V[:, :rank] @ _shrunk(S[:rank], UY[:rank], ridge)


def ridge_features_path(
    Z: Tensor, Y: Tensor, dims: list[int], ridges: list[float], *, rcond: float | None = None
) -> Iterator[Tensor]:
    """Yield the solution with the first d features for every d, each with a ridge of its own.

    Gram matrices are not formed anew: with fewer features than samples they are blocks of one, and
    beyond they grow.

    Parameters
    ----------
    Z : Tensor of shape (n, D)
        The design.

    Y : Tensor of shape (n, t)
        Targets.

    dims : list of int
        Numbers of features, ascending.

    ridges : list of float
        A positive ridge for each.

    rcond : float, default=None
        Of the decompositions that tiny ridges take.

    Yields
    ------
    Tensor of shape (d, t)
        The solutions.
    """
    n = len(Z)
    widest = max((d for d in dims if d < n), default=0)
    inner = Z[:, :widest].T @ Z[:, :widest]
    outer, seen = Z.new_zeros(n, n), 0
    for d, ridge in zip(dims, ridges, strict=True):
        if d < n:
            gram = inner[:d, :d]
        else:
            added = Z[:, seen:d]
            outer.addmm_(added, added.T)
            gram, seen = outer, d
        found = _by_cholesky(gram, Z[:, :d], Y, ridge) if _is_safe(gram, ridge) else None
        if found is None:
            found = ridge_solution(Z[:, :d], Y, ridge=ridge, rcond=rcond, solver="svd").coef
        yield found


def _gram(Z: Tensor) -> Tensor:
    return Z.T @ Z if Z.shape[1] < len(Z) else Z @ Z.T


def _is_safe(gram: Tensor, ridge: float) -> bool:
    # The largest sum of a row is no less than the largest eigenvalue.
    return ridge >= _SAFE_SHARE * float(gram.abs().sum(1).amax())


def _by_cholesky(gram: Tensor, Z: Tensor, Y: Tensor, ridge: float) -> Tensor | None:
    """Solve with the smaller Gram matrix; None if it is not positive definite to rounding."""
    shifted = gram.clone()
    shifted.diagonal().add_(ridge)
    L, failed = torch.linalg.cholesky_ex(shifted)
    if bool(failed):
        return None
    if Z.shape[1] < len(Z):
        return torch.cholesky_solve(Z.T @ Y, L)
    return Z.T @ torch.cholesky_solve(Y, L)


def _shrunk(S: Tensor, UY: Tensor, ridge: float) -> Tensor:
    # Written so that neither a zero ridge nor a tiny singular value overflows.
    return UY / (S + ridge / S)[:, None]
