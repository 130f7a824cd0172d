"""NTKInteractionRegressor: ids of any kind, side information, scikit-learn's machinery, errors."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.callback import FitCallback
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from skoverparam import NTKInteractionRegressor, config_context

GIVEN = {"alpha": 0.3, "mask_weight": 0.3, "side_weight": 1.0}


def ratings(n=40, m=30, share=0.4, seed=0):
    """Pairs of integer ids, their values, and the features that made them."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    offsets = rng.normal(size=n)
    pairs = np.argwhere(rng.random((n, m)) < share)
    i, j = pairs.T
    values = offsets[i] + (rows[i] * columns[j]).sum(1) + 0.1 * rng.normal(size=len(pairs))
    return pairs, values, rows, columns


PAIRS, VALUES, ROWS, COLUMNS = ratings()
TRAIN, TEST = np.arange(len(PAIRS)) % 4 > 0, np.arange(len(PAIRS)) % 4 == 0


def rmse(model):
    model.fit(PAIRS[TRAIN], VALUES[TRAIN])
    return np.sqrt(np.mean((model.predict(PAIRS[TEST]) - VALUES[TEST]) ** 2))


def test_learns_interactions_beyond_offsets():
    offsets = rmse(NTKInteractionRegressor(alpha=1e6))
    assert rmse(NTKInteractionRegressor()) < 0.8 * offsets


def test_side_information_helps_where_it_should_and_is_ignored_where_it_is_noise():
    without = rmse(NTKInteractionRegressor())
    informed = NTKInteractionRegressor(row_prior=ROWS, column_prior=COLUMNS)
    assert rmse(informed) < 0.9 * without
    noise = np.random.default_rng(1).normal(size=(40, 3))
    misled = NTKInteractionRegressor(row_prior=noise, side_weight=8.0)
    chosen = NTKInteractionRegressor(row_prior=noise)
    assert rmse(chosen) < rmse(misled)


@pytest.mark.parametrize(
    "as_ids",
    [
        lambda pairs: pairs.astype(float),
        lambda pairs: np.char.add("id", pairs.astype(str)).astype(object),
        lambda pairs: np.char.add("id", pairs.astype(str)),
        lambda pairs: pd.DataFrame({"user": pairs[:, 0], "item": pairs[:, 1]}),
        lambda pairs: pd.DataFrame(
            {"user": pairs[:, 0], "item": pd.Categorical(pairs[:, 1].astype(str))}
        ),
        lambda pairs: pl.DataFrame({"user": pairs[:, 0], "item": pairs[:, 1].astype(str)}),
        lambda pairs: np.array([[("t", int(i)), int(j)] for i, j in pairs], dtype=object),
        lambda pairs: torch.from_numpy(pairs),
    ],
    ids=["float", "object", "str", "pandas", "categorical", "polars", "mixed", "torch"],
)
def test_kind_of_the_ids_does_not_matter(as_ids):
    rows, columns = 40, 30
    pairs, values = PAIRS[PAIRS[:, 0] < rows], VALUES[PAIRS[:, 0] < rows]
    assert columns == len(np.unique(pairs[:, 1]))
    expected = NTKInteractionRegressor(**GIVEN, tol=1e-12).fit(pairs, values).predict(pairs)
    model = NTKInteractionRegressor(**GIVEN, tol=1e-12).fit(as_ids(pairs), values)
    predicted = np.asarray(model.predict(as_ids(pairs)))
    # The ids' order changes only the order of sums.
    np.testing.assert_allclose(predicted, expected, atol=1e-9, rtol=0)


def test_priors_in_every_form_agree():
    table = pd.DataFrame(ROWS, index=[f"u{i}" for i in range(40)])
    pairs = np.array([[f"u{i}", f"v{j}"] for i, j in PAIRS], dtype=object)
    forms = [
        table,
        {name: table.loc[name].to_numpy() for name in table.index},
        lambda ids: table.loc[list(ids)].to_numpy(),
        lambda ids: sp.csr_array(table.loc[list(ids)].to_numpy()),
    ]
    # Strings sort differently from numbers: compare with the first form, and it with integers.
    expected = None
    for prior in forms:
        model = NTKInteractionRegressor(row_prior=prior, **GIVEN, tol=1e-12)
        predicted = model.fit(pairs[TRAIN], VALUES[TRAIN]).predict(pairs[TEST])
        expected = predicted if expected is None else expected
        np.testing.assert_allclose(predicted, expected, atol=1e-9, rtol=0)
    for prior in (ROWS, sp.csr_array(ROWS), sp.coo_array(ROWS)):
        model = NTKInteractionRegressor(row_prior=prior, **GIVEN, tol=1e-12)
        predicted = model.fit(PAIRS[TRAIN], VALUES[TRAIN]).predict(PAIRS[TEST])
        np.testing.assert_allclose(predicted, expected, atol=1e-9, rtol=0)


def test_unseen_ids_are_predicted_from_side_information():
    cold = PAIRS[:, 0] >= 34
    errors = {}
    for name, prior in (("none", None), ("side", ROWS)):
        model = NTKInteractionRegressor(row_prior=prior, column_prior=COLUMNS)
        model.fit(PAIRS[~cold], VALUES[~cold])
        errors[name] = np.mean((model.predict(PAIRS[cold]) - VALUES[cold]) ** 2)
    assert errors["side"] < 0.8 * errors["none"]


def test_unseen_ids_without_side_information_are_average_ids():
    model = NTKInteractionRegressor(**GIVEN).fit(PAIRS, VALUES)
    strange = model.predict([[-5, 3], [999, 3], [1, 10**9], [-1, -1]])
    assert strange[0] == strange[1]
    assert np.isfinite(strange).all()
    # Nothing is known of either id: the mean, up to what all entries have in common.
    assert abs(strange[3] - VALUES.mean()) < VALUES.std()
    words = NTKInteractionRegressor(**GIVEN).fit(PAIRS.astype(str).astype(object), VALUES)
    np.testing.assert_allclose(words.predict([["?", "3"]]), strange[:1], atol=0.05)


def test_duplicates_count_as_their_number():
    twice = np.concatenate([PAIRS, PAIRS[:50]])
    values = np.concatenate([VALUES, VALUES[:50] + 0.4])
    model = NTKInteractionRegressor(**GIVEN, tol=1e-12).fit(twice, values)
    assert len(model.dual_coef_) == len(PAIRS)
    weights = np.ones(len(PAIRS))
    weights[:50] = 2
    mean = VALUES.copy()
    mean[:50] += 0.2
    weighted = NTKInteractionRegressor(**GIVEN, tol=1e-12).fit(PAIRS, mean, sample_weight=weights)
    np.testing.assert_allclose(model.predict(PAIRS), weighted.predict(PAIRS), atol=1e-9, rtol=0)


@pytest.mark.parametrize("n_columns", [1, 3])
def test_any_number_of_columns(n_columns):
    hour = np.random.default_rng(2).integers(4, size=len(PAIRS))
    X = np.column_stack([PAIRS, hour])[:, :n_columns]
    y = VALUES + np.array([-3, -1, 1, 3])[hour] if n_columns == 3 else VALUES
    model = NTKInteractionRegressor(**GIVEN).fit(X[TRAIN], y[TRAIN])
    assert model.n_features_in_ == n_columns
    assert model.score(X[TEST], y[TEST]) > 0.1
    assert (model.column_ids_ is None) == (n_columns == 1)


def test_low_rank_agrees_with_whole_kernels():
    whole = NTKInteractionRegressor(**GIVEN, rank=None, tol=1e-10).fit(PAIRS, VALUES)
    low = NTKInteractionRegressor(**GIVEN, rank=40, tol=1e-10).fit(PAIRS, VALUES)
    assert (whole.rank_, low.rank_) == (None, 40)
    np.testing.assert_allclose(low.predict(PAIRS), whole.predict(PAIRS), atol=1e-7, rtol=0)
    crude = NTKInteractionRegressor(**GIVEN, rank=3).fit(PAIRS, VALUES)
    assert np.abs(crude.predict(PAIRS) - whole.predict(PAIRS)).max() > 0.1


def test_standard_deviations_cover_and_are_larger_for_unseen_ids():
    model = NTKInteractionRegressor().fit(PAIRS[TRAIN], VALUES[TRAIN])
    mean, std = model.predict(PAIRS[TEST], return_std=True)
    np.testing.assert_array_equal(mean, model.predict(PAIRS[TEST]))
    covered = np.mean(np.abs(mean - VALUES[TEST]) < 1.645 * std)
    # Nominally .9; learned features make it overconfident.
    assert 0.75 < covered < 0.98
    _, unseen = model.predict([[-1, -1]], return_std=True)
    assert unseen[0] > std.mean()


def test_grid_search_over_entries_in_two_processes():
    search = GridSearchCV(
        NTKInteractionRegressor(**GIVEN, row_prior=ROWS),
        {"alpha": [0.1, 1e5]},
        cv=KFold(3, shuffle=True, random_state=0),
        n_jobs=2,
    ).fit(PAIRS, VALUES)
    assert search.best_params_ == {"alpha": 0.1}
    scores = cross_val_score(clone(search.best_estimator_), PAIRS, VALUES, cv=3)
    assert len(scores) == 3


def test_random_state_decides_everything_that_is_drawn():
    one, two = (NTKInteractionRegressor(random_state=3, rank=9) for _ in range(2))
    first = one.fit(PAIRS, VALUES).predict(PAIRS)
    assert np.array_equal(first, two.fit(PAIRS, VALUES).predict(PAIRS))
    assert one.held_out_error_ == two.held_out_error_


def test_settings_are_chosen_only_where_they_are_auto():
    auto = NTKInteractionRegressor(row_prior=ROWS).fit(PAIRS, VALUES)
    assert auto.held_out_error_ > 0
    again = NTKInteractionRegressor(
        row_prior=ROWS,
        alpha=auto.alpha_,
        mask_weight=auto.mask_weight_,
        side_weight=auto.side_weight_,
    ).fit(PAIRS, VALUES)
    assert np.isnan(again.held_out_error_)
    np.testing.assert_allclose(again.predict(PAIRS), auto.predict(PAIRS), atol=1e-6)
    half = NTKInteractionRegressor(row_prior=ROWS, mask_weight=0.123).fit(PAIRS, VALUES)
    assert half.mask_weight_ == 0.123


def test_order_of_the_samples_does_not_matter():
    order = np.random.default_rng(0).permutation(len(PAIRS))
    first = NTKInteractionRegressor().fit(PAIRS, VALUES)
    second = NTKInteractionRegressor().fit(PAIRS[order], VALUES[order])
    np.testing.assert_allclose(first.predict(PAIRS), second.predict(PAIRS), atol=1e-7)


def test_results_are_clipped_only_on_demand():
    free = NTKInteractionRegressor(**GIVEN).fit(PAIRS, VALUES).predict(PAIRS)
    assert free.max() > 1
    assert free.min() < -1
    model = NTKInteractionRegressor(**GIVEN, clip=(-1, 1)).fit(PAIRS, VALUES)
    np.testing.assert_array_equal(model.predict(PAIRS), free.clip(-1, 1))


def test_single_precision_ids_give_single_precision():
    model = NTKInteractionRegressor(**GIVEN).fit(PAIRS.astype(np.float32), VALUES)
    assert model.predict(PAIRS.astype(np.float32)).dtype == np.float32


def test_pickle_and_skops_keep_predictions():
    skops = pytest.importorskip("skops.io")
    words = np.array([[f"u{i}", f"v{j}"] for i, j in PAIRS], dtype=object)
    for X in (PAIRS, words):
        for rank in (None, 7):
            model = NTKInteractionRegressor(**GIVEN, rank=rank).fit(X, VALUES)
            expected = model.predict(X)
            assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)
            dumped = skops.dumps(model)
            trusted = skops.get_untrusted_types(data=dumped)
            assert all(name.startswith("skoverparam.") for name in trusted)
            assert np.array_equal(skops.loads(dumped, trusted=trusted).predict(X), expected)


class _StopAfter(FitCallback):
    def __init__(self, n_steps):
        self.n_steps, self.seen = n_steps, 0

    def setup(self, estimator, context):
        self.seen = 0

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.parent is not None:
            self.seen += 1
        return self.seen >= self.n_steps


def test_a_callback_can_stop_the_solver():
    model = NTKInteractionRegressor(**GIVEN, tol=1e-10).set_callbacks(_StopAfter(3))
    with pytest.warns(ConvergenceWarning, match="Increase max_iter"):
        model.fit(PAIRS, VALUES)
    assert model.n_iter_ == 3
    assert np.isfinite(model.predict(PAIRS)).all()


def test_residual_is_true_and_its_failure_warns():
    model = NTKInteractionRegressor(**GIVEN, tol=1e-9).fit(PAIRS, VALUES)
    assert 0 < model.residual_ <= 1e-9
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        NTKInteractionRegressor(**GIVEN, tol=1e-9, max_iter=2).fit(PAIRS, VALUES)


def test_constant_values():
    model = NTKInteractionRegressor().fit(PAIRS, np.full(len(PAIRS), 3.5))
    np.testing.assert_allclose(model.predict([[0, 1], [-1, -1]]), 3.5, atol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"alpha": 0}, ValueError, "alpha"),
        ({"alpha": "best"}, ValueError, "alpha must be 'auto' or a number, got 'best'"),
        ({"mask_weight": -1.0}, ValueError, "mask_weight"),
        ({"side_weight": (1.0, -1.0)}, ValueError, "side_weight"),
        ({"side_weight": (1.0, 1.0, 1.0)}, ValueError, "side_weight must be"),
        ({"shrinkage": 0}, ValueError, "shrinkage"),
        ({"depth": 0}, ValueError, "depth"),
        ({"side_weight": ("auto", 1.0)}, ValueError, "side_weight must be .* a pair of numbers"),
        ({"side_weight": (1.0, -1.0)}, ValueError, "side_weight == -1"),
        ({"side_weight": (1.0, 1.0, 1.0)}, ValueError, "side_weight must be .* a pair"),
        ({"activation": "gelu"}, ValueError, "activation"),
        ({"rank": "all"}, ValueError, "rank must be 'auto', None or an integer, got 'all'"),
        ({"rank": 41}, ValueError, "rank must be at most 40.*got 41"),
        ({"clip": (5, 1)}, ValueError, "clip"),
        ({"tol": 0}, ValueError, "tol"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"row_prior": np.ones(40)}, ValueError, r"row_prior must have 2 dim.*\(40,\)"),
        ({"row_prior": np.full((40, 2), np.nan)}, ValueError, "row_prior"),
        ({"row_prior": [["a"]] * 40}, (TypeError, ValueError), "row_prior"),
        (
            {"column_prior": lambda ids: np.ones((3, 2))},
            ValueError,
            r"column_prior must map 30 ids to an array of shape \(30, p\), got shape \(3, 2\)",
        ),
        (
            {"row_prior": {0: [1.0, 2.0], 1: [1.0]}},
            ValueError,
            r"row_prior must map every id to a vector of the same length, got lengths \[1, 2\]",
        ),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        NTKInteractionRegressor(**parameters).fit(PAIRS, VALUES)


def test_array_priors_need_integer_ids():
    words = PAIRS.astype(str).astype(object)
    words[:, 0] = np.char.add("u", words[:, 0].astype(str))
    with pytest.raises(ValueError, match="row_prior given as an array needs integer ids"):
        NTKInteractionRegressor(row_prior=ROWS).fit(words, VALUES)


def test_priors_must_keep_their_width():
    features = {"p": 3}

    def prior(ids):
        return np.ones((len(ids), features["p"]))

    model = NTKInteractionRegressor(row_prior=prior, **GIVEN).fit(PAIRS, VALUES)
    features["p"] = 2
    with pytest.raises(ValueError, match="row_prior must have 3 features, as in fit, got 2"):
        model.predict([[-1, 0]])


def test_column_prior_needs_a_second_column():
    with pytest.raises(ValueError, match="column_prior was given, but X has only 1 column"):
        NTKInteractionRegressor(column_prior=COLUMNS).fit(PAIRS[:, :1], VALUES)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ([[0, 1], [1, 1]], [1.0, np.nan], ValueError, "NaN"),
        ([[0, 1], [1, 1]], [1.0, np.inf], ValueError, "infinity"),
        ([[0, 1], [1, 1]], ["good", "bad"], ValueError, "y must hold numbers"),
        (np.empty((0, 2)), [], ValueError, "0 sample"),
        ([[0.0, np.nan], [1, 1]], [1.0, 2.0], ValueError, "NaN"),
        (np.array([["a", None], ["b", "c"]], object), [1.0, 2.0], ValueError, "missing"),
        (np.array([["a", [1]], ["b", "c"]], object), [1.0, 2.0], TypeError, "hashable"),
        ([0, 1], [1.0, 2.0], ValueError, "2D array"),
        ([[0, 1], [1, 1]], [1.0], ValueError, "inconsistent"),
    ],
)
def test_bad_data_is_refused(X, y, error, message):
    with pytest.raises(error, match=message):
        NTKInteractionRegressor().fit(X, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(len(PAIRS)), "zero"),
        (-np.ones(len(PAIRS)), "sample_weight must hold"),
        (np.ones(3), "sample_weight must hold"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        NTKInteractionRegressor().fit(PAIRS, VALUES, sample_weight=weights)


def test_what_does_not_fit_is_refused_with_numbers_and_a_remedy():
    with config_context(memory_budget=1e4), pytest.raises(MemoryError, match="smaller rank"):
        NTKInteractionRegressor(**GIVEN).fit(PAIRS, VALUES)


def test_a_failed_fit_leaves_the_fitted_model_as_it_was():
    model = NTKInteractionRegressor(**GIVEN).fit(PAIRS, VALUES)
    before = model.predict(PAIRS)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(PAIRS, np.full(len(PAIRS), np.nan))
    np.testing.assert_array_equal(model.predict(PAIRS), before)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu():
    expected = NTKInteractionRegressor(**GIVEN, device="cpu", tol=1e-9).fit(PAIRS, VALUES)
    model = NTKInteractionRegressor(**GIVEN, device="cuda", tol=1e-9).fit(PAIRS, VALUES)
    np.testing.assert_allclose(model.predict(PAIRS), expected.predict(PAIRS), atol=1e-6)


def test_without_side_information_there_is_no_weight_of_it_to_choose():
    rng = np.random.default_rng(0)
    pairs = np.column_stack([rng.integers(30, size=400), rng.integers(20, size=400)])
    y = rng.normal(size=400)
    given = NTKInteractionRegressor(alpha=1.0, mask_weight=1.0).fit(pairs, y)
    # Nothing was held out: there was nothing to decide.
    assert np.isnan(given.held_out_error_)
    about = NTKInteractionRegressor(row_prior=np.eye(30), alpha=1.0, mask_weight=1.0).fit(pairs, y)
    assert np.isfinite(about.held_out_error_)


@pytest.mark.parametrize("exponent", [-500, 500])
def test_values_whose_squares_are_no_numbers(exponent):
    X, y, *_ = ratings()
    model = NTKInteractionRegressor(**GIVEN).fit(X, y)
    far = NTKInteractionRegressor(**GIVEN).fit(X, y * 2.0**exponent)
    np.testing.assert_allclose(far.predict(X), model.predict(X) * 2.0**exponent, rtol=1e-9)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_side_information_of_any_size_is_unit_vectors(size):
    whole = [NTKInteractionRegressor(**GIVEN, row_prior=factor * ROWS) for factor in (1.0, size)]
    seen = TRAIN & (PAIRS[:, 0] != 3)
    plain, scaled = (model.fit(PAIRS[seen], VALUES[seen]).predict(PAIRS) for model in whole)
    np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-9)


def test_weights_and_values_whose_product_is_no_number():
    pairs, values = np.concatenate([PAIRS, PAIRS]), np.tile(VALUES, 2)
    weights = np.full(len(pairs), 1e150)
    plain, large = (
        NTKInteractionRegressor(**GIVEN).fit(pairs, unit * values, weights).predict(PAIRS) / unit
        for unit in (1.0, 2.0**700)
    )
    np.testing.assert_allclose(large, plain, rtol=1e-9)


def test_values_that_stand_for_very_many_leave_the_others_alone():
    # Single numbers among them used to make the system unsolvable.
    weights = np.where(np.arange(len(PAIRS)) % 7 == 0, 1e150, 1.0)
    model = NTKInteractionRegressor(**GIVEN, max_iter=2000).fit(PAIRS, VALUES, weights)
    predicted = model.predict(PAIRS)
    assert np.abs(predicted).max() < 3 * np.abs(VALUES).max()
    np.testing.assert_allclose(predicted[::7], VALUES[::7], rtol=0, atol=0.05)
    unseen = model.predict(PAIRS + 1000)
    assert np.abs(unseen).max() < np.abs(VALUES).max()


def test_times_are_ids_in_any_unit():
    days = np.datetime64("2020-01-01") + PAIRS[:, :1]
    model = NTKInteractionRegressor(alpha=0.3, mask_weight=0.0).fit(days, VALUES)
    for unit in ("s", "ns"):
        there = days.astype(f"datetime64[{unit}]")
        np.testing.assert_array_equal(model.predict(there), model.predict(days))
    with pytest.raises(ValueError, match="column 0 of X must not be missing, got NaT"):
        model.fit(np.full_like(days, "NaT"), VALUES)


def test_a_mapping_that_has_none_of_the_training_ids_serves_later_ones():
    prior = {100: [1.0, 2.0], 101: [2.0, 1.0]}
    model = NTKInteractionRegressor(row_prior=prior, **GIVEN).fit(PAIRS, VALUES)
    later = PAIRS[:5] + [100, 0]
    without = NTKInteractionRegressor(row_prior={}, **GIVEN).fit(PAIRS, VALUES)
    np.testing.assert_allclose(model.predict(later), without.predict(later), rtol=1e-9)
