"""From rows of pixels with holes to pictures that have one mask each, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.inpainting._stationary import Step

# Pixels of all channels that are completed in lockstep: enough to fill a device, and still little
# memory beside what a method keeps for each of them.
_PIXELS_AT_ONCE = 2**22

Method = Callable[[Tensor, Tensor], Iterator[Step]]


class Pictures(NamedTuple):
    """Pictures of one shape whose channels are missing together.

    Attributes
    ----------
    images : Tensor of shape (k, c, h, w)
        Zeros where pixels are missing.

    missing : Tensor of shape (k, h, w), bool
        At least one pixel of each picture is missing.

    rows : Tensor of shape (k,), int64
        The row that each picture comes from.

    channels : Tensor of shape (k,), int64, or None
        The channel that it comes from; None if it has all of them.
    """

    images: Tensor
    missing: Tensor
    rows: Tensor
    channels: Tensor | None

    def split(self, count: int) -> Iterator[Pictures]:
        """Yield so many pictures at once."""
        for part in torch.arange(len(self.rows), device=self.rows.device).split(count):
            channels = None if self.channels is None else self.channels[part]
            yield Pictures(self.images[part], self.missing[part], self.rows[part], channels)

    def means(self) -> Tensor:
        """Fill every channel with the mean of its observed pixels."""
        seen = ~self.missing[:, None]
        sums = (self.images * seen).sum((2, 3), keepdim=True)
        mean = sums / seen.sum((2, 3), keepdim=True)
        return torch.where(seen, self.images, mean)


class Filled(NamedTuple):
    """Rows with their holes filled as far as the work has come.

    Attributes
    ----------
    rows : Tensor of shape (n, h * w * c)
        Observed values untouched; pictures whose turn has not come have their mean in their holes.

    residual : float
        Largest relative residual of a linear system so far.

    n_iter : int
        Passes or products with a kernel, the most that a picture took.

    jitter : float
        Largest number that was added to a diagonal so that it could be factorized.
    """

    rows: Tensor
    residual: float
    n_iter: int
    jitter: float


def pictures(Y: Tensor, observed: Tensor, shape: tuple[int, int, int]) -> list[Pictures]:
    """Take the incomplete pictures from rows of pixels.

    Parameters
    ----------
    Y, observed : Tensor of shape (n, h * w * c)
        Rows of pixels, channels last, and which of them are there.

    shape : (int, int, int)
        Rows, columns and channels of a picture.

    Returns
    -------
    list of Pictures
        Those whose channels share a mask; then, as pictures of one channel, the incomplete
        channels of those whose channels do not.
    """
    images = Y.reshape(-1, *shape).permute(0, 3, 1, 2)
    missing = ~observed.reshape(-1, *shape).permute(0, 3, 1, 2)
    incomplete = missing.flatten(1).any(1)
    together = (missing == missing[:, :1]).flatten(1).all(1)
    found = []
    (whole,) = torch.nonzero(incomplete & together, as_tuple=True)
    if len(whole):
        found.append(Pictures(images[whole].contiguous(), missing[whole, 0], whole, None))
    alone = missing.flatten(2).any(2) & ~together[:, None]
    row, channel = torch.nonzero(alone, as_tuple=True)
    if len(row):
        found.append(Pictures(images[row, channel, None], missing[row, channel], row, channel))
    return found


def unseen(
    Y: Tensor, observed: Tensor, shape: tuple[int, int, int]
) -> tuple[int, int | None] | None:
    """Find the first picture without an observed pixel: its row, and the channel if it is one."""
    for group in pictures(Y, observed, shape):
        (blank,) = torch.nonzero(group.missing.flatten(1).all(1), as_tuple=True)
        if len(blank):
            k = int(blank[0])
            channel = None if group.channels is None else int(group.channels[k])
            return int(group.rows[k]), channel
    return None


def fill(
    Y: Tensor, observed: Tensor, shape: tuple[int, int, int], method: Method
) -> Iterator[Filled]:
    """Complete rows of pixels, some pictures after the other.

    Parameters
    ----------
    Y, observed, shape
        As in `pictures`.

    method : callable
        Maps images (k, c, h, w) and masks (k, h, w) of missing pixels to an iterator of steps
        whose images are complete.

    Yields
    ------
    Filled
        After every step of the method; once if nothing is missing.
    """
    found = pictures(Y, observed, shape)
    done = Filled(Y, 0.0, 0, 0.0)
    for group in found:
        done = done._replace(rows=_put_back(done.rows, group, group.means(), shape))
    if not found:
        yield done
    for group in found:
        at_once = max(1, _PIXELS_AT_ONCE // group.images[0].numel())
        for part in group.split(at_once):
            before = done
            for step in method(part.images, part.missing):
                done = Filled(
                    _put_back(before.rows, part, step.images, shape),
                    max(before.residual, float(step.residual.max())),
                    max(before.n_iter, step.n_iter),
                    max(before.jitter, step.jitter),
                )
                yield done


def _put_back(Y: Tensor, part: Pictures, images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    filled = Y.clone()
    canvas = filled.view(-1, *shape)
    if part.channels is None:
        canvas[part.rows] = images.permute(0, 2, 3, 1)
    else:
        canvas[part.rows, :, :, part.channels] = images[:, 0]
    return filled
