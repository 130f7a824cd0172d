"""Least squares on random features, beside transformers and linear models of scikit-learn."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline

from skoverparam import RandomFeatureRegressor

BANDWIDTH = 2.0


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, Y = X[order] / 16, np.eye(10)[y[order]]
    return X[:500], Y[:500], X[500:], Y[500:]


def sampler(n_features=1000):
    return RBFSampler(gamma=1 / (2 * BANDWIDTH**2), n_components=n_features, random_state=0)


def sweep(model, name, sizes, X, Y, X_test):
    """One fit after the other."""
    return np.stack(
        [clone(model).set_params(**{name: int(D)}).fit(X, Y).predict(X_test) for D in sizes]
    )


def path(model, sizes, X, Y, X_test):
    return model.fit_predict_path(X, Y, X_test, param_range=sizes)


def double_descent(measure, task, contender, sizes, share, digits, ridge=0.0):
    """Time a sweep over numbers of features; the slow contenders see every ``share``-th one."""
    X, Y, X_test, Y_test = digits
    # Of the same kind as RBFSampler's, and without an intercept, to have the peak in one place.
    ours = RandomFeatureRegressor(
        "fourier_phase", bandwidth=BANDWIDTH, ridge=ridge, fit_intercept=False, random_state=0
    )
    if contender == "ours":
        outputs = measure(task, contender, path, ours, sizes, X, Y, X_test)
    else:
        sizes = sizes[share - 1 :: share]
        if contender == "ours, a fit for each":
            model, name = ours, "n_features"
        else:
            linear = Ridge(ridge, fit_intercept=False) if ridge else LinearRegression()
            linear.set_params(fit_intercept=False)
            model, name = make_pipeline(sampler(), linear), "rbfsampler__n_components"
        outputs = measure(task, contender, sweep, model, name, sizes, X, Y, X_test)
    mse = np.square(outputs - Y_test).mean((1, 2))
    measure.note(peak=sizes[mse.argmax()], **{"fits": len(sizes), "last error": mse[-1]})


CONTENDERS = ["ours", "ours, a fit for each", "RBFSampler and LinearRegression"]


@pytest.mark.parametrize("contender", CONTENDERS)
def test_every_fifth_width(measure, contender, digits):
    task = "500 digits, 5, 10, ..., 2000 random features (ours: 400 fits, theirs: 20)"
    double_descent(measure, task, contender, np.arange(5, 2001, 5), 20, digits)


@pytest.mark.parametrize("contender", CONTENDERS)
def test_few_widths(measure, contender, digits):
    task = "500 digits, 11 numbers of random features from 50 to 10000"
    sizes = np.array([50, 100, 200, 400, 480, 500, 520, 600, 1000, 2500, 10_000])
    double_descent(measure, task, contender, sizes, 1, digits)


@pytest.mark.parametrize("contender", [*CONTENDERS[:2], "RBFSampler and Ridge"])
def test_widths_with_a_ridge(measure, contender, digits):
    task = "500 digits, 5, 10, ..., 2000 random features, ridge 0.01 (ours: 400 fits, theirs: 20)"
    double_descent(measure, task, contender, np.arange(5, 2001, 5), 20, digits, ridge=0.01)


@pytest.mark.parametrize("ridge", [0.0, 0.01])
@pytest.mark.parametrize("contender", ["ours", "RBFSampler and a linear model"])
def test_one_fit(measure, contender, ridge, digits):
    X, Y, X_test, Y_test = digits
    if contender == "ours":
        model = RandomFeatureRegressor(
            "fourier_phase", n_features=4000, bandwidth=BANDWIDTH, ridge=ridge, random_state=0
        )
    else:
        model = make_pipeline(sampler(4000), Ridge(ridge) if ridge else LinearRegression())
    task = f"500 digits, 4000 random features, one fit, ridge {ridge:g}"
    fitted = measure(task, contender, model.fit, X, Y, rounds=5, warmup_rounds=1)
    left = np.linalg.norm(Y - fitted.predict(X)) / np.linalg.norm(Y)
    error = np.square(fitted.predict(X_test) - Y_test).mean()
    measure.note(**{"test error": error, "training residual": left})
