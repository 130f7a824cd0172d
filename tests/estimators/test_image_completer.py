"""NTKImageCompleter: what a user who completes images relies on."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from scipy.interpolate import griddata
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skoverparam
from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.kernels import convolutional_ntk, encoder_decoder

PRIORS = ["adaptive", "stationary"]


def scenes(n=3, shape=(24, 30), channels=None, seed=0):
    """Stripes across smooth hills: texture and edges that have one place each."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[: shape[0], : shape[1]]
    images = []
    for _ in range(n * (channels or 1)):
        a, b, c, d = rng.uniform(0.1, 0.5, 4)
        stripes = np.sign(np.sin(a * i + b * j + 6 * c))
        images.append(0.5 + 0.25 * np.sin(c * i / 2) * np.cos(d * j / 2) + 0.2 * stripes)
    images = np.array(images)
    if channels is None:
        return images
    return np.moveaxis(images.reshape(n, channels, *shape), 1, -1)


@pytest.fixture(scope="module")
def data():
    truth = scenes()
    return mask_images(truth, missing=0.5, random_state=0), truth


@pytest.fixture(scope="module", params=PRIORS)
def fitted(request, data):
    return NTKImageCompleter(prior=request.param).fit(data[0])


def test_predicts_better_than_interpolation(data, fitted):
    # Sharp edges ring under a kernel that cannot see them.
    X, truth = data
    peer = "linear" if fitted.prior == "adaptive" else "nearest"
    errors = []
    for image, true in zip(X, truth, strict=True):
        holes = np.isnan(image)
        places, seen = np.argwhere(holes), np.argwhere(~holes)
        nearest = griddata(seen, image[~holes], places, "nearest")
        guess = griddata(seen, image[~holes], places, peer)
        errors.append(np.mean((np.where(np.isnan(guess), nearest, guess) - true[holes]) ** 2))
    assert -fitted.score(X, truth) < np.mean(errors) ** 0.5


def test_observed_pixels_come_back_bit_equal(data, fitted):
    X, _ = data
    completed = fitted.transform(X)
    assert completed.shape == X.shape
    assert np.isfinite(completed).all()
    np.testing.assert_array_equal(completed[~np.isnan(X)], X[~np.isnan(X)])


@pytest.mark.parametrize("prior", PRIORS)
def test_fit_transform_equals_fit_then_transform_and_other_images(prior, data):
    X, _ = data
    completer = NTKImageCompleter(prior=prior)
    expected = completer.fit_transform(X)
    np.testing.assert_array_equal(completer.fit(X).transform(X), expected)
    # What was not in the training set is completed by the same rule.
    other = NTKImageCompleter(prior=prior).fit(X[::-1][:1] * 0.5)
    np.testing.assert_allclose(other.transform(X), expected, rtol=0, atol=1e-5)


def test_an_image_alone_equals_the_image_in_a_batch(fitted):
    new = mask_images(scenes(n=4, seed=5), missing=0.6, random_state=5)
    batch = fitted.transform(new)
    for k, image in enumerate(new):
        # Products for many images are summed in another order; float32 inside.
        np.testing.assert_allclose(fitted.transform(image[None])[0], batch[k], rtol=0, atol=1e-6)


@pytest.mark.parametrize("upsampling", ["nearest", "periodic_bilinear", "bilinear"])
def test_fixed_priors_equal_the_direct_formula(upsampling):
    X = mask_images(scenes(n=2, shape=(16, 16), channels=2), missing=0.5, random_state=1)
    completer = NTKImageCompleter(
        prior="stationary",
        levels=2,
        upsampling=upsampling,
        shift_average=False,
        alpha=1e-3,
        tol=1e-9,
    )
    completed = completer.fit_transform(X)
    # A network on a torus so large that the image does not meet itself.
    side = {"nearest": 32, "periodic_bilinear": len(completer.kernel_[0, 0])}.get(upsampling, 16)
    layers = encoder_decoder(levels=2, upsampling=upsampling)
    K = convolutional_ntk(layers, shape=(side, side))
    K = K.values if upsampling == "bilinear" else K.dense().values
    K = K[:16, :16, :16, :16].reshape(256, 256)
    # Every phase is met equally often on 16 x 16 pixels.
    diagonal = np.diag(K).mean()
    for image, result in zip(X, completed, strict=True):
        seen = ~np.isnan(image[..., 0]).ravel()
        y = image.reshape(256, 2)[seen]
        A = K[np.ix_(seen, seen)] + 1e-3 * diagonal * np.eye(seen.sum())
        expected = y.mean(0) + K[:, seen] @ np.linalg.solve(A, y - y.mean(0))
        # The residual times the condition number, some thousand.
        np.testing.assert_allclose(
            result.reshape(256, 2)[~seen], expected[~seen], rtol=0, atol=1e-5
        )


def test_an_array_prior_equals_the_direct_formula():
    X = mask_images(scenes(n=1, shape=(10, 12)), missing=0.4, random_state=1)
    ramp = np.stack(np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 16), indexing="ij"))
    completed = NTKImageCompleter(prior=ramp[:, :10, :12], levels=2, alpha=1e-6).fit_transform(X)
    padded = np.pad(ramp[:, :10, :12], ((0, 0), (0, 2), (0, 0)), mode="edge")
    K = convolutional_ntk(encoder_decoder(levels=2), prior=padded).values[:10, :, :10]
    K = K.reshape(120, 120)
    seen = ~np.isnan(X.ravel())
    A = K[np.ix_(seen, seen)] + 1e-6 * np.diag(K).mean() * np.eye(seen.sum())
    y = X.ravel()[seen]
    expected = y.mean() + K[:, seen] @ np.linalg.solve(A, y - y.mean())
    np.testing.assert_allclose(completed.ravel()[~seen], expected[~seen], rtol=0, atol=1e-6)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("channels", [None, 3])
def test_shapes_of_images_and_flat_rows_agree(prior, channels):
    X = mask_images(scenes(n=2, shape=(9, 13), channels=channels), missing=0.4, random_state=2)
    images = NTKImageCompleter(prior=prior).fit(X)
    flat = NTKImageCompleter(image_shape=X.shape[1:], prior=prior).fit(X.reshape(2, -1))
    assert images.image_shape_ == flat.image_shape_ == (9, 13, channels or 1)
    np.testing.assert_array_equal(
        images.transform(X).reshape(2, -1), flat.transform(X.reshape(2, -1))
    )
    # A fitted completer takes either form.
    np.testing.assert_array_equal(flat.transform(X), images.transform(X))


def test_flat_rows_without_a_shape_are_one_pixel_high():
    rows = np.where(np.arange(40) % 3 == 1, np.nan, np.sin(np.arange(40) / 5.0))[None]
    completer = NTKImageCompleter().fit(rows)
    assert completer.image_shape_ == (1, 40, 1)
    np.testing.assert_allclose(
        completer.transform(rows), np.sin(np.arange(40) / 5.0)[None], rtol=0, atol=0.1
    )


@pytest.mark.parametrize("prior", PRIORS)
def test_channels_with_different_masks_are_completed_each_by_itself(prior):
    truth = scenes(n=2, channels=3, shape=(12, 14))
    X = np.where(np.random.default_rng(0).random(truth.shape) < 0.4, np.nan, truth)
    X[1, ..., 2] = truth[1, ..., 2]
    completer = NTKImageCompleter(prior=prior).fit(X)
    completed = completer.transform(X)
    np.testing.assert_array_equal(completed[1, ..., 2], truth[1, ..., 2])
    grey = NTKImageCompleter(prior=prior)
    for channel in range(3):
        expected = grey.fit_transform(X[..., channel])
        np.testing.assert_allclose(completed[..., channel], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 5), (17, 2)])
def test_images_smaller_than_the_network_s_grid(prior, shape):
    truth = np.linspace(0, 1, shape[0] * shape[1]).reshape(1, *shape)
    X = truth.copy()
    X.reshape(-1)[1::2] = np.nan
    completed = NTKImageCompleter(prior=prior).fit_transform(X)
    assert np.isfinite(completed).all()
    assert completed.min() >= -0.5
    assert completed.max() <= 1.5


@pytest.mark.parametrize("prior", PRIORS)
def test_one_observed_pixel_and_constant_images(prior):
    X = np.full((2, 6, 6), np.nan)
    X[0, 2, 3] = 4.5
    X[1, ::2] = -2.0
    completed = NTKImageCompleter(prior=prior).fit_transform(X)
    np.testing.assert_allclose(completed[0], 4.5, rtol=1e-5)
    np.testing.assert_allclose(completed[1], -2.0, rtol=1e-5)


def test_equal_pixels_whose_mean_is_rounded():
    X = np.where([[1, 0, 0], [0, 1, 1]], 3.5093156392093654e72, np.nan)[None]
    one = NTKImageCompleter(patch_size=1, n_neighbors=1, n_similar=0, bandwidth=1e-3)
    np.testing.assert_allclose(one.fit_transform(X), 3.5093156392093654e72, rtol=1e-5)


def test_complete_images_come_back_unchanged(data, fitted):
    _, truth = data
    np.testing.assert_array_equal(fitted.transform(truth), truth)
    again = clone(fitted).fit(truth)
    np.testing.assert_array_equal(again.transform(truth), truth)
    assert again.score(truth, None) == 0.0


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(("factor", "shift"), [(255.0, 0.0), (1e6, 3e5), (1e-6, 0.0)])
def test_units_change_nothing_but_the_units(prior, factor, shift, data):
    X, _ = data
    expected = NTKImageCompleter(prior=prior).fit_transform(X[:1])
    scaled = NTKImageCompleter(prior=prior).fit_transform(X[:1] * factor + shift)
    np.testing.assert_allclose((scaled - shift) / factor, expected, rtol=0, atol=2e-3)


def test_integers_with_a_value_for_missing_pixels(data):
    X, truth = data
    whole = np.where(np.isnan(X), 0, 1 + np.rint(200 * truth)).astype(np.uint8)
    completed = NTKImageCompleter(missing_values=0).fit_transform(whole)
    assert completed.dtype == np.float64
    np.testing.assert_array_equal(completed[whole > 0], whole[whole > 0])
    assert completed.min() >= 1
    assert completed.max() <= whole.max()


def test_float32_stays(data, fitted):
    X, _ = data
    completed = clone(fitted).fit_transform(X.astype(np.float32))
    assert completed.dtype == np.float32
    np.testing.assert_allclose(completed, fitted.transform(X), rtol=0, atol=2e-3)


def test_holes_are_filled_from_the_border_inwards():
    # Stripes across a hole much wider than a neighborhood: only their own continuation fits.
    j = np.arange(48)
    truth = np.broadcast_to(0.5 + 0.4 * np.sin(j / 2.0), (1, 48, 48)).copy()
    X = truth.copy()
    X[0, 16:32, 16:32] = np.nan
    completed = NTKImageCompleter().fit_transform(X)
    stationary = NTKImageCompleter(prior="stationary").fit_transform(X)
    error = np.abs(completed - truth).max()
    assert error < 0.1
    assert error < 0.5 * np.abs(stationary - truth).max()


def test_a_guide_shows_where_the_edges_are(data):
    truth = data[1][:1]
    X = mask_images(truth, missing=0.8, random_state=1)
    plain = NTKImageCompleter(n_passes=1).fit(X)
    guided = NTKImageCompleter(guide=truth[0]).fit(X)
    assert guided.score(X, truth) > 0.8 * plain.score(X, truth)
    assert guided.n_iter_ == 1
    # In units that single precision does not hold.
    filled = guided.transform(X.astype(np.float32))
    for exponent in (-900, 900):
        other = NTKImageCompleter(guide=np.ldexp(truth[0], exponent))
        np.testing.assert_array_equal(other.fit_transform(X.astype(np.float32)), filled)


def test_passes_pay(data):
    X, truth = data
    scores = [NTKImageCompleter(n_passes=k).fit(X).score(X, truth) for k in (1, 4)]
    assert scores[1] > scores[0]


def test_score_looks_only_at_what_is_missing(data, fitted):
    X, truth = data
    elsewhere = np.where(np.isnan(X), truth, 1e6)
    assert fitted.score(X, elsewhere) == fitted.score(X, truth)
    holes = np.isnan(X)
    expected = -np.sqrt(np.mean((fitted.transform(X) - truth)[holes] ** 2))
    assert fitted.score(X, truth) == pytest.approx(expected, rel=1e-12)
    unknown = np.where(np.arange(len(X))[:, None, None] == 0, truth, np.nan)
    first = fitted.score(X[:1], truth[:1])
    assert fitted.score(X, unknown) == pytest.approx(first, rel=1e-6)


def test_a_wrong_truth_is_refused(data, fitted):
    X, truth = data
    with pytest.raises(ValueError, match=r"y must be the true images, .*\(3, 24, 30\).*\(3, 24\)"):
        fitted.score(X, truth[..., 0])
    with pytest.raises(ValueError, match="got None"):
        fitted.score(X)
    with pytest.raises(ValueError, match="no entry to score"):
        fitted.score(X, X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((2, 4, 4), np.nan), "Image 0 of X has no observed pixel"),
        (np.stack([np.eye(4), np.full((4, 4), np.nan)]), "Image 1 of X has no observed pixel"),
        (
            np.where(np.arange(2) == 1, np.nan, np.ones((1, 4, 4, 2))),
            "Image 0 of X has no observed pixel in channel 1",
        ),
        (np.array([[[1.0, np.nan], [np.inf, 0.0]]]), "infinity"),
        (np.zeros((2, 3, 3, 3, 2)), "X must have shape"),
        (np.zeros((0, 3, 3)), "0 sample"),
        (np.full((1, 2, 2), "grey"), "could not convert|dtype"),
    ],
)
def test_bad_images_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        NTKImageCompleter().fit(X)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"prior": "random"}, ValueError, "prior must be one of"),
        ({"prior": np.zeros((2, 5, 5))}, ValueError, r"prior must have shape .*24, 30.*\(2, 5, 5"),
        ({"prior": np.zeros(5)}, ValueError, "prior must have 3 dimensions"),
        ({"guide": np.zeros((5, 5))}, ValueError, r"guide must have shape \(24, 30\)"),
        ({"guide": np.zeros((24, 30)), "prior": "stationary"}, ValueError, "guide is for"),
        ({"image_shape": (24, 31)}, ValueError, r"images of shape \(24, 31, 1\)"),
        ({"image_shape": 720}, ValueError, "image_shape must be"),
        ({"image_shape": (24, 30.5)}, TypeError, "image_shape"),
        ({"n_passes": 0}, ValueError, "n_passes"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors"),
        ({"n_similar": -1}, ValueError, "n_similar"),
        ({"patch_size": 4}, ValueError, "patch_size must be odd, got 4"),
        ({"bandwidth": 0.0}, ValueError, "bandwidth"),
        ({"kernel": "cubic"}, ValueError, "kernel must be one of"),
        ({"levels": -1}, ValueError, "levels"),
        ({"convs_per_level": 0}, ValueError, "convs_per_level"),
        ({"kernel_size": 2}, ValueError, "kernel_size must be odd, got 2"),
        ({"activation": "tanh"}, ValueError, "activation"),
        ({"upsampling": "cubic"}, ValueError, "upsampling must be one of"),
        ({"upsampling": "bilinear"}, ValueError, "prior='adaptive' needs upsampling='nearest'"),
        ({"shift_average": 2}, TypeError, "shift_average"),
        ({"alpha": -1.0}, ValueError, "alpha"),
        ({"tol": 0.0}, ValueError, "tol"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"device": "tpu"}, ValueError, "device"),
    ],
)
def test_bad_parameters_are_named_before_any_work(data, parameters, error, message):
    X, _ = data
    completer = NTKImageCompleter().fit(X)
    before = completer.completion_
    with pytest.raises(error, match=message):
        completer.set_params(**parameters).fit(X)
    assert completer.completion_ is before


def test_images_of_another_shape_are_refused(data, fitted):
    with pytest.raises(ValueError, match="720|shape"):
        fitted.transform(data[0][:, :, :29])
    with pytest.raises(ValueError, match=r"images of shape \(24, 30, 1\)"):
        fitted.transform(np.swapaxes(data[0], 1, 2))


def test_dense_kernels_above_the_memory_budget_are_not_allocated(data):
    with (
        skoverparam.config_context(memory_budget=5_000_000),
        pytest.raises(MemoryError, match=r"24 x 30.*GiB.*budget.*tiles"),
    ):
        NTKImageCompleter(prior="stationary", upsampling="bilinear").fit(data[0])


@pytest.mark.parametrize("prior", PRIORS)
def test_levels_whose_kernel_does_not_fit_are_refused(data, prior):
    # The kernel of displacements has 4 p^4 numbers, p = 2^levels, whatever the size of the images.
    with (
        skoverparam.config_context(memory_budget=4_000_000_000),
        pytest.raises(MemoryError, match="Each of the levels takes 16 times the memory"),
    ):
        NTKImageCompleter(prior=prior, levels=9).fit(data[0])


def test_too_few_iterations_are_reported(data):
    completer = NTKImageCompleter(prior="stationary", tol=1e-10, max_iter=1)
    with pytest.warns(ConvergenceWarning, match="Increase alpha, tol or max_iter=1"):
        completer.fit(data[0])
    assert completer.residual_ > 1e-10


def test_stopping_by_held_out_pixels_costs_no_accuracy(data):
    X, truth = data
    held_out = NTKImageCompleter(prior="stationary", tol="auto").fit(X)
    solved = NTKImageCompleter(prior="stationary", tol=1e-7).fit(X)
    assert held_out.score(X, truth) > 1.05 * solved.score(X, truth)
    assert held_out.residual_ > solved.residual_


def test_layouts_of_memory(data, fitted):
    X, _ = data
    expected = fitted.transform(X)
    read_only = X.copy()
    read_only.setflags(write=False)
    for other in (np.asfortranarray(X), read_only, X[::-1][::-1], X.tolist()):
        np.testing.assert_array_equal(fitted.transform(other), expected)


def test_data_frames_and_set_output(data, fitted):
    X = data[0].reshape(3, -1)
    names = [f"pixel{j}" for j in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names, index=list("abc"))
    completer = clone(fitted).set_params(image_shape=(24, 30)).set_output(transform="pandas")
    completed = completer.fit(frame).transform(frame)
    assert list(completed.columns) == names
    assert list(completed.index) == list("abc")
    expected = fitted.transform(data[0]).reshape(3, -1)
    np.testing.assert_array_equal(completed.to_numpy(), expected)
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({name: X[:, j] for j, name in enumerate(names)})
    completed = completer.set_output(transform="polars").fit(frame).transform(frame)
    np.testing.assert_array_equal(completed.to_numpy(), expected)


def test_a_tensor_without_dispatch_comes_back_as_a_tensor(data, fitted, device):
    X, _ = data
    completer = clone(fitted).fit(torch.tensor(X, device=device))
    completed = completer.transform(torch.tensor(X, device=device))
    assert isinstance(completed, torch.Tensor)
    assert completed.device.type == device.type
    assert completed.shape == X.shape
    assert isinstance(completer.completion_, np.ndarray)
    np.testing.assert_allclose(completed.cpu().numpy(), fitted.transform(X), rtol=0, atol=2e-3)


@pytest.mark.parametrize("way", ["pickle", "skops", "clone"])
def test_round_trips(data, fitted, way):
    X, _ = data
    new = mask_images(scenes(n=1, seed=9), missing=0.3, random_state=9)
    if way == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    elif way == "skops":
        dumped = skops.io.dumps(fitted)
        trusted = skops.io.get_untrusted_types(data=dumped)
        assert trusted == ["skoverparam.estimators._image_completer.NTKImageCompleter"]
        again = skops.io.loads(dumped, trusted=trusted)
    else:
        again = clone(fitted).fit(X)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    np.testing.assert_array_equal(again.transform(new), fitted.transform(new))


def test_search_in_parallel_and_in_a_pipeline():
    truth = scenes(n=6, shape=(12, 12))
    X = mask_images(truth, missing=0.4, random_state=3)
    flat, flat_truth = X.reshape(6, -1), truth.reshape(6, -1)
    completer = NTKImageCompleter(image_shape=(12, 12))
    grid = {"prior": ["adaptive", "stationary"], "levels": [2, 3]}
    search = GridSearchCV(completer, grid, cv=2, n_jobs=2, error_score="raise")
    search.fit(flat, flat_truth)
    assert search.best_score_ < 0
    serial = GridSearchCV(completer, grid, cv=2).fit(flat, flat_truth)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"], rtol=1e-5
    )
    pipe = make_pipeline(completer, Ridge()).fit(flat, flat_truth.mean(axis=1))
    assert pipe.predict(flat).shape == (6,)


def test_callbacks_see_a_fitted_estimator_after_every_pass(data):
    X, truth = data
    seen = []

    class Watch:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            if context.task_name == "pass":
                seen.append(fitted_estimator.score(X, truth.reshape(3, -1)))
                return len(seen) == 3
            return None

    completer = NTKImageCompleter(n_passes=5).set_callbacks(Watch()).fit(X)
    # The start and two passes; then the callback stopped the fit.
    assert len(seen) == 3
    assert completer.n_iter_ == 2
    assert seen[2] > seen[0]
    assert completer.score(X, truth) == seen[2]


@pytest.mark.parametrize("prior", PRIORS)
def test_no_warning_in_an_ordinary_fit(prior, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NTKImageCompleter(prior=prior).fit(data[0]).transform(data[0])


@pytest.mark.gpu
@pytest.mark.parametrize("prior", PRIORS)
def test_the_gpu_agrees_with_the_cpu(prior, data):
    X, _ = data
    cpu = NTKImageCompleter(prior=prior, device="cpu", tol=1e-7).fit(X)
    cuda = NTKImageCompleter(prior=prior, device="cuda", tol=1e-7).fit(X)
    np.testing.assert_allclose(cuda.transform(X), cpu.transform(X), rtol=0, atol=2e-3)
    assert isinstance(cuda.completion_, np.ndarray)


def test_a_kernel_without_neighbors_fills_in_the_mean():
    # Without layers no two pixels are alike: there is nothing to factorize beside the diagonal.
    X = np.random.default_rng(0).normal(size=(1, 3, 5))
    holed = X.copy()
    holed[:, :, 1:4] = np.nan
    filled = NTKImageCompleter(prior="stationary", levels=0, alpha="auto").fit_transform(holed)
    np.testing.assert_array_equal(filled[:, :, [0, 4]], X[:, :, [0, 4]])
    assert np.ptp(filled[0, 0, 1:4]) < 1e-6


@pytest.mark.parametrize("size", [0.0, 1e-200])
def test_a_prior_whose_squares_are_zero_is_named(data, size):
    with pytest.raises(ValueError, match="prior must have entries whose squares are above zero"):
        NTKImageCompleter(prior=np.full((2, 24, 30), size)).fit(data[0])


@pytest.mark.parametrize("exponent", [-1000, -700, 700, 1015])
@pytest.mark.parametrize("options", [{}, {"tol": "auto"}, {"upsampling": "bilinear", "levels": 1}])
def test_values_whose_squares_are_no_numbers(exponent, options):
    truth = scenes(n=1, shape=(10, 12))
    X = mask_images(truth, missing=0.3, random_state=0)
    plain = NTKImageCompleter(prior="stationary", **options).fit(X)
    scaled = NTKImageCompleter(prior="stationary", **options).fit(2.0**exponent * X)
    assert scaled.residual_ == plain.residual_
    filled = scaled.transform(2.0**exponent * X) / 2.0**exponent
    np.testing.assert_allclose(filled, plain.transform(X), rtol=1e-12)
