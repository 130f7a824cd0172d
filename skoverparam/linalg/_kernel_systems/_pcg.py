"""Kernel systems by conjugate gradients, preconditioned by a randomly pivoted Cholesky factor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._system import KernelSystem, SolverOptions, SolverStep
from skoverparam.linalg._low_rank_preconditioner import LowRankPreconditioner
from skoverparam.linalg._rp_cholesky import RPCholesky, rp_cholesky

# Entries in single precision keep the recurred residual close to the true one down to a share of
# where it started. Before it gets there, it is replaced by the true one, and the search directions
# go on; a tolerance within reach is reached without.
_REPLACE_AT = 1e-3
_IN_REACH = 1e-4
# The recurred residual has to be this much below the tolerance before the true one is looked at.
_MARGIN = 0.8
# Without a factor of two within so many iterations the preconditioner is too weak.
_PATIENCE = 50
# A smaller shift, relative to the trace, would leave rounding errors of a difference.
_LEAST_SHIFT = 1e-12
# A residual so many times the least one will not come back.
_DIVERGED = 1e4
# How fast it converges is judged after so many iterations, or sooner where they have cost that
# share of what another solver takes.
_JUDGED_AFTER = 20
_LEAST_JUDGED = 5
_SHARE_AT_RISK = 0.1


_REMARKS = {
    "solved": "",
    "slow": "",
    "max_iter": "Conjugate gradients stopped at max_iter before the residual was below tol: more "
    "iterations, a larger rank, a ridge, or a direct solver with more memory.",
    "stalled": "Conjugate gradients made no more progress: a larger rank, a ridge (equal points "
    "with different targets need one), a larger tol, or a direct solver with more memory.",
}


def default_rank(n: int) -> int:
    """Columns of a preconditioner for n points."""
    return min(n, max(200, math.ceil(3.5 * math.sqrt(n))))


@dataclass
class LowRankFactor:
    """A partial factor ``K ~ F F'`` to precondition with.

    Attributes
    ----------
    low : RPCholesky
        The factor, its pivots and the residual's diagonal.
    """

    low: RPCholesky

    @classmethod
    def of(cls, matrix: KernelMatrix, rank: int, generator: torch.Generator) -> LowRankFactor:
        """Draw a factor of some rank."""
        low = rp_cholesky(matrix.columns, matrix.diagonal(), rank, generator=generator)
        return cls(low)

    @property
    def rank(self) -> int:
        """Columns of F."""
        return len(self.low.pivots)

    def extend(self, matrix: KernelMatrix, rank: int, generator: torch.Generator) -> None:
        """Draw more pivots."""
        self.low = rp_cholesky(
            matrix.columns, matrix.diagonal(), rank, generator=generator, start=self.low
        )

    def preconditioner(self, matrix: KernelMatrix, shift: Tensor | None) -> LowRankPreconditioner:
        """Return the inverse of ``F F' + shift``; without a ridge, of the mean that F misses."""
        floor = _LEAST_SHIFT * float(matrix.diagonal().sum())
        if shift is None:
            missed = float(self.low.residual_diagonal.mean())
            shift = self.low.factor.new_full((1, 1), missed).expand(matrix.n, 1)
        shift = shift.clamp_min(floor or 1.0)
        return LowRankPreconditioner(self.low.factor, shift)

    def steps(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        """Solve with this preconditioner."""
        yield from _iterate(system, options, self)


def steps(system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
    """Draw a preconditioner, store the matrix where the plan says so, and iterate."""
    rank = default_rank(system.matrix.n) if options.rank is None else options.rank
    low = LowRankFactor.of(system.matrix, min(rank, system.matrix.n), options.generator)
    yield from _iterate(system, options, low)


def _iterate(
    system: KernelSystem, options: SolverOptions, low: LowRankFactor
) -> Iterator[SolverStep]:
    matrix, shift = system.matrix, system.shift()
    if options.stored and matrix.stored is None:
        matrix.store(options.precisions[0])
    state = _State(system, low.preconditioner(matrix, shift), options)
    coef = state.coef
    best, best_at = math.inf, 0
    status = "running"
    while status == "running":
        if not len(state.live):
            status = "solved"
            break
        if state.n_iter >= options.max_iter:
            status = "max_iter"
            break
        state.advance()
        estimate = float(state.relative().max())
        if state.broken or state.due():
            status = state.replace_residual()
        state.remember()
        if estimate > _DIVERGED * best:
            # No coefficients solve the system, as with equal points and different targets.
            status = "stalled"
            break
        if estimate < 0.5 * best:
            best, best_at = estimate, state.n_iter
        elif state.n_iter - best_at >= _PATIENCE:
            rank = min(2 * low.rank, matrix.n)
            if rank == low.rank or 8 * matrix.n * rank > options.memory_budget / 4:
                status = "stalled"
                break
            low.extend(matrix, rank, options.generator)
            state.precondition = low.preconditioner(matrix, shift)
            state.restart()
            best, best_at = estimate, state.n_iter
        if status == "running" and _is_slow(state.n_iter, estimate, options):
            status = "slow"
        if status == "running":
            yield SolverStep(coef, n_iter=state.n_iter, residual=estimate)
    final = state.final
    if status != "solved":
        coef, final = state.best_of_all()
    if bool((final <= state.tols).all()):
        status = "solved"
    yield SolverStep(
        coef,
        n_iter=state.n_iter,
        residual=float(final.max()),
        status=status,
        prepared=low,
        true_residual=final,
        remark=_REMARKS[status],
    )


def _is_slow(n_iter: int, estimate: float, options: SolverOptions) -> bool:
    """Whether, at the pace so far, another solver is there first, or max_iter before the end."""
    at_risk = max(_LEAST_JUDGED, _SHARE_AT_RISK * options.slow_after)
    if n_iter < min(_JUDGED_AFTER, at_risk) or not math.isfinite(options.slow_after):
        return False
    pace = -math.log(min(estimate, 0.9)) / n_iter
    remaining = math.log(estimate / options.tol) / pace if estimate > options.tol else 0.0
    return remaining > min(options.slow_after, options.max_iter - n_iter)


class _State:
    """Conjugate gradients for the columns that have not converged, in lockstep."""

    def __init__(
        self, system: KernelSystem, precondition: LowRankPreconditioner, options: SolverOptions
    ) -> None:
        self.system = system
        self.precondition = precondition
        self.precision = options.precisions[0]
        self._peak = options.peak
        self.coef = torch.zeros_like(system.targets)
        self.final = system.relative(system.targets)
        self.tols = torch.full_like(self.final, options.tol)
        self.live = self.final.nonzero()[:, 0]
        self.n_iter = 0
        self.broken = False
        self._kept = torch.zeros_like(self.coef)
        self._kept_relative = self.final.clone()
        self._norms = torch.linalg.vector_norm(system.targets, dim=0)
        self._shift = system.shift()
        self._R = system.targets[:, self.live].clone()
        self._level = torch.ones_like(self._norms[self.live])
        self._D: Tensor | None = None
        self._rz = self._level

    def restart(self) -> None:
        """Forget the search directions."""
        self._D = None

    def remember(self) -> None:
        """Keep the coefficients of columns that have come a good deal closer."""
        relative = self.relative()
        better = relative < 0.5 * self._kept_relative[self.live]
        columns = self.live[better]
        self._kept[:, columns] = self.coef[:, columns]
        self._kept_relative[columns] = relative[better]

    def best_of_all(self) -> tuple[Tensor, Tensor]:
        """Return the last or the kept coefficients, what is better, with true residuals."""
        system = self.system
        last = system.relative(system.residual(self.coef))
        kept = system.relative(system.residual(self._kept))
        better = kept < last
        return torch.where(better, self._kept, self.coef), torch.minimum(kept, last)

    def relative(self) -> Tensor:
        """Relative residuals of the live columns, by the recurrence."""
        return torch.linalg.vector_norm(self._R, dim=0) / self._norms[self.live]

    def due(self) -> bool:
        """Whether the true residual should be looked at."""
        relative, tol = self.relative(), self.tols[self.live]
        done = relative <= _MARGIN * tol
        if 2 * int(done.sum()) >= len(done):
            return True
        if self.precision == torch.float64:
            return False
        far = _MARGIN * tol < _IN_REACH * self._level
        return bool((far & (relative < _REPLACE_AT * self._level)).any())

    def advance(self) -> None:
        """Make one step of every live column."""
        Z = self.precondition(self._R, self.live)
        rz = (self._R * Z).sum(0)
        if self._D is None:
            self._D = Z
        else:
            self._D = self._D.mul_(rz / self._rz).add_(Z)
        Q = self.system.matrix.product(self._D, self.precision)
        if self._shift is not None:
            Q += self._live_shift() * self._D
        curvature = (self._D * Q).sum(0)
        sound = (curvature > 0) & (rz > 0)
        self.broken = not bool(sound.all())
        step = torch.where(sound, rz / torch.where(sound, curvature, 1.0), 0.0)
        self.coef[:, self.live] += step * self._D
        self._R -= step * Q
        self._rz = torch.where(sound, rz, 1.0)
        self.n_iter += 1

    def replace_residual(self) -> str:
        """Put the true residual in the place of the recurred one; drop what has converged."""
        system = self.system
        columns = system.columns(self.live)
        self._R = columns.residual(self.coef[:, self.live])
        relative, tol = self.relative(), self.tols[self.live]
        self.final[self.live] = relative
        stuck = (relative > 0.5 * self._level) & (relative > tol)
        if self.broken or bool(stuck.any()):
            if self.precision == torch.float64:
                return "stalled"
            # The entries are not exact enough: go on with exact ones, which are not stored.
            self.precision = torch.float64
            self.restart()
        self._level = relative
        self.tols[self.live] = tol = columns.tightened(tol, self._R, self._peak)
        keep = relative > tol
        if not bool(keep.all()):
            self.live = self.live[keep]
            self._R, self._level = self._R[:, keep], relative[keep]
            self._rz = self._rz[keep]
            self._D = None if self._D is None else self._D[:, keep]
        return "running"

    def _live_shift(self) -> Tensor:
        assert self._shift is not None
        return self._shift if self._shift.shape[1] == 1 else self._shift[:, self.live]
