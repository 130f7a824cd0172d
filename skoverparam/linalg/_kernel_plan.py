"""What a kernel system costs by each solver, and which one to take."""

from __future__ import annotations

from typing import NamedTuple

import torch

from skoverparam.linalg._kernel_eigen import eigen_bytes
from skoverparam.linalg._kernel_matvec import tile_bytes
from skoverparam.linalg._kernel_pcg import default_rank
from skoverparam.linalg._lower_blocks import BLOCK_ROWS, LowerBlocks

# Up to here everything takes a moment, and an exact solver in double precision is the simplest.
_SMALL = 3000
# Iterations and true residuals of preconditioned conjugate gradients that a plan counts on; what
# really happens is watched.
_ITERATIONS = 45
_RESIDUALS = 3
# Residuals by which a factor in single precision is refined.
_CORRECTIONS = 4
# A preconditioner of a smaller rank is not worth the name.
_LEAST_RANK = 20


class Candidate(NamedTuple):
    """One way to solve.

    Attributes
    ----------
    solver : str
        Its name.

    precision : str
        Of the factor or of the entries in products: "float32" or "float64".

    stored : bool
        Whether the matrix, or its factor, is kept.

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
    n: int, d: int, c: int, *, device: torch.device, memory_budget: int, rank: int | None = None
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

    Returns
    -------
    tuple of Candidate
    """
    speed = rates(device)
    pairs = n * n / 2
    evaluation = {
        "float32": pairs * (d / speed.products32 + 1 / speed.entries),
        "float64": pairs * (d / speed.products64 + 1.5 / speed.entries),
    }
    tiles = 3 * tile_bytes(device)
    # Copies of the points; coefficients, residuals and what else is as long as the targets.
    vectors = 8 * n * (8 * c + 3 * d)
    found = []
    for precision, products, itemsize, residuals in (
        ("float64", speed.products64, 8, 1),
        ("float32", speed.products32, 4, _CORRECTIONS),
    ):
        half = LowerBlocks.n_bytes(n, itemsize)
        panel = itemsize * n * min(n, BLOCK_ROWS)
        seconds = n**3 / 6 / products + evaluation[precision] + residuals * evaluation["float64"]
        n_bytes = half + panel + vectors + tiles
        found.append(Candidate("cholesky", precision, True, None, n_bytes, seconds))
    seconds = 5 * n**3 / speed.products64 + evaluation["float64"]
    found.append(Candidate("eigh", "float64", True, None, eigen_bytes(n) + vectors, seconds))
    for precision, products, itemsize, stored in (
        ("float64", speed.products64, 8, True),
        ("float32", speed.products32, 4, True),
        ("float32", speed.products32, 4, False),
    ):
        matrix = LowerBlocks.n_bytes(n, itemsize) if stored else 0
        columns = min(n, default_rank(n) if rank is None else rank)
        if rank is None:
            room = (memory_budget - matrix - vectors - tiles) / (8 * n * 1.4)
            columns = min(columns, max(int(room), _LEAST_RANK, 1))
        # The factor, and the block of new columns three times.
        low_rank = int(8 * n * columns * 1.3) + 24 * n
        setup = columns * n * (d / speed.products64 + 1.5 / speed.entries)
        setup += n * columns**2 / speed.products64
        product = pairs * (itemsize / speed.bytes + 2 * c / products)
        if not stored:
            product = evaluation[precision] + 2 * pairs * c / products
        product += 4 * n * columns * c / speed.products64
        seconds = setup + evaluation[precision] + _ITERATIONS * product
        if precision == "float32":
            seconds += _RESIDUALS * evaluation["float64"]
        n_bytes = matrix + low_rank + vectors + tiles
        found.append(Candidate("pcg", precision, stored, columns, n_bytes, seconds))
    return tuple(found)


def seconds_per_product(n: int, candidate: Candidate, device: torch.device, d: int) -> float:
    """Estimate the time of an iteration of conjugate gradients."""
    speed, pairs = rates(device), n * n / 2
    if candidate.stored:
        return pairs * (4 if candidate.precision == "float32" else 8) / speed.bytes
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
    MemoryError
        If none fits.
    """
    of_solver = [
        one
        for one in found
        if one.solver in allowed
        and not (loo and (one.precision != "float64" or one.solver == "pcg"))
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
