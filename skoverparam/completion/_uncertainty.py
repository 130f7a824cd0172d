"""Posterior standard deviation of completed entries, row by row."""

from __future__ import annotations

import torch
from torch import Tensor

from skoverparam.completion._dense import Completion, Settings, row_kernel
from skoverparam.completion._new_rows import NewRows, kernel_with_training


def completion_std(
    rows: NewRows | Tensor,
    observed: Tensor,
    model: Completion,
    training_observed: Tensor,
    settings: Settings,
    alpha: float,
) -> Tensor:
    """Compute the standard deviation of a new measurement of every entry of some rows.

    Parameters
    ----------
    rows : NewRows, or Tensor of shape (b,), int
        Rows completed one by one, or the indices of training rows.

    observed : Tensor of shape (b, n), bool
        The rows' own observed entries.

    model : Completion
        The fitted model.

    training_observed : Tensor of shape (m, n), bool
        The observed entries of the training matrix.

    settings, alpha
        As in the fit.

    Returns
    -------
    Tensor of shape (b, n)
        In the user's units, noise included.

    Notes
    -----
    Given the other rows, the covariance of a row is diagonal along the eigenvectors of the column
    kernel if those rows are complete, and then exact; incomplete rows count as complete ones with
    a noise larger by one over the share observed. The row's own entries are then conditioned on
    exactly. Where rows decouple nothing is approximated; with landmarks, only these count as other
    rows. The price is one eigendecomposition of
    the row kernel and one factorization per row.
    """
    spectrum, V = torch.linalg.eigh(model.column_kernel)
    spectrum = spectrum.clamp_min(0)
    noise = rows.noise if isinstance(rows, NewRows) else model.noise.row[rows]
    if settings.decouples:
        row_variance = spectrum.expand(len(observed), -1)
    else:
        thinned = alpha / float(training_observed.double().mean())
        row_variance = _variance_given_training(rows, model, settings, spectrum, thinned)
    noise_of_entries = alpha * noise[:, None] * model.noise.column
    variance = posterior_variance(row_variance, V, observed, noise_of_entries)
    return model.baseline.scale * (model.amplitude * (variance + noise_of_entries)).sqrt()


def _variance_given_training(
    rows: NewRows | Tensor, model: Completion, settings: Settings, spectrum: Tensor, noise: float
) -> Tensor:
    every = torch.arange(len(model.dual), device=spectrum.device)
    others = every if model.landmarks is None else model.landmarks.rows
    R = row_kernel(model.row_features[others], model.gains[others], settings)
    if isinstance(rows, NewRows):
        F, gains = rows.features, rows.gains
    else:
        F, gains = model.row_features[rows], model.gains[rows]
    cross = kernel_with_training(F, gains, model, settings, others)
    variance = variance_given_others(R, spectrum, noise, cross, gains.square())
    if isinstance(rows, NewRows) or not len(others):
        return variance
    # A training row must not be conditioned on itself: given all the others, if it is one of them.
    place = torch.full_like(every, -1)
    place[others] = torch.arange(len(others), device=every.device)
    place = place[rows]
    left_out = variance_given_others(R, spectrum, noise)[place.clamp_min(0)]
    return torch.where(place[:, None] >= 0, left_out, variance)


def posterior_variance(row_variance: Tensor, V: Tensor, observed: Tensor, noise: Tensor) -> Tensor:
    """Variance of every entry of some rows, given the other rows and the rows' own entries.

    Parameters
    ----------
    row_variance : Tensor of shape (b, n)
        Variance of each row along each eigenvector of the column kernel, given the other rows.

    V : Tensor of shape (n, n)
        Eigenvectors of the column kernel, as columns.

    observed : Tensor of shape (b, n), bool
        The rows' own observed entries.

    noise : Tensor of shape (b, n)
        Noise variance of their entries.

    Returns
    -------
    Tensor of shape (b, n)
        Variance of the noiseless entries, in units of the prior amplitude.
    """
    variance = torch.empty_like(row_variance)
    for row, mask in enumerate(observed):
        half = V * row_variance[row].sqrt()
        prior = half.square().sum(1)
        if bool(mask.any()):
            own = half[mask]
            K = own @ own.T
            floor = len(K) * torch.finfo(K.dtype).eps * float(K.diagonal().max())
            K.diagonal().add_(noise[row, mask].clamp_min(floor))
            L = torch.linalg.cholesky(K)
            explained = torch.linalg.solve_triangular(L, own @ half.T, upper=False)
            prior = prior - explained.square().sum(0)
        variance[row] = prior.clamp_min(0)
    return variance


def variance_given_others(
    R: Tensor,
    spectrum: Tensor,
    noise: float,
    cross: Tensor | None = None,
    own: Tensor | None = None,
) -> Tensor:
    """Variance of rows along the column kernel's eigenvectors, given the training rows.

    Parameters
    ----------
    R : Tensor of shape (m, m)
        Kernel of the training rows.

    spectrum : Tensor of shape (n,)
        Eigenvalues of the column kernel.

    noise : float
        Noise variance of an entry of a training row.

    cross : Tensor of shape (b, m) or None
        Kernel of new rows with the training rows; None for the training rows themselves, each
        given all the others.

    own : Tensor of shape (b,) or None
        Kernel of the new rows with themselves.

    Returns
    -------
    Tensor of shape (b, n), or (m, n)

    Notes
    -----
    If the training rows are completely observed, the coordinates along the eigenvectors are
    independent: for eigenvalue ``c`` a row's variance is ``c own - c^2 r^T (c R + noise I)^-1 r``,
    and a training row's, given the others, ``1 / ((c R + noise I)^-1)_ii - noise``.
    """
    if not len(R) and own is not None:
        return spectrum * own[:, None]
    eigenvalues, U = torch.linalg.eigh(R)
    eigenvalues = eigenvalues.clamp_min(0)
    floor = torch.finfo(R.dtype).eps * float(
        (eigenvalues.max() * spectrum.max()).clamp_min(1e-300)
    )
    inverse = 1 / (eigenvalues[:, None] * spectrum + max(noise, floor))
    if cross is None or own is None:
        return (1 / (U.square() @ inverse) - noise).clamp_min(0)
    explained = (cross @ U).square() @ inverse
    return (spectrum * own[:, None] - spectrum.square() * explained).clamp_min(0)
