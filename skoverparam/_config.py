"""Process-wide settings: the device to compute on and the memory that may be used."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any

import torch

# One dictionary per thread would surprise users who set the configuration once at the top of a
# script and then use a thread pool; a process-wide dictionary with a lock does what is expected.
_LOCK = threading.Lock()
_SETTINGS: dict[str, Any] = {"device": "auto", "memory_budget": None}

# Share of the memory that is free right now which one operation may claim by itself.
_SHARE_OF_FREE_MEMORY = 0.8
_FALLBACK_BUDGET = 4 * 2**30


def get_config() -> dict[str, Any]:
    """Return the current settings.

    Returns
    -------
    config : dict
        ``{"device": ..., "memory_budget": ...}``, a copy: changing it changes nothing.

    See Also
    --------
    set_config : Change the settings.
    config_context : Change them for a while.

    Examples
    --------
    >>> import skoverparam
    >>> skoverparam.get_config()["device"]
    'auto'
    """
    with _LOCK:
        return dict(_SETTINGS)


def set_config(
    *, device: str | torch.device | None = None, memory_budget: float | str | None = None
) -> None:
    """Change the settings of this process.

    Worker processes of a parallel search start with the defaults: give ``device`` as a constructor
    parameter where a worker should use another one.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default=None
        Where estimators with ``device="auto"`` compute. ``"auto"`` is a CUDA device if there is
        one, else the CPU. None leaves the setting as it is.

    memory_budget : float or "auto", default=None
        Bytes that one operation may allocate. Above it, estimators take a slower path that needs
        less memory or raise :class:`MemoryError` before any work. ``"auto"`` is 80 % of what is
        free on the device at that moment. None leaves the setting as it is.

    See Also
    --------
    get_config : Read the settings.
    config_context : Change them for a while.

    Examples
    --------
    >>> import skoverparam
    >>> skoverparam.set_config(memory_budget=2e9)
    >>> skoverparam.get_config()["memory_budget"]
    2000000000
    >>> skoverparam.set_config(memory_budget="auto")
    """
    changes: dict[str, Any] = {}
    if device is not None:
        resolve_device(device)
        changes["device"] = str(device)
    if memory_budget is not None:
        changes["memory_budget"] = _checked_budget(memory_budget)
    with _LOCK:
        _SETTINGS.update(changes)


@contextmanager
def config_context(
    *, device: str | torch.device | None = None, memory_budget: float | str | None = None
) -> Iterator[None]:
    """Change the settings inside a ``with`` block.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default=None
        As in :func:`set_config`.

    memory_budget : float or "auto", default=None
        As in :func:`set_config`.

    Yields
    ------
    None

    See Also
    --------
    set_config : Change the settings for good.

    Examples
    --------
    >>> import skoverparam
    >>> with skoverparam.config_context(device="cpu"):
    ...     skoverparam.get_config()["device"]
    'cpu'
    """
    before = get_config()
    set_config(device=device, memory_budget=memory_budget)
    try:
        yield
    finally:
        with _LOCK:
            _SETTINGS.update(before)


def _checked_budget(memory_budget: float | str) -> int | None:
    if memory_budget == "auto":
        return None
    if isinstance(memory_budget, bool) or not isinstance(memory_budget, Real):
        raise TypeError(
            "memory_budget must be a number of bytes or 'auto', "
            f"got {memory_budget!r} of type {type(memory_budget).__name__}."
        )
    if not memory_budget > 0:
        raise ValueError(f"memory_budget must be positive, got {memory_budget!r}.")
    return int(memory_budget)


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Turn a ``device`` parameter into a device that exists here.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:<n>"}, torch.device or None
        None and "auto" follow the configuration, whose own "auto" prefers CUDA.

    Returns
    -------
    torch.device
        The device to compute on.
    """
    if device is not None and not isinstance(device, (str, torch.device)):
        raise TypeError(
            "device must be 'auto', 'cpu', 'cuda' or 'cuda:<n>', "
            f"got {device!r:.80} of type {type(device).__name__}."
        )
    if device is None or device == "auto":
        configured = get_config()["device"]
        if configured == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        device = configured
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise ValueError(
            f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<n>', got {device!r}."
        ) from None
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={str(device)!r} was asked for, but torch sees "
            f"{torch.cuda.device_count()} CUDA devices here. Use 'auto' or 'cpu'."
        )
    return resolved


def memory_budget(device: torch.device) -> int:
    """Bytes that one operation may allocate on a device."""
    configured = get_config()["memory_budget"]
    if configured is not None:
        return int(configured)
    if device.type == "cuda":
        return int(_SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0])
    return int(_SHARE_OF_FREE_MEMORY * _free_host_memory())


def require_memory(n_bytes: float, device: torch.device, *, what: str, remedy: str) -> None:
    """Raise MemoryError before an allocation that does not fit the budget."""
    budget = memory_budget(device)
    if n_bytes > budget:
        raise MemoryError(
            f"{what} needs about {n_bytes / 2**30:.3g} GiB, and the memory budget on {device} is "
            f"{budget / 2**30:.3g} GiB. {remedy} The budget is set by "
            "skoverparam.set_config(memory_budget=...)."
        )


def _free_host_memory() -> int:
    free = _meminfo_available()
    if free is None:
        # Not Linux: half of what is installed, where that much can be asked for.
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" not in names:
            return _FALLBACK_BUDGET
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    limit = _container_limit()
    return free if limit is None else min(free, limit)


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _container_limit() -> int | None:
    """Memory left under a control group's limit, None where there is no limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(int(limit) - used, 0)
