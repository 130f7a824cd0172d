"""Both passes by hand against autodiff."""

import pytest
import torch

from skoverparam.nets._architectures import build_network
from skoverparam.nets._dense_gradients import DenseGradients


@pytest.mark.parametrize("hidden", [(), (7,), (7, 5, 6)], ids=str)
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_gradients_are_those_of_autodiff(activation, hidden):
    network = build_network(
        "mlp", (2, 3), 4, hidden_layer_sizes=hidden, activation=activation
    ).double()
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(11, 2, 3, generator=generator, dtype=torch.float64)
    gradient = torch.randn(11, 4, generator=generator, dtype=torch.float64)
    outputs = network(X)
    expected = torch.autograd.grad(outputs, list(network.parameters()), gradient)
    assert DenseGradients.suits(network)
    passes = DenseGradients(network)
    for _ in range(2):  # written, not added
        values = passes.forward(X)
        passes.backward(values, gradient.clone())
    torch.testing.assert_close(values[-1], outputs.detach(), rtol=1e-13, atol=1e-14)
    for parameter, value in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, value, rtol=1e-12, atol=1e-14)


def test_what_needs_autodiff():
    assert not DenseGradients.suits(build_network("mlp", (6,), 4, activation="gelu"))
    assert not DenseGradients.suits(build_network("mlp", (6,), 4, dropout=0.1))
    assert not DenseGradients.suits(torch.nn.Flatten())
