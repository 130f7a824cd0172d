"""
==================================================
Gradient descent goes to the widest margin, slowly
==================================================

On separable data the logistic loss has no minimum. Gradient descent grows the coefficients without
end, and their direction converges to that of the widest margin
(`arXiv:1710.10345 <https://arxiv.org/abs/1710.10345>`_): that is why theory of the latter says
something about over-parameterized logistic regression. How far does one get in practice?
"""

# %%
# In the plane
# ------------
# ``solver="gd"`` is plain gradient descent on the logistic loss. Most samples lie far out and draw
# the first steps in their direction; the margin is up to the few near the origin, which take over
# once the loss of the others has vanished. The boundary turns towards the exact one with every
# factor of ten.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import MaxMarginClassifier
from skoverparam.datasets import make_subgaussian_mixture

rng = np.random.default_rng(0)
far = [1.0, 2.4] + 0.35 * rng.normal(size=(10, 2))
near = np.array([[0.8, -0.5], [0.9, -0.1]])
positive = np.vstack([far, near])
negative = -np.vstack([[1.0, 2.4] + 0.35 * rng.normal(size=(10, 2)), near + [0.05, 0.2]])
X = np.vstack([positive, negative])
y = np.repeat([1, -1], len(positive))

figure, ax = plt.subplots(figsize=(5.2, 5.2), layout="constrained")
ax.scatter(*X.T, c=y, cmap="coolwarm", edgecolor="k", zorder=3)


def boundary(classifier, **style):
    ax.axline((0, 0), np.array([-1, 1]) * classifier.coef_[0, ::-1], **style)


for power in range(5):
    classifier = MaxMarginClassifier(solver="gd", fit_intercept=False, max_iter=10**power)
    classifier.fit(X, y)
    boundary(classifier, color=str(0.8 - 0.2 * power), label=f"{10**power} steps")
exact = MaxMarginClassifier(fit_intercept=False).fit(X, y)
boundary(exact, color="C2", linewidth=2, label="widest margin")
ax.scatter(*X[exact.support_].T, s=150, facecolor="none", edgecolor="C2", linewidth=1.5)
ax.set(xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), title="Boundaries", xticks=[], yticks=[])
ax.legend(frameon=False, loc="lower right", fontsize="small")
plt.show()

# %%
# Past the threshold
# ------------------
# 50 samples with 1000 features. The fit keeps the margin, as a share of the largest one, and the
# cosine with its direction after every step. Both come close within some hundred steps and then
# creep up: the gap closes like :math:`1 / \log t`. After 10 000 steps some percent of the margin
# are still missing, while the exact solution takes a few milliseconds.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for d, color in {100: "C3", 300: "C1", 1000: "C0"}.items():
    X, y = make_subgaussian_mixture(50, d, mean=3.0, random_state=0)
    path = MaxMarginClassifier(solver="gd", fit_intercept=False, max_iter=10_000).fit(X, y)
    steps = np.arange(1, path.n_iter_ + 1)
    left.plot(steps, path.margin_ratio_curve_, color=color, label=f"d = {d}")
    right.plot(steps, 1 - np.array(path.cosine_curve_), color=color, label=f"d = {d}")
    print(
        f"d = {d:<5} margin {path.margin_ratio_curve_[-1]:.3f} of the largest, "
        f"cosine {path.cosine_curve_[-1]:.4f}, loss {path.loss_curve_[-1]:.1e}"
    )
left.axhline(1, color="C2", linewidth=2)
left.set(
    xscale="log", ylim=(0, 1.05), xlabel="steps", ylabel="margin / largest margin", title="Margin"
)
right.set(xscale="log", yscale="log", xlabel="steps", ylabel="1 - cosine", title="Direction")
left.legend(frameon=False)
plt.show()
