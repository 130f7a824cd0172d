"""Pictures of convergence show the errors and their order."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from skoverparam import MirrorDescentRegressor
from skoverparam.inspection import ConvergenceDisplay
from skoverparam.linalg import newton_schulz_inverse


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_lines_are_the_errors():
    A = np.random.RandomState(0).randn(20, 20) / np.sqrt(20) + 2 * np.eye(20)
    info = newton_schulz_inverse(A)[1]
    halving = 0.5 ** np.arange(12)
    display = ConvergenceDisplay.from_errors({"inverse": info, "halving": halving})
    first, second = display.error_lines_
    np.testing.assert_array_equal(first.get_ydata(), info.errors)
    np.testing.assert_array_equal(first.get_xdata(), np.arange(len(info.errors)))
    assert first.get_label() == "inverse, order 2.0"
    assert second.get_label() == "halving, order 1.0"
    x, y = display.order_lines_[1].get_data()
    np.testing.assert_array_equal(x, halving[:-1])
    np.testing.assert_array_equal(y, halving[1:])
    assert display.orders["inverse"].order == pytest.approx(info.order_, abs=0.01)
    for slope, guide in zip((1, 2), display.guides_, strict=True):
        x, y = np.log(guide.get_data())
        np.testing.assert_allclose(np.diff(y) / np.diff(x), slope)


def test_zeros_leave_gaps_and_short_sequences_have_no_order():
    display = ConvergenceDisplay.from_errors([0.5, 0.0])
    np.testing.assert_array_equal(display.error_lines_[0].get_ydata(), [0.5, np.nan])
    assert display.error_lines_[0].get_label() == "error"


def test_from_estimator_draws_relative_losses():
    random = np.random.RandomState(0)
    X, y = random.randn(10, 40), random.randn(10)
    model = MirrorDescentRegressor(mirror="euclidean").fit(X, y)
    display = ConvergenceDisplay.from_estimator(model, name="descent")
    losses = np.array(model.loss_curve_)
    np.testing.assert_allclose(display.error_lines_[0].get_ydata(), losses / losses[0])
    assert display.orders["descent"].order == pytest.approx(1, abs=0.1)


def test_axes_are_the_given_ones():
    _, axes = plt.subplots(1, 2)
    display = ConvergenceDisplay.from_errors([0.1, 0.01, 1e-4], ax=axes)
    assert list(display.ax_) == list(axes)
    _, ax = plt.subplots()
    display = ConvergenceDisplay.from_errors([0.1, 0.01, 1e-4], ax=ax)
    assert display.figure_ is ax.figure


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"errors\['error'\] must have 1 dimension"):
        ConvergenceDisplay.from_errors([[0.1]])
    with pytest.raises(ValueError, match="at least one sequence"):
        ConvergenceDisplay.from_errors({})
    with pytest.raises(ValueError, match="loss_curve_, got MirrorDescentRegressor"):
        ConvergenceDisplay.from_estimator(MirrorDescentRegressor())
