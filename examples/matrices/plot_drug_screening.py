"""
=============================================
Predicting experiments that were not made yet
=============================================

In a drug screen, the expression of many genes is measured for pairs of a cell type and a drug.
Most pairs are never measured: whole rows of the table are missing, and only what is known about
the pair can predict them. Here the prior of the rows is built from their metadata with
scikit-learn's own encoders and given to :class:`skoverparam.NTKMatrixCompleter`.

The protocol is that of `arXiv:2108.00131 <https://arxiv.org/abs/2108.00131>`_: rows are (cell,
drug) pairs, columns are genes, a tenth of the profiles of every cell type is hidden at a time.
The data are generated.
"""

# %%
# A table of profiles and a table of metadata
# -------------------------------------------
# Every cell type has a profile of its own. A drug shifts some programs of genes: mostly the same
# ones in all cell types, but not with the same strength. Each drug was tried at two doses.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from skoverparam import NTKMatrixCompleter

rng = np.random.default_rng(0)
n_cells, n_drugs, n_genes, n_programs = 6, 30, 120, 8
doses = [0.5, 5.0]

wells = pd.DataFrame(
    [(c, d, dose) for c in range(n_cells) for d in range(n_drugs) for dose in doses],
    columns=["cell", "drug", "dose"],
)
programs = rng.normal(size=(n_programs, n_genes))
action = rng.normal(size=(n_drugs, n_programs))
sensitivity = rng.lognormal(sigma=0.8, size=(n_cells, n_programs))
strength = 0.3 + 0.7 * (wells["dose"] > 1)
cell_profile = 8 + 1.5 * rng.normal(size=n_genes) + 0.8 * rng.normal(size=(n_cells, n_genes))
effect = (action[wells["drug"]] * sensitivity[wells["cell"]]) @ programs / np.sqrt(n_programs)
profiles = cell_profile[wells["cell"]] + strength.to_numpy()[:, None] * effect
profiles += 0.5 * rng.normal(size=profiles.shape)
print(wells.sample(4, random_state=0).sort_index())

# %%
# The prior
# ---------
# What makes two rows alike? The cell type, the drug, and the drug at a similar dose. Each becomes
# a block of columns, and the weight of a block says how much it counts; rows are scaled to unit
# length afterwards. One-hot columns times the logarithm of the dose let the effect of a drug grow
# with it.


def times_log_dose(table):
    """One-hot drug, scaled by the logarithm of the dose over the smallest."""
    drug = OneHotEncoder(sparse_output=False).fit_transform(table[["drug"]])
    return drug * np.log10(table[["dose"]].to_numpy() / 0.05)


encode = OneHotEncoder(sparse_output=False)
prior = ColumnTransformer(
    [
        ("cell", encode, ["cell"]),
        ("drug", encode, ["drug"]),
        ("drug and dose", FunctionTransformer(times_log_dose), ["drug", "dose"]),
        ("anything", FunctionTransformer(lambda table: np.ones((len(table), 1))), ["dose"]),
    ],
    transformer_weights={"cell": 1.0, "drug": 0.75, "drug and dose": 0.75, "anything": 0.5},
)
row_prior = prior.fit_transform(wells)
print("row prior:", row_prior.shape)

# %%
# Ten folds of hidden profiles
# ----------------------------
# A (cell, drug) pair is hidden at both doses, or the other dose would give it away. The
# baselines are the mean profile, the mean of the cell type, and the additive one: cell type plus
# the mean effect of the drug at this dose in the other cell types.

n_folds = 10
pair_fold = np.concatenate([rng.permutation(n_drugs) % n_folds for _ in range(n_cells)])
fold = pair_fold[wells["cell"] * n_drugs + wells["drug"]]


def mean_by(values, keys):
    """Mean of the known rows that share the keys, for every row."""
    frame = pd.DataFrame(values, index=keys.index)
    return frame.groupby([keys[name] for name in keys]).transform("mean").to_numpy()


predicted = {
    name: np.empty_like(profiles)
    for name in ["gene mean", "cell mean", "cell + drug", "wide network"]
}
reference = np.empty_like(profiles)
for k in range(n_folds):
    hidden = fold == k
    X = np.where(hidden[:, None], np.nan, profiles)
    cell_mean = mean_by(X, wells[["cell"]])
    completions = {
        "gene mean": np.broadcast_to(np.nanmean(X, axis=0), X.shape),
        "cell mean": cell_mean,
        "cell + drug": cell_mean + mean_by(X - cell_mean, wells[["drug", "dose"]]),
        "wide network": NTKMatrixCompleter(row_prior=row_prior, random_state=0).fit_transform(X),
    }
    reference[hidden] = cell_mean[hidden]
    for name, completed in completions.items():
        predicted[name][hidden] = completed[hidden]

# %%
# How good is a predicted profile?
# --------------------------------
# All scores are per row, and then averaged. The raw profile is dominated by the genes that are
# high everywhere, so that even the gene mean correlates with it; what matters is the deviation
# from the mean of the cell type in the training part, which is the effect of the drug.


def rowwise(true, guess):
    """Pearson correlation, cosine and R squared of every row."""
    centered = [rows - rows.mean(axis=1, keepdims=True) for rows in (true, guess)]
    correlation, cosine = (
        (a * b).sum(axis=1)
        / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
        for a, b in (centered, (true, guess))
    )
    r2 = 1 - ((true - guess) ** 2).sum(axis=1) / (centered[0] ** 2).sum(axis=1)
    return correlation, cosine, r2


effects = {}
print(f"{'mean over profiles':20}{'correlation':>12}{'cosine':>9}{'R2':>9}{'of the effect':>16}")
for name, guess in predicted.items():
    correlation, cosine, r2 = (values.mean() for values in rowwise(profiles, guess))
    effects[name], *_ = rowwise(profiles - reference, guess - reference)
    of_effect = effects[name].mean()
    print(f"{name:20}{correlation:12.3f}{cosine:9.3f}{r2:9.3f}{of_effect:16.3f}")

# %%
# The additive guess averages over the other cell types alike. The kernel weighs them by how alike
# the rows are, shrinks where little is known, and learns from the table which genes move together.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
names = ["cell mean", "cell + drug", "wide network"]
left.boxplot([effects[name] for name in names], tick_labels=names, showfliers=False)
left.axhline(0, color="0.8", zorder=0)
left.set(ylabel="correlation with the true effect", title="Each of 360 profiles, when hidden")

example = int(np.argsort(effects["wide network"])[len(profiles) // 2])
for name, color in (("cell + drug", "C1"), ("wide network", "C0")):
    guess = (predicted[name] - reference)[example]
    right.plot((profiles - reference)[example], guess, ".", color=color, label=name)
right.axline((0, 0), slope=1, color="0.6", linewidth=1)
right.set(
    xlabel="measured deviation from the cell mean",
    ylabel="predicted, one dot a gene",
    title="The profile of median correlation",
)
right.legend(frameon=False)
plt.show()
