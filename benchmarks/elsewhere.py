"""Peers that do not install beside current scikit-learn, measured in an environment of their own.

    python3 -m venv ELSEWHERE
    ELSEWHERE/bin/pip install "fancyimpute==0.7.0" "scikit-learn<1.6" "numpy<2"
    .venv/bin/python benchmarks/elsewhere.py ELSEWHERE/bin/python

writes ``elsewhere.md``, which `make bench` puts at the end of the benchmark page. The two
processes get the same matrices through a file and run one after the other.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HEADER = """\
## Peers with an environment of their own

fancyimpute's `SoftImpute` needs scikit-learn below 1.6. Same matrices, one process after another;
columns were standardized for it, its default settings otherwise. Versions there: {versions}.

| task | ours, s | RMSE | SoftImpute, s | RMSE | ratio |
|---|---:|---:|---:|---:|---:|
"""


def matrices():
    """Digits as in test_digits_completion.py; drug responses as in test_matrix_completion.py."""
    from sklearn.datasets import load_digits

    from skoverparam.datasets import make_low_rank_matrix_with_missing
    from skoverparam.model_selection import EntryShuffleSplit

    truth = load_digits().data
    hidden = np.random.default_rng(0).random(truth.shape) < 0.2
    yield "digits, 1797 x 64, 20 % hidden", np.where(hidden, np.nan, truth), truth
    X, truth = make_low_rank_matrix_with_missing(500, 100, rank=8, noise=0.1, random_state=0)
    yield "rank 8 and noise, 500 x 100", X, truth
    path = Path(os.environ.get("SKOVERPARAM_DATA", "")) / "completion" / "gdsc_ic50.npz"
    if path.is_file():
        truth = np.load(path, allow_pickle=True)["X"]
        split = EntryShuffleSplit(1, test_size=0.1, random_state=0).split(truth)
        yield "GDSC drug responses, 1074 x 265, 10 % hidden", next(split)[0], truth


def error(completed, X, truth):
    judged = np.isnan(X) & ~np.isnan(truth)
    return float(np.sqrt(np.mean((completed - truth)[judged] ** 2)))


def soft_impute(folder):
    """Run in the other environment: read matrices, write completions, print seconds."""
    import fancyimpute
    import scipy
    import sklearn
    from fancyimpute import SoftImpute

    seconds = []
    for path in sorted(Path(folder).glob("matrix*.npy")):
        X = np.load(path)
        mean, scale = np.nanmean(X, 0), np.nanstd(X, 0)
        scale[~(scale > 0)] = 1.0
        start = time.perf_counter()
        completed = SoftImpute(verbose=False).fit_transform((X - mean) / scale) * scale + mean
        seconds.append(time.perf_counter() - start)
        np.save(path.with_name(path.name.replace("matrix", "done")), completed)
    modules = {"scikit-learn": sklearn, "numpy": np, "scipy": scipy}
    versions = {"fancyimpute": fancyimpute.__version__}
    versions |= {name: module.__version__ for name, module in modules.items()}
    print(json.dumps({"seconds": seconds, "versions": versions}))


def main(python):
    from skoverparam import NTKMatrixCompleter

    tasks = list(matrices())
    with tempfile.TemporaryDirectory() as folder:
        for number, (_, X, _) in enumerate(tasks):
            np.save(f"{folder}/matrix{number}.npy", X)
        call = [python, __file__, "--there", folder]
        there = json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE).stdout)
        lines = []
        for number, (task, X, truth) in enumerate(tasks):
            start = time.perf_counter()
            completed = NTKMatrixCompleter(random_state=0).fit_transform(X)
            ours = time.perf_counter() - start
            theirs = there["seconds"][number]
            columns = ~np.isnan(X).all(0)  # columns without a value are dropped
            other = np.load(f"{folder}/done{number}.npy")
            row = (
                task,
                f"{ours:.3g}",
                f"{error(completed, X[:, columns], truth[:, columns]):.4g}",
                f"{theirs:.3g}",
                f"{error(other[:, columns], X[:, columns], truth[:, columns]):.4g}",
                f"{theirs / ours:.2g}x",
            )
            lines.append(f"| {' | '.join(row)} |")
    versions = ", ".join(f"{name} {version}" for name, version in there["versions"].items())
    page = HEADER.format(versions=versions) + "\n".join(lines) + "\n"
    (Path(__file__).parent / "elsewhere.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    if sys.argv[1] == "--there":
        soft_impute(sys.argv[2])
    else:
        main(sys.argv[1])
