"""Write the benchmark page from pytest-benchmark's JSON: ``report.py RESULTS.json PAGE.md``."""

import ast
import json
import os
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

LIBRARIES = ("skoverparam", "torch", "scikit-learn", "numpy", "scipy")

INTRODUCTION = """\
# Benchmarks

Written by `make bench`; do not edit. Ours and the alternative work on the same data in the same
run. A ratio is the alternative's time over ours: above 1, ours is faster; below 1, in bold, the
alternative is. Times are medians in seconds.
"""


def files_of(results):
    """Group the measurements: {file: {task: {contender: (seconds, figures)}}}."""
    files = defaultdict(lambda: defaultdict(dict))
    for measured in results["benchmarks"]:
        info = measured["extra_info"]
        if "curve" in info:
            continue
        file = measured["fullname"].partition("::")[0]
        files[file][measured["group"]][info["contender"]] = (
            measured["stats"]["median"],
            info.get("figures", {}),
        )
    return files


def section(file, tasks):
    """A table of the tasks of one file as lines of Markdown, below what its docstring says."""
    name = Path(file).stem.removeprefix("test_").replace("_", " ").capitalize()
    source = (Path(__file__).parent / Path(file).name).read_text(encoding="utf-8")
    summary = ast.get_docstring(ast.parse(source)).partition("\n\n")[0]
    return [
        f"## {name}",
        "",
        summary,
        "",
        "| task | ours, s | | alternative | its s | | ratio |",
        "|---|---:|---|---|---:|---|---:|",
        *(f"| {' | '.join(row)} |" for task in tasks.items() for row in rows_of(*task)),
        "",
    ]


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
        figures, times = described(peer_figures), compared(peer_seconds, seconds)
        yield [*ours, name, f"{peer_seconds:.3g}", figures, times]


def compared(theirs, ours):
    """The ratio of two times, in bold where the alternative is faster."""
    ratio = f"{theirs / ours:.2g}x"
    return f"**{ratio}**" if theirs < ours else ratio


def curves_of(results):
    """Group the points of the scaling plots: {curve: {contender: [(size, seconds)]}}."""
    curves = defaultdict(lambda: defaultdict(list))
    for measured in results["benchmarks"]:
        info = measured["extra_info"]
        if "curve" in info:
            point = info["size"], measured["stats"]["median"]
            curves[info["curve"]][info["contender"]].append(point)
    return curves


def slope(points):
    """Exponent e of seconds = size^e, by least squares of the logarithms."""
    sizes, seconds = np.log(np.array(points).T)
    return np.polyfit(sizes, seconds, 1)[0]


def draw(curves, path):
    """One panel for each curve, both axes logarithmic, slopes in the legends."""
    rows = -(-len(curves) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(9, 3.2 * rows), layout="constrained")
    for ax, (curve, contenders) in zip(axes.flat, curves.items(), strict=False):
        for name, points in contenders.items():
            sizes, seconds = zip(*points, strict=True)
            ax.loglog(sizes, seconds, "o-", label=f"{name}: slope {slope(points):.1f}")
        what, _, unit = curve.rpartition(", by ")
        ax.set(title=what, xlabel=unit, ylabel="seconds")
        ax.set_xticks(sizes, labels=map(str, sizes))
        ax.minorticks_off()
        ax.legend(frameon=False, fontsize="small")
    for ax in axes.flat[len(curves) :]:
        ax.remove()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=80)


def scaling(curves):
    """The section on scaling as lines of Markdown."""
    lines = [
        "## How time grows",
        "",
        "![Seconds over size](images/scaling.png)",
        "",
        "The slope e of seconds = size^e, fitted to all sizes, and the ratio at the largest.",
        "",
        "| task | sizes | | slope | seconds at the largest | ratio |",
        "|---|---|---|---:|---:|---:|",
    ]
    for curve, contenders in curves.items():
        ours = contenders["ours"][-1][1] if "ours" in contenders else float("nan")
        for name, points in contenders.items():
            sizes = f"{points[0][0]} to {points[-1][0]}"
            last = points[-1][1]
            ratio = "" if name == "ours" else compared(last, ours)
            row = (curve, sizes, name, f"{slope(points):.2f}", f"{last:.3g}", ratio)
            lines.append(f"| {' | '.join(row)} |")
    return lines


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
    ]
    for file, tasks in files_of(results).items():
        lines += section(file, tasks)
    if curves := curves_of(results):
        lines += scaling(curves)
    return "\n".join([*lines, "", *elsewhere()]) + "\n"


def elsewhere():
    """Peers that need an environment of their own, as they were measured there."""
    path = Path(__file__).parent / "elsewhere.md"
    return path.read_text(encoding="utf-8").rstrip().splitlines() if path.exists() else []


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    results = json.loads(source.read_text(encoding="utf-8"))
    target.write_text(page(results), encoding="utf-8")
    if curves := curves_of(results):
        draw(curves, target.parent / "images" / "scaling.png")
    print(f"Wrote {target}")
