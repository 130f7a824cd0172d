"""Kernel interpolation and ridge regression, exact or iterative by what there is room for."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, same_namespace, sample_weights
from skoverparam._config import memory_budget, require_memory
from skoverparam._labels import TargetCoding, check_target_coding, decode_labels, encode_labels
from skoverparam._params import check_integer, check_number, check_option, make_generator
from skoverparam._steps import run_steps
from skoverparam.averages._points import Merged, merge, without_own
from skoverparam.estimators._base import DocumentedEstimator
from skoverparam.kernels._fully_connected import fully_connected_nngp, fully_connected_ntk
from skoverparam.kernels._median_distance import median_distance
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

_NETWORKS = {"ntk": fully_connected_ntk, "nngp": fully_connected_nngp}

_INTERPOLATES = 1e-6  # of the largest target
# The largest residual is about that many times their root mean square.
_LARGEST_RESIDUAL = 5.0
_RIDGE_TOL = 1e-4

_EXACT = ("cholesky", "eigh")

# Leave-one-out residuals double the time of a Cholesky solver: up to here that is a moment.
_LOO_SAMPLES = 3000

# Candidates of ridge="loo" besides 0, in units of the kernel's mean diagonal.
_RIDGES = np.logspace(-8, 2, 21)


class _Data(NamedTuple):
    """Training samples as the solver gets them, and what they were.

    Attributes
    ----------
    X, Y : Tensor of shape (m, d) and (m, c)
        Points and targets to solve for; without a ridge no two points are equal.

    weights : Tensor of shape (m, 1) or (m, c), or None
        Weights of squared errors; None without a ridge, and where all are one.

    merged : Merged
        What became of the samples, whether or not some were equal.

    samples_Y, samples_weight : Tensor of shape (n, c) and (n,)
        Targets and weights of samples that count.

    kept : Tensor of shape (n_samples,)
        Which samples count.

    single : bool
        Whether targets came with one axis.

    scale : float
        A power of two. All targets here are in units of it, so that squares of them are numbers.
    """

    X: object
    Y: object
    weights: object
    merged: Merged
    samples_Y: object
    samples_weight: object
    kept: object
    single: bool
    scale: float

    @classmethod
    def of(cls, X, Y, weights, *, class_weights=None, interpolate, single=False):
        """Drop samples of weight zero, and average equal ones if they are to be interpolated."""
        kept = weights > 0
        scale = 2.0 ** min(max(math.frexp(float(Y[kept].abs().max()))[1], -1000), 1000)
        X, Y, weights = X[kept], Y[kept] / scale, weights[kept]
        if interpolate:
            merged = merge(X, Y, weights)
            return cls(merged.X, merged.values, None, merged, Y, weights, kept, single, scale)
        merged = Merged(X, Y, weights, None)
        columns = (
            weights[:, None] if class_weights is None else weights[:, None] * class_weights[kept]
        )
        columns = None if bool((columns == 1).all()) else columns
        return cls(X, Y, columns, merged, Y, weights, kept, single, scale)

    def flat(self, columns):
        """Drop the axis of targets where they came without."""
        return columns[:, 0] if self.single else columns

    def of_samples(self, columns):
        """Values at the points, for every sample that counts."""
        return columns if self.merged.group is None else columns[self.merged.group]

    def meets(self, fitted):
        """Whether fitted values at the points are the targets of all samples that count."""
        miss = (self.of_samples(fitted) - self.samples_Y).abs().amax(0)
        return bool((miss <= _INTERPOLATES * self.samples_Y.abs().amax(0)).all())

    def loo_residuals(self, residuals):
        """Leave-one-out residuals of all samples, from those of the points."""
        if residuals is None:
            return None
        if len(self.X) < len(self.samples_Y):
            predicted = without_own(
                self.merged, self.samples_Y, self.samples_weight, lambda: self.Y - residuals
            )
            residuals = self.samples_Y - predicted
        every = residuals.new_full((len(self.kept), residuals.shape[1]), np.nan)
        every[self.kept] = residuals
        return self.flat(every) * self.scale


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


class _KernelInterpolator(CallbackSupportMixin, DocumentedEstimator):
    """What the regressor and the classifier share: columns of targets in the kernel's space."""

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
        if not isinstance(self.bandwidth, str):
            check_number(self.bandwidth, "bandwidth", low=0, boundaries="neither")
        elif self.bandwidth != "median":
            raise ValueError(
                f"bandwidth must be 'median' or a positive number, got {self.bandwidth!r}."
            )
        self._kernel_of(None, 1.0)
        if not isinstance(self.ridge, str):
            check_number(self.ridge, "ridge", low=0)
        elif self.ridge != "loo":
            raise ValueError(f"ridge must be 'loo' or a number >= 0, got {self.ridge!r}.")
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
        """Return the kernel on tensors."""
        if callable(self.kernel):
            return _UserKernel(self.kernel, passage)
        if self.kernel in _NETWORKS:
            return _NETWORKS[self.kernel]
        return RadialKernel(self.kernel, bandwidth, self.exponent, self.p_norm, self.nu)

    def _learn(self, passage, X, y, data, extra):
        """Solve for the columns of targets and keep what came out.

        X and y are what callbacks are shown; `extra` are attributes that predictions need, too.
        """
        bandwidth = self._find_bandwidth(data.X)
        kernel = self._kernel_of(passage, bandwidth)

        def fitted_after(step):
            points = data.X if step.centers is None else data.X[step.centers]
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
        if self.bandwidth != "median":
            return float(self.bandwidth)
        p_norm = self.p_norm if self.kernel == "exponential" else 2.0
        found = median_distance(X, float(p_norm))
        if not 0 < found < np.inf:
            raise ValueError(
                f"bandwidth='median' found a median distance of {found:g}: the values of X reach "
                f"{float(X.abs().max()):g}. Scale X, or give bandwidth as a number."
            )
        return found

    def _tolerance(self, Y):
        if self.tol is not None:
            return float(self.tol)
        if self.ridge != 0:
            return _RIDGE_TOL
        size = Y.square().mean(0).sqrt()
        peak = (Y.abs().amax(0) / size)[size > 0].amin() if bool((size > 0).any()) else 1.0
        return _INTERPOLATES * min(1.0, float(peak) / _LARGEST_RESIDUAL)

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
        loo = None if solution is None else data.loo_residuals(solution.loo_residuals)
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
                stacklevel=5,
            )
        tol = self._tolerance(data.Y)
        if self.tol is None and attributes["interpolates_"]:
            return
        if solution is None or attributes["residual_"] <= tol:
            return
        advice = solution.remark
        if not advice and attributes["solver_"] in _EXACT:
            advice = (
                "The kernel matrix is singular to rounding: take a ridge, a smaller bandwidth or "
                "a rougher kernel."
            )
        warnings.warn(
            "The linear system was solved to a relative residual of "
            f"{attributes['residual_']:.2g}, not to {tol:.2g}. "
            + (advice or f"Increase max_iter={self.max_iter}, ridge={self.ridge} or tol."),
            ConvergenceWarning,
            stacklevel=5,
        )

    def _path(self, passage, data, X_test, param_name, param_range):
        """Fitted columns for each ridge at test samples, (n_values, n_test, t)."""
        check_option(param_name, "param_name", self.path_parameters)
        for value in param_range:
            check_number(value, param_name, low=0)
        bandwidth = self._find_bandwidth(data.X)
        kernel = self._kernel_of(passage, bandwidth)
        matrix = KernelMatrix(kernel, data.X)
        _require_eigenvectors(matrix, data, len(param_range), passage.device, "A path of ridges")
        ridges = [float(value) for value in param_range]
        coefs = ridges_path(matrix, data.Y, data.weights, ridges)
        n_values, n, t = coefs.shape
        columns = coefs.movedim(0, 1).reshape(n, n_values * t)
        outputs = kernel_matvec(kernel, passage.tensor(X_test).double(), data.X, columns)
        return outputs.view(-1, n_values, t).movedim(1, 0) * data.scale

    def _outputs(self, X, method):
        """Fitted columns, (n, t), for other samples."""
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="dual_coef_", method=method)
        kernel = self._kernel_of(passage, self.bandwidth_)
        centers = passage.tensor(self.X_fit_).double()
        coef = passage.tensor(self.dual_coef_)
        coef = coef[:, None] if coef.ndim == 1 else coef
        return passage, kernel_matvec(kernel, passage.tensor(X).double(), centers, coef)


class KernelInterpolatorRegressor(MultiOutputMixin, RegressorMixin, _KernelInterpolator):
    r"""Interpolation by the function of smallest norm in a kernel's space, or kernel ridge.

    The function of smallest norm that goes through all training targets, or with a ridge close to
    them. The linear system is solved exactly or iteratively by what there is memory and time for,
    and what came out is certified: true residual, norm, condition, leave-one-out errors.

    Parameters
    ----------
    kernel : {"laplace", "gaussian", "matern", "exponential", "ntk", "nngp"} or callable, \
            default="laplace"
        The kernel. The first four are functions of the distance, as :func:`~.kernels.laplace`,
        :func:`~.kernels.gaussian`, :func:`~.kernels.matern` and
        :func:`~.kernels.generalized_exponential`; "ntk" and "nngp" are those of a network with one
        hidden layer, :func:`~.kernels.fully_connected_ntk` and
        :func:`~.kernels.fully_connected_nngp`. A callable maps two arrays of rows, (n, d) and
        (m, d), to the (n, m) array of their kernel values: for other depths and activations, say,
        ``functools.partial(fully_connected_ntk, depth=3)``.

    bandwidth : "median" or float, default="median"
        Unit of distances for the first four kernels. "median" is the median distance of two
        training samples, of 1000 of them if there are more.

    exponent, p_norm : float, default=1.0 and 2.0
        Power of the distance, and the norm that measures it, of "exponential" only:
        ``0 < exponent <= p_norm <= 2``.

    nu : float, default=1.5
        Smoothness of "matern" only: 0.5, 1.5, ... or infinity.

    ridge : float or "loo", default=0.0
        Penalty on the squared norm of the function, in the units of a sum of squared errors, as
        ``alpha`` of :class:`sklearn.kernel_ridge.KernelRidge`. 0 interpolates. "loo" takes the one
        with the smallest mean squared leave-one-out error, of 0 and 21 ridges from 1e-8 to 100
        times the mean of the kernel's diagonal, all from one eigendecomposition.

    solver : {"auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted"}, default="auto"
        How to solve the linear system.

        - "cholesky": exact, in half the memory of the matrix;
        - "eigh": exact, by eigenvectors: the solution of smallest norm where the matrix is
          singular, ten times slower;
        - "pcg": conjugate gradients with a randomly pivoted partial Cholesky factor as
          preconditioner, all targets at once, to `tol`;
        - "eigenpro": stochastic gradients on a preconditioned kernel, for samples without number;
        - "restricted": a function of `n_centers` samples only, fitted to all;
        - "auto": "restricted" if `n_centers` is given, else the fastest of "cholesky" and "pcg"
          that fits the memory budget, see `plan_`.

    n_centers : int, default=None
        How many samples have coefficients with "restricted", drawn so that they represent the
        others. Predictions then cost that much less, and training targets are not met.

    tol : float, default=None
        Relative residual, true and of the worst target, at which iterative solvers stop. None is
        1e-4 with a ridge, and without at most 1e-6: what it takes to meet the training targets
        up to 1e-6 of the largest one.

    max_iter : int, default=200
        Most iterations, of which each is a pass over the kernel matrix.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines what iterative solvers draw; their solutions depend on it no more than `tol`
        allows, unless the centers are restricted.

    Attributes
    ----------
    dual_coef_ : array of shape (n_fit,) or (n_fit, n_targets)
        Coefficients of the kernel functions of `X_fit_`, in float64: single precision would lose
        what the certificates promise.

    X_fit_ : array of shape (n_fit, n_features)
        The samples that have coefficients: all, the distinct ones if ``ridge=0``, or the centers.

    bandwidth_ : float or None
        The bandwidth used, None for kernels without.

    ridge_ : float
        The ridge used.

    solver_ : str
        The solver used.

    plan_ : dict
        Why it was chosen: expected memory and seconds of each candidate, and the budget.

    n_iter_ : int
        Iterations; 1 for an exact solver.

    residual_ : float
        True relative residual of the linear system, computed in float64, of the worst target.

    residual_history_ : list of float
        Relative residuals on the way, as estimated by an iterative solver.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one of its column.

    rkhs_norm_ : float
        Norm of the function in the kernel's space, all targets together.

    jitter_ : float
        What had to be added to the diagonal for a Cholesky factor to exist; 0 nearly always.

    condition_estimate_ : float or None
        Lower bound of the system's condition number, None where the solver knows none.

    loo_residuals_ : array of shape (n_samples,) or (n_samples, n_targets) or None
        Targets minus their predictions by a fit to all other samples, without refitting; NaN for
        samples of weight zero. None after an iterative solver, and after "cholesky" with more
        than 3000 samples, whose time they would double: "eigh" has them at any size.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    KernelInterpolatorClassifier : The same for classes.
    RandomFeatureRegressor : The approximation by random features, and its double descent.
    SingularKernelRegressor : Interpolation without solving an equation.
    skoverparam.linalg.kernel_solve : The solvers as a function.
    sklearn.kernel_ridge.KernelRidge : Dense kernel ridge regression.

    Notes
    -----
    With :math:`K` the kernel matrix and :math:`W` the sample weights the coefficients are

    .. math:: (K + \lambda W^{-1}) A = Y ,

    the minimum of :math:`\sum_i w_i (f(x_i) - y_i)^2 + \lambda \|f\|^2` over the kernel's space;
    for :math:`\lambda = 0` the function of smallest norm among those that meet all targets, which
    is what gradient descent from zero converges to. Leaving sample i out changes its prediction
    by :math:`A_i / (K + \lambda W^{-1})^{-1}_{ii}` [2]_.

    Without a ridge equal samples become one, with the weighted mean of their targets; where these
    differ there is no interpolant, a warning says so and `interpolates_` is False.

    How noise is fitted depends on the kernel [1]_: with a rough one, such as "laplace", noisy
    targets do limited harm, and norms grow slowly with the number of samples. Functions of a
    smooth one, such as "gaussian", need norms growing faster than any power of it, and the matrix
    is soon singular to rounding: `residual_`, `jitter_` and `condition_estimate_` tell.

    Cost: exact solvers :math:`n^3 / 3` multiplications and :math:`4 n^2` bytes; "pcg"
    :math:`n^2` kernel values, :math:`2 n^2` bytes if they fit, and as many multiplications for
    every iteration and target. Predictions go through tiles that stay in the cache. All is
    computed in float64, except where `plan_` says that stored values are float32; solutions are
    then refined until the residual in float64 is at `tol`.

    References
    ----------
    .. [1] M. Belkin, S. Ma, S. Mandal, "To understand deep learning we need to understand kernel
       learning", ICML 2018, arXiv:1802.01396.
    .. [2] G. Wahba, "Spline Models for Observational Data", section 4.2, 1990.
    .. [3] M. Diaz, E. N. Epperly, Z. Frangella, J. A. Tropp, R. J. Webber, "Robust, randomized
       preconditioning for kernel ridge regression", arXiv:2304.12465.
    .. [4] M. Belkin, "Fit without fear: remarkable mathematical phenomena of deep learning
       through the prism of interpolation", Acta Numerica 2021, arXiv:2105.14368.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import KernelInterpolatorRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, size=(500, 2))
    >>> y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
    >>> model = KernelInterpolatorRegressor().fit(X, y)
    >>> model.interpolates_, model.solver_
    (True, 'cholesky')
    >>> X_test = rng.uniform(-0.9, 0.9, size=(200, 2))
    >>> bool(model.score(X_test, np.sin(3 * X_test[:, 0]) + X_test[:, 1] ** 2) > 0.999)
    True

    With noise a ridge is better, and leave-one-out errors say which:

    >>> noisy = y + 0.5 * rng.normal(size=500)
    >>> model = KernelInterpolatorRegressor(ridge="loo").fit(X, noisy)
    >>> bool(model.ridge_ > 0), bool(abs(np.mean(model.loo_residuals_**2) - 0.25) < 0.03)
    (True, True)
    """

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Interpolate the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the squared errors. Without a ridge they matter only where equal samples
            are averaged. Samples of weight zero are dropped.

        Returns
        -------
        self : KernelInterpolatorRegressor
            The fitted estimator.
        """
        self._check_params()
        passage, X, y, data = self._cross(X, y, sample_weight)
        self._learn(passage, X, y, data, {})
        return self

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,) or (n_samples, n_targets)
            Predicted targets.
        """
        passage, outputs = self._outputs(X, "predict")
        outputs = outputs[:, 0] if self.dual_coef_.ndim == 1 else outputs
        return passage.back(outputs.to(passage.dtype))

    def fit_predict_path(self, X, y, X_test, *, param_name="ridge", param_range):
        """Predict with a fit for each ridge, from one eigendecomposition.

        The predictions are, to rounding, those of clones fitted with each value; this estimator
        is left as it was. :func:`skoverparam.model_selection.generalization_curve` calls this
        method of any estimator that has it, if `path_parameters` names the parameter.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        X_test : array-like of shape (n_test, n_features)
            Samples to predict.

        param_name : "ridge", default="ridge"
            The parameter.

        param_range : array-like of shape (n_values,)
            Its values.

        Returns
        -------
        y_test : array of shape (n_values, n_test) or (n_values, n_test, n_targets)
            Predictions of every fit.
        """
        self._check_params()
        # What validation leaves behind is left on a clone.
        model = clone(self)
        passage, _, _, data = model._cross(X, y)
        _, X_test = cross(model, X_test, reset=False, device=self.device)
        outputs = model._path(passage, data, X_test, param_name, param_range)
        outputs = outputs[..., 0] if data.single else outputs
        return passage.back(outputs.to(passage.dtype))

    def _cross(self, X, y, sample_weight=None):
        passage, X, y = cross(
            self, X, y, reset=True, device=self.device, multi_output=True, y_numeric=True
        )
        Y = passage.tensor(y).double()
        single = Y.ndim == 1
        data = _Data.of(
            passage.tensor(X).double(),
            Y[:, None] if single else Y,
            passage.tensor(sample_weights(sample_weight, len(Y))),
            interpolate=self.ridge == 0,
            single=single,
        )
        return passage, X, y, data


class KernelInterpolatorClassifier(ClassifierMixin, _KernelInterpolator):
    r"""Classification by functions of smallest norm in a kernel's space, through all labels.

    Columns of targets stand for the classes and are interpolated as by
    `KernelInterpolatorRegressor`, or with a ridge; the largest output decides.

    Parameters
    ----------
    kernel : {"laplace", "gaussian", "matern", "exponential", "ntk", "nngp"} or callable, \
            default="laplace"
        The kernel. The first four are functions of the distance, as :func:`~.kernels.laplace`,
        :func:`~.kernels.gaussian`, :func:`~.kernels.matern` and
        :func:`~.kernels.generalized_exponential`; "ntk" and "nngp" are those of a network with one
        hidden layer, :func:`~.kernels.fully_connected_ntk` and
        :func:`~.kernels.fully_connected_nngp`. A callable maps two arrays of rows, (n, d) and
        (m, d), to the (n, m) array of their kernel values: for other depths and activations, say,
        ``functools.partial(fully_connected_ntk, depth=3)``.

    bandwidth : "median" or float, default="median"
        Unit of distances for the first four kernels. "median" is the median distance of two
        training samples, of 1000 of them if there are more.

    exponent, p_norm : float, default=1.0 and 2.0
        Power of the distance, and the norm that measures it, of "exponential" only:
        ``0 < exponent <= p_norm <= 2``.

    nu : float, default=1.5
        Smoothness of "matern" only: 0.5, 1.5, ... or infinity.

    ridge : float or "loo", default=0.0
        Penalty on the squared norm of the function, in the units of a sum of squared errors, as
        ``alpha`` of :class:`sklearn.kernel_ridge.KernelRidge`. 0 interpolates. "loo" takes the one
        with the smallest mean squared leave-one-out error, of 0 and 21 ridges from 1e-8 to 100
        times the mean of the kernel's diagonal, all from one eigendecomposition.

    solver : {"auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted"}, default="auto"
        How to solve the linear system.

        - "cholesky": exact, in half the memory of the matrix;
        - "eigh": exact, by eigenvectors: the solution of smallest norm where the matrix is
          singular, ten times slower;
        - "pcg": conjugate gradients with a randomly pivoted partial Cholesky factor as
          preconditioner, all targets at once, to `tol`;
        - "eigenpro": stochastic gradients on a preconditioned kernel, for samples without number;
        - "restricted": a function of `n_centers` samples only, fitted to all;
        - "auto": "restricted" if `n_centers` is given, else the fastest of "cholesky" and "pcg"
          that fits the memory budget, see `plan_`.

    n_centers : int, default=None
        How many samples have coefficients with "restricted", drawn so that they represent the
        others. Predictions then cost that much less, and training targets are not met.

    target_coding : {"onehot", "pm1", "rescaled"} or (k, M), default="onehot"
        Targets of a sample's own class and of the others: 1 and 0, or 1 and -1. A pair (k, M) is
        M and 0, the errors of the own class counting k times; "rescaled" takes it from a published
        table by the number of classes. Two classes with k = 1 share one column, whose sign
        decides. Without a ridge k has no effect.

    tol : float, default=None
        Relative residual, true and of the worst target, at which iterative solvers stop. None is
        1e-4 with a ridge, and without at most 1e-6: what it takes to meet the training targets
        up to 1e-6 of the largest one.

    max_iter : int, default=200
        Most iterations, of which each is a pass over the kernel matrix.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines what iterative solvers draw; their solutions depend on it no more than `tol`
        allows, unless the centers are restricted.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    dual_coef_ : array of shape (n_fit, n_columns)
        Coefficients of the kernel functions of `X_fit_`, in float64: single precision would lose
        what the certificates promise.

    X_fit_ : array of shape (n_fit, n_features)
        The samples that have coefficients: all, the distinct ones if ``ridge=0``, or the centers.

    bandwidth_ : float or None
        The bandwidth used, None for kernels without.

    ridge_ : float
        The ridge used.

    solver_ : str
        The solver used.

    plan_ : dict
        Why it was chosen: expected memory and seconds of each candidate, and the budget.

    n_iter_ : int
        Iterations; 1 for an exact solver.

    residual_ : float
        True relative residual of the linear system, computed in float64, of the worst target.

    residual_history_ : list of float
        Relative residuals on the way, as estimated by an iterative solver.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one of its column.

    rkhs_norm_ : float
        Norm of the function in the kernel's space, all targets together.

    jitter_ : float
        What had to be added to the diagonal for a Cholesky factor to exist; 0 nearly always.

    condition_estimate_ : float or None
        Lower bound of the system's condition number, None where the solver knows none.

    loo_residuals_ : array of shape (n_samples, n_columns) or None
        Targets minus their predictions by a fit to all other samples, without refitting; NaN for
        samples of weight zero. None after an iterative solver, and after "cholesky" with more
        than 3000 samples, whose time they would double: "eigh" has them at any size.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    KernelInterpolatorRegressor : The fit, its cost, and what noise does to it.
    MaxMarginClassifier : The largest margin in place of the square loss.
    SingularKernelClassifier : Interpolation without solving an equation.
    sklearn.calibration.CalibratedClassifierCV : Calibrated probabilities.

    Notes
    -----
    With :math:`K` the kernel matrix and :math:`W` the sample weights the coefficients are

    .. math:: (K + \lambda W^{-1}) A = Y ,

    the minimum of :math:`\sum_i w_i (f(x_i) - y_i)^2 + \lambda \|f\|^2` over the kernel's space;
    for :math:`\lambda = 0` the function of smallest norm among those that meet all targets, which
    is what gradient descent from zero converges to. Leaving sample i out changes its prediction
    by :math:`A_i / (K + \lambda W^{-1})^{-1}_{ii}` [2]_.

    Without a ridge equal samples become one, with the weighted mean of their targets; where these
    differ there is no interpolant, a warning says so and `interpolates_` is False.

    How noise is fitted depends on the kernel [1]_: with a rough one, such as "laplace", noisy
    targets do limited harm, and norms grow slowly with the number of samples. Functions of a
    smooth one, such as "gaussian", need norms growing faster than any power of it, and the matrix
    is soon singular to rounding: `residual_`, `jitter_` and `condition_estimate_` tell.

    Cost: exact solvers :math:`n^3 / 3` multiplications and :math:`4 n^2` bytes; "pcg"
    :math:`n^2` kernel values, :math:`2 n^2` bytes if they fit, and as many multiplications for
    every iteration and target. Predictions go through tiles that stay in the cache. All is
    computed in float64, except where `plan_` says that stored values are float32; solutions are
    then refined until the residual in float64 is at `tol`.

    References
    ----------
    .. [1] M. Belkin, S. Ma, S. Mandal, "To understand deep learning we need to understand kernel
       learning", ICML 2018, arXiv:1802.01396.
    .. [2] G. Wahba, "Spline Models for Observational Data", section 4.2, 1990.
    .. [3] M. Diaz, E. N. Epperly, Z. Frangella, J. A. Tropp, R. J. Webber, "Robust, randomized
       preconditioning for kernel ridge regression", arXiv:2304.12465.
    .. [4] M. Belkin, "Fit without fear: remarkable mathematical phenomena of deep learning
       through the prism of interpolation", Acta Numerica 2021, arXiv:2105.14368.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skoverparam import KernelInterpolatorClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    >>> wrong = np.random.default_rng(0).uniform(size=len(y)) < 0.1
    >>> noisy = np.where(wrong, (y + 1) % 10, y)  # a tenth of the labels
    >>> model = KernelInterpolatorClassifier().fit(X, noisy)
    >>> model.score(X, noisy), bool(model.score(X_test, y_test) > 0.95)
    (1.0, True)
    """

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
        target_coding="onehot",
        tol=None,
        max_iter=200,
        device="auto",
        random_state=None,
    ):
        super().__init__(
            kernel=kernel,
            bandwidth=bandwidth,
            exponent=exponent,
            p_norm=p_norm,
            nu=nu,
            ridge=ridge,
            solver=solver,
            n_centers=n_centers,
            tol=tol,
            max_iter=max_iter,
            device=device,
            random_state=random_state,
        )
        self.target_coding = target_coding

    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Interpolate the labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the squared errors. Without a ridge they matter only where equal samples
            are averaged. Samples of weight zero are dropped.

        Returns
        -------
        self : KernelInterpolatorClassifier
            The fitted estimator.
        """
        self._check_params()
        passage, X, y, data, classes, coding = self._cross(X, y, sample_weight)
        self._learn(passage, X, y, data, {"classes_": classes, "_coding": tuple(coding)})
        return self

    def decision_function(self, X):
        """Compute the scores of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            One per sample for two classes, positive for ``classes_[1]``; else one per class.
        """
        passage, outputs = self._outputs(X, "decision_function")
        scores = TargetCoding(*self._coding).scores(outputs)
        return passage.back(scores.to(passage.dtype))

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,)
            The class with the largest output.
        """
        passage, outputs = self._outputs(X, "predict")
        best = TargetCoding(*self._coding).decide(outputs)
        return decode_labels(passage, self.classes_, best)

    def predict_proba(self, X):
        """Estimate the probabilities of the classes.

        Least squares on coded labels estimates probabilities, which outputs are taken back to,
        and then to the nearest point of the simplex. Where noise is interpolated, so is its
        effect on them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : array of shape (n_samples, n_classes)
            Not negative, with rows that sum to 1.
        """
        passage, outputs = self._outputs(X, "predict_proba")
        probabilities = TargetCoding(*self._coding).probabilities(outputs)
        return passage.back(probabilities.to(passage.dtype))

    def fit_predict_path(self, X, y, X_test, *, param_name="ridge", param_range):
        """Predict with a fit for each ridge, from one eigendecomposition.

        The predictions are, to rounding, those of clones fitted with each value; this estimator
        is left as it was. :func:`skoverparam.model_selection.generalization_curve` calls this
        method of any estimator that has it, if `path_parameters` names the parameter.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        X_test : array-like of shape (n_test, n_features)
            Samples to predict.

        param_name : "ridge", default="ridge"
            The parameter.

        param_range : array-like of shape (n_values,)
            Its values.

        Returns
        -------
        y_test : array of shape (n_values, n_test)
            Predictions of every fit.
        """
        self._check_params()
        model = clone(self)
        passage, _, _, data, classes, coding = model._cross(X, y)
        _, X_test = cross(model, X_test, reset=False, device=self.device)
        outputs = model._path(passage, data, X_test, param_name, param_range)
        n_values, n_test, _ = outputs.shape
        best = coding.decide(outputs.reshape(n_values * n_test, -1))
        return decode_labels(passage, classes, best.view(n_values, n_test))

    def _check_params(self):
        super()._check_params()
        check_target_coding(self.target_coding)

    def _cross(self, X, y, sample_weight=None):
        passage, X, y = cross(self, X, y, reset=True, device=self.device)
        classes, labels = encode_labels(y, type(self).__name__)
        coding = TargetCoding.of(self.target_coding, len(classes))
        if self.ridge == 0:
            # Where all targets are met, weights of their errors mean nothing.
            coding = coding._replace(k=1.0)
        labels = passage.tensor(labels)
        data = _Data.of(
            passage.tensor(X).double(),
            coding.columns(labels),
            passage.tensor(sample_weights(sample_weight, len(labels))),
            class_weights=coding.weights(labels),
            interpolate=self.ridge == 0,
        )
        return passage, X, y, data, classes, coding


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
