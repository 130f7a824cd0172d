"""Kernels of anything: symmetric, positive semidefinite, and what their formulas say."""

import functools
import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import samples, shapes
from robustness.watch import attempt, watch

from skoverparam import kernels
from skoverparam.kernels._radial import RadialKernel
from skoverparam.linalg import kernel_matvec
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix

_ABOUT = r"exponent and p_norm must be 0 < exponent <= p_norm <= 2"

# Long doubles hold the squares of all doubles, where a machine has them.
_LONG = np.finfo(np.longdouble).maxexp > 2000


@st.composite
def radial(draw):
    """A kernel of distances, its formula in extended precision, and its power of the distance."""
    L = draw(st.one_of(st.sampled_from([1e-3, 1.0, 1e3]), st.floats(1e-3, 1e3)))
    name = draw(st.sampled_from(["laplace", "gaussian", "matern", "generalized_exponential"]))
    if name == "matern":
        p = draw(st.sampled_from([0, 1, 2, 6, 10]))

        def polynomial(r):
            s = np.minimum(r, 1e6) * np.sqrt(np.longdouble(2 * p + 1))
            ratio = math.factorial(p) / math.factorial(2 * p)
            terms = [
                math.factorial(p + i) / math.factorial(i) / math.factorial(p - i)
                for i in range(p + 1)
            ]
            return (
                np.exp(-s) * ratio * sum(term * (2 * s) ** (p - i) for i, term in enumerate(terms))
            )

        return functools.partial(kernels.matern, bandwidth=L, nu=p + 0.5), polynomial, L, 2.0
    if name == "generalized_exponential":
        p_norm = draw(st.sampled_from([0.7, 1.0, 1.5, 2.0]))
        power = draw(st.one_of(st.sampled_from([0.3, 1.0, 2.0]), st.floats(0.1, 2.0)))
        kernel = functools.partial(
            kernels.generalized_exponential, bandwidth=L, exponent=power, p_norm=p_norm
        )
        return kernel, lambda r: np.exp(-(r**power)), L, p_norm
    if name == "gaussian":
        return (
            functools.partial(kernels.gaussian, bandwidth=L),
            lambda r: np.exp(-r * r / 2),
            L,
            2.0,
        )
    return functools.partial(kernels.laplace, bandwidth=L), lambda r: np.exp(-r), L, 2.0


@st.composite
def networks(draw):
    depth = draw(st.integers(0, 4))
    slope = draw(st.sampled_from([0.0, 0.1, 1.0]))
    activation = (
        kernels.LeakyReLU(slope) if slope else draw(st.sampled_from(["relu", kernels.ReLU()]))
    )
    ntk = draw(st.booleans())
    kernel = kernels.fully_connected_ntk if ntk else kernels.fully_connected_nngp
    return kernel, {"depth": depth, "activation": activation}, ntk, slope


@st.composite
def clouds(draw):
    n, d = draw(shapes(max_samples=12, max_features=20))
    return draw(samples((n, d)))


def check_matrix(K, diagonal):
    """Finite, symmetric to the last bit, positive semidefinite up to rounding."""
    assert np.isfinite(K).all()
    np.testing.assert_array_equal(K, K.T)
    eps = np.finfo(K.dtype).eps
    np.testing.assert_allclose(np.diag(K), diagonal, rtol=32 * eps)
    values = np.linalg.eigvalsh(K.astype(float))
    # Entries have errors of some digits of the largest one.
    assert values[0] >= -_entry_error(K.dtype) * len(K) * max(float(np.abs(K).max()), 1e-300)


def _entry_error(dtype):
    return 3e-5 if dtype == np.float32 else 1e-10


def distances(X, Z, p_norm):
    """In extended precision, from differences."""
    gaps = np.abs(X.astype(np.longdouble)[:, None] - Z.astype(np.longdouble)[None])
    top = gaps.max(-1, initial=0)
    shares = gaps / np.where(top > 0, top, 1)[..., None]
    return (shares**p_norm).sum(-1) ** (1 / np.longdouble(p_norm)) * top


@given(clouds(), radial())
def test_kernels_of_distances(X, one):
    kernel, formula, L, p_norm = one
    with watch(kernel.func.__name__):
        K = attempt(kernel, X, about=_ABOUT)
        assert K.dtype == (np.float32 if X.dtype == np.float32 else np.float64)
        error = _entry_error(K.dtype)
        if p_norm >= 1:
            check_matrix(K, 1.0)
        assert (K >= 0).all()
        assert (K <= 1).all()
        if _LONG:
            expected = formula(distances(X, X, p_norm) / L).astype(float)
            np.testing.assert_allclose(K, expected, rtol=0, atol=error)
        # Blocks are what they are in the whole, and the other way around.
        k = len(X) // 2
        block = kernel(X[:k], X[k:])
        np.testing.assert_allclose(block, K[:k, k:], rtol=0, atol=error)
        np.testing.assert_allclose(kernel(X[k:], X[:k]), block.T, rtol=0, atol=error)
        if X.dtype.kind == "f" and 1e-140 < float(np.abs(X).max()) < 1e140:
            # Units are a convention: a power of two changes no digit.
            options = kernel.keywords | {"bandwidth": 2 * L}
            np.testing.assert_allclose(kernel.func(2 * X, **options), K, rtol=0, atol=error)
        order = np.random.default_rng(0).permutation(X.shape[1])
        np.testing.assert_allclose(kernel(-X[:, order].astype(K.dtype)), K, rtol=0, atol=error)


def network_values(X, Z, depth, slope, ntk):
    """The recursion in extended precision, of unit vectors; angles from sums and differences."""
    x, z = (A.astype(np.longdouble) for A in (X, Z))
    x, z = (A / np.where(np.abs(A).max(1) > 0, np.abs(A).max(1), 1)[:, None] for A in (x, z))
    sizes = [np.sqrt((A**2).sum(1)) for A in (x, z)]
    x, z = (A / np.where(s > 0, s, 1)[:, None] for A, s in zip((x, z), sizes, strict=True))
    apart = np.sqrt(((x[:, None] - z[None]) ** 2).sum(-1))
    along = np.sqrt(((x[:, None] + z[None]) ** 2).sum(-1))
    angle = 2 * np.arctan2(apart, along)
    zero = (sizes[0] == 0)[:, None] | (sizes[1] == 0)[None]
    angle = np.where(zero, np.longdouble(np.pi) / 2, angle)
    S = T = np.where(zero, 0, np.cos(angle))
    q = np.longdouble(2 * slope) / (np.pi * (slope**2 + 1))
    for _ in range(depth):
        sine = np.sin(angle)
        kappa = (S * (np.pi - angle) + sine) / np.pi + q * (S * angle - sine)
        T = kappa + T * (1 - angle / np.pi + q * angle)
        S = np.clip(kappa, -1, 1)
        angle = np.arccos(S)
    return (T if ntk else S).astype(float)


@given(clouds(), networks())
def test_kernels_of_wide_networks(X, one):
    kernel, options, ntk, slope = one
    with watch(kernel.__name__):
        K = kernel(X, **options)
        assert K.dtype == (np.float32 if X.dtype == np.float32 else np.float64)
        top = options["depth"] + 1 if ntk else 1
        error = 3 * top * _entry_error(K.dtype)
        zero = ~X.astype(bool).any(1)
        some = kernel(np.zeros((1, 2)), **options)[0, 0]
        check_matrix(K, np.where(zero, some, top))
        if _LONG:
            expected = network_values(X, X, options["depth"], slope, ntk)
            # The angle of half of the digits, where a cosine is next to one after some layers.
            np.testing.assert_allclose(K, expected, rtol=0, atol=max(error, 1e-8))
        k = len(X) // 2
        np.testing.assert_allclose(kernel(X[:k], X[k:], **options), K[:k, k:], rtol=0, atol=error)
        # Directions only.
        lengths = np.array([2.0**3, 2.0**-3, 2.0])[np.arange(len(X)) % 3, None]
        scaled = (X.astype(float) * lengths).astype(K.dtype)
        if np.isfinite(scaled).all() and (scaled.astype(bool) == X.astype(bool)).all():
            again = kernel(scaled, **options)
            np.testing.assert_allclose(again, K, rtol=0, atol=error)


@given(clouds(), networks())
def test_raw_kernels_of_wide_networks_are_those_of_the_directions(X, one):
    kernel, options, _, _ = one
    size = np.abs(X.astype(float)).max()
    # Squares of the norms are values.
    X = X.astype(float) / (size if not 1e-100 < size < 1e100 and size > 0 else 1.0)
    with watch(kernel.__name__):
        K = kernel(X, **options, normalize=False)
        norms = np.linalg.norm(X, axis=1)
        check_matrix(K, np.diag(K))
        expected = norms[:, None] * norms * kernel(X, **options)
        if options["depth"] == 0 or (norms > 0).all():
            np.testing.assert_allclose(K, expected, rtol=0, atol=1e-9 * norms.max() ** 2)
        np.testing.assert_allclose(
            kernel(4 * X, **options, normalize=False), 16 * K, rtol=1e-12, atol=1e-300
        )


@given(clouds(), radial(), st.integers(1, 3), st.sampled_from([8, 100, 1000]))
def test_products_by_blocks_are_those_of_the_whole(X, one, t, block_bytes):
    kernel, _, L, _ = one
    V = np.random.default_rng(0).normal(size=(len(X), t))
    with watch("kernel_matvec"):
        K = attempt(kernel, X.astype(float), about=_ABOUT)
        expected, slack = K @ V, 1e-10 * np.abs(V).sum()
        found = kernel_matvec(kernel, X.astype(float), X.astype(float), V)
        np.testing.assert_allclose(found, expected, rtol=0, atol=slack)
        if kernel.func is kernels.laplace:
            points, C = torch.as_tensor(X.astype(float)), torch.as_tensor(V)
            matrix = KernelMatrix(RadialKernel("laplace", L), points, block_bytes=block_bytes)
            for stored in (None, torch.float64):
                if stored:
                    matrix.store(stored)
                product = matrix.product(C).numpy()
                np.testing.assert_allclose(product, expected, rtol=0, atol=slack)
            rows = torch.arange(0, len(X), 2)
            part = matrix.rows_product(rows, C).numpy()
            np.testing.assert_allclose(part, expected[::2], rtol=0, atol=slack)


@given(
    st.sampled_from(["relu", "leaky_relu"]),
    st.sampled_from(["nearest", "bilinear", "periodic_bilinear"]),
    st.integers(0, 2**16),
    st.sampled_from([1.0, 1e-3, 1e3]),
    st.integers(1, 3),
)
def test_kernels_between_pixels(activation, upsampling, seed, factor, channels):
    prior = np.random.default_rng(seed).normal(size=(channels, 4, 4))
    with watch("convolutional_ntk"):
        layers = kernels.encoder_decoder(1, activation=activation, upsampling=upsampling)
        K = kernels.convolutional_ntk(layers, prior=prior).values
        n = K.shape[0] * K.shape[1]
        K = K.reshape(n, n)
        np.testing.assert_allclose(K, K.T, rtol=0, atol=1e-13 * K.max())
        assert np.linalg.eigvalsh(K)[0] > -1e-12 * n * K.max()
        scaled = kernels.convolutional_ntk(layers, prior=factor * prior).values.reshape(n, n)
        np.testing.assert_allclose(scaled, factor**2 * K, rtol=1e-9)
        # Channels in another order, and turned, are the same prior.
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(channels, channels)))[0]
        turned = np.einsum("ab,bij->aij", turn, prior)
        again = kernels.convolutional_ntk(layers, prior=turned).values.reshape(n, n)
        np.testing.assert_allclose(again, K, rtol=0, atol=1e-9 * K.max())
