"""Kernels that are a function of a distance.

A tile of the matrix stays in the cache from the distances to the values. Distances are exact to
rounding at any offset and for points that are close to each other, which interpolation depends on:
units are powers of two; few features are compared one by one; with many features squared distances
come from inner products of centered inputs, and those that have canceled are computed again from
the differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from skoverparam.kernels._row_pairs import (
    TILES_PER_PRODUCT,
    check_rows,
    mirror_,
    tile_side,
    tiles,
)
from skoverparam.linalg._middle import middle_of
from skoverparam.linalg._threads import n_workers, on_threads

PROFILES = ("laplace", "gaussian", "matern", "exponential")

# Up to here differences, feature by feature, cost no more than a product and what repairs it.
_FEW_FEATURES = 16

_LARGEST_NU = 10.5


@dataclass(frozen=True)
class RadialKernel:
    """A function of the distance between two points.

    Attributes
    ----------
    profile : {"laplace", "gaussian", "matern", "exponential"}
        The function.

    bandwidth : float
        L > 0, the unit of distances.

    exponent, p_norm : float
        ``0 < exponent <= p_norm <= 2``, of "exponential" only.

    nu : float
        Half-integer up to 10.5, or infinity: smoothness of "matern" only.

    Notes
    -----
    All of them are positive definite. Calls take tensors of shape (n, d) and (m, d) of one dtype,
    or X alone, which costs half and is symmetric to the last bit.
    """

    profile: str = "laplace"
    bandwidth: float = 1.0
    exponent: float = 1.0
    p_norm: float = 2.0
    nu: float = 1.5

    # Depends on differences of points only: whoever evaluates it may move them all.
    stationary: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"profile must be one of {PROFILES}, got {self.profile!r}.")
        # Also those that the profile makes no use of: a mistake is a mistake.
        for name in ("bandwidth", "p_norm", "exponent"):
            _check_positive(name, getattr(self, name))
        if not self.exponent <= self.p_norm <= 2:
            raise ValueError(
                "exponent and p_norm must be 0 < exponent <= p_norm <= 2, or the kernel is "
                f"not positive definite; got exponent={self.exponent!r} and "
                f"p_norm={self.p_norm!r}."
            )
        _check_nu(self.nu)

    def __call__(self, X: Tensor, Z: Tensor | None = None) -> Tensor:
        """Return the (n, m) kernel values."""
        out = X.new_empty(len(X), len(X if Z is None else Z))
        self.into(X, Z, out)
        return out

    def diagonal(self, X: Tensor) -> Tensor:
        """Return the values of points with themselves: ones."""
        return X.new_ones(len(X))

    def into(self, X: Tensor, Z: Tensor | None, out: Tensor) -> None:
        """Write the kernel values into ``out``, shape (n, m)."""
        check_rows(X, Z)
        with torch.no_grad():
            left, right = self._in_units(X.detach(), None if Z is None else Z.detach())
            if self._norm != 2 or X.shape[1] <= _FEW_FEATURES:
                self._from_differences(left, right, Z is None, out)
                return
            center = middle_of(left)
            around = left - center
            others = around if Z is None else right - center
            if _overflows(around, others):
                self._from_differences(left, right, Z is None, out)
            else:
                self._from_products(left, right, around, others, Z is None, out)

    @property
    def _norm(self) -> float:
        return self.p_norm if self.profile == "exponential" else 2.0

    @property
    def _power(self) -> float:
        """The power of the distance that the profile is a function of."""
        powers = {"gaussian": 2.0, "exponential": self.exponent}
        if self.profile == "matern" and math.isinf(self.nu):
            return 2.0
        return powers.get(self.profile, 1.0)

    @property
    def _unit(self) -> float:
        """The power of two next to the bandwidth: dividing by it changes no digit."""
        return 2.0 ** min(max(math.frexp(self.bandwidth)[1], -1000), 1000)

    def _in_units(self, X: Tensor, Z: Tensor | None) -> tuple[Tensor, Tensor]:
        """Points in such units; around the middle of X only if there they are no numbers else."""
        left, right = X / self._unit, None if Z is None else Z / self._unit
        if _is_finite(left) and (right is None or _is_finite(right)):
            return left, left if right is None else right
        center = middle_of(X)
        left = (X - center).div_(self._unit)
        return left, left if Z is None else (Z - center).div_(self._unit)

    def _from_differences(self, left: Tensor, right: Tensor, symmetric: bool, out: Tensor) -> None:
        def process(tile: tuple[slice, slice]) -> None:
            rows, columns = tile
            values = torch.cdist(
                left[rows],
                right[columns],
                p=self._norm,
                compute_mode="donot_use_mm_for_euclid_dist",
            )
            self._place(values, 1.0, rows, columns, symmetric, out)

        rows = range(len(left))
        on_threads(
            process, tiles(rows, len(right), symmetric, tile_side(left.device)), left.device
        )

    def _from_products(
        self,
        left: Tensor,
        right: Tensor,
        x: Tensor,
        z: Tensor,
        symmetric: bool,
        out: Tensor,
    ) -> None:
        """Fill in by products of the centered x and z, and differences of left and right."""
        # |x|^2 - 2 <x, z> + |z|^2 as a single product.
        squares, others = x.square().sum(1, keepdim=True), z.square().sum(1, keepdim=True)
        here = torch.cat([x * -2, squares, torch.ones_like(squares)], 1)
        there = torch.cat([z, torch.ones_like(others), others], 1)
        # Below this share of |x|^2 + |z|^2 too many digits of the difference are lost.
        share = torch.finfo(left.dtype).eps ** 0.3

        def process(tile: tuple[slice, slice]) -> None:
            rows, columns = tile
            values = out[rows, columns]
            limits = share * (squares[rows] + others[columns].max())
            near = (values < limits).nonzero()
            for i, j in (pairs.unbind(1) for pairs in near.split(max(1, 2**15 // len(left[0])))):
                values[i, j] = (left[rows][i] - right[columns][j]).square_().sum(1)
            self._place(values, 2.0, rows, columns, symmetric, out)

        side = tile_side(left.device)
        length = TILES_PER_PRODUCT * side
        for start in range(0, len(left), length):
            stop = min(start + length, len(left))
            width = stop if symmetric else len(right)
            torch.mm(here[start:stop], there[:width].T, out=out[start:stop, :width])
            on_threads(process, tiles(range(start, stop), width, symmetric, side), left.device)

    def _place(
        self,
        values: Tensor,
        power: float,
        rows: slice,
        columns: slice,
        symmetric: bool,
        out: Tensor,
    ) -> None:
        """Turn powers of distances, in units, into kernel values in place, and put them there."""
        if power != self._power:
            values.pow_(self._power / power)
        self._profile_(values)
        if symmetric and rows == columns:
            values.diagonal().fill_(1)
            mirror_(values)
        if values.data_ptr() != out[rows, columns].data_ptr():
            out[rows, columns] = values
        if symmetric and rows != columns:
            out[columns, rows] = values.T

    def _profile_(self, values: Tensor) -> None:
        scale = self._unit / self.bandwidth
        if self.profile == "matern" and not math.isinf(self.nu):
            _matern_(values, scale, round(self.nu - 0.5))
            return
        half = self._power == 2 and self.profile != "exponential"
        values.mul_((-0.5 if half else -1.0) * scale**self._power).exp_()


def memory_needed(X: Tensor, Z: Tensor | None = None) -> int:
    """Bytes allocated at most for a kernel: the result, copies of the inputs and the tiles."""
    n, m = len(X), len(X if Z is None else Z)
    inputs = 2 * X.numel() + (0 if Z is None else 2 * Z.numel())
    side = tile_side(X.device)
    scratch = n_workers(X.device) * 3 * min(side, n) * min(side, m)
    return (n * m + 2 * inputs + scratch) * X.element_size()


def _matern_(distances: Tensor, scale: float, p: int) -> None:
    """Matern kernel with nu = p + 1/2, in place: a polynomial times an exponential."""
    # Farther than this the exponential underflows, and must not meet an infinite polynomial.
    limit = -math.log(torch.finfo(distances.dtype).tiny) + 40
    scaled = distances.mul_(scale * math.sqrt(2 * p + 1)).clamp_(max=limit)
    polynomial = torch.ones_like(scaled)
    # Horner's scheme: the ratio of consecutive coefficients of scaled**k, from above.
    for k in range(p, 0, -1):
        polynomial.mul_(scaled).mul_(2 * (p - k + 1) / ((2 * p - k + 1) * k)).add_(1)
    distances.neg_().exp_().mul_(polynomial)


def _is_finite(points: Tensor) -> bool:
    return not points.numel() or math.isfinite(float(points.abs().max()))


def _overflows(left: Tensor, right: Tensor) -> bool:
    """Whether sums of squares exceed the numbers there are."""
    largest = max(float(side.abs().max()) for side in (left, right) if side.numel())
    limit = math.sqrt(torch.finfo(left.dtype).max / (8 * left.shape[1]))
    return not largest < limit


def _check_positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}.")
    if not 0 < _as_float(value) < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r:.80}.")


def _as_float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:
        # An integer larger than any float is too large, and no infinity that was meant.
        return math.nan


def _check_nu(nu: Any) -> None:
    if isinstance(nu, bool) or not isinstance(nu, Real):
        raise TypeError(f"nu must be a number, got {nu!r} of type {type(nu).__name__}.")
    smoothness = _as_float(nu)
    if smoothness != math.inf and not (
        0 < smoothness <= _LARGEST_NU and (2 * smoothness) % 2 == 1
    ):
        raise ValueError(
            f"nu must be a half-integer 0.5, 1.5, ..., {_LARGEST_NU} or infinity, got {nu!r:.80}."
        )
