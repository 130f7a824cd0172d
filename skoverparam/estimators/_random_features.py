"""Least squares on random features, past the interpolation threshold."""

from __future__ import annotations

from sklearn.base import clone

from skoverparam._arrays import cross, cross_targets
from skoverparam._labels import TargetCoding, check_target_coding, cross_labels, decode_labels
from skoverparam.estimators._base import all_or_nothing
from skoverparam.estimators._columns import ColumnClassifier, ColumnRegressor, Samples
from skoverparam.estimators._random_feature_columns import RandomFeatureColumns


class RandomFeatureRegressor(ColumnRegressor, RandomFeatureColumns):
    r"""Least squares on random features, of smallest norm past the interpolation threshold.

    A two-layer network whose first layer is random and stays so. With fewer features than samples
    it is least squares; with more it interpolates, by the solution of smallest norm, and in the
    limit it is the kernel interpolant. In between is the peak of double descent. One pass
    computes test errors over all numbers of features.

    Parameters
    ----------
    feature : {"fourier", "fourier_phase", "relu"}, default="fourier"
        Which functions of a sample x, v being random.

        - "fourier": :math:`\cos v^T x` and :math:`\sin v^T x` in turn, v normal with standard
          deviation 1 / bandwidth. An odd number of features ends with a cosine.
        - "fourier_phase": :math:`\cos(v^T x + b)`, b uniform on the circle.
        - "relu": :math:`\max(v^T x, 0)`, v uniform on the unit sphere. Without a bias: center or
          standardize the data, or append a constant column, if zero means nothing in them.

    n_features : int, default=1000
        Number of random features. For the same `random_state` the first ones of a larger number
        are those of a smaller one.

    bandwidth : "median" or float, default="median"
        L of the Gaussian kernel :math:`\exp(-\|x - z\|^2 / (2 L^2))` that Fourier features tend
        to. "median" is the median distance of two training samples. "relu" has none.

    ridge : float, default=0.0
        Penalty on the squared norm of the coefficients. The features are scaled such that this is
        ``alpha`` of :class:`sklearn.kernel_ridge.KernelRidge` with the kernel that they tend to.
        0 is the least squares solution of smallest norm.

    rcond : float, default=None
        Singular values of the design up to `rcond` times the largest one count as zero. None takes
        the machine precision times ``max(n_samples, n_features)``. A larger one regularizes: it
        takes the peak off a generalization curve. Not used with a ridge.

    fit_intercept : bool, default=True
        Whether to add an intercept, which the norm does not count: features and targets are
        centered by their (weighted) means. This uses up one sample: the test error then peaks at
        ``n_samples - 1`` features.

    solver : {"auto", "svd", "cholesky"}, default="auto"
        "svd" decomposes the design, as is done without a ridge. "cholesky" factorizes the smaller
        Gram matrix: many times faster, and exact unless the ridge is tiny. "auto" is "cholesky"
        for ridges above 1e-8 of the norm of the Gram matrix, else "svd".

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines the random features.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_targets, n_features)
        Coefficients of the features.

    intercept_ : float or array of shape (n_targets,)
        The intercept, 0.0 if there is none.

    coef_norm_ : float or array of shape (n_targets,)
        Norm of the coefficients. It tends to the norm of the kernel interpolant in the space of
        the kernel.

    residual_ : float or array of shape (n_targets,)
        ``||y - predict(X)|| / ||y||`` on the training samples.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one of its column.

    frequencies_ : array of shape (n_projections, `n_features_in_`)
        The random v, half as many as features with "fourier".

    phases_ : array of shape (n_features,) or None
        The random b of "fourier_phase".

    bandwidth_ : float or None
        The bandwidth used.

    rank_ : int or None
        Numerical rank of the (centered) design. Interpolation begins where it reaches the number
        of (distinct) samples, or one less with an intercept. None with "cholesky".

    singular_values_ : array of shape (min(n_samples, n_features),) or None
        Singular values of the design. None with "cholesky".

    rcond_ : float
        The cut-off used. It is larger than the default where centering leaves little of the
        features, and much of that is rounding errors.

    solver_ : {"svd", "cholesky"}
        The solver used.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    RandomFeatureClassifier : The same for classes.
    skoverparam.model_selection.generalization_curve : Test errors over `n_features` or `ridge`.
    sklearn.kernel_approximation.RBFSampler : Fourier features with phases, as a transformer.

    Notes
    -----
    Features are scaled by :math:`\sqrt{2 / D}` ("relu": :math:`\sqrt{1 / D}`), and their inner
    products tend to the Gaussian kernel ("relu": to the arc-cosine kernel of degree one,
    :math:`\|x\| \|z\| (\sin t + (\pi - t) \cos t) / (2 \pi d)` for samples at an angle t).

    Complex features :math:`\exp(i v^T x)`, in which the model is often written, span the same
    functions as pairs of cosine and sine. Their least squares solution also fits the imaginary
    part, to zero, and so needs twice as many real coefficients to interpolate.

    Cost: with "svd" about :math:`4 n^2 D + 20 n^3` multiplications for n samples and D > n
    features, the other way round else; with "cholesky" :math:`n^2 D + n^3 / 3`; some six copies of
    the (n, D) design in float64. Predictions take blocks of samples. Features are evaluated, and
    all is solved, in float64; float32 data get coefficients rounded to float32, whose residual is
    what is reported.

    References
    ----------
    A. Rahimi, B. Recht, "Random features for large-scale kernel machines", 2007.

    M. Belkin, D. Hsu, S. Ma, S. Mandal, "Reconciling modern machine learning practice and the
    bias-variance trade-off", arXiv:1812.11118.

    Mikhail Belkin, "Fit without fear", arXiv:2105.14368.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import RandomFeatureRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, size=(100, 2))
    >>> y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
    >>> model = RandomFeatureRegressor(n_features=2000, bandwidth=0.5, random_state=0)
    >>> model.fit(X[:50], y[:50]).interpolates_
    True
    >>> bool(model.score(X[50:], y[50:]) > 0.95)
    True
    >>> few = RandomFeatureRegressor(n_features=20, bandwidth=0.5, random_state=0)
    >>> few.fit(X[:50], y[:50]).interpolates_, few.rank_
    (False, 20)
    >>> bool((model.frequencies_[:10] == few.frequencies_).all())
    True
    """

    @all_or_nothing()
    def fit(self, X, y, sample_weight=None):
        """Draw the features and find their coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts. Samples of weight zero are dropped.

        Returns
        -------
        self : RandomFeatureRegressor
            The fitted estimator.
        """
        self._check_params()
        passage, data, single = self._cross(X, y, sample_weight)
        self._learn(passage, data, single=single)
        return self

    def fit_predict_path(
        self, X, y, X_test, *, param_name="n_features", param_range, return_norm=False
    ):
        """Predict with a fit for each value of a parameter, in one pass over all of them.

        The predictions are, to rounding, those of clones fitted with each value; this estimator
        is left as it was. :func:`skoverparam.model_selection.generalization_curve` calls this
        method of any estimator that has it, if `path_parameters` names the parameter.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        X_test : array-like of shape (n_test, n_features_in)
            Samples to predict.

        param_name : {"n_features", "ridge"}, default="n_features"
            The parameter.

        param_range : array-like of shape (n_values,)
            Its values.

        return_norm : bool, default=False
            Whether to return the norms of the coefficients, too.

        Returns
        -------
        y_test : array of shape (n_values, n_test) or (n_values, n_test, n_targets)
            Predictions of every fit.

        norms : array of shape (n_values,) or (n_values, n_targets)
            Norms of the coefficients of every fit. Only if `return_norm` is True.
        """
        self._check_params()
        # What validation leaves behind is left on a clone.
        model = clone(self)
        passage, data, single = model._cross(X, y)
        _, X_test = cross(model, X_test, reset=False, device=self.device)
        outputs, norms = model._path(passage, data, X_test, param_name, param_range)
        if single:
            outputs, norms = outputs[..., 0], norms[:, 0]
        outputs, norms = (passage.back(a.to(passage.dtype)) for a in (outputs, norms))
        return (outputs, norms) if return_norm else outputs

    def _cross(self, X, y, sample_weight=None):
        passage, X, _, Y, single = cross_targets(self, X, y)
        return passage, Samples.of(passage, X, Y, sample_weight), single


class RandomFeatureClassifier(ColumnClassifier, RandomFeatureColumns):
    r"""Classification by least squares on random features, past the interpolation threshold.

    Columns of targets stand for the classes and are fitted as by `RandomFeatureRegressor`; the
    largest output decides. Errors in classification peak at the interpolation threshold, too.

    Parameters
    ----------
    feature : {"fourier", "fourier_phase", "relu"}, default="fourier"
        Which functions of a sample x, v being random.

        - "fourier": :math:`\cos v^T x` and :math:`\sin v^T x` in turn, v normal with standard
          deviation 1 / bandwidth. An odd number of features ends with a cosine.
        - "fourier_phase": :math:`\cos(v^T x + b)`, b uniform on the circle.
        - "relu": :math:`\max(v^T x, 0)`, v uniform on the unit sphere. Without a bias: center or
          standardize the data, or append a constant column, if zero means nothing in them.

    n_features : int, default=1000
        Number of random features. For the same `random_state` the first ones of a larger number
        are those of a smaller one.

    bandwidth : "median" or float, default="median"
        L of the Gaussian kernel :math:`\exp(-\|x - z\|^2 / (2 L^2))` that Fourier features tend
        to. "median" is the median distance of two training samples. "relu" has none.

    ridge : float, default=0.0
        Penalty on the squared norm of the coefficients. The features are scaled such that this is
        ``alpha`` of :class:`sklearn.kernel_ridge.KernelRidge` with the kernel that they tend to.
        0 is the least squares solution of smallest norm.

    rcond : float, default=None
        Singular values of the design up to `rcond` times the largest one count as zero. None takes
        the machine precision times ``max(n_samples, n_features)``. A larger one regularizes: it
        takes the peak off a generalization curve. Not used with a ridge.

    fit_intercept : bool, default=True
        Whether to add an intercept, which the norm does not count: features and targets are
        centered by their (weighted) means. This uses up one sample: the test error then peaks at
        ``n_samples - 1`` features.

    target_coding : {"onehot", "pm1", "rescaled"} or (k, M), default="onehot"
        Targets of a sample's own class and of the others: 1 and 0, or 1 and -1. A pair (k, M) is
        M and 0, the errors of the own class counting k times; "rescaled" takes it from a published
        table by the number of classes. Two classes with k = 1 share one column, whose sign
        decides.

    solver : {"auto", "svd", "cholesky"}, default="auto"
        "svd" decomposes the design, as is done without a ridge. "cholesky" factorizes the smaller
        Gram matrix: many times faster, and exact unless the ridge is tiny. "auto" is "cholesky"
        for ridges above 1e-8 of the norm of the Gram matrix, else "svd".

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines the random features.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    coef_ : array of shape (n_columns, n_features)
        Coefficients of the features for every column of targets: one for each class, a single one
        for two classes.

    intercept_ : array of shape (n_columns,)
        Intercepts, zero if there are none.

    coef_norm_ : array of shape (n_columns,)
        Norms of the coefficients.

    residual_ : array of shape (n_columns,)
        Norms of what is left of the columns of targets, relative to theirs.

    interpolates_ : bool
        Whether every target is met up to 1e-6 of the largest one of its column.

    frequencies_ : array of shape (n_projections, `n_features_in_`)
        The random v, half as many as features with "fourier".

    phases_ : array of shape (n_features,) or None
        The random b of "fourier_phase".

    bandwidth_ : float or None
        The bandwidth used.

    rank_ : int or None
        Numerical rank of the (centered) design. Interpolation begins where it reaches the number
        of (distinct) samples, or one less with an intercept. None with "cholesky".

    singular_values_ : array of shape (min(n_samples, n_features),) or None
        Singular values of the design. None with "cholesky".

    rcond_ : float
        The cut-off used. It is larger than the default where centering leaves little of the
        features, and much of that is rounding errors.

    solver_ : {"svd", "cholesky"}
        The solver used.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    RandomFeatureRegressor : The fit, and what features tend to.
    skoverparam.model_selection.generalization_curve : Test errors over `n_features` or `ridge`.
    skoverparam.MaxMarginClassifier : The largest margin in place of the square loss.

    Notes
    -----
    Cost: with "svd" about :math:`4 n^2 D + 20 n^3` multiplications for n samples and D > n
    features, the other way round else; with "cholesky" :math:`n^2 D + n^3 / 3`; some six copies of
    the (n, D) design in float64. Predictions take blocks of samples. Features are evaluated, and
    all is solved, in float64; float32 data get coefficients rounded to float32, whose residual is
    what is reported.

    Where all targets are met, how much errors count changes nothing; elsewhere k > 1 takes one
    solution for each class.

    References
    ----------
    A. Rahimi, B. Recht, "Random features for large-scale kernel machines", 2007.

    M. Belkin, D. Hsu, S. Ma, S. Mandal, "Reconciling modern machine learning practice and the
    bias-variance trade-off", arXiv:1812.11118.

    Mikhail Belkin, "Fit without fear", arXiv:2105.14368.

    L. Hui, M. Belkin, "Evaluation of neural architectures trained with square loss vs
    cross-entropy in classification tasks", arXiv:2006.07322.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import RandomFeatureClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = RandomFeatureClassifier(n_features=4000, random_state=0).fit(X[:500], y[:500])
    >>> model.interpolates_, model.rank_
    (True, 499)
    >>> bool(model.score(X[500:], y[500:]) > 0.9)
    True
    """

    def __init__(
        self,
        feature="fourier",
        *,
        n_features=1000,
        bandwidth="median",
        ridge=0.0,
        rcond=None,
        fit_intercept=True,
        target_coding="onehot",
        solver="auto",
        device="auto",
        random_state=None,
    ):
        super().__init__(
            feature,
            n_features=n_features,
            bandwidth=bandwidth,
            ridge=ridge,
            rcond=rcond,
            fit_intercept=fit_intercept,
            solver=solver,
            device=device,
            random_state=random_state,
        )
        self.target_coding = target_coding

    @all_or_nothing()
    def fit(self, X, y, sample_weight=None):
        """Draw the features and find their coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts. Samples of weight zero are dropped.

        Returns
        -------
        self : RandomFeatureClassifier
            The fitted estimator.
        """
        self._check_params()
        passage, data, self.classes_, coding = self._cross(X, y, sample_weight)
        self._coding = tuple(coding)
        self._learn(passage, data)
        return self

    def fit_predict_path(
        self, X, y, X_test, *, param_name="n_features", param_range, return_norm=False
    ):
        """Predict classes with a fit for each value of a parameter, in one pass over all of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        X_test : array-like of shape (n_test, n_features_in)
            Samples to predict.

        param_name : {"n_features", "ridge"}, default="n_features"
            The parameter.

        param_range : array-like of shape (n_values,)
            Its values.

        return_norm : bool, default=False
            Whether to return the norms of the coefficients, too.

        Returns
        -------
        y_test : array of shape (n_values, n_test)
            Predicted classes of every fit.

        norms : array of shape (n_values, n_columns)
            Norms of the coefficients of every fit. Only if `return_norm` is True.
        """
        self._check_params()
        model = clone(self)
        passage, data, classes, coding = model._cross(X, y)
        _, X_test = cross(model, X_test, reset=False, device=self.device)
        outputs, norms = model._path(passage, data, X_test, param_name, param_range)
        best = coding.decide(outputs.flatten(0, 1)).view(outputs.shape[:2])
        labels = decode_labels(passage, classes, best)
        return (labels, passage.back(norms.to(passage.dtype))) if return_norm else labels

    def _check_params(self):
        super()._check_params()
        check_target_coding(self.target_coding)

    def _cross(self, X, y, sample_weight=None):
        passage, X, _, classes, labels = cross_labels(self, X, y)
        coding = TargetCoding.of(self.target_coding, len(classes))
        columns, weights = coding.columns(labels), coding.weights(labels)
        data = Samples.of(passage, X, columns, sample_weight, weights)
        return passage, data, classes, coding
