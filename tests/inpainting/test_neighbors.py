import pytest
import torch

from skoverparam.inpainting._neighbors import blocks, most_similar


def _mask(h, w, share, seed=0):
    return torch.rand(h, w, generator=torch.Generator().manual_seed(seed)) < share


def _nearest_by_sorting(known, pixel, m):
    h, w = known.shape
    listed = [
        ((p // w - pixel // w) ** 2 + (p % w - pixel % w) ** 2, p)
        for p in torch.nonzero(known.flatten()).flatten().tolist()
    ]
    return [p for _, p in sorted(listed)[:m]]


@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize("shape", [(20, 27), (8, 8), (1, 40)])
def test_nearest_are_those_of_a_sort_with_ties_in_the_order_of_the_image(shape, share):
    missing = _mask(*shape, share)
    made = blocks(~missing, missing, n_candidates=200, n_nearest=5, pixels_per_block=64)
    seen = []
    for block in made:
        targets = block.targets[block.valid].tolist()
        neighbors = block.pixels(block.nearest).tolist()
        seen += targets
        for target, found in zip(targets, neighbors, strict=True):
            assert found == _nearest_by_sorting(~missing, target, 5)
    assert sorted(seen) == torch.nonzero(missing.flatten()).flatten().tolist()


def test_candidates_are_known_distinct_and_near_the_tile():
    missing = _mask(40, 40, 0.5)
    for block in blocks(~missing, missing, n_candidates=60, n_nearest=3):
        assert block.candidates.shape[1] == 60
        assert (~missing).flatten()[block.candidates].all()
        assert (block.candidates.diff(dim=1) > 0).all()
        rows = block.targets[:, :1] // 40 // 8 * 8 + 3.5
        columns = block.targets[:, :1] % 40 // 8 * 8 + 3.5
        squared = (block.candidates // 40 - rows) ** 2 + (block.candidates % 40 - columns) ** 2
        # 60 of half the pixels fit into a disk of radius 7; at corners a quarter of a disk
        # must do.
        assert squared.max() < 4 * 7**2 * 1.6


def test_blocks_are_cut_and_pads_are_not_valid():
    missing = _mask(40, 40, 0.5)
    made = blocks(~missing, missing, n_candidates=30, n_nearest=3, pixels_per_block=100)
    assert all(block.targets.numel() <= 100 for block in made)
    assert sum(int(block.valid.sum()) for block in made) == int(missing.sum())


def test_fewer_known_pixels_than_wanted():
    known = torch.zeros(9, 9, dtype=torch.bool)
    known[0, 0] = known[8, 8] = True
    for block in blocks(known, ~known, n_candidates=10, n_nearest=4):
        assert block.candidates.tolist() == [[0, 80]] * len(block.candidates)
        assert block.nearest.shape[2] == 2


def test_no_targets_no_blocks():
    known = torch.ones(4, 4, dtype=torch.bool)
    assert blocks(known, ~known, n_candidates=10, n_nearest=4) == []


def test_similar_ones_are_not_the_nearest_again():
    distances = torch.tensor([[[0.0, 5.0, 1.0, 3.0]]])
    chosen = most_similar(distances, torch.tensor([[[0, 1]]]), 1)
    assert chosen.tolist() == [[[0, 1, 2]]]
    distances = torch.tensor([[[0.0, 5.0, 1.0, 3.0]]])
    chosen = most_similar(distances, torch.tensor([[[0, 1]]]), 9)
    assert sorted(chosen.flatten().tolist()) == [0, 1, 2, 3]
