"""What there is to know about an estimator that fits its training data."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.utils.validation import check_consistent_length, check_is_fitted, check_random_state

from skoverparam._arrays import finite_array, to_numpy
from skoverparam._display import pandas
from skoverparam._labels import TargetCoding
from skoverparam._params import check_integer, check_option

_INTERPOLATES = 1e-6  # of the largest target

# Under these names estimators keep the norm that they make small, and their condition.
_NORMS = ("rkhs_norm_", "coef_norm_", "norm_")
_CONDITIONS = ("condition_estimate_",)


class InterpolationReport(NamedTuple):
    """What :func:`interpolation_report` found out.

    Attributes
    ----------
    train_residual : float
        Largest miss on the training samples over the largest target; of a classifier the share
        of samples whose label it misses.

    interpolates : bool
        Whether it is at most 1e-6, or zero for a classifier.

    train_error, test_error, loo_error : float or None
        Mean squared error, or share of wrong labels, on training samples, on test samples, and on
        training samples by fits to all others; None where not known.

    norm : float or None
        The norm of the fitted function or its coefficients, if the estimator has one.

    condition : float or None
        Condition number of the system that was solved, if known.

    noise_levels : ndarray of shape (n_levels,)
        Shares of labels drawn at random, or standard deviations of noise added to targets, in
        those of the targets; the first one is 0: no refit.

    noise_train_error, noise_test_error : ndarray of shape (n_levels, n_repeats)
        Errors of fits to noisy targets on these and on the test samples; NaN without any.

    noise_norm : ndarray of shape (n_levels, n_repeats)
        Their norms, NaN where not known.
    """

    train_residual: float
    interpolates: bool
    train_error: float
    test_error: float | None
    loo_error: float | None
    norm: float | None
    condition: float | None
    noise_levels: np.ndarray
    noise_train_error: np.ndarray
    noise_test_error: np.ndarray
    noise_norm: np.ndarray

    def to_frame(self):
        """Make a pandas data frame with a row for each noise level and repeat."""
        n_levels, n_repeats = self.noise_train_error.shape
        return pandas().DataFrame(
            {
                "noise": np.repeat(self.noise_levels, n_repeats),
                "repeat": np.tile(np.arange(n_repeats), n_levels),
                "train_error": self.noise_train_error.ravel(),
                "test_error": self.noise_test_error.ravel(),
                "norm": self.noise_norm.ravel(),
            }
        )


def interpolation_report(
    estimator,
    X,
    y,
    X_test=None,
    y_test=None,
    *,
    loo="auto",
    noise_levels=(),
    n_repeats=1,
    random_state=None,
):
    r"""Report how a fitted estimator fits, and what it makes of noise.

    Parameters
    ----------
    estimator : estimator
        Any fitted classifier or regressor.

    X : array-like of shape (n_samples, n_features)
        The samples it was fitted on.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their targets.

    X_test, y_test : array-like, default=None
        Test samples and targets without noise, for test errors.

    loo : {"auto", "refit"} or None, default="auto"
        Where the leave-one-out error comes from: the estimator's attribute ``loo_residuals_`` or
        method ``loo_residuals`` if it has one; "refit" fits a clone for every sample if it does
        not; None leaves it out.

    noise_levels : sequence of float, default=()
        Levels of noise at which clones are fitted. For a classifier the share of the labels that
        are replaced by a draw over all classes; for a regressor the standard deviation of what
        is added to the targets, in units of their own.

    n_repeats : int, default=1
        Number of draws of the noise for each level.

    random_state : int, RandomState instance or None, default=None
        Draws the noise.

    Returns
    -------
    report : InterpolationReport
        Named tuple of ``train_residual``, ``interpolates``, ``train_error``, ``test_error``,
        ``loo_error``, ``norm``, ``condition``, and errors and norms along ``noise_levels``;
        ``to_frame()`` makes a pandas data frame of these.

    Raises
    ------
    ValueError
        If shapes do not fit or a level is not possible.

    See Also
    --------
    InterpolationReportDisplay : Draws errors over the level of noise.
    adversarial_density : How close everything is to a point that is wrong.

    Notes
    -----
    An estimator that interpolates has no training error at any level: only its test error, its
    norm and its leave-one-out error tell a good one from a bad one. Norms are read from
    ``rkhs_norm_``, ``coef_norm_`` or ``norm_``, conditions from ``condition_estimate_`` or
    ``singular_values_``.

    References
    ----------
    M. Belkin, S. Ma, S. Mandal, "To understand deep learning we need to understand kernel
    learning", ICML 2018, arXiv:1802.01396.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SingularKernelClassifier
    >>> from skoverparam.inspection import interpolation_report
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SingularKernelClassifier(exponent=2, n_neighbors=25).fit(X[:500], y[:500])
    >>> report = interpolation_report(
    ...     model, X[:500], y[:500], X[500:], y[500:], noise_levels=[0.2], random_state=0
    ... )
    >>> report.interpolates, round(report.loo_error, 2)
    (True, 0.02)
    >>> report.noise_train_error[:, 0]
    array([0., 0.])
    >>> bool(report.noise_test_error[1, 0] < 0.2)
    True
    """
    check_is_fitted(estimator)
    if loo is not None:
        check_option(loo, "loo", ("auto", "refit"))
    check_integer(n_repeats, "n_repeats", low=1)
    check_consistent_length(X, y)
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test must be given together, got one without the other.")
    classifies = is_classifier(estimator)
    levels = finite_array(np.atleast_1d(np.asarray(noise_levels, float)), "noise_levels", n_dims=1)
    if (levels <= 0).any() or (classifies and (levels > 1).any()):
        most = " and at most 1" if classifies else ""
        raise ValueError(f"noise_levels must be positive{most}, got {levels.tolist()}.")
    y = np.asarray(to_numpy(y))
    y_test = None if y_test is None else np.asarray(to_numpy(y_test))

    def measured(model, targets):
        train = _error(model, X, targets, classifies)
        test = np.nan if y_test is None else _error(model, X_test, y_test, classifies)
        norm = _norm(model)
        return train, test, np.nan if norm is None else norm

    random = check_random_state(random_state)
    rows = [[measured(estimator, y)] * n_repeats]
    for level in levels:
        row = []
        for _ in range(n_repeats):
            noisy = _noisy(y, level, classifies, random)
            row.append(measured(clone(estimator).fit(X, noisy), noisy))
        rows.append(row)
    train, test, norm = np.moveaxis(np.array(rows), 2, 0)
    residual = train[0, 0] if classifies else _residual(estimator, X, y)
    return InterpolationReport(
        train_residual=float(residual),
        interpolates=bool(residual <= (0 if classifies else _INTERPOLATES)),
        train_error=float(train[0, 0]),
        test_error=None if y_test is None else float(test[0, 0]),
        loo_error=_loo_error(estimator, X, y, classifies, loo),
        norm=_norm(estimator),
        condition=_condition(estimator),
        noise_levels=np.concatenate([[0.0], levels]),
        noise_train_error=train,
        noise_test_error=test,
        noise_norm=norm,
    )


def _error(model, X, y, classifies):
    predicted = np.asarray(to_numpy(model.predict(X)))
    if predicted.shape != y.shape:
        raise ValueError(
            f"y must have the shape of the predictions, {predicted.shape}, got {y.shape}."
        )
    return np.mean(predicted != y) if classifies else np.mean((predicted - y) ** 2)


def _residual(model, X, y):
    """Largest miss over the largest target, the worst of several targets."""
    miss = np.abs(np.asarray(to_numpy(model.predict(X))) - y).max(axis=0)
    largest = np.abs(y).max(axis=0)
    return np.max(np.where(miss > 0, miss / np.where(largest > 0, largest, 1.0), 0.0))


def _noisy(y, level, classifies, random):
    if classifies:
        classes = np.unique(y)
        drawn = random.uniform(size=len(y)) < level
        return np.where(drawn, classes[random.randint(len(classes), size=len(y))], y)
    return y + level * y.std(axis=0) * random.normal(size=y.shape)


def _known(model, names):
    """Return the first attribute that is there and not None."""
    return next((v for v in (getattr(model, name, None) for name in names) if v is not None), None)


def _norm(model):
    norm = _known(model, _NORMS)
    # Several targets: the norm of all coefficients together.
    return None if norm is None else float(np.linalg.norm(to_numpy(norm)))


def _condition(model):
    condition = _known(model, _CONDITIONS)
    if condition is not None:
        return float(condition)
    values = _known(model, ("singular_values_",))
    if values is None:
        return None
    values = to_numpy(values)
    values = values[values > 0]
    return float(values.max() / values.min()) if values.size else None


def _loo_error(model, X, y, classifies, loo):
    if loo is None:
        return None
    residuals = getattr(model, "loo_residuals_", None)
    if residuals is None and hasattr(model, "loo_residuals"):
        residuals = model.loo_residuals()
    if residuals is None:
        return _loo_by_refits(model, X, y, classifies) if loo == "refit" else None
    residuals = np.asarray(to_numpy(residuals))
    known = np.isfinite(residuals.reshape(len(residuals), -1)).all(axis=1)
    if not known.any():
        return None
    if not classifies:
        return float(np.mean(residuals[known] ** 2))
    labels = np.searchsorted(model.classes_, y)
    wrong = _without_own(model, residuals, labels) != labels
    return float(np.mean(wrong[known]))


def _without_own(model, residuals, labels):
    """Classes that a classifier predicts for its samples without them, from its residuals."""
    n_classes = len(model.classes_)
    coding = TargetCoding.of(getattr(model, "target_coding", "onehot"), n_classes)
    residuals = residuals.reshape(len(labels), -1)
    if residuals.shape[1] == 1:
        return ((2 * labels[:, None] - 1) * coding.high - residuals)[:, 0] > 0
    targets = coding.low + (coding.high - coding.low) * np.eye(n_classes)[labels]
    return (targets - residuals).argmax(axis=1)


def _loo_by_refits(model, X, y, classifies):
    predicted = np.asarray(to_numpy(cross_val_predict(clone(model), X, y, cv=LeaveOneOut())))
    return float(np.mean(predicted != y) if classifies else np.mean((predicted - y) ** 2))
