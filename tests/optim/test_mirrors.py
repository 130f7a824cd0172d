"""Mirror maps against their definitions."""

import math

import pytest
import torch

from skoverparam.optim import (
    AdagradNorm,
    Diagonal,
    Euclidean,
    Hypentropy,
    NegativeEntropy,
    PNorm,
    SimplexEntropy,
)
from skoverparam.optim._mirrors import MIRRORS, make_mirror

FIXED = [
    Euclidean(),
    PNorm(1.1),
    PNorm(1.5),
    PNorm(1.5, ridge=0.3),
    PNorm(3.0),
    PNorm(3.0, ridge=0.01),
    PNorm(10.0, ridge=0.01),
    Hypentropy(1e-3),
    Hypentropy(1.0),
    NegativeEntropy(),
    SimplexEntropy(),
    Diagonal(torch.linspace(0.5, 2, 30, dtype=torch.float64)),
]


def weights(mirror, seed=0):
    w = torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    if isinstance(mirror, SimplexEntropy):
        return w.softmax(0)
    return w.abs() if isinstance(mirror, NegativeEntropy) else w


@pytest.mark.parametrize("mirror", FIXED, ids=str)
def test_dual_is_the_gradient_of_the_potential(mirror):
    w = weights(mirror)
    gradient = torch.autograd.functional.jacobian(mirror.potential, w)
    torch.testing.assert_close(mirror.to_dual(w), gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mirror", FIXED, ids=str)
def test_curvature_is_the_derivative_of_the_dual(mirror):
    w = weights(mirror)
    J = torch.autograd.functional.jacobian(lambda w: mirror.to_dual(w), w.clone())
    torch.testing.assert_close(mirror.curvature(w), J.diagonal(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mirror", FIXED, ids=str)
def test_primal_inverts_dual(mirror):
    w = weights(mirror)
    torch.testing.assert_close(mirror.to_primal(mirror.to_dual(w)), w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mirror", FIXED, ids=str)
def test_divergence_is_zero_at_the_point_only(mirror):
    w, v = weights(mirror), weights(mirror, seed=1)
    assert abs(float(mirror.divergence(w, w))) < 1e-12
    assert mirror.divergence(w, v) > 1e-3


@pytest.mark.parametrize("mirror", [PNorm(1.5), PNorm(3.0, ridge=0.1), Hypentropy(0.1)], ids=str)
def test_bounds_hold_all_over_the_box(mirror):
    low, high = weights(mirror), weights(mirror, seed=1)
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    least, greatest = mirror.bounds(low, high)
    inside = low + (high - low) * torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    curvature = mirror.curvature(inside)
    assert least <= curvature.min() <= least * 1.01
    assert curvature.max() <= greatest
    # A box over zero has no upper constant for p < 2.
    assert math.isinf(greatest) == (mirror == PNorm(1.5))


@pytest.mark.parametrize("ridge", [1e-8, 1e-2, 1e3])
@pytest.mark.parametrize("p", [1.05, 1.5, 2.0, 4.0, 30.0])
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e6])
def test_the_ridge_is_inverted_at_every_scale(p, ridge, scale):
    mirror = PNorm(p, ridge)
    z = scale * torch.tensor([-1.0, -0.1, 0.0, 1e-5, 2.0], dtype=torch.float64)
    w = mirror.to_primal(z)
    # Powers of 20 underflow below.
    torch.testing.assert_close(mirror.to_dual(w), z, rtol=1e-10, atol=1e-16)
    assert w[2] == 0


def test_one_number_for_all_weights():
    mirror = AdagradNorm(delta=4.0)
    state = mirror.update(mirror.initial_state(torch.zeros(3)), torch.tensor([1.0, 2.0, 0.0]))
    assert mirror.metric(state) == 3


def test_names_and_parameters():
    assert make_mirror("pnorm", {"p": 3}) == PNorm(3)
    assert all(type(make_mirror(name)) is kind for name, kind in MIRRORS.items())
    with pytest.raises(ValueError, match="mirror must be one of 'euclidean'.*got 'newton'"):
        make_mirror("newton")
    with pytest.raises(ValueError, match=r"'hypentropy' got 'p'; its parameters are: 'beta'"):
        make_mirror("hypentropy", {"p": 2})
    with pytest.raises(ValueError, match="goes with a mirror given by name"):
        make_mirror(PNorm(3), {"p": 2})
    with pytest.raises(TypeError, match="mirror_params must be a dict or None, got 3"):
        make_mirror("pnorm", 3)


@pytest.mark.parametrize("p", [1, 0.5, math.inf, math.nan])
def test_exponents_up_to_one_are_refused(p):
    with pytest.raises(ValueError, match="p must be a finite number above 1"):
        PNorm(p)


def test_domains():
    with pytest.raises(ValueError, match="positive weights; the least of w0 is -1"):
        NegativeEntropy().check_domain(torch.tensor([1.0, -1.0]), "w0")
    with pytest.raises(ValueError, match="off by up to 0.5"):
        SimplexEntropy().check_domain(torch.tensor([0.5, 1.0]))
    with pytest.raises(ValueError, match="scale must be positive"):
        Diagonal([1.0, 0.0])
    with pytest.raises(ValueError, match="beta must be a positive number, got 0"):
        Hypentropy(0)


@pytest.mark.parametrize("scale", [[1.0, 2.0], torch.ones(4, 3)])
def test_a_diagonal_has_the_shape_of_the_weights(scale):
    mirror = Diagonal(scale=scale)
    with pytest.raises(ValueError, match=r"broadcast to the shape \(3,\) of init, got shape"):
        mirror.check_domain(torch.ones(3), "init")
    Diagonal(scale=torch.ones(3)).check_domain(torch.ones(4, 3))


@pytest.mark.parametrize(
    ("scale", "kind"), [(float("inf"), ValueError), (-1.0, ValueError), ("a", TypeError)]
)
def test_a_diagonal_is_positive_and_finite(scale, kind):
    with pytest.raises(kind, match="scale must"):
        Diagonal(scale=scale)
