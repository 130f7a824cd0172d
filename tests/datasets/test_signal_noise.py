"""Patches: the signal, the noise, their places, the labels."""

import numpy as np
import pytest

from skoverparam.datasets import make_signal_noise_patches


@pytest.mark.parametrize("n_patches", [1, 2, 4])
@pytest.mark.parametrize("position", ["random", "first"])
def test_samples_are_the_signal_and_the_noise(n_patches, position):
    X, y, truth = make_signal_noise_patches(
        50, 7, 3.0, n_patches=n_patches, position=position, random_state=0
    )
    assert X.shape == (50, 7 * n_patches)
    np.testing.assert_array_equal(truth.signal, [3, 0, 0, 0, 0, 0, 0])
    for patches, label, at, noise in zip(
        X.reshape(50, n_patches, 7), y, truth.signal_position, truth.noise, strict=True
    ):
        np.testing.assert_array_equal(patches[at], label * truth.signal)
        np.testing.assert_array_equal(np.delete(patches, at, axis=0), noise)
    expected = {0} if position == "first" or n_patches == 1 else set(range(n_patches))
    assert set(truth.signal_position) == expected
    assert set(y) == {-1, 1}
    assert y.dtype.kind == "i"


@pytest.mark.parametrize("orthogonal", [True, False])
def test_noise_has_its_covariance(orthogonal):
    mu = np.array([1.0, 2.0, -1.0])
    _, y, truth = make_signal_noise_patches(
        40_000, 3, mu, sigma_p=0.5, orthogonal_noise=orthogonal, random_state=0
    )
    noise = truth.noise[:, 0]
    expected = 0.25 * (np.eye(3) - orthogonal * np.outer(mu, mu) / 6)
    # Standard errors of variances of 0.25 are 0.0018.
    np.testing.assert_allclose(noise.T @ noise / 40_000, expected, atol=0.01)
    assert y.mean() == pytest.approx(0, abs=0.03)
    assert truth.snr == pytest.approx(np.sqrt(6) / (0.5 * np.sqrt(3)))
    if orthogonal:
        np.testing.assert_allclose(noise @ mu, 0, atol=1e-12)


def test_published_order_of_draws():
    rng = np.random.default_rng(3)
    y, noise = rng.choice([-1, 1], 6), rng.normal(size=(6, 5))
    noise[:, 0] = 0
    X, found, _ = make_signal_noise_patches(6, 5, 2.0, position="first", random_state=3)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(X[:, 5:], noise)


def test_flips_and_seeds():
    X, y, truth = make_signal_noise_patches(100, 5, flip=0.13, random_state=0)
    assert (y != truth.y).sum() == 13
    again, y_again, _ = make_signal_noise_patches(100, 5, flip=0.13, random_state=0)
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, y_again)
    other, _, _ = make_signal_noise_patches(100, 5, flip=0.13, random_state=1)
    assert (other != X).any()
    state = np.random.RandomState(0)
    first, _, _ = make_signal_noise_patches(5, 5, random_state=state)
    second, _, _ = make_signal_noise_patches(5, 5, random_state=state)
    assert (first != second).any()


def test_no_noise_and_no_signal():
    X, _, truth = make_signal_noise_patches(5, 4, 1.0, sigma_p=0.0, random_state=0)
    assert truth.snr == np.inf
    assert np.count_nonzero(X) == 5
    X, _, truth = make_signal_noise_patches(5, 4, 0.0, position="first", random_state=0)
    assert truth.snr == 0
    assert not X[:, :4].any()
    assert X[:, 4:].all()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n": 0}, ValueError, "n must be at least 1"),
        ({"d": 2.5}, TypeError, "d must be an integer"),
        ({"signal": -1.0}, ValueError, "signal must be at least 0"),
        ({"signal": [1.0, 2.0]}, ValueError, r"signal must have length 5 \(d\)"),
        ({"n_patches": 0}, ValueError, "n_patches"),
        ({"sigma_p": -1}, ValueError, "sigma_p"),
        ({"flip": 0.5}, ValueError, "flip must be below 0.5"),
        ({"position": "last"}, ValueError, "position must be one of"),
        ({"orthogonal_noise": 1}, TypeError, "orthogonal_noise"),
        ({"random_state": "x"}, ValueError, "random_state"),
    ],
)
def test_refuses(parameters, error, message):
    with pytest.raises(error, match=message):
        make_signal_noise_patches(**{"n": 5, "d": 5, "random_state": 0} | parameters)
