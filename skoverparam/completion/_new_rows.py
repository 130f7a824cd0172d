"""Complete rows that were not in the training matrix, each by itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._biases import Baseline, new_row_offsets
from skoverparam.completion._dense import Completion, Settings, next_profiles
from skoverparam.completion._features import (
    cross_kernel,
    given_features,
    learned_features,
    row_gains,
)
from skoverparam.completion._masked_rows import solve_masked_rows
from skoverparam.completion._noise import row_noise


class NewRows(NamedTuple):
    """Rows completed one by one.

    Attributes
    ----------
    completed : Tensor of shape (b, n)
        Predictions in the user's units.

    features : Tensor of shape (b, p)
        Features of the rows in the last pass.

    gains : Tensor of shape (b,)
        Gains of the rows: a row's kernel with itself is the square.

    noise : Tensor of shape (b,)
        Relative noise variance of the rows.
    """

    completed: Tensor
    features: Tensor
    gains: Tensor
    noise: Tensor


def complete_new_rows(
    Y: Tensor,
    observed: Tensor,
    model: Completion,
    observed_share: Tensor,
    settings: Settings,
    alpha: float,
    features: Tensor | None = None,
) -> NewRows:
    """Predict every entry of new rows from the fitted model and each row's own entries.

    Parameters
    ----------
    Y : Tensor of shape (b, n)
        The rows, any finite number where nothing was observed.

    observed : Tensor of shape (b, n), bool
        Their observed entries.

    model : Completion
        The fitted model.

    observed_share : Tensor of shape (n,)
        Share of the training rows observed in each column.

    settings : Settings
        As in the fit.

    alpha : float
        As in the fit.

    features : Tensor of shape (b, p) or None
        Side information about the rows, where the prior of the rows is given.

    Returns
    -------
    NewRows

    Notes
    -----
    The training system is kept as it was solved, and one block is added to it: with the training
    rows' dual coefficients ``X``, row kernel values ``r`` between the new row and them, and gain
    ``g``, the row's own coefficients solve ``(g^2 C[O, O] + alpha I) x = (z - r X C)[O]``, and
    its completion is ``r X C + g^2 x C``. This is one block Gauss-Seidel step of the system with
    the row added; it would leave every training row where the joint solution has it. With an
    identity prior on the rows it is the exact solution. A row's learned features come from its
    own entries: as in the fit, first from the observed ones, then from the completed row.
    """
    Z, base = _standardized(Y, observed, model.baseline, settings)
    C = model.column_kernel
    pull = model.dual @ C if model.landmarks is None else model.landmarks.pull
    noise = gains = torch.ones_like(Z[:, 0])
    F, f, Q = Z[:, :0], torch.zeros_like(Z), Z
    for number in range(settings.n_passes if settings.learns else 1):
        if number:
            noise = row_noise((Z - f) * observed, observed, model.noise.column, model.noise.level)
            Q = next_profiles(Z, f, observed)
        f = torch.zeros_like(Z)
        if not settings.decouples:
            F, gains = _features(Q, observed, model, observed_share, settings, features)
            f = _coordinates(F, gains, model, settings) @ pull
        # Dividing the system by g^2 puts the gain into the ridge; that of the prediction cancels.
        ridge = alpha * noise / gains.square()
        f = f + solve_masked_rows(C, Z - f, observed, ridge, model.noise.column).dual @ C
    return NewRows(base + model.baseline.scale * f, F, gains, noise)


def _standardized(
    Y: Tensor, observed: Tensor, baseline: Baseline, settings: Settings
) -> tuple[Tensor, Tensor]:
    """Standardized entries of new rows, zero where not observed, and the rows' baseline."""
    offsets = torch.zeros_like(Y[:, 0])
    if settings.standardize:
        offsets = new_row_offsets(Y, observed, baseline)
    base = baseline.center + offsets[:, None] + baseline.column
    Z = (Y - base) / baseline.scale
    return torch.where(observed, Z, torch.zeros_like(Z)), base


def kernel_with_training(
    F: Tensor, gains: Tensor, model: Completion, settings: Settings, rows: Tensor | slice
) -> Tensor:
    """Kernel of rows that have the features ``F`` with some other rows of the training set."""
    r = cross_kernel(F, model.row_features[rows], settings.depth, settings.activation)
    return r.mul_((1 - settings.own_share) * gains[:, None]).mul_(model.gains[rows])


def _coordinates(F: Tensor, gains: Tensor, model: Completion, settings: Settings) -> Tensor:
    """Compute what is multiplied with the pull: kernel values, or landmark coordinates."""
    if model.landmarks is None:
        return kernel_with_training(F, gains, model, settings, slice(None))
    L, rows = model.landmarks.factor, model.landmarks.rows
    r = kernel_with_training(F, gains, model, settings, rows) / model.gains[rows]
    return torch.linalg.solve_triangular(L, r.T, upper=False).T


def _features(
    Q: Tensor,
    observed: Tensor,
    model: Completion,
    observed_share: Tensor,
    settings: Settings,
    given: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Features and gains of new rows."""
    if settings.rows.kind == "learned":
        F = learned_features(Q, observed, observed_share, basis=model.row_basis)
        return F, row_gains(Q, model.typical)
    if given is None:
        given = Q.new_zeros(len(Q), model.row_features.shape[1])
    return given_features(given).to(Q.dtype), torch.ones_like(Q[:, 0])
