"""
=========================================
Longer training, worse transfer
=========================================

A network that has learned two coarse classes for long enough has features that take two values.
What they said about the ten digits on the way is lost, in the last layer first.
"""

# %%
# Small digits against large ones
# -------------------------------
# The network learns whether a digit is below five. After chosen epochs a ridge classifier is
# trained on its frozen features, for all ten digits; how much it is regularized matters, so two
# probes are compared.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import train_test_split

from skoverparam import SquareLossNetClassifier
from skoverparam.inspection import TransferCurveDisplay, transfer_curve

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
mean = X_train.mean(0)

network = SquareLossNetClassifier(
    hidden_layer_sizes=(256, 256, 256),
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    random_state=0,
)


def curve(alpha):
    return transfer_curve(
        network,
        X_train - mean,
        y_train < 5,
        y_train,
        X_test - mean,
        y_test,
        y_test=y_test < 5,
        epochs=(1, 3, 10, 30, 60, 100, 200, 300, 400),
        layers=("body.activation1", "body.activation2", "penultimate"),
        probe=RidgeClassifier(alpha=alpha),
    )


weak, strong = curve(1e-3), curve(1.0)

# %%
# The coarse task itself goes better and better
# ---------------------------------------------
# The dashed line is the accuracy of the network for its own task. The first layer keeps what it
# had.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
for ax, one in zip(axes, (weak, strong), strict=True):
    display = TransferCurveDisplay.from_curve(one, ax=ax)
    display.ax_.set_xscale("log")
axes[1].set_ylabel("")
plt.show()

# %%
# Collapse by the coarse labels goes with it, in the same layer.

for one in (weak, strong):
    own = one.layer == "penultimate"
    print(one.probe)
    for epoch, score, nc1 in zip(one.epoch[own], one.score[own], one.nc1_pinv[own], strict=True):
        print(f"  epoch {epoch:3d}: fine {score:.3f}, coarse NC1 {nc1:.5f}")
