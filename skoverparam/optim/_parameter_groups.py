"""Groups of parameters and settings of optimizers, checked as they come."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def add_group(
    optimizer: Optimizer, add: Callable[[dict[str, Any]], None], group: dict[str, Any]
) -> None:
    """Add a group of parameters to an optimizer, or none at all if there is something wrong."""
    add(group)
    added = optimizer.param_groups[-1]
    try:
        if isinstance(added["lr"], Tensor):
            added["lr"] = float(added["lr"])
        check_setting(added["lr"], "lr")
        for p in added["params"]:
            if not p.is_floating_point():
                raise TypeError(
                    f"{type(optimizer).__name__} moves real parameters, got one of {p.dtype}."
                )
    except (TypeError, ValueError):
        optimizer.param_groups.pop()
        raise


def check_setting(value: Any, name: str, *, positive: bool = False, low: float = 0.0) -> None:
    """Check that a setting is a number within bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not math.isfinite(value) or value < low or (positive and value <= 0):
        bounds = "positive and " if positive else "at least 0 and " if low == 0 else ""
        raise ValueError(f"{name} must be {bounds}finite, got {value!r}.")
