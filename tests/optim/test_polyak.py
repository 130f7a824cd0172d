"""Steps from the loss and from the tangent kernel, against closed forms and known errors."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from skoverparam.linalg import convergence_order
from skoverparam.optim import GaussNewtonSGD, PolyakSGD


def problem(n, dtype=torch.float64):
    """Residuals tanh(A w) + (B w)^2 / 2 - y that vanish at a known point, and a start near it."""
    random = np.random.RandomState(0)
    A, B = (torch.from_numpy(random.randn(n, 50) / 50**0.5).to(dtype) for _ in range(2))
    target = torch.from_numpy(0.5 * random.randn(50)).to(dtype)
    start = target + 0.2 * torch.from_numpy(random.randn(50)).to(dtype)

    def values(w):
        return torch.tanh(A @ w) + 0.5 * (B @ w) ** 2

    y = values(target)
    return (lambda w: values(w) - y), torch.nn.Parameter(start)


def descend(optimizer, residuals, w, n_steps, scale=0.5):
    """Norms of the residuals before each Polyak step on a multiple of their squares."""
    norms = []
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss = scale * residuals(w).square().sum()
        loss.backward()
        optimizer.step(loss=loss)
        norms.append(math.sqrt(loss.item() / scale))
    return norms


# Polyak


@pytest.mark.parametrize("scale", [0.5, 1.0, 7.0])
def test_one_half_is_quadratic_and_one_halves(scale):
    residuals, w = problem(1)
    quadratic = descend(PolyakSGD([w]), residuals, w, 5, scale)
    np.testing.assert_allclose(quadratic[:4], [2.4e-1, 1.2e-2, 4.8e-5, 7.9e-10], rtol=3e-2)
    assert quadratic[4] < 1e-15
    assert convergence_order(quadratic).order > 1.9
    residuals, w = problem(1)
    halving = descend(PolyakSGD([w], c=1), residuals, w, 30, scale)
    np.testing.assert_allclose(halving[:5], [2.4e-1, 1.2e-1, 6.2e-2, 3.1e-2, 1.6e-2], rtol=3e-2)
    fit = convergence_order(halving)
    assert abs(fit.order - 1) < 0.01
    # g+ = g / 2 + O(g^2): the ratio tends to one half.
    assert halving[-1] / halving[-2] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("power", [1.5, 2.0, 4.0])
def test_the_divisor_is_one_over_the_power(power):
    residuals, w = problem(1)
    start = w.detach().clone()
    optimizer = PolyakSGD([w], c=1 / power)
    loss = residuals(w).abs().pow(power).sum()
    loss.backward()
    optimizer.step(loss=loss)
    J = torch.func.jacrev(residuals)(start)
    newton = start - torch.linalg.pinv(J) @ residuals(start)
    torch.testing.assert_close(w.detach(), newton, rtol=0, atol=1e-14)


def test_several_residuals_are_linear():
    residuals, w = problem(10)
    norms = descend(PolyakSGD([w]), residuals, w, 61)
    # About 1e-3 in 20 steps.
    for t in (20, 40, 60):
        assert 1e-4 < norms[t] / norms[t - 20] < 1e-2
    assert convergence_order(norms).order < 1.2


def test_one_residual_at_a_time_is_linear():
    residuals, w = problem(10)
    optimizer = PolyakSGD([w])
    random = np.random.RandomState(0)
    norms = []
    for _ in range(24):
        norms.append(float(residuals(w).detach().norm()))
        for i in random.permutation(10):
            optimizer.zero_grad()
            loss = residuals(w)[i].square() / 2
            loss.backward()
            optimizer.step(loss=loss)
    assert convergence_order(norms).order < 1.2
    per_three = [norms[t + 3] / norms[t] for t in range(3, 21)]
    assert 0.01 < np.exp(np.mean(np.log(per_three))) < 0.3


def test_f_star_and_the_largest_step():
    w = torch.nn.Parameter(torch.tensor([3.0], dtype=torch.float64))

    def one_step(value, **options):
        optimizer = PolyakSGD([w], lr_max=options.pop("lr_max", None), c=1.0)
        w.grad = torch.tensor([2.0], dtype=torch.float64)
        with torch.no_grad():
            w.fill_(3.0)
        optimizer.step(loss=value, **options)
        return optimizer.step_size, w.item()

    assert one_step(6.0) == (1.5, 0.0)
    assert one_step(6.0, f_star=2.0) == (1.0, 1.0)
    assert one_step(6.0, f_star=7.0) == (0.0, 3.0)  # below its least value: no step
    assert one_step(6.0, lr_max=0.5) == (0.5, 2.0)
    optimizer = PolyakSGD([w], c=1.0, f_star=2.0, eps=4.0)
    optimizer.step(loss=6.0)
    assert optimizer.step_size == 0.5


def test_no_gradient_makes_no_step():
    w = torch.nn.Parameter(torch.ones(3))
    w.grad = torch.zeros(3)
    optimizer = PolyakSGD([w])
    assert math.isnan(optimizer.step_size)
    optimizer.step(loss=torch.tensor(0.0))
    assert optimizer.step_size == 0
    assert (w == 1).all()
    w.grad = None
    optimizer.step(loss=1.0)
    assert (w == 1).all()


def test_tiny_gradients_in_single_precision_keep_their_step():
    # The squared norm, 1e-60, is no float32.
    w = torch.nn.Parameter(torch.zeros(1))
    w.grad = torch.full((1,), 1e-30)
    optimizer = PolyakSGD([w])
    optimizer.step(loss=1e-38)
    assert w.item() == pytest.approx(-2e-8, rel=1e-5)


def test_closures_groups_and_schedulers():
    residuals, w = problem(1)
    reference, v = problem(1)
    expected = descend(PolyakSGD([v]), reference, v, 3)
    optimizer = PolyakSGD([w])

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * residuals(w).square().sum()
        loss.backward()
        return loss

    found = [math.sqrt(2 * optimizer.step(closure).item()) for _ in range(3)]
    assert found == expected
    # One step for all groups, times the factor of each.
    a, b = (torch.nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in range(2))
    optimizer = PolyakSGD([{"params": [a]}, {"params": [b], "lr": 0.5}])
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)
    loss = 0.5 * (a + b).square().sum()
    loss.backward()
    optimizer.step(loss=loss)
    assert optimizer.step_size == pytest.approx(2 / 8 * 2)
    assert (a.item(), b.item()) == pytest.approx((0.0, 0.5))
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.05])


def test_the_state_carries_the_options():
    _, w = problem(1)
    optimizer = PolyakSGD([w], c=0.7, f_star=0.1, lr_max=3.0, eps=1e-3, lr=0.9)
    other = PolyakSGD([w])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    options = ("c", "f_star", "lr_max", "eps")
    assert [getattr(other, name) for name in options] == [0.7, 0.1, 3.0, 1e-3]
    assert other.param_groups[0]["lr"] == 0.9
    damped = GaussNewtonSGD([w])
    damped.load_state_dict(GaussNewtonSGD([w], lr=0.8, damping=0.3).state_dict())
    assert (damped.damping, damped.param_groups[0]["lr"]) == (0.3, 0.8)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_step_alike(copied):
    w = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    w.grad = torch.full((3,), 2.0, dtype=torch.float64)
    optimizer = copied(PolyakSGD([w], c=0.7, lr_max=3.0))
    (v,) = optimizer.param_groups[0]["params"]
    v.grad = w.grad.clone()
    optimizer.step(loss=1.0)
    assert optimizer.step_size == pytest.approx(1 / (0.7 * 12))
    optimizer = copied(GaussNewtonSGD([w], damping=2.0))
    (v,) = optimizer.param_groups[0]["params"]
    optimizer.step(lambda: v.sum(0, keepdim=True))
    torch.testing.assert_close(v.detach(), w.detach() - 3 / 5)


def test_bad_arguments_of_polyak_are_named():
    w = torch.nn.Parameter(torch.ones(2))
    for options, message in [
        ({"c": 0.0}, "c must be positive"),
        ({"f_star": math.inf}, "f_star must be finite"),
        ({"lr_max": -1.0}, "lr_max must be positive"),
        ({"eps": -1.0}, "eps must be at least 0"),
        ({"lr": -1.0}, "lr must be at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            PolyakSGD([w], **options)
    with pytest.raises(TypeError, match="c must be a number"):
        PolyakSGD([w], c="half")
    with pytest.raises(TypeError, match="moves real parameters"):
        PolyakSGD([torch.ones(2, dtype=torch.complex64, requires_grad=True)])
    optimizer = PolyakSGD([w])
    w.grad = torch.ones(2)
    with pytest.raises(ValueError, match="got neither"):
        optimizer.step()
    with pytest.raises(ValueError, match="got both"):
        optimizer.step(lambda: 1.0, loss=1.0)
    for loss, gradient in [(math.nan, 1.0), (1.0, math.inf)]:
        w.grad = torch.full((2,), gradient)
        with pytest.raises(ValueError, match="finite loss and gradient"):
            optimizer.step(loss=loss)
        assert (w == 1).all()
    w.grad = torch.ones(2).to_sparse()
    with pytest.raises(TypeError, match="dense gradients"):
        optimizer.step(loss=1.0)


def test_polyak_at_the_ends_of_the_number_range():
    """A step beyond single precision; sizes whose squares are no numbers are refused."""
    w = torch.nn.Parameter(torch.ones(2))
    w.grad = torch.full((2,), 2e-38)
    optimizer = PolyakSGD([w])
    optimizer.step(loss=4e-37)
    assert optimizer.step_size > torch.finfo(torch.float32).max
    torch.testing.assert_close(w.detach(), torch.full((2,), -19.0), rtol=1e-5, atol=0)
    v = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    v.grad = torch.full_like(v, 1e200)
    with pytest.raises(ValueError, match="finite loss and gradient"):
        PolyakSGD([v]).step(loss=1.0)
    v.grad = torch.full_like(v, 1e-150)
    PolyakSGD([v], c=1e-100).step(loss=1.0)
    assert (v == 1).all()


# Gauss-Newton


def test_gauss_newton_is_quadratic():
    residuals, w = problem(10)
    optimizer = GaussNewtonSGD([w])
    norms = [math.sqrt(2 * optimizer.step(lambda: residuals(w)).item()) for _ in range(5)]
    np.testing.assert_allclose(norms[:4], [3.8e-1, 2.8e-2, 2.3e-4, 2.7e-8], rtol=3e-2)
    assert norms[4] < 2e-15
    fit = convergence_order(norms, below=0.4)
    assert (fit.ratios > 1.9).all()
    assert fit.order > 1.85  # the constant differs between the three pairs


def test_a_step_is_the_shortest_newton_step():
    residuals, w = problem(10)
    start = w.detach().clone()
    GaussNewtonSGD([w]).step(lambda: residuals(w))
    J = torch.func.jacrev(residuals)(start)
    expected = start - torch.linalg.pinv(J) @ residuals(start)
    torch.testing.assert_close(w.detach(), expected, rtol=0, atol=1e-13)


def test_residuals_do_for_a_closure():
    residuals, w = problem(10)
    _, v = problem(10)
    GaussNewtonSGD([w]).step(lambda: residuals(w))
    GaussNewtonSGD([v]).step(residuals=residuals(v))
    assert torch.equal(w, v)


def test_for_one_residual_it_is_polyak():
    residuals, w = problem(1)
    _, v = problem(1)
    GaussNewtonSGD([w]).step(lambda: residuals(w))
    descend(PolyakSGD([v]), residuals, v, 1)
    torch.testing.assert_close(w, v, rtol=0, atol=1e-15)


def test_batches_converge_linearly_unless_their_jacobians_are_orthogonal():
    residuals, w = problem(10)
    optimizer = GaussNewtonSGD([w])
    norms = []
    for _ in range(12):
        norms.append(float(residuals(w).detach().norm()))
        for batch in range(5):
            optimizer.step(lambda batch=batch: residuals(w)[2 * batch : 2 * batch + 2])
    assert convergence_order(norms).order < 1.2
    # Each batch has coordinates of its own.
    v = torch.nn.Parameter(torch.full((10,), 1.3, dtype=torch.float64))
    optimizer = GaussNewtonSGD([v])
    norms = []
    for _ in range(6):
        norms.append(float((v.detach() ** 2 - 1).norm()))
        for batch in range(5):
            optimizer.step(lambda batch=batch: (v**2 - 1)[2 * batch : 2 * batch + 2])
    assert convergence_order(norms).order > 1.9


def test_damping_is_ridge_regression_on_the_linearization():
    residuals, w = problem(10)
    start = w.detach().clone()
    GaussNewtonSGD([w], damping=0.3, lr=0.5).step(lambda: residuals(w))
    J = torch.func.jacrev(residuals)(start)
    ridge = torch.linalg.solve(
        J.T @ J + 0.3 * torch.eye(50, dtype=J.dtype), J.T @ residuals(start)
    )
    torch.testing.assert_close(w.detach(), start - 0.5 * ridge, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [12, 200])
def test_dependent_residuals_get_the_shortest_least_squares_step(n):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(n, 20, generator=generator, dtype=torch.float64)
    X[3] = X[4]  # one row twice; with n = 200 also more rows than weights
    y = torch.randn(n, generator=generator, dtype=torch.float64)
    w = torch.nn.Parameter(torch.zeros(20, dtype=torch.float64))
    GaussNewtonSGD([w]).step(lambda: X @ w - y)
    expected = torch.linalg.pinv(X) @ y
    torch.testing.assert_close(w.detach(), expected, rtol=0, atol=1e-12)


def test_a_network_is_fitted_in_a_few_steps():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(12, 5, generator=generator)
    Y = torch.randn(12, 2, generator=generator)
    with torch.random.fork_rng():
        layers = (torch.nn.Linear(5, 100), torch.nn.Tanh(), torch.nn.Linear(100, 2))
    net = torch.nn.Sequential(*layers)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5, generator=generator)
    unused = torch.nn.Parameter(torch.ones(2))
    optimizer = GaussNewtonSGD([*net.parameters(), unused])
    losses = [optimizer.step(lambda: net(X) - Y).item() for _ in range(8)]
    assert losses[-1] < 1e-9 < losses[0]
    assert (unused == 1).all()


def test_bad_arguments_of_gauss_newton_are_named():
    w = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="damping must be at least 0"):
        GaussNewtonSGD([w], damping=-1.0)
    optimizer = GaussNewtonSGD([w])
    with pytest.raises(TypeError, match="residuals as a tensor that depends"):
        optimizer.step(lambda: torch.ones(2))
    with pytest.raises(ValueError, match="got neither"):
        optimizer.step()
    with pytest.raises(ValueError, match="got both"):
        optimizer.step(lambda: w, residuals=w)
    with pytest.raises(ValueError, match="finite residuals"):
        optimizer.step(lambda: w * math.nan)
    assert (w == 1).all()
