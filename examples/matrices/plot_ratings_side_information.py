"""
=======================================
Ratings, side information and cold rows
=======================================

Few of all (user, item) pairs are rated, so the data come as a list: an id, another id, a number.
:class:`skoverparam.NTKInteractionRegressor` is a regressor on such pairs, and scikit-learn's tools
work on it as they are. Here :class:`~sklearn.model_selection.GridSearchCV` decides how much side
information should count, once for users that are known and once for new ones.
"""

# %%
# Ratings and what is known about users and items
# -----------------------------------------------
# Ratings are generated: 300 users, 200 items, 7 % of the pairs, some users and items with far more
# ratings than others. The side information is a blurred view of what truly drives the ratings.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

from skoverparam import NTKInteractionRegressor
from skoverparam.datasets import make_low_rank_matrix_with_missing

rng = np.random.default_rng(0)
X, _, tastes, styles = make_low_rank_matrix_with_missing(
    300,
    200,
    rank=4,
    missing=0.93,
    mechanism="uneven",
    noise=0.5,
    return_factors=True,
    random_state=0,
)
users = pd.Index([f"user {i:03d}" for i in range(300)])
items = pd.Index([f"item {j:03d}" for j in range(200)])
rated = np.argwhere(~np.isnan(X))
pairs = np.column_stack([users[rated[:, 0]], items[rated[:, 1]]])
generosity, quality = 0.4 * rng.normal(size=300), 0.4 * rng.normal(size=200)
values = X[rated[:, 0], rated[:, 1]] + generosity[rated[:, 0]] + quality[rated[:, 1]]
ratings = np.clip(np.round(3.3 + values, 1), 1, 5)

about_users = pd.DataFrame(2 * tastes + 0.5 * rng.normal(size=tastes.shape), index=users)
about_items = pd.DataFrame(styles + 0.5 * rng.normal(size=styles.shape), index=items)
print(pd.DataFrame(pairs, columns=["user", "item"]).assign(rating=ratings).head(3))

# %%
# How much should side information count?
# ---------------------------------------
# ``KFold`` hides single ratings: the users are known from their others. ``GroupKFold`` with the
# user as the group hides everything a user has rated: cold rows, for which only side information
# is left. Both searches are over the same regressor and the same weights; 0 ignores the side
# information.

weights = [0.0, 0.25, 1.0, 4.0]
regressor = NTKInteractionRegressor(
    row_prior=about_users,
    column_prior=about_items,
    alpha=1.0,
    mask_weight=0.3,
    clip=(1, 5),
)
protocols = {
    "known users": (KFold(3, shuffle=True, random_state=0), {}),
    "new users": (GroupKFold(3), {"groups": pairs[:, 0]}),
}
searches = {}
for name, (cv, groups) in protocols.items():
    searches[name] = GridSearchCV(
        regressor, {"side_weight": weights}, scoring="neg_root_mean_squared_error", cv=cv
    ).fit(pairs, ratings, **groups)
    print(f"{name}: best side_weight {searches[name].best_params_['side_weight']}")

# %%
# Features this good help known users, too. For new ones the model without side information can
# only return what the item gets on average: hardly better than no model at all.

figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for (name, search), marker in zip(searches.items(), "os", strict=True):
    results = search.cv_results_
    ax.errorbar(
        range(len(weights)),
        -results["mean_test_score"],
        yerr=results["std_test_score"],
        marker=marker,
        capsize=3,
        label=name,
    )
ax.axhline(ratings.std(), color="0.6", linestyle="--", label="standard deviation of ratings")
ax.set_xticks(range(len(weights)), weights)
ax.set(
    xlabel="side_weight",
    ylabel="RMSE on held-out ratings",
    title="What side information is worth",
)
ax.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.9))
plt.show()

# %%
# A user who was never seen
# -------------------------
# Ids that were not in the training part are no error. The prior may know them, as here a new user
# whose features are those of user 007; else they are predicted as average ids. The standard
# deviation is that of a new rating.

everybody = pd.concat([about_users, about_users.loc[["user 007"]].set_axis(["newcomer"])])
model = searches["new users"].best_estimator_.set_params(row_prior=everybody)
model.fit(pairs, ratings)
asked = np.array([[user, "item 000"] for user in ("newcomer", "user 007", "nobody")], dtype=object)
for (user, item), mean, std in zip(asked, *model.predict(asked, return_std=True), strict=True):
    print(f"{user:9} {item}: {mean:.2f} +- {std:.2f}")
