"""Class labels to targets and back."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from skoverparam._labels import (
    TargetCoding,
    check_target_coding,
    decision_values,
    decision_values_of_outputs,
    encode_labels,
    project_to_simplex,
)


@pytest.mark.parametrize("coding", ["onehot", "pm1", "rescaled", (5, 3)])
@pytest.mark.parametrize("n_classes", [2, 3, 50])
def test_labels_survive_the_round_trip(coding, n_classes):
    labels = torch.arange(n_classes).repeat(2)
    code = TargetCoding.of(coding, n_classes)
    targets = code.columns(labels)
    assert (code.decide(targets) == labels).all()
    # Exact targets are certain.
    sure = torch.nn.functional.one_hot(labels, n_classes).double()
    torch.testing.assert_close(code.probabilities(targets), sure, rtol=0, atol=1e-12)


@pytest.mark.parametrize("coding", ["onehot", "pm1", (1, 15), (15, 30)])
def test_probabilities_invert_the_minimizer_of_the_expected_loss(coding):
    p = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    code = TargetCoding.of(coding, 4)
    labels = torch.arange(4)
    targets, weights = code.columns(labels), code.weights(labels)
    weights = torch.ones_like(targets) if weights is None else weights
    # Least squares in closed form: the weighted mean of the targets under p.
    outputs = (p @ (weights * targets)) / (p @ weights)
    found = code.probabilities(outputs[None])[0]
    torch.testing.assert_close(found, p, rtol=0, atol=1e-12)


def test_one_column_for_two_classes_is_the_difference_of_two():
    rng = np.random.default_rng(0)
    S = torch.from_numpy(rng.normal(size=(7, 20)))  # any linear rule
    labels = torch.from_numpy(rng.integers(2, size=20))
    one = S @ TargetCoding.of("onehot", 2).columns(labels)
    two = S @ torch.nn.functional.one_hot(labels, 2).double()
    torch.testing.assert_close(one[:, 0], two[:, 1] - two[:, 0])


def test_rescaling_follows_the_published_table():
    assert TargetCoding.of("rescaled", 41)[1:] == (1.0, 0.0, 1.0)
    assert TargetCoding.of("rescaled", 42)[1:] == (15.0, 0.0, 1.0)
    assert TargetCoding.of("rescaled", 1000)[1:] == (30.0, 0.0, 15.0)


def test_projection_is_the_nearest_point():
    rows = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 5)))
    found = project_to_simplex(rows)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(4, dtype=torch.float64))
    for row, point in zip(rows.numpy(), found.numpy(), strict=True):
        best = minimize(
            lambda p, row=row: ((p - row) ** 2).sum(),
            np.full(5, 0.2),
            bounds=[(0, 1)] * 5,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            options={"ftol": 1e-14},
        ).x
        np.testing.assert_allclose(point, best, atol=1e-6)  # what the optimizer reaches


def test_projection_of_large_rows():
    rows = [[1e300, 1e300, 0.0], [1e17, 0.0, 0.0], [-1e300, 0.3, 0.5]]
    expected = [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.4, 0.6]]
    rows, expected = (torch.tensor(each, dtype=torch.float64) for each in (rows, expected))
    torch.testing.assert_close(project_to_simplex(rows), expected)


@pytest.mark.parametrize("bad", ["ones", 3, (1,), (0.5, 1), (1, "2"), None])
def test_a_wrong_coding_is_named(bad):
    with pytest.raises((TypeError, ValueError), match="target_coding"):
        check_target_coding(bad)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"Rule needs samples of at least two classes.*\['a'\]"):
        encode_labels(np.array(["a", "a"]), "Rule")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_decide_the_same_in_any_precision(dtype):
    two = torch.tensor([1e-300, -1e-300, 0.0, 1e300, -1e300, 2.0], dtype=torch.float64)
    values = decision_values(two, dtype)
    assert values.dtype == dtype
    assert bool(values.isfinite().all())
    torch.testing.assert_close(values.sign().double(), two.sign(), rtol=0, atol=0)
    assert float(values[-1]) == 2.0
    rows = [
        [1.0, 1 + 1e-12, 0.5],
        [-1.0, -1 + 1e-12, -2.0],
        [-1e-300, -1e-310, -1e-300],
        [1e299, 1e300, 1e200],
        [-1e300, -1e299, -1e300],
        [0.0, 1e-300, 0.0],
    ]
    rows = torch.tensor(rows, dtype=torch.float64)
    values = decision_values(rows, dtype)
    assert bool(values.isfinite().all())
    assert values.argmax(1).tolist() == [1] * len(rows)
    # The best stands alone, so that another way to break ties finds it, too.
    assert ((values == values.amax(1, keepdim=True)).sum(1) == 1).all()
    assert float((values[0].double() - rows[0]).abs().max()) < 2e-7


@pytest.mark.parametrize("shape", [(50, 2), (50, 5), (10, 5, 2), (10, 5, 4)])
@pytest.mark.parametrize("scale", [1.0, 1e-60, 1e60, -1.0, -1e-60, -1e60])
def test_decision_values_of_outputs_decide_the_same_in_less_precision(shape, scale):
    generator = torch.Generator().manual_seed(0)
    outputs = scale * (1 + 1e-9 * torch.randn(shape, generator=generator, dtype=torch.float64))
    scores = decision_values_of_outputs(outputs, torch.float32)
    assert scores.dtype == torch.float32
    assert bool(scores.isfinite().all())
    decided = (scores > 0).long() if shape[-1] == 2 else scores.argmax(-1)
    assert torch.equal(decided, outputs.argmax(-1))


def test_decision_values_with_more_precision_are_the_same_numbers():
    outputs = torch.tensor([[1.0, 2.0, 3e38], [-3e38, 1e-45, 0.0]])
    scores = decision_values(outputs, torch.float64)
    assert torch.equal(scores, outputs.double())
    assert decision_values(outputs, torch.float32) is outputs
