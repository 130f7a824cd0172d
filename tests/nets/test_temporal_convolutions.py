"""Dilated convolutions: how far a step sees, and the block written out as sums."""

import pytest
import torch
from torch.nn import functional as F

from skoverparam.nets._architectures import build_network
from skoverparam.nets._temporal_convolutions import TemporalBlock, temporal_convolutions


@pytest.mark.parametrize("causal", [True, False])
def test_a_step_sees_as_many_steps_as_documented(causal):
    n_blocks, kernel_size = 2, 3
    reach = (kernel_size - 1) * (2 ** (n_blocks + 1) - 2) + 1
    with torch.random.fork_rng(devices=[]):
        body = temporal_convolutions(4, n_blocks, kernel_size, causal=causal, dropout=0.0)
    body = body.double()
    X = torch.randn(1, 31, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    X.requires_grad_()
    (seen,) = torch.autograd.grad(body(X, None)[0, 15].square().sum(), X)
    steps = seen[0].abs().sum(1).nonzero().flatten().tolist()
    last = 15 if causal else 15 + reach // 2
    assert steps == list(range(last - reach + 1, last + 1))


@pytest.mark.parametrize("causal", [True, False])
def test_block_is_two_convolutions_and_a_sum(causal):
    with torch.random.fork_rng(devices=[]):
        block = TemporalBlock(3, 3, 2, causal=causal, dropout=0.0).double()
    X = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def convolve(convolution, values):
        out = torch.zeros_like(values)
        for t in range(values.shape[1]):
            out[:, t] = convolution.bias
            for i in range(3):
                source = t + 2 * (i - 2) if causal else t + 2 * (i - 1)
                if 0 <= source < values.shape[1]:
                    out[:, t] += values[:, source] @ convolution.weight[:, :, i].T
        return out

    inner = convolve(block.convolution1, F.layer_norm(X, (3,)).relu())
    expected = X + convolve(block.convolution2, F.layer_norm(inner, (3,)).relu())
    torch.testing.assert_close(block(X, None), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n_steps", "n_blocks"), [(1, 1), (8, 2), (64, 5), (100_000, 8)])
def test_depth_follows_the_length(n_steps, n_blocks):
    network = build_network("tcnn", (n_steps, 1), 2, width=8)
    assert sum(name.startswith("block") for name, _ in network.body.named_children()) == n_blocks
