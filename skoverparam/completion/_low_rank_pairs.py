"""Kernel of the entries of a matrix from partial factors of both id kernels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._entries import Entries, find_entries
from skoverparam.completion._id_kernels import BiasKernel, IdKernel, Network
from skoverparam.completion._profiles import (
    Profiles,
    profiles_from_coordinates,
    sparse_times_dense,
)

# Combinations of ids predicted at once.
_PART = 2**14


class _Sums(NamedTuple):
    """Sparse products of the coefficients X: all that predictions are made from."""

    XB: Tensor
    row_sums: Tensor
    XtA: Tensor
    column_sums: Tensor


class LowRankPairs:
    """Products with ``K = R[i,i'] C[j,j'] + row bias + column bias`` over observed entries.

    Parameters
    ----------
    entries : Entries
        Observed entries of two factors, in order.

    ids : tuple of two IdKernel
        ``R = A A' + diag(D)`` and ``C = B B' + diag(E)``.

    biases : tuple of two BiasKernel
        The offsets' kernels.

    network : Network
        That the id kernels were made with.

    Notes
    -----
    With X the sparse matrix of the coefficients x, the product at entry (i, j) is
    ``U_i . B_j + A_i . V_j + D_i E_j x_ij`` with ``U = A (A' X B) + D (X B)``, ``V = E (X' A)``.
    X B and X' A are sparse products; reading U B' and A V' at the observed entries is the
    derivative of those products by x, so one backward pass does it. A column of ones beside A
    and B carries the biases. ``O((|Omega| + n + m) r + (n + m) r^2)`` a product; no array of
    n times m numbers.
    """

    def __init__(
        self,
        entries: Entries,
        ids: tuple[IdKernel, ...],
        biases: tuple[BiasKernel, ...],
        network: Network,
    ) -> None:
        self.entries, self.ids, self.biases, self.network = entries, ids, biases, network
        rows, columns = entries.codes.T
        n, m = entries.sizes
        A, B = ids[0].A, ids[1].A
        nothing = A.new_zeros(len(rows))
        self._by_row = profiles_from_coordinates(rows, columns, nothing, (n, m))
        self._to_columns = torch.argsort(columns, stable=True)
        self._by_column = profiles_from_coordinates(columns, rows, nothing, (m, n))
        self._A1 = torch.cat([A, A.new_ones(n, 1)], dim=1)
        self._B1 = torch.cat([B, B.new_ones(m, 1)], dim=1)
        self._DE = ids[0].D[rows] * ids[1].D[columns]

    def __call__(self, x: Tensor) -> Tensor:
        """Return K x."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            XB1, XtA1 = self._sparse_products(x)
        sums = _split(XB1, XtA1)
        left = torch.cat([self._U(sums), self._offsets(0, sums.row_sums)[:, None]], dim=1)
        right = torch.cat([self._V(sums), self._offsets(1, sums.column_sums)[:, None]], dim=1)
        (read,) = torch.autograd.grad((XB1, XtA1), x, (left, right))
        return read + self._DE * x.detach()

    def predict(self, x: Tensor, codes: Tensor, unseen: tuple[Profiles, ...]) -> Tensor:
        """Values at combinations of ids.

        Parameters
        ----------
        x : Tensor of shape (n_entries,)
            Dual coefficients.

        codes : Tensor of shape (k, 2), int64
            Ids; from ``sizes[f]`` on, the unseen ones of factor f.

        unseen : tuple of Profiles
            Mixed features of the unseen ids of each factor.
        """
        sums = _split(*self._sparse_products(x))
        foreign = self._foreign(unseen)
        A = torch.cat([self.ids[0].A, foreign[0]])
        B = torch.cat([self.ids[1].A, foreign[1]])
        U = torch.cat([self._U(sums), foreign[0] @ (self.ids[0].A.T @ sums.XB)])
        V = torch.cat([self._V(sums), sums.XtA.new_zeros(len(foreign[1]), A.shape[1])])
        i, j = codes.T
        values = self._own(x, codes)
        values += self._offsets(0, sums.row_sums, foreign[0])[i]
        values += self._offsets(1, sums.column_sums, foreign[1])[j]
        for part in torch.arange(len(codes), device=codes.device).split(_PART):
            values[part] += (U[i[part]] * B[j[part]]).sum(1)
            values[part] += (A[i[part]] * V[j[part]]).sum(1)
        return values

    def covariances(self, codes: Tensor, unseen: tuple[Profiles, ...]) -> Tensor:
        """Kernel of combinations of ids against the entries, shape (k, n_entries)."""
        foreign = self._foreign(unseen)
        similar = []
        for f, kernel in enumerate(self.ids):
            ids = codes[:, f]
            S = torch.cat([kernel.A, foreign[f]])[ids] @ kernel.A.T
            seen = torch.nonzero(ids < len(kernel.A)).flatten()
            S[seen, ids[seen]] += kernel.D[ids[seen]]
            similar.append(S)
        return pair_covariances(similar, codes, self.entries, self.biases)

    def to(self, dtype: torch.dtype) -> LowRankPairs:
        """Convert the numbers of the kernel to another precision."""
        ids = tuple(k._replace(A=k.A.to(dtype), D=k.D.to(dtype)) for k in self.ids)
        return LowRankPairs(self.entries, ids, self.biases, self.network)

    def _sparse_products(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (
            sparse_times_dense(self._by_row, self._B1, x),
            sparse_times_dense(self._by_column, self._A1, x[self._to_columns]),
        )

    def _U(self, sums: _Sums) -> Tensor:
        # R (X B) = A (A' X B) + D (X B)
        A, D = self.ids[0].A, self.ids[0].D
        return torch.addmm(D[:, None] * sums.XB, A, A.T @ sums.XB)

    def _V(self, sums: _Sums) -> Tensor:
        return self.ids[1].D[:, None] * sums.XtA

    def _offsets(self, f: int, sums: Tensor, foreign: Tensor | None = None) -> Tensor:
        A, D = self.ids[f].A, self.ids[f].D
        projected = A.T @ sums
        known = self.biases[f].mix(sums, A @ projected + D * sums)
        if foreign is None:
            return known
        similar = foreign @ projected
        return torch.cat([known, self.biases[f].mix(torch.zeros_like(similar), similar)])

    def _foreign(self, unseen: tuple[Profiles, ...]) -> tuple[Tensor, ...]:
        return tuple(
            kernel.rows_of_unseen(profiles, self.network)
            for kernel, profiles in zip(self.ids, unseen, strict=True)
        )

    def _own(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return the part of the product kernel that an entry shares only with itself."""
        where = find_entries(codes, self.entries)
        return torch.where(where >= 0, (self._DE * x)[where], torch.zeros_like(x[:1]))


def pair_covariances(
    similar: list[Tensor], codes: Tensor, entries: Entries, biases: tuple[BiasKernel, ...]
) -> Tensor:
    """Entry kernel from the id kernels' rows at the requested ids, shape (k, n_entries)."""
    wide = [S[:, ids] for S, ids in zip(similar, entries.codes.T, strict=True)]
    total = wide[0].clone()
    for S in wide[1:]:
        total *= S
    for f, bias in enumerate(biases):
        same = codes[:, f, None] == entries.codes[None, :, f]
        total += bias.mix(same.to(total), wide[f])
    return total


def _split(XB1: Tensor, XtA1: Tensor) -> _Sums:
    XB1, XtA1 = XB1.detach(), XtA1.detach()
    return _Sums(XB1[:, :-1], XB1[:, -1], XtA1[:, :-1], XtA1[:, -1])
