"""Inverses by products beside a factorization; optimizers' steps beside those of torch."""

import numpy as np
import pytest
import scipy.linalg
import torch

from skoverparam.linalg import newton_schulz_inverse, sgd_inverse
from skoverparam.optim import GaussNewtonSGD, PolyakSGD

INVERSES = {
    "ours, from the old inverse": lambda A, W: newton_schulz_inverse(A, W, tol=1e-10)[0],
    "ours, from scratch": lambda A, W: newton_schulz_inverse(A, tol=1e-10)[0],
    "ours, columns in blocks of 50": lambda A, W: sgd_inverse(
        A, W, tol=1e-10, batch_size=50, random_state=0
    )[0],
    "scipy.linalg.inv": lambda A, W: scipy.linalg.inv(A),
}


@pytest.mark.parametrize("contender", INVERSES)
def test_inverse_after_a_small_change(measure, contender):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(1000, 1000)) / 1000**0.5 + 2 * np.eye(1000)
    W = np.linalg.inv(A)
    A += 1e-4 * rng.normal(size=A.shape) / 1000**0.5
    task = "inverse of a 1000 x 1000 matrix whose entries moved by 1e-4 of themselves"
    found = measure(task, contender, INVERSES[contender], A, W, rounds=3, warmup_rounds=1)
    measure.note(error=np.linalg.norm(np.eye(1000) - A @ found))


def sgd_step(w):
    optimizer = torch.optim.SGD([w], lr=1e-3)
    return optimizer.step


def polyak_step(w):
    optimizer = PolyakSGD([w])
    return lambda: optimizer.step(loss=1.0)


STEPS = {"ours": polyak_step, "torch.optim.SGD": sgd_step}


@pytest.mark.parametrize("contender", STEPS)
def test_step_of_a_million_weights(measure, contender):
    generator = torch.Generator().manual_seed(0)
    w = torch.nn.Parameter(torch.randn(1_000_000, generator=generator))
    w.grad = torch.randn(1_000_000, generator=generator)
    step = STEPS[contender](w)
    measure("Polyak's step, a million weights", contender, step, rounds=200, warmup_rounds=20)


def network():
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(20, 200), torch.nn.Tanh(), torch.nn.Linear(200, 1))
    for p in net.parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5, generator=generator)
    X = torch.randn(100, 20, generator=generator)
    y = torch.sin(X[:, :1] * 2)
    return net, X, y


def fit_gauss_newton(net, X, y):
    optimizer = GaussNewtonSGD(net.parameters())
    for _ in range(12):
        optimizer.step(lambda: net(X) - y)
    return net


def fit_lbfgs(net, X, y):
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=2000, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = (net(X) - y).square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return net


def fit_adam(net, X, y):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(2000):
        optimizer.zero_grad()
        (net(X) - y).square().sum().backward()
        optimizer.step()
    return net


FITS = {
    "ours, 12 Gauss-Newton steps": fit_gauss_newton,
    "torch.optim.LBFGS": fit_lbfgs,
    "torch.optim.Adam, 2000 steps": fit_adam,
}


@pytest.mark.parametrize("contender", FITS)
def test_interpolate_by_a_network(measure, contender):
    net, X, y = network()
    task = "a network of 200 units brought to fit 100 targets"
    measure(task, contender, FITS[contender], net, X, y)
    with torch.no_grad():
        measure.note(RMSE=float((net(X) - y).square().mean().sqrt()))
