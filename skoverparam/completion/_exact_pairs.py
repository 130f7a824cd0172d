"""Kernel of the entries of a matrix with both id kernels dense: nothing approximated."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from skoverparam.completion._entries import Entries
from skoverparam.completion._id_kernels import BiasKernel, Network, exact_kernel
from skoverparam.completion._low_rank_pairs import pair_covariances
from skoverparam.completion._profiles import (
    Profiles,
    inner_products,
    profiles_from_coordinates,
    sparse_times_dense,
)

# Requested ids of a side whose kernel rows are in memory at once.
_PART = 1024


class ExactPairs:
    """Products with ``K = R[i,i'] C[j,j'] + row bias + column bias`` over observed entries.

    Parameters
    ----------
    entries : Entries
        Observed entries of two factors, in order.

    mixed : tuple of two Profiles
        Mixed features of the rows and of the columns.

    biases : tuple of two BiasKernel
        The offsets' kernels.

    network : Network
        Whose tangent kernel turns features into R and C.

    Notes
    -----
    With X the sparse matrix of the coefficients, ``R X C`` is needed at the observed entries only:
    ``R X`` is a sparse product, and its inner products with the columns of C there are the
    derivative of ``X C`` by the coefficients. ``O(|Omega| (n + m))`` a product instead of the
    ``n m (n + m)`` of dense matrices. R and C are formed by the first product; predictions form
    only the rows they need.
    """

    def __init__(
        self,
        entries: Entries,
        mixed: tuple[Profiles, ...],
        biases: tuple[BiasKernel, ...],
        network: Network,
    ) -> None:
        self.entries, self.mixed, self.biases, self.network = entries, mixed, biases, network
        rows, columns = entries.codes.T
        n, m = entries.sizes
        nothing = mixed[0].values.new_zeros(len(rows))
        self._by_row = profiles_from_coordinates(rows, columns, nothing, (n, m))
        self._to_columns = torch.argsort(columns, stable=True)
        self._by_column = profiles_from_coordinates(columns, rows, nothing, (m, n))

    @cached_property
    def dense(self) -> tuple[Tensor, ...]:
        """R and C."""
        return tuple(exact_kernel(profiles, self.network) for profiles in self.mixed)

    def __call__(self, x: Tensor) -> Tensor:
        """Return K x."""
        R = self.dense[0]
        XtR = sparse_times_dense(self._by_column, R, x[self._to_columns])
        XC, coefficients = self._graph
        (read,) = torch.autograd.grad(XC, coefficients, XtR.T.contiguous(), retain_graph=True)
        for ids, K, bias in zip(self.entries.codes.T, self.dense, self.biases, strict=True):
            sums = x.new_zeros(len(K)).index_add_(0, ids, x)
            read = read + bias.mix(sums, K @ sums)[ids]
        return read

    def predict(self, x: Tensor, codes: Tensor, unseen: tuple[Profiles, ...]) -> Tensor:
        """Values at combinations of ids; see `LowRankPairs.predict`."""
        values = x.new_zeros(len(codes))
        i, j = codes.T
        for rows, at_row, there in _parts(i):
            R = self._rows(0, rows, unseen[0])
            # The rows' part of R X, from the transposed sparse product.
            RX = sparse_times_dense(self._by_column, R.T.contiguous(), x[self._to_columns]).T
            values[there] += self._offsets(0, rows, R, x)[at_row]
            for columns, at_column, within in _parts(j[there]):
                C = self._rows(1, columns, unseen[1])
                offsets = self._offsets(1, columns, C, x)[at_column]
                here = there[within]
                values[here] += (RX[at_row[within]] * C[at_column]).sum(1) + offsets
        return values

    def covariances(self, codes: Tensor, unseen: tuple[Profiles, ...]) -> Tensor:
        """Kernel of combinations of ids against the entries, shape (k, n_entries)."""
        similar = [self._rows(f, codes[:, f], unseen[f]) for f in range(2)]
        return pair_covariances(similar, codes, self.entries, self.biases)

    def to(self, dtype: torch.dtype) -> ExactPairs:
        """Convert the numbers of the kernel to another precision."""
        mixed = tuple(P._replace(values=P.values.to(dtype)) for P in self.mixed)
        other = ExactPairs(self.entries, mixed, self.biases, self.network)
        other.__dict__["dense"] = tuple(K.to(dtype) for K in self.dense)
        return other

    @cached_property
    def _graph(self) -> tuple[Tensor, Tensor]:
        # The derivative of X C by the coefficients does not depend on them: one graph serves all.
        with torch.enable_grad():
            coefficients = self._by_row.values.clone().requires_grad_()
            return sparse_times_dense(self._by_row, self.dense[1], coefficients), coefficients

    def _rows(self, f: int, ids: Tensor, unseen: Profiles) -> Tensor:
        """Rows of R or C that belong to seen and unseen ids."""
        n = self.entries.sizes[f]
        rows = self.mixed[f].values.new_empty(len(ids), n)
        seen = ids < n
        if "dense" in self.__dict__:
            rows[seen] = self.dense[f][ids[seen]]
        else:
            rows[seen] = exact_kernel(self.mixed[f], self.network, ids[seen])
        others = unseen.take(ids[~seen] - n)
        rows[~seen] = self.network.kernel_(inner_products(others, self.mixed[f]))
        return rows

    def _offsets(self, f: int, ids: Tensor, rows: Tensor, x: Tensor) -> Tensor:
        n = self.entries.sizes[f]
        sums = x.new_zeros(n).index_add_(0, self.entries.codes[:, f], x)
        own = torch.where(ids < n, sums[ids.clamp(max=n - 1)], torch.zeros_like(sums[:1]))
        return self.biases[f].mix(own, rows @ sums)


def _parts(ids: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Distinct ids in parts: the ids, and who asks for which of them."""
    distinct, group = torch.unique(ids, return_inverse=True)
    parts = []
    for start in range(0, len(distinct), _PART):
        there = torch.nonzero((group >= start) & (group < start + _PART)).flatten()
        parts.append((distinct[start : start + _PART], group[there] - start, there))
    return parts
