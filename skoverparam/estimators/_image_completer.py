"""Image completion with infinitely wide convolutional networks, as an imputer."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, finite_array, flat_rows, same_namespace
from skoverparam._config import require_memory
from skoverparam._params import (
    check_auto,
    check_flag,
    check_integer,
    check_missing_values,
    check_number,
    check_option,
    is_nan,
)
from skoverparam._steps import run_steps
from skoverparam.completion._observed import content_keys, hidden_error, indices, split_missing
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.inpainting._adaptive import ADAPTIVE, IN_RINGS
from skoverparam.inpainting._kernels import memory_needed, pixel_kernel
from skoverparam.inpainting._methods import AdaptivePrior, FixedPrior
from skoverparam.inpainting._pictures import fill, unseen
from skoverparam.kernels._activations import resolve
from skoverparam.kernels._convolutional_layers import encoder_decoder
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel, DenseKernel, DisplacementWindow
from skoverparam.linalg._units import units_of

_PRIORS = ("adaptive", "stationary")
_FEATURE_KERNELS = ("auto", "gaussian", "ntk")
# Near the best for 3 to 5 levels and all shares of missing pixels: 5 dB better than 1e-4 where
# little is missing, no worse where most is.
_STATIONARY_ALPHA = 5e-3
# Standard deviation of the Gaussian weights in a patch over its side.
_DEVIATION = 2 / 7
_UPSAMPLINGS = ("nearest", "bilinear", "periodic_bilinear")
_KINDS = {
    "window": DisplacementWindow,
    "block-circulant": BlockCirculantKernel,
    "dense": DenseKernel,
}


class NTKImageCompleter(
    CallbackSupportMixin, OneToOneFeatureMixin, TransformerMixin, DocumentedEstimator
):
    """Fill missing pixels by regression with an infinitely wide convolutional network.

    A wide encoder-decoder network trained by gradient descent to reproduce the observed pixels is
    kernel regression between pixels with its neural tangent kernel. By default the kernel is
    adapted to each image: its features are the surroundings of the pixels in the current
    completion, refined pass by pass.

    Parameters
    ----------
    image_shape : tuple of int, default=None
        ``(height, width)`` or ``(height, width, n_channels)`` of images that come as flat rows.
        None takes it from images, and takes flat rows for images of one pixel's height.

    prior : {"adaptive", "stationary"} or array, default="adaptive"
        What tells pixels apart.

        - "adaptive": where they are, and what surrounds them in the completion, pass by pass;
        - "stationary": only how far they are apart: fast, at any size;
        - array of shape (n_channels, height, width): the input of the network, such as a
          meshgrid. Needs ``(height * width)**2`` numbers.

    guide : array-like of shape (height, width) or (height, width, n_channels), default=None
        For the adaptive prior, a complete picture of the same scene whose features are used in
        place of the completion's. There is then one pass.

    n_passes : "auto" or int, default="auto"
        Passes of the adaptive prior. "auto" makes the more of them, the more is missing.

    n_neighbors : int, default=12
        Nearest observed pixels that predict a missing one, for the adaptive prior.

    n_similar : int, default=20
        Further observed pixels that predict it, those whose surroundings are most similar.

    patch_size : int, default=7
        Side of the surroundings that are compared, odd.

    bandwidth : float, default=0.17
        Width of the kernel of the surroundings, over the range of the observed values.

    kernel : {"auto", "gaussian", "ntk"}, default="auto"
        Kernel of the surroundings: Gaussian, or the tangent kernel of a fully connected network.
        "auto" is Gaussian, with patches up to 4 pixels larger or 2 smaller than `patch_size`, and
        bandwidths that go with them, chosen for each image by observed pixels that are held out.

    levels : int, default=4
        How often the network halves the image, and doubles it again. Each level takes 16 times the
        memory of the one before, two gigabytes with 6.

    convs_per_level : int, default=1
        Convolutions before each change of size.

    kernel_size : int, default=3
        Side of the filters, odd.

    activation : {"leaky_relu", "relu"} or activation object, default="leaky_relu"
        As in :func:`skoverparam.kernels.convolutional_ntk`.

    upsampling : {"nearest", "bilinear", "periodic_bilinear"}, default="nearest"
        How the network doubles the image. The adaptive prior needs "nearest". "bilinear" aligns
        the corners, is not stationary, and needs ``(height * width)**2`` numbers.

    shift_average : bool, default=True
        Whether to average the kernel over all positions of the network's grid, where the kernel
        is stationary: an ensemble of shifted networks, without the grid's pattern.

    alpha : "auto" or float, default="auto"
        Noise variance over the kernel of a pixel with itself. "auto" is 0.01 for the adaptive
        prior, 0.005 for the stationary one, which rings and may be singular without, and 0 for
        arrays.

    tol : "auto" or float, default=1e-3
        Relative residual to solve the stationary prior's system to. "auto" stops when observed
        pixels that are held out are predicted no better.

    max_iter : int, default=500
        Largest number of conjugate gradient steps with it.

    missing_values : float, default=np.nan
        What marks a missing pixel.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    Attributes
    ----------
    image_shape_ : tuple of int
        Height, width and number of channels.

    kernel_ : array
        The network's kernel. With upsampling by the nearest pixel, of shape (p, p, 2 p - 1,
        2 p - 1), by phase and displacement, for images of any size; p is 1 after averaging, but
        displacements stay. Otherwise (p, p, h, w) on a torus, or (height, width, height, width).

    kernel_far_ : float or None
        The kernel at all larger displacements, where `kernel_` has an end.

    completion_ : array of shape (n_images, n_features)
        The training images, as flat rows, with missing pixels filled.

    residual_ : float
        Largest true relative residual of a system; 0.0 for the adaptive prior, whose small
        systems are solved directly.

    jitter_ : float
        What had to be added to a diagonal to factorize it; zero if nothing.

    n_iter_ : int
        Passes or conjugate gradient steps, the most that an image took, and at least 1.

    n_features_in_ : int
        Number of values of an image.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if the images came as a data frame with names that are strings.

    See Also
    --------
    NTKMatrixCompleter : For matrices whose rows and columns have no order.
    skoverparam.datasets.mask_images : Hides pixels.

    Notes
    -----
    With K the kernel between pixels and O the observed ones, a fixed prior completes an image by
    ``mean + K[:, O] (K[O, O] + alpha I)^{-1} (y_O - mean)``, all channels alike [1]_. For a
    stationary prior K is block-circulant, and constant beyond ``2**levels - 1`` pixels, so that
    nothing of size ``(height * width)**2`` is ever made: products cost
    ``O(height width log(height width))``. Array priors are factorized.

    The adaptive prior (ours) predicts each missing pixel by exact kernel regression, with a free
    constant mean, on ``n_neighbors + n_similar`` observed pixels, with the kernel ::

        (T(i - j) + 9) / 10 exp(-|f_i - f_j|^2 / (2 bandwidth^2)),

    T the averaged stationary kernel over its value at zero and f the patches around pixels in the
    last completion. Its cost is linear in the number of missing pixels. Missing regions too thick
    for that are filled from the border inwards. It works in float32, on values over the range of
    the observed ones, and predictions stay within that range.

    Values may have any unit; integers come back as floats. Where channels of one image are
    missing at different pixels, each channel is completed by itself. An image without a missing
    pixel comes back as it is; one without an observed pixel is an error. Every image is completed
    from its own pixels only: ``fit`` prepares the kernel and completes the training images under
    scikit-learn's callbacks, and ``transform`` gives for them what ``fit`` computed.

    References
    ----------
    .. [1] A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, Fast, and Flexible
       Framework for Matrix Completion with Infinite Width Neural Networks", PNAS 119(16), 2022,
       arXiv:2108.00131.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import NTKImageCompleter
    >>> from skoverparam.datasets import mask_images
    >>> i, j = np.mgrid[:32, :32]
    >>> image = np.sin(i / 5) * np.cos(j / 7)
    >>> masked = mask_images(image[None], missing=0.5, random_state=0)
    >>> completed = NTKImageCompleter().fit_transform(masked)
    >>> completed.shape
    (1, 32, 32)
    >>> bool(abs(completed[0] - image).max() < 0.2)
    True
    """

    def __init__(
        self,
        image_shape=None,
        *,
        prior="adaptive",
        guide=None,
        n_passes="auto",
        n_neighbors=12,
        n_similar=20,
        patch_size=7,
        bandwidth=0.17,
        kernel="auto",
        levels=4,
        convs_per_level=1,
        kernel_size=3,
        activation="leaky_relu",
        upsampling="nearest",
        shift_average=True,
        alpha="auto",
        tol=1e-3,
        max_iter=500,
        missing_values=np.nan,
        device="auto",
    ):
        self.image_shape = image_shape
        self.prior = prior
        self.guide = guide
        self.n_passes = n_passes
        self.n_neighbors = n_neighbors
        self.n_similar = n_similar
        self.patch_size = patch_size
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.levels = levels
        self.convs_per_level = convs_per_level
        self.kernel_size = kernel_size
        self.activation = activation
        self.upsampling = upsampling
        self.shift_average = shift_average
        self.alpha = alpha
        self.tol = tol
        self.max_iter = max_iter
        self.missing_values = missing_values
        self.device = device

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y=None):
        """Prepare the kernel and complete the training images.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width), (n_images, height, width, n_channels) \
                or (n_images, n_features)
            Images with missing pixels.

        y : ignored
            Present for API consistency.

        Returns
        -------
        self : NTKImageCompleter
            The fitted estimator.
        """
        self._check_params()
        passage, X, shape = self._cross(X, reset=True)
        Y, observed = split_missing(passage.tensor(X), self.missing_values)
        _require_pixels(Y, observed, shape)
        kernel = self._kernel(passage, shape, Y.numel())
        method = self._method(passage, kernel, shape)
        known = {
            "image_shape_": shape,
            "kernel_": passage.keep(kernel[0]),
            "kernel_far_": kernel.far if isinstance(kernel, DisplacementWindow) else None,
            "_kernel_kind": next(name for name, kind in _KINDS.items() if type(kernel) is kind),
            "_keys": content_keys(Y, observed),
        }

        def fitted_after(filled):
            return known | {
                "completion_": passage.keep(filled.rows),
                "residual_": filled.residual,
                "jitter_": filled.jitter,
                "n_iter_": max(filled.n_iter, 1),
            }

        filled, _ = run_steps(
            self,
            fill(Y, observed, shape, method),
            X=X,
            task_name="sweep" if isinstance(method, FixedPrior) else "pass",
            max_steps=None,
            fitted_after=fitted_after,
        )
        vars(self).update(fitted_after(filled))
        self._warn_unsolved(filled)
        return self

    def transform(self, X):
        """Fill the missing pixels of images of the same shape.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width), (n_images, height, width, n_channels) \
                or (n_images, n_features)
            Images with missing pixels.

        Returns
        -------
        X_completed : array of the shape of X
            Observed pixels unchanged to the last bit, the others predicted.
        """
        passage, Y, observed, shape = self._open(X, "transform")
        return passage.back(self._complete(passage, Y, observed).reshape((len(Y), *shape)))

    def score(self, X, y=None):
        """Return minus the root mean square error of the pixels that are missing in X.

        Parameters
        ----------
        X : array-like of shape (n_images, height, width), (n_images, height, width, n_channels) \
                or (n_images, n_features)
            Images with missing pixels.

        y : array-like of the shape of X
            The true images. They are looked at only where X has missing pixels; NaN there means
            that the truth is not known, and such pixels do not count.

        Returns
        -------
        score : float
            Larger is better; 0.0 if nothing is missing in X.
        """
        passage, Y, observed, shape = self._open(X, "score")
        if bool(observed.all()):
            return 0.0
        came = None if y is None else tuple(np.shape(y))
        if came != (len(Y), *shape):
            raise ValueError(
                f"y must be the true images, of the shape of X {(len(Y), *shape)}, "
                f"got {'None' if came is None else f'shape {came}'}."
            )
        truth = passage.tensor(flat_rows(y)[0], passage.dtype)
        return -hidden_error(self._complete(passage, Y, observed), truth, observed)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_nan(self.missing_values)
        tags.input_tags.three_d_array = True
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_params(self):
        if isinstance(self.prior, str):
            check_option(self.prior, "prior", _PRIORS)
        check_auto(self.n_passes, "n_passes", check_integer, low=1)
        check_integer(self.n_neighbors, "n_neighbors", low=1)
        check_integer(self.n_similar, "n_similar", low=0)
        for name in ("patch_size", "kernel_size"):
            check_integer(getattr(self, name), name, low=1)
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd, got {getattr(self, name)}.")
        check_number(self.bandwidth, "bandwidth", low=0, boundaries="neither")
        check_option(self.kernel, "kernel", _FEATURE_KERNELS)
        check_integer(self.levels, "levels", low=0)
        check_integer(self.convs_per_level, "convs_per_level", low=1)
        resolve(self.activation)
        check_option(self.upsampling, "upsampling", _UPSAMPLINGS)
        check_flag(self.shift_average, "shift_average")
        check_auto(self.alpha, "alpha", check_number, low=0)
        check_auto(self.tol, "tol", check_number, low=0, high=1, boundaries="neither")
        check_integer(self.max_iter, "max_iter", low=1)
        check_missing_values(self.missing_values)
        if self._is_adaptive() and self.upsampling != "nearest":
            raise ValueError(
                f"prior='adaptive' needs upsampling='nearest', got {self.upsampling!r}."
            )
        if self.guide is not None and not self._is_adaptive():
            raise ValueError("guide is for prior='adaptive' only; leave it None.")

    def _is_adaptive(self):
        return isinstance(self.prior, str) and self.prior == "adaptive"

    def _cross(self, X, *, reset):
        """Open the way to torch for images or flat rows; return the shape of an image, too."""
        rows, given = flat_rows(X)
        finite = "allow-nan" if is_nan(self.missing_values) else True
        passage, rows = cross(
            self, rows, reset=reset, device=self.device, ensure_all_finite=finite
        )
        asked = self.image_shape if reset else self.image_shape_
        flat = (1, rows.shape[1])
        shape = _image_shape(asked) if asked is not None else given or flat
        shape = (*shape, 1) if len(shape) == 2 else tuple(shape)
        if len(shape) != 3:
            raise ValueError(
                "X must have shape (n_images, height, width), (n_images, height, width, "
                f"n_channels) or (n_images, n_features), got {(len(rows), *given)}."
            )
        if given and (*given, 1)[:3] != shape or np.prod(shape) != rows.shape[1]:
            raise ValueError(
                f"X must hold images of shape {shape}, {np.prod(shape)} values each, "
                f"got {(len(rows), *given) if given else rows.shape}."
            )
        return passage, rows, shape

    def _open(self, X, method):
        """Validate the images of a method of the fitted estimator."""
        check_is_fitted(self)
        passage, rows, _ = self._cross(X, reset=False)
        same_namespace(self, rows, attribute="completion_", method=method)
        shape = flat_rows(X)[1] or (rows.shape[1],)
        return passage, *split_missing(passage.tensor(rows), self.missing_values), shape

    def _kernel(self, passage, shape, n_values):
        layers = encoder_decoder(
            self.levels, self.convs_per_level, self.kernel_size, self.activation, self.upsampling
        )
        prior = None
        if not isinstance(self.prior, str):
            prior = passage.tensor(finite_array(self.prior, "prior", n_dims=3))
            if prior.shape[1:] != shape[:2]:
                raise ValueError(
                    f"prior must have shape (n_channels, {shape[0]}, {shape[1]}), as the images "
                    f"have, got {tuple(prior.shape)}."
                )
            if not bool(prior.square().any()):
                raise ValueError(
                    "prior must have entries whose squares are above zero, or all pixels are "
                    f"alike to the network; its largest entry is {float(prior.abs().max()):.3g}."
                )
        require_memory(
            memory_needed(layers, self.levels, shape[:2], prior, n_values),
            passage.device,
            what=f"Completing images of {shape[0]} x {shape[1]} pixels",
            remedy="Each of the levels takes 16 times the memory. prior='adaptive' and "
            "prior='stationary' with upsampling='nearest' need little more per pixel; complete "
            "smaller tiles or fewer images otherwise.",
        )
        return pixel_kernel(
            layers,
            self.levels,
            shape[:2],
            prior,
            averaged=self.shift_average or self._is_adaptive(),
            device=passage.device,
        )

    def _method(self, passage, kernel, shape):
        """Put the parameters and the kernel together to a way of completing pictures."""
        alpha = None if isinstance(self.alpha, str) else float(self.alpha)
        if not self._is_adaptive():
            if alpha is None:
                alpha = _STATIONARY_ALPHA if isinstance(self.prior, str) else 0.0
            tol = None if isinstance(self.tol, str) else self.tol
            return FixedPrior(kernel, alpha, tol, self.max_iter)
        shared = {"feature_kernel": "ntk" if self.kernel == "ntk" else "gaussian"}
        if alpha is not None:
            shared["nugget"] = alpha
        settings = ADAPTIVE._replace(
            n_neighbors=self.n_neighbors,
            n_similar=self.n_similar,
            patch_size=self.patch_size,
            patch_deviation=_DEVIATION * self.patch_size,
            bandwidth=self.bandwidth,
            n_passes=None if isinstance(self.n_passes, str) else self.n_passes,
            **shared,
        )
        return AdaptivePrior(
            kernel,
            settings,
            IN_RINGS._replace(**shared),
            self.kernel == "auto",
            self._guide(passage, shape),
        )

    def _guide(self, passage, shape):
        if self.guide is None:
            return None
        guide = finite_array(self.guide, "guide", n_dims=np.ndim(self.guide))
        if guide.ndim not in (2, 3) or guide.shape[:2] != shape[:2]:
            raise ValueError(
                f"guide must have shape {shape[:2]} or {(*shape[:2], 'n_channels')}, as the "
                f"images have, got {guide.shape}."
            )
        guide = guide.reshape(*shape[:2], -1)
        channels = passage.tensor(np.ascontiguousarray(np.moveaxis(guide, 2, 0))).double()
        # Its units are its own: they may be out of reach of the images' precision.
        return channels / units_of(channels.flatten())

    def _complete(self, passage, Y, observed):
        """Fill rows: training images as in the fit, all others now."""
        _require_pixels(Y, observed, self.image_shape_)
        places = {key: place for place, key in enumerate(self._keys)}
        known = [places.get(key, -1) for key in content_keys(Y, observed)]
        known = passage.tensor(np.array(known, dtype=np.int64))
        completed = passage.tensor(self.completion_, Y.dtype)[known.clamp_min(0)]
        new = indices(known < 0)
        if len(new):
            method = self._method(passage, self._fitted_kernel(passage), self.image_shape_)
            *_, filled = fill(Y[new], observed[new], self.image_shape_, method)
            self._warn_unsolved(filled)
            completed[new] = filled.rows
        return completed.where(~observed, Y)

    def _fitted_kernel(self, passage):
        kernel = passage.tensor(self.kernel_)
        kind = _KINDS[self._kernel_kind]
        return kind(kernel) if self.kernel_far_ is None else kind(kernel, self.kernel_far_)

    def _warn_unsolved(self, filled):
        if isinstance(self.tol, str) or not isinstance(self.prior, str):
            return
        if filled.residual > self.tol:
            warnings.warn(
                f"A linear system was solved to a relative residual of {filled.residual:.2g}, not "
                f"to tol={self.tol:g}. Increase alpha, tol or max_iter={self.max_iter}.",
                ConvergenceWarning,
                stacklevel=5,
            )


def _image_shape(value):
    shape = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(shape) not in (2, 3):
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, n_channels), got {value!r}."
        )
    for side in shape:
        check_integer(side, "image_shape", low=1)
    return shape


def _require_pixels(Y, observed, shape):
    """Refuse images of which nothing is known before any work."""
    blank = unseen(Y, observed, shape)
    if blank is not None:
        row, channel = blank
        where = "" if channel is None else f" in channel {channel}"
        raise ValueError(
            f"Image {row} of X has no observed pixel{where}: there is nothing to complete it from."
        )
