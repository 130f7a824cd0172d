"""
==============================================
One data set, five mirrors, five interpolators
==============================================

Ten samples and thirty features: every descent below fits all targets to the last digits, and each
finds other coefficients. Which ones is decided by its mirror, and known beforehand.
"""

# %%
# The truth has three coefficients that are not zero. All five models are mirror descents on the
# same squares; :class:`~skoverparam.MirrorDescentRegressor` measures how far each ended from where
# the theory says, the interpolator with the least Bregman divergence from the start.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import MirrorDescentRegressor
from skoverparam.inspection import ImplicitBiasDisplay

rng = np.random.RandomState(0)
X = rng.randn(10, 30) / np.sqrt(30)
truth = np.zeros(30)
truth[:3] = 1, 2, 1.5
y = X @ truth

mirrors = {
    "gradient descent": ("euclidean", None),
    "p = 1.1": ("pnorm", {"p": 1.1}),
    "p = 10, ridge": ("pnorm", {"p": 10.0, "ridge": 0.01}),
    "hypentropy": ("hypentropy", {"beta": 1e-6}),
    "negative entropy": ("negentropy", None),
}
models = {}
print(f"{'':18s} passes   residual   from the projection   error")
for name, (mirror, params) in mirrors.items():
    model = MirrorDescentRegressor(
        mirror, mirror_params=params, learning_rate="search", fit_intercept=False
    )
    models[name] = model.fit(X, y)
    error = np.linalg.norm(model.coef_ - truth) / np.linalg.norm(truth)
    print(
        f"{name:18s} {model.n_iter_:6d}   {model.residual_:8.1e}   "
        f"{model.bregman_distance_:19.1e}   {error:5.2f}"
    )

# %%
# Sizes of the coefficients, and norms over the least one of all five:

display = ImplicitBiasDisplay.from_estimators(models, reference=truth)
plt.show()

# %%
# Of the five, gradient descent has the least l2 norm and p = 10 the least l-infinity norm. The
# exponent 1.1 and the hypentropy with a small parameter come near the least l1 norm, which the
# truth has. Near only: the hypentropy approaches the sparse solution as slowly as the logarithm of
# its parameter grows. The negative entropy makes use of the truth being positive and, started from
# small coefficients, leaves many of them small.
#
# What the theory promises
# ------------------------
# With ``learning_rate="theory"`` the loss falls in each pass by a factor that is known:
# :math:`1 - (\mu / L) (\alpha_l / \alpha_u)^2` at least (arXiv:2009.08574), with the constants of
# the mirror over all coefficients that the descent has visited.

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for color, (name, params) in enumerate(
    {"ridge 0.5": {"p": 3.0, "ridge": 0.5}, "ridge 0.1": {"p": 3.0, "ridge": 0.1}}.items()
):
    for rate, style in (("theory", "-"), ("search", "--")):
        model = MirrorDescentRegressor(
            "pnorm", mirror_params=params, learning_rate=rate, fit_intercept=False, tol=1e-6
        ).fit(X, y)
        losses = np.array(model.loss_curve_)
        passes = np.arange(1, len(losses) + 1)
        ax.semilogy(passes, losses, f"C{color}{style}", label=f"p = 3, {name}, {rate}")
        if rate == "theory":
            bound = losses[0] * model.rate_bound_ ** (passes - 1)
            ax.semilogy(passes, bound, f"C{color}:", label=f"bound, {model.rate_bound_:.5f}")
            print(f"{name}: bound {model.rate_bound_:.5f}, measured {model.rate_:.5f}")
ax.set(xlabel="pass", ylabel="loss", xlim=(0, 400), ylim=(1e-14, 1))
ax.legend(fontsize="small")
plt.show()

# %%
# The bound holds and is far from sharp: it pays for the worst curvature of the mirror and of the
# loss at once, in every step. ``learning_rate="search"`` takes the longest steps that still bring
# the loss down, and ends in the same place.
