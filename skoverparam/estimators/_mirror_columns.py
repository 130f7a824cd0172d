"""Columns of targets fitted by mirror descent: what regression and classification share."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, finite_array, same_namespace
from skoverparam._params import (
    check_auto,
    check_flag,
    check_integer,
    check_number,
    make_generator,
)
from skoverparam._steps import run_steps
from skoverparam.estimators._base import DocumentedEstimator
from skoverparam.estimators._columns import are_met, fitted_columns, kept_columns
from skoverparam.optim._bregman import NoProjectionError, bregman_projection
from skoverparam.optim._linear_descent import (
    Conditioning,
    descent_steps,
    measured_rate,
    rate_bound,
)
from skoverparam.optim._mirrors import Mirror, make_mirror

# Steps and rates come from fourth powers of the sizes of data, which must be numbers.
_LARGEST_SIZE = 1e50

# Newton's method for the Bregman projection takes matrices of this size at most.
_LARGEST_PROJECTION = 2000
# A dozen steps are usual; where no coefficients of the domain fit, more are of no use.
_PROJECTION_STEPS = 100


class _Centered(NamedTuple):
    """Features (n, d) and targets (n, t) without their means, zero where none were taken."""

    Z: object
    Y: object
    Z_mean: object
    Y_mean: object

    @classmethod
    def of(cls, Z, Y, center):
        """Subtract the means, if there is an intercept for them."""
        Z_mean, Y_mean = Z.mean(0), Y.mean(0)
        if not center:
            Z_mean, Y_mean = 0 * Z_mean, 0 * Y_mean
        return cls(Z - Z_mean, Y - Y_mean, Z_mean, Y_mean)

    def rounded(self, coef, dtype):
        """Coefficients (t, d) and intercepts (t,) as they are kept."""
        kept = coef.to(dtype)
        intercept = (self.Y_mean - kept.double() @ self.Z_mean).to(dtype)
        if not bool(kept.isfinite().all() and intercept.isfinite().all()):
            raise FloatingPointError(
                f"Coefficients up to {float(coef.abs().max()):.3g}, or the intercept, do not "
                "fit float32, the type of X. Scale X or y, or give X in float64."
            )
        return kept, intercept


class MirrorColumns(CallbackSupportMixin, DocumentedEstimator):
    """The descent on all columns of targets."""

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
        make_mirror(self.mirror, self.mirror_params)
        check_auto(
            self.learning_rate,
            "learning_rate",
            check_number,
            words=("theory", "search"),
            low=0,
            boundaries="neither",
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

    def _descend(self, passage, X, y, targets, known, *, single=False):
        """Run the descent, and keep what came out.

        X and y are what callbacks are shown; `known` are attributes that predictions need, too;
        `single` is for targets that came with one axis.
        """
        mirror = make_mirror(self.mirror, self.mirror_params)
        if self.feature_map is not None:
            known = known | {"feature_map_": clone(self.feature_map).fit(X, y)}
        Z = self._features(passage, X, known.get("feature_map_"))
        _check_size(Z, "X" if self.feature_map is None else "What feature_map makes of X")
        _check_size(targets, "y")
        data = _Centered.of(Z, targets, self.fit_intercept)
        start = self._start(passage, mirror, Z.shape[1], targets.shape[1])
        conditioning = Conditioning.of(data.Z, data.Y)
        steps = descent_steps(
            data.Z,
            data.Y,
            start,
            mirror,
            conditioning,
            learning_rate=self._rate(),
            batch_size=self.batch_size,
            tol=self.tol,
            max_iter=self.max_iter,
            # Nothing is drawn for steps of all samples.
            generator=make_generator(0 if self.batch_size is None else self.random_state),
        )
        losses = []

        def recorded():
            for step in steps:
                losses.append(step.loss)
                yield step

        def fitted_after(step):
            coef, intercept = data.rounded(step.coef, passage.dtype)
            numbers = {"intercept_": intercept}
            return known | kept_columns(passage, coef.T, numbers, single=single)

        last, n_iter = run_steps(
            self,
            recorded(),
            X=X,
            y=y,
            task_name="pass",
            max_steps=self.max_iter,
            fitted_after=fitted_after,
        )
        distance, reachable = self._distance(data, start, mirror, last.coef, conditioning)
        self._report(last, n_iter, mirror, reachable)
        coef, intercept = data.rounded(last.coef, passage.dtype)
        vars(self).update(fitted_after(last))
        vars(self).update(self._rates(data, conditioning, last, losses))
        self.n_iter_, self.loss_curve_ = n_iter, losses
        self.residual_, self.bregman_distance_ = last.residual, distance
        self.interpolates_ = are_met(Z @ coef.double().T + intercept - targets, targets)
        return self

    def _rate(self):
        return (
            self.learning_rate
            if isinstance(self.learning_rate, str)
            else float(self.learning_rate)
        )

    def _rates(self, data, conditioning, last, losses):
        """Collect the constants of the theory, the rate it promises, and the one measured."""
        full = self.batch_size is None or self.batch_size >= len(data.Z)
        scale = float(data.Y.square().sum()) / (2 * len(data.Y))
        return {
            "bounds_": last.bounds,
            "rate_bound_": rate_bound(conditioning, last.bounds, self._rate()) if full else None,
            "rate_": measured_rate(losses, conditioning.best, scale),
        }

    def _report(self, last, n_iter, mirror, reachable):
        """Warn of a descent that did not arrive."""
        if last.converged or self.tol == 0:
            return
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
            stacklevel=6,
        )

    def _features(self, passage, X, feature_map):
        Z = X if feature_map is None else feature_map.transform(X)
        Z = Z.toarray() if hasattr(Z, "toarray") else Z
        return passage.tensor(Z).double()

    def _start(self, passage, mirror, n_features, n_targets):
        if self.init is None:
            value = mirror.start(n_features) if isinstance(mirror, Mirror) else 0.0
            start = passage.tensor(finite_array(value, "init", n_dims=0)).double()
        else:
            values = finite_array(self.init, "init", n_dims=np.ndim(self.init))
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

    def _distance(self, data, start, mirror, coef, conditioning):
        """Relative distance from the interpolator that the theory names, and if there is one.

        The distance is None where it is not known.
        """
        Z, Y = data.Z, data.Y
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
        """Validate samples; also return the fitted columns, (n, t), or (n,) of a single target."""
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="coef_", method=method)
        Z = self._features(passage, X, vars(self).get("feature_map_"))
        coef, intercept = fitted_columns(self, passage)
        outputs = Z @ coef + intercept
        return passage, outputs[:, 0] if self.coef_.ndim == 1 else outputs


def _check_size(values, name):
    largest = float(values.abs().max())
    if largest != 0 and not 1 / _LARGEST_SIZE <= largest <= _LARGEST_SIZE:
        raise ValueError(
            f"{name} must be zero or of a size from {1 / _LARGEST_SIZE:g} to {_LARGEST_SIZE:g} "
            f"for mirror descent, got a largest entry of {largest:.3g}. Scale X and y, for "
            "example by their standard deviations."
        )
