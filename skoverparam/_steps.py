"""Drive a generator of steps under scikit-learn's callbacks.

Iterative mathematics is written as generators that yield one object per step and know nothing of
progress bars, monitors or early stopping. This file is the only place where the two meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

Step = TypeVar("Step")


def run_steps(
    estimator: Any,
    steps: Iterable[Step],
    *,
    X: Any,
    y: Any = None,
    task_name: str,
    max_steps: int | None,
    fitted_after: Callable[[Step], dict[str, Any]],
) -> tuple[Step, int]:
    """Walk the steps of a fit, one callback task per step.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
        Its ``fit`` is decorated with ``sklearn.callback.with_callbacks``.

    steps : iterable
        Yields one object per step, at least one.

    X, y : array-like
        What callbacks are shown as training data.

    task_name : str
        What a step is called in progress bars.

    max_steps : int or None
        Upper bound of the number of steps, None if unknown.

    fitted_after : callable
        Maps a step to the fitted attributes the estimator would have if the fit ended there.
        Called only when a callback asks for a fitted estimator.

    Returns
    -------
    last : object
        The last step walked.

    n_steps : int
        How many steps were walked.
    """
    root = estimator._init_callback_context(max_subtasks=max_steps)
    root.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    last, n_steps = None, 0
    for last in steps:
        # A task is opened once its step is done: a generator may end early, and a task that was
        # begun and never ended would leave a progress bar hanging.
        n_steps += 1
        task = root.subcontext(task_name=task_name)
        task.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        if task.call_on_fit_task_end(
            estimator=estimator,
            X=X,
            y=y,
            reconstruction_attributes=partial(fitted_after, last),
        ):
            break
    if last is None:
        raise RuntimeError("The steps of a fit ended before the first one.")
    root.call_on_fit_task_end(
        estimator=estimator, X=X, y=y, reconstruction_attributes=partial(fitted_after, last)
    )
    return last, n_steps
