"""How time grows with size, ours beside what people use: the points of the scaling plots."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.linalg import lstsq
from skimage.restoration import inpaint_biharmonic
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC

from skoverparam import (
    KernelInterpolatorRegressor,
    MaxMarginClassifier,
    NTKImageCompleter,
    NTKMatrixCompleter,
)
from skoverparam.datasets import make_low_rank_matrix_with_missing, mask_images
from skoverparam.inspection import NTKMLP, empirical_ntk
from skoverparam.linalg import minimum_norm_path


def matrix(rows):
    X, _ = make_low_rank_matrix_with_missing(rows, 60, rank=5, noise=0.1, random_state=0)
    return (X,)


def smooth_regression(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 8))
    return X, np.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=n)


def few_samples(n_features):
    rng = np.random.default_rng(0)
    return rng.normal(size=(100, n_features)), rng.normal(size=100)


def two_classes(n_features):
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, n_features)), np.repeat([0, 1], 250)


def picture(side):
    i, j = np.mgrid[:side, :side] / side
    image = 0.5 + 0.3 * np.sin(12 * i + 5 * j**2) + 0.1 * np.cos(40 * i * j)
    return (mask_images(image[None], missing=0.5, random_state=0),)


def samples(n):
    return (np.random.default_rng(0).normal(size=(n, 200)),)


def loop_over_features(X, y):
    return [lstsq(X[:, :d], y)[0] for d in range(1, X.shape[1] + 1)]


def biharmonic(X):
    return inpaint_biharmonic(np.nan_to_num(X[0]), np.isnan(X[0]))


def perceptron():
    return NTKMLP(200, [256, 256], "tanh", random_state=0).double()


def jacobians(X):
    """All derivatives of the outputs, then the products: the usual recipe."""
    network = perceptron()
    weights = {name: p.detach() for name, p in network.named_parameters()}

    def output(weights, x):
        return torch.func.functional_call(network, weights, (x[None],))[0, 0]

    found = torch.func.vmap(torch.func.jacrev(output), (None, 0))(weights, torch.as_tensor(X))
    rows = torch.cat([J.flatten(1) for J in found.values()], 1)
    return rows @ rows.T


# Of each curve: what size counts, the sizes, how data of a size are made, and who competes.
CURVES = {
    "complete a matrix of 60 columns": (
        "rows",
        (250, 500, 1000, 2000),
        matrix,
        {
            "ours": lambda X: NTKMatrixCompleter(random_state=0).fit_transform(X),
            "KNNImputer": lambda X: KNNImputer().fit_transform(X),
            "IterativeImputer, one round": lambda X: IterativeImputer(
                max_iter=1, tol=1e9
            ).fit_transform(X),
        },
    ),
    "complete a picture, half missing": (
        "pixels a side",
        (64, 128, 256),
        picture,
        {
            "ours": lambda X: NTKImageCompleter().fit_transform(X),
            "ours, stationary": lambda X: NTKImageCompleter(prior="stationary").fit_transform(X),
            "biharmonic": biharmonic,
        },
    ),
    "kernel regression": (
        "samples",
        (1000, 2000, 4000, 8000),
        smooth_regression,
        {
            "ours": lambda X, y: KernelInterpolatorRegressor(random_state=0).fit(X, y),
            "KernelRidge": lambda X, y: KernelRidge(alpha=0.01, kernel="rbf").fit(X, y),
        },
    ),
    "least squares with 1, 2, ... features": (
        "features",
        (125, 250, 500, 1000),
        few_samples,
        {"ours": minimum_norm_path, "loop of lstsq": loop_over_features},
    ),
    "widest margin of 500 samples": (
        "features",
        (1000, 2000, 4000, 8000),
        two_classes,
        {
            "ours": lambda X, y: MaxMarginClassifier(fit_intercept=True).fit(X, y),
            "SVC, C=1e10": lambda X, y: SVC(kernel="linear", C=1e10).fit(X, y),
        },
    ),
    "tangent kernel of a perceptron": (
        "samples",
        (50, 100, 200, 400),
        samples,
        {"ours": lambda X: empirical_ntk(perceptron(), X), "torch.func": jacobians},
    ),
}

POINTS = [
    pytest.param(curve, size, contender, id=f"{curve}, {size}, {contender}")
    for curve, (_, sizes, _, contenders) in CURVES.items()
    for contender in contenders
    for size in sizes
]


@pytest.mark.parametrize(("curve", "size", "contender"), POINTS)
def test_scaling(measure, curve, size, contender):
    unit, _, make, contenders = CURVES[curve]
    data = make(size)
    measure.at_size(f"{curve}, by {unit}", size)
    measure(f"{curve}, {size} {unit}", contender, partial(contenders[contender], *data), rounds=3)
