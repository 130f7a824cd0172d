"""Linear expansions, and networks in the tangent parametrization."""

import pytest
import torch
from torch import nn

from skoverparam.nets._linearized import LinearizedModule
from skoverparam.nets._ntk_parametrization import NTKMLP, ntk_parametrize, plain_layers
from skoverparam.nets._tangent_descent import gradient_descent, kernel_move, kernel_state
from skoverparam.nets._tangent_kernel import empirical_ntk


@pytest.fixture(autouse=True)
def own_stream():
    """Layers draw their first weights from the global stream: not from everybody's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network():
    return NTKMLP(4, [6, 5], n_outputs=2, random_state=0, dtype=torch.float64)


def test_expansion_is_the_tangent():
    module, X = network(), draws(7, 4)
    linear = LinearizedModule(module)
    assert torch.allclose(linear(X), module(X), rtol=1e-14, atol=1e-14)
    with torch.no_grad():
        for weight in linear.weights:
            weight += 0.1 * draws(*weight.shape, seed=1)
    params = list(module.parameters())
    rows = [
        torch.autograd.grad(value, params, retain_graph=True)
        for value in module(X).flatten().unbind()
    ]
    J = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    expected = module(X).flatten() + J @ linear.displacement()
    assert torch.allclose(linear(X).flatten(), expected, rtol=1e-13, atol=1e-13)
    assert not any(p.requires_grad for p in linear.base.parameters())


def test_its_kernel_is_the_networks_everywhere():
    module, X = network(), draws(5, 4)
    linear = LinearizedModule(module)
    K = empirical_ntk(module, X, output="full")
    with torch.no_grad():
        for weight in linear.weights:
            weight += draws(*weight.shape, seed=1)
    moved = empirical_ntk(linear, X, output="full")
    assert float((K - moved).norm() / K.norm()) < 1e-12


def test_it_trains_as_the_kernel_says():
    # Gradient descent on a linear model: residuals are (I - eta K)^t times the first ones.
    module, X, Y = NTKMLP(4, [30], random_state=0, dtype=torch.float64), draws(6, 4), draws(6, 1)
    linear = LinearizedModule(module)
    K = empirical_ntk(module, X)
    eta = 1 / float(torch.linalg.eigvalsh(K)[-1])
    residual = module(X).detach() - Y
    descent = gradient_descent(linear, X, Y, learning_rate=eta)
    for _ in range(20):
        step = next(descent)
        assert step.loss == pytest.approx(float(residual.square().sum() / 2), rel=1e-10)
        assert step.squared_gradient == pytest.approx(float((residual * (K @ residual)).sum()))
        residual -= eta * K @ residual
    moved = linear.displacement()
    assert float(moved.norm()) > 0
    # The network itself was not touched.
    assert torch.equal(module(X), NTKMLP(4, [30], random_state=0, dtype=torch.float64)(X))


def test_the_mode_of_the_expanded_network_stays():
    linear = LinearizedModule(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))).train()
    assert linear.training
    assert not linear.base.training


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: [nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2, bias=False)], (3, 5)),
        (
            lambda: [
                nn.Conv1d(2, 4, 3, padding=1, padding_mode="circular"),
                nn.Conv1d(4, 4, 2, groups=2),
            ],
            (3, 2, 6),
        ),
        (lambda: [nn.Conv2d(2, 4, 3, stride=2), nn.Conv2d(4, 1, 2, bias=False)], (3, 2, 6, 6)),
        (lambda: [nn.Conv3d(2, 3, 2), nn.Conv3d(3, 1, 2)], (3, 2, 4, 4, 4)),
    ],
    ids=["dense", "sequences", "planes", "volumes"],
)
def test_parametrization_keeps_the_function(make, shape):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module, X = nn.Sequential(*make()), draws(*shape)
    module = module.double()
    scaled = ntk_parametrize(module, bias_scale=0.5)
    assert plain_layers(scaled) == []
    assert len(plain_layers(module)) == 2
    assert torch.allclose(scaled(X), module(X), rtol=1e-13, atol=1e-14)


def test_parametrization_draws_variance_one():
    scaled = ntk_parametrize(nn.Linear(300, 400), generator=torch.Generator().manual_seed(0))
    assert float(scaled.weight.detach().std()) == pytest.approx(1, abs=0.01)  # 120 000 draws
    assert scaled.weight_scale == pytest.approx(300**-0.5)
    X = draws(20, 300, seed=5).float()
    assert float(scaled(X).detach().std()) == pytest.approx(2**0.5, abs=0.05)  # weights and bias


def test_mlp_draws_in_order():
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    v = torch.randn(1, 5, generator=generator, dtype=torch.float64)
    module, X = NTKMLP(4, [5], random_state=3, dtype=torch.float64), draws(2, 4)
    expected = torch.tanh(X @ W.T / 2) @ v.T / 5**0.5
    assert torch.allclose(module(X), expected, rtol=1e-14)
    assert set(NTKMLP(4, [5], output_layer="signs").layers[1].weight.flatten().tolist()) <= {-1, 1}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"widths": []}, "widths at least one"),
        ({"widths": [0]}, "integers >= 1"),
        ({"activation": "sine"}, "activation must be one of 'tanh'"),
        ({"output_activation": "sine"}, "output_activation must be one of"),
        ({"output_layer": "big"}, "output_layer must be"),
    ],
)
def test_bad_parameters_of_the_mlp(bad, message):
    with pytest.raises(ValueError, match=message):
        NTKMLP(**{"n_features": 3, "widths": [4]} | bad)


def test_moves_are_those_of_matrices():
    module, X = network(), draws(5, 4)
    first = kernel_state(module, X)
    with torch.no_grad():
        for p in module.parameters():
            p += 0.1 * draws(*p.shape, seed=2)
    now = kernel_state(module, X)
    move = kernel_move(first, now)
    assert move.change == pytest.approx(
        float((now.matrix - first.matrix).norm() / first.matrix.norm())
    )
    values = torch.linalg.eigvalsh(now.matrix)
    assert (move.lambda_min, move.lambda_max) == pytest.approx(
        (float(values[0]), float(values[-1]))
    )
    total = sum(float((0.1 * draws(*p.shape, seed=2)).square().sum()) for p in module.parameters())
    assert move.distance == pytest.approx(total**0.5)
