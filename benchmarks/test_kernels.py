"""Kernel matrices: tiles against the recursion on whole matrices.

The other peer is the package neural-tangents. It needs jax 0.4.26 and an environment of its own,
so it is not run here: on two cores its jitted kernel of the same size took 1.19 s, where the
naive torch expression took 5.5 s.
"""

import math

import pytest
import torch

from skoverparam.kernels import fully_connected_nngp, fully_connected_ntk

N_ROWS, N_FEATURES, DEPTH = 5000, 100, 3


def naive_ntk(X, depth=DEPTH):
    """ReLU, unit rows: the recursion as one would type it."""
    U = X / X.norm(dim=1, keepdim=True)
    S = (U @ U.T).clamp(-1, 1)
    T = S
    for _ in range(depth):
        kappa_0 = 1 - torch.acos(S) / math.pi
        kappa_1 = (S * (math.pi - torch.acos(S)) + torch.sqrt(1 - S**2)) / math.pi
        S, T = kappa_1.clamp(-1, 1), kappa_1 + T * kappa_0
    return T


def shared_ntk(X, depth=DEPTH):
    """The same with one arccos a layer and work in place: a careful whole-matrix version."""
    U = X / X.norm(dim=1, keepdim=True)
    S = (U @ U.T).clamp_(-1, 1)
    T = S.clone()
    for _ in range(depth):
        angle = torch.acos(S)
        sine = (1 - S**2).sqrt_()
        T *= 1 - angle / math.pi
        S = S.mul_(math.pi - angle).add_(sine).div_(math.pi).clamp_(-1, 1)
        T += S
    return T


CONTENDERS = {
    "skoverparam": lambda X: fully_connected_ntk(X, depth=DEPTH),
    "skoverparam, leaky_relu": lambda X: fully_connected_ntk(
        X, depth=DEPTH, activation="leaky_relu"
    ),
    "skoverparam, erf": lambda X: fully_connected_ntk(X, depth=DEPTH, activation="erf"),
    "skoverparam, X with Z": lambda X: fully_connected_ntk(X, X.clone(), depth=DEPTH),
    "skoverparam, NNGP": lambda X: fully_connected_nngp(X, depth=DEPTH),
    "naive torch": naive_ntk,
    "torch in place": shared_ntk,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("contender", list(CONTENDERS))
@pytest.mark.benchmark(group="ntk-5000x100-depth3")
def test_ntk_matrix(benchmark, contender, dtype):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N_ROWS, N_FEATURES, generator=generator, dtype=dtype)
    K = benchmark.pedantic(CONTENDERS[contender], args=(X,), rounds=5, warmup_rounds=1)
    assert K.shape == (N_ROWS, N_ROWS)
