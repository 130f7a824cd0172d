"""
======================================================
Outvoting noise: nearest neighbor, simplices, averages
======================================================

Every label is 1 with probability 0.8, wherever the point is, and three rules fit all of them. New
labels cannot be predicted with an error below 0.2. What fits the noise is wrong where a training
label is wrong; the question is on how much of the space.
"""

# %%
# The nearest neighbor gives a wrong label all of the cell around its point: its error is
# :math:`2 \cdot 0.2 \cdot 0.8 = 0.32`, in any dimension. On a simplex a wrong label only wins
# the corner at its point, a share of the volume that shrinks with the dimension. Averages with
# singular weights over 25 neighbors outvote it nearly everywhere.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import SimplicialClassifier, SingularKernelClassifier

dimensions = [1, 2, 3, 4, 5, 6]
n_draws = 4


def rules(d):
    return {
        "nearest neighbor": SingularKernelClassifier(n_neighbors=1),
        "simplices": SimplicialClassifier(),
        "singular, 25 neighbors": SingularKernelClassifier(exponent=d / 2, n_neighbors=25),
    }


errors = {name: [] for name in rules(1)}
for d in dimensions:
    scores = {name: [] for name in errors}
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        X, y = rng.uniform(size=(800, d)), (rng.random(800) < 0.8).astype(int)
        X_test, y_test = rng.uniform(size=(1000, d)), (rng.random(1000) < 0.8).astype(int)
        inside = SimplicialClassifier().fit(X, y).inside_hull(X_test)
        for name, model in rules(d).items():
            assert model.fit(X, y).interpolates_
            scores[name].append(np.mean(model.predict(X_test[inside]) != y_test[inside]))
    for name in errors:
        errors[name].append(np.mean(scores[name]))
    print(f"d = {d}:", {name: round(float(error[-1]), 3) for name, error in errors.items()})

# %%
# In two dimensions it can be seen: the same points, the same wrong labels, all of them fitted.

rng = np.random.default_rng(3)
X, y = rng.uniform(size=(120, 2)), (rng.random(120) < 0.8).astype(int)
axis = np.linspace(0, 1, 300)
grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)

figure = plt.figure(figsize=(10, 7), layout="constrained")
top, bottom = figure.subfigures(2, 1)
for ax, (name, model) in zip(top.subplots(1, 3), rules(2).items(), strict=True):
    probability = model.fit(X, y).predict_proba(grid)[:, 1].reshape(300, 300)
    image = ax.imshow(
        probability, origin="lower", extent=(0, 1, 0, 1), cmap="RdBu", vmin=0, vmax=1
    )
    ax.contour(axis, axis, probability, levels=[0.5], colors="k", linewidths=0.6)
    ax.scatter(*X[y == 0].T, color="k", s=8)
    ax.set(xticks=[], yticks=[], title=name)
top.colorbar(image, label="probability of 1", shrink=0.8)

ax = bottom.subplots()
for (name, error), style in zip(errors.items(), ["s-", "^-", "o-"], strict=True):
    ax.plot(dimensions, error, style, label=name)
ax.axhline(0.32, color="0.6", linestyle=":", label="nearest neighbor, theory")
ax.axhline(0.2, color="0.6", linestyle="--", label="least possible")
ax.set(xlabel="dimension", ylabel="error on new labels", xticks=dimensions, ylim=(0.19, 0.35))
ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.show()
