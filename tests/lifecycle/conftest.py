"""Every public estimator with small data: one fit, another of other sizes, and what it answers."""

import inspect
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import skoverparam


class Case(NamedTuple):
    """An estimator that takes several steps where it can, and two sets of training data."""

    estimator: BaseEstimator
    first: tuple
    second: tuple
    methods: tuple[str, ...]

    def answers(self, fitted, arguments):
        """All that the fitted estimator says of its training data, by method."""
        return {name: getattr(fitted, name)(arguments[0]) for name in self.methods}


def regression(n, d, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=d) + 0.1 * rng.normal(size=n)


def classification(n, d, seed):
    X, y = regression(n, d, seed)
    return X, np.array(["down", "up"])[(y > np.median(y)).astype(int)]


def holes(n, d, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d))
    return np.where(rng.random((n, d)) < 0.3, np.nan, X), None


def images(n, size, seed):
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(size), np.arange(size)) / size
    X = ramp + 0.1 * rng.normal(size=(n, size, size))
    return np.where(rng.random(X.shape) < 0.3, np.nan, X), None


def interactions(n, ids, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(ids, size=(n, 2))
    return X, np.cos(X[:, 0]) + np.sin(X[:, 1]) + 0.1 * rng.normal(size=n)


def texts(n, length, seed):
    words = np.array(["a", "certain", "number", "of", "words", "that", "mean", "nothing", "here"])
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words, size=length)) for _ in range(n)], None


REGRESSOR = ("predict",)
CLASSIFIER = ("predict", "predict_proba")
SCORED = ("predict", "decision_function")

# name: constructor's parameters, maker of data, sizes of the first and the second, methods
TABLE = {
    "KernelInterpolatorClassifier": (
        {"solver": "pcg", "random_state": 0},
        classification,
        (40, 4),
        (35, 6),
        (*CLASSIFIER, "decision_function"),
    ),
    "KernelInterpolatorRegressor": (
        {"solver": "pcg", "random_state": 0},
        regression,
        (40, 4),
        (35, 6),
        REGRESSOR,
    ),
    "MaxMarginClassifier": (
        {"solver": "gd", "max_iter": 50},
        classification,
        (12, 30),
        (12, 40),
        SCORED,
    ),
    "MinNormRegressor": ({}, regression, (20, 30), (15, 40), REGRESSOR),
    "MirrorDescentClassifier": ({"max_iter": 50}, classification, (15, 30), (12, 40), SCORED),
    "MirrorDescentRegressor": ({"max_iter": 50}, regression, (15, 30), (12, 40), REGRESSOR),
    "NTKImageCompleter": ({"n_passes": 2}, images, (2, 12), (1, 14), ("transform",)),
    "NTKInteractionRegressor": ({"random_state": 0}, interactions, (60, 7), (50, 9), REGRESSOR),
    "NTKMatrixCompleter": (
        {"n_passes": 3, "random_state": 0},
        holes,
        (20, 8),
        (18, 10),
        ("transform", "posterior_std"),
    ),
    "RandomFeatureClassifier": (
        {"n_features": 60, "random_state": 0},
        classification,
        (40, 4),
        (35, 6),
        CLASSIFIER,
    ),
    "RandomFeatureRegressor": (
        {"n_features": 60, "random_state": 0},
        regression,
        (40, 4),
        (35, 6),
        REGRESSOR,
    ),
    "SimplicialClassifier": ({}, classification, (30, 2), (25, 3), CLASSIFIER),
    "SimplicialRegressor": ({}, regression, (30, 2), (25, 3), REGRESSOR),
    "SingularKernelClassifier": ({}, classification, (30, 3), (25, 4), CLASSIFIER),
    "SingularKernelRegressor": ({}, regression, (30, 3), (25, 4), REGRESSOR),
    "SquareLossNetClassifier": (
        {"hidden_layer_sizes": (16,), "batch_size": 8, "max_iter": 5, "random_state": 0},
        classification,
        (40, 4),
        (35, 6),
        (*CLASSIFIER, "decision_function", "transform"),
    ),
    "TokenIdVectorizer": ({}, texts, (10, 5), (8, 7), ("transform",)),
    "TwoLayerCNNClassifier": (
        {"max_iter": 30, "random_state": 0},
        classification,
        (20, 30),
        (16, 40),
        CLASSIFIER,
    ),
}


def public_estimators():
    for name in skoverparam.__all__:
        public = getattr(skoverparam, name)
        if inspect.isclass(public) and issubclass(public, BaseEstimator):
            yield name


@pytest.fixture(params=list(public_estimators()))
def case(request):
    """Every public estimator in turn; one that is not in the table fails here."""
    return case_of(request.param)


@pytest.fixture
def cases():
    """All of them at once, by name."""
    return {name: case_of(name) for name in public_estimators()}


def case_of(name):
    params, make, first, second, methods = TABLE[name]
    estimator = getattr(skoverparam, name)(**params)
    return Case(estimator, make(*first, seed=0), make(*second, seed=1), methods)
