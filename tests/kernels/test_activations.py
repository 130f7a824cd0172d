"""Dual functions against numeric integration of their definition."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from skoverparam.kernels import DualPair, Erf, LeakyReLU, ReLU
from skoverparam.kernels._activations import resolve

COSINES = torch.tensor([-1.0, -0.99, -0.5, 0.0, 0.3, 0.9, 0.999, 1.0], dtype=torch.float64)
SLOPES = (0.0, 0.01, 0.3, 1.0, -1.0)


def rectifier_expectations(slope, cosine):
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)], both divided by E[phi(u)^2] = (1 + slope^2) / 2.

    phi is homogeneous of degree one, so in polar coordinates of the Gaussian plane the radius
    contributes E[r^2] = 2 (and 1 for the derivatives), and the angle an integral over a circle.
    """
    t = math.acos(cosine)
    phi = lambda x: x if x > 0 else slope * x  # noqa: E731
    dphi = lambda x: 1.0 if x > 0 else slope  # noqa: E731
    kinks = sorted(
        {a % (2 * math.pi) for k in (-1, 1) for a in (k * math.pi / 2, t + k * math.pi / 2)}
    )
    edges = [0.0, *kinks, 2 * math.pi]

    def mean(f, factor):
        pieces = (
            quad(lambda a: f(math.cos(a)) * f(math.cos(a - t)), lo, hi, epsabs=1e-14)[0]
            for lo, hi in zip(edges, edges[1:], strict=False)
        )
        return factor * math.fsum(pieces) / (2 * math.pi)

    second_moment = (1 + slope**2) / 2
    return mean(phi, 2) / second_moment, mean(dphi, 1) / second_moment


def erf_expectations(cosine, variance_u=1.0, variance_v=1.0, n_nodes=100):
    """E[erf(u) erf(v)] and E[erf'(u) erf'(v)] by a product Gauss-Hermite rule."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    weights = weights / weights.sum()
    x = math.sqrt(variance_u) * nodes[:, None]
    y = math.sqrt(variance_v) * (
        cosine * nodes[:, None] + math.sqrt(1 - cosine**2) * nodes[None, :]
    )
    W = weights[:, None] * weights[None, :]
    erf = np.vectorize(math.erf)
    derivative = lambda z: 2 / math.sqrt(math.pi) * np.exp(-(z**2))  # noqa: E731
    return (W * erf(x) * erf(y)).sum(), (W * derivative(x) * derivative(y)).sum()


@pytest.mark.parametrize("slope", SLOPES)
def test_rectifiers_equal_their_gaussian_expectations(slope):
    activation = LeakyReLU(slope)
    expected = torch.tensor(
        [rectifier_expectations(slope, float(c)) for c in COSINES], dtype=torch.float64
    )
    # The quadrature is exact to about 1e-13; acos(0.999) costs another digit.
    torch.testing.assert_close(activation.kappa_1(COSINES), expected[:, 0], rtol=0, atol=1e-12)
    torch.testing.assert_close(activation.kappa_0(COSINES), expected[:, 1], rtol=0, atol=1e-12)


def test_erf_equals_its_gaussian_expectations():
    expected = np.array([erf_expectations(float(c)) for c in COSINES])
    at_one = 2 / math.pi * math.asin(2 / 3)
    # The integrand is entire; 100 nodes leave about 1e-10.
    np.testing.assert_allclose(Erf().kappa_1(COSINES), expected[:, 0] / at_one, atol=1e-9)
    np.testing.assert_allclose(Erf().kappa_0(COSINES), expected[:, 1] / at_one, atol=1e-9)


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(), LeakyReLU(-0.5), Erf()], ids=repr)
def test_kappa_0_is_the_derivative_of_kappa_1(activation):
    c = torch.linspace(-0.99, 0.99, 101, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(activation.kappa_1(c).sum(), c)
    torch.testing.assert_close(activation.kappa_0(c), derivative, rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(), LeakyReLU(-0.5), Erf()], ids=repr)
def test_kappa_1_is_one_at_one(activation):
    one = torch.ones(1, dtype=torch.float64)
    torch.testing.assert_close(activation.kappa_1(one), one, rtol=0, atol=1e-15)


def test_slope_zero_is_relu_and_slope_one_is_linear():
    for name in ("kappa_1", "kappa_0"):
        assert torch.equal(getattr(LeakyReLU(0.0), name)(COSINES), getattr(ReLU(), name)(COSINES))
    assert torch.equal(LeakyReLU(1.0).kappa_1(COSINES), COSINES)
    assert torch.equal(LeakyReLU(1.0).kappa_0(COSINES), torch.ones_like(COSINES))


def test_slope_minus_one_is_the_absolute_value():
    # E|u||v| is even in c.
    torch.testing.assert_close(
        LeakyReLU(-1.0).kappa_1(COSINES), LeakyReLU(-1.0).kappa_1(-COSINES), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("relu", ReLU()),
        ("leaky_relu", LeakyReLU(0.01)),
        ("erf", Erf()),
        (LeakyReLU(0.3), LeakyReLU(0.3)),
    ],
)
def test_resolve(given, meant):
    assert resolve(given) == meant
    assert pickle.loads(pickle.dumps(resolve(given))) == meant


@pytest.mark.parametrize("given", [None, 3, torch.relu, ReLU])
def test_resolve_refuses_other_types(given):
    with pytest.raises(TypeError, match=r"activation must be one of 'relu', .*LeakyReLU\(slope\)"):
        resolve(given)


def test_resolve_refuses_unknown_names():
    with pytest.raises(ValueError, match="activation must be one of 'relu'.*; got 'tanh'"):
        resolve("tanh")


def test_bad_slopes():
    with pytest.raises(TypeError, match="slope must be a number, got '0.1'"):
        LeakyReLU("0.1")
    with pytest.raises(ValueError, match="slope must be a finite number, got inf"):
        LeakyReLU(math.inf)


def test_bad_dual_pairs():
    with pytest.raises(TypeError, match="kappa_0 must be a function of a tensor, got 2"):
        DualPair(lambda c: c, 2)
    with pytest.raises(TypeError, match="kappa_1 must map a tensor of cosines to a tensor of the"):
        DualPair(lambda c: c.sum(), lambda c: c)
    with pytest.raises(ValueError, match=r"kappa_1 must be normalized.*got 2 there"):
        DualPair(lambda c: 2 * c, lambda c: 2 + 0 * c)
