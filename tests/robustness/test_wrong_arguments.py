"""Each argument of each public function, wrong in every way: the error names it, and is ours."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from robustness.watch import attempt, watch

from skoverparam import datasets, kernels, linalg, theory

_X = np.random.default_rng(0).normal(size=(6, 10))
_y = _X.sum(1)
_A = np.eye(3) + 0.1

# Calls that are right.
CALLS = {
    theory.spectrum: {"kind": "power", "n_features": 5},
    theory.effective_ranks: {"spectrum": [1.0, 0.5], "n_samples": 3},
    theory.minimum_norm_risk: {"n_samples": 4, "spectrum": np.ones(10), "n_draws": 5},
    theory.linear_classifier_risk: {"coef": [1.0, 0], "mean": [1.0, 0], "spectrum": [1.0, 1]},
    theory.max_margin_risk: {"n_samples": 4, "spectrum": np.ones(10), "mean": 1.0},
    theory.max_margin_risk_bound: {"n_samples": 4, "spectrum": np.ones(10), "mean": 1.0},
    theory.signal_noise_phase: {"n": 4, "d": 10, "signal": 1.0},
    theory.critical_batch_size: {"X": _X},
    theory.interpolating_sgd: {"X": _X, "y": _y, "max_steps": 5, "n_repeats": 1},
    theory.sgd_mean_squared_error: {
        "X": _X,
        "y": _y,
        "batch_size": 2,
        "step_size": 0.1,
        "n_steps": 3,
    },
    theory.bregman_projection: {"X": _X, "y": _y, "mirror": "euclidean"},
    datasets.make_low_rank_matrix_with_missing: {"n_samples": 5, "n_features": 4, "rank": 2},
    datasets.make_minimum_norm_regression: {"n_samples": 5, "n_features": 4},
    datasets.make_signal_noise_patches: {"n": 5, "d": 4},
    datasets.make_subgaussian_mixture: {"n_samples": 5, "n_features": 4},
    datasets.mask_images: {"images": np.zeros((2, 8, 8))},
    datasets.design_staircase: {"n_samples": 5, "peaks": [15, 30]},
    datasets.design_arrows: {"arrows": "D", "n_samples": 4, "n_draws": 2000},
    linalg.convergence_order: {"errors": [0.1, 0.01, 0.0001]},
    linalg.newton_schulz_inverse: {"A": _A},
    linalg.sgd_inverse: {"A": _A},
    linalg.minimum_norm: {"X": _X, "y": _y},
    linalg.minimum_norm_path: {"X": _X, "Y": _y},
    linalg.minimum_norm_path_risk: {"X": _X, "Y": _y, "X_test": _X, "Y_test": _y},
    linalg.rp_cholesky: {"kernel": kernels.gaussian, "X": _X, "rank": 3},
    linalg.kernel_matvec: {"kernel": kernels.gaussian, "X": _X, "Z": _X, "V": _y},
    linalg.kernel_solve: {"kernel": kernels.gaussian, "X": _X, "Y": _y},
    kernels.laplace: {"X": _X},
    kernels.matern: {"X": _X},
}

WRONG = [
    "a word",
    b"bytes",
    object(),
    [],
    {},
    [["a"]],
    [1, [2]],
    np.array(["a"]),
    1j,
    torch.ones(2, 2, 2, 2, 2),
    10**400,
    float("nan"),
    float("inf"),
    -1,
    1e300,
    None,
]


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
def test_errors_name_the_argument(function):
    """Accepted or refused, never with an error of a library that knows no names."""
    right, names = CALLS[function], list(inspect.signature(function).parameters)
    if "random_state" in names:
        right = right | {"random_state": 0}
    with watch(function.__name__):
        function(**right)
    for name in names:
        for value in WRONG:
            if name == "random_state" and value is None:
                continue  # the global stream is what it asks for
            with watch(function.__name__, warns=()), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".* standard errors in the right")
                warnings.filterwarnings("ignore", message="The error of the inverse is")
                attempt(function, **right | {name: value}, about=rf"\b{name}\b")
