"""Solutions of kernel systems, with what they are worth and what serves again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._matvec import kernel_matvec
from skoverparam.linalg._kernel_systems._plan import KernelPlan
from skoverparam.linalg._kernel_systems._system import (
    KernelSystem,
    Prepared,
    Solver,
    SolverOptions,
    SolverStep,
    last_of,
)


@dataclass(frozen=True)
class KernelSolution:
    """Dual coefficients A of ``(K + ridge W^-1) A = Y``, with what they are worth.

    Attributes
    ----------
    dual_coef : array of shape (n,) or (n, c), or (m,) or (m, c) with centers
        The coefficients.

    centers : array of shape (m,) or None
        Indices of the points that have coefficients; None is all of them.

    residual : array of shape (c,), or () for Y of shape (n,)
        Relative residuals ``||Y - (K + ridge W^-1) A|| / ||Y||`` of the targets, computed at the
        end with entries in float64, before coefficients are rounded to the precision of the
        points. With centers, of the preconditioned normal equations.

    converged : bool
        Whether the residuals are at most the tolerance.

    n_iter : int
        Passes over the matrix; 0 for a direct solver.

    solver : str
        What was used in the end.

    jitter : float
        What was added to the diagonal for a factor to exist. Where residuals are small it has been
        refined away: they are those of the system without it.

    condition_estimate : float
        Condition number, from below; NaN where nothing is known.

    loo_residuals : array of the shape of dual_coef, or None
        Targets minus leave-one-out predictions, where they were asked for.

    plan : KernelPlan
        What was expected of the solvers, and the choice.

    remark : str
        What went differently, and what to change; empty if all is well.
    """

    dual_coef: Any
    centers: Any
    residual: Any
    converged: bool
    n_iter: int
    solver: str
    jitter: float
    condition_estimate: float
    loo_residuals: Any
    plan: KernelPlan
    remark: str
    _system: KernelSystem = field(repr=False)
    _options: SolverOptions = field(repr=False)
    _prepared: Prepared | None = field(repr=False)
    _solver: Solver = field(repr=False)
    _enter: Callable[[Any, str], Tensor] | None = field(repr=False, default=None)
    _leave: Callable[[Tensor], Any] | None = field(repr=False, default=None)

    @classmethod
    def of(
        cls,
        system: KernelSystem,
        options: SolverOptions,
        last: SolverStep,
        plan: KernelPlan,
        solver: Solver,
    ) -> KernelSolution:
        """Collect what the last step of a solver says."""
        residual = last.true_residual
        if residual is None:
            residual = system.relative(system.residual(last.coef))
        return cls(
            dual_coef=last.coef,
            centers=last.centers,
            residual=residual,
            converged=bool((residual <= options.tol).all()),
            n_iter=last.n_iter,
            solver=plan.solver,
            jitter=last.jitter,
            condition_estimate=last.condition_estimate,
            loo_residuals=last.loo_residuals,
            plan=plan,
            remark=last.remark,
            _system=system,
            # Whoever solves again has chosen this solver.
            _options=replace(options, slow_after=float("inf")),
            _prepared=last.prepared,
            _solver=solver,
        )

    def solve(self, Y: Any, *, weights: Any = None) -> KernelSolution:
        """Solve for other targets, with the factor or the preconditioner that is there.

        Parameters
        ----------
        Y : array-like of shape (n,) or (n, c)
            Targets.

        weights : array-like of shape (n,) or (n, c), default=None
            Positive weights of their squared errors; None is 1 everywhere, whatever the first
            targets had. A Cholesky factor, and eigenvectors, serve for the same weights only;
            for others they are made again.

        Returns
        -------
        KernelSolution
        """
        Y = self._tensor(Y, "Y")
        if Y.ndim not in (1, 2) or len(Y) != self._system.matrix.n:
            raise ValueError(
                f"Y must have one or two dimensions and {self._system.matrix.n} rows, got shape "
                f"{tuple(Y.shape)}."
            )
        targets = (Y if Y.ndim == 2 else Y[:, None]).double()
        if weights is not None:
            weights = self._tensor(weights, "weights")
            check_weights(weights, Y)
            weights = weights_columns(weights)
        return self._again(replace(self._system, targets=targets, weights=weights), Y.ndim == 1)

    def at_ridge(self, ridge: float) -> KernelSolution:
        """Solve for another ridge.

        A preconditioner and a stored matrix serve as they are; with eigenvectors it is a product;
        a Cholesky factor has to be made again.

        Parameters
        ----------
        ridge : float
            Not negative.

        Returns
        -------
        KernelSolution
        """
        if not 0 <= float(ridge) < float("inf"):
            raise ValueError(f"ridge must be a finite number >= 0, got {ridge!r}.")
        flat = self._leave is not None and self.dual_coef.ndim == 1
        return self._again(replace(self._system, ridge=float(ridge)), flat)

    def predict(self, X: Any) -> Any:
        """Evaluate ``K(X, centers) A``, block by block.

        Parameters
        ----------
        X : array-like of shape (m, d)
            Points.

        Returns
        -------
        array of shape (m,) or (m, c)
            Predictions.
        """
        X = self._tensor(X, "X").double()
        points = self._system.matrix.X
        if X.ndim != 2 or X.shape[1] != points.shape[1]:
            raise ValueError(
                f"X must have two dimensions and {points.shape[1]} columns, got shape "
                f"{tuple(X.shape)}."
            )
        coef = self._tensor(self.dual_coef, "dual_coef").double()
        centers = self.centers
        if centers is not None:
            points = points[torch.as_tensor(centers, device=points.device)]
        return self._back(kernel_matvec(self._system.matrix.kernel, X, points, coef))

    def in_kind(
        self, enter: Callable[[Any, str], Tensor], leave: Callable[[Tensor], Any], *, flat: bool
    ) -> KernelSolution:
        """Return the same with arrays of a user's kind, for one target without its axis."""

        def turn(values: Tensor | None) -> Any:
            if values is None:
                return None
            return leave(values[..., 0] if flat and values.ndim == 2 else values)

        return replace(
            self,
            dual_coef=turn(self.dual_coef),
            loo_residuals=turn(self.loo_residuals),
            centers=turn(self.centers),
            residual=leave(self.residual[0] if flat else self.residual),
            _enter=enter,
            _leave=leave,
        )

    def _again(self, system: KernelSystem, flat: bool) -> KernelSolution:
        walk = self._solver if self._prepared is None else self._prepared.steps
        last = last_of(walk(system, self._options))
        solution = self.of(system, self._options, last, self.plan, self._solver)
        if self._enter is None or self._leave is None:
            return solution
        return solution.in_kind(self._enter, self._leave, flat=flat)

    def _tensor(self, values: Any, name: str) -> Tensor:
        return values if self._enter is None else self._enter(values, name)

    def _back(self, values: Tensor) -> Any:
        return values if self._leave is None else self._leave(values)


def check_weights(weights: Tensor, Y: Tensor) -> None:
    """Refuse weights that are not positive, or neither one for each row nor for each target."""
    if tuple(weights.shape) not in ((len(Y),), tuple(Y.shape)):
        raise ValueError(
            f"weights must have shape ({len(Y)},) or that of Y, {tuple(Y.shape)}, got "
            f"{tuple(weights.shape)}."
        )
    if not bool((weights > 0).all()):
        raise ValueError(f"weights must be positive, got {float(weights.min()):g} among them.")


def weights_columns(weights: Tensor | None) -> Tensor | None:
    """Give weights of shape (n,) a second axis."""
    if weights is None:
        return None
    weights = weights.double()
    return weights[:, None] if weights.ndim == 1 else weights
