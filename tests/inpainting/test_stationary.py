"""Completion under a given kernel against dense solves of the same systems."""

import math

import pytest
import torch

from skoverparam.inpainting import _masked_systems
from skoverparam.inpainting._stationary import complete, torus_shape
from skoverparam.kernels._convolutional import convolutional_ntk, displacement_window
from skoverparam.kernels._convolutional_layers import encoder_decoder
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel, DenseKernel
from skoverparam.linalg._circulant import as_window

SIDE = 64


def last(steps):
    *_, step = steps
    return step


def smooth_pictures(n, c, h, w):
    """Waves and edges: neither noise nor constant."""
    i = torch.linspace(0, 6, h, dtype=torch.float64)[:, None]
    j = torch.linspace(0, 9, w, dtype=torch.float64)
    planes = [
        torch.sin(i * (1 + k / 3) + j) / 3 + 0.5 + 0.2 * ((i + j * (k % 3)) > 7)
        for k in range(n * c)
    ]
    return torch.stack(planes).view(n, c, h, w)


def random_masks(n, h, w, share=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, h, w, generator=generator) < share


def dense_completion(images, missing, K, alpha):
    """One system after the other, by a dense solve."""
    completed = images.clone()
    for image, gone in zip(completed, missing, strict=True):
        seen = ~gone.flatten()
        A = K[seen][:, seen] + alpha * torch.eye(int(seen.sum()), dtype=K.dtype)
        for channel in image:
            values = channel.flatten()
            mean = values[seen].mean()
            x = torch.linalg.solve(A, values[seen] - mean)
            values[~seen] = K[~seen][:, seen] @ x + mean
    return completed


def matrix(kernel):
    h, w = kernel.blocks.shape[2:]
    return kernel.dense().values.reshape(h * w, h * w)


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize("averaged", [False, True])
def test_equals_the_dense_solve(averaged, alpha, device):
    kernel = convolutional_ntk(encoder_decoder(3), (SIDE, SIDE))
    kernel = kernel.averaged() if averaged else kernel
    images = smooth_pictures(3, 3, SIDE, SIDE)
    missing = random_masks(3, SIDE, SIDE)
    missing[1] = random_masks(1, SIDE, SIDE, share=0.8, seed=1)
    missing[2] = missing[0]
    hidden = images.masked_fill(missing[:, None], math.nan)
    step = last(
        complete(
            hidden.to(device),
            missing.to(device),
            kernel._replace(blocks=kernel.blocks.to(device)),
            alpha=alpha,
            tol=1e-8,
        )
    )
    assert step.converged
    expected = dense_completion(images, missing, matrix(kernel), alpha)
    # The residual of 1e-8 times the condition of the systems, some hundreds.
    torch.testing.assert_close(step.images.cpu(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["bilinear", "exponential"])
def test_kernels_that_go_around_and_kernels_that_are_constant_nowhere(name, device):
    if name == "bilinear":
        kernel = convolutional_ntk(encoder_decoder(2, upsampling="periodic_bilinear"), (32, 32))
    else:
        distance = torch.arange(32).minimum(32 - torch.arange(32)).to(torch.float64)
        row = torch.exp(-distance / 6)
        kernel = BlockCirculantKernel((row[:, None] * row + 0.3)[None, None])
        assert as_window(kernel.blocks) is None
    images, missing = smooth_pictures(1, 1, 32, 32), random_masks(1, 32, 32)
    step = last(
        complete(
            images.to(device),
            missing.to(device),
            kernel._replace(blocks=kernel.blocks.to(device)),
            alpha=1e-3,
            tol=1e-9,
        )
    )
    assert step.converged
    # The preconditioner pays here, too.
    assert step.n_iter < 60
    expected = dense_completion(images, missing, matrix(kernel), 1e-3)
    torch.testing.assert_close(step.images.cpu(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("averaged", [False, True])
def test_a_window_is_the_kernel_of_a_part_of_the_plane(averaged):
    # Sides that are no multiples of the period; the torus is so large that nothing meets.
    h, w = 21, 30
    window = displacement_window(encoder_decoder(2))
    window = window.averaged() if averaged else window
    images, missing = smooth_pictures(2, 1, h, w), random_masks(2, h, w)
    step = last(complete(images, missing, window, alpha=1e-4, tol=1e-9))
    shape = torus_shape((h, w), period=4, reach=3)
    kernel = window.on(shape)
    K = kernel.dense().values[:h, :w, :h, :w].reshape(h * w, h * w)
    expected = dense_completion(images, missing, K, 1e-4)
    torch.testing.assert_close(step.images, expected, rtol=0, atol=1e-6)
    # The same on the torus itself, whose margin counts as missing.
    on_torus = last(complete(images, missing, kernel, alpha=1e-4, tol=1e-9))
    torch.testing.assert_close(on_torus.images, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("reach", [0, 7])
def test_torus_shapes_fit_the_period_and_keep_borders_apart(reach):
    for side in (9, 64, 100, 509):
        found = torus_shape((side, 2 * side), period=8, reach=reach)
        for length, given in zip(found, (side, 2 * side), strict=True):
            assert length % 8 == 0
            assert given + reach <= length <= 2 * (given + reach + 8)


def test_dense_kernels_equal_dense_solves():
    window = displacement_window(encoder_decoder(2))
    kernel = window.on((16, 16)).dense()
    images, missing = smooth_pictures(3, 2, 16, 16), random_masks(3, 16, 16)
    missing[2] = missing[0]
    (step,) = complete(images, missing, kernel, alpha=1e-3)
    expected = dense_completion(images, missing, kernel.values.view(256, 256), 1e-3)
    torch.testing.assert_close(step.images, expected, rtol=0, atol=1e-10)
    assert step.converged
    assert step.jitter == 0
    assert float(step.residual.max()) < 1e-12


def test_dense_kernels_may_be_larger_than_the_images():
    h, w = 9, 13
    K = displacement_window(encoder_decoder(2)).on((12, 16)).dense().values
    images, missing = smooth_pictures(2, 2, h, w), random_masks(2, h, w)
    (step,) = complete(images, missing, DenseKernel(K), alpha=1e-3)
    part = K[:h, :w, :h, :w].reshape(h * w, h * w)
    expected = dense_completion(images, missing, part, 1e-3)
    torch.testing.assert_close(step.images, expected, rtol=0, atol=1e-10)


def test_singular_dense_kernels_get_a_jitter_that_is_recorded():
    # Rank one: every pixel is a multiple of every other.
    ramp = torch.linspace(1, 2, 16, dtype=torch.float64).view(4, 4)
    kernel = DenseKernel(ramp[:, :, None, None] * ramp)
    images = ramp[None, None]
    missing = random_masks(1, 4, 4)
    (step,) = complete(images, missing, kernel, alpha=0.0)
    assert 0 < step.jitter < 1e-6
    assert torch.isfinite(step.images).all()
    with pytest.raises(ValueError, match="not positive semidefinite"):
        list(complete(images, missing, DenseKernel(-kernel.values), alpha=0.0))


def test_residuals_are_the_true_ones():
    kernel = convolutional_ntk(encoder_decoder(2), (32, 32))
    images, missing = smooth_pictures(1, 2, 32, 32), random_masks(1, 32, 32)
    seen = ~missing[0].flatten()
    K = matrix(kernel)
    n_iter = 0
    for step in complete(images, missing, kernel, alpha=1e-3, tol=1e-7):
        assert step.n_iter > n_iter
        n_iter = step.n_iter
        for channel, given, residual in zip(
            step.images[0], images[0], step.residual[0], strict=True
        ):
            # The coefficients that complete to these missing pixels, from the missing side.
            y = given.flatten()[seen]
            y = y - y.mean()
            A = K[seen][:, seen] + 1e-3 * torch.eye(int(seen.sum()), dtype=K.dtype)
            error = channel.flatten()[~seen] - (
                K[~seen][:, seen] @ torch.linalg.solve(A, y) + given.flatten()[seen].mean()
            )
            # |K_mo A^-1 r| <= |r| |K_mo A^-1|, and the predictions' weights have norm below 3.
            weights = torch.linalg.matrix_norm(K[~seen][:, seen] @ torch.linalg.inv(A), 2)
            bound = float(weights * residual * torch.linalg.vector_norm(y))
            assert float(torch.linalg.vector_norm(error)) <= bound * (1 + 1e-6) + 1e-12
    assert step.converged
    assert float(step.residual.max()) <= 1e-7


def test_an_image_alone_equals_the_same_image_in_a_batch():
    window = displacement_window(encoder_decoder(2)).averaged()
    images, missing = smooth_pictures(4, 1, 40, 28), random_masks(4, 40, 28)
    missing[3] = missing[1]
    images[2] *= 1e-6
    together = last(complete(images, missing, window, alpha=1e-4, tol=1e-6)).images
    for k in range(4):
        alone = last(
            complete(images[k : k + 1], missing[k : k + 1], window, alpha=1e-4, tol=1e-6)
        ).images
        # Different shapes of the same operations round differently: float32 within the sweeps.
        scale = float(images[k].abs().max())
        torch.testing.assert_close(alone[0], together[k], rtol=0, atol=2e-6 * scale)


def test_images_solved_in_parts_equal_those_solved_at_once(monkeypatch):
    window = displacement_window(encoder_decoder(2)).averaged()
    images, missing = smooth_pictures(7, 2, 20, 24), random_masks(7, 20, 24)
    # Four images of one mask, two of another, one alone.
    missing[[2, 3, 5]] = missing[0].clone()
    missing[6] = missing[1].clone()
    at_once = last(complete(images, missing, window, alpha=1e-4, tol=1e-7))
    for n_images in (1, 3):
        monkeypatch.setattr(_masked_systems, "_AT_ONCE", n_images * images[0].numel())
        in_parts = last(complete(images, missing, window, alpha=1e-4, tol=1e-7))
        assert in_parts.converged
        torch.testing.assert_close(in_parts.images, at_once.images, rtol=0, atol=1e-6)


def test_float32_images_stay_float32_and_their_residual_is_true():
    window = displacement_window(encoder_decoder(2))
    images, missing = smooth_pictures(1, 1, 32, 32), random_masks(1, 32, 32)
    exact = last(complete(images, missing, window, alpha=1e-4, tol=1e-8))
    step = last(complete(images.float(), missing, window, alpha=1e-4, tol=1e-8))
    assert step.images.dtype == torch.float32
    assert step.converged
    torch.testing.assert_close(step.images.double(), exact.images, rtol=0, atol=1e-6)


def test_observed_pixels_are_kept_to_the_last_bit():
    window = displacement_window(encoder_decoder(1))
    images, missing = smooth_pictures(2, 3, 10, 11), random_masks(2, 10, 11)
    for step in complete(images, missing, window, alpha=0.1):
        seen = ~missing[:, None].expand_as(images)
        assert torch.equal(step.images[seen], images[seen])


def test_nothing_missing_constant_images_and_nothing_observed():
    window = displacement_window(encoder_decoder(1))
    images = smooth_pictures(3, 1, 12, 12)
    images[1] = 0.7
    missing = torch.zeros(3, 12, 12, dtype=torch.bool)
    missing[1] = random_masks(1, 12, 12)[0]
    missing[2] = True
    step = last(complete(images, missing, window, tol=1e-6))
    assert torch.equal(step.images[0], images[0])
    torch.testing.assert_close(step.images[1], images[1], rtol=0, atol=1e-12)
    assert not step.images[2].any()
    (alone,) = complete(images[:1], missing[:1], window)
    assert alone.converged
    assert alone.n_iter == 0


def test_systems_without_a_solution_end_with_the_best_residual():
    # On the torus, alternating signs along the rows of pixels are in the null space.
    kernel = convolutional_ntk(encoder_decoder(2), (16, 16)).averaged()
    images = smooth_pictures(1, 1, 16, 16) + 0.05 * (-1.0) ** torch.arange(16)
    missing = torch.zeros(1, 16, 16, dtype=torch.bool)
    missing[0, 4:7, 4:7] = True
    residuals = [
        float(step.residual) for step in complete(images, missing, kernel, tol=1e-6, max_iter=300)
    ]
    assert not residuals[-1] <= 1e-6
    assert residuals == sorted(residuals, reverse=True)
    # What has a solution is solved, instead of giving up at the mean.
    assert residuals[-1] < 0.9


def test_held_out_pixels_stop_where_the_error_on_them_does():
    window = displacement_window(encoder_decoder(3)).averaged()
    images, missing = smooth_pictures(2, 1, SIDE, SIDE), random_masks(2, SIDE, SIDE)
    generator = torch.Generator().manual_seed(5)
    noisy = images + 0.1 * torch.randn(images.shape, generator=generator, dtype=images.dtype)
    held_out = random_masks(2, SIDE, SIDE, share=0.1, seed=7)
    steps = list(complete(noisy, missing, window, tol=1e-10, held_out=held_out))
    errors = torch.stack([s.held_out_error for s in steps if s.held_out_error is not None])
    # The errors that are reported are those on pixels that the completion did not see.
    assert len(errors) >= 2
    hidden = held_out & ~missing
    first = steps[0].images
    assert torch.equal(first[:, 0][~missing], noisy[:, 0][~missing])
    assert bool((errors[-1] < 0.9 * noisy.std()).all())
    assert steps[-1].held_out_error is None
    # Neither phase went on to the tolerance, and both say that they did what was asked.
    assert float(steps[-1].residual.min()) > 1e-10
    assert steps[-1].converged
    assert hidden.any()
    # All observed pixels count in the end: at the same residual the completions agree.
    plain = last(complete(noisy, missing, window, tol=1e-10)).images
    torch.testing.assert_close(steps[-1].images, plain, rtol=0, atol=0.05)


def test_more_rows_than_the_kernel_are_refused():
    kernel = convolutional_ntk(encoder_decoder(1), (8, 8))
    with pytest.raises(ValueError, match="at least as large"):
        list(complete(torch.zeros(1, 1, 10, 8), torch.ones(1, 10, 8, dtype=torch.bool), kernel))
    with pytest.raises(TypeError, match="no such kernel"):
        list(complete(torch.zeros(1, 1, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool), "laplace"))


def test_pixels_that_the_network_does_not_see_leave_the_mean():
    # Its input is zero at all observed pixels: so is the kernel between them.
    kernel = torch.zeros(1, 3, 1, 3, dtype=torch.float64)
    kernel[0, 2, 0, 2] = 1.0
    images = torch.tensor([[[[1.0, 4.0, 0.0]]]], dtype=torch.float64)
    missing = torch.tensor([[[False, False, True]]])
    (step,) = complete(images, missing, DenseKernel(kernel))
    assert step.images[0, 0, 0, 2] == 2.5
    # The system 0 x = y is not solved, and that is said.
    assert float(step.residual) == 1.0
