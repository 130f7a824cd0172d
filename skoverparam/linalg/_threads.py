"""Independent pieces of work on as many threads as torch may use, one thread for each piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    n_threads = torch.get_num_threads() if device.type == "cpu" else 1
    if n_threads == 1:
        return [function(item) for item in items]
    n_workers = max(1, min(n_threads, len(items)))
    try:
        with ThreadPoolExecutor(
            n_workers, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(function, items))
    finally:
        # A thread's setting is also that of threads to come.
        torch.set_num_threads(n_threads)
