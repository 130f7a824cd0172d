"""Kernel interpolation and ridge regression: one system, several solvers, one result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems import (
    _cholesky,
    _eigen,
    _eigenpro,
    _pcg,
    _restricted_centers,
)
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._matvec import Kernel
from skoverparam.linalg._kernel_systems._plan import (
    Candidate,
    KernelPlan,
    candidates,
    make_plan,
    rates,
    seconds_per_product,
)
from skoverparam.linalg._kernel_systems._solution import KernelSolution, weights_columns
from skoverparam.linalg._kernel_systems._system import (
    KernelSystem,
    Solver,
    SolverOptions,
    SolverStep,
    last_of,
)

_SOLVERS: dict[str, Solver] = {
    "cholesky": _cholesky.steps,
    "eigh": _eigen.steps,
    "pcg": _pcg.steps,
    "eigenpro": _eigenpro.steps,
    "restricted": _restricted_centers.steps,
}
SOLVERS = tuple(_SOLVERS)
# Where a solver may end without a solution; "auto" then goes on with an exact one.
_NOT_THERE = ("slow", "stalled", "max_iter")
# What "auto" chooses from.
_AUTO = ("cholesky", "pcg")


class KernelStep(NamedTuple):
    """Where a solve stands.

    Attributes
    ----------
    dual_coef : Tensor of shape (n, c) or (m, c)
        Coefficients so far.

    centers : Tensor of shape (m,), int64, or None
        Indices of the points that have coefficients; None is all of them.

    n_iter : int
        Passes over the matrix so far.

    residual : float
        Largest relative residual, by the solver's own count until the last step.

    solution : KernelSolution or None
        The result, in the last step.
    """

    dual_coef: Tensor
    centers: Tensor | None
    n_iter: int
    residual: float
    solution: KernelSolution | None


def solution_of(walk: Iterator[KernelStep]) -> KernelSolution:
    """Walk to the end of :func:`kernel_solve_steps` and return the result."""
    solution = last_of(walk).solution
    assert solution is not None
    return solution


def kernel_solve_steps(
    kernel: Kernel,
    X: Tensor,
    Y: Tensor,
    *,
    ridge: float = 0.0,
    weights: Tensor | None = None,
    solver: str = "auto",
    tol: float = 1e-6,
    peak: float = float("inf"),
    max_iter: int = 200,
    rank: int | None = None,
    n_centers: int | None = None,
    loo: bool = False,
    memory_budget: int,
    generator: torch.Generator,
) -> Iterator[KernelStep]:
    """Solve ``(K + ridge W^-1) A = Y`` step by step.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Z=None) -> (n, m)``, positive semidefinite.

    X : Tensor of shape (n, d)
        Points. All is computed with float64 copies of them.

    Y : Tensor of shape (n, c)
        Targets.

    ridge : float, default=0.0
        Not scaled by n. 0 interpolates.

    weights : Tensor of shape (n,) or (n, c), default=None
        Positive weights of the squared errors, for all targets or for each.

    solver : {"auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted"}, default="auto"
        "auto" takes what is expected to be fastest within the memory, of "cholesky" and "pcg", or
        "restricted" if `n_centers` is given.

    tol : float, default=1e-6
        Relative residual at which an iterative solver stops. Direct ones go as far as float64.

    peak : float, default=inf
        Largest entry of a residual, relative to the largest target, at which "pcg" and "eigenpro"
        stop: they go on until both are met.

    max_iter : int, default=200
        Most passes of an iterative solver.

    rank : int, default=None
        Of the preconditioner.

    n_centers : int, default=None
        Points that get coefficients, for "restricted".

    loo : bool, default=False
        Whether leave-one-out residuals are wanted: an exact solver then, in float64.

    memory_budget : int
        Bytes beside X and Y.

    generator : torch.Generator
        CPU generator of the draws.

    Yields
    ------
    KernelStep

    Raises
    ------
    ValueError
        Before any work, if options do not fit together.
    MemoryError
        Before any work, if no solver fits.
    """
    X, Y = X.double(), Y.double()
    n, d = X.shape
    if solver == "auto" and n_centers is not None:
        solver = "restricted"
    if n_centers is not None and solver != "restricted":
        raise ValueError(
            "n_centers restricts the centers: it needs solver='auto' or 'restricted', got "
            f"{solver!r}."
        )
    found = candidates(
        n,
        d,
        Y.shape[1],
        device=X.device,
        memory_budget=memory_budget,
        rank=rank,
        n_centers=n_centers,
        single=_fits_single(X),
    )
    allowed = _AUTO if solver == "auto" else (solver,)
    plan, chosen = make_plan(found, n, allowed=allowed, loo=loo, budget=memory_budget)
    system = KernelSystem(KernelMatrix(kernel, X), Y, float(ridge), weights_columns(weights))
    options = SolverOptions(
        generator=generator,
        tol=tol,
        peak=peak,
        max_iter=max_iter,
        memory_budget=memory_budget,
        n_centers=n_centers,
        loo=loo,
    )
    n_iter = 0
    exact = _exact_candidate(plan) if solver == "auto" else None
    if chosen.solver == "pcg" and exact is not None:
        per_iteration = seconds_per_product(n, d, chosen.precision, chosen.stored, rates(X.device))
        options = replace(options, slow_after=exact.seconds / per_iteration)
    last: SolverStep | None = None
    while last is None or (exact not in (None, chosen) and last.status in _NOT_THERE):
        if last is not None and exact is not None:
            plan = plan._replace(
                solver=exact.solver,
                why=f"conjugate gradients had a residual of {last.residual:.1e} after "
                f"{last.n_iter} iterations: exact from there.",
                n_bytes=max(plan.n_bytes, exact.n_bytes),
                seconds=plan.seconds + exact.seconds,
            )
            chosen, n_iter = exact, last.n_iter
            system.matrix.stored = None
        for last in _SOLVERS[chosen.solver](system, _for_candidate(options, chosen, plan)):
            if last.status == "running":
                so_far = n_iter + last.n_iter
                yield KernelStep(last.coef, last.centers, so_far, last.residual, None)
    last = last._replace(n_iter=n_iter + last.n_iter)
    options = _for_candidate(options, chosen, plan)
    solution = KernelSolution.of(system, options, last, plan, _SOLVERS[plan.solver])
    yield KernelStep(
        solution.dual_coef,
        solution.centers,
        solution.n_iter,
        float(solution.residual.max()),
        solution,
    )


def _fits_single(X: Tensor) -> bool:
    """Whether squares of the points are far from the ends of single precision."""
    largest = float(X.abs().max())
    return largest == 0 or 1e-15 < largest < 1e15


def _exact_candidate(plan: KernelPlan) -> Candidate | None:
    fitting = [
        one
        for one in plan.candidates
        if one.solver == "cholesky" and one.n_bytes <= plan.memory_budget
    ]
    return min(fitting, key=lambda one: one.seconds, default=None)


def _for_candidate(options: SolverOptions, chosen: Candidate, plan: KernelPlan) -> SolverOptions:
    """Return the options with which a candidate of the plan is run."""
    precisions = [_DTYPES[chosen.precision]]
    if chosen.solver == "cholesky" and chosen.precision == "float32":
        # Where single precision is not enough, double precision takes over if there is room.
        precisions += [
            torch.float64
            for one in plan.candidates
            if one.solver == "cholesky"
            and one.precision == "float64"
            and one.n_bytes <= plan.memory_budget
        ]
    return replace(options, precisions=tuple(precisions), stored=chosen.stored, rank=chosen.rank)


_DTYPES = {"float32": torch.float32, "float64": torch.float64}
