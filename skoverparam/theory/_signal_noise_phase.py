"""Whether a two-layer CNN learns the signal or memorizes the noise, and after how many steps."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import log_ndtr

from skoverparam.theory import _arguments as check
from skoverparam.theory._arguments import FloatArray


class SignalNoisePhase(NamedTuple):
    """What :func:`signal_noise_phase` returns."""

    snr: FloatArray
    n_snr_q: FloatArray
    signal_time: FloatArray
    noise_time: FloatArray
    ratio: FloatArray
    boundary: FloatArray
    benign: NDArray[np.bool_]


def signal_noise_phase(
    n: Any,
    d: Any,
    signal: Any,
    *,
    sigma_p: Any = 1.0,
    q: float = 3.0,
    n_filters: int = 10,
    n_patches: int = 2,
    init_scale: Any = None,
    learning_rate: Any = None,
) -> SignalNoisePhase:
    r"""Predict what a two-layer CNN with polynomial ReLU learns, the signal or the noise.

    Gradient descent from small filters is a race between two things that each grow slowly at
    first and then blow up: alignment with the signal, which all samples share, and alignment with
    the noise of every single sample. The first to arrive fits the labels and stops the other.

    Parameters
    ----------
    n : int or array-like
        Number of training samples. Arrays are broadcast against each other.

    d : int or array-like
        Size of a patch.

    signal : float or array-like
        Norm of the signal, :math:`\|\mu\|`, positive.

    sigma_p : float or array-like, default=1.0
        Standard deviation of the coordinates of the noise.

    q : float, default=3.0
        Degree of the activation, above 2.

    n_filters : int, default=10
        Filters m of each class.

    n_patches : int, default=2
        Patches of a sample, all but one of them noise.

    init_scale : float or array-like, default=None
        Standard deviation of the initial filters. None is what
        :class:`~skoverparam.TwoLayerCNNClassifier` takes by itself, 0.2 over the median norm of
        the patches.

    learning_rate : float or array-like, default=None
        The step. None is the estimator's, 0.5 over the largest squared norm of a patch.

    Returns
    -------
    snr : ndarray
        :math:`\mathrm{SNR} = \|\mu\| / (\sigma_p \sqrt d)`.

    n_snr_q : ndarray
        :math:`n\,\mathrm{SNR}^q`: much above 1, overfitting is benign, much below it is harmful.

    signal_time, noise_time : ndarray
        Steps after which a typical best filter blows up on the signal, or on a sample's noise.

    ratio : ndarray
        ``noise_time / signal_time``; with two patches half of `n_snr_q`.

    boundary : ndarray
        Norm of the signal where the two times are equal.

    benign : ndarray of bool
        Whether the signal is expected to win.

    Raises
    ------
    ValueError
        If q is not above 2, or another number is out of range.

    See Also
    --------
    skoverparam.TwoLayerCNNClassifier : The network.
    skoverparam.datasets.make_signal_noise_patches : The data.
    skoverparam.model_selection.phase_transition_map : Measures it.

    Notes
    -----
    The condition is the paper's: with high probability the test loss is small if
    :math:`n\,\mathrm{SNR}^q` is at least a constant times logarithms, and at least 0.1 if its
    inverse is. The paper gives no constant; the times are ours. While every sample has loss
    derivative 1/2, the best filter's inner product with the signal, and that with a sample's
    noise, obey

    .. math::

        a' = \frac{\eta q \|\mu\|^2}{4 m} a^{q-1}, \qquad
        b' = \frac{\eta q \sigma_p^2 d}{2 n m} b^{q-1} ,

    from :math:`a(0) = c_m \sigma_0 \|\mu\|` and :math:`b(0) = c_m \sigma_0 \sigma_p \sqrt d`,
    where :math:`c_m` is the mean of the largest of m standard normal numbers. They become
    infinite after

    .. math::

        t_a = \frac{4 m}{\eta q (q-2) \|\mu\|^2 a(0)^{q-2}}, \qquad
        t_b = \frac{2 m n}{\eta q (q-2) \sigma_p^2 d\, b(0)^{q-2}} ,

    equal where :math:`n\,\mathrm{SNR}^q = 2`. With P patches the best of :math:`m (P-1)` inner
    products leads. The luck of single filters blurs the boundary, and fitting all samples by
    their noise takes up to twice `noise_time`: the slowest of them counts.

    References
    ----------
    Y. Cao, Z. Chen, M. Belkin, Q. Gu, Benign overfitting in two-layer convolutional neural
    networks, arXiv:2202.06526.

    Examples
    --------
    >>> from skoverparam.theory import signal_noise_phase
    >>> phase = signal_noise_phase(20, 400, [4.0, 20.0], init_scale=0.01, learning_rate=0.00125)
    >>> phase.n_snr_q.round(2).tolist(), phase.benign.tolist()
    ([0.16, 20.0], [False, True])
    >>> phase.noise_time.round(-1).tolist()
    [870.0, 870.0]
    """
    q = check.number(q, "q", low=2, open_low=True)
    m = check.integer(n_filters, "n_filters", low=1)
    n_patches = check.integer(n_patches, "n_patches", low=2)
    given = {"n": n, "d": d, "signal": signal, "sigma_p": sigma_p}
    chosen = {"init_scale": init_scale, "learning_rate": learning_rate}
    given |= {name: value for name, value in chosen.items() if value is not None}
    known = {name: _positive(value, name) for name, value in given.items()}
    try:
        shape = np.broadcast_shapes(*(array.shape for array in known.values()))
    except ValueError as error:
        raise ValueError(
            "n, d, signal, sigma_p, init_scale and learning_rate must have shapes that broadcast "
            f"against each other, got {', '.join(str(a.shape) for a in known.values())}."
        ) from error
    known = {name: np.broadcast_to(array, shape) for name, array in known.items()}
    # Powers leave the range of numbers where their ratio does not: logarithms all along.
    log = {name: np.log(array) for name, array in known.items()}
    log_mu, log_noise = log["signal"], log["sigma_p"] + log["d"] / 2
    if init_scale is None:
        typical = np.logaddexp(log_mu, log_noise) - np.log(2) if n_patches == 2 else log_noise
        log["init_scale"] = np.log(0.2) - typical
    if learning_rate is None:
        log["learning_rate"] = np.log(0.5) - 2 * np.maximum(log_mu, log_noise)
    # One normal number alone has mean zero: a filter that starts on the wrong side stays there.
    best, best_noise = _largest(max(m, 2)), _largest(max(m * (n_patches - 1), 2))
    log_a = np.log(best) + log["init_scale"] + log_mu
    log_b = np.log(best_noise) + log["init_scale"] + log_noise
    common = np.log(2) + np.log(m) - np.log(q) - np.log(q - 2) - log["learning_rate"]
    log_signal_time = np.log(2) + common - 2 * log_mu - (q - 2) * log_a
    log_noise_time = log["n"] + common - 2 * log_noise - (q - 2) * log_b
    log_ratio = log_noise_time - log_signal_time
    with np.errstate(over="ignore", under="ignore"):
        return SignalNoisePhase(
            snr=known["signal"] / known["sigma_p"] / np.sqrt(known["d"]),
            n_snr_q=np.exp(log["n"] + q * (log_mu - log_noise)),
            signal_time=np.exp(log_signal_time),
            noise_time=np.exp(log_noise_time),
            ratio=np.exp(log_ratio),
            boundary=np.exp(log_mu - log_ratio / q),
            benign=log_ratio > 0,
        )


def _positive(value: Any, name: str) -> FloatArray:
    array = check.finite(value, name)
    if array.size == 0 or not (array > 0).all():
        raise ValueError(f"{name} must be positive and finite, got {value!r:.80}.")
    return array


def _largest(count: int) -> float:
    """Mean of the largest of so many standard normal numbers."""

    def density(x: float) -> float:
        log = math.log(count) - x * x / 2 - np.log(2 * np.pi) / 2 + (count - 1) * log_ndtr(x)
        return float(x * np.exp(log))

    return float(quad(density, -12, 12, points=[0, math.sqrt(2 * math.log(count))], limit=200)[0])
