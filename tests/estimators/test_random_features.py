"""RandomFeatureRegressor and RandomFeatureClassifier: double descent, limits, and ordinary use."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, validation_curve

import skoverparam
from skoverparam import MinNormRegressor, RandomFeatureClassifier, RandomFeatureRegressor
from skoverparam.model_selection import generalization_curve

FEATURES = ("fourier", "fourier_phase", "relu")


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def data():
    X = gaussian(40, 3)
    return X, np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * gaussian(40, seed=1)


def digits(n, seed):
    """Pixels between 0 and 1, n of them to train; labels, and their columns."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    X, y = X[order] / 16, y[order]
    return X[:n], y[:n], X[n:], y[n:]


def design(model, X):
    """Features of a fitted model, by their definition."""
    V = np.asarray(model.frequencies_, dtype=float)
    D = model.n_features
    if model.feature == "relu":
        return np.maximum(X @ V.T, 0) / np.sqrt(D)
    if model.feature == "fourier_phase":
        return np.cos(X @ V.T + model.phases_) * np.sqrt(2 / D)
    both = np.stack([np.cos(X @ V.T), np.sin(X @ V.T)], axis=2)
    return both.reshape(len(X), -1)[:, :D] * np.sqrt(2 / D)


# Double descent on digits


@pytest.fixture(scope="module", params=["fourier", "fourier_phase"])
def descent(request):
    """Errors over the number of features, by seed; and those of the Gaussian kernel."""
    n, L, sizes = 300, 2.0, [15, 30, 60, 150, 270, 295, 300, 306, 330, 600, 1500, 6000]
    rows, kernel_rows = [], []
    for seed in range(3):
        X, y, X_test, y_test = digits(n, seed)
        Y, Y_test = np.eye(10)[y], np.eye(10)[y_test]
        model = RandomFeatureRegressor(
            request.param, bandwidth=L, fit_intercept=False, random_state=seed
        )
        both, norms = model.fit_predict_path(
            X, Y, np.concatenate([X, X_test]), param_range=sizes, return_norm=True
        )
        fitted, predicted = both[:, :n], both[:, n:]
        rows.append(
            [
                np.square(fitted - Y).mean((1, 2)),
                np.square(predicted - Y_test).mean((1, 2)),
                (predicted.argmax(2) != y_test).mean(1),
                np.linalg.norm(norms, axis=1),
            ]
        )
        K = rbf_kernel(X, gamma=1 / (2 * L**2))
        dual = np.linalg.solve(K, Y)
        limit = rbf_kernel(X_test, X, gamma=1 / (2 * L**2)) @ dual
        kernel_rows.append(
            [(limit.argmax(1) != y_test).mean(), np.sqrt((dual * (K @ dual)).sum())]
        )
    curves = dict(zip(["train", "mse", "error", "norm"], np.mean(rows, axis=0), strict=True))
    limits = dict(zip(["error", "norm"], np.mean(kernel_rows, axis=0), strict=True))
    return n, np.array(sizes), curves, limits, np.array(rows)


def test_the_peak_is_where_interpolation_begins(descent):
    n, sizes, curves, _, rows = descent
    mse = curves["mse"]
    assert sizes[mse.argmax()] == sizes[curves["norm"].argmax()] == n
    # The height is heavy-tailed; that it towers is not.
    assert mse[sizes == n] >= 20 * mse[sizes == 150]
    # From 2 % past the threshold on every training target is met, whatever the seed.
    assert rows[:, 0, sizes >= 1.02 * n].max() < 1e-12
    assert curves["train"][sizes < n].min() > 1e-4


def test_the_second_descent_ends_at_the_kernel(descent):
    n, sizes, curves, limits, _ = descent
    error = curves["error"]
    assert error[-1] < error[sizes < n].min()
    assert abs(error[-1] - limits["error"]) <= 0.005
    assert curves["norm"][-1] == pytest.approx(limits["norm"], rel=0.1)
    beyond = curves["norm"][sizes >= n]
    assert (np.diff(beyond) < 0).all()


def test_dead_relu_features_delay_the_peak():
    n = 200
    X, y, X_test, y_test = digits(n, 0)
    Y, sizes = np.eye(10)[y], np.arange(190, 231)
    model = RandomFeatureRegressor("relu", fit_intercept=False, random_state=0)

    def first_full_rank(X):
        return next(D for D in sizes if clone(model).set_params(n_features=D).fit(X, Y).rank_ == n)

    def peak(X, X_test):
        path = model.fit_predict_path(X, Y, X_test, param_range=sizes)
        return sizes[np.square(path - np.eye(10)[y_test]).mean((1, 2)).argmax()]

    # Pixels are not negative and directions symmetric: some features are zero on all samples.
    threshold = first_full_rank(X)
    assert threshold > n + 5
    assert peak(X, X_test) == threshold
    # Not so for centered pixels.
    assert first_full_rank(X - X.mean(0)) == n
    assert peak(X - X.mean(0), X_test - X.mean(0)) == n


def test_gradient_descent_from_zero_goes_to_the_same_solution(data):
    X, y = data
    X, y = X[:10], y[:10]
    model = RandomFeatureRegressor(
        n_features=300, bandwidth=0.5, fit_intercept=False, random_state=0
    ).fit(X, y)
    Phi, a = design(model, X), np.zeros(300)
    step = 1 / np.linalg.norm(Phi, 2) ** 2
    for _ in range(5000):
        a -= step * Phi.T @ (Phi @ a - y)
    assert np.linalg.norm(a - model.coef_) < 1e-6 * np.linalg.norm(model.coef_)


# What is fitted


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("n_features", [7, 60])
def test_least_squares_of_smallest_norm_on_the_features(data, feature, n_features, fit_intercept):
    X, y = data
    model = RandomFeatureRegressor(
        feature, n_features=n_features, fit_intercept=fit_intercept, random_state=0
    ).fit(X, y)
    Phi, Phi_new = design(model, X), design(model, X[:5] + 0.3)
    reference = MinNormRegressor(fit_intercept=fit_intercept).fit(Phi, y)
    np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-6, atol=1e-9)
    # Condition numbers reach 1e5 here, coefficients some thousand.
    np.testing.assert_allclose(model.predict(X[:5] + 0.3), reference.predict(Phi_new), rtol=1e-6)
    assert model.rank_ == reference.rank_
    assert model.interpolates_ == reference.interpolates_ == (n_features == 60)
    assert model.coef_norm_ == pytest.approx(np.linalg.norm(model.coef_), rel=1e-12)
    values = reference.singular_values_
    np.testing.assert_allclose(model.singular_values_, values, rtol=1e-6, atol=1e-12)
    assert model.rcond_ == 60 * np.finfo(float).eps or n_features == 7
    left = np.linalg.norm(y - model.predict(X)) / np.linalg.norm(y)
    assert model.residual_ == pytest.approx(left, rel=1e-3, abs=1e-9)
    assert model.solver_ == "svd"


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("ridge", [1e-12, 1e-3, 1.0])
@pytest.mark.parametrize("n_features", [7, 60])
def test_a_ridge_is_that_of_sklearn(data, ridge, n_features, fit_intercept):
    X, y = data
    weights = np.random.default_rng(0).uniform(0.5, 2, size=40)
    model = RandomFeatureRegressor(
        n_features=n_features, ridge=ridge, fit_intercept=fit_intercept, random_state=0
    ).fit(X, y, sample_weight=weights)
    reference = Ridge(ridge, fit_intercept=fit_intercept, solver="svd")
    reference.fit(design(model, X), y, sample_weight=weights)
    np.testing.assert_allclose(
        model.predict(X + 0.1), reference.predict(design(model, X + 0.1)), rtol=1e-5, atol=1e-7
    )
    assert model.solver_ == ("svd" if ridge == 1e-12 else "cholesky")
    assert (model.rank_ is None) == (model.solver_ == "cholesky")


def test_many_features_are_kernel_ridge_regression(data):
    X, y = data
    exact = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / (2 * 0.8**2)).fit(X, y)
    errors = []
    for D in (1000, 100_000):
        model = RandomFeatureRegressor(
            n_features=D, bandwidth=0.8, ridge=0.1, fit_intercept=False, random_state=0
        ).fit(X, y)
        errors.append(np.abs(model.predict(X + 0.1) - exact.predict(X + 0.1)).max())
    # One over the square root of the number of features, in both.
    assert errors[1] < 0.05
    assert 3 < errors[0] / errors[1] < 30


@pytest.mark.parametrize("parameters", [{}, {"ridge": 1e-3}, {"n_features": 9}])
@pytest.mark.parametrize("coding", ["onehot", "rescaled"])
def test_weights_are_repetitions(data, parameters, coding):
    X, y = data
    labels = (y > 0.5).astype(int) + (y > 0)
    weights = np.random.default_rng(0).integers(0, 4, size=40)
    parameters = {"n_features": 100, "random_state": 0} | parameters
    repeated = X.repeat(weights, axis=0)
    model = RandomFeatureRegressor(**parameters).fit(X, y, sample_weight=weights)
    other = RandomFeatureRegressor(**parameters).fit(repeated, y.repeat(weights))
    np.testing.assert_allclose(model.predict(X), other.predict(X), atol=1e-6)
    k = (9, 2) if coding == "rescaled" else coding
    model = RandomFeatureClassifier(target_coding=k, **parameters)
    other = clone(model).fit(repeated, labels.repeat(weights))
    model.fit(X, labels, sample_weight=weights)
    np.testing.assert_allclose(model.decision_function(X), other.decision_function(X), atol=1e-6)


def test_almost_constant_features_do_not_count_their_rounding_errors(data):
    X, y = data
    # Cosines are one to rounding, sines linear: linear regression is what is left.
    wide = RandomFeatureRegressor(bandwidth=1e8, n_features=200, random_state=0).fit(X, y)
    linear = MinNormRegressor().fit(X, y)
    assert wide.rank_ == 3
    np.testing.assert_allclose(wide.predict(X), linear.predict(X), rtol=1e-5)
    none = RandomFeatureRegressor(bandwidth=1e300, random_state=0).fit(X, y)
    assert none.rank_ == 0
    np.testing.assert_allclose(none.predict(X), y.mean())


def test_contradictory_targets_are_averaged(data):
    X, y = data
    twice = RandomFeatureRegressor(random_state=0, bandwidth=0.5, fit_intercept=False).fit(
        np.concatenate([X, X[:5]]), np.concatenate([y, y[:5] + 2])
    )
    assert twice.rank_ == 40
    assert not twice.interpolates_
    np.testing.assert_allclose(twice.predict(X[:5]), y[:5] + 1, atol=1e-6)
    np.testing.assert_allclose(twice.predict(X[5:]), y[5:], atol=1e-6)


def test_what_contradicts_itself_is_not_met_by_coefficients_that_swallow_it():
    X, y = [[0.0], [0.0], [1.0]], [-1, 0, -1]
    model = RandomFeatureClassifier(n_features=2, rcond=0.0, random_state=0).fit(X, y)
    assert np.abs(model.coef_).max() > 1e16
    assert not model.interpolates_


# Paths


@pytest.mark.parametrize(
    ("name", "values"), [("n_features", [1, 300, 8, 40, 41, 39, 8]), ("ridge", [1.0, 0.0, 1e-9])]
)
@pytest.mark.parametrize("parameters", [{}, {"ridge": 1e-2}, {"ridge": 1e-13}, {"rcond": 0.05}])
@pytest.mark.parametrize("feature", FEATURES)
def test_the_path_predicts_as_separate_fits_do(data, feature, name, values, parameters):
    X, y = data
    Y = np.column_stack([y, gaussian(40, seed=5)])
    new = X[:7] + 0.1
    # A bandwidth at which the design is well conditioned, away from the threshold.
    model = RandomFeatureRegressor(
        feature, n_features=120, bandwidth=0.4, random_state=0, **parameters
    )
    path, norms = model.fit_predict_path(
        X, Y, new, param_name=name, param_range=values, return_norm=True
    )
    assert path.shape == (len(values), 7, 2)
    assert not hasattr(model, "n_features_in_")
    for value, predicted, norm in zip(values, path, norms, strict=True):
        one = clone(model).set_params(**{name: value}).fit(X, Y)
        expected = one.predict(new)
        atol = 1e-7 * np.abs(expected).max()
        np.testing.assert_allclose(predicted, expected, rtol=1e-6, atol=atol)
        np.testing.assert_allclose(norm, one.coef_norm_, rtol=1e-6)


def test_a_path_of_nothing(data):
    with pytest.raises(ValueError, match="param_range must hold at least one value, got none"):
        RandomFeatureRegressor().fit_predict_path(*data, data[0], param_range=[])


@pytest.mark.parametrize("target_coding", ["onehot", "pm1", (5, 3)])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_path_of_a_classifier(data, target_coding, n_classes):
    X, y = data
    labels = np.array(["a", "b", "c"])[np.digitize(y, [0.0, 1.0][: n_classes - 1])]
    model = RandomFeatureClassifier(bandwidth=0.4, target_coding=target_coding, random_state=0)
    path = model.fit_predict_path(X, labels, X + 0.2, param_range=[5, 30, 400])
    for D, predicted in zip([5, 30, 400], path, strict=True):
        one = clone(model).set_params(n_features=D).fit(X, labels)
        np.testing.assert_array_equal(predicted, one.predict(X + 0.2))


@pytest.mark.parametrize("name", ["n_features", "ridge"])
def test_generalization_curves_take_the_path(data, name):
    X, y = data
    values = [3, 20, 29, 30, 100] if name == "n_features" else [1e-6, 1e-2, 1.0]
    split = [(np.arange(30), np.arange(30, 40))]
    model = RandomFeatureRegressor(bandwidth=0.4, random_state=0)
    curve = generalization_curve(model, X, y, param_name=name, param_range=values, cv=split)
    _, expected = validation_curve(
        model,
        X,
        y,
        param_name=name,
        param_range=values,
        cv=split,
        scoring="neg_mean_squared_error",
    )
    assert curve.used_path
    assert curve.threshold == (29 if name == "n_features" else None)
    np.testing.assert_allclose(curve.test_scores, expected, rtol=1e-5)
    labels = np.array(["low", "high"])[(y > 0).astype(int)]
    model = RandomFeatureClassifier(bandwidth=0.4, random_state=0)
    options = {"param_name": name, "param_range": values, "cv": split, "scoring": "accuracy"}
    curve = generalization_curve(model, X, labels, **options)
    _, expected = validation_curve(model, X, labels, **options)
    assert curve.used_path
    np.testing.assert_array_equal(curve.test_scores, expected)


def test_a_median_that_is_no_number_is_refused():
    X = np.array([[1.7e308], [-1.7e308]])
    with pytest.raises(ValueError, match="bandwidth='median' found a median distance of inf"):
        RandomFeatureRegressor(random_state=0).fit(X, [0.0, 1.0])


def test_bad_values_of_a_path_are_named(data):
    X, y = data
    model = RandomFeatureRegressor()
    with pytest.raises(ValueError, match="param_name must be one of 'n_features', 'ridge'; got"):
        model.fit_predict_path(X, y, X, param_name="rcond", param_range=[1])
    with pytest.raises(ValueError, match="n_features == 0, must be >= 1"):
        model.fit_predict_path(X, y, X, param_range=[5, 0])
    with pytest.raises(ValueError, match="ridge == -1, must be >= 0"):
        model.fit_predict_path(X, y, X, param_name="ridge", param_range=[-1])


# Classification


def test_codings_of_the_targets():
    X, y, X_test, y_test = digits(200, 0)
    fits = {
        coding: RandomFeatureClassifier(
            target_coding=coding, n_features=3000, bandwidth=2.0, random_state=0
        ).fit(X, y)
        for coding in ("onehot", "pm1", "rescaled", (4, 2))
    }
    for coding, model in fits.items():
        assert model.interpolates_, coding
        assert model.coef_.shape == (10, 3000)
        assert model.score(X, y) == 1
        assert model.score(X_test, y_test) > 0.9
    # One column a class, all targets met: a scale and a shift of the same solution.
    scores = fits["onehot"].decision_function(X_test)
    np.testing.assert_allclose(fits["pm1"].decision_function(X_test), 2 * scores - 1, atol=1e-9)
    np.testing.assert_allclose(fits[4, 2].decision_function(X_test), 2 * scores, atol=1e-9)
    p = fits["onehot"].predict_proba(X_test)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
    assert (p >= 0).all()
    np.testing.assert_array_equal(p.argmax(1), fits["onehot"].predict(X_test))
    # Where targets are not met, weights of the errors count.
    few = {"n_features": 20, "bandwidth": 2.0, "random_state": 0}
    plain = RandomFeatureClassifier(target_coding=(1, 2), **few).fit(X, y)
    heavy = RandomFeatureClassifier(target_coding=(20, 2), **few).fit(X, y)
    own = np.arange(200), y
    misses = [np.square(2 - m.decision_function(X)[own]).mean() for m in (plain, heavy)]
    assert misses[1] < 0.3 * misses[0]


def test_weighted_errors_are_weighted_regressions(data):
    X, y = data
    labels = np.digitize(y, [0.0, 1.0])
    few = {"n_features": 8, "bandwidth": 1.0, "random_state": 0}
    model = RandomFeatureClassifier(target_coding=(7, 3), **few).fit(X, labels)
    for k in range(3):
        own = labels == k
        alone = RandomFeatureRegressor(**few).fit(X, 3.0 * own, sample_weight=1 + 6.0 * own)
        np.testing.assert_allclose(model.decision_function(X)[:, k], alone.predict(X), rtol=1e-7)


def test_two_classes_share_a_column(data):
    X, y = data
    labels = np.array(["no", "yes"])[(y > 0).astype(int)]
    model = RandomFeatureClassifier(bandwidth=0.4, random_state=0).fit(X, labels)
    assert model.coef_.shape == (1, 1000)
    assert model.decision_function(X).shape == (40,)
    assert model.predict_proba(X).shape == (40, 2)
    np.testing.assert_array_equal(model.predict(X), labels)
    with pytest.raises(ValueError, match="needs samples of at least two classes"):
        model.fit(X, np.full(40, "no"))
    np.testing.assert_array_equal(model.predict(X), labels)


# Ordinary use


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_kinds_of_numbers(data, feature, dtype):
    X, y = (10 * data[0]).astype(dtype), (10 * data[1]).astype(dtype)
    model = RandomFeatureRegressor(feature, random_state=0, fit_intercept=False).fit(X, y)
    expected = np.float32 if dtype is np.float32 else np.float64
    arrays = [model.coef_, model.predict(X), model.singular_values_, model.frequencies_]
    assert all(array.dtype == expected for array in arrays)
    # The certificate is about the numbers that are kept.
    left = y - design(model, X.astype(float)) @ model.coef_.astype(float)
    assert model.residual_ == pytest.approx(
        np.linalg.norm(left) / np.linalg.norm(y), rel=1e-3, abs=1e-10
    )


def test_tensors_and_frames(data, device):
    X, y = data
    options = {"bandwidth": 0.4, "random_state": 0, "feature": "fourier_phase"}
    expected = RandomFeatureRegressor(**options).fit(X, y)
    model = RandomFeatureRegressor(**options)
    model.fit(torch.tensor(X, device=device), torch.tensor(y, device=device))
    assert isinstance(model.coef_, np.ndarray)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-9)
    predicted = model.predict(torch.tensor(X, device=device))
    assert isinstance(predicted, torch.Tensor)
    assert predicted.device.type == device.type
    frame = pd.DataFrame(X, columns=["u", "v", "w"])
    model = RandomFeatureRegressor(**options).fit(frame, pd.Series(y))
    assert list(model.feature_names_in_) == ["u", "v", "w"]
    np.testing.assert_array_equal(model.predict(frame), expected.predict(X))


@pytest.mark.parametrize("way", ["pickle", "skops", "clone"])
@pytest.mark.parametrize("model", [RandomFeatureRegressor, RandomFeatureClassifier])
def test_round_trips(data, way, model):
    X, y = data
    fitted = model(random_state=0).fit(X, (y > 0).astype(int))
    if way == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    elif way == "skops":
        dumped = skops.io.dumps(fitted)
        trusted = skops.io.get_untrusted_types(data=dumped)
        assert trusted == [f"skoverparam.estimators._random_features.{model.__name__}"]
        again = skops.io.loads(dumped, trusted=trusted)
    else:
        again = clone(fitted).fit(X, (y > 0).astype(int))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


@pytest.mark.slow
def test_search_in_parallel(data):
    X, y = data
    grid = {"n_features": [10, 200], "bandwidth": ["median", 1.0], "ridge": [0.0, 0.1]}
    model = RandomFeatureRegressor(random_state=0)
    search = GridSearchCV(model, grid, cv=3, n_jobs=2, error_score="raise").fit(X, y)
    serial = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)
    ridged = np.asarray(search.cv_results_["param_ridge"] == 0.1)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"][ridged],
        serial.cv_results_["mean_test_score"][ridged],
        rtol=1e-6,
    )


@pytest.mark.parametrize("model", [RandomFeatureRegressor, RandomFeatureClassifier])
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (
            {"feature": "cosine"},
            ValueError,
            "feature must be one of 'fourier', 'fourier_phase', 'r",
        ),
        ({"n_features": 0}, ValueError, "n_features == 0, must be >= 1"),
        ({"n_features": 1.5}, TypeError, "n_features must be an instance of int"),
        ({"bandwidth": 0}, ValueError, "bandwidth == 0, must be > 0"),
        ({"bandwidth": "mean"}, ValueError, "bandwidth must be 'median' or a .*, got 'mean'"),
        ({"bandwidth": 5e-324}, ValueError, "Random features of X overflow.* bandwidth is 5e-324"),
        ({"ridge": -1}, ValueError, "ridge == -1, must be >= 0"),
        ({"ridge": np.inf}, ValueError, "ridge must be finite"),
        ({"rcond": 1}, ValueError, "rcond == 1, must be < 1"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept must be True or False"),
        ({"solver": "qr"}, ValueError, "solver must be one of 'auto', 'svd', 'cholesky'"),
        ({"solver": "cholesky"}, ValueError, "solver='cholesky' needs a positive ridge"),
        ({"n_features": 10**12}, MemoryError, "1000000000000 random features of 40 samples"),
    ],
)
def test_bad_parameters_are_named_before_any_work(data, model, parameters, error, message):
    X, y = data[0], (data[1] > 0).astype(int)
    model = model(n_features=50, random_state=0).fit(X, y)
    before = model.predict(X)
    state = dict(vars(model))
    with pytest.raises(error, match=message):
        clone(model).set_params(**parameters).fit(X, y)
    with pytest.raises(error, match=message):
        model.set_params(**parameters).fit(X, y)
    vars(model).update({name: state[name] for name in parameters})
    np.testing.assert_array_equal(model.predict(X), before)


def test_bad_codings_and_weights_are_named(data):
    X, y = data
    with pytest.raises(ValueError, match="target_coding must be 'onehot', 'pm1', 'rescaled' or"):
        RandomFeatureClassifier(target_coding="binary").fit(X, y > 0)
    for weights in (np.zeros(40), -np.ones(40), np.ones(3), np.full(40, np.nan)):
        with pytest.raises(ValueError, match="sample_weight must"):
            RandomFeatureRegressor().fit(X, y, sample_weight=weights)


def test_overflow_is_an_error_and_no_prediction(data):
    X, y = data
    model = RandomFeatureRegressor("relu", n_features=30, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="predictions overflow.*scale the data"):
        model.predict(np.full((1, 3), 1e308))


def test_the_budget_is_respected(data):
    X, y = data
    with (
        skoverparam.config_context(memory_budget=1e5),
        pytest.raises(MemoryError, match="Take fewer n_features"),
    ):
        RandomFeatureRegressor().fit(X, y)


def test_targets_whose_squares_are_no_numbers():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    model = RandomFeatureRegressor(n_features=10, random_state=0).fit(X, y)
    for exponent in (-550, 550):
        far = RandomFeatureRegressor(n_features=10, random_state=0).fit(X, y * 2.0**exponent)
        np.testing.assert_allclose(far.residual_, model.residual_, rtol=1e-9)
        np.testing.assert_allclose(far.coef_norm_, model.coef_norm_ * 2.0**exponent, rtol=1e-9)
