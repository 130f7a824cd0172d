"""Fill the holes of any rows with a fitted completion: training rows and new ones alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._dense import Completion, Settings
from skoverparam.completion._new_rows import NewRows, complete_new_rows
from skoverparam.completion._observed import content_keys, indices
from skoverparam.completion._uncertainty import completion_std

_ROWS_AT_ONCE = 1024
_ROWS_TO_CALIBRATE = 200


class Imputation(NamedTuple):
    """A fitted completion and how it was fitted.

    Attributes
    ----------
    model : Completion
        Its ``completed`` holds the training matrix with its holes filled.

    observed : Tensor of shape (m, n), bool
        The training mask.

    settings : Settings
        As in the fit; priors may leave out their features.

    alpha : float
        As in the fit.

    by_position : bool
        Whether equal training rows may differ in what the row prior says of them.

    bounds : (float, float) or None
        Bounds of predicted values.

    held_out_variance : float or None
        Mean squared error of entries held out in the fit, in units of their columns' scales.
    """

    model: Completion
    observed: Tensor
    settings: Settings
    alpha: float
    by_position: bool
    bounds: tuple[float, float] | None
    held_out_variance: float | None


Features = Callable[[Tensor], Tensor | None]


def impute(fitted: Imputation, Y: Tensor, observed: Tensor, features: Features) -> Tensor:
    """Complete rows: training rows as in the joint fit, every other one by itself.

    Parameters
    ----------
    fitted : Imputation
        The fitted model.

    Y, observed : Tensor of shape (b, n)
        The rows, and which of their entries are there.

    features : callable
        Maps row indices to the side information about these rows, or to None.

    Returns
    -------
    Tensor of shape (b, n)
        Observed entries unchanged, the others predicted.
    """
    known = _training_rows(fitted, Y, observed)
    completed = fitted.model.completed[known.clamp_min(0)].to(Y.dtype)
    for places in indices(known < 0).split(_ROWS_AT_ONCE):
        rows = _complete_new(fitted, Y, observed, places, features)
        completed[places] = clipped(rows.completed, fitted.bounds).to(Y.dtype)
    return torch.where(observed, Y, completed)


def imputation_std(fitted: Imputation, Y: Tensor, observed: Tensor, features: Features) -> Tensor:
    """Compute the standard deviation of missing entries; zero where something was observed.

    Features learned from the entries that they then explain make the posterior overconfident.
    Where entries were held out in the fit, the posterior is scaled so that its mean variance over
    the holes of the training matrix (of some rows, if they are many) is their mean squared error.
    """
    known = _training_rows(fitted, Y, observed)
    std = torch.zeros_like(Y)
    old = indices(known >= 0)
    if len(old):
        std[old] = _std(fitted, known[old], observed[old]).to(std.dtype)
    for places in indices(known < 0).split(_ROWS_AT_ONCE):
        rows = _complete_new(fitted, Y, observed, places, features)
        std[places] = _std(fitted, rows, observed[places]).to(std.dtype)
    return std.mul_(_calibration(fitted)).masked_fill_(observed, 0)


def _std(fitted: Imputation, rows: NewRows | Tensor, observed: Tensor) -> Tensor:
    model, trained, settings, alpha, *_ = fitted
    return completion_std(rows, observed, model, trained, settings, alpha)


def _calibration(fitted: Imputation) -> float:
    incomplete = indices(~fitted.observed.all(1))
    if fitted.held_out_variance is None or not len(incomplete):
        return 1.0
    sample = incomplete[:: -(-len(incomplete) // _ROWS_TO_CALIBRATE)]
    holes = ~fitted.observed[sample]
    standardized = _std(fitted, sample, ~holes) / fitted.model.baseline.scale
    predicted = float(standardized.square()[holes].mean())
    return (fitted.held_out_variance / predicted) ** 0.5 if predicted > 0 else 1.0


def clipped(values: Tensor, bounds: tuple[float, float] | None) -> Tensor:
    """Keep predictions within bounds, if there are any."""
    return values if bounds is None else values.clamp(*bounds)


def _complete_new(
    fitted: Imputation, Y: Tensor, observed: Tensor, places: Tensor, features: Features
) -> NewRows:
    model = fitted.model
    dtype = model.dual.dtype
    return complete_new_rows(
        Y[places].to(dtype),
        observed[places],
        model,
        fitted.observed.to(dtype).mean(0),
        fitted.settings,
        fitted.alpha,
        features(places),
    )


def _training_rows(fitted: Imputation, Y: Tensor, observed: Tensor) -> Tensor:
    """Find the training row that each row is, holes included; -1 for new rows."""
    places: dict[str, list[int]] = {}
    for place, content in enumerate(content_keys(fitted.model.completed, fitted.observed)):
        places.setdefault(content, []).append(place)
    known = []
    for position, content in enumerate(content_keys(Y, observed)):
        found = places.get(content, [-1])
        ambiguous = fitted.by_position and len(found) > 1
        known.append(position if position in found else -1 if ambiguous else found[0])
    return torch.tensor(known, dtype=torch.int64, device=Y.device)
