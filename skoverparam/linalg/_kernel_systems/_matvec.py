"""Products of a kernel between two sets of points with coefficients, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from skoverparam.linalg._threads import on_threads

# kernel(X, Z) -> (n, m); kernel(X) -> (n, n), symmetric with an exact diagonal.
Kernel = Callable[..., Tensor]
Item = TypeVar("Item")

# A tile is written by a kernel, which goes through the cores' caches on its own, and then read
# once by a product: it should stay in the last cache, and be worth the start of a few threads.
_CPU_BYTES = 16 * 2**20
# On an accelerator a launch costs more than a tile of a cache's size.
_ACCELERATOR_BYTES = 256 * 2**20


def tile_bytes(device: torch.device) -> int:
    """Bytes of a tile that suits a device."""
    return _CPU_BYTES if device.type == "cpu" else _ACCELERATOR_BYTES


def kernel_matvec(
    kernel: Kernel, X: Tensor, Z: Tensor, V: Tensor, *, block_bytes: int | None = None
) -> Tensor:
    """Return ``K(X, Z) V`` without forming ``K(X, Z)``.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Z) -> (n, m)``; its optional method ``into(X, Z, out)`` is used if it has one.

    X : Tensor of shape (n, d)
        Points at which to evaluate.

    Z : Tensor of shape (m, d)
        Centers, of the precision of X.

    V : Tensor of shape (m,) or (m, c)
        Coefficients. The result has their precision.

    block_bytes : int, default=None
        Size of a tile of ``K(X, Z)``. None takes what suits the device.

    Returns
    -------
    Tensor of shape (n,) or (n, c)
        The products.
    """
    n, m = len(X), len(Z)
    columns = V if V.ndim == 2 else V[:, None]
    # Rows of a product are much faster than columns where there are a few.
    across = columns.T.contiguous()
    out = columns.new_zeros(n, columns.shape[1])
    budget = tile_bytes(X.device) if block_bytes is None else block_bytes
    side = max(1, int((budget / X.element_size()) ** 0.5))
    rows, width = _shape_of_tiles(n, m, side)

    def add_up(i: int) -> None:
        x, there = X[i : i + rows], out[i : i + rows]
        room = X.new_empty(len(x) * min(width, m))
        for j in range(0, m, width):
            z = Z[j : j + width]
            tile = evaluate(kernel, x, z, room[: len(x) * len(z)].view(len(x), len(z)))
            there += (across[:, j : j + width] @ tile.to(V.dtype).T).T

    for_each(kernel, add_up, range(0, n, rows), X.device)
    return out if V.ndim == 2 else out[:, 0]


def takes_threads(kernel: Any) -> bool:
    """Whether several threads may call a kernel: a function of the user's may not be ready."""
    return hasattr(kernel, "into")


def for_each(
    kernel: Any, function: Callable[[Item], None], items: Sequence[Item], device: torch.device
) -> None:
    """Call a function that evaluates a kernel on items, side by side if the kernel allows."""
    if takes_threads(kernel):
        on_threads(function, items, device)
    else:
        for item in items:
            function(item)


def evaluate(kernel: Any, X: Tensor, Z: Tensor | None, out: Tensor) -> Tensor:
    """Return ``kernel(X, Z)``, written into ``out`` if the kernel can do that."""
    into = getattr(kernel, "into", None)
    if into is None:
        return kernel(X) if Z is None else kernel(X, Z)
    into(X, Z, out)
    return out


def _shape_of_tiles(n: int, m: int, side: int) -> tuple[int, int]:
    """Rows and columns of tiles with about ``side**2`` entries: square unless a side is short."""
    rows, width = side, side
    if n < side:
        rows, width = n, side * side // max(n, 1)
    elif m < side:
        rows, width = side * side // max(m, 1), m
    return max(rows, 1), max(width, 1)
