"""Counts, means and scatter of classes, batch by batch, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

Scatter = Literal["class", "pooled", "none"]

# Entries of a batch that are brought to float64 at a time: 2 MiB, which stays in the cache.
_BLOCK = 2**18

# As many where matrices of the rows of each class are multiplied, which is fast with many rows.
_BLOCK_OF_PRODUCTS = 2**21

# Columns per strip of a scatter matrix: half of a symmetric product is left out strip by strip.
_STRIP = 128

# With so few classes a product with their indicators is faster than scattered additions.
_FEW = 64


class ClassSums:
    r"""Counts, means and sums of squares of the samples of each class, in one pass.

    A batch is centered by its own class means before anything is squared, and merged: with
    :math:`\delta` the difference of two means, the scatters of n and m samples add up to that of
    all when :math:`\delta \delta^T n m / (n + m)` is added. The difference of mean squares and
    squared means would cancel instead, and may become negative.

    Parameters
    ----------
    n_classes, n_features : int
        Numbers of classes and of features.

    scatter : {"class", "pooled", "none"}
        Whether matrices are summed for each class (C d^2 numbers), over all classes (d^2), or not
        at all.

    device : torch.device
        Where the sums are.

    Attributes
    ----------
    counts : Tensor of shape (C,)
        Samples of each class.

    means : Tensor of shape (C, d)
        Their means, zero where there are none.

    squares : Tensor of shape (C,)
        Sums of squared distances from the mean.

    scatter : Tensor of shape (C, d, d) or (d, d), or None
        Sums of outer products of the differences from the mean.
    """

    def __init__(
        self,
        n_classes: int,
        n_features: int,
        *,
        scatter: Scatter = "none",
        device: torch.device | None = None,
    ) -> None:
        options = {"dtype": torch.float64, "device": device}
        shape = {"class": (n_classes, n_features, n_features), "pooled": (n_features, n_features)}
        self.counts = torch.zeros(n_classes, **options)  # type: ignore[arg-type]
        self.means = torch.zeros(n_classes, n_features, **options)  # type: ignore[arg-type]
        self.squares = torch.zeros(n_classes, **options)  # type: ignore[arg-type]
        self.scatter: Tensor | None = None
        if scatter != "none":
            self.scatter = torch.zeros(shape[scatter], **options)  # type: ignore[arg-type]

    def update(self, H: Tensor, labels: Tensor) -> None:
        """Add samples (n, d) in any precision, and the indices of their classes (n,)."""
        by_class = self.scatter is not None and self.scatter.ndim == 3
        for rows in blocks(H, _BLOCK_OF_PRODUCTS if by_class else _BLOCK):
            self._add(H[rows].to(torch.float64, copy=True), labels[rows])

    def merge(self, other: ClassSums) -> None:
        """Add the sums of other samples, with the same classes, features and kind of scatter."""
        self._join(other.counts, other.means, other.squares, other.scatter)

    def _add(self, H: Tensor, labels: Tensor) -> None:
        n_classes = len(self.counts)
        counts = torch.bincount(labels, minlength=n_classes).double()
        means = sums_by_class(H, labels, n_classes) / counts.clamp_min(1)[:, None]
        if self.scatter is not None and self.scatter.ndim == 3:
            order = labels.argsort()
            H, labels = H[order], labels[order]
        R = H.sub_(means[labels])  # H is a copy
        # Norms, squared, rather than a sum of squares, which would be written down first.
        lengths = torch.linalg.vector_norm(R, dim=1).square_()
        squares = torch.zeros_like(counts).index_add_(0, labels, lengths)
        if self.scatter is not None:
            if self.scatter.ndim == 2:
                _add_product(self.scatter, R)
            else:
                for matrix, part in zip(self.scatter, R.split(_whole(counts)), strict=True):
                    _add_product(matrix, part)
        self._join(counts, means, squares, None)

    def _join(
        self, counts: Tensor, means: Tensor, squares: Tensor, scatter: Tensor | None
    ) -> None:
        total = self.counts + counts
        share = counts / total.clamp_min(1)
        delta = means - self.means
        weight = self.counts * share
        self.squares += squares + weight * torch.linalg.vecdot(delta, delta)
        if self.scatter is not None:
            if scatter is not None:
                self.scatter += scatter
            if self.scatter.ndim == 2:
                self.scatter.addmm_((delta * weight[:, None]).T, delta)
            else:
                for matrix, row, w in zip(self.scatter, delta, weight.tolist(), strict=True):
                    if w:
                        matrix.addr_(row, row, alpha=w)
        self.means += delta * share[:, None]
        self.counts = total


def blocks(H: Tensor, n_entries: int = _BLOCK) -> Iterator[slice]:
    """Slices of rows, few enough for a copy in float64."""
    size = max(1, n_entries // max(1, H.shape[1]))
    for start in range(0, len(H), size):
        yield slice(start, min(start + size, len(H)))


def sums_by_class(rows: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Sum the rows of each class: (n, d) to (C, d)."""
    if n_classes <= _FEW:
        own = labels == torch.arange(n_classes, device=labels.device)[:, None]
        return own.to(rows.dtype) @ rows
    return rows.new_zeros(n_classes, rows.shape[1]).index_add_(0, labels, rows)


def _add_product(matrix: Tensor, rows: Tensor) -> None:
    """Add R^T R to the lower triangle, in strips; the upper one is that of the last strip only.

    Whoever reads a scatter matrix reads its lower triangle: see `quadratic_forms`.
    """
    for start in range(0, len(matrix), _STRIP):
        strip = slice(start, start + _STRIP)
        stop = min(start + _STRIP, len(matrix))
        matrix[strip, :stop].addmm_(rows[:, strip].T, rows[:, :stop])


def quadratic_forms(scatter: Tensor, directions: Tensor) -> Tensor:
    """Compute v^T S v for every column v of `directions` (d, r) from the lower triangle of S.

    Parameters
    ----------
    scatter : Tensor of shape (..., d, d)
        Symmetric matrices of which the upper triangle is not read.

    directions : Tensor of shape (d, r)
        Vectors.

    Returns
    -------
    Tensor of shape (..., r)
        The forms.
    """
    if scatter.ndim > 2:  # one at a time: the lower triangles are copies
        return torch.stack([quadratic_forms(matrix, directions) for matrix in scatter])
    below = (directions * (torch.tril(scatter, -1) @ directions)).sum(-2)
    diagonal = torch.diagonal(scatter, dim1=-2, dim2=-1) @ directions.square()
    return 2 * below + diagonal


def _whole(counts: Tensor) -> list[int]:
    return [int(count) for count in counts.tolist()]
