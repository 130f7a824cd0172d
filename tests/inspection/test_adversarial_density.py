"""How dense the points are that a model gets wrong."""

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from skoverparam import SingularKernelClassifier
from skoverparam.inspection import AdversarialDensityDisplay, adversarial_density

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    plt.close("all")


def noisy_square(n, rng, p=0.1):
    X = rng.uniform(size=(n, 2))
    y_true = (X[:, 0] > 0.5).astype(int)
    return X, y_true, np.where(rng.random(n) < p, 1 - y_true, y_true)


def test_distances_by_hand():
    X, y = np.array([[0.0], [1.0], [3.0]]), np.array([0, 1, 0])
    model = KNeighborsClassifier(1).fit(X, y)
    density = adversarial_density(model, X, [0, 0, 0], [1.0, 1.5, 2.0])
    np.testing.assert_array_equal(density.misfits, [1])
    np.testing.assert_array_equal(density.distances, [1.0, 2.0])
    np.testing.assert_array_equal(density.fraction, [0.5, 0.5, 1.0])
    assert density.to_frame()["fraction"].tolist() == [0.5, 0.5, 1.0]
    density = adversarial_density(model, X, [0, 0, 0], 0.5, X_query=[[1.25], [5.0]])
    np.testing.assert_array_equal(density.distances, [0.25, 4.0])


def test_tolerance_of_a_regressor():
    X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 0.5, 2.0])
    model = KNeighborsRegressor(1).fit(X, y)
    assert adversarial_density(model, X, np.zeros(3), 1.0).misfits.tolist() == [1, 2]
    assert adversarial_density(model, X, np.zeros(3), 1.0, tolerance=1.0).misfits.tolist() == [2]


def test_a_model_without_misfits_has_no_density():
    X = np.arange(4.0)[:, None]
    density = adversarial_density(DummyClassifier().fit(X, [1] * 4), X, [1] * 4, 10.0)
    assert density.fraction.tolist() == [0.0]
    assert np.isinf(density.distances).all()


def test_wrong_points_become_dense():
    """The median distance falls as (n p)^(-1/2) in two dimensions; a constant near 0.47."""
    rng = np.random.default_rng(1)
    queries = rng.uniform(size=(2000, 2))
    sizes, medians, fractions = [400, 1600, 6400, 25600], [], []
    for n in sizes:
        X, y_true, y = noisy_square(n, rng)
        model = SingularKernelClassifier(exponent=1.0, n_neighbors=10).fit(X, y)
        density = adversarial_density(model, X, y_true, [0.02, 0.05, 0.1], X_query=queries)
        assert len(density.misfits) == (y != y_true).sum()
        medians.append(np.median(density.distances))
        fractions.append(density.fraction)
    slope = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
    assert abs(slope + 0.5) < 0.05
    assert (np.diff(fractions, axis=0) >= 0).all()
    assert fractions[-1][0] > 0.9
    assert np.all(np.abs(np.array(medians) * np.sqrt(0.1 * np.array(sizes)) - 0.48) < 0.06)


def test_bad_arguments_are_named():
    X, y = np.zeros((2, 1)), [0, 1]
    model = DummyClassifier().fit(X, y)
    with pytest.raises(ValueError, match="eps must hold positive"):
        adversarial_density(model, X, y, [0.1, 0.0])
    with pytest.raises(ValueError, match="X_query must have the 1 columns"):
        adversarial_density(model, X, y, 0.1, X_query=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="inconsistent"):
        adversarial_density(model, X, [0], 0.1)
    with pytest.raises(ValueError, match="y_true must have the shape"):
        adversarial_density(model, X, np.zeros((2, 2)), 0.1)
    regressor = KNeighborsRegressor(1).fit(X, [0.0, 1.0])
    with pytest.raises(ValueError, match="y_true"):
        adversarial_density(regressor, X, [np.nan, 1.0], 0.1)


def test_the_display_shows_shares():
    rng = np.random.default_rng(0)
    X, y_true, y = noisy_square(200, rng)
    model = SingularKernelClassifier(exponent=1.0, n_neighbors=10).fit(X, y)
    display = AdversarialDensityDisplay.from_estimator(model, X, y_true, eps=[0.05, 0.1])
    density = display.density
    x, share = display.line_.get_data()
    for eps, fraction in zip(density.eps, density.fraction, strict=True):
        assert share[np.searchsorted(x, eps, side="right") - 1] == pytest.approx(fraction)
    np.testing.assert_array_equal(display.markers_.get_data(), [density.eps, density.fraction])
    assert display.figure_ is display.ax_.figure
