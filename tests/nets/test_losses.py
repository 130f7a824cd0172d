"""Losses against loops, torch's own, and autodiff."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

from skoverparam.nets._losses import (
    LOSSES,
    Loss,
    loss,
    loss_and_gradient,
    published_rescaling,
)

RESCALINGS = [(1, 1), (1, 15), (15, 30)]


def batch(n=17, n_classes=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(n, n_classes, generator=generator, dtype=dtype)
    return outputs, torch.randint(n_classes, (n,), generator=generator)


def by_loops(outputs, labels, k, M, class_reduction):
    total = 0.0
    for f, y in zip(outputs.tolist(), labels.tolist(), strict=True):
        one = sum(k * (v - M) ** 2 if j == y else v**2 for j, v in enumerate(f))
        total += one / len(f) if class_reduction == "mean" else one
    return total / len(labels)


@pytest.mark.parametrize("class_reduction", ["mean", "sum"])
@pytest.mark.parametrize(("k", "M"), RESCALINGS)
def test_square_loss_is_the_formula(k, M, class_reduction):
    outputs, labels = batch()
    value = loss(outputs, labels, k=k, M=M, class_reduction=class_reduction)
    expected = by_loops(outputs, labels, k, M, class_reduction)
    assert float(value) == pytest.approx(expected, rel=1e-14)


def test_plain_square_loss_is_that_of_torch():
    outputs, labels = batch()
    expected = torch.nn.MSELoss()(outputs, F.one_hot(labels, 5).double())
    assert float(loss(outputs, labels)) == pytest.approx(float(expected), abs=1e-12)


def test_entropies_are_those_of_torch():
    outputs, labels = batch()
    entropy = F.cross_entropy(outputs, labels)
    value = loss(outputs, labels, name="cross-entropy")
    assert float(value) == pytest.approx(float(entropy), rel=1e-14)
    wrong = torch.ones(17, 5).scatter_(1, labels[:, None], 0)
    squares = (wrong * outputs**2).sum() / (17 * 4)
    value = loss(outputs, labels, name="squentropy")
    assert float(value) == pytest.approx(float(entropy + squares), rel=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "k", "M", "class_reduction"),
    [("square", k, M, r) for (k, M), r in itertools.product(RESCALINGS, ["mean", "sum"])]
    + [(name, 1, 1, r) for name, r in itertools.product(LOSSES[1:], ["mean", "sum"])],
)
def test_gradient_is_that_of_autodiff(name, k, M, class_reduction, weighted):
    outputs, labels = batch()
    weights = torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0]) if weighted else None
    outputs.requires_grad_()
    value = loss(
        outputs,
        labels,
        name=name,
        k=k,
        M=M,
        class_reduction=class_reduction,
        class_weights=weights,
    )
    (expected,) = torch.autograd.grad(value, outputs)
    ours, gradient = loss_and_gradient(
        outputs.detach(), labels, Loss(name, k, M, class_reduction), weights
    )
    assert float(ours) == pytest.approx(float(value.detach()), rel=1e-14)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_reduction", ["mean", "sum"])
@pytest.mark.parametrize(("k", "M"), RESCALINGS)
def test_squares_of_residuals_are_the_losses(k, M, class_reduction, weighted):
    outputs, labels = batch()
    kind = Loss("square", k, M, class_reduction)
    weights = torch.rand(17, generator=torch.Generator().manual_seed(1)).double()
    expected = kind.per_sample(outputs, labels) * (weights if weighted else 1)
    residuals = kind.residuals(outputs, labels, weights if weighted else None)
    torch.testing.assert_close(residuals.square().sum(1), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_autodiff_agrees_with_finite_differences(name):
    outputs, labels = batch(n=4)
    outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: loss(f, labels, name=name, k=15, M=2), outputs)


def test_weighted_mean_is_that_of_torch_and_has_no_scale():
    outputs, labels = batch()
    weights = torch.tensor([1.0, 2.0, 0.5, 0.1, 3.0], dtype=torch.float64)
    value = loss(outputs, labels, name="cross-entropy", class_weights=weights)
    expected = F.cross_entropy(outputs, labels, weight=weights)
    assert float(value) == pytest.approx(float(expected), rel=1e-14)
    scaled = loss(outputs, labels, name="cross-entropy", class_weights=7 * weights)
    assert float(scaled) == pytest.approx(float(value), rel=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_labels_that_are_not_counted(name):
    outputs, labels = batch(n=12)
    labels = labels.reshape(3, 4).clone()
    outputs = outputs.reshape(3, 4, 5)
    labels[0, 2:] = -1
    labels[2, 0] = -100
    counted = labels >= 0
    expected = loss(outputs[counted], labels[counted], name=name)
    assert float(loss(outputs, labels, name=name)) == pytest.approx(float(expected), rel=1e-14)
    masked = loss(outputs, labels.clamp_min(0), name=name, mask=counted)
    assert float(masked) == pytest.approx(float(expected), rel=1e-14)
    value, gradient = loss_and_gradient(outputs, labels, Loss(name))
    assert float(value) == pytest.approx(float(expected), rel=1e-14)
    assert gradient.shape == outputs.shape
    assert not gradient[~counted].any()
    assert gradient[counted].any(-1).all()


def test_nothing_counted_is_zero():
    outputs, labels = batch(n=3)
    value, gradient = loss_and_gradient(outputs, labels * 0 - 1, Loss(), torch.ones(5))
    assert float(value) == 0
    assert not gradient.any()
    assert float(loss(outputs, labels * 0 - 1)) == 0
    assert float(loss(outputs, labels * 0, class_weights=torch.zeros(5).double())) == 0


def test_half_precision_is_widened():
    outputs, labels = batch(dtype=torch.float32)
    # Squares of errors from M = 300 exceed the largest float16, 65504.
    value = loss(outputs.half(), labels, k=15, M=300)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(outputs, labels, k=15, M=300)), rel=1e-3)
    value, gradient = loss_and_gradient(outputs.bfloat16(), labels, Loss("square", 15, 300))
    assert value.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16


@pytest.mark.parametrize(("k", "M"), RESCALINGS)
def test_the_best_output_grows_with_the_probability(k, M):
    # The minimizer over constants of the expected loss is k M p / (1 + (k - 1) p): the order of
    # classes, and so every decision, is that of the probabilities.
    for p in (0.05, 0.3, 0.9):
        n = 1000
        labels = (torch.arange(n) < p * n).long()

        def risk(f, labels=labels, n=n):
            outputs = torch.zeros(n, 2, dtype=torch.float64)
            outputs[:, 1] = f
            return float(loss(outputs, labels, k=k, M=M))

        best = minimize_scalar(risk, bounds=(0, M), method="bounded", options={"xatol": 1e-9})
        assert best.x == pytest.approx(k * M * p / (1 + (k - 1) * p), rel=1e-6)


def test_rescaling_by_the_number_of_classes():
    gradient_descent = {2: (1, 1), 41: (1, 1), 42: (1, 15), 999: (1, 15), 1000: (15, 30)}
    for n_classes, expected in gradient_descent.items():
        assert published_rescaling(n_classes, adaptive=False) == expected
    for n_classes, expected in {41: (1, 1), 42: (15, 1), 5000: (15, 1)}.items():
        assert published_rescaling(n_classes, adaptive=True) == expected


def test_gradient_in_single_precision_keeps_its_digits_at_large_targets():
    outputs, labels = batch(n=50, n_classes=1000)
    kind = Loss("square", 15, 30)
    exact = loss_and_gradient(outputs, labels, kind)
    single = loss_and_gradient(outputs.float(), labels, kind)
    assert float(single[0]) == pytest.approx(float(exact[0]), rel=1e-6)
    np.testing.assert_allclose(single[1], exact[1], rtol=1e-5, atol=1e-9)
