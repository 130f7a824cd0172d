"""
========================
Follow any ups and downs
========================

Beyond the interpolation threshold, a generalization curve can follow any sequence of ups and
downs: this is the theorem of `arXiv:2008.01036 <https://arxiv.org/abs/2008.01036>`_.
:func:`skoverparam.datasets.design_arrows` makes it constructive. Write the sequence, get the
features.
"""

# %%
# Twenty samples and 28 ordinary features to begin with; each arrow is one feature more. A step
# down is a Gaussian feature of the best variance, which lowers the risk by 9 to 15 percent. A step
# up is a feature that is nearly always small, but large in one of twenty cases.

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from skoverparam import MinNormRegressor
from skoverparam.datasets import design_arrows, make_minimum_norm_regression
from skoverparam.model_selection import generalization_curve
from skoverparam.theory import minimum_norm_risk

arrows = "UUddddddUddddUUUdddddddd"
design = design_arrows(20, arrows, random_state=0)
new = slice(28, None)
print("heights of the spikes    ", design.laws.height[new].round().astype(int))
print("Gaussian standard deviations", design.laws.scale[new].round(1))

# %%
# The features were chosen on 3000 random designs. On others, every step goes where its arrow says:

fresh = minimum_norm_risk(
    20,
    design.laws,
    n_features_used=design.n_features,
    method="monte_carlo",
    n_draws=4000,
    random_state=1,
)
steps = np.diff(fresh.draws, axis=1)
lengths = steps.mean(axis=0) / (steps.std(axis=0) / np.sqrt(len(steps)))
wanted = np.array([1 if arrow == "U" else -1 for arrow in arrows])
print(f"{(np.sign(lengths) == wanted).sum()} of {len(arrows)} signs are right,")
print(f"each by at least {np.abs(lengths).min():.0f} standard errors")

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(design.n_features, fresh.total, "0.6", zorder=1)
up = np.r_[False, wanted == 1]
ax.scatter(design.n_features[~up], fresh.total[~up], marker="v", color="C0", label="down")
ax.scatter(design.n_features[up], fresh.total[up], marker="^", color="C3", label="up")
ax.set(xlabel="features used", ylabel="excess risk", title=arrows)
ax.legend(frameon=False)
plt.show()

# %%
# Mean and median
# ---------------
# The same with an estimator and drawn data. The steps up come from training samples without a
# spike, about a third of them. Means see the steps as designed; the median draw knows little of
# them.


def draw(seed):
    X, y = make_minimum_norm_regression(
        2020, spectrum=design.laws, coef=0.0, noise=1.0, random_state=seed
    )
    return X[:20], y[:20], X[20:], np.zeros(2000)


with threadpool_limits(1):  # the fits are tiny, threads would wait for each other
    curve = generalization_curve(
        MinNormRegressor(fit_intercept=False),
        draw,
        param_range=design.n_features,
        n_repeats=400,
        random_state=0,
    )
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(design.n_features, design.risk, "k:", label="designed")
ax.plot(design.n_features, -curve.mean, "C0", label="MinNormRegressor, mean of 400")
ax.plot(design.n_features, -curve.median, "C0--", label="median")
ax.set(xlabel="features used", ylabel="excess risk")
ax.legend(frameon=False)
plt.show()
