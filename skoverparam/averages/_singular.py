r"""Averages of targets with weights that are infinite at the training points.

.. math:: f(x) = \sum_i m_i w_i(x) y_i \Big/ \sum_i m_i w_i(x)

interpolates without solving anything. All weights are computed as logarithms relative to the
largest; nothing is ever added to a distance, which would end interpolation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.averages._points import Cloud, Merged, without_own

WEIGHTS = ("power", "log", "tapered")

_BLOCK_BYTES = 2**23


@dataclass(frozen=True)
class SingularKernel:
    """A weight that falls from infinity at distance zero.

    With t the distance over the reach of the neighborhood,

    - "power": ``t**-exponent``,
    - "log": ``-log(t)``,
    - "tapered": ``t**-exponent * (1 - t)**2``,

    and zero for t >= 1 where there is a reach.
    """

    exponent: float
    weight: str = "power"

    def log_weights(self, log_r: Tensor, log_reach: Tensor | None = None) -> Tensor:
        """Logarithms of weights, each row up to a constant.

        Parameters
        ----------
        log_r : Tensor of shape (q, k)
            Logarithms of distances, -inf at the point itself, +inf for points that do not count.

        log_reach : Tensor of shape (q, 1), default=None
            Logarithm of the distance from which weights are zero; None is infinity.

        Returns
        -------
        Tensor of shape (q, k)
            In every row some entry is finite: at a training point all others are -inf; where all
            weights are zero, the nearest points get equal ones.
        """
        nearest = log_r.amin(1, keepdim=True)
        at_point = nearest == -torch.inf
        beyond = log_r - torch.where(at_point, 0.0, nearest)
        logs = -self.exponent * beyond
        if log_reach is not None:
            share = log_r - log_reach
            if self.weight == "log":
                logs = (-share).clamp(min=0.0).log()
            elif self.weight == "tapered":
                logs = logs + 2.0 * torch.log1p(-share.clamp(max=0.0).exp())
            logs = torch.where(share < 0, logs, -torch.inf)
        alone = at_point | (logs.amax(1, keepdim=True) == -torch.inf)
        only_nearest = torch.where(log_r == nearest, 0.0, -torch.inf).to(logs.dtype)
        return torch.where(alone, only_nearest, logs)


class Sample(NamedTuple):
    """Distinct training points with what is averaged.

    ``cloud`` of n points, ``values`` (n, t), ``mass`` (n,).
    """

    cloud: Cloud
    values: Tensor
    mass: Tensor


class Rule(NamedTuple):
    """Which points are averaged, and how: all, the nearest, or those within a radius."""

    kernel: SingularKernel
    n_neighbors: int | None = None
    radius: float | None = None

    def n_wanted(self, n_points: int) -> int | None:
        """Neighbors that there are, besides the one that ends the neighborhood."""
        if self.n_neighbors is None or n_points <= self.n_neighbors:
            return None
        return self.n_neighbors


# Finds indices (q, k) of the k nearest points to queries (q, d).
Search = Callable[[Tensor, int], Tensor]


def averages(
    rule: Rule, sample: Sample, Q: Tensor, *, search: Search | None = None, alone: bool = False
) -> Tensor:
    """Average the values near queries.

    Parameters
    ----------
    rule : Rule
        What to average.

    sample : Sample
        The points and their values (n, t).

    Q : Tensor of shape (q, d)
        Queries, in the units of the cloud.

    search : callable, default=None
        Finds neighbors; None measures all distances.

    alone : bool, default=False
        Whether the queries are the points themselves, in order, and each does without itself.

    Returns
    -------
    Tensor of shape (q, t)
        The averages.
    """
    cloud, skip = sample.cloud, int(alone)
    count = rule.n_wanted(len(cloud) - skip)
    if count is not None:
        find = search or partial(search_all, cloud)
        return _over_neighbors(rule, sample, Q, find(Q, count + 1 + skip), skip)
    values = []
    for rows in _blocks(len(Q), len(cloud)):
        log_r = cloud.log_distances(Q[rows])
        if alone:
            log_r.diagonal(rows.start).fill_(torch.inf)
        reach = None
        if rule.radius is not None:
            reach = log_r.new_full((len(log_r), 1), cloud.log_length(rule.radius))
        elif rule.n_neighbors is not None:
            # The farthest point ends the neighborhood and is not one of the neighbors.
            reach = torch.where(log_r < torch.inf, log_r, -torch.inf).amax(1, keepdim=True)
        logs = rule.kernel.log_weights(log_r, reach) + sample.mass.log()
        values.append(torch.softmax(logs, 1) @ sample.values)
    return torch.cat(values)


def _over_neighbors(rule: Rule, sample: Sample, Q: Tensor, points: Tensor, skip: int) -> Tensor:
    """Average over candidates (q, c): the nearest `skip` are left out, the last is the reach."""
    log_r = sample.cloud.log_distances_at(Q, points)
    log_r, order = log_r.sort(dim=1, stable=True)
    points = points.gather(1, order)[:, skip:-1]
    logs = rule.kernel.log_weights(log_r[:, skip:-1], log_r[:, -1:])
    weights = torch.softmax(logs + sample.mass.log()[points], 1)
    return torch.einsum("qk,qkt->qt", weights, sample.values[points])


def leave_one_out(
    rule: Rule,
    sample: Sample,
    group: Tensor,
    Y: Tensor,
    weights: Tensor,
    *,
    search: Search | None = None,
) -> Tensor:
    """Predict every training sample from all others.

    Parameters
    ----------
    rule : Rule
        What to average.

    sample : Sample
        The m points that the samples were merged to.

    group : Tensor of shape (n,)
        The point of each sample.

    Y, weights : Tensor of shape (n, t) and (n,)
        Targets and weights of the samples.

    search : callable, default=None
        Finds neighbors; None measures all distances.

    Returns
    -------
    Tensor of shape (n, t)
        Predictions; NaN where there is no other sample.
    """
    merged = Merged(sample.cloud.X, sample.values, sample.mass, group)

    def elsewhere() -> Tensor:
        if len(sample.cloud) == 1:
            return torch.full_like(sample.values, torch.nan)
        return averages(rule, sample, sample.cloud.X, search=search, alone=True)

    return without_own(merged, Y, weights, elsewhere)


def search_all(cloud: Cloud, Q: Tensor, count: int) -> Tensor:
    """Find the nearest points by measuring all distances; returns indices (q, count)."""
    found = [
        cloud.log_distances(Q[rows]).topk(count, dim=1, largest=False).indices
        for rows in _blocks(len(Q), len(cloud))
    ]
    return torch.cat(found)


def _blocks(n_queries: int, n_points: int) -> Iterator[slice]:
    rows = max(1, _BLOCK_BYTES // (8 * n_points))
    return (slice(start, start + rows) for start in range(0, n_queries, rows))
