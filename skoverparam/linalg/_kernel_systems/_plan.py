"""What a kernel system costs by each solver, and which one to take."""

from __future__ import annotations

from typing import NamedTuple

import torch

from skoverparam.linalg._kernel_systems._eigen import eigen_bytes
from skoverparam.linalg._kernel_systems._eigenpro_preconditioner import eigenpro_bytes
from skoverparam.linalg._kernel_systems._matvec import tile_bytes
from skoverparam.linalg._kernel_systems._pcg import default_rank
from skoverparam.linalg._kernel_systems._restricted_centers import (
    default_n_centers,
    restricted_bytes,
)
from skoverparam.linalg._lower_blocks import BLOCK_ROWS, LowerBlocks

# Up to here everything takes a moment, and an exact solver in double precision is the simplest.
_SMALL = 3000
# Iterations and true residuals of preconditioned conjugate gradients that a plan counts on; what
# really happens is watched.
_ITERATIONS = 45
_RESIDUALS = 3
# Residuals by which a factor in single precision is refined.
_CORRECTIONS = 4
# A matrix of this size is kept beside its factor: residuals, and other ridges, are cheap then.
_KEPT_BYTES = 2**29
# Solvers that can say what leaving one out does.
_WITH_LOO = ("cholesky", "eigh")
# A preconditioner of a smaller rank is not worth the name.
_LEAST_RANK = 20
# Passes of EigenPro over all pairs.
_PASSES = 25


class Candidate(NamedTuple):
    """One way to solve.

    Attributes
    ----------
    solver : str
        Its name.

    precision : str
        Of the factor or of the entries in products: "float32" or "float64".

    stored : bool
        Whether the matrix is kept, beside a factor for its residuals.

    rank : int or None
        Columns of a preconditioner.

    n_bytes : int
        Memory at its peak beside X and Y.

    seconds : float
        Expected time, by assumed rates of the device.
    """

    solver: str
    precision: str
    stored: bool
    rank: int | None
    n_bytes: int
    seconds: float


class KernelPlan(NamedTuple):
    """The choice, and what it was made from.

    Attributes
    ----------
    solver : str
        The solver that was chosen.

    why : str
        One sentence.

    n_bytes : int
        Memory that the solver takes at its peak.

    seconds : float
        Expected time.

    memory_budget : int
        Bytes that were allowed.

    candidates : tuple of Candidate
        All that were considered.
    """

    solver: str
    why: str
    n_bytes: int
    seconds: float
    memory_budget: int
    candidates: tuple[Candidate, ...]


class Rates(NamedTuple):
    """Assumed speeds, fixed numbers, so that the same problem always gets the same plan.

    Attributes
    ----------
    products32, products64 : float
        Multiplications with an addition, a second, in products of matrices.

    entries : float
        Kernel values a second in single precision, without the inner products.

    bytes : float
        Bytes a second that are read from memory.
    """

    products32: float
    products64: float
    entries: float
    bytes: float


def rates(device: torch.device) -> Rates:
    """Assume speeds of a device."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return Rates(35e9 * threads, 20e9 * threads, 8e7 * threads, 8e9)
    return Rates(1e13, 5e12, 3e10, 1e12)


def candidates(
    n: int,
    d: int,
    c: int,
    *,
    device: torch.device,
    memory_budget: int,
    rank: int | None = None,
    n_centers: int | None = None,
    single: bool = True,
) -> tuple[Candidate, ...]:
    """Costs of the solvers for n points of d features and c targets.

    Parameters
    ----------
    n, d, c : int
        Points, features and targets.

    device : torch.device
        Where to compute.

    memory_budget : int
        Bytes; a preconditioner that does not fit is made smaller, unless its rank is given.

    rank : int or None
        Of the preconditioner.

    n_centers : int or None
        Of "restricted".

    single : bool, default=True
        Whether the points fit single precision; if not, nothing is computed in it.

    Returns
    -------
    tuple of Candidate
    """
    coarse = "float32" if single else "float64"
    work = _Work(n, d, c, rates(device), 3 * tile_bytes(device), coarse)
    centers = min(n, default_n_centers(n) if n_centers is None else n_centers)
    return (
        work.cholesky("float64", memory_budget),
        work.cholesky(coarse, memory_budget),
        work.eigh(),
        *(
            work.pcg(precision, stored, rank, memory_budget)
            for precision, stored in (("float64", True), (coarse, True), (coarse, False))
        ),
        work.eigenpro(rank),
        *(
            work.restricted(precision, stored, centers)
            for precision, stored in (("float64", True), (coarse, True), ("float64", False))
        ),
    )


class _Work(NamedTuple):
    """Bytes and seconds of each solver."""

    n: int
    d: int
    c: int
    speed: Rates
    tiles: int
    coarse: str

    def cholesky(self, precision: str, budget: int) -> Candidate:
        itemsize, products = self._precision(precision)
        panel = itemsize * self.n * min(self.n, BLOCK_ROWS)
        n_bytes = LowerBlocks.n_bytes(self.n, itemsize) + panel + self._vectors()
        seconds = self.n**3 / 6 / products + self._evaluation("float64")
        kept = LowerBlocks.n_bytes(self.n, 8)
        stored = kept <= _KEPT_BYTES and n_bytes + kept <= budget
        if stored:
            n_bytes += kept
        else:
            residuals = 1 if precision == "float64" else _CORRECTIONS
            seconds += residuals * self._evaluation("float64")
        return Candidate("cholesky", precision, stored, None, n_bytes, seconds)

    def eigh(self) -> Candidate:
        seconds = 5 * self.n**3 / self.speed.products64 + self._evaluation("float64")
        n_bytes = eigen_bytes(self.n) + self._vectors()
        return Candidate("eigh", "float64", True, None, n_bytes, seconds)

    def pcg(self, precision: str, stored: bool, rank: int | None, budget: int) -> Candidate:
        n, c = self.n, self.c
        itemsize, products = self._precision(precision)
        matrix = LowerBlocks.n_bytes(n, itemsize) if stored else 0
        columns = min(n, default_rank(n) if rank is None else rank)
        if rank is None:
            room = (budget - matrix - self._vectors()) / (8 * n * 1.4)
            columns = min(columns, max(int(room), _LEAST_RANK))
        # The factor, and the block of new columns three times.
        n_bytes = matrix + int(8 * n * columns * 1.3) + 24 * n + self._vectors()
        product = seconds_per_product(n, self.d, precision, stored, self.speed)
        product += n * n * c / products + 4 * n * columns * c / self.speed.products64
        seconds = columns * n * (self.d / self.speed.products64 + 1.5 / self.speed.entries)
        seconds += n * columns**2 / self.speed.products64
        seconds += self._evaluation(precision) * stored + _ITERATIONS * product
        if precision == "float32":
            seconds += _RESIDUALS * self._evaluation("float64")
        return Candidate("pcg", precision, stored, columns, n_bytes, seconds)

    def eigenpro(self, rank: int | None) -> Candidate:
        n_bytes = eigenpro_bytes(self.n, rank) + self._vectors()
        precision = "float64" if self.n <= _SMALL else self.coarse
        seconds = _PASSES * 2 * self._evaluation(precision)
        return Candidate("eigenpro", precision, False, rank, n_bytes, seconds)

    def restricted(self, precision: str, stored: bool, m: int) -> Candidate:
        itemsize, products = self._precision(precision)
        n_bytes = restricted_bytes(self.n, m, itemsize if stored else 0) + self._vectors()
        evaluation = 2 * m / self.n * self._evaluation(precision)
        seconds = evaluation * (1 if stored else _ITERATIONS)
        seconds += _ITERATIONS * 2 * self.n * m * self.c / products
        seconds += self.n * m * m / self.speed.products64
        return Candidate("restricted", precision, stored, None, n_bytes, seconds)

    def _precision(self, name: str) -> tuple[int, float]:
        if name == "float32":
            return 4, self.speed.products32
        return 8, self.speed.products64

    def _evaluation(self, precision: str) -> float:
        """Seconds in which half of the matrix is evaluated."""
        more = 1.0 if precision == "float32" else 1.5
        products = self._precision(precision)[1]
        return self.n**2 / 2 * (self.d / products + more / self.speed.entries)

    def _vectors(self) -> int:
        # Copies of the points; coefficients, residuals and what else is as long as the targets.
        return 8 * self.n * (8 * self.c + 3 * self.d) + self.tiles


def seconds_per_product(n: int, d: int, precision: str, stored: bool, speed: Rates) -> float:
    """Estimate the time of a product with the matrix."""
    pairs = n * n / 2
    if stored:
        return pairs * (4 if precision == "float32" else 8) / speed.bytes
    return pairs * (d / speed.products32 + 1 / speed.entries)


def make_plan(
    found: tuple[Candidate, ...], n: int, *, allowed: tuple[str, ...], loo: bool, budget: int
) -> tuple[KernelPlan, Candidate]:
    """Choose among candidates: the fastest that fits, exact where that takes a moment.

    Parameters
    ----------
    found : tuple of Candidate
        What there is.

    n : int
        Number of points.

    allowed : tuple of str
        Solvers to choose from.

    loo : bool
        Whether leave-one-out residuals are wanted.

    budget : int
        Bytes.

    Returns
    -------
    plan, chosen : KernelPlan, Candidate

    Raises
    ------
    ValueError
        If none of those allowed gives leave-one-out residuals, and they are wanted.
    MemoryError
        If none fits.
    """
    if loo and not set(allowed) & set(_WITH_LOO):
        raise ValueError(
            f"loo=True needs solver='auto', {' or '.join(map(repr, _WITH_LOO))}, got "
            f"{allowed[0]!r}: leave-one-out residuals come from a factor."
        )
    of_solver = [
        one
        for one in found
        if one.solver in allowed
        and not (loo and (one.precision != "float64" or one.solver not in _WITH_LOO))
    ]
    fitting = [one for one in of_solver if one.n_bytes <= budget]
    if not fitting:
        least = min(of_solver, key=lambda one: one.n_bytes)
        purpose = " with leave-one-out residuals" if loo else ""
        raise MemoryError(
            f"A kernel system of {n} points{purpose} needs about {_size(least.n_bytes)} with "
            f"solver={least.solver!r}, the leanest of what was allowed, and the memory budget is "
            f"{_size(budget)}. Take fewer samples, restrict the centers "
            "(solver='restricted', n_centers=...), or raise the budget."
        )
    if n <= _SMALL and fitting[0].solver == "cholesky" and fitting[0].precision == "float64":
        chosen, why = fitting[0], f"{n} points are few: exact, in double precision"
    else:
        chosen = min(fitting, key=lambda one: one.seconds)
        why = f"the fastest by estimate of the {len(fitting)} ways that fit in {_size(budget)}"
        missed = len(of_solver) - len(fitting)
        if missed:
            why += f"; {missed} others do not"
    plan = KernelPlan(chosen.solver, why + ".", chosen.n_bytes, chosen.seconds, budget, found)
    return plan, chosen


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.3g} GiB"
