"""Convolutional kernels against published values, plain loops over pixel pairs, and networks."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import skoverparam
from skoverparam.kernels import (
    BlockCirculantKernel,
    Conv,
    DenseKernel,
    Downsample,
    DualPair,
    Erf,
    LeakyReLU,
    ReLU,
    StationaryPrior,
    Upsample,
    encoder_decoder,
)
from skoverparam.kernels import convolutional_ntk as public_ntk
from skoverparam.kernels._convolutional import (
    convolutional_ntk,
    dense_bytes,
    displacement_window,
    kernel_bytes,
)

DOUBLE = torch.float64


def meshgrid_prior(d):
    """Row and column of every pixel, from 0 to 1."""
    line = torch.linspace(0, 1, d, dtype=DOUBLE)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"))


def stationary_channels(shape, prior=None):
    """An array prior with the inner products of the stationary one: their Cholesky factor."""
    prior = StationaryPrior() if prior is None else prior
    n = math.prod(shape)
    gram = torch.full((n, n), prior.elsewhere, dtype=DOUBLE)
    gram.diagonal().fill_(prior.diagonal)
    return torch.linalg.cholesky(gram).T.reshape(n, *shape)


def random_prior(shape, channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, *shape, generator=generator, dtype=DOUBLE)


def dense_values(kernel):
    return kernel.dense().values if isinstance(kernel, BlockCirculantKernel) else kernel.values


# -- values of the authors' code -----------------------------------------------------------------

# Computed once with the public code of the authors of arXiv:2108.00131, in float32:
# K[0,0,0,0], K[0,0,0,1], K[0,0,1,1], K[1,0,2,3], K[0,0,d/2,d/2] and the mean of all entries.
REFERENCES = {
    "s1 nearest relu": (
        (1, "relu", "nearest", 8, None),
        (0.09000000, 0.06789618, 0.06052823, 0.05684426, 0.05684426, 0.05891649),
    ),
    "s1 nearest leaky": (
        (1, "leaky_relu", "nearest", 8, None),
        (0.09000000, 0.06801973, 0.06069297, 0.05702959, 0.05702959, 0.05909025),
    ),
    "s2 nearest leaky": (
        (2, "leaky_relu", "nearest", 8, None),
        (0.15000001, 0.12450806, 0.10964923, 0.08882093, 0.08427492, 0.09854797),
    ),
    "s2 bilinear leaky": (
        (2, "leaky_relu", "bilinear", 8, None),
        (0.12385078, 0.11076701, 0.10276383, 0.09955007, 0.09390272, 0.10095663),
    ),
    "s3 nearest leaky": (
        (3, "leaky_relu", "nearest", 16, None),
        (0.21000004, 0.18725444, 0.17130725, 0.14575483, 0.10777719, 0.12726162),
    ),
    "s1 nearest leaky, meshgrid": (
        (1, "leaky_relu", "nearest", 8, meshgrid_prior),
        (22.7755146, 17.4891853, 13.6293364, 11.0761280, 10.2451716, 13.1319656),
    ),
    "s2 bilinear relu, meshgrid": (
        (2, "relu", "bilinear", 8, meshgrid_prior),
        (29.4118347, 26.1446075, 23.7313576, 22.8285999, 20.7253113, 23.1168556),
    ),
}


def summary(K):
    half = len(K) // 2
    corner = K[0, 0]
    entries = (corner[0, 0], corner[0, 1], corner[1, 1], K[1, 0, 2, 3], corner[half, half])
    return [*map(float, entries), float(K.mean())]


@pytest.mark.parametrize("name", REFERENCES)
def test_dense_kernel_has_the_values_of_the_authors_code(name):
    (levels, activation, upsampling, d, prior), expected = REFERENCES[name]
    layers = encoder_decoder(levels, activation=activation, upsampling=upsampling)
    prior = stationary_channels((d, d)) if prior is None else prior(d)
    kernel = convolutional_ntk(layers, (d, d), prior)
    assert isinstance(kernel, DenseKernel)
    # float32 sums of dozens of terms are off by some 1e-7 of their size.
    np.testing.assert_allclose(summary(kernel.values), expected, rtol=2e-6)


@pytest.mark.parametrize("name", [name for name, (net, _) in REFERENCES.items() if net[4] is None])
def test_stationary_kernel_has_the_values_of_the_authors_code(name):
    (levels, activation, upsampling, d, _), expected = REFERENCES[name]
    layers = encoder_decoder(levels, activation=activation, upsampling=upsampling)
    kernel = convolutional_ntk(layers, (d, d))
    assert isinstance(kernel, DenseKernel if upsampling == "bilinear" else BlockCirculantKernel)
    np.testing.assert_allclose(summary(dense_values(kernel)), expected, rtol=2e-6)


# -- plain loops over pairs of pixels ------------------------------------------------------------


def looped_ntk(layers, prior):
    """The recursion, one pair of pixels at a time, by a dictionary of functions of two pixels.

    Sigma, its derivative Sdot and K as in the paper; convolutions divide by their own k^2 but for
    the first.
    """
    V = np.asarray(prior)
    h, w = V.shape[1:]
    Sigma = pairwise((h, w), lambda p, q: V[:, *p] @ V[:, *q])
    K, Sdot, first = 0 * Sigma, 0 * Sigma + 1, True
    for layer in layers:
        h, w = Sigma.shape[:2]
        if isinstance(layer, Conv):
            k = layer.kernel_size
            divisor = 1 if first else k**2
            K = box((Sigma + Sdot * K), k) / divisor
            Sigma = box(Sigma, k) / divisor
            Sdot, first = 0 * Sigma + 1, False
        elif isinstance(layer, Downsample):
            Sigma, Sdot, K = (
                pairwise(
                    (h // 2, w // 2), lambda p, q, A=A: A[2 * p[0], 2 * p[1], 2 * q[0], 2 * q[1]]
                )
                for A in (Sigma, Sdot, K)
            )
        elif isinstance(layer, Upsample):
            if layer.mode == "bilinear":  # as the authors do it
                Sigma, Sdot, K = (interpolated(A, layer.mode) for A in (Sigma, Sdot, K))
            else:  # linear in the features, whose tangent kernel is Sdot K
                Sigma, K = (interpolated(A, layer.mode) for A in (Sigma, Sdot * K))
                Sdot = 0 * Sigma + 1
        else:
            Sigma, Sdot = activated(Sigma, layer)
    return Sdot * K


def pairwise(shape, function):
    pixels = list(itertools.product(*map(range, shape)))
    return np.array([[function(p, q) for q in pixels] for p in pixels]).reshape(*shape, *shape)


def box(A, k):
    h, w = A.shape[:2]
    steps = range(-(k // 2), k // 2 + 1)
    return pairwise(
        (h, w),
        lambda p, q: sum(
            A[(p[0] + a) % h, (p[1] + b) % w, (q[0] + a) % h, (q[1] + b) % w]
            for a in steps
            for b in steps
        ),
    )


def activated(Sigma, layer):
    h, w = Sigma.shape[:2]
    slope = layer.slope if isinstance(layer, LeakyReLU) else 0.0
    bend = (1 - slope) ** 2 / (math.pi * (1 + slope**2))

    def duals(p, q):
        scale = math.sqrt(Sigma[*p, *p] * Sigma[*q, *q])
        if scale == 0:
            return 0.0, 0.0
        c = max(Sigma[*p, *q] / scale, -1.0)
        c = 1.0 if p == q or c > 1 - 1e-14 else c  # upsampling makes pixels equal
        t = math.acos(c)
        kappa_0 = 1 - bend * t
        return scale * (c * kappa_0 + bend * math.sin(t)), kappa_0

    return tuple(pairwise((h, w), lambda p, q, n=n: duals(p, q)[n]) for n in (0, 1))


def sources(mode, size, r):
    """Input rows, with weights, of output row r."""
    if mode == "nearest":
        return [(r // 2, 1.0)]
    place = r * (size - 1) / (2 * size - 1) if mode == "bilinear" else r / 2 - 0.25
    before = math.floor(place)
    return [(before % size, 1 - (place - before)), ((before + 1) % size, place - before)]


def interpolated(A, mode):
    h, w = A.shape[:2]
    return pairwise(
        (2 * h, 2 * w),
        lambda p, q: sum(
            a * b * c * d * A[i, j, k, l]
            for i, a in sources(mode, h, p[0])
            for j, b in sources(mode, w, p[1])
            for k, c in sources(mode, h, q[0])
            for l, d in sources(mode, w, q[1])  # noqa: E741
        ),
    )


ODD_CASES = {
    "no level": (encoder_decoder(0), (3, 5)),
    "kernel size 5": (encoder_decoder(1, kernel_size=5, activation="relu"), (8, 4)),
    "kernel size 1": (encoder_decoder(1, kernel_size=1), (4, 6)),
    "kernel larger than the image": (encoder_decoder(1, kernel_size=7), (2, 4)),
    "two convolutions per level": (encoder_decoder(1, convs_per_level=2), (4, 6)),
    "two levels, not square": (encoder_decoder(2, activation="relu"), (4, 8)),
    "periodic bilinear": (encoder_decoder(1, upsampling="periodic_bilinear"), (4, 6)),
    "periodic bilinear, two levels": (encoder_decoder(2, upsampling="periodic_bilinear"), (4, 4)),
    "bilinear": (encoder_decoder(1, upsampling="bilinear"), (4, 6)),
    "bilinear, one pixel": (encoder_decoder(2, upsampling="bilinear"), (4, 4)),
    "no activation": ([Conv(3), Downsample(), Conv(5), Upsample(), Conv(1)], (4, 6)),
    "mixed sizes": ([Conv(5), ReLU(), Conv(1), LeakyReLU(0.3), Conv(3)], (3, 4)),
    "only up": ([Upsample(), Conv(), ReLU(), Upsample("periodic_bilinear"), Conv()], (1, 2)),
    "only down": ([Conv(), ReLU(), Downsample(), Conv(), ReLU(), Downsample(), Conv()], (8, 4)),
    "up, then down": ([Conv(), ReLU(), Upsample(), Conv(), ReLU(), Downsample(), Conv()], (2, 3)),
    "no last convolution": ([Conv(), ReLU(), Downsample(), Conv(), Upsample()], (4, 4)),
    "activation after interpolation": (
        [Conv(), Downsample(), Upsample("periodic_bilinear"), LeakyReLU(), Conv()],
        (4, 4),
    ),
}


@pytest.mark.parametrize("name", ODD_CASES)
def test_dense_kernel_equals_plain_loops(name):
    layers, shape = ODD_CASES[name]
    prior = random_prior(shape)
    expected = looped_ntk(layers, prior)
    K = convolutional_ntk(layers, shape, prior).values
    np.testing.assert_allclose(K, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("name", ODD_CASES)
def test_stationary_kernel_equals_plain_loops(name):
    layers, shape = ODD_CASES[name]
    prior = StationaryPrior(diagonal=1.0, elsewhere=0.4)
    expected = looped_ntk(layers, stationary_channels(shape, prior))
    K = dense_values(convolutional_ntk(layers, shape, prior))
    np.testing.assert_allclose(K, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_pixels_without_features_are_zero():
    layers, shape = encoder_decoder(1, activation="relu", upsampling="bilinear"), (16, 2)
    prior = random_prior(shape)
    prior[:, :14] = 0  # so many rows that windows stay empty to the end
    expected = looped_ntk(layers, prior)
    K = convolutional_ntk(layers, shape, prior).values
    assert (K == 0).any()
    assert K.isfinite().all()
    np.testing.assert_allclose(K, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    assert not convolutional_ntk(layers, shape, torch.zeros(1, *shape)).values.any()


# -- closed forms --------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("levels", [0, 1, 3])
def test_every_convolution_adds_as_much_to_the_diagonal(levels, kernel_size):
    layers = encoder_decoder(levels, convs_per_level=2, kernel_size=kernel_size)
    K = convolutional_ntk(layers, (16, 8), StationaryPrior(1.0, 0.3)).blocks
    n_convs = 4 * levels + 1
    np.testing.assert_allclose(K[:, :, 0, 0], n_convs * kernel_size**2, rtol=1e-14)


@pytest.mark.parametrize("upsampling", ["nearest", "periodic_bilinear", "bilinear"])
def test_equal_pixels_are_seen_as_equal(upsampling):
    """The angle between equal features is exactly zero, not what rounding makes of it."""
    layers = encoder_decoder(2, upsampling=upsampling)
    constant = torch.full((3, 8, 4), 0.7, dtype=DOUBLE)
    K = convolutional_ntk(layers, (8, 4), constant).values
    np.testing.assert_allclose(K, 5 * 9 * 3 * 0.7**2, rtol=1e-14)


@pytest.mark.parametrize("factor", [1e-100, 3.0, 1e100])
def test_the_prior_may_have_any_scale(factor):
    layers, prior = encoder_decoder(1), random_prior((4, 4))
    expected = convolutional_ntk(layers, (4, 4), prior).values
    K = convolutional_ntk(layers, (4, 4), factor * prior).values
    np.testing.assert_allclose(K / factor**2, expected, rtol=1e-12)
    unit = convolutional_ntk(layers, (4, 4), StationaryPrior(1.0, 0.5)).blocks
    K = convolutional_ntk(layers, (4, 4), StationaryPrior(factor, 0.5 * factor)).blocks
    np.testing.assert_allclose(K / factor, unit, rtol=1e-12)


def test_dual_pair_of_the_relu():
    relu = ReLU()
    pair = DualPair(relu.kappa_1, relu.kappa_0)
    expected = convolutional_ntk(encoder_decoder(1, activation="relu"), (4, 4))
    K = convolutional_ntk(encoder_decoder(1, activation=pair), (4, 4))
    assert torch.equal(K.blocks, expected.blocks)


# -- block-circulant form ------------------------------------------------------------------------

CIRCULAR = [
    pytest.param(encoder_decoder(1), (6, 4), id="s1"),
    pytest.param(encoder_decoder(2, activation="relu"), (8, 16), id="s2"),
    pytest.param(encoder_decoder(3), (8, 16), id="s3, side p"),
    pytest.param(encoder_decoder(3, kernel_size=5, convs_per_level=2), (16, 16), id="s3, deep"),
    pytest.param(encoder_decoder(2, upsampling="periodic_bilinear"), (12, 8), id="bilinear"),
    # From the second interpolation on variances differ between phases.
    pytest.param(encoder_decoder(3, upsampling="periodic_bilinear"), (16, 24), id="bilinear, s3"),
    pytest.param(ODD_CASES["only up"][0], (2, 3), id="only up"),
    pytest.param(ODD_CASES["up, then down"][0], (4, 6), id="up, then down"),
]


@pytest.mark.parametrize(("layers", "shape"), CIRCULAR)
def test_block_circulant_equals_dense(layers, shape):
    kernel = convolutional_ntk(layers, shape)
    dense = convolutional_ntk(layers, shape, stationary_channels(shape)).values
    difference = (kernel.dense().values - dense).abs().max() / dense.max()
    # The Cholesky factor has the inner products up to rounding.
    assert difference < 1e-12
    i, j = dense.shape[0] - 1, 2
    torch.testing.assert_close(kernel.row(i, j), dense[i, j], rtol=1e-12, atol=0)


@pytest.mark.parametrize(("layers", "shape"), CIRCULAR)
def test_averaged_is_the_mean_over_the_grids_positions(layers, shape):
    kernel = convolutional_ntk(layers, shape)
    p, dense = len(kernel.blocks), kernel.dense().values
    rolled = [torch.roll(dense, (a, b, a, b), (0, 1, 2, 3)) for a in range(p) for b in range(p)]
    averaged = kernel.averaged()
    assert averaged.blocks.shape == (1, 1, *dense.shape[:2])
    torch.testing.assert_close(averaged.dense().values, sum(rolled) / p**2, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ODD_CASES)
@pytest.mark.parametrize("prior", ["stationary", "random"])
def test_positive_semidefinite(name, prior):
    layers, shape = ODD_CASES[name]
    kernel = convolutional_ntk(
        layers, shape, None if prior == "stationary" else random_prior(shape)
    )
    K = dense_values(kernel)
    n = K.shape[0] * K.shape[1]
    K = K.reshape(n, n)
    eigenvalues = torch.linalg.eigvalsh(K)
    assert eigenvalues[0] > -1e-13 * n * eigenvalues[-1]
    torch.testing.assert_close(K, K.T, rtol=0, atol=1e-14 * float(K.max()))


@pytest.mark.parametrize("averaged", [False, True])
def test_alternating_rows_are_in_the_null_space_of_nearest_upsampling(averaged):
    """Windows of images that repeat every pixel never see them."""
    kernel = convolutional_ntk(encoder_decoder(2), (8, 8))
    K = (kernel.averaged() if averaged else kernel).dense().values
    image = (-1.0) ** torch.arange(8, dtype=DOUBLE)[:, None] * random_prior((8,), channels=1)
    assert torch.tensordot(K, image).abs().max() < 1e-14


# -- displacements in a window -------------------------------------------------------------------

NEAREST = [
    pytest.param(encoder_decoder(0), id="s0"),
    pytest.param(encoder_decoder(1, kernel_size=5), id="s1"),
    pytest.param(encoder_decoder(3, activation="relu"), id="s3"),
    pytest.param([Upsample(), Conv(), ReLU(), Upsample(), Conv()], id="only up"),
    pytest.param([Conv(), ReLU(), Downsample(), Conv(), ReLU(), Downsample(), Conv()], id="down"),
    pytest.param(
        [Conv(), ReLU(), Upsample(), Conv(), ReLU(), Downsample(), Conv()], id="up, down"
    ),
]


@pytest.mark.parametrize("layers", NEAREST)
def test_window_and_far_value_are_all_of_the_kernel(layers):
    shape = (8, 6) if isinstance(layers[0], Upsample) else (32, 16)
    window = displacement_window(layers)
    # The shortcut is not taken for tensors: the recursion on the whole torus is the reference.
    reference = convolutional_ntk(layers, shape, stationary_channels(shape)).values
    kernel = window.on(reference.shape[:2])
    p = len(kernel.blocks)
    assert window.values.shape == (p, p, 2 * p - 1, 2 * p - 1)
    assert (kernel.dense().values - reference).abs().max() < 1e-12 * reference.max()


def test_window_of_averages():
    window = displacement_window(encoder_decoder(2))
    expected = window.on((16, 12)).averaged().blocks
    torch.testing.assert_close(window.averaged().on((16, 12)).blocks, expected)


def test_large_images_cost_no_more_than_their_kernel():
    kernel = convolutional_ntk(encoder_decoder(2), (512, 640))
    small = convolutional_ntk(encoder_decoder(2), (16, 16))
    near = torch.arange(-8, 8)
    assert kernel.blocks.shape == (4, 4, 512, 640)
    assert torch.equal(
        kernel.blocks[:, :, near[:, None], near], small.blocks[:, :, near[:, None], near]
    )
    assert torch.unique(kernel.blocks[:, :, 8:-8]).tolist() == [
        displacement_window(encoder_decoder(2)).far
    ]


def test_window_errors():
    with pytest.raises(ValueError, match="layers must upsample by the nearest pixel"):
        displacement_window(encoder_decoder(1, upsampling="periodic_bilinear"))
    with pytest.raises(ValueError, match=r"multiples of 4 and at least 7, got \(4, 8\)"):
        displacement_window(encoder_decoder(2)).on((4, 8))


# -- networks that are wide but finite -----------------------------------------------------------

WIDTH, N_SEEDS = 128, 20


def finite_network(weights, layers, image):
    """Output of a network in which every weight is standard normal."""
    weights = iter(weights)
    x, divisor, gain = image, 1.0, 1.0
    for layer in layers:
        if isinstance(layer, Conv):
            W, r = next(weights), layer.kernel_size // 2
            padded = functional.pad(x, (r, r, r, r), mode="circular")
            x = functional.conv2d(padded, W) * math.sqrt(gain / divisor)
            divisor, gain = WIDTH * layer.kernel_size**2, 1.0
        elif isinstance(layer, Downsample):
            x = x[:, :, ::2, ::2]
        elif isinstance(layer, Upsample) and layer.mode == "nearest":
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        elif isinstance(layer, Upsample):
            padded = functional.pad(x, (1, 1, 1, 1), mode="circular")
            x = functional.interpolate(
                padded, scale_factor=2, mode="bilinear", align_corners=False
            )
            x = x[:, :, 2:-2, 2:-2]
        else:
            x = functional.relu(x)
            gain = 2.0
    return x[0, 0]


def empirical_kernel(layers, image, seed):
    generator = torch.Generator().manual_seed(seed)
    convs = [layer for layer in layers if isinstance(layer, Conv)]
    channels = [image.shape[1], *[WIDTH] * (len(convs) - 1), 1]
    weights = [
        torch.randn(after, before, c.kernel_size, c.kernel_size, generator=generator)
        for c, before, after in zip(convs, channels[:-1], channels[1:], strict=True)
    ]
    for W in weights:
        W.requires_grad_()
    pixels = finite_network(weights, layers, image).flatten()
    rows = [torch.autograd.grad(pixel, weights, retain_graph=True) for pixel in pixels]
    gradients = [torch.stack(of_layer).flatten(1) for of_layer in zip(*rows, strict=True)]
    return sum(G @ G.T for G in gradients).double()


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(encoder_decoder(1, activation="relu"), id="nearest"),
        pytest.param(
            encoder_decoder(1, activation="relu", upsampling="periodic_bilinear"), id="bilinear"
        ),
        pytest.param([Conv(3), ReLU(), Conv(5), Conv(1), ReLU(), Conv(3)], id="mixed"),
    ],
)
def test_empirical_tangent_kernel(layers):
    prior = random_prior((4, 6), channels=3)
    kernels = torch.stack(
        [empirical_kernel(layers, prior[None].float(), seed) for seed in range(N_SEEDS)]
    )
    expected = convolutional_ntk(layers, (4, 6), prior).values.reshape(24, 24)
    standard_error = kernels.std(0) / math.sqrt(N_SEEDS)
    assert standard_error.mean() < 0.03 * expected.max()  # else the comparison would mean little
    z = (kernels.mean(0) - expected) / standard_error
    # The 300 pairs share most of their noise.
    assert z.square().mean() < 4
    assert z.abs().max() < 5


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([], "layers must have a Conv"),
        ([Downsample()], "layers must have a Conv"),
        ([Conv(), ReLU()], "after the last activation another"),
        ([ReLU(), Conv()], r"layers\[0\], ReLU\(\), must have a Conv between"),
        ([Conv(), ReLU(), Upsample(), ReLU(), Conv()], r"layers\[3\], ReLU\(\), must have a Conv"),
        ([Conv(), Erf(), Conv()], r"layers\[1\] must be homogeneous .* got Erf\(\)"),
    ],
)
def test_layers_that_do_not_fit_together(layers, sentence):
    with pytest.raises(ValueError, match=sentence):
        convolutional_ntk(layers, (4, 4))


@pytest.mark.parametrize("layers", ["conv", 3, [Conv(), "relu", Conv()], [Conv]])
def test_things_that_are_no_layers(layers):
    with pytest.raises(TypeError, match=r"layers(\[\d\])? must be"):
        convolutional_ntk(layers, (4, 4))


@pytest.mark.parametrize("shape", [(12, 8), (8, 20), (7, 8)])
def test_shapes_that_cannot_be_halved(shape):
    layers = encoder_decoder(3)
    for prior in (None, torch.ones(1, *shape)):
        with pytest.raises(ValueError, match=rf"shape must be divisible .* shape=\({shape[0]}, "):
            convolutional_ntk(layers, shape, prior)


@pytest.mark.parametrize(
    ("shape", "error"),
    [((0, 4), ValueError), ((4, -4), ValueError), ((4.0, 4), TypeError), (4, TypeError)],
)
def test_bad_shapes(shape, error):
    with pytest.raises(error, match="shape must be"):
        convolutional_ntk([Conv()], shape)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Conv(4), ValueError, "kernel_size must be odd and positive.*got 4"),
        (lambda: Conv(-1), ValueError, "kernel_size must be odd and positive"),
        (lambda: Conv(3.0), TypeError, "kernel_size must be an integer, got 3.0"),
        (lambda: Upsample("cubic"), ValueError, "mode must be 'nearest'.*got 'cubic'"),
        (lambda: StationaryPrior(1.0, 2.0), ValueError, "0 <= elsewhere <= diagonal"),
        (lambda: StationaryPrior(1.0, -0.1), ValueError, "0 <= elsewhere <= diagonal"),
        (lambda: StationaryPrior(0.0, 0.0), ValueError, "a positive diagonal"),
        (lambda: StationaryPrior(math.inf), ValueError, "diagonal must be a finite number"),
        (lambda: StationaryPrior("1"), TypeError, "diagonal must be a number, got '1'"),
        (lambda: encoder_decoder(-1), ValueError, "levels must be at least 0, got -1"),
        (lambda: encoder_decoder(True), TypeError, "levels must be an integer"),
        (lambda: encoder_decoder(1, 0), ValueError, "convs_per_level must be at least 1, got 0"),
        (lambda: encoder_decoder(1, activation="gelu"), ValueError, "activation must be one of"),
    ],
)
def test_descriptions_that_make_no_sense(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


def test_a_prior_of_another_shape():
    with pytest.raises(
        ValueError, match=r"prior must have shape \(channels, 4, 4\).*got \(1, 4, 6\)"
    ):
        convolutional_ntk([Conv()], (4, 4), torch.ones(1, 4, 6))


def test_a_prior_whose_squares_overflow():
    with pytest.raises(ValueError, match="prior must be so small that its squares are finite"):
        convolutional_ntk([Conv()], (2, 2), torch.full((1, 2, 2), 1e30))


# -- public function -----------------------------------------------------------------------------


def test_arrays_in_arrays_out():
    layers, prior = encoder_decoder(1), random_prior((4, 6))
    expected = convolutional_ntk(layers, (4, 6), prior).values
    K = public_ntk(layers, prior=prior.numpy())
    assert isinstance(K, DenseKernel)
    assert isinstance(K.values, np.ndarray)
    np.testing.assert_array_equal(K.values, expected)
    np.testing.assert_array_equal(K.row(1, 2), expected[1, 2])
    assert torch.equal(public_ntk(layers, (4, 6), prior).values, expected)
    assert public_ntk(layers, prior=prior.numpy().astype(np.float32)).values.dtype == np.float32
    assert public_ntk(layers, prior=prior.tolist()).values.dtype == np.float64


def test_methods_work_on_arrays():
    tensors = convolutional_ntk(encoder_decoder(2), (8, 12))
    arrays = public_ntk(encoder_decoder(2), (8, 12))
    assert isinstance(arrays.blocks, np.ndarray)
    for result, expected in (
        (arrays.blocks, tensors.blocks),
        (arrays.averaged().blocks, tensors.averaged().blocks),
        (arrays.dense().values, tensors.dense().values),
        (arrays.row(5, 11), tensors.row(5, 11)),
    ):
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, expected)


def test_float32_prior():
    prior = random_prior((8, 8))
    expected = convolutional_ntk(encoder_decoder(2), (8, 8), prior).values
    K = convolutional_ntk(encoder_decoder(2), (8, 8), prior.float()).values
    assert K.dtype == torch.float32
    assert (K - expected).abs().max() < 1e-5 * expected.max()


def test_public_errors():
    with pytest.raises(TypeError, match="shape must be given"):
        public_ntk(encoder_decoder(1))
    with pytest.raises(ValueError, match="prior must have three axes"):
        public_ntk(encoder_decoder(1), prior=np.ones((4, 4)))
    with pytest.raises(ValueError, match="prior must hold finite numbers"):
        public_ntk(encoder_decoder(1), prior=np.full((1, 4, 4), np.nan))


def test_memory_budget():
    layers, bilinear = encoder_decoder(1), encoder_decoder(1, upsampling="bilinear")
    assert dense_bytes(layers, (64, 64)) == kernel_bytes(bilinear, (64, 64))
    assert kernel_bytes(layers, (64, 64)) == 8 * 4 * 64**2
    # Eight halvings take windows of 512 pixels, however small the image.
    assert kernel_bytes(encoder_decoder(8), (512, 512)) > 100e9
    with skoverparam.config_context(memory_budget=1e6):
        assert public_ntk(layers, (64, 64)).blocks.shape == (2, 2, 64, 64)
        for prior in (None, np.ones((1, 64, 64))):
            with pytest.raises(MemoryError, match=r"pixels of 64 x 64 images needs about .* GiB"):
                public_ntk(bilinear, (64, 64), prior)


# -- device --------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("upsampling", ["nearest", "periodic_bilinear", "bilinear"])
def test_cuda_equals_cpu(upsampling):
    layers, prior = encoder_decoder(2, upsampling=upsampling), random_prior((8, 12))
    cpu = convolutional_ntk(layers, (8, 12), prior).values
    cuda = convolutional_ntk(layers, (8, 12), prior.cuda()).values
    assert cuda.is_cuda
    torch.testing.assert_close(cuda.cpu(), cpu, rtol=1e-11, atol=1e-11)
    cpu = dense_values(convolutional_ntk(layers, (16, 16)))
    kernel = convolutional_ntk(layers, (16, 16), device="cuda")
    assert kernel[0].is_cuda
    torch.testing.assert_close(dense_values(kernel).cpu(), cpu, rtol=1e-11, atol=1e-11)
