"""Kernel systems by a Cholesky factor, refined as far as float64 allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skoverparam.linalg import _lower_cholesky
from skoverparam.linalg._conjugate_gradients import conjugate_gradients
from skoverparam.linalg._kernel_systems import _eigen
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._system import (
    KernelSystem,
    SolverOptions,
    SolverStep,
    one_weighting_at_a_time,
)
from skoverparam.linalg._lanczos import largest_eigenvalue
from skoverparam.linalg._lower_blocks import LowerBlocks

# Relative residual that refinement aims at, and the one with which a factor in single precision
# has done its work.
_AIM = 1e-12
_GOOD = 1e-10
# A correction by the factor has to gain this much; where it does not, conjugate gradients with the
# factor as preconditioner take over.
_GAIN = 0.1
_MAX_CORRECTIONS = 6
_MAX_ITER = 30
# Powers of ten times the rounding error that are tried as jitter.
_JITTER_POWERS = range(7)
# Pivots have to be this many rounding errors of their diagonal entry.
_LEAST_PIVOT = 4.0
# Residual, relative to that of the numerical range, that a jittered factor is kept for.
_CLEARLY_BETTER = 0.5
# Points whose kernel matrix tells whether single precision has a chance.
_SAMPLED = 400


@dataclass
class CholeskyFactor:
    """A factor of ``K + ridge W^-1 + jitter I``.

    Attributes
    ----------
    lower : LowerBlocks
        The factor.

    shift : Tensor of shape (n, 1) or None
        ``ridge W^-1``.

    jitter : float
        What was added for the factor to exist.
    """

    lower: LowerBlocks
    shift: Tensor | None
    jitter: float

    def solve(self, R: Tensor) -> Tensor:
        """Apply the inverse in the precision of the factor."""
        # Numbers of order one, so that small residuals do not leave single precision.
        scale = R.abs().amax(0).clamp_min(torch.finfo(R.dtype).tiny)
        return _lower_cholesky.solve(self.lower, R / scale).to(R.dtype) * scale

    def condition_estimate(self, generator: torch.Generator) -> float:
        """Condition number, from below, by a few steps of Lanczos with the factor on each side."""
        start = torch.randn(self.lower.n, 1, generator=generator, dtype=torch.float64)
        start = start.to(self.lower.blocks[0].device)
        largest = largest_eigenvalue(lambda v: _lower_cholesky.product(self.lower, v), start)
        inverse = largest_eigenvalue(lambda v: _lower_cholesky.solve(self.lower, v), start)
        return max(largest * inverse, 1.0)

    def loo_residuals(self, coef: Tensor) -> Tensor:
        """Targets minus leave-one-out predictions."""
        inverse = _lower_cholesky.inverse_diagonal(self.lower)[:, None]
        return _eigen.loo_residuals(coef, inverse.to(coef.dtype))

    def fits(self, shift: Tensor | None) -> bool:
        """Whether this is the factor for a shift."""
        if shift is None or self.shift is None:
            return shift is self.shift
        return shift.shape == self.shift.shape and torch.equal(shift, self.shift)

    def steps(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        """Solve with this factor where it fits, with a new one elsewhere."""
        if self.fits(system.shift()):
            yield _solved(system, options, self)
        else:
            yield from steps(system, options)


def steps(system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
    """Factor and solve; targets with different weights one after the other."""
    yield from one_weighting_at_a_time(_solve, system, options)


def _solve(system: KernelSystem, options: SolverOptions) -> SolverStep:
    if options.stored and system.matrix.stored is None:
        system.matrix.store(torch.float64)
    found = None
    for dtype in options.precisions:
        final = dtype == options.precisions[-1]
        if not final and _is_hopeless(system, dtype):
            continue
        factor = _factor(system.matrix, system.shift(), dtype, jitters=final)
        if factor is None:
            continue
        found = _solved(system, options, factor)
        if found.residual <= (max(_GOOD, options.tol) if final else _GOOD):
            return found
        # Two factors at once may be too much.
        del factor
        found = found._replace(prepared=None)
    return _by_eigenvectors(system, options, found)


def _is_hopeless(system: KernelSystem, dtype: torch.dtype) -> bool:
    """Whether some of the points alone are conditioned too badly for a precision."""
    matrix, shift = system.matrix, system.shift()
    chosen = torch.linspace(0, matrix.n - 1, min(_SAMPLED, matrix.n), dtype=torch.float64)
    chosen = chosen.round().long().to(matrix.X.device)
    values = torch.linalg.eigvalsh(matrix.submatrix(chosen, chosen))
    floor = 0.0 if shift is None else float(shift.min())
    # The least eigenvalue of all points is below, the largest grows with their number.
    largest = float(values[-1]) * matrix.n / len(chosen) + floor
    return max(float(values[0]), 0.0) + floor < torch.finfo(dtype).eps * largest


def _factor(
    matrix: KernelMatrix, shift: Tensor | None, dtype: torch.dtype, *, jitters: bool
) -> CholeskyFactor | None:
    diagonal = matrix.diagonal().double()
    shifted = diagonal if shift is None else diagonal + shift[:, 0]
    eps = torch.finfo(dtype).eps
    unit = eps * float(diagonal.mean())
    powers = _JITTER_POWERS if jitters else ()
    room = LowerBlocks(matrix.n, dtype, matrix.X.device)
    for jitter in (0.0, *(unit * 10.0**power for power in powers)):
        matrix.lower(dtype, room)
        room.set_diagonal(shifted + jitter)
        if not _lower_cholesky.factor(room):
            continue
        pivots = room.diagonal().double().square()
        # A pivot of rounding errors alone, as duplicated points leave it, divides by noise.
        if bool((pivots > _LEAST_PIVOT * eps * shifted).all()):
            return CholeskyFactor(room, shift, jitter)
    return None


def _solved(system: KernelSystem, options: SolverOptions, factor: CholeskyFactor) -> SolverStep:
    coef, residual = _refined(system, factor)
    remark = ""
    if factor.jitter > 0:
        remark = (
            f"The kernel matrix is singular to rounding: {factor.jitter:.2g} was added to the "
            "diagonal of its factor, and refined away as far as the residual says. A ridge avoids "
            "it."
        )
    return SolverStep(
        coef,
        n_iter=0,
        residual=float(residual.max()),
        status="solved",
        prepared=factor,
        jitter=factor.jitter,
        condition_estimate=factor.condition_estimate(options.generator),
        true_residual=residual,
        loo_residuals=factor.loo_residuals(coef) if options.loo else None,
        remark=remark,
    )


def _by_eigenvectors(
    system: KernelSystem, options: SolverOptions, found: SolverStep | None
) -> SolverStep:
    """Truncate to the numerical range, where no factor was good enough."""
    if _eigen.eigen_bytes(system.matrix.n) > options.memory_budget:
        if found is None:
            raise ArithmeticError(
                "The kernel matrix has no Cholesky factor, whatever is added to its diagonal: the "
                "kernel is not positive semidefinite."
            )
        return found
    last = _eigen.solve(system, options)
    residual = system.relative(system.residual(last.coef))
    # As good is not enough: where no coefficients meet the targets, those of the factor are huge.
    if found is not None and found.residual <= _CLEARLY_BETTER * float(residual.max()):
        return found
    return last._replace(residual=float(residual.max()), true_residual=residual)


def _refined(system: KernelSystem, factor: CholeskyFactor) -> tuple[Tensor, Tensor]:
    """Corrections with residuals in float64; conjugate gradients where they do not converge."""
    coef = factor.solve(system.targets)
    R = system.residual(coef)
    best = system.relative(R)
    for _ in range(_MAX_CORRECTIONS):
        open_ = best > _AIM
        if not bool(open_.any()):
            return coef, best
        trial = coef + factor.solve(R)
        R_trial = system.residual(trial)
        relative = system.relative(R_trial)
        gain = float((relative / best)[open_].max())
        better = relative < best
        coef, R = torch.where(better, trial, coef), torch.where(better, R_trial, R)
        best = torch.where(better, relative, best)
        if not gain <= _GAIN:
            break
    exact = factor.lower.dtype == torch.float64 and factor.jitter == 0
    if exact or bool((best <= 10 * _AIM).all()):
        return coef, best
    shift = system.shift()

    def apply(rows: Tensor) -> Tensor:
        product = system.matrix.product(rows.T.contiguous())
        return (product if shift is None else product.addcmul_(shift, rows.T)).T

    result = conjugate_gradients(
        apply,
        R.T.contiguous(),
        tol=_AIM / max(float(best.max()), _AIM),
        max_iter=_MAX_ITER,
        precondition=lambda rows: factor.solve(rows.T).T,
    )
    trial = coef + result.x.T
    relative = system.relative(system.residual(trial))
    return torch.where(relative < best, trial, coef), torch.minimum(relative, best)
