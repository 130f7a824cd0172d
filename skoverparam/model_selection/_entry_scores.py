"""Cross-validation scores of imputers on entries that were hidden from them."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.metrics import get_scorer
from sklearn.utils.parallel import Parallel, delayed

from skoverparam.model_selection._entries import EntryKFold, entries


def cross_val_entries(
    estimator,
    X,
    *,
    groups=None,
    cv=None,
    scoring="neg_root_mean_squared_error",
    n_jobs=None,
):
    """Score an imputer on observed entries that are hidden from it.

    For each split a clone of the estimator completes the training part by ``fit_transform``, and
    its values are compared with the truth on the held-out entries only. Any transformer whose
    output has the columns of its input will do: ours, those of :mod:`sklearn.impute`, or a
    pipeline around them.

    Parameters
    ----------
    estimator : transformer
        The imputer; it is cloned, not fitted itself.

    X : array-like of shape (n_samples, n_features)
        The matrix, NaN where it was not observed. A pandas data frame reaches the estimator as
        one.

    groups : array-like of shape (n_samples,), default=None
        Groups of rows for the splitter: the entries of one column in one group are held out
        together.

    cv : int, splitter or None, default=None
        A splitter whose ``split(X, groups=groups)`` yields training matrices and masks, such as
        :class:`EntryKFold` or :class:`EntryShuffleSplit`. An integer k, or None for 5, means
        ``EntryKFold(k, random_state=0)``: every estimator is then compared on the same entries.

    scoring : str or callable, default="neg_root_mean_squared_error"
        A regression score known to :func:`sklearn.metrics.get_scorer`, or a scorer made by
        :func:`sklearn.metrics.make_scorer`. It is called on the held-out entries of a split as
        one vector. Larger is better.

    n_jobs : int, default=None
        Number of splits computed in parallel.

    Returns
    -------
    scores : ndarray of shape (n_splits,)
        One score per split.

    Raises
    ------
    ValueError
        If the estimator drops a column that has held-out entries, or leaves one of them NaN.

    Warns
    -----
    UserWarning
        If the estimator changes observed entries, for instance by rescaling: its values are then
        compared with the truth on another scale.

    See Also
    --------
    EntryKFold : Holds out every entry once.
    EntryShuffleSplit : Independent random splits.

    Examples
    --------
    >>> from sklearn.impute import KNNImputer, SimpleImputer
    >>> from skoverparam.datasets import make_low_rank_matrix_with_missing
    >>> from skoverparam.model_selection import cross_val_entries
    >>> X, _ = make_low_rank_matrix_with_missing(80, 20, rank=2, random_state=0)
    >>> cross_val_entries(SimpleImputer(), X, cv=2).round(1)
    array([-1.1, -1.1])
    >>> cross_val_entries(KNNImputer(), X, cv=2).round(1)
    array([-0.7, -0.7])
    """
    if cv is None or isinstance(cv, Integral):
        cv = EntryKFold(5 if cv is None else cv, random_state=0)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    if not callable(scorer):
        raise TypeError(f"scoring must be a name or a scorer, got {scoring!r}.")
    truth = entries(X)
    scores = Parallel(n_jobs=n_jobs)(
        delayed(_score)(clone(estimator), X_train, held, truth, scorer)
        for X_train, held in cv.split(X, groups=groups)
    )
    return np.array(scores)


class _Completed(RegressorMixin, BaseEstimator):
    """A finished completion, shown to a scorer as a regressor that repeats it."""

    def predict(self, X):
        return X[:, 0]

    def __sklearn_is_fitted__(self):
        return True


def _score(estimator, X_train, held, truth, scorer):
    """Score of one split."""
    if not held.any():
        raise ValueError(
            "A split holds out no entry. Use fewer splits, or keep_one=False in the splitter."
        )
    output = np.asarray(estimator.fit_transform(X_train), dtype=np.float64)
    completed = _in_the_columns_of(truth, output, estimator, held)
    observed = ~np.isnan(truth) & ~held & ~np.isnan(completed)
    # Single precision inside the estimator is no change.
    reach = np.abs(truth[observed]).max(initial=0)
    if not np.allclose(completed[observed], truth[observed], rtol=1e-5, atol=1e-6 * reach):
        warnings.warn(
            f"{type(estimator).__name__} changed observed entries. Scores compare its values "
            "with X: where it returns them on another scale, undo that scale first.",
            UserWarning,
            stacklevel=2,
        )
    predicted = completed[held]
    if np.isnan(predicted).any():
        raise ValueError(
            f"{type(estimator).__name__} left {int(np.isnan(predicted).sum())} of "
            f"{len(predicted)} held-out entries NaN."
        )
    return scorer(_Completed(), predicted[:, None], truth[held])


def _in_the_columns_of(truth, output, estimator, held):
    """Put the output into the columns of the input, NaN in those that were dropped."""
    names, n_columns = _output_names(estimator), truth.shape[1]
    inputs = getattr(estimator, "feature_names_in_", [f"x{j}" for j in range(n_columns)])
    place = {name: k for k, name in enumerate(names)}
    if output.shape[1] == n_columns and not set(inputs) <= place.keys():
        return output  # nothing dropped and columns not named as ours are: same order
    lost = [name for j, name in enumerate(inputs) if name not in place and held[:, j].any()]
    if lost:
        raise ValueError(
            f"{type(estimator).__name__} gave {output.shape[1]} columns for {n_columns} and none "
            f"for {lost[:5]}{' and others' if len(lost) > 5 else ''}, where entries are held out. "
            "Imputers drop columns of which nothing is left: set keep_empty_features=True, or "
            "keep_one=True in the splitter. Names must be those of get_feature_names_out."
        )
    completed = np.full(truth.shape, np.nan)
    for j, name in enumerate(inputs):
        if name in place:
            completed[:, j] = output[:, place[name]]
    return completed


def _output_names(estimator):
    """Names of the output's columns, empty if the estimator does not say."""
    try:
        return list(estimator.get_feature_names_out())
    except (AttributeError, ValueError):
        return []
