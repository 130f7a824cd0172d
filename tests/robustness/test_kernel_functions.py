"""Functions of kernel matrices against the dense matrix, in float64."""

import warnings
from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.watch import attempt, watch

from skoverparam import kernels, linalg

_KERNELS = [
    kernels.gaussian,
    kernels.laplace,
    kernels.matern,
    partial(kernels.laplace, bandwidth=30.0),
    partial(kernels.gaussian, bandwidth=0.01),
    kernels.fully_connected_ntk,
]


@st.composite
def systems(draw, max_samples=14):
    """A kernel, points, some of them twice, and one or more targets."""
    n, d = draw(st.integers(1, max_samples)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    X = rng.normal(size=(n, d))
    if draw(st.booleans()):
        X = X[rng.integers(n, size=n)]
    X = X.astype(draw(st.sampled_from(["float64", "float64", "float32"])))
    Y = rng.normal(size=draw(st.sampled_from([(n,), (n, 1), (n, 3)])))
    return draw(st.sampled_from(_KERNELS)), X, Y, rng


@given(
    systems(),
    st.sampled_from([1e-3, 1.0, 1e3]),
    st.sampled_from(["auto", "cholesky", "eigh", "pcg"]),
    st.booleans(),
)
def test_systems_are_those_of_the_dense_matrix(system, ridge, solver, weighted):
    kernel, X, Y, rng = system
    weights = rng.uniform(0.1, 10, len(X)) if weighted else None
    options = {"ridge": ridge, "weights": weights, "solver": solver, "tol": 1e-10}
    direct = solver in {"cholesky", "eigh"}
    with watch("kernel_solve", warns=()):
        loo = {"loo": True} if direct and not weighted else {}
        found = attempt(
            linalg.kernel_solve, kernel, X, Y, random_state=0, about=r"^(X|Y) ", **options, **loo
        )
        points = X.astype(float)
        K = kernel(points)
        A = K + ridge * (np.diag(1 / weights) if weighted else np.eye(len(X)))
        expected = np.linalg.solve(A, Y)
        single = X.dtype == np.float32
        size = np.abs(expected).max()
        np.testing.assert_allclose(
            found.dual_coef, expected, rtol=0, atol=size * (1e-5 if single else 1e-7)
        )
        assert found.dual_coef.dtype == X.dtype
        sizes = np.linalg.norm(Y, axis=0)
        relative = np.linalg.norm(A @ found.dual_coef - Y, axis=0) / sizes
        # The residual is that of coefficients before they are rounded.
        rounded = np.linalg.norm(np.abs(A) @ np.abs(expected), axis=0) / sizes
        slack = 1e-9 + (np.finfo(np.float32).eps * rounded if single else 0)
        assert (np.abs(relative - found.residual) <= slack).all()
        Z = rng.normal(size=(5, X.shape[1])).astype(X.dtype)
        outputs = kernel(Z.astype(float), points) @ expected
        np.testing.assert_allclose(
            found.predict(Z), outputs, rtol=0, atol=1e-6 * np.abs(outputs).max() + 1e-5 * size
        )
        if loo and len(X) > 1:
            for i in range(len(X)):
                rest = np.arange(len(X)) != i
                without = np.linalg.solve(A[np.ix_(rest, rest)], Y[rest])
                left = Y[i] - K[i, rest] @ without
                np.testing.assert_allclose(found.loo_residuals[i], left, rtol=1e-4, atol=1e-6)


@given(systems(), st.sampled_from(["cholesky", "eigh", "pcg", "auto"]), st.randoms())
def test_systems_in_another_order_and_in_other_units(system, solver, shuffler):
    kernel, X, Y, _ = system
    order = shuffler.sample(range(len(X)), len(X))
    solve = partial(linalg.kernel_solve, kernel, ridge=0.1, solver=solver, tol=1e-10)
    with watch("kernel_solve", warns=()):
        one = solve(X, Y, random_state=0)
        turned = solve(X[order], Y[order], random_state=0)
        size = np.abs(one.dual_coef).max()
        np.testing.assert_allclose(
            turned.dual_coef, one.dual_coef[order], rtol=0, atol=1e-6 * size
        )
        for factor in (2.0**300, 2.0**-300):
            scaled = solve(X.astype(float), factor * Y, random_state=0).dual_coef / factor
            np.testing.assert_allclose(scaled, one.dual_coef, rtol=0, atol=1e-6 * size)


@given(systems())
def test_interpolation_says_what_it_misses(system):
    kernel, X, Y, _ = system
    with watch("kernel_solve"), warnings.catch_warnings():
        # Equal points with different targets: it says so.
        warnings.filterwarnings("ignore", message="The relative residual is")
        found = attempt(linalg.kernel_solve, kernel, X, Y, random_state=0, about=r"^(X|Y) ")
        K = kernel(X.astype(float))
        missed = np.linalg.norm(K @ found.dual_coef - Y, axis=0) / np.linalg.norm(Y, axis=0)
        rounding = 1e-6 if X.dtype == np.float32 else 1e-13
        rounding *= (
            np.abs(K).max() * np.abs(found.dual_coef).sum() / np.linalg.norm(Y, axis=0).min()
        )
        assert (np.abs(missed - found.residual) <= 1e-9 + rounding).all()


@given(systems(), st.integers(1, 20))
def test_products_are_those_of_the_dense_matrix(system, m):
    kernel, X, V, rng = system
    Z = rng.normal(size=(m, X.shape[1])).astype(X.dtype)
    with watch("kernel_matvec", warns=()):
        found = linalg.kernel_matvec(kernel, Z, X, V)
        K = kernel(Z.astype(float), X.astype(float))
        atol = 1e-12 * np.abs(V).sum() if X.dtype == np.float64 else 1e-5 * np.abs(K @ V).max()
        np.testing.assert_allclose(found, K @ V, rtol=0, atol=atol + 1e-6 * (X.dtype == "f4"))
        assert found.dtype == V.dtype
        both = linalg.kernel_matvec(kernel, Z, np.vstack([X, X]), np.concatenate([V, -V]))
        np.testing.assert_allclose(both, 0, atol=10 * atol + 1e-6 * (X.dtype == "f4"))


@given(systems(), st.integers(1, 20), st.sampled_from([None, 1e-1, 1e-6]), st.integers(0, 99))
def test_pivoted_factors(system, rank, tol, seed):
    kernel, X, _, _ = system
    with watch("rp_cholesky", warns=()):
        found = linalg.rp_cholesky(kernel, X, rank, tol=tol, random_state=seed)
        F, K = found.factor.astype(float), kernel(X.astype(float))
        eps = 1e-6 if X.dtype == np.float32 else 1e-12
        top = eps * np.abs(K).max()
        left = K - F @ F.T
        assert F.shape[1] == len(found.pivots) == len(set(found.pivots.tolist())) <= rank
        np.testing.assert_allclose(found.residual_diagonal, np.diag(left), rtol=0, atol=4 * top)
        assert np.linalg.eigvalsh(left)[0] >= -len(X) * 4 * top
        # Nyström: rows of the pivots are met.
        P = found.pivots
        assert np.abs(left[P]).max() <= 1e3 * len(X) * top
        enough = np.trace(left) <= (tol or 0) * np.trace(K) + len(X) * top * 1e3
        assert enough or len(P) == min(rank, len(X))
