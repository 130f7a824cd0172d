"""The linear system of kernel interpolation and kernel ridge regression, and its true residual."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._minimum_norm import relative_size

# Entries shrink less evenly than their norm: so much below what would bring the largest there.
_TIGHTER = 0.8


@dataclass(frozen=True)
class KernelSystem:
    """``(K + ridge W^-1) A = Y``, column by column.

    Attributes
    ----------
    matrix : KernelMatrix
        K, of order n.

    targets : Tensor of shape (n, c), float64
        Y.

    ridge : float
        Not negative.

    weights : Tensor of shape (n, 1) or (n, c), float64, or None
        Positive; a single column holds for all targets. None is 1 everywhere.
    """

    matrix: KernelMatrix
    targets: Tensor
    ridge: float
    weights: Tensor | None = None

    def shift(self) -> Tensor | None:
        """``ridge W^-1``, of shape (n, 1) or (n, c); None if there is no ridge.

        One that is lost in rounding errors of K's diagonal is none: what it says of contradicting
        targets would be their noise over it.
        """
        if self.ridge == 0:
            return None
        if self.weights is None:
            shift = torch.full_like(self.targets[:, :1], self.ridge)
        else:
            shift = self.ridge / self.weights
        unit = torch.finfo(shift.dtype).eps * float(self.matrix.diagonal().mean())
        return shift if float(shift.max()) > unit else None

    def residual(self, coef: Tensor) -> Tensor:
        """``Y - (K + ridge W^-1) A`` in float64, by entries of K computed in float64."""
        R = self.targets - self.matrix.product(coef)
        shift = self.shift()
        return R if shift is None else R.sub_(shift * coef)

    def columns(self, chosen: Tensor) -> KernelSystem:
        """Return the system of some of the targets."""
        weights = self.weights
        if weights is not None and weights.shape[1] > 1:
            weights = weights[:, chosen]
        return replace(self, targets=self.targets[:, chosen], weights=weights)

    def relative(self, R: Tensor) -> Tensor:
        """Norm of a residual's columns over those of Y; 0 over 0 is 0."""
        return relative_size(R, self.targets)

    def tightened(self, tol: Tensor, R: Tensor, peak: float) -> Tensor:
        """Lower the tolerances (c,) of columns that meet them with an entry of R above the peak.

        Where residuals have heavy tails, their norm says little of the largest entry.
        """
        relative = self.relative(R)
        largest, allowed = R.abs().amax(0), peak * self.targets.abs().amax(0)
        short = (relative <= tol) & (largest > allowed)
        return torch.where(short, _TIGHTER * relative * allowed / largest, tol)


class SolverStep(NamedTuple):
    """Where a solver stands: every solver is a generator of these.

    Attributes
    ----------
    coef : Tensor of shape (n, c) or (m, c), float64
        Dual coefficients, of all points or of the centers. The next step may overwrite them.

    n_iter : int
        Passes over the matrix so far; 0 for a direct solver.

    residual : float
        Largest relative residual, by the solver's own count: an estimate. NaN where it has none.

    status : {"running", "solved", "slow", "stalled", "max_iter"}
        The last step says anything but "running". "slow" means that another solver is expected
        to be faster from here.

    centers : Tensor of shape (m,), int64, or None
        Indices of the points that have coefficients; None is all of them.

    prepared : Prepared or None
        What serves again for other targets and ridges, in the last step.

    jitter : float
        What was added to the diagonal for a factor to exist.

    condition_estimate : float
        Of the system that was solved; NaN where nothing is known.

    true_residual : Tensor of shape (c,) or None
        True relative residuals of all targets, where the last step knows them.

    loo_residuals : Tensor of shape (n, c) or None
        Targets minus leave-one-out predictions, where they were asked for.

    remark : str
        What the user should know, and what to change. Empty if all is well.
    """

    coef: Tensor
    n_iter: int
    residual: float
    status: str = "running"
    centers: Tensor | None = None
    prepared: Prepared | None = None
    jitter: float = 0.0
    condition_estimate: float = float("nan")
    true_residual: Tensor | None = None
    loo_residuals: Tensor | None = None
    remark: str = ""


@dataclass(frozen=True)
class SolverOptions:
    """What a solver is told besides the system.

    Attributes
    ----------
    generator : torch.Generator
        CPU generator of its draws.

    tol : float
        Relative residual, true and per column, at which an iterative solver stops.

    peak : float
        Largest entry of a residual, relative to the largest target of its column, at which an
        iterative solver of all points stops; both have to be met.

    max_iter : int
        Most passes over the matrix.

    memory_budget : int
        Bytes it may allocate.

    rank : int or None
        Columns of a preconditioner; None leaves it to the solver.

    n_centers : int or None
        Points with coefficients, for solvers that restrict them; None leaves it to the solver.

    precisions : tuple of torch.dtype
        Of a factor, or of the entries of K in products: what the plan has room for, in the order
        in which to try them.

    stored : bool
        Whether an iterative solver keeps K.

    loo : bool
        Whether a direct solver is asked for leave-one-out residuals.

    slow_after : float
        Passes that cost as much as the next best solver.
    """

    generator: torch.Generator
    tol: float = 1e-6
    peak: float = float("inf")
    max_iter: int = 200
    memory_budget: int = 2**32
    rank: int | None = None
    n_centers: int | None = None
    precisions: tuple[torch.dtype, ...] = (torch.float64,)
    stored: bool = False
    loo: bool = False
    slow_after: float = float("inf")


class Prepared(Protocol):
    """A solver with its preparations made: a factor, a preconditioner, a stored matrix."""

    def steps(self, system: KernelSystem, options: SolverOptions) -> Iterator[SolverStep]:
        """Solve a system with the same matrix, for other targets, weights or another ridge."""
        ...


Solver = Callable[[KernelSystem, SolverOptions], Iterator[SolverStep]]
Step = TypeVar("Step")


def last_of(walk: Iterator[Step]) -> Step:
    """Walk to the end without keeping the steps, whose coefficients may be large."""
    return deque(walk, maxlen=1).pop()


def one_weighting_at_a_time(
    solve: Callable[[KernelSystem, SolverOptions], SolverStep],
    system: KernelSystem,
    options: SolverOptions,
) -> Iterator[SolverStep]:
    """Let a solver that needs one diagonal go through targets of different weights."""
    weights = system.weights
    if weights is None or weights.shape[1] == 1 or system.ridge == 0:
        yield solve(system, options)
        return
    distinct, group = torch.unique(weights, dim=1, return_inverse=True)
    n_groups = distinct.shape[1]
    coef = torch.zeros_like(system.targets)
    residual = torch.zeros_like(coef[0])
    loo = torch.zeros_like(coef) if options.loo else None
    found: list[SolverStep] = []
    for k in range(n_groups):
        chosen = (group == k).nonzero()[:, 0]
        one = replace(system.columns(chosen), weights=distinct[:, k : k + 1])
        last = solve(one, options)
        coef[:, chosen] = last.coef
        residual[chosen] = (
            one.relative(one.residual(last.coef))
            if last.true_residual is None
            else last.true_residual
        )
        if loo is not None and last.loo_residuals is not None:
            loo[:, chosen] = last.loo_residuals
        # A factor for each would be too much to keep.
        found.append(last._replace(prepared=None))
        if k < n_groups - 1:
            yield SolverStep(coef, n_iter=k + 1, residual=float(residual.max()))
    yield SolverStep(
        coef,
        n_iter=sum(step.n_iter for step in found),
        residual=float(residual.max()),
        status=next((step.status for step in found if step.status != "solved"), "solved"),
        jitter=max(step.jitter for step in found),
        condition_estimate=max(step.condition_estimate for step in found),
        true_residual=residual,
        loo_residuals=loo,
        remark=next((step.remark for step in found if step.remark), ""),
    )
