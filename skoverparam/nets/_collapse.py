"""Neural collapse: how features of a class contract to its mean, and how the means stand."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.nets._class_statistics import ClassSums, blocks, quadratic_forms, sums_by_class

# Spread below so many units of rounding of the features counts as none.
_ROUNDING = 64 * 2.0**-52


class Means(NamedTuple):
    """How the means of classes stand to each other.

    Attributes
    ----------
    means : Tensor of shape (C, d)
        Means of the classes that are present.

    center : Tensor of shape (d,)
        What they are centered by.

    centered : Tensor of shape (C, d)
        Differences.

    singular : Tensor of shape (r,)
        Singular values of `centered` that count.

    directions : Tensor of shape (d, r)
        Their right singular vectors.

    trace : float
        Mean squared norm of the differences: the trace of the between-class covariance; zero
        where it is below rounding.
    """

    means: Tensor
    center: Tensor
    centered: Tensor
    singular: Tensor
    directions: Tensor
    trace: float

    @property
    def rank(self) -> int:
        """Number of directions in which means differ."""
        return len(self.singular)

    @property
    def full_rank(self) -> int:
        """The largest rank there can be."""
        return min(len(self.centered) - 1, self.centered.shape[1])

    @property
    def condition(self) -> float:
        """Ratio of the largest to the smallest eigenvalue of the between-class covariance."""
        if not self.rank:
            return math.nan
        return float((self.singular[0] / self.singular[-1]) ** 2)


def class_means(sums: ClassSums, *, by_class: bool, rtol: float) -> Means:
    """Center the means of the classes that are present and decompose them.

    Parameters
    ----------
    sums : ClassSums
        Of at least one class.

    by_class : bool
        Whether the center is the mean of the class means, or of all samples.

    rtol : float
        Eigenvalues of the between-class covariance below that share of the largest are dropped;
        so are all but the C - 1 largest.

    Returns
    -------
    Means
        Cost: that of a thin singular value decomposition, :math:`O(d C^2)`.
    """
    present = sums.counts > 0
    means, counts = sums.means[present], sums.counts[present]
    weights = torch.ones_like(counts) if by_class else counts
    center = (weights / weights.sum()) @ means
    centered = means - center
    trace = float(centered.square().sum(1).mean())
    if trace <= _ROUNDING**2 * float(means.square().sum(1).mean()):
        empty = centered.new_zeros(0)
        return Means(means, center, centered, empty, centered.new_zeros(len(center), 0), 0.0)
    _, singular, Vt = torch.linalg.svd(centered, full_matrices=False)
    rank = min(len(means) - 1, len(center))
    kept = singular[:rank] ** 2 > rtol * singular[0] ** 2
    return Means(means, center, centered, singular[:rank][kept], Vt[:rank][kept].T, trace)


def forms_of_samples(H: Tensor, labels: Tensor, means: Tensor, directions: Tensor) -> Tensor:
    """Sum squared differences from the class mean along directions: the thin route to S_W.

    Parameters
    ----------
    H : Tensor of shape (n, d)
        Samples, in any precision.

    labels : Tensor of shape (n,)
        Indices of their classes.

    means : Tensor of shape (C, d)
        Means of all classes.

    directions : Tensor of shape (d, r)
        Orthonormal vectors.

    Returns
    -------
    Tensor of shape (C, r)
        Sums. Cost :math:`O(n d r)`, and no matrix of d times d.
    """
    total = means.new_zeros(len(means), directions.shape[1])
    for rows in blocks(H):
        along = (H[rows].double() - means[labels[rows]]) @ directions
        total += sums_by_class(along.square(), labels[rows], len(means))
    return total


def forms_of_scatter(sums: ClassSums, directions: Tensor) -> Tensor | None:
    """Read the same sums from scatter matrices: (C, r), or (r,) pooled, or None without them."""
    return None if sums.scatter is None else quadratic_forms(sums.scatter, directions)


class Variability(NamedTuple):
    """Variability within classes against that between them, in three variants.

    Attributes
    ----------
    pinv : float or None
        :math:`tr(S_W S_B^+) / C`; None where the scatter is not known.

    ratio : float
        :math:`tr(S_W) / tr(S_B)`.

    cdnv : float
        Mean over pairs of classes of the mean variance over the squared distance of the means.

    within : float
        :math:`tr(S_W)`.
    """

    pinv: float | None
    ratio: float
    cdnv: float
    within: float


def variability(
    sums: ClassSums, means: Means, forms: Tensor | None, *, by_class: bool, unbiased: bool
) -> Variability:
    """Compare the variability within classes with that between them.

    Parameters
    ----------
    sums : ClassSums
        Of at least two classes.

    means : Means
        Of the same samples.

    forms : Tensor of shape (C, r) or (r,), or None
        Sums of squares along the directions of the means, of each class or of all.

    by_class : bool
        Whether classes have equal weights in S_W, or samples.

    unbiased : bool
        Whether n_c - 1 degrees of freedom are counted instead of n_c.

    Returns
    -------
    Variability
        Infinite where means do not differ and samples do; NaN where neither does.
    """
    present = sums.counts > 0
    counts, squares = sums.counts[present], sums.squares[present]
    free = counts - 1 if unbiased else counts
    freedom = free.clamp_min(1)  # of a single sample there is nothing to divide
    n_classes = len(counts)
    # Squares below rounding of the features are none: constant features are constant.
    floor = _ROUNDING**2 * means.means.square().sum(1)
    variances = squares / freedom
    variances = torch.where(variances <= floor, torch.zeros_like(variances), variances)
    if by_class:
        weights = 1 / (n_classes * freedom)
    else:
        weights = torch.full_like(freedom, 1 / max(float(free.sum()), 1.0))
    within = float(weights @ (variances * freedom))
    pinv = None
    if not means.rank:
        pinv = _quotient(within, 0.0)
    elif forms is not None:
        along = forms if forms.ndim == 1 else weights @ forms[present]
        if forms.ndim == 1:
            along = along * weights[0]
        pinv = float((along / means.singular**2).sum())
    return Variability(pinv, _quotient(within, means.trace), _cdnv(variances, means), within)


def _cdnv(variances: Tensor, means: Means) -> float:
    if not means.trace:
        return _quotient(float(variances.sum()), 0.0)
    upper = torch.triu_indices(len(variances), len(variances), 1, device=variances.device)
    total = 0.0
    for first, second in zip(upper[0].split(4096), upper[1].split(4096), strict=True):
        distance = (means.means[first] - means.means[second]).square().sum(1)
        spread = (variances[first] + variances[second]) / 2
        # Two means that are the same, of classes without spread: nothing to divide.
        total += float((spread / distance).nansum())
    return total / upper.shape[1]


def _quotient(value: float, by: float) -> float:
    if by:
        return value / by
    return math.inf if value > 0 else math.nan


class Angles(NamedTuple):
    """How far vectors, one a class, are from the corners of a simplex.

    Attributes
    ----------
    equinorm : float
        Standard deviation of the norms over their mean.

    equiangle : float
        Standard deviation of the cosines of pairs.

    max_angle : float or None
        Mean distance of the cosines from -1 / (C - 1); None where fewer than C - 1 dimensions
        leave no room for a simplex.

    etf_error : float or None
        Distance of the Gram matrix from that of a simplex, both of norm one; None likewise.
    """

    equinorm: float
    equiangle: float
    max_angle: float | None
    etf_error: float | None


def angles(rows: Tensor) -> Angles:
    """Compare vectors (C, d) with the corners of a regular simplex around zero."""
    n_classes, width = rows.shape
    norms = torch.linalg.vector_norm(rows, dim=1)
    if not bool((norms > 0).all()):
        return Angles(*(math.nan,) * 4)
    unit = rows / norms[:, None]
    off = ~torch.eye(n_classes, dtype=torch.bool, device=rows.device)
    cosines = (unit @ unit.T)[off]
    equinorm = float(norms.std(correction=0) / norms.mean())
    equiangle = float(cosines.std(correction=0))
    if width < n_classes - 1:
        return Angles(equinorm, equiangle, None, None)
    max_angle = float((cosines + 1 / (n_classes - 1)).abs().mean())
    return Angles(equinorm, equiangle, max_angle, _simplex_error(rows @ rows.T))


class Duality(NamedTuple):
    """How far the rows of a head are from the class means.

    Attributes
    ----------
    difference : float
        Squared distance of the two matrices, each of norm one: from 0 to 4.

    etf_error : float or None
        Distance of their product from the Gram matrix of a simplex, both of norm one.
    """

    difference: float
    etf_error: float | None


def duality(W: Tensor, means: Means, *, center: bool) -> Duality:
    """Compare the rows of a head (C, d) with the centered means of the same classes."""
    if center:
        W = W - W.mean(0)
    norms = torch.linalg.matrix_norm(W), torch.linalg.matrix_norm(means.centered)
    if not means.trace or not float(norms[0]):
        return Duality(math.nan, math.nan)
    difference = float((W / norms[0] - means.centered / norms[1]).square().sum())
    possible = W.shape[1] >= len(W) - 1
    return Duality(difference, _simplex_error(W @ means.centered.T) if possible else None)


def _simplex_error(product: Tensor) -> float:
    n_classes = len(product)
    largest = product.abs().max()
    if not float(largest):
        return math.nan
    product = product / largest  # squares of products of large features are no numbers
    simplex = torch.eye(n_classes, dtype=product.dtype, device=product.device) - 1 / n_classes
    norm = torch.linalg.matrix_norm(product)
    return float(torch.linalg.matrix_norm(product / norm - simplex / math.sqrt(n_classes - 1)))


class Nearest(NamedTuple):
    """Where samples are among the class means.

    Attributes
    ----------
    label : Tensor of shape (n,)
        Class with the nearest mean.

    distance : Tensor of shape (n,)
        Squared distance from it.

    own : Tensor of shape (n,)
        Squared distance from the mean of the sample's own class; NaN if there is none.
    """

    label: Tensor
    distance: Tensor
    own: Tensor


def nearest_means(H: Tensor, labels: Tensor, sums: ClassSums, center: Tensor) -> Nearest:
    """Find the nearest class mean of every sample.

    Parameters
    ----------
    H : Tensor of shape (n, d)
        Samples, in any precision.

    labels : Tensor of shape (n,)
        Indices of their classes.

    sums : ClassSums
        Whose means are compared; classes without samples have none.

    center : Tensor of shape (d,)
        Near the means: subtracted first, so that an offset of all features cancels no digits.

    Returns
    -------
    Nearest
        Distances are computed from differences, not from products: they keep their digits when
        classes have collapsed. Cost :math:`O(n d C)`.
    """
    absent = sums.counts == 0
    M = sums.means - center
    norms = M.square().sum(1).masked_fill(absent, math.inf)
    M = M.masked_fill(absent[:, None], 0.0)
    found = []
    for rows in blocks(H):
        X = H[rows].double() - center
        index = (norms - 2 * (X @ M.T)).argmin(1)
        own = (X - M[labels[rows]]).square().sum(1)
        distance = torch.minimum((X - M[index]).square().sum(1), own)
        unknown = absent[labels[rows]]
        distance = torch.where(unknown, (X - M[index]).square().sum(1), distance)
        found.append((index, distance, own.masked_fill(unknown, math.nan)))
    index, distance, own = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Nearest(index, distance, own)


def head_decisions(H: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Class with the largest output of a linear head, bias included."""
    return torch.cat([(H[rows].double() @ W.T + b).argmax(1) for rows in blocks(H)])
