"""Temperatures against scipy's minimizer, and what probabilities promise."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from skoverparam.nets._calibration import (
    fit_temperature,
    fixed_temperature,
    log_probabilities,
    probabilities,
)
from skoverparam.nets._losses import Loss


def noisy(n=4000, n_classes=6, scale=1.0, seed=0):
    """Outputs, and labels drawn from softmax(outputs / (scale * 0.3))."""
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n, n_classes, generator=generator, dtype=torch.float64)
    p = (outputs / 0.3).softmax(1)
    return scale * outputs, torch.multinomial(p, 1, generator=generator)[:, 0]


@pytest.mark.parametrize("M", [1.0, 15.0])
def test_temperature_minimizes_the_log_loss(M):
    outputs, labels = noisy(scale=M)

    def risk(log_T):
        return log_loss(labels, (outputs / np.exp(log_T)).softmax(1), labels=range(6))

    best = minimize_scalar(risk, bounds=np.log([0.01 * M, 10 * M]), method="bounded")
    temperature = fit_temperature(outputs, labels, Loss("square", 1, M))
    # One imagined sample among 4000 softens the answer a little.
    assert temperature == pytest.approx(np.exp(best.x), rel=0.01)
    # That of the labels, up to the error of 4000 draws.
    assert temperature == pytest.approx(0.3 * M, rel=0.05)


def test_perfect_predictions_give_no_certainty():
    labels = torch.arange(90) % 10
    outputs = torch.eye(10, dtype=torch.float64)[labels]
    temperature = fit_temperature(outputs, labels, Loss())
    p = probabilities(outputs, temperature)
    # 90 right, and one imagined sample of any class: the rule of succession.
    assert float(p[0, 0]) == pytest.approx(1 - 0.9 / 91, abs=1e-9)


def test_useless_outputs_give_even_probabilities():
    outputs, _ = noisy()
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(6, (4000,), generator=generator)
    temperature = fit_temperature(outputs, labels, Loss())
    p = probabilities(outputs, temperature)
    assert float(p.max()) < 0.3
    constant = torch.zeros(50, 6)
    assert np.isfinite(fit_temperature(constant, labels[:50], Loss()))


def test_fixed_temperatures():
    assert fixed_temperature(Loss("square", 15, 30)) == pytest.approx(3)
    assert fixed_temperature(Loss("cross-entropy")) == 1
    assert fixed_temperature(Loss("squentropy")) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-3, 0.1, 1.0, 1e3])
def test_probabilities_keep_the_decision(dtype, temperature):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(500, 7, generator=generator, dtype=dtype)
    # Two outputs that differ by one unit in the last place: softmax makes them equal.
    outputs[:, 5] = outputs.amax(1)
    outputs[:, 6] = torch.nextafter(outputs[:, 5], torch.full_like(outputs[:, 5], 9))
    p = probabilities(outputs, temperature)
    assert p.dtype == dtype
    assert torch.equal(p.argmax(1), outputs.argmax(1))
    assert bool((p >= 0).all())
    np.testing.assert_allclose(p.sum(1), 1, rtol=0, atol=1e-6)
    logarithms = log_probabilities(outputs, temperature)
    assert bool(torch.isfinite(logarithms).all())
    if dtype == torch.float64:
        positive = p > 1e-300
        np.testing.assert_allclose(logarithms.exp()[positive], p[positive], rtol=1e-12)


def test_two_classes_are_ordered_by_the_difference_of_outputs():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    p = probabilities(outputs, 0.1)[:, 1]
    order = (outputs[:, 1] - outputs[:, 0]).argsort()
    assert bool((p[order].diff() >= 0).all())


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("scale", [1.0, 1e-60, 1e60, -1.0, -1e-60, -1e60])
def test_probabilities_keep_the_decision_in_less_precision(n_classes, scale):
    generator = torch.Generator().manual_seed(0)
    outputs = 1 + 1e-9 * torch.randn(200, n_classes, generator=generator, dtype=torch.float64)
    p = probabilities(scale * outputs, 1.0, torch.float32)
    assert p.dtype == torch.float32
    assert torch.equal(p.argmax(1), (scale * outputs).argmax(1))
