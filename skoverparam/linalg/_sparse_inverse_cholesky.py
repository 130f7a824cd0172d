"""Sparse approximate inverses of kernels between the observed pixels of an image.

In the order of rows, each observed pixel is predicted from the nearest ones that precede it. The
prediction errors are nearly uncorrelated, so that dividing by their standard deviations gives a
sparse G with G'G ~ K^-1: among all factors with its pattern the closest one in the sense of
Kullback-Leibler (arXiv:2004.14455; in statistics Vecchia's approximation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from skoverparam.linalg._circulant import Window

# Displacements that fit the bits of one integer.
_WORD = 62

# Pixels treated at once: on a CPU, their small matrices should stay in the cache.
_CHUNK, _CHUNK_ON_GPU = 2**14, 2**19

# Prediction errors below this part of the variance are rounding errors of float32.
_FLOOR = 1e-6


class SparseRows(NamedTuple):
    """A sparse matrix by rows, for products with a few columns at a time."""

    columns: Tensor
    starts: Tensor
    weights: Tensor

    def product(self, X: Tensor) -> Tensor:
        """Return the matrix times X of shape (pixels, b)."""
        # A weighted sum over bags of rows is a sparse product, on every device.
        return functional.embedding_bag(
            self.columns,
            X,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )


class InverseFactor(NamedTuple):
    """G and its transpose, float32, zero in the rows and columns of missing pixels."""

    factor: SparseRows
    transposed: SparseRows

    def product(self, X: Tensor) -> Tensor:
        """Return G'G X, about the inverse of the kernel between the observed pixels times X."""
        return self.transposed.product(self.factor.product(X))


def sparse_inverse_cholesky(
    window: Window,
    observed: Tensor,
    *,
    nugget: float = 0.0,
    n_neighbors: int = 6,
    wrap: bool = False,
) -> InverseFactor:
    """Sparse approximate factors of the inverses of a kernel between observed pixels.

    Parameters
    ----------
    window : Window
        The kernel. Its far value is left out: what is inverted is K - far.

    observed : Tensor of shape (k, h, w), bool
        The pixels, for each of k masks.

    nugget : float, default=0
        What is added to the diagonal.

    n_neighbors : int, default=6
        How many preceding pixels predict a pixel.

    wrap : bool, default=False
        Whether the kernel goes around the image.

    Returns
    -------
    InverseFactor
        On stacks of k images, as vectors of k h w pixels; it joins no two of them.

    Notes
    -----
    With m neighbors and N observed pixels ``O(m^3 N)`` operations, ``16 (m + 1) N`` bytes.
    """
    device, (_, h, w) = observed.device, observed.shape
    share = max(float(observed.sum()) / max(observed.numel(), 1), 1e-3)
    u, v = _preceding(window.values.shape[-1] // 2, math.ceil(3 * n_neighbors / share), device)
    table = _table(window, u, v, nugget)
    pixels = observed.flatten().nonzero().squeeze(1)
    columns, weights, counts = [], [], []
    for chunk, slots in _neighbors(observed, pixels, u, v, n_neighbors, wrap):
        valid = slots >= 0
        rows, steps = u[slots.clamp_min(0)], v[slots.clamp_min(0)]
        i, j = chunk // w % h, chunk % w
        if wrap:
            around = (i + rows) % h * w + (j + steps) % w
            places = chunk - i * w - j + around
        else:
            places = chunk + rows * w + steps
        own = _weights(table, _phases(table, i, j, rows, steps), rows, steps, valid)
        # The pixel itself is the last of its row.
        valid = torch.cat([valid, valid.new_ones(1, len(chunk))]).T
        places = torch.cat([places, chunk[None]]).to(torch.int32).T
        columns.append(places[valid])
        weights.append(own.T[valid])
        counts.append(valid.sum(1))
    return _with_transpose(pixels, columns, weights, counts, observed.numel())


def _with_transpose(
    pixels: Tensor,
    columns: list[Tensor],
    weights: list[Tensor],
    counts: list[Tensor],
    n_rows: int,
) -> InverseFactor:
    """Put rows together, which exist for some pixels only, and sort them by columns, too."""
    if not columns:
        none = torch.zeros(0, dtype=torch.int32, device=pixels.device)
        empty = SparseRows(none, none.new_zeros(n_rows + 1), none.to(torch.float32))
        return InverseFactor(empty, empty)
    to, values, lengths = torch.cat(columns), torch.cat(weights), torch.cat(counts)
    columns.clear()
    weights.clear()
    order = torch.argsort(to, stable=True)
    origin = torch.repeat_interleave(pixels.to(torch.int32), lengths)[order]
    received = torch.bincount(to, minlength=n_rows)
    sent = torch.zeros_like(received).index_copy_(0, pixels, lengths)
    return InverseFactor(
        SparseRows(to, _starts(sent), values),
        SparseRows(origin, _starts(received), values[order]),
    )


def _preceding(radius: int, n_wanted: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Displacements of preceding pixels, nearest first, in whole words."""
    steps = torch.arange(-radius, radius + 1, device=device)
    u, v = torch.meshgrid(steps[: radius + 1], steps, indexing="ij")
    before = (u < 0) | (v < 0)
    u, v = u[before], v[before]
    # Ties are broken by the order of rows, everywhere alike.
    order = torch.argsort(u**2 + v**2, stable=True)
    order = order[: _WORD * math.ceil(n_wanted / _WORD)]
    return u[order], v[order]


def _table(window: Window, u: Tensor, v: Tensor, nugget: float) -> Tensor:
    """K - far at all displacements between two neighbors of a pixel, float32."""
    near = (window.values - window.far).to(torch.float32)
    radius = near.shape[-1] // 2
    near[:, :, radius, radius] += nugget
    return functional.pad(near, (max(0, 2 * _reach(u, v) - radius),) * 4)


def _reach(u: Tensor, v: Tensor) -> int:
    return int(torch.cat([u, v]).abs().max()) if len(u) else 0


def _neighbors(
    observed: Tensor, pixels: Tensor, u: Tensor, v: Tensor, n_neighbors: int, wrap: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of observed pixels and, for each, its nearest preceding observed ones.

    The latter as indices of displacements, of shape (neighbors, chunk), -1 where there are fewer.
    """
    _, h, w = observed.shape
    reach = _reach(u, v)
    framed = _wrapped(observed, reach) if wrap else functional.pad(observed, (reach,) * 4)
    tall, wide = h + 2 * reach, w + 2 * reach
    shifts = u * wide + v
    words = [shifts[k : k + _WORD] for k in range(0, len(shifts), _WORD)]
    # A window of a single pixel has no displacements.
    n_neighbors = min(n_neighbors, len(shifts))
    for chunk in pixels.split(_CHUNK if pixels.device.type == "cpu" else _CHUNK_ON_GPU):
        mask, i, j = chunk // (h * w), chunk // w % h, chunk % w
        start = (mask * tall + i + reach) * wide + j + reach
        # Bit k of a word says whether the pixel at displacement k is observed.
        seen = [_bits(framed.flatten(), start, word) for word in words]
        yield chunk, _lowest_bits(torch.stack(seen or [torch.zeros_like(chunk)]), n_neighbors)


def _wrapped(observed: Tensor, reach: int) -> Tensor:
    _, h, w = observed.shape
    i = torch.arange(-reach, h + reach, device=observed.device) % h
    j = torch.arange(-reach, w + reach, device=observed.device) % w
    return observed[:, i[:, None], j]


def _bits(framed: Tensor, start: Tensor, shifts: Tensor) -> Tensor:
    word = torch.zeros_like(start)
    for k, shift in enumerate(shifts.tolist()):
        word |= framed[start + shift].to(torch.int64) << k
    return word


def _lowest_bits(words: Tensor, n_bits: int) -> Tensor:
    """Find the lowest bits that are set, counted through all words; -1 where none is left."""
    found = torch.full((n_bits, words.shape[1]), -1, dtype=torch.int64, device=words.device)
    current, which = words[0].clone(), torch.zeros_like(words[0])
    for slot in range(n_bits):
        for _ in range(len(words) - 1):
            spent = (current == 0) & (which < len(words) - 1)
            which += spent
            current = torch.where(spent, words.gather(0, which[None])[0], current)
        lowest = current & -current
        # A power of two is exact in float64, and is half of one to its exponent.
        bit = torch.frexp(lowest.to(torch.float64)).exponent - 1 + _WORD * which
        found[slot] = torch.where(lowest > 0, bit, -1)
        current ^= lowest
    return found


def _phases(table: Tensor, i: Tensor, j: Tensor, rows: Tensor, steps: Tensor) -> Tensor | int:
    """Where the table's entries begin for the phase of each neighbor, and last the pixel's own."""
    p, side = len(table), table.shape[-1]
    if p == 1:
        return 0
    rows, steps = (functional.pad(shift, (0, 0, 0, 1)) for shift in (rows, steps))
    return ((i + rows) % p * p + (j + steps) % p) * side**2


def _weights(
    table: Tensor, phases: Tensor | int, rows: Tensor, steps: Tensor, valid: Tensor
) -> Tensor:
    """Rows of G: for pixels with m neighbors each, of shape (m + 1, pixels), the pixel last."""
    m, n_pixels = rows.shape
    entries, side = table.flatten(), table.shape[-1]
    middle = (side // 2) * side + side // 2
    place = functional.pad(rows * side + steps, (0, 0, 0, 1)).to(torch.int32)
    begin = (phases + middle - place).to(torch.int32)
    valid = functional.pad(valid, (0, 0, 0, 1), value=True)
    # The pixels are the last axis: each step works on all their matrices at once.
    K = entries.new_empty((m + 1, m + 1, n_pixels))
    for k in range(m + 1):
        # Lower triangle only.
        index = (begin[k] + place[: k + 1]).flatten()
        torch.mul(
            entries.index_select(0, index).view(k + 1, n_pixels),
            valid[k] & valid[: k + 1],
            out=K[k, : k + 1],
        )
        K[k, k] += ~valid[k]
    floor = _FLOOR * float(entries[middle])
    for k in range(m + 1):
        K[k:, k] *= K[k, k].clamp_min(floor).rsqrt()
        for j in range(k + 1, m + 1):
            K[j:, j].addcmul_(K[j:, k], K[j, k], value=-1)
    # The last row of the inverse of the triangular factor.
    G = torch.empty_like(K[0])
    G[m] = K[m, m].reciprocal()
    for k in range(m - 1, -1, -1):
        G[k] = -(K[k + 1 :, k] * G[k + 1 :]).sum(0) / K[k, k]
    return G


def _starts(lengths: Tensor) -> Tensor:
    return functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
