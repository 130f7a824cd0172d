"""Linear regression past the interpolation threshold."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, cross_targets, finite_array, same_namespace
from skoverparam._config import require_memory
from skoverparam._params import check_flag, check_integer, check_number, check_option
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.estimators._columns import (
    ColumnRegressor,
    Samples,
    are_met,
    fitted_columns,
    kept_columns,
)
from skoverparam.linalg._minimum_norm import (
    SOLVERS,
    default_rcond,
    memory_needed,
    minimum_norm,
    relative_size,
)
from skoverparam.linalg._minimum_norm_path import solutions
from skoverparam.linalg._scaled_design import scaled_design
from skoverparam.linalg._units import holds, units_of

# Named spectra; theory.spectrum makes others.
_SPECTRA = {"isotropic": np.ones, "power": lambda k: 1.0 / np.arange(1, k + 1)}


class MinNormRegressor(ColumnRegressor, DocumentedEstimator):
    r"""Linear regression by the least squares solution of smallest norm.

    With fewer features than samples this is ordinary least squares. With more, it interpolates:
    of all linear functions through the training points it is the one of smallest norm. Nothing
    is cut off or penalized unless asked for, and whether the training points are met is checked
    and reported.

    Parameters
    ----------
    fit_intercept : bool, default=True
        Whether to add an intercept, which the norm does not count: data are centered by their
        (weighted) means first. This uses up one sample: the test error then peaks at
        ``n_samples - 1`` features.

    n_features_used : int, default=None
        Use the first so many features only; the others get coefficient 0. None uses all.

    rcond : float, default=None
        Singular values up to `rcond` times the largest one count as zero. None takes the
        machine precision times ``max(n_samples, n_features)``.

    solver : {"auto", "svd", "cod", "gram"}, default="auto"
        As in :func:`skoverparam.linalg.minimum_norm`; "auto" is "svd".

    spectrum : str, array-like of shape (n_directions,) or callable, default=None
        Mean squares over the training samples that the features are scaled to, before the
        solution of smallest norm is sought; features that are made larger cost less. "isotropic"
        whitens (with ``directions="features"``: standardizes), "power" is 1, 1/2, 1/3, ... A
        callable maps the number of directions to an array, as
        ``partial(skoverparam.theory.spectrum, "power")`` does. None leaves the scales as they
        are.

    directions : str or array-like of shape (n_directions, n_features), default="features"
        What counts as a feature for `n_features_used`, `spectrum` and `feature_weights`:
        "features" are the columns of X, "principal" the principal directions of the training
        samples in descending order. An array holds directions, one a row, such as the
        ``components_`` of a PCA of unlabeled data.

    feature_weights : array-like of shape (n_directions,), default=None
        Positive weights q: the norm is :math:`(\sum_j q_j^2 w_j^2)^{1/2}`, so that features of
        larger weight are used less.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    Attributes
    ----------
    coef_ : array of shape (n_features,) or (n_targets, n_features)
        Coefficients of the columns of X.

    intercept_ : float or array of shape (n_targets,)
        The intercept, 0.0 if there is none.

    rank_ : int
        Numerical rank of the (centered) design.

    singular_values_ : array of shape (min(n_samples, n_features_used),) or None
        Singular values of the design that the norm was minimized for: centered, rescaled,
        weighted. None with ``solver="cod"``.

    rcond_ : float
        The cut-off used.

    coef_norm_ : float or array of shape (n_targets,)
        The norm that was made small; without `spectrum` and `feature_weights` that of `coef_`.

    residual_ : float or array of shape (n_targets,)
        ``||y - predict(X)|| / ||y||`` on the training samples, computed from `coef_`.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    skoverparam.linalg.minimum_norm : The solution without an estimator.
    skoverparam.model_selection.generalization_curve : Test errors over `n_features_used`.
    sklearn.linear_model.LinearRegression : Cuts singular values off at 1e-6 of the largest.
    sklearn.linear_model.Ridge : With a penalty on the norm in place of its minimum.

    Notes
    -----
    Minimized is :math:`\|w\|` over all (w, b) for which :math:`\sum_i s_i (y_i - b - w^T
    x_i)^2` is least, s the sample weights. This is the solution for centered data,
    :math:`w = \tilde X^+ \tilde y` and :math:`b = \bar y - w^T \bar x`. A column of ones
    appended to X gives another one, in which b counts for the norm. Samples of weight zero are
    dropped, and one of weight 2 counts as two.

    Scaling the principal directions of the training samples changes no prediction as long as all
    of them are used: on their span there is one interpolant only. `spectrum` matters for
    directions that the samples do not determine, those of the features or given ones.

    The residual cannot be expected below the machine precision times
    :math:`\|X\| \, \|w\|`. On a design of 40 x 120 with singular values from 1 down to 1e-8
    it is some 1e-9 of the norm of y, down to 1e-12 it is some 1e-5.

    Cost: that of a singular value decomposition, :math:`4 n^2 d + 20 n^3` multiplications for
    n < d. All is computed in float64; float32 data get coefficients rounded to float32, whose
    residual is what is reported.

    References
    ----------
    Mikhail Belkin, "Fit without fear", arXiv:2105.14368.

    L. Chen, Y. Min, M. Belkin, A. Karbasi, "Multiple descent: design your own generalization
    curve", arXiv:2008.01036.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import MinNormRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(30, 100))
    >>> y = X[:, 0] + 0.1 * rng.normal(size=30)
    >>> model = MinNormRegressor().fit(X, y)
    >>> model.interpolates_, model.rank_
    (True, 29)
    >>> few = MinNormRegressor(n_features_used=10).fit(X, y)
    >>> few.interpolates_, bool((few.coef_[10:] == 0).all())
    (False, True)
    """

    def __init__(
        self,
        *,
        fit_intercept=True,
        n_features_used=None,
        rcond=None,
        solver="auto",
        spectrum=None,
        directions="features",
        feature_weights=None,
        device="auto",
    ):
        self.fit_intercept = fit_intercept
        self.n_features_used = n_features_used
        self.rcond = rcond
        self.solver = solver
        self.spectrum = spectrum
        self.directions = directions
        self.feature_weights = feature_weights
        self.device = device

    @all_or_nothing()
    def fit(self, X, y, sample_weight=None):
        """Find the coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts. Samples of weight zero are dropped.

        Returns
        -------
        self : MinNormRegressor
            The fitted estimator.
        """
        self._check_params()
        passage, given, single = self._cross(X, y, sample_weight)
        data, X_unit, Y_unit = _in_units(given)
        n_rows, n_features = data.X.shape
        require_memory(
            memory_needed(n_rows, n_features),
            passage.device,
            what=f"Least squares with {n_features} features of {n_rows} samples",
            remedy="MirrorDescentRegressor with mirror='euclidean' goes to the same solution in "
            "little more memory than the data take.",
        )
        design = self._design(passage, data)
        solver = "svd" if self.solver == "auto" else self.solver
        used = design.Z[:, : self.n_features_used]
        found = minimum_norm(used, design.Y, rcond=self.rcond, solver=solver)
        # Certificates are about the coefficients that are kept, in their precision.
        exact = design.coefficients(found.coef, n_features) * Y_unit / X_unit
        if not holds(passage.dtype, exact, found.coef):
            raise ValueError(
                f"X and y are of sizes so different that {passage.dtype} cannot hold the "
                f"coefficients, which reach {float(exact.abs().max()):.3g}: scale X or y."
            )
        coef = exact.to(passage.dtype)
        intercept = design.Y_mean * Y_unit - (design.X_mean * X_unit) @ coef.double()
        intercept = intercept.to(passage.dtype)
        # Of predictions: targets may be lost in terms of a sum that are larger.
        miss = given.Y - (given.X @ coef.double() + intercept.double())
        # Scales that a spectrum prescribes are not those of X.
        Z_unit = X_unit if self.spectrum is None else 1.0
        numbers = {
            "intercept_": intercept,
            "coef_norm_": found.norm * Y_unit / Z_unit,
            "residual_": relative_size(miss / Y_unit, data.Y),
        }
        vars(self).update(kept_columns(passage, coef, numbers, single=single))
        values = found.singular_values
        if values is not None:
            values = passage.keep((values * Z_unit).to(passage.dtype))
        self.singular_values_ = values
        self.rank_, self.rcond_ = found.rank, found.rcond
        self.interpolates_ = are_met(miss, given.Y)
        return self

    @property
    def path_parameters(self):
        """Names of what :meth:`fit_predict_path` has a path over.

        "n_samples" stands for fits to the first samples: they have a path if nothing else in the
        design depends on the samples, neither means nor scales.
        """
        if self.solver not in {"auto", "svd"}:
            return ()
        nested = not self.fit_intercept and self.spectrum is None and not self._is_principal()
        return ("n_features_used", "n_samples") if nested else ("n_features_used",)

    def fit_predict_path(self, X, y, X_test, *, param_name="n_features_used", param_range):
        """Predict with a fit for each value of a parameter, in one pass over all of them.

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

        param_name : str, default="n_features_used"
            One of `path_parameters`.

        param_range : array-like of int of shape (n_values,)
            Values of the parameter.

        Returns
        -------
        y_test : array of shape (n_values, n_test) or (n_values, n_test, n_targets)
            Predictions of every fit.
        """
        self._check_params()
        check_option(param_name, "param_name", self.path_parameters)
        # What validation leaves behind is left on a clone.
        model = clone(self)
        passage, given, single = model._cross(X, y)
        _, X_test = cross(model, X_test, reset=False, device=self.device)
        data, X_unit, Y_unit = _in_units(given)
        design = self._design(passage, data)
        axis = "samples" if param_name == "n_samples" else "features"
        Z, readout = design.Z, design.features(passage.tensor(X_test).double() / X_unit)
        if axis == "samples":
            Z, readout = Z[:, : self.n_features_used], readout[:, : self.n_features_used]
        largest = len(Z) if axis == "samples" else self._n_directions(data)
        for value in param_range:
            check_integer(value, param_name, low=1, high=largest)
        # Principal directions may be fewer than asked for.
        sizes = [min(int(value), max(Z.shape)) for value in param_range]
        if axis == "features":
            sizes = [min(size, Z.shape[1]) for size in sizes]
        distinct = sorted(set(sizes))
        rcond = default_rcond(len(Z), Z.shape[1], Z.dtype) if self.rcond is None else self.rcond
        y_test = readout.new_zeros(len(distinct), len(readout), data.Y.shape[1])
        for part in solutions(Z, design.Y, distinct, axis=axis, rcond=rcond, readout=readout):
            y_test[part.places] = part.image.movedim(1, 0)
        y_test = y_test[[distinct.index(size) for size in sizes]] + design.Y_mean
        y_test = y_test * Y_unit
        return passage.back((y_test[..., 0] if single else y_test).to(passage.dtype))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _check_params(self):
        check_flag(self.fit_intercept, "fit_intercept")
        check_integer(self.n_features_used, "n_features_used", low=1, none=True)
        check_number(self.rcond, "rcond", low=0, high=1, boundaries="left", none=True)
        check_option(self.solver, "solver", ("auto", *SOLVERS))
        if isinstance(self.directions, str):
            check_option(self.directions, "directions", ("features", "principal"))
        else:
            finite_array(self.directions, "directions")
        if isinstance(self.spectrum, str):
            check_option(self.spectrum, "spectrum", _SPECTRA)

    def _is_principal(self):
        return isinstance(self.directions, str) and self.directions == "principal"

    def _cross(self, X, y, sample_weight=None):
        passage, X, _, Y, single = cross_targets(self, X, y)
        return passage, Samples.of(passage, X, Y, sample_weight), single

    def _outputs(self, X, method):
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="coef_", method=method)
        coef, intercept = fitted_columns(self, passage)
        outputs = passage.tensor(X).double() @ coef + intercept
        return passage, outputs[:, 0] if self.coef_.ndim == 1 else outputs

    def _n_directions(self, data):
        n, d = data.X.shape
        if isinstance(self.directions, str):
            return d if self.directions == "features" else min(n, d)
        return len(self.directions)

    def _design(self, passage, data):
        count = self._n_directions(data)
        check_integer(self.n_features_used, "n_features_used", low=1, high=count, none=True)
        directions = "principal" if self._is_principal() else None
        if not isinstance(self.directions, str):
            given = finite_array(self.directions, "directions")
            if given.shape[1] != data.X.shape[1]:
                raise ValueError(
                    f"directions must have {data.X.shape[1]} columns, one for each feature of X, "
                    f"got shape {given.shape}."
                )
            directions = passage.tensor(given.T)
        weights, spectrum = self.feature_weights, self.spectrum
        if weights is not None:
            weights = passage.tensor(_lengthwise(weights, "feature_weights", count))
            if not bool((weights > 0).all()):
                raise ValueError(
                    f"feature_weights must be positive, got {float(weights.min()):g} among them."
                )
        if spectrum is not None:
            spectrum = passage.tensor(_spectrum(spectrum, count))
        return scaled_design(
            data.X,
            data.Y,
            data.weights,
            center=self.fit_intercept,
            directions=directions,
            spectrum=spectrum,
            feature_weights=weights,
        )


def _in_units(data):
    """Divide samples and targets by powers of two; also return these."""
    X_unit, Y_unit = units_of(data.X.flatten()[:, None]), units_of(data.Y)
    return data._replace(X=data.X / X_unit, Y=data.Y / Y_unit), X_unit, Y_unit


def _spectrum(spectrum, count):
    if isinstance(spectrum, str):
        spectrum = _SPECTRA[spectrum]
    if callable(spectrum):
        spectrum = spectrum(count)
    values = _lengthwise(spectrum, "spectrum", count)
    if (values < 0).any() or not values.any():
        raise ValueError(
            "spectrum must hold numbers >= 0 and not only zeros, got values from "
            f"{values.min():g} to {values.max():g}."
        )
    return values


def _lengthwise(values, name, count):
    values = finite_array(values, name, n_dims=1)
    if len(values) != count:
        raise ValueError(
            f"{name} must have one entry for each of the {count} directions, got {len(values)}."
        )
    return values
