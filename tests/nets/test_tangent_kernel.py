"""Tangent kernels by layers against derivatives by all parameters."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional as F

from skoverparam.nets._architectures import build_network
from skoverparam.nets._ntk_parametrization import NTKMLP, ntk_parametrize
from skoverparam.nets._tangent_kernel import empirical_ntk

# Both sums have a few thousand terms; each order of them rounds differently.
TOLERANCE = 1e-12


@pytest.fixture(autouse=True)
def own_stream():
    """Layers draw their first weights from the global stream: not from everybody's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def reference(module, X, Z=None):
    """The full kernel from derivatives by all parameters that require gradients."""
    params = {k: p.detach() for k, p in module.named_parameters() if p.requires_grad}

    def outputs(values, x):
        return functional_call(module, values, (x[None],)).reshape(-1)

    def tables(points):
        return vmap(jacrev(outputs), (None, 0))(params, points)

    J, Q = tables(X), tables(X if Z is None else Z)
    return sum(
        torch.einsum("icp,jdp->ijcd", J[name].flatten(2), Q[name].flatten(2)) for name in params
    )


def relative(A, B):
    return float((A - B).norm() / B.norm())


class Reused(nn.Module):
    """One layer twice, and on sequences."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, X):
        values = torch.tanh(self.inner(input=torch.tanh(self.inner(X))))
        return self.head(values).mean(1)


class Devious(nn.Module):
    """Weights used beside their layers, shared, and rows that are not samples."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.beside = nn.Linear(4, 4)
        self.crossed = nn.Linear(4, 4)
        self.flat = nn.Linear(4, 3)

    def forward(self, X):
        values = torch.tanh(self.second(torch.tanh(self.first(X))))
        values = self.beside(values) * F.linear(values, self.beside.weight)
        # (n, 3, 4) -> (3, n, 4): with three samples the shapes alone would not tell.
        values = torch.tanh(self.crossed(values.transpose(0, 1))).transpose(0, 1)
        return self.flat(values.reshape(-1, 4)).reshape(len(X), 3, 3).sum(1)


class Block(nn.Module):
    """A residual block with batch normalization and rectifiers in place."""

    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, X):
        return F.relu(self.body(X) + X)


def residual():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), Block(8), nn.AvgPool2d(2), Block(8), nn.Flatten(),
        nn.Linear(128, 4),
    )  # fmt: skip
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 2)
    return network


NETWORKS = {
    "dense": (lambda: nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1)), (5,)),
    "ntk": (lambda: NTKMLP(5, [8, 6], n_outputs=2, bias=True, output_activation="tanh"), (5,)),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, stride=2),
            nn.Tanh(),
            nn.Conv2d(8, 12, 3, padding="same", groups=4, dilation=2),
            nn.ReLU(inplace=True),
            nn.GroupNorm(2, 12),
            nn.Conv2d(12, 4, 2, padding=1, padding_mode="circular", bias=False),
            nn.Flatten(),
            nn.Linear(100, 3),
        ),
        (3, 8, 8),
    ),
    "scaled convolutions": (
        lambda: ntk_parametrize(
            nn.Sequential(
                nn.Conv1d(3, 4, 3), nn.Tanh(), nn.Conv1d(4, 2, 2, padding="valid"), nn.Flatten()
            ),
            bias_scale=0.3,
        ),
        (3, 6),
    ),
    "volumes": (
        lambda: nn.Sequential(nn.Conv3d(1, 2, 2, stride=2), nn.Tanh(), nn.Flatten()),
        (1, 4, 4, 4),
    ),
    "reused": (Reused, (4, 6)),
    "devious": (Devious, (3, 4)),
    "residual": (residual, (3, 8, 8)),
}


def case(name, n=7):
    make, shape = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = make().double().eval()
        return module, torch.randn(n, *shape, dtype=torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_derivatives_by_all_parameters(name):
    module, X = case(name)
    C = module(X).reshape(len(X), -1).shape[1]
    Z = X.flip(0)[:5] + 0.1
    for other in (None, Z):
        full = reference(module, X, other)
        found = {
            output: empirical_ntk(module, X, other, output=output)
            for output in ("trace", "diagonal", "full")
        }
        assert found["full"].shape == full.shape
        assert relative(found["full"], full) < TOLERANCE
        diagonal = full.diagonal(dim1=2, dim2=3)
        assert relative(found["diagonal"], diagonal) < TOLERANCE
        assert relative(found["trace"], diagonal.sum(2) / C) < TOLERANCE
    # Dense layers take the way over pairs of positions in batches of any size.
    assert relative(empirical_ntk(module, X, chunk_size=2), empirical_ntk(module, X)) < TOLERANCE
    assert (
        relative(empirical_ntk(module, X, method="jacobian"), found_trace(module, X)) < TOLERANCE
    )


def found_trace(module, X):
    full = reference(module, X)
    return full.diagonal(dim1=2, dim2=3).mean(2)


def test_a_closed_form():
    # f = sum_i v_i tanh(w_i x / sqrt d) / sqrt m.
    network = NTKMLP(3, [50], random_state=1, dtype=torch.float64)
    X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    W, v = (layer.weight.detach() for layer in network.layers)
    h = X @ W.T / 3**0.5
    slopes = v * (1 - h.tanh() ** 2)
    expected = (h.tanh() @ h.tanh().T + (X @ X.T / 3) * (slopes @ slopes.T)) / 50
    assert relative(empirical_ntk(network, X), expected) < TOLERANCE


def test_only_parameters_that_are_meant():
    module, X = case("convolutions")
    names = [name for name, _ in module.named_parameters()]
    parts = [empirical_ntk(module, X, params=[name]) for name in names]
    assert relative(sum(parts), empirical_ntk(module, X)) < TOLERANCE
    module[0].requires_grad_(False)
    assert relative(empirical_ntk(module, X), sum(parts[2:])) < TOLERANCE
    with pytest.raises(ValueError, match=r"params must be .*'0\.weight'.*accepted are 2\.weight"):
        empirical_ntk(module, X, params=["0.weight"])
    module.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameters that require gradients"):
        empirical_ntk(module, X)


def test_layers_without_rules_for_batches():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, X):
            return self.head(self.lstm(X)[0][:, -1])

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Recurrent().double()
        X = torch.randn(4, 5, 3, dtype=torch.float64)
    rows = []
    for i in range(4):
        for c in range(2):
            gradients = torch.autograd.grad(module(X[i : i + 1])[0, c], list(module.parameters()))
            rows.append(torch.cat([g.flatten() for g in gradients]))
    J = torch.stack(rows)
    full = (J @ J.T).reshape(4, 2, 4, 2).transpose(1, 2)
    assert relative(empirical_ntk(module, X, output="full"), full) < TOLERANCE


def test_attention_of_a_transformer():
    network = build_network("transformer", (6, 4), 2, seed=0).double().eval()
    X = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = []
    for x in X:
        outputs = network(x[None])[0]
        for value in outputs:
            gradients = torch.autograd.grad(
                value, list(network.parameters()), retain_graph=True, materialize_grads=True
            )
            rows.append(torch.cat([g.flatten() for g in gradients]))
    J = torch.stack(rows)
    full = (J @ J.T).reshape(3, 2, 3, 2).transpose(1, 2)
    assert relative(empirical_ntk(network, X, output="full"), full) < 1e-10


def test_the_module_comes_back_unchanged():
    module, X = case("residual")
    module.train()
    module[1].eval()
    module[0].weight.grad = torch.ones_like(module[0].weight)
    modes = [part.training for part in module.modules()]
    state = {name: value.clone() for name, value in module.state_dict().items()}
    stream = torch.get_rng_state()
    empirical_ntk(module, X)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert torch.equal(module[0].weight.grad, torch.ones_like(module[0].weight))
    assert all(p.grad is None for p in list(module.parameters())[1:])
    assert not any(part._forward_hooks for part in module.modules())
    assert torch.equal(torch.get_rng_state(), stream)


def test_a_failing_module_comes_back_unchanged_too():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 1)).train()
    with pytest.raises(RuntimeError):
        empirical_ntk(module, torch.zeros(2, 3))
    assert module[0].training
    assert not any(part._forward_hooks for part in module.modules())


def test_works_without_gradients_around():
    module, X = case("dense")
    expected = empirical_ntk(module, X)
    with torch.no_grad():
        assert torch.equal(empirical_ntk(module, X), expected)
    assert not expected.requires_grad


def test_samples_that_mix_are_refused():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False))
    X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="depend on the other samples"):
        empirical_ntk(module, X)


def test_the_budget_sets_the_size_of_batches():
    module, X = case("convolutions")
    seen = []

    def budget(need, size):
        seen.append(need)
        assert size == 7 * 7 * 8
        return 2.5 * need

    assert relative(empirical_ntk(module, X, budget=budget), empirical_ntk(module, X)) < TOLERANCE
    assert seen[0] > X[0].numel() * 8


def test_single_precision():
    module, X = case("convolutions")
    exact = empirical_ntk(module, X)
    found = empirical_ntk(module.float(), X.float())
    assert found.dtype == torch.float32
    assert relative(found.double(), exact) < 1e-5
    assert np.isfinite(found.numpy()).all()
