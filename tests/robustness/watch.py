"""A watch over one input: its time, the user's global state, and how it may end.

An estimator may answer, or refuse with an error that names the cause. It may warn where its
documentation says so. It may not crash, hang, answer nonsense, or leave traces.
"""

import contextlib
import re
import signal
import time
import traceback
import warnings
from collections import Counter, defaultdict

import numpy as np
import torch
from hypothesis import settings
from sklearn.exceptions import ConvergenceWarning

REFUSALS = (ValueError, TypeError, FloatingPointError, MemoryError)

# Whoever raises an error must know its cause: we, or scikit-learn's validation.
_OURS = r"skoverparam|sklearn"

# For tests that train networks, each example several of them: a third as many as of others.
few = settings(max_examples=max(1, settings.default.max_examples // 3))

# How many inputs of every estimator were answered, and how many refused.
outcomes = defaultdict(Counter)


class Refused(Exception):
    """The estimator refused the input, and said why: the example ends here."""


@contextlib.contextmanager
def watch(estimator, *, seconds=60.0, warns=(ConvergenceWarning, UserWarning)):
    """Watch over everything that is done with an estimator for one input.

    Parameters
    ----------
    estimator : estimator or str
        Named in the tally; a function by its name.

    seconds : float, default=60.0
        More than this is a hang.

    warns : tuple of warning categories
        What may be warned about. RuntimeWarning, numpy's voice for overflow, never may be.
    """
    name = estimator if isinstance(estimator, str) else type(estimator).__name__
    before = _global_state()
    start = time.monotonic()
    with warnings.catch_warnings(record=True) as caught, _alarm(name, seconds):
        warnings.simplefilter("always")
        try:
            yield
            outcomes[name]["warned" if caught else "answered"] += 1
        except Refused:
            outcomes[name]["refused"] += 1
    assert time.monotonic() - start < seconds, f"{name} took {time.monotonic() - start:.0f} s"
    for warning in caught:
        what = f"{name} warned: {warning.category.__name__} {warning.message}"
        assert issubclass(warning.category, warns), what
        assert not issubclass(warning.category, (RuntimeWarning, DeprecationWarning)), what
        assert len(str(warning.message)) > 20, f"too few words: {what}"
    changed = [what for what, same in _same_state(before).items() if not same]
    assert not changed, f"{name} changed {' and '.join(changed)}"


def attempt(function, *args, about, **kwargs):
    """Call a function; an error that names its cause ends the example as refused.

    Parameters
    ----------
    function : callable
        Such as ``estimator.fit``.

    *args, **kwargs
        Its arguments.

    about : str
        Regular expression: what such an error may be about.
    """
    try:
        return function(*args, **kwargs)
    except REFUSALS as error:
        text = str(error)
        if not re.search(about, text):
            message = f"{type(error).__name__} names no cause: {text!r}"
            raise AssertionError(message) from error
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if not re.search(_OURS, raised_in):
            raise AssertionError(f"{text!r} was raised inside {raised_in}") from error
        raise Refused(text) from error


def is_refused(function, *args, naming, **kwargs):
    """Call a function with something wrong in it: it must say so, and name what is wrong.

    Parameters
    ----------
    function : callable
        Such as ``estimator.fit``.

    *args, **kwargs
        Its arguments.

    naming : str
        Regular expression: what the error must name.
    """
    try:
        attempt(function, *args, about=naming, **kwargs)
    except Refused:
        return
    raise AssertionError(f"accepted, though it should be refused: {naming}")


def _global_state():
    return (
        np.random.get_state(),
        torch.random.get_rng_state(),
        torch.get_num_threads(),
        (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    )


def _same_state(before):
    numpy_state, torch_state, threads, modes = _global_state()
    return {
        "numpy's global random state": numpy_state[2:] == before[0][2:]
        and np.array_equal(numpy_state[1], before[0][1]),
        "torch's global random state": torch.equal(torch_state, before[1]),
        "the number of torch threads": threads == before[2],
        "torch's default dtype, or whether gradients are on": modes == before[3],
    }


@contextlib.contextmanager
def _alarm(name, seconds):
    """Raise in the main thread after so many seconds, where the system has such alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(signum, frame):
        raise AssertionError(f"{name} hangs: more than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def check_classifier(model, X, y):
    """Assert that scores, probabilities, their logarithms and predictions say one thing."""
    scores, P, chosen = model.decision_function(X), model.predict_proba(X), model.predict(X)
    assert np.isfinite(scores).all()
    assert ((P >= 0) & (P <= 1)).all()
    np.testing.assert_allclose(P.sum(-1), 1, rtol=0, atol=1e-5)
    assert set(np.unique(chosen)) <= set(np.unique(y))
    best = np.searchsorted(model.classes_, chosen)
    if len(model.classes_) == 2:
        assert scores.shape == chosen.shape
        np.testing.assert_array_equal(best == 1, scores > 0)
    else:
        np.testing.assert_array_equal(best, scores.argmax(-1))
    np.testing.assert_array_equal(best, P.argmax(-1))


def says_truly(interpolates, y, predicted, *, rounding):
    """Assert that "every target is met to 1e-6 of the largest of its column" is true, or false.

    Parameters
    ----------
    interpolates : bool
        What the estimator says.

    y, predicted : array of shape (n,) or (n, t)
        Targets and predictions.

    rounding : float
        Size of what predictions are sums of: they are known to its last digits only.
    """
    assert np.isfinite(predicted).all()
    Y, P = (np.asarray(a, float).reshape(len(y), -1) for a in (y, predicted))
    largest = np.abs(Y).max(0)
    slack = 64 * np.finfo(float).eps * rounding
    if predicted.dtype == np.float32:
        slack += 1e-7 * np.abs(P).max() + np.finfo(np.float32).tiny
    miss = np.abs(P - Y).max(0)
    if interpolates:
        assert (miss <= 1.01e-6 * largest + slack).all(), f"misses by {miss} of {largest}"
    else:
        assert (miss >= 0.99e-6 * largest - slack).any(), f"meets: {miss} of {largest}"
