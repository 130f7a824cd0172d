"""Optimizers: mirror descent, and steps that converge quadratically."""

from skoverparam.optim._gauss_newton import GaussNewtonSGD
from skoverparam.optim._mirror_descent import MirrorDescent
from skoverparam.optim._mirrors import (
    Adagrad,
    AdagradNorm,
    Diagonal,
    Euclidean,
    Hypentropy,
    Mirror,
    NegativeEntropy,
    PNorm,
    SimplexEntropy,
    TimeDependentMirror,
)
from skoverparam.optim._on_arrays._bregman import bregman_projection
from skoverparam.optim._polyak import PolyakSGD

__all__ = [
    "Adagrad",
    "AdagradNorm",
    "Diagonal",
    "Euclidean",
    "GaussNewtonSGD",
    "Hypentropy",
    "Mirror",
    "MirrorDescent",
    "NegativeEntropy",
    "PNorm",
    "PolyakSGD",
    "SimplexEntropy",
    "TimeDependentMirror",
    "bregman_projection",
]
