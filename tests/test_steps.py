"""Generators of steps under scikit-learn's callbacks."""

import pytest
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks

from skoverparam._steps import run_steps


class Counter(CallbackSupportMixin, BaseEstimator):
    """Counts to ``stop``, however many steps were announced."""

    def __init__(self, stop=4, announced=4):
        self.stop = stop
        self.announced = announced

    @with_callbacks
    def fit(self, X, y=None):
        self.count_, self.n_iter_ = run_steps(
            self,
            iter(range(1, self.stop + 1)),
            X=X,
            y=y,
            task_name="step",
            max_steps=self.announced,
            fitted_after=lambda step: {"count_": step},
        )
        return self


class Record:
    """Notes what it is shown, and stops the fit after a number of steps."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.seen = []
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, y=None, fitted_estimator=None):
        self.events.append(("end", context.task_name, context.task_id))
        if context.task_name == "step":
            self.seen.append((fitted_estimator.count_, y))
            return len(self.seen) == self.stop_after
        return None


def test_every_step_is_a_task_with_the_estimator_as_it_would_be():
    record = Record()
    counter = Counter().set_callbacks(record).fit([[0]], "labels")
    assert counter.count_ == counter.n_iter_ == 4
    assert record.seen == [(k, "labels") for k in (1, 2, 3, 4)]
    assert record.events[0] == "setup"
    assert record.events[-1] == "teardown"
    begun = [event[1:] for event in record.events if event[0] == "begin"]
    ended = [event[1:] for event in record.events if event[0] == "end"]
    # No task is left open: a progress bar would hang.
    assert sorted(begun) == sorted(ended)
    assert ended[-1] == ("fit", 0)


def test_a_callback_stops_the_fit():
    record = Record(stop_after=2)
    counter = Counter(announced=None).set_callbacks(record).fit([[0]])
    assert counter.count_ == counter.n_iter_ == 2
    assert ("end", "fit", 0) in record.events


def test_a_generator_may_end_before_what_was_announced():
    record = Record()
    counter = Counter(stop=2, announced=9).set_callbacks(record).fit([[0]])
    assert counter.n_iter_ == 2
    assert len(record.seen) == 2


def test_without_callbacks_nothing_is_reconstructed():
    class Lazy(Counter):
        @with_callbacks
        def fit(self, X, y=None):
            def fail(step):
                raise AssertionError("evaluated although nobody asked")

            run_steps(self, range(1, 4), X=X, task_name="step", max_steps=3, fitted_after=fail)
            return self

    Lazy().fit([[0]])


def test_no_step_at_all_is_an_error():
    with pytest.raises(RuntimeError, match="ended before the first"):
        Counter(stop=0).fit([[0]])
