"""Samples of patches, one of which is the label's signal and the others are noise."""

import numpy as np
from sklearn.utils import Bunch

from skoverparam.theory import _arguments as check

_POSITIONS = ("random", "first")


def make_signal_noise_patches(
    n,
    d,
    signal=1.0,
    *,
    n_patches=2,
    sigma_p=1.0,
    position="random",
    orthogonal_noise=True,
    flip=0.0,
    random_state=None,
):
    r"""Generate samples of patches: a signal with the label's sign, and noise.

    A label y is +1 or -1 with equal probability. One patch of the sample is :math:`y \mu`, the
    others are noise. A convolutional network can learn the signal, which new samples share, or
    memorize the noise, which they do not: both fit the training data.

    Parameters
    ----------
    n : int
        Number of samples.

    d : int
        Size of one patch.

    signal : float or array-like of shape (d,), default=1.0
        The signal :math:`\mu`, or its norm; a signal given by its norm is a multiple of the first
        coordinate.

    n_patches : int, default=2
        Patches of a sample, one of them the signal.

    sigma_p : float, default=1.0
        Standard deviation of the coordinates of the noise.

    position : {"random", "first"}, default="random"
        Which patch is the signal.

    orthogonal_noise : bool, default=True
        Whether the noise is orthogonal to the signal, as the theory has it.

    flip : float, default=0.0
        Share of labels that are flipped, in [0, 0.5), met up to rounding.

    random_state : int, Generator, RandomState instance or None, default=None
        Determines labels, noise, positions and flips, in this order; what is not random draws
        nothing.

    Returns
    -------
    X : ndarray of shape (n, n_patches * d)
        The samples, patches one after another.

    y : ndarray of shape (n,)
        Labels, -1 or +1, integers.

    truth : Bunch
        ``signal``, the vector; ``noise`` of shape (n, n_patches - 1, d);
        ``signal_position`` of shape (n,); ``y`` before flips;
        ``snr``, the ratio :math:`\|\mu\| / (\sigma_p \sqrt d)`.

    See Also
    --------
    skoverparam.TwoLayerCNNClassifier : The network that learns from such data.
    skoverparam.theory.signal_noise_phase : Which of the two it will learn.

    Notes
    -----
    The model with two patches and without flips is that of the paper cited; its noise is
    :math:`N(0, \sigma_p^2 (I - \mu \mu^T / \|\mu\|^2))`. More patches and flips are ours. Test
    data must have the same kind of noise: noise that is not orthogonal to the signal adds to it.

    References
    ----------
    Y. Cao, Z. Chen, M. Belkin, Q. Gu, Benign overfitting in two-layer convolutional neural
    networks, arXiv:2202.06526.

    Examples
    --------
    >>> from skoverparam.datasets import make_signal_noise_patches
    >>> X, y, truth = make_signal_noise_patches(20, 400, signal=10.0, random_state=0)
    >>> X.shape, truth.snr
    ((20, 800), 0.5)
    >>> patches = X.reshape(20, 2, 400)
    >>> bool((patches[0, truth.signal_position[0]] == y[0] * truth.signal).all())
    True
    """
    n = check.integer(n, "n", low=1)
    d = check.integer(d, "d", low=1)
    check.integer(n_patches, "n_patches", low=1)
    check.number(sigma_p, "sigma_p", low=0)
    check.number(flip, "flip", low=0, high=0.5, open_high=True)
    check.option(position, "position", _POSITIONS)
    check.flag(orthogonal_noise, "orthogonal_noise")
    mu = _signal(signal, d)
    # Powers of two, in which squares are within range, change no digit.
    exponent = check.exponent_of(mu)
    unit_mu = np.ldexp(mu, -exponent)
    size = np.linalg.norm(unit_mu)
    rng = check.generator(random_state)
    y_true = rng.choice([-1, 1], n)
    noise = rng.standard_normal((n, n_patches - 1, d))
    if orthogonal_noise and size > 0:
        direction = unit_mu / size
        along = direction.nonzero()[0]  # most signals are sparse
        noise[:, :, along] -= (noise @ direction)[:, :, None] * direction[along]
    if sigma_p != 1:
        with np.errstate(over="ignore"):
            noise *= sigma_p
        check.within_range("sigma_p", noise)
    at = rng.integers(n_patches, size=n) if position == "random" else np.zeros(n, dtype=np.int64)
    X = np.empty((n, n_patches, d))
    X[np.arange(n_patches) != at[:, None]] = noise.reshape(-1, d)
    X[np.arange(n), at] = y_true[:, None] * mu
    y = y_true.copy()
    if flip > 0:
        y[rng.permutation(n)[: round(flip * n)]] *= -1
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        snr = np.ldexp(size / np.sqrt(d) / np.float64(sigma_p), exponent)
    truth = Bunch(
        signal=mu,
        noise=noise,
        signal_position=at,
        y=y_true,
        snr=float(snr) if sigma_p > 0 else np.inf,
    )
    return X.reshape(n, -1), y, truth


def _signal(signal, d):
    if check.ndim(signal) != 0:
        return check.vector(signal, "signal", length=d, of=" (d)").copy()
    check.number(signal, "signal", low=0)
    mu = np.zeros(d)
    mu[0] = signal
    return mu
