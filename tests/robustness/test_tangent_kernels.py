"""Tangent kernels and Hessians of any network against the derivatives themselves."""

import contextlib
import copy
import warnings

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import samples
from robustness.watch import attempt, few, is_refused, watch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel

from skoverparam.inspection import (
    NTKMLP,
    empirical_ntk,
    hessian_norm,
    layerwise_collapse,
    linearize,
    neural_collapse,
    ntk_parametrize,
    pl_star_constant,
    tangent_kernel_change,
)


class Tied(nn.Module):
    """A layer used twice, and a weight of two layers."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(width, 3)
        self.middle = nn.Linear(3, 3)
        self.last = nn.Linear(3, 2)
        self.other = nn.Linear(3, 2, bias=False)
        self.other.weight = self.last.weight

    def forward(self, X):
        H = self.first(X.flatten(1)).tanh()
        H = self.middle(self.middle(H).tanh())
        return self.last(H) + self.other(H.square())


class Recurrent(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.memory = nn.LSTM(1, 3, batch_first=True)
        self.last = nn.Linear(3, 2)

    def forward(self, X):
        return self.last(self.memory(X.flatten(1)[:, :, None])[0][:, -1])


class Attending(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(1, 4)
        self.block = nn.TransformerEncoderLayer(4, 2, 5, dropout=0.1, batch_first=True)
        self.last = nn.Linear(4, 1)

    def forward(self, X):
        return self.last(self.block(self.first(X.flatten(1)[:, :, None])).mean(1))


def dense(width):
    return nn.Sequential(nn.Linear(width, 4), nn.Tanh(), nn.Linear(4, 3))


def no_bias(width):
    layers = [nn.Linear(width, 3, bias=False), nn.GELU(), nn.Dropout(0.5), nn.Linear(3, 1)]
    return nn.Sequential(*layers)


def normalized(width):
    return nn.Sequential(
        nn.Linear(width, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.LayerNorm(4), nn.Linear(4, 2)
    )


def convolved(width):
    return nn.Sequential(
        nn.Unflatten(1, (1, width)),
        nn.Conv1d(1, 4, 2, padding=1, stride=2),
        nn.Softplus(),
        nn.Conv1d(4, 2, 3, padding="same", dilation=2, groups=2, padding_mode="replicate"),
        nn.Tanh(),
        nn.Flatten(),
        nn.LazyLinear(2),
    )


def frozen(width):
    network = dense(width)
    network[0].weight.requires_grad_(False)
    return network


def parametrized(width):
    return ntk_parametrize(dense(width))


def wide(width):
    return NTKMLP(width, [6, 5], "tanh", random_state=0)


_NETWORKS = [
    Tied,
    Recurrent,
    Attending,
    dense,
    no_bias,
    normalized,
    convolved,
    frozen,
    parametrized,
    wide,
]


@st.composite
def problems(draw, *, extreme=False):
    """A network in double precision, and samples for it."""
    n, width = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    X = draw(samples((n, width), dtypes=("float64",), extreme=extreme))
    if not extreme:
        X = X / max(1.0, np.abs(X).max() / 10)
    with torch.random.fork_rng():
        torch.manual_seed(draw(st.integers(0, 9)))
        module = draw(st.sampled_from(_NETWORKS))(width)
        module(torch.zeros(2, width))  # running statistics, and sizes that are known later
    return module.double().train(draw(st.booleans())), X


@contextlib.contextmanager
def reference():
    """Let torch warn that it loops over samples, or that scripts are old."""
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore")
        yield


@reference()
def derivatives(module, X):
    """Derivatives of all outputs by all parameters that are trained, (n, C, p)."""
    module = copy.deepcopy(module).eval()
    params = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}

    def outputs(values, x):
        return functional_call(module, values, (x[None],), tie_weights=True).reshape(-1)

    rows = []
    for x in torch.from_numpy(np.array(X)):
        found = jacrev(outputs)(params, x)
        rows.append(torch.cat([found[name].flatten(1) for name in params], 1))
    return torch.stack(rows).numpy()


def outputs_of(module, X):
    with torch.no_grad():
        return copy.deepcopy(module).eval()(torch.from_numpy(X)).numpy()


def state_of(module):
    """All that may be left changed."""
    return {
        "modes": [part.training for part in module.modules()],
        "hooks": [
            (len(part._forward_hooks), len(part._forward_pre_hooks), len(part._backward_hooks))
            for part in module.modules()
        ],
        "gradients": [
            (p.requires_grad, None if p.grad is None else p.grad.clone())
            for p in module.parameters()
        ],
        "values": {name: value.clone() for name, value in module.state_dict().items()},
    }


def assert_unchanged(module, before):
    now = state_of(module)
    assert now["modes"] == before["modes"]
    assert now["hooks"] == before["hooks"]
    for (asked, gradient), (was_asked, was) in zip(
        now["gradients"], before["gradients"], strict=True
    ):
        assert asked == was_asked
        assert (gradient is None) == (was is None)
        assert gradient is None or torch.equal(gradient, was)
    for name, value in before["values"].items():
        assert torch.equal(now["values"][name], value), name


@few
@given(problems(), st.sampled_from(["auto", "jacobian"]), st.sampled_from([None, 1, 2, 3]))
def test_kernels_are_products_of_derivatives(problem, method, chunk_size):
    module, X = problem
    before = state_of(module)
    with watch("empirical_ntk"):
        J = derivatives(module, X)
        expected = np.einsum("icp,jdp->ijcd", J, J)
        size = 1e-11 * (np.abs(expected).max() + 1e-300)
        options = {"method": method, "chunk_size": chunk_size}
        K = empirical_ntk(module, X, output="full", **options)
        np.testing.assert_allclose(K, expected, rtol=0, atol=size)
        # To the last bit, whatever it is the sum of.
        np.testing.assert_array_equal(K, K.transpose(1, 0, 3, 2))
        n, C = len(X), K.shape[2]
        values = np.linalg.eigvalsh(K.transpose(0, 2, 1, 3).reshape(n * C, n * C))
        assert values[0] >= -100 * size
        each = empirical_ntk(module, X, output="diagonal", **options)
        np.testing.assert_allclose(each, np.einsum("ijcc->ijc", K), rtol=0, atol=size)
        trace = empirical_ntk(module, X, **options)
        np.testing.assert_allclose(trace, each.mean(2), rtol=0, atol=size)
        np.testing.assert_array_equal(trace, trace.T)
        cross = empirical_ntk(module, X, X[:1], **options)
        np.testing.assert_allclose(cross, trace[:, :1], rtol=0, atol=size)
        constant = pl_star_constant(module, X, np.ones((n, C)))
        np.testing.assert_allclose(constant.beta, values[-1], rtol=1e-9, atol=size)
        np.testing.assert_allclose(constant.mu, values[0], rtol=1e-9, atol=100 * size)
        if constant.local_mu is not None:
            slack = 1e-9 * constant.beta
            assert constant.mu - slack <= constant.local_mu <= constant.beta + slack
        moved = tangent_kernel_change([module, copy.deepcopy(module)], X)
        assert moved.change.tolist() == [0, 0]
        assert moved.distance.tolist() == [0, 0]
        assert_unchanged(module, before)


@few
@given(problems(), st.integers(0, 9))
def test_expansions_are_networks_and_their_slope(problem, seed):
    module, X = problem
    before = state_of(module)
    with watch("linearize"):
        linear = linearize(module)
        start = outputs_of(module, X)
        with torch.no_grad():
            here = linear(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(here, start, rtol=1e-12, atol=1e-12)
        J = derivatives(module, X)
        K = empirical_ntk(linear, X, output="full")
        size = 1e-10 * (np.abs(J).max() ** 2 * J.shape[2] + 1e-300)
        np.testing.assert_allclose(K, np.einsum("icp,jdp->ijcd", J, J), rtol=0, atol=size)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in linear.weights:
                weight += torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            there = linear(torch.from_numpy(X)).numpy()
        expected = start + J @ linear.displacement().numpy()
        size = 1 + np.abs(expected).max() + np.abs(J).max() * J.shape[2]
        np.testing.assert_allclose(there, expected, rtol=0, atol=1e-11 * size)
        assert_unchanged(module, before)


@few
@given(problems(), st.integers(0, 3))
def test_norms_are_those_of_the_whole_hessian(problem, seed):
    module, X = problem
    before = state_of(module)
    X = X[:2]
    with watch("hessian_norm"):
        found = hessian_norm(module, X, random_state=seed, tol=1e-8, max_iter=300)
        plain = copy.deepcopy(module).eval()
        params = {name: p for name, p in plain.named_parameters() if p.requires_grad}
        sizes, shapes = zip(*[(p.numel(), p.shape) for p in params.values()], strict=True)

        def outputs(flat, x):
            parts = [
                part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)
            ]
            values = dict(zip(params, parts, strict=True))
            return functional_call(plain, values, (x[None],), tie_weights=True).reshape(-1)

        flat = torch.cat([p.detach().flatten() for p in params.values()])
        with reference():
            for i, x in enumerate(torch.from_numpy(X)):
                for c in range(found.norms.shape[1]):
                    # torch.func.hessian is not even symmetric for attention.
                    H = hessian(lambda flat, x=x, c=c: outputs(flat, x)[c], flat)
                    low, *_, high = torch.linalg.eigvalsh((H + H.mT) / 2).tolist()
                    top = max(abs(low), abs(high))
                    slack = 1e-6 * top + 1e-12
                    np.testing.assert_allclose(found.norms[i, c], top, rtol=0, atol=slack)
                    assert low - slack <= found.lowest[i, c]
                    assert found.highest[i, c] <= high + slack
        assert found.norm == found.norms.max()
        assert_unchanged(module, before)


class Failing(nn.Module):
    """A network that is run so often, and then says that it has enough."""

    def __init__(self, network, runs):
        super().__init__()
        self.network, self.runs = network, runs

    def forward(self, X):
        self.runs -= 1
        if self.runs < 0:
            raise LookupError("enough")
        return self.network(X)


class Noisy(nn.Module):
    """A network that draws from the global stream also in evaluation mode."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, X):
        return self.network(X) + 0 * torch.rand(())


@few
@given(problems(), st.integers(0, 4), st.data())
def test_networks_come_back_as_they_were(problem, runs, data):
    network, X = problem
    X = np.repeat(X, 4, axis=0)
    y = np.arange(len(X)) % 2
    module = Noisy(network) if data.draw(st.booleans()) else Failing(network, runs)
    module.train(network.training)
    outputs = outputs_of(network, X)
    calls = {
        "empirical_ntk": lambda: empirical_ntk(module, X),
        "hessian_norm": lambda: hessian_norm(module, X[:1], random_state=0, max_iter=3, tol=1),
        "the loss": lambda: hessian_norm(
            module, X, outputs, target="loss", random_state=0, max_iter=3, tol=1
        ),
        "pl_star_constant": lambda: pl_star_constant(module, X),
        "linearize": lambda: linearize(module),
        "neural_collapse": lambda: neural_collapse(module, X, y),
        "layerwise_collapse": lambda: layerwise_collapse(module, X, y),
    }
    name = data.draw(st.sampled_from(sorted(calls)))
    before = state_of(module)
    with watch(f"state after {name}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(LookupError):
            calls[name]()
        assert_unchanged(module, before)


@few
@given(problems(extreme=True), st.sampled_from(["full", "trace"]))
def test_extreme_samples(problem, output):
    module, X = problem
    with watch("empirical_ntk of extreme samples"):
        K = attempt(empirical_ntk, module, X, output=output, about=r"\bX\b|finite")
        assert np.isfinite(K).all()


@few
@given(problems(), st.data())
def test_what_is_wrong_is_named(problem, data):
    module, X = problem
    with watch("empirical_ntk"):
        wrong = {
            "output": ["sum", None],
            "method": ["dense"],
            "chunk_size": [0, 1.5],
            "params": [["weights of mine"], []],
        }
        name = data.draw(st.sampled_from([*wrong, "X", "Z", "module", "tol", "max_iter", "y"]))
        naming = rf"\b{name}\b"
        if name in wrong:
            value = data.draw(st.sampled_from(wrong[name]))
            is_refused(empirical_ntk, module, X, naming=naming, **{name: value})
        elif name == "X":
            bad = X.copy()
            bad[0, 0] = np.nan
            is_refused(empirical_ntk, module, bad, naming=naming)
            is_refused(empirical_ntk, module, X[:0], naming=naming)
            is_refused(hessian_norm, module, bad, random_state=0, naming=naming)
        elif name == "Z":
            is_refused(empirical_ntk, module, X, X[:, :-1], naming=naming)
        elif name == "module":
            is_refused(empirical_ntk, "a network", X, naming=naming)
            is_refused(linearize, module.requires_grad_(False), naming=r"requires_grad_\(True\)")
        elif name in {"tol", "max_iter"}:
            is_refused(hessian_norm, module, X, random_state=0, naming=naming, **{name: -1})
        else:
            is_refused(pl_star_constant, module, X, np.ones(len(X) + 1), naming=naming)
            options = {"target": "loss", "random_state": 0}
            is_refused(hessian_norm, module, X, naming=naming, **options)
