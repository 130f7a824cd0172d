"""Least squares by mirror descent: the mirror decides which of many solutions is found."""

from __future__ import annotations

from sklearn.callback import with_callbacks

from skoverparam._arrays import cross_targets
from skoverparam._labels import TargetCoding, cross_labels
from skoverparam.estimators._base import all_or_nothing
from skoverparam.estimators._columns import ColumnClassifier, ColumnRegressor
from skoverparam.estimators._mirror_columns import MirrorColumns


class MirrorDescentRegressor(ColumnRegressor, MirrorColumns):
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
        Whether every training target is met up to 1e-6 of the largest one of its column.

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

    Sizes of features and targets must be between 1e-50 and 1e50, because rates come from their
    fourth powers; ``fit`` refuses others.

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
        passage, X, y, Y, single = cross_targets(self, X, y)
        return self._descend(passage, X, y, Y, {}, single=single)


class MirrorDescentClassifier(ColumnClassifier, MirrorColumns):
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
    classes_ : ndarray of shape (n_classes,)
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
        Whether every target is met up to 1e-6 of the largest one of its column.

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
        passage, X, y, classes, labels = cross_labels(self, X, y)
        coding = TargetCoding.of("onehot", len(classes))
        known = {"classes_": classes, "_coding": tuple(coding)}
        return self._descend(passage, X, y, coding.columns(labels), known)
