"""The ways to complete pictures: a kernel that is adapted to each, or one that is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.inpainting import _adaptive, _stationary
from skoverparam.inpainting._adaptive import ADAPTIVE, IN_RINGS, AdaptiveSettings
from skoverparam.inpainting._stationary import Step
from skoverparam.kernels._convolutional import (
    BlockCirculantKernel,
    DenseKernel,
    DisplacementWindow,
)

__all__ = ["ADAPTIVE", "IN_RINGS", "AdaptivePrior", "FixedPrior"]


class AdaptivePrior(NamedTuple):
    """Passes of local regression whose features are the picture itself, or a guide.

    Attributes
    ----------
    window : DisplacementWindow
        Averaged kernel of displacements.

    settings, in_rings : AdaptiveSettings
        For scattered missing pixels and for large holes.

    guide : Tensor of shape (c, h, w) or None
        What supplies the features of every picture.
    """

    window: DisplacementWindow
    settings: AdaptiveSettings
    in_rings: AdaptiveSettings
    guide: Tensor | None

    def __call__(self, images: Tensor, missing: Tensor) -> Iterator[Step]:
        """Yield the start and every pass."""
        T = self.window.values[0, 0]
        top = T[len(T) // 2, len(T) // 2]
        guide = None
        if self.guide is not None:
            guide = self.guide.expand(len(images), *self.guide.shape)
        residual = torch.zeros(images.shape[:2], dtype=torch.float64)
        passes = _adaptive.complete(
            images,
            missing,
            T / top,
            self.window.far / float(top),
            self.settings,
            self.in_rings,
            guide,
        )
        for n_iter, completed in enumerate(passes):
            yield Step(completed, residual, n_iter, True)


class FixedPrior(NamedTuple):
    """Regression with one kernel for all pictures of a size.

    Attributes
    ----------
    kernel : BlockCirculantKernel, DisplacementWindow or DenseKernel
        On the pictures' size; of a larger one, they are the upper left part.

    alpha : float
        Noise variance over the kernel's mean diagonal.

    tol, max_iter
        As in `_stationary.complete`.
    """

    kernel: BlockCirculantKernel | DisplacementWindow | DenseKernel
    alpha: float
    tol: float
    max_iter: int

    def __call__(self, images: Tensor, missing: Tensor) -> Iterator[Step]:
        """Yield every sweep of the solver."""
        return _stationary.complete(
            images,
            missing,
            self.kernel,
            alpha=self.alpha * _diagonal(self.kernel),
            tol=self.tol,
            max_iter=self.max_iter,
        )


def _diagonal(kernel: BlockCirculantKernel | DisplacementWindow | DenseKernel) -> float:
    """Mean kernel of a pixel with itself."""
    if isinstance(kernel, BlockCirculantKernel):
        return float(kernel.blocks[:, :, 0, 0].mean())
    if isinstance(kernel, DisplacementWindow):
        middle = kernel.values.shape[-1] // 2
        return float(kernel.values[:, :, middle, middle].mean())
    n = kernel.values.shape[0] * kernel.values.shape[1]
    return float(kernel.values.reshape(n, n).diagonal().mean())
