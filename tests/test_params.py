"""Parameter checks name the parameter, what came and what is accepted."""

import numpy as np
import pytest
import torch

from skoverparam._params import (
    check_auto,
    check_bounds,
    check_flag,
    check_integer,
    check_missing_values,
    check_number,
    check_option,
    is_nan,
    make_generator,
)


@pytest.mark.parametrize(
    ("check", "value", "options", "message"),
    [
        (check_number, "1", {}, "size must be an instance of"),
        (check_number, True, {}, "size must be a number, got True"),
        (check_number, np.inf, {}, "size must be finite, got inf"),
        (check_number, np.nan, {}, "size must be finite, got nan"),
        (check_number, 0, {"low": 0, "boundaries": "neither"}, "size == 0, must be > 0"),
        (check_number, None, {}, "size must be an instance of"),
        (check_integer, 1.0, {}, "size must be an instance of"),
        (check_integer, False, {}, "size must be an integer, got False"),
        (check_integer, 0, {"low": 1}, "size == 0, must be >= 1"),
        (check_flag, 1, {}, "size must be True or False, got 1"),
        (check_option, "c", {"options": ("a", "b")}, "size must be one of 'a', 'b'; got 'c'"),
        (check_option, 3, {"options": ("a", "b")}, "size must be one of 'a', 'b'; got 3"),
        (
            check_auto,
            "best",
            {"check": check_number},
            "size must be 'auto' or a number",
        ),
        (check_auto, -1, {"check": check_integer, "low": 0}, "size == -1, must be >= 0"),
        (check_bounds, 3, {}, r"size must be None or a pair \(low, high\), got 3"),
        (check_bounds, (1, "2"), {}, "size must be an instance of"),
        (check_bounds, (2, 1), {}, r"with low < high, got \(2, 1\)"),
    ],
)
def test_bad_values(check, value, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        check(value, "size", **options)


def test_good_values():
    check_number(np.float32(0.5), "size", low=0, high=1)
    check_number(None, "size", none=True)
    check_integer(np.int64(3), "size", low=3)
    check_integer(None, "size", none=True)
    check_flag(np.bool_(True), "size")
    check_option("a", "size", ("a", "b"))
    check_bounds((0, 1.5), "size")
    check_bounds(None, "size")


def test_generators_follow_the_random_state():
    def draw(random_state):
        return torch.rand(3, generator=make_generator(random_state))

    assert torch.equal(draw(5), draw(5))
    assert not torch.equal(draw(5), draw(6))
    shared = np.random.RandomState(0)
    assert not torch.equal(draw(shared), draw(shared))
    assert make_generator(0).device == torch.device("cpu")


@pytest.mark.parametrize("random_state", ["seed", object(), -1, np.full((2, 2), np.nan)])
def test_what_is_no_random_state_is_refused_by_name(random_state):
    with pytest.raises(ValueError, match="random_state must be None, an integer from 0"):
        make_generator(random_state)


def test_words_beside_numbers():
    check_auto("median", "size", check_number, words=("median",))
    check_auto(2.0, "size", check_number, words=("median",), low=0)
    with pytest.raises(ValueError, match="size must be 'a', 'b' or a number, got 'auto'"):
        check_auto("auto", "size", check_number, words=("a", "b"))


def test_missing_values_are_numbers():
    check_missing_values(np.float32("nan"))
    check_missing_values(-1)
    assert [is_nan(value) for value in (np.nan, 0, "nan")] == [True, False, False]
    with pytest.raises(TypeError, match="missing_values must be a number or NaN, got 'hole'"):
        check_missing_values("hole")
