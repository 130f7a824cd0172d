"""Fits under a hard limit: the address space a process had after import, the budget and a margin.

A fit that would need many times the budget takes a path that needs less, or says what it needs; it
is never killed, and never dies of an allocation nobody expected.
"""

import json
import subprocess
import sys
import textwrap

import pytest

MEGABYTE = 2**20
BUDGET = 64 * MEGABYTE
# What the budget does not count: the data themselves, copies of them in float64, arenas of
# malloc, and what libraries map when they are first used.
MARGIN = 192 * MEGABYTE

# name: (code, whether it must be refused). Without a budget most need 300 MB to 3 GB.
CASES = {
    "KernelInterpolatorRegressor": (
        """
        X, y = rng.normal(size=(8000, 3)), rng.normal(size=8000)
        model = KernelInterpolatorRegressor(ridge=100.0, tol=1e-2, max_iter=4, random_state=0)
        model.fit(X, y)
        assert model.predict(X[:500]).shape == (500,)
        assert model.solver_ in ("pcg", "eigenpro")
        """,
        False,
    ),
    "KernelInterpolatorRegressor, cholesky": (
        """
        X, y = rng.normal(size=(8000, 3)), rng.normal(size=8000)
        KernelInterpolatorRegressor(solver="cholesky").fit(X, y)
        """,
        True,
    ),
    "KernelInterpolatorRegressor, loo": (
        """
        X, y = rng.normal(size=(8000, 3)), rng.normal(size=8000)
        KernelInterpolatorRegressor(ridge="loo").fit(X, y)
        """,
        True,
    ),
    "NTKMatrixCompleter": (
        """
        X = np.where(rng.random((9000, 20)) < 0.3, np.nan, rng.normal(size=(9000, 20)))
        model = NTKMatrixCompleter(n_landmarks=None, random_state=0)
        model.fit(X)
        """,
        True,
    ),
    "NTKMatrixCompleter, landmarks": (
        """
        X = np.where(rng.random((9000, 20)) < 0.3, np.nan, rng.normal(size=(9000, 20)))
        model = NTKMatrixCompleter(n_landmarks=50, alpha=1.0, n_passes=1, random_state=0)
        model.fit(X)
        assert not np.isnan(model.transform(X)).any()
        """,
        False,
    ),
    "NTKImageCompleter": (
        """
        X = rng.normal(size=(1, 128, 128))
        X = np.where(rng.random(X.shape) < 0.5, np.nan, X)
        model = NTKImageCompleter(n_passes=1).fit(X)
        assert not np.isnan(model.transform(X)).any()
        """,
        False,
    ),
    "NTKInteractionRegressor": (
        """
        X = rng.integers(9000, size=(20000, 2))
        model = NTKInteractionRegressor(rank=None, alpha=1.0, random_state=0)
        model.fit(X, rng.normal(size=20000))
        """,
        True,
    ),
    "MinNormRegressor": (
        """
        X = rng.normal(size=(2000, 2500))
        MinNormRegressor().fit(X, X[:, 0])
        """,
        True,
    ),
    "RandomFeatureRegressor": (
        """
        X = rng.normal(size=(8000, 3))
        RandomFeatureRegressor(n_features=8000, random_state=0).fit(X, X[:, 0])
        """,
        True,
    ),
    "MaxMarginClassifier": (
        """
        X = rng.normal(size=(9000, 10))
        model = MaxMarginClassifier(kernel=skoverparam.kernels.laplace)
        model.fit(X, rng.integers(2, size=9000))
        """,
        True,
    ),
    "MaxMarginClassifier, linear": (
        """
        X = rng.normal(size=(9000, 10))
        X += np.where(X[:, :1] > 0, 1.0, -1.0)
        model = MaxMarginClassifier(max_iter=300).fit(X, X[:, 0] > 0)
        assert model.score(X, X[:, 0] > 0) > 0.99
        """,
        False,
    ),
    "empirical_ntk": (
        """
        net = torch.nn.Sequential(
            torch.nn.Linear(50, 2000), torch.nn.ReLU(), torch.nn.Linear(2000, 1)
        )
        # 400 Jacobians of a hundred thousand weights.
        K = skoverparam.inspection.empirical_ntk(net, rng.normal(size=(400, 50)))
        assert K.shape == (400, 400)
        """,
        False,
    ),
    "empirical_ntk, too many": (
        """
        net = torch.nn.Sequential(torch.nn.Linear(5, 20), torch.nn.ReLU(), torch.nn.Linear(20, 1))
        skoverparam.inspection.empirical_ntk(net, rng.normal(size=(9000, 5)))
        """,
        True,
    ),
    "SingularKernelRegressor": (
        """
        X, y = rng.normal(size=(9000, 12)), rng.normal(size=9000)
        model = SingularKernelRegressor().fit(X, y)
        assert model.predict(X[:3000] + 0.1).shape == (3000,)
        """,
        False,
    ),
    "SimplicialRegressor": (
        """
        X, y = rng.normal(size=(20000, 4)), rng.normal(size=20000)
        model = SimplicialRegressor().fit(X, y)
        assert model.n_simplices_ is None
        assert model.predict(X[:20] + 0.01).shape == (20,)
        """,
        False,
    ),
    "SquareLossNetClassifier": (
        """
        X = rng.normal(size=(20000, 30)).astype("float32")
        net = SquareLossNetClassifier(hidden_layer_sizes=(2000,), max_iter=1, random_state=0)
        # One pass in batches; 20000 x 2000 outputs of a layer at once would be 160 MB.
        net.fit(X[:2000], X[:2000, 0] > 0)
        assert net.predict(X).shape == (20000,)
        """,
        False,
    ),
    "kernel": (
        "skoverparam.kernels.laplace(rng.normal(size=(9000, 2)), bandwidth=1.0)",
        True,
    ),
    "minimum_norm": (
        """
        X = rng.normal(size=(2000, 2500))
        skoverparam.linalg.minimum_norm(X, X[:, 0])
        """,
        True,
    ),
}

PARENT = """
    import json, os, resource, sys, textwrap, time, warnings
    import numpy as np
    import scipy.linalg, scipy.sparse.linalg, scipy.spatial
    import torch
    import sklearn.neighbors
    import skoverparam, skoverparam.inspection, skoverparam.kernels, skoverparam.linalg
    from skoverparam import *

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    budget, margin, cases = json.loads(sys.argv[1])

    def mapped():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()

    found = {}
    for name, code in cases.items():
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            start = time.perf_counter()
            limit = mapped() + budget + margin
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            scope = globals() | {"rng": np.random.default_rng(0)}
            try:
                with config_context(memory_budget=budget, device="cpu"):
                    exec(textwrap.dedent(code), scope)
                outcome = "done"
            except BaseException as error:
                outcome = f"{type(error).__name__}: {error}"
            print(name, round(time.perf_counter() - start, 1), "s", file=sys.stderr, flush=True)
            os.write(write, outcome.encode()[:4000])
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            outcome = pipe.read().decode()
        status = os.waitpid(child, 0)[1]
        found[name] = outcome if status == 0 else f"died with status {status}"
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def outcomes():
    """What became of every case: imported once, forked for each, one after another."""
    if not sys.platform.startswith("linux"):
        pytest.skip("limits of the address space are measured on Linux")
    codes = {name: textwrap.dedent(code) for name, (code, _) in CASES.items()}
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PARENT), json.dumps([BUDGET, MARGIN, codes])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    print(child.stderr)
    return json.loads(child.stdout)


@pytest.mark.parametrize("name", CASES)
def test_a_fit_stays_within_its_budget_or_says_what_it_needs(name, outcomes):
    if CASES[name][1]:
        assert outcomes[name].startswith("MemoryError")
        assert "memory budget" in outcomes[name]
        assert "0.0625 GiB" in outcomes[name]
    else:
        assert outcomes[name] == "done"
