"""The Display of a completed image: the artists hold the right numbers."""

import builtins
import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.impute import KNNImputer

from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.inpainting._adaptive import _CONSTANT, ADAPTIVE
from skoverparam.inpainting._choice import choose
from skoverparam.inspection import ImageCompletionDisplay
from skoverparam.kernels import convolutional_ntk, encoder_decoder

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402

SHAPE = (20, 26)


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def truth():
    i, j = np.mgrid[: SHAPE[0], : SHAPE[1]]
    first = np.sin(i / 4) * np.cos(j / 5) + (i + j > 22)
    return np.stack([first, np.cos(i / 5 + j / 3)])


@pytest.fixture(scope="module")
def masked(truth):
    return mask_images(truth, missing=0.4, random_state=0)


@pytest.fixture(scope="module")
def completer(masked):
    return NTKImageCompleter(levels=2, n_passes=2).fit(masked)


def test_panels_show_corrupted_completed_and_truth(truth, masked, completer):
    display = ImageCompletionDisplay.from_estimator(completer, masked, truth, index=1)
    corrupted, completed, true = (image.get_array() for image in display.images_)
    holes = np.isnan(masked[1])
    np.testing.assert_array_equal(np.ma.getmaskarray(corrupted), holes)
    np.testing.assert_array_equal(corrupted[~holes], masked[1][~holes])
    np.testing.assert_array_equal(completed, completer.transform(masked)[1])
    np.testing.assert_array_equal(true, truth[1])
    error = completer.transform(masked)[1] - truth[1]
    psnr = 10 * math.log10(np.ptp(truth[1]) ** 2 / np.mean(error**2))
    assert display.psnr_ == pytest.approx(psnr)
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == ["40 % missing", f"completed, {psnr:.2f} dB", "truth"]
    # The panels can be compared: one scale of grey, that of the observed pixels.
    limits = (np.nanmin(masked[1]), np.nanmax(masked[1]))
    assert {image.get_clim() for image in display.images_} == {limits}
    assert display.figure_ is display.axes_[0].figure


def test_missing_pixels_have_a_color_that_is_not_in_the_picture(masked, completer):
    display = ImageCompletionDisplay.from_estimator(completer, masked)
    cmap = display.images_[0].get_cmap()
    greys = cmap(np.linspace(0, 1, 256))
    assert abs(greys - cmap.get_bad()).sum(axis=1).min() > 0.5
    display.plot(missing_color="lime")
    np.testing.assert_array_equal(display.images_[0].get_cmap().get_bad(), (0, 1, 0, 1))


@pytest.mark.parametrize("color", ["tab:red", "magenta", "lime"])
def test_colors(truth, color):
    image = np.clip(np.stack([truth[0], truth[1], truth[0] ** 2], axis=2), 0, 1)
    image[:4], image[4, :2] = to_rgb(color), [(0, 0, 0), (1, 1, 1)]
    masked = mask_images(255 * image[None], missing=0.3, random_state=0)[0]
    masked[4, :2] = 255 * image[4, :2]
    display = ImageCompletionDisplay.from_images(masked, 255 * image, 255 * image)
    holes = np.isnan(masked).any(axis=2)
    drawn = [shown.get_array() for shown in display.images_]
    np.testing.assert_allclose(drawn[0][~holes], image[~holes], atol=1e-12)
    np.testing.assert_allclose(drawn[1], image, atol=1e-12)
    np.testing.assert_allclose(drawn[2], image, atol=1e-12)
    hole_colors = np.unique(drawn[0][holes], axis=0)
    assert len(hole_colors) == 1
    assert ((image - hole_colors[0]) ** 2).sum(axis=2).min() > 0.05
    display.plot(missing_color=color, im_kw={"vmin": 0, "vmax": 510})
    np.testing.assert_allclose(display.images_[1].get_array(), image / 2, atol=1e-12)
    np.testing.assert_array_equal(
        np.unique(display.images_[0].get_array()[holes], axis=0), [to_rgb(color)]
    )


def test_pictures_of_two_channels_are_drawn_as_their_mean(truth):
    image = np.moveaxis(truth, 0, 2)
    display = ImageCompletionDisplay.from_images(image, image)
    np.testing.assert_array_equal(display.images_[0].get_array(), image.mean(axis=2))


def test_decibels_can_refer_to_another_range(truth, masked):
    completed = np.where(np.isnan(masked[0]), 0.0, truth[0])
    display = ImageCompletionDisplay.from_images(masked[0], completed, truth[0], data_range=255)
    mse = np.mean((completed - truth[0]) ** 2)
    assert display.psnr_ == pytest.approx(10 * math.log10(255**2 / mse))
    perfect = ImageCompletionDisplay.from_images(masked[0], truth[0], truth[0])
    assert perfect.psnr_ == math.inf
    with pytest.raises(ValueError, match="data_range"):
        ImageCompletionDisplay.from_images(masked[0], completed, truth[0], data_range=0)


def test_pixels_without_truth_do_not_count(truth, masked):
    known = truth[0].copy()
    known[:5] = np.nan
    completed = truth[0] + 0.1
    completed[:5] = 100
    display = ImageCompletionDisplay.from_images(masked[0], completed, known, data_range=1)
    assert display.psnr_ == pytest.approx(20)
    nothing = ImageCompletionDisplay.from_images(masked[0], completed, np.full(SHAPE, np.nan))
    assert math.isnan(nothing.psnr_)


def test_without_the_truth_there_are_two_panels(masked):
    imputer = KNNImputer().fit(masked[0])
    display = ImageCompletionDisplay.from_images(masked[0], imputer.transform(masked[0]))
    assert len(display.axes_) == len(display.images_) == 2
    assert display.psnr_ is None
    assert display.axes_[1].get_title() == "completed"
    with pytest.raises(ValueError, match="There is no kernel to draw"):
        display.plot_kernel()


@pytest.mark.parametrize("kind", ["tensor", "rows", "frame", "marked", "integers"])
def test_images_come_in_any_kind(truth, masked, kind):
    X, options = masked, {}
    if kind == "tensor":
        X = torch.from_numpy(masked)
    elif kind in ("rows", "frame"):
        X, options = masked.reshape(2, -1), {"image_shape": SHAPE}
        X = pd.DataFrame(X).rename(columns=str) if kind == "frame" else X
    elif kind == "marked":
        X, options = np.where(np.isnan(masked), -99, masked), {"missing_values": -99}
    elif kind == "integers":
        whole = np.where(np.isnan(masked), -99, np.rint(9 * masked))
        X, options = whole.astype(int), {"missing_values": -99}
    completer = NTKImageCompleter(levels=1, prior="stationary", **options).fit(X)
    display = ImageCompletionDisplay.from_estimator(completer, X, index=1)
    shown = display.images_[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), np.isnan(masked[1]))
    completed = np.asarray(completer.transform(X), dtype=float).reshape(2, *SHAPE)
    np.testing.assert_array_equal(display.X_completed, completed[1])


@pytest.mark.parametrize("upsampling", ["nearest", "periodic_bilinear", "bilinear"])
@pytest.mark.parametrize("averaged", [True, False])
def test_the_network_kernel_around_a_pixel(masked, upsampling, averaged):
    completer = NTKImageCompleter(
        prior="stationary", levels=1, upsampling=upsampling, shift_average=averaged
    ).fit(masked)
    display = ImageCompletionDisplay.from_estimator(completer, masked)
    display.plot_kernel((2, 5), radius=4)
    layers = encoder_decoder(1, upsampling=upsampling)
    kernel = convolutional_ntk(layers, shape=SHAPE)
    if upsampling != "bilinear" and averaged:
        kernel = kernel.averaged()
    expected = kernel.row(2, 5)[0:7, 1:10] / kernel.row(2, 5)[2, 5]
    image, drawn = display.kernel_images_
    # A torus of another size changes an interpolated kernel a little.
    atol = 1e-3 if upsampling == "periodic_bilinear" else 1e-12
    np.testing.assert_allclose(drawn.get_array(), expected, atol=atol)
    # The pixel is at the origin, and nothing is drawn beyond the border.
    assert drawn.get_extent() == image.get_extent() == [-4.5, 4.5, 4.5, -2.5]
    np.testing.assert_array_equal(image.get_array(), display.X_completed[0:7, 1:10])


def _formula(display, completer, pixel, image):
    """The kernel with features of all patches inside the image, from its definition."""
    T = completer.kernel_[0, 0]
    T, far = T / T.max(), completer.kernel_far_ / T.max()
    holes = np.isnan(display.X).reshape(*SHAPE, -1).any(axis=2)
    seen = image.reshape(*SHAPE, -1)
    known = seen[~holes] if completer.guide is None else seen.reshape(-1, seen.shape[2])
    extent = np.ptp(known, axis=0).max()
    # Two at a side of seven, in proportion.
    deviation = completer.patch_size * 2 / 7
    r, reach = completer.patch_size // 2, len(T) // 2
    steps = [(a, b) for a in range(-r, r + 1) for b in range(-r, r + 1) if a or b]
    i, j = pixel
    weights = np.array([np.exp(-(a * a + b * b) / (2 * deviation**2)) for a, b in steps])
    if completer.guide is None:
        weights *= [ADAPTIVE.schedule(0.4)[0] if holes[i + a, j + b] else 1 for a, b in steps]
    weights /= weights.sum() * seen.shape[2]
    features = {}
    for k in range(r, SHAPE[0] - r):
        for m in range(r, SHAPE[1] - r):
            features[k, m] = np.array([seen[k + a, m + b] for a, b in steps]) / extent
    kernel = {}
    for place, f in features.items():
        squared = (weights[:, None] * (f - features[pixel]) ** 2).sum()
        u, v = place[0] - i, place[1] - j
        near = max(abs(u), abs(v)) <= reach
        displacement = T[reach + u, reach + v] if near else far
        alike = np.exp(-squared / (2 * completer.bandwidth**2))
        kernel[place] = ((1 - _CONSTANT) * displacement + _CONSTANT) * alike
    return kernel


@pytest.mark.parametrize("case", ["grey", "color", "guide"])
def test_the_adapted_kernel_around_a_pixel(truth, masked, case):
    options, X = {"kernel": "gaussian"}, masked
    if case == "color":
        image = np.stack([truth[0], truth[1], truth[0] - truth[1]], axis=2)[None]
        X = mask_images(image, missing=0.4, random_state=0)
    if case == "guide":
        options["guide"] = truth[1] + np.arange(SHAPE[1]) / 9
    completer = NTKImageCompleter(
        levels=2, n_passes=2, patch_size=3, bandwidth=0.3, **options
    ).fit(X)
    display = ImageCompletionDisplay.from_estimator(completer, X)
    pixel = (9, 12)
    display.plot_kernel(pixel, radius=6)
    assert [ax.get_title() for ax in display.kernel_axes_] == [
        "completed, around (9, 12)",
        "kernel of the network",
        "adapted to the image",
    ]
    drawn = display.kernel_images_[2].get_array()
    expected = _formula(display, completer, pixel, options.get("guide", display.X_completed))
    found = {(i, j): drawn[i - 3, j - 6] for i in range(3, 16) for j in range(6, 19)}
    # Computed in float32.
    for place, value in found.items():
        assert value == pytest.approx(expected[place], abs=1e-5)


def test_the_adapted_kernel_with_chosen_settings():
    i, j = np.mgrid[:56, :60]
    stripes = np.sin(1.9 * i + 0.7 * j) + 0.2 * np.sin(i * j / 9)
    X = mask_images(stripes[None], missing=0.4, random_state=0)
    others = {"n_neighbors": 9, "n_similar": 6, "alpha": 0.02}
    chooses = NTKImageCompleter(levels=2, n_passes=1, patch_size=3, **others).fit(X)
    display = ImageCompletionDisplay.from_estimator(chooses, X).plot_kernel((20, 30))
    T = torch.from_numpy(chooses.kernel_[0, 0] / chooses.kernel_.max())
    settings = ADAPTIVE._replace(
        n_neighbors=9,
        n_similar=6,
        nugget=0.02,
        patch_size=3,
        patch_deviation=6 / 7,
        bandwidth=chooses.bandwidth,
    )
    chosen = choose(
        torch.from_numpy(X),
        torch.from_numpy(np.isnan(X[0])),
        T,
        chooses.kernel_far_ / chooses.kernel_.max(),
        settings,
    )
    assert chosen.patch_size > 3  # or nothing is tested
    given = NTKImageCompleter(
        levels=2,
        n_passes=1,
        kernel="gaussian",
        patch_size=chosen.patch_size,
        bandwidth=chosen.bandwidth,
        **others,
    ).fit(X)
    expected = ImageCompletionDisplay.from_estimator(given, X).plot_kernel((20, 30))
    np.testing.assert_allclose(
        display.kernel_images_[2].get_array(), expected.kernel_images_[2].get_array(), atol=1e-6
    )


def test_the_pixel_is_a_missing_one_near_the_middle(masked, completer):
    display = ImageCompletionDisplay.from_estimator(completer, masked)
    display.plot_kernel(radius=3)
    title = display.kernel_axes_[0].get_title()
    i, j = (int(word) for word in title.split("(")[1].rstrip(")").split(","))
    holes = np.argwhere(np.isnan(masked[0]))
    middle = (np.array(SHAPE) - 1) / 2
    distances = ((holes - middle) ** 2).sum(axis=1)
    assert np.isnan(masked[0, i, j])
    assert ((np.array([i, j]) - middle) ** 2).sum() == distances.min()


def test_axes_can_be_given(truth, masked, completer):
    figure, axes = plt.subplots(1, 3)
    display = ImageCompletionDisplay.from_estimator(completer, masked, truth, ax=axes)
    assert list(display.axes_) == list(axes)
    assert display.figure_ is figure
    figure, ax = plt.subplots()
    display.plot_kernel(ax=ax)
    assert display.figure_ is figure
    assert len(display.kernel_axes_) == 3
    with pytest.raises(ValueError, match="ax must be one or 3 matplotlib axes, got 2"):
        display.plot(axes[:2])


def test_styles_are_passed_on(masked, completer):
    display = ImageCompletionDisplay.from_estimator(
        completer, masked, im_kw={"cmap": "viridis", "vmin": -9}
    )
    assert display.images_[0].get_cmap().name == "viridis"
    assert display.images_[0].get_clim()[0] == -9
    display.plot_kernel(im_kw={"vmin": 0.25})
    assert display.kernel_images_[1].get_clim() == (0.25, 1)


def test_wrong_input_is_named(truth, masked, completer):
    display = ImageCompletionDisplay
    with pytest.raises(ValueError, match=r"X_true must have the shape of X, \(20, 26\), got"):
        display.from_images(masked[0], truth[0], truth[0][:3])
    with pytest.raises(ValueError, match=r"X_true must have the shape of X, \(2, 20, 26\), got"):
        display.from_estimator(completer, masked, truth[0])
    with pytest.raises(ValueError, match=r"X must have shape \(height, width\) or"):
        display.from_images(masked[None], masked[None])
    with pytest.raises(ValueError, match="index == 2, must be <= 1"):
        display.from_estimator(completer, masked, index=2)
    with pytest.raises(ValueError, match="X must hold images|X_completed must hold images"):
        display.from_estimator(KNNImputer().fit(masked[0]), masked[0])
    drawn = display.from_estimator(completer, masked)
    with pytest.raises(ValueError, match="pixel must be None or a pair"):
        drawn.plot_kernel(3)
    with pytest.raises(ValueError, match="pixel == 26, must be <= 25"):
        drawn.plot_kernel((0, 26))
    with pytest.raises(NotFittedError):
        display.from_estimator(NTKImageCompleter(), masked)


def test_without_matplotlib_it_says_what_to_install(truth, masked, monkeypatch):
    real_import = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"pip install 'skoverparam\[plot\]'"):
        ImageCompletionDisplay.from_images(masked[0], truth[0])
