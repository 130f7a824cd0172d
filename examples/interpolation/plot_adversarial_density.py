"""
==================================================
Mistakes that are small, and everywhere
==================================================

A rule that fits noisy labels is wrong at every one of them, and right almost everywhere else. As
samples are added the error does not grow, and yet the wrong points come closer to everything: each
input has an adversarial one nearby.
"""

# %%
# One class on the left, one on the right, and one label in ten is wrong. Averages with singular
# weights fit them all: each wrong label keeps an island around its point.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from skoverparam import SingularKernelClassifier
from skoverparam.inspection import adversarial_density

rng = np.random.default_rng(1)


def noisy_square(n):
    X = rng.uniform(size=(n, 2))
    y_true = (X[:, 0] > 0.5).astype(int)
    return X, y_true, np.where(rng.random(n) < 0.1, 1 - y_true, y_true)


model = SingularKernelClassifier(exponent=1.0, n_neighbors=25)
light = ListedColormap(["#cfe2f3", "#fce5cd"])


def draw(ax, X, y, wrong, center=(0.5, 0.5), width=1.0):
    """Fit, and draw the classes that are predicted in a square."""
    axis = np.linspace(-width / 2, width / 2, 400)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2) + center
    predicted = model.fit(X, y).predict(grid)
    (left, bottom), (right, top) = grid[0], grid[-1]
    extent = (left, right, bottom, top)
    ax.imshow(predicted.reshape(400, 400), origin="lower", extent=extent, cmap=light)
    ax.scatter(*X[wrong].T, c=y[wrong], cmap=ListedColormap(["C0", "C1"]), s=7)
    ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    return np.mean(predicted != (grid[:, 0] > 0.5))


figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), layout="constrained")
for ax, n in zip(axes, (400, 3200), strict=False):
    X, y_true, y = noisy_square(n)
    error = draw(ax, X, y, y != y_true)
    ax.set_title(f"n = {n}: wrong on {error:.1%}")
draw(axes[2], X, y, y != y_true, center=X[y > y_true][0], width=0.02)
axes[2].set_title("around one of them, 50 times larger")
figure.suptitle("Classes where they are predicted, and training points with a wrong label")

# %%
# The share of the square within a distance of a wrong point goes to one, however small the
# distance is, while the error itself stays at half a percent: the islands, more and smaller. The
# nearest wrong point is at about :math:`0.5 \, (n p)^{-1/2}`.

sizes = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600]
distances = [0.1, 0.05, 0.02]
queries = rng.uniform(size=(2000, 2))
shares, errors, medians = [], [], []
for n in sizes:
    X, y_true, y = noisy_square(n)
    density = adversarial_density(model.fit(X, y), X, y_true, distances, X_query=queries)
    shares.append(density.fraction)
    medians.append(np.median(density.distances))
    errors.append(np.mean(model.predict(queries) != (queries[:, 0] > 0.5)))
    print(f"n = {n:<6} share within", density.fraction.round(3), f"error {errors[-1]:.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for distance, share in zip(distances, np.transpose(shares), strict=True):
    left.plot(sizes, share, "o-", label=f"wrong within {distance:g}")
left.plot(sizes, errors, "k:", label="wrong itself")
left.set(xscale="log", xlabel="training samples", ylabel="share of the square")
left.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.35), fontsize="small")
right.loglog(sizes, medians, "o-", label="median distance")
right.loglog(sizes, 0.48 / np.sqrt(0.1 * np.array(sizes)), "k--", label=r"$0.48 \, (n p)^{-1/2}$")
right.set(xlabel="training samples", ylabel="distance of the nearest wrong point")
right.legend(frameon=False)
plt.show()

# %%
# In d dimensions the distance falls as :math:`(n p)^{-1/d}` only: the effect is there, but a
# picture with a feasible number of samples does not show it.
