"""The ways to complete pictures: a kernel that is adapted to each, or one that is given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.inpainting import _adaptive, _stationary
from skoverparam.inpainting._adaptive import AdaptiveSettings, in_lockstep
from skoverparam.inpainting._choice import choose
from skoverparam.inpainting._held_out import draw_held_out
from skoverparam.inpainting._stationary import Step
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel, DenseKernel, DisplacementWindow

# Below this residual no picture changes that can be seen.
_LEAST_TOL = 1e-5


class AdaptivePrior(NamedTuple):
    """Passes of local regression whose features are the picture itself, or a guide.

    Attributes
    ----------
    window : DisplacementWindow
        Averaged kernel of displacements.

    settings, in_rings : AdaptiveSettings
        For scattered missing pixels and for large holes.

    chooses : bool
        Whether patch size and bandwidth are chosen for each picture.

    guide : Tensor of shape (c, h, w) or None
        What supplies the features of every picture.
    """

    window: DisplacementWindow
    settings: AdaptiveSettings
    in_rings: AdaptiveSettings
    chooses: bool
    guide: Tensor | None

    def __call__(self, images: Tensor, missing: Tensor) -> Iterator[Step]:
        """Yield the start and every pass, of all pictures in lockstep."""
        runs = [self._passes(*one) for one in zip(images, missing, strict=True)]
        residual = torch.zeros(images.shape[:2], dtype=torch.float64)
        completed = images.clone()
        for n_iter, steps in enumerate(in_lockstep(runs)):
            for k, step in enumerate(steps):
                if step is not None:
                    completed[k] = step[0]
            yield Step(completed.clone(), residual, n_iter, True)

    def _passes(self, image: Tensor, missing: Tensor) -> Iterator[Tensor]:
        T = self.window.values[0, 0]
        top = float(T[len(T) // 2, len(T) // 2])
        kernel = T / top, self.window.far / top
        settings = self.settings
        if self.chooses:
            settings = choose(image, missing, *kernel, settings)
        guide = None if self.guide is None else self.guide[None]
        yield from _adaptive.complete(
            image[None], missing[None], *kernel, settings, self.in_rings, guide
        )


class FixedPrior(NamedTuple):
    """Regression with one kernel for all pictures of a size.

    Attributes
    ----------
    kernel : BlockCirculantKernel, DisplacementWindow or DenseKernel
        On the pictures' size; of a larger one, they are the upper left part.

    alpha : float
        Noise variance over the kernel's mean diagonal.

    tol : float or None
        Relative residual to solve to; None stops when held-out pixels are predicted no better.

    max_iter : int
        As in `_stationary.complete`.
    """

    kernel: BlockCirculantKernel | DisplacementWindow | DenseKernel
    alpha: float
    tol: float | None
    max_iter: int

    def __call__(self, images: Tensor, missing: Tensor) -> Iterator[Step]:
        """Yield every sweep of the solver."""
        return _stationary.complete(
            images,
            missing,
            self.kernel,
            alpha=self.alpha * _diagonal(self.kernel),
            tol=_LEAST_TOL if self.tol is None else self.tol,
            max_iter=self.max_iter,
            held_out=draw_held_out(missing) if self.tol is None else None,
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
