"""The largest eigenvalue of an operator, by a few steps of Lanczos."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_STEPS = 6


def largest_eigenvalue(
    apply: Callable[[Tensor], Tensor], start: Tensor, *, n_steps: int = _STEPS
) -> float:
    """Estimate the largest eigenvalue of a symmetric operator, from below.

    Parameters
    ----------
    apply : callable
        Maps a tensor of shape (n, 1) to another.

    start : Tensor of shape (n, 1), float64
        Where to start: anything that is not orthogonal to the eigenvector.

    n_steps : int, default=6
        Products with the operator.

    Returns
    -------
    float
        The estimate.
    """
    n_steps = min(n_steps, len(start))
    basis = [start / torch.linalg.vector_norm(start)]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(n_steps):
        v = apply(basis[-1]).to(start.dtype)
        diagonal.append(float((v * basis[-1]).sum()))
        Q = torch.cat(basis, dim=1)
        for _ in range(2):
            v = v - Q @ (Q.T @ v)
        norm = float(torch.linalg.vector_norm(v))
        if not norm > 1e-12 * abs(diagonal[0]):
            break
        beside.append(norm)
        basis.append(v / norm)
    T = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
    T += torch.diag(off, 1) + torch.diag(off, -1)
    return float(torch.linalg.eigvalsh(T)[-1])
