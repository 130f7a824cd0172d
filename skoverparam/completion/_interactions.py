"""Regression of values on combinations of ids, as a Gaussian process over the observed entries.

For ids i = (i_1, ..., i_p), in units of what the additive offsets leave,

    y_i = mean + f(i) + noise_i,     var noise_i = alpha prod_f nu_f[i_f]^h / weight_i,
    cov(f(i), f(j)) = prod_f R_f[i_f, j_f] + sum_f t_f ((1 - g) 1[i_f = j_f] + g R_f[i_f, j_f])

with R_f the tangent kernel of features of the ids, without its constant (see `_id_kernels`), t_f
the learned variances of the offsets and nu_f the ids' relative noise (see `_bias_components`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._bias_components import BiasComponents, estimate_bias_components
from skoverparam.completion._combinations import Combinations, combine
from skoverparam.completion._entries import Entries
from skoverparam.completion._exact_pairs import ExactPairs
from skoverparam.completion._id_kernels import (
    BiasKernel,
    IdFeatures,
    Network,
    id_features,
    low_rank_kernel,
    mix_features,
    mix_side_alone,
)
from skoverparam.completion._low_rank_pairs import LowRankPairs
from skoverparam.completion._profiles import Profiles
from skoverparam.linalg._conjugate_gradients import conjugate_gradients
from skoverparam.linalg._shifted_conjugate_gradients import shifted_conjugate_gradients

EntryKernel = ExactPairs | LowRankPairs | Combinations

# Columns read of each id kernel where they are not used whole, and of an entry kernel.
_RANK_OF_IDS = 500
_RANK_OF_COMBINATIONS = 1500
# Products of sparse coefficients with whole id kernels: up to so many multiplications a step.
_LARGEST_EXACT_STEP = 3e9
# Above this many entries, and unless the tolerance asks for more, kernels and solves are float32.
_FEW_ENTRIES = 5000
_SINGLE_PRECISION_TOL = 1e-4
# A value that stands for more than so many has no noise that float64 could tell from none.
_MOST_VALUES = 1e10
# Systems for posterior variances that are solved in lockstep.
_SOLVED_AT_ONCE = 32


class Settings(NamedTuple):
    """What a fit depends on beside the data.

    Attributes
    ----------
    depth, activation
        Of the network whose tangent kernel compares ids.

    alpha : float
        Noise variance over that of the product kernel's function.

    mask_weight : float
        Weight of which entries were seen, beside the remainders' weight 1.

    side_weights : tuple of float
        Weight of the side information of each factor.

    shrinkage : float
        Entries an id must have before its remainders count by half.

    sharing : float
        g: share of the offsets' variance that similar ids have in common.

    noise_power : float
        h: 0 for equal noise, 1 for the noise that each id showed.

    rank : int or None
        Columns of each id kernel that are read at most (two factors), or of the kernel of the
        entries (any other number); None for everything.
    """

    depth: int
    activation: object
    alpha: float
    mask_weight: float
    side_weights: tuple[float, ...]
    shrinkage: float
    sharing: float
    noise_power: float
    rank: int | None


class Known(NamedTuple):
    """Entries with everything that does not depend on settings."""

    entries: Entries
    components: BiasComponents
    features: tuple[IdFeatures, ...]


class Posed(NamedTuple):
    """The linear system ``(S K S + alpha I) z = S y`` of a fit, with coefficients x = S z.

    Attributes
    ----------
    kernel : EntryKernel
        K.

    S : Tensor of shape (n,)
        Inverse standard deviation of each entry's noise, over sqrt(alpha).

    target : Tensor of shape (n,)
        S y, y being the values over the components' scale, without their mean.

    start : Tensor of shape (n,)
        The solution if the biases were all there is: what they leave, over the noise's variance.
    """

    kernel: EntryKernel
    S: Tensor
    target: Tensor
    start: Tensor

    def apply(self, z: Tensor) -> Tensor:
        """Return S K S z."""
        return self.S * self.kernel(self.S * z)


class Solved(NamedTuple):
    """A solution on the way.

    Attributes
    ----------
    coefficients : Tensor of shape (n,)
        x, the dual coefficients.

    residual : float
        Relative residual by the recurrence.
    """

    coefficients: Tensor
    residual: float


class Interactions(NamedTuple):
    """A fitted model: all that predictions need.

    Attributes
    ----------
    kernel : EntryKernel
        Kernel of the observed entries.

    coefficients : Tensor of shape (n_entries,)
        Dual coefficients.

    S : Tensor of shape (n_entries,)
        Inverse standard deviation of each entry's noise, over sqrt(alpha).

    noise : tuple of Tensor
        Relative noise variance of each factor's ids.

    amplitude : float
        Estimated prior variance of the product kernel's function, in units of ``scale**2``.

    mean, scale : float
        A prediction is ``mean + scale K x``.

    like : tuple of Profiles
        Mixed features of some ids of each factor: where the columns of side information are.
    """

    kernel: EntryKernel
    coefficients: Tensor
    S: Tensor
    noise: tuple[Tensor, ...]
    amplitude: float
    mean: float
    scale: float
    like: tuple[Profiles, ...]


def choose_precision(n_entries: int, tol: float) -> torch.dtype:
    """Decide the precision of the kernels and the solver; residuals are checked in float64."""
    small = n_entries <= _FEW_ENTRIES or tol < _SINGLE_PRECISION_TOL
    return torch.float64 if small else torch.float32


def choose_rank(
    sizes: tuple[int, ...], n_entries: int, item_size: int, budget: float
) -> int | None:
    """Decide how much of the kernels to read: everything where memory and time allow."""
    if len(sizes) != 2:
        return min(n_entries, _RANK_OF_COMBINATIONS)
    whole = memory_needed(sizes, n_entries, None, item_size) <= budget
    if whole and n_entries * sum(sizes) <= _LARGEST_EXACT_STEP:
        return None
    return min(max(sizes), _RANK_OF_IDS)


def memory_needed(
    sizes: tuple[int, ...], n_entries: int, rank: int | None, item_size: int
) -> float:
    """Bytes that a fit allocates at most, roughly.

    Both id kernels and two arrays of all combinations without a rank; else the factors with a few
    copies of their size. Index arrays and features are ten numbers an entry and factor.
    """
    entries = 10 * 8 * n_entries * len(sizes)
    if len(sizes) != 2:
        r = n_entries if rank is None else min(rank, n_entries)
        return entries + (2 * n_entries + sum(sizes)) * r * item_size
    n, m = sizes
    if rank is None:
        return entries + (n * n + m * m + 3 * n * m) * item_size
    return entries + 6 * sum(size * min(rank, size) for size in sizes) * item_size


def know(entries: Entries, sides: tuple[Profiles | None, ...]) -> Known:
    """Estimate biases and collect features."""
    components = estimate_bias_components(entries)
    return Known(entries, components, id_features(entries, components.remainder, sides))


def pose(
    known: Known, settings: Settings, generator: torch.Generator, dtype: torch.dtype
) -> Posed:
    """Build the kernels and the system for given settings."""
    entries, components, _ = known
    mixed = _mixed(known, settings, dtype)
    noise = torch.ones_like(entries.values)
    for nu, ids in zip(components.noise, entries.codes.T, strict=True):
        noise *= nu[ids] ** settings.noise_power
    S = (entries.weights / noise).clamp_max(_MOST_VALUES).sqrt()
    y = (entries.values - components.mean) / components.scale
    # (K_bias + noise) x = y is solved by x = remainder / noise, up to the means' interaction.
    start = S * components.remainder / (components.noise_share or 1.0)
    kernel = _entry_kernel(entries, mixed, components, settings, generator)
    return Posed(kernel, S.to(dtype), (S * y).to(dtype), start.to(dtype))


def solve(posed: Posed, alpha: float, *, tol: float, max_iter: int) -> Iterator[Solved]:
    """Conjugate gradients from the biases' solution or zero; yields after every product."""
    start = posed.start
    rest = posed.target - posed.apply(start) - alpha * start
    size = float(posed.target.norm()) or 1.0
    left = float(rest.norm()) / size
    if left > 1:
        # Of ids with very many entries the biases say nearly nothing about the rest.
        start, rest, left = torch.zeros_like(start), posed.target, 1.0
    shifts = torch.tensor([alpha], dtype=torch.float64, device=rest.device)
    yield Solved(posed.S * start, left)
    if left <= tol:
        return
    for step in shifted_conjugate_gradients(
        posed.apply, rest, shifts, tol=tol / left, max_iter=max_iter
    ):
        yield Solved(posed.S * (start + step.x[0]), step.residual * left)


def true_residual(posed: Posed, coefficients: Tensor, alpha: float) -> float:
    """Relative residual computed in float64."""
    exact = posed._replace(
        kernel=posed.kernel.to(torch.float64), S=posed.S.double(), target=posed.target.double()
    )
    z = coefficients.double() / exact.S
    rest = exact.target - exact.apply(z) - alpha * z
    return float(rest.norm()) / (float(exact.target.norm()) or 1.0)


def finish(posed: Posed, coefficients: Tensor, known: Known, settings: Settings) -> Interactions:
    """Keep what predictions need."""
    like = tuple(P.take(P.starts[:0]) for P in _mixed(known, settings, coefficients.dtype))
    components = known.components
    # y' (K + noise)^-1 y / n, the likelihood's own estimate of the overall scale.
    amplitude = float((posed.target / posed.S) @ coefficients) / len(coefficients)
    return Interactions(
        kernel=posed.kernel,
        coefficients=coefficients,
        S=posed.S,
        noise=tuple(nu**settings.noise_power for nu in components.noise),
        amplitude=max(amplitude, 0.0),
        mean=components.mean,
        scale=components.scale,
        like=like,
    )


def predict(model: Interactions, codes: Tensor, unseen: tuple[Profiles | None, ...]) -> Tensor:
    """Posterior mean at combinations of ids, shape (k,).

    Parameters
    ----------
    model : Interactions
        The fitted model.

    codes : Tensor of shape (k, p), int64
        Ids; from ``sizes[f]`` on, the unseen ones of factor f.

    unseen : tuple of Profiles or None
        Side information of each factor's unseen ids; None where nothing is known of any.
    """
    mixed = _mixed_unseen(model, codes, unseen)
    values = model.kernel.predict(model.coefficients, codes, mixed)
    return model.mean + model.scale * values.to(torch.float64)


def _mixed(known: Known, settings: Settings, dtype: torch.dtype) -> tuple[Profiles, ...]:
    mixed = []
    for block, side_weight in zip(known.features, settings.side_weights, strict=True):
        profiles = mix_features(
            block,
            mask_weight=settings.mask_weight,
            side_weight=side_weight,
            shrinkage=settings.shrinkage,
        )
        mixed.append(profiles._replace(values=profiles.values.to(dtype)))
    return tuple(mixed)


def _mixed_unseen(
    model: Interactions, codes: Tensor, unseen: tuple[Profiles | None, ...]
) -> tuple[Profiles, ...]:
    mixed = []
    for f, (side, like) in enumerate(zip(unseen, model.like, strict=True)):
        beyond = int(codes[:, f].max()) + 1 - model.kernel.entries.sizes[f] if len(codes) else 0
        mixed.append(mix_side_alone(side, max(0, beyond), like))
    return tuple(mixed)


def _entry_kernel(
    entries: Entries,
    mixed: tuple[Profiles, ...],
    components: BiasComponents,
    settings: Settings,
    generator: torch.Generator,
) -> EntryKernel:
    network = Network(settings.depth, settings.activation)
    biases = tuple(BiasKernel(v, settings.sharing) for v in components.variances)
    rank = settings.rank
    if len(mixed) != 2:
        rank = len(entries.codes) if rank is None else rank
        return combine(entries, mixed, biases, network, rank, generator)
    if rank is None:
        return ExactPairs(entries, mixed, biases, network)
    ids = tuple(low_rank_kernel(P, network, rank, generator) for P in mixed)
    return LowRankPairs(entries, ids, biases, network)


def posterior_variance(
    model: Interactions,
    codes: Tensor,
    unseen: tuple[Profiles | None, ...],
    *,
    alpha: float,
    tol: float,
    max_iter: int,
) -> Tensor:
    """Variance of the function at combinations of ids given the entries, shape (k,).

    In units of the product kernel's prior variance; one linear system for each combination, in
    blocks that are solved in lockstep. Parameters as in `predict` and `solve`.
    """
    mixed = _mixed_unseen(model, codes, unseen)
    kernel, S = model.kernel, model.S

    def apply(V: Tensor) -> Tensor:
        return torch.stack([S * kernel(S * v) for v in V]) + alpha * V

    prior = 1.0 + sum(bias.variance for bias in kernel.biases)
    variances = []
    for part in codes.split(_SOLVED_AT_ONCE):
        k = S * kernel.covariances(part, mixed)
        solved = conjugate_gradients(apply, k, tol=tol, max_iter=max_iter)
        variances.append((prior - (k * solved.x).sum(1)).clamp_min(0))
    return torch.cat(variances).to(torch.float64)


def noise_of(model: Interactions, codes: Tensor) -> Tensor:
    """Relative noise variance of single values at combinations of ids, shape (k,)."""
    noise = torch.ones(len(codes), dtype=torch.float64, device=codes.device)
    for nu, ids in zip(model.noise, codes.T, strict=True):
        # Of unseen ids the average noise is expected.
        noise *= torch.cat([nu, nu.new_ones(1)])[ids.clamp(max=len(nu))]
    return noise
