"""A network's first-order expansion in its parameters, as a network."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from skoverparam.nets._evaluation import trainable


class LinearizedModule(nn.Module):
    """The network f(w0) + J (w - w0): linear in its parameters w, in X as the network was.

    Parameters
    ----------
    module : Module
        The network to expand. It is copied, in evaluation mode, and not changed.

    Attributes
    ----------
    weights : ParameterList
        w, at first w0; train them like those of any module.

    names : list of str
        What they are called in the network.

    base : Module
        The network at w0.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        found = trainable(module)
        self.names = list(found)
        self.weights = nn.ParameterList([p.detach().clone() for p in found.values()])
        self.base = copy.deepcopy(module).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> LinearizedModule:
        """Set the mode; the network that was expanded stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, X: Tensor) -> Tensor:
        """Compute outputs of the expansion, in the shape of the network's."""
        parameters = dict(self.base.named_parameters())
        start = [parameters[name].detach().requires_grad_() for name in self.names]
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            moved = [w - w0.detach() for w, w0 in zip(self.weights, start, strict=True)]
            values = dict(zip(self.names, start, strict=True))
            outputs = functional_call(self.base, values, (X,))
            # J^T u is linear in u, and its derivative along w - w0 is J (w - w0): two backward
            # passes, for which every layer that trains has the rules.
            u = torch.zeros_like(outputs, requires_grad=True)
            pulled = torch.autograd.grad(
                outputs, start, u, create_graph=True, materialize_grads=True
            )
            (slope,) = torch.autograd.grad(pulled, u, moved, create_graph=True)
            result = outputs + slope
        return result if torch.is_grad_enabled() else result.detach()

    def displacement(self) -> Tensor:
        """Return w - w0 as one vector."""
        parameters = dict(self.base.named_parameters())
        return torch.cat(
            [
                (weight.detach() - parameters[name]).flatten()
                for name, weight in zip(self.names, self.weights, strict=True)
            ]
        )
