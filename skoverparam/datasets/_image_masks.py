"""Holes in images."""

import numpy as np

from skoverparam.datasets._random_streams import random_stream
from skoverparam.theory import _arguments as check

_MECHANISMS = ("random", "holes", "text")
# Strokes of letter-like shapes, as (row, column) ends on a grid of 5 x 3.
_STROKES = (
    ((0, 0), (4, 0)),
    ((0, 2), (4, 2)),
    ((0, 0), (0, 2)),
    ((2, 0), (2, 2)),
    ((4, 0), (4, 2)),
    ((0, 0), (4, 2)),
    ((4, 0), (0, 2)),
    ((0, 1), (4, 1)),
)
# Grid steps between pixels of a letter drawn with strokes one pixel thick.
_STEP = 2


def mask_images(
    images,
    *,
    missing=0.5,
    mechanism="random",
    n_holes=1,
    shared=False,
    return_mask=False,
    random_state=None,
):
    """Hide pixels of images.

    Parameters
    ----------
    images : array-like of shape (n_images, height, width) or (n_images, height, width, n_channels)
        The images. All channels of a pixel are hidden together.

    missing : float, default=0.5
        Share of the pixels that is hidden, in [0, 1). "random" meets it up to rounding, "holes"
        where its squares neither overlap nor are wider than the image, "text" to within a letter
        (and at most with every place written on).

    mechanism : {"random", "holes", "text"}, default="random"
        What is hidden together.

        - "random": single pixels, all equally likely;
        - "holes": squares in random places;
        - "text": thin strokes that look like lines of letters.

    n_holes : int, default=1
        Number of squares in "holes".

    shared : bool, default=False
        Whether all images are masked alike.

    return_mask : bool, default=False
        Whether to return the mask, too.

    random_state : int, RandomState instance or None, default=None
        Determines the masks.

    Returns
    -------
    masked : ndarray of the shape of ``images``
        The images with NaN where they are hidden; float32 stays so, all else becomes float64.

    mask : ndarray of shape (n_images, height, width), bool
        True where a pixel is hidden; only if ``return_mask``.

    See Also
    --------
    skoverparam.NTKImageCompleter : Completes such images.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.datasets import mask_images
    >>> masked = mask_images(np.ones((2, 8, 8)), missing=0.25, random_state=0)
    >>> np.isnan(masked).sum(axis=(1, 2))
    array([16, 16])
    """
    try:
        images = np.asarray(images)
    except ValueError as error:
        raise ValueError(f"images must have one shape, got {images!r:.80}.") from error
    if images.ndim not in (3, 4):
        raise ValueError(
            "images must have shape (n_images, height, width) or (n_images, height, width, "
            f"n_channels), got {images.shape}."
        )
    if images.dtype.kind not in "fiub":
        raise ValueError(f"images must hold numbers, got dtype {images.dtype}.")
    check.number(missing, "missing", low=0, high=1, open_high=True)
    check.integer(n_holes, "n_holes", low=1)
    check.option(mechanism, "mechanism", _MECHANISMS)
    check.flag(shared, "shared")
    check.flag(return_mask, "return_mask")
    rng = random_stream(random_state)
    n, shape = len(images), images.shape[1:3]
    draw = {
        "random": lambda: _pixels(shape, missing, rng),
        "holes": lambda: _squares(shape, missing, n_holes, rng),
        "text": lambda: _letters(shape, missing, rng),
    }[mechanism]
    mask = np.zeros((n, *shape), dtype=bool)
    if shared and n:
        mask[:] = draw()
    elif n:
        mask[:] = np.stack([draw() for _ in range(n)])
    masked = images.astype(np.float32 if images.dtype == np.float32 else np.float64)
    masked[mask] = np.nan
    return (masked, mask) if return_mask else masked


def _pixels(shape, missing, rng):
    size = shape[0] * shape[1]
    mask = np.zeros(size, dtype=bool)
    mask[rng.permutation(size)[: round(missing * size)]] = True
    return mask.reshape(shape)


def _squares(shape, missing, n_holes, rng):
    side = round((missing * shape[0] * shape[1] / n_holes) ** 0.5)
    height, width = min(side, shape[0]), min(side, shape[1])
    mask = np.zeros(shape, dtype=bool)
    for _ in range(n_holes):
        i = rng.randint(shape[0] - height + 1)
        j = rng.randint(shape[1] - width + 1)
        mask[i : i + height, j : j + width] = True
    return mask


def _letters(shape, missing, rng):
    """Write letters in random places of lines until enough is hidden."""
    mask = np.zeros(shape, dtype=bool)
    # Large images have large letters: strokes are so many pixels thick.
    scale = max(1, round(min(shape) / 64))
    rows, columns = _letter_pixels(scale)
    height, width = rows.max() + 1, columns.max() + 1
    tops = np.arange(0, max(1, shape[0] - height + 1), height + 2 * scale)
    lefts = np.arange(0, max(1, shape[1] - width + 1), width + scale)
    places = [(top, left) for top in tops for left in lefts]
    for place in rng.permutation(len(places)):
        if mask.mean() >= missing:
            break
        for stroke in rng.choice(len(_STROKES), size=3, replace=False):
            i = places[place][0] + rows[stroke]
            j = places[place][1] + columns[stroke]
            inside = (i < shape[0]) & (j < shape[1])
            mask[i[inside], j[inside]] = True
    return mask


def _letter_pixels(scale):
    """Rows and columns of the pixels of every stroke, shape (n_strokes, n_pixels)."""
    start, end = np.moveaxis(np.array(_STROKES) * _STEP * scale, 1, 0)
    along = np.linspace(0, 1, 32 * scale)[:, None]
    line = np.rint(start[:, None] + along * (end - start)[:, None]).astype(int)
    thick = np.stack(np.meshgrid(np.arange(scale), np.arange(scale)), axis=-1).reshape(-1, 2)
    pixels = (line[:, :, None] + thick).reshape(len(_STROKES), -1, 2)
    return pixels[..., 0], pixels[..., 1]
