"""Kernels of infinitely wide fully connected networks.

For unit vectors with cosine c and an activation with dual functions kappa_1, kappa_0, a
network with L hidden layers has

    S_0 = T_0 = c,    S_l = kappa_1(S_{l-1}),    T_l = S_l + T_{l-1} kappa_0(S_{l-1});

S_L is the kernel of the Gaussian process which the network is at initialization (NNGP), T_L the
neural tangent kernel (NTK), which governs its training.

The recursion is elementwise and several times dearer than the matrix product before it, so it
runs through all layers on one cache-sized tile at a time, in place, and a symmetric kernel is
computed on and below the diagonal only.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from skoverparam.kernels._activations import Activation, Block, one, resolve
from skoverparam.kernels._row_pairs import (
    TILES_PER_PRODUCT,
    check_dtype,
    check_rows,
    mirror_,
    tile_side,
    tiles,
)
from skoverparam.linalg._threads import n_workers, on_threads

# Buffers of a tile that live at once: 1.3 MB in float64, the second cache level of a core.
_BUFFERS = 5

Item = TypeVar("Item")


def fully_connected_ntk(
    X: Tensor,
    Z: Tensor | None = None,
    *,
    depth: int = 1,
    activation: object = "relu",
    normalize: bool = True,
    tile_side: int | None = None,
) -> Tensor:
    """Neural tangent kernel; the public function of the package says everything else."""
    return _kernel(X, Z, depth, resolve(activation), normalize, tangent=True, side=tile_side)


def fully_connected_nngp(
    X: Tensor,
    Z: Tensor | None = None,
    *,
    depth: int = 1,
    activation: object = "relu",
    normalize: bool = True,
    tile_side: int | None = None,
) -> Tensor:
    """Gaussian-process kernel; the public function of the package says everything else."""
    return _kernel(X, Z, depth, resolve(activation), normalize, tangent=False, side=tile_side)


def memory_needed(X: Tensor, Z: Tensor | None = None) -> int:
    """Bytes allocated at most for a kernel: the result, copies of the inputs and the tiles."""
    n, m = len(X), len(X if Z is None else Z)
    inputs = X.numel() + (0 if Z is None else Z.numel())
    side = tile_side(X.device)
    scratch = n_workers(X.device) * _BUFFERS * min(side, n) * min(side, m)
    # Two copies of the inputs exist while they are normalized, the tiles while layers run.
    return (n * m + 2 * inputs + scratch) * X.element_size()


def cosine_ntk_(C: Tensor, depth: int = 1, activation: object = "relu") -> Tensor:
    """Turn cosines into the tangent kernel of unit vectors, in place.

    Parameters
    ----------
    C : tensor of float64 or float32, any shape
        Cosines; overwritten. Values beyond [-1, 1] by rounding are clamped.
    depth : int, default=1
        Number of hidden layers L >= 0.
    activation : str or Activation, default="relu"
        See `resolve`.

    Returns
    -------
    tensor
        `C` itself, holding T_L. At c = 1 the value is sum over l <= L of kappa_0(1)^l, which is
        L + 1 for rectifiers.

    Notes
    -----
    A cosine near 1 that is off by e gives an angle that is off by e / sqrt(2 (1 - c)), 1e-8 at
    worst in float64: set known diagonals exactly. The layers themselves add only rounding.
    Scratch memory is that of a few tiles, unless C is not contiguous (then one copy of C).
    """
    layer = resolve(activation).layer_
    _check_depth(depth)
    check_dtype("C", C)
    with torch.no_grad():
        flat = C.view(-1) if C.is_contiguous() else C.reshape(-1)
        chunk = tile_side(C.device) ** 2

        def process(part: Tensor, buffers: Tensor) -> None:
            part.clamp_(-1, 1)
            cosine, gap, _, *work = buffers[:, : part.numel()]
            cosine.copy_(part)
            torch.sub(one(gap), part, out=gap)
            block = Block(cosine, gap, part, (work[0], work[1]))
            for _ in range(depth):
                layer(block)

        _each(process, flat.split(chunk), flat, min(chunk, flat.numel()))
        if not C.is_contiguous():
            C.copy_(flat.view(C.shape))
    return C


def _kernel(
    X: Tensor,
    Z: Tensor | None,
    depth: int,
    activation: Activation,
    normalize: bool,
    tangent: bool,
    side: int | None,
) -> Tensor:
    check_rows(X, Z)
    _check_depth(depth)
    side = tile_side(X.device) if side is None else side
    with torch.no_grad():
        return _tiled(
            X.detach(),
            None if Z is None else Z.detach(),
            depth,
            activation,
            normalize,
            tangent,
            side,
        )


def _check_depth(depth: object) -> None:
    if isinstance(depth, bool) or not isinstance(depth, int):
        raise TypeError(f"depth, the number of hidden layers, must be an integer, got {depth!r}.")
    if depth < 0:
        raise ValueError(f"depth, the number of hidden layers, must be at least 0, got {depth}.")


def _each(
    process: Callable[[Item, Tensor], None], items: Sequence[Item], like: Tensor, size: int
) -> None:
    """Call `process(item, buffers)` for all items, on as many threads as torch may use.

    Every thread has `_BUFFERS` buffers of `size` elements of its own. They need no gradient, and
    neither may anything else that `process` touches: gradient modes belong to one thread.
    """
    n_sets = max(1, min(n_workers(like.device), len(items)))
    free = deque(like.new_empty(n_sets, _BUFFERS, size).unbind())

    def work(item: Item) -> None:
        own = free.pop()
        process(item, own)
        free.append(own)

    on_threads(work, items, like.device)


class _Side:
    """One of the two sets of inputs: what the tiles of its rows need."""

    def __init__(self, X: Tensor, depth: int, activation: Activation, normalize: bool) -> None:
        self.norms: Tensor | None = None
        self.factors: list[Tensor] | None = None
        if not normalize and not activation.homogeneous:
            self.rows = X
            self.factors = activation.variance_factors(X.square().sum(1), depth)
            return
        # Dividing by the largest entry first keeps squares from over- or underflowing.
        largest = X.abs().amax(1, keepdim=True) if X.shape[1] else X.new_zeros(len(X), 1)
        scaled = X / torch.where(largest > 0, largest, 1)
        norms = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
        self.rows = scaled.div_(torch.where(norms > 0, norms, 1))
        if not normalize:
            self.norms = (norms * largest).squeeze(1)


def _tiled(
    X: Tensor,
    Z: Tensor | None,
    depth: int,
    activation: Activation,
    normalize: bool,
    tangent: bool,
    side: int,
) -> Tensor:
    left = _Side(X, depth, activation, normalize)
    right = left if Z is None else _Side(Z, depth, activation, normalize)
    n, m = len(left.rows), len(right.rows)
    K = X.new_empty(n, m)

    def process(tile: tuple[slice, slice], buffers: Tensor) -> None:
        rows, columns = tile
        values = _tile(K, left, right, rows, columns, activation, depth, tangent, buffers)
        if Z is None and rows == columns:
            mirror_(values)
        K[rows, columns] = values
        if Z is None and rows != columns:
            K[columns, rows] = values.T

    length = TILES_PER_PRODUCT * side
    for start in range(0, n, length):
        stop = min(start + length, n)
        # The cosines of these rows wait for their tiles where the kernel will stand.
        m_here = m if Z is not None else stop
        torch.mm(left.rows[start:stop], right.rows[:m_here].T, out=K[start:stop, :m_here])
        parts = tiles(range(start, stop), m_here, Z is None, side)
        _each(process, parts, K, min(side, n) * min(side, m))
    return K


def _tile(
    K: Tensor,
    left: _Side,
    right: _Side,
    rows: slice,
    columns: slice,
    activation: Activation,
    depth: int,
    tangent: bool,
    buffers: Tensor,
) -> Tensor:
    """Return the kernel of a tile, in one of the buffers, from the products that K holds."""
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    cosine, gap, last, *work = buffers[:, : shape[0] * shape[1]].view(_BUFFERS, *shape)
    block = Block(cosine, gap, last if tangent else None, (work[0], work[1]))
    cosine.copy_(K[rows, columns])
    if left.factors is None:
        _refine_(block, left.rows[rows], right.rows[columns])
    if tangent:
        last.copy_(cosine)
    for layer in range(depth):
        if left.factors is None or right.factors is None:
            activation.layer_(block)
        else:
            activation.layer_(
                block, left.factors[layer][rows, None], right.factors[layer][None, columns]
            )
    tile: Tensor = last if tangent else cosine
    if left.norms is not None and right.norms is not None:
        tile.mul_(left.norms[rows, None]).mul_(right.norms[None, columns])
    return tile


def _refine_(block: Block, U: Tensor, V: Tensor) -> None:
    """Set the gap 1 - c, for nearly parallel rows from their difference.

    A product that is off by e gives an angle t that is off by e / t. Where t is small the gap is
    taken from 1 - c = |u - v|^2 / 2 (and 1 + c = |u + v|^2 / 2 for opposite rows), which has an
    angle off by e; there it is exactly 0 for equal rows, the diagonal among them.
    """
    cosine, gap, _, (work, _) = block
    cosine.clamp_(-1, 1)
    torch.sub(one(gap), cosine, out=gap)
    threshold = torch.finfo(gap.dtype).eps ** 0.4
    near = torch.abs(cosine, out=work).gt(1 - threshold).nonzero()
    # A pair costs one row of each side: as many at a time as a tile has room for.
    for pairs in near.split(max(1, gap.numel() // max(1, U.shape[1]))):
        i, j = pairs.unbind(1)
        sign = cosine[i, j].sign()
        half = (U[i] - sign[:, None] * V[j]).square_().sum(1).div_(2)
        gap[i, j] = torch.where(sign > 0, half, 2 - half)
        cosine[i, j] = sign * (1 - half)
