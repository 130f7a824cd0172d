"""The bandwidth of kernels and of random features: a number, or the median distance."""

from __future__ import annotations

import math

from skoverparam._params import check_auto, check_number
from skoverparam.kernels._median_distance import median_distance


def check_bandwidth(bandwidth):
    """Check that it is "median" or a positive number."""
    check_auto(
        bandwidth, "bandwidth", check_number, words=("median",), low=0, boundaries="neither"
    )


def find_bandwidth(bandwidth, X, p_norm=2.0):
    """Return the bandwidth for training samples, a tensor (n, d)."""
    if bandwidth != "median":
        return float(bandwidth)
    found = median_distance(X, float(p_norm))
    if not 0 < found < math.inf:
        raise ValueError(
            f"bandwidth='median' found a median distance of {found:g}: the values of X reach "
            f"{float(X.abs().max()):g}. Scale X, or give bandwidth as a number."
        )
    return found
