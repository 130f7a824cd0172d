"""Kernel systems by eigenvectors: every ridge, and leave-one-out, for the price of a product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._system import (
    KernelSystem,
    SolverOptions,
    SolverStep,
    one_weighting_at_a_time,
)

# Columns of the squared eigenvectors that are held at a time.
_SLAB = 512


def eigen_bytes(n: int) -> int:
    """Bytes that a decomposition takes: the matrix, its eigenvectors and LAPACK's room."""
    return 8 * 4 * n * n


@dataclass
class KernelEigen:
    """Eigenvectors of ``W^1/2 K W^1/2``.

    Attributes
    ----------
    values : Tensor of shape (n,)
        Eigenvalues, ascending.

    vectors : Tensor of shape (n, n)
        Eigenvectors, in columns.

    weights : Tensor of shape (n, 1) or None
        W; None is 1 everywhere.
    """

    values: Tensor
    vectors: Tensor
    weights: Tensor | None

    @classmethod
    def of(cls, matrix: KernelMatrix, weights: Tensor | None = None) -> KernelEigen:
        """Evaluate the matrix in float64 and decompose it."""
        K = matrix.dense(torch.float64)
        if weights is not None:
            root = weights.sqrt()
            K *= root
            K *= root.T
        values, vectors = torch.linalg.eigh(K)
        return cls(values, vectors, weights)

    def kept(self, ridge: float) -> Tensor:
        """Which eigenvalues count: all with a ridge that is no rounding error of the largest.

        Else those above rounding errors: what such a ridge divides is noise.
        """
        eps = torch.finfo(self.values.dtype).eps
        largest = float(self.values[-1])
        if ridge > eps * largest:
            return torch.ones_like(self.values, dtype=torch.bool)
        return self.values > self._floor()

    def _floor(self) -> float:
        eps = torch.finfo(self.values.dtype).eps
        return eps * len(self.values) * float(self.values[-1])

    def filters(self, ridge: float) -> Tensor:
        """``1 / (values + ridge)``, zero where an eigenvalue does not count."""
        kept = self.kept(ridge)
        return torch.where(kept, 1 / torch.where(kept, self.values.clamp_min(0) + ridge, 1.0), 0.0)

    def solve(self, Y: Tensor, ridge: float) -> Tensor:
        """Coefficients of ``(K + ridge W^-1) A = Y``; of smallest norm without a ridge."""
        root = None if self.weights is None else self.weights.sqrt()
        rotated = self.vectors.T @ (Y if root is None else root * Y)
        coef = self.vectors @ (self.filters(ridge)[:, None] * rotated)
        return coef if root is None else root * coef

    def inverse_diagonals(self, ridges: list[float]) -> Tensor:
        """Diagonals of ``(K + ridge W^-1)^-1``, shape (n, number of ridges)."""
        filters = torch.stack([self.filters(ridge) for ridge in ridges], dim=1)
        rows = self.vectors.split(_SLAB)
        found = torch.cat([part.square() @ filters for part in rows])
        return found if self.weights is None else self.weights * found

    def left_out(self, Y: Tensor, coef: Tensor, ridge: float) -> Tensor:
        """Targets minus leave-one-out predictions, for the solution of a ridge.

        Where eigenvalues do not count, every fit without a point may have its own least norm: all
        are the limit of a ridge that vanishes, and here it is as small as rounding allows.
        """
        inverse = self.inverse_diagonals([ridge])
        lost = ~self.kept(ridge)
        if bool(lost.any()):
            vectors = self.vectors[:, lost]
            share = vectors.square().sum(1, keepdim=True)
            missed = vectors @ (
                vectors.T @ (Y if self.weights is None else self.weights.sqrt() * Y)
            )
            # Of points that these directions do not touch, they say nothing.
            touched = share > torch.finfo(share.dtype).eps * len(share)
            share, missed = (torch.where(touched, one, 0.0) for one in (share, missed))
            if self.weights is not None:
                share, missed = self.weights * share, self.weights.sqrt() * missed
            floor = self._floor() or 1.0
            inverse, coef = inverse + share / floor, coef + missed / floor
        return loo_residuals(coef, inverse)

    def condition(self, ridge: float) -> float:
        """Condition number of what counts of ``W^1/2 K W^1/2 + ridge I``."""
        counted = self.values[self.kept(ridge)].clamp_min(0) + ridge
        return float(counted[-1] / counted[0]) if len(counted) else float("nan")

    def fits(self, weights: Tensor | None) -> bool:
        """Whether these are the eigenvectors for some weights."""
        if weights is None or self.weights is None:
            return weights is self.weights
        return torch.equal(weights, self.weights)

    def steps(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        """Solve with these eigenvectors where they fit, with others elsewhere."""
        if system.ridge == 0 or self.fits(system.weights):
            yield self.solved(system, options)
        else:
            yield from steps(system, options)

    def solved(self, system: KernelSystem, options: SolverOptions) -> SolverStep:
        """Solve a system with these eigenvectors."""
        coef = self.solve(system.targets, system.ridge)
        loo = self.left_out(system.targets, coef, system.ridge) if options.loo else None
        kept = self.kept(system.ridge)
        remark = ""
        if not bool(kept.all()):
            remedy = "larger ridge" if system.ridge > 0 else "ridge"
            remark = (
                f"The kernel matrix has numerical rank {int(kept.sum())} of {len(kept)}: the "
                f"solution of smallest norm on its range. A {remedy} avoids it."
            )
        return SolverStep(
            coef,
            n_iter=0,
            residual=float("nan"),
            status="solved",
            prepared=self,
            condition_estimate=self.condition(system.ridge),
            loo_residuals=loo,
            remark=remark,
        )


def steps(system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
    """Decompose and solve; targets with different weights one after the other."""
    yield from one_weighting_at_a_time(solve, system, options)


def solve(system: KernelSystem, options: SolverOptions) -> SolverStep:
    """Decompose and solve where the weights are the same for all targets."""
    return KernelEigen.of(system.matrix, system.weights).solved(system, options)


def loo_residuals(coef: Tensor, inverse_diagonal: Tensor) -> Tensor:
    """Targets minus predictions of the fits that leave them out: ``A_i / H_ii``."""
    tiny = torch.finfo(coef.dtype).tiny
    return coef / inverse_diagonal.clamp_min(tiny)
