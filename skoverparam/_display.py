"""matplotlib and pandas, which are optional, imported when they are needed and not before."""

from __future__ import annotations

from typing import Any

import numpy as np


def pyplot(display: object) -> Any:
    """Import matplotlib's pyplot, or say what to install.

    Parameters
    ----------
    display : object
        Who wants to draw, for the message.

    Returns
    -------
    pyplot : module
        ``matplotlib.pyplot``.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__} draws with matplotlib, which is not installed. Install it "
            "with `pip install 'skoverparam[plot]'`."
        ) from error
    return plt


def pandas() -> Any:
    """Import pandas, which makes the frames of `to_frame`, or say what to install.

    Returns
    -------
    pandas : module
        ``pandas``.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_frame() needs pandas: `pip install pandas`.") from error
    return pd


def axes_in_a_row(display: object, ax: Any, count: int, *, size: tuple[float, float]) -> Any:
    """Make or check the axes that the panels of a Display are drawn into.

    Parameters
    ----------
    display : object
        Who wants to draw, for the message.

    ax : None, matplotlib axes or array of them
        None makes a new figure; a single one is divided; an array must have `count` of them.

    count : int
        Number of panels.

    size : (float, float)
        Width and height of a panel of a new figure, in inches.

    Returns
    -------
    axes : ndarray of shape (count,)
        The axes.
    """
    plt = pyplot(display)
    if ax is None:
        width, height = size
        _, axes = plt.subplots(
            1, count, figsize=(count * width, height), squeeze=False, layout="constrained"
        )
        return axes[0]
    given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(given) == count:
        return given
    if len(given) > 1:
        raise ValueError(f"ax must be one or {count} matplotlib axes, got {len(given)}.")
    frame = given[0]
    frame.set_axis_off()
    cells = frame.get_subplotspec().subgridspec(1, count)
    return np.array([frame.figure.add_subplot(cells[0, k]) for k in range(count)], dtype=object)
