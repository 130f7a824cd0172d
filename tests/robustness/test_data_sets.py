"""Generated data keep what they promise; entries are held out once, and scored as by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import holes, shapes
from robustness.watch import attempt, watch
from sklearn.impute import SimpleImputer

from skoverparam import MinNormRegressor, datasets
from skoverparam.model_selection import (
    EntryKFold,
    EntryShuffleSplit,
    cross_val_entries,
    generalization_curve,
)

_seeds = st.integers(0, 2**32 - 1)
_shares = st.floats(0, 0.99)


@given(shapes(min_samples=2, min_features=2), _shares, _seeds, st.data())
def test_low_rank_matrices(shape, share, seed, data):
    mechanism = data.draw(st.sampled_from(["random", "uneven", "blocks", "rows", "columns"]))
    rank, (n, d) = data.draw(st.integers(1, min(shape))), shape
    groups = data.draw(st.integers(1, n))
    options = {"rank": rank, "missing": share, "mechanism": mechanism, "n_groups": groups}
    make = datasets.make_low_rank_matrix_with_missing
    with watch("make_low_rank_matrix_with_missing", warns=()):
        X, truth, U, V = make(n, d, noise=1.0, return_factors=True, random_state=seed, **options)
        missing = np.isnan(X)
        np.testing.assert_allclose(U @ V.T, truth, rtol=0, atol=1e-12)
        assert np.linalg.matrix_rank(truth) <= rank
        whole = {"rows": missing.all(1), "columns": missing.all(0)}.get(mechanism)
        if whole is not None:
            assert whole.sum() == round(share * len(whole))
            assert missing.sum() == whole.sum() * (d if mechanism == "rows" else n)
        elif mechanism != "blocks":
            assert missing.sum() == round(share * n * d)
        louder, _ = make(n, d, noise=2.0**500, random_state=seed, **options)
        np.testing.assert_array_equal(np.isnan(louder), missing)
        seen = ~missing
        np.testing.assert_allclose(
            np.ldexp(louder[seen], -500), (X - truth)[seen], rtol=1e-9, atol=1e-12
        )


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([-400, 3, 400]), _seeds, st.data())
def test_regression_problems(n, d, exponent, seed, data):
    distribution = data.draw(st.sampled_from(["gaussian", "rademacher", "trimodal", "spike"]))
    lam = np.random.default_rng(seed).uniform(0.1, 10, d)
    options = {"distribution": distribution, "return_truth": True, "random_state": seed}
    with watch("make_minimum_norm_regression", warns=()):
        X, y, truth = datasets.make_minimum_norm_regression(n, spectrum=lam, **options)
        np.testing.assert_allclose(X @ truth.coef, y, rtol=0, atol=1e-12 * np.abs(X).max())
        np.testing.assert_allclose(truth.variances, lam, rtol=1e-12)
        larger = np.ldexp(lam, 2 * exponent)
        Z, _, _ = datasets.make_minimum_norm_regression(n, spectrum=larger, **options)
        np.testing.assert_array_equal(Z, np.ldexp(X, exponent))
        _, noisy, _ = datasets.make_minimum_norm_regression(n, spectrum=lam, noise=2.0, **options)
        _, loud, _ = datasets.make_minimum_norm_regression(n, spectrum=lam, noise=4.0, **options)
        np.testing.assert_allclose(loud - y, 2 * (noisy - y), rtol=1e-9, atol=1e-12)


@given(
    st.integers(1, 9),
    st.integers(2, 9),
    st.integers(1, 4),
    st.sampled_from([1e-300, 1e-200, 1.0, 1e200, 1e300]),
    st.sampled_from([0.0, 1e-200, 1.0, 1e200, 1e300]),
    _seeds,
    st.floats(0, 0.49),
)
def test_patches_of_signal_and_noise(n, d, n_patches, size, sigma, seed, flip):
    signal = size * np.random.default_rng(seed).normal(size=d)
    with watch("make_signal_noise_patches", warns=()):
        X, y, truth = datasets.make_signal_noise_patches(
            n, d, signal, n_patches=n_patches, sigma_p=sigma, flip=flip, random_state=seed
        )
        patches = X.reshape(n, n_patches, d)
        np.testing.assert_array_equal(
            patches[np.arange(n), truth.signal_position], truth.y[:, None] * signal
        )
        assert (y != truth.y).sum() == round(flip * n)
        # Noise is orthogonal to the signal, whatever the sizes of both.
        direction = signal / size / np.linalg.norm(signal / size)
        noise = truth.noise / (sigma or 1.0)
        assert np.abs(noise @ direction).max(initial=0) < 1e-13
        if n_patches > 1 and sigma:
            assert np.abs(noise).max() > 1e-9


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.0, 1e-200, 3.0, 1e200]), _seeds)
def test_mixtures(n, d, mean, seed):
    options = {"return_truth": True, "random_state": seed}
    with watch("make_subgaussian_mixture", warns=()):
        noise, y, _ = datasets.make_subgaussian_mixture(n, d, mean=0.0, **options)
        for direction in ("first", "last", "flat"):
            X, same, truth = datasets.make_subgaussian_mixture(
                n, d, mean=mean, direction=direction, **options
            )
            np.testing.assert_array_equal(same, y)
            size = np.linalg.norm(truth.mean / (mean or 1.0)) if mean else 1.0
            np.testing.assert_allclose(size, 1, rtol=1e-12)
            np.testing.assert_allclose(X, noise + y[:, None] * truth.mean, rtol=1e-12)


@given(st.integers(1, 3), st.integers(8, 16), st.floats(0, 0.9), _seeds, st.booleans())
def test_masks(n, side, share, seed, colored):
    shape = (n, side, side) + (3,) * colored
    images = np.random.default_rng(seed).normal(size=shape)
    with watch("mask_images", warns=()):
        masked = datasets.mask_images(images, missing=share, random_state=seed)
        missing = np.isnan(masked)
        np.testing.assert_array_equal(masked[~missing], images[~missing])
        pixels = missing.reshape(n, side, side, -1)
        assert (pixels.all(-1) == pixels.any(-1)).all()
        assert (pixels.all(-1).sum((1, 2)) == round(share * side * side)).all()


@st.composite
def tables(draw):
    shape = draw(shapes(min_samples=2, min_features=2))
    X = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape)
    X[draw(holes(shape))] = np.nan
    return X


@given(tables(), st.integers(2, 6), _seeds)
def test_folds_of_entries(X, n_splits, seed):
    about = r"^(X|n_splits|No |test_size)"
    with watch("EntryKFold", warns=()):
        splitter = EntryKFold(n_splits, random_state=seed)
        held_out = np.zeros(X.shape, dtype=int)
        for X_train, held in attempt(lambda: list(splitter.split(X)), about=about):
            held_out += held
            assert np.isnan(X_train[held]).all()
            np.testing.assert_array_equal(X_train[~held], X[~held])
        assert (held_out <= 1).all()
        assert (held_out[np.isnan(X)] == 0).all()
    with watch("EntryShuffleSplit", warns=()):
        splitter = EntryShuffleSplit(n_splits=2, test_size=0.3, random_state=seed)
        for X_train, held in attempt(lambda: list(splitter.split(X)), about=about):
            assert not np.isnan(X[held]).any()
            np.testing.assert_array_equal(X_train[~held], X[~held])


@given(tables(), _seeds)
def test_scores_of_entries_are_those_by_hand(X, seed):
    splitter = EntryKFold(2, random_state=seed)
    imputer = SimpleImputer(keep_empty_features=True)
    with watch("cross_val_entries"):
        about = r"^(X|n_splits|No |A split holds out no entry)"
        scores = attempt(cross_val_entries, imputer, X, cv=splitter, about=about)
        by_hand = []
        for X_train, held in splitter.split(X):
            miss = (imputer.fit_transform(X_train) - X)[held]
            by_hand.append(-np.sqrt(np.mean(miss**2)))
        np.testing.assert_allclose(scores, by_hand, rtol=1e-12)


@given(st.integers(4, 9), st.integers(2, 9), _seeds, st.booleans(), st.booleans())
def test_curves_are_those_of_single_fits(n, d, seed, intercept, noisy):
    rng = np.random.default_rng(seed)
    X, order = rng.normal(size=(2 * n, d)), rng.permutation(2 * n)
    y = X.sum(1) + noisy * rng.normal(size=2 * n)
    train, test = order[:n], order[n:]
    with watch("generalization_curve"):
        curve = generalization_curve(
            MinNormRegressor(fit_intercept=intercept),
            X,
            y,
            param_range=range(1, d + 1),
            cv=[(train, test)],
            scoring="neg_mean_squared_error",
        )
        for k in range(1, d + 1):
            model = MinNormRegressor(fit_intercept=intercept, n_features_used=k)
            missed = y[test] - model.fit(X[train], y[train]).predict(X[test])
            scale = np.abs(model.coef_).max() ** 2 + np.mean(y**2)
            found = -curve.test_scores[k - 1, 0] if curve.negate else curve.test_scores[k - 1, 0]
            np.testing.assert_allclose(
                np.abs(found), np.mean(missed**2), rtol=1e-6, atol=1e-9 * scale
            )
