"""Settings by held-out pixels: textures get large patches, and nobody else's pixels matter."""

import pytest
import torch

from skoverparam.inpainting._adaptive import ADAPTIVE, complete
from skoverparam.inpainting._choice import _walk, choose
from skoverparam.kernels._convolutional import displacement_window
from skoverparam.kernels._convolutional_layers import encoder_decoder


@pytest.fixture(scope="module")
def kernel():
    window = displacement_window(encoder_decoder(3)).averaged()
    T = window.values[0, 0]
    top = float(T[len(T) // 2, len(T) // 2])
    return T / top, window.far / top


def masked(image, share, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(image.shape[1:], generator=generator) < share


def texture(side=96):
    """A fine pattern that comes back everywhere, under noise."""
    generator = torch.Generator().manual_seed(1)
    i, j = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pattern = torch.sin(1.3 * i + 0.4 * j) * torch.cos(0.5 * i - 1.1 * j)
    return (pattern + 0.4 * torch.randn(side, side, generator=generator)).double()[None]


def test_what_is_chosen_is_better_where_patches_matter(kernel):
    image = texture()
    missing = masked(image, 0.75)
    chosen = choose(image, missing, *kernel, ADAPTIVE)
    assert chosen.patch_size > ADAPTIVE.patch_size

    def error(settings):
        *_, completed = complete(
            image[None], missing[None], *kernel, settings._replace(n_passes=3)
        )
        return float((completed[0] - image)[:, missing].square().mean())

    assert error(chosen) < error(ADAPTIVE)


def test_hidden_values_have_no_influence(kernel):
    image = texture()
    missing = masked(image, 0.5)
    chosen = choose(image, missing, *kernel, ADAPTIVE)
    spoiled = torch.where(missing, torch.nan, image)
    assert choose(spoiled, missing, *kernel, ADAPTIVE) == chosen


@pytest.mark.parametrize(
    ("squares", "rung"),
    [
        ([1.0, 1.0, 1.0, 1.0], 1),
        ([1.0, 1.0, 0.98, 0.5], 1),  # a step that gains too little hides what lies behind it
        ([0.5, 1.0, 0.9, 0.8], 3),
        ([0.5, 1.0, 0.9, 0.95], 2),
        ([0.9, 1.0, 1.1, 0.1], 0),
    ],
)
def test_every_step_on_the_ladder_must_pay(squares, rung):
    assert _walk(squares) == rung


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 6)])
def test_too_few_pixels_leave_the_settings(kernel, shape):
    image = torch.arange(float(shape[0] * shape[1]), dtype=torch.float64).reshape(1, *shape)
    missing = torch.zeros(shape, dtype=torch.bool)
    missing.view(-1)[1::2] = True
    assert choose(image, missing, *kernel, ADAPTIVE) == ADAPTIVE


def test_an_image_that_is_a_hole_leaves_the_settings(kernel):
    image = texture()
    missing = torch.ones(96, 96, dtype=torch.bool)
    missing[:2, :2] = False
    assert choose(image, missing, *kernel, ADAPTIVE) == ADAPTIVE
