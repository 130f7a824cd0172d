"""The Display of a generalization curve: the artists hold the right numbers."""

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from skoverparam import MinNormRegressor
from skoverparam.model_selection import GeneralizationCurveDisplay, generalization_curve

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 60))
    return X, X.sum(axis=1) / 8 + 0.5 * rng.normal(size=40)


@pytest.fixture(scope="module")
def curve(data):
    return generalization_curve(
        MinNormRegressor(),
        *data,
        param_range=range(1, 61),
        n_repeats=6,
        random_state=0,
        theory=np.r_[np.linspace(1, 5, 28), np.inf, np.linspace(5, 1, 31)],
    )


def test_lines_show_errors_band_theory_and_threshold(curve):
    display = GeneralizationCurveDisplay.from_curve(curve, statistic=["median", "mean"])
    median, mean = display.lines_
    np.testing.assert_array_equal(median.get_ydata(), -curve.median)
    np.testing.assert_array_equal(mean.get_ydata(), -curve.mean)
    np.testing.assert_array_equal(median.get_xdata(), np.arange(1, 61))
    train = display.train_line_.get_ydata()
    np.testing.assert_array_equal(train, -np.median(curve.train_scores, axis=1))
    band = display.fill_between_.get_paths()[0].vertices
    assert band[:, 1].min() == (-curve.quantiles).min()
    assert band[:, 1].max() == (-curve.quantiles).max()
    drawn = display.theory_line_.get_ydata()
    assert np.isnan(drawn[28])
    np.testing.assert_array_equal(drawn[:28], curve.theory[:28])
    assert display.threshold_line_.get_xdata()[0] == curve.threshold == 29
    assert display.ax_.get_yscale() == "log"
    # Errors of 1e-30 on the training samples do not set the scale.
    assert display.ax_.get_ylim()[0] > 1e-3
    assert display.figure_ is display.ax_.figure


def test_what_is_not_there_is_not_drawn(data):
    display = GeneralizationCurveDisplay.from_estimator(
        Ridge(),
        *data,
        param_name="alpha",
        param_range=np.logspace(-2, 2, 5),
        cv=[(np.arange(20), np.arange(20, 40))],
        scoring="r2",
        plot_kw={"xscale": "log", "train": False, "line_kw": {"color": "red"}},
    )
    assert display.theory_line_ is display.threshold_line_ is display.train_line_ is None
    assert display.fill_between_ is None
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_yscale() == "linear"
    assert display.lines_[0].get_color() == "red"
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), display.curve.median)
    assert display.ax_.get_ylabel() == "score"


def test_a_threshold_out_of_the_range_is_left_out(data):
    display = GeneralizationCurveDisplay.from_estimator(
        MinNormRegressor(), *data, param_range=range(1, 20), random_state=0
    )
    assert display.curve.threshold == 29
    assert display.threshold_line_ is None


def test_into_given_axes(curve):
    _, ax = plt.subplots()
    display = GeneralizationCurveDisplay.from_curve(
        curve, ax=ax, yscale="linear", score_name="risk"
    )
    assert display.ax_ is ax
    assert ax.get_ylabel() == "risk"
    assert ax.get_yscale() == "linear"
    with pytest.raises(ValueError, match="statistic must be one of 'median', 'mean'; got 'mode'"):
        display.plot(statistic="mode")
