"""Averages that interpolate, beside neighbors of scikit-learn and triangulations of scipy."""

import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from skoverparam import (
    SimplicialRegressor,
    SingularKernelClassifier,
    SingularKernelRegressor,
)

CLASSIFIERS = {
    "ours": SingularKernelClassifier(n_neighbors=25, weight="log"),
    "ours, exponent 2": SingularKernelClassifier(exponent=2, n_neighbors=25),
    "ours, all points": SingularKernelClassifier(exponent=4),
    "KNeighborsClassifier, by distance": KNeighborsClassifier(25, weights="distance"),
    "KNeighborsClassifier, majority": KNeighborsClassifier(25),
}
REGRESSORS = {
    "ours": SingularKernelRegressor(exponent=0.5, n_neighbors=300, weight="tapered"),
    "ours, all points": SingularKernelRegressor(exponent="dimension"),
    "KNeighborsRegressor, 50 by distance": KNeighborsRegressor(50, weights="distance"),
    "KNeighborsRegressor, 300 by distance": KNeighborsRegressor(300, weights="distance"),
}


class SciPySimplices:
    """Linear interpolation by scipy as something that fits and predicts."""

    def fit(self, X, y):
        self._interpolate = LinearNDInterpolator(X, y)
        return self

    def predict(self, X):
        return self._interpolate(X)


SIMPLICES = {
    "ours": SimplicialRegressor(),
    "ours, search only": SimplicialRegressor(max_dim=0),
    "LinearNDInterpolator": SciPySimplices(),
}


def fit_and_predict(model, X, y, X_test):
    return model.fit(X, y).predict(X_test)


@pytest.mark.parametrize("contender", CLASSIFIERS)
def test_noisy_digits(measure, contender):
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    X, y = X[order] / 16, y[order]
    noisy = np.where(rng.random(1000) < 0.4, rng.integers(0, 10, 1000), y[:1000])
    model = CLASSIFIERS[contender]
    task = "1000 digits, 40 % of the labels drawn at random"
    predicted = measure(task, contender, fit_and_predict, model, X[:1000], noisy, X[1000:])
    measure.note(error=np.mean(predicted != y[1000:]))
    measure.note(training_error=np.mean(model.predict(X[:1000]) != noisy))


@pytest.mark.parametrize("contender", REGRESSORS)
def test_noisy_wave(measure, contender):
    rng = np.random.default_rng(0)
    X, X_test = rng.uniform(size=(20_000, 2)), rng.uniform(size=(20_000, 2))
    y = np.sin(2 * np.pi * X[:, 0]) + 0.3 * rng.normal(size=20_000)
    task = "sin(2 pi x) in the plane with noise 0.3, 20000 samples, 20000 queries"
    predicted = measure(task, contender, fit_and_predict, REGRESSORS[contender], X, y, X_test)
    measure.note(MSE=np.mean((predicted - np.sin(2 * np.pi * X_test[:, 0])) ** 2))


@pytest.mark.parametrize("contender", SIMPLICES)
@pytest.mark.parametrize(
    ("n", "d", "n_queries"), [(20_000, 2, 20_000), (2000, 4, 2000), (800, 5, 1000)]
)
def test_simplices(measure, contender, n, d, n_queries):
    if "search" in contender and n > 10_000:
        pytest.skip("measures the distances of all points from all queries, many times")
    rng = np.random.default_rng(0)
    X, X_test = rng.uniform(size=(n, d)), rng.uniform(size=(n_queries, d))
    y = np.cos(X.sum(1))
    task = f"simplices: {n} points in {d} dimensions, {n_queries} queries"
    predicted = measure(task, contender, fit_and_predict, SIMPLICES[contender], X, y, X_test)
    inside = SIMPLICES["ours"].fit(X, y).inside_hull(X_test)
    measure.note(MSE=np.mean((predicted[inside] - np.cos(X_test[inside].sum(1))) ** 2))
