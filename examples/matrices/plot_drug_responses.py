"""
====================================
Completing a table of drug responses
====================================

How strongly a drug acts on a cancer cell line is measured in screens. They leave holes: single
entries that failed, and whole drugs that were never tried on the cell lines of one tissue. Here
:class:`skoverparam.NTKMatrixCompleter` fills both kinds and is compared with the imputers of
scikit-learn.

The responses are generated: cell lines fall into groups, drugs share a few modes of action, and
every drug has a noise level of its own. If the environment variable ``SKOVERPARAM_DATA`` names a
folder with ``completion/gdsc_ic50.npz``, the script takes those measurements instead.
"""

# %%
# The table
# ---------
# Rows are cell lines, columns are drugs, entries are logarithms of the concentration that halves
# the growth. A fifth of them is missing to begin with.

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from skoverparam import NTKMatrixCompleter
from skoverparam.datasets import make_low_rank_matrix_with_missing
from skoverparam.inspection import MatrixCompletionDisplay
from skoverparam.model_selection import EntryShuffleSplit, cross_val_entries

rng = np.random.default_rng(0)
n_groups = 12


def generated_responses(n_lines=420, n_drugs=110, n_modes=8, rank=15):
    _, _, lines, drugs = make_low_rank_matrix_with_missing(
        n_lines,
        n_drugs,
        rank=rank,
        mechanism="blocks",
        n_groups=n_groups,
        return_factors=True,
        random_state=0,
    )
    modes = rng.normal(size=(n_modes, rank))
    drugs = 0.6 * drugs + 0.8 * modes[rng.integers(n_modes, size=n_drugs)]
    effect = rng.lognormal(sigma=0.4, size=n_drugs)
    potency = 3 + 3 * rng.normal(size=n_drugs)
    general_sensitivity = 0.7 * rng.normal(size=(n_lines, 1))
    noise = rng.uniform(0.3, 1.2, size=n_drugs) * rng.normal(size=(n_lines, n_drugs))
    responses = potency + general_sensitivity + effect * (lines @ drugs.T) + noise
    responses[rng.random(responses.shape) < 0.2] = np.nan
    return responses, np.arange(n_lines) * n_groups // n_lines


def measured_responses(path):
    responses = np.load(path, allow_pickle=True)["X"]
    # The file does not name tissues. Lines that follow one another in it serve as groups.
    return responses, np.arange(len(responses)) * n_groups // len(responses)


path = Path(os.environ.get("SKOVERPARAM_DATA", ""), "completion", "gdsc_ic50.npz")
X, tissue = measured_responses(path) if path.is_file() else generated_responses()
print(f"{X.shape[0]} cell lines x {X.shape[1]} drugs, {np.isnan(X).mean():.0%} missing")

# %%
# Hold entries out, alone and in blocks
# -------------------------------------
# :class:`~skoverparam.model_selection.EntryShuffleSplit` hides a tenth of the measured entries
# from the imputers. Given groups of rows, it hides a drug for a whole group at a time.
# :func:`~skoverparam.model_selection.cross_val_entries` scores any imputer on what was hidden.

imputers = {
    "column mean": SimpleImputer(),
    "KNNImputer": KNNImputer(n_neighbors=10),
    # A huge tolerance ends after one round without a warning; more rounds take longer.
    "IterativeImputer": IterativeImputer(max_iter=1, tol=1e9, random_state=0),
    "NTKMatrixCompleter": NTKMatrixCompleter(random_state=0),
}
splitter = EntryShuffleSplit(n_splits=2, test_size=0.1, random_state=0)
errors = {"at random": {}, "in blocks": {}}
print(f"{'RMSE, entries':20}{'at random':>12}{'in blocks':>12}{'seconds a fit':>16}")
for name, imputer in imputers.items():
    start = time.perf_counter()
    for kind, groups in (("at random", None), ("in blocks", tissue)):
        errors[kind][name] = -cross_val_entries(imputer, X, cv=splitter, groups=groups).mean()
    seconds = (time.perf_counter() - start) / 4
    at_random, in_blocks = (errors[kind][name] for kind in errors)
    print(f"{name:20}{at_random:12.3f}{in_blocks:12.3f}{seconds:16.2f}")

# %%
# The averages of whole columns know nothing of the cell line. Neighbors help; a regression of
# every drug on others helps more, and the wide network, which compares rows as well as columns,
# most. Blocks are harder for all: the lines most similar to the one in question miss the same
# drug.

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
places = np.arange(len(imputers))
for shift, (kind, color) in zip(
    (-0.2, 0.2), (("at random", "C0"), ("in blocks", "C1")), strict=True
):
    bars = ax.bar(places + shift, errors[kind].values(), 0.38, color=color, label=kind)
    ax.bar_label(bars, fmt="%.2f", fontsize=9)
ax.set_xticks(places, imputers)
ax.set(ylabel="RMSE of held-out entries", title="Ten percent of the entries hidden")
ax.margins(y=0.12)
ax.legend(title="hidden", frameon=False)
plt.show()

# %%
# A look at the completion
# ------------------------
# One of the splits in blocks, as deviations from the mean of each drug; a part of the table, in
# its own order, so that the groups of cell lines show as bands. Gray is missing, and the third
# panel shows an error wherever an entry was held out.

X_train, held = next(splitter.split(X, groups=tissue))
completer = NTKMatrixCompleter(random_state=0).fit(X_train)
mean = np.nanmean(X_train, axis=0)
part = np.s_[:140, :60]
display = MatrixCompletionDisplay.from_matrices(
    (X_train - mean)[part],
    (completer.transform(X_train) - mean)[part],
    (X - mean)[part],
    column_kernel=completer.column_kernel_,
    order=None,
    im_kw={"cmap": "PuOr"},
)

# %%
# What the network learned about the drugs is the kernel of the columns. Ordered by similarity, the
# bright squares are drugs that act alike.

display.plot_kernel("column")
plt.show()
