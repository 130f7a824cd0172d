"""Tangent kernels of what users have: arrays, estimators, networks of any kind."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

from skoverparam import KernelInterpolatorRegressor, SquareLossNetClassifier, config_context
from skoverparam.inspection import NTKMLP, TangentKernel, empirical_ntk, tangent_kernel_change
from skoverparam.kernels import fully_connected_ntk


@pytest.fixture(autouse=True)
def own_stream():
    """Layers draw their first weights from the global stream: not from everybody's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def data(n=8, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_kinds_and_shapes():
    network, X = NTKMLP(4, [6], n_outputs=3, dtype=torch.float64), data()
    K = empirical_ntk(network, X)
    assert isinstance(K, np.ndarray)
    assert K.dtype == np.float64
    assert empirical_ntk(network, X, X[:5]).shape == (8, 5)
    assert empirical_ntk(network, X, X[:5], output="diagonal").shape == (8, 5, 3)
    full = empirical_ntk(network, X, X[:5], output="full")
    assert full.shape == (8, 5, 3, 3)
    np.testing.assert_allclose(np.einsum("ijcc->ij", full) / 3, K[:, :5], rtol=1e-13)
    tensor = empirical_ntk(network, torch.as_tensor(X))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), K)
    np.testing.assert_array_equal(empirical_ntk(network, X.tolist()), K)
    assert empirical_ntk(network.float(), X).dtype == np.float32


def test_its_limit_for_infinite_width():
    X = data(5)
    network = NTKMLP(4, [40_000], "relu", dtype=torch.float64)
    # The limit's activation is sqrt(2) relu on inputs that are not divided by sqrt(d).
    expected = np.asarray(fully_connected_ntk(X, normalize=False)) / (2 * 4)
    # Fluctuations of sums of 40 000 terms.
    error = np.abs(empirical_ntk(network, X) - expected).max()
    assert error < 0.02 * np.abs(expected).max()


def test_of_a_fitted_classifier():
    X = data(40)
    y = (X[:, 0] > 0).astype(int)
    model = SquareLossNetClassifier(
        hidden_layer_sizes=(8,), activation="tanh", max_iter=5, random_state=0
    ).fit(X, y)
    K = empirical_ntk(model, X[:6], output="full")
    assert K.shape == (6, 6, 2, 2)
    W = [np.asarray(w, dtype=np.float64) for w in model.weights_.values()]
    h = np.tanh(X[:6] @ W[0].T + W[1])
    slope = W[2][:, None, :] * (1 - h**2)  # (C, n, m)
    shared = h @ h.T + 1
    inner = np.einsum("cim,djm->ijcd", slope, slope) * (X[:6] @ X[:6].T + 1)[..., None, None]
    expected = inner + shared[..., None, None] * np.eye(2)
    np.testing.assert_allclose(K, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("classes", [2, 3])
def test_of_a_perceptron_of_scikit_learn(activation, classes):
    X = data(40)
    y = np.digitize(X[:, 0], [-0.5, 0.5][: classes - 1])
    options = {"activation": activation, "random_state": 0, "tol": 1.0, "n_iter_no_change": 1}
    model = MLPClassifier((8, 5), **options).fit(X, y)
    K = empirical_ntk(model, X[:6], output="full")
    assert K.shape == (6, 6, model.n_outputs_, model.n_outputs_)
    assert K.dtype == np.float64

    def outputs(weights):
        n = len(model.coefs_)
        h, kinds = torch.as_tensor(X[:6]), {"relu": torch.relu, "tanh": torch.tanh}
        kinds |= {"logistic": torch.sigmoid, "identity": lambda h: h}
        for i in range(n):
            h = h @ weights[i] + weights[n + i]
            h = kinds[activation](h) if i < n - 1 else h
        return h

    weights = [torch.as_tensor(w) for w in [*model.coefs_, *model.intercepts_]]
    jacobians = torch.func.jacrev(outputs)(weights)
    expected = sum(torch.einsum("ic...,jd...->ijcd", J, J) for J in jacobians)
    np.testing.assert_allclose(K, expected, rtol=1e-10, atol=1e-12)
    before = model.predict(X)
    tangent_kernel_change([model, model], X[:4])
    np.testing.assert_array_equal(model.predict(X), before)
    regressor = MLPRegressor(hidden_layer_sizes=(4,), **options).fit(X, X[:, 0])
    assert empirical_ntk(regressor, X[:3]).shape == (3, 3)
    with pytest.raises(NotFittedError):
        empirical_ntk(MLPClassifier(), X)


def test_of_a_net_like_those_of_skorch():
    class Net(BaseEstimator):
        def __init__(self, module):
            self.module = module

        def fit(self, X=None, y=None):
            return self

        def initialize(self):
            self.module_ = self.module
            return self

    network, X = NTKMLP(4, [6]), data()
    K = empirical_ntk(Net(network).initialize(), X)
    np.testing.assert_array_equal(K, empirical_ntk(network, X))


def test_a_residual_network_within_a_budget():
    """Group and batch normalization go through explicit derivatives, a few samples at a time."""
    batches = []

    class Watched(nn.Sequential):
        def forward(self, X):
            batches.append(len(X))
            return super().forward(X)

    network = Watched(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ).double()  # fmt: skip
    X = np.random.default_rng(0).normal(size=(20, 3, 12, 12))
    whole = empirical_ntk(network, X)
    assert max(batches) == 20
    batches.clear()
    with config_context(memory_budget=8e6):
        parts = empirical_ntk(network, X)
    assert 1 < max(batches) < 20
    np.testing.assert_allclose(parts, whole, rtol=1e-11)
    with (
        config_context(memory_budget=1e5),
        pytest.raises(MemoryError, match="tangent kernel, with the derivatives of two samples"),
    ):
        empirical_ntk(network, X)


def test_batch_normalization_in_training_mode_takes_running_statistics():
    network = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))
    expected = empirical_ntk(network.eval(), data())
    before = network[1].running_mean.clone()
    np.testing.assert_array_equal(empirical_ntk(network.train(), data()), expected)
    assert network.training
    assert torch.equal(network[1].running_mean, before)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"output": "sum"}, ValueError, "output must be one of 'trace', 'diagonal', 'full'"),
        ({"method": "fast"}, ValueError, "method must be one of 'auto', 'jacobian'"),
        ({"chunk_size": 0}, ValueError, "chunk_size"),
        ({"params": ["nothing"]}, ValueError, "accepted are layers.0.weight"),
        ({"X": [[np.nan, 0, 0, 0]]}, ValueError, "X must hold finite numbers"),
        ({"X": [1.0, 2.0]}, ValueError, "X must hold samples"),
        ({"Z": [[0.0, 1.0]]}, ValueError, "Z must have samples of shape"),
        ({"module": "net"}, TypeError, "module must be a torch module, .* got str"),
    ],
)
def test_bad_input(kwargs, error, message):
    arguments = {"module": NTKMLP(4, [3]), "X": data()} | kwargs
    with pytest.raises(error, match=message):
        empirical_ntk(**arguments)


def test_modules_that_return_something_else():
    class Pair(nn.Linear):
        def forward(self, X):
            return super().forward(X), X

    with pytest.raises(TypeError, match="must return one tensor, got tuple"):
        empirical_ntk(Pair(4, 2), data())
    with pytest.raises(ValueError, match="a row for each of the"):
        empirical_ntk(
            nn.Sequential(nn.Linear(4, 4), nn.Flatten(0), nn.Unflatten(0, (2, -1))), data()
        )


def test_kernel_of_scikit_learn():
    X, Z = data(12), data(5, seed=1)
    y = np.sin(X[:, 0])
    kernel = TangentKernel(NTKMLP(4, [30], dtype=torch.float64))
    K = empirical_ntk(kernel.module, X)
    np.testing.assert_array_equal(kernel(X), K)
    np.testing.assert_allclose(kernel.diag(X), np.diag(K), rtol=1e-12)
    assert kernel(X, eval_gradient=True)[1].shape == (12, 12, 0)
    expected = empirical_ntk(kernel.module, Z, X) @ np.linalg.solve(K + 0.1 * np.eye(12), y)
    ridge = KernelRidge(alpha=0.1, kernel=kernel).fit(X, y)
    np.testing.assert_allclose(ridge.predict(Z), expected, rtol=1e-9)
    process = GaussianProcessRegressor(kernel, alpha=0.1).fit(X, y)
    mean, deviation = process.predict(Z, return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    assert (deviation > 0).all()
    ours = KernelInterpolatorRegressor(kernel=kernel, ridge=0.1).fit(X, y)
    np.testing.assert_allclose(ours.predict(Z), expected, rtol=1e-6)
    assert clone(kernel)(X).shape == (12, 12)
    assert not kernel.is_stationary()


def test_kernel_on_flat_images():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 1)).double()
    images = np.random.default_rng(0).normal(size=(5, 1, 4, 4))
    kernel = TangentKernel(network, input_shape=(1, 4, 4))
    np.testing.assert_array_equal(kernel(images.reshape(5, 16)), empirical_ntk(network, images))


def test_kernels_of_other_shapes_of_samples_are_not_the_same():
    network = nn.Linear(4, 1)
    kernel = TangentKernel(network, (2, 2), ["weight"])
    assert kernel == TangentKernel(network, (2, 2), ["weight"])
    assert kernel != TangentKernel(network, (4,), ["weight"])
    assert kernel != TangentKernel(network, (2, 2))
