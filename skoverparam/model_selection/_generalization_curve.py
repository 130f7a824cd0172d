"""Scores over the size of a model, the number of samples or any parameter."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import ShuffleSplit, check_cv
from sklearn.utils import indexable
from sklearn.utils.parallel import Parallel, delayed

from skoverparam._arrays import to_numpy
from skoverparam._params import check_integer, check_number, make_stream

# Handled here, for estimators that have no such parameter: the first rows, the first columns.
_OF_DATA = ("n_samples", "n_features")
# Parameters that a model with as many of them as samples interpolates with.
_SIZES = ("n_features", "n_features_used", "n_components")


def _mse(y, predicted):
    return np.square(predicted - y).mean(axis=-1 if y.ndim == 1 else (-2, -1))


def _rmse(y, predicted):
    roots = np.sqrt(np.square(predicted - y).mean(axis=-y.ndim))
    return roots if y.ndim == 1 else roots.mean(axis=-1)


def _mae(y, predicted):
    return np.abs(predicted - y).mean(axis=-1 if y.ndim == 1 else (-2, -1))


# Errors of many predictions at once. A scorer checks its arguments for about a millisecond, which
# over a path is a hundred times what the predictions take.
_ERRORS = {
    "neg_mean_squared_error": _mse,
    "neg_root_mean_squared_error": _rmse,
    "neg_mean_absolute_error": _mae,
}


class GeneralizationCurve(NamedTuple):
    """Scores over the values of a parameter.

    Attributes
    ----------
    param_name : str
        The parameter.

    param_range : ndarray of shape (n_values,)
        Its values.

    train_scores, test_scores : ndarray of shape (n_values, n_repeats)
        Scores, larger is better, as :func:`sklearn.model_selection.validation_curve` returns
        them.

    mean, median : ndarray of shape (n_values,)
        Mean and median of the test scores over the repeats.

    quantiles : ndarray of shape (n_values, n_quantiles)
        Their quantiles.

    threshold : float or None
        Where the model begins to interpolate, if that is known.

    theory : ndarray of shape (n_values,) or None
        What was predicted, with the sign of an error where `negate` is True.

    negate : bool
        Whether scores are negative errors, to be drawn with the sign changed.

    used_path : bool
        Whether the values were computed in one pass for each repeat.
    """

    param_name: str
    param_range: np.ndarray
    train_scores: np.ndarray
    test_scores: np.ndarray
    mean: np.ndarray
    median: np.ndarray
    quantiles: np.ndarray
    threshold: float | None
    theory: np.ndarray | None
    negate: bool
    used_path: bool


def generalization_curve(
    estimator,
    X,
    y=None,
    *,
    param_name="n_features_used",
    param_range,
    cv=None,
    n_repeats=10,
    scoring="neg_mean_squared_error",
    quantiles=(0.25, 0.75),
    threshold="auto",
    theory=None,
    n_jobs=None,
    random_state=None,
):
    """Score an estimator over a parameter, past the interpolation threshold if it likes.

    As :func:`sklearn.model_selection.validation_curve`, with the same scores, and besides: the
    number of training samples or of features as the parameter of any estimator, fresh draws in
    place of splits, medians and quantiles (means hardly converge near a threshold), the
    threshold, a line of theory, and one pass over all values where the estimator has a path.

    Parameters
    ----------
    estimator : estimator
        Anything with ``fit`` and ``predict``; it is cloned, not fitted itself.

    X : array-like of shape (n_samples, n_features), or callable
        The data. A callable gets an integer seed and returns fresh
        ``X_train, y_train, X_test, y_test``, of the same shapes for every seed; with `n_jobs` it
        must be picklable.

    y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
        Targets; None if X is a callable.

    param_name : str, default="n_features_used"
        A parameter of the estimator, nested ones as in ``set_params``; or "n_samples", to fit to
        the first so many samples of each training part; or "n_features", to show any estimator
        the first so many columns of X.

    param_range : array-like of shape (n_values,)
        Its values.

    cv : int, splitter, iterable or None, default=None
        How X is split. None draws `n_repeats` random splits, a quarter of the samples to test.

    n_repeats : int, default=10
        Number of random splits, or of draws if X is a callable.

    scoring : str, callable or None, default="neg_mean_squared_error"
        As in scikit-learn; None is the estimator's ``score``.

    quantiles : float or tuple of float, default=(0.25, 0.75)
        Quantiles of the test scores over the repeats.

    threshold : "auto", float or None, default="auto"
        Where the model begins to interpolate, for the picture. "auto" knows it for a linear
        model over features (the number of training samples, less one for an intercept) and over
        samples (the number of features, plus one), and has none for other parameters.

    theory : array-like of shape (n_values,) or callable, default=None
        What is predicted for each value, or a function of `param_range` that says so. Where
        scores are negative errors ("neg_mean_squared_error") give errors.

    n_jobs : int, default=None
        Number of repeats computed in parallel.

    random_state : int, RandomState instance or None, default=None
        Determines the random splits, or the seeds of the draws.

    Returns
    -------
    curve : GeneralizationCurve
        Named tuple of ``param_name``, ``param_range``; ``train_scores`` and ``test_scores`` of
        shape (n_values, n_repeats); ``mean``, ``median``, ``quantiles`` of the test scores;
        ``threshold``, ``theory``; ``negate``, whether scores are negative errors; and
        ``used_path``.

    Raises
    ------
    ValueError
        If a value is out of range, `theory` has another length, or X and y do not fit.

    See Also
    --------
    GeneralizationCurveDisplay : Draws it.
    skoverparam.MinNormRegressor : Has paths over features and samples.
    sklearn.model_selection.validation_curve : The same scores, a fit for each.

    Notes
    -----
    An estimator has a path if it has two things: ``path_parameters``, a collection of names of
    parameters, and a method ``fit_predict_path(X, y, X_test, *, param_name, param_range)`` that
    returns predictions of shape (n_values, n_test, ...), those of separate fits with each value.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import MinNormRegressor
    >>> from skoverparam.model_selection import generalization_curve
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(140, 120))
    >>> y = X.sum(axis=1) / 10 + 0.5 * rng.normal(size=140)
    >>> curve = generalization_curve(
    ...     MinNormRegressor(fit_intercept=False),
    ...     X,
    ...     y,
    ...     param_range=range(5, 121, 5),
    ...     cv=[(np.arange(40), np.arange(40, 140))],
    ... )
    >>> curve.threshold, int(curve.param_range[curve.median.argmin()])
    (40, 40)
    """
    if not np.iterable(param_range) or isinstance(param_range, str):
        raise TypeError(f"param_range must be a list of values, got {param_range!r}.")
    if not isinstance(param_name, str):
        raise TypeError(f"param_name must be a string, got {param_name!r:.80}.")
    param_range = _array(list(param_range), "param_range")
    if param_range.ndim != 1 or not len(param_range):
        raise ValueError(f"param_range must hold at least one value, got {param_range!r}.")
    quantiles = np.atleast_1d(_array(quantiles, "quantiles")).tolist()
    for quantile in quantiles:
        check_number(quantile, "quantiles", low=0, high=1)
    if not isinstance(threshold, str) or threshold != "auto":
        check_number(threshold, "threshold", none=True)
    theory = _line(theory, param_range)
    scorer = check_scoring(estimator, scoring)
    parts = _parts(estimator, X, y, cv, n_repeats, random_state)
    used_path = param_name in getattr(estimator, "path_parameters", ())
    stretches = [param_range] if used_path else [param_range[[k]] for k in range(len(param_range))]
    score = _path_scores if used_path else _fit_scores
    if used_path:
        scorer = _all_at_once(scoring, scorer)
    results = Parallel(n_jobs=n_jobs)(
        delayed(score)(clone(estimator), part, scorer, param_name, stretch)
        for part, stretch in product(parts, stretches)
    )
    shape = (len(parts), len(param_range))
    train, test = (
        np.concatenate([np.atleast_1d(one) for one in side]).reshape(shape).T
        for side in zip(*[scores for scores, _ in results], strict=True)
    )
    if isinstance(threshold, str):
        sizes = np.median([size for _, size in results], axis=0)
        threshold = _threshold(estimator, param_name, *sizes)
    return GeneralizationCurve(
        param_name=param_name,
        param_range=param_range,
        train_scores=train,
        test_scores=test,
        mean=test.mean(axis=1),
        median=np.median(test, axis=1),
        quantiles=np.quantile(test, quantiles, axis=1).T,
        threshold=threshold,
        theory=theory,
        negate=isinstance(scoring, str) and scoring.startswith("neg_"),
        used_path=used_path,
    )


def _array(values, name):
    """Make an array of what must have one shape."""
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must have one shape, got {values!r:.80}.") from None


class _Split(NamedTuple):
    """A training and a test part of given data, taken out where it is used."""

    X: object
    y: object
    train: np.ndarray
    test: np.ndarray

    def data(self):
        return (
            _rows(self.X, self.train),
            _rows(self.y, self.train),
            _rows(self.X, self.test),
            _rows(self.y, self.test),
        )


class _Draw(NamedTuple):
    """Fresh data, drawn where they are used."""

    draw: Callable[[int], tuple[object, ...]]
    seed: int

    def data(self):
        return self.draw(self.seed)


class _Predicted(RegressorMixin, BaseEstimator):
    """Finished predictions, shown to a scorer as the regressor that made them."""

    def __init__(self, y=None):
        self.y = y

    def predict(self, X):
        return self.y

    def __sklearn_is_fitted__(self):
        return True


def _parts(estimator, X, y, cv, n_repeats, random_state):
    check_integer(n_repeats, "n_repeats", low=1)
    if callable(X):
        if y is not None or cv is not None:
            raise ValueError("y and cv must be None if X is a function that draws the data.")
        seeds = make_stream(random_state).randint(np.iinfo(np.int32).max, size=n_repeats)
        return [_Draw(X, int(seed)) for seed in seeds]
    if y is None:
        raise ValueError("y must be given, unless X is a function that draws the data.")
    X, y = (one if hasattr(one, "shape") else np.asarray(one) for one in indexable(X, y))
    if cv is None:
        cv = ShuffleSplit(n_repeats, test_size=0.25, random_state=random_state)
    cv = check_cv(cv, to_numpy(y), classifier=is_classifier(estimator))
    return [_Split(X, y, train, test) for train, test in cv.split(X, y)]


def _fit_scores(estimator, part, scorer, param_name, param_range):
    """Scores of one fit, and the shape of the training part."""
    X_train, y_train, X_test, y_test = part.data()
    size, value = X_train.shape, param_range[0].item()
    of_data = param_name in _OF_DATA and param_name not in estimator.get_params()
    if of_data:
        check_integer(value, param_name, low=1, high=size[_OF_DATA.index(param_name)])
    if not of_data:
        estimator.set_params(**{param_name: value})
    elif param_name == "n_samples":
        X_train, y_train = _rows(X_train, np.arange(value)), _rows(y_train, np.arange(value))
    else:
        X_train, X_test = _columns(X_train, value), _columns(X_test, value)
    estimator.fit(X_train, y_train)
    return (scorer(estimator, X_train, y_train), scorer(estimator, X_test, y_test)), size


def _path_scores(estimator, part, scores, param_name, param_range):
    """Scores of all values in one pass, and the shape of the training part."""
    X_train, y_train, X_test, y_test = (to_numpy(array) for array in part.data())
    n_train = len(X_train)
    predicted = estimator.fit_predict_path(
        X_train,
        y_train,
        np.concatenate([X_train, X_test]),
        param_name=param_name,
        param_range=param_range.tolist(),
    )
    if param_name == "n_samples":
        train = [
            scores(predicted[[k], :seen], X_train[:seen], y_train[:seen])[0]
            for k, seen in enumerate(param_range)
        ]
    else:
        train = scores(predicted[:, :n_train], X_train, y_train)
    return (train, scores(predicted[:, n_train:], X_test, y_test)), X_train.shape


def _all_at_once(scoring, scorer):
    """Make a function of many predictions for the same samples of a scorer of one."""
    if isinstance(scoring, str) and scoring in _ERRORS:
        return partial(_negative_error, _ERRORS[scoring])
    return partial(_one_by_one, scorer)


def _negative_error(error, predicted, X, y):
    return -error(y.astype(np.float64), predicted)


def _one_by_one(scorer, predicted, X, y):
    return [scorer(_Predicted(one), X, y) for one in predicted]


def _threshold(estimator, param_name, n_train, n_features):
    """Where a linear model begins, or ceases, to interpolate."""
    parameters = {
        name.rpartition("__")[2]: value for name, value in estimator.get_params().items()
    }
    intercept = int(bool(parameters.get("fit_intercept", False)))
    if param_name.rpartition("__")[2] in _SIZES:
        return int(n_train) - intercept
    if param_name == "n_samples":
        return int(parameters.get("n_features_used") or n_features) + intercept
    return None


def _line(theory, param_range):
    if theory is None:
        return None
    line = theory(param_range) if callable(theory) else theory
    try:
        values = np.asarray(line, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"theory must hold or return numbers, got {line!r:.80}.") from None
    if values.shape != param_range.shape:
        raise ValueError(
            f"theory must have one value for each of the {len(param_range)} values of "
            f"param_range, got shape {values.shape}."
        )
    return values


def _rows(array, index):
    return array.iloc[index] if hasattr(array, "iloc") else array[index]


def _columns(array, count):
    return array.iloc[:, :count] if hasattr(array, "iloc") else array[:, :count]
