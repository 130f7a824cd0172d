"""Independent pieces of work on as many threads as torch may use, one thread for each piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def n_workers(device: torch.device) -> int:
    """How many pieces of work are done side by side on a device."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def on_threads(
    function: Callable[[Item], Result], items: Sequence[Item], device: torch.device
) -> list[Result]:
    """Return ``[function(item) for item in items]``, computed side by side on CPUs.

    Notes
    -----
    Torch's own threads share every operation and meet after it. On a machine that is busy with
    other things that took fifty times as long as one thread alone; threads that go through
    pieces of their own never wait for each other. The results are the same.
    """
    n_threads = n_workers(device)
    if n_threads == 1:
        return [function(item) for item in items]
    try:
        with ThreadPoolExecutor(
            max(1, min(n_threads, len(items))),
            initializer=torch.set_num_threads,
            initargs=(1,),
        ) as pool:
            return list(pool.map(function, items))
    finally:
        # A thread's setting is also that of threads to come.
        torch.set_num_threads(n_threads)


def sum_on_threads(
    add_up: Callable[[Sequence[Item]], torch.Tensor], items: Sequence[Item], device: torch.device
) -> torch.Tensor:
    """Return ``add_up(items)``, a sum over the items, each thread adding up a share of them.

    Notes
    -----
    Every thread has a sum of its own, so that the last bits depend on the number of threads.
    """
    n_shares = max(1, min(n_workers(device), len(items)))
    sums = on_threads(add_up, [items[k::n_shares] for k in range(n_shares)], device)
    return torch.stack(sums).sum(0)
