"""ImplicitBiasDisplay: what it measures is what it draws."""

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from skoverparam import MirrorDescentRegressor
from skoverparam.inspection import ImplicitBiasDisplay

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 60))
    y = X[:, 0] - X[:, 1]
    return {
        "sparse": MirrorDescentRegressor(mirror_params={"p": 1.3}, learning_rate="search"),
        "gradient descent": MirrorDescentRegressor("euclidean"),
        "even": MirrorDescentRegressor(mirror_params={"p": 4.0}, learning_rate="search"),
        "LinearRegression": LinearRegression(),
    }, (X, y)


@pytest.fixture(scope="module")
def fitted(models):
    estimators, data = models
    return {name: model.fit(*data) for name, model in estimators.items()}


def test_each_norm_has_a_mirror(fitted):
    display = ImplicitBiasDisplay.from_estimators(fitted)
    assert display.least(1) == "sparse"
    assert display.least(2) in {"gradient descent", "LinearRegression"}
    assert display.least(np.inf) == "even"
    for name, model in fitted.items():
        expected = [np.linalg.norm(model.coef_, order) for order in (1, 2, np.inf)]
        np.testing.assert_allclose(display.norms_[name], expected)
    frame = display.to_frame()
    assert list(frame.index) == list(fitted)
    assert frame.loc["sparse", "l1"] == display.norms_["sparse"][0]


def test_what_is_drawn(fitted):
    truth = np.zeros(60)
    truth[:2] = 1, -1
    display = ImplicitBiasDisplay.from_estimators(fitted, reference=truth, bar_kw={"alpha": 0.5})
    assert len(display.lines_) == 5
    assert display.lines_[-1].get_label() == "reference"
    sizes = np.sort(np.abs(fitted["even"].coef_))[::-1]
    np.testing.assert_allclose(display.lines_[2].get_ydata(), sizes)
    # Zeros are drawn at a floor, not left out.
    floor = display.lines_[-1].get_ydata()[2:]
    assert (floor > 0).all()
    assert floor.max() < 1e-5
    heights = np.array([[bar.get_height() for bar in bars] for bars in display.bars_])
    table = np.array(list(display.norms_.values()))
    np.testing.assert_allclose(heights, table / table.min(axis=0))
    assert display.bars_[0][0].get_alpha() == 0.5
    assert [bars[0].get_facecolor()[:3] for bars in display.bars_] == [
        mpl.colors.to_rgb(line.get_color()) for line in display.lines_[:-1]
    ]


def test_into_given_axes(fitted):
    _, axes = plt.subplots(1, 2)
    display = ImplicitBiasDisplay.from_estimators(fitted, ax=axes)
    assert display.ax_ is axes[0]
    assert list(display.axes_) == list(axes)
    display.plot()
    assert display.ax_ is not axes[0]


def test_several_targets_and_zeros():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(10, 20)), rng.normal(size=(10, 2))
    display = ImplicitBiasDisplay.from_estimators({"ours": MirrorDescentRegressor().fit(X, Y)})
    assert len(display.coef["ours"]) == 40
    zero = Lasso(alpha=100.0, random_state=0).fit(X, Y)
    display = ImplicitBiasDisplay.from_estimators({"zero": zero})
    assert [bar.get_height() for bar in display.bars_[0]] == [0, 0, 0]


def test_bad_input(fitted):
    with pytest.raises(TypeError, match="dict of names and fitted estimators.*got \\[\\]"):
        ImplicitBiasDisplay.from_estimators([])
    neighbors = KNeighborsRegressor().fit(np.eye(6), np.arange(6))
    with pytest.raises(TypeError, match="'k' is KNeighborsRegressor, which has none"):
        ImplicitBiasDisplay.from_estimators({"k": neighbors})
    with pytest.raises(ValueError, match="same number of coefficients, got .*'reference': 3"):
        ImplicitBiasDisplay.from_estimators(fitted, reference=np.zeros(3))
    with pytest.raises(ValueError, match="order must be 1, 2 or inf, got 3"):
        ImplicitBiasDisplay.from_estimators(fitted).least(3)
