"""A small residual network of convolutions for images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skoverparam.nets._features import UnitFeatures
from skoverparam.nets._sequences import MeanPool


def residual_images(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    widths: Sequence[int] = (16, 32, 64),
    n_blocks: int = 1,
    dropout: float = 0.0,
) -> nn.Module:
    """Make a residual network of convolutions for images."""
    if len(input_shape) not in (2, 3):
        raise ValueError(
            "architecture 'resnet' needs images, of shape (height, width) or (height, width, "
            f"n_channels); got samples of shape {input_shape}."
        )
    return ResidualImageNetwork(
        input_shape, n_outputs, widths=widths, n_blocks=n_blocks, dropout=dropout
    )


class ResidualImageNetwork(nn.Module):
    """Residual blocks of 3 x 3 convolutions; each stage after the first halves the image.

    Its layers are ``stem``, ``blocks``, ``norm``, ``pool``, ``features`` and ``head``.
    Normalization is by groups of channels of one image: what an image gives depends on no other.

    Parameters
    ----------
    input_shape : tuple of int
        ``(height, width)`` or ``(height, width, n_channels)``.

    n_outputs : int
        Number of outputs.

    widths : sequence of int
        Number of channels of each stage.

    n_blocks : int
        Blocks in each stage.

    dropout : float
        Share of the features, and of inputs of second convolutions, that is dropped in training.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        *,
        widths: Sequence[int],
        n_blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        n_channels = input_shape[2] if len(input_shape) == 3 else 1
        self.stem = nn.Conv2d(n_channels, widths[0], 3, padding=1, bias=False)
        self.blocks = nn.Sequential()
        width = widths[0]
        for stage, out_width in enumerate(widths):
            for i in range(n_blocks):
                stride = 2 if stage and not i else 1
                block = ImageBlock(width, out_width, stride, dropout)
                self.blocks.add_module(f"block{len(self.blocks) + 1}", block)
                width = out_width
        self.norm = _normalization(width)
        self.pool = MeanPool()
        self.dropout = nn.Dropout(dropout)
        self.features = UnitFeatures()
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Compute outputs of shape (b, n_outputs) for images, channels last."""
        images = X[:, None] if X.ndim == 3 else X.movedim(3, 1)
        images = images.contiguous(memory_format=torch.channels_last)
        values = F.relu(self.norm(self.blocks(self.stem(images))))
        values = self.dropout(self.pool(values.flatten(2).mT, None))
        return self.head(self.features(values))


class ImageBlock(nn.Module):
    """Add to an image what two normalized convolutions make of it.

    Parameters
    ----------
    in_width, width : int
        Number of channels that come, and that go.

    stride : int
        2 halves the image.

    dropout : float
        Share of the inputs of the second convolution that is dropped in training.
    """

    def __init__(self, in_width: int, width: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = _normalization(in_width)
        self.convolution1 = nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = _normalization(width)
        self.dropout = nn.Dropout(dropout)
        self.convolution2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = (
            None
            if stride == 1 and in_width == width
            else nn.Conv2d(in_width, width, 1, stride=stride, bias=False)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images of shape (b, in_width, h, w) to (b, width, h, w), or half of h and w."""
        inner = F.relu(self.norm1(images))
        outer = self.convolution1(inner)
        outer = self.convolution2(self.dropout(F.relu(self.norm2(outer))))
        return outer + (images if self.shortcut is None else self.shortcut(inner))


def _normalization(width: int) -> nn.GroupNorm:
    """Normalize by groups of 8 channels, or by one group where they do not divide."""
    return nn.GroupNorm(width // 8 if width % 8 == 0 else 1, width)
