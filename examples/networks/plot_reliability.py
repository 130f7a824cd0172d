"""
===================================================
Probabilities of a network trained by least squares
===================================================

Outputs trained towards zeros and ones are no log-odds. Softmax of them says 0.23 at most for the
best of ten classes, whatever the network knows. Divided by a temperature first, they become
probabilities one can bet on.
"""

# %%
# Three temperatures
# ------------------
# Confidence, the probability of the predicted class, against the share of right predictions, in
# bins of confidence. 1: plain softmax. 0.1: what :class:`~skoverparam.SquareLossNetClassifier`
# takes without data to fit a temperature to. Fitted: with ``early_stopping=True`` samples are held
# out, and the temperature explains their labels best.
#
# Below, a fifth of all labels are replaced by any other. The network has to know less, and only
# the fitted temperature is told so.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skoverparam import SquareLossNetClassifier

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
edges = np.linspace(0, 1, 11)


def bins(p, labels):
    """Mean confidence, share of right predictions and share of samples of each bin."""
    confidence, right = p.max(1), p.argmax(1) == labels
    place = np.digitize(confidence, edges[1:-1])
    return np.array(
        [
            (confidence[place == b].mean(), right[place == b].mean(), np.mean(place == b))
            for b in np.unique(place)
        ]
    )


def outputs_and_labels(share_replaced, seed):
    """Outputs for test samples, their labels, and the temperature fitted to held-out samples."""
    rng = np.random.default_rng(seed)
    replaced = rng.random(len(y)) < share_replaced
    labels = np.where(replaced, rng.integers(10, size=len(y)), y)
    X_train, X_test, y_train, y_test = train_test_split(
        X, labels, test_size=0.4, stratify=labels, random_state=seed
    )
    classifier = SquareLossNetClassifier(
        early_stopping=True,
        validation_fraction=0.25,
        n_iter_no_change=15,
        max_iter=15,
        random_state=seed,
    )
    classifier.fit(X_train, y_train)
    return classifier.decision_function(X_test), y_test, classifier.temperature_


figure, axes = plt.subplots(
    2, 3, figsize=(10, 6.6), sharex=True, sharey=True, layout="constrained"
)
for row, share_replaced in zip(axes, [0.0, 0.2], strict=True):
    runs = [outputs_and_labels(share_replaced, seed) for seed in range(5)]
    labels = np.concatenate([run[1] for run in runs])
    temperatures = {
        "plain softmax": [1.0] * 5,
        "temperature 0.1": [0.1] * 5,
        "fitted temperature": [run[2] for run in runs],
    }
    for ax, (name, values) in zip(row, temperatures.items(), strict=True):
        p = np.concatenate(
            [softmax(run[0] / T, axis=1) for run, T in zip(runs, values, strict=True)]
        )
        confidence, right, share = bins(p, labels).T
        ax.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        ax.scatter(confidence, right, s=20 + 300 * share, color="C0", zorder=2)
        error = np.sum(share * np.abs(confidence - right))
        loss = log_loss(labels, p, labels=range(10))
        ax.set_title(f"{name}\ncalibration error {error:.3f}, log loss {loss:.2f}", fontsize=10)
    row[0].set_ylabel(f"share right\n({share_replaced:.0%} of labels replaced)")
for ax in axes[1]:
    ax.set(xlabel="confidence", xlim=(0, 1.03), ylim=(0, 1.03))
plt.show()

# %%
# The decisions are the same in all three columns. Held-out samples have to be others than those of
# training: there the network is always right, and any temperature above zero looks too high.
