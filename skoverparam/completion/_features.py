"""Features of rows (or columns) of a matrix, and the kernel of an infinitely wide network on them.

Features are rows of length at most one. What is missing to length one is the row's own identity:
a block that no other row shares. Cosines of such features are ``F F^T`` off the diagonal and one
on it, which stays positive semidefinite. A row of zeros resembles nothing but itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skoverparam.kernels._fully_connected import cosine_ntk_

# Weights of the squared blocks in the cosine: the profile of values has weight 1.
_PATTERN_WEIGHT = 0.1
_ROW_IDENTITY, _COLUMN_IDENTITY = 0.1, 0.03

# Half of the length of a row's profile is kept as the gain of its kernel (see `row_gains`).
_GAIN_EXPONENT = 0.5
_SMALLEST_GAIN = 1e-3


def given_features(Z: Tensor) -> Tensor:
    """Features from side information: the rows at unit length, rows of zeros left as they are."""
    return _unit_rows(Z)


def learned_features(
    Q: Tensor,
    observed: Tensor,
    observed_mean: Tensor,
    *,
    basis: Tensor | None = None,
    of_columns: bool = False,
) -> Tensor:
    """Features of rows learned from the matrix itself.

    Parameters
    ----------
    Q : Tensor of shape (m, n)
        Standardized matrix: observed values, predictions elsewhere (zero in the first pass).

    observed : Tensor of shape (m, n), bool
        Which entries were observed: that an entry was measured at all is information, too.

    observed_mean : Tensor of shape (n,)
        Share of training rows observed in each column.

    basis : Tensor of shape (n, rank) or None
        Directions that the profiles are reduced to; None keeps the profiles whole.

    of_columns : bool, default=False
        Whether the rows here are the columns of the user's matrix.

    Returns
    -------
    Tensor of shape (m, 2 n), or (m, rank + n)
        Blocks scaled so that cosines of profiles, patterns and identity mix by their weights.
        Weights are normalized over the blocks which a row has, so that a row without a profile is
        not diluted.
    """
    profile = _unit_rows(Q if basis is None else Q @ basis)
    pattern = _unit_rows(observed.to(Q.dtype) - observed_mean)
    identity = _COLUMN_IDENTITY if of_columns else _ROW_IDENTITY
    has_profile = (profile != 0).any(1, keepdim=True).to(Q.dtype)
    has_pattern = (pattern != 0).any(1, keepdim=True).to(Q.dtype)
    total = has_profile + _PATTERN_WEIGHT * has_pattern + identity
    return torch.cat([profile, _PATTERN_WEIGHT**0.5 * pattern], dim=1) / total.sqrt()


def leading_directions(Q: Tensor, rank: int | None) -> Tensor | None:
    """Compute the leading right singular vectors, shape (n, rank); None if ``rank`` is None."""
    if rank is None:
        return None
    return torch.linalg.svd(Q, full_matrices=False).Vh[:rank].T


def row_gains(Q: Tensor, typical: Tensor) -> Tensor:
    """Half the homogeneity of the network: ``(|q_i| / typical)^(1/2)``.

    A network without normalization would scale a row's kernel by the length of its profile; unit
    profiles forget it. Half of it is what predicts best (measured on drug responses).
    """
    length = torch.linalg.vector_norm(Q, dim=1) / typical
    return length.clamp_min(_SMALLEST_GAIN) ** _GAIN_EXPONENT


def typical_length(Q: Tensor) -> Tensor:
    """Root mean square length of the rows, one if they are all zero."""
    length = torch.linalg.vector_norm(Q, dim=1).square().mean().sqrt()
    return torch.where(length > 0, length, torch.ones_like(length))


def feature_kernel(F: Tensor, depth: int, activation: object) -> Tensor:
    """Tangent kernel of the rows with one another, scaled to one on the diagonal."""
    K = F @ F.T
    K.fill_diagonal_(1)
    return scaled_ntk_(K, depth, activation).fill_diagonal_(1)


def cross_kernel(F_new: Tensor, F: Tensor, depth: int, activation: object) -> Tensor:
    """Tangent kernel of new rows with the training rows, on the same scale."""
    return scaled_ntk_(F_new @ F.T, depth, activation)


def scaled_ntk_(C: Tensor, depth: int, activation: object) -> Tensor:
    """Turn cosines into the tangent kernel, one at cosine one, in place."""
    largest = cosine_ntk_(torch.ones_like(C[:1, :1]), depth, activation)
    return cosine_ntk_(C, depth, activation).div_(largest)


def _unit_rows(Z: Tensor) -> Tensor:
    # By the largest entry first: squares of very large or small entries would leave the range.
    largest = Z.abs().amax(1, keepdim=True) if Z.shape[1] else Z.new_zeros(len(Z), 1)
    scaled = Z / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    return scaled / torch.where(length > 0, length, 1)
