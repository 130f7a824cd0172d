"""Generalization curves against scikit-learn's own loop, and where their peaks are."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold, ShuffleSplit, validation_curve
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skoverparam import MinNormRegressor
from skoverparam.model_selection import generalization_curve


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture(scope="module")
def data():
    X = gaussian(60, 50)
    return X, X @ np.full(50, 0.2) + 0.5 * gaussian(60, seed=1)


def draw(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120, 60))
    y = X @ np.full(60, 60**-0.5) + 0.5 * rng.normal(size=120)
    return X[:20], y[:20], X[20:], y[20:]


@pytest.mark.parametrize(
    "scoring",
    [
        "neg_mean_squared_error",
        "neg_root_mean_squared_error",
        "neg_mean_absolute_error",
        "r2",
        None,
    ],
)
@pytest.mark.parametrize("targets", [None, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equals_the_validation_curve_of_sklearn(data, scoring, targets, fit_intercept):
    X, y = data
    if targets:
        y = np.column_stack([y, gaussian(60, seed=3), 1 + 10 * gaussian(60, seed=4)])
    model = MinNormRegressor(fit_intercept=fit_intercept)
    cv = ShuffleSplit(3, train_size=30, random_state=0)
    sizes = [1, 10, 27, 28, 33, 50]
    curve = generalization_curve(model, X, y, param_range=sizes, cv=cv, scoring=scoring)
    train, test = validation_curve(
        model, X, y, param_name="n_features_used", param_range=sizes, cv=cv, scoring=scoring
    )
    assert curve.used_path
    np.testing.assert_allclose(curve.test_scores, test, rtol=1e-8)
    np.testing.assert_allclose(curve.train_scores, train, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(curve.mean, test.mean(axis=1), rtol=1e-8)
    np.testing.assert_allclose(curve.median, np.median(test, axis=1), rtol=1e-8)
    np.testing.assert_allclose(curve.quantiles, np.quantile(test, (0.25, 0.75), axis=1).T)
    assert curve.negate == (scoring is not None and scoring.startswith("neg_"))


def test_the_path_changes_nothing(data):
    X, y = data
    arguments = {"param_range": [5, 30, 44, 45, 46, 50], "random_state": 0, "n_repeats": 3}
    path = generalization_curve(MinNormRegressor(), X, y, **arguments)
    loop = generalization_curve(MinNormRegressor(solver="cod"), X, y, **arguments)
    assert path.used_path
    assert not loop.used_path
    # Beside the threshold the condition number is some thousand, and errors count squared.
    np.testing.assert_allclose(path.test_scores, loop.test_scores, rtol=1e-6)
    assert path.threshold == loop.threshold == 44


def test_the_peak_is_at_the_threshold_and_an_intercept_shifts_it():
    for fit_intercept, peak in ((True, 19), (False, 20)):
        curve = generalization_curve(
            MinNormRegressor(fit_intercept=fit_intercept),
            draw,
            param_range=range(1, 61),
            n_repeats=60,
            random_state=0,
        )
        assert curve.threshold == peak
        assert curve.param_range[curve.median.argmin()] == peak
        # Double descent: down again, below the best of the first branch.
        assert curve.median[-1] > curve.median[: peak - 1].max() * 1.02
        # Training errors vanish from the threshold on.
        assert -curve.train_scores[peak:].min() < 1e-15 < -curve.train_scores[peak - 4].max()


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_over_samples(data, fit_intercept):
    X, y = data
    model = MinNormRegressor(fit_intercept=fit_intercept, n_features_used=12)
    sizes = [2, 6, 12, 13, 14, 30]
    cv = KFold(3, shuffle=True, random_state=0)
    curve = generalization_curve(model, X, y, param_name="n_samples", param_range=sizes, cv=cv)
    assert curve.used_path == (not fit_intercept)
    assert curve.threshold == 12 + fit_intercept
    for k, (train, test) in enumerate(cv.split(X)):
        for size, on_train, on_test in zip(
            sizes, curve.train_scores[:, k], curve.test_scores[:, k], strict=True
        ):
            first = train[:size]
            model.fit(X[first], y[first])
            expected = np.square(model.predict(X[test]) - y[test]).mean()
            assert -on_test == pytest.approx(expected, rel=1e-7)
            expected = np.square(model.predict(X[first]) - y[first]).mean()
            assert -on_train == pytest.approx(expected, rel=1e-7, abs=1e-15)


def test_any_estimator_over_columns(data):
    X, y = data
    cv = KFold(2)
    curve = generalization_curve(
        Ridge(alpha=1e-3), X, y, param_name="n_features", param_range=[3, 29, 50], cv=cv
    )
    assert curve.threshold == 29
    for k, (train, test) in enumerate(cv.split(X)):
        model = Ridge(alpha=1e-3).fit(X[train, :3], y[train])
        expected = np.square(model.predict(X[test, :3]) - y[test]).mean()
        assert -curve.test_scores[0, k] == pytest.approx(expected, rel=1e-10)
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(50)])
    again = generalization_curve(
        Ridge(alpha=1e-3), frame, y, param_name="n_features", param_range=[3, 29, 50], cv=cv
    )
    np.testing.assert_allclose(again.test_scores, curve.test_scores)


class FirstColumns(Ridge):
    """A model with a parameter called like the number of columns of the data."""

    def __init__(self, n_features=1):
        super().__init__(alpha=1e-3)
        self.n_features = n_features

    def fit(self, X, y):
        assert X.shape[1] == 50, "all columns are shown"
        super().fit(X[:, : self.n_features], y)
        self.n_features_in_ = 50
        return self

    def predict(self, X):
        return X[:, : self.n_features] @ self.coef_ + self.intercept_


def test_a_parameter_of_the_estimator_comes_before_columns_of_the_data(data):
    X, y = data
    cv = ShuffleSplit(2, random_state=0)
    options = {"param_name": "n_features", "param_range": [3, 29, 50], "cv": cv}
    own = generalization_curve(FirstColumns(), X, y, **options)
    shown = generalization_curve(Ridge(alpha=1e-3), X, y, **options)
    np.testing.assert_allclose(own.test_scores, shown.test_scores, rtol=1e-9)


def test_any_parameter_of_any_estimator(data):
    X, y = data
    alphas = np.logspace(-3, 3, 4)
    cv = KFold(3)
    curve = generalization_curve(
        make_pipeline(StandardScaler(), Ridge()),
        X,
        y,
        param_name="ridge__alpha",
        param_range=alphas,
        cv=cv,
        theory=lambda values: values + 1,
    )
    _, test = validation_curve(
        make_pipeline(StandardScaler(), Ridge()),
        X,
        y,
        param_name="ridge__alpha",
        param_range=alphas,
        cv=cv,
        scoring="neg_mean_squared_error",
    )
    np.testing.assert_allclose(curve.test_scores, test)
    assert curve.threshold is None
    np.testing.assert_array_equal(curve.theory, alphas + 1)


def test_a_pipeline_and_a_classifier(data):
    X, y = data
    pipe = make_pipeline(StandardScaler(), MinNormRegressor())
    name = "minnormregressor__n_features_used"
    curve = generalization_curve(pipe, X, y, param_name=name, param_range=[5, 20], cv=2)
    assert curve.threshold == 29
    assert not curve.used_path
    curve = generalization_curve(
        KNeighborsClassifier(),
        X,
        np.where(y > 0, "up", "down"),
        param_name="n_neighbors",
        param_range=[1, 5],
        cv=3,
        scoring="accuracy",
    )
    np.testing.assert_array_equal(curve.train_scores[0], 1.0)
    assert not curve.negate


def test_same_seed_same_curve_also_in_parallel():
    arguments = {"param_range": [5, 19, 40], "n_repeats": 4, "random_state": 3}
    one = generalization_curve(MinNormRegressor(), draw, **arguments)
    two = generalization_curve(MinNormRegressor(), draw, n_jobs=2, **arguments)
    np.testing.assert_allclose(one.test_scores, two.test_scores, rtol=1e-8)
    other = generalization_curve(MinNormRegressor(), draw, **(arguments | {"random_state": 4}))
    assert not np.allclose(one.test_scores, other.test_scores)
    assert len(np.unique(one.test_scores[0])) == 4


def test_where_there_is_no_peak():
    # Twelve times as many samples as features: a plain least squares curve.
    X, y = load_diabetes(return_X_y=True)
    curve = generalization_curve(MinNormRegressor(), X, y, param_range=range(1, 11), cv=4)
    reference, _ = validation_curve(
        LinearRegression(), X, y, param_name="positive", param_range=[False], cv=4
    )
    assert curve.threshold > 10
    r2 = generalization_curve(MinNormRegressor(), X, y, param_range=[10], cv=4, scoring=None)
    np.testing.assert_allclose(r2.train_scores, reference, rtol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"param_range": []}, "param_range must hold at least one value"),
        ({"param_range": [0, 1]}, "n_features_used == 0, must be >= 1"),
        ({"param_range": [51]}, "n_features_used == 51, must be <= 50"),
        ({"param_range": [61], "param_name": "n_samples"}, "n_samples == 61, must be <= 30"),
        ({"param_range": [1], "param_name": "depth"}, "Invalid parameter 'depth'"),
        ({"theory": [1.0]}, r"theory must have one value for each of the 2 .* shape \(1,\)"),
        ({"quantiles": (0.5, 2)}, "quantiles == 2.0, must be <= 1"),
        ({"y": None}, "y must be given, unless X is a function"),
        ({"X": draw}, "y and cv must be None if X is a function"),
        ({"scoring": "best"}, "scoring"),
    ],
)
def test_bad_arguments_are_named(data, arguments, message):
    good = {"X": data[0], "y": data[1], "param_range": [2, 3], "cv": KFold(2)}
    good |= arguments
    with pytest.raises(ValueError, match=message):
        generalization_curve(MinNormRegressor(), good.pop("X"), good.pop("y"), **good)


@pytest.mark.parametrize("name", ["alpha", "n_samples", "n_features"])
def test_lists_are_data_and_one_quantile_is_enough(data, name):
    X, y = data
    given = {"param_name": name, "param_range": [2, 3], "cv": KFold(2)}
    curve = generalization_curve(Ridge(), X, y, **given)
    listed = generalization_curve(Ridge(), X.tolist(), y.tolist(), quantiles=0.5, **given)
    np.testing.assert_array_equal(listed.test_scores, curve.test_scores)
    np.testing.assert_array_equal(listed.quantiles[:, 0], curve.median)


def test_a_range_that_is_no_list_is_named(data):
    with pytest.raises(TypeError, match="param_range must be a list of values, got 3"):
        generalization_curve(Ridge(), *data, param_name="alpha", param_range=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"param_name": 3}, "param_name must be a string, got 3"),
        ({"threshold": "middle"}, "threshold must be"),
        ({"theory": ["low", "high"]}, "theory must hold or return numbers, got "),
    ],
)
def test_arguments_of_the_wrong_type(data, arguments, message):
    given = {"param_name": "alpha", "param_range": [2, 3]} | arguments
    with pytest.raises(TypeError, match=message):
        generalization_curve(Ridge(), *data, **given)


def test_quantiles_of_no_shape(data):
    with pytest.raises(ValueError, match="quantiles must have one shape, got "):
        generalization_curve(
            Ridge(), *data, param_name="alpha", param_range=[2, 3], quantiles=[[0.1], [0.2, 0.3]]
        )


def test_a_threshold_that_is_given(data):
    given = {"param_name": "alpha", "param_range": [2, 3], "cv": KFold(2)}
    assert generalization_curve(Ridge(), *data, threshold=2.5, **given).threshold == 2.5
