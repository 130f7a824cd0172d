"""
===========================================
100 and 1000 classes: rescaled square loss
===========================================

One-hot targets of a thousand classes are 999 zeros and a one. A network that answers zero always
has a loss of a thousandth, and gradient descent is content with it. Two numbers cure that: the
true class counts ``k`` times, and its target is ``M``
(`arXiv:2006.07322 <https://arxiv.org/abs/2006.07322>`_).
"""

# %%
# A hundred classes
# -----------------
# Every class is two clusters in 64 dimensions. At a learning rate of 0.1, plain targets learn
# slowly; a target of 15 makes the same rate work. So does a much larger rate: with a hundred
# classes rescaling saves a search, no more.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import SquareLossNetClassifier


def clusters(n_classes, n_train, n_test, noise, seed=0):
    rng = np.random.default_rng(seed)
    centers = 1.5 * rng.normal(size=(n_classes, 2, 64)) / 8

    def draw(n):
        labels = np.repeat(np.arange(n_classes), n)
        X = centers[labels, rng.integers(2, size=len(labels))]
        return (X + noise * rng.normal(size=X.shape)).astype(np.float32), labels

    return *draw(n_train), *draw(n_test)


class TestScores:
    """A callback that scores the network on test data after each epoch."""

    def __init__(self, X, y):
        self.X, self.y, self.scores = X, y, []

    def setup(self, estimator, context):
        self.scores.clear()

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.parent is not None:  # an epoch, not the whole fit
            self.scores.append(fitted_estimator.score(self.X, self.y))

    def teardown(self, estimator, context):
        pass


def curve(data, **parameters):
    X, y, X_test, y_test = data
    monitor = TestScores(X_test, y_test)
    classifier = SquareLossNetClassifier(random_state=0, **parameters).set_callbacks(monitor)
    classifier.fit(X, y)
    return monitor.scores


hundred = clusters(100, 40, 40, 0.1925)
descent = {"optimizer": "sgd", "max_iter": 15}
few = {
    "k=1, M=1, rate 0.1": curve(hundred, learning_rate=0.1, k=1, M=1, **descent),
    "k=1, M=1, rate 3": curve(hundred, learning_rate=3.0, k=1, M=1, **descent),
    "auto: k=1, M=15, rate 0.1": curve(hundred, learning_rate=0.1, **descent),
    "cross-entropy, rate 0.1": curve(hundred, learning_rate=0.1, loss="cross-entropy", **descent),
}

# %%
# A thousand classes
# ------------------
# Here plain targets do not get anywhere in the time that the others need, with Adam either.
# Adam moves each weight by the same step whatever the loss is multiplied with, and outputs take
# long to grow to a large ``M``; ``k="auto", M="auto"`` therefore chooses 15 and 1 for it.

thousand = clusters(1000, 12, 6, 0.14)
adam = {"max_iter": 6}
many = {
    "k=1, M=1": curve(thousand, k=1, M=1, **adam),
    "k=15, M=30": curve(thousand, k=15, M=30, **adam),
    "auto: k=15, M=1": curve(thousand, **adam),
    "cross-entropy": curve(thousand, loss="cross-entropy", **adam),
}

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
titles = ["100 classes, gradient descent", "1000 classes, Adam"]
for ax, curves, title in zip(axes, [few, many], titles, strict=True):
    for name, scores in curves.items():
        ax.plot(np.arange(1, len(scores) + 1), scores, ".-", label=name)
    ax.set(xlabel="epoch", title=title)
    ax.legend(frameon=False, loc="center right")
axes[0].set_ylabel("test accuracy")
plt.show()

for name, scores in many.items():
    print(f"{name:18s} {scores[-1]:.3f}")
