"""Orders of sequences whose order is known."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch

from skoverparam.linalg import convergence_order


def scalar_errors(recursion, n_steps, start="0.25"):
    """Errors of a recursion in 400 digits; float64 holds them down to 1e-308."""
    with localcontext() as context:
        context.prec = 400
        errors = [Decimal(start)]
        for _ in range(n_steps):
            errors.append(recursion(errors[-1]))
    return errors


def test_steps_from_the_iterate_square_the_error_in_400_digits():
    errors = scalar_errors(lambda e: e * e * (2 - e), 9)
    logarithms = [float(e.log10()) for e in errors]
    expected = [-0.6021, -0.9611, -1.646, -2.995, -5.689, -11.08, -21.85, -43.41, -86.51, -172.7]
    np.testing.assert_allclose(logarithms, expected, rtol=5e-4)
    fit = convergence_order(np.array([float(e) for e in errors]), floor=0.0)
    ratios = [1.596, 1.712, 1.820, 1.900, 1.947, 1.973, 1.986, 1.993, 1.997]
    np.testing.assert_allclose(fit.ratios, ratios, atol=6e-4)
    # The ratios approach two slowly; the line does not care for the constant, which tends to two.
    assert abs(fit.order - 2) < 1e-3
    assert fit.constant == pytest.approx(2, rel=0.05)
    np.testing.assert_array_equal(fit.steps, range(9))


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("constant", [0.1, 0.9])
def test_a_power_law_is_recovered(order, constant):
    errors = [0.2]
    for _ in range(4):
        errors.append(constant * errors[-1] ** order)
    fit = convergence_order(errors, floor=0.0)
    # Exact up to rounding errors of logarithms.
    assert fit.order == pytest.approx(order, abs=1e-12)
    assert fit.constant == pytest.approx(constant, rel=1e-10)


def test_pairs_outside_of_the_local_phase_are_left_out():
    errors = [3.9, 2.0, 0.9, 0.31, 1e-1, 1e-2, 1e-4, 1e-8, 2e-15, 1.9e-15]
    fit = convergence_order(errors)
    np.testing.assert_array_equal(fit.steps, [4, 5, 6])
    assert fit.order == pytest.approx(2, abs=1e-12)
    assert convergence_order(errors, below=0.05).steps.tolist() == [5, 6]
    assert convergence_order(errors, floor=1e-6).steps.tolist() == [4, 5]


def test_a_stalled_end_is_the_floor_of_a_fast_sequence_only():
    fast = [1e-1, 1e-2, 1e-4, 3e-7, 2.9e-7]
    assert convergence_order(fast).steps.tolist() == [0, 1]
    slow = [0.2 * 0.9**t for t in range(20)]
    fit = convergence_order(slow)
    assert len(fit.steps) == 19
    assert fit.order == pytest.approx(1)
    assert fit.constant == pytest.approx(0.9)


def test_too_few_pairs_have_no_order():
    for errors in ([], [0.1], [0.1, 0.01], [2.0, 1.0, 0.5], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1]):
        assert np.isnan(convergence_order(np.array(errors, dtype=float)).order)


def test_answers_in_kind():
    errors = torch.tensor([0.1, 0.01, 1e-4, 1e-8], dtype=torch.float64)
    assert isinstance(convergence_order(errors).ratios, torch.Tensor)
    assert isinstance(convergence_order(errors.numpy()).ratios, np.ndarray)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="errors must have one axis"):
        convergence_order([[0.1]])
    with pytest.raises(ValueError, match="errors must be at least 0, got -1"):
        convergence_order([0.1, -1.0])
    with pytest.raises(ValueError, match="errors must hold finite"):
        convergence_order([0.1, np.nan])
    with pytest.raises(ValueError, match="floor"):
        convergence_order([0.1, 0.01], floor=-1.0)
    with pytest.raises(ValueError, match="below"):
        convergence_order([0.1, 0.01], below=0.0)
