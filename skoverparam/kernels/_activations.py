"""Activations of infinitely wide networks, as functions of the cosine between two inputs.

For an activation phi and a pair (u, v) of centered Gaussians with unit variances and
correlation c, the *dual* functions are, up to one normalization,

    kappa_1(c) = E[phi(u) phi(v)],      kappa_0(c) = E[phi'(u) phi'(v)] = kappa_1'(c),

scaled so that kappa_1(1) = 1: a network whose weights have the matching variance neither
shrinks nor blows up. One hidden layer of a wide network acts on covariances through kappa_1 (the
Gaussian-process kernel) and on tangent kernels through kappa_0.

Each activation knows its dual functions twice: as plain functions of a tensor, and as one layer
of the recursion in place on a cache-sized block, where the work common to kappa_0 and kappa_1
is shared and digits are kept near c = 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

_ARCSINE_GAIN = 1 / math.asin(2 / 3)


class Block(NamedTuple):
    """State of the layer recursion on one block of pairs, updated in place.

    Attributes
    ----------
    cosine : tensor
        S_l, the covariance after l layers (a cosine whenever inputs are normalized).
    gap : tensor
        1 - S_l, kept beside S_l because angles near zero need its digits.
    tangent : tensor or None
        T_l, the tangent kernel after l layers; None where only S_l is wanted.
    work : tuple of two tensors
        Scratch of the same shape.
    """

    cosine: Tensor
    gap: Tensor
    tangent: Tensor | None
    work: tuple[Tensor, Tensor]


class Activation:
    """What the kernels need to know about an activation.

    Every activation also has its dual functions `kappa_1` and `kappa_0`, elementwise from a tensor
    of cosines to a new tensor; they are not declared here because `DualPair` has them as fields.
    """

    homogeneous: ClassVar[bool] = True
    """Whether inputs that are not normalized enter through the product of their norms alone."""

    def layer_(
        self, block: Block, left: Tensor | None = None, right: Tensor | None = None
    ) -> None:
        """Apply one hidden layer to a block: S <- kappa_1(S), T <- kappa_1(S) + T kappa_0(S).

        `left` (rows, 1) and `right` (1, columns) are this layer's entries of
        `variance_factors` for the two sides, where inputs are not normalized and the
        activation is not homogeneous.
        """
        raise NotImplementedError

    def variance_factors(self, variances: Tensor, depth: int) -> list[Tensor]:
        """Return, layer by layer, what `layer_` must know of inputs with these variances."""
        raise NotImplementedError(f"{type(self).__name__} depends on cosines only")


class _Rectifier(Activation):
    """phi(u) = max(u, 0) + slope min(u, 0), with `bend` = (1 - slope)^2 / (pi (1 + slope^2))."""

    @property
    def bend(self) -> float:
        """Factor of the angle in kappa_0."""
        raise NotImplementedError

    def kappa_1(self, cosine: Tensor) -> Tensor:
        """Return c kappa_0(c) + bend sin(arccos c)."""
        c = cosine.clamp(-1, 1)
        angle, sine = _angle_and_sine(c)
        return c * (1 - self.bend * angle) + self.bend * sine

    def kappa_0(self, cosine: Tensor) -> Tensor:
        """Return 1 - bend arccos(c)."""
        angle, _ = _angle_and_sine(cosine.clamp(-1, 1))
        return 1 - self.bend * angle

    def layer_(
        self, block: Block, left: Tensor | None = None, right: Tensor | None = None
    ) -> None:
        """Apply one hidden layer in place; see `Activation.layer_`."""
        # With t the angle, D = 1 - c: kappa_0 = 1 - bend t and kappa_1 = c kappa_0 + bend sin t,
        # hence 1 - kappa_1 = D - bend (sin t - c t): the gap is carried without passing through
        # 1 - (number near 1), and the next angle is right to a rounding error even when tiny.
        cosine, gap, tangent, (angle, sine) = block
        _sine_(gap, angle, out=sine)
        torch.atan2(sine, cosine, out=angle)
        gap.sub_(sine.addcmul_(cosine, angle, value=-1), alpha=self.bend)
        torch.sub(one(gap), gap, out=cosine)
        if tangent is not None:
            kappa_0 = torch.sub(one(angle), angle, alpha=self.bend, out=angle)
            tangent.mul_(kappa_0).add_(cosine)


@dataclass(frozen=True)
class ReLU(_Rectifier):
    """Rectified linear unit, phi(u) = max(u, 0).

    Its normalized dual functions are the arc-cosine kernels of order 1 and 0.

    Notes
    -----
    With t = arccos(c),

        kappa_1(c) = (c (pi - t) + sin t) / pi,      kappa_0(c) = 1 - t / pi.

    The weights of every hidden layer have variance 2 / width (kappa_1 is 2 E[phi(u) phi(v)]).

    References
    ----------
    Y. Cho and L. K. Saul, "Kernel methods for deep learning", NIPS 2009.

    Examples
    --------
    >>> import torch
    >>> from skoverparam.kernels import ReLU
    >>> ReLU().kappa_0(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """

    @property
    def bend(self) -> float:
        """Factor of the angle in kappa_0, 1 / pi."""
        return 1 / math.pi


@dataclass(frozen=True)
class LeakyReLU(_Rectifier):
    """Leaky rectified linear unit, phi(u) = max(u, 0) + slope min(u, 0).

    Parameters
    ----------
    slope : float, default=0.01
        Slope for negative arguments. 0 is the ReLU, 1 the identity, -1 the absolute value.

    Notes
    -----
    With t = arccos(c) and b = (1 - slope)^2 / (pi (1 + slope^2)),

        kappa_0(c) = 1 - b t,      kappa_1(c) = c kappa_0(c) + b sin t,

    the arc-cosine kernels at slope = 0. The weights of every hidden layer have variance
    2 / ((1 + slope^2) width).

    References
    ----------
    Y. Cho and L. K. Saul, "Kernel methods for deep learning", NIPS 2009 (slope = 0).
    A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, fast, and flexible framework
    for matrix completion with infinite width neural networks", arXiv:2108.00131.

    Examples
    --------
    >>> import torch
    >>> from skoverparam.kernels import LeakyReLU
    >>> LeakyReLU(slope=1.0).kappa_1(torch.tensor([-0.5, 0.5]))
    tensor([-0.5000,  0.5000])
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.slope, (int, float)) or isinstance(self.slope, bool):
            raise TypeError(f"slope must be a number, got {self.slope!r}.")
        if not math.isfinite(self.slope):
            raise ValueError(f"slope must be a finite number, got {self.slope!r}.")

    @property
    def bend(self) -> float:
        """Factor of the angle in kappa_0: 1 / pi at slope 0, 0 at slope 1."""
        return (1 - self.slope) ** 2 / (math.pi * (1 + self.slope**2))


@dataclass(frozen=True)
class Erf(Activation):
    """Error function, phi(u) = erf(u).

    Notes
    -----
    The weights of every hidden layer have variance s / width with
    s = pi / (2 arcsin(2/3)), so that inputs of unit norm keep unit variance at every layer:

        kappa_1(c) = arcsin(2c/3) / arcsin(2/3),
        kappa_0(c) = 2 / (3 arcsin(2/3) sqrt(1 - 4c^2/9)).

    kappa_0(1) = 1.2257 > 1: the diagonal of the tangent kernel grows faster with depth than for
    rectifiers. For other norms the variances q and q' of the two sides matter: with covariance S,

        E -> arcsin(2S / sqrt((1 + 2q)(1 + 2q'))) / arcsin(2/3),

    and its derivative with respect to S; q itself evolves by the same formula with S = q = q'.

    References
    ----------
    C. K. I. Williams, "Computing with infinite networks", NIPS 1996 (published 1997).

    Examples
    --------
    >>> import torch
    >>> from skoverparam.kernels import Erf
    >>> Erf().kappa_0(torch.tensor([0.0, 1.0]))
    tensor([0.9136, 1.2257])
    """

    homogeneous: ClassVar[bool] = False

    def kappa_1(self, cosine: Tensor) -> Tensor:
        """Return arcsin(2c/3) / arcsin(2/3)."""
        return torch.asin(cosine * (2 / 3)) * _ARCSINE_GAIN

    def kappa_0(self, cosine: Tensor) -> Tensor:
        """Return the derivative of `kappa_1`."""
        return torch.rsqrt(1 - (cosine * (2 / 3)).square()) * (_ARCSINE_GAIN * 2 / 3)

    def layer_(
        self, block: Block, left: Tensor | None = None, right: Tensor | None = None
    ) -> None:
        """Apply one hidden layer in place; see `Activation.layer_`."""
        cosine, _, tangent, (root, inverse_root) = block
        _scale_(cosine, left, right)
        torch.mul(cosine, cosine, out=root)
        torch.sub(one(root), root, out=root).clamp_min_(_smallest(root))
        torch.rsqrt(root, out=inverse_root)
        root.mul_(inverse_root)
        # arcsin x = atan2(x, sqrt(1 - x^2)); the root serves the derivative too.
        cosine.atan2_(root).mul_(_ARCSINE_GAIN)
        if tangent is not None:
            inverse_root.mul_(_ARCSINE_GAIN)
            _scale_(inverse_root, left, right)
            tangent.mul_(inverse_root).add_(cosine)

    def variance_factors(self, variances: Tensor, depth: int) -> list[Tensor]:
        """Return sqrt(2 / (1 + 2q)) for the variance q of every input at each layer."""
        factors = []
        for _ in range(depth):
            factors.append(torch.sqrt(2 / (1 + 2 * variances)))
            variances = torch.asin(2 * variances / (1 + 2 * variances)) * _ARCSINE_GAIN
        return factors


@dataclass(frozen=True)
class DualPair(Activation):
    """Activation given by its dual functions of the cosine.

    Parameters
    ----------
    kappa_1 : callable
        Tensor of cosines -> tensor of E[phi(u) phi(v)], elementwise, normalized:
        kappa_1(1) = 1. For the kernel to be positive semidefinite its power series must have
        nonnegative coefficients.
    kappa_0 : callable
        Derivative of `kappa_1`, of the same form.

    Notes
    -----
    Inputs that are not normalized are treated as if phi were homogeneous of degree one: the
    kernel of the unit vectors times the product of the norms. A pair made of module-level
    functions can be pickled, one made of lambdas cannot.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import DualPair, fully_connected_ntk
    >>> quadratic = DualPair(lambda c: c**2, lambda c: 2 * c)
    >>> fully_connected_ntk(np.array([[1.0, 0.0], [0.6, 0.8]]), activation=quadratic)
    array([[3.  , 1.08],
           [1.08, 3.  ]])
    """

    kappa_1: Callable[[Tensor], Tensor]
    kappa_0: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        for name in ("kappa_1", "kappa_0"):
            function = getattr(self, name)
            if not callable(function):
                raise TypeError(f"{name} must be a function of a tensor, got {function!r}.")
            _check_elementwise(name, function)
        at_one = float(self.kappa_1(torch.ones(1, dtype=torch.float64)))
        if not abs(at_one - 1) <= 1e-8:
            raise ValueError(
                f"kappa_1 must be normalized so that kappa_1(1) = 1, got {at_one:.6g} there;"
                " divide both functions by that number."
            )

    def layer_(
        self, block: Block, left: Tensor | None = None, right: Tensor | None = None
    ) -> None:
        """Apply one hidden layer in place; see `Activation.layer_`."""
        cosine, _, tangent, _ = block
        if tangent is not None:
            tangent.mul_(self.kappa_0(cosine))
        cosine.copy_(self.kappa_1(cosine)).clamp_(-1, 1)
        if tangent is not None:
            tangent.add_(cosine)


_BY_NAME: dict[str, Callable[[], Activation]] = {"relu": ReLU, "leaky_relu": LeakyReLU, "erf": Erf}


def resolve(activation: object) -> Activation:
    """Return the activation meant by a name or an object.

    Parameters
    ----------
    activation : {"relu", "leaky_relu", "erf"} or Activation
        A name, or one of `ReLU()`, `LeakyReLU(slope)`, `Erf()`, `DualPair(kappa_1, kappa_0)`.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor an activation.
    """
    if isinstance(activation, Activation):
        return activation
    accepted = (
        ", ".join(repr(name) for name in _BY_NAME)
        + " or an object ReLU(), LeakyReLU(slope), Erf(), DualPair(kappa_1, kappa_0)"
    )
    if not isinstance(activation, str):
        raise TypeError(f"activation must be one of {accepted}; got {activation!r}.")
    if activation not in _BY_NAME:
        raise ValueError(f"activation must be one of {accepted}; got {activation!r}.")
    return _BY_NAME[activation]()


def _angle_and_sine(cosine: Tensor) -> tuple[Tensor, Tensor]:
    sine = torch.sqrt((1 - cosine) * (1 + cosine))
    # arccos(c) has the same value, but takes twice the time on CPUs.
    return torch.atan2(sine, cosine), sine


def _sine_(gap: Tensor, work: Tensor, out: Tensor) -> None:
    """Write sqrt(D (2 - D)), the sine of the angle with cosine 1 - D; `work` is overwritten."""
    torch.sub(2 * one(gap), gap, out=work)
    work.mul_(gap).clamp_min_(_smallest(gap))
    # x rsqrt(x) instead of sqrt(x): twice as fast on CPUs, the same to a rounding error or two.
    torch.rsqrt(work, out=out)
    out.mul_(work)


def _scale_(block: Tensor, left: Tensor | None, right: Tensor | None) -> None:
    if left is None or right is None:
        block.mul_(2 / 3)
    else:
        block.mul_(left).mul_(right)


def one(like: Tensor) -> Tensor:
    """Return 1 as the left operand of a subtraction with `out`."""
    # A tensor without axes on the CPU acts as a number on every device, and unlike a number
    # it may stand on the left of a subtraction with `out`.
    return torch.ones((), dtype=like.dtype)


def _smallest(like: Tensor) -> float:
    # Far below any square that matters, far above what the inverse square root turns to infinity.
    return 1e-36 if like.dtype == torch.float32 else 1e-300


def _check_elementwise(name: str, function: Callable[[Tensor], Tensor]) -> None:
    probe = torch.tensor([[-0.5, 0.0, 1.0]], dtype=torch.float64)
    value = function(probe.clone())
    if not isinstance(value, Tensor) or value.shape != probe.shape:
        raise TypeError(
            f"{name} must map a tensor of cosines to a tensor of the same shape, "
            f"got {type(value).__name__} for an input of shape {tuple(probe.shape)}."
        )
