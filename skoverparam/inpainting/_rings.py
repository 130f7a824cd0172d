"""Large holes: where they are, a first filling, and the order in which they are completed.

Inside a hole there is nothing near to be predicted from. Holes are filled from the border
inwards, ring by ring, and what is filled counts as known for the next ring, so that edges and
texture grow into the hole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# A region is a hole if a square of this side fits into it ...
_LEAST_SIDE = 7
# ... and so large a square is not to be expected among pixels missing at random.
_EXPECTED_BY_CHANCE = 1e-2


def holes(missing: Tensor) -> Tensor:
    """Return the missing pixels of an image that belong to holes rather than to noise.

    Parameters
    ----------
    missing : Tensor of bool, shape (h, w)
        Missing pixels.

    Returns
    -------
    Tensor of bool, shape (h, w)
        The union of all squares without an observed pixel whose side is at least 7 and so
        large that, were the same share of pixels missing at random, fewer than one image in a
        hundred would have one.
    """
    h, w = missing.shape
    share = float(missing.double().mean())
    if share == 0:
        return torch.zeros_like(missing)
    if share == 1:
        return missing.clone()
    side = _LEAST_SIDE
    by_chance = math.log(_EXPECTED_BY_CHANCE / (h * w)) / math.log(share)
    side = max(side, math.ceil(math.sqrt(by_chance)))
    if side > min(h, w):
        return torch.zeros_like(missing)
    empty = _square_sums(missing.long(), side) == side * side
    # A pixel is in an empty square if one begins at most side - 1 before it on both axes.
    begins = torch.nn.functional.pad(empty.long(), (side - 1,) * 4)
    return _square_sums(begins, side) > 0


def rings(hole: Tensor, known: Tensor, width: int) -> Iterator[Tensor]:
    """Cut the holes of an image into rings, from the border inwards.

    Parameters
    ----------
    hole : Tensor of bool, shape (h, w)
        Pixels to cut up.

    known : Tensor of bool, shape (h, w)
        Pixels where the rings begin; at least one.

    width : int
        Thickness of a ring in pixels.

    Yields
    ------
    Tensor of bool, shape (h, w)
        Pixels of the hole within `width` rows and columns of known pixels or of rings before.
    """
    known, rest = known.clone(), hole & ~known
    while bool(rest.any()):
        reached = torch.nn.functional.max_pool2d(
            known[None, None].to(torch.float32), 2 * width + 1, stride=1, padding=width
        )
        known |= reached[0, 0] > 0
        yield rest & known
        rest &= ~known


def smooth_filling(image: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels with averages of the known ones around, wide where these are far.

    Parameters
    ----------
    image : Tensor of shape (c, h, w)
        Values.

    known : Tensor of bool, shape (h, w)
        Pixels whose values are kept; at least one.

    Returns
    -------
    Tensor of shape (c, h, w)

    Notes
    -----
    Averages of the known pixels in squares of 2 x 2 give an image of half the size, which is
    filled in the same way and interpolated where pixels are unknown. Time is linear.
    """
    if bool(known.all()):
        return image
    h, w = known.shape
    weight = torch.nn.functional.pad(known.to(image.dtype)[None], (0, w % 2, 0, h % 2))
    values = torch.nn.functional.pad(torch.where(known, image, 0), (0, w % 2, 0, h % 2))
    pool = torch.nn.functional.avg_pool2d
    share = pool(weight[None], 2)[0]
    means = pool(values[None], 2)[0] / share.clamp_min(0.25)
    coarse = smooth_filling(means, share[0] > 0)
    fine = torch.nn.functional.interpolate(
        coarse[None], scale_factor=2, mode="bilinear", align_corners=False
    )
    return torch.where(known, image, fine[0, :, :h, :w])


def _square_sums(counts: Tensor, side: int) -> Tensor:
    """Return the sums over all squares of this side that lie inside the image."""
    sums = torch.nn.functional.pad(counts, (1, 0, 1, 0)).cumsum(0).cumsum(1)
    return sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
