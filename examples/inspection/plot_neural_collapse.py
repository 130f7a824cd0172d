"""
=======================================
Training collapses, test does not
=======================================

Features of training samples shrink to their class means for as long as a network is trained, and
features of test samples stop early. Collapse is a matter of optimization first
(`arXiv:2202.08384 <https://arxiv.org/abs/2202.08384>`_).
"""

# %%
# A callback during the fit
# -------------------------
# Three hidden layers on half of the digits, trained long after every training sample is right. The
# recorder measures after chosen epochs what comes into the last layer, on both halves.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skoverparam import SquareLossNetClassifier
from skoverparam.inspection import CollapseRecorder, NeuralCollapseDisplay

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
mean = X_train.mean(0)

recorder = CollapseRecorder(
    X_test - mean, y_test, every=(5, 10, 20, 35, 50, 75, 100, 150, 200), layers="all"
)
network = SquareLossNetClassifier(
    hidden_layer_sizes=(256, 256, 256),
    optimizer="sgd",
    learning_rate=0.5,
    weight_decay=5e-5,
    schedule="cosine",
    max_iter=200,
    random_state=0,
)
network.set_callbacks(recorder).fit(X_train - mean, y_train)

display = NeuralCollapseDisplay.from_recorder(
    recorder, measures=("nc1_pinv", "nc2_max_angle", "nc3_self_duality")
)
for panel in display.axes_:
    panel.set_xscale("log")
plt.show()

last = recorder.records_[-1].collapse
print(f"NC1 training {last.nc1_pinv:.4f}, test {last.test_nc1_pinv:.4f}")
print(f"accuracy training {last.accuracy:.3f}, test {last.test_accuracy:.3f}")

# %%
# To which mean?
# --------------
# Test samples could gather at training means, the wrong ones included (weak), or at the right ones
# (strong). They do neither: the two dispersions are close to each other, and neither goes to zero.

records = [r for r in recorder.records_ if r.layer == "penultimate"]
epochs = [r.epoch for r in records]
figure, ax = plt.subplots(layout="constrained")
for name, color in {"strong": "C3", "weak": "C1"}.items():
    values = [getattr(r.collapse, f"test_{name}_dispersion") for r in records]
    ax.loglog(epochs, values, "s-", color=color, label=f"test, {name} dispersion")
ax.loglog(epochs, [r.collapse.nc1_ratio for r in records], "o-", label="training")
ax.set(xlabel="epoch", ylabel="mean squared distance / spread of means")
ax.legend(frameon=False)
plt.show()

# %%
# Collapse cascades
# -----------------
# Every layer collapses somewhat; the later, the further. Early layers stall at once.

figure, ax = plt.subplots(layout="constrained")
for number, layer in enumerate(("body.activation1", "body.activation2", "penultimate"), 1):
    own = [r for r in recorder.records_ if r.layer == layer]
    for split, style in {"": "o-", "test_": "s--"}.items():
        values = [getattr(r.collapse, f"{split}nc1_pinv") for r in own]
        label = f"hidden layer {number}" + (", test" if split else ", training")
        ax.loglog(epochs, values, style, color=f"C{number - 1}", label=label)
ax.set(xlabel="epoch", ylabel=r"NC1: $\mathrm{tr}(S_W S_B^+)/C$")
ax.legend(frameon=False, ncols=3, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()
