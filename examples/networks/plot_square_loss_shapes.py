"""
==============================================
A digit as an image, and as a sequence of rows
==============================================

Which loss is better may depend on the network. The same 64 pixels are given to a residual network
as an image, and to three networks for sequences as eight rows from top to bottom, with the square
loss and with cross-entropy.
"""

# %%
# Four networks, two losses, three seeds
# --------------------------------------
# All get the same epochs, batches and schedule, and both losses the same learning rates to choose
# from, by a part of the training data. A seed draws another split, other weights and another
# order.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skoverparam import SquareLossNetClassifier

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
networks = ["resnet", "tcnn", "lstm", "transformer"]
losses = {"square": "C0", "cross-entropy": "C3"}
rates = [0.002, 0.006]
seeds = range(3)


def train(architecture, loss, rate, seed, X, y):
    return SquareLossNetClassifier(
        architecture=architecture,
        architecture_options={"widths": (8, 16, 32)}
        if architecture == "resnet"
        else {"width": 32},
        input_shape=(8, 8),
        loss=loss,
        learning_rate=rate,
        schedule="cosine",
        batch_size=32,
        max_iter=8,
        random_state=seed,
    ).fit(X, y)


def best_rate(architecture, loss):
    X_train, _, y_train, _ = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    kept, held = np.arange(0, 700), np.arange(700, len(y_train))
    scores = [
        train(architecture, loss, rate, 0, X_train[kept], y_train[kept]).score(
            X_train[held], y_train[held]
        )
        for rate in rates
    ]
    return rates[int(np.argmax(scores))]


def accuracy(architecture, loss, rate, seed):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    return train(architecture, loss, rate, seed, X_train, y_train).score(X_test, y_test)


scores = {}
for architecture in networks:
    for loss in losses:
        rate = best_rate(architecture, loss)
        scores[architecture, loss] = [accuracy(architecture, loss, rate, s) for s in seeds]
        print(
            f"{architecture:11} {loss:13} rate {rate}: {np.mean(scores[architecture, loss]):.3f}"
        )

# %%
# The columns of the figure are networks; a line joins the two losses of one seed.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for column, architecture in enumerate(networks):
    pairs = np.array([scores[architecture, loss] for loss in losses])
    ax.plot([column - 0.15, column + 0.15], pairs, color="0.8", zorder=0)
    for side, (loss, color) in zip((-0.15, 0.15), losses.items(), strict=True):
        label = loss if column == 0 else None
        ax.plot(
            [column + side] * len(seeds), scores[architecture, loss], "o", color=color, label=label
        )
ax.set(
    xticks=range(4),
    xticklabels=["resnet\nimage", "tcnn\nrows", "lstm\nrows", "transformer\nrows"],
    ylabel="test accuracy",
    title="Digits: the same budget for both losses",
)
ax.legend()

# %%
# Rows that are missing
# ---------------------
# Steps of NaN are padding: a sequence with padding gives what it gives without. So a network that
# was trained on whole digits can be asked what it thinks of the rows that have been seen so far.

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
lstm = train("lstm", "square", 0.006, 0, X_train, y_train)
probabilities = []
for n_rows in range(1, 9):
    seen = X_test.reshape(-1, 8, 8).copy()
    seen[:, n_rows:] = np.nan
    probabilities.append(lstm.predict_proba(seen))
right = [(p.argmax(1) == y_test).mean() for p in probabilities]

figure, (left, middle) = plt.subplots(
    1, 2, figsize=(8, 3.5), width_ratios=(1, 2), layout="constrained"
)
left.imshow(X_test[0].reshape(8, 8), cmap="gray_r")
left.set(xticks=[], ylabel="row", title=f"a digit {y_test[0]}")
middle.plot(range(1, 9), right, "o-", color="k", label="accuracy, all test digits")
middle.plot(
    range(1, 9),
    [p[0, y_test[0]] for p in probabilities],
    "o--",
    color="C0",
    label=f"probability of {y_test[0]} for this one",
)
middle.set(xlabel="rows seen", ylim=(0, 1.02), title="LSTM, rows from the top")
middle.legend()
plt.show()
