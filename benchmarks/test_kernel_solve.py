"""Kernel systems beside scikit-learn's direct solvers and scipy's iterative one."""

from functools import partial

import numpy as np
import pytest
from scipy.sparse.linalg import cg
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

from skoverparam.kernels import gaussian, laplace
from skoverparam.linalg import kernel_solve

N_FEATURES, N_TEST = 8, 1000


def problem(n):
    """A smooth function of four of eight features, with noise; test points without."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + N_TEST, N_FEATURES))
    f = np.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + np.cos(2 * X[:, 3])
    y = f + 0.1 * rng.normal(size=len(f))
    return X[:n], y[:n], X[n:], f[n:]


def ours(kernel, ridge=0.0, **options):
    def predict(X, y, X_test):
        return kernel_solve(kernel, X, y, ridge=ridge, random_state=0, **options).predict(X_test)

    return predict


def kernel_ridge(ridge):
    def predict(X, y, X_test):
        return KernelRidge(alpha=ridge, kernel="rbf", gamma=1 / 8).fit(X, y).predict(X_test)

    return predict


def gaussian_process(ridge):
    def predict(X, y, X_test):
        model = GaussianProcessRegressor(RBF(2.0), alpha=ridge, optimizer=None)
        return model.fit(X, y).predict(X_test)

    return predict


def laplace_matrix(X, Z):
    return np.exp(cdist(X, Z) / -10.0)


def laplace_ridge(X, y, X_test):
    """A matrix of one's own, scikit-learn's solver, and the least ridge it takes."""
    model = KernelRidge(alpha=1e-12, kernel="precomputed").fit(laplace_matrix(X, X), y)
    return model.predict(laplace_matrix(X_test, X))


def conjugate_gradients(X, y, X_test):
    coef, failed = cg(laplace_matrix(X, X), y, rtol=1e-6, maxiter=2000)
    assert not failed
    return laplace_matrix(X_test, X) @ coef


GAUSSIAN = partial(gaussian, bandwidth=2.0)
LAPLACE = partial(laplace, bandwidth=10.0)

RIDGE = {
    "ours": ours(GAUSSIAN, 0.1),
    "ours, with leave-one-out": ours(GAUSSIAN, 0.1, loo=True),
    "KernelRidge": kernel_ridge(0.1),
    "GaussianProcessRegressor": gaussian_process(0.1),
}
INTERPOLATION = {
    "ours": ours(LAPLACE),
    "ours, exactly": ours(LAPLACE, solver="cholesky"),
    "KernelRidge on the matrix": laplace_ridge,
    "scipy's cg on the matrix": conjugate_gradients,
}


@pytest.mark.parametrize("contender", RIDGE)
@pytest.mark.parametrize("n", [2000, 10_000])
def test_gaussian_ridge(measure, contender, n):
    X, y, X_test, f_test = problem(n)
    task = f"Gaussian kernel ridge of {n} points"
    predictions = measure(task, contender, RIDGE[contender], X, y, X_test)
    measure.note(RMSE=np.sqrt(np.mean((predictions - f_test) ** 2)))


@pytest.mark.parametrize("contender", INTERPOLATION)
def test_laplace_interpolation(measure, contender):
    X, y, X_test, f_test = problem(10_000)
    task = "Laplace interpolation of 10000 points, residual 1e-6"
    predictions = measure(task, contender, INTERPOLATION[contender], X, y, X_test)
    measure.note(RMSE=np.sqrt(np.mean((predictions - f_test) ** 2)))


@pytest.mark.parametrize("contender", ["ours", "KernelRidge for each"])
def test_many_ridges(measure, contender):
    """Thirty ridges with their leave-one-out errors, or with predictions alone."""
    X, y, X_test, f_test = problem(2000)
    ridges = np.logspace(-4, 2, 30)

    def shared():
        solution = kernel_solve(GAUSSIAN, X, y, ridge=ridges[0], solver="eigh", loo=True)
        path = [solution.at_ridge(ridge) for ridge in ridges]
        best = min(path, key=lambda one: np.mean(one.loo_residuals**2))
        return best.predict(X_test)

    def each():
        path = [kernel_ridge(ridge)(X, y, X_test) for ridge in ridges]
        return min(path, key=lambda one: np.mean((one - f_test) ** 2))

    function = shared if contender == "ours" else each
    predictions = measure("30 ridges for 2000 points, choice included", contender, function)
    measure.note(RMSE=np.sqrt(np.mean((predictions - f_test) ** 2)))
