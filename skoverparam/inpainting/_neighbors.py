"""Which known pixels a missing pixel is predicted from: the nearest, and the most similar.

Neighboring missing pixels look for their neighbors among the same known pixels. The missing
pixels of a small square tile therefore share one list of candidates, the known pixels nearest to
the tile, and everything that follows is one product of small matrices per tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._threads import on_threads

# Positions looked at together while lists of candidates are made.
_WINDOW_ENTRIES = 2_000_000
_FAR = 2**62


class Block(NamedTuple):
    """Missing pixels of some tiles, and the known pixels they may be predicted from.

    Pixels are numbered row by row through the image.

    Attributes
    ----------
    targets : Tensor of shape (t, p)
        Missing pixels of t tiles; shorter tiles are padded with their own first pixel.

    valid : Tensor of bool, shape (t, p)
        False where `targets` is padding.

    candidates : Tensor of shape (t, w)
        Known pixels near each tile, in ascending order.

    nearest : Tensor of shape (t, p, m)
        Positions in `candidates` of the m known pixels nearest to each target, nearest first;
        among equally near ones the first in the image.
    """

    targets: Tensor
    valid: Tensor
    candidates: Tensor
    nearest: Tensor

    def pixels(self, positions: Tensor) -> Tensor:
        """Return the pixels at `positions` (t, p, m) in `candidates`, for valid targets only."""
        t, p, _ = positions.shape
        candidates = self.candidates[:, None].expand(t, p, -1)
        return candidates.gather(2, positions.long())[self.valid]


def blocks(
    known: Tensor,
    targets: Tensor,
    *,
    n_candidates: int,
    n_nearest: int,
    tile: int = 8,
    pixels_per_block: int = 2048,
) -> list[Block]:
    """Group the target pixels of an image with the known pixels around them.

    Parameters
    ----------
    known : Tensor of bool, shape (h, w)
        Pixels that may be neighbors; at least one.

    targets : Tensor of bool, shape (h, w)
        Pixels that want neighbors.

    n_candidates : int
        Known pixels listed for each tile, fewer if there are fewer.

    n_nearest : int
        Nearest known pixels found for each target among the candidates of its tile.

    tile : int, default=8
        Side of the tiles.

    pixels_per_block : int, default=2048
        Largest number of targets in a block, unless a single tile has more.

    Returns
    -------
    list of Block

    Notes
    -----
    The candidates of a tile are the known pixels nearest to its center, among those in the
    smallest square around the tile that holds enough of them. Time and memory are
    proportional to (n_candidates + tile^2 n_nearest) per tile that has a target.
    """
    h, w = known.shape
    pixels = torch.nonzero(targets.flatten()).squeeze(1)
    if not len(pixels):
        return []
    across = -(-w // tile)
    number = (pixels // w) // tile * across + (pixels % w) // tile
    order = torch.argsort(number, stable=True)
    pixels = pixels[order]
    tiles, counts = torch.unique_consecutive(number[order], return_counts=True)
    corner = torch.stack([tiles // across * tile, tiles % across * tile])
    wanted = min(n_candidates, int(known.sum()))
    radius = _radius(known, corner, tile, wanted)
    begin = counts.cumsum(0) - counts

    def block(part: Tensor) -> Block:
        slots = torch.arange(int(counts[part].max()), device=known.device)
        valid = slots < counts[part, None]
        chosen = pixels[begin[part, None] + torch.where(valid, slots, 0)]
        candidates = _candidates(known, corner[:, part], tile, int(radius[part].max()), wanted)
        nearest = _nearest(chosen, candidates, w, n_nearest)
        # Half the memory: these are kept from pass to pass.
        return Block(chosen, valid, candidates, nearest.int())

    parts = list(_parts(counts, radius, tile, pixels_per_block))
    return on_threads(block, parts, known.device)


def most_similar(distances: Tensor, nearest: Tensor, n_similar: int) -> Tensor:
    """Append to the nearest candidates those at the least distances among the others.

    Parameters
    ----------
    distances : Tensor of shape (t, p, w)
        Distance of each target's features to each candidate's; overwritten.

    nearest : Tensor of shape (t, p, m)
        Positions already chosen.

    n_similar : int
        Positions to append, fewer if there are fewer.

    Returns
    -------
    Tensor of shape (t, p, m + n_similar)
    """
    nearest = nearest.long()
    distances.scatter_(2, nearest, torch.inf)
    n_similar = min(n_similar, distances.shape[2] - nearest.shape[2])
    similar = distances.topk(n_similar, dim=2, largest=False, sorted=False).indices
    return torch.cat([nearest, similar], 2)


def _radius(known: Tensor, corner: Tensor, tile: int, wanted: int) -> Tensor:
    """Return by how much each tile must grow on all sides to hold the wanted known pixels."""
    h, w = known.shape
    below = torch.zeros(h + 1, w + 1, dtype=torch.int64, device=known.device)
    below[1:, 1:] = known.long().cumsum(0).cumsum(1)

    def held(radius: Tensor) -> Tensor:
        top, bottom = (corner[0] - radius).clamp(0, h), (corner[0] + tile + radius).clamp(0, h)
        left, right = (corner[1] - radius).clamp(0, w), (corner[1] + tile + radius).clamp(0, w)
        return below[bottom, right] - below[top, right] - below[bottom, left] + below[top, left]

    small = torch.full_like(corner[0], -1)
    enough = torch.full_like(corner[0], max(h, w))
    for _ in range(max(h, w).bit_length() + 1):
        middle = (small + enough) // 2
        enough = torch.where((middle > small) & (held(middle) >= wanted), middle, enough)
        small = torch.where((middle > small) & (enough > middle), middle, small)
    return enough


def _parts(counts: Tensor, radius: Tensor, tile: int, pixels_per_block: int) -> Iterator[Tensor]:
    """Cut the tiles into parts of like size, so that padding wastes little."""
    # Tiles with like windows and like numbers of targets stand together.
    order = torch.argsort(radius * (tile * tile + 1) + counts, stable=True)
    begin = 0
    most = widest = 0
    for position, (count, r) in enumerate(
        zip(counts[order].tolist(), radius[order].tolist(), strict=True)
    ):
        most, widest = max(most, count), max(widest, r)
        size = position + 1 - begin
        if position > begin and (
            size * most > pixels_per_block or size * (tile + 2 * widest) ** 2 > _WINDOW_ENTRIES
        ):
            yield order[begin:position]
            begin, most, widest = position, count, r
    yield order[begin:]


def _candidates(known: Tensor, corner: Tensor, tile: int, radius: int, wanted: int) -> Tensor:
    """Return the `wanted` known pixels nearest to each tile's center."""
    h, w = known.shape
    steps = torch.arange(-radius, tile + radius, device=known.device)
    rows, columns = corner[0, :, None] + steps, corner[1, :, None] + steps
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None]
    pixels = (rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None]).flatten(1)
    usable = inside.flatten(1) & known.flatten()[pixels]
    # Twice the distance to the center is a whole number; the place in the window breaks ties.
    twice = (2 * steps + 1 - tile).square()
    squared = (twice[:, None] + twice).flatten()
    rank = squared * len(squared) + torch.arange(len(squared), device=known.device)
    places = torch.where(usable, rank, _FAR).topk(wanted, 1, largest=False, sorted=False).indices
    return pixels.gather(1, places.sort(1).values)


def _nearest(targets: Tensor, candidates: Tensor, w: int, n_nearest: int) -> Tensor:
    """Return positions of the candidates nearest to each target, nearest first."""
    down = (targets // w)[:, :, None] - (candidates // w)[:, None]
    right = (targets % w)[:, :, None] - (candidates % w)[:, None]
    n = candidates.shape[1]
    rank = (down.square_().add_(right.square_())).mul_(n)
    rank.add_(torch.arange(n, device=targets.device))
    return rank.topk(min(n_nearest, n), 2, largest=False, sorted=True).indices
