"""A step of mirror descent on a million weights, beside torch's own optimizers."""

import pytest
import torch

from skoverparam.optim import MirrorDescent

SHAPES = [(1000, 500), (500, 800), (800, 120), (4000,)]  # a million weights, as in a network
WEIGHTS = f"a step for {sum(torch.Size(shape).numel() for shape in SHAPES):,} weights"
STEPS = 10


def mirror(name, **parameters):
    def make(weights):
        return MirrorDescent(weights, lr=1e-3, mirror=name, mirror_params=parameters or None)

    return make


# The first is the one that others are compared with.
CONTENDERS = {
    "ours": mirror("adagrad"),
    "torch Adagrad, foreach": lambda weights: torch.optim.Adagrad(weights, lr=1e-3, foreach=True),
    "torch Adagrad, loop": lambda weights: torch.optim.Adagrad(weights, lr=1e-3, foreach=False),
    "torch SGD, foreach": lambda weights: torch.optim.SGD(weights, lr=1e-3, foreach=True),
    "ours, Euclidean": mirror("euclidean"),
    "ours, hypentropy": mirror("hypentropy"),
    "ours, negative entropy": mirror("negentropy"),
    "ours, p = 1.5": mirror("pnorm", p=1.5),
    "ours, p = 3": mirror("pnorm", p=3.0),
    "ours, p = 3 with ridge": mirror("pnorm", p=3.0, ridge=0.1),
}


@pytest.mark.parametrize("contender", CONTENDERS)
def test_steps(measure, contender):
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.rand(s, generator=generator) + 0.1) for s in SHAPES]
    for w in weights:
        w.grad = torch.randn(w.shape, generator=generator)
    optimizer = CONTENDERS[contender](weights)

    def steps():
        for _ in range(STEPS):
            optimizer.step()

    measure(f"{WEIGHTS}, {STEPS} times", contender, steps, rounds=15, warmup_rounds=5)
    assert all(bool(torch.isfinite(w).all()) for w in weights)
