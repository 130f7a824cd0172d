"""
==================================
Before a classifier, in a pipeline
==================================

An imputer is mostly a step on the way. :class:`skoverparam.NTKMatrixCompleter` completes new rows
from the fitted model and their own entries alone, so that it can stand in a
:class:`~sklearn.pipeline.Pipeline` and be cross-validated with what follows: in each fold it is
fitted to the training rows only, and no test row sees another.
"""

# %%
# Digits with lost pixels
# -----------------------
# From scanned digits, 8 by 8 pixels each, an increasing share of the pixels is lost.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skoverparam import NTKMatrixCompleter

digits = load_digits()
X, y = digits.data[:900], digits.target[:900]
order = np.random.default_rng(0).random(X.shape)

imputers = {
    "SimpleImputer": SimpleImputer(keep_empty_features=True),
    "KNNImputer": KNNImputer(keep_empty_features=True),
    "NTKMatrixCompleter": NTKMatrixCompleter(keep_empty_features=True, random_state=0),
}
shares = [0.2, 0.4, 0.6, 0.7]


def lose(share):
    """Lose a share of the pixels; what is lost of a smaller share is lost of a larger one."""
    return np.where(order < share, np.nan, X)


# %%
# Accuracy after each imputer
# ---------------------------
# The classifier and the folds are the same, only the first step of the pipeline changes.

accuracies = {name: [] for name in imputers}
for name, imputer in imputers.items():
    for share in shares:
        pipeline = make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=500))
        accuracies[name].append(cross_val_score(pipeline, lose(share), y, cv=3))
    print(f"{name:20}", " ".join(f"{scores.mean():.3f}" for scores in accuracies[name]))

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for (name, scores), marker in zip(accuracies.items(), "sdo", strict=True):
    mean, spread = np.mean(scores, axis=1), np.std(scores, axis=1)
    ax.errorbar(shares, mean, yerr=spread, marker=marker, capsize=3, label=name)
ax.set(
    xlabel="share of the pixels lost",
    ylabel="accuracy, three folds",
    title="Logistic regression on completed digits",
    xticks=shares,
)
ax.legend(frameon=False)
plt.show()

# %%
# While most pixels are there, an average of the nearest digits serves the classifier best: it
# looks like a digit of some class, although its pixels are further from the truth than those of
# the regression. When few pixels are left, nearest digits are no longer the right ones, and the
# wide network, which shares strength among all rows and columns, wins.
#
# What the classifier sees
# ------------------------
# New digits, which the imputers were not fitted to. Red pixels are lost.

X_lost = lose(0.6)
train, shown = np.s_[:600], np.s_[600:608]
pictures = {"true": X[shown], "observed": X_lost[shown]}
for name, imputer in imputers.items():
    pictures[name] = imputer.fit(X_lost[train]).transform(X_lost[shown])

colors = plt.get_cmap("gray_r").with_extremes(bad="tab:red")
figure, axes = plt.subplots(len(pictures), 8, figsize=(7.5, 4.6), layout="constrained")
for row, (name, rows) in zip(axes, pictures.items(), strict=True):
    for ax, picture in zip(row, rows, strict=True):
        ax.imshow(picture.reshape(8, 8), cmap=colors, vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()
