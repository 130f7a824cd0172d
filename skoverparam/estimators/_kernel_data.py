"""Training samples as solvers of kernel systems get them: equal ones merged, in units."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from skoverparam.averages._points import Merged, merge, without_own
from skoverparam.estimators._columns import are_met


class KernelData(NamedTuple):
    """Training samples as the solver gets them, and what they were.

    Attributes
    ----------
    X, Y : Tensor of shape (m, d) and (m, c)
        Points and targets to solve for; without a ridge no two points are equal.

    weights : Tensor of shape (m, 1) or (m, c), or None
        Weights of squared errors; None without a ridge, and where all are one.

    merged : Merged
        What became of the samples, whether or not some were equal.

    samples_Y, samples_weight : Tensor of shape (n, c) and (n,)
        Targets and weights of samples that count.

    kept : Tensor of shape (n_samples,)
        Which samples count.

    single : bool
        Whether targets came with one axis.

    scale : float
        A power of two. All targets here are in units of it, so that squares of them are numbers.
    """

    X: object
    Y: object
    weights: object
    merged: Merged
    samples_Y: object
    samples_weight: object
    kept: object
    single: bool
    scale: float

    @classmethod
    def of(cls, X, Y, weights, *, class_weights=None, interpolate, single=False):
        """Drop samples of weight zero, and average equal ones if they are to be interpolated."""
        kept = weights > 0
        scale = 2.0 ** min(max(math.frexp(float(Y[kept].abs().max()))[1], -1000), 1000)
        X, Y, weights = X[kept], Y[kept] / scale, weights[kept]
        if interpolate:
            merged = merge(X, Y, weights)
            return cls(merged.X, merged.values, None, merged, Y, weights, kept, single, scale)
        merged = Merged(X, Y, weights, None)
        columns = (
            weights[:, None] if class_weights is None else weights[:, None] * class_weights[kept]
        )
        columns = None if bool((columns == 1).all()) else columns
        return cls(X, Y, columns, merged, Y, weights, kept, single, scale)

    def flat(self, columns):
        """Drop the axis of targets where they came without."""
        return columns[:, 0] if self.single else columns

    def of_samples(self, columns):
        """Values at the points, for every sample that counts."""
        return columns if self.merged.group is None else columns[self.merged.group]

    def meets(self, fitted):
        """Whether fitted values at the points are the targets of all samples that count."""
        return are_met(self.of_samples(fitted) - self.samples_Y, self.samples_Y)

    def loo_residuals(self, residuals, fitted):
        """Leave-one-out residuals of all samples, from those and the fitted values of points."""
        if residuals is None:
            return None
        if len(self.X) < len(self.samples_Y):
            predicted = without_own(
                self.merged, self.samples_Y, self.samples_weight, lambda: self.Y - residuals
            )
            if not are_met(self.Y - fitted, self.Y):
                predicted = self._of_a_singular_system(predicted, residuals, fitted)
            residuals = self.samples_Y - predicted
        every = residuals.new_full((len(self.kept), residuals.shape[1]), np.nan)
        every[self.kept] = residuals
        return self.flat(every) * self.scale

    def _of_a_singular_system(self, predicted, residuals, fitted):
        """Correct predictions of samples that come twice where their mean is not met.

        The value there moves with the mean by the share h of ``Y - fitted = (1 - h) residual``.
        """
        group = self.merged.group
        largest = residuals.abs().argmax(1, keepdim=True)
        missed, whole = ((one.gather(1, largest)) for one in (self.Y - fitted, residuals))
        share = (1 - (missed / whole).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0))[group]
        moved = fitted[group] + share * (predicted - self.Y[group])
        twice = (group.bincount()[group] > 1)[:, None]
        return moved.where(twice, predicted)
