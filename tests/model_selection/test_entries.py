"""Splitters of entries, and scores on held-out entries, against loops by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import make_scorer, median_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skoverparam import NTKMatrixCompleter
from skoverparam.datasets import make_low_rank_matrix_with_missing
from skoverparam.model_selection import EntryKFold, EntryShuffleSplit, cross_val_entries

SPLITTERS = [EntryKFold(4, random_state=0), EntryShuffleSplit(4, test_size=0.25, random_state=0)]


@pytest.fixture
def X():
    return make_low_rank_matrix_with_missing(40, 12, rank=2, random_state=0)[0]


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_held_entries_are_observed_and_hidden(splitter, X):
    before = X.copy()
    splits = list(splitter.split(X))
    assert len(splits) == splitter.get_n_splits() == 4
    for X_train, held in splits:
        assert not np.isnan(X[held]).any()
        np.testing.assert_array_equal(np.isnan(X_train), np.isnan(X) | held)
        np.testing.assert_array_equal(X_train[~held], X[~held])
        assert held.sum() == round(0.25 * (~np.isnan(X)).sum())
    np.testing.assert_array_equal(X, before)


def test_folds_hold_every_entry_once(X):
    counts = sum(held.astype(int) for _, held in EntryKFold(5, random_state=0).split(X))
    np.testing.assert_array_equal(counts, ~np.isnan(X))


def test_folds_are_shuffled(X):
    for _, held in EntryKFold(4, random_state=0).split(X):
        assert held.any(axis=0).all()
        assert held.any(axis=1).mean() > 0.75  # consecutive entries would fill 10 of 40 rows


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_a_seed_gives_the_same_splits_and_another_seed_others(splitter, X):
    masks = [held for _, held in splitter.split(X)]
    np.testing.assert_array_equal(masks, [held for _, held in splitter.split(X)])
    other = type(splitter)(4, random_state=1)
    assert not np.array_equal(masks, [held for _, held in other.split(X)])


@pytest.mark.parametrize("splitter", [EntryKFold, EntryShuffleSplit])
def test_no_row_or_column_runs_empty(splitter):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((30, 20)) < 0.12, 1.0, np.nan)
    X[3] = np.nan
    X[:, 5] = np.nan
    X[7] = np.nan
    X[7, 2] = 1.0
    seen = ~np.isnan(X)
    for keep_one in (True, False):
        lost = 0
        for X_train, held in splitter(2, random_state=0, keep_one=keep_one).split(X):
            left = ~np.isnan(X_train)
            assert held.any()
            lost += sum((seen.any(axis) & ~left.any(axis)).sum() for axis in (0, 1))
        # Two folds of 70 entries in 30 rows leave some row empty unless told not to.
        assert (lost == 0) if keep_one else (splitter is EntryShuffleSplit or lost > 0)


def test_groups_hold_out_a_column_for_a_group_of_rows(X):
    groups = np.repeat(["a", "b", "c", "d"], 10)
    counts = np.zeros(X.shape, dtype=int)
    for _, held in EntryKFold(3, keep_one=False, random_state=0).split(X, groups=groups):
        for group in "abcd":
            inside, observed = held[groups == group], ~np.isnan(X[groups == group])
            whole = (inside == observed).all(axis=0)
            np.testing.assert_array_equal(whole, inside.any(axis=0) | ~observed.any(axis=0))
        counts += held
    np.testing.assert_array_equal(counts, ~np.isnan(X))


def test_a_column_known_in_one_group_only_is_kept():
    X = np.ones((6, 3))
    X[3:, 0] = np.nan
    groups = [0, 0, 0, 1, 1, 1]
    for X_train, held in EntryKFold(2, random_state=0).split(X, groups=groups):
        assert not held[:, 0].any()
        assert (~np.isnan(X_train)).any(axis=0).all()


def test_data_frames_stay_data_frames(X):
    frame = pd.DataFrame(X, columns=[f"gene {j}" for j in range(12)]).astype({"gene 0": "float32"})
    frame["gene 1"] = np.arange(40)
    splitter = EntryKFold(2, random_state=0)
    for (from_frame, held), (from_array, held_too) in zip(
        splitter.split(frame), splitter.split(frame.to_numpy()), strict=True
    ):
        assert list(from_frame.columns) == list(frame.columns)
        np.testing.assert_array_equal(held, held_too)
        np.testing.assert_array_equal(from_frame.to_numpy(), from_array)


@pytest.mark.parametrize(
    ("splitter", "error", "message"),
    [
        (EntryKFold(1), ValueError, "n_splits == 1, must be >= 2"),
        (EntryKFold(7), ValueError, "n_splits=7 is more than the 6 observed entries"),
        (EntryShuffleSplit(test_size=1.0), ValueError, "test_size == 1.0, must be < 1"),
        (EntryShuffleSplit(test_size=6), ValueError, "test_size=6 leaves none of the 6"),
        (EntryShuffleSplit(test_size="a"), TypeError, "test_size must be a share or a number"),
        (EntryKFold(2, keep_one=2), TypeError, "keep_one must be True or False, got 2"),
    ],
)
def test_wrong_parameters_are_named(splitter, error, message):
    with pytest.raises(error, match=message):
        next(splitter.split(np.ones((2, 3))))


def test_wrong_groups_and_empty_matrices_are_named():
    with pytest.raises(ValueError, match="groups must have one entry per row of X, 2, got shape"):
        next(EntryKFold(2).split(np.ones((2, 3)), groups=[1, 2, 3]))
    with pytest.raises(ValueError, match="X has no observed entry"):
        next(EntryKFold(2).split(np.full((2, 3), np.nan)))


@pytest.mark.parametrize(
    "imputer",
    [
        KNNImputer(),
        IterativeImputer(max_iter=1, tol=1e9, random_state=0),
        NTKMatrixCompleter(alpha=0.1, n_passes=1),
    ],
    ids=lambda imputer: type(imputer).__name__,
)
def test_scores_are_those_of_a_loop(imputer, X):
    splitter = EntryShuffleSplit(2, test_size=0.2, random_state=1)
    expected = []
    for X_train, held in splitter.split(X):
        errors = clone(imputer).fit_transform(X_train)[held] - X[held]
        expected.append(-np.sqrt(np.mean(errors**2)))
    np.testing.assert_allclose(cross_val_entries(imputer, X, cv=splitter), expected, rtol=1e-12)
    assert not hasattr(imputer, "n_features_in_")


def test_the_default_compares_estimators_on_the_same_five_folds(X):
    scores = cross_val_entries(SimpleImputer(), X)
    assert len(scores) == 5
    np.testing.assert_array_equal(scores, cross_val_entries(SimpleImputer(), X, cv=5))


def test_scoring_by_name_and_by_scorer(X):
    splitter = EntryShuffleSplit(1, random_state=0)
    X_train, held = next(splitter.split(X))
    completed, truth = KNNImputer().fit_transform(X_train)[held], X[held]
    median = make_scorer(median_absolute_error, greater_is_better=False)
    for scoring, expected in (
        ("r2", r2_score(truth, completed)),
        (median, -median_absolute_error(truth, completed)),
    ):
        np.testing.assert_allclose(
            cross_val_entries(KNNImputer(), X, cv=splitter, scoring=scoring), [expected]
        )


def test_frames_and_processes_change_nothing(X):
    frame = pd.DataFrame(X, columns=[f"gene {j}" for j in range(12)])
    expected = cross_val_entries(KNNImputer(), X, cv=2)
    np.testing.assert_array_equal(cross_val_entries(KNNImputer(), frame, cv=2, n_jobs=2), expected)
    to_frames = KNNImputer().set_output(transform="pandas")
    np.testing.assert_array_equal(cross_val_entries(to_frames, frame, cv=2), expected)


def test_indicators_do_not_count_and_groups_reach_the_splitter(X):
    groups = np.arange(40) // 10
    expected = cross_val_entries(KNNImputer(), X, cv=2, groups=groups)
    imputer = KNNImputer(add_indicator=True)
    np.testing.assert_array_equal(cross_val_entries(imputer, X, cv=2, groups=groups), expected)
    assert not np.array_equal(cross_val_entries(KNNImputer(), X, cv=2), expected)


def test_a_column_dropped_without_held_entries_is_no_matter(X):
    with_empty = np.insert(X, 3, np.nan, axis=1)
    splitter = EntryKFold(2, random_state=0)
    # The empty column has no entries to split, so the folds are the same entries.
    np.testing.assert_allclose(
        cross_val_entries(KNNImputer(), with_empty, cv=splitter),
        cross_val_entries(KNNImputer(), X, cv=splitter),
        rtol=1e-12,
    )


def test_a_dropped_column_with_held_entries_is_an_error():
    X = np.ones((10, 3))
    X[1:, 1] = np.nan
    splitter = EntryKFold(2, keep_one=False, random_state=0)
    with pytest.raises(ValueError, match=r"KNNImputer gave 2 columns for 3 and none for"):
        cross_val_entries(KNNImputer(), X, cv=splitter)
    kept = cross_val_entries(KNNImputer(keep_empty_features=True), X, cv=splitter)
    # Its one entry, 1, is predicted as 0 in the fold that holds it.
    assert kept.min() < 0


def test_rescaled_entries_are_warned_of(X):
    with pytest.warns(UserWarning, match="Pipeline changed observed entries"):
        cross_val_entries(make_pipeline(StandardScaler(), KNNImputer()), X, cv=2)


def test_holes_that_stay_are_an_error(X):
    with pytest.raises(ValueError, match="StandardScaler left .* held-out entries NaN"):
        cross_val_entries(StandardScaler(with_mean=False, with_std=False), X, cv=2)


class _Nameless(TransformerMixin, BaseEstimator):
    """An imputer in the style of other libraries: no names, same columns."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.where(np.isnan(X), np.nanmean(X, axis=0), X)


def test_imputers_without_names_are_taken_by_position(X):
    np.testing.assert_allclose(
        cross_val_entries(_Nameless(), X, cv=2), cross_val_entries(SimpleImputer(), X, cv=2)
    )


def _doubled(X):
    return 2 * X


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_changed_entries_are_noticed_in_any_units(size):
    X, _ = make_low_rank_matrix_with_missing(30, 6, rank=2, random_state=0)
    doubled = make_pipeline(SimpleImputer(), FunctionTransformer(_doubled))
    with pytest.warns(UserWarning, match="changed observed entries"):
        cross_val_entries(doubled, size * X, cv=2)


def test_a_scorer_that_cannot_be_called_is_named():
    with pytest.raises(TypeError, match="scoring must be a name or a scorer, got 5"):
        cross_val_entries(SimpleImputer(), np.ones((4, 3)), scoring=5)
