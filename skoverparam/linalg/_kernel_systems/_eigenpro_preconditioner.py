"""A kernel whose largest eigenvalues have been flattened by a subsample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._lanczos import largest_eigenvalue

# Points on which the largest eigenvalue that is left is measured.
_FRESH_POINTS = 4000
# Entries of kernel blocks between points and the subsample.
_BLOCK_ENTRIES = 2**22
_SUBSAMPLE = 2000
# Of the flattened kernel's diagonal, relative to its largest value.
_LOWEST_DIAGONAL = 0.1
_LANCZOS_STEPS = 30
# A step on a large batch, relative to the longest that does not diverge: the longest would leave
# the largest eigenvalue where it is.
_STEP_SHARE = 0.75


@dataclass(frozen=True)
class EigenProPreconditioner:
    """What flattens the largest eigenvalues, and the constants of the kernel that is left.

    Attributes
    ----------
    matrix : KernelMatrix
        K, of order n.

    shift : Tensor of shape (n,), float64
        What is added to its diagonal.

    indices : Tensor of shape (s,), int64
        The subsample S.

    place : Tensor of shape (n,), int64
        Where a point is in the subsample, -1 if it is not.

    vectors : Tensor of shape (s, q), float64
        Orthonormal eigenvectors V of the matrix of the subsample.

    damping : Tensor of shape (q,), float64
        ``(1 - l_{q+1} / l_j) / (s l_j)``, with the eigenvalues l of that matrix over s.

    diagonal : Tensor of shape (n,), float64
        Diagonal of the flattened kernel. Gradients are divided by it, so that every sample counts
        as one of unit norm. Values far below the largest are lifted.

    largest_eigenvalue : float
        Of the matrix of the flattened kernel with unit diagonal, over n; measured on points that
        are not in the subsample.
    """

    matrix: KernelMatrix
    shift: Tensor
    indices: Tensor
    place: Tensor
    vectors: Tensor
    damping: Tensor
    diagonal: Tensor
    largest_eigenvalue: float

    @property
    def critical_batch_size(self) -> float:
        """Where larger batches stop paying."""
        return 1 + 1 / self.largest_eigenvalue

    def step_size(self, batch_size: int) -> float:
        """Find a good constant step on the mean of a batch's gradients."""
        m = batch_size
        return m * min(1.0, 2 * _STEP_SHARE / (1 + (m - 1) * self.largest_eigenvalue))

    def correction(self, points: Tensor, G: Tensor) -> Tensor:
        """``V D V' K(S, points) G``: what flattening gives back to the subsample."""
        KG = G.new_zeros(len(self.indices), G.shape[1])
        chunk = max(1, _BLOCK_ENTRIES // len(self.indices))
        for some, g in zip(points.split(chunk), G.split(chunk), strict=True):
            KG.addmm_(against(self.matrix, some, self.indices, self.place, self.shift).T, g)
        return self.vectors @ (self.damping[:, None] * (self.vectors.T @ KG))


def eigenpro_bytes(n: int, n_components: int | None = None) -> int:
    """Estimate the memory of the preconditioner and its preparation."""
    s = min(n, max(_SUBSAMPLE, 5 * (n_components or 0)))
    fresh = min(n, _FRESH_POINTS)
    # Eigenvectors with their workspace; the fresh points' matrix, its kernel values and psi.
    prepared = max(4 * s * s, 2 * fresh * fresh + fresh * s)
    return 8 * (prepared + s * s + 6 * n + 3 * min(n * s, _BLOCK_ENTRIES))


def eigenpro_preconditioner(
    matrix: KernelMatrix,
    *,
    shift: Tensor,
    subsample_size: int | None = None,
    n_components: int | None = None,
    generator: torch.Generator,
) -> EigenProPreconditioner:
    """Flatten the largest eigenvalues of ``K + diag(shift)``, by a subsample.

    Parameters
    ----------
    matrix : KernelMatrix
        K, of order n.

    shift : Tensor of shape (n,), float64
        Added to the diagonal: a ridge, over sample weights.

    subsample_size : int, default=None
        s, at most n; None for 2000, and at least 5 q.

    n_components : int, default=None
        q < s, how many eigenvalues to flatten; None for ``s // 5``. Those that rounding has
        reached are never touched.

    generator : torch.Generator
        CPU generator of the subsample.

    Returns
    -------
    EigenProPreconditioner
        The preconditioner and the constants that step sizes need.

    Notes
    -----
    Costs ``n s`` kernel evaluations, ``O(n s q + s^3)`` operations and memory for the matrices of
    the subsample and of 4000 points. A shift makes ``k(x_i, x_j) + shift_i [i = j]`` the kernel:
    everything else follows as without one.
    """
    n, device = matrix.n, matrix.X.device
    if subsample_size is None:
        subsample_size = max(_SUBSAMPLE, 5 * (n_components or 0))
    s = min(n, subsample_size)
    q = max(1, s // 5) if n_components is None else n_components
    order = torch.randperm(n, generator=generator).to(device)
    S = order[:s]
    place = torch.full((n,), -1, dtype=torch.int64, device=device)
    place[S] = torch.arange(s, device=device)
    diagonal = matrix.diagonal().double() + shift
    lam, V, level = _leading(_square(matrix, S, diagonal), q, torch.finfo(matrix.X.dtype).eps)
    damping = (1 - level / lam) / (s * lam)
    # The flattened kernel is k(x, z) - psi(x) psi(z)'.
    scaled = V * damping.sqrt()

    def psi(points: Tensor) -> Tensor:
        return against(matrix, points, S, place, shift) @ scaled

    left = diagonal.clone()
    for points in torch.arange(n, device=device).split(max(1, _BLOCK_ENTRIES // s)):
        left[points] -= psi(points).square().sum(1)
    # A kernel that is flattened down to nothing leaves rounding errors, not a number to divide by.
    rounding = torch.finfo(matrix.X.dtype).eps * float(diagonal.max())
    left = left.clamp_min(max(_LOWEST_DIAGONAL * float(left.max()), rounding) or 1.0)
    # From the end: points of the subsample only where there are not enough others.
    T = order.flip(0)[:_FRESH_POINTS]
    K, P, unit = _square(matrix, T, diagonal), psi(T), left[T].rsqrt()
    K.addmm_(P, P.T, alpha=-1).mul_(unit[:, None]).mul_(unit)
    # The largest is no less than the mean of all.
    start = torch.randn(len(K), 1, generator=generator, dtype=torch.float64).to(K.device)
    largest = largest_eigenvalue(lambda v: K @ v, start, n_steps=_LANCZOS_STEPS) / len(T)
    largest = max(largest, 1 / n)
    return EigenProPreconditioner(matrix, shift, S, place, V, damping, left, largest)


def against(
    matrix: KernelMatrix, points: Tensor, S: Tensor, place: Tensor, shift: Tensor
) -> Tensor:
    """Return rows of ``K + diag(shift)`` against the subsample, in float64."""
    K = matrix.submatrix(points, S).double()
    inside = (place[points] >= 0).nonzero()[:, 0]
    K[inside, place[points][inside]] += shift[points][inside]
    return K


def _square(matrix: KernelMatrix, points: Tensor, diagonal: Tensor) -> Tensor:
    """Return the matrix of some points, with the diagonal given, in float64."""
    K = matrix.submatrix(points, points).double()
    K.diagonal().copy_(diagonal[points])
    return K


def _leading(K: Tensor, q: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return q leading eigenvalues over s and their vectors, and the eigenvalue after them."""
    s = len(K)
    values, V = torch.linalg.eigh((K + K.T) / 2)
    values, V = values.flip(0).clamp_min(0) / s, V.flip(1)
    # An eigenvector below this is made of rounding errors of the kernel's precision.
    q = max(0, min(q, s - 1, int((values > s * eps * values[0]).sum()) - 1))
    return values[:q], V[:, :q].contiguous(), values[q]
