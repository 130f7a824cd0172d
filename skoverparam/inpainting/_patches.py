"""The surroundings of pixels as features: patches without their centers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Patches(NamedTuple):
    """Patches around all pixels of an image: a view that takes no memory, until copied.

    Attributes
    ----------
    values : Tensor of shape (h, w, c, size, size)
        Values around each pixel; beyond the border those of the nearest pixel.

    weights : Tensor of shape (h, w, size, size)
        Confidence in these values, zero beyond the border.

    window : Tensor of shape (size, size)
        Gaussian weights of the places in a patch, zero in the center.
    """

    values: Tensor
    weights: Tensor
    window: Tensor

    def copied(self, most_bytes: float = math.inf) -> Patches:
        """Return the same laid out in memory, if it is not too much, to be looked up faster."""
        if self.values.numel() * self.values.element_size() > most_bytes:
            return self
        return self._replace(values=self.values.contiguous())

    def values_of(self, pixels: Tensor) -> Tensor:
        """Return the features (..., c size^2) of pixels numbered row by row."""
        if self.values.is_contiguous():
            # Whole rows at once: several times faster than indexing.
            rows = self.values.view(-1, self.values[0, 0].numel())
            return rows.index_select(0, pixels.flatten()).view(*pixels.shape, -1)
        w = self.values.shape[1]
        return self.values[pixels // w, pixels % w].flatten(-3)

    def weights_of(self, pixels: Tensor) -> Tensor:
        """Return the weights (..., c size^2) of the features around pixels, of sum one.

        Where all confidence is zero the weights are zero.
        """
        h, w, c = self.values.shape[:3]
        weights = self.weights[pixels // w, pixels % w] * self.window
        total = weights.sum((-2, -1), keepdim=True).mul_(c)
        weights = weights / total.clamp_min(torch.finfo(total.dtype).tiny)
        return weights.flatten(-2).repeat(*[1] * pixels.ndim, c)


def patches(
    image: Tensor,
    confidence: Tensor,
    size: int,
    deviation: float,
    shift: tuple[int, int] = (0, 0),
) -> Patches:
    """Describe every pixel of an image by its surroundings.

    Parameters
    ----------
    image : Tensor of shape (c, h, w)
        Values of the channels.

    confidence : Tensor of shape (h, w)
        Weight of every pixel where it appears in a patch, nonnegative.

    size : int
        Side of the patches, odd.

    deviation : float
        Standard deviation, in pixels, of the Gaussian weights within a patch.

    shift : (int, int), default=(0, 0)
        Row and column, from the center, where the Gaussian weights are largest.

    Returns
    -------
    Patches
    """
    radius = size // 2
    steps = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    down, right = (torch.exp(-(steps - at).square() / (2 * deviation**2)) for at in shift)
    window = down[:, None] * right
    # The center is what is sought: of the target it is a guess, of the neighbors the truth.
    window[radius, radius] = 0
    sides = (radius,) * 4
    values = torch.nn.functional.pad(image[None], sides, mode="replicate")[0]
    weights = torch.nn.functional.pad(confidence, sides)
    return Patches(
        values.unfold(1, size, 1).unfold(2, size, 1).permute(1, 2, 0, 3, 4),
        weights.unfold(0, size, 1).unfold(1, size, 1),
        window,
    )


def distances(patches: Patches, targets: Tensor, candidates: Tensor) -> Tensor:
    """Return squared feature distances in the targets' weights, up to a constant per target.

    Parameters
    ----------
    patches : Patches
        Features of the image.

    targets : Tensor of shape (t, p)
        Pixels whose weights count.

    candidates : Tensor of shape (t, w)
        Pixels compared with all targets of the same tile.

    Returns
    -------
    Tensor of shape (t, p, w)
        sum_k m_ik (f_ik - f_jk)^2 less sum_k m_ik f_ik^2.
    """
    m = patches.weights_of(targets)
    f = patches.values_of(candidates).transpose(1, 2)
    products = torch.bmm(m * patches.values_of(targets), f)
    return torch.baddbmm(products, m, f.square_(), beta=-2)
