"""The tangent kernel of a network: inner products of derivatives by all parameters.

Dense and convolution layers contribute through what comes into them and the derivatives by what
they return; one pass forward and one back for each output is all it takes. Derivatives by the
parameters of other layers are formed, for a few samples at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from skoverparam.nets._evaluation import check_rows_apart, evaluating, outputs_of, trainable
from skoverparam.nets._tangent_layers import (
    LayerTape,
    add_layer,
    batches,
    empty_kernel,
    factors,
    gram,
    has_structure,
    layer_tape,
    weighted_gradients,
)

METHODS = ("auto", "jacobian")

# Samples that show which layers can be trusted, and what a sample costs.
_PROBE = 3


class Evidence(NamedTuple):
    """What the kernel between batches is made of, for one batch.

    Attributes
    ----------
    tapes : list of LayerTape
        Of layers with structure.

    jacobians : list of Tensor of shape (C, n, q)
        Derivatives by all other parameters, a table for each.
    """

    tapes: list[LayerTape]
    jacobians: list[Tensor]

    def n_bytes(self) -> int:
        """Count the memory it takes."""
        tensors = [t for tape in self.tapes for t in tape[:2]] + self.jacobians
        return sum(t.numel() * t.element_size() for t in tensors)


class TangentPlan(NamedTuple):
    """How a kernel is computed.

    Attributes
    ----------
    layers : dict
        The layers with structure, and whether their weight and bias are meant.

    rest : dict
        All other parameters.

    n_outputs : int
        Number of outputs, C.

    bytes_per_sample : float
        Memory for a sample, while its derivatives are computed.
    """

    layers: dict[nn.Module, tuple[bool, bool]]
    rest: dict[str, nn.Parameter]
    n_outputs: int
    bytes_per_sample: float


def empirical_ntk(
    module: nn.Module,
    X: Tensor,
    Z: Tensor | None = None,
    *,
    params: Iterable[str] | None = None,
    output: str = "trace",
    method: str = "auto",
    chunk_size: int | None = None,
    budget: Callable[[float, float], float] | None = None,
) -> Tensor:
    """Compute the tangent kernel of a network between samples.

    Parameters
    ----------
    module : Module
        Any network with a row of outputs for each sample. It comes back unchanged.

    X : Tensor of shape (n, ...)
        Samples, on the device and in the precision of the network.

    Z : Tensor of shape (m, ...), default=None
        The other samples; None takes X.

    params : iterable of str, default=None
        Names of the parameters that count; None takes all that require gradients.

    output : {"trace", "diagonal", "full"}, default="trace"
        Mean over outputs, each output, or all pairs of them.

    method : {"auto", "jacobian"}, default="auto"
        "jacobian" forms all derivatives.

    chunk_size : int, default=None
        Largest number of samples whose derivatives are in memory at a time, on either side; None
        takes what fits the budget.

    budget : callable, default=None
        Maps the bytes for two samples and those of the result to the bytes that samples may take,
        or raises.

    Returns
    -------
    Tensor of shape (n, m), (n, m, C) or (n, m, C, C)
        Without history.
    """
    with evaluating(module):
        wanted = trainable(module, params)
        plan = _plan(module, X, wanted, method)
        if chunk_size is None:
            need = 2 * plan.bytes_per_sample
            count = len(X) * len(X if Z is None else Z) * plan.n_outputs
            size = count * {"trace": 1 / plan.n_outputs, "diagonal": 1}.get(output, plan.n_outputs)
            room = 2.0**31 if budget is None else budget(need, size * X.element_size())
            chunk_size = max(1, int(room / need))
        rows = batches(len(X), chunk_size)
        columns = rows if Z is None else batches(len(Z), chunk_size)
        other = X if Z is None else Z
        K = empty_kernel(len(X), len(other), plan.n_outputs, output, X.new_zeros(()))
        for i in rows:
            one = _evidence(module, X[i], plan)
            for j in columns:
                if Z is None and j.start < i.start:
                    continue
                same = Z is None and i == j
                two = one if same else _evidence(module, other[j], plan)
                block = _block(one, two, output, plan.n_outputs)
                _place(K, i, j, block, output)
                if Z is None and not same:
                    _place(K, j, i, _transposed(block, output), output)
        if Z is None:
            _symmetrize(K, output)
    if output == "trace":
        return K / plan.n_outputs
    return K.permute(1, 2, 0) if output == "diagonal" else K.permute(1, 3, 0, 2)


def _plan(
    module: nn.Module, X: Tensor, wanted: dict[str, nn.Parameter], method: str
) -> TangentPlan:
    """Find out on a few samples which layers have structure, and check that on derivatives."""
    probe = X[:_PROBE]
    check_rows_apart(module, probe)
    layers = {} if method == "jacobian" else _candidates(module, wanted)
    with torch.no_grad():
        n_outputs = outputs_of(module, probe).shape[1]
    if layers:
        tapes, gradients, r = _record(module, probe, layers, check=True)
        layers = {
            layer: parts
            for layer, parts in layers.items()
            if layer in tapes and _agrees(tapes[layer], gradients[layer], r, factors(layer))
        }
    covered = {
        id(layer._parameters[name])
        for layer, parts in layers.items()
        for name, there in zip(("weight", "bias"), parts, strict=True)
        if there
    }
    rest = {name: p for name, p in wanted.items() if id(p) not in covered}
    plan = TangentPlan(layers, rest, n_outputs, 1.0)
    # As much again for the network's own values while derivatives are computed.
    size = 2.0 * _evidence(module, probe[:1], plan).n_bytes()
    return plan._replace(bytes_per_sample=max(size, 1.0))


def _candidates(
    module: nn.Module, wanted: dict[str, nn.Parameter]
) -> dict[nn.Module, tuple[bool, bool]]:
    """List layers whose parameters are theirs alone."""
    owners = Counter(id(p) for part in module.modules() for p in part._parameters.values())
    ids = {id(p) for p in wanted.values()}
    found = {}
    for part in module.modules():
        if has_structure(part):
            weight, bias = part._parameters["weight"], part._parameters.get("bias")
            if all(owners[id(p)] == 1 for p in (weight, bias) if p is not None):
                parts = (id(weight) in ids, bias is not None and id(bias) in ids)
                if any(parts):
                    found[part] = parts
    return found


def _record(
    module: nn.Module,
    X: Tensor,
    layers: dict[nn.Module, tuple[bool, bool]],
    *,
    check: bool = False,
) -> tuple[dict[nn.Module, LayerTape], dict[nn.Module, list[Tensor | None]], Tensor]:
    """Run forward once, and backward once for each output; take down what layers see.

    With ``check`` also differentiate a random combination of outputs by the weights of layers.
    """
    calls: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}

    def remember(
        layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any], returned: Tensor
    ) -> Tensor:
        values: Tensor = given[0] if given else named["input"]
        calls[layer].append((values.detach(), returned))
        # What comes after may change its input in place; it gets a copy of its own.
        return returned.clone()

    hooks = [layer.register_forward_hook(remember, with_kwargs=True) for layer in layers]
    try:
        outputs = outputs_of(module, X)
    finally:
        for hook in hooks:
            hook.remove()
    fits = {
        layer: seen
        for layer, seen in calls.items()
        if seen and all(_one_row_each(layer, a, z, len(X)) for a, z in seen)
    }
    returned = [z for seen in fits.values() for _, z in seen]
    C = outputs.shape[1]
    by_output: list[list[Tensor]] = []
    for c in range(C if returned else 0):
        last = c == C - 1 and not check
        gradients = torch.autograd.grad(
            outputs[:, c].sum(), returned, retain_graph=not last, materialize_grads=True
        )
        by_output.append(list(gradients))
    tapes, k = {}, 0
    for layer, seen in fits.items():
        packed = []
        for values, _ in seen:
            packed.append((values, [gradients[k] for gradients in by_output]))
            k += 1
        weight, bias = layers[layer]
        tapes[layer] = layer_tape(layer, packed, weight=weight, bias=bias)
    r = torch.randn(len(X), C, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    r = r.to(outputs)
    direct: dict[nn.Module, list[Tensor | None]] = {}
    if check and fits:
        parameters = [
            layer._parameters[name] if there else None
            for layer in fits
            for name, there in zip(("weight", "bias"), layers[layer], strict=True)
        ]
        asked = [p for p in parameters if p is not None]
        found = iter(torch.autograd.grad((outputs * r).sum(), asked, materialize_grads=True))
        every = iter([None if p is None else next(found) for p in parameters])
        direct = {layer: [next(every), next(every)] for layer in fits}
    return tapes, direct, r


def _one_row_each(layer: nn.Module, values: Tensor, returned: Tensor, n: int) -> bool:
    """Whether a layer was given one row for each sample."""
    window = getattr(layer, "kernel_size", None)
    whole = values.ndim >= 2 if window is None else values.ndim == len(window) + 2
    return whole and len(values) == n and returned.requires_grad


def _agrees(
    tape: LayerTape, direct: list[Tensor | None], r: Tensor, scales: tuple[float, float]
) -> bool:
    """Whether what a layer saw explains the derivatives by its weights.

    It does not where the weights are used elsewhere, or rows are not samples. Such a layer is then
    treated like any other.
    """
    tolerance = 1e4 * torch.finfo(r.dtype).eps
    for found, expected, scale in zip(weighted_gradients(tape, r), direct, scales, strict=True):
        if expected is not None:
            error = (scale * found.flatten() - expected.flatten()).abs().max()
            if not bool(error <= tolerance * expected.abs().max()):
                return False
    return True


def _evidence(module: nn.Module, X: Tensor, plan: TangentPlan) -> Evidence:
    tapes = list(_record(module, X, plan.layers)[0].values()) if plan.layers else []
    jacobians = _jacobians(module, X, plan.rest) if plan.rest else []
    return Evidence(tapes, jacobians)


def _jacobians(module: nn.Module, X: Tensor, params: dict[str, nn.Parameter]) -> list[Tensor]:
    """Form derivatives of all outputs by some parameters, for each sample."""
    detached = {name: p.detach() for name, p in params.items()}

    def outputs(values: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(module, values, (x[None],)).reshape(-1)

    try:
        found = vmap(jacrev(outputs), in_dims=(None, 0))(detached, X)
        tables = [found[name].flatten(2).movedim(1, 0) for name in params]
    except (RuntimeError, NotImplementedError):
        # Layers without a rule for batches of derivatives, such as recurrent ones, or whose
        # course depends on values.
        tables = _jacobians_one_by_one(module, X, list(params.values()))
    return [table.detach() for table in tables]


def _jacobians_one_by_one(
    module: nn.Module, X: Tensor, params: list[nn.Parameter]
) -> list[Tensor]:
    rows: list[list[list[Tensor]]] = [[] for _ in params]
    for i in range(len(X)):
        values = outputs_of(module, X[i : i + 1])[0]
        for row in rows:
            row.append([])
        for value in values:
            gradients = torch.autograd.grad(
                value, params, retain_graph=True, materialize_grads=True
            )
            for row, gradient in zip(rows, gradients, strict=True):
                row[-1].append(gradient.flatten())
    return [torch.stack([torch.stack(row) for row in table], dim=1) for table in rows]


def _block(one: Evidence, two: Evidence, output: str, C: int) -> Tensor:
    """Add up what all layers contribute to the kernel between two batches."""
    lead = one.tapes[0].inputs if one.tapes else one.jacobians[0]
    n = one.tapes[0].inputs.shape[1] if one.tapes else one.jacobians[0].shape[1]
    m = two.tapes[0].inputs.shape[1] if two.tapes else two.jacobians[0].shape[1]
    K = empty_kernel(n, m, C, output, lead)
    for mine, theirs in zip(one.tapes, two.tapes, strict=True):
        add_layer(K, mine, theirs, output)
    for J, Q in zip(one.jacobians, two.jacobians, strict=True):
        K += gram(J, Q, output)
    return K


def _place(K: Tensor, i: slice, j: slice, block: Tensor, output: str) -> None:
    if output == "full":
        K[:, i, :, j] = block
    else:
        K[..., i, j] = block


def _transposed(block: Tensor, output: str) -> Tensor:
    return block.permute(2, 3, 0, 1) if output == "full" else block.mT


def _symmetrize(K: Tensor, output: str) -> None:
    """Take the mean with the transpose: products round the two halves apart."""
    if output == "full":
        flat = K.reshape(K.shape[0] * K.shape[1], -1)
        flat.copy_((flat + flat.T) / 2)
    else:
        K.copy_((K + K.mT) / 2)


def kernel_matrix_of_outputs(K: Tensor) -> Tensor:
    """Lay a full kernel of shape (n, m, C, C) out as a matrix (n C, m C)."""
    n, m, C, _ = K.shape
    return K.permute(0, 2, 1, 3).reshape(n * C, m * C)
