"""Kernels between rows: the inputs they take, and the tiles in which they are computed."""

from __future__ import annotations

import torch
from torch import Tensor

# The work on a tile touches a few buffers of its size, a quarter of a megabyte each in float64,
# which should stay in a core's own cache. Below 32768 elements torch runs an operation on the
# thread that calls it, so each thread works through tiles of its own. Letting torch split every
# operation of a larger tile instead is as fast on an idle machine, but its threads meet dozens of
# times a tile, which on a busy one took ten times longer. An accelerator needs a tile large enough
# to fill it.
_SIDE_CPU = 181
_SIDE_ACCELERATOR = 2048

# The matrix product is split by torch, and is efficient for this many tiles of rows and more.
TILES_PER_PRODUCT = 8


def check_rows(X: Tensor, Z: Tensor | None) -> None:
    """Refuse what are not two matrices with the same features, precision and device."""
    for name, A in (("X", X), ("Z", Z)):
        if A is None:
            continue
        check_dtype(name, A)
        if A.ndim != 2:
            raise ValueError(
                f"{name} must have two axes (points, features), got shape {tuple(A.shape)}."
            )
    if Z is None:
        return
    if Z.shape[1] != X.shape[1]:
        raise ValueError(
            f"X and Z must have the same number of features, got {X.shape[1]} and {Z.shape[1]}."
        )
    if Z.dtype != X.dtype or Z.device != X.device:
        raise TypeError(
            "X and Z must have the same dtype and device, "
            f"got {X.dtype} on {X.device} and {Z.dtype} on {Z.device}."
        )


def check_dtype(name: str, A: Tensor) -> None:
    """Refuse what is not a tensor in single or double precision."""
    if not isinstance(A, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(A).__name__}.")
    if A.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{name} must have dtype float32 or float64, got {A.dtype}; cast it first."
        )


def tile_side(device: torch.device) -> int:
    """Rows and columns of a tile that suits a device."""
    return _SIDE_CPU if device.type == "cpu" else _SIDE_ACCELERATOR


def tiles(rows: range, n_columns: int, symmetric: bool, side: int) -> list[tuple[slice, slice]]:
    """Cut some rows into tiles; of a symmetric matrix those on and below the diagonal."""
    return [
        (slice(i, min(i + side, rows.stop)), slice(j, min(j + side, n_columns)))
        for i in range(rows.start, rows.stop, side)
        for j in range(0, i + 1 if symmetric else n_columns, side)
    ]


def mirror_(tile: Tensor) -> Tensor:
    """Make a tile on the diagonal symmetric to the last bit, from its lower half.

    The product of a matrix with its transpose may not be.
    """
    tile.tril_()
    return tile.add_(tile.tril(-1).T)
