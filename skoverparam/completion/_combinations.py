"""Kernel of combinations of any number of ids, by a partial factor over the entries themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from skoverparam.completion._entries import Entries, find_entries
from skoverparam.completion._id_kernels import BiasKernel, Network, exact_kernel
from skoverparam.completion._profiles import Profiles, inner_products
from skoverparam.linalg._rp_cholesky import rp_cholesky


class Combinations:
    """Products with ``K = prod_f R_f[i_f, i'_f] + biases`` as ``F F' + diag(G)``.

    Parameters
    ----------
    entries : Entries
        Observed entries of p factors.

    tables : tuple of Tensor of shape (n_f, r)
        Kernel of each factor's ids against those of the pivot entries.

    landmarks : tuple of Profiles of r rows
        Mixed features of the pivot entries' ids.

    F, G : Tensor of shape (n_entries, r) and (n_entries,)
        Partial Cholesky factor of K, and what it leaves of the diagonal.

    pivots : Tensor of shape (r,), int64
        The pivot entries.

    biases : tuple of BiasKernel
        The offsets' kernels.

    network : Network
        That the id kernels were made with.

    Notes
    -----
    ``O(|Omega| r)`` a product. With r = n_entries nothing is approximated.
    """

    def __init__(
        self,
        entries: Entries,
        tables: tuple[Tensor, ...],
        landmarks: tuple[Profiles, ...],
        F: Tensor,
        G: Tensor,
        pivots: Tensor,
        biases: tuple[BiasKernel, ...],
        network: Network,
    ) -> None:
        self.entries, self.tables, self.landmarks = entries, tables, landmarks
        self.F, self.G, self.pivots = F, G, pivots
        self.biases, self.network = biases, network

    def __call__(self, x: Tensor) -> Tensor:
        """Return K x."""
        return self.F @ (self.F.T @ x) + self.G * x

    def predict(self, x: Tensor, codes: Tensor, unseen: tuple[Profiles, ...]) -> Tensor:
        """Values at combinations of ids; see `LowRankPairs.predict`."""
        where = find_entries(codes, self.entries)
        own = torch.where(where >= 0, (self.G * x)[where], torch.zeros_like(x[:1]))
        return self._factor_rows(codes, unseen) @ (self.F.T @ x) + own

    def covariances(self, codes: Tensor, unseen: tuple[Profiles, ...]) -> Tensor:
        """Kernel of combinations of ids against the entries, shape (k, n_entries)."""
        total = self._factor_rows(codes, unseen) @ self.F.T
        where = find_entries(codes, self.entries)
        seen = torch.nonzero(where >= 0).flatten()
        total[seen, where[seen]] += self.G[where[seen]]
        return total

    def to(self, dtype: torch.dtype) -> Combinations:
        """Convert the numbers of the kernel to another precision."""
        tables = tuple(T.to(dtype) for T in self.tables)
        return Combinations(
            self.entries,
            tables,
            self.landmarks,
            self.F.to(dtype),
            self.G.to(dtype),
            self.pivots,
            self.biases,
            self.network,
        )

    def _factor_rows(self, codes: Tensor, unseen: tuple[Profiles, ...]) -> Tensor:
        """Rows of F that combinations of seen and unseen ids have."""
        similar = []
        for f, (table, marks) in enumerate(zip(self.tables, self.landmarks, strict=True)):
            cross = self.network.kernel_(inner_products(unseen[f], marks))
            similar.append(torch.cat([table, cross.to(table)])[codes[:, f]])
        pivots = self.entries.part(self.pivots)
        cross = _product(similar, codes, pivots.codes, self.biases)
        return torch.linalg.solve_triangular(self.F[self.pivots], cross.T, upper=False).T


def combine(
    entries: Entries,
    mixed: tuple[Profiles, ...],
    biases: tuple[BiasKernel, ...],
    network: Network,
    rank: int,
    generator: torch.Generator,
) -> Combinations:
    """Factorize the kernel of the entries from the mixed features of each factor's ids."""

    def similarities(chosen: Tensor) -> list[Tensor]:
        ids = entries.codes[chosen]
        return [exact_kernel(P, network, ids[:, f]).T for f, P in enumerate(mixed)]

    def columns(chosen: Tensor) -> Tensor:
        similar = [S[ids] for S, ids in zip(similarities(chosen), entries.codes.T, strict=True)]
        return _product(similar, entries.codes, entries.codes[chosen], biases)

    own = 1.0 + sum(bias.variance for bias in biases)
    diagonal = mixed[0].values.new_full((len(entries.codes),), own)
    F, pivots, rest = rp_cholesky(columns, diagonal, rank, generator=generator)
    tables = tuple(similarities(pivots))
    marks = tuple(P.take(entries.codes[pivots, f]) for f, P in enumerate(mixed))
    return Combinations(entries, tables, marks, F, rest.to(F), pivots, biases, network)


def _product(
    similar: list[Tensor], codes: Tensor, others: Tensor, biases: tuple[BiasKernel, ...]
) -> Tensor:
    """Entry kernel from the id kernels of both sides' ids, each of shape (k, r)."""
    total = similar[0].clone()
    for S in similar[1:]:
        total *= S
    for f, bias in enumerate(biases):
        same = codes[:, f, None] == others[None, :, f]
        total += bias.mix(same.to(total), similar[f])
    return total
