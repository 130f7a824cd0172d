"""Choose the ridge of a completion from the observed entries alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skoverparam.completion._dense import (
    Settings,
    kernels_from,
    next_profiles,
    solve,
    standardized,
)
from skoverparam.completion._masked_rows import solve_masked_rows
from skoverparam.completion._noise import estimate_noise, uniform_noise

# The search starts with three values in lockstep and walks on by factors of four while the best is
# at an end and walking pays, then looks half a step to both sides of the best.
_START = (0.125, 0.5, 2.0)
_STEP = 4.0
_WORTHWHILE = 1e-3
_SMALLEST, _LARGEST = 0.5 * _STEP**-6, 0.5 * _STEP**4

_HELD_OUT_SHARE = 0.1
# With fewer entries than this a held-out tenth says nothing.
_FEWEST_ENTRIES = 30
_DEFAULT = 1.0
_TOL = 1e-2

Errors = Callable[[Sequence[float]], list[float]]


def choose_alpha(
    Y: Tensor, observed: Tensor, settings: Settings, generator: torch.Generator
) -> tuple[float, dict[float, float]]:
    """Choose the ridge with the smallest error on entries that were not used to predict them.

    Parameters
    ----------
    Y, observed, settings
        As in ``completion_passes``.

    generator : torch.Generator
        Draws the entries to hold out, where some are.

    Returns
    -------
    alpha : float
        The choice.

    errors : dict
        Root mean square error, in the user's units, of every ridge tried.

    Notes
    -----
    Where rows decouple and the features of columns are given, the error is leave-one-entry-out in
    closed form: ``a_j / (K^-1)_jj``, for every observed entry. Two-sided models have no such
    closed form, and features learned from an entry betray it: there a tenth of the entries is
    held out, offsets and features are learned without it, and ridges are solved in lockstep.
    """
    if int(observed.sum()) < _FEWEST_ENTRIES:
        return _DEFAULT, {}
    if settings.decouples and not settings.learns:
        return _search(_leave_one_out(Y, observed, settings))
    return _search(_held_out(Y, observed, settings, generator))


def _search(errors: Errors) -> tuple[float, dict[float, float]]:
    tried = dict(zip(_START, errors(_START), strict=True))
    while True:
        best = min(tried, key=tried.__getitem__)
        inner = best * _STEP if best == min(tried) else best / _STEP
        outer = best**2 / inner
        pays = tried[inner] - tried[best] > _WORTHWHILE * tried[inner]
        if outer in tried or not pays or not _SMALLEST <= outer <= _LARGEST:
            break
        tried[outer] = errors([outer])[0]
    halves = [best / _STEP**0.5, best * _STEP**0.5]
    tried |= dict(zip(halves, errors(halves), strict=True))
    return min(tried, key=tried.__getitem__), dict(sorted(tried.items()))


def _leave_one_out(Y: Tensor, observed: Tensor, settings: Settings) -> Errors:
    Z, baseline = standardized(Y, observed, settings)
    C = kernels_from(Z, observed, settings).C
    magnitude = float(baseline.scale.max())
    weights = observed * (baseline.scale / magnitude)

    def errors(alphas: Sequence[float]) -> list[float]:
        found = []
        for alpha in alphas:
            ridge = Z.new_full((len(Z),), alpha)
            left_out = solve_masked_rows(C, Z, observed, ridge, leave_one_out=True).leave_one_out
            assert left_out is not None
            found.append(magnitude * _root_mean_square(left_out * weights, observed))
        return found

    return errors


def _held_out(
    Y: Tensor, observed: Tensor, settings: Settings, generator: torch.Generator
) -> Errors:
    held = _draw_entries(observed, generator)
    training = observed & ~held
    Z, baseline = standardized(Y, training, settings)
    target = (Y - baseline.of_rows()) / baseline.scale
    # Nothing but the choice comes out of this, and the choice does not need double precision.
    Z, target = Z.to(torch.float32), target.to(torch.float32)
    magnitude = float(baseline.scale.max())
    weights = (held * (baseline.scale / magnitude)).to(torch.float32)
    model = kernels_from(Z, training, settings)
    noise = uniform_noise(Z)
    ridge = Z.new_full((1,), _DEFAULT)
    dual = solve(model, Z, training, noise, ridge, None, _TOL, settings).dual
    if settings.learns and settings.n_passes > 1:
        f = model.times(dual[0])
        noise = estimate_noise((Z - f) * training, training)
        model = kernels_from(next_profiles(Z, f, training), training, settings)

    def errors(alphas: Sequence[float]) -> list[float]:
        ridge = torch.tensor(alphas, dtype=Z.dtype, device=Z.device)
        start = dual.expand(len(alphas), *Z.shape)
        solved = solve(model, Z, training, noise, ridge, start, _TOL, settings).dual
        return [
            magnitude * _root_mean_square((model.times(X) - target) * weights, held)
            for X in solved
        ]

    return errors


def _draw_entries(observed: Tensor, generator: torch.Generator) -> Tensor:
    """Hold out a tenth of the observed entries, chosen by a draw on the CPU."""
    places = torch.nonzero(observed.cpu().flatten()).squeeze(1)
    n_held = max(int(_HELD_OUT_SHARE * len(places)), 1)
    chosen = places[torch.randperm(len(places), generator=generator)[:n_held]]
    held = torch.zeros(observed.numel(), dtype=torch.bool)
    held[chosen] = True
    return held.view(observed.shape).to(observed.device)


def _root_mean_square(weighted: Tensor, counted: Tensor) -> float:
    return float((weighted.double().square().sum() / counted.sum()).sqrt())
