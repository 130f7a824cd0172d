"""Functions on anything: results are certified by what defines them, or arguments are refused."""

import warnings

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from robustness.strategies import samples, shapes, targets
from robustness.watch import attempt, watch

from skoverparam import datasets, linalg, theory
from skoverparam.optim import GaussNewtonSGD, MirrorDescent, PolyakSGD

# What is refused says little of the rest: it need not come up often.
_sizes = st.one_of(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(-1, 12))
_positive = st.one_of(
    st.floats(1e-6, 1e6), st.floats(0.1, 10), st.sampled_from([0.0, 1e-300, 1e-160, 1e160, 1e300])
)
_wrong = st.sampled_from([-1.0, np.nan, np.inf])
_numbers = st.one_of(_positive, _positive, _positive, _positive, _wrong)
_shares = st.one_of(st.floats(0, 0.49), st.floats(0, 0.49), st.floats(0, 1), _wrong)
_spectra = st.one_of(
    *[st.lists(_positive, min_size=1, max_size=8)] * 7, st.lists(_numbers, max_size=3)
)


@given(shapes(), st.data(), st.sampled_from(["svd", "cod", "gram"]))
def test_minimum_norm(shape, data, solver):
    X, y = data.draw(samples(shape)), data.draw(targets(shape[0], multi=False))
    with watch("minimum_norm"):
        found = attempt(linalg.minimum_norm, X, y, solver=solver, about=r"^(X|y|The solution) ")
        assert np.isfinite(found.coef).all()


@given(shapes(), st.data())
def test_inverses(shape, data):
    n = min(shape)
    A = data.draw(samples((n, n)))
    with watch("newton_schulz_inverse"), warnings.catch_warnings():
        # It says so where a matrix is singular.
        warnings.filterwarnings("ignore", message="The error of the inverse is")
        found = attempt(linalg.newton_schulz_inverse, A, about=r"^A ")
        W = found[0].astype(float)
        assert np.isfinite(W).all()
    with watch("sgd_inverse"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The error of the inverse is")
        found = attempt(linalg.sgd_inverse, A, random_state=0, about=r"^A ")
        assert np.isfinite(found[0].astype(float)).all()


@given(st.lists(st.floats(allow_nan=True), max_size=12), st.booleans())
@example([1e-255, 1e53, 1e-308, 1.0], True)
def test_convergence_order(errors, positive):
    with watch("convergence_order"):
        errors = np.abs(errors) if positive else errors
        attempt(linalg.convergence_order, errors, about=r"^errors ")


@given(_spectra, _sizes, _numbers)
def test_effective_ranks(spectrum, n_samples, threshold):
    with watch("effective_ranks"):
        ranks = attempt(
            theory.effective_ranks,
            spectrum,
            n_samples=n_samples,
            threshold=threshold,
            about=r"^(spectrum|n_samples|threshold) ",
        )
        assert all(np.all(np.isfinite(r) | np.isinf(r)) for r in ranks if r is not None)


@given(_sizes, _spectra, _numbers, st.integers(0, 99))
def test_minimum_norm_risk(n_samples, spectrum, noise, seed):
    with watch("minimum_norm_risk"):
        risk = attempt(
            theory.minimum_norm_risk,
            n_samples,
            spectrum,
            noise=noise,
            n_draws=20,
            random_state=seed,
            about=r"^(n_samples|spectrum|noise) ",
        )
        assert not np.isnan([risk.bias, risk.variance, risk.total]).any()
        assert risk.total >= 0


@given(_sizes, _spectra, _numbers, _shares)
def test_max_margin_risk(n_samples, spectrum, mean, flip):
    about = r"^(n_samples|spectrum|mean|flip) "
    # Formulas are for more features than samples.
    n_samples = 2 if n_samples > 2 else n_samples
    for function, more in (
        (theory.max_margin_risk, {"flip": flip}),
        (theory.max_margin_risk_bound, {}),
    ):
        with watch(function.__name__):
            risk = attempt(
                function, n_samples, spectrum, [mean] * len(spectrum), about=about, **more
            )
            assert 0 <= risk[0] <= 1
            assert risk[1] <= 0


@given(_sizes, _sizes, _numbers, _numbers)
def test_signal_noise_phase(n, d, signal, q):
    q = q + 2 if 0 < q < 1 else q
    with watch("signal_noise_phase"):
        attempt(theory.signal_noise_phase, n, d, signal, q=q, about=r"^(n|d|signal|q) ")


@given(shapes(), st.data())
def test_interpolating_sgd_and_batches(shape, data):
    X = data.draw(samples(shape))
    y = data.draw(targets(shape[0], multi=False))
    if data.draw(st.booleans()):
        # What some coefficients fit, unless rounding says otherwise.
        y = X.astype(float) @ np.linspace(1, 2, shape[1])
    about = r"^(X|y|X, kernel_matrix or eigenvalues) "
    with watch("critical_batch_size"):
        found = attempt(theory.critical_batch_size, X, about=about)
        # Infinite where any batch is worth its samples.
        assert float(found[0]) > 0
    with watch("interpolating_sgd"):
        attempt(
            theory.interpolating_sgd,
            X,
            y,
            n_repeats=1,
            max_steps=50,
            random_state=0,
            about=about,
        )


@given(shapes(), st.data(), st.sampled_from(["euclidean", "pnorm", "hypentropy"]))
def test_bregman_projection(shape, data, mirror):
    X = data.draw(samples(shape, dtypes=("float64", "int64")))
    w = np.random.default_rng(0).normal(size=shape[1])
    y = X.astype(float) @ w
    with watch("bregman_projection"):
        about = r"^(X|y|w0|mirror|No solution)\b"
        found = attempt(theory.bregman_projection, X, y, mirror=mirror, about=about)
        assert np.isfinite(found.coef).all()
        assert np.isfinite(found.residual)
        off = np.abs(X.astype(float) @ found.coef - y).max()
        assert off <= 1e-5 * np.abs(y).max() * len(y) + 1e-12 * np.abs(X).max()


_names = st.sampled_from(["isotropic", "power", "exponential", "isotropic", "power", "nothing"])


@given(_sizes, _sizes, _numbers, _shares, _names)
def test_data_sets(n_samples, n_features, number, share, spectrum):
    calls = {
        "make_minimum_norm_regression": {"spectrum": spectrum, "noise": number},
        "make_subgaussian_mixture": {"mean": number, "spectrum": spectrum, "flip": share},
        "make_low_rank_matrix_with_missing": {"missing": share, "noise": number, "rank": 1},
        "make_signal_noise_patches": {"signal": number},
    }
    about = r"^(n_samples|n_features|noise|mean|flip|missing|rank|signal|spectrum|n|d|kind|coef)\b"
    for name, options in calls.items():
        with watch(name):
            made = attempt(
                getattr(datasets, name),
                n_samples,
                n_features,
                random_state=0,
                about=about,
                **options,
            )
            X = np.asarray(made[0] if isinstance(made, tuple) else made)
            assert len(X) == n_samples
            assert not np.isinf(X).any()
    with watch("design_staircase"):
        peaks = [3 * n_samples, 3 * n_samples + 2 * n_features]
        about = r"^(peaks|n_samples|heights) "
        design = attempt(datasets.design_staircase, n_samples, peaks, about=about)
        assert design.peaks.tolist() == [n_samples, *peaks]


@given(shapes(), st.data(), st.sampled_from([MirrorDescent, PolyakSGD, GaussNewtonSGD]))
def test_optimizers(shape, data, kind):
    X = torch.from_numpy(data.draw(samples(shape, dtypes=("float64",), extreme=False)))
    y = X.new_ones(len(X))
    w = torch.nn.Parameter(X.new_full((shape[1],), 0.1))
    lr = data.draw(st.sampled_from([1.0, 0.1, 1e-30, -1.0, float("nan")]))
    with watch(kind.__name__):
        optimizer = attempt(kind, [w], lr=lr, about=r"^lr ")
        residuals = X @ w - y
        if kind is GaussNewtonSGD:
            return
        loss = residuals.square().mean() / 2
        optimizer.zero_grad()
        loss.backward()
        attempt(
            optimizer.step,
            *([] if kind is MirrorDescent else [lambda: loss.detach()]),
            about=r"lr|loss|finite|gradient",
        )
