"""
======================================
Adagrad does not end where it is said
======================================

"Gradient methods from zero find the minimum norm" is true of gradient descent. Adagrad is mirror
descent with a mirror that changes in time, so no potential belongs to it: it fits as well, at a
linear rate, and ends somewhere else; where, depends on the step.
"""

# %%
# Ten samples, thirty features, no noise, start at zero. The optimizer of torch and
# :class:`skoverparam.optim.MirrorDescent` with ``mirror="adagrad"`` do the same; ours also tells
# the constants of its mirror.

import matplotlib.pyplot as plt
import numpy as np
import torch

from skoverparam import MinNormRegressor, MirrorDescentRegressor
from skoverparam.inspection import ImplicitBiasDisplay
from skoverparam.optim import MirrorDescent

rng = np.random.RandomState(0)
X = rng.randn(10, 30) / np.sqrt(30)
truth = np.zeros(30)
truth[:3] = 1, 2, 1.5
y = X @ truth
nearest = np.linalg.pinv(X) @ y


def descend(mirror, lr, n_steps=4000):
    """Relative distances from the minimum norm and relative residuals, step by step."""
    w = torch.nn.Parameter(torch.zeros(30, dtype=torch.float64))
    design, targets = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = MirrorDescent([w], lr=lr, mirror=mirror)
    distances, residuals = [], []
    for _ in range(n_steps):
        optimizer.zero_grad()
        missed = design @ w - targets
        (0.5 * missed.square().sum()).backward()
        optimizer.step()
        distances.append(np.linalg.norm(w.detach().numpy() - nearest) / np.linalg.norm(nearest))
        residuals.append(float(missed.detach().norm()) / np.linalg.norm(y))
        if residuals[-1] < 1e-12:
            break
    return distances, residuals, optimizer.bounds()[0]


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for label, mirror, lr in (
    ("gradient descent, 0.3", "euclidean", 0.3),
    ("Adagrad, 0.03", "adagrad", 0.03),
    ("Adagrad, 0.1", "adagrad", 0.1),
    ("Adagrad, 1", "adagrad", 1.0),
    ("one metric for all, 0.1", "adagrad-norm", 0.1),
):
    distances, residuals, (least, greatest) = descend(mirror, lr)
    left.loglog(range(1, len(residuals) + 1), residuals, label=label)
    right.loglog(range(1, len(distances) + 1), distances, label=label)
    print(
        f"{label:24s} residual {residuals[-1]:7.1e}, from the minimum norm {distances[-1]:7.1e}, "
        f"metric {least:.2g} to {greatest:.2g}"
    )
left.set(xlabel="step", ylabel="relative residual", ylim=(1e-12, 2))
right.set(xlabel="step", ylabel="relative distance from the minimum norm", ylim=(1e-12, 2))
right.legend(fontsize="small")
plt.show()

# %%
# All fit. Gradient descent goes to the minimum norm, and so does the variant of Adagrad with one
# number for all coefficients: it only changes the length of the step. Adagrad itself keeps half
# the norm away from it, and another step takes it to another place, although the loss goes down
# at a linear rate as arXiv:2009.08574 proves.
#
# What it prefers
# ---------------
# Each coefficient's step is divided by the size of its own gradients. The first one is the sign of
# the gradient: it moves all coefficients alike, and that is never undone. What comes out is more
# even than the solutions of p-norms are, and larger in both other norms.

models = {
    "minimum norm": MinNormRegressor(fit_intercept=False),
    "Adagrad": MirrorDescentRegressor("adagrad", learning_rate="search", fit_intercept=False),
    "p = 10": MirrorDescentRegressor(
        "pnorm",
        mirror_params={"p": 10.0, "ridge": 0.01},
        learning_rate="search",
        fit_intercept=False,
    ),
}
models = {name: model.fit(X, y) for name, model in models.items()}
display = ImplicitBiasDisplay.from_estimators(models)
plt.show()
print(display.to_frame().round(3))
