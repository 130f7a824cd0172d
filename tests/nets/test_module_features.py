"""Reading layers: outputs, features, and steps where they stood."""

import pytest
import torch
from torch import nn

from skoverparam.nets._architectures import NAMED, build_network
from skoverparam.nets._module_features import PENULTIMATE, feature_width, module_features

SHAPES = {"mlp": (6,), "resnet": (6, 6), "tcnn": (6, 2), "lstm": (6, 2), "transformer": (6, 2)}


def layer_values(network, X, layer=PENULTIMATE):
    return module_features(network, X, [layer], pool="flatten").layers[layer]


def samples(shape, n=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("architecture", NAMED)
def test_head_is_linear_in_the_features(architecture):
    shape = SHAPES[architecture]
    network = build_network(architecture, shape, 3).double().eval()
    X = samples(shape)
    outputs = network(X)
    assert torch.equal(layer_values(network, X, "head"), outputs)
    features = layer_values(network, X)
    assert features.shape == (4, feature_width(network, shape))
    assert network.head.bias is not None
    torch.testing.assert_close(network.head(features), outputs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("architecture", ["resnet", "tcnn", "lstm", "transformer"])
def test_features_have_mean_zero_and_norm_one(architecture):
    network = build_network(architecture, SHAPES[architecture], 3).double().eval()
    features = layer_values(network, 5 * samples(SHAPES[architecture]))
    torch.testing.assert_close(features.mean(1), torch.zeros(4).double(), rtol=0, atol=1e-14)
    # Normalization guards small variances by 1e-5, those here are about 0.01 or more.
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4).double(), rtol=0, atol=0.05)


@pytest.mark.parametrize("architecture", NAMED)
def test_every_layer_named_can_be_read(architecture):
    network = build_network(architecture, SHAPES[architecture], 3).double()
    for name in [name for name, _ in network.named_modules() if name]:
        assert len(layer_values(network, samples(SHAPES[architecture]), name)) == 4, name


def test_the_error_lists_the_names():
    network = build_network("mlp", (6,), 3).double()
    with pytest.raises(ValueError, match=r"one of body, .*activation2, head; got 'heads'"):
        layer_values(network, samples((6,)), "heads")
    with pytest.raises(ValueError, match="got ''"):
        layer_values(network, samples((6,)), "")


def test_layers_outside_of_the_computation_and_networks_without_linear_layer():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used = nn.Flatten()
            self.unused = nn.Flatten()

        def forward(self, X):
            return self.used(X)

    with pytest.raises(ValueError, match="makes outputs without its layer 'unused'"):
        layer_values(Odd(), samples((6,)), "unused")
    with pytest.raises(ValueError, match="has none; name one of its layers: used, unused"):
        layer_values(Odd(), samples((6,)))


@pytest.mark.parametrize("architecture", ["tcnn", "lstm", "transformer"])
def test_steps_stand_where_they_stood(architecture):
    network = build_network(architecture, (6, 2), 3, per_position=True).double()
    X = samples((6, 2))
    X[1, 2:4] = torch.nan
    values = layer_values(network, X, "body").unflatten(1, (6, -1))
    alone = layer_values(network, X[1:2, [0, 1, 4, 5]], "body").unflatten(1, (4, -1))
    torch.testing.assert_close(values[1, [0, 1, 4, 5]], alone[0], rtol=0, atol=1e-13)
    assert not values[1, 2:4].any()
    assert layer_values(network, X).shape[1] == feature_width(network, (6, 2))


def test_blocks_are_joined():
    network = build_network("mlp", (3,), 2).double().eval()
    X = samples((3,), 1100)
    torch.testing.assert_close(layer_values(network, X, "head"), network(X), rtol=0, atol=1e-14)


def test_values_of_a_layer_are_not_overwritten_by_the_next():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).double()
    X = torch.randn(10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(layer_values(network, X, "0"), network[0](X).detach())
    assert bool((layer_values(network, X, "0") < 0).any())


def test_the_last_linear_layer_is_the_one_reached_last():
    class Backward(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.first = nn.Linear(4, 2), nn.Linear(3, 4)

        def forward(self, X):
            return self.head(self.first(X).tanh())

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Backward().double()
    X = samples((3,))
    assert feature_width(network, (3,)) == 4
    assert torch.equal(layer_values(network, X), network.first(X).tanh().detach())


class Returning(nn.Module):
    """One layer that returns what a function makes of its values."""

    def __init__(self, function):
        super().__init__()
        self.layer = self.Layer(function)

    class Layer(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, X):
            return self.function(X)

    def forward(self, X):
        self.layer(X)
        return X


def test_layers_that_return_several_values_count_by_their_first():
    X = samples((6,)).float()
    for function in (lambda X: {"values": X, "more": None}, lambda X: ((X, None), None)):
        torch.testing.assert_close(layer_values(Returning(function), X, "layer"), X)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda X: "nothing", TypeError, "layer must be one that returns tensors, got str"),
        (lambda X: X.mean(0), ValueError, r"'layer' returns shape \(6,\) for 4 samples"),
        (lambda X: X.sum(), ValueError, r"'layer' returns shape \(\) for 4 samples"),
    ],
)
def test_layers_that_return_something_else(function, error, message):
    with pytest.raises(error, match=message):
        layer_values(Returning(function), samples((6,)).float(), "layer")
