"""Choose the settings of an interaction model on entries held out from the training entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._shifted_conjugate_gradients import shifted_conjugate_gradients

from ._entries import Entries
from ._interactions import Known, Posed, Settings, finish, know, pose, predict
from ._profiles import Profiles

# Ridges: with every other setting those near the best so far are tried, too. One system gives
# them all, for the price of the smallest.
ALPHAS = (0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
# Ladders that the search walks up or down, in this order, starting from the settings given.
LADDERS = {
    "mask_weight": (0.0, 0.3, 1.0, 3.0, 9.0, 27.0),
    "side_weights": (0.0, 0.5, 2.0, 8.0, 32.0),
}
_NEAR = 2
_HELD_OUT = 0.05
# Fewer held-out entries than this cannot tell settings apart: more splits make up for it.
_ENOUGH_HELD_OUT = 4000
_MOST_SPLITS = 3
_FEWEST_ENTRIES = 200
# Gains below this, relative to the mean square error, are chance.
_GAIN = 3e-4
# The solution need not be sharper than the differences that decide.
_TOL = 3e-2


class _Split(NamedTuple):
    known: Known
    held_out: Entries


class Choice(NamedTuple):
    """The settings chosen, and the root mean square errors that led there.

    Attributes
    ----------
    settings : Settings
        The best found.

    error : float
        Its root mean square error on held-out entries; NaN where there were too few entries.

    n_tried : int
        How many settings were fitted, ridges not counted.
    """

    settings: Settings
    error: float
    n_tried: int


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
        return Choice(settings, float("nan"), 0)
    splits = [
        _Split(know(rest, sides), held_out)
        for rest, held_out in _split(entries, generator)
    ]
    seed = int(torch.randint(2**31, (), generator=generator))
    n_tried = 0

    def tried(candidate: Settings) -> tuple[float, Settings]:
        nonlocal n_tried
        n_tried += 1
        alphas = _near(candidate.alpha) if "alpha" in free else (candidate.alpha,)
        errors = _errors(splits, candidate, alphas, seed, dtype, max_iter)
        best = int(errors.argmin())
        return float(errors[best]), candidate._replace(alpha=alphas[best])

    best = tried(settings)
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
    return Choice(best[1], best[0] ** 0.5, n_tried)


def _near(alpha: float) -> tuple[float, ...]:
    """The ridges of the ladder around a ridge."""
    place = min(range(len(ALPHAS)), key=lambda k: abs(ALPHAS[k] / alpha - 1))
    return ALPHAS[max(0, place - _NEAR) : place + _NEAR + 1]


def _split(entries: Entries, generator: torch.Generator) -> list[tuple[Entries, Entries]]:
    n = len(entries.values)
    count = max(1, round(_HELD_OUT * n))
    n_splits = min(_MOST_SPLITS, -(-_ENOUGH_HELD_OUT // count))
    order = torch.randperm(n, generator=generator).to(entries.codes.device)
    pairs = []
    for k in range(n_splits):
        held_out = torch.zeros(n, dtype=torch.bool, device=order.device)
        held_out[order[k * count : (k + 1) * count]] = True
        pairs.append((entries.part(~held_out), entries.part(held_out)))
    return pairs


def _errors(
    splits: list[_Split],
    settings: Settings,
    alphas: tuple[float, ...],
    seed: int,
    dtype: torch.dtype,
    max_iter: int,
) -> Tensor:
    """Mean square error on the held-out entries for each ridge."""
    squares = torch.zeros(len(alphas), dtype=torch.float64)
    total = 0.0
    for known, held_out in splits:
        # The same pivots for every candidate: differences are then the settings' alone.
        generator = torch.Generator().manual_seed(seed)
        posed = pose(known, settings, generator, dtype)
        for k, coefficients in enumerate(_solutions(posed, alphas, max_iter)):
            model = finish(posed, coefficients, known, settings)
            values = predict(model, held_out.codes, (None,) * len(held_out.sizes))
            errors = held_out.weights * (held_out.values - values).square()
            squares[k] += float(errors.sum())
        total += float(held_out.weights.sum())
    return squares / total


def _solutions(posed: Posed, alphas: tuple[float, ...], max_iter: int) -> Tensor:
    shifts = torch.tensor(alphas, dtype=torch.float64, device=posed.target.device)
    for step in shifted_conjugate_gradients(
        posed.apply, posed.target, shifts, tol=_TOL, max_iter=max_iter
    ):
        solutions = step.x
    return posed.S * solutions


def _coordinates(
    free: Sequence[str], sides: tuple[Profiles | None, ...]
) -> list[tuple[str, int]]:
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
    """The settings one rung up or down a ladder, None at its end."""
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
    return settings._replace(**{name: ladder[place]})
