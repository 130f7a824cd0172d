"""Kernel systems by a Cholesky factor, refined as far as float64 allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skoverparam.linalg import _lower_cholesky
from skoverparam.linalg._conjugate_gradients import conjugate_gradients
from skoverparam.linalg._kernel_matrix import KernelMatrix
from skoverparam.linalg._kernel_system import KernelSystem, SolverOptions, SolverStep
from skoverparam.linalg._lower_blocks import LowerBlocks

# Relative residual that refinement aims at: beyond it rounding of the products takes over.
_EXACT = 1e-13
# A correction by the factor has to gain this much; where it does not, conjugate gradients with the
# factor as preconditioner take over.
_GAIN = 0.1
_MAX_CORRECTIONS = 6
_MAX_ITER = 30
# Powers of ten times the rounding error that are tried as jitter.
_JITTER_POWERS = range(7)


@dataclass
class CholeskyFactor:
    """A factor of ``K + ridge W^-1 + jitter I``.

    Attributes
    ----------
    lower : LowerBlocks
        The factor.

    shift : Tensor of shape (n,) or None
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

    def condition_estimate(self) -> float:
        """Lower bound of the condition number, from the factor's diagonal."""
        diagonal = self.lower.diagonal().double()
        return float((diagonal.max() / diagonal.min()) ** 2)

    def fits(self, shift: Tensor | None) -> bool:
        """Whether this is the factor for a shift."""
        if shift is None or self.shift is None:
            return shift is self.shift
        return torch.equal(shift, self.shift)

    def steps(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        """Solve with this factor where it fits, with a new one elsewhere."""
        shift = system.shift()
        if shift is not None and shift.shape[1] > 1:
            yield from steps(system, options)
        elif self.fits(None if shift is None else shift[:, 0]):
            yield _solved(system, self)
        else:
            yield from steps(system, options)


def steps(system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
    """Factor and solve; targets with different weights have a factor each, one after the other."""
    shift = system.shift()
    if shift is None or shift.shape[1] == 1:
        column = None if shift is None else shift[:, 0]
        yield _solved(system, _factor(system.matrix, column, options.precision))
        return
    coef = torch.zeros_like(system.targets)
    jitter, condition, residual = 0.0, 1.0, 0.0
    for k in range(coef.shape[1]):
        one = system.columns(torch.tensor([k], device=coef.device))
        last = _solved(one, _factor(system.matrix, shift[:, k], options.precision))
        coef[:, k : k + 1] = last.coef
        jitter, condition = max(jitter, last.jitter), max(condition, last.condition_estimate)
        residual = max(residual, last.residual)
        final = k == coef.shape[1] - 1
        yield SolverStep(
            coef,
            n_iter=0,
            residual=residual,
            status="solved" if final else "running",
            jitter=jitter,
            condition_estimate=condition,
        )


def _factor(matrix: KernelMatrix, shift: Tensor | None, dtype: torch.dtype) -> CholeskyFactor:
    diagonal = matrix.diagonal().double()
    shifted = diagonal if shift is None else diagonal + shift
    unit = torch.finfo(dtype).eps * float(diagonal.mean())
    room = LowerBlocks(matrix.n, dtype, matrix.X.device)
    for jitter in (0.0, *(unit * 10.0**power for power in _JITTER_POWERS)):
        matrix.lower(dtype, room)
        room.set_diagonal(shifted + jitter)
        if _lower_cholesky.factor(room):
            return CholeskyFactor(room, shift, jitter)
    raise ArithmeticError(
        f"The kernel matrix has no Cholesky factor, not even with {jitter:.2g} added to its "
        "diagonal: the kernel is not positive definite."
    )


def _solved(system: KernelSystem, factor: CholeskyFactor) -> SolverStep:
    coef, residual = _refined(system, factor)
    return SolverStep(
        coef,
        n_iter=0,
        residual=float(residual.max()),
        status="solved",
        prepared=factor,
        jitter=factor.jitter,
        condition_estimate=factor.condition_estimate(),
    )


def _refined(system: KernelSystem, factor: CholeskyFactor) -> tuple[Tensor, Tensor]:
    """Corrections with residuals in float64; conjugate gradients where they do not converge."""
    coef = factor.solve(system.targets)
    R = system.residual(coef)
    best = system.relative(R)
    for _ in range(_MAX_CORRECTIONS):
        if bool((best <= _EXACT).all()):
            return coef, best
        trial = coef + factor.solve(R)
        R_trial = system.residual(trial)
        relative = system.relative(R_trial)
        better = relative < best
        coef = torch.where(better, trial, coef)
        R = torch.where(better, R_trial, R)
        gain = float((relative / best)[best > _EXACT].max())
        best = torch.where(better, relative, best)
        if gain > _GAIN:
            break
    if (
        bool((best <= max(_EXACT, 10 * _EXACT)).all())
        or factor.lower.dtype == torch.float64
        and factor.jitter == 0
    ):
        return coef, best
    shift = system.shift()

    def apply(rows: Tensor) -> Tensor:
        product = system.matrix.product(rows.T)
        return (product if shift is None else product + shift * rows.T).T

    result = conjugate_gradients(
        apply,
        R.T.contiguous(),
        tol=1e-3,
        max_iter=_MAX_ITER,
        precondition=lambda rows: factor.solve(rows.T).T,
    )
    trial = coef + result.x.T
    relative = system.relative(system.residual(trial))
    return torch.where(relative < best, trial, coef), torch.minimum(relative, best)
