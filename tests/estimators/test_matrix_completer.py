"""NTKMatrixCompleter: what a user of imputers relies on."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import KNNImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skoverparam
from skoverparam import NTKMatrixCompleter
from skoverparam.kernels import fully_connected_ntk


def low_rank(m=80, n=25, rank=3, noise=0.1, missing=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X_true = rng.normal(size=(m, rank)) @ rng.normal(size=(rank, n)) + 5.0 * rng.normal(size=n)
    X_true += noise * rng.normal(size=X_true.shape)
    X = np.where(rng.random(X_true.shape) < missing, np.nan, X_true)
    return X, X_true


@pytest.fixture(scope="module")
def data():
    return low_rank()


@pytest.fixture(scope="module")
def fitted(data):
    return NTKMatrixCompleter(random_state=0).fit(data[0])


def test_predicts_better_than_nearest_neighbors(data, fitted):
    X, X_true = data
    holes = np.isnan(X)
    knn = KNNImputer(n_neighbors=10).fit_transform(X)
    knn_error = np.sqrt(np.mean((knn - X_true)[holes] ** 2))
    assert -fitted.score(X, X_true) < 0.7 * knn_error


def test_observed_entries_come_back_bit_equal(data, fitted):
    X, _ = data
    completed = fitted.transform(X)
    assert not np.isnan(completed).any()
    np.testing.assert_array_equal(completed[~np.isnan(X)], X[~np.isnan(X)])


def test_fit_transform_equals_fit_then_transform(data):
    X, _ = data
    completer = NTKMatrixCompleter(random_state=0)
    np.testing.assert_array_equal(completer.fit_transform(X), completer.fit(X).transform(X))


def test_a_new_row_alone_equals_the_row_in_a_batch(fitted):
    new, _ = low_rank(m=30, seed=1)
    batch = fitted.transform(new)
    for i in (0, 7, 29):
        alone = fitted.transform(new[i : i + 1])[0]
        np.testing.assert_allclose(alone, batch[i], rtol=0, atol=1e-11)


def test_new_rows_are_completed_almost_as_well_as_training_rows():
    X, X_true = low_rank(m=160)
    completer = NTKMatrixCompleter(random_state=0).fit(X[:120])
    joint = NTKMatrixCompleter(random_state=0).fit(X)
    holes = np.isnan(X[120:])

    def error(completed):
        return np.sqrt(np.mean((completed - X_true[120:])[holes] ** 2))

    assert error(completer.transform(X[120:])) < 1.3 * error(joint.transform(X[120:]))


def test_one_sided_equals_the_direct_formula():
    X, _ = low_rank(m=20, n=8)
    Z = np.random.default_rng(3).normal(size=(8, 5))
    completer = NTKMatrixCompleter(
        row_prior="identity", column_prior=Z, depth=1, alpha=0, standardize=False
    )
    completed = completer.fit_transform(X)
    theta = fully_connected_ntk(Z, depth=1)
    for i, row in enumerate(X):
        seen = np.flatnonzero(~np.isnan(row))
        expected = theta[:, seen] @ np.linalg.solve(theta[np.ix_(seen, seen)], row[seen])
        np.testing.assert_allclose(completed[i], expected, rtol=0, atol=1e-10)
    assert completer.jitter_ == 0.0


def test_leave_one_out_errors_are_those_of_explicit_refits():
    X, _ = low_rank(m=12, n=6, missing=0.2)
    Z = np.random.default_rng(3).normal(size=(6, 5))
    settings = {
        "row_prior": "identity", "column_prior": Z, "standardize": False, "random_state": 0,
    }  # fmt: skip
    completer = NTKMatrixCompleter(**settings).fit(X)
    for alpha in (0.125, 2.0):
        errors = []
        for i, j in np.argwhere(~np.isnan(X)):
            hidden = X.copy()
            hidden[i, j] = np.nan
            refit = NTKMatrixCompleter(alpha=alpha, **settings).fit_transform(hidden)
            errors.append(refit[i, j] - X[i, j])
        expected = np.sqrt(np.mean(np.square(errors)))
        assert completer.alpha_errors_[alpha] == pytest.approx(expected, rel=1e-9)


def test_alpha_is_chosen_where_its_error_is_least(fitted):
    assert fitted.alpha_errors_[fitted.alpha_] == min(fitted.alpha_errors_.values())
    noisy, noisy_true = low_rank(noise=3.0)
    more = NTKMatrixCompleter(random_state=0).fit(noisy)
    assert more.alpha_ > fitted.alpha_
    least = NTKMatrixCompleter(alpha=0.01, random_state=0).fit(noisy)
    assert more.score(noisy, noisy_true) > least.score(noisy, noisy_true)


def test_whole_missing_rows_and_columns_follow_their_prior():
    rng = np.random.default_rng(0)
    groups = rng.integers(4, size=60)
    X_true = rng.normal(size=(4, 15))[groups] + 0.1 * rng.normal(size=(60, 15))
    X = X_true.copy()
    X[:6] = np.nan
    side = np.eye(4)[groups]
    completer = NTKMatrixCompleter(row_prior=side, random_state=0).fit(X)
    baseline = np.sqrt(np.mean((X_true[:6] - np.nanmean(X, axis=0)) ** 2))
    assert -completer.score(X, X_true) < 0.5 * baseline

    transposed = NTKMatrixCompleter(column_prior=side, random_state=0).fit(X.T)
    assert transposed.transform(X.T).shape == X.T.shape
    assert -transposed.score(X.T, X_true.T) < 0.5 * baseline


def test_a_callable_row_prior_serves_new_rows_too():
    rng = np.random.default_rng(0)
    groups = rng.integers(4, size=80)
    X_true = rng.normal(size=(4, 15))[groups] + 0.1 * rng.normal(size=(80, 15))
    X_true = np.column_stack([groups, X_true])
    X = X_true.copy()
    X[::7, 1:] = np.nan

    def group(rows):
        return np.eye(4)[rows[:, 0].astype(int)]

    completer = NTKMatrixCompleter(row_prior=group, random_state=0).fit(X[:60])
    new = X[63:64]
    assert np.isnan(new[0, 1:]).all()
    error = np.sqrt(np.mean((completer.transform(new) - X_true[63:64]) ** 2))
    assert error < 0.3


def test_a_callable_row_prior_must_keep_its_width(data):
    X, _ = data
    given = {"alpha": 0.1, "n_passes": 1}
    completer = NTKMatrixCompleter(row_prior=lambda X: np.ones((len(X), len(X))), **given)
    completer.fit(X)
    with pytest.raises(ValueError, match="row_prior must return 80 features, as in fit, got 3"):
        completer.transform(X[:3] + 1)


def test_equal_training_rows_with_different_priors_are_told_apart_by_position():
    rng = np.random.default_rng(0)
    side = np.eye(3)[rng.integers(3, size=30)]
    X = side @ rng.normal(size=(3, 8)) + 0.05 * rng.normal(size=(30, 8))
    X[4] = X[9] = np.nan
    side[4], side[9] = [1, 0, 0], [0, 1, 0]
    completer = NTKMatrixCompleter(row_prior=side, random_state=0).fit(X)
    completed = completer.transform(X)
    assert np.abs(completed[4] - completed[9]).max() > 0.5
    # Alone, nothing says which of the two it is: it counts as new, without side information.
    alone = completer.transform(X[4:5])
    assert np.abs(alone - completed[4]).max() > 0.1


def test_score_looks_only_at_what_is_missing(data, fitted):
    X, X_true = data
    elsewhere = np.where(np.isnan(X), X_true, 1e6)
    assert fitted.score(X, elsewhere) == fitted.score(X, X_true)
    expected = -np.sqrt(np.mean((fitted.transform(X) - X_true)[np.isnan(X)] ** 2))
    assert fitted.score(X, X_true) == pytest.approx(expected, rel=1e-12)
    assert fitted.score(X_true, "whatever") == 0.0
    unknown = X_true.copy()
    unknown[np.isnan(X) & (np.arange(X.shape[1]) > 3)] = np.nan
    few = np.isnan(X[:, :4])
    expected = -np.sqrt(np.mean((fitted.transform(X)[:, :4] - X_true[:, :4])[few] ** 2))
    assert fitted.score(X, unknown) == pytest.approx(expected, rel=1e-12)


def test_posterior_std_orders_errors_and_is_zero_where_observed(data, fitted):
    X, X_true = data
    std = fitted.posterior_std(X)
    holes = np.isnan(X)
    assert (std[~holes] == 0).all()
    assert (std[holes] > 0).all()
    z = (fitted.transform(X) - X_true)[holes] / std[holes]
    # Calibrated on entries that were held out: hidden ones have standardized errors near one.
    assert 0.8 < z.std() < 1.25
    new, new_true = low_rank(m=30, seed=0)
    alone = fitted.posterior_std(new[2:3])
    np.testing.assert_allclose(alone, fitted.posterior_std(new)[2:3], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_kinds_of_numbers(dtype):
    X, _ = low_rank(m=30, n=8)
    missing = np.nan
    if dtype is np.int64:
        missing = -99
        X = np.where(np.isnan(X), missing, np.round(X)).astype(dtype)
    X = X.astype(dtype)
    completer = NTKMatrixCompleter(missing_values=missing, random_state=0)
    completed = completer.fit_transform(X)
    assert completed.dtype == (np.float32 if dtype is np.float32 else np.float64)
    holes = np.isnan(X) if missing is np.nan else missing == X
    np.testing.assert_array_equal(completed[~holes], X[~holes])
    assert np.isfinite(completed).all()


def test_layouts_of_memory(data, fitted):
    X, _ = data
    expected = fitted.transform(X)
    read_only = X.copy()
    read_only.setflags(write=False)
    for other in (np.asfortranarray(X), read_only, X[::-1][::-1], X.tolist()):
        np.testing.assert_array_equal(fitted.transform(other), expected)
    again = NTKMatrixCompleter(random_state=0).fit(read_only)
    np.testing.assert_array_equal(again.transform(X), expected)


def test_data_frames_and_set_output(data, fitted):
    X, _ = data
    names = [f"gene{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names, index=[f"row{i}" for i in range(len(X))])
    completer = clone(fitted).set_output(transform="pandas").fit(frame)
    completed = completer.transform(frame)
    assert list(completed.columns) == names
    assert list(completed.index) == list(frame.index)
    np.testing.assert_array_equal(completed.to_numpy(), fitted.transform(X))
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({name: X[:, j] for j, name in enumerate(names)})
    completer = clone(fitted).set_output(transform="polars").fit(frame)
    assert completer.transform(frame).columns == names


def test_a_tensor_without_dispatch_comes_back_as_a_tensor(data, fitted, device):
    X, _ = data
    completer = clone(fitted).fit(torch.tensor(X, device=device))
    completed = completer.transform(torch.tensor(X, device=device))
    assert isinstance(completed, torch.Tensor)
    assert completed.device.type == device.type
    assert isinstance(completer.dual_coef_, np.ndarray)
    np.testing.assert_allclose(completed.cpu().numpy(), fitted.transform(X), rtol=0, atol=0.05)


def test_empty_columns_and_the_indicator():
    X, _ = low_rank(m=30, n=8)
    X[:, 2] = np.nan
    completer = NTKMatrixCompleter(random_state=0).fit(X)
    assert completer.transform(X).shape == (30, 7)
    assert list(completer.get_feature_names_out()) == [f"x{j}" for j in range(8) if j != 2]

    keep = NTKMatrixCompleter(keep_empty_features=True, random_state=0).fit(X)
    assert (keep.transform(X)[:, 2] == 0).all()
    assert keep.get_feature_names_out()[2] == "x2"
    np.testing.assert_array_equal(np.delete(keep.transform(X), 2, axis=1), completer.transform(X))

    flagged = NTKMatrixCompleter(add_indicator=True, random_state=0).fit(X)
    completed = flagged.transform(X)
    assert completed.shape == (30, 7 + 8)
    np.testing.assert_array_equal(completed[:, 7:], np.isnan(X))
    assert flagged.get_feature_names_out()[-1] == "missingindicator_x7"
    assert len(flagged.get_feature_names_out()) == completed.shape[1]


def test_a_constant_matrix_is_completed_by_its_constant():
    X = np.full((12, 5), 3.5)
    X[::3, 1] = np.nan
    completed = NTKMatrixCompleter(random_state=0).fit_transform(X)
    np.testing.assert_allclose(completed, 3.5, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**500])
def test_extreme_scales_change_nothing_but_the_scale(data, fitted, scale):
    X, _ = data
    completed = clone(fitted).fit_transform(X * scale)
    np.testing.assert_allclose(completed / scale, fitted.transform(X), rtol=1e-6)


def test_a_row_with_nothing_observed_gets_the_column_baseline(fitted):
    completed = fitted.transform(np.full((1, 25), np.nan))
    baseline = fitted.column_offsets_
    assert np.abs(completed[0] - baseline).max() < fitted.column_scales_.max()


def test_clip_bounds_predictions_only(data):
    X, _ = data
    completed = NTKMatrixCompleter(clip=(-1.0, 1.0), random_state=0).fit_transform(X)
    holes = np.isnan(X)
    assert np.abs(completed[holes]).max() == 1.0
    np.testing.assert_array_equal(completed[~holes], X[~holes])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((4, 3), np.nan), "no observed entry"),
        (np.empty((0, 3)), "0 sample"),
        (np.array([[1.0, np.inf], [0.0, 1.0]]), "infinity"),
        (np.array([["a", "b"], ["c", "d"]]), "could not convert string"),
    ],
)
def test_bad_data_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        NTKMatrixCompleter().fit(X)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"row_prior": np.ones((7, 2))}, ValueError, r"row_prior.* per row of X, 80, .*\(7, 2\)"),
        ({"column_prior": np.ones((80, 2))}, ValueError, r"column_prior .* 25, .*\(80, 2\)"),
        ({"column_prior": np.ones(25)}, ValueError, r"column_prior must have 2 dim.*\(25,\)"),
        ({"row_prior": [["a"]] * 80}, ValueError, "row_prior must hold finite numbers"),
        ({"row_prior": np.full((80, 1), np.nan)}, ValueError, "row_prior must hold finite"),
        ({"row_prior": "zeros"}, ValueError, "row_prior must be one of 'identity'; got 'zeros'"),
        ({"rank": 26}, ValueError, "rank must be at most the smaller side of X, 25, got 26"),
        ({"rank": 0}, ValueError, "rank == 0, must be >= 1"),
        ({"alpha": -1}, ValueError, "alpha == -1, must be >= 0"),
        ({"alpha": "best"}, ValueError, "alpha must be 'auto' or a number"),
        ({"alpha": np.nan}, ValueError, "alpha"),
        ({"depth": 1.5}, TypeError, "depth must be an instance of int"),
        ({"activation": "gelu"}, ValueError, "activation"),
        ({"n_passes": 0}, ValueError, "n_passes == 0, must be >= 1"),
        ({"clip": (1, 0)}, ValueError, "clip must be a pair .* low < high"),
        ({"device": "tpu"}, ValueError, "device must be 'auto', 'cpu'"),
    ],
)
def test_bad_parameters_are_named_before_any_work(data, fitted, parameters, error, message):
    completer = clone(fitted).fit(data[0])
    before, original = completer.transform(data[0]), completer.get_params()
    with pytest.raises(error, match=message):
        completer.set_params(**parameters).fit(data[0])
    # What had been fitted is still there.
    completer.set_params(**original)
    np.testing.assert_array_equal(completer.transform(data[0]), before)


def test_above_the_memory_budget_nothing_is_allocated(data):
    with (
        skoverparam.config_context(memory_budget=10_000),
        pytest.raises(MemoryError, match=r"GiB.*budget.*row_prior='identity'"),
    ):
        NTKMatrixCompleter().fit(data[0])


def test_a_wrong_truth_is_refused(data, fitted):
    X, X_true = data
    with pytest.raises(ValueError, match=r"y must be the true matrix, .*\(80, 25\).*\(80, 3\)"):
        fitted.score(X, X_true[:, :3])
    with pytest.raises(ValueError, match="got None"):
        fitted.score(X)
    with pytest.raises(ValueError, match="no entry to score"):
        fitted.score(X, X)


def test_too_few_iterations_are_reported(data):
    completer = NTKMatrixCompleter(alpha=0.01, n_passes=1, tol=1e-8, max_iter=2)
    with pytest.warns(ConvergenceWarning, match="Increase max_iter=2, alpha or tol"):
        completer.fit(data[0])
    assert completer.residual_ > 1e-8


def test_search_over_rows_in_parallel_and_in_a_pipeline(data):
    X, X_true = data
    completer, grid = NTKMatrixCompleter(alpha=0.3, random_state=0), {"depth": [1, 2]}
    search = GridSearchCV(completer, grid, cv=3, n_jobs=2, error_score="raise").fit(X, X_true)
    assert search.best_score_ < 0
    serial = GridSearchCV(completer, grid, cv=3).fit(X, X_true)
    # Workers use one thread: sums are ordered differently, tol is 1e-2.
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"], rtol=1e-3
    )
    pipe = make_pipeline(NTKMatrixCompleter(random_state=0), Ridge()).fit(X, X_true[:, 0])
    assert pipe.score(X, X_true[:, 0]) > 0.9


@pytest.mark.parametrize("way", ["pickle", "skops", "clone"])
def test_round_trips(data, fitted, way):
    X, _ = data
    new, _ = low_rank(m=5, seed=4)
    if way == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    elif way == "skops":
        dumped = skops.io.dumps(fitted)
        trusted = skops.io.get_untrusted_types(data=dumped)
        assert trusted == ["skoverparam.estimators._matrix_completer.NTKMatrixCompleter"]
        again = skops.io.loads(dumped, trusted=trusted)
    else:
        again = clone(fitted).fit(X)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(again.transform(new), fitted.transform(new))


def test_callbacks_see_a_fitted_estimator_after_every_pass(data):
    X, X_true = data
    seen = []

    class Watch:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            if context.task_name == "pass":
                seen.append(fitted_estimator.score(X, X_true))
                return len(seen) == 2
            return None

    completer = NTKMatrixCompleter(n_passes=5, random_state=0).set_callbacks(Watch())
    completer.fit(X)
    # The second pass learns from the completion of the first; then the callback stopped the fit.
    assert len(seen) == 2
    assert seen[1] > seen[0]
    assert completer.score(X, X_true) == seen[1]


def test_no_warning_in_an_ordinary_fit(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NTKMatrixCompleter(random_state=0).fit(data[0]).transform(data[0])


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(data):
    X, _ = data
    settings = {"alpha": 0.3, "tol": 1e-10, "max_iter": 5000}
    cpu = NTKMatrixCompleter(device="cpu", **settings).fit(X)
    cuda = NTKMatrixCompleter(device="cuda", **settings).fit(X)
    np.testing.assert_allclose(cuda.transform(X), cpu.transform(X), rtol=0, atol=1e-6)
    assert isinstance(cuda.dual_coef_, np.ndarray)


def test_landmarks_cost_little_accuracy():
    X, X_true = low_rank(m=300)
    exact = NTKMatrixCompleter(n_landmarks=None, random_state=0).fit(X)
    few = NTKMatrixCompleter(n_landmarks=100, random_state=0).fit(X)
    assert exact.landmarks_ is None
    assert few.landmarks_.shape == (100,)
    assert few.score(X, X_true) > 1.5 * exact.score(X, X_true)
    new, new_true = low_rank(m=310, seed=0)
    new, new_true = new[:10] + 0.1, new_true[:10] + 0.1
    np.testing.assert_allclose(few.transform(new)[3], few.transform(new[3:4])[0], atol=1e-11)
    assert np.isfinite(few.posterior_std(new)).all()
    assert np.isfinite(few.posterior_std(X)).all()
    again = pickle.loads(pickle.dumps(few))
    np.testing.assert_array_equal(again.transform(new), few.transform(new))


def test_passes_go_on_while_they_pay(data):
    X, X_true = data
    one = NTKMatrixCompleter(n_passes=1, random_state=0).fit(X)
    auto = NTKMatrixCompleter(random_state=0).fit(X)
    assert one.n_passes_ == 1
    assert one.pass_errors_ == []
    assert auto.n_passes_ > 1
    assert auto.n_passes_ == 1 + int(np.argmin(auto.pass_errors_))
    assert auto.score(X, X_true) > one.score(X, X_true)


@pytest.mark.parametrize("scale", [2.0**-460, 2.0**460])
def test_extreme_scales_without_standardization(scale):
    X, _ = low_rank(m=30, n=8)
    completer = NTKMatrixCompleter(standardize=False, random_state=0)
    expected = completer.fit_transform(X)
    np.testing.assert_allclose(completer.fit_transform(X * scale) / scale, expected, rtol=1e-6)
    assert np.isfinite(completer.posterior_std(X * scale)).all()


def test_interpolation_chooses_its_passes():
    X, X_true = low_rank(m=30, n=8)
    completer = NTKMatrixCompleter(alpha=0, max_iter=2000, random_state=0).fit(X)
    assert completer.n_passes_ > 1
    assert completer.alpha_ == 0
    assert np.isfinite(completer.transform(X)).all()


def test_a_prior_that_says_nothing_leaves_no_landmarks():
    # An odd activation has kernel zero at cosine zero: there is nothing to draw landmarks from.
    X, _ = low_rank(m=30, n=8)
    completer = NTKMatrixCompleter(
        row_prior=np.zeros((30, 2)), activation="erf", n_landmarks=3, random_state=0
    ).fit(X)
    assert completer.landmarks_.shape == (0,)
    assert np.isfinite(completer.transform(X)).all()
    assert np.isfinite(completer.posterior_std(X + 1)).all()


@pytest.mark.parametrize("size", [2.0**-700, 2.0**700])
def test_priors_of_any_size_are_unit_vectors(size):
    # They are scaled to unit length before anything is rounded to single precision; powers of two
    # change no digit.
    X, _ = low_rank(m=30, n=8)
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=(30, 3)), rng.normal(size=(8, 3))
    fixed = {"alpha": 0.1, "n_passes": 2}
    for side, features in (("row_prior", rows), ("column_prior", columns)):
        plain = NTKMatrixCompleter(**{side: features}, **fixed).fit_transform(X)
        scaled = NTKMatrixCompleter(**{side: size * features}, **fixed).fit_transform(X)
        np.testing.assert_allclose(scaled, plain, rtol=1e-12)

    def known(sized):
        return lambda new: sized * np.nan_to_num(new[:, :3])

    new = X[:4] + 1.0
    plain = NTKMatrixCompleter(row_prior=known(1.0), **fixed).fit(X).transform(new)
    scaled = NTKMatrixCompleter(row_prior=known(size), **fixed).fit(X).transform(new)
    np.testing.assert_allclose(scaled, plain, rtol=1e-12)


def test_entries_that_no_prior_can_interpolate_do_not_blow_up():
    # Rows along one line: a singular kernel, and entries that it does not give.
    X, _ = low_rank(m=30, n=8)
    prior = np.random.default_rng(0).normal(size=(30, 1))
    model = NTKMatrixCompleter(row_prior=prior, alpha=0.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="not to tol"):
        completed = model.fit_transform(X)
    assert model.residual_ <= 1
    assert np.abs(completed).max() < 10 * np.nanmax(np.abs(X))
    assert model.posterior_std(X).max() < 10 * np.nanmax(np.abs(X))


def test_holes_in_dropped_columns_do_not_count():
    X, X_true = low_rank(m=30, n=8, missing=0.0)
    X[:, 2] = np.nan
    model = NTKMatrixCompleter(alpha=0.1, n_passes=1).fit(X)
    assert model.transform(X).shape == (30, 7)
    assert model.score(X, X_true) == 0.0
    X[0, 0] = np.nan
    expected = -abs(model.transform(X)[0, 0] - X_true[0, 0])
    np.testing.assert_allclose(model.score(X, X_true), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [2.0**-700, 2.0**700])
def test_scores_of_errors_whose_squares_are_no_numbers(data, fitted, size):
    X, X_true = data
    model = clone(fitted).fit(size * X)
    score = model.score(size * X, size * X_true)
    np.testing.assert_allclose(score / size, fitted.score(X, X_true), rtol=1e-6)
