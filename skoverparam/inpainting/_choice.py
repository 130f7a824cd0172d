"""Settings of the adaptive prior for each image, by observed pixels that are held out."""

from __future__ import annotations

import torch
from torch import Tensor

from skoverparam.inpainting._adaptive import AdaptiveSettings, Neighborhoods, Scale, start
from skoverparam.inpainting._held_out import draw_held_out
from skoverparam.inpainting._kriging import DisplacementKernel
from skoverparam.inpainting._rings import holes

# What is added to the patch size, and what the bandwidth is multiplied with: the larger a patch,
# the less its pixels may differ at once. Textures gain from large patches, what has no second
# place in the image from small ones.
LADDER = ((-2, 1.2), (0, 1.0), (2, 0.88), (4, 0.82))
_GIVEN = 1
# Passes with the given settings, but fewer neighbors, before others are tried. A second one took
# half a second more of 256 x 256 pixels and chose no better.
_PASSES = 1
_SIMILAR = 8
# Of larger images so many tiles of that side are looked at.
_TILE = 128
_TILES = 4
# Fewer held-out pixels cannot tell settings apart. A step on the ladder must gain this much of the
# mean square error: with some pixels held out and few passes, larger patches look a little better
# than they are.
_FEWEST = 50
_GAIN = 0.03


def choose(
    image: Tensor,
    missing: Tensor,
    displacement: Tensor,
    far: float,
    settings: AdaptiveSettings,
) -> AdaptiveSettings:
    """Choose the patch size and the bandwidth for one image.

    Parameters
    ----------
    image : Tensor of shape (c, h, w)
        Values; those of missing pixels are not looked at.

    missing : Tensor of shape (h, w), bool
        Its missing pixels.

    displacement, far
        As in `complete`.

    settings : AdaptiveSettings
        What to start from, and to return where there are too few pixels to choose by.

    Returns
    -------
    AdaptiveSettings
        Those that predict held-out pixels best from the completion that the given settings make
        of the others.
    """
    T = DisplacementKernel(displacement.to(image.device, settings.dtype), far)
    squares, n_held_out = torch.zeros(len(LADDER), dtype=torch.float64), 0
    candidates = [_candidate(settings, *rung) for rung in LADDER]
    for rows, columns in _tiles(missing):
        errors, count = _errors(image[:, rows, columns], missing[rows, columns], T, candidates)
        squares, n_held_out = squares + errors, n_held_out + count
    if n_held_out < _FEWEST:
        return settings
    return candidates[_walk(squares.tolist())]


def _walk(squares: list[float]) -> int:
    """Go up the ladder, else down, while it pays."""
    best = _GIVEN
    for step in (1, -1):
        while 0 <= best + step < len(squares):
            if not squares[best + step] < (1 - _GAIN) * squares[best]:
                break
            best += step
        if best != _GIVEN:
            break
    return best


def _candidate(settings: AdaptiveSettings, more: int, factor: float) -> AdaptiveSettings:
    size = max(3, settings.patch_size + more)
    return settings._replace(
        patch_size=size,
        patch_deviation=settings.patch_deviation * size / settings.patch_size,
        bandwidth=settings.bandwidth * factor,
    )


def _errors(
    image: Tensor,
    missing: Tensor,
    T: DisplacementKernel,
    candidates: list[AdaptiveSettings],
) -> tuple[Tensor, int]:
    """Sum of squared errors of the held-out pixels for each candidate, and how many they are."""
    hole = holes(missing)
    held_out = draw_held_out(missing)
    known = ~(missing | held_out)
    nothing = torch.zeros(len(candidates), dtype=torch.float64)
    if not bool(held_out.any()) or not bool(known.any()):
        return nothing, 0
    given = candidates[_GIVEN]._replace(n_similar=min(_SIMILAR, candidates[_GIVEN].n_similar))
    scale = Scale.of(image, known, given.dtype)
    confidence = known.to(given.dtype)
    scattered = ~known & ~hole
    weight, _ = given.schedule(float(scattered.sum() / (~hole).sum()))
    confidence.masked_fill_(scattered, weight)
    neighborhoods = Neighborhoods.of(known, scattered, len(image), given)
    x = start(image, known, hole, scale, neighborhoods, T, given)
    for _ in range(_PASSES):
        x = neighborhoods.predict(x, scale, T, given.describe(x, confidence), given)
    few = Neighborhoods.of(known, held_out, len(image), given)
    truth = scale.into(image)[:, held_out]
    errors = [
        (few.predict(x, scale, T, one.describe(x, confidence), one)[:, held_out] - truth)
        .double()
        .square()
        .sum()
        .cpu()
        for one in candidates
    ]
    return torch.stack(errors), int(held_out.sum())


def _tiles(missing: Tensor) -> list[tuple[slice, slice]]:
    """Cut the whole image, or tiles of a large one: no two in one band of rows or of columns."""
    h, w = missing.shape
    if h * w <= _TILES * _TILE**2:
        return [(slice(None), slice(None))]
    tiles = []
    for k in range(_TILES):
        across = (2 * k + 1) % (_TILES + 1)
        top = round(k * max(h - _TILE, 0) / (_TILES - 1))
        left = round(across * max(w - _TILE, 0) / (_TILES - 1))
        tiles.append((slice(top, top + _TILE), slice(left, left + _TILE)))
    return tiles
