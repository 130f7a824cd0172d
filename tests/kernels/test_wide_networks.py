"""Kernels against networks that are wide but finite."""

import math

import pytest
import torch

from skoverparam.kernels._fully_connected import fully_connected_nngp, fully_connected_ntk

WIDTH = 4096
# Variance of the hidden weights which keeps unit variance: 1 / E[phi(u)^2].
GAINS = {"relu": 2.0, "erf": math.pi / (2 * math.asin(2 / 3))}
PHI = {"relu": torch.relu, "erf": torch.erf}


def network(weights, x, activation):
    """One output for one input; float32 sums of 4096 terms are far finer than 1 / sqrt(4096)."""
    h = weights[0] @ x
    for W in weights[1:]:
        h = math.sqrt(GAINS[activation] / WIDTH) * (W @ PHI[activation](h))
    return h.squeeze(0)


def empirical_kernels(activation, depth, X, seed):
    """Tangent kernel of one random network of standard normal weights."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(WIDTH, X.shape[1]), *[(WIDTH, WIDTH)] * (depth - 1), (1, WIDTH)]
    weights = [torch.randn(*shape, generator=generator) for shape in shapes]
    K = torch.zeros(len(X), len(X))
    for layer, W in enumerate(weights):

        def output(V, x, layer=layer):
            return network([*weights[:layer], V, *weights[layer + 1 :]], x, activation)

        gradients = torch.func.vmap(torch.func.grad(output), (None, 0))(W, X).flatten(1)
        K += gradients @ gradients.T
    return K.double()


@pytest.mark.parametrize(("activation", "depth"), [("relu", 1), ("relu", 2), ("erf", 1)])
def test_empirical_tangent_kernel(activation, depth):
    X = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.2, 0.0], [0.8, -0.9, 0.5], [-0.9, 0.3, 0.6]]), dim=1
    )
    n_seeds = 6 if depth > 1 else 20
    kernels = torch.stack([empirical_kernels(activation, depth, X, s) for s in range(n_seeds)])
    expected = fully_connected_ntk(X.double(), depth=depth, activation=activation)
    standard_error = kernels.std(0) / math.sqrt(n_seeds)
    assert standard_error.max() < 0.03 * expected.max()  # else the comparison would mean little
    assert ((kernels.mean(0) - expected).abs() < 3 * standard_error).all()


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_last_hidden_layer_has_the_gaussian_process_kernel(activation):
    """Raw inputs of different norms, so that the variances of the two sides differ."""
    X = torch.tensor([[1.0, 0.2, 0.0], [1.8, -0.9, 0.5], [-0.3, 0.1, 0.2]], dtype=torch.float64)
    estimates = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        W = torch.randn(WIDTH, 3, generator=generator, dtype=torch.float64)
        features = PHI[activation](X @ W.T)
        estimates.append(GAINS[activation] / WIDTH * features @ features.T)
    estimates = torch.stack(estimates)
    expected = fully_connected_nngp(X, depth=1, activation=activation, normalize=False)
    standard_error = estimates.std(0) / math.sqrt(len(estimates))
    assert ((estimates.mean(0) - expected).abs() < 3 * standard_error).all()
