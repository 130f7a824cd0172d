"""Columns of targets fitted to random features: what regression and classification share."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, same_namespace
from skoverparam._config import require_memory
from skoverparam._params import (
    check_flag,
    check_integer,
    check_number,
    check_option,
    make_generator,
)
from skoverparam.estimators._bandwidth import check_bandwidth, find_bandwidth
from skoverparam.estimators._base import DocumentedEstimator
from skoverparam.estimators._columns import are_met, fitted_columns, kept_columns
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
from skoverparam.linalg._units import units_of


class _Fit(NamedTuple):
    """A solution for centered features and targets, and what was subtracted."""

    found: object
    X_mean: object
    Y_mean: object
    rcond: float


class RandomFeatureColumns(DocumentedEstimator):
    """The least squares fit of every column of targets, of smallest norm or with a ridge."""

    path_parameters = ("n_features", "ridge")

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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _check_params(self):
        check_option(self.feature, "feature", FEATURES)
        check_integer(self.n_features, "n_features", low=1)
        check_bandwidth(self.bandwidth)
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
            bandwidth = find_bandwidth(self.bandwidth, X)
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

    def _learn(self, passage, data, *, single=False):
        """Fit, and keep what came out; `single` for targets that came with one axis."""
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
        # Of predictions: targets may be lost in terms of a sum that are larger.
        miss = data.Y - (Phi @ coef.double() + intercept.double())
        values = found.singular_values
        self.frequencies_ = passage.keep(kept.frequencies)
        self.phases_ = None if kept.phases is None else passage.keep(kept.phases)
        self.bandwidth_ = bandwidth
        self.singular_values_ = None if values is None else passage.keep(values.to(passage.dtype))
        self.rank_, self.rcond_, self.solver_ = found.rank, fit.rcond, found.solver
        self.interpolates_ = are_met(miss, data.Y)
        units = units_of(data.Y)  # in which squares are numbers
        numbers = {
            "intercept_": intercept,
            "coef_norm_": (coef.double() / units).norm(dim=0) * units,
            "residual_": relative_size(miss / units, data.Y / units),
        }
        vars(self).update(kept_columns(passage, coef, numbers, single=single))

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
        """Validate samples; also return the fitted columns, (n, t), or (n,) of a single target."""
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="coef_", method=method)
        phases = None if self.phases_ is None else passage.tensor(self.phases_)
        features = RandomFeatures(self.feature, passage.tensor(self.frequencies_), phases)
        coef, intercept = fitted_columns(self, passage)
        outputs = _doubled(features).apply(passage.tensor(X).double(), coef) + intercept
        self._checked(outputs, "predictions")
        return passage, outputs[:, 0] if self.coef_.ndim == 1 else outputs

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


def _doubled(features):
    """Features of the frequencies that are kept, evaluated in float64."""
    phases = None if features.phases is None else features.phases.double()
    return features._replace(frequencies=features.frequencies.double(), phases=phases)


def _by_column(data):
    """Yield every column of targets with the weights of its errors."""
    for k in range(data.Y.shape[1]):
        yield data.Y[:, k : k + 1], data.weights * data.column_weights[:, k]
