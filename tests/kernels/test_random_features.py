"""Random features against the kernels that they tend to, and against more of themselves."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel

from skoverparam.kernels import fully_connected_nngp
from skoverparam.kernels._median_distance import median_distance
from skoverparam.kernels._random_features import FEATURES, draw_features, n_projections


def gaussian(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def draw(feature, n_features, n_inputs=3, seed=0):
    bandwidth = None if feature == "relu" else 1.7
    generator = torch.Generator().manual_seed(seed)
    return draw_features(feature, n_features, n_inputs, bandwidth, generator)


def kernel(feature, X):
    if feature == "relu":
        # Degree one of the arc-cosine family; the depth of one hidden layer, for unit vectors v
        # in place of normal ones, and without the factor that keeps variances.
        norms = X.norm(dim=1)
        return norms[:, None] * norms * fully_connected_nngp(X, depth=1, normalize=True) / 6
    return torch.tensor(rbf_kernel(X, gamma=1 / (2 * 1.7**2)))


@pytest.mark.parametrize("feature", FEATURES)
def test_inner_products_tend_to_a_kernel(feature):
    X = gaussian(20, 3)
    D = 200_000
    Phi = draw(feature, D)(X, D)
    # Averages of D independent terms of the size of the kernel's largest value, or half as many.
    expected = kernel(feature, X)
    error = (Phi @ Phi.T - expected).abs().max() / expected.max()
    assert error < 5 * (D / 2) ** -0.5


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("n_inputs", [1, 3, 64])
def test_the_first_features_of_many_are_those_of_few(feature, n_inputs):
    X = gaussian(10, n_inputs)
    many = draw(feature, 1201, n_inputs)
    for D in (1, 2, 5, 16, 255, 256, 257, 512, 600):
        few = draw(feature, D, n_inputs)
        assert len(few.frequencies) == n_projections(feature, D)
        # The same numbers; matrix products of other shapes round in other ways.
        torch.testing.assert_close(few(X, D), many(X, D), rtol=0, atol=1e-14)
        of_many = many(X, 1201)[:, :D]
        power = 0.5
        torch.testing.assert_close(
            few(X, D) * (D / 1201) ** power, of_many, rtol=1e-12, atol=1e-14
        )
    assert not torch.equal(draw(feature, 5, n_inputs, seed=1).frequencies, few.frequencies[:5])


@pytest.mark.parametrize("n_features", [1, 2, 7, 8])
def test_cosines_and_sines_take_turns(n_features):
    X, features = gaussian(6, 3), draw("fourier", n_features)
    angles = (X @ features.frequencies.T).numpy()
    columns = [f(angle) for angle in angles.T for f in (np.cos, np.sin)][:n_features]
    expected = np.stack(columns, 1) * np.sqrt(2 / n_features)
    np.testing.assert_allclose(features(X, n_features), expected, atol=1e-15)
    if n_features % 2 == 0:
        np.testing.assert_allclose(features(X, n_features).square().sum(1), 1, rtol=1e-14)


def test_phases_and_directions():
    X, features = gaussian(6, 3), draw("fourier_phase", 1000)
    assert 0 <= features.phases.min() < 0.1
    assert 2 * np.pi - 0.1 < features.phases.max() < 2 * np.pi
    expected = torch.cos(X @ features.frequencies.T + features.phases) * np.sqrt(2 / 1000)
    torch.testing.assert_close(features(X, 1000), expected)
    features = draw("relu", 1000)
    assert features.phases is None
    np.testing.assert_allclose(features.frequencies.norm(dim=1), 1, rtol=1e-14)
    expected = (X @ features.frequencies.T).clamp_min(0) / np.sqrt(1000)
    torch.testing.assert_close(features(X, 1000), expected)


@pytest.mark.parametrize("feature", FEATURES)
def test_sums_of_features_in_blocks(feature, monkeypatch):
    X, features, coef = gaussian(50, 3), draw(feature, 31), gaussian(31, 2, seed=1)
    monkeypatch.setattr("skoverparam.kernels._random_features._AT_ONCE", 100)
    torch.testing.assert_close(features.apply(X, coef), features(X, 31) @ coef)


def test_the_median_of_distances():
    X = gaussian(31, 4)
    expected = np.median(torch.pdist(X).numpy())  # of an odd number of pairs
    assert median_distance(X) == pytest.approx(expected, rel=1e-12)
    for p in (1.0, float("inf")):
        expected = np.median(torch.pdist(X, p=p).numpy())
        assert median_distance(X, p) == pytest.approx(expected, rel=1e-12)
    # Repeated rows, offsets and scales change nothing but the scale.
    assert median_distance(torch.cat([X, X[:7], X[:3]])) == pytest.approx(median_distance(X))
    assert median_distance(X + 1e6) == pytest.approx(median_distance(X), rel=1e-8)
    for size in (1e-250, 1e250):
        assert median_distance(X * size) == pytest.approx(size * median_distance(X), rel=1e-12)
    for nothing in (X[:1], torch.ones(5, 3), torch.zeros(5, 3)):
        assert median_distance(nothing) == 1.0
    # A thousand of many rows.
    many = gaussian(4000, 4)
    assert median_distance(many) == pytest.approx(median_distance(many[:1000]), rel=0.05)
    assert median_distance(many) == median_distance(many)
