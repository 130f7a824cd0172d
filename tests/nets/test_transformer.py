"""Blocks of attention against torch's encoder layer."""

import torch
from torch import nn

from skoverparam.nets._transformer import TransformerBlock


def matched(causal):
    with torch.random.fork_rng(devices=[]):
        block = TransformerBlock(8, 2, 12, causal=causal, dropout=0.0).double()
        layer = nn.TransformerEncoderLayer(
            8, 2, 12, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        ).double()
    pairs = {
        "self_attn.in_proj_": block.project,
        "self_attn.out_proj.": block.attention,
        "linear1.": block.hidden,
        "linear2.": block.feedforward,
        "norm1.": block.norm1,
        "norm2.": block.norm2,
    }
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, module in pairs.items():
            for kind in ("weight", "bias"):
                ours = getattr(module, kind)
                ours.add_(0.1 * torch.randn(ours.shape, generator=generator, dtype=ours.dtype))
                layer.get_parameter(name + kind).copy_(ours)
    return block, layer


def test_block_is_torchs_encoder_layer():
    X = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    valid = torch.arange(6) < torch.tensor([6, 3, 1])[:, None]
    block, layer = matched(causal=False)
    expected = layer(X, src_key_padding_mask=~valid)
    torch.testing.assert_close(block(X, valid)[valid], expected[valid], rtol=0, atol=1e-12)
    torch.testing.assert_close(block(X, None), layer(X), rtol=0, atol=1e-12)
    block, layer = matched(causal=True)
    future = torch.ones(6, 6, dtype=torch.bool).triu(1)
    torch.testing.assert_close(block(X, None), layer(X, src_mask=future), rtol=0, atol=1e-12)
