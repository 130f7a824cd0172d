"""Training a network batch by batch, so that it can stop anywhere and go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skoverparam.nets._architectures import seeded
from skoverparam.nets._dense_gradients import DenseGradients
from skoverparam.nets._evaluation import precision_of
from skoverparam.nets._losses import Loss, counted_rows, loss_and_gradient

# Maps the share of the training that is done, from 0 to 1, to a factor of the learning rate.
Schedule = Callable[[float], float]

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}

OPTIMIZERS = ("adam", "adamw", "sgd")

# Rows for which outputs are computed at a time.
_BLOCK = 512

# Weights of smaller norms, after a smaller loss, have finite outputs.
_LARGE = 1e4


class Recipe(NamedTuple):
    """How a network is trained.

    Attributes
    ----------
    loss : Loss
        What is minimized.

    optimizer : str or callable
        A name in `OPTIMIZERS`, or a function of ``(parameters, lr=...)`` that makes a torch
        optimizer.

    learning_rate, momentum, weight_decay : float
        Settings of the optimizer; momentum for "sgd" only.

    schedule : str or callable
        A name in `SCHEDULES`, or such a function.

    batch_size : int
        Samples per step.

    bfloat16 : bool
        Whether products are computed in bfloat16; on CUDA devices only.

    class_weights : Tensor of shape (C,) or None
        Weights of the classes' samples.
    """

    loss: Loss
    optimizer: Any = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str | Schedule = "constant"
    batch_size: int = 64
    bfloat16: bool = False
    class_weights: Tensor | None = None


class TrainingState(NamedTuple):
    """All it takes to go on as if nothing had happened, as tensors and numbers.

    Attributes
    ----------
    weights : dict of Tensor
        Parameters and buffers by name.

    optimizer : dict
        ``"<parameter>.<name>"``: what the optimizer remembers; ``"class"``: its class.

    shuffling, noise : Tensor
        States of the random streams of the order of samples and of dropout.

    n_epochs, n_samples : int
        Passes and samples so far.

    best_weights : dict of Tensor or None
        Those with the best score on held-out data, if there are any.

    best_score : float
        That score, -inf without.

    n_stale : int
        Epochs since the score rose by more than a tolerance.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    shuffling: Tensor
    noise: Tensor
    n_epochs: int
    n_samples: int
    best_weights: dict[str, Tensor] | None
    best_score: float
    n_stale: int


class Epoch(NamedTuple):
    """What an epoch ended with: mean loss, score on held-out data (or None), and the state."""

    loss: float
    score: float | None
    state: TrainingState


class DivergenceError(ArithmeticError):
    """The loss, a weight or an output is no longer finite."""


class Training:
    """A network on its way: its weights, its optimizer and its random streams.

    Parameters
    ----------
    network : Module
        On the device and in the precision of the data. It is trained in place.

    recipe : Recipe
        How.

    seed : int
        Of the order of samples and of dropout.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, seed: int) -> None:
        self.network = network
        self.recipe = recipe
        self.device = precision_of(network)[0]
        self.optimizer = make_optimizer(network, recipe)
        # Some steps are as long as the loss is large, some need the residuals it is made of.
        asked = signature(self.optimizer.step).parameters
        self._wants_loss, self._wants_residuals = "loss" in asked, "residuals" in asked
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._dense = None
        if DenseGradients.suits(network) and not recipe.bfloat16 and not self._wants_residuals:
            self._dense = DenseGradients(network)
        self._shuffling = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(self.device).manual_seed(seed).get_state()
        self.n_epochs = 0
        self.n_samples = 0
        self.best_weights: dict[str, Tensor] | None = None
        self.best_score = -math.inf
        self.n_stale = 0

    def state(self) -> TrainingState:
        """Copy the state."""
        return TrainingState(
            weights=_copied(self.network.state_dict()),
            optimizer=_optimizer_state(self.optimizer),
            shuffling=self._shuffling.get_state(),
            noise=self._noise.clone(),
            n_epochs=self.n_epochs,
            n_samples=self.n_samples,
            best_weights=self.best_weights,
            best_score=self.best_score,
            n_stale=self.n_stale,
        )

    def resume(self, state: TrainingState) -> None:
        """Go on from a state; another kind of optimizer starts with a clean memory."""
        self.network.load_state_dict(state.weights)
        _restore_optimizer(self.optimizer, state.optimizer)
        self._shuffling.set_state(state.shuffling.cpu())
        if state.noise.numel() == self._noise.numel():
            self._noise = state.noise.cpu()
        self.n_epochs, self.n_samples = state.n_epochs, state.n_samples
        self.best_weights, self.best_score = state.best_weights, state.best_score
        self.n_stale = state.n_stale

    def run_epoch(
        self,
        X: Tensor,
        labels: Tensor,
        *,
        shuffle: bool,
        progress: tuple[float, float] | None = None,
    ) -> float:
        """Pass over the data once and return the mean loss of the batches.

        Parameters
        ----------
        X : Tensor of shape (n, ...)
            Samples, on the device of the network.

        labels : Tensor of shape (n,) or (n, T)
            Indices of classes; negative ones are not counted.

        shuffle : bool
            Whether samples come in random order, or as they stand.

        progress : pair of float, default=None
            Shares of the training that are done before and after. None: no schedule.

        Raises
        ------
        DivergenceError
            If the loss, a weight or an output is not finite after the epoch, or the optimizer
            says that a step is not.
        """
        self.n_epochs += 1
        self.network.train()
        order = None
        if shuffle:
            order = torch.randperm(len(X), generator=self._shuffling).to(self.device)
            labels = labels[order]
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        with self._noise_stream():
            for rows in batches(len(X), self.recipe.batch_size):
                if progress is not None:
                    self._set_rate(progress[0] + (progress[1] - progress[0]) * rows.start / len(X))
                # In memory of its own: products may round otherwise where rows start elsewhere.
                batch = X[rows].clone() if order is None else X.index_select(0, order[rows])
                total.add_(self._step(batch, labels[rows]), alpha=len(batch))
        self.n_samples += len(X)
        mean = float(total) / len(X)
        largest = _largest_norm(self.network)
        if not (math.isfinite(mean) and math.isfinite(largest)):
            raise DivergenceError
        # Products of large weights are larger. Others need not be looked at.
        if max(mean, largest) > _LARGE and not network_outputs(self.network, X).isfinite().all():
            raise DivergenceError
        return mean

    @contextmanager
    def _noise_stream(self) -> Iterator[None]:
        """Let dropout draw from this training's own stream; a plain perceptron draws nothing."""
        if self._dense is not None:
            yield
            return
        with seeded(self._noise, self.device) as noise:
            yield
            self._noise = noise.get_state()

    def _step(self, batch: Tensor, labels: Tensor) -> Tensor:
        recipe = self.recipe
        if self._dense is not None:
            values = self._dense.forward(batch)
            value, gradient = loss_and_gradient(
                values[-1], labels, recipe.loss, recipe.class_weights
            )
            self._dense.backward(values, gradient)
        else:
            self.optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bfloat16):
                outputs = self.network(batch)
            # The loss at least is differentiated by hand.
            value, gradient = loss_and_gradient(
                outputs.detach(), labels, recipe.loss, recipe.class_weights
            )
            if not self._wants_residuals:
                outputs.backward(gradient)
        given: dict[str, Tensor] = {}
        if self._wants_loss:
            given["loss"] = value
        elif self._wants_residuals:
            rows, counted, weights = counted_rows(outputs, labels, recipe.class_weights)
            given["residuals"] = recipe.loss.residuals(rows, counted, weights)
        if given and not math.isfinite(float(value)):
            raise DivergenceError
        step: Any = self.optimizer.step
        try:
            step(**given)
        except FloatingPointError as error:
            raise DivergenceError(str(error)) from error
        return value

    def _set_rate(self, done: float) -> None:
        schedule = self.recipe.schedule
        factor = (SCHEDULES[schedule] if isinstance(schedule, str) else schedule)(done)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor


def training_epochs(
    training: Training,
    X: Tensor,
    labels: Tensor,
    *,
    n_epochs: int,
    shuffle: bool = True,
    held_out: tuple[Tensor, Tensor] | None = None,
    patience: int = 10,
    tol: float = 1e-4,
) -> Iterator[Epoch]:
    """Train epoch by epoch.

    Parameters
    ----------
    training : Training
        What is trained, in place.

    X, labels : Tensor
        As in `Training.run_epoch`.

    n_epochs : int
        How many more, at most.

    shuffle : bool, default=True
        Whether every epoch has an order of its own.

    held_out : pair of Tensor, default=None
        Samples and labels whose accuracy is the score. The weights of the best epoch are kept, of
        several equal ones the last.

    patience : int, default=10
        The epochs end when the score has not risen by more than `tol` for so many.

    tol : float, default=1e-4
        What counts as a rise.

    Yields
    ------
    Epoch
        After each epoch.
    """
    start = training.n_epochs
    total = start + n_epochs
    if training.n_stale >= patience:
        training.n_stale = 0
    for epoch in range(start, total):
        mean = training.run_epoch(
            X, labels, shuffle=shuffle, progress=(epoch / total, (epoch + 1) / total)
        )
        score = None
        if held_out is not None:
            score = accuracy(network_outputs(training.network, held_out[0]), held_out[1])
            training.n_stale = 0 if score > training.best_score + tol else training.n_stale + 1
            if score >= training.best_score:
                training.best_score = score
                training.best_weights = _copied(training.network.state_dict())
        yield Epoch(mean, score, training.state())
        if held_out is not None and training.n_stale >= patience:
            return


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimizer of a recipe, its steps fused where torch can."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    options: dict[str, Any] = {"lr": recipe.learning_rate}
    if not parameters:
        raise ValueError("architecture must make a network with parameters to train, got none.")
    if callable(recipe.optimizer):
        if recipe.weight_decay:
            options["weight_decay"] = recipe.weight_decay
        optimizer = recipe.optimizer(parameters, **options)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                "optimizer must make a torch optimizer, got "
                f"{type(optimizer).__name__} from {recipe.optimizer!r:.80}."
            )
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(
                "optimizer must make its steps from one gradient; LBFGS evaluates the loss again."
            )
        return optimizer
    options["weight_decay"] = recipe.weight_decay
    # Steps of all parameters in one kernel; other devices than these loop over them.
    options["fused"] = parameters[0].device.type in ("cpu", "cuda")
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=recipe.momentum, **options)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, **options)


def is_adaptive(optimizer: Any) -> bool:
    """Whether an optimizer divides by the size of past gradients, as far as can be known."""
    kind = getattr(optimizer, "func", optimizer)
    return not (kind == "sgd" or kind is torch.optim.SGD)


def batches(n: int, size: int) -> Iterator[slice]:
    """Slices of `size` rows, the last one shorter; one of a single row joins the one before.

    Normalization over a batch needs two rows.
    """
    start = 0
    while start < n:
        stop = start + size
        if n - stop <= (size > 1):
            stop = n
        yield slice(start, stop)
        start = stop


def network_outputs(network: nn.Module, X: Tensor) -> Tensor:
    """Compute outputs for all rows, in blocks, in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(block) for block in X.split(_BLOCK)])


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Share of the labels that are not negative whose output is the largest."""
    counted = labels >= 0
    right = (outputs.argmax(-1) == labels) & counted
    return float(right.sum() / counted.sum())


def is_constant(outputs: Tensor) -> bool:
    """Whether all rows of outputs are the same: a dead network."""
    return bool((outputs == outputs[:1]).all())


def _copied(weights: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


def _largest_norm(network: nn.Module) -> float:
    """Find the largest norm of a parameter or buffer, not finite if one of them is not."""
    tensors = [*network.parameters(), *network.buffers()]
    norms = torch._foreach_norm([t.detach() for t in tensors if t.is_floating_point()])
    return float(torch.stack(norms).max())


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    state: dict[str, Any] = {"class": type(optimizer).__name__}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            state[f"{index}.{name}"] = value.clone() if isinstance(value, Tensor) else value
    return state


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    if state["class"] != type(optimizer).__name__:
        return
    nested: dict[int, dict[str, Any]] = {}
    for key, value in _without_class(state):
        index, _, name = key.partition(".")
        # A copy: steps change it in place, and the state may be gone back to.
        copied = value.clone() if isinstance(value, Tensor) else value
        nested.setdefault(int(index), {})[name] = copied
    optimizer.load_state_dict(optimizer.state_dict() | {"state": nested})


def _without_class(state: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((key, value) for key, value in state.items() if key != "class")
