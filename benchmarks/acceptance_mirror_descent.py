"""Mirror descent against what was measured before: prints the tables to judge it by.

    python benchmarks/acceptance_mirror_descent.py [full] [stochastic] [network] [bias]

- full: least squares without noise by Adagrad with all samples. numpy's legacy seed 10, truth
  U[0, 1]^d drawn before the d x n samples U[0, 1], start at zero, half the *sum* of the squares.
  Steps 0.99 * 2 * least metric / L: with the metric of the step before ("adaptive"), of the same
  step ("current", as the theorem has it), of the first ("fixed"), or 0.1. The accumulator starts
  from zero in every run.
- stochastic: the same with seed 17, one sample a step drawn by ``random.seed(17)``, half the mean
  of the squares, steps 0.8 mu least^2 / (largest squared row * greatest) or 0.1.
- network: d -> 2 d -> 1 with x + sin(x), Adagrad, L estimated by the largest
  |grad|^2 / (2 f) so far: with that of each step alone the loss rises now and then.
- bias: limits on ten samples of thirty features beside the Bregman projection, and Adagrad's.
"""

import itertools
import math
import random
import sys
import time

import numpy as np
import torch
from torch import nn

from skoverparam.optim import (
    Adagrad,
    Euclidean,
    Hypentropy,
    MirrorDescent,
    NegativeEntropy,
    PNorm,
)
from skoverparam.optim._bregman import bregman_projection
from skoverparam.optim._linear_descent import Conditioning, descent_steps

SIZES = ((1000, 200), (20, 2000))


def uniform_problem(seed, d, n):
    rng = np.random.RandomState(seed)
    truth = rng.uniform(size=(1, d))
    columns = rng.uniform(size=(d, n))
    return torch.from_numpy(columns.T.copy()), torch.from_numpy((truth @ columns)[0])


def spectrum(X):
    return torch.linalg.svdvals(X).square()


def full(n_steps=3000, shown=(0, 10, 100, 1000, 3000)):
    print("d, n, step: losses at", shown)
    for d, n in SIZES:
        X, y = uniform_problem(10, d, n)
        L = float(spectrum(X)[0])
        for kind in ("adaptive", "current", "fixed", "0.1"):
            w = nn.Parameter(torch.zeros(d, dtype=torch.float64))
            optimizer = MirrorDescent([w], lr=0.1, mirror="adagrad", smoothness=L)
            if kind == "current":
                optimizer = MirrorDescent([w], lr="theory", mirror="adagrad", smoothness=L)
                optimizer.param_groups[0]["lr"] = 1.98
            losses, rates = [], []
            for t in range(n_steps + 1):
                missed = X @ w.detach() - y
                losses.append(float(0.5 * missed @ missed))
                w.grad = X.T @ missed
                if t == 0 and kind in {"adaptive", "fixed"}:
                    optimizer.param_groups[0]["lr"] = 1.98 * float(w.grad.abs().min()) / L
                elif kind == "adaptive":
                    optimizer.param_groups[0]["lr"] = 1.98 * optimizer.bounds()[0][0] / L
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
            least, greatest = optimizer.bounds()[0]
            rises = int(sum(b > a for a, b in zip(losses, losses[1:], strict=False) if a > 1e-20))
            print(
                f"{d:5d} {n:5d} {kind:9s}",
                *(f"{losses[t]:10.4g}" for t in shown),
                "" if kind == "current" else f" lr {rates[0]:.4f} {rates[-1]:.4f},",
                f"condition {greatest / least:.2f}, {rises} rises",
            )


def stochastic(shown=(100, 1000, 10_000, 100_000)):
    print("d, n, step: losses at", shown)
    for d, n in SIZES:
        X, y = uniform_problem(17, d, n)
        mu, largest = float(spectrum(X)[-1]) / n, float(X.square().sum(1).max())
        for kind in ("theory", "0.1"):
            w = nn.Parameter(torch.zeros(d, dtype=torch.float64))
            optimizer = MirrorDescent([w], lr=0.1, mirror="adagrad")
            random.seed(17)
            losses = []
            for t in range(max(shown) + 1):
                if t in shown:
                    losses.append(float(0.5 * (X @ w.detach() - y).square().mean()))
                row = random.randint(0, n - 1)
                w.grad = X[row] * (X[row] @ w.detach() - y[row])
                if kind == "theory":
                    bounds = optimizer.bounds()[0]
                    if t == 0:
                        bounds = float(w.grad.abs().min()), float(w.grad.abs().max())
                    lr = 0.8 * mu * bounds[0] ** 2 / (largest * bounds[1])
                    optimizer.param_groups[0]["lr"] = lr
                optimizer.step()
            print(f"{d:5d} {n:5d} {kind:9s}", *(f"{loss:10.4g}" for loss in losses))


def network(d=20, n=10, n_steps=3000):
    rng = np.random.RandomState(10)
    truth = rng.normal(size=(1, d))
    X = rng.uniform(size=(d, n))
    y = torch.from_numpy((truth @ X + rng.uniform(size=(1, n)))[0])
    X = torch.from_numpy(X.T.copy())
    generator = torch.Generator().manual_seed(10)
    first, second = (
        nn.Parameter(0.2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.1)
        for shape in ((2 * d, d), (1, 2 * d))
    )
    optimizer = MirrorDescent([first, second], lr="theory", mirror="adagrad")
    optimizer.param_groups[0]["lr"] = 1.98

    def closure():
        optimizer.zero_grad()
        hidden = X @ first.T
        loss = 0.5 * ((hidden + hidden.sin()) @ second[0] - y).square().sum()
        loss.backward()
        return loss

    losses = torch.tensor([float(optimizer.step(closure).detach()) for _ in range(n_steps)])
    # What is below is rounding.
    falling = losses[losses > 1e-20 * losses[0]]
    rises = int((falling.diff() > 0).sum())
    print(
        f"network of {d} -> {2 * d} -> 1: {rises} rises of the loss in {len(falling)} steps, to "
        "rounding at most"
    )
    shown = [t for t in (0, 10, 100, 1000, n_steps - 1) if t < n_steps]
    print("  loss at", *(f"{t}: {float(losses[t]):.3g}" for t in shown))


def bias(n_adagrad=1_000_000):
    rng = np.random.RandomState(0)
    X = torch.from_numpy(rng.randn(10, 30) / np.sqrt(30))
    w = X.new_zeros(30)
    w[:3] = torch.tensor([1.0, 2.0, 1.5])
    Y = (X @ w)[:, None]
    conditioning = Conditioning.of(X, Y)

    def last(mirror, start, rate, tol, max_iter):
        steps = descent_steps(
            X,
            Y,
            X.new_full((1, 30), start),
            mirror,
            conditioning,
            learning_rate=rate,
            batch_size=None,
            tol=tol,
            max_iter=max_iter,
            generator=torch.Generator(),
        )
        *_, (final, count) = zip(steps, itertools.count(1), strict=False)
        return final, count

    for mirror, start, eta in (
        (Euclidean(), 0.0, 0.3),
        (PNorm(1.5), 0.0, 0.1),
        (PNorm(1.1), 0.0, 0.01),
        (PNorm(3.0), 0.0, 0.01),
        (PNorm(10.0, 0.01), 0.0, 0.01),
        (Hypentropy(1e-1), 0.0, 0.1),
        (Hypentropy(1e-3), 0.0, 0.1),
        (Hypentropy(1e-6), 0.0, 0.1),
        (NegativeEntropy(), 0.1, 0.1),
    ):
        # The mean of the squares has steps ten times as long as their sum.
        step, n_steps = last(mirror, start, 10 * eta, 1e-12 / float(Y.norm()), 10**6)
        nearest = bregman_projection(X, Y[:, 0], X.new_full((30,), start), mirror).coef
        off = float((step.coef[0] - nearest).norm() / nearest.norm())
        norms = " ".join(f"{float(step.coef.norm(p)):.4f}" for p in (1, 2, math.inf))
        print(f"{mirror!s:34s} {n_steps:6d} steps, error {off:.1e}, norms {norms}")
    step, n_steps = last(Adagrad(), 0.0, "theory", 0.0, n_adagrad)
    nearest = torch.linalg.pinv(X) @ Y[:, 0]
    off = float((step.coef[0] - nearest).norm() / nearest.norm())
    least, greatest = step.bounds
    print(
        f"Adagrad, steps of the theory: {n_steps} steps, loss {10 * step.loss:.1e}, l2 "
        f"{float(step.coef.norm()):.4f} (least {float(nearest.norm()):.4f}), {100 * off:.1f} % "
        f"from the least norm, least / greatest metric {least / greatest:.1e}"
    )


if __name__ == "__main__":
    parts = {"full": full, "stochastic": stochastic, "network": network, "bias": bias}
    for name in sys.argv[1:] or parts:
        begun = time.perf_counter()
        parts[name]()
        print(f"({name}: {time.perf_counter() - begun:.0f} s)\n", flush=True)
