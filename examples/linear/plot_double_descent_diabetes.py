"""
============================================================
Double descent on real data: where the peak is, and is not
============================================================

442 patients, ten measurements each, and the progression of their diabetes a year later. Products
of the measurements up to degree four make a thousand features: a model that grows from too small
to far too large for the data. :class:`skoverparam.MinNormRegressor` fits every one of them exactly
as least squares prescribes, nothing is cut off, and
:func:`skoverparam.model_selection.generalization_curve` goes through all sizes in one pass per
split.
"""

# %%
# A thousand features, one after the other
# ----------------------------------------
# Features come in by degree, within a degree in random order, each scaled to unit variance. A
# hundred patients are in the training part, two hundred are predicted, and twenty random splits
# give medians and quartiles.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import ShuffleSplit
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skoverparam import MinNormRegressor
from skoverparam.model_selection import GeneralizationCurveDisplay, generalization_curve

X, y = load_diabetes(return_X_y=True)
products = PolynomialFeatures(degree=4, include_bias=False)
features = StandardScaler().fit_transform(
    products.fit_transform(StandardScaler().fit_transform(X))
)
degree = products.powers_.sum(axis=1)
rng = np.random.default_rng(0)
order = np.concatenate([rng.permutation(np.flatnonzero(degree == k)) for k in (1, 2, 3, 4)])
features = features[:, order]
print(features.shape, "features of degree 1 to 4:", np.bincount(degree)[1:])

cv = ShuffleSplit(20, train_size=100, test_size=200, random_state=0)
sizes = np.unique(np.r_[1:140, np.geomspace(140, 1000, 60).astype(int)])
curve = generalization_curve(MinNormRegressor(), features, y, param_range=sizes, cv=cv)

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
GeneralizationCurveDisplay.from_curve(curve, ax=ax, xscale="log")
ax.axhline(y.var(), color="0.7", linewidth=1)
ax.text(1, 1.15 * y.var(), "variance of the target", color="0.5")
ax.set(xlabel="number of features", ylabel="mean squared error")
plt.show()

# %%
# The peak is where the features begin to reach every training point: with an intercept, at a rank
# of 99. At that size there is exactly one function through the points, and it is a wild one. With
# more features there are many, and the one of smallest norm calms down. The peak is some features
# late, because one of the measurements, the sex, has two values only: its square and its cube say
# nothing new, and the rank lags behind the number of features.

peak = int(curve.param_range[curve.median.argmin()])
best = int(curve.param_range[curve.median.argmax()])
errors = dict(zip(curve.param_range.tolist(), -curve.median, strict=True))
train, _ = next(cv.split(features))
for size in (99, peak):
    model = MinNormRegressor(n_features_used=size).fit(features[train], y[train])
    print(f"{size} features: rank {model.rank_}, interpolates: {model.interpolates_}")
print(f"median error at the peak, {peak} features: {errors[peak]:.3g}; all: {errors[1000]:.3g}")
print(f"best: {best} features, {errors[best]:.3g}; variance of the target: {y.var():.3g}")

# %%
# These data are no advertisement for interpolation. The target is mostly noise for these
# features, and products of degree four have a few huge values that new patients do not share: the
# second descent ends far above the ten measurements themselves. Double descent is about the
# shape of the curve; which branch is lower depends on the data.
#
# Where the peak is not
# ---------------------
# Two ways to lose it. *Too few features*: with 300 patients and products of degree two, at most
# 65, the threshold is never reached. *A cut-off*: singular values below a fifth of the largest
# count as zero, the norm stays small, and no training point is met (``interpolates_`` is then
# False). Libraries that cut off by default hide the peak in this way, without saying so.

many = ShuffleSplit(20, train_size=300, test_size=100, random_state=0)
few = generalization_curve(MinNormRegressor(), features, y, param_range=np.arange(1, 66), cv=many)
cut = generalization_curve(MinNormRegressor(rcond=0.2), features, y, param_range=sizes[::8], cv=cv)

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for one, label in (
    (curve, "100 patients"),
    (few, "300 patients, degree two"),
    (cut, "100 patients, cut-off at 1/5"),
):
    ax.plot(one.param_range, -one.median, label=label)
ax.axhline(y.var(), color="0.7", linewidth=1)
ax.set(xscale="log", yscale="log", xlabel="number of features", ylabel="mean squared error")
ax.legend(frameon=False)
plt.show()

# %%
# More data can hurt
# ------------------
# The threshold has two sides. With the 65 products of degree two, and more and more patients,
# the error peaks where their number passes that of the features: whoever has sixty patients
# predicts better with ten of them, and much better with fewer features. (Without an intercept,
# for a centered target, there is a path over samples, too.)

by_samples = generalization_curve(
    MinNormRegressor(n_features_used=65, fit_intercept=False),
    features,
    y - y.mean(),
    param_name="n_samples",
    param_range=range(2, 301, 2),
    cv=many,
)
figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
GeneralizationCurveDisplay.from_curve(by_samples, ax=ax)
ax.set(xlabel="number of training samples", ylabel="mean squared error")
plt.show()
