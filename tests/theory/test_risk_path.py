"""The recursion over features against a singular value decomposition for each of them."""

import numpy as np
import pytest

from skoverparam.theory import FeatureLaws, spectrum
from skoverparam.theory._risk_path import append_feature, empty_path, risk_path


def recorded_path(laws, n_draws, n_samples, seed=0):
    """Append all features, and yield the designs so far with the state."""
    rng = np.random.default_rng(seed)
    state, designs = empty_path(n_draws, n_samples), np.empty((n_draws, n_samples, 0))
    for k in range(len(laws.scale)):
        feature = FeatureLaws(*(part[k : k + 1] for part in laws))
        b = feature.sample(rng, n_draws * n_samples).reshape(n_draws, n_samples)
        designs = np.concatenate([designs, b[:, :, None]], axis=2)
        state, _ = append_feature(state, b, laws.variances[k])
        yield designs, state


@pytest.mark.parametrize(
    ("levels", "tolerance"), [([1, 1], 1e-9), ([1, 1e-3], 1e-9), ([1, 1e4], 1e-9)]
)
def test_metrics_of_gaussian_designs(levels, tolerance):
    n, variances = 8, spectrum("staircase", sizes=[20, 20], levels=levels)
    laws = FeatureLaws.from_variances(variances)
    for designs, state in recorded_path(laws, 30, n):
        d = designs.shape[2]
        W = np.linalg.pinv(designs)  # (T, d, n)
        weighted = variances[:d, None] * W
        for metric, expected in (
            (state.metrics[:, 0], W.swapaxes(1, 2) @ W),
            (state.metrics[:, 1], W.swapaxes(1, 2) @ weighted),
        ):
            # Near d = n single designs are ill-conditioned: errors are relative to the size.
            size = np.abs(expected).max(axis=(1, 2))
            assert (np.abs(metric - expected).max(axis=(1, 2)) <= tolerance * size).all()
        np.testing.assert_array_equal(state.rank, min(d, n))


def test_steep_stairs_up_are_followed_to_full_accuracy():
    # Symmetric to the last bit, or rounding of early features would outweigh the late metric.
    laws = FeatureLaws.from_variances(
        spectrum("staircase", sizes=[25, 25, 30], levels=[1, 1e6, 1e12])
    )
    *_, (designs, state) = recorded_path(laws, 50, 10)
    scaled = designs / 1e6
    _, R = np.linalg.qr(scaled.swapaxes(1, 2))
    inverse = np.linalg.inv(R)
    expected = np.linalg.norm(inverse, axis=(1, 2)) ** 2 / 1e12
    np.testing.assert_allclose(
        np.trace(state.metrics[:, 0], axis1=1, axis2=2), expected, rtol=1e-8
    )


def test_dependent_and_absent_columns():
    # Signs of three samples repeat soon, and rare spikes leave whole columns at zero.
    laws = FeatureLaws(np.zeros(12), np.ones(12), np.r_[np.ones(6), np.full(6, 0.2)])
    deficient = 0
    for designs, state in recorded_path(laws, 200, 3):
        d = designs.shape[2]
        np.testing.assert_array_equal(state.rank, np.linalg.matrix_rank(designs))
        deficient += (state.rank < min(d, 3)).sum()
        W = np.linalg.pinv(designs)
        np.testing.assert_allclose(
            state.metrics[:, 1],
            W.swapaxes(1, 2) @ (laws.variances[:d, None] * W),
            atol=1e-9,
        )
    assert deficient > 200


@pytest.mark.parametrize("n", [1, 2, 6])
def test_risks_are_those_of_the_pseudoinverse(n):
    variances = np.array([1.0, 0.3, 2.0, 0.0, 1e-4, 1.0, 0.5, 3.0, 1.0])
    coef = np.array([1.0, -2.0, 0.5, 1.0, 30.0, 0.0, 1.0, 1.0, 2.0])
    laws, dims = FeatureLaws.from_variances(variances), [0, 1, 3, 4, 6, 9]
    bias, variance = risk_path(n, laws, coef, dims, 7, np.random.default_rng(3))
    # The same draws: one chunk, feature by feature.
    rng = np.random.default_rng(3)
    A = np.stack([np.sqrt(v) * rng.standard_normal((7, n)) for v in variances], axis=-1)
    for j, d in enumerate(dims):
        W = np.linalg.pinv(A[:, :, :d], rcond=1e-13)
        error = W @ (A[:, :, :d] @ coef[:d])[..., None] - coef[:d, None]
        expected = (variances[:d] * error[..., 0] ** 2).sum(axis=1)
        np.testing.assert_allclose(bias[:, j], expected, rtol=1e-7, atol=1e-11)
        expected = (variances[:d, None] * W**2).sum(axis=(1, 2))
        np.testing.assert_allclose(variance[:, j], expected, rtol=1e-7)


def test_chunks_only_change_the_draws(monkeypatch):
    laws = FeatureLaws.from_variances(np.ones(9))
    monkeypatch.setattr("skoverparam.theory._risk_path._CHUNK_ENTRIES", 2 * 4**2 * 10)
    bias, variance = risk_path(4, laws, np.ones(9), [0, 9], 35, np.random.default_rng(0))
    assert bias.shape == variance.shape == (35, 2)
    assert len(np.unique(variance[:, 1])) == 35
    np.testing.assert_array_equal(variance[:, 0], 0)
