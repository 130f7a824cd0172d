"""Functions of two pixels: how they are stored, and what layers do to them.

The covariance of a network's features at two pixels, and its tangent kernel, are functions of two
pixels (i, j) and (i', j'). Dense storage has an entry for each pair. Where rolling the image
by p pixels changes nothing, all is known from the *phase* (i mod p, j mod p) and the
*displacement* (i' - i, j' - j), both around the image: p^2 images instead of h w.

A `Pairs` knows one way to store them; the layers are written once, on top of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor

from skoverparam.kernels._convolutional_layers import Sources, Upsample
from skoverparam.linalg._threads import on_threads

# Torch runs an operation on fewer elements on the thread that calls it.
_SERIAL = 32768

Item = TypeVar("Item")


class Pairs:
    """A way to store functions A of two pixels as tensors of four axes.

    The first two axes are about the first pixel, the last two about the second. Work is done in
    slabs ``A[i]`` and tiles ``A[i, j:k]``, which keeps the memory for all that lies between small.
    """

    moving_rows: ClassVar[tuple[int, ...]]
    """Axes of a slab along which moving both pixels by a row moves a value, but for the first."""

    moving_columns: ClassVar[tuple[int, ...]]
    """Axes of a slab along which moving both pixels by a column moves a value."""

    def box_sum(self, A: Tensor, kernel_size: int, out: Tensor) -> Tensor:
        """Sum A over the offsets of a square window, by which both pixels move together.

        The sums are written to `out`, which is returned.
        """
        rows, columns = (_offsets(kernel_size, A.shape[axis]) for axis in (0, 1))

        def process(i: int) -> None:
            over_rows = torch.empty_like(A[i])
            for total in (over_rows, out[i]):
                for (part,) in _tiles(total):
                    part.zero_()
            for step, times in rows:
                source = A[(i + step) % len(A)]
                _add_rolled_(over_rows, source, step, self.moving_rows, times)
            for step, times in columns:
                _add_rolled_(out[i], over_rows, step, self.moving_columns, times)

        for_each(process, range(len(A)), A)
        return out

    def tiles(self, A: Tensor) -> list[tuple[int, slice]]:
        """Return the places of all tiles: slabs, and slices of them."""
        return _tile_places(A)

    def variances(self, A: Tensor) -> Tensor:
        """Return the values of A at equal pixels."""
        raise NotImplementedError

    def products(self, variances: Tensor, tile: tuple[int, slice], shape: torch.Size) -> Tensor:
        """Return the products of both pixels' variances for ``A[tile]``, A of that shape."""
        raise NotImplementedError

    def upsample(self, A: Tensor, layer: Upsample) -> Tensor:
        """Interpolate A in both pixels."""
        raise NotImplementedError

    def downsample(self, A: Tensor) -> Tensor:
        """Keep the values of A where both pixels are in even rows and columns."""
        # For phases and displacements, too, doubling the pixels means doubling all four.
        return A[::2, ::2, ::2, ::2].contiguous()


class DensePairs(Pairs):
    """Tensors of shape (h, w, h, w): ``A[i, j, i', j']``."""

    moving_rows = (1,)
    moving_columns = (0, 2)

    def variances(self, A: Tensor) -> Tensor:
        """Return the diagonal, of shape (h, w)."""
        h, w = A.shape[:2]
        return A.reshape(h * w, h * w).diagonal().reshape(h, w).clone()

    def products(self, variances: Tensor, tile: tuple[int, slice], shape: torch.Size) -> Tensor:
        """Return products for the pixels of a tile with all pixels."""
        return variances[tile][:, None, None] * variances

    def upsample(self, A: Tensor, layer: Upsample) -> Tensor:
        """Interpolate along all four axes."""
        h, w = A.shape[:2]
        rows, columns = layer.sources(h, A), layer.sources(w, A)
        result = A.new_empty(2 * h, 2 * w, 2 * h, 2 * w)

        def process(tile: tuple[int, slice]) -> None:
            i, js = tile
            part = torch.zeros_like(result[tile][:, :h, :w])
            for row, row_weight in rows:
                for column, column_weight in columns:
                    weights = (row_weight[i] * column_weight[js])[:, None, None]
                    part.addcmul_(A[row[i], column[js]], weights)
            result[tile] = _interpolated(_interpolated(part, 1, rows), 2, columns)

        for_each(process, self.tiles(result), result)
        return result


class PhasePairs(Pairs):
    """Tensors of shape (p, p, h, w): ``A[a, b, u, v]`` for pixels (a, b) and (a + u, b + v)."""

    # Displacements stay what they are when both pixels move.
    moving_rows = ()
    moving_columns = (0,)

    def variances(self, A: Tensor) -> Tensor:
        """Return the values at displacement zero, of shape (p, p)."""
        return A[:, :, 0, 0].clone()

    def products(self, variances: Tensor, tile: tuple[int, slice], shape: torch.Size) -> Tensor:
        """Return products for the phases of a tile with all displacements."""
        p, _, h, w = shape
        rows, columns = (torch.arange(size, device=variances.device) for size in (h, w))
        a, phases = tile[0], torch.arange(p, device=variances.device)[tile[1], None, None]
        others = variances[(a + rows[:, None]) % p, (phases + columns) % p]
        return variances[tile][:, None, None] * others

    def upsample(self, A: Tensor, layer: Upsample) -> Tensor:
        """Interpolate along rows, then along columns."""
        A = _upsample_circulant(A.transpose(1, 2), layer)
        A = _upsample_circulant(A.permute(2, 3, 0, 1), layer)
        return A.permute(2, 0, 3, 1).contiguous()


class DenseKernel(NamedTuple):
    """A kernel between all pairs of pixels.

    Parameters
    ----------
    values : array of shape (h, w, h, w)
        ``values[i, j, k, l]`` is the kernel of pixels (i, j) and (k, l).

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import convolutional_ntk, encoder_decoder
    >>> ramp = np.arange(16.0).reshape(1, 4, 4) / 16
    >>> kernel = convolutional_ntk(encoder_decoder(levels=1), prior=ramp)
    >>> kernel.values.shape, kernel.row(0, 0).shape
    ((4, 4, 4, 4), (4, 4))
    """

    values: Tensor

    def row(self, i: int, j: int) -> Tensor:
        """Return the kernel of pixel (i, j) with all pixels, of shape (h, w)."""
        return self.values[i, j]


class BlockCirculantKernel(NamedTuple):
    """A kernel which does not change when the image is rolled by p pixels.

    Parameters
    ----------
    blocks : array of shape (p, p, h, w)
        ``blocks[a, b, u, v]`` is the kernel of pixels (i, j) and (i + u, j + v), around the
        image, for all i with ``i % p == a`` and all j with ``j % p == b``.

    Examples
    --------
    >>> from skoverparam.kernels import convolutional_ntk, encoder_decoder
    >>> kernel = convolutional_ntk(encoder_decoder(levels=2), shape=(8, 12))
    >>> kernel.blocks.shape
    (4, 4, 8, 12)
    >>> kernel.averaged().blocks.shape
    (1, 1, 8, 12)
    >>> kernel.dense().values.shape
    (8, 12, 8, 12)
    """

    blocks: Tensor

    def averaged(self) -> BlockCirculantKernel:
        """Return the mean over all p x p positions of the network's grid, which has p = 1."""
        p = len(self.blocks)
        phases = [self.blocks[a, b] for a in range(p) for b in range(p)]
        return BlockCirculantKernel((sum(phases[1:], phases[0]) / p**2)[None, None])

    def dense(self) -> DenseKernel:
        """Return all entries: h w times as many numbers as an image has."""
        p, _, h, w = self.blocks.shape
        i, j = torch.arange(h), torch.arange(w)
        rows = (i - i[:, None]) % h
        columns = (j - j[:, None]) % w
        a, b = (i % p)[:, None, None, None], (j % p)[:, None, None]
        return DenseKernel(self.blocks[a, b, rows[:, None, :, None], columns[None, :, None, :]])

    def row(self, i: int, j: int) -> Tensor:
        """Return the kernel of pixel (i, j) with all pixels, of shape (h, w)."""
        p, _, h, w = self.blocks.shape
        rows = [(row - i) % h for row in range(h)]
        columns = [(column - j) % w for column in range(w)]
        return self.blocks[i % p, j % p][rows][:, columns]


class DisplacementWindow(NamedTuple):
    """A kernel on images of any size, constant between pixels that are far apart.

    Attributes
    ----------
    values : tensor of shape (p, p, 2 r + 1, 2 r + 1)
        ``values[a, b, r + u, r + v]`` is the kernel of a pixel of phase (a, b) and the one at
        displacement (u, v).
    far : float
        The kernel at all other displacements.
    """

    values: Tensor
    far: float

    def averaged(self) -> DisplacementWindow:
        """Return the mean over the phases."""
        return DisplacementWindow(self.values.mean((0, 1))[None, None], self.far)

    def on(self, shape: tuple[int, int]) -> BlockCirculantKernel:
        """Return the kernel on images of this shape, whose sides are multiples of p."""
        p, _, side, _ = self.values.shape
        h, w = shape
        if h % p or w % p or h < side or w < side:
            raise ValueError(
                f"shape must have sides that are multiples of {p} and at least {side}, "
                f"got {shape}."
            )
        blocks = self.values.new_full((p, p, h, w), self.far)
        displacements = torch.arange(side) - side // 2
        blocks[:, :, (displacements % h)[:, None], displacements % w] = self.values
        return BlockCirculantKernel(blocks)


def for_each(function: Callable[[Item], None], items: Sequence[Item], like: Tensor) -> None:
    """Call a function on items, side by side unless `like` is small."""
    if like.numel() < _SERIAL:
        for item in items:
            function(item)
    else:
        on_threads(function, items, like.device)


def _tile_length(slab: Tensor) -> int:
    """Return how many parts ``slab[j]`` one operation on a tile should have at most."""
    return max(1, _SERIAL // slab[0].numel()) if slab.device.type == "cpu" else len(slab)


def _tile_places(A: Tensor) -> list[tuple[int, slice]]:
    length = _tile_length(A[0])
    slices = [slice(j, j + length) for j in range(0, A.shape[1], length)]
    return [(i, columns) for i in range(len(A)) for columns in slices]


def _tiles(*slabs: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut slabs of one shape into tiles, alike."""
    length = _tile_length(slabs[0])
    return zip(*(slab.split(length) for slab in slabs), strict=True)


def _interpolated(A: Tensor, axis: int, sources: Sources) -> Tensor:
    shape = [-1 if other == axis else 1 for other in range(A.ndim)]
    parts = [A.index_select(axis, index) * weight.view(shape) for index, weight in sources]
    return sum(parts[1:], parts[0])


def _offsets(length: int, period: int) -> list[tuple[int, int]]:
    """List the steps of a centered window around an axis, and how often each is met.

    Around a short axis steps coincide: with one phase, as in an encoder, all of them.
    """
    steps = range(-(length // 2), length // 2 + 1)
    return sorted(Counter(step % period for step in steps).items())


def _add_rolled_(
    total: Tensor, source: Tensor, step: int, axes: tuple[int, ...], times: int
) -> None:
    """Add to ``total[..., i, ...]`` so many times ``source[..., i + step, ...]``, all axes alike.

    The same as with `torch.roll`, but without its copies.
    """
    if not axes:
        for part, of_source in _tiles(total, source):
            part.add_(of_source, alpha=times)
        return
    axis, *rest = axes
    n = total.shape[axis]
    for start, stop, first in ((0, n - step, step), (n - step, n, 0)):
        if stop > start:
            there = total.narrow(axis, start, stop - start)
            here = source.narrow(axis, first, stop - start)
            _add_rolled_(there, here, step, tuple(rest), times)


def _upsample_circulant(A: Tensor, layer: Upsample) -> Tensor:
    """Interpolate along one axis: (p, n, ...) of phases and displacements to (2p, 2n, ...)."""
    p, n = A.shape[:2]
    displacements = torch.arange(2 * n, device=A.device)
    offsets, weights = layer.tap_tables(A)
    result = A.new_empty(2 * p, 2 * n, *A.shape[2:])

    def process(tile: tuple[int, slice]) -> None:
        phase, there = tile
        other = phase + displacements[there]  # coordinate of the second pixel
        part = torch.zeros_like(result[tile])
        for offset, weight in layer.taps[phase % 2]:
            first = phase // 2 + offset
            for others, other_weights in zip(offsets, weights, strict=True):
                steps = (other // 2 + others[other % 2] - first) % n
                factors = weight * other_weights[other % 2]
                part.addcmul_(A[first % p, steps], factors[:, None, None])
        result[tile] = part

    for_each(process, _tile_places(result), result)
    return result
