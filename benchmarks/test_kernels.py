"""Kernel matrices: tiles against the recursion on whole matrices.

The other peer is the package neural-tangents. It needs jax 0.4.26 and an environment of its own,
so it is not run here: on two idle cores its jitted float64 kernel of this size took 1.19 s, where
the recursion in torch took 5.5 s.
"""

import math

import pytest
import torch

from skoverparam.kernels import fully_connected_ntk

N_ROWS, N_FEATURES, DEPTH = 5000, 100, 3


def recursion_as_written(X):
    """ReLU, unit rows: the formulas as one would type them."""
    U = X / X.norm(dim=1, keepdim=True)
    S = (U @ U.T).clamp(-1, 1)
    T = S
    for _ in range(DEPTH):
        kappa_0 = 1 - torch.acos(S) / math.pi
        kappa_1 = (S * (math.pi - torch.acos(S)) + torch.sqrt(1 - S**2)) / math.pi
        S, T = kappa_1.clamp(-1, 1), kappa_1 + T * kappa_0
    return T


def recursion_in_place(X):
    """One arccos a layer and as few matrices as the formulas allow."""
    U = X / X.norm(dim=1, keepdim=True)
    S = (U @ U.T).clamp_(-1, 1)
    T = S.clone()
    for _ in range(DEPTH):
        angle = torch.acos(S)
        sine = (1 - S**2).sqrt_()
        T *= 1 - angle / math.pi
        S = S.mul_(math.pi - angle).add_(sine).div_(math.pi).clamp_(-1, 1)
        T += S
    return T


CONTENDERS = {
    "ours": lambda X: fully_connected_ntk(X, depth=DEPTH),
    "ours, X with Z": lambda X: fully_connected_ntk(X, X.clone(), depth=DEPTH),
    "ours, erf": lambda X: fully_connected_ntk(X, depth=DEPTH, activation="erf"),
    "torch, as written": recursion_as_written,
    "torch, in place": recursion_in_place,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("contender", CONTENDERS)
def test_ntk_matrix(measure, contender, dtype):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N_ROWS, N_FEATURES, generator=generator, dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    task = f"NTK of {N_ROWS} rows, depth {DEPTH}, {name}"
    K = measure(task, contender, CONTENDERS[contender], X, rounds=3, warmup_rounds=1)
    assert K.shape == (N_ROWS, N_ROWS)
