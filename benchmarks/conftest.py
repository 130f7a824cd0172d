"""One way to measure a contender on a task, and the folder of real data."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder():
    """The folder named by SKOVERPARAM_DATA; tests that need it skip without."""
    name = os.environ.get("SKOVERPARAM_DATA")
    if not name:
        pytest.skip("set SKOVERPARAM_DATA to the folder of real data to run this benchmark")
    folder = Path(name)
    if not folder.is_dir():
        pytest.skip(f"SKOVERPARAM_DATA={name!r} is not a folder")
    return folder


class Measure:
    """Time a function as one contender's answer to a task."""

    def __init__(self, benchmark):
        self._benchmark = benchmark

    def __call__(self, task, contender, function, /, *args, rounds=1, warmup_rounds=0, **kwargs):
        self._benchmark.group = task
        self._benchmark.extra_info["contender"] = contender
        return self._benchmark.pedantic(
            function,
            args=args,
            kwargs=kwargs,
            rounds=rounds,
            warmup_rounds=warmup_rounds,
            iterations=1,
        )

    def at_size(self, curve, size):
        """Make the row a point of a scaling curve: seconds over size, one line a contender."""
        self._benchmark.extra_info.update(curve=curve, size=size)

    def note(self, **figures):
        """Add figures of merit, such as an error, to the row."""
        merits = self._benchmark.extra_info.setdefault("figures", {})
        merits.update({name: float(value) for name, value in figures.items()})


@pytest.fixture
def measure(benchmark):
    return Measure(benchmark)
