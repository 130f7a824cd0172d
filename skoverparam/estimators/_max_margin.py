"""Maximum-margin classification with certificates."""

from __future__ import annotations

import warnings

from sklearn.base import ClassifierMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, same_namespace
from skoverparam._config import memory_budget, require_memory
from skoverparam._labels import cross_labels, decision_values, decode_labels
from skoverparam._params import check_flag, check_integer, check_number, check_option
from skoverparam._steps import run_steps
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.linalg._units import holds
from skoverparam.margins._constraints import Points
from skoverparam.margins._max_margin import LEAST_WEIGHT, Settings, max_margin_steps

_SOLVERS = ("auto", "pivoting", "least_distance", "gradient", "gd")


class MaxMarginClassifier(CallbackSupportMixin, ClassifierMixin, DocumentedEstimator):
    r"""Separate classes by the widest margin, or prove that they cannot be separated.

    The hard-margin support vector machine is what gradient descent on the logistic loss converges
    to in direction when the data are separable, as they are whenever there are more features than
    samples. It is computed here exactly, to a duality gap at rounding level, instead of
    approached by a soft margin with a large penalty. Where no separating hyperplane exists, the
    fit says so and keeps the proof.

    Parameters
    ----------
    kernel : "linear" or callable, default="linear"
        A callable maps two arrays of rows, (n, d) and (m, d), to the (n, m) array of their kernel
        values, as those in :mod:`skoverparam.kernels` and :mod:`sklearn.metrics.pairwise` do.

    norm : {"l2", "l1", "linf"}, default="l2"
        Norm of the coefficients that is minimized. Distances are measured in the dual norm:
        Euclidean, largest coordinate, or sum of coordinates. "l1" (sparse coefficients) and
        "linf" need a linear kernel and are linear programs.

    fit_intercept : bool, default=True
        Whether there is an intercept. It is free: it does not count in the norm. The theory of
        :mod:`skoverparam.theory` has none.

    multi_class : {"ovr", "simplex"}, default="ovr"
        More than two classes: one against the rest, each with its own margin; or all at once with
        the corners of a simplex as codes, where every sample must be closer to its own corner
        than to any other. The latter can separate a class that lies between two others, and has
        ``n_classes - 1`` constraints per sample.

    solver : {"auto", "pivoting", "least_distance", "gradient", "gd"}, default="auto"
        How to get there; all but "gd" lead to the same classifier.

        - "pivoting": block principal pivoting, for independent samples: at most as many samples
          as features, or a positive definite kernel. If every sample is a support vector it is
          done after one factorization.
        - "least_distance": nonnegative least squares by an active set; any data.
        - "gradient": accelerated projected gradient, then an exact solution on the support it
          found; forms no (n_samples, n_samples) matrix.
        - "auto": the first for independent samples, else the second, with the third to begin with
          when there are many features.
        - "gd": gradient descent on the logistic loss, as a demonstration. It is compared with the
          exact solution on the way and converges very slowly. The intercept is the weight of a
          constant feature and counts in the norm.

    on_nonseparable : {"soft", "warn", "raise"}, default="soft"
        What to do where no hard margin exists. "soft" minimizes the squared hinge loss with
        weight ``C`` instead and sets ``separable_`` to False; "warn" also warns; "raise" raises a
        :class:`ValueError`.

    C : float, default=1.0
        Weight of the squared hinge loss where there is no hard margin, as in
        :class:`sklearn.svm.LinearSVC`. It has no effect on separable data.

    tol : float, default=1e-10
        Relative duality gap to reach. Exact solvers come to about 1e-14.

    max_iter : int, default=10000
        Largest number of steps of a solver, for each class.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one. Least-distance and linear programming run on the host.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    coef_ : array of shape (1, n_features) or (n_classes, n_features)
        Coefficients; one row for two classes. Only with a linear kernel.

    intercept_ : array of shape (1,) or (n_classes,)
        Intercepts, zeros without.

    support_ : array of shape (n_support,)
        Indices of the samples with a dual coefficient that is not zero, in any of the problems.

    n_support_ : int
        How many there are.

    dual_coef_ : array of shape (1, n_support) or (n_classes, n_support)
        Signed dual coefficients of the support.

    support_vectors_ : array of shape (n_support, n_features)
        The samples of the support. Only with a callable kernel, which needs them to predict.

    margin_ : float
        Distance of the closest training sample from the decision boundary, with several classes
        the smallest of them; negative if a sample is on the wrong side. With simplex codes the
        norm in it is that of all coefficients together: ``1 / margin_**2`` is
        ``(1 - 1 / n_classes) * (coef_**2).sum()``.

    separable_ : bool or None
        Whether a hard margin exists, with several classes for all of them. None means that
        ``max_iter`` was too small to find out.

    certificate_ : array of shape (1, n_samples) or (n_classes, n_samples), or None
        The proof that there is none: coefficients ``c``, positive for samples of the class and
        negative for the others, with ``c @ X = 0`` and, with intercept, ``c.sum() = 0``. Rows of
        classes that are separable are zero; None if all are.

    interpolates_ : bool
        Whether every training sample lies on the margin, to 1e-6: the classifier is then the
        interpolator of the labels with minimum norm.

    duality_gap_ : float
        Relative duality gap of what was solved, the largest of all problems: no classifier has a
        squared margin larger than ``margin_**2 / (1 - duality_gap_)``.

    n_iter_ : int
        Steps of the solver, all problems together.

    solver_ : str
        Which solver led to the solution; "soft" where there is no hard margin.

    loss_curve_, margin_ratio_curve_, cosine_curve_ : list of float
        Only with ``solver="gd"``, for every step: mean loss, margin over the largest margin, and
        cosine with the direction of maximum margin; the worst of several classes. Empty if the
        data are not separable.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    sklearn.svm.SVC : Soft margins; ``C=1e10`` comes close to the hard one, without certificate.
    sklearn.svm.LinearSVC : Soft margins for many samples; its intercept counts in the norm.
    sklearn.calibration.CalibratedClassifierCV : Probabilities from the decision function.

    Notes
    -----
    The problem is

    .. math::

        \min_{w, b} \tfrac{1}{2} \|w\|^2 \quad \text{subject to} \quad
        y_i (\langle w, x_i \rangle + b) \ge 1 ,

    with dual :math:`\min_{a \ge 0} \tfrac{1}{2} a^T K a - 1^T a`, :math:`y^T a = 0`,
    :math:`K_{ij} = y_i y_j \langle x_i, x_j \rangle`. Far past the interpolation threshold
    every sample is a support vector and :math:`w` is the minimum-norm interpolator of the labels,
    which is how its risk is analyzed in [1]_. The link to gradient descent is [2]_. Simplex
    codes [3]_ make the multiclass machine of Weston and Watkins a problem of the same form.

    Both sides of the margin are computed from the solution itself: that of ``coef_`` from below,
    and from above by the dual coefficients; ``duality_gap_`` compares the two whatever the solver.

    Cost: with n samples and d features, n at most d + 1, the matrix of inner products,
    :math:`n^2 d`, and a few Cholesky factorizations of it, :math:`n^3 / 3`, memory
    :math:`4 n^2`. Else a pass over the data, :math:`n d`, for about every support vector, or
    some hundred passes. Everything is computed in float64.

    References
    ----------
    .. [1] Y. Cao, Q. Gu, M. Belkin, "Risk Bounds for Over-parameterized Maximum Margin
       Classification on Sub-Gaussian Mixtures", NeurIPS 2021, arXiv:2104.13628.
    .. [2] D. Soudry, E. Hoffer, M. S. Nacson, S. Gunasekar, N. Srebro, "The Implicit Bias of
       Gradient Descent on Separable Data", JMLR 19, 2018, arXiv:1710.10345.
    .. [3] Y. Mroueh, T. Poggio, L. Rosasco, J.-J. Slotine, "Multiclass Learning with Simplex
       Coding", NIPS 2012, arXiv:1209.1360.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import MaxMarginClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile([-1, 1], 20)
    >>> X = rng.normal(size=(40, 1000)) + 0.1 * y[:, None]
    >>> classifier = MaxMarginClassifier().fit(X, y)
    >>> classifier.separable_, classifier.interpolates_, classifier.n_support_
    (True, True, 40)
    >>> bool(classifier.duality_gap_ < 1e-10)
    True
    """

    def __init__(
        self,
        *,
        kernel="linear",
        norm="l2",
        fit_intercept=True,
        multi_class="ovr",
        solver="auto",
        on_nonseparable="soft",
        C=1.0,
        tol=1e-10,
        max_iter=10_000,
        device="auto",
    ):
        self.kernel = kernel
        self.norm = norm
        self.fit_intercept = fit_intercept
        self.multi_class = multi_class
        self.solver = solver
        self.on_nonseparable = on_nonseparable
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.device = device

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y):
        """Find the widest margin.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        y : array-like of shape (n_samples,)
            Their classes.

        Returns
        -------
        self : MaxMarginClassifier
            The fitted estimator.
        """
        self._check_params()
        passage, X, y, classes, labels = cross_labels(self, X, y)
        settings = self._settings(passage, X, len(classes))
        points = self._points(passage, X)
        curves = {"loss": [], "margin_ratio": [], "cosine": []}

        def recorded(steps):
            for step in steps:
                for name, curve in curves.items():
                    if getattr(step, name) is not None:
                        curve.append(getattr(step, name))
                yield step

        def fitted_after(solution):
            return {"classes_": classes} | self._attributes(passage, X, solution)

        steps = max_margin_steps(points, labels, len(classes), settings)
        solution, _ = run_steps(
            self,
            recorded(steps),
            X=X,
            y=y,
            task_name="step",
            max_steps=self.max_iter if self.solver == "gd" else 1,
            fitted_after=fitted_after,
        )
        self._report(solution)
        vars(self).update(fitted_after(solution))
        if self.solver == "gd":
            vars(self).update({f"{name}_curve_": curve for name, curve in curves.items()})
        return self

    def decision_function(self, X):
        """Compute signed scores, 1 and -1 on the margins.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            One per sample for two classes, positive for ``classes_[1]``; else one per class.
        """
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="dual_coef_", method="decision_function")
        return passage.back(decision_values(self._scores(passage, X), passage.dtype))

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,)
            The class with the largest score.
        """
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="dual_coef_", method="predict")
        scores = self._scores(passage, X)
        best = (scores > 0).long() if scores.ndim == 1 else scores.argmax(1)
        return decode_labels(passage, self.classes_, best)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _check_params(self):
        if not callable(self.kernel):
            check_option(self.kernel, "kernel", ("linear",))
        check_option(self.norm, "norm", ("l2", "l1", "linf"))
        check_flag(self.fit_intercept, "fit_intercept")
        check_option(self.multi_class, "multi_class", ("ovr", "simplex"))
        check_option(self.solver, "solver", _SOLVERS)
        check_option(self.on_nonseparable, "on_nonseparable", ("soft", "warn", "raise"))
        check_number(self.C, "C", low=0, boundaries="neither")
        check_number(self.tol, "tol", low=0, high=1, boundaries="neither")
        check_integer(self.max_iter, "max_iter", low=1)
        if self.norm != "l2":
            if callable(self.kernel):
                raise ValueError(f"norm={self.norm!r} needs kernel='linear', got a callable.")
            if self.solver != "auto" or self.multi_class != "ovr":
                raise ValueError(
                    f"norm={self.norm!r} is a linear program per class: it needs solver='auto' "
                    f"and multi_class='ovr', got {self.solver!r} and {self.multi_class!r}."
                )

    def _settings(self, passage, X, n_classes):
        """Choose the solver by the memory it needs."""
        coding = "ovr" if n_classes == 2 else self.multi_class
        if coding == "simplex" and self.solver in ("gradient", "gd"):
            raise ValueError(
                f"solver={self.solver!r} works on one class at a time: with {n_classes} classes "
                "it needs multi_class='ovr', got 'simplex'."
            )
        solver, device = self.solver, passage.device
        needed, what, avoidable = self._memory_needed(X, coding, n_classes)
        if avoidable and solver == "auto" and needed > memory_budget(device):
            solver = "gradient"
        elif callable(self.kernel) or solver not in ("gradient", "gd"):
            require_memory(
                needed,
                device,
                what=what,
                remedy="With a linear kernel and multi_class='ovr', solver='gradient' needs "
                "little more than the data.",
            )
        return Settings(
            coding=coding,
            free=bool(self.fit_intercept),
            norm=self.norm,
            solver=solver,
            C=float(self.C),
            tol=float(self.tol),
            max_iter=int(self.max_iter),
        )

    def _memory_needed(self, X, coding, n_classes):
        """Estimate the bytes of the solver's matrices, and say whether another needs none."""
        n_samples, n_features = X.shape
        count = n_samples * (n_classes - 1 if coding == "simplex" else 1)
        avoidable = coding == "ovr" and not callable(self.kernel)
        independent = callable(self.kernel) or n_samples <= n_features + 1
        if independent or self.solver == "pivoting":
            what = f"The matrix of inner products of {count} constraints"
            return 4 * 8 * count**2, what, avoidable
        width = n_features * (n_classes - 1 if coding == "simplex" else 1)
        return 3 * 8 * count * width, f"{count} constraints of {width} coefficients", avoidable

    def _check_held(self, passage, what, relative, exact):
        """Check that the precision of X holds the coefficients of every class."""
        if not holds(passage.dtype, exact.T, relative.T):
            raise ValueError(
                f"{what} is of a size at which {passage.dtype} cannot hold the coefficients, "
                f"which reach {float(exact.abs().max()):.3g}: scale it."
            )

    def _points(self, passage, X):
        if callable(self.kernel):
            return Points(K=self._kernel_values(passage, X, X))
        return Points(X=passage.tensor(X).double())

    def _kernel_values(self, passage, X, Z):
        K = passage.tensor(self.kernel(X, Z)).double()
        if K.shape != (len(X), len(Z)):
            raise ValueError(
                "kernel must return one value per pair of rows, shape "
                f"{(len(X), len(Z))}, got {tuple(K.shape)}."
            )
        return K

    def _scores(self, passage, X):
        intercept = passage.tensor(self.intercept_).double()
        if callable(self.kernel):
            K = self._kernel_values(passage, X, self.support_vectors_)
            scores = K @ passage.tensor(self.dual_coef_).double().T + intercept
        else:
            coef = passage.tensor(self.coef_).double()
            scores = passage.tensor(X).double() @ coef.T + intercept
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def _report(self, solution):
        """Say what did not come out as asked."""
        if solution.separable is False and self.on_nonseparable != "soft":
            message = "The classes cannot be separated: there is no hard margin"
            if self.on_nonseparable == "raise":
                raise ValueError(
                    f"{message}. on_nonseparable='soft' minimizes the squared hinge loss instead."
                )
            warnings.warn(
                f"{message}; the squared hinge loss with C={self.C:g} was minimized instead.",
                UserWarning,
                stacklevel=5,
            )
        if solution.separable is None:
            warnings.warn(
                "Whether the classes can be separated is undecided; the squared hinge loss was "
                f"minimized. Increase max_iter={self.max_iter}.",
                ConvergenceWarning,
                stacklevel=5,
            )
        elif solution.gap > self._gap_expected():
            warnings.warn(
                f"The relative duality gap is {solution.gap:.2g}, not tol={self.tol:g}. Increase "
                f"max_iter={self.max_iter} or tol.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _gap_expected(self):
        if self.solver == "gd":
            return 1.0
        # Linear programs are solved to the tolerance of their library.
        return self.tol if self.norm == "l2" else max(self.tol, 1e-6)

    def _attributes(self, passage, X, solution):
        """Collect the fitted attributes that a solution amounts to."""
        support = (solution.dual != 0).any(0).nonzero()[:, 0]
        dual, unit = solution.dual[:, support], solution.unit
        if solution.solver == "soft" and self.C * unit * unit < LEAST_WEIGHT:
            raise ValueError(
                f"C={self.C:g} leaves nothing of points of the size of {unit:.2g}, which the "
                "squared hinge loss is to separate: scale X."
            )
        kept = {
            "intercept_": solution.intercept.to(passage.dtype),
            "support_": support,
            "dual_coef_": (dual / unit / unit).to(passage.dtype),
        }
        if callable(self.kernel):
            kept["support_vectors_"] = passage.tensor(X)[support]
            self._check_held(passage, "The kernel", dual, dual / unit / unit)
        else:
            coef = solution.coef
            if coef is None:
                coef = dual @ (passage.tensor(X)[support].double() / unit)
            kept["coef_"] = (coef / unit).to(passage.dtype)
            self._check_held(passage, "X", coef, coef / unit)
        if solution.certificate is not None:
            kept["certificate_"] = solution.certificate.to(passage.dtype)
        return (
            {"certificate_": None}
            | {k: passage.keep(v) for k, v in kept.items()}
            | {
                "n_support_": len(support),
                "margin_": solution.margin,
                "separable_": solution.separable,
                "interpolates_": solution.on_margin,
                "duality_gap_": solution.gap,
                "n_iter_": solution.n_iter,
                "solver_": solution.solver,
            }
        )
