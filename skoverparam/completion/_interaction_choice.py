"""Choose the settings of an interaction model on entries held out from the training entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._entries import Entries
from skoverparam.completion._interactions import (
    Known,
    Posed,
    Settings,
    finish,
    know,
    pose,
    predict,
)
from skoverparam.completion._profiles import Profiles
from skoverparam.linalg._shifted_conjugate_gradients import shifted_conjugate_gradients

# Ridges: with every other setting those near the best so far are tried, too. One system gives
# them all, for the price of the smallest.
ALPHAS = (0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
# Ladders that the search walks up or down, in this order, starting from the settings given.
LADDERS = {
    "mask_weight": (0.0, 0.3, 1.0, 3.0, 9.0),
    "side_weights": (0.0, 0.5, 2.0, 8.0, 32.0),
}
_NEAR = 1
# Held out: a twentieth of the entries, more of few entries, as fewer than a few thousand cannot
# tell settings apart; but not so many that the fits on the rest are those of other data. Several
# such parts make up for it.
_HELD_OUT = 0.05
_ENOUGH_HELD_OUT = 3000
_MOST_HELD_OUT = 0.15
_MOST_SPLITS = 5
_FEWEST_ENTRIES = 200
# Gains below this, relative to the mean square error, are chance.
_GAIN = 3e-4
# The solution need not be sharper than the differences that decide.
_TOL = 3e-2
# Multiplications of a solver's step above which settings are compared at a lower rank.
_QUICK_STEP = 3e8
_QUICK_RANK = 400


class Choice(NamedTuple):
    """The settings chosen, and the root mean square errors that led there.

    Attributes
    ----------
    settings : Settings
        The best found.

    error : float
        Its root mean square error on held-out entries; NaN where there were too few entries.
    """

    settings: Settings
    error: float


def choose_settings(
    entries: Entries,
    sides: tuple[Profiles | None, ...],
    settings: Settings,
    free: Sequence[str],
    generator: torch.Generator,
    *,
    dtype: torch.dtype,
    max_iter: int,
) -> Choice:
    """Coordinate descent over ladders of values, all ridges at once at every point.

    Parameters
    ----------
    entries : Entries
        The training entries. Every candidate is fitted without the held-out ones: biases and all
        features are estimated anew from the others.

    sides : tuple of Profiles or None
        Side information of each factor.

    settings : Settings
        Where to start. Entries of settings that are not ``free`` stay as they are.

    free : sequence of str
        Names of the settings to choose, "alpha" among them or not.

    generator : torch.Generator
        Draws the held-out entries and the kernels' pivots.

    dtype : torch.dtype
        Precision of the fits.

    max_iter : int
        Largest number of steps of a fit.
    """
    if not free or len(entries.values) < _FEWEST_ENTRIES:
        return Choice(settings, float("nan"))
    splits = [(know(rest, sides), held_out) for rest, held_out in _split(entries, generator)]
    seed = int(torch.randint(2**31, (), generator=generator))

    def tried(candidate: Settings) -> tuple[float, Settings]:
        alphas = _near(candidate.alpha) if "alpha" in free else (candidate.alpha,)
        errors = _errors(splits, candidate, alphas, seed, dtype, max_iter)
        best = int(errors.argmin())
        return float(errors[best]), candidate._replace(alpha=alphas[best])

    rank = _quick_rank(entries, settings.rank)
    best = tried(settings._replace(rank=rank))
    for name, factor in _coordinates(free, sides):
        for direction in (1, -1):
            start = best
            while (step := _neighbor(best[1], name, factor, direction)) is not None:
                candidate = tried(step)
                if not candidate[0] < (1 - _GAIN) * best[0]:
                    break
                best = candidate
            if best is not start:
                break
    if rank != settings.rank:
        # Less is smoothed away by the kernel as it will be used: its ridge is another one.
        best = tried(best[1]._replace(rank=settings.rank))
    return Choice(best[1], best[0] ** 0.5)


def _quick_rank(entries: Entries, rank: int | None) -> int | None:
    """Return the rank to compare settings with, where the whole kernel is too slow."""
    n = len(entries.values)
    if len(entries.sizes) == 2 and rank is None and n * sum(entries.sizes) <= _QUICK_STEP:
        return None
    return min(_QUICK_RANK, n) if rank is None else min(_QUICK_RANK, rank)


def _near(alpha: float) -> tuple[float, ...]:
    """Return the ridges of the ladder around a ridge."""
    place = min(range(len(ALPHAS)), key=lambda k: abs(ALPHAS[k] / alpha - 1))
    return ALPHAS[max(0, place - _NEAR) : place + _NEAR + 1]


def _split(entries: Entries, generator: torch.Generator) -> Iterator[tuple[Entries, Entries]]:
    n = len(entries.values)
    count = round(max(_HELD_OUT * n, min(_MOST_HELD_OUT * n, _ENOUGH_HELD_OUT)))
    order = torch.randperm(n, generator=generator).to(entries.codes.device)
    for part in order.split(count)[: min(_MOST_SPLITS, -(-_ENOUGH_HELD_OUT // count))]:
        held_out = torch.zeros(n, dtype=torch.bool, device=order.device)
        held_out[part] = True
        yield entries.part(~held_out), entries.part(held_out)


def _errors(
    splits: list[tuple[Known, Entries]],
    settings: Settings,
    alphas: tuple[float, ...],
    seed: int,
    dtype: torch.dtype,
    max_iter: int,
) -> Tensor:
    """Mean square error on the held-out entries for each ridge."""
    squares = torch.zeros(len(alphas), dtype=torch.float64)
    for known, held_out in splits:
        # The same pivots for every candidate: differences are then the settings' alone.
        posed = pose(known, settings, torch.Generator().manual_seed(seed), dtype)
        for k, coefficients in enumerate(_solutions(posed, alphas, max_iter)):
            model = finish(posed, coefficients, known, settings)
            values = predict(model, held_out.codes, (None,) * len(held_out.sizes))
            squares[k] += float((held_out.weights * (held_out.values - values).square()).sum())
    return squares / sum(float(held_out.weights.sum()) for _, held_out in splits)


def _solutions(posed: Posed, alphas: tuple[float, ...], max_iter: int) -> Tensor:
    shifts = torch.tensor(alphas, dtype=torch.float64, device=posed.target.device)
    for step in shifted_conjugate_gradients(
        posed.apply, posed.target, shifts, tol=_TOL, max_iter=max_iter
    ):
        solutions = step.x
    return posed.S * solutions


def _coordinates(free: Sequence[str], sides: tuple[Profiles | None, ...]) -> list[tuple[str, int]]:
    coordinates = []
    for name in LADDERS:
        if name not in free:
            continue
        if name == "side_weights":
            coordinates += [(name, f) for f, side in enumerate(sides) if side is not None]
        elif len(sides) > 1:
            coordinates.append((name, 0))
    return coordinates


def _neighbor(settings: Settings, name: str, factor: int, direction: int) -> Settings | None:
    """Return the settings one rung up or down a ladder, None at its end."""
    ladder = LADDERS[name]
    current = getattr(settings, name)
    value = current[factor] if name == "side_weights" else current
    place = ladder.index(value) + direction
    if not 0 <= place < len(ladder):
        return None
    if name == "side_weights":
        weights = list(current)
        weights[factor] = ladder[place]
        return settings._replace(side_weights=tuple(weights))
    return settings._replace(mask_weight=ladder[place])
