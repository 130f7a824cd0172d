"""Choose the ridge and the number of passes from the observed entries alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

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

# The search walks by factors of four, down or up from the middle, while walking pays. Errors are
# flat around the best: finer steps would not repay.
_DEFAULT_ALPHA = 0.5
_STEP = 4.0
_SMALLEST, _LARGEST = _DEFAULT_ALPHA * _STEP**-6, _DEFAULT_ALPHA * _STEP**4

_MOST_PASSES = 10
_DEFAULT_PASSES = 3
# The pass whose kernels the ridge is chosen on: the first one knows only the holey profiles. After
# many passes the kernels are different ones, and the ridge is looked at again.
_PASS_OF_CHOICE = 2
_MANY_PASSES = 5

# A step of either search that gains less than this is not worth its price.
_WORTHWHILE = 1e-3

_HELD_OUT_SHARE = 0.1
# With fewer entries than this a held-out tenth says nothing.
_FEWEST_ENTRIES = 30
# Close enough to tell ridges apart although each solution starts from another ridge's.
_TOL = 3e-2

Error = Callable[[float], float]


class Choice(NamedTuple):
    """What was chosen, and the errors on left-out entries that speak for it.

    Attributes
    ----------
    alpha : float
        The ridge.

    n_passes : int
        How many passes to make.

    alpha_errors : dict of float to float
        Root mean square error, in the user's units, of every ridge tried.

    pass_errors : list of float
        The same after each pass that was tried.

    held_out_variance : float or None
        Mean squared error of the held-out entries in units of their columns' scales; None if
        nothing was held out.
    """

    alpha: float
    n_passes: int
    alpha_errors: dict[float, float]
    pass_errors: list[float]
    held_out_variance: float | None = None


def choose(
    Y: Tensor,
    observed: Tensor,
    settings: Settings,
    alpha: float | None,
    n_passes: int | None,
    generator: torch.Generator,
) -> Choice:
    """Choose what is None with the smallest error on entries not used to predict them.

    Parameters
    ----------
    Y, observed, settings
        As in ``completion_passes``; the number of passes in the settings does not matter.

    alpha : float or None
        The ridge, None to choose it.

    n_passes : int or None
        How many passes to make, None to choose it.

    generator : torch.Generator
        Draws the entries to hold out, where some are.

    Notes
    -----
    Where rows decouple and the features of columns are given, the error is leave-one-entry-out in
    closed form: ``a_j / (K^-1)_jj``, for every observed entry. Two-sided models have no such
    closed form, and features learned from an entry betray it: there a tenth of the entries is
    held out, or a tenth of the rows (columns) where whole rows (columns) are missing, and offsets
    and features are learned without it. Passes go on while they lower the error.
    """
    if not settings.learns:
        n_passes = 1
    if alpha is not None and n_passes is not None:
        return Choice(alpha, n_passes, {}, [])
    if int(observed.sum()) < _FEWEST_ENTRIES:
        return Choice(alpha or _DEFAULT_ALPHA, n_passes or _DEFAULT_PASSES, {}, [])
    if settings.decouples and not settings.learns:
        alpha, errors = _search(_leave_one_out(Y, observed, settings))
        return Choice(alpha, 1, errors, [])
    return _hold_out(Y, observed, settings, alpha, n_passes, generator)


def _hold_out(
    Y: Tensor,
    observed: Tensor,
    settings: Settings,
    alpha: float | None,
    n_passes: int | None,
    generator: torch.Generator,
) -> Choice:
    trial = _Trial(Y, observed, replace(settings, max_iter=200), generator)
    found: dict[float, float] = {}
    pass_errors: list[float] = []
    most = n_passes or _MOST_PASSES
    for number in range(1, most + 1):
        if alpha is None and number == min(_PASS_OF_CHOICE, most):
            alpha, found = _search(trial.error)
            if n_passes is not None:
                break
        pass_errors.append(trial.error(_DEFAULT_ALPHA if alpha is None else alpha))
        gains = pass_errors[-1] < (1 - _WORTHWHILE) * min(pass_errors[:-1], default=torch.inf)
        if number > _PASS_OF_CHOICE and not gains:
            break
        trial.advance(_DEFAULT_ALPHA if alpha is None else alpha)
    assert alpha is not None
    if n_passes is not None:
        return Choice(alpha, n_passes, found, [], trial.variance(alpha))
    n_passes = min(range(len(pass_errors)), key=pass_errors.__getitem__) + 1
    if found and n_passes >= _MANY_PASSES:
        alpha, found = _search(trial.error, alpha)
    return Choice(alpha, n_passes, found, pass_errors, trial.variance(alpha))


class _Trial:
    """A completion without the held-out entries, judged by them after every pass."""

    def __init__(
        self, Y: Tensor, observed: Tensor, settings: Settings, generator: torch.Generator
    ) -> None:
        held = _draw_entries(observed, generator)
        self.training, self.held, self.settings = observed & ~held, held, settings
        Z, baseline = standardized(Y, self.training, settings)
        target = (Y - baseline.of_rows()) / baseline.scale
        # Nothing but a choice comes out of this, and it does not need double precision.
        self.Z, self.target = Z.float(), target.float()
        self.magnitude = float(baseline.scale.max())
        self.weights = (held * (baseline.scale / self.magnitude)).float()
        self.noise = uniform_noise(self.Z)
        self.model = kernels_from(self.Z, self.training, settings)
        self.duals = {_DEFAULT_ALPHA: torch.zeros_like(self.Z)}
        self.solved: set[float] = set()

    def error(self, alpha: float) -> float:
        """Root mean square error of a ridge with the kernels of this pass."""
        off = (self._predict(alpha) - self.target) * self.weights
        return self.magnitude * _root_mean_square(off, self.held)

    def variance(self, alpha: float) -> float:
        """Mean squared standardized error of a ridge with the kernels of this pass."""
        return _root_mean_square((self._predict(alpha) - self.target) * self.held, self.held) ** 2

    def advance(self, alpha: float) -> None:
        """Learn the kernels of the next pass from this one's completion."""
        f = self._predict(alpha)
        self.noise = estimate_noise((self.Z - f) * self.training, self.training)
        Q = next_profiles(self.Z, f, self.training)
        self.model = kernels_from(Q, self.training, self.settings)
        self.solved = set()

    def _predict(self, alpha: float) -> Tensor:
        if alpha not in self.solved:
            # The nearest ridge that was solved for, in this pass or before, is a good start.
            # (A ridge of zero is nearest to the smallest.)
            place = math.log(max(alpha, _SMALLEST))
            nearest = min(
                self.duals, key=lambda known: abs(math.log(max(known, _SMALLEST)) - place)
            )
            ridge = self.Z.new_full((1,), alpha)
            self.duals[alpha] = solve(
                self.model,
                self.Z,
                self.training,
                self.noise,
                ridge,
                self.duals[nearest][None],
                _TOL,
                self.settings,
            ).dual[0]
            self.solved.add(alpha)
        return self.model.times(self.duals[alpha])


def _search(error: Error, center: float = _DEFAULT_ALPHA) -> tuple[float, dict[float, float]]:
    tried = {alpha: error(alpha) for alpha in (center, center / _STEP)}
    for factor in (_STEP, 1 / _STEP):
        while True:
            best = min(tried, key=tried.__getitem__)
            alpha = best * factor
            if alpha in tried or not _SMALLEST <= alpha <= _LARGEST:
                break
            tried[alpha] = error(alpha)
            if tried[best] - tried[alpha] <= _WORTHWHILE * tried[best]:
                break
    return min(tried, key=tried.__getitem__), dict(sorted(tried.items()))


def _leave_one_out(Y: Tensor, observed: Tensor, settings: Settings) -> Error:
    Z, baseline = standardized(Y, observed, settings)
    C = kernels_from(Z, observed, settings).C
    magnitude = float(baseline.scale.max())
    weights = observed * (baseline.scale / magnitude)

    def error(alpha: float) -> float:
        ridge = Z.new_full((len(Z),), alpha)
        left_out = solve_masked_rows(C, Z, observed, ridge, leave_one_out=True).leave_one_out
        assert left_out is not None
        return magnitude * _root_mean_square(left_out * weights, observed)

    return error


def _draw_entries(observed: Tensor, generator: torch.Generator) -> Tensor:
    """Hold out a tenth of the observed entries in the way that others are missing.

    Where most of what is missing is whole rows (or columns), whole rows (or columns) are held out:
    a ridge that predicts a hole from its own row need not be the one that predicts a row unseen.
    """
    shape = observed.shape
    missing = int((~observed).sum())
    for dim in (1, 0):
        empty = int((~observed.any(dim)).sum()) * shape[dim]
        if 2 * empty > missing:
            return observed & _draw(observed.any(dim), generator).unsqueeze(dim)
    return _draw(observed.flatten(), generator).view(shape)


def _draw(candidates: Tensor, generator: torch.Generator) -> Tensor:
    """Choose a tenth of the candidates, by a draw on the CPU."""
    places = torch.nonzero(candidates.cpu()).squeeze(1)
    n_held = max(int(_HELD_OUT_SHARE * len(places)), 1)
    chosen = torch.zeros(len(candidates), dtype=torch.bool)
    chosen[places[torch.randperm(len(places), generator=generator)[:n_held]]] = True
    return chosen.to(candidates.device)


def _root_mean_square(weighted: Tensor, counted: Tensor) -> float:
    return float((weighted.double().square().sum() / counted.sum()).sqrt())
