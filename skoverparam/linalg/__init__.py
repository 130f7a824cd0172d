"""Solvers that say how exact they were.

The functions take numpy arrays, torch tensors on any device, data frames or other arrays, and
answer in the kind and precision of their first argument. They compute in float64.
"""

from skoverparam.linalg._on_arrays._convergence_order import convergence_order
from skoverparam.linalg._on_arrays._iterated_inverse import newton_schulz_inverse, sgd_inverse
from skoverparam.linalg._on_arrays._kernel_systems import (
    kernel_matvec,
    kernel_solve,
    rp_cholesky,
)
from skoverparam.linalg._on_arrays._minimum_norm import (
    minimum_norm,
    minimum_norm_path,
    minimum_norm_path_risk,
)

__all__ = [
    "convergence_order",
    "kernel_matvec",
    "kernel_solve",
    "minimum_norm",
    "minimum_norm_path",
    "minimum_norm_path_risk",
    "newton_schulz_inverse",
    "rp_cholesky",
    "sgd_inverse",
]
