"""Layers in the tangent parametrization: weights of variance one, divided by sqrt(fan-in)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

OUTPUT_LAYERS = ("normal", "signs")

SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "softplus": nn.functional.softplus,
    "swish": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "logistic": torch.sigmoid,
    "erf": torch.erf,
    "relu": torch.relu,
    "identity": lambda values: values,
}


class _Scaled:
    """Weights times ``weight_scale``, bias times ``bias_scale``."""

    ntk_scaled = True
    weight_scale: float
    bias_scale: float

    def scale(self, fan_in: int, bias_scale: float) -> None:
        self.weight_scale = fan_in**-0.5
        self.bias_scale = bias_scale

    def effective(self, bias: Tensor | None) -> Tensor | None:
        return bias if bias is None or self.bias_scale == 1.0 else bias * self.bias_scale


class NTKLinear(_Scaled, nn.Linear):
    """A dense layer W a / sqrt(fan-in) + bias_scale b, all entries N(0, 1) at first.

    Parameters
    ----------
    in_features, out_features : int
        Numbers that come and go.

    bias : bool, default=False
        Whether there is b.

    bias_scale : float, default=1.0
        What stands in front of it.

    generator : torch.Generator, default=None
        Draws the weights, on the CPU; None leaves that to `draw`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = False,
        bias_scale: float = 1.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.zeros(out_features, in_features, dtype=dtype))
        offset = nn.Parameter(torch.zeros(out_features, dtype=dtype)) if bias else None
        self.register_parameter("bias", offset)
        self.scale(in_features, bias_scale)
        if generator is not None:
            draw(self, generator)

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        bias = self.effective(self.bias)
        return nn.functional.linear(values * self.weight_scale, self.weight, bias)


class NTKConv1d(_Scaled, nn.Conv1d):
    """A convolution in one dimension; see `NTKLinear`."""

    def forward(self, values: Tensor) -> Tensor:
        """Convolve, with scaled weights."""
        bias = self.effective(self.bias)
        return self._conv_forward(values * self.weight_scale, self.weight, bias)


class NTKConv2d(_Scaled, nn.Conv2d):
    """A convolution in two dimensions; see `NTKLinear`."""

    def forward(self, values: Tensor) -> Tensor:
        """Convolve, with scaled weights."""
        bias = self.effective(self.bias)
        return self._conv_forward(values * self.weight_scale, self.weight, bias)


class NTKConv3d(_Scaled, nn.Conv3d):
    """A convolution in three dimensions; see `NTKLinear`."""

    def forward(self, values: Tensor) -> Tensor:
        """Convolve, with scaled weights."""
        bias = self.effective(self.bias)
        return self._conv_forward(values * self.weight_scale, self.weight, bias)


_COUNTERPARTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: NTKLinear,
    nn.Conv1d: NTKConv1d,
    nn.Conv2d: NTKConv2d,
    nn.Conv3d: NTKConv3d,
}


def draw(layer: nn.Module, generator: torch.Generator) -> None:
    """Draw all parameters of a layer from N(0, 1), on the CPU."""
    for parameter in layer._parameters.values():
        if parameter is not None:
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            with torch.no_grad():
                parameter.copy_(values)


def plain_layers(module: nn.Module) -> list[str]:
    """Name dense and convolution layers that are not in the tangent parametrization."""
    return [
        name or type(part).__name__
        for name, part in module.named_modules()
        if type(part) in _COUNTERPARTS
    ]


def ntk_parametrize(
    module: nn.Module, *, bias_scale: float = 1.0, generator: torch.Generator | None = None
) -> nn.Module:
    """Copy a network with its dense and convolution layers in the tangent parametrization.

    Parameters
    ----------
    module : Module
        Any network; it is not changed.

    bias_scale : float, default=1.0
        What stands in front of biases.

    generator : torch.Generator, default=None
        Draws all entries of these layers from N(0, 1). None keeps the function: entries are the
        old ones times sqrt(fan-in).
    """
    network = copy.deepcopy(module)
    for part in network.modules():
        counterpart = _COUNTERPARTS.get(type(part))
        if counterpart is None:
            continue
        layer: Any = part
        fan_in = layer.weight[0].numel()
        # The same object in another class: hooks, names and ties stay what they are.
        layer.__class__ = counterpart
        layer.scale(fan_in, bias_scale)
        if generator is not None:
            draw(layer, generator)
        else:
            with torch.no_grad():
                layer.weight.mul_(fan_in**0.5)
                if layer.bias is not None:
                    layer.bias.div_(bias_scale)
    return network


class NTKMLP(nn.Module):
    r"""A multilayer perceptron in the tangent parametrization.

    :math:`a_0 = x`, :math:`a_l = \sigma(W_l a_{l-1} / \sqrt{m_{l-1}})` and
    :math:`f = \phi(v^\top a_L / \sqrt{m_L})`; all entries of :math:`W_l` and :math:`v` are
    independent and N(0, 1) at first, and all are trained. As the widths :math:`m_l` grow the
    network becomes linear in its parameters and its tangent kernel constant, unless the output is
    not linear or a layer stays narrow.

    Parameters
    ----------
    n_features : int
        Numbers of a sample, d. Samples with squared norm d keep what comes into the activations of
        order one.

    widths : sequence of int
        Widths of the hidden layers. A narrow one between wide ones is a bottleneck.

    activation : str, default="tanh"
        Of the hidden layers, :math:`\sigma`: "tanh", "softplus", "swish", "gelu", "logistic",
        "erf", "relu" or "identity".

    output_activation : str, default="identity"
        :math:`\phi`, likewise.

    n_outputs : int, default=1
        Number of outputs.

    output_layer : {"normal", "signs"}, default="normal"
        "signs" makes the entries of :math:`v` -1 and 1: the norm of the Hessian then falls exactly
        like :math:`m^{-1/2}`, where normal entries add logarithms.

    bias : bool, default=False
        Whether hidden layers and outputs have biases, N(0, 1).

    random_state : int, default=0
        Determines the weights: one generator draws :math:`W_0, W_1, \dots, v` in this order.

    dtype : torch.dtype, default=None
        Precision of the weights; None is torch's default.

    See Also
    --------
    ntk_parametrize : The same for any network.
    width_sweep : Measures networks of many widths.

    References
    ----------
    C. Liu, L. Zhu, M. Belkin, "On the linearity of large non-linear models: when and why the
    tangent kernel is constant", NeurIPS 2020, arXiv:2010.01092.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import NTKMLP, empirical_ntk
    >>> network = NTKMLP(4, [1000], random_state=0)
    >>> empirical_ntk(network, 2 * np.eye(4)[:2]).shape
    (2, 2)
    """

    def __init__(
        self,
        n_features: int,
        widths: Sequence[int],
        activation: str = "tanh",
        output_activation: str = "identity",
        *,
        n_outputs: int = 1,
        output_layer: str = "normal",
        bias: bool = False,
        random_state: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        sizes = [n_features, *widths, n_outputs]
        if len(sizes) < 3 or not all(isinstance(m, int) and m >= 1 for m in sizes):
            raise ValueError(
                "n_features, widths and n_outputs must be integers >= 1, and widths at least one; "
                f"got {n_features!r}, {widths!r} and {n_outputs!r}."
            )
        for name, value in (("activation", activation), ("output_activation", output_activation)):
            if value not in SMOOTH:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(repr, SMOOTH))}; got {value!r}."
                )
        if output_layer not in OUTPUT_LAYERS:
            raise ValueError(f"output_layer must be 'normal' or 'signs'; got {output_layer!r}.")
        super().__init__()
        self.activation, self.output_activation = activation, output_activation
        generator = torch.Generator().manual_seed(int(random_state))
        self.layers = nn.ModuleList(
            NTKLinear(a, b, bias=bias, generator=generator, dtype=dtype)
            for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        if output_layer == "signs":
            with torch.no_grad():
                self._last.weight.sign_()

    def forward(self, X: Tensor) -> Tensor:
        """Compute outputs of shape (n, n_outputs) for samples of shape (n, n_features)."""
        values: Any = X
        for layer in self.layers[:-1]:
            values = SMOOTH[self.activation](layer(values))
        return SMOOTH[self.output_activation](self._last(values))

    @property
    def _last(self) -> Any:
        return self.layers[-1]
