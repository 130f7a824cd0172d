"""Approximate factors of the normal equations of kernel regression on centers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

# Rows of a sketch for each center, and entries in each of its columns.
_ROWS_PER_CENTER = 4
_ENTRIES = 8
_JITTERS = 7
# Least ratio of the diagonal of a Cholesky factor for which a product of matrices may be factored.
_SQUARABLE = 1e-5


class RestrictedPreconditioner(NamedTuple):
    """``B`` with ``B' H B`` near the identity, for H = ``Knm' W Knm + ridge Kmm``.

    Attributes
    ----------
    triangles : tuple of Tensor of shape (m, m)
        Upper triangular factors of ``B^-1``, the one that is applied to coefficients first at the
        front.

    jitter : float
        What was added to the diagonal of ``Kmm`` for its factor to exist. It changes the
        preconditioner, never the problem.
    """

    triangles: tuple[Tensor, ...]
    jitter: float

    def __call__(self, b: Tensor) -> Tensor:
        """``B b``."""
        for T in reversed(self.triangles):
            b = torch.linalg.solve_triangular(T, b, upper=True)
        return b

    def transposed(self, a: Tensor) -> Tensor:
        """``B' a``."""
        for T in self.triangles:
            a = torch.linalg.solve_triangular(T.T, a, upper=False)
        return a


def two_triangles(Kmm: Tensor, total_weight: float, ridge: float) -> RestrictedPreconditioner:
    """Factorize ``(total_weight / m) Kmm^2 + ridge Kmm``, as Falkon does (arXiv:1705.10958).

    Notes
    -----
    Good for centers that were drawn at random, if the ridge is not tiny. ``O(m^3)``.
    """
    T, jitter = jittered_triangle(Kmm)
    G = T @ T.T
    G *= total_weight / len(T)
    G.diagonal().add_(ridge)
    A, _ = jittered_triangle(G)
    return RestrictedPreconditioner((T, A), jitter)


def sketched_preconditioner(
    Kmm: Tensor,
    rows: Iterable[tuple[slice, Tensor]],
    weights: Tensor | None,
    ridge: float,
    generator: torch.Generator,
) -> RestrictedPreconditioner:
    """Factorize ``(S Knm)' (S Knm) + ridge Kmm`` with a sparse sketch S (KRILL, arXiv:2304.12465).

    Parameters
    ----------
    Kmm : Tensor of shape (m, m)
        The kernel between centers, float64.

    rows : iterable of (slice, Tensor of shape (b, m))
        Blocks of rows of Knm.

    weights : Tensor of shape (n, 1) or None
        Of the squared errors.

    ridge : float
        Not negative.

    generator : torch.Generator
        CPU generator of the sketch.

    Returns
    -------
    RestrictedPreconditioner

    Notes
    -----
    Good for any centers and any ridge: the number of iterations hardly depends on them. One pass
    over Knm and ``O(m^3)``. Where squaring the condition number costs too many digits, the
    triangle comes from an orthogonal factorization, which does not.
    """
    m, device = len(Kmm), Kmm.device
    height = _ROWS_PER_CENTER * m
    T, jitter = jittered_triangle(Kmm)
    stack = Kmm.new_zeros(height + m, m)
    C = stack[:height]
    for where, block in rows:
        B = block.to(Kmm.dtype)
        if weights is not None:
            B = B * weights[where].sqrt()
        for _ in range(_ENTRIES):
            to = torch.randint(height, (len(B),), generator=generator).to(device)
            signs = 2.0 * torch.randint(2, (len(B), 1), generator=generator).to(device) - 1
            C.index_add_(0, to, signs * B)
    C /= _ENTRIES**0.5
    # Without a ridge, directions that rounding has reached are kept from blowing up.
    least = torch.finfo(Kmm.dtype).eps * float(C.square().sum()) / max(float(Kmm.trace()), 1e-300)
    stack[height:] = max(ridge, least) ** 0.5 * T
    L, failed = torch.linalg.cholesky_ex(stack.T @ stack)
    pivots = L.diagonal()
    if bool(failed) or not float(pivots.min()) > _SQUARABLE * float(pivots.max()):
        return RestrictedPreconditioner((torch.linalg.qr(stack, mode="r")[1],), jitter)
    return RestrictedPreconditioner((L.T,), jitter)


def jittered_triangle(K: Tensor) -> tuple[Tensor, float]:
    """Upper triangular U with ``U' U = K + jitter I``, and a jitter for which it exists."""
    level = torch.finfo(K.dtype).eps * float(K.diagonal().mean())
    jitter = 0.0
    for power in range(_JITTERS + 1):
        shifted = K.clone()
        shifted.diagonal().add_(jitter)
        L, failed = torch.linalg.cholesky_ex(shifted)
        if not bool(failed) and float(L.diagonal().min()) > 0:
            return L.T, jitter
        jitter = len(K) ** 0.5 * level * 10**power
    values, Q = torch.linalg.eigh(K)
    jitter = max(jitter, -2 * float(values[0]), torch.finfo(K.dtype).tiny)
    root = (values + jitter).clamp_min(jitter / 2).sqrt()
    return torch.linalg.qr(root[:, None] * Q.T, mode="r")[1], jitter
