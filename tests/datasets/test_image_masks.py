import numpy as np
import pytest

from skoverparam.datasets import mask_images


@pytest.mark.parametrize("mechanism", ["random", "holes", "text"])
@pytest.mark.parametrize("shape", [(3, 40, 60), (2, 33, 50, 3)])
def test_hides_about_the_share_asked_for_and_nothing_else(mechanism, shape):
    images = np.random.default_rng(0).random(shape)
    masked, mask = mask_images(
        images, missing=0.2, mechanism=mechanism, return_mask=True, random_state=0
    )
    assert mask.shape == shape[:3]
    # A square has whole sides, text is written by the letter.
    assert np.all(np.abs(mask.mean(axis=(1, 2)) - 0.2) < 0.03)
    assert np.isnan(masked[mask]).all()
    np.testing.assert_array_equal(masked[~mask], images[~mask])
    assert not np.array_equal(mask[0], mask[1])


def test_random_pixels_meet_the_share_exactly():
    masked = mask_images(np.zeros((4, 10, 10)), missing=0.37, random_state=0)
    assert (np.isnan(masked).sum(axis=(1, 2)) == 37).all()


def test_holes_are_squares():
    _, mask = mask_images(
        np.zeros((5, 30, 30)), missing=0.04, mechanism="holes", return_mask=True, random_state=1
    )
    for one in mask:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        assert len(rows) == len(columns) == 6
        assert one[np.ix_(rows, columns)].all()


def test_text_is_thin():
    _, mask = mask_images(
        np.zeros((1, 60, 60)), missing=0.3, mechanism="text", return_mask=True, random_state=0
    )
    solid = np.lib.stride_tricks.sliding_window_view(mask[0], (4, 4)).all(axis=(2, 3))
    assert mask.any()
    assert not solid.any()


def test_one_mask_for_all():
    _, mask = mask_images(
        np.zeros((3, 12, 12)), missing=0.5, shared=True, return_mask=True, random_state=0
    )
    assert (mask == mask[0]).all()


def test_same_seed_same_mask_and_kinds():
    images = np.ones((2, 9, 7), dtype=np.float32)
    first, second = (mask_images(images, random_state=3) for _ in range(2))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    assert mask_images(images.astype(np.uint8), random_state=3).dtype == np.float64
    assert mask_images(np.zeros((0, 4, 4)), random_state=0).shape == (0, 4, 4)
    assert not np.isnan(mask_images(images, missing=0.0, random_state=0)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((4, 4))}, "images must have shape"),
        ({"images": np.full((1, 2, 2), "a")}, "images must hold numbers"),
        ({"missing": 1.0}, "missing must be below 1, got 1.0"),
        ({"mechanism": "blots"}, "mechanism must be one of"),
        ({"n_holes": 0}, "n_holes must be at least 1, got 0"),
    ],
)
def test_bad_input(change, message):
    arguments = {"images": np.zeros((1, 4, 4)), **change}
    with pytest.raises(ValueError, match=message):
        mask_images(arguments.pop("images"), **arguments)


def test_a_share_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="missing must be finite, got nan"):
        mask_images(np.zeros((1, 4, 4)), missing=float("nan"), random_state=0)
