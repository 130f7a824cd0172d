"""Write the benchmark page from pytest-benchmark's JSON: ``report.py RESULTS.json PAGE.md``."""

import json
import os
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("skoverparam", "torch", "scikit-learn", "numpy", "scipy")

INTRODUCTION = """\
# Benchmarks

Written by `make bench`; do not edit. Ours and the alternative work on the same data in the same
run. A ratio is the alternative's time over ours: above 1, ours is faster. Times are medians in
seconds.
"""


def tasks_of(results):
    """Group the measurements by task: {task: {contender: (seconds, figures)}}."""
    tasks = defaultdict(dict)
    for measured in results["benchmarks"]:
        info = measured["extra_info"]
        tasks[measured["group"]][info["contender"]] = (
            measured["stats"]["median"],
            info.get("figures", {}),
        )
    return tasks


def described(figures):
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items()) or "-"


def rows_of(task, contenders):
    """One table row per alternative; a task without ours, or without any, is still shown."""
    if "ours" not in contenders:
        for name, (seconds, figures) in contenders.items():
            yield [task, "-", "-", name, f"{seconds:.3g}", described(figures), "-"]
        return
    seconds, figures = contenders["ours"]
    ours = [task, f"{seconds:.3g}", described(figures)]
    peers = [name for name in contenders if name != "ours"]
    if not peers:
        yield [*ours, "-", "-", "-", "-"]
    for name in peers:
        peer_seconds, peer_figures = contenders[name]
        ratio = f"{peer_seconds / seconds:.2g}x"
        yield [*ours, name, f"{peer_seconds:.3g}", described(peer_figures), ratio]


def page(results):
    """The whole page as Markdown."""
    machine = results["machine_info"]
    processor = machine.get("cpu", {}).get("brand_raw", machine["processor"])
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    threads = f"{os.cpu_count()} cores, Python {machine['python_version']}"
    lines = [
        INTRODUCTION,
        f"Machine: {processor}, {threads}. Versions: {versions}. "
        f"Day: {results['datetime'][:10]}.\n",
        "| task | ours, s | | alternative | its s | | ratio |",
        "|---|---:|---|---|---:|---|---:|",
    ]
    for task, contenders in tasks_of(results).items():
        lines += [f"| {' | '.join(row)} |" for row in rows_of(task, contenders)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(page(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"Wrote {target}")
