"""Paths of minimum-norm solutions and whole generalization curves, beside loops of fits."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import ShuffleSplit, validation_curve

from skoverparam import MinNormRegressor
from skoverparam.linalg import minimum_norm_path
from skoverparam.model_selection import generalization_curve


def loop_of_lstsq(X, Y):
    return [scipy.linalg.lstsq(X[:, :d], Y)[0] for d in range(1, X.shape[1] + 1)]


@pytest.mark.parametrize("contender", ["ours", "loop of scipy.linalg.lstsq"])
def test_path_over_features(measure, contender):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(200, 1000)), rng.normal(size=(200, 5))
    solve = minimum_norm_path if contender == "ours" else loop_of_lstsq
    task = "minimum-norm solutions for 1 to 1000 features, 200 samples, 5 targets"
    solutions = measure(task, contender, solve, X, Y)
    coef = solutions.coef[299, :300] if contender == "ours" else solutions[299]
    exact = np.linalg.pinv(X[:, :300]) @ Y
    measure.note(error=np.linalg.norm(coef - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("contender", ["ours", "validation_curve"])
def test_generalization_curve(measure, contender):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 1000))
    y = X.sum(axis=1) / np.sqrt(1000) + 0.5 * rng.normal(size=400)
    model, sizes = MinNormRegressor(), np.arange(1, 1001)
    if contender == "ours":
        splits, compute = 50, generalization_curve
    else:
        # A fiftieth of the splits: the whole loop takes many minutes.
        splits, compute = 1, validation_curve
    cv = ShuffleSplit(splits, train_size=100, test_size=300, random_state=0)
    kwargs = {"param_name": "n_features_used", "param_range": sizes, "cv": cv}
    if contender != "ours":
        kwargs["scoring"] = "neg_mean_squared_error"
    task = "test errors for 1 to 1000 features, 100 samples (ours: 50 splits, theirs: 1)"
    result = measure(task, contender, compute, model, X, y, **kwargs)
    median = result.median if contender == "ours" else np.median(result[1], axis=1)
    measure.note(peak=sizes[median.argmin()], **{"last error": -median[-1]})


@pytest.mark.parametrize("contender", ["ours", "LinearRegression"])
def test_ill_conditioned_interpolation(measure, contender):
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.normal(size=(size, 40)))[0] for size in (40, 120))
    X, y = U * np.geomspace(1, 1e-8, 40) @ V.T, rng.normal(size=40)
    model = (MinNormRegressor if contender == "ours" else LinearRegression)(fit_intercept=False)
    task = "interpolate 40 x 120, singular values 1 to 1e-8"
    fitted = measure(task, contender, model.fit, X, y, rounds=20, warmup_rounds=2)
    measure.note(residual=np.linalg.norm(y - fitted.predict(X)) / np.linalg.norm(y))
