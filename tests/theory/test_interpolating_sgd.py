"""Stochastic gradients that are run, against their exact mean and the rates promised."""

import itertools

import numpy as np
import pytest

from skoverparam.theory import critical_batch_size, interpolating_sgd, sgd_mean_squared_error


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 30)) / np.sqrt(np.arange(1, 31))
    return X, X @ rng.standard_normal(30)


@pytest.fixture(scope="module")
def exact(problem):
    """Steps until the exact mean is a millionth, by batch size, and the bounds."""
    theory = critical_batch_size(problem[0], batch_sizes=[1, 2, 4, 8, 12, 13, 52, 400])
    steps, bounds = {}, {}
    for m, eta, rate in zip(theory.batch_sizes, theory.step_sizes, theory.rates, strict=True):
        bounds[m] = np.ceil(np.log(1e-6) / np.log(rate))
        errors = sgd_mean_squared_error(
            *problem, batch_size=m, step_size=eta, n_steps=int(bounds[m])
        )
        assert (errors <= errors[0] * rate ** np.arange(len(errors)) * (1 + 1e-9)).all()
        steps[m] = int(np.argmax(errors <= 1e-6 * errors[0]))
    return steps, bounds


def test_linear_scaling_up_to_the_critical_batch_size(exact):
    steps, _ = exact
    for m in (2, 4, 8, 12, 13):
        assert m * steps[m] == pytest.approx(steps[1], rel=0.05)


def test_saturation_beyond_it(exact):
    steps, _ = exact
    assert steps[52] <= 1.5 * steps[400]
    assert 52 * steps[52] > 2 * steps[1]


def test_runs_take_as_many_steps_as_measured_elsewhere(problem):
    batches = [1, 2, 4, 8, 12, 16, 32, 64, 128, 400]
    runs = interpolating_sgd(*problem, batch_sizes=batches, n_repeats=20, random_state=0)
    published = [2854, 1428, 714, 359, 240, 203, 163, 143, 133, 127]
    # Those are means over five seeds and another solution.
    np.testing.assert_allclose(runs.n_steps.mean(axis=1), published, rtol=0.05)
    assert (runs.n_steps <= runs.bound[:, None]).all()
    assert runs.n_steps.shape == (10, 20)


def test_exact_mean_is_the_mean_over_all_sequences_of_batches():
    X = np.array([[1.0, 0.5], [0.2, -1.0], [0.3, 0.3]])
    w = np.array([1.0, -2.0])
    expected = []
    for t in range(3):
        squares = []
        for batches in itertools.product(itertools.product(range(3), repeat=2), repeat=t):
            v = np.zeros(2)
            for batch in batches:
                R = X[list(batch)]
                v = v - 0.4 / 2 * R.T @ (R @ v - R @ w)
            squares.append(((v - w) ** 2).sum())
        expected.append(np.mean(squares))
    measured = sgd_mean_squared_error(X, X @ w, batch_size=2, step_size=0.4, n_steps=2)
    np.testing.assert_allclose(measured, expected, rtol=1e-13)


def test_more_features_than_samples_lead_to_the_minimum_norm():
    # Distances are from X^+ y, which is reached from zero within the row space.
    rng = np.random.default_rng(3)
    X = rng.standard_normal((8, 50))
    y = rng.standard_normal(8)
    runs = interpolating_sgd(X, y, batch_sizes=[8], n_repeats=3, random_state=0)
    assert np.isfinite(runs.n_steps).all()
    errors = sgd_mean_squared_error(X, y, batch_size=8, step_size=0.1, n_steps=1)
    assert errors[0] == pytest.approx((np.linalg.lstsq(X, y)[0] ** 2).sum())


def test_steps_that_are_too_long_never_end(problem):
    runs = interpolating_sgd(
        *problem, batch_sizes=[1, 400], step_sizes=[2.0, 2.5], n_repeats=2, random_state=0
    )
    assert np.isinf(runs.n_steps).all()
    assert np.isinf(runs.bound).all()


def test_runs_end_at_the_limit(problem):
    runs = interpolating_sgd(*problem, batch_sizes=1, max_steps=10, random_state=0)
    assert np.isinf(runs.n_steps).all()


def test_the_same_seed_gives_the_same_runs(problem):
    one, two, other = (
        interpolating_sgd(*problem, batch_sizes=32, random_state=seed).n_steps
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": [1, 0, 0, 0]}, "y must be fitted exactly by some coefficients"),
        ({"y": np.zeros(4)}, "y must have a value other than zero"),
        ({"y": np.ones(3)}, r"y must have length 4 \(n_samples\), got length 3"),
        ({"tol": 0.0}, "tol must be above 0"),
        ({"n_repeats": 0}, "n_repeats must be at least 1"),
        ({"step_sizes": [0.1, 0.2]}, "step_sizes must have length 1"),
        ({"step_sizes": -0.1}, "step_sizes must be above 0"),
        ({"random_state": "a"}, "random_state must be None"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    X = np.arange(8.0).reshape(4, 2)
    given = {"X": X, "y": X @ [1.0, 2.0], "batch_sizes": 2} | changes
    with pytest.raises(ValueError, match=message):
        interpolating_sgd(**given)


def test_step_sizes_that_are_no_numbers_are_named():
    X = np.eye(3)
    with pytest.raises(TypeError, match="step_sizes must be an array of numbers"):
        interpolating_sgd(X, np.ones(3), batch_sizes=[1], step_sizes="fast")
