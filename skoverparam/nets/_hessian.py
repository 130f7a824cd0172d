"""The spectral norm of second derivatives by all parameters, by products with vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skoverparam.nets._evaluation import evaluating, outputs_of, trainable
from skoverparam.nets._sequences import MaxPool

Product = Callable[[Tensor], Tensor]

_KINKED = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.Threshold,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardshrink,
    nn.Softshrink,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    MaxPool,
)


class SpectralEnds(NamedTuple):
    """Both ends of the spectrum of a symmetric operator.

    Attributes
    ----------
    lowest, highest : float
        Smallest and largest eigenvalue found, bounds from inside.

    norm : float
        The larger of their absolute values.

    residual : float
        Norm of what an approximate eigenvector misses, over ``norm``; an eigenvalue is that close.

    n_products : int
        Products that were made.

    converged : bool
        Whether the residual is below the tolerance.
    """

    lowest: float
    highest: float
    norm: float
    residual: float
    n_products: int
    converged: bool


def lanczos_ends(
    apply: Product, start: Tensor, *, tol: float = 1e-6, max_iter: int = 100
) -> SpectralEnds:
    """Find the eigenvalue of largest absolute value by Lanczos' method.

    New vectors are made orthogonal to all earlier ones twice, so that no eigenvalue is found
    a second time.

    Parameters
    ----------
    apply : callable
        Maps a vector of p numbers to another.

    start : Tensor of shape (p,)
        Where to start: random numbers.

    tol : float, default=1e-6
        Bound for the residual, relative to the eigenvalue.

    max_iter : int, default=100
        Largest number of products.
    """
    p = len(start)
    steps = min(max_iter, p)
    eps = torch.finfo(start.dtype).eps
    basis = start.new_empty((min(16, steps), p))
    basis[0] = start / torch.linalg.vector_norm(start)
    T = torch.zeros((steps, steps), dtype=torch.float64)
    theta = residual = 0.0
    values = torch.zeros(1, dtype=torch.float64)
    k = 0
    while k < steps:
        v = apply(basis[k])
        before = float(torch.linalg.vector_norm(v))
        T[k, k] = float(v @ basis[k])
        for _ in range(2):
            v = v - basis[: k + 1].T @ (basis[: k + 1] @ v)
        beta = float(torch.linalg.vector_norm(v))
        k += 1
        values, vectors = torch.linalg.eigh(T[:k, :k])
        place = int(values.abs().argmax())
        theta = abs(float(values[place]))
        # Where rounding errors are all that is left, the space is invariant.
        residual = beta * abs(float(vectors[-1, place]))
        if residual <= tol * theta or beta <= 10 * eps * max(before, theta):
            break
        if k < steps:
            T[k, k - 1] = T[k - 1, k] = beta
            if k == len(basis):
                more = min(len(basis), steps - len(basis))
                basis = torch.cat([basis, basis.new_empty((more, p))])
            basis[k] = v / beta
    # An eigenvalue of zero with something left over is a start that said nothing yet.
    relative = residual / theta if theta > 0 else (math.inf if residual > 0 else 0.0)
    exhausted = k == p
    return SpectralEnds(
        float(values[0]), float(values[-1]), theta, relative, k, relative <= tol or exhausted
    )


def hessian_product(value: Tensor, params: list[nn.Parameter]) -> Product:
    """Return products of the second derivatives of a number with vectors.

    The network is run forward and differentiated once; each product is one more derivative.
    """
    gradients = torch.autograd.grad(value, params, create_graph=True, materialize_grads=True)
    # Where no parameter appears in a derivative, the second ones are zero.
    curved = [g for g in gradients if g.requires_grad]
    sizes = [p.numel() for p in params]
    placed = [i for i, g in enumerate(gradients) if g.requires_grad]

    def apply(v: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(v)
        parts = v.split(sizes)
        along = [parts[i].view_as(params[i]) for i in placed]
        second = torch.autograd.grad(
            curved, params, along, retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in second])

    return apply


def output_hessian_ends(
    module: nn.Module,
    x: Tensor,
    *,
    generator: torch.Generator,
    params: Iterable[str] | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> list[SpectralEnds]:
    """Find the ends of the spectrum of each output's second derivatives at one sample.

    Parameters
    ----------
    module : Module
        The network, which comes back unchanged.

    x : Tensor of shape (1, ...)
        The sample.

    generator : torch.Generator
        Draws the starts, on the CPU.

    params : iterable of str, default=None
        Names of the parameters that count; None takes all that require gradients.

    tol, max_iter : float and int
        As in `lanczos_ends`.
    """
    with evaluating(module):
        weights = list(trainable(module, params).values())
        outputs = outputs_of(module, x)[0]
        return [
            lanczos_ends(
                hessian_product(value, weights),
                _start(weights, generator),
                tol=tol,
                max_iter=max_iter,
            )
            for value in outputs
        ]


def loss_hessian_ends(
    module: nn.Module,
    X: Tensor,
    loss: Callable[[Tensor, slice], Tensor],
    *,
    generator: torch.Generator,
    params: Iterable[str] | None = None,
    chunk_size: int | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> SpectralEnds:
    """Find the ends of the spectrum of a loss's second derivatives, over all samples at once.

    Parameters
    ----------
    module : Module
        The network, which comes back unchanged.

    X : Tensor of shape (n, ...)
        All samples: the same for every product.

    loss : callable
        Maps outputs (b, C) of some samples, and which, to the sum of their losses.

    generator, params, tol, max_iter
        As in `output_hessian_ends`.

    chunk_size : int, default=None
        Samples at a time; None takes all at once, and runs the network once.
    """
    with evaluating(module):
        weights = list(trainable(module, params).values())

        def product(batch: slice) -> Product:
            return hessian_product(loss(outputs_of(module, X[batch]), batch), weights)

        if chunk_size is None or chunk_size >= len(X):
            apply = product(slice(0, len(X)))
        else:
            parts = [slice(i, i + chunk_size) for i in range(0, len(X), chunk_size)]

            def apply(v: Tensor) -> Tensor:
                total = torch.zeros_like(v)
                for batch in parts:
                    total += product(batch)(v)
                return total

        return lanczos_ends(apply, _start(weights, generator), tol=tol, max_iter=max_iter)


def has_kinks(module: nn.Module) -> bool:
    """Whether a network has layers whose second derivatives miss what happens at kinks."""
    return any(isinstance(part, _KINKED) for part in module.modules())


def _start(weights: list[nn.Parameter], generator: torch.Generator) -> Tensor:
    size = sum(p.numel() for p in weights)
    start = torch.randn(size, generator=generator, dtype=torch.float64)
    return start.to(device=weights[0].device, dtype=weights[0].dtype)
