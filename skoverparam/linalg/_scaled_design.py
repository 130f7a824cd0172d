"""The design that a minimum-norm model sees: centered, in chosen directions, on chosen scales."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._minimum_norm import default_rcond, thin_svd


class ScaledDesign(NamedTuple):
    """Features of a linear model, and the way back to those of the data.

    Attributes
    ----------
    Z : Tensor of shape (n, k)
        Features: centered coordinates of the samples along the directions, times ``scales``, and
        times the square roots of the sample weights.

    Y : Tensor of shape (n, t)
        Targets, centered and weighted in the same way.

    directions : Tensor of shape (D, k) or None
        The directions, None for the features of the data themselves.

    scales : Tensor of shape (k,)
        A model ``Z w`` has coefficients ``directions @ (scales * w)`` in the data's features.

    X_mean, Y_mean : Tensor of shape (D,) and (t,)
        What was subtracted.
    """

    Z: Tensor
    Y: Tensor
    directions: Tensor | None
    scales: Tensor
    X_mean: Tensor
    Y_mean: Tensor

    def coefficients(self, w: Tensor, n_features: int) -> Tensor:
        """Coefficients of the data's features, (D, t), from those of the first features of Z."""
        scaled = self.scales[: len(w), None] * w
        if self.directions is not None:
            return self.directions[:, : len(w)] @ scaled
        return torch.cat([scaled, w.new_zeros(n_features - len(w), w.shape[1])])

    def features(self, X: Tensor) -> Tensor:
        """Features of other samples, (m, k)."""
        centered = X - self.X_mean
        return self.scales * (centered if self.directions is None else centered @ self.directions)


def scaled_design(
    X: Tensor,
    Y: Tensor,
    weights: Tensor,
    *,
    center: bool,
    directions: Tensor | str | None = None,
    spectrum: Tensor | None = None,
    feature_weights: Tensor | None = None,
) -> ScaledDesign:
    """Center the data and rescale them along directions.

    Parameters
    ----------
    X : Tensor of shape (n, D)
        Data.

    Y : Tensor of shape (n, t)
        Targets.

    weights : Tensor of shape (n,)
        Positive sample weights: how often a sample counts.

    center : bool
        Whether weighted means are subtracted.

    directions : Tensor of shape (D, k), "principal" or None, default=None
        Coordinates along which the features of the model are read. "principal" are the principal
        directions of the samples; None the features as they are.

    spectrum : Tensor of shape (k,), default=None
        Mean squares that the features are scaled to. None leaves their scales. There may be fewer
        principal directions; then its first values are taken.

    feature_weights : Tensor of shape (k,), default=None
        What the features are divided by.

    Returns
    -------
    ScaledDesign
        The design.
    """
    X, X_mean = _centered(X, weights, center)
    Y, Y_mean = _centered(Y, weights, center)
    root = weights.sqrt()[:, None]
    Z, Y = root * X, root * Y
    if isinstance(directions, str):
        basis: Tensor | None = thin_svd(Z, default_rcond(len(Z), Z.shape[1], Z.dtype)).V
    else:
        basis = directions
    if basis is not None:
        Z = Z @ basis
    scales = Z.new_ones(Z.shape[1])
    if spectrum is not None:
        spread = (Z.square().sum(0) / weights.sum()).sqrt()
        # A feature that is constant stays so.
        scales = torch.where(spread > 0, spectrum[: len(spread)].sqrt() / spread, 0)
    if feature_weights is not None:
        scales = scales / feature_weights[: len(scales)]
    return ScaledDesign(Z * scales, Y, basis, scales, X_mean, Y_mean)


def _centered(A: Tensor, weights: Tensor, center: bool) -> tuple[Tensor, Tensor]:
    mean = A.new_zeros(A.shape[1])
    # Twice: rounding the mean shifts all rows alike, which would count as one more direction.
    for _ in range(2 if center else 0):
        shift = weights @ A / weights.sum()
        A, mean = A - shift, mean + shift
    return A, mean
