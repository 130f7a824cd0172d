"""What a kernel system costs by each solver, and which one to take."""

from __future__ import annotations

from typing import NamedTuple

import torch

from skoverparam.linalg._kernel_pcg import default_rank
from skoverparam.linalg._lower_blocks import BLOCK_ROWS, LowerBlocks

# Up to here everything takes a moment, and an exact solver in double precision is the simplest.
_SMALL = 3000
# Iterations and true residuals of preconditioned conjugate gradients that a plan counts on; what
# really happens is watched.
_ITERATIONS = 40
_RESIDUALS = 3
# True residuals by which a factor in single precision is refined.
_CORRECTIONS = 4


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

    n_bytes : int
        Memory at its peak beside X and Y.

    seconds : float
        Expected time, by assumed rates of the device.
    """

    solver: str
    precision: str
    stored: bool
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
    """Assumed speeds: fixed numbers, so that a plan is the same every time."""

    flops32: float
    flops64: float
    entries: float
    bytes: float


def rates(device: torch.device) -> Rates:
    """Speeds of a device: multiplications, kernel profiles and bytes a second."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return Rates(35e9 * threads, 20e9 * threads, 8e7 * threads, 8e9)
    return Rates(1e13, 5e12, 3e10, 1e12)


def candidates(
    n: int, d: int, c: int, *, device: torch.device, rank: int | None, tile_bytes: int
) -> tuple[Candidate, ...]:
    """Costs of the exact solvers and of preconditioned conjugate gradients.

    Parameters
    ----------
    n, d, c : int
        Points, features and targets.

    device : torch.device
        Where to compute.

    rank : int or None
        Of the preconditioner.

    tile_bytes : int
        Size of the tiles in which a matrix that is not stored is evaluated.
    """
    speed = rates(device)
    rank = default_rank(n) if rank is None else min(rank, n)
    pairs = n * n / 2
    evaluation = {
        "float32": pairs * (d / speed.flops32 + 1 / speed.entries),
        "float64": pairs * (d / speed.flops64 + 1.5 / speed.entries),
    }
    vectors = 8 * n * (8 * c + 2 * d)
    found = []
    for precision, flops, itemsize in (
        ("float64", speed.flops64, 8),
        ("float32", speed.flops32, 4),
    ):
        corrections = 1 if precision == "float64" else _CORRECTIONS
        seconds = n**3 / 6 / flops + evaluation[precision] + corrections * evaluation["float64"]
        half = LowerBlocks.n_bytes(n, itemsize)
        panel = itemsize * n * min(n, BLOCK_ROWS)
        n_bytes = half + panel + vectors + 2 * tile_bytes
        found.append(Candidate("cholesky", precision, True, n_bytes, seconds))
    low_rank = 8 * n * rank + 8 * n * (rank // 10 + 1) * 3 + 2 * tile_bytes + vectors
    setup = rank * n * (d / speed.flops64 + 1.5 / speed.entries) + n * rank**2 / speed.flops64
    checks = _RESIDUALS * evaluation["float64"]
    read = 4 * pairs / speed.bytes + 2 * pairs * c / speed.flops32
    found.append(
        Candidate(
            "pcg",
            "float32",
            True,
            low_rank + LowerBlocks.n_bytes(n, 4),
            setup + evaluation["float32"] + _ITERATIONS * read + checks,
        )
    )
    found.append(
        Candidate(
            "pcg",
            "float32",
            False,
            low_rank,
            setup + _ITERATIONS * evaluation["float32"] + checks,
        )
    )
    return tuple(found)


def make_plan(
    found: tuple[Candidate, ...], n: int, *, solver: str, memory_budget: int
) -> tuple[KernelPlan, Candidate]:
    """Choose among candidates: the fastest that fits, exact where that takes a moment.

    Raises
    ------
    MemoryError
        If none fits.
    """
    of_solver = [one for one in found if solver in ("auto", one.solver)]
    fitting = [one for one in of_solver if one.n_bytes <= memory_budget]
    if not fitting:
        least = min(of_solver, key=lambda one: one.n_bytes)
        raise MemoryError(
            f"A kernel system of {n} points needs about {_size(least.n_bytes)} by the leanest "
            f"solver that was allowed ({least.solver!r}), and the memory budget is "
            f"{_size(memory_budget)}. Restrict the centers (solver='restricted', n_centers), "
            "take fewer samples or a smaller rank, or raise the budget."
        )
    if n <= _SMALL and fitting[0].solver == "cholesky":
        chosen, why = fitting[0], f"{n} points are few: exact in double precision."
    else:
        chosen = min(fitting, key=lambda one: one.seconds)
        others = len(of_solver) - len(fitting)
        why = f"the fastest of {len(fitting)} that fit in {_size(memory_budget)}" + (
            f"; {others} did not." if others else "."
        )
    plan = KernelPlan(chosen.solver, why, chosen.n_bytes, chosen.seconds, memory_budget, found)
    return plan, chosen


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.3g} GiB"
