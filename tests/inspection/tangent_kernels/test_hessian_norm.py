"""Norms of second derivatives, linear expansions and parametrizations of users' networks."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skoverparam import config_context
from skoverparam.inspection import NTKMLP, empirical_ntk, hessian_norm, linearize, ntk_parametrize


@pytest.fixture(autouse=True)
def own_stream():
    """Layers draw their first weights from the global stream: not from everybody's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def data(n=3, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_outputs():
    network = NTKMLP(4, [20], n_outputs=2, dtype=torch.float64)
    found = hessian_norm(network, data(), tol=1e-10, random_state=0)
    assert found.norms.shape == found.lowest.shape == found.residuals.shape == (3, 2)
    assert found.norm == found.norms.max()
    assert found.converged
    assert (found.residuals <= 1e-10).all()
    np.testing.assert_allclose(
        found.norms, np.maximum(np.abs(found.lowest), np.abs(found.highest)), rtol=1e-12
    )
    again = hessian_norm(network, torch.as_tensor(data()), tol=1e-10, random_state=0)
    np.testing.assert_array_equal(found.norms, again.norms)
    assert all(p.grad is None for p in network.parameters())


def test_loss_of_a_linear_model():
    # Half the sum of squared errors: the Hessian is X^T X, and 1^T 1 with the bias.
    network, X = nn.Linear(4, 1).double(), data(9)
    A = np.column_stack([X, np.ones(9)])
    expected = np.linalg.norm(A, 2) ** 2
    for chunk_size in (None, 4):
        found = hessian_norm(
            network, X, np.ones(9), target="loss", chunk_size=chunk_size, random_state=0
        )
        assert found.norms.shape == (1, 1)
        assert found.norm == pytest.approx(expected, rel=1e-9)


def test_what_does_not_converge_says_so():
    with pytest.warns(ConvergenceWarning, match="stopped after 2 products"):
        found = hessian_norm(NTKMLP(4, [50]), data(1), max_iter=2, random_state=0)
    assert not found.converged


def test_kinks_are_warned_of():
    with pytest.warns(UserWarning, match="activations with kinks"):
        hessian_norm(
            nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)), data(1), random_state=0
        )


def test_bad_input():
    network, X = NTKMLP(4, [3]), data()
    with pytest.raises(ValueError, match="needs the targets y"):
        hessian_norm(network, X, target="loss", random_state=0)
    with pytest.raises(ValueError, match=r"shape of the outputs, \(3, 1\), got \(4,\)"):
        hessian_norm(network, X, np.ones(4), target="loss", random_state=0)
    with pytest.raises(ValueError, match="y is for target='loss'"):
        hessian_norm(network, X, np.ones(3), random_state=0)
    with pytest.raises(ValueError, match="target must be one of"):
        hessian_norm(network, X, target="gradient", random_state=0)
    with config_context(memory_budget=1e4), pytest.raises(MemoryError, match="smaller max_iter"):
        hessian_norm(network, X, max_iter=1000, random_state=0)


def test_linear_expansion():
    network, X = NTKMLP(4, [10], dtype=torch.float64), data()
    linear = linearize(network)
    np.testing.assert_allclose(empirical_ntk(linear, X), empirical_ntk(network, X), rtol=1e-12)
    assert hessian_norm(linear, X, random_state=0).norm < 1e-12


def test_parametrization():
    network, X = nn.Sequential(nn.Linear(4, 400), nn.Tanh(), nn.Linear(400, 1)).double(), data()
    kept = ntk_parametrize(network)
    with torch.no_grad():
        np.testing.assert_allclose(kept(torch.as_tensor(X)), network(torch.as_tensor(X)))
    one, two = (ntk_parametrize(network, redraw=True, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(empirical_ntk(one, X), empirical_ntk(two, X))
    # Gradients by the weights are divided by the root of the number of inputs: kernels agree
    # with the sum over parameters of the old ones, each over its fan-in.
    parts = [
        empirical_ntk(network, X, params=[name]) / scale
        for name, scale in (("0.weight", 4), ("0.bias", 1), ("2.weight", 400), ("2.bias", 1))
    ]
    np.testing.assert_allclose(empirical_ntk(kept, X), sum(parts), rtol=1e-11)
    with pytest.raises(ValueError, match="bias_scale"):
        ntk_parametrize(network, bias_scale=0)
