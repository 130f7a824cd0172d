"""
=============================================
Square loss against cross-entropy, by seeds
=============================================

The same network, the same budget, two losses. On tasks of language, speech and vision the square
loss classified as well as cross-entropy or better
(`arXiv:2006.07322 <https://arxiv.org/abs/2006.07322>`_). Here on handwritten digits, where every
point can be recomputed in a second.
"""

# %%
# Five seeds, three learning rates
# --------------------------------
# Each seed draws another split into halves, other weights and another order of the samples, the
# same for both losses. Rates are compared on test halves: look at the bands, not at the best
# point. With the square loss averaged over ten classes, its rates are about ten times those of
# cross-entropy.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skoverparam import SquareLossNetClassifier

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
seeds = range(5)
rates = {"square": [0.1, 0.3, 1.0], "cross-entropy": [0.03, 0.1, 0.3]}


def accuracy(loss, rate, seed):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=seed
    )
    mean = X_train.mean(0)
    classifier = SquareLossNetClassifier(
        loss=loss, optimizer="sgd", learning_rate=rate, max_iter=30, random_state=seed
    )
    return classifier.fit(X_train - mean, y_train).score(X_test - mean, y_test)


scores = {
    loss: np.array([[accuracy(loss, rate, seed) for seed in seeds] for rate in rates[loss]])
    for loss in rates
}

# %%
# Seed by seed
# ------------
# A spread over seeds mixes splits and weights. Of each loss the rate with the best mean is taken
# for the right picture; lines join the same seed.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for loss, color in {"square": "C0", "cross-entropy": "C3"}.items():
    left.plot(rates[loss], scores[loss], ".", color=color, alpha=0.5)
    left.plot(rates[loss], scores[loss].mean(1), "o-", color=color, label=loss)
left.set(
    xscale="log",
    xlabel="learning rate of gradient descent with momentum",
    ylabel="test accuracy",
    title="64-256-256-10, 30 epochs",
)
left.legend(frameon=False)
best = {loss: values[values.mean(1).argmax()] for loss, values in scores.items()}
for pair in zip(best["cross-entropy"], best["square"], strict=True):
    right.plot([0, 1], pair, "o-", color="0.5")
right.set(
    xticks=[0, 1],
    xticklabels=["cross-entropy", "square"],
    xlim=(-0.3, 1.3),
    title="One line a seed",
)
plt.show()

for loss, values in best.items():
    error = values.std(ddof=1) / np.sqrt(len(values))
    print(f"{loss:14s} {values.mean():.4f} +- {error:.4f} (standard error)")
