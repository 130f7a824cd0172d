"""Pictures of completed images and of the kernels behind them."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import tensor_function, to_numpy
from skoverparam._display import axes_in_a_row, pyplot
from skoverparam._params import check_integer, check_number
from skoverparam.inpainting._adaptive import ADAPTIVE, adapted_kernel
from skoverparam.inpainting._choice import choose
from skoverparam.inpainting._kernels import kernel_row
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel, DenseKernel, DisplacementWindow

# Colors for missing pixels, and the squared distance to those of the picture that is enough.
_MISSING = ("tab:red", "magenta", "cyan", "lime", "yellow", "blue", "black", "white")
_FAR = 0.2
_OUTSIDE = "0.85"


class ImageCompletionDisplay:
    """Pictures of an image with missing pixels, its completion and the truth.

    Make it with :meth:`from_estimator` or :meth:`from_images`; the constructor stores what it is
    given.

    Parameters
    ----------
    X : ndarray of shape (height, width) or (height, width, n_channels)
        The corrupted image, NaN where pixels are missing.

    X_completed : ndarray of the shape of X
        Its completion.

    X_true : ndarray of the shape of X, default=None
        The truth, NaN where it is not known.

    data_range : float, default=None
        What the peak signal-to-noise ratio relates errors to: 255 for 8-bit images, say. None is
        the range of the truth, its greatest value less its least.

    kernels : dict of str to callable, default=None
        For :meth:`plot_kernel`: by title, functions that map a pixel (row, column) and a pair of
        slices of rows and columns to the kernel of that pixel with those, 1 at the pixel itself.

    Attributes
    ----------
    axes_ : ndarray of matplotlib axes
        The panels, in the order corrupted, completed, truth.

    images_ : list of matplotlib AxesImage
        What is drawn in them.

    psnr_ : float or None
        Peak signal-to-noise ratio of the completion in dB: ``10 log10(data_range**2 / mse)`` with
        the mean squared error over all pixels and channels whose truth is known, observed ones
        included, as is usual. None if the truth is not known.

    kernel_axes_, kernel_images_ : ndarray of matplotlib axes, list of matplotlib AxesImage
        What :meth:`plot_kernel` drew: the completion around the pixel, then the kernels.

    figure_ : matplotlib Figure
        The figure drawn last.

    See Also
    --------
    skoverparam.NTKImageCompleter : The estimator whose completions and kernels these are.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import NTKImageCompleter
    >>> from skoverparam.datasets import mask_images
    >>> from skoverparam.inspection import ImageCompletionDisplay
    >>> i, j = np.mgrid[:32, :32]
    >>> images = np.sin(i / 5)[None] * np.cos(j / 7)
    >>> masked = mask_images(images, missing=0.5, random_state=0)
    >>> completer = NTKImageCompleter().fit(masked)
    >>> display = ImageCompletionDisplay.from_estimator(completer, masked, images)
    >>> [ax.get_title() for ax in display.axes_]
    ['50 % missing', 'completed, ... dB', 'truth']
    >>> len(display.plot_kernel(radius=8).kernel_axes_)
    3
    """

    def __init__(self, *, X, X_completed, X_true=None, data_range=None, kernels=None):
        self.X = X
        self.X_completed = X_completed
        self.X_true = X_true
        self.data_range = data_range
        self.kernels = kernels

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        X_true=None,
        *,
        index=0,
        data_range=None,
        ax=None,
        missing_color=None,
        im_kw=None,
    ):
        """Complete an image with a fitted imputer and draw what comes out.

        Parameters
        ----------
        estimator : transformer
            A fitted imputer of images. :class:`skoverparam.NTKImageCompleter` also lends its
            kernels.

        X : array-like of shape (n_images, height, width), (n_images, height, width, n_channels) \
                or (n_images, n_features)
            Images with missing pixels, of which one is completed.

        X_true : array-like of the shape of X, default=None
            The truth, NaN where it is not known.

        index : int, default=0
            Which of the images.

        data_range : float, default=None
            What the peak signal-to-noise ratio relates errors to; None is the range of the truth.

        ax : matplotlib axes or array of them, default=None
            See :meth:`plot`.

        missing_color : matplotlib color, default=None
            See :meth:`plot`.

        im_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : ImageCompletionDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        check_integer(index, "index", low=0, high=len(X) - 1)
        if X_true is not None and np.shape(X_true) != np.shape(X):
            raise ValueError(
                f"X_true must have the shape of X, {np.shape(X)}, got {np.shape(X_true)}."
            )
        one = slice(index, index + 1)  # data frames are sliced by rows, too
        shape = getattr(estimator, "image_shape_", np.shape(X)[1:])
        completed = _image(estimator.transform(X[one]), "X_completed", shape)
        corrupted = _image(X[one], "X", shape)
        missing_values = getattr(estimator, "missing_values", np.nan)
        corrupted = np.where(corrupted == missing_values, np.nan, corrupted)
        display = cls(
            X=corrupted,
            X_completed=completed,
            X_true=None if X_true is None else _image(X_true[one], "X_true", shape),
            data_range=data_range,
            kernels=_kernels(estimator, corrupted, completed),
        )
        return display.plot(ax, missing_color=missing_color, im_kw=im_kw)

    @classmethod
    def from_images(
        cls,
        X,
        X_completed,
        X_true=None,
        *,
        data_range=None,
        ax=None,
        missing_color=None,
        im_kw=None,
    ):
        """Draw a completion that was computed elsewhere.

        Parameters
        ----------
        X : array-like of shape (height, width) or (height, width, n_channels)
            The corrupted image, NaN where pixels are missing.

        X_completed : array-like of the shape of X
            Its completion.

        X_true : array-like of the shape of X, default=None
            The truth, NaN where it is not known.

        data_range : float, default=None
            What the peak signal-to-noise ratio relates errors to; None is the range of the truth.

        ax : matplotlib axes or array of them, default=None
            See :meth:`plot`.

        missing_color : matplotlib color, default=None
            See :meth:`plot`.

        im_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : ImageCompletionDisplay
            The drawn display.
        """
        shape = np.shape(X)
        if len(shape) not in (2, 3):
            raise ValueError(
                f"X must have shape (height, width) or (height, width, n_channels), got {shape}."
            )
        for name, image in (("X_completed", X_completed), ("X_true", X_true)):
            if image is not None and np.shape(image) != shape:
                raise ValueError(
                    f"{name} must have the shape of X, {shape}, got {np.shape(image)}."
                )
        display = cls(
            X=_image(X, "X", shape),
            X_completed=_image(X_completed, "X_completed", shape),
            X_true=None if X_true is None else _image(X_true, "X_true", shape),
            data_range=data_range,
        )
        return display.plot(ax, missing_color=missing_color, im_kw=im_kw)

    def plot(self, ax=None, *, missing_color=None, im_kw=None):
        """Draw the corrupted and the completed image and, if it is known, the truth.

        Images of three channels are drawn in color, others in grey, as the mean of their channels.
        Black and white, or none and all of a color, are the least and the greatest observed value.

        Parameters
        ----------
        ax : matplotlib axes or array of them, default=None
            None makes a new figure. A single one is divided among the panels. An array must have
            one for each panel: 3, or 2 if the truth is not known.

        missing_color : matplotlib color, default=None
            Color of missing pixels. None takes one that is not in the image, nor close to it.

        im_kw : dict, default=None
            For ``imshow``, over the defaults. ``vmin`` and ``vmax`` count for color images, too.

        Returns
        -------
        self : ImageCompletionDisplay
            With the artists as attributes.
        """
        pyplot(self)
        check_number(self.data_range, "data_range", low=0, boundaries="neither", none=True)
        missing = np.isnan(self.X)
        panels = [(f"{missing.mean():.0%} missing".replace("%", " %"), self.X)]
        panels.append(("completed", self.X_completed))
        self.psnr_ = None
        if self.X_true is not None:
            self.psnr_ = _psnr(self.X_completed, self.X_true, self.data_range)
            panels[1] = (f"completed, {self.psnr_:.2f} dB", self.X_completed)
            panels.append(("truth", self.X_true))
        height, width = self.X.shape[:2]
        self.axes_ = axes_in_a_row(
            self, ax, len(panels), size=(3.4, 0.4 + 3.2 * min(max(height / width, 0.3), 2.0))
        )
        self.figure_ = self.axes_[0].figure
        style = self._style(im_kw)
        draw = _in_color if _has_color(self.X) else _in_grey
        drawn = draw([image for _, image in panels], style, missing_color)
        self.images_ = []
        for panel, (title, _), (image, style) in zip(self.axes_, panels, drawn, strict=True):
            self.images_.append(panel.imshow(image, **style))
            panel.set_title(title)
            panel.set_axis_off()
        return self

    def plot_kernel(self, pixel=None, ax=None, *, radius=20, im_kw=None):
        """Draw the completion around a pixel, and the kernels of that pixel with those around it.

        The first kernel is that of the network, as the estimator keeps it. The second, with
        ``prior="adaptive"``, is the one that another pass over the completion would use: the
        first, lifted by a constant, times a kernel of the surroundings of the pixels, as in the
        notes of the estimator. Kernels are relative to that of the pixel with itself.

        Parameters
        ----------
        pixel : (int, int), default=None
            Row and column. None is the missing pixel nearest to the middle of the image.

        ax : matplotlib axes or array of them, default=None
            None makes a new figure. A single one is divided among the panels. An array must have
            one for each panel: one more than there are kernels.

        radius : int, default=20
            Largest displacement that is shown.

        im_kw : dict, default=None
            For ``imshow`` of the kernels, over the defaults.

        Returns
        -------
        self : ImageCompletionDisplay
            With the artists as attributes.
        """
        if not self.kernels:
            raise ValueError("There is no kernel to draw.")
        shape = self.X.shape[:2]
        check_integer(radius, "radius", low=1)
        pixel = _middle(np.isnan(self.X)) if pixel is None else _pixel(pixel, shape)
        plt = pyplot(self)
        self.kernel_axes_ = axes_in_a_row(self, ax, 1 + len(self.kernels), size=(3.8, 3.4))
        self.figure_ = self.kernel_axes_[0].figure
        window = tuple(
            slice(max(at - radius, 0), min(at + radius + 1, side))
            for at, side in zip(pixel, shape, strict=True)
        )
        rows, columns = (
            (part.start - at - 0.5, part.stop - at - 0.5)
            for part, at in zip(window, pixel, strict=True)
        )
        extent = (*columns, *rows[::-1])
        draw = _in_color if _has_color(self.X) else _in_grey
        [(image, style)] = draw([self.X_completed], self._style(None), None)
        panel, *kernel_panels = self.kernel_axes_
        self.kernel_images_ = [panel.imshow(image[window], extent=extent, **style)]
        panel.plot(0, 0, "+", color="tab:red", markersize=12, markeredgewidth=2)
        panel.set_title(f"completed, around ({pixel[0]}, {pixel[1]})")
        cmap = plt.get_cmap("magma").with_extremes(bad=_OUTSIDE)
        for panel, (title, kernel) in zip(kernel_panels, self.kernels.items(), strict=True):
            style = {"cmap": cmap, "vmax": 1, "extent": extent} | (im_kw or {})
            drawn = panel.imshow(np.asarray(kernel(pixel, window)), **style)
            self.kernel_images_.append(drawn)
            self.figure_.colorbar(drawn, ax=panel, fraction=0.046)
            panel.set_title(title)
        return self

    def _style(self, im_kw):
        """Options of ``imshow`` common to all panels; limits as the observed values have them."""
        observed = self.X[~np.isnan(self.X)]
        low, high = (observed.min(), observed.max()) if observed.size else (0.0, 1.0)
        return {
            "cmap": "gray",
            "vmin": low,
            "vmax": high if high > low else low + 1,
            "interpolation": "nearest",
            **(im_kw or {}),
        }


def _image(image, name, shape):
    """Turn one image of any kind into an array (height, width) or (height, width, n_channels)."""
    image = np.asarray(to_numpy(image), dtype=np.float64)
    if len(shape) not in (2, 3) or image.size != np.prod(shape):
        raise ValueError(
            f"{name} must hold images (height, width) or (height, width, n_channels), "
            f"got {image.shape} for images of shape {tuple(shape)}."
        )
    image = image.reshape(shape)
    return image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _has_color(image):
    return image.ndim == 3 and image.shape[2] == 3


def _in_grey(images, style, missing_color):
    """Arrays and styles of ``imshow`` for images of one channel, or their means."""
    from matplotlib import colormaps

    cmap = colormaps.get_cmap(style["cmap"])
    if missing_color is None:
        missing_color = _far_color(cmap(np.linspace(0, 1, 256))[:, :3])
    style = {**style, "cmap": cmap.with_extremes(bad=missing_color)}
    return [(image if image.ndim == 2 else image.mean(axis=2), style) for image in images]


def _in_color(images, style, missing_color):
    """Arrays and styles of ``imshow`` for images of three channels."""
    from matplotlib.colors import to_rgb

    low, high = style["vmin"], style["vmax"]
    scaled = [np.clip((image - low) / (high - low), 0, 1) for image in images]
    known = [image[~np.isnan(image).any(axis=2)] for image in scaled]
    missing_color = _far_color(np.concatenate(known)) if missing_color is None else missing_color
    for image in scaled:
        image[np.isnan(image).any(axis=2)] = to_rgb(missing_color)
    style = {name: style[name] for name in style if name not in ("cmap", "vmin", "vmax")}
    return [(image, style) for image in scaled]


def _far_color(colors):
    """Take the first color for missing pixels that is far from all given ones, or the farthest."""
    from matplotlib.colors import to_rgb

    if not len(colors):
        return _MISSING[0]
    # Colors on a grid of 32 levels: fine enough, and few.
    colors = np.unique(np.rint(colors * 31), axis=0) / 31
    distances = [((colors - to_rgb(name)) ** 2).sum(axis=1).min() for name in _MISSING]
    return _MISSING[int(np.argmax(np.minimum(distances, _FAR)))]


def _psnr(completed, truth, data_range):
    known = ~np.isnan(truth)
    if not known.any():
        return np.nan
    if data_range is None:
        data_range = truth[known].max() - truth[known].min()
    squared_error = np.mean((completed - truth)[known] ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(np.float64(data_range) ** 2 / squared_error)


def _pixel(pixel, shape):
    """Check a pixel that the user has named."""
    if not isinstance(pixel, (tuple, list, np.ndarray)) or len(pixel) != 2:
        raise ValueError(f"pixel must be None or a pair (row, column), got {pixel!r}.")
    for at, side in zip(pixel, shape, strict=True):
        check_integer(at, "pixel", low=0, high=side - 1)
    return int(pixel[0]), int(pixel[1])


def _middle(missing):
    """Find the missing pixel nearest to the middle, or the middle."""
    missing = missing.reshape(*missing.shape[:2], -1).any(axis=2)
    middle = (np.array(missing.shape) - 1) / 2
    places = np.argwhere(missing if missing.any() else ~missing)
    nearest = places[np.argmin(((places - middle) ** 2).sum(axis=1))]
    return int(nearest[0]), int(nearest[1])


def _kernels(estimator, corrupted, completed):
    """Take the kernels of an NTKImageCompleter, as functions of a pixel and a window."""
    if not hasattr(estimator, "kernel_"):
        return None
    values, far = to_numpy(estimator.kernel_), estimator.kernel_far_
    kernels = {"kernel of the network": _network_kernel(values, far, corrupted.shape[:2])}
    if isinstance(estimator.prior, str) and estimator.prior == "adaptive":
        kernels["adapted to the image"] = _adapted(estimator, corrupted, completed)
    return kernels


def _network_kernel(values, far, shape):
    if far is None:
        kind, rest = DenseKernel if values.shape[2:] == shape else BlockCirculantKernel, ()
    else:
        kind, rest = DisplacementWindow, (far,)

    @tensor_function("values")
    def row(values, pixel):
        return kernel_row(kind(values, *rest), pixel, shape)

    def kernel(pixel, window):
        K = row(values, pixel)
        return K[window] / K[pixel]

    return kernel


def _adapted(estimator, corrupted, completed):
    T = to_numpy(estimator.kernel_)[0, 0]
    top = T[len(T) // 2, len(T) // 2]
    settings = ADAPTIVE._replace(
        n_neighbors=estimator.n_neighbors,
        n_similar=estimator.n_similar,
        nugget=ADAPTIVE.nugget if isinstance(estimator.alpha, str) else estimator.alpha,
        patch_size=estimator.patch_size,
        patch_deviation=ADAPTIVE.patch_deviation / ADAPTIVE.patch_size * estimator.patch_size,
        bandwidth=estimator.bandwidth,
        feature_kernel="ntk" if estimator.kernel == "ntk" else "gaussian",
    )
    chooses = estimator.kernel == "auto"
    missing = np.isnan(corrupted).reshape(*corrupted.shape[:2], -1).any(axis=2)
    guide = None if estimator.guide is None else _planes(to_numpy(estimator.guide))

    @tensor_function("image", "missing", "T", "pixels", "guide")
    def row(image, missing, T, target, pixels, guide=None):
        window = T / top, estimator.kernel_far_ / float(top)
        # As for the completion: only observed pixels are looked at, which it has, too.
        chosen = choose(image, missing > 0, *window, settings) if chooses else settings
        return adapted_kernel(image, missing > 0, *window, target, pixels.long(), chosen, guide)

    numbers = np.arange(missing.size).reshape(missing.shape)

    def kernel(pixel, window):
        pixels = numbers[window]
        K = row(_planes(completed), missing, T, int(numbers[pixel]), pixels.ravel(), guide)
        return K.reshape(pixels.shape)

    return kernel


def _planes(image):
    """From (height, width) or (height, width, n_channels) to (n_channels, height, width)."""
    image = np.asarray(image, dtype=np.float64)
    return np.ascontiguousarray(np.moveaxis(image.reshape(*image.shape[:2], -1), 2, 0))
