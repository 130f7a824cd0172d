"""Norms of second derivatives against dense matrices and a closed form."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from skoverparam.nets._hessian import (
    has_kinks,
    lanczos_ends,
    loss_hessian_ends,
    output_hessian_ends,
)
from skoverparam.nets._ntk_parametrization import NTKMLP
from skoverparam.nets._sequences import MaxPool


@pytest.fixture(autouse=True)
def own_stream():
    """Layers draw their first weights from the global stream: not from everybody's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def sample(d=10):
    x = torch.randn(d, generator=stream(123), dtype=torch.float64)
    return (x / x.norm() * d**0.5)[None]


def oracle(network, x):
    """The Hessian of two layers is block diagonal over neurons, of two dimensions each."""
    W, v = (layer.weight.detach() for layer in network.layers)
    z = W @ x[0] / x.shape[1] ** 0.5
    slope = 1 - z.tanh() ** 2
    bend = v[0] * -2 * z.tanh() * slope
    norms = (bend.abs() + (bend**2 + 4 * slope**2).sqrt()) / 2
    return float(norms.max()) / len(z) ** 0.5


@pytest.mark.parametrize("output_layer", ["signs", "normal"])
@pytest.mark.parametrize("seed", [0, 1])
def test_closed_form_of_two_layers(output_layer, seed):
    network = NTKMLP(10, [64], output_layer=output_layer, random_state=seed, dtype=torch.float64)
    (ends,) = output_hessian_ends(network, sample(), generator=stream(), tol=1e-10, max_iter=300)
    assert ends.converged
    assert ends.norm == pytest.approx(oracle(network, sample()), rel=1e-8)


def test_published_value():
    network = NTKMLP(10, [64], output_layer="signs", random_state=0, dtype=torch.float64)
    assert oracle(network, sample()) == pytest.approx(0.1549012791, abs=1e-10)


def slope(widths, seeds, make):
    norms = [
        np.mean(
            [
                output_hessian_ends(make(m, s), sample(), generator=stream(s), max_iter=60)[0].norm
                for s in range(seeds)
            ]
        )
        for m in widths
    ]
    return np.polyfit(np.log(widths), np.log(norms), 1)[0]


def test_hessian_shrinks_like_the_root_of_the_width():
    def make(m, seed):
        return NTKMLP(10, [m], output_layer="signs", random_state=seed, dtype=torch.float64)

    assert slope([64, 256, 1024, 4096], 2, make) == pytest.approx(-0.5, abs=0.03)


def test_hessian_stays_with_a_nonlinear_output_or_a_bottleneck():
    def swish(m, seed):
        return NTKMLP(10, [m], "tanh", "swish", random_state=seed, dtype=torch.float64)

    def bottleneck(m, seed):
        return NTKMLP(10, [m, 1, m], random_state=seed, dtype=torch.float64)

    assert slope([64, 256, 1024, 4096, 16384], 5, swish) == pytest.approx(0, abs=0.05)
    # One neuron is a matter of luck: the mean over six seeds has a slope of -.05 +- .1.
    assert slope([32, 128, 512], 6, bottleneck) == pytest.approx(0, abs=0.25)


def dense_output_hessian(module, x, c):
    params = {name: p.detach() for name, p in module.named_parameters()}
    sizes = {name: p.numel() for name, p in params.items()}
    H = jacrev(jacrev(lambda values: functional_call(module, values, (x,))[0, c]))(params)
    return torch.cat(
        [torch.cat([H[a][b].reshape(sizes[a], sizes[b]) for b in params], dim=1) for a in params]
    )


def small():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 5), nn.Softplus(), nn.Linear(5, 2), nn.Tanh()).double()


def test_both_ends_against_a_dense_matrix():
    module, x = small(), sample(3)
    found = output_hessian_ends(module, x, generator=stream(), tol=1e-12)
    for c, ends in enumerate(found):
        values = torch.linalg.eigvalsh(dense_output_hessian(module, x, c))
        assert ends.lowest == pytest.approx(float(values[0]), rel=1e-6, abs=1e-8)
        assert ends.highest == pytest.approx(float(values[-1]), rel=1e-6, abs=1e-8)
        assert ends.norm == pytest.approx(float(values.abs().max()), rel=1e-10)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_loss_against_a_dense_matrix(chunk_size):
    module = small()
    X = torch.randn(5, 3, generator=stream(), dtype=torch.float64)
    Y = torch.randn(5, 2, generator=stream(1), dtype=torch.float64)
    params = {name: p.detach() for name, p in module.named_parameters()}
    sizes = {name: p.numel() for name, p in params.items()}
    H = jacrev(jacrev(lambda p: (functional_call(module, p, (X,)) - Y).square().sum() / 2))(params)
    dense = torch.cat(
        [torch.cat([H[a][b].reshape(sizes[a], sizes[b]) for b in params], 1) for a in params]
    )
    found = loss_hessian_ends(
        module,
        X,
        lambda outputs, batch: (outputs - Y[batch]).square().sum() / 2,
        generator=stream(),
        chunk_size=chunk_size,
        tol=1e-12,
    )
    assert found.norm == pytest.approx(float(torch.linalg.eigvalsh(dense).abs().max()), rel=1e-10)
    assert all(p.grad is None for p in module.parameters())


def test_a_linear_model_has_no_second_derivatives():
    (ends,) = output_hessian_ends(nn.Linear(3, 1).double(), sample(3), generator=stream())
    assert ends.norm == 0
    assert ends.converged


@pytest.mark.parametrize("p", [1, 2, 40, 300])
def test_lanczos_on_known_spectra(p):
    values = torch.linspace(-2, 1.9, p, dtype=torch.float64)
    start = torch.randn(p, generator=stream(), dtype=torch.float64)
    ends = lanczos_ends(lambda v: values * v, start, tol=1e-9, max_iter=300)
    assert ends.converged
    assert ends.norm == pytest.approx(2, rel=1e-8)
    few = lanczos_ends(lambda v: values * v, start, tol=1e-12, max_iter=3)
    assert few.converged == (p <= 3)
    assert few.n_products <= 3


def test_kinks_are_noticed():
    assert has_kinks(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert not has_kinks(small())


def test_a_start_that_says_nothing_is_no_convergence():
    # Of [[0, 1], [1, 0]] the first vector shows an eigenvalue of zero, and a residual of one.
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert not lanczos_ends(lambda v: swap @ v, start, max_iter=1).converged
    both = lanczos_ends(lambda v: swap @ v, start, max_iter=2)
    assert both.converged
    assert both.norm == pytest.approx(1.0, rel=1e-14)
    zero = lanczos_ends(torch.zeros_like, start, max_iter=1)
    assert zero.converged
    assert zero.norm == 0


@pytest.mark.parametrize(
    "layer", [nn.MaxPool1d(2), nn.AdaptiveMaxPool1d(1), nn.Hardswish(), nn.Softshrink(), MaxPool()]
)
def test_all_layers_with_kinks_are_known(layer):
    assert has_kinks(nn.Sequential(nn.Flatten(), layer))
    assert not has_kinks(nn.Sequential(nn.Flatten(), nn.Tanh(), nn.AvgPool1d(2)))
