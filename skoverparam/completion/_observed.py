"""Which entries of a matrix are there, and which of its columns are worth keeping."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from skoverparam.linalg._units import units_of


def split_missing(X: Tensor, missing_value: float) -> tuple[Tensor, Tensor]:
    """Return the matrix with zeros in its holes, and the mask of what was observed."""
    missing = torch.isnan(X) if math.isnan(missing_value) else X.eq(missing_value)
    return X.masked_fill(missing, 0), ~missing


def informed_columns(features: Tensor | None, observed: Tensor) -> Tensor:
    """Find the columns that side information says something about, observed or not."""
    if features is None:
        return torch.zeros_like(observed[0])
    return (features != 0).any(1)


def indices(mask: Tensor) -> Tensor:
    """List where a vector of booleans is true."""
    return torch.nonzero(mask).squeeze(1)


def hidden_error(completed: Tensor, truth: Tensor, observed: Tensor) -> float:
    """Root mean square error where nothing was observed and the truth is known."""
    counted = ~observed & ~torch.isnan(truth)
    if not bool(counted.any()):
        raise ValueError("y is NaN wherever X has a hole: there is no entry to score.")
    errors = (completed - truth)[counted].double()
    unit = units_of(errors)
    return float(unit * (errors / unit).square().mean().sqrt())


def content_keys(Y: Tensor, observed: Tensor) -> list[str]:
    """Turn rows into keys: equal for rows with the same holes and the same values."""
    # Adding zero turns -0.0 into 0.0; NaN stands for every hole.
    rows = torch.where(observed, Y.double() + 0.0, torch.nan).cpu().numpy()
    return [hashlib.blake2b(row, digest_size=16).hexdigest() for row in rows]


def append_columns(X: Tensor, flags: Tensor) -> Tensor:
    """Append booleans as columns of zeros and ones."""
    return torch.cat([X, flags.to(X.dtype)], dim=1)
