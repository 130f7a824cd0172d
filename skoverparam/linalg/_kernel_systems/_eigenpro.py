"""Stochastic gradients on a kernel whose largest eigenvalues have been flattened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._eigenpro_preconditioner import (
    EigenProPreconditioner,
    eigenpro_preconditioner,
)
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._system import (
    KernelSystem,
    SolverOptions,
    SolverStep,
    last_of,
    one_weighting_at_a_time,
)

# Losses are compared by windows of this many samples, so that small batches do not alarm.
_WINDOW_SAMPLES = 256
_ALARM = 4.0
# Of the losses of a pass over the lowest so far.
_GROWTH = 2.0
_REDUCTION = 1e-3

_REMARKS = {
    "solved": "",
    "max_iter": "EigenPro stopped at max_iter passes before the residual was below tol: more "
    "passes, a larger tol, a ridge, or conjugate gradients (solver='pcg').",
    "stalled": "EigenPro made no more progress: a ridge, a larger tol, or a direct solver.",
}


class EigenProStep(NamedTuple):
    """State after a pass over the samples.

    Attributes
    ----------
    dual_coef : Tensor of shape (n, c), float64
        Coefficients A.

    estimate : Tensor of shape (c,), float64
        Relative residuals as the batches met them during the pass, at no cost.

    residual : Tensor of shape (c,), float64, or None
        True relative residuals in float64; at the last step, and when convergence was claimed.

    status : {"running", "solved", "stalled", "max_iter"}
        Anything but "running" is the last.

    batch_size : int
        Samples in a batch.

    step_size : float
        The step with which the pass ended.

    n_restored : int
        How often losses grew, so that the step was halved and earlier coefficients restored.
    """

    dual_coef: Tensor
    estimate: Tensor
    residual: Tensor | None
    status: str
    batch_size: int
    step_size: float
    n_restored: int


def steps(system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
    """Prepare the preconditioner and walk passes; ``options.rank`` is its number of components."""
    yield from EigenPro().steps(system, options)


@dataclass
class EigenPro:
    """EigenPro 2 with the preconditioner that it has made.

    Attributes
    ----------
    preconditioner : EigenProPreconditioner or None
        Serves again as long as ridge and weights are the same.
    """

    preconditioner: EigenProPreconditioner | None = None

    def steps(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        """Solve, one weighting at a time."""
        weights = system.weights
        if weights is None or weights.shape[1] == 1 or system.ridge == 0:
            yield from self._walk(system, options)
        else:
            yield from one_weighting_at_a_time(self._solve, system, options)

    def _solve(self, system: KernelSystem, options: SolverOptions) -> SolverStep:
        return last_of(self._walk(system, options))

    def _walk(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        matrix, shift = system.matrix, system.shift()
        column = system.targets.new_zeros(matrix.n) if shift is None else shift[:, 0]
        if options.precisions[0] != matrix.X.dtype:
            matrix = KernelMatrix(matrix.kernel, matrix.points(options.precisions[0]))
        pre = self.preconditioner
        if pre is None or pre.matrix.X.dtype != matrix.X.dtype or (pre.shift != column).any():
            pre = eigenpro_preconditioner(
                matrix, shift=column, n_components=options.rank, generator=options.generator
            )
            self.preconditioner = pre
        walk = eigenpro_steps(
            system,
            pre,
            tol=options.tol,
            peak=options.peak,
            max_epochs=options.max_iter,
            generator=options.generator,
        )
        for n_epochs, step in enumerate(walk, start=1):
            last = step.status != "running"
            shown = step.estimate if step.residual is None else step.residual
            yield SolverStep(
                step.dual_coef,
                n_iter=n_epochs,
                residual=float(shown.max()),
                status=step.status,
                prepared=self if last else None,
                true_residual=step.residual if last else None,
                remark=_REMARKS.get(step.status, ""),
            )


def eigenpro_steps(
    system: KernelSystem,
    pre: EigenProPreconditioner,
    *,
    tol: float,
    peak: float = float("inf"),
    max_epochs: int,
    batch_size: int | None = None,
    generator: torch.Generator,
) -> Iterator[EigenProStep]:
    """Solve a system by passes over batches of samples.

    Parameters
    ----------
    system : KernelSystem
        ``(K + ridge W^-1) A = Y`` with one weighting for all targets. True residuals are computed
        with it, in float64.

    pre : EigenProPreconditioner
        Of this system. Batches are evaluated in the precision of its points.

    tol : float
        Stop when every true relative residual is at most this.

    peak : float, default=inf
        And no entry of it above that share of the largest target.

    max_epochs : int
        Largest number of passes over the samples.

    batch_size : int, default=None
        None for half the critical batch size: up to there, the progress of a pass does not depend
        on it.

    generator : torch.Generator
        CPU generator of the batches.

    Yields
    ------
    EigenProStep
        After every pass.

    Notes
    -----
    A pass is one product with K, and one more where a true residual is computed; memory is O(n c)
    besides the preconditioner. The algorithm is EigenPro 2 (arXiv:1806.06144): stochastic
    gradients in the flattened kernel ``k - psi psi'``. Where ours differs, it is to be faster or
    to never diverge. Gradients are divided by the diagonal of the flattened kernel, found for all
    points; with equal steps, the few points that the subsample says little about would dictate
    them. The largest eigenvalue is measured on points that the subsample has not seen, since its
    own eigenvalues say too little when q is not far below s. A pass in which losses grow is undone
    and done again with half the step. At a claimed convergence the true residual becomes the
    target of what follows, so that single precision does not end in its own rounding errors.
    """
    n, Y = system.matrix.n, system.targets
    limit = max(1, int(pre.critical_batch_size / 2)) if batch_size is None else batch_size
    m = min(n, limit)
    # What is left to solve for, the coefficients that have been settled, and those that have not.
    target, base, A = Y, torch.zeros_like(Y), torch.zeros_like(Y)
    estimate = residual = last_true = before = system.relative(Y)
    tols = torch.full_like(residual, tol)
    # What a pass began with is trusted once the pass is over and its losses did not grow.
    trusted = A.clone()
    best = loss = float(estimate.square().sum())
    # Entries in single precision are good for so much of a residual.
    reduction = _REDUCTION if pre.matrix.X.dtype != Y.dtype else 0.0
    n_restored = 0
    for epoch in range(1, max_epochs + 1):
        start, factor = A.clone(), 0.5**n_restored
        batches = torch.randperm(n, generator=generator).to(Y.device).split(m)
        squares = _pass(pre, A, target, system.relative, batches, factor, best / n)
        if squares is None or not float(squares.sum()) <= _GROWTH * best:
            # Back to where the loss was what it was in the pass that is no longer trusted.
            A, best, n_restored = trusted.clone(), max(best, loss), n_restored + 1
        else:
            trusted, loss, estimate = start, float(squares.sum()), squares.sqrt()
            best = min(best, loss)
        status = "max_iter" if epoch == max_epochs else "running"
        claimed = bool((estimate <= torch.maximum(reduction * last_true, tols)).all())
        if claimed or status == "max_iter":
            base, target, n_restored = _settled(system, base, A, trusted, best, n_restored)
            residual = system.relative(target)
            # What is left is a problem of its own.
            trusted, A = torch.zeros_like(A), torch.zeros_like(A)
            best = loss = max(best, float(residual.square().sum()))
            wanted, tols = tols, system.tightened(tols, target, peak)
            if bool((residual <= tols).all()):
                status = "solved"
            elif claimed and bool((residual > before / 2)[residual > wanted].any()):
                status = "stalled"
            last_true = residual
            # The last piece of the way may be short.
            before = torch.where(tols < wanted, torch.inf, residual)
        yield EigenProStep(
            base + A,
            estimate,
            None if status == "running" and not claimed else residual,
            status,
            m,
            factor * pre.step_size(m),
            n_restored,
        )
        if status != "running":
            return


def _settled(
    system: KernelSystem, base: Tensor, A: Tensor, trusted: Tensor, best: float, n_restored: int
) -> tuple[Tensor, Tensor, int]:
    """Add what has been found to what is settled; return it with its residual in float64."""
    R = system.residual(base + A)
    if not float(system.relative(R).square().sum()) <= _GROWTH * best:
        # The last batches went astray, which no losses have told yet.
        A, n_restored = trusted, n_restored + 1
        R = system.residual(base + A)
    found = base + A
    worse = (system.relative(R) > 1).nonzero()[:, 0]
    if len(worse):
        # Where targets are out of reach, the best multiple is at least as good as nothing.
        Y, fitted = system.targets[:, worse], system.targets[:, worse] - R[:, worse]
        share = (fitted * Y).sum(0) / fitted.square().sum(0)
        found[:, worse] *= share
        R[:, worse] = Y - share * fitted
    return found, R, n_restored


def _pass(
    pre: EigenProPreconditioner,
    A: Tensor,
    target: Tensor,
    relative: Callable[[Tensor], Tensor],
    batches: tuple[Tensor, ...],
    factor: float,
    largest: float,
) -> Tensor | None:
    """Walk the batches, changing ``A`` in place; None as soon as their losses grow."""
    squares = torch.zeros_like(A[0])
    window, seen, alarms = 0.0, 0, 0
    for B in batches:
        G = pre.matrix.rows_product(B, A) + pre.shift[B, None] * A[B] - target[B]
        batch = relative(G).square()
        squares += batch
        window, seen = window + float(batch.sum()), seen + len(B)
        if not window < float("inf"):
            return None
        if seen >= _WINDOW_SAMPLES or B is batches[-1]:
            # Residuals have heavy tails: what counts is the largest loss so far, not a usual one.
            # Twice in a row: an outlier among the targets alarms once, divergence goes on.
            if window / seen <= _ALARM * largest:
                alarms, largest = 0, max(largest, window / seen)
            elif alarms == 1:
                return None
            else:
                alarms = 1
            window, seen = 0.0, 0
        step = factor * pre.step_size(len(B)) / len(B)
        G /= pre.diagonal[B, None]
        A.index_add_(0, B, G, alpha=-step)
        # The subsample and the batch may share points: one after the other.
        A.index_add_(0, pre.indices, pre.correction(B, G), alpha=step)
    return squares
