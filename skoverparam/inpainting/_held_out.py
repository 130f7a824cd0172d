"""Observed pixels that are hidden, to see how well they are predicted."""

from __future__ import annotations

import torch
from torch import Tensor

_SHARE = 0.05
# One that a user's masks are not likely to be drawn with.
_SEED = 2108001310


def draw_held_out(missing: Tensor) -> Tensor:
    """Draw a twentieth of the observed pixels.

    Parameters
    ----------
    missing : Tensor of shape (..., h, w), bool
        Missing pixels.

    Returns
    -------
    Tensor of the same shape, bool
        True where an observed pixel is to be held out. What is drawn depends on the place in the
        image and on nothing else, on every device.
    """
    generator = torch.Generator().manual_seed(_SEED)
    uniform = torch.rand(missing.shape[-2:], generator=generator).to(missing.device)
    return (uniform < _SHARE) & ~missing
