"""MinNormRegressor: what a user of linear regression relies on."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skoverparam import MinNormRegressor, theory


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def wide():
    return gaussian(30, 80) + 3, gaussian(30, seed=1) + 5


@pytest.fixture(scope="module")
def tall():
    X = gaussian(80, 10) + 3
    return X, X @ gaussian(10, seed=1) + gaussian(80, seed=2)


def test_without_an_intercept_it_is_the_pseudoinverse(wide):
    X, y = wide
    model = MinNormRegressor(fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.coef_, np.linalg.pinv(X) @ y, atol=1e-12)
    assert model.intercept_ == 0.0
    assert model.interpolates_
    assert model.rank_ == 30
    assert model.rcond_ == 80 * np.finfo(float).eps
    assert model.coef_norm_ == pytest.approx(np.linalg.norm(model.coef_), rel=1e-12)
    np.testing.assert_allclose(model.singular_values_, np.linalg.svd(X, compute_uv=False))
    assert model.residual_ < 1e-13


def test_the_intercept_is_that_of_centered_data(wide):
    X, y = wide
    model = MinNormRegressor().fit(X, y)
    coef = np.linalg.pinv(X - X.mean(axis=0), rcond=1e-12) @ (y - y.mean())
    np.testing.assert_allclose(model.coef_, coef, atol=1e-12)
    assert model.intercept_ == pytest.approx(y.mean() - X.mean(axis=0) @ coef, rel=1e-12)
    assert model.rank_ == 29
    assert model.interpolates_
    # Least norm with a free intercept: of all b, the one for which ||X^+ (y - b)|| is least.
    norms = [
        np.linalg.norm(np.linalg.pinv(X) @ (y - model.intercept_ - s)) for s in (0, -0.1, 0.1)
    ]
    assert norms[0] < min(norms[1:])
    assert norms[0] == pytest.approx(model.coef_norm_, rel=1e-9)
    # Not the same as a column of ones.
    ones = np.linalg.pinv(np.column_stack([X, np.ones(30)])) @ y
    assert abs(ones[-1] - model.intercept_) > 0.01


def test_below_the_threshold_it_is_least_squares(tall):
    X, y = tall
    model = MinNormRegressor().fit(X, y)
    reference = LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-10)
    assert model.intercept_ == pytest.approx(reference.intercept_, rel=1e-10)
    assert not model.interpolates_
    left = y - model.predict(X)
    assert model.residual_ == pytest.approx(np.linalg.norm(left) / np.linalg.norm(y), rel=1e-10)


@pytest.mark.parametrize(("smallest", "bound"), [(1e-8, 1e-8), (1e-12, 1e-4)])
def test_ill_conditioned_designs_are_interpolated(smallest, bound):
    U, V = (np.linalg.qr(gaussian(size, 40, seed=size))[0] for size in (40, 120))
    X, y = U * np.geomspace(1, smallest, 40) @ V.T, gaussian(40, seed=3)
    model = MinNormRegressor(fit_intercept=False).fit(X, y)
    left = np.linalg.norm(y - model.predict(X)) / np.linalg.norm(y)
    assert left < bound
    assert model.residual_ < bound
    assert model.rank_ == 40
    # Never claimed where it is not so: 1e-6 of the largest target is the bar.
    assert model.interpolates_ == (np.abs(y - model.predict(X)).max() <= 1e-6 * np.abs(y).max())
    assert model.interpolates_ == (smallest == 1e-8)
    # What scikit-learn's cut-off leaves on the same data.
    cut = LinearRegression(fit_intercept=False).fit(X, y)
    assert np.linalg.norm(y - cut.predict(X)) > 0.1 * np.linalg.norm(y)


def test_a_cut_off_regularizes_and_says_so(wide):
    X, y = wide
    model = MinNormRegressor(rcond=0.5).fit(X, y)
    assert model.rcond_ == 0.5
    assert 0 < model.rank_ < 29
    assert not model.interpolates_
    assert model.residual_ > 0.1


@pytest.mark.parametrize("solver", ["svd", "cod", "gram"])
def test_solvers_agree(wide, solver):
    X, y = wide
    model = MinNormRegressor(solver=solver).fit(X, y)
    np.testing.assert_allclose(model.coef_, MinNormRegressor().fit(X, y).coef_, atol=1e-10)
    assert model.rank_ == 29
    assert model.interpolates_
    assert (model.singular_values_ is None) == (solver == "cod")


def test_many_targets_are_each_fitted_alone(wide):
    X, y = wide
    Y = np.column_stack([y, 2 * y + 1, gaussian(30, seed=5)])
    model = MinNormRegressor().fit(X, Y)
    assert model.coef_.shape == (3, 80)
    assert model.intercept_.shape == model.coef_norm_.shape == model.residual_.shape == (3,)
    assert model.predict(X).shape == (30, 3)
    for k in range(3):
        alone = MinNormRegressor().fit(X, Y[:, k])
        np.testing.assert_allclose(model.coef_[k], alone.coef_, atol=1e-12)
        assert model.intercept_[k] == pytest.approx(alone.intercept_, rel=1e-10)
    one_column = MinNormRegressor().fit(X, y[:, None])
    assert one_column.coef_.shape == (1, 80)
    assert one_column.predict(X).shape == (30, 1)


@pytest.mark.parametrize("data", ["wide", "tall"])
def test_weights_are_repetitions(data, request):
    X, y = request.getfixturevalue(data)
    weights = np.random.default_rng(0).integers(0, 4, size=len(y))
    model = MinNormRegressor().fit(X, y, sample_weight=weights)
    repeated = MinNormRegressor().fit(X.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(model.coef_, repeated.coef_, atol=1e-11)
    assert model.intercept_ == pytest.approx(repeated.intercept_, rel=1e-10)
    assert model.rank_ == repeated.rank_
    rank = model.rank_
    np.testing.assert_allclose(
        model.singular_values_[:rank], repeated.singular_values_[:rank], rtol=1e-10
    )


def test_rows_of_weight_zero_are_dropped(wide):
    X, y = wide
    weights = np.ones(30)
    weights[::3] = 0
    X_odd, y_odd = X.copy(), y.copy()
    X_odd[::3], y_odd[::3] = 1e6, -1e6
    model = MinNormRegressor().fit(X_odd, y_odd, sample_weight=weights)
    kept = MinNormRegressor().fit(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(model.coef_, kept.coef_, atol=1e-13)
    assert model.interpolates_
    assert len(model.singular_values_) == 20


def test_n_features_used_is_the_same_as_fewer_columns(wide):
    X, y = wide
    for d in (1, 10, 29, 30, 50):
        model = MinNormRegressor(n_features_used=d).fit(X, y)
        first = MinNormRegressor().fit(X[:, :d], y)
        np.testing.assert_allclose(model.coef_[:d], first.coef_, atol=1e-10)
        assert not model.coef_[d:].any()
        np.testing.assert_allclose(model.predict(X), first.predict(X[:, :d]), atol=1e-9)


def test_feature_weights_make_another_norm_small(wide):
    X, y = wide
    q = np.random.default_rng(0).uniform(0.5, 3, size=80)
    model = MinNormRegressor(feature_weights=q).fit(X, y)
    scaled = MinNormRegressor().fit(X / q, y)
    np.testing.assert_allclose(model.coef_, scaled.coef_ / q, atol=1e-12)
    assert model.coef_norm_ == pytest.approx(np.linalg.norm(q * model.coef_), rel=1e-12)
    assert model.interpolates_


def test_an_isotropic_spectrum_standardizes(wide):
    X, y = wide
    X = X * np.linspace(0.1, 10, 80)
    model = MinNormRegressor(spectrum="isotropic").fit(X, y)
    standard = make_pipeline(StandardScaler(), MinNormRegressor()).fit(X, y)
    np.testing.assert_allclose(model.predict(X[:3] + 1), standard.predict(X[:3] + 1), rtol=1e-9)


@pytest.mark.parametrize("kind", ["name", "array", "callable"])
def test_features_are_scaled_to_the_spectrum(wide, kind):
    X, y = wide
    values = 1 / np.arange(1, 81)
    given = {"name": "power", "array": values, "callable": lambda k: 1 / np.arange(1, k + 1)}
    model = MinNormRegressor(spectrum=given[kind]).fit(X, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0) * np.sqrt(values)
    np.testing.assert_allclose(
        model.singular_values_[:29], np.linalg.svd(Z, compute_uv=False)[:29], rtol=1e-10
    )
    reference = MinNormRegressor().fit(Z, y)
    np.testing.assert_allclose(model.predict(X), reference.predict(Z), rtol=1e-10)
    np.testing.assert_allclose(
        model.coef_, reference.coef_ * np.sqrt(values) / X.std(axis=0), atol=1e-11
    )


def test_a_spectrum_of_theory(wide):
    X, y = wide
    values = theory.spectrum("power", 80, exponent=1.5)
    model = MinNormRegressor(spectrum=values).fit(X, y)
    assert model.interpolates_


def test_principal_directions_get_the_spectrum_and_predictions_do_not_change(wide):
    X, y = wide
    values = np.linspace(3, 1, 30)
    model = MinNormRegressor(directions="principal", spectrum=values).fit(X, y)
    # Singular values of n samples with mean squares lambda are sqrt(n lambda).
    np.testing.assert_allclose(model.singular_values_[:29], np.sqrt(30 * values[:29]), rtol=1e-10)
    plain = MinNormRegressor().fit(X, y)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-12)


def test_principal_components_regression(wide):
    X, y = wide
    for d in (1, 5, 29):
        model = MinNormRegressor(directions="principal", n_features_used=d).fit(X, y)
        reference = make_pipeline(PCA(d, svd_solver="full"), LinearRegression()).fit(X, y)
        np.testing.assert_allclose(model.predict(X + 1), reference.predict(X + 1), rtol=1e-8)


def test_given_directions_are_scaled(wide):
    X, y = wide
    directions = np.linalg.qr(gaussian(80, 80, seed=7))[0][:50]
    values = np.linspace(2, 0.1, 50)
    model = MinNormRegressor(directions=directions, spectrum=values).fit(X, y)
    Z = (X - X.mean(axis=0)) @ directions.T
    Z *= np.sqrt(values) / Z.std(axis=0)
    reference = MinNormRegressor().fit(Z, y)
    np.testing.assert_allclose(model.predict(X), reference.predict(Z), rtol=1e-9)
    assert model.coef_norm_ == pytest.approx(np.linalg.norm(reference.coef_), rel=1e-9)


def test_constant_features_get_no_weight(wide):
    X, y = wide
    X = X.copy()
    X[:, [0, 7]] = 2.5
    for parameters in ({}, {"spectrum": "isotropic"}, {"directions": "principal"}):
        model = MinNormRegressor(**parameters).fit(X, y)
        assert np.abs(model.coef_[[0, 7]]).max() < 1e-14
        assert model.interpolates_
    constant = MinNormRegressor().fit(np.ones((5, 3)), np.arange(5.0))
    assert constant.rank_ == 0
    np.testing.assert_allclose(constant.predict(np.zeros((2, 3))), 2.0)


def test_a_large_mean_does_not_count_as_a_direction():
    X, y = gaussian(30, 80) + 1e7, gaussian(30, seed=1)
    model = MinNormRegressor().fit(X, y)
    assert model.rank_ == 29
    np.testing.assert_allclose(model.coef_, MinNormRegressor().fit(X - 1e7, y).coef_, atol=1e-8)


def test_one_sample():
    model = MinNormRegressor().fit([[1.0, 2.0]], [3.0])
    assert model.intercept_ == 3.0
    assert model.interpolates_
    through = MinNormRegressor(fit_intercept=False).fit([[1.0, 2.0]], [3.0])
    np.testing.assert_allclose(through.coef_, [0.6, 1.2])


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"fit_intercept": False},
        {"spectrum": "power"},
        {"directions": "principal"},
        {"directions": gaussian(50, 80, seed=9), "feature_weights": np.linspace(1, 2, 50)},
    ],
)
@pytest.mark.parametrize("targets", [None, 2])
def test_the_path_predicts_as_separate_fits_do(wide, parameters, targets):
    X, y = wide
    if targets:
        y = np.column_stack([y, gaussian(30, seed=5)])
    new = gaussian(7, 80, seed=3)
    model = MinNormRegressor(**parameters)
    sizes = [1, 2, 15, 28, 29, 30]
    if not model._is_principal():
        sizes += [31, 50]
    path = model.fit_predict_path(X, y, new, param_range=sizes)
    assert not hasattr(model, "n_features_in_")
    for size, predicted in zip(sizes, path, strict=True):
        one = clone(model).set_params(n_features_used=size).fit(X, y)
        expected = one.predict(new)
        # Errors grow with the condition of the design: at the threshold up to some thousand.
        np.testing.assert_allclose(
            predicted, expected, rtol=1e-8, atol=1e-9 * np.abs(expected).max()
        )


def test_the_path_over_samples(wide):
    X, y = wide
    new = gaussian(7, 80, seed=3)
    model = MinNormRegressor(fit_intercept=False, n_features_used=12)
    assert "n_samples" in model.path_parameters
    sizes = [1, 5, 11, 12, 13, 30]
    path = model.fit_predict_path(X, y, new, param_name="n_samples", param_range=sizes)
    for size, predicted in zip(sizes, path, strict=True):
        np.testing.assert_allclose(
            predicted, model.fit(X[:size], y[:size]).predict(new), rtol=1e-8
        )


def test_paths_are_offered_only_where_they_are_right():
    assert MinNormRegressor().path_parameters == ("n_features_used",)
    assert MinNormRegressor(solver="gram").path_parameters == ()
    for changes in ({"spectrum": "power"}, {"directions": "principal"}, {"fit_intercept": True}):
        model = MinNormRegressor(fit_intercept=False).set_params(**changes)
        assert "n_samples" not in model.path_parameters
    with pytest.raises(ValueError, match="param_name must be one of 'n_features_used'; got 'rco"):
        MinNormRegressor().fit_predict_path(
            gaussian(5, 8), np.ones(5), gaussian(2, 8), param_name="rcond", param_range=[1]
        )
    with pytest.raises(ValueError, match="n_features_used == 9, must be <= 8"):
        MinNormRegressor().fit_predict_path(
            gaussian(5, 8), np.ones(5), gaussian(2, 8), param_range=[9]
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_kinds_of_numbers(dtype, wide):
    X, y = (10 * wide[0]).astype(dtype), wide[1].astype(dtype)
    model = MinNormRegressor().fit(X, y)
    expected = np.float32 if dtype is np.float32 else np.float64
    assert model.coef_.dtype == model.predict(X).dtype == model.singular_values_.dtype == expected
    # The certificate is about the rounded coefficients.
    left = y - X.astype(float) @ model.coef_.astype(float) - model.intercept_
    assert model.residual_ == pytest.approx(
        np.linalg.norm(left) / np.linalg.norm(y), rel=1e-3, abs=1e-13
    )


def test_tensors_and_frames(wide, device):
    X, y = wide
    expected = MinNormRegressor().fit(X, y)
    model = MinNormRegressor().fit(torch.tensor(X, device=device), torch.tensor(y, device=device))
    assert isinstance(model.coef_, np.ndarray)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-11)
    predicted = model.predict(torch.tensor(X, device=device))
    assert isinstance(predicted, torch.Tensor)
    assert predicted.device.type == device.type
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(80)])
    model = MinNormRegressor().fit(frame, pd.Series(y))
    assert list(model.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(model.predict(frame), expected.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize("way", ["pickle", "skops", "clone"])
@pytest.mark.parametrize("targets", [None, 2])
def test_round_trips(wide, way, targets):
    X, y = wide
    y = y if targets is None else np.column_stack([y, y])
    fitted = MinNormRegressor(spectrum="power").fit(X, y)
    if way == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    elif way == "skops":
        dumped = skops.io.dumps(fitted)
        trusted = skops.io.get_untrusted_types(data=dumped)
        assert trusted == ["skoverparam.estimators._min_norm.MinNormRegressor"]
        again = skops.io.loads(dumped, trusted=trusted)
    else:
        again = clone(fitted).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_search_in_parallel(wide):
    X, y = wide
    grid = {"n_features_used": [5, 19, 60], "spectrum": [None, "isotropic"]}
    search = GridSearchCV(MinNormRegressor(), grid, cv=3, n_jobs=2, error_score="raise").fit(X, y)
    serial = GridSearchCV(MinNormRegressor(), grid, cv=3, error_score="raise").fit(X, y)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"], rtol=1e-6
    )
    assert np.isfinite(cross_val_score(MinNormRegressor(), X, y)).all()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"fit_intercept": "yes"}, TypeError, "fit_intercept must be True or False"),
        ({"n_features_used": 0}, ValueError, "n_features_used == 0, must be >= 1"),
        ({"n_features_used": 81}, ValueError, "n_features_used == 81, must be <= 80"),
        ({"rcond": 1}, ValueError, "rcond == 1, must be < 1"),
        ({"solver": "qr"}, ValueError, "solver must be one of 'auto', 'svd', 'cod', 'gram'"),
        ({"spectrum": "flat"}, ValueError, "spectrum must be one of 'isotropic', 'power'"),
        ({"spectrum": np.ones(3)}, ValueError, "spectrum must have one entry .* 80 .* got 3"),
        ({"spectrum": -np.ones(80)}, ValueError, "spectrum must hold numbers >= 0"),
        ({"spectrum": np.zeros(80)}, ValueError, "spectrum must hold .* not only zeros"),
        ({"directions": object()}, TypeError, "directions must hold finite numbers"),
        ({"directions": "pca"}, ValueError, "directions must be one of 'features', 'principal'"),
        (
            {"directions": np.ones((3, 5))},
            ValueError,
            r"directions must have 80 columns.*\(3, 5\)",
        ),
        ({"feature_weights": np.ones(3)}, ValueError, "feature_weights must have one entry"),
        ({"feature_weights": np.zeros(80)}, ValueError, "feature_weights must be positive, got 0"),
    ],
)
def test_bad_parameters_are_named_before_any_work(wide, parameters, error, message):
    model = MinNormRegressor().fit(*wide)
    before = model.predict(wide[0])
    with pytest.raises(error, match=message):
        model.set_params(**parameters).fit(*wide)
    np.testing.assert_array_equal(model.predict(wide[0]), before)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(30), "sample_weight must not be zero for every sample"),
        (-np.ones(30), "sample_weight must hold 30 numbers >= 0"),
        (np.ones(29), "sample_weight must hold 30 numbers >= 0, got 29"),
    ],
)
def test_bad_weights_are_named(wide, weights, message):
    with pytest.raises(ValueError, match=message):
        MinNormRegressor().fit(*wide, sample_weight=weights)


@pytest.mark.parametrize("solver", ["svd", "cod", "gram"])
@pytest.mark.parametrize("exponents", [(-150, 150), (150, -150), (-170, -170), (150, 150)])
def test_extreme_units_change_nothing(wide, solver, exponents):
    # Squares of such numbers overflow or vanish, the model does not.
    X, y = wide
    X_unit, Y_unit = (2.0 ** (3 * e) for e in exponents)
    model = MinNormRegressor(solver=solver).fit(X, y)
    far = MinNormRegressor(solver=solver).fit(X * X_unit, y * Y_unit)
    # Digits may depend on where in memory an array begins.
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9)
    close(far.coef_, model.coef_ * Y_unit / X_unit)
    close(far.predict(X * X_unit), model.predict(X) * Y_unit)
    close(far.coef_norm_, model.coef_norm_ * Y_unit / X_unit)
    assert far.interpolates_
    assert far.residual_ < 1e-9
    path = MinNormRegressor().fit_predict_path(X * X_unit, y * Y_unit, X, param_range=[80])
    assert np.isfinite(path).all()


def test_coefficients_that_no_number_holds(wide):
    X, y = wide
    with pytest.raises(ValueError, match="float32 cannot hold the coefficients"):
        MinNormRegressor().fit((X * 1e-30).astype(np.float32), (y * 1e30).astype(np.float32))
    with pytest.raises(ValueError, match="float64 cannot hold the coefficients"):
        MinNormRegressor().fit(X * 1e200, y * 1e-200)
