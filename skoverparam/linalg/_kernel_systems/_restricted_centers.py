"""Kernel ridge regression with coefficients on a few centers, by conjugate gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skoverparam.linalg._conjugate_gradients import recurrence
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._matvec import evaluate, tile_bytes
from skoverparam.linalg._kernel_systems._restricted_preconditioner import (
    RestrictedPreconditioner,
    sketched_preconditioner,
    two_triangles,
)
from skoverparam.linalg._kernel_systems._system import KernelSystem, SolverOptions, SolverStep
from skoverparam.linalg._rp_cholesky import rp_cholesky

# Pivots cost n m^2 operations; beyond this many, centers are drawn at random.
_MOST_PIVOTING = 2e11
# Entries in single precision are good for so much of a residual; then it is computed anew.
_REDUCTION = {torch.float32: 1e-4, torch.float64: 1e-12}
_ROWS_AT_LEAST = 64

_REMARKS = {
    "solved": "",
    "max_iter": "Conjugate gradients on the centers stopped at max_iter before the residual was "
    "below tol: more iterations, a ridge, or a larger tol.",
    "stalled": "Conjugate gradients on the centers made no more progress: a ridge, fewer centers "
    "or a larger tol.",
}


def default_n_centers(n: int) -> int:
    """Centers for n points."""
    return min(n, max(1000, math.ceil(8 * math.sqrt(n))))


def restricted_bytes(n: int, m: int, itemsize: int) -> int:
    """Estimate the memory of m centers, with kernel values stored unless ``itemsize`` is 0."""
    # The sketch, its orthogonal factorization, Kmm and triangles; the factor that has the pivots.
    pivoting = int(1.3 * 8 * n * m) if _are_pivots(n, m, stored=itemsize > 0) else 0
    return 12 * 8 * m * m + itemsize * n * m + pivoting


def _are_pivots(n: int, m: int, *, stored: bool) -> bool:
    """Whether there is room and time for the factor that chooses centers."""
    return stored and n * m**2 <= _MOST_PIVOTING


def choose_centers(
    matrix: KernelMatrix, n_centers: int, method: str, generator: torch.Generator
) -> Tensor:
    """Choose points as centers.

    Parameters
    ----------
    matrix : KernelMatrix
        K, of order n.

    n_centers : int
        How many; fewer are returned if they already span all that K does.

    method : {"uniform", "pivots"}
        Drawn at random, or the pivots of a randomly pivoted Cholesky factor, which costs
        ``O(n m^2)`` and the memory of the factor, and avoids duplicates.

    generator : torch.Generator
        CPU generator of the draws.

    Returns
    -------
    Tensor of shape (m,), int64
        Their indices.
    """
    n_centers = min(n_centers, matrix.n)
    if method == "uniform":
        return torch.randperm(matrix.n, generator=generator)[:n_centers].to(matrix.X.device)
    found = rp_cholesky(matrix.columns, matrix.diagonal(), n_centers, generator=generator)
    if len(found.pivots) == 0:
        # A kernel that is zero everywhere: any center will do.
        return torch.zeros(1, dtype=torch.int64, device=matrix.X.device)
    return found.pivots


@dataclass
class RestrictedProblem:
    """The normal equations ``(Knm' W Knm + ridge Kmm) a = Knm' W y``.

    Attributes
    ----------
    matrix : KernelMatrix
        K, of order n.

    centers : Tensor of shape (m,), int64
        Indices of the centers.

    targets : Tensor of shape (n, c), float64
        Y.

    ridge : float
        Not negative.

    weights : Tensor of shape (n, 1) or (n, c), float64, or None
        Positive; a single column holds for all targets. None is 1 everywhere.
    """

    matrix: KernelMatrix
    centers: Tensor
    targets: Tensor
    ridge: float
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        Z = self.matrix.X[self.centers].double()
        self.Kmm = self.matrix.kernel(Z)
        self._stored: list[Tensor] | None = None

    def rows(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
        """Evaluate ``Knm`` block by block of rows, or read what was stored."""
        X, m = self.matrix.X, len(self.centers)
        Z = self.matrix.points(dtype, self.centers)
        height = max(_ROWS_AT_LEAST, tile_bytes(X.device) // (dtype.itemsize * m))
        slices = [slice(i, min(i + height, len(X))) for i in range(0, len(X), height)]
        if self._stored is not None and self._stored[0].dtype == dtype:
            yield from zip(slices, self._stored, strict=True)
            return
        room = Z.new_empty(height, m)
        for rows in slices:
            x = self.matrix.points(dtype, rows)
            yield rows, evaluate(self.matrix.kernel, x, Z, room[: len(x)])

    def store(self, dtype: torch.dtype) -> None:
        """Keep ``Knm`` for the products to come."""
        self._stored = None
        self._stored = [block.clone() for _, block in self.rows(dtype)]

    def product(self, V: Tensor, dtype: torch.dtype) -> Tensor:
        """``(Knm' W Knm + ridge Kmm) V``, with entries of Knm computed in ``dtype``."""
        out = self.ridge * (self.Kmm @ V)
        for rows, block in self.rows(dtype):
            B = block.to(V.dtype)
            out += B.T @ self._weighted(rows, B @ V)
        return out

    def residual(self, coef: Tensor) -> Tensor:
        """Residual of the normal equations, ``Knm' W (Y - Knm a) - ridge Kmm a``, in float64."""
        out = -self.ridge * (self.Kmm @ coef)
        for rows, B in self.rows(torch.float64):
            out += B.T @ self._weighted(rows, self.targets[rows] - B @ coef)
        return out

    def _weighted(self, rows: slice, V: Tensor) -> Tensor:
        return V if self.weights is None else self.weights[rows] * V


def steps(system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
    """Choose centers and solve for their coefficients.

    Yields
    ------
    SolverStep
        With coefficients of the centers. Residuals are those of the normal equations, which the
        preconditioner has scaled, relative to the first: a training error cannot be expected to
        vanish with fewer coefficients than points.
    """
    matrix = system.matrix
    count = default_n_centers(matrix.n) if options.n_centers is None else options.n_centers
    count = min(count, matrix.n)
    pivots = _are_pivots(matrix.n, count, stored=options.stored)
    method = "pivots" if pivots else "uniform"
    centers = choose_centers(matrix, count, method, options.generator)
    yield from Restricted(centers).steps(system, options)


@dataclass
class Restricted:
    """Centers that have been chosen.

    Attributes
    ----------
    centers : Tensor of shape (m,), int64
        Their indices.
    """

    centers: Tensor

    def steps(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        """Solve with these centers."""
        problem = RestrictedProblem(
            system.matrix, self.centers, system.targets, system.ridge, system.weights
        )
        dtype = options.precisions[0]
        if options.stored:
            problem.store(dtype)
        pre = preconditioner(problem, "sketch", options.generator)
        for coef, n_iter, residual, status in restricted_steps(
            problem, pre, tol=options.tol, max_iter=options.max_iter, dtype=dtype
        ):
            yield SolverStep(
                coef,
                n_iter=n_iter,
                residual=float(residual.max()),
                status=status,
                centers=self.centers,
                prepared=self if status != "running" else None,
                jitter=pre.jitter,
                true_residual=residual if status != "running" else None,
                remark=_REMARKS.get(status, ""),
            )


def preconditioner(
    problem: RestrictedProblem, kind: str, generator: torch.Generator
) -> RestrictedPreconditioner:
    """Factorize an approximation of the normal equations.

    Parameters
    ----------
    problem : RestrictedProblem
        The normal equations.

    kind : {"triangles", "sketch"}
        See :func:`two_triangles` and :func:`sketched_preconditioner`.

    generator : torch.Generator
        CPU generator of a sketch.

    Returns
    -------
    RestrictedPreconditioner
    """
    # Targets of different weights share the preconditioner of their mean weights.
    weights = None if problem.weights is None else problem.weights.mean(1, keepdim=True)
    if kind == "triangles":
        total = float(problem.matrix.n if weights is None else weights.sum())
        return two_triangles(problem.Kmm, total, problem.ridge)
    dtype = torch.float64 if problem._stored is None else problem._stored[0].dtype
    return sketched_preconditioner(
        problem.Kmm,
        problem.rows(dtype),
        weights,
        problem.ridge,
        generator,
    )


def restricted_steps(
    problem: RestrictedProblem,
    pre: RestrictedPreconditioner,
    *,
    tol: float,
    max_iter: int,
    dtype: torch.dtype = torch.float64,
) -> Iterator[tuple[Tensor, int, Tensor, str]]:
    """Yield coefficients, products so far, relative residuals and the status.

    Notes
    -----
    Conjugate gradients in the coordinates b of ``a = B b`` in which the preconditioner is the
    identity, all targets in lockstep. With entries in single precision the solution is corrected
    from residuals in double precision.
    """
    coef = problem.targets.new_zeros(len(problem.centers), problem.targets.shape[1])
    R = pre.transposed(problem.residual(coef))
    norms = torch.linalg.vector_norm(R, dim=0)
    scale = torch.where(norms > 0, norms, torch.ones_like(norms))
    relative, n_iter = norms / scale, 0

    def apply(rows: Tensor) -> Tensor:
        return pre.transposed(problem.product(pre(rows.T), dtype)).T

    while True:
        goal = torch.clamp(tol / relative.clamp_min(1e-300), min=_REDUCTION[dtype], max=0.9)
        # The systems of the targets are rows there.
        rows = R.T.clone()
        x = torch.zeros_like(rows)
        walk = recurrence(apply, x, rows, 0.8 * goal * relative * scale, max_iter - n_iter)
        for left in walk:
            n_iter += 1
            yield coef + pre(x.T), n_iter, left / scale, "running"
        coef = coef + pre(x.T)
        R = pre.transposed(problem.residual(coef))
        before, relative = relative, torch.linalg.vector_norm(R, dim=0) / scale
        if bool((relative <= tol).all()):
            status = "solved"
        elif n_iter >= max_iter:
            status = "max_iter"
        elif not bool((relative <= torch.maximum(before / 2, before.new_tensor(tol))).all()):
            # Also where they are not numbers.
            status = "stalled"
        else:
            continue
        yield coef, n_iter, relative, status
        return
