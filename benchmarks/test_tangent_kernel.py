"""The tangent kernel of a dense network, beside the recipe with torch's jacobians."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

from skoverparam.inspection import empirical_ntk


@pytest.fixture(scope="module")
def task():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Linear(784, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 1)
        ).double()
        return network, torch.randn(200, 784, dtype=torch.float64)


def by_jacobians(network, X, chunk_size=None):
    """The recipe of torch's documentation, for one output."""
    params = {name: p.detach() for name, p in network.named_parameters()}

    def output(values, x):
        return functional_call(network, values, (x[None],))[0, 0]

    J = vmap(jacrev(output), (None, 0), chunk_size=chunk_size)(params, X)
    return sum(part.flatten(1) @ part.flatten(1).T for part in J.values())


CONTENDERS = {
    "ours": empirical_ntk,
    "torch.func": by_jacobians,
    "torch.func, 50 at a time": lambda network, X: by_jacobians(network, X, 50),
}


@pytest.mark.parametrize("contender", CONTENDERS)
def test_dense_network(measure, contender, task):
    name = "tangent kernel, 784-512-512-1, 200 samples, float64"
    K = measure(name, contender, CONTENDERS[contender], *task, rounds=5, warmup_rounds=1)
    exact = by_jacobians(*task)
    measure.note(**{"relative error": np.linalg.norm(K - exact) / np.linalg.norm(exact)})
