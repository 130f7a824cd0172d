"""Columns of targets in a kernel's space: what the interpolators of numbers and classes share."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, same_namespace
from skoverparam._config import memory_budget, require_memory
from skoverparam._params import (
    check_auto,
    check_integer,
    check_number,
    check_option,
    make_generator,
)
from skoverparam._steps import run_steps
from skoverparam.averages._points import distinct_rows
from skoverparam.estimators._bandwidth import check_bandwidth, find_bandwidth
from skoverparam.estimators._base import DocumentedEstimator
from skoverparam.estimators._columns import MET
from skoverparam.kernels._fully_connected import fully_connected_nngp, fully_connected_ntk
from skoverparam.kernels._radial import PROFILES, RadialKernel
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._matvec import kernel_matvec
from skoverparam.linalg._kernel_systems._ridge_choice import (
    choice_bytes,
    choose_ridge,
    ridges_path,
)
from skoverparam.linalg._kernel_systems._solve import SOLVERS, KernelStep, kernel_solve_steps
from skoverparam.linalg._kernel_systems._system import KernelSystem
from skoverparam.linalg._units import units_of

_NETWORKS = {"ntk": fully_connected_ntk, "nngp": fully_connected_nngp}

# The largest residual is about that many times their root mean square.
_LARGEST_RESIDUAL = 5.0
_RIDGE_TOL = 1e-4
# What solvers of an interpolation go for: room for the rounding errors of predictions.
_CERTAINLY_MET = 0.99 * MET

_EXACT = ("cholesky", "eigh")

# Leave-one-out residuals double the time of a Cholesky solver: up to here that is a moment.
_LOO_SAMPLES = 3000

# Candidates of ridge="loo" besides 0, in units of the kernel's mean diagonal.
_RIDGES = np.logspace(-8, 2, 21)


class _UserKernel:
    """A callable of the user's as a kernel on tensors."""

    def __init__(self, kernel, passage):
        self._kernel = kernel
        self._passage = passage
        function = getattr(kernel, "func", kernel)
        # Those of this package take tensors wherever they are; others get what the user has.
        self._takes_tensors = getattr(function, "__module__", "").startswith("skoverparam.")

    def __call__(self, X, Z=None):
        Z = X if Z is None else Z
        if self._takes_tensors:
            return self._kernel(X, Z)
        keep = self._passage.keep
        K = self._passage.tensor(self._kernel(keep(X), keep(Z))).to(X.dtype)
        if tuple(K.shape) != (len(X), len(Z)):
            raise ValueError(
                "kernel must return one value per pair of rows, shape "
                f"{(len(X), len(Z))}, got {tuple(K.shape)}."
            )
        return K


class KernelColumns(CallbackSupportMixin, DocumentedEstimator):
    """The function of smallest norm, or a ridge's, for every column of targets."""

    path_parameters = ("ridge",)

    def __init__(
        self,
        *,
        kernel="laplace",
        bandwidth="median",
        exponent=1.0,
        p_norm=2.0,
        nu=1.5,
        ridge=0.0,
        solver="auto",
        n_centers=None,
        tol=None,
        max_iter=200,
        device="auto",
        random_state=None,
    ):
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.exponent = exponent
        self.p_norm = p_norm
        self.nu = nu
        self.ridge = ridge
        self.solver = solver
        self.n_centers = n_centers
        self.tol = tol
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _check_params(self):
        if not callable(self.kernel):
            check_option(self.kernel, "kernel", (*PROFILES, *_NETWORKS))
        check_bandwidth(self.bandwidth)
        # Refuses parameters that this kernel makes no use of, too.
        RadialKernel("laplace", 1.0, self.exponent, self.p_norm, self.nu)
        check_auto(self.ridge, "ridge", check_number, words=("loo",), low=0)
        check_option(self.solver, "solver", ("auto", *SOLVERS))
        if self.ridge == "loo" and self.solver not in ("auto", "eigh"):
            raise ValueError(
                "ridge='loo' compares ridges by one eigendecomposition: it needs solver='auto' "
                f"or 'eigh', got {self.solver!r}."
            )
        check_integer(self.n_centers, "n_centers", low=1, none=True)
        if self.n_centers is not None and (
            self.ridge == "loo" or self.solver not in ("auto", "restricted")
        ):
            raise ValueError(
                "n_centers restricts the centers: it needs solver='auto' or 'restricted', and a "
                f"number for ridge; got {self.solver!r} and {self.ridge!r}."
            )
        check_number(self.tol, "tol", low=0, high=1, boundaries="neither", none=True)
        check_integer(self.max_iter, "max_iter", low=1)

    def _kernel_of(self, passage, bandwidth):
        """Return the kernel on tensors, whose rows are those of `_unit_rows`."""
        if callable(self.kernel):
            return _UserKernel(self.kernel, passage)
        if isinstance(self.kernel, str) and self.kernel in _NETWORKS:
            return _NETWORKS[self.kernel]
        unit = _unit_of(bandwidth)
        return RadialKernel(self.kernel, bandwidth / unit, self.exponent, self.p_norm, self.nu)

    def _learn(self, passage, X, y, data, extra):
        """Solve for the columns of targets and keep what came out.

        X and y are what callbacks are shown; `extra` are attributes that predictions need, too.
        """
        bandwidth = self._find_bandwidth(data.X)
        kernel = self._kernel_of(passage, bandwidth)
        given, data = data.X, data._replace(X=self._unit_rows(data.X, bandwidth))

        def fitted_after(step):
            points = given if step.centers is None else given[step.centers]
            return extra | {
                "X_fit_": passage.keep(points.to(passage.dtype)),
                "dual_coef_": passage.keep(data.flat(step.dual_coef) * data.scale),
                "bandwidth_": bandwidth,
            }

        history = []

        def recorded(steps):
            for step in steps:
                history.append(float(step.residual))
                yield step

        last, n_steps = run_steps(
            self,
            recorded(self._steps(kernel, data, passage.device)),
            X=X,
            y=y,
            task_name="iteration",
            max_steps=None,
            fitted_after=fitted_after,
        )
        if not bool((last.dual_coef * data.scale).isfinite().all()):
            raise ValueError(
                f"The coefficients overflow with ridge={self.ridge!r} and kernel={self.kernel!r}. "
                "Take a larger ridge, or scale the data."
            )
        attributes = fitted_after(last) | self._certified(passage, kernel, data, last)
        attributes["n_iter_"] = max(1, last.n_iter)
        attributes["residual_history_"] = history
        self._report(data, last.solution, attributes)
        vars(self).update(attributes)

    def _steps(self, kernel, data, device):
        """Walk the steps of the solver, to the last one with its solution."""
        if self.ridge == "loo":
            return iter([self._chosen_by_loo(kernel, data, device)])
        exact = self.solver in ("auto", *_EXACT) and self.n_centers is None
        loo = self.solver == "eigh" or (exact and len(data.X) <= _LOO_SAMPLES)
        # Exact solvers draw nothing, and leave numpy's global stream alone.
        draws = not loo and self.solver not in _EXACT
        return kernel_solve_steps(
            kernel,
            data.X,
            data.Y,
            ridge=float(self.ridge),
            weights=data.weights,
            solver=self.solver if self.n_centers is None else "restricted",
            tol=self._tolerance(data.Y),
            peak=_CERTAINLY_MET if self.ridge == 0 and self.tol is None else math.inf,
            max_iter=int(self.max_iter),
            n_centers=self.n_centers,
            loo=loo,
            memory_budget=memory_budget(device),
            generator=make_generator(self.random_state if draws else 0),
        )

    def _chosen_by_loo(self, kernel, data, device):
        """Take the ridge with the smallest leave-one-out error, as the last step of a solver."""
        matrix = KernelMatrix(kernel, data.X)
        _require_eigenvectors(matrix, data, 1 + len(_RIDGES), device, "ridge='loo'")
        unit = float(matrix.diagonal().mean())
        candidates = [0.0, *(unit * _RIDGES).tolist()]
        found = choose_ridge(matrix, data.Y, data.weights, candidates)
        system = KernelSystem(matrix, data.Y, found.ridge, data.weights)
        residual = system.relative(system.residual(found.dual_coef))
        choice = _Choice(found.ridge, residual, found.condition_estimate, found.loo_residuals)
        return KernelStep(found.dual_coef, None, 0, float(residual.max()), choice)

    def _find_bandwidth(self, X):
        if self.kernel not in PROFILES:
            return None
        return find_bandwidth(
            self.bandwidth, X, self.p_norm if self.kernel == "exponential" else 2.0
        )

    def _unit_rows(self, X, bandwidth):
        """Show samples as the kernel sees them: in units that single precision can square.

        Kernels of networks see directions only, the others distances over the bandwidth.
        """
        if isinstance(self.kernel, str) and self.kernel in _NETWORKS:
            return X / units_of(X.T)[:, None]
        return X / _unit_of(bandwidth) if self.kernel in PROFILES else X

    def _tolerance(self, Y):
        if self.tol is not None:
            return float(self.tol)
        if self.ridge != 0:
            return _RIDGE_TOL
        size = Y.square().mean(0).sqrt()
        peak = (Y.abs().amax(0) / size)[size > 0].amin() if bool((size > 0).any()) else 1.0
        return MET * min(1.0, float(peak) / _LARGEST_RESIDUAL)

    def _certified(self, passage, kernel, data, step):
        """Collect the attributes that say what the solution is worth."""
        coef = step.dual_coef
        if step.centers is None:
            fitted = at_centers = KernelMatrix(kernel, data.X).product(coef)
        else:
            centers = data.X[step.centers]
            fitted = kernel_matvec(kernel, data.X, centers, coef)
            at_centers = KernelMatrix(kernel, centers).product(coef)
        solution = step.solution
        loo = None if solution is None else data.loo_residuals(solution.loo_residuals, fitted)
        return {
            "interpolates_": data.meets(fitted),
            # Rounding may leave a tiny negative number where all targets are zero.
            "rkhs_norm_": max(float((coef * at_centers).sum()), 0.0) ** 0.5 * data.scale,
            "loo_residuals_": None if loo is None else passage.keep(loo.to(passage.dtype)),
            **self._account(step),
        }

    def _account(self, step):
        """Collect what the solver says of itself."""
        solution = step.solution
        if solution is None:  # a callback has ended the fit early
            return {
                "ridge_": float(self.ridge),
                "solver_": self.solver,
                "plan_": None,
                "residual_": float(step.residual),
                "jitter_": 0.0,
                "condition_estimate_": None,
            }
        condition = float(solution.condition_estimate)
        return {
            "ridge_": float(getattr(solution, "ridge", self.ridge)),
            "solver_": solution.solver,
            "plan_": None if solution.plan is None else _as_dict(solution.plan),
            "residual_": float(solution.residual.max()),
            "jitter_": float(solution.jitter),
            "condition_estimate_": condition if np.isfinite(condition) else None,
        }

    def _report(self, data, solution, attributes):
        """Warn of what did not come out as asked."""
        if self.ridge == 0 and not data.meets(data.Y):
            warnings.warn(
                "Some samples are equal but for their targets, which no function meets: they "
                "were averaged, and interpolates_ is False.",
                UserWarning,
                stacklevel=6,
            )
        tol, residual = self._tolerance(data.Y), attributes["residual_"]
        to_interpolate = self.ridge == 0 and self.tol is None
        if solution is None or (to_interpolate and attributes["interpolates_"]):
            return
        solved = f"The linear system was solved to a relative residual of {residual:.2g}, "
        if residual > tol:
            solved += f"not to {tol:.2g}. "
        elif to_interpolate and solution.centers is None and data.meets(data.Y):
            solved += f"but some targets are missed by more than {MET:g} of the largest. "
        else:
            return
        advice = solution.remark
        if not advice and attributes["solver_"] in _EXACT:
            advice = (
                "The kernel matrix is singular to rounding: take a ridge, a smaller bandwidth or "
                "a rougher kernel."
            )
        warnings.warn(
            solved + (advice or f"Increase max_iter={self.max_iter}, ridge={self.ridge} or tol."),
            ConvergenceWarning,
            stacklevel=6,
        )

    def _over_ridges(self, X, y, X_test, param_name, param_range):
        """Answers of clones for each ridge, (n_values, n_test, ...), and how one saw X and y."""
        check_option(param_name, "param_name", self.path_parameters)
        ridges = list(param_range)
        if not ridges:
            raise ValueError("param_range must hold at least one value, got none.")
        for value in ridges:
            check_number(value, param_name, low=0)
        answers = None
        for places in self._alike(X, y, ridges):
            some = [float(ridges[place]) for place in places]
            # What validation leaves behind is left on a clone.
            model = clone(self).set_params(ridge=some[0])
            crossed = model._cross(X, y)
            passage, data = crossed[0], crossed[3]
            _, new = cross(model, X_test, reset=False, device=self.device)
            part = model._answers(crossed, model._path(passage, data, new, some))
            answers = part.new_empty(len(ridges), *part.shape[1:]) if answers is None else answers
            answers[places] = part
        return crossed, answers

    def _alike(self, X, y, ridges):
        """Places of the ridges whose fits see the same samples.

        Without a ridge equal samples are one, and weights of classes are none.
        """
        places = [[i for i, ridge in enumerate(ridges) if (ridge > 0) == sign] for sign in (1, 0)]
        if all(places):
            data = clone(self).set_params(ridge=1.0)._cross(X, y)[3]
            if data.weights is None and len(distinct_rows(data.X).first) == len(data.X):
                return [[*range(len(ridges))]]
        return [some for some in places if some]

    def _path(self, passage, data, X_test, ridges):
        """Fitted columns for each ridge at test samples, (n_values, n_test, t)."""
        bandwidth = self._find_bandwidth(data.X)
        kernel = self._kernel_of(passage, bandwidth)
        points, test = (
            self._unit_rows(A, bandwidth) for A in (data.X, passage.tensor(X_test).double())
        )
        matrix = KernelMatrix(kernel, points)
        _require_eigenvectors(matrix, data, len(ridges), passage.device, "A path of ridges")
        coefs = ridges_path(matrix, data.Y, data.weights, ridges)
        n_values, n, t = coefs.shape
        columns = coefs.movedim(0, 1).reshape(n, n_values * t)
        outputs = kernel_matvec(kernel, test, points, columns)
        return outputs.view(-1, n_values, t).movedim(1, 0) * data.scale

    def _outputs(self, X, method):
        """Validate samples; also return the fitted columns, (n, t), or (n,) of a single target."""
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="dual_coef_", method=method)
        kernel = self._kernel_of(passage, self.bandwidth_)
        centers = self._unit_rows(passage.tensor(self.X_fit_).double(), self.bandwidth_)
        coef = passage.tensor(self.dual_coef_)
        columns = coef[:, None] if coef.ndim == 1 else coef
        samples = self._unit_rows(passage.tensor(X).double(), self.bandwidth_)
        outputs = kernel_matvec(kernel, samples, centers, columns)
        return passage, outputs[:, 0] if coef.ndim == 1 else outputs


def _unit_of(bandwidth):
    """Take the power of two next to the bandwidth: dividing by it changes no digit."""
    return 2.0 ** min(max(math.frexp(bandwidth)[1], -1000), 1000)


class _Choice(NamedTuple):
    """The solution for a ridge chosen by leave-one-out errors, as solvers describe theirs."""

    ridge: float
    residual: object
    condition_estimate: float
    loo_residuals: object
    solver: str = "eigh"
    plan: object = None
    jitter: float = 0.0
    remark: str = ""


def _require_eigenvectors(matrix, data, n_ridges, device, what):
    require_memory(
        choice_bytes(matrix.n, data.Y.shape[1], n_ridges),
        device,
        what=f"{what} with {matrix.n} samples",
        remedy="Choose among numbers by a search, such as GridSearchCV, over fewer samples.",
    )


def _as_dict(plan):
    """Plain numbers and strings, which any way of saving a model takes."""
    return plan._asdict() | {"candidates": [one._asdict() for one in plan.candidates]}
