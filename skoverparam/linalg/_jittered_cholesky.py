"""Cholesky factors of matrices that are positive semidefinite but for rounding."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# The largest jitter, relative to the mean of the diagonal: beyond it another matrix is factorized.
_LARGEST_SHARE = 1e-2


def jittered_cholesky(K: Tensor, name: str) -> tuple[Tensor, float]:
    """Factorize matrices, with the least jitter of a decimal ladder where one has no factor.

    Parameters
    ----------
    K : Tensor of shape (..., n, n)
        Symmetric positive semidefinite matrices. What one of them needs changes no other.

    name : str
        What they are, for the error.

    Returns
    -------
    factors : Tensor of shape (..., n, n)
        Lower triangular factors of ``K + jitter I``.

    jitter : float
        The largest number that was added to a diagonal; zero where all are positive definite.

    Raises
    ------
    ValueError
        If a hundredth of the mean diagonal is not enough.
    """
    factors, failed = torch.linalg.cholesky_ex(K)
    if not bool(failed.any()):
        return factors, 0.0
    eps = torch.finfo(K.dtype).eps
    n_steps = math.ceil(math.log10(_LARGEST_SHARE / eps))
    size = K.diagonal(dim1=-2, dim2=-1).mean(-1)
    jitter = torch.zeros_like(size)
    for share in (*(eps * 10.0**step for step in range(n_steps)), _LARGEST_SHARE):
        del factors  # its memory is needed
        jitter = torch.where(failed > 0, share * size, jitter)
        shifted = K.clone()
        shifted.diagonal(dim1=-2, dim2=-1).add_(jitter[..., None])
        factors, failed = torch.linalg.cholesky_ex(shifted)
        if not bool(failed.any()):
            return factors, float(jitter.max())
    raise ValueError(
        f"{name} is not positive semidefinite, not even to rounding: a jitter of "
        f"{_LARGEST_SHARE:.0%} of its diagonal did not make it so."
    )
