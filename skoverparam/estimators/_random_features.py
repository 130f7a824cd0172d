"""Least squares on random features, past the interpolation threshold."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, same_namespace, sample_weights
from skoverparam._config import require_memory
from skoverparam._labels import TargetCoding, check_target_coding, decode_labels, encode_labels
from skoverparam._params import (
    check_flag,
    check_integer,
    check_number,
    check_option,
    make_generator,
)
from skoverparam.estimators._base import DocumentedEstimator
from skoverparam.kernels._median_distance import median_distance
from skoverparam.kernels._random_features import (
    FEATURES,
    FOURIER,
    RandomFeatures,
    draw_features,
    scale,
)
from skoverparam.linalg._minimum_norm import default_rcond, relative_size
from skoverparam.linalg._minimum_norm_path import solutions
from skoverparam.linalg._ridge import (
    SOLVERS,
    ridge_features_path,
    ridge_solution,
    ridges_path,
)
from skoverparam.linalg._scaled_design import scaled_design

_INTERPOLATES = 1e-6  # of the largest target


class _Samples(NamedTuple):
    """Training samples that count, as tensors in float64."""

    X: object
    Y: object
    weights: object  # (n,)
    column_weights: object  # (n, t), or None if all are one


class _Fit(NamedTuple):
    """A solution for centered features and targets, and what was subtracted."""

    found: object
    X_mean: object
    Y_mean: object
    rcond: float


class _RandomFeatureModel(DocumentedEstimator):
    """What regression and classification share: the least squares fit of columns of targets."""

    path_parameters = ("n_features", "ridge")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _check_params(self):
        check_option(self.feature, "feature", FEATURES)
        check_integer(self.n_features, "n_features", low=1)
        if not isinstance(self.bandwidth, str):
            check_number(self.bandwidth, "bandwidth", low=0, boundaries="neither")
        elif self.bandwidth != "median":
            raise ValueError(f"bandwidth must be 'median' or a number, got {self.bandwidth!r}.")
        check_number(self.ridge, "ridge", low=0)
        check_number(self.rcond, "rcond", low=0, high=1, boundaries="left", none=True)
        check_flag(self.fit_intercept, "fit_intercept")
        check_option(self.solver, "solver", ("auto", *SOLVERS))
        if self.solver == "cholesky" and self.ridge == 0:
            raise ValueError("solver='cholesky' needs a positive ridge, got ridge=0.")

    def _draw(self, passage, X, n_features):
        """Random features in the precision in which they are kept, and their bandwidth."""
        bandwidth = None
        if self.feature in FOURIER:
            given = self.bandwidth
            bandwidth = median_distance(X) if isinstance(given, str) else float(given)
        generator = make_generator(self.random_state)
        drawn = draw_features(self.feature, n_features, X.shape[1], bandwidth, generator)
        kept = RandomFeatures(
            self.feature,
            drawn.frequencies.to(passage.dtype).to(passage.device),
            None if drawn.phases is None else drawn.phases.to(passage.dtype).to(passage.device),
        )
        return kept, bandwidth

    def _design(self, passage, data, n_features, copies):
        """Features of the training samples, and how to make them of others."""
        n_rows, n_inputs = data.X.shape
        require_memory(
            8.0 * n_features * (copies * n_rows + 2 * n_inputs),
            passage.device,
            what=f"Least squares with {n_features} random features of {n_rows} samples",
            remedy="Take fewer n_features or fewer samples; a kernel interpolator is what many "
            "features tend to.",
        )
        kept, bandwidth = self._draw(passage, data.X, n_features)
        features = _doubled(kept)
        Phi = features(data.X, n_features)
        if not bool(Phi.isfinite().all()):
            raise ValueError(
                "Random features of X overflow: its values reach "
                f"{float(data.X.abs().max()):g} and the bandwidth is {bandwidth}."
            )
        return Phi, features, kept, bandwidth

    def _learn(self, passage, data):
        """Fit, and return what is kept, the columns of targets last."""
        Phi, features, kept, bandwidth = self._design(passage, data, self.n_features, 6)
        fit = self._solve(Phi, data.Y, data.weights)
        fits, found = [fit], fit.found
        met = self.ridge == 0 and found.rank == len(data.X) - int(self.fit_intercept)
        if data.column_weights is not None and not met:
            # Where all targets are met, weights of the errors change nothing.
            fits = [self._solve(Phi, Y, weights) for Y, weights in _by_column(data)]
        # Certificates are about the coefficients that are kept, in their precision.
        coefs = [self._checked(fit.found.coef.to(passage.dtype), "coefficients") for fit in fits]
        intercepts = [
            fit.Y_mean - fit.X_mean @ part.double() for fit, part in zip(fits, coefs, strict=True)
        ]
        coef, intercept = coefs[0], intercepts[0]
        if len(fits) > 1:
            coef = coef.new_empty(len(coef), len(fits))
            intercept = intercept.new_empty(len(fits))
            for k, (column, constant) in enumerate(zip(coefs, intercepts, strict=True)):
                coef[:, k], intercept[k] = column[:, 0], constant[0]
        intercept = intercept.to(passage.dtype)
        miss = data.Y - Phi @ coef.double() - intercept.double()
        norm = coef.double().norm(dim=0)
        values = found.singular_values
        worst = data.Y.abs().amax(0)
        self.frequencies_ = passage.keep(kept.frequencies)
        self.phases_ = None if kept.phases is None else passage.keep(kept.phases)
        self.bandwidth_ = bandwidth
        self.singular_values_ = None if values is None else passage.keep(values.to(passage.dtype))
        self.rank_, self.rcond_, self.solver_ = found.rank, fit.rcond, found.solver
        self.interpolates_ = bool((miss.abs().amax(0) <= _INTERPOLATES * worst).all())
        return coef, {
            "intercept_": intercept,
            "coef_norm_": norm,
            "residual_": relative_size(miss, data.Y),
        }

    def _solve(self, Phi, Y, weights):
        design = scaled_design(Phi, Y, weights, center=self.fit_intercept)
        rcond = self._cut_off(Phi, design.Z, self.ridge)
        found = ridge_solution(
            design.Z, design.Y, ridge=self.ridge, rcond=rcond, solver=self.solver
        )
        return _Fit(found, design.X_mean, design.Y_mean, rcond)

    def _cut_off(self, Phi, Z, ridge):
        """Cut-off relative to the largest singular value of Z, the centered features Phi."""
        if self.rcond is not None and ridge == 0:
            return float(self.rcond)
        rcond = default_rcond(len(Phi), Phi.shape[1], Phi.dtype)
        # What centering leaves of features that are almost constant, as for a bandwidth far above
        # all distances, has their rounding errors.
        left = float(Z.norm()) / float(Phi.norm() + 1e-300)
        return rcond if left > 0.1 else min(rcond / max(left, rcond), 1.0)

    def _checked(self, values, what):
        if not bool(values.isfinite().all()):
            raise ValueError(
                f"The {what} overflow with ridge={self.ridge!r}, rcond={self.rcond!r} and "
                f"bandwidth={self.bandwidth!r}. Take a larger ridge or rcond, or scale the data."
            )
        return values

    def _outputs(self, X, method):
        """Fitted columns, (n, t), for other samples."""
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="coef_", method=method)
        phases = None if self.phases_ is None else passage.tensor(self.phases_)
        features = RandomFeatures(self.feature, passage.tensor(self.frequencies_), phases)
        coef, intercept = passage.tensor(self.coef_).double(), self.intercept_
        if not isinstance(intercept, float):
            intercept = passage.tensor(intercept).double()
        coef = coef[:, None] if coef.ndim == 1 else coef.T
        outputs = _doubled(features).apply(passage.tensor(X).double(), coef) + intercept
        return passage, self._checked(outputs, "predictions")

    def _path(self, passage, data, X_test, param_name, param_range):
        """Return outputs and norms, (n_values, n_test, t) and (n_values, t)."""
        check_option(param_name, "param_name", self.path_parameters)
        over_ridges = param_name == "ridge"
        for value in param_range:
            if over_ridges:
                check_number(value, param_name, low=0)
            else:
                check_integer(value, param_name, low=1)
        values = [float(value) if over_ridges else int(value) for value in param_range]
        if not values:
            raise ValueError("param_range must hold at least one value, got none.")
        distinct = sorted(set(values))
        n_features = self.n_features if over_ridges else max(values)
        copies = 6 + 2 * len(X_test) / len(data.X)
        Phi, features, *_ = self._design(passage, data, n_features, copies)
        Phi_test = features(passage.tensor(X_test).double(), n_features)
        outputs = Phi.new_zeros(len(distinct), len(Phi_test), data.Y.shape[1])
        norms = Phi.new_zeros(len(distinct), data.Y.shape[1])
        walk = self._over_ridges if over_ridges else self._over_features
        if data.column_weights is None:
            parts = [(slice(None), data.Y, data.weights)]
        else:
            parts = [(slice(k, k + 1), *part) for k, part in enumerate(_by_column(data))]
        for columns, Y, weights in parts:
            design = scaled_design(Phi, Y, weights, center=self.fit_intercept)
            readout = Phi_test - design.X_mean
            cut_off = partial(self._cut_off, Phi, design.Z)
            for places, image, sizes in walk(design, readout, distinct, cut_off):
                outputs[places, :, columns] = image + design.Y_mean
                norms[places, columns] = sizes
        order = [distinct.index(value) for value in values]
        return self._checked(outputs[order], "predictions"), norms[order]

    def _over_ridges(self, design, readout, ridges, cut_off):
        rconds = [cut_off(ridge) for ridge in ridges]
        for place, w in enumerate(ridges_path(design.Z, design.Y, ridges, rconds)):
            yield place, readout @ w, w.norm(dim=0)

    def _over_features(self, design, readout, dims, cut_off):
        # All features come with the scale of the largest model.
        largest = dims[-1]
        ratios = [scale(self.feature, largest) / scale(self.feature, d) for d in dims]
        rcond = cut_off(self.ridge)
        if self.ridge > 0:
            ridges = [self.ridge * ratio**2 for ratio in ratios]
            path = ridge_features_path(design.Z, design.Y, dims, ridges, rcond=rcond)
            for place, w in enumerate(path):
                yield place, readout[:, : len(w)] @ w, ratios[place] * w.norm(dim=0)
            return
        ratios = design.Z.new_tensor(ratios)[:, None]
        for part in solutions(design.Z, design.Y, dims, rcond=rcond, readout=readout):
            yield part.places, part.image.movedim(1, 0), ratios[part.places] * part.norms


class RandomFeatureRegressor(MultiOutputMixin, RegressorMixin, _RandomFeatureModel):
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
        Whether every training target is met up to 1e-6 of the largest one.

    frequencies_ : array of shape (n_projections, n_features_in_)
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
        Number of columns seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all of them are strings.

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

    M. Belkin, "Fit without fear", arXiv:2105.14368.

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

    def __init__(
        self,
        feature="fourier",
        *,
        n_features=1000,
        bandwidth="median",
        ridge=0.0,
        rcond=None,
        fit_intercept=True,
        solver="auto",
        device="auto",
        random_state=None,
    ):
        self.feature = feature
        self.n_features = n_features
        self.bandwidth = bandwidth
        self.ridge = ridge
        self.rcond = rcond
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.device = device
        self.random_state = random_state

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
        coef, kept = self._learn(passage, data)
        for name, values in kept.items():
            setattr(self, name, float(values[0]) if single else passage.keep(values))
        self.coef_ = passage.keep(coef[:, 0] if single else coef.T.contiguous())
        return self

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,) or (n_samples, n_targets)
            Predicted targets.
        """
        passage, outputs = self._outputs(X, "predict")
        outputs = outputs[:, 0] if self.coef_.ndim == 1 else outputs
        return passage.back(outputs.to(passage.dtype))

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
        passage, X, y = cross(
            self, X, y, reset=True, device=self.device, multi_output=True, y_numeric=True
        )
        X, Y = (passage.tensor(array).double() for array in (X, y))
        single = Y.ndim == 1
        data = _Samples(X, Y[:, None] if single else Y, X.new_ones(len(X)), None)
        return passage, _weighted(passage, data, sample_weight), single


class RandomFeatureClassifier(ClassifierMixin, _RandomFeatureModel):
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
        Whether every target of every sample is met up to 1e-6 of the largest one of its column.

    frequencies_ : array of shape (n_projections, n_features_in_)
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
        Number of columns seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all of them are strings.

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

    M. Belkin, "Fit without fear", arXiv:2105.14368.

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
        self.feature = feature
        self.n_features = n_features
        self.bandwidth = bandwidth
        self.ridge = ridge
        self.rcond = rcond
        self.fit_intercept = fit_intercept
        self.target_coding = target_coding
        self.solver = solver
        self.device = device
        self.random_state = random_state

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
        passage, data, classes = self._cross(X, y, sample_weight)
        coef, kept = self._learn(passage, data)
        for name, values in kept.items():
            setattr(self, name, passage.keep(values))
        self.coef_ = passage.keep(coef.T.contiguous())
        self.classes_ = classes
        return self

    def decision_function(self, X):
        """Compute the fitted outputs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            One per sample for two classes, positive for ``classes_[1]``; else one per class.
        """
        passage, outputs = self._outputs(X, "decision_function")
        return passage.back(self._coding(self.classes_).scores(outputs).to(passage.dtype))

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,)
            The class with the largest output.
        """
        passage, outputs = self._outputs(X, "predict")
        return decode_labels(passage, self.classes_, self._coding(self.classes_).decide(outputs))

    def predict_proba(self, X):
        """Estimate probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        p : array of shape (n_samples, n_classes)
            Outputs taken to the probability simplex. They are not calibrated: an interpolating
            model is certain of every training sample.
        """
        passage, outputs = self._outputs(X, "predict_proba")
        p = self._coding(self.classes_).probabilities(outputs)
        return passage.back(p.to(passage.dtype))

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
        passage, data, classes = model._cross(X, y)
        _, X_test = cross(model, X_test, reset=False, device=self.device)
        outputs, norms = model._path(passage, data, X_test, param_name, param_range)
        best = self._coding(classes).decide(outputs.flatten(0, 1)).view(outputs.shape[:2])
        labels = decode_labels(passage, classes, best)
        return (labels, passage.back(norms.to(passage.dtype))) if return_norm else labels

    def _check_params(self):
        super()._check_params()
        check_target_coding(self.target_coding)

    def _coding(self, classes):
        return TargetCoding.of(self.target_coding, len(classes))

    def _cross(self, X, y, sample_weight=None):
        passage, X, y = cross(self, X, y, reset=True, device=self.device)
        classes, labels = encode_labels(y, type(self).__name__)
        coding, labels = self._coding(classes), passage.tensor(labels)
        X = passage.tensor(X).double()
        data = _Samples(X, coding.columns(labels), X.new_ones(len(X)), coding.weights(labels))
        return passage, _weighted(passage, data, sample_weight), classes


def _doubled(features):
    """Features of the frequencies that are kept, evaluated in float64."""
    phases = None if features.phases is None else features.phases.double()
    return features._replace(frequencies=features.frequencies.double(), phases=phases)


def _by_column(data):
    """Yield every column of targets with the weights of its errors."""
    for k in range(data.Y.shape[1]):
        yield data.Y[:, k : k + 1], data.weights * data.column_weights[:, k]


def _weighted(passage, data, sample_weight):
    if sample_weight is None:
        return data
    weights = passage.tensor(sample_weights(sample_weight, len(data.X)))
    kept = weights > 0
    columns = data.column_weights
    return _Samples(
        data.X[kept], data.Y[kept], weights[kept], None if columns is None else columns[kept]
    )
