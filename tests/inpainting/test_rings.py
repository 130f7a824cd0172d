import pytest
import torch

from skoverparam.inpainting._rings import holes, rings, smooth_filling


def _noise(h, w, share, seed=0):
    return torch.rand(h, w, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95, 0.99])
def test_pixels_missing_at_random_are_no_holes(share):
    assert not holes(_noise(100, 80, share)).any()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_square_among_noise_is_a_hole(share):
    missing = _noise(64, 64, share)
    missing[20:50, 11:41] = True
    found = holes(missing)
    assert found[20:50, 11:41].all()
    # Missing pixels at its border may belong to an empty square, too.
    found[17:53, 8:44] = False
    assert not found.any()


def test_thin_lines_are_no_holes_but_the_inside_of_thick_ones():
    missing = torch.zeros(40, 40, dtype=torch.bool)
    missing[5:11] = True
    missing[20:27] = True
    found = holes(missing)
    assert found.sum() == 7 * 40
    assert found[20:27].all()


def test_holes_of_small_empty_and_full_masks():
    assert not holes(torch.ones(3, 3, dtype=torch.bool).triu()).any()
    assert not holes(torch.zeros(3, 3, dtype=torch.bool)).any()
    assert holes(torch.ones(3, 3, dtype=torch.bool)).all()


def test_rings_cover_a_hole_from_the_border_inwards():
    hole = torch.zeros(20, 20, dtype=torch.bool)
    hole[4:14, 5:15] = True
    cut = list(rings(hole, ~hole, 2))
    assert torch.stack(cut).sum(0).equal(hole.long())
    assert [int(ring.sum()) for ring in cut] == [100 - 36, 36 - 4, 4]


def test_rings_begin_at_known_pixels_only():
    hole = torch.ones(1, 7, dtype=torch.bool)
    hole[0, 0] = False
    cut = [torch.nonzero(ring[0]).flatten().tolist() for ring in rings(hole, ~hole, 3)]
    assert cut == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("shape", [(1, 9), (16, 16), (13, 7)])
def test_smooth_filling_keeps_known_values_and_fills_within_their_range(shape):
    image = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) + 5
    known = _noise(*shape, 0.3)
    known[0, 0] = True
    filled = smooth_filling(torch.where(known, image, torch.nan), known)
    assert filled[:, known].equal(image[:, known])
    low, high = image[:, known].amin(1), image[:, known].amax(1)
    assert (filled.flatten(1).amin(1) >= low - 1e-5).all()
    assert (filled.flatten(1).amax(1) <= high + 1e-5).all()


def test_smooth_filling_of_a_constant():
    known = torch.zeros(33, 10, dtype=torch.bool)
    known[30, 2] = True
    filled = smooth_filling(torch.full((1, 33, 10), 2.5), known)
    torch.testing.assert_close(filled, torch.full((1, 33, 10), 2.5))
