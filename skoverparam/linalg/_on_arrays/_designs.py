"""What a design and its targets must look like."""

from torch import Tensor


def check_design(X: Tensor, y: Tensor, names: tuple[str, str] = ("X", "y")) -> None:
    """Refuse what are no design of rows and targets for them, by the names users know."""
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(
            f"{names[0]} must have two dimensions and no empty one, got shape {tuple(X.shape)}."
        )
    if y.ndim not in (1, 2) or len(y) != len(X):
        raise ValueError(
            f"{names[1]} must have one or two dimensions and {len(X)} rows like {names[0]}, got "
            f"shape {tuple(y.shape)}."
        )
