"""What a filter has learned: the signal, and the noise of every sample."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SignalNoiseDecomposition(NamedTuple):
    r"""Filters as initial filters, plus the signal, plus the noise of the training samples.

    For two classes with one signal vector,

    .. math::

        w_{j,r} = w_{j,r}(0) + j \gamma_{j,r} \frac{\mu}{\|\mu\|^2}
            + \sum_i \rho_{j,r,i} \frac{\xi_i}{\|\xi_i\|^2} , \qquad j = \pm 1 ,

    the second class of ``classes_`` being :math:`j = +1`.

    Attributes
    ----------
    gamma : array of shape (n_classes, n_filters) or (n_classes, n_filters, n_classes)
        Signal learned; with one signal vector for each class, the last axis tells whose.

    rho : array of shape (n_classes, n_filters, n_samples) or with an axis of patches more
        Noise memorized; with more than two patches, that of each patch but the signal's, in order.

    max_gamma : array of shape (n_classes,)
        Largest signal coefficient of a class's filters, on its own signal.

    max_rho : array of shape (n_samples,)
        Largest noise coefficient on a sample, of any filter.

    alignment : array of shape (n_classes, n_filters)
        Cosine between a filter and the signal of its class.

    signal_position : array of shape (n_samples,)
        Which patch was taken for the signal.

    reconstruction_error : float
        Relative distance of the right hand side from the filters. At rounding level if the signal
        patches are what they were said to be.

    With ``history=True``, `gamma`, `rho`, `max_gamma` and `max_rho` have a first axis more: the
    tracked steps.
    """

    gamma: Tensor
    rho: Tensor
    max_gamma: Tensor
    max_rho: Tensor
    alignment: Tensor
    signal_position: Tensor
    reconstruction_error: float


def find_signal(patches: Tensor, index: Tensor, mu: Tensor) -> Tensor:
    """Which patch of each sample is most aligned with a signal, or its negative.

    Parameters
    ----------
    patches : Tensor of shape (M, d)
        Distinct patches.

    index : Tensor of shape (n, P)
        Where a sample's patches are in them, -1 for zeros.

    mu : Tensor of shape (d,) or (K, d)
        One signal or several.

    Returns
    -------
    Tensor of shape (n,)
        Integers below P.
    """
    norms = torch.linalg.vector_norm(patches, dim=1)
    mu = torch.atleast_2d(mu)
    overlap = ((patches @ mu.T).abs() / torch.linalg.vector_norm(mu, dim=1)).amax(1)
    overlap = torch.cat([overlap / norms, overlap.new_full((1,), -1)])  # zeros, at -1, come last
    return overlap[index].argmax(1)


def decompose(
    patch_coef: Tensor,
    coef: Tensor,
    coef_init: Tensor,
    patches: Tensor,
    index: Tensor,
    mu: Tensor,
    position: Tensor,
    path: Tensor | None,
) -> SignalNoiseDecomposition:
    """Sort the coefficients of patches into those of the signal and those of noise.

    Parameters
    ----------
    patch_coef : Tensor of shape (K, m, M)
        Coefficients of the distinct patches.

    coef, coef_init : Tensor of shape (K, m, d)
        Filters now and at the start.

    patches : Tensor of shape (M, d)
        Distinct patches.

    index : Tensor of shape (n, P)
        Where a sample's patches are in them, -1 for zeros.

    mu : Tensor of shape (d,) or (K, d)
        One signal that two classes have with opposite signs, or one for each class.

    position : Tensor of shape (n,)
        Which patch of a sample is the signal.

    path : Tensor of shape (T, K, m, M) or None
        Coefficients after T steps, to decompose instead.

    Returns
    -------
    SignalNoiseDecomposition
        The parts.

    Notes
    -----
    A patch that occurs more than once has one coefficient, divided evenly among its occurrences.
    """
    n, n_patches = index.shape
    index = torch.where(index < 0, len(patches), index)  # zeros come last
    signals = torch.atleast_2d(mu)
    squared = signals.square().sum(1)
    shares = torch.zeros(len(patches) + 1, dtype=patches.dtype, device=patches.device)
    shares.index_add_(0, index.flatten(), shares.new_ones(index.numel()))
    shares = 1 / shares[:-1].clamp_min(1)

    at_signal = index.gather(1, position[:, None])[:, 0]
    present = at_signal < len(patches)
    at_signal = at_signal[present]
    overlaps = patches[at_signal] @ signals.T
    whose = (overlaps.abs() / squared.sqrt()).argmax(1)
    projection = torch.zeros_like(overlaps)
    projection.scatter_(1, whose[:, None], overlaps.gather(1, whose[:, None]))

    def of_signal(C: Tensor) -> Tensor:
        gamma = (C * shares)[..., at_signal] @ projection
        if mu.ndim == 2:
            return gamma
        signs = torch.tensor([-1.0, 1.0], dtype=gamma.dtype, device=gamma.device)
        return gamma[..., 0] * signs[:, None]

    others = torch.ones_like(index, dtype=torch.bool)
    others.scatter_(1, position[:, None], False)
    at_noise = index[others].reshape(n, n_patches - 1)
    weights = shares * patches.square().sum(1)

    def of_noise(C: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(C * weights, (0, 1))  # a patch of zeros has none
        rho = padded[..., at_noise]
        return rho[..., 0] if n_patches == 2 else rho

    gamma, rho = of_signal(patch_coef), of_noise(patch_coef)
    directions = signals / squared[:, None]
    if mu.ndim == 1:
        own = torch.stack([-mu, mu])
        learned = torch.stack([-gamma[0], gamma[1]])[..., None] @ directions
    else:
        own = mu
        learned = gamma @ directions
    norms = patches.square().sum(1)
    noise = torch.nn.functional.pad(patches / norms[:, None], (0, 0, 0, 1))
    memorized = torch.einsum(
        "krnp,npd->krd", rho.reshape(*rho.shape[:3], n_patches - 1), noise[at_noise]
    )
    rebuilt = coef_init + learned + memorized
    error = torch.linalg.vector_norm(coef - rebuilt) / torch.linalg.vector_norm(coef)
    cosine = torch.nn.functional.cosine_similarity(coef, own[:, None], dim=2, eps=1e-30)
    if path is not None:
        gamma, rho = of_signal(path), of_noise(path)
    on_own = gamma if mu.ndim == 1 else torch.einsum("...krk->...kr", gamma)
    per_sample = rho if n_patches == 2 else rho.amax(-1) if n_patches > 2 else rho.sum(-1)
    return SignalNoiseDecomposition(
        gamma=gamma,
        rho=rho,
        max_gamma=on_own.amax(-1),
        max_rho=per_sample.amax((-3, -2)),
        alignment=cosine,
        signal_position=position,
        reconstruction_error=float(error),
    )
