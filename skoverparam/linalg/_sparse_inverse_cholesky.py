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

from ._circulant import Window

# Displacements that fit the bits of one integer.
_WORD = 62

# Pixels treated at once: their small matrices should stay in the cache.
_CHUNK = 2**14

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
    n_neighbors: int = 8,
    wrap: bool = False,
) -> InverseFactor:
    """Sparse approximate factor of the inverse of a kernel between observed pixels.

    Parameters
    ----------
    window : Window
        The kernel. Its far value is left out: what is inverted is K - far.

    observed : Tensor of shape (h, w), bool
        The pixels.

    nugget : float, default=0
        What is added to the diagonal.

    n_neighbors : int, default=8
        How many preceding pixels predict a pixel.

    wrap : bool, default=False
        Whether the kernel goes around the image.

    Returns
    -------
    InverseFactor
        On images as vectors of h w pixels.

    Notes
    -----
    With m neighbors and N observed pixels ``O(m^3 N)`` operations, ``16 (m + 1) N`` bytes.
    """
    p, radius = len(window.values), window.values.shape[-1] // 2
    h, w = observed.shape
    device = observed.device
    share = max(float(observed.sum()) / max(h * w, 1), 1e-3)
    rows, columns = _preceding(radius, math.ceil(3 * n_neighbors / share), device)
    table = _table(window, int(max(rows.abs().max(), columns.abs().max())), nugget)
    pixels = observed.flatten().nonzero().squeeze(1)
    parts = []
    for chunk, slots in _neighbors(observed, pixels, rows, columns, n_neighbors, wrap):
        valid = slots >= 0
        u, v = rows[slots.clamp_min(0)], columns[slots.clamp_min(0)]
        i, j = chunk // w, chunk % w
        phase = (((i + u) % h) % p) * p + ((j + v) % w) % p
        place = ((i + u) % h) * w + (j + v) % w
        own = ((i % p) * p + j % p)[None]
        weights = _weights(table, torch.cat([phase, own]), u, v, valid)
        valid = torch.cat([valid, valid.new_ones(1, len(chunk))]).T
        place = torch.cat([place, chunk[None]]).T
        parts.append((place[valid].to(torch.int32), weights.T[valid], valid.sum(1)))
    if not parts:
        none = torch.zeros(0, dtype=torch.int32, device=device)
        empty = SparseRows(none, none.new_zeros(h * w + 1), torch.zeros(0, device=device))
        return InverseFactor(empty, empty)
    places, weights, counts = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    lengths = torch.zeros(h * w, dtype=torch.int64, device=device)
    lengths[pixels] = counts
    order = torch.argsort(places, stable=True)
    origin = torch.repeat_interleave(pixels.to(torch.int32), counts)
    received = torch.bincount(places, minlength=h * w)
    return InverseFactor(
        SparseRows(places, _starts(lengths), weights),
        SparseRows(origin[order], _starts(received), weights[order]),
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


def _table(window: Window, reach: int, nugget: float) -> Tensor:
    """K - far at all displacements between two neighbors of a pixel, float32."""
    near = (window.values - window.far).to(torch.float32)
    radius = near.shape[-1] // 2
    near[:, :, radius, radius] += nugget
    margin = max(0, 2 * reach - radius)
    return functional.pad(near, (margin,) * 4)


def _neighbors(
    observed: Tensor, pixels: Tensor, rows: Tensor, columns: Tensor, n_neighbors: int, wrap: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of observed pixels and, for each, its nearest preceding observed ones.

    The latter as indices of displacements, of shape (neighbors, chunk), -1 where there are fewer.
    """
    h, w = observed.shape
    reach = int(max(rows.abs().max(), columns.abs().max())) if len(rows) else 0
    framed = _wrapped(observed, reach) if wrap else functional.pad(observed, (reach,) * 4)
    framed = framed.flatten()
    wide = w + 2 * reach
    shifts = rows * wide + columns
    words = [shifts[k : k + _WORD] for k in range(0, len(shifts), _WORD)]
    for chunk in pixels.split(_CHUNK):
        start = (chunk // w + reach) * wide + chunk % w + reach
        # Bit k of a word says whether the pixel at displacement k is observed.
        seen = torch.stack([_bits(framed, start, word) for word in words])
        yield chunk, _lowest_bits(seen, n_neighbors)


def _wrapped(observed: Tensor, reach: int) -> Tensor:
    h, w = observed.shape
    i = torch.arange(-reach, h + reach, device=observed.device) % h
    j = torch.arange(-reach, w + reach, device=observed.device) % w
    return observed[i[:, None], j]


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
        # A power of two is exact in float64, and so is its logarithm.
        bit = torch.log2(lowest.to(torch.float64)).to(torch.int64) + _WORD * which
        found[slot] = torch.where(lowest > 0, bit, -1)
        current ^= lowest
    return found


def _weights(table: Tensor, phase: Tensor, u: Tensor, v: Tensor, valid: Tensor) -> Tensor:
    """Rows of G: for pixels with m neighbors each, of shape (m + 1, pixels), the pixel last."""
    side = table.shape[-1]
    middle = (side // 2) * side + side // 2
    zero = u.new_zeros(1, u.shape[1])
    code = torch.cat([u * side + v, zero])
    index = phase[:, None] * side**2 + middle + code[None] - code[:, None]
    K = table.flatten()[index]
    m = len(u)
    valid = torch.cat([valid, valid.new_ones(1, valid.shape[1])])
    K *= valid[:, None] & valid
    diagonal = torch.arange(m + 1, device=K.device)
    K[diagonal, diagonal] += (~valid).to(K.dtype)
    floor = _FLOOR * float(table.flatten()[middle])
    # The pixels are the last axis: each step works on all their matrices at once.
    for k in range(m + 1):
        K[k:, k] *= K[k, k].clamp_min(floor).rsqrt()
        below = K[k + 1 :, k]
        K[k + 1 :, k + 1 :].sub_(below[:, None] * below)
    # The last row of the inverse of the triangular factor.
    G = torch.empty_like(K[0])
    G[m] = 1 / K[m, m]
    for k in range(m - 1, -1, -1):
        G[k] = -(K[k + 1 :, k] * G[k + 1 :]).sum(0) / K[k, k]
    return G


def _starts(lengths: Tensor) -> Tensor:
    return functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
