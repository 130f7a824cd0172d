"""Products with circulant kernels against dense products, and their sparse inverse factors."""

import pytest
import torch

from skoverparam.kernels._convolutional import convolutional_ntk, displacement_window
from skoverparam.kernels._convolutional_layers import encoder_decoder
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel
from skoverparam.linalg._circulant import (
    Window,
    as_window,
    circulant_product,
    displacements,
    fast_length,
    plus_constant,
    window_product,
)

# (levels, shape): one phase, and several on images that are not square.
SHAPES = [(0, (5, 8)), (1, (8, 6)), (2, (12, 16)), (3, (24, 16))]


def matrix(kernel):
    """All entries, as a matrix between pixels."""
    h, w = kernel.blocks.shape[2:]
    return kernel.dense().values.reshape(h * w, h * w)


def pictures(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def dense_product(K, X):
    return (X.flatten(-2) @ K.T).view_as(X)


@pytest.mark.parametrize(("levels", "shape"), SHAPES)
@pytest.mark.parametrize("averaged", [False, True])
def test_fourier_product_equals_the_dense_one(levels, shape, averaged, device):
    kernel = convolutional_ntk(encoder_decoder(levels), shape)
    kernel = kernel.averaged() if averaged else kernel
    X = pictures(2, 3, *shape)
    product = circulant_product(kernel.blocks.to(device))
    # A few hundred numbers of size one are added: rounding is far below 1e-12.
    expected = dense_product(matrix(kernel), X)
    torch.testing.assert_close(product(X.to(device)).cpu(), expected, rtol=0, atol=1e-12)


def test_interpolating_kernels_and_a_constant_apart():
    layers = encoder_decoder(1, upsampling="periodic_bilinear")
    kernel = convolutional_ntk(layers, (8, 12))
    X = pictures(8, 12)
    expected = dense_product(matrix(kernel), X)
    torch.testing.assert_close(circulant_product(kernel.blocks)(X), expected, rtol=0, atol=1e-12)
    near = circulant_product(kernel.blocks - 0.05)
    torch.testing.assert_close(plus_constant(near, 0.05)(X), expected, rtol=0, atol=1e-12)


def test_a_random_symmetric_kernel_is_not_confused_with_its_transpose():
    # Networks' kernels are symmetric in more ways than a kernel must be; this one is not.
    p, h, w = 2, 4, 6
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randn(p, p, h, w, generator=generator, dtype=torch.float64)
    symmetric = torch.empty_like(blocks)
    for a in range(p):
        for b in range(p):
            for u in range(h):
                for v in range(w):
                    back = blocks[(a + u) % p, (b + v) % p, -u % h, -v % w]
                    symmetric[a, b, u, v] = (blocks[a, b, u, v] + back) / 2
    K = matrix(BlockCirculantKernel(symmetric))
    torch.testing.assert_close(K, K.T, rtol=0, atol=0)
    X = pictures(h, w)
    torch.testing.assert_close(
        circulant_product(symmetric)(X), dense_product(K, X), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize(("levels", "shape"), SHAPES[1:])
@pytest.mark.parametrize("averaged", [False, True])
def test_windows_on_the_torus_and_in_the_plane(levels, shape, averaged, device):
    found = displacement_window(encoder_decoder(levels), device=device)
    found = found.averaged() if averaged else found
    window = Window(*found)
    X = pictures(2, *shape).to(device)
    expected = dense_product(matrix(found.on(shape)), X)
    torch.testing.assert_close(
        window_product(window, shape, wrap=True)(X), expected, rtol=0, atol=1e-12
    )
    # The plane is a torus so large that nothing meets; sides need not be multiples of p there.
    h, w = shape[0] - 1, shape[1] - 3
    large = found.on((32, 48))
    K = large.dense().values[:h, :w, :h, :w].reshape(h * w, h * w)
    part = X[..., :h, :w].contiguous()
    for product in (window_product(window, (h, w), wrap=False), circulant_product(large.blocks)):
        torch.testing.assert_close(product(part), dense_product(K, part), rtol=0, atol=1e-12)


def test_float32_stays_float32_and_keeps_its_digits():
    found = displacement_window(encoder_decoder(2))
    window = Window(found.values.float(), found.far)
    # A large mean, which the constant part of the kernel multiplies by the number of pixels.
    X = pictures(16, 16, dtype=torch.float32) + 100
    product = window_product(window, (16, 16), wrap=True)(X)
    assert product.dtype == torch.float32
    exact = window_product(Window(*found), (16, 16), wrap=True)(X.double())
    torch.testing.assert_close(product.double(), exact, rtol=1e-6, atol=0)


def test_window_of_a_kernel_is_found_where_there_is_one():
    found = displacement_window(encoder_decoder(2))
    blocks = found.on((12, 16)).blocks
    window = as_window(blocks)
    torch.testing.assert_close(window.values, found.values, rtol=0, atol=0)
    assert window.far == found.far
    averaged = as_window(found.averaged().on((12, 16)).blocks)
    torch.testing.assert_close(averaged.values, found.averaged().values, rtol=0, atol=1e-15)
    assert as_window(torch.full((1, 1, 3, 3), 2.0)) == (torch.full((1, 1, 1, 1), 2.0), 2.0)
    # Constant nowhere.
    assert as_window(pictures(1, 1, 8, 8)) is None
    torch.testing.assert_close(displacements(blocks, 3), found.values, rtol=0, atol=0)


def test_sides_that_are_no_multiples_of_the_period_are_refused():
    with pytest.raises(ValueError, match="multiples of p"):
        circulant_product(torch.zeros(2, 2, 5, 4))


@pytest.mark.parametrize("least", [1, 2, 7, 31, 255, 527, 1039, 4096])
def test_fast_lengths_have_small_factors_only(least):
    def is_fast(length):
        for factor in (2, 3, 5):
            while length % factor == 0:
                length //= factor
        return length == 1

    by_search = next(length for length in range(least, 2 * least + 1) if is_fast(length))
    assert fast_length(least) == by_search
