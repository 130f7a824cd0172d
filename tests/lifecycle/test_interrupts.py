"""A fit that does not end: by an interrupt at any moment, an error, or a callback that has enough.

Afterwards an estimator is whole: fitted by the fit before, or not fitted at all, or fitted as far
as the new fit came. Never a mixture.
"""

import inspect
import signal
import subprocess
import sys
import textwrap
import time
from copy import deepcopy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import skoverparam
from skoverparam import (
    KernelInterpolatorRegressor,
    MaxMarginClassifier,
    MirrorDescentRegressor,
    SquareLossNetClassifier,
)

# The data are fitted in a few steps, whether these lead to the end or not.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Moments of a fit that is interrupted, as shares of all calls and returns in it.
MOMENTS = (0.0, 0.02, 0.3, 0.6, 0.9, 0.97, 0.99, 0.995, 1.0)


WITH_CALLBACKS = [
    name
    for name in skoverparam.__all__
    if inspect.isclass(public := getattr(skoverparam, name))
    and issubclass(public, CallbackSupportMixin)
]


class Profiler:
    """Counts calls and returns of the package's functions, and interrupts at one of them."""

    def __init__(self, at=None):
        self.at = at
        self.count = 0

    def __call__(self, frame, event, argument):
        ours = "skoverparam" in frame.f_globals.get("__name__", "")
        # Where the whole fit returns, it is over; generators also end where nobody can catch.
        code = frame.f_code
        passed = code.co_name == "whole" or code.co_flags & inspect.CO_GENERATOR
        if event in ("call", "return") and ours and not passed:
            self.count += 1
            if self.count - 1 == self.at:
                sys.setprofile(None)
                raise KeyboardInterrupt

    def run(self, function, *arguments):
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            return function(*arguments)
        finally:
            sys.setprofile(before)


class Callback:
    """Does something when a number of steps are done: it raises, or asks to stop."""

    def __init__(self, after, error=None):
        self.after = after
        self.error = error
        self.count = 0
        self.is_torn_down = False

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        # The root is the fit, its children are the steps.
        self.count += context.parent is not None
        if self.count >= self.after and self.error is not None:
            raise self.error
        return self.count >= self.after

    def teardown(self, estimator, context):
        self.is_torn_down = True


def moments(function, *arguments):
    """Numbers of calls and returns at which to interrupt."""
    count = Profiler()
    count.run(function, *arguments)
    return sorted({round(share * (count.count - 1)) for share in MOMENTS})


def interrupted(function, *arguments, at):
    with pytest.raises(KeyboardInterrupt):
        Profiler(at).run(function, *arguments)


def equal(some, others):
    return some.keys() == others.keys() and all(
        np.array_equal(some[name], others[name], equal_nan=some[name].dtype.kind == "f")
        for name in some
    )


def test_an_interrupt_of_a_first_fit_leaves_nothing(case):
    for at in moments(clone(case.estimator).fit, *case.first):
        model = clone(case.estimator)
        interrupted(model.fit, *case.first, at=at)
        if hasattr(model, "n_iter_"):
            continue  # a training kept its last whole epoch, see below
        with pytest.raises(NotFittedError):
            check_is_fitted(model)
        for method in case.methods:
            with pytest.raises(NotFittedError):
                getattr(model, method)(case.first[0])
        assert vars(model) == vars(clone(case.estimator))


def test_an_interrupt_of_a_second_fit_leaves_the_first(case):
    model = clone(case.estimator).fit(*case.first)
    before, expected = dict(vars(model)), case.answers(model, case.first)
    for at in moments(clone(case.estimator).fit, *case.second):
        interrupted(model.fit, *case.second, at=at)
        if isinstance(model, SquareLossNetClassifier) and model.t_ != before["t_"]:
            model = clone(case.estimator).fit(*case.first)
            continue  # a training kept its last whole epoch, see below
        assert vars(model).keys() == before.keys()
        assert equal(case.answers(model, case.first), expected)
    # And it can be fitted as if nothing had been.
    again = case.answers(model.fit(*case.second), case.second)
    assert equal(again, case.answers(clone(case.estimator).fit(*case.second), case.second))


def test_an_interrupted_training_keeps_its_last_whole_epoch(cases):
    case = cases["SquareLossNetClassifier"]
    kept = set()
    for at in moments(clone(case.estimator).fit, *case.second):
        model = clone(case.estimator).fit(*case.first)
        t_before = model.t_
        interrupted(model.fit, *case.second, at=at)
        if model.t_ == t_before:
            assert model.n_features_in_ == case.first[0].shape[1]
            continue
        kept.add(model.n_iter_)
        assert len(model.loss_curve_) == model.n_iter_
        short = clone(case.estimator).set_params(max_iter=model.n_iter_).fit(*case.second)
        assert equal(case.answers(model, case.second), case.answers(short, case.second))
    assert len(kept) >= 2


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_interrupt_leaves_the_weights_to_go_on_from(method, cases):
    case = cases["SquareLossNetClassifier"]
    model = clone(case.estimator).set_params(warm_start=True, optimizer="adam", max_iter=2)
    model.fit(*case.first)
    expected = case.answers(model, case.first)
    gone_on = case.answers(getattr(deepcopy(model), method)(*case.first), case.first)
    untouched = 0
    for at in moments(getattr(deepcopy(model), method), *case.first):
        part = deepcopy(model)
        interrupted(getattr(part, method), *case.first, at=at)
        if part.t_ != model.t_:
            continue
        untouched += 1
        assert equal(case.answers(part, case.first), expected)
        assert equal(case.answers(getattr(part, method)(*case.first), case.first), gone_on)
    assert untouched >= 4


@pytest.mark.parametrize("name", WITH_CALLBACKS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("of a callback")], ids=repr)
def test_an_error_in_a_callback_leaves_the_first_fit(error, name, cases):
    case = cases[name]
    model = clone(case.estimator).fit(*case.first)
    expected = case.answers(model, case.first)
    callback = Callback(1, error)
    with pytest.raises(type(error)):
        model.set_callbacks(callback).fit(*case.second)
    assert callback.is_torn_down
    if isinstance(model, SquareLossNetClassifier):
        assert model.n_iter_ == 1
        case.answers(model, case.second)
    else:
        assert equal(case.answers(model, case.first), expected)
    # The next fit is an ordinary one.
    again = case.answers(model.set_callbacks().fit(*case.second), case.second)
    assert equal(again, case.answers(clone(case.estimator).fit(*case.second), case.second))


@pytest.mark.parametrize("name", WITH_CALLBACKS)
@pytest.mark.parametrize("after", [1, 3])
def test_a_callback_that_stops_leaves_a_whole_fit(after, name, cases):
    case = cases[name]
    whole = clone(case.estimator).fit(*case.second)
    callback = Callback(after)
    # A second fit: what the first left behind must not show.
    model = clone(case.estimator).fit(*case.first).set_callbacks(callback).fit(*case.second)
    assert callback.is_torn_down
    assert callback.count >= 1
    assert vars(model).keys() - {"_skl_callbacks"} == vars(whole).keys()
    for answer in case.answers(model, case.second).values():
        assert answer.dtype.kind != "f" or np.isfinite(answer).all()
    if hasattr(whole, "n_iter_"):
        assert model.n_iter_ <= whole.n_iter_
    if hasattr(whole, "loss_curve_"):
        assert len(model.loss_curve_) < len(whole.loss_curve_)
        assert model.loss_curve_ == whole.loss_curve_[: len(model.loss_curve_)]


@pytest.mark.parametrize("after", [2, 20])
def test_certificates_of_a_stopped_fit_are_measured(after):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    kernel = KernelInterpolatorRegressor(solver="pcg", random_state=0, kernel="gaussian")
    kernel.set_callbacks(Callback(after)).fit(X, y)
    miss = kernel.predict(X) - y
    # The residual of the system is that of the training targets: there is no ridge.
    np.testing.assert_allclose(
        kernel.residual_, np.linalg.norm(miss) / np.linalg.norm(y), rtol=1e-6, atol=1e-12
    )
    assert kernel.interpolates_ == (abs(miss).max() <= 1e-6 * abs(y).max())
    descent = MirrorDescentRegressor().set_callbacks(Callback(after))
    descent.fit(np.tile(X, 30), y)
    miss = descent.predict(np.tile(X, 30)) - y
    assert descent.interpolates_ == (abs(miss).max() <= 1e-6 * abs(y).max())
    assert not descent.interpolates_
    y = np.sign(X[:, 0])
    margin = MaxMarginClassifier(solver="gd").set_callbacks(Callback(after)).fit(X, y)
    # A multiple of the step, still far from the widest margin, and it says so.
    scores = y * margin.decision_function(X)
    assert margin.duality_gap_ > 0.01
    assert not margin.interpolates_
    # The classes can be separated, which was found out first; by these scores they are not yet.
    assert margin.separable_
    assert scores.min() < 0


CHILD = """
    import time
    import warnings

    import numpy as np

    from skoverparam import (
        MirrorDescentRegressor, MinNormRegressor, NTKMatrixCompleter, SquareLossNetClassifier
    )

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 50)), rng.normal(size=40)
    big, targets = rng.normal(size=(900, 1000)), rng.normal(size=900)
    for estimator in (
        MirrorDescentRegressor(max_iter=10**9, tol=0, learning_rate=1e-9),
        MinNormRegressor(),
        NTKMatrixCompleter(n_passes=10**6, alpha=1.0, random_state=0),
        SquareLossNetClassifier(hidden_layer_sizes=(8,), max_iter=10**6, random_state=0),
    ):
        name = type(estimator).__name__
        if name == "SquareLossNetClassifier":
            y, targets = y > 0, targets > 0
        short = {k: 2 for k in ("max_iter", "n_passes") if k in estimator.get_params()}
        endless = {k: v for k, v in estimator.get_params().items() if k in short}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.set_params(**short).fit(X, y)
        answer = getattr(estimator, "predict", getattr(estimator, "transform", None))
        before, width = answer(X), estimator.n_features_in_
        print("fitting", flush=True)
        try:
            estimator.set_params(**endless).fit(big, targets)
        except KeyboardInterrupt:
            same = estimator.n_features_in_ == width and np.array_equal(answer(X), before)
            went_on = not same and len(answer(big)) == len(big)
            print(name, "before" if same else "went on" if went_on else "broken", flush=True)
        else:
            try:
                time.sleep(60)  # the signal is on its way and not meant for the next estimator
            except KeyboardInterrupt:
                print(name, "ended", flush=True)
"""


def test_a_signal_leaves_the_first_fit():
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD)], stdout=subprocess.PIPE, text=True
    )
    found = {}
    try:
        for line in child.stdout:
            if line == "fitting\n":
                time.sleep(0.3)
                child.send_signal(signal.SIGINT)
            else:
                name, how = line.split(maxsplit=1)
                found[name] = how.strip()
        assert child.wait() == 0
    finally:
        child.kill()
        child.stdout.close()
        child.wait()
    assert found.pop("SquareLossNetClassifier") in ("before", "went on")
    assert found.pop("MinNormRegressor") in ("before", "ended")  # a single factorization
    assert found == {"MirrorDescentRegressor": "before", "NTKMatrixCompleter": "before"}
