"""Kernel interpolators on anything, by every solver: certified, or refused."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes, targets
from robustness.watch import attempt, says_truly, watch

from skoverparam import KernelInterpolatorClassifier, KernelInterpolatorRegressor
from skoverparam.kernels import (
    fully_connected_nngp,
    fully_connected_ntk,
    gaussian,
    generalized_exponential,
    laplace,
    matern,
)

_ABOUT = (
    r"needs samples of at least two classes|y has entries of size .* too large for float32|"
    r"bandwidth='median' found a median distance of"
)
_SOLVERS = ("auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted")
_KERNELS = ("laplace", "gaussian", "matern", "exponential", "ntk", "nngp")


@st.composite
def parameters(draw):
    solver = draw(st.sampled_from(_SOLVERS))
    ridges = [0.0, 1e-300, 1e-8, 1.0, 1e6]
    chosen = {
        "kernel": draw(st.sampled_from(_KERNELS)),
        "bandwidth": draw(st.sampled_from(["median", "median", 1e-3, 1.0, 1e3])),
        "solver": solver,
        "ridge": draw(st.sampled_from([*ridges, "loo"] if solver in ("auto", "eigh") else ridges)),
        "tol": draw(st.sampled_from([None, None, 1e-2, 1e-10])),
        "max_iter": draw(st.sampled_from([1, 20, 200])),
        "random_state": 0,
    }
    if solver == "restricted":
        chosen["n_centers"] = draw(st.sampled_from([None, 1, 3, 100]))
    return chosen


@st.composite
def regressions(draw):
    n, d = draw(shapes(max_samples=16, max_features=5))
    return draw(samples((n, d))), draw(targets(n)), draw(parameters())


@given(regressions())
def test_certificates_are_true_of_the_predictions(problem):
    X, y, chosen = problem
    model = KernelInterpolatorRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        predicted = model.predict(X)
        assert predicted.shape == y.shape
        for name in ("dual_coef_", "residual_", "rkhs_norm_"):
            assert np.isfinite(getattr(model, name)).all(), name
        # No entry of a kernel is above 2.
        rounding = 2.0 * np.abs(model.dual_coef_).sum()
        says_truly(model.interpolates_, y, predicted, rounding=rounding)


def kernel_of(model, X, Z=None):
    """Kernel values in double precision, by the public functions."""
    X, Z = X.astype(float), None if Z is None else Z.astype(float)
    networks = {"ntk": fully_connected_ntk, "nngp": fully_connected_nngp}
    if model.kernel in networks:
        return networks[model.kernel](X, Z)
    functions = {
        "laplace": laplace,
        "gaussian": gaussian,
        "matern": matern,
        "exponential": generalized_exponential,
    }
    return functions[model.kernel](X, Z, bandwidth=model.bandwidth_)


def columns_of(y):
    """Targets (n, t), and coefficients, in units of the largest."""
    Y = y.astype(float).reshape(len(y), -1)
    top = np.abs(Y).max() or 1.0
    return Y / top, top


@given(regressions())
def test_residuals_are_those_of_the_linear_system(problem):
    X, y, chosen = problem
    model = KernelInterpolatorRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        if model.solver_ == "restricted" or len(model.X_fit_) < len(X):
            return  # other equations, or targets that are means
        Y, top = columns_of(y)
        A = model.dual_coef_.reshape(Y.shape) / top
        K = kernel_of(model, model.X_fit_)
        size = np.linalg.norm(Y, axis=0)
        R = np.linalg.norm(Y - K @ A - model.ridge_ * A, axis=0)[size > 0]
        if not len(R):
            assert model.residual_ == 0
            return
        # Sums of products are known to their last digits, and so are the kernel's values.
        rounding = 256 * np.finfo(float).eps * np.abs(K).max() * np.abs(A).sum(0).max()
        slack = (rounding + 16 * np.finfo(float).eps * model.ridge_ * np.abs(A).max()) / size[
            size > 0
        ].min()
        np.testing.assert_allclose(
            model.residual_, (R / size[size > 0]).max(), rtol=1e-6, atol=slack
        )


@given(regressions(), st.sampled_from(["pcg", "eigenpro", "cholesky"]))
def test_solvers_agree_as_far_as_their_residuals_say(problem, solver):
    """K times the difference of two solutions is no larger than both residuals together."""
    X, y, chosen = problem
    ridge = chosen["ridge"] if chosen["ridge"] != "loo" else 1e-3
    chosen = chosen | {"ridge": ridge, "n_centers": None}
    one = KernelInterpolatorRegressor(**(chosen | {"solver": solver}))
    other = KernelInterpolatorRegressor(**(chosen | {"solver": "eigh"}))
    with watch(one):
        attempt(one.fit, X, y, about=_ABOUT)
        attempt(other.fit, X, y, about=_ABOUT)
        Y, top = columns_of(y)
        A, B = (m.dual_coef_.reshape(-1, Y.shape[1]) / top for m in (one, other))
        apart = np.linalg.norm(kernel_of(one, one.X_fit_) @ (A - B), axis=0)
        rounding = 1e3 * np.finfo(float).eps * (np.abs(A).sum(0) + np.abs(B).sum(0))
        allowed = (one.residual_ + other.residual_) * np.linalg.norm(Y, axis=0)
        assert (apart <= 1.01 * allowed + rounding).all()


@st.composite
def restrictions(draw):
    n, d = draw(shapes(max_samples=16, max_features=5, min_samples=2))
    chosen = draw(parameters()) | {
        "solver": draw(st.sampled_from(["auto", "restricted"])),
        "n_centers": draw(st.integers(1, n + 2)),
        "ridge": draw(st.sampled_from([1e-6, 1e-2, 1.0, 1e4])),
        "tol": 1e-8,
        "max_iter": 200,
    }
    return draw(samples((n, d))), draw(targets(n)), chosen


@given(restrictions())
def test_centers_get_the_best_coefficients_that_there_are(problem):
    X, y, chosen = problem
    model = KernelInterpolatorRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        assert model.solver_ == "restricted"
        Z = model.X_fit_
        assert len(Z) <= min(chosen["n_centers"], len(X))
        # Centers are samples.
        assert (X[:, None] == Z[None]).all(-1).any(0).all()
        Y, top = columns_of(y)
        A = model.dual_coef_.reshape(len(Z), -1) / top
        Knm, Kmm = kernel_of(model, X.astype(Z.dtype), Z), kernel_of(model, Z)

        def objective(A):
            # Rounding may leave a tiny negative norm.
            penalty = np.maximum((A * (Kmm @ A)).sum(0), 0)
            return ((Y - Knm @ A) ** 2).sum(0) + model.ridge_ * penalty

        values, vectors = np.linalg.eigh(Kmm)
        root = np.sqrt(model.ridge_ * np.maximum(values, 0))[:, None] * vectors.T
        stacked = np.vstack([Knm, root])
        goal = np.vstack([Y, np.zeros_like(A)])
        best = np.linalg.lstsq(stacked, goal, rcond=1e-14)[0]
        # A residual of tol in the gradient is its square in the objective.
        slack = (1e-9 if model.residual_ <= 1e-8 else 1 + model.residual_**2) * (Y**2).sum(0)
        assert (objective(A) <= objective(best) * (1 + 1e-9) + slack).all()


# On a line the tangent kernel is of rank two.
_LINE, _CONTRADICTED = np.array([[0.0], [1.0], [1.0], [2.0]]), np.array([1.0, -1.0, 1.0, 1.0])


@st.composite
def exact_fits(draw):
    n, d = draw(shapes(max_samples=8, max_features=4, min_samples=2))
    chosen = {
        "kernel": draw(st.sampled_from(_KERNELS)),
        # The median distance changes with the samples.
        "bandwidth": draw(st.sampled_from([0.1, 1.0, 10.0])),
        "solver": draw(st.sampled_from(["auto", "cholesky", "eigh"])),
        "ridge": draw(st.sampled_from([0.0, 0.0, 1e-4, 1.0])),
    }
    kinds = ("normal", "duplicates", "grid", "rank one")
    X = draw(samples((n, d), dtypes=("float64", "float32"), kinds=kinds, extreme=False))
    y = draw(targets(n, extreme=False, dtypes=("float64",)))
    weights = np.random.default_rng(draw(st.integers(0, 99))).choice([0.3, 1.0, 2.0], size=n)
    return X, y, weights if draw(st.booleans()) else np.ones(n), chosen


@given(exact_fits())
@example((_LINE, _CONTRADICTED, np.ones(4), {"kernel": "ntk", "bandwidth": 0.1, "ridge": 0.0}))
def test_leave_one_out_residuals_are_those_of_refits(problem):
    X, y, weights, chosen = problem
    model = KernelInterpolatorRegressor(**chosen)
    with watch(model):
        model.fit(X, y, sample_weight=weights)
        found = model.loo_residuals_
        # Both are known up to the condition: where nothing is, there is nothing to compare.
        condition = model.condition_estimate_ or np.inf
        slack = 1e3 * np.finfo(float).eps * condition * np.abs(y).max()
        if not slack < 1e-4 * np.abs(y).max() or model.jitter_ > 0:
            return
        slack += 1e-5 * np.abs(y).max() if X.dtype == np.float32 else 0.0
        for i in range(len(X)):
            rest = np.arange(len(X)) != i
            refit = KernelInterpolatorRegressor(**chosen)
            refit.fit(X[rest], y[rest], sample_weight=weights[rest])
            np.testing.assert_allclose(
                found[i], y[i] - refit.predict(X[[i]])[0], rtol=0, atol=slack
            )


@given(regressions())
def test_targets_in_other_units(problem):
    X, y, chosen = problem
    model = KernelInterpolatorRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        other = KernelInterpolatorRegressor(**chosen)
        attempt(other.fit, X, y * 4.0, about=_ABOUT)
        np.testing.assert_array_equal(other.dual_coef_, 4 * model.dual_coef_)


@st.composite
def classifications(draw):
    n, d = draw(shapes(max_samples=16, max_features=5, min_samples=2))
    chosen = draw(parameters())
    chosen["target_coding"] = draw(st.sampled_from(["onehot", "pm1", "rescaled", (5.0, 2.0)]))
    return draw(samples((n, d))), draw(labels(n)), chosen


@given(classifications())
def test_classes(problem):
    X, y, chosen = problem
    model = KernelInterpolatorClassifier(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        assert np.isfinite(model.decision_function(X)).all()
        probabilities = model.predict_proba(X)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        assert set(model.predict(X)) <= set(y)
        if model.interpolates_:
            np.testing.assert_array_equal(model.predict(X), y)
