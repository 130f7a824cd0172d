"""Least squares solutions of smallest norm, with the cut-off that was used."""

from __future__ import annotations

from typing import NamedTuple

import scipy.linalg
import torch
from torch import Tensor


class MinimumNorm(NamedTuple):
    """A least squares solution of smallest norm, and how it was found.

    Attributes
    ----------
    coef : Tensor of shape (d,) or (d, t)
        The solution, one column for each target.

    rank : int
        Numerical rank of the design: how many singular values were above the cut-off.

    singular_values : Tensor of shape (min(n, d),) or None
        All singular values of the design (of ``X Q^-1`` with weights), those below the cut-off,
        too. None for solvers that do not compute them.

    rcond : float
        The cut-off used, relative to the largest singular value.

    norm : Tensor of shape () or (t,)
        ``||coef||``, with weights ``||Q coef||``.

    residual : Tensor of shape () or (t,)
        ``||y - X coef|| / ||y||``, recomputed from the solution.
    """

    coef: Tensor
    rank: int
    singular_values: Tensor | None
    rcond: float
    norm: Tensor
    residual: Tensor


class ThinSVD(NamedTuple):
    """The part of a singular value decomposition above a cut-off.

    Attributes
    ----------
    U : Tensor of shape (n, r)
        Left singular vectors.

    S : Tensor of shape (r,)
        Singular values above the cut-off.

    V : Tensor of shape (d, r)
        Right singular vectors.

    all_values : Tensor of shape (min(n, d),)
        All singular values.
    """

    U: Tensor
    S: Tensor
    V: Tensor
    all_values: Tensor


def default_rcond(n: int, d: int, dtype: torch.dtype) -> float:
    """Relative cut-off below which singular values of an (n, d) matrix are rounding errors."""
    return float(torch.finfo(dtype).eps) * max(n, d, 1)


def minimum_norm(
    X: Tensor,
    y: Tensor,
    *,
    rcond: float | None = None,
    weights: Tensor | None = None,
    solver: str = "svd",
) -> MinimumNorm:
    """Find the least squares solution of smallest norm; documented where it is published."""
    Y = y if y.ndim == 2 else y[:, None]
    n, d = X.shape
    rcond = default_rcond(n, d, X.dtype) if rcond is None else float(rcond)
    A = X if weights is None else _over_weights(X, weights)
    scaled, rank, values = _SOLVERS[solver](A, Y, rcond)
    coef = scaled if weights is None else _under_weights(scaled, weights)
    residual = relative_size(Y - X @ coef, Y)
    norm = torch.linalg.vector_norm(scaled, dim=0)
    if y.ndim == 1:
        coef, norm, residual = coef[:, 0], norm[0], residual[0]
    return MinimumNorm(coef, rank, values, rcond, norm, residual)


def memory_needed(n: int, d: int) -> float:
    """Bytes that a solution takes besides the data, measured: copies, factors and workspace."""
    return 8.0 * 4.0 * (n * d + min(n, d) ** 2)


def relative_size(misses: Tensor, Y: Tensor) -> Tensor:
    """Norms of columns, relative to those of Y; as they are where Y is zero."""
    size = torch.linalg.vector_norm(Y, dim=0)
    return torch.linalg.vector_norm(misses, dim=0) / torch.where(size > 0, size, 1)


def thin_svd(X: Tensor, rcond: float) -> ThinSVD:
    """Singular value decomposition of X without what is below the cut-off.

    A matrix that is far from square is first reduced to a triangle by Householder reflections.
    """
    n, d = X.shape
    if d > 1.5 * n:
        Q, R = torch.linalg.qr(X.T)
        U, S, Vh = torch.linalg.svd(R.T, full_matrices=False)
        V = Q @ Vh.T
    elif n > 1.5 * d:
        Q, R = torch.linalg.qr(X)
        U, S, Vh = torch.linalg.svd(R, full_matrices=False)
        U, V = Q @ U, Vh.T
    else:
        U, S, Vh = torch.linalg.svd(X, full_matrices=False)
        V = Vh.T
    rank = rank_above(S, rcond)
    return ThinSVD(U[:, :rank], S[:rank], V[:, :rank], S)


def rank_above(S: Tensor, rcond: float) -> int:
    """Count the singular values, in descending order, above the cut-off."""
    cut = rcond * S[:1]
    return int((cut < S).sum())


def _by_svd(A: Tensor, Y: Tensor, rcond: float) -> tuple[Tensor, int, Tensor]:
    U, S, V, values = thin_svd(A, rcond)
    return V @ ((U.T @ Y) / S[:, None]), len(S), values


def _by_cod(A: Tensor, Y: Tensor, rcond: float) -> tuple[Tensor, int, None]:
    """Complete orthogonal decomposition: pivoted QR, cut off, then reflected from the right."""
    # LAPACK compares the estimated condition of the leading triangle with rcond. The driver of
    # torch 2.13 leaves to chance which columns it may not exchange, and finds other ranks.
    coef, _, rank, _ = scipy.linalg.lstsq(
        A.numpy(force=True),
        Y.numpy(force=True),
        cond=rcond,
        lapack_driver="gelsy",
        check_finite=False,
    )
    return torch.as_tensor(coef, device=A.device), int(rank), None


def _by_gram(A: Tensor, Y: Tensor, rcond: float) -> tuple[Tensor, int, Tensor]:
    """Eigenvectors of the smaller Gram matrix: fast, and half of the digits."""
    n, d = A.shape
    left = n <= d
    values, W = torch.linalg.eigh(A @ A.T if left else A.T @ A)
    # Eigenvalues carry an error of eps times the largest: singular values below the square root
    # of that are noise, however small rcond is.
    eps = default_rcond(n, d, A.dtype)
    values = values.flip(0).clamp_min(0)
    keep = values > max(rcond**2, eps) * values[:1]
    W, kept = W.flip(1)[:, keep], values[keep, None]
    coef = A.T @ (W @ (W.T @ Y / kept)) if left else W @ (W.T @ (A.T @ Y) / kept)
    return coef, int(keep.sum()), values.sqrt()


_SOLVERS = {"svd": _by_svd, "cod": _by_cod, "gram": _by_gram}
SOLVERS = tuple(_SOLVERS)


def _over_weights(X: Tensor, Q: Tensor) -> Tensor:
    """``X Q^-1``."""
    return X / Q if Q.ndim == 1 else torch.linalg.solve(Q, X, left=False)


def _under_weights(coef: Tensor, Q: Tensor) -> Tensor:
    """``Q^-1 coef``."""
    return coef / Q[:, None] if Q.ndim == 1 else torch.linalg.solve(Q, coef)
