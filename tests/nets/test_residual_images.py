"""The residual network for images against its parts, written out."""

import pytest
import torch
from torch.nn import functional as F

from skoverparam.nets._architectures import build_network


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_network_is_what_the_formula_says():
    network = build_network("resnet", (7, 6, 2), 3, widths=(4, 8), seed=1).double()
    X = images(2, 7, 6, 2)
    first, second = network.blocks

    def norm(values):
        groups = values.shape[1] // 8 or 1
        return F.group_norm(values, groups).relu()

    values = F.conv2d(X.permute(0, 3, 1, 2), network.stem.weight, padding=1)
    inner = norm(F.conv2d(norm(values), first.convolution1.weight, padding=1))
    values = values + F.conv2d(inner, first.convolution2.weight, padding=1)
    inner = norm(values)
    shortcut = F.conv2d(inner, second.shortcut.weight, stride=2)
    inner = norm(F.conv2d(inner, second.convolution1.weight, padding=1, stride=2))
    values = shortcut + F.conv2d(inner, second.convolution2.weight, padding=1)
    features = norm(values).mean((2, 3))
    features = features - features.mean(1, keepdim=True)
    # The square root of the mean square is guarded by 1e-5, as layer normalization is.
    scale = (features.square().mean(1, keepdim=True) + 1e-5).sqrt() * 8**0.5
    expected = F.linear(features / scale, network.head.weight, network.head.bias)
    torch.testing.assert_close(network(X), expected, rtol=0, atol=1e-12)


def test_an_image_does_not_depend_on_others_or_on_a_last_axis_of_one():
    network = build_network("resnet", (8, 8), 3, seed=1).double()
    X = images(5, 8, 8)
    torch.testing.assert_close(network(X)[3:4], network(X[3:4]), rtol=0, atol=1e-13)
    same = build_network("resnet", (8, 8, 1), 3, seed=1).double()
    torch.testing.assert_close(network(X), same(X[..., None]), rtol=0, atol=1e-13)


def test_rows_are_no_images():
    with pytest.raises(ValueError, match=r"needs images.*got samples of shape \(64,\)"):
        build_network("resnet", (64,), 3)
