"""Random features: nonlinear functions of random projections, in a fixed order.

The first features of a larger draw are those of a smaller one. Test errors over the number of
features are then those of one growing model, and one pass computes them all.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

# Draws are made in blocks of so many projections: a generator gives the first numbers of a long
# tensor and those of a short one in different ways, but equal tensors one after the other are the
# same ones however many follow.
_BLOCK = 256
# Features evaluated at once where they are summed up and not kept, in numbers.
_AT_ONCE = 2**22


class RandomFeatures(NamedTuple):
    """Random features of samples, evaluated with a call.

    Attributes
    ----------
    feature : str
        One of `FEATURES`.

    frequencies : Tensor of shape (m, d)
        Projections, one a row: frequencies over the bandwidth, or points of the unit sphere.

    phases : Tensor of shape (m,) or None
        Phases of "fourier_phase".
    """

    feature: str
    frequencies: Tensor
    phases: Tensor | None

    def __call__(self, X: Tensor, n_features: int) -> Tensor:
        """Evaluate the first features.

        They are scaled so that inner products of rows tend to a kernel as there are more of them.

        Parameters
        ----------
        X : Tensor of shape (n, d)
            Samples.

        n_features : int
            How many features.

        Returns
        -------
        Tensor of shape (n, n_features)
            ``scale(feature, n_features)`` times the features.
        """
        some = slice(n_projections(self.feature, n_features))
        projected = X @ self.frequencies[some].T
        scaled = scale(self.feature, n_features)
        if self.feature == "fourier":
            values = X.new_empty(len(X), n_features)
            torch.cos(projected, out=values[:, ::2])
            torch.sin(projected[:, : n_features // 2], out=values[:, 1::2])
            return values.mul_(scaled)
        if self.phases is not None:
            return projected.add_(self.phases[some]).cos_().mul_(scaled)
        return projected.clamp_min_(0).mul_(scaled)

    def apply(self, X: Tensor, coef: Tensor) -> Tensor:
        """Multiply the first ``len(coef)`` features with coefficients, some samples at a time."""
        step = max(1, _AT_ONCE // max(len(coef), 1))
        return torch.cat([self(rows, len(coef)) @ coef for rows in X.split(step)])


def draw_features(
    feature: str,
    n_features: int,
    n_inputs: int,
    bandwidth: float | None,
    generator: torch.Generator,
) -> RandomFeatures:
    """Draw random features; more of them from the same seed begin with the same ones.

    Parameters
    ----------
    feature : {"fourier", "fourier_phase", "relu"}
        - "fourier": cos(<v, x>) and sin(<v, x>) in turn, v normal with standard deviation 1 /
          bandwidth. An odd number of features ends with a cosine;
        - "fourier_phase": cos(<v, x> + b), b uniform on the circle;
        - "relu": max(<v, x>, 0), v uniform on the unit sphere.

    n_features : int
        How many features.

    n_inputs : int
        Number of columns of the data.

    bandwidth : float or None
        Of the Gaussian kernel that Fourier features tend to; "relu" has none.

    generator : torch.Generator
        On the CPU.

    Returns
    -------
    RandomFeatures
        In float64, on the CPU.
    """
    m = n_projections(feature, n_features)
    rows, angles = [], []
    for _ in range(0, m, _BLOCK):
        rows.append(torch.randn(_BLOCK, n_inputs, generator=generator, dtype=torch.float64))
        if feature == "fourier_phase":
            angles.append(torch.rand(_BLOCK, generator=generator, dtype=torch.float64))
    # What is cut off is not kept in memory.
    normal = torch.cat(rows)[:m].clone()
    phases = torch.cat(angles)[:m] * (2 * pi) if angles else None
    if bandwidth is None:
        return RandomFeatures(feature, torch.nn.functional.normalize(normal, dim=1), phases)
    return RandomFeatures(feature, normal / bandwidth, phases)


def n_projections(feature: str, n_features: int) -> int:
    """How many projections so many features are made of."""
    return (n_features + 1) // 2 if feature == "fourier" else n_features


def scale(feature: str, n_features: int) -> float:
    """Return what features are multiplied by so that their inner products tend to a kernel."""
    return sqrt((1 if feature == "relu" else 2) / n_features)


FOURIER = ("fourier", "fourier_phase")
FEATURES = (*FOURIER, "relu")
