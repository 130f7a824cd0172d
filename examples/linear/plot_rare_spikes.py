"""
===========================================
An ascent nobody sees, and one that all can
===========================================

To make a generalization curve go up, `arXiv:2008.01036 <https://arxiv.org/abs/2008.01036>`_
appends a feature with three equal modes: near zero, and near plus or minus a height. The proof is
right, but with twenty samples no simulation will show it. Here is why, and what to take in its
place.
"""

# %%
# Where the ascent comes from
# ---------------------------
# The risk jumps if all training values of the new feature fall into its central mode: training
# then takes it for a tiny feature, and test points come with large values. That has probability
# :math:`3^{-n}`. We go from one Gaussian feature to two, the second trimodal with modes at -1, 0
# and 1 of width 0.01, and look at the step of the risk in 50,000 random designs.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam.theory import FeatureLaws, minimum_norm_risk

laws = FeatureLaws(
    scale=np.array([1.0, 0.01]), height=np.array([0.0, 1.0]), probability=np.array([0, 2 / 3])
)
sizes = [4, 5, 6, 8, 10, 12, 16, 20]
means, medians, largest = [], [], []
for n in sizes:
    risk = minimum_norm_risk(
        n,
        laws,
        n_features_used=[1, 2],
        method="monte_carlo",
        n_draws=50_000,
        random_state=0,
    )
    steps = np.diff(risk.draws, axis=1)
    means.append(steps.mean())
    medians.append(np.median(steps))
    largest.append(steps.max())

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(sizes, largest, "C3^", label="largest step")
ax.plot(sizes, means, "C0o-", label="mean step")
ax.plot(sizes, medians, "C1s-", label="median step")
ax.plot(sizes, 1 / np.array(sizes), "k:", label="1 / n")
ax.set(yscale="log", xlabel="samples n", ylabel="step of the risk", xticks=sizes)
ax.legend(frameon=False)
plt.show()

# %%
# With four samples the mean is all rare events. From about ten samples on nobody meets one, and
# mean and median agree: the designed ascent is gone, and what remains is 1 / n and a little, which
# any feature costs. With twenty, one design in :math:`3^{20}`, more than three billion, would show
# it.
#
# Make the spike rare, not the luck
# ---------------------------------
# A spike in a share p of all cases is absent from the training data with probability
# :math:`(1 - p)^n` and present at test time with probability p. Their product is largest near p =
# 1/n, and is then a third of 1/n. So every third design shows the ascent, and its height grows
# with the square of that of the spike, without bounds. Beyond the threshold, 20 samples and 28
# Gaussian features, one more feature:


def risk_with(height, share, n=20, start=28):
    scale = np.append(np.ones(start), 0.5)
    laws = FeatureLaws(
        scale,
        np.append(np.zeros(start), height),
        np.append(np.zeros(start), share),
    )
    risk = minimum_norm_risk(n, laws, method="monte_carlo", n_draws=1000, random_state=0)
    return risk.total


before = 20 / 7  # n / (d - n - 1)
heights = np.logspace(0, 2, 9)
shares = np.array([1e-4, 1e-3, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 2 / 3])

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
left.loglog(heights, [risk_with(h, 1 / 20) for h in heights], "C3o-", label="rare spike, p = 1/20")
left.loglog(heights, [risk_with(h, 2 / 3) for h in heights], "C0o-", label="three equal modes")
left.set(xlabel="height of the spike", ylabel="risk with 29 features")
right.loglog(shares, [risk_with(30.0, p) for p in shares], "C3o-", label="height 30")
right.axvline(1 / 20, color="0.7", zorder=0, label="p = 1/n")
right.set(xlabel="share of spikes p")
for ax in (left, right):
    ax.axhline(before, color="k", linestyle=":", label="risk with 28 features")
    ax.legend(frameon=False)
plt.show()

# %%
# The risk after a rare spike rises as the designer likes; after a trimodal feature it falls,
# whatever the height. :func:`skoverparam.datasets.design_arrows` therefore takes rare spikes for
# its steps up.
