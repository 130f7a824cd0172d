"""How alike two ids of one factor are: from what was seen of them, and from side information."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._entries import Entries
from skoverparam.completion._profiles import Profiles, inner_products, profiles_from_coordinates
from skoverparam.kernels._fully_connected import cosine_ntk_
from skoverparam.linalg._rp_cholesky import rp_cholesky


class IdFeatures(NamedTuple):
    """What is known of the ids of one factor.

    Attributes
    ----------
    remainder : Profiles of n rows
        Remainders of the id's entries, one column for each id of the other factors.

    mask : Profiles of n rows
        Which entries were seen: rarely seen partners count more, unit length.

    side : Profiles of n rows or None
        Side information, unit length.
    """

    remainder: Profiles
    mask: Profiles
    side: Profiles | None


def id_features(
    entries: Entries, remainder: Tensor, sides: tuple[Profiles | None, ...]
) -> tuple[IdFeatures, ...]:
    """Collect the features of the ids of every factor.

    Parameters
    ----------
    entries : Entries
        The observed entries.

    remainder : Tensor of shape (n,)
        What the biases leave of them, in units of its root mean square.

    sides : tuple of Profiles or None
        Side information of each factor's ids.
    """
    features = []
    for f, side in enumerate(sides):
        remainders, mask = _seen_of(f, entries, remainder)
        if side is not None:
            side = unit_rows(side)
        features.append(IdFeatures(remainders, mask, side))
    return tuple(features)


def mix_features(
    features: IdFeatures, *, mask_weight: float, side_weight: float, shrinkage: float
) -> Profiles:
    """One vector for each id, of length at most 1, whose inner products are the cosines.

    Parameters
    ----------
    features : IdFeatures
        The blocks. A block that is zero for an id does not dilute the others: the weights are
        normalized over the blocks that the id has.

    mask_weight, side_weight : float
        Weights of the blocks, that of the remainders being 1.

    shrinkage : float
        Entries of typical size that an id must have for its remainders to have length
        ``sqrt(1/2)``. Without it, ids that were hardly seen would look certain.
    """
    squares = features.remainder.square_norms()
    blocks = [
        (features.remainder.scaled((squares + shrinkage).rsqrt()), squares > 0, 1.0),
        (features.mask, features.mask.square_norms() > 0, mask_weight),
    ]
    if features.side is not None:
        blocks.append((features.side, features.side.square_norms() > 0, side_weight))
    total = sum(present.to(squares) * weight for _, present, weight in blocks)
    assert isinstance(total, Tensor)
    shares = torch.where(total > 0, total, torch.ones_like(total)).rsqrt()
    # A block of weight zero keeps its columns, so that those of the side information are the last.
    return _side_by_side([block.scaled(shares * weight**0.5) for block, _, weight in blocks])


def mix_side_alone(side: Profiles | None, n_unseen: int, like: Profiles) -> Profiles:
    """Make the vectors of ids of which nothing was seen.

    Parameters
    ----------
    side : Profiles or None
        Side information of the unseen ids; with None nothing is known of them.

    n_unseen : int
        How many ids.

    like : Profiles
        Mixed features of seen ids, whose last columns are the side information's.
    """
    if side is None:
        starts = like.starts.new_zeros(n_unseen + 1)
        return Profiles(starts, starts[:0], like.values[:0], like.width)
    side = unit_rows(side)
    indices = side.indices + (like.width - side.width)
    return Profiles(side.starts, indices, side.values.to(like.values), like.width)


class Network(NamedTuple):
    """The infinitely wide network whose tangent kernel compares ids.

    The kernel's constant is left out: in a product of kernels it would be a second set of offsets,
    which the biases are there for, and systems with both are much worse conditioned.
    """

    depth: int
    activation: object

    def kernel_(self, cosines: Tensor) -> Tensor:
        """Turn cosines into ``(Theta(c) - Theta(0)) / (Theta(1) - Theta(0))``, in place."""
        apart, equal = cosine_ntk_(cosines.new_tensor([0.0, 1.0]), self.depth, self.activation)
        return cosine_ntk_(cosines, self.depth, self.activation).sub_(apart).div_(equal - apart)


def exact_kernel(profiles: Profiles, network: Network, ids: Tensor | None = None) -> Tensor:
    """Kernel of the given ids (all of them with None) against all ids, with diagonal 1.

    Parameters
    ----------
    profiles : Profiles of n rows
        Mixed features.

    network : Network
        Gives the kernel.

    ids : Tensor of shape (k,), int64, default=None
        Which rows of the kernel.
    """
    if ids is None:
        ids = torch.arange(profiles.n_rows, device=profiles.starts.device)
    K = network.kernel_(inner_products(profiles.take(ids), profiles))
    K[torch.arange(len(ids), device=ids.device), ids] = 1
    return K


class IdKernel(NamedTuple):
    """The kernel of one factor's ids, ``A A' + diag(D)`` with diagonal 1.

    Attributes
    ----------
    A : Tensor of shape (n, r)
        Partial Cholesky factor.

    D : Tensor of shape (n,)
        What it leaves of the diagonal.

    pivots : Tensor of shape (r,), int64
        The ids that the factor was made from.

    landmarks : Profiles of r rows
        Mixed features of the pivots.
    """

    A: Tensor
    D: Tensor
    pivots: Tensor
    landmarks: Profiles

    def rows_of_unseen(self, unseen: Profiles, network: Network) -> Tensor:
        """Rows of A that ids without entries have, from their mixed features."""
        cross = network.kernel_(inner_products(unseen, self.landmarks))
        return torch.linalg.solve_triangular(self.A[self.pivots], cross.T, upper=False).T


def low_rank_kernel(
    profiles: Profiles, network: Network, rank: int, generator: torch.Generator
) -> IdKernel:
    """Factorize the kernel of mixed features.

    The factor approximates the kernel that the features alone give; the rest of the diagonal up
    to 1, the ids' own identity, is added exactly. With ``rank`` n nothing is approximated.
    """
    diagonal = network.kernel_(profiles.square_norms())

    def columns(ids: Tensor) -> Tensor:
        return network.kernel_(inner_products(profiles, profiles.take(ids)))

    factor, pivots, _ = rp_cholesky(columns, diagonal, rank, generator=generator)
    rest = (1 - factor.square().sum(1)).clamp_(min=0)
    return IdKernel(factor, rest, pivots, profiles.take(pivots))


class BiasKernel(NamedTuple):
    """Kernel of one factor's offsets: ``variance ((1 - sharing) I + sharing R)``."""

    variance: float
    sharing: float

    def mix(self, same: Tensor, similar: Tensor) -> Tensor:
        """Mix what the identity gives and what R gives (products or entries of either)."""
        return self.variance * ((1 - self.sharing) * same + self.sharing * similar)


def unit_rows(profiles: Profiles) -> Profiles:
    """Scale rows to unit length; zero rows stay zero."""
    # By the largest entry first: squares of very large or small entries would leave the range.
    largest = profiles.largest()
    scaled = profiles.over(torch.where(largest > 0, largest, 1))
    squares = scaled.square_norms()
    return scaled.scaled(torch.where(squares > 0, squares, 1).rsqrt())


def _seen_of(f: int, entries: Entries, remainder: Tensor) -> tuple[Profiles, Profiles]:
    """Remainders and mask of the ids of factor f against the ids of all other factors."""
    n_ids = entries.sizes[f]
    rows, columns, values, seen = [], [], [], []
    width = 0
    for g, size in enumerate(entries.sizes):
        if g == f:
            continue
        pairs = entries.codes[:, [f, g]]
        if len(entries.sizes) > 2:
            # Several entries may share two of their ids: the profile holds their mean.
            pairs, group = torch.unique(pairs, dim=0, return_inverse=True)
            sums = remainder.new_zeros(len(pairs)).index_add_(0, group, remainder)
            mean = sums / torch.bincount(group, minlength=len(pairs))
        else:
            mean = remainder
        counts = torch.bincount(pairs[:, 1], minlength=size)
        rarity = torch.log(n_ids / (counts + 1).to(remainder)).clamp_min(0)
        rows.append(pairs[:, 0])
        columns.append(pairs[:, 1] + width)
        values.append(mean)
        seen.append(rarity[pairs[:, 1]])
        width += size
    if not rows:
        nothing = entries.codes[:0, 0]
        empty = profiles_from_coordinates(nothing, nothing, remainder[:0], (n_ids, 1))
        return empty, empty
    row, column = torch.cat(rows), torch.cat(columns)
    shape = (n_ids, width)
    return (
        profiles_from_coordinates(row, column, torch.cat(values), shape),
        unit_rows(profiles_from_coordinates(row, column, torch.cat(seen), shape)),
    )


def _side_by_side(blocks: list[Profiles]) -> Profiles:
    """Concatenate the rows of several sparse matrices."""
    rows = torch.cat([block.owners() for block in blocks])
    width, columns = 0, []
    for block in blocks:
        columns.append(block.indices + width)
        width += block.width
    values = torch.cat([block.values for block in blocks])
    return profiles_from_coordinates(rows, torch.cat(columns), values, (blocks[0].n_rows, width))
