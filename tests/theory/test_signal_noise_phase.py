"""Blow-up times against the differential equation, the constant against simulation."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import norm

from skoverparam.theory import signal_noise_phase
from skoverparam.theory._signal_noise_phase import _largest


def test_mean_of_the_largest_normal_number():
    assert _largest(1) == pytest.approx(0, abs=1e-12)
    assert _largest(2) == pytest.approx(1 / np.sqrt(np.pi), abs=1e-10)
    assert _largest(3) == pytest.approx(1.5 / np.sqrt(np.pi), abs=1e-10)
    draws = np.random.default_rng(0).standard_normal((100_000, 10)).max(1)
    assert _largest(10) == pytest.approx(draws.mean(), abs=4 * draws.std() / np.sqrt(100_000))
    # From the distribution function: the mean is the area above it, less that below.
    x = np.linspace(-10, 12, 200_001)
    power = norm.cdf(x) ** 100_000
    area = np.trapezoid(np.where(x > 0, 1 - power, -power), x)
    assert _largest(100_000) == pytest.approx(area, abs=1e-4)


@pytest.mark.parametrize("q", [2.5, 3.0, 4.0])
def test_times_are_those_of_the_differential_equations(q):
    n, d, mu, m, scale, rate = 20, 400, 8.0, 10, 0.01, 0.00125
    phase = signal_noise_phase(n, d, mu, q=q, init_scale=scale, learning_rate=rate)
    noise = np.sqrt(d)
    for time, factor, start in (
        (phase.signal_time, rate * q * mu**2 / (4 * m), scale * mu),
        (phase.noise_time, rate * q * noise**2 / (2 * n * m), scale * noise),
    ):
        start *= _largest(m)

        # In the logarithm of the number that grows, time is finite up to any size.
        def slope(log, _, factor=factor):
            return np.exp(-(q - 2) * log) / factor

        logs = (np.log(start), np.log(start) + 40 / (q - 2))
        found = solve_ivp(slope, logs, [0.0], rtol=1e-10, atol=1e-12)
        assert found.y[0, -1] == pytest.approx(float(time), rel=1e-6)


def test_boundary_is_where_the_times_are_equal():
    n, d = np.array([20, 20, 80]), np.array([100, 400, 400])
    at = signal_noise_phase(n, d, 5.0, sigma_p=2.0)
    np.testing.assert_allclose(at.boundary, 2 * np.sqrt(d) * (2 / n) ** (1 / 3))
    np.testing.assert_allclose(at.ratio, at.n_snr_q / 2)
    on_it = signal_noise_phase(n, d, at.boundary, sigma_p=2.0)
    np.testing.assert_allclose(on_it.signal_time, on_it.noise_time)
    np.testing.assert_allclose(on_it.n_snr_q, 2)
    assert signal_noise_phase(20, 400, 9.5).benign
    assert not signal_noise_phase(20, 400, 9.0).benign
    assert on_it.snr.shape == (3,)


def test_more_noise_patches_move_the_boundary_up():
    two = signal_noise_phase(20, 400, 8.0, init_scale=0.01)
    four = signal_noise_phase(20, 400, 8.0, init_scale=0.01, n_patches=4)
    assert four.noise_time < two.noise_time
    assert four.signal_time == two.signal_time
    assert four.boundary > two.boundary
    expected = two.boundary * (_largest(30) / _largest(10)) ** (1 / 3)
    assert four.boundary == pytest.approx(expected)


def test_own_scale_and_step_are_the_estimators():
    phase = signal_noise_phase(20, 400, 10.0)
    same = signal_noise_phase(20, 400, 10.0, init_scale=0.2 / 15, learning_rate=0.5 / 400)
    np.testing.assert_allclose(phase.noise_time, same.noise_time)
    np.testing.assert_allclose(phase.signal_time, same.signal_time)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"q": 2}, ValueError, "q must be above 2"),
        ({"n": 0}, ValueError, "n must be positive"),
        ({"d": [1, np.nan]}, ValueError, "d must be finite"),
        ({"signal": "loud"}, TypeError, "signal must be an array of numbers"),
        ({"n_filters": 0}, ValueError, "n_filters"),
        ({"n_patches": 1}, ValueError, "n_patches"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be positive"),
        ({"n": [1, 2], "d": [1, 2, 3]}, ValueError, "broadcast"),
    ],
)
def test_refuses(parameters, error, message):
    with pytest.raises(error, match=message):
        signal_noise_phase(**{"n": 20, "d": 100, "signal": 1.0} | parameters)


@pytest.mark.parametrize(("signal", "q"), [(1.0, 612.0), (1e200, 3.0), (1e-200, 40.0)])
def test_powers_beyond_the_range_of_numbers(signal, q):
    """Times may be infinite or zero; who wins is still decided."""
    phase = signal_noise_phase(20, 400, [signal, 30.0], q=q, init_scale=0.01, learning_rate=0.01)
    assert not np.isnan([phase.ratio, phase.signal_time, phase.boundary]).any()
    np.testing.assert_array_equal(phase.benign, [signal > 30, True])
