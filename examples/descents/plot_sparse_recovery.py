r"""
======================================
Sparse recovery without a penalty term
======================================

Descent with the hypentropy mirror goes from zero to coefficients of nearly least l1 norm. No
penalty is chosen and none shrinks anything; the mirror's parameter beta says how near. When is
that better than the Lasso, and when not?
"""

# %%
# Sixty samples, 400 features, of which five matter, and first no noise. As beta goes down the
# potential goes over from the square to :math:`|w| \log |w| / \beta`: an l1 norm, up to a
# logarithm.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LassoCV, lasso_path

from skoverparam import MinNormRegressor, MirrorDescentRegressor

rng = np.random.default_rng(0)
n, d = 60, 400
X = rng.normal(size=(n, d))
truth = np.zeros(d)
truth[rng.choice(d, 5, replace=False)] = [3, -2.5, 2, -1.5, 1]
y = X @ truth
noisy = y + 0.5 * rng.normal(size=n)


def error(coef):
    return np.linalg.norm(coef - truth) / np.linalg.norm(truth)


def descend(y, beta, max_iter=3000):
    """Coefficients after so many passes; no residual is small enough to stop before."""
    model = MirrorDescentRegressor(
        "hypentropy",
        mirror_params={"beta": beta},
        learning_rate="search",
        fit_intercept=False,
        tol=0,
        max_iter=max_iter,
    )
    return model.fit(X, y).coef_


betas = np.logspace(0, -14, 8)
ends = [error(descend(y, beta)) for beta in betas]
lasso = LassoCV(fit_intercept=False).fit(X, y)
minimum_norm = MinNormRegressor(fit_intercept=False).fit(X, y)
print(f"hypentropy, beta = {betas[-1]:.0e}: error {ends[-1]:.1e}")
print(f"Lasso by cross-validation: error {error(lasso.coef_):.1e}")
print(f"minimum norm: error {error(minimum_norm.coef_):.2f}")

# %%
# With noise a model that fits everything fits the noise too. The Lasso has its penalty against
# that; a descent can stop early. Both are paths from zero to an interpolating solution, so both
# errors can be drawn over the share of the targets that is not yet fitted.


def unfitted(coef):
    return np.linalg.norm(noisy - X @ coef) / np.linalg.norm(noisy)


passes = np.unique(np.logspace(0, 3.3, 24).astype(int))
early = [descend(noisy, 1e-6, max_iter=int(k)) for k in passes]
_, coefs, _ = lasso_path(X, noisy, eps=1e-4)
chosen = LassoCV(fit_intercept=False).fit(X, noisy).coef_

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.loglog(betas, ends, "C0o-", label="hypentropy")
left.axhline(error(lasso.coef_), color="C1", label="Lasso, cross-validated")
left.axhline(error(minimum_norm.coef_), color="0.5", label="minimum norm")
left.invert_xaxis()
left.set(xlabel="beta", ylabel="relative error of the coefficients", title="no noise")
right.loglog(
    [unfitted(coef) for coef in early],
    [error(coef) for coef in early],
    "C0.-",
    label="hypentropy 1e-6, pass by pass",
)
right.loglog(
    [unfitted(coef) for coef in coefs.T],
    [error(coef) for coef in coefs.T],
    "C1-",
    label="Lasso, all penalties",
)
right.plot(unfitted(chosen), error(chosen), "C1s", label="Lasso, cross-validated")
right.invert_xaxis()
right.set(xlabel="relative residual", title="with noise")
left.legend()
right.legend()
plt.show()

best = min(error(coef) for coef in early)
print(f"with noise: descent at its best {best:.3f}, at its end {error(early[-1]):.3f}")
print(
    f"with noise: Lasso at its best {min(error(coef) for coef in coefs.T):.3f}, "
    f"cross-validated {error(chosen):.3f}"
)

# %%
# Without noise the descent is the better estimate here: any penalty that is not zero shrinks the
# large coefficients, and cross-validation has to choose one, while the mirror's parameter can be
# taken as small as one likes (each factor of ten costs a few more passes). With noise, descent
# stopped in time and the Lasso with the right penalty are equally good; who fits everything does
# worse, and cross-validation finds a penalty without knowing the truth. Take the Lasso for noisy
# data, then, unless the loss is not the square or the model is not linear: there the same mirror
# works in :class:`skoverparam.optim.MirrorDescent`, and the Lasso does not.
