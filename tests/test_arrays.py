"""The boundary: every kind of array in, the same kind out."""

import pickle
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.base import BaseEstimator

from skoverparam._arrays import NumpyStateMixin, Passage, cross, finite_array, tensor_function


class Any_(BaseEstimator):
    """An estimator to validate data for."""


def opened(X, **check):
    return cross(Any_(), X, reset=True, device="cpu", **check)


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        np.asfortranarray,
        lambda X: X[::-1][::-1],
        lambda X: X.astype(">f8"),
        lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),  # read-only memory
        pd.DataFrame,
        list,
        torch.tensor,
    ],
)
def test_arrays_of_any_make_become_the_same_tensor(make):
    X = np.arange(6.0).reshape(2, 3)
    passage, validated = opened(make(X))
    tensor = passage.tensor(validated)
    assert tensor.dtype == torch.float64
    np.testing.assert_array_equal(tensor.numpy(), X)


def test_what_the_user_gave_is_never_written_to():
    X = np.zeros((2, 2))
    passage, validated = opened(X)
    function = tensor_function("A")(lambda A: A.add_(0) * 2)
    assert function(X).sum() == 0
    assert passage.tensor(validated).shape == (2, 2)
    assert (X == 0).all()


@pytest.mark.parametrize(
    ("dtype", "computed"),
    [
        (np.float32, torch.float32),
        (np.float64, torch.float64),
        (np.float16, torch.float64),
        (np.int32, torch.float64),
        (np.uint8, torch.float64),
        (bool, torch.float64),
    ],
)
def test_float32_stays_and_all_other_numbers_become_float64(dtype, computed):
    passage, X = opened(np.ones((2, 2), dtype=dtype))
    assert passage.dtype == computed
    assert passage.tensor(X).dtype == computed
    assert passage.back(passage.tensor(X)).dtype == X.dtype


def test_a_tensor_without_dispatch_gets_tensors_back_and_keeps_arrays(device):
    X = torch.ones(2, 2, device=device, requires_grad=True)
    passage, validated = cross(Any_(), X, reset=True, device="auto")
    assert passage.device.type == device.type
    back = passage.back(passage.tensor(validated))
    assert isinstance(back, torch.Tensor)
    assert back.device == X.device
    assert not back.requires_grad
    assert isinstance(passage.keep(passage.tensor(validated)), np.ndarray)


def test_finite_arrays_come_from_arrays_frames_tensors_and_sparse_matrices():
    X = np.eye(3)
    for given in (X, pd.DataFrame(X), torch.eye(3), scipy.sparse.csr_array(X), X.tolist()):
        array = finite_array(given, "prior")
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, X)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2.0], r"prior must have 2 dimensions, got shape \(2,\)"),
        ([[np.nan]], "prior must hold finite numbers"),
        ([["a"]], "prior must hold finite numbers"),
        (np.ones((2, 2, 2)), r"prior must have 2 dimensions, got shape \(2, 2, 2\)"),
    ],
)
def test_bad_side_arrays_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        finite_array(given, "prior")


class Pair(NamedTuple):
    total: torch.Tensor
    count: int


@tensor_function("A", "B")
def total(A, B=None, *, scale=1.0):
    """Sum A, and B if there is one."""
    return Pair(scale * (A.sum(0) if B is None else A.sum(0) + B.sum(0)), len(A))


def test_tensor_functions_answer_in_kind(device):
    A = np.ones((3, 2), dtype=np.float32)
    result = total(A, scale=2.0)
    assert isinstance(result, Pair)
    assert isinstance(result.total, np.ndarray)
    assert result.total.dtype == np.float32
    assert result.count == 3
    tensor = torch.ones(3, 2, device=device)
    result = total(tensor, np.ones((1, 2)))
    assert isinstance(result.total, torch.Tensor)
    assert result.total.device == tensor.device
    assert total(pd.DataFrame(A), B=[[1, 2]]).total.tolist() == [4, 5]
    twice, pair = tensor_function("A")(lambda A: (2 * A, total(A)))(A)
    assert isinstance(twice, np.ndarray)
    assert isinstance(pair.total, np.ndarray)
    assert total.__doc__ == "Sum A, and B if there is one."


@pytest.mark.parametrize(
    ("A", "error", "message"),
    [
        ([["x"]], TypeError, "A must be an array of numbers"),
        ([[np.inf]], ValueError, "A must hold finite numbers, got NaN or infinity"),
        (torch.tensor([np.nan]), ValueError, "A must hold finite numbers"),
    ],
)
def test_tensor_functions_name_a_bad_argument(A, error, message):
    with pytest.raises(error, match=message):
        total(A)


class Fitted(NumpyStateMixin, BaseEstimator):
    """Holds what it was given."""


def test_a_pickled_estimator_holds_numpy_arrays(device):
    fitted = Fitted()
    fitted.coef_ = torch.arange(3.0, device=device)
    fitted.array_ = np.arange(2)
    fitted.name_ = "a"
    again = pickle.loads(pickle.dumps(fitted))
    assert isinstance(again.coef_, np.ndarray)
    np.testing.assert_array_equal(again.coef_, [0, 1, 2])
    np.testing.assert_array_equal(again.array_, [0, 1])
    assert again.name_ == "a"
    assert isinstance(fitted.coef_, torch.Tensor)


def test_a_passage_moves_bools_and_integers_as_they_are():
    passage = Passage(np, None, torch.device("cpu"), torch.float64)
    assert passage.tensor(np.array([True])).dtype == torch.bool
    assert passage.keep(torch.tensor([3])).dtype == np.int64


def test_targets_beyond_the_range_of_the_samples_are_refused():
    X, y = np.ones((2, 1), dtype=np.float32), np.array([0.0, -1e39])
    with pytest.raises(ValueError, match="y has entries of size 1e\\+39, too large for float32"):
        cross(Any_(), X, y, reset=True, device="cpu", y_numeric=True)
    assert len(cross(Any_(), X.astype(float), y, reset=True, device="cpu", y_numeric=True)) == 3
