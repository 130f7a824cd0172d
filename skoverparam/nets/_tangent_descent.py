"""Gradient descent on all samples, and how far it takes a network and its tangent kernel."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skoverparam.nets._evaluation import evaluating, outputs_of, trainable
from skoverparam.nets._tangent_kernel import empirical_ntk, kernel_matrix_of_outputs


class KernelState(NamedTuple):
    """The tangent kernel on some samples at one place of the parameters.

    Attributes
    ----------
    matrix : Tensor of shape (n C, n C)
        The kernel between all samples and outputs, in float64.

    weights : Tensor of shape (p,)
        The parameters, in float64.
    """

    matrix: Tensor
    weights: Tensor


class KernelMove(NamedTuple):
    """How far a network has moved from where it started.

    Attributes
    ----------
    change : float
        Norm of the kernel's change over the norm of the first kernel (Frobenius).

    lambda_min, lambda_max : float
        Extreme eigenvalues of the kernel.

    distance : float
        Euclidean norm of the change of the parameters.
    """

    change: float
    lambda_min: float
    lambda_max: float
    distance: float


def kernel_state(
    module: nn.Module,
    X: Tensor,
    *,
    chunk_size: int | None = None,
    budget: Callable[[float, float], float] | None = None,
) -> KernelState:
    """Take down a network's kernel and parameters."""
    K = empirical_ntk(module, X, output="full", chunk_size=chunk_size, budget=budget)
    weights = torch.cat([p.detach().flatten() for p in trainable(module).values()])
    return KernelState(kernel_matrix_of_outputs(K).double(), weights.double())


def kernel_move(first: KernelState, now: KernelState) -> KernelMove:
    """Compare two states of one network."""
    if first.weights.shape != now.weights.shape:
        raise ValueError(
            "Snapshots must be of one network with the same parameters that require gradients, "
            f"got {len(first.weights)} and {len(now.weights)} numbers."
        )
    low, high = extreme_eigenvalues(now)
    change = torch.linalg.matrix_norm(now.matrix - first.matrix)
    return KernelMove(
        float(change / torch.linalg.matrix_norm(first.matrix)),
        low,
        high,
        float(torch.linalg.vector_norm(now.weights - first.weights)),
    )


def extreme_eigenvalues(state: KernelState) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue of the kernel."""
    values = torch.linalg.eigvalsh(state.matrix)
    return float(values[0]), float(values[-1])


def with_weights(module: nn.Module, weights: Mapping[str, Any]) -> nn.Module:
    """Copy a network and load a state into the copy."""
    network = copy.deepcopy(module)
    network.load_state_dict(weights)
    return network


class DescentStep(NamedTuple):
    """A point of gradient descent, before the step from it.

    Attributes
    ----------
    loss : float
        Half the sum of squared errors.

    squared_gradient : float
        Squared norm of its gradient.
    """

    loss: float
    squared_gradient: float


def gradient_descent(
    module: nn.Module, X: Tensor, Y: Tensor, *, learning_rate: float
) -> Iterator[DescentStep]:
    """Descend half the sum of squared errors on all samples; changes the network.

    Parameters
    ----------
    module : Module
        The network, computed in evaluation mode.

    X : Tensor of shape (n, ...)
        Samples.

    Y : Tensor of shape (n, C)
        Targets.

    learning_rate : float
        The step.

    Yields
    ------
    DescentStep
        Loss and gradient where the network is while the consumer has the turn.
    """
    params = list(trainable(module).values())
    while True:
        with evaluating(module):
            loss = (outputs_of(module, X) - Y).square().sum() / 2
            gradients = torch.autograd.grad(loss, params, materialize_grads=True)
        squared = sum(float(g.double().square().sum()) for g in gradients)
        yield DescentStep(float(loss.detach()), squared)
        with torch.no_grad():
            for p, g in zip(params, gradients, strict=True):
                p.sub_(g, alpha=learning_rate)


def squared_gradient(module: nn.Module, X: Tensor, Y: Tensor) -> DescentStep:
    """Compute half the sum of squared errors and its squared gradient, where a network is."""
    return next(gradient_descent(module, X, Y, learning_rate=0.0))


class Trained(NamedTuple):
    """What came of training a network.

    Attributes
    ----------
    losses : list of float
        Half the sum of squared errors before each step and after the last.

    moves : list of KernelMove
        Where the kernel was, at the start, at about equal distances in log-time, and at the end.

    steps : list of int
        When.
    """

    losses: list[float]
    moves: list[KernelMove]
    steps: list[int]


def train_to_loss(
    module: nn.Module,
    X: Tensor,
    Y: Tensor,
    *,
    loss: float,
    max_iter: int,
    growth: float = 1.3,
) -> Trained:
    """Descend until the loss is small, with a step of one over the kernel's largest eigenvalue.

    Parameters
    ----------
    module : Module
        The network, which is changed.

    X, Y : Tensor of shapes (n, ...) and (n, C)
        Samples and targets.

    loss : float
        Where to stop.

    max_iter : int
        Largest number of steps.

    growth : float, default=1.3
        Factor between the numbers of steps at which the kernel is looked at.
    """
    first = kernel_state(module, X)
    losses: list[float] = []
    moves, steps = [kernel_move(first, first)], [0]
    eta, due = 1 / moves[0].lambda_max, 1.0
    for t, step in enumerate(gradient_descent(module, X, Y, learning_rate=eta)):
        losses.append(step.loss)
        done = step.loss <= loss or t >= max_iter
        if t and (t >= due or done):
            moves.append(kernel_move(first, kernel_state(module, X)))
            steps.append(t)
            due = max(t + 1.0, t * growth)
        if done or not torch.isfinite(torch.tensor(step.loss)):
            break
    return Trained(losses, moves, steps)
