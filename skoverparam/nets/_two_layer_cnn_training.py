"""From samples and settings to a descent of the two-layer CNN, and from its end to filters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.nets._two_layer_cnn import (
    DescentStep,
    Problem,
    dense_descent,
    outputs,
    span_descent,
)
from skoverparam.nets._two_layer_cnn_batch import Cell, Trained, train_cells
from skoverparam.nets._two_layer_cnn_patches import Patches

# Cells of a batch keep about so many bytes for every step; more of them are not faster.
_BATCH_BYTES = {"cpu": 2**26, "cuda": 2**31}

# Batches of fewer cells spend their time on starting operations.
_LEAST_CELLS = 64

# Below so many entries an operation is over before a second thread has begun.
_WORTH_THREADS = 2**16

# A training loss that has risen by so much will not come down: filters have grown beyond what
# the steps allow.
_RISE = 10.0

# Steps that track="log" keeps of every factor of ten.
_A_DECADE = 20


class Training(NamedTuple):
    """A network that is about to be trained.

    Attributes
    ----------
    patches : Patches
        Of the training samples.

    labels : Tensor of shape (n,)
        Classes, integers from 0 below K.

    coef_init : Tensor of shape (K, m, d)
        Initial filters.

    coef : Tensor of shape (K, m, d)
        Filters to start from: initial ones, or those of an earlier training.

    patch_coef : Tensor of shape (K, m, M)
        Coefficients of the patches in them.

    learning_rate : float
        Constant step.

    q : float
        Degree of the activation.
    """

    patches: Patches
    labels: Tensor
    coef_init: Tensor
    coef: Tensor
    patch_coef: Tensor
    learning_rate: float
    q: float


def start_training(
    patches: Patches, labels: Tensor, coef_init: Tensor, *, learning_rate: float, q: float
) -> Training:
    """Begin at initial filters."""
    patch_coef = coef_init.new_zeros(*coef_init.shape[:2], len(patches.vectors))
    return Training(patches, labels, coef_init, coef_init, patch_coef, learning_rate, q)


def initial_filters(
    n_classes: int, n_filters: int, d: int, scale: float, generator: torch.Generator
) -> Tensor:
    """Draw independent Gaussian entries, shape (n_classes, n_filters, d), float64 on the CPU."""
    shape = (n_classes, n_filters, d)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def patch_norms(patches: Tensor) -> tuple[float, float]:
    """Largest and median norm of the patches that are not zero; 1 if all are.

    Parameters
    ----------
    patches : Tensor of shape (n, P, d)
        Training samples.

    Returns
    -------
    largest, median : float
        Exact also where squares of the entries leave the range of numbers; not finite where the
        entries themselves do.
    """
    unit = float(patches.abs().max())
    if unit == 0:
        return 1.0, 1.0
    if not math.isfinite(unit):
        return unit, unit
    norms = torch.linalg.vector_norm(patches / unit, dim=2).flatten() * unit
    norms = norms[norms > 0]
    ordered = norms.sort().values
    middle = ordered[[(len(ordered) - 1) // 2, len(ordered) // 2]].mean()
    return float(ordered[-1]), float(middle)


def span_is_cheaper(patches: Patches) -> bool:
    """Whether a step on coefficients costs less than one on filters."""
    n_distinct, d = patches.vectors.shape
    return n_distinct <= 2 * d


def span_bytes(patches: Patches, n_classes: int, n_filters: int) -> int:
    """Memory of a descent on coefficients."""
    n_distinct = len(patches.vectors)
    size = patches.vectors.element_size()
    return size * n_distinct * (n_distinct + 8 * n_classes * n_filters)


def dense_bytes(patches: Patches, n_classes: int, n_filters: int) -> int:
    """Memory of a descent on filters."""
    n_distinct, d = patches.vectors.shape
    size = patches.vectors.element_size()
    return size * n_classes * n_filters * (8 * n_distinct + 3 * d)


@contextmanager
def suitable_threads(size: int) -> Iterator[None]:
    """Let small operations run on one thread of the CPU.

    Parameters
    ----------
    size : int
        Entries of the arrays that operations are on.

    Yields
    ------
    None

    Notes
    -----
    Several threads meet after each operation. For a step of microseconds that is most of the
    time, and on a busy machine all of it.
    """
    n_threads = torch.get_num_threads()
    if size >= _WORTH_THREADS or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class Progress(NamedTuple):
    """How far training has come.

    Attributes
    ----------
    n_steps : int
        Steps made.

    loss : float
        Mean training loss.

    patch_coef : Tensor of shape (K, m, M)
        Coefficients of the patches.

    coef : Tensor of shape (K, m, d) or None
        The filters, if they were computed.

    learning_rate : float
        The step.

    end : str
        Why training ends here, "converged", "stationary" or "max_iter"; empty if it goes on. If
        it has not ended and nothing more comes, it diverged.
    """

    n_steps: int
    loss: float
    patch_coef: Tensor
    coef: Tensor | None
    learning_rate: float
    end: str


def training_steps(
    training: Training, *, solver: str, logistic: bool, tol: float, max_iter: int, halve: bool
) -> Iterator[Progress]:
    """Gradient descent until the loss is small, or the steps are used up.

    Parameters
    ----------
    training : Training
        What to train.

    solver : {"span", "dense"}
        Whether to work on coefficients or on filters.

    logistic : bool
        Whether the loss is the logistic one on the difference of two outputs.

    tol : float
        Training loss to reach.

    max_iter : int
        Largest number of steps, all attempts together.

    halve : bool
        Whether to begin again with half the learning rate when the loss goes up instead of down;
        the number of steps is then 0 again.

    Yields
    ------
    Progress
        At the start, and after every step.
    """
    rate, spent = training.learning_rate, 0
    while True:
        for n_steps, at in enumerate(_descent(training, solver, rate, logistic)):
            if n_steps == 0:
                ceiling = at.loss + (_RISE if halve else math.inf)
            if at.loss > ceiling:
                break
            if at.loss <= tol:
                end = "converged"
            elif at.stationary:
                end = "stationary"
            else:
                end = "max_iter" if spent == max_iter else ""
            yield Progress(n_steps, at.loss, at.patch_coef, at.coef, rate, end)
            if end:
                return
            spent += 1
        if spent == 0:
            raise ValueError(
                "The loss at the initial filters is not finite: lower init_scale or coef_init, or "
                "scale X."
            )
        if not halve or rate < 1e-12 * training.learning_rate:
            return
        rate /= 2


def _descent(
    training: Training, solver: str, learning_rate: float, logistic: bool
) -> Iterator[DescentStep]:
    vectors, _, counts = training.patches
    n_classes, n_filters, _ = training.coef.shape
    n = len(training.labels)
    problem = Problem.of(
        None if counts is None else counts[None],
        training.labels[None],
        torch.full((1, n), 1 / n, dtype=vectors.dtype, device=vectors.device),
        n_classes=n_classes,
        n_filters=n_filters,
        q=training.q,
        logistic=logistic,
    )
    if solver == "dense":
        return dense_descent(vectors, training.coef, training.patch_coef, problem, learning_rate)
    start = training.coef_init @ vectors.T
    gram = vectors @ vectors.T
    return span_descent(gram, start, training.patch_coef, problem, learning_rate)


def filters(training: Training, patch_coef: Tensor) -> Tensor:
    """Compute the filters that coefficients of the patches stand for, shape (K, m, d)."""
    return training.coef_init + patch_coef @ training.patches.vectors


class Record:
    """Keeps losses of every step, and coefficients of some.

    Parameters
    ----------
    track : int, "log" or None
        Which steps: every so many, about twenty a decade, or none.

    curve : sequence of float
        Losses of an earlier training that this one goes on from.

    steps : sequence of int
        Tracked steps of that one.

    path : sequence of Tensor of shape (K, m, M)
        Coefficients at them.
    """

    def __init__(
        self,
        track: int | str | None,
        curve: Sequence[float] = (),
        steps: Sequence[int] = (),
        path: Sequence[Tensor] = (),
    ) -> None:
        self.track = track
        self.curve, self.steps, self.path = list(curve), list(steps), list(path)
        self._offset = max(len(self.curve) - 1, 0)

    def follow(self, progress: Iterable[Progress]) -> Iterator[Progress]:
        """Pass on what comes, and keep it."""
        for at in progress:
            n_steps = self._offset + at.n_steps
            # Where training began again, what came of the first attempt is dropped.
            del self.curve[n_steps:]
            self.curve.append(at.loss)
            if self._tracks(n_steps):
                self._keep(n_steps, at)
            yield at

    def close(self, last: Progress) -> None:
        """Keep the last step, too, if any are kept."""
        if self.track is not None:
            self._keep(self._offset + last.n_steps, last)

    def _keep(self, n_steps: int, at: Progress) -> None:
        while self.steps and self.steps[-1] >= n_steps:
            self.steps.pop()
            self.path.pop()
        self.steps.append(n_steps)
        self.path.append(at.patch_coef)

    def _tracks(self, n_steps: int) -> bool:
        if self.track is None:
            return False
        if self.track != "log":
            return n_steps % int(self.track) == 0
        if n_steps <= 1:
            return True
        place = _A_DECADE * math.log10(n_steps)
        return math.floor(place) > math.floor(_A_DECADE * math.log10(n_steps - 1))


def training_accuracy(training: Training, coef: Tensor) -> float:
    """Share of the training samples whose own output is the largest."""
    vectors, index, _ = training.patches
    padded = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])
    predicted = outputs(coef, padded[index], training.q).argmax(1)
    return float((predicted == training.labels).double().mean())


def stacked(path: Sequence[Tensor]) -> Tensor:
    """Coefficients at the tracked steps, along a first axis."""
    return torch.stack(list(path))


class Learned(NamedTuple):
    """A finished training.

    Attributes
    ----------
    patch_coef : Tensor of shape (K, m, M)
        Coefficients of the patches.

    coef : Tensor of shape (K, m, d)
        The filters.

    loss_curve : list of float
        Mean training loss at the start and after every step.

    learning_rate : float
        The step that was used.

    end : str
        "converged", "stationary", "max_iter" or "diverged".
    """

    patch_coef: Tensor
    coef: Tensor
    loss_curve: list[float]
    learning_rate: float
    end: str


def batches(trainings: Sequence[Training], halve: Sequence[bool]) -> list[list[int]]:
    """Divide networks into batches to be trained together, of similar sizes.

    Parameters
    ----------
    trainings : sequence of Training
        Of one K, m, q, dtype and device. Samples may differ in number and in size.

    halve : sequence of bool
        Whether they may begin again with smaller steps.

    Returns
    -------
    list of list of int
        Indices of `trainings`.
    """
    coef = trainings[0].coef
    on_cpu = coef.device.type == "cpu"
    n_units = coef.shape[0] * coef.shape[1]
    limit = _BATCH_BYTES["cpu" if on_cpu else "cuda"]
    # On a CPU each thread takes batches of its own.
    n_threads = torch.get_num_threads() if on_cpu else 1
    most = max(_LEAST_CELLS, -(-len(trainings) // n_threads))
    sizes = [len(training.patches.vectors) for training in trainings]
    found: list[list[int]] = []
    # Cells of similar size side by side: the shorter ones are filled up.
    for k in sorted(range(len(trainings)), key=lambda k: (halve[k], sizes[k])):
        if found:
            first, n_cells = found[-1][0], len(found[-1]) + 1
            n_bytes = n_cells * coef.element_size() * sizes[k] * (sizes[k] + 8 * n_units)
            alike = sizes[k] <= 1.3 * sizes[first] + 8 and halve[k] == halve[first]
            if alike and n_bytes <= limit and n_cells <= most:
                found[-1].append(k)
                continue
        found.append([k])
    return found


def train_batch(
    trainings: Sequence[Training], *, logistic: bool, tol: float, max_iter: int, halve: bool
) -> list[Learned]:
    """Train networks of one shape as one tensor program.

    Parameters
    ----------
    trainings : sequence of Training
        Of one K, m, q, dtype and device, from their initial filters.

    logistic, tol, max_iter, halve
        As for :func:`training_steps`.

    Returns
    -------
    list of Learned
        In the order of `trainings`; the same as of :func:`training_steps` up to rounding.
    """
    trained = train_cells(
        [_cell(training) for training in trainings],
        q=trainings[0].q,
        tol=tol,
        max_iter=max_iter,
        logistic=logistic,
        rise=_RISE if halve else math.inf,
    )
    return [
        _finished(training, result, logistic, tol, max_iter, halve)
        for training, result in zip(trainings, trained, strict=True)
    ]


def _finished(
    training: Training, result: Trained, logistic: bool, tol: float, max_iter: int, halve: bool
) -> Learned:
    if not result.diverged:
        end = "converged" if result.loss_curve[-1] <= tol else "max_iter"
        coef = filters(training, result.patch_coef)
        return Learned(result.patch_coef, coef, result.loss_curve, training.learning_rate, end)
    # Rare enough to be repeated alone, with smaller steps or up to the last finite one.
    steps = training_steps(
        training, solver="span", logistic=logistic, tol=tol, max_iter=max_iter, halve=halve
    )
    record = Record(None)
    *_, last = record.follow(steps)
    coef = filters(training, last.patch_coef)
    return Learned(last.patch_coef, coef, record.curve, last.learning_rate, last.end or "diverged")


def _cell(training: Training) -> Cell:
    vectors, index, counts = training.patches
    if counts is None:
        n, n_patches = index.shape
        own = torch.eye(n, dtype=vectors.dtype, device=vectors.device)
        counts = own.repeat_interleave(n_patches, dim=0)
    return Cell(
        gram=vectors @ vectors.T,
        start=training.coef_init @ vectors.T,
        counts=counts,
        labels=training.labels,
        learning_rate=training.learning_rate,
    )
