"""Probabilities from the outputs of a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skoverparam.nets._losses import Loss, sharpness

# Where no data are held out. On clean digits the best temperature was 0.095 M, with a fifth of the
# labels replaced 0.2 M; softmax without one gives a class at most 0.23 of ten.
_FIXED = 0.1

# Temperatures in units of the targets' size between which the best one is looked for.
_LOWEST, _HIGHEST = 1e-3, 1e3
_HALVINGS = 60


def fixed_temperature(kind: Loss) -> float:
    """Temperature without any data: M / 10 for the square loss, 1 for outputs of an entropy."""
    return _FIXED * kind.M if kind.name == "square" else 1.0


def fit_temperature(outputs: Tensor, labels: Tensor, kind: Loss) -> float:
    r"""Find the temperature whose probabilities explain labels best.

    Parameters
    ----------
    outputs : Tensor of shape (n, C)
        Outputs for samples that the network was not trained on. On those it was trained on and
        interpolates, the temperature would fall to zero.

    labels : Tensor of shape (n,)
        Their classes.

    kind : Loss
        What the network was trained with.

    Returns
    -------
    float
        The minimum over T of the cross-entropy of softmax(f / T). One more sample counts, whose
        class is anything: with all n classified correctly the error that remains is then of the
        order 1 / n instead of zero, as in Laplace's rule of succession.

    Notes
    -----
    The cross-entropy is convex in 1 / T; the root of its derivative is bisected.
    """
    f = outputs.double() / sharpness(kind)
    n = len(f)
    others = 1 / (n + 1)
    aim = (1 - others) * f.gather(1, labels[:, None])[:, 0].mean() + others * f.mean()

    def slope(log_T: float) -> float:
        return float(((f * math.exp(-log_T)).softmax(1) * f).sum(1).mean() - aim)

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # Sharper than best: the expected output exceeds that of the own class.
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return math.exp((low + high) / 2) * sharpness(kind)


def log_probabilities(outputs: Tensor, temperature: float) -> Tensor:
    """Logarithms of softmax(f / T) over the last axis, in float64."""
    return (outputs.double() / temperature).log_softmax(-1)


def probabilities(outputs: Tensor, temperature: float, dtype: torch.dtype | None = None) -> Tensor:
    """Probabilities softmax(f / T) over the last axis, in the precision of the outputs or another.

    The largest is that of the largest output, also where rounding made two of them equal.
    """
    p = log_probabilities(outputs, temperature).exp().to(dtype or outputs.dtype)
    best = outputs.argmax(-1, keepdim=True)
    tied = p.argmax(-1, keepdim=True) != best
    above = torch.nextafter(p.amax(-1, keepdim=True), torch.ones_like(p[..., :1]))
    return p.scatter(-1, best, torch.where(tied, above, p.gather(-1, best)))
