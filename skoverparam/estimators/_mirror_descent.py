"""Least squares by mirror descent: the mirror decides which of many solutions is found."""

from __future__ import annotations

import warnings

import torch
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, finite_array, same_namespace
from skoverparam._labels import TargetCoding, decode_labels, encode_labels
from skoverparam._params import check_flag, check_integer, check_number, make_generator
from skoverparam._steps import run_steps
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.optim._bregman import NoProjectionError, bregman_projection
from skoverparam.optim._linear_descent import (
    Conditioning,
    descent_steps,
    measured_rate,
    rate_bound,
)
from skoverparam.optim._mirrors import Mirror, make_mirror

_INTERPOLATES = 1e-6  # of the largest target

# Steps and rates come from fourth powers of the sizes of data, which must be numbers.
_LARGEST_SIZE = 1e50

# Newton's method for the Bregman projection takes matrices of this size at most.
_LARGEST_PROJECTION = 2000
# A dozen steps are usual; where no coefficients of the domain fit, more are of no use.
_PROJECTION_STEPS = 100


class _MirrorDescentModel(CallbackSupportMixin, DocumentedEstimator):
    """What regression and classification share: the descent on columns of targets."""

    def __init__(
        self,
        mirror="pnorm",
        *,
        mirror_params=None,
        learning_rate="theory",
        batch_size=None,
        fit_intercept=True,
        feature_map=None,
        init=None,
        tol=1e-8,
        max_iter=10_000,
        device="auto",
        random_state=None,
    ):
        self.mirror = mirror
        self.mirror_params = mirror_params
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.fit_intercept = fit_intercept
        self.feature_map = feature_map
        self.init = init
        self.tol = tol
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = self.feature_map is None
        return tags

    def _check_params(self):
        mirror = make_mirror(self.mirror, self.mirror_params)
        if not isinstance(self.learning_rate, str):
            check_number(self.learning_rate, "learning_rate", low=0, boundaries="neither")
        elif self.learning_rate not in ("theory", "search"):
            raise ValueError(
                f"learning_rate must be 'theory', 'search' or a number, got "
                f"{self.learning_rate!r}."
            )
        check_integer(self.batch_size, "batch_size", low=1, none=True)
        if self.batch_size is not None and self.learning_rate == "search":
            raise ValueError(
                "learning_rate='search' needs all samples in each step: batch_size must be None, "
                f"got {self.batch_size}."
            )
        check_flag(self.fit_intercept, "fit_intercept")
        if self.feature_map is not None and not hasattr(self.feature_map, "transform"):
            raise TypeError(
                "feature_map must be None or a transformer with fit and transform, got "
                f"{self.feature_map!r}."
            )
        check_number(self.tol, "tol", low=0, boundaries="left")
        check_integer(self.max_iter, "max_iter", low=1)
        return mirror

    def _descend(self, passage, X, y, targets, fitted_after):
        """Run the descent; return its last step and all that is reported about it."""
        mirror = self._check_params()
        feature_map = None if self.feature_map is None else clone(self.feature_map).fit(X, y)
        Z = self._features(passage, X, feature_map)
        _check_size(Z, "X" if feature_map is None else "What feature_map makes of X")
        _check_size(targets, "y")
        X_mean, Y_mean = Z.mean(0), targets.mean(0)
        if not self.fit_intercept:
            X_mean, Y_mean = 0 * X_mean, 0 * Y_mean
        Z, Y = Z - X_mean, targets - Y_mean
        start = self._start(passage, mirror, Z.shape[1], Y.shape[1])
        conditioning = Conditioning.of(Z, Y)
        losses, rate = [], self.learning_rate
        rate = rate if isinstance(rate, str) else float(rate)
        steps = descent_steps(
            Z,
            Y,
            start,
            mirror,
            conditioning,
            learning_rate=rate,
            batch_size=self.batch_size,
            tol=self.tol,
            max_iter=self.max_iter,
            # Nothing is drawn for steps of all samples.
            generator=make_generator(0 if self.batch_size is None else self.random_state),
        )

        def recorded():
            for step in steps:
                losses.append(step.loss)
                yield step

        def rounded(coef):
            """Coefficients and intercept as they are kept."""
            kept = coef.to(passage.dtype)
            intercept = (Y_mean - kept.double() @ X_mean).to(passage.dtype)
            if not bool(torch.isfinite(kept).all() and torch.isfinite(intercept).all()):
                raise FloatingPointError(
                    f"Coefficients up to {float(coef.abs().max()):.3g}, or the intercept, do not "
                    "fit float32, the type of X. Scale X or y, or give X in float64."
                )
            return kept, intercept

        def attributes(step):
            coef, intercept = rounded(step.coef)
            kept = {"feature_map_": feature_map} if feature_map is not None else {}
            return kept | fitted_after(coef, intercept)

        last, n_iter = run_steps(
            self,
            recorded(),
            X=X,
            y=y,
            task_name="pass",
            max_steps=self.max_iter,
            fitted_after=attributes,
        )
        distance, reachable = self._distance(Z, Y, start, mirror, last.coef, conditioning)
        if not last.converged and self.tol > 0:
            remedy = (
                f"Increase max_iter or tol{self._slowness(last)}"
                if reachable
                else f"No coefficients in the domain of {type(mirror).__name__} were found that "
                "fit the targets; if they must be positive there may be none"
            )
            warnings.warn(
                f"The residual is {last.residual:.2g} after {n_iter} passes, not "
                f"tol={self.tol:g}. {remedy}.",
                ConvergenceWarning,
                stacklevel=5,
            )
        vars(self).update(attributes(last))
        self.n_iter_, self.loss_curve_ = n_iter, losses
        self.residual_, self.bounds_ = last.residual, last.bounds
        full = self.batch_size is None or self.batch_size >= len(Z)
        self.rate_bound_ = rate_bound(conditioning, last.bounds, rate) if full else None
        scale = float(Y.square().sum()) / (2 * len(Y))
        self.rate_ = measured_rate(losses, conditioning.best, scale)
        self.bregman_distance_ = distance
        coef, intercept = rounded(last.coef)
        miss = ((Z + X_mean) @ coef.double().T + intercept - targets).abs().amax(0)
        self.interpolates_ = bool((miss <= _INTERPOLATES * targets.abs().amax(0)).all())
        return self

    def _features(self, passage, X, feature_map):
        Z = X if feature_map is None else feature_map.transform(X)
        Z = Z.toarray() if hasattr(Z, "toarray") else Z
        return passage.tensor(Z).double()

    def _start(self, passage, mirror, n_features, n_targets):
        if self.init is None:
            value = mirror.start(n_features) if isinstance(mirror, Mirror) else 0.0
            start = passage.tensor(finite_array(value, "init", n_dims=0)).double()
        else:
            given = self.init
            n_dims = 0 if isinstance(given, (int, float)) else getattr(given, "ndim", 1)
            values = finite_array(given, "init", n_dims=n_dims)
            if values.shape not in {(), (n_features,), (n_targets, n_features)}:
                raise ValueError(
                    f"init must be a number or have shape {(n_features,)} or "
                    f"{(n_targets, n_features)}, got shape {values.shape}."
                )
            start = passage.tensor(values).double()
        _check_size(start, "init")
        start = start.expand(n_targets, n_features).contiguous()
        mirror.check_domain(start, "init")
        return start

    def _distance(self, Z, Y, start, mirror, coef, conditioning):
        """Relative distance from the interpolator that the theory names, and if there is one.

        The distance is None where it is not known.
        """
        small = len(Z) <= _LARGEST_PROJECTION and Z.shape[1] <= _LARGEST_PROJECTION
        if not isinstance(mirror, Mirror) or conditioning.best > 0 or not small:
            return None, True
        off = size = 0.0
        try:
            for k in range(Y.shape[1]):
                nearest = bregman_projection(
                    Z, Y[:, k], start[k], mirror, max_iter=_PROJECTION_STEPS
                ).coef
                off += float((coef[k] - nearest).square().sum())
                size += float(nearest.square().sum())
        except NoProjectionError:
            return None, False
        except ValueError:
            # To rounding there is no solution: features that are equal to a few digits.
            return None, True
        return (off / size) ** 0.5 if size > 0 else off**0.5, True

    def _slowness(self, last):
        least, greatest = last.bounds
        if self.learning_rate == "theory" and greatest > 1e3 * least:
            return (
                f"; steps are short because the curvature of the mirror goes from {least:.2g} to "
                f"{greatest:.2g}: learning_rate='search' takes longer ones"
            )
        return ""

    def _outputs(self, X, method):
        """Fitted columns, (n, t), for other samples."""
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="coef_", method=method)
        Z = self._features(passage, X, vars(self).get("feature_map_"))
        coef, intercept = passage.tensor(self.coef_).double(), self.intercept_
        if not isinstance(intercept, float):
            intercept = passage.tensor(intercept).double()
        return passage, Z @ (coef[:, None] if coef.ndim == 1 else coef.T) + intercept


def _check_size(values, name):
    largest = float(values.abs().max())
    if largest != 0 and not 1 / _LARGEST_SIZE <= largest <= _LARGEST_SIZE:
        raise ValueError(
            f"{name} must be zero or of a size from {1 / _LARGEST_SIZE:g} to {_LARGEST_SIZE:g} "
            f"for mirror descent, got a largest entry of {largest:.3g}. Scale X and y, for "
            "example by their standard deviations."
        )


class MirrorDescentRegressor(MultiOutputMixin, RegressorMixin, _MirrorDescentModel):
    r"""Linear least squares by mirror descent.

    With more features than samples many coefficients fit. From where it starts, mirror descent
    goes to those with the least Bregman divergence of its mirror: to the least Euclidean norm, to
    sparse ones, to even ones, to positive ones. How far it came from there, computed directly,
    and how fast, beside what the theory promises, is reported.

    Parameters
    ----------
    mirror : str or mirror map, default="pnorm"
        "euclidean" (gradient descent), "pnorm", "hypentropy", "negentropy" (positive
        coefficients), "simplex" (positive, of sum one), "diagonal", "adagrad", "adagrad-norm", or
        a mirror map, such as :class:`skoverparam.optim.PNorm`, or one's own.

    mirror_params : dict, default=None
        Parameters of a mirror given by name, such as ``{"p": 1.1}`` or ``{"beta": 1e-3}``.

    learning_rate : "theory", "search" or float, default="theory"
        The step for the mean of half the squared errors. "theory" is the least curvature of the
        mirror between both ends of the step over the smoothness of the loss, found anew in each
        step; the loss then never rises. With `batch_size`, it is what the theory of stochastic
        steps allows, which is short. "search" takes the longest step, among halves and doubles
        of the last, that brings the loss down by half of what the gradient promises: it ends in
        the same place, often many times sooner, and has no rate to compare with.

    batch_size : int, default=None
        Samples for each step. None takes all.

    fit_intercept : bool, default=True
        Whether to add an intercept. Features and targets are centered for it: the mirror has no
        part in it.

    feature_map : transformer, default=None
        Maps X to the features of the linear model. It is cloned and fitted first. A pipeline
        with it does the same.

    init : float or array-like of shape (n_features,) or (n_targets, n_features), default=None
        Coefficients to start from. None is zero, or what the mirror's domain has in its place:
        equal shares of one for the entropies.

    tol : float, default=1e-8
        Stop when the norm of the residual, relative to that of the (centered) targets, is at most
        this. What no coefficients fit does not count.

    max_iter : int, default=10000
        Largest number of passes over the samples.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines the order of the samples. Only used with `batch_size`.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_targets, n_features)
        The coefficients.

    intercept_ : float or array of shape (n_targets,)
        The intercept, 0.0 if there is none.

    feature_map_ : transformer
        The fitted `feature_map`, if there is one.

    n_iter_ : int
        Passes over the samples.

    loss_curve_ : list of float
        Mean of half the squared errors after each pass.

    residual_ : float
        Relative residual in the end, as in `tol`.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one.

    bounds_ : tuple of (float, float)
        Least and greatest curvature of the mirror over the box of all coefficients visited, or of
        the metrics of a mirror that depends on time: the constants of the theory.

    rate_bound_ : float or None
        Factor by which, at least, the loss above its minimum falls in each pass by the theory.
        None with batches, and for steps longer than the theory allows.

    rate_ : float or None
        The factor that was measured, a mean over the second half of the passes. None if there are
        fewer than three above rounding.

    bregman_distance_ : float or None
        Distance from the interpolator with the least Bregman divergence from the start, relative
        to its norm. None for mirrors that depend on time, which do not go there; where nothing in
        the mirror's domain interpolates; and above 2000 samples or features.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    skoverparam.optim.MirrorDescent : The optimizer, for any model in torch.
    skoverparam.theory.bregman_projection : Where the descent ends.
    MinNormRegressor : The least Euclidean norm, directly.
    sklearn.linear_model.Lasso : Sparse coefficients by a penalty.

    Notes
    -----
    A step is :math:`\phi(w_{t+1}) = \phi(w_t) - \eta_t \nabla f(w_t)`. For an L-smooth loss with
    :math:`\|\nabla f\|^2 / 2 \ge \mu (f - f^*)` and a mirror with constants
    :math:`\alpha_l, \alpha_u`, the excess loss falls by the factor
    :math:`1 - \mu \eta (2 \alpha_l - \eta L) / \alpha_u^2` if :math:`\eta < 2 \alpha_l / L`
    (arXiv:2009.08574). Taking :math:`\alpha_l` over the step's own two ends, by halving the step
    until it fits, is ours; the decrease follows as in the paper.

    That the limit for a fixed mirror is the Bregman projection is classical (arXiv:1802.08246). It
    depends on the scale of the features for every mirror but the Euclidean one: nothing is
    standardized here.

    P-norms above 2 have curvature zero at zero: give them a ``ridge`` for theory steps. Below 2 it
    is infinite there and the bound says nothing (`rate_bound_` is 1); the descent converges.
    Adagrad's theory step has the smallest accumulated gradient in it and is often tiny.

    Cost: a singular value decomposition of the features, for the constants, and a few products
    with them for each step. All is computed in float64; float32 data get coefficients rounded to
    float32.

    References
    ----------
    A. Radhakrishnan, M. Belkin, C. Uhler, "Linear Convergence of Generalized Mirror Descent with
    Time-Dependent Mirrors", arXiv:2009.08574.

    S. Gunasekar, J. Lee, D. Soudry, N. Srebro, "Characterizing implicit bias in terms of
    optimization geometry", arXiv:1802.08246.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import MirrorDescentRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 100))
    >>> y = X[:, 0] - 2 * X[:, 1]
    >>> even = MirrorDescentRegressor(mirror="euclidean").fit(X, y)
    >>> sparse = MirrorDescentRegressor(mirror_params={"p": 1.3}, learning_rate="search")
    >>> sparse = sparse.fit(X, y)
    >>> even.interpolates_, sparse.interpolates_
    (True, True)
    >>> even.coef_[:3].round(2), sparse.coef_[:3].round(2)
    (array([ 0.32, -0.9 , -0.09]), array([ 0.91, -1.93, -0.01]))
    >>> bool(sparse.bregman_distance_ < 1e-6)
    True
    """

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y):
        """Descend from the start.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        self : MirrorDescentRegressor
            The fitted estimator.
        """
        self._check_params()
        passage, X, y = cross(
            self, X, y, reset=True, device=self.device, multi_output=True, y_numeric=True
        )
        targets = passage.tensor(y).double()
        single = targets.ndim == 1

        def fitted_after(coef, intercept):
            return {
                "coef_": passage.keep(coef[0] if single else coef),
                "intercept_": float(intercept[0]) if single else passage.keep(intercept),
            }

        targets = targets[:, None] if single else targets
        return self._descend(passage, X, y, targets, fitted_after)

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
        outputs = outputs[:, 0] if self.coef_.ndim == 1 else outputs
        return passage.back(outputs.to(passage.dtype))


class MirrorDescentClassifier(ClassifierMixin, _MirrorDescentModel):
    r"""Linear classification with the square loss by mirror descent.

    One column of targets for each class, 1 for its own samples and 0 for the others, or one of -1
    and 1 for two classes, fitted as :class:`MirrorDescentRegressor` does.

    Parameters
    ----------
    mirror : str or mirror map, default="pnorm"
        "euclidean" (gradient descent), "pnorm", "hypentropy", "negentropy" (positive
        coefficients), "simplex" (positive, of sum one), "diagonal", "adagrad", "adagrad-norm", or
        a mirror map, such as :class:`skoverparam.optim.PNorm`, or one's own.

    mirror_params : dict, default=None
        Parameters of a mirror given by name, such as ``{"p": 1.1}`` or ``{"beta": 1e-3}``.

    learning_rate : "theory", "search" or float, default="theory"
        The step for the mean of half the squared errors, as in :class:`MirrorDescentRegressor`.

    batch_size : int, default=None
        Samples for each step. None takes all.

    fit_intercept : bool, default=True
        Whether to add an intercept. Features and targets are centered for it: the mirror has no
        part in it.

    feature_map : transformer, default=None
        Maps X to the features of the linear model. It is cloned and fitted first. A pipeline
        with it does the same.

    init : float or array-like of shape (n_features,) or (n_columns, n_features), default=None
        Coefficients to start from. None is zero, or what the mirror's domain has in its place:
        equal shares of one for the entropies.

    tol : float, default=1e-8
        Stop when the norm of the residual, relative to that of the (centered) targets, is at most
        this. What no coefficients fit does not count.

    max_iter : int, default=10000
        Largest number of passes over the samples.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines the order of the samples. Only used with `batch_size`.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The classes.

    coef_ : array of shape (n_columns, n_features)
        The coefficients, one column of targets for two classes, else one for each class.

    intercept_ : array of shape (n_columns,)
        The intercepts.

    feature_map_ : transformer
        The fitted `feature_map`, if there is one.

    n_iter_ : int
        Passes over the samples.

    loss_curve_ : list of float
        Mean of half the squared errors after each pass.

    residual_ : float
        Relative residual in the end, as in `tol`.

    interpolates_ : bool
        Whether every target is met up to 1e-6 of the largest one.

    bounds_ : tuple of (float, float)
        Least and greatest curvature of the mirror over the box of all coefficients visited, or of
        the metrics of a mirror that depends on time.

    rate_bound_ : float or None
        Factor by which, at least, the loss above its minimum falls in each pass by the theory.

    rate_ : float or None
        The factor that was measured, a mean over the second half of the passes.

    bregman_distance_ : float or None
        Distance from the interpolator with the least Bregman divergence from the start, relative
        to its norm.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    MirrorDescentRegressor : The same for numbers; its notes have the theory.
    skoverparam.optim.MirrorDescent : The optimizer, for any model in torch.
    MaxMarginClassifier : The widest margin, where gradient descent on the logistic loss goes.

    Notes
    -----
    See :class:`MirrorDescentRegressor`.

    References
    ----------
    A. Radhakrishnan, M. Belkin, C. Uhler, "Linear Convergence of Generalized Mirror Descent with
    Time-Dependent Mirrors", arXiv:2009.08574.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import MirrorDescentClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 100))
    >>> y = np.where(X[:, 3] > 0, "up", "down")
    >>> classifier = MirrorDescentClassifier(mirror="pnorm").fit(X, y)
    >>> classifier.interpolates_, int(abs(classifier.coef_).argmax())
    (True, 3)
    """

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y):
        """Descend from the start.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        Returns
        -------
        self : MirrorDescentClassifier
            The fitted estimator.
        """
        self._check_params()
        passage, X, y = cross(self, X, y, reset=True, device=self.device)
        classes, labels = encode_labels(y, type(self).__name__)
        targets = TargetCoding.of("onehot", len(classes)).columns(passage.tensor(labels))

        def fitted_after(coef, intercept):
            return {
                "classes_": classes,
                "coef_": passage.keep(coef),
                "intercept_": passage.keep(intercept),
            }

        return self._descend(passage, X, y, targets, fitted_after)

    def decision_function(self, X):
        """Compute the fitted outputs.

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
        return passage.back(self._coding().scores(outputs).to(passage.dtype))

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
        return decode_labels(passage, self.classes_, self._coding().decide(outputs))

    def predict_proba(self, X):
        """Estimate probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        p : array of shape (n_samples, n_classes)
            The nearest point of the probability simplex to the outputs. Not calibrated: an
            interpolating model is certain of every training sample.
        """
        passage, outputs = self._outputs(X, "predict_proba")
        return passage.back(self._coding().probabilities(outputs).to(passage.dtype))

    def _coding(self):
        return TargetCoding.of("onehot", len(self.classes_))
