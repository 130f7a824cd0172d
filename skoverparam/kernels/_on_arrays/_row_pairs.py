"""What kernels between rows need before they are computed: one precision, and room."""

import torch

from skoverparam._config import require_memory


def one_precision(
    X: torch.Tensor, Z: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return both in the higher of their precisions."""
    if Z is None:
        return X, Z
    dtype = torch.promote_types(X.dtype, Z.dtype)
    return X.to(dtype), Z.to(dtype)


def require_room(X: torch.Tensor, Z: torch.Tensor | None, n_bytes: int) -> None:
    """Refuse a kernel that does not fit the memory budget."""
    n, m = len(X), len(X if Z is None else Z)
    require_memory(
        n_bytes,
        X.device,
        what=f"A kernel of {n} x {m} pairs",
        remedy="Compute it for fewer rows of X at a time, or in float32.",
    )
