"""Sparse inverse factors against dense inverses."""

import pytest
import torch

from skoverparam.kernels._convolutional import displacement_window
from skoverparam.kernels._convolutional_layers import encoder_decoder
from skoverparam.linalg._circulant import Window
from skoverparam.linalg._sparse_inverse_cholesky import sparse_inverse_cholesky

SHAPE = (16, 24)
NUGGET = 0.02


def inverse_times_kernel(found, observed, *, wrap, n_neighbors):
    """G'G (K - far + nugget) between the observed pixels, G'G and the matrix itself."""
    h, w = SHAPE
    large = found.on(SHAPE if wrap else (64, 64))
    K = large.dense().values[:h, :w, :h, :w].reshape(h * w, h * w).cpu() - found.far
    seen = observed.flatten().cpu()
    K = K[seen][:, seen] + NUGGET * torch.eye(int(seen.sum()))
    factor = sparse_inverse_cholesky(
        Window(*found), observed[None], nugget=NUGGET, n_neighbors=n_neighbors, wrap=wrap
    )
    eye = torch.eye(h * w, device=observed.device)
    inverse = factor.product(eye).cpu()
    # Nothing reaches missing pixels, and nothing comes from them.
    assert not inverse[~seen].any()
    assert not inverse[:, ~seen].any()
    inverse = inverse[seen][:, seen].double()
    return inverse @ K, inverse, K


@pytest.fixture(params=[False, True], ids=["phases", "averaged"])
def found(request, device):
    window = displacement_window(encoder_decoder(2), device=device)
    return window.averaged() if request.param else window


def masks(device):
    generator = torch.Generator().manual_seed(3)
    observed = torch.rand(SHAPE, generator=generator) > 0.5
    observed[3:8, 3:9] = False
    return observed.to(device)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_few_neighbors_make_a_well_conditioned_system(found, wrap, device):
    product, inverse, K = inverse_times_kernel(found, masks(device), wrap=wrap, n_neighbors=8)
    # Equal to rounding of float32: the two factors are each other's transposes.
    torch.testing.assert_close(inverse, inverse.T, rtol=0, atol=1e-5 * float(inverse.max()))
    eigenvalues = torch.linalg.eigvals(product).real
    condition = float(eigenvalues.max() / eigenvalues.min())
    assert condition < 6
    assert condition < float(torch.linalg.cond(K)) / 10


def test_all_preceding_pixels_within_reach_of_a_row_make_it_exact(device):
    # Along one row of pixels with a kernel of reach 3, the six nearest preceding ones are nearly
    # all that matters; the kernel is Markov-like, not banded, hence no smaller tolerance.
    window = displacement_window(encoder_decoder(2), device=device).averaged()
    observed = torch.zeros(SHAPE, dtype=torch.bool, device=device)
    observed[5] = True
    product, _, _ = inverse_times_kernel(window, observed, wrap=False, n_neighbors=3)
    eigenvalues = torch.linalg.eigvals(product).real
    assert float(eigenvalues.max() / eigenvalues.min()) < 2
    alone, _, _ = inverse_times_kernel(
        window, observed & (torch.arange(24, device=device) % 4 == 0), wrap=False, n_neighbors=3
    )
    # Farther apart than the kernel reaches: a diagonal matrix.
    torch.testing.assert_close(alone, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_masks_of_any_density(share, device):
    window = displacement_window(encoder_decoder(2), device=device).averaged()
    generator = torch.Generator().manual_seed(0)
    observed = (torch.rand(SHAPE, generator=generator) < share).to(device)
    product, _, _ = inverse_times_kernel(window, observed, wrap=False, n_neighbors=8)
    if len(product):
        eigenvalues = torch.linalg.eigvals(product).real
        assert float(eigenvalues.min()) > 0.2
        assert float(eigenvalues.max()) < 4


def test_neighbors_are_the_nearest_preceding_pixels_beyond_one_word(device):
    # One pixel in the last row, four far above it: more than 62 displacements lie between.
    window = displacement_window(encoder_decoder(4), device=device).averaged()
    observed = torch.zeros(40, 40, dtype=torch.bool, device=device)
    observed[30, 20] = True
    for j in (14, 18, 22, 26):
        observed[20, j] = True
    factor = sparse_inverse_cholesky(Window(*window), observed[None], n_neighbors=2)
    columns = factor.factor.columns[factor.factor.starts[30 * 40 + 20] :].tolist()
    assert sorted(columns) == [20 * 40 + 18, 20 * 40 + 22, 30 * 40 + 20]


@pytest.mark.parametrize("wrap", [False, True])
def test_a_stack_of_masks_is_one_factor_each(found, wrap, device):
    generator = torch.Generator().manual_seed(1)
    observed = (torch.rand(3, *SHAPE, generator=generator) > 0.5).to(device)
    X = torch.randn(observed.numel(), 2, generator=generator).to(device)
    together = sparse_inverse_cholesky(Window(*found), observed, nugget=NUGGET, wrap=wrap)
    products = together.product(X).view(3, -1, 2)
    for mask, image, product in zip(observed, X.view(3, -1, 2), products, strict=True):
        alone = sparse_inverse_cholesky(Window(*found), mask[None], nugget=NUGGET, wrap=wrap)
        torch.testing.assert_close(alone.product(image), product, rtol=1e-5, atol=1e-5)
