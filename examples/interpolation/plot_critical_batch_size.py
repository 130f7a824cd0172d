"""
===============================================
The critical batch size of stochastic gradients
===============================================

When a model fits its labels exactly, stochastic gradient descent with a constant step converges
exponentially, as gradient descent does. Doubling the batch halves the number of steps, up to a
critical batch size that does not depend on the number of samples. From there on, larger batches
only cost more (`arXiv:1712.06559 <https://arxiv.org/abs/1712.06559>`_).
"""

# %%
# Run it
# ------
# 400 samples whose features have variances :math:`1 / j`, and labels without noise, so that least
# squares interpolates. :func:`~skoverparam.theory.interpolating_sgd` takes the best step for every
# batch size and counts steps until the squared error is a millionth.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from skoverparam.theory import critical_batch_size, interpolating_sgd

rng = np.random.default_rng(0)
X = rng.standard_normal((400, 30)) / np.sqrt(np.arange(1, 31))
batch_sizes = np.unique(np.geomspace(1, 400, 22).round().astype(int))

# %%
# Flatten the spectrum
# --------------------
# The critical batch size is about :math:`\beta / \lambda_1`: the largest squared norm of a sample
# over the largest eigenvalue. A preconditioner that shrinks the directions of the ten largest
# eigenvalues to the eleventh makes larger batches pay, and every step worth more. That is how
# EigenPro fits a kernel machine to a device that computes large batches at once.

eigenvalues, V = np.linalg.eigh(X.T @ X / len(X))
shrink = np.sqrt(np.minimum(eigenvalues, eigenvalues[-11]) / eigenvalues)
designs = {"as given": X, "top 10 eigenvalues flattened": X @ (V * shrink)}

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for (name, design), color in zip(designs.items(), ("C3", "C0"), strict=True):
    y = design @ rng.standard_normal(30)
    runs = interpolating_sgd(design, y, batch_sizes=batch_sizes, n_repeats=10, random_state=0)
    steps = runs.n_steps.mean(axis=1)
    left.loglog(runs.batch_sizes, steps, "o", color=color, markersize=4, label=name)
    left.loglog(runs.batch_sizes, runs.bound, color=color, linewidth=1)
    right.semilogx(runs.batch_sizes, steps * runs.batch_sizes / steps[0], "o-", color=color)
    for ax in (left, right):
        ax.axvline(runs.critical_batch_size, color=color, linestyle=":")
    print(
        f"{name}: critical batch size {runs.critical_batch_size:.1f}; "
        f"{steps[0]:.0f} steps with one sample each, {steps[-1]:.0f} with {batch_sizes[-1]}"
    )
left.set(xlabel="batch size m", ylabel="steps", title="Steps: measured, and bound (lines)")
left.legend(frameon=False)
right.set(
    xlabel="batch size m",
    ylabel="samples read, over those with m = 1",
    title="Linear scaling, then saturation",
    ylim=(0, 6),
)
plt.show()

# %%
# The same for a kernel
# ---------------------
# A kernel matrix takes the place of the design. The Laplace kernel on scanned digits has a
# critical batch of three samples, however many there are. With 40 large eigenvalues flattened
# it could be in the hundreds: the trace over the new largest one, if the samples had equal norms.

pixels = load_digits().data / 16
pixels = pixels[rng.permutation(len(pixels))]
for n in (200, 400, 800, 1600):
    K = np.exp(-cdist(pixels[:n], pixels[:n]) / 5)
    sgd = critical_batch_size(kernel_matrix=K)
    eigenvalues = np.linalg.eigvalsh(K) / n
    eigenvalues = np.minimum(eigenvalues, eigenvalues[-41])
    flat = critical_batch_size(eigenvalues=eigenvalues, max_squared_norm=eigenvalues.sum())
    print(
        f"n = {n:4}: critical batch {sgd.critical_batch_size:.1f}, "
        f"with 40 eigenvalues flattened {flat.critical_batch_size:.0f}"
    )
