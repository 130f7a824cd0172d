"""
============================
A search on a cluster (dask)
============================

A grid search and a map of scores, fitted by worker processes of dask. Here they are started on
this machine; with ``Client("tcp://scheduler:8786")`` in place of the local cluster they are on
many. This page is not run when the documentation is built. Run it yourself::

    pip install ".[distributed]"
    python examples/machines/dask_cluster.py
"""

# %%
# What is searched
# ----------------
# Nothing in it knows of the cluster. With a number for ``random_state`` the result is the same
# wherever a fit is done.

import time

import joblib
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skoverparam import KernelInterpolatorRegressor
from skoverparam.datasets import make_signal_noise_patches
from skoverparam.model_selection import phase_transition_map


def search():
    X, y = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), KernelInterpolatorRegressor(random_state=0))
    grid = {
        "kernelinterpolatorregressor__bandwidth": np.geomspace(1.0, 100.0, 8),
        "kernelinterpolatorregressor__ridge": [0.0, 0.1, 1.0],
    }
    return GridSearchCV(model, grid, cv=5, n_jobs=-1).fit(X, y)


def benign_for_support_vectors():
    return phase_transition_map(
        SVC(random_state=0),
        make_signal_noise_patches,
        signals=np.arange(2.0, 12.0, 2.0),
        dims=[100, 200, 400],
        n_trials=8,
        n_jobs=-1,
        random_state=0,
    )


def timed(function):
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


# %%
# Where it is searched
# --------------------
# Two processes with one thread each. The guard is needed because workers of dask import this file.

if __name__ == "__main__":
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        (found, seconds), (scores, map_seconds) = timed(search), timed(benign_for_support_vectors)
    print(f"grid search: {seconds:.1f} s, R2 {found.best_score_:.3f}, {found.best_params_}")
    print(f"map: {map_seconds:.1f} s, mean scores of each signal and dimension:")
    print(scores.mean.round(2))

    # Here, one after the other: the same numbers, on the same kind of processor.
    with joblib.parallel_config(n_jobs=1):
        here = search()
    same = here.cv_results_["mean_test_score"] == found.cv_results_["mean_test_score"]
    print(f"equal to the bit: {same.sum()} of {len(same)} scores")
