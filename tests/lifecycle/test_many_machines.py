"""Searches on a real cluster of processes: the serial results, also where a worker dies."""

import os
import signal
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skoverparam import KernelInterpolatorRegressor, NTKMatrixCompleter, TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches
from skoverparam.model_selection import phase_transition_map

distributed = pytest.importorskip("distributed", reason="needs the extra 'distributed'")
pytest.importorskip("dask")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two worker processes with one thread each, as two machines would be."""
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    settings = {
        "distributed.nanny.pre-spawn-environ": environment,
        # A machine that is busy with other things is slow to start a process.
        "distributed.comm.timeouts.connect": "60s",
        "distributed.worker.memory.terminate": False,
        "distributed.admin.tick.limit": "60s",
    }
    import dask

    with (
        warnings.catch_warnings(),
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("cluster")),
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def data(n=60, d=4):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d))
    return X, np.sin(X).sum(1) + 0.1 * rng.normal(size=n)


def assert_equal_results(found, expected):
    timed = ("mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time")
    for name in expected.cv_results_.keys() - set(timed):
        np.testing.assert_array_equal(found.cv_results_[name], expected.cv_results_[name])
    assert found.best_params_ == expected.best_params_


def test_a_grid_search_is_the_serial_one_to_the_bit(client):
    X, y = data()
    grid = {
        "kernelinterpolatorregressor__bandwidth": [1.0, 3.0, "median"],
        "kernelinterpolatorregressor__ridge": [0.0, 0.1],
    }
    pipeline = make_pipeline(StandardScaler(), KernelInterpolatorRegressor(random_state=0))
    with joblib.parallel_config(backend="dask"):
        found = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    expected = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert_equal_results(found, expected)
    np.testing.assert_array_equal(found.predict(X + 0.1), expected.predict(X + 0.1))


def test_a_completer_in_a_pipeline_is_the_serial_one_to_the_bit(client):
    X, y = data()
    rng = np.random.default_rng(1)
    X = np.where(rng.random(X.shape) < 0.2, np.nan, X)
    completer = NTKMatrixCompleter(alpha=0.1, n_passes=1, random_state=0)
    pipeline = make_pipeline(completer, SVC(random_state=0))
    grid = {"ntkmatrixcompleter__depth": [1, 3]}
    with joblib.parallel_config(backend="dask"):
        found = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y > 0)
    assert_equal_results(found, GridSearchCV(pipeline, grid, cv=3).fit(X, y > 0))


def phase_map(estimator, **options):
    return phase_transition_map(
        estimator,
        make_signal_noise_patches,
        signals=[2.0, 12.0],
        dims=[60],
        n_samples=10,
        n_trials=3,
        n_test=50,
        random_state=0,
        **options,
    )


@pytest.mark.parametrize(
    "estimator", [TwoLayerCNNClassifier(max_iter=2000), SVC(random_state=0)], ids=repr
)
def test_a_phase_map_is_the_serial_one_to_the_bit(estimator, client):
    with joblib.parallel_config(backend="dask"):
        found = phase_map(estimator, n_jobs=2)
    expected = phase_map(estimator)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.train_scores, expected.train_scores)


def test_a_worker_that_dies_costs_nothing_but_time(client):
    X, y = data(n=150)
    grid = {"bandwidth": list(np.linspace(0.5, 4.0, 30))}
    model = KernelInterpolatorRegressor(random_state=0)
    victim = next(iter(client.run(os.getpid).values()))
    killed = []

    def kill():
        # While the tasks are running, the first results being there.
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not client.cluster.scheduler.tasks:
            time.sleep(0.01)
        time.sleep(0.1)
        killed.append(len(client.cluster.scheduler.tasks))
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with joblib.parallel_config(backend="dask"):
        found = GridSearchCV(model, grid, cv=5, n_jobs=2).fit(X, y)
    killer.join()
    assert killed[0] > 0, "the search was over before the worker died"
    assert_equal_results(found, GridSearchCV(model, grid, cv=5).fit(X, y))
    # The cluster has started another process in its place.
    client.wait_for_workers(2, timeout=60)
    assert victim not in client.run(os.getpid).values()
