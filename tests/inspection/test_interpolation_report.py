"""The report on a fitted estimator, by what refits say."""

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from skoverparam import (
    KernelInterpolatorClassifier,
    KernelInterpolatorRegressor,
    MinNormRegressor,
    SimplicialClassifier,
    SingularKernelClassifier,
    SingularKernelRegressor,
)
from skoverparam.inspection import InterpolationReportDisplay, interpolation_report

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, np.sin(X).sum(1) + 0.2 * rng.normal(size=40)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.mark.parametrize(
    "model",
    [
        SingularKernelRegressor(exponent=2.0),
        KernelInterpolatorRegressor(random_state=0, bandwidth=2.0),
        LinearRegression(),
    ],
)
def test_regressors(model, regression):
    X, y = regression
    report = interpolation_report(model.fit(X, y), X, y, loo="refit")
    without = cross_val_predict(model, X, y, cv=LeaveOneOut())
    # Shortcuts against refits; those of the kernel lose some digits to the condition.
    assert report.loo_error == pytest.approx(np.mean((y - without) ** 2), rel=1e-6)
    assert report.train_error == pytest.approx(np.mean((y - model.predict(X)) ** 2), abs=1e-15)
    assert report.interpolates is not isinstance(model, LinearRegression)
    largest = np.abs(y - model.predict(X)).max() / np.abs(y).max()
    assert report.train_residual == pytest.approx(largest)
    assert report.test_error is None
    assert np.isnan(report.noise_test_error).all()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "model",
    [
        SingularKernelClassifier(exponent=3.0, n_neighbors=8),
        SimplicialClassifier(),
        KernelInterpolatorClassifier(random_state=0, bandwidth=2.0),
        KernelInterpolatorClassifier(random_state=0, bandwidth=2.0, target_coding="pm1"),
        KernelInterpolatorClassifier(random_state=0, bandwidth=2.0, target_coding=(2, 3)),
    ],
)
def test_classifiers(model, classes, digits):
    X, y = digits
    rows = np.flatnonzero(y < classes)[:60]
    X, y = X[rows][:, 18:25], np.array(["a", "b", "c"])[y[rows]]
    report = interpolation_report(model.fit(X, y), X, y)
    without = cross_val_predict(model, X, y, cv=LeaveOneOut())
    assert report.loo_error == pytest.approx(np.mean(without != y))
    assert report.train_residual == report.train_error == np.mean(model.predict(X) != y)


def test_norm_and_condition(regression):
    X, y = regression
    kernel = KernelInterpolatorRegressor(random_state=0, bandwidth=2.0).fit(X, y)
    report = interpolation_report(kernel, X, y, noise_levels=[0.5], random_state=0)
    assert report.norm == pytest.approx(kernel.rkhs_norm_)
    assert report.condition == pytest.approx(kernel.condition_estimate_)
    assert report.noise_norm[1, 0] > report.norm
    linear = MinNormRegressor(fit_intercept=False).fit(X, y)
    report = interpolation_report(linear, X, y)
    assert report.norm == pytest.approx(np.linalg.norm(linear.coef_))
    assert report.condition == pytest.approx(np.linalg.cond(X))
    report = interpolation_report(Ridge().fit(X, y), X, y)
    assert report.norm is report.condition is report.loo_error is None


def test_noise_levels(digits):
    X, y = digits
    model = SingularKernelClassifier(exponent=2.0, n_neighbors=25).fit(X[:400], y[:400])
    arguments = (model, X[:400], y[:400], X[400:], y[400:])
    kw = {"noise_levels": [0.2, 0.6], "n_repeats": 2, "random_state": 0}
    report = interpolation_report(*arguments, **kw)
    np.testing.assert_array_equal(report.noise_levels, [0, 0.2, 0.6])
    assert not report.noise_train_error.any()
    mean = report.noise_test_error.mean(1)
    assert mean[0] == report.test_error == np.mean(model.predict(X[400:]) != y[400:])
    assert mean[0] < mean[1] < mean[2] < 0.5
    again = interpolation_report(*arguments, **kw)
    np.testing.assert_array_equal(report.noise_test_error, again.noise_test_error)
    frame = report.to_frame()
    assert list(frame) == ["noise", "repeat", "train_error", "test_error", "norm"]
    np.testing.assert_array_equal(frame["test_error"], report.noise_test_error.ravel())
    np.testing.assert_array_equal(model.predict(X[:400]), y[:400])  # it was not refitted


def test_bad_arguments_are_named(regression):
    X, y = regression
    model = LinearRegression().fit(X, y)
    with pytest.raises(NotFittedError):
        interpolation_report(LinearRegression(), X, y)
    with pytest.raises(ValueError, match="loo must be one of"):
        interpolation_report(model, X, y, loo="yes")
    with pytest.raises(ValueError, match="noise_levels must be positive"):
        interpolation_report(model, X, y, noise_levels=[0.0])
    classifier = KNeighborsClassifier().fit(X, y > 0)
    with pytest.raises(ValueError, match="at most 1"):
        interpolation_report(classifier, X, y > 0, noise_levels=[1.5])
    with pytest.raises(ValueError, match="X_test and y_test"):
        interpolation_report(model, X, y, X)
    with pytest.raises(ValueError, match="y must have the shape"):
        interpolation_report(model, X, y[:, None])


def test_the_display_shows_errors_over_noise(digits):
    X, y = digits
    model = SingularKernelClassifier(exponent=2.0, n_neighbors=25).fit(X[:200], y[:200])
    display = InterpolationReportDisplay.from_estimator(
        model, X[:200], y[:200], X[200:], y[200:], noise_levels=[0.4], n_repeats=2, random_state=0
    )
    report = display.report
    np.testing.assert_array_equal(
        display.test_line_.get_data(), [report.noise_levels, report.noise_test_error.mean(1)]
    )
    np.testing.assert_array_equal(display.train_line_.get_ydata(), 0)
    assert display.fill_between_ is not None
    display = InterpolationReportDisplay.from_estimator(model, X[:200], y[:200])
    assert display.test_line_ is None
