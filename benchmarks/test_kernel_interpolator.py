"""Kernel interpolation and ridge as estimators, beside scikit-learn's kernel ridge."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV

from skoverparam import KernelInterpolatorRegressor
from skoverparam.kernels import gaussian


def function(X):
    return np.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + np.cos(2 * X[:, 3])


def draw(n, noise):
    rng = np.random.default_rng(0)
    X, X_test = rng.normal(size=(n, 8)), rng.normal(size=(2000, 8))
    return X, function(X) + noise * rng.normal(size=n), X_test, function(X_test)


@pytest.mark.parametrize("contender", ["ours", "KernelRidge"])
def test_fit_and_predict(measure, contender):
    X, y, X_test, y_test = draw(5000, 0.1)
    if contender == "ours":
        model = KernelInterpolatorRegressor(kernel="gaussian", bandwidth=2.0, ridge=0.1)
    else:
        model = KernelRidge(kernel="rbf", gamma=0.125, alpha=0.1)
    task = "Gaussian kernel ridge, 5000 samples, 2000 predictions"
    predicted = measure(task, contender, lambda: model.fit(X, y).predict(X_test))
    measure.note(MSE=np.mean((predicted - y_test) ** 2))


@pytest.mark.parametrize("contender", ["ours", "GridSearchCV of KernelRidge"])
def test_choice_of_the_ridge(measure, contender):
    X, y, X_test, y_test = draw(1500, 0.5)
    if contender == "ours":
        model = KernelInterpolatorRegressor(kernel="gaussian", bandwidth=3.0, ridge="loo")
    else:
        ridges = {"alpha": np.logspace(-8, 2, 21)}
        model = GridSearchCV(KernelRidge(kernel="rbf", gamma=1 / 18), ridges, cv=5)
    task = "one of 21 ridges chosen, 1500 samples"
    measure(task, contender, model.fit, X, y)
    measure.note(MSE=np.mean((model.predict(X_test) - y_test) ** 2))


@pytest.mark.parametrize("contender", ["ours", "rbf_kernel"])
def test_kernel_matrix_far_from_the_origin(measure, contender):
    X = np.random.default_rng(0).normal(size=(4000, 30)).astype(np.float32)
    task = "Gaussian kernel matrix, 4000 samples in float32 at an offset of 100"
    if contender == "ours":
        K = measure(task, contender, gaussian, X + 100, bandwidth=5.0)
    else:
        K = measure(task, contender, rbf_kernel, X + 100, gamma=0.02)
    exact = rbf_kernel((X[:500] + np.float32(100)).astype(float) - 100, gamma=0.02)
    measure.note(error=np.abs(K[:500, :500] - exact).max())
