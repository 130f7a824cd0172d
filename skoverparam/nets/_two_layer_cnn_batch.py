"""Many independent two-layer CNNs trained as one tensor program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.nets._two_layer_cnn import Problem, largest_loss, slope

# Finished cells stand still at once, and leave the batch at the next multiple of so many steps:
# looking for them costs a wait for the device and a copy of the others.
_LOOK_EVERY = 16


class Cell(NamedTuple):
    """One data set with its initial filters.

    Attributes
    ----------
    gram : Tensor of shape (M, M)
        Inner products of the distinct patches.

    start : Tensor of shape (K, m, M)
        Inner products of the initial filters with them.

    counts : Tensor of shape (M, n)
        How often a patch occurs in a sample.

    labels : Tensor of shape (n,)
        Classes, integers from 0 below K.

    learning_rate : float
        Constant step.
    """

    gram: Tensor
    start: Tensor
    counts: Tensor
    labels: Tensor
    learning_rate: float


class Trained(NamedTuple):
    """Where a cell's descent ended.

    Attributes
    ----------
    patch_coef : Tensor of shape (K, m, M)
        Coefficients of the patches.

    loss_curve : list of float
        Mean training loss at the start and after every step.

    diverged : bool
        Whether the loss rose too far; `patch_coef` is then not to be used.
    """

    patch_coef: Tensor
    loss_curve: list[float]
    diverged: bool


def train_cells(
    cells: Sequence[Cell],
    *,
    q: float,
    tol: float,
    max_iter: int,
    logistic: bool,
    rise: float = math.inf,
) -> list[Trained]:
    """Run gradient descent on many cells at once, each until its loss is at most `tol`.

    Parameters
    ----------
    cells : sequence of Cell
        Of one K, m, dtype and device. Numbers of samples and patches may differ: shorter cells
        are filled up with zeros, so similar ones should come together.

    q : float
        Degree of the activation.

    tol : float
        Training loss to reach.

    max_iter : int
        Largest number of steps.

    logistic : bool
        Whether the loss is the logistic one on the difference of two outputs.

    rise : float, default=inf
        A cell whose loss is so much above its first one, or out of range, stops.

    Returns
    -------
    list of Trained
        One for each cell, the same as alone up to rounding.

    Notes
    -----
    A step of B cells costs K m M^2 B, in about ten operations on all of them. A finished cell
    stops where it is and soon leaves the batch.
    """
    n_classes, n_filters, _ = cells[0].start.shape
    width = max(len(cell.gram) for cell in cells)
    n_samples = max(len(cell.labels) for cell in cells)
    like = cells[0].start
    B = len(cells)
    gram = like.new_zeros(B, width, width)
    start = like.new_zeros(B, n_classes * n_filters, width)
    counts = like.new_zeros(B, width, n_samples)
    weights = like.new_zeros(B, n_samples)
    labels = torch.zeros(B, n_samples, dtype=torch.long, device=like.device)
    for b, cell in enumerate(cells):
        M, n = cell.counts.shape
        gram[b, :M, :M] = cell.gram
        start[b, :, :M] = cell.start.flatten(0, 1)
        counts[b, :M, :n] = cell.counts
        labels[b, :n] = cell.labels
        weights[b, :n] = 1 / n
    rates = like.new_tensor([cell.learning_rate for cell in cells])
    problem = Problem.of(
        counts,
        labels,
        weights,
        n_classes=n_classes,
        n_filters=n_filters,
        q=q,
        logistic=logistic,
    )
    C = like.new_zeros(B, n_classes, n_filters, width)

    finals = torch.zeros_like(C)
    n_steps = torch.zeros(B, dtype=torch.long, device=like.device)
    segments: list[tuple[Tensor, Tensor]] = []
    # Of the cells that are still in the batch: which they are, whether they still move, and for
    # how many steps they did.
    members = torch.arange(B, device=like.device)
    moving = torch.ones(B, dtype=torch.bool, device=like.device)
    moved = torch.zeros(B, dtype=torch.long, device=like.device)
    ceiling = torch.zeros_like(rates)
    largest = largest_loss(like.dtype)
    t = 0
    while len(members):
        losses = []
        for step in range(t, min(t + _LOOK_EVERY, max_iter + 1)):
            at = slope(torch.baddbmm(start, C.flatten(1, 2), gram), problem)
            losses.append(at.loss)
            if step == 0:
                ceiling = (at.loss + rise).clamp_max(largest)
            # NaN is above nothing and below nothing: it stops a cell, too.
            moving = moving & (at.loss > tol) & (at.loss < ceiling)
            if step == max_iter:
                moving = torch.zeros_like(moving)
            moved = moved + moving
            C.addcmul_(at.powers, at.scale * (moving * -rates)[:, None, None, None])
        segments.append((members, torch.stack(losses, dim=1)))
        t += len(losses)
        if not bool(moving.all()):
            done, rest = members[~moving], moving.nonzero()[:, 0]
            finals[done], n_steps[done] = C[~moving], moved[~moving]
            members, moving, moved = members[rest], moving[rest], moved[rest]
            gram, start, C = gram[rest], start[rest], C[rest]
            rates, ceiling = rates[rest], ceiling[rest]
            problem = problem.among(rest)
    curves = like.new_zeros(B, t)
    end = 0
    for where, values in segments:
        curves[where, end : end + values.shape[1]] = values
        end += values.shape[1]
    # Finished cells stand still by a rate of zero, which does not stop an infinite gradient.
    finite = finals.flatten(1).isfinite().all(1).tolist()
    trained = []
    for b, (cell, n_moved) in enumerate(zip(cells, n_steps.tolist(), strict=True)):
        curve = curves[b, : n_moved + 1].tolist()
        diverged = not finite[b] or not curve[-1] < min(curve[0] + rise, largest)
        trained.append(Trained(finals[b, :, :, : len(cell.gram)].clone(), curve, diverged))
    return trained
