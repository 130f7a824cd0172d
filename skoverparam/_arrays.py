"""The boundary: numpy, data frames and scikit-learn on one side, torch tensors on the other.

This is the only file that may import private names of scikit-learn: its array API helpers have no
public counterpart yet.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn import get_config as get_sklearn_config
from sklearn.utils._array_api import (
    check_same_namespace,
    get_namespace_and_device,
    move_to,
)
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    validate_data,
)

from skoverparam import _config

_FLOATS = {"float32": torch.float32, "float64": torch.float64}

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Passage:
    """The way from a user's array to a tensor, and back.

    Attributes
    ----------
    xp : module
        Array namespace of the user's data, as validation left it.

    home : object
        Device of the user's data in that namespace.

    device : torch.device
        Where the computation runs.

    dtype : torch.dtype
        float32 if the data are float32, else float64. Results come back in it.

    returns_tensors : bool
        Whether the user gave a torch tensor without array API dispatch: results are then tensors,
        fitted attributes numpy arrays.
    """

    xp: Any
    home: Any
    device: torch.device
    dtype: torch.dtype
    returns_tensors: bool = False

    def tensor(self, array: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Bring an array of any namespace to the device, in ``dtype`` (None keeps its own)."""
        if not isinstance(array, torch.Tensor):
            array = _writeable_tensor(to_numpy(array))
        return array.detach().to(device=self.device, dtype=dtype)

    def keep(self, tensor: torch.Tensor) -> Any:
        """Turn a tensor into a fitted attribute: an array of the namespace of the data."""
        if _is_torch(self.xp):
            return tensor.detach().to(self.home)
        array = tensor.detach().cpu().numpy()
        if self.xp is np or _is_numpy(self.xp):
            return array
        return self.xp.asarray(array, device=self.home)

    def keep_all(self, tree: Any) -> Any:
        """Keep every tensor in nested dictionaries; anything else stays what it is."""
        if isinstance(tree, dict):
            return {name: self.keep_all(value) for name, value in tree.items()}
        return self.keep(tree) if isinstance(tree, torch.Tensor) else tree

    def tensors(self, tree: Any) -> Any:
        """Bring every array in nested dictionaries and lists to the device."""
        if isinstance(tree, dict):
            return {name: self.tensors(value) for name, value in tree.items()}
        if isinstance(tree, list):
            return [self.tensors(value) for value in tree]
        return self.tensor(tree) if _is_array(tree) else tree

    def back(self, tensor: torch.Tensor) -> Any:
        """Turn a tensor into a result of the same kind as the user's data."""
        if self.returns_tensors:
            return tensor.detach().to(self.home)
        return self.keep(tensor)


def cross(
    estimator: Any,
    X: Any,
    y: Any = "no_validation",
    *,
    reset: bool,
    device: str | torch.device | None = "auto",
    **check: Any,
) -> tuple[Any, ...]:
    """Validate the data of an estimator's method and open the way to torch.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and ``feature_names_in_`` when ``reset`` is True.

    X, y : array-like
        The user's data. Numbers become float32 or float64; everything else about them is decided
        by ``check``.

    reset : bool
        True in ``fit``, False elsewhere.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute; with "auto" a tensor stays where it is.

    **check : dict
        Passed on to ``sklearn.utils.validation.validate_data``.

    Returns
    -------
    passage : Passage
        Turns arrays into tensors and back.

    X : array
        The validated data (and ``y``, if it was given), still in the user's namespace.
    """
    given = X
    dispatch = get_sklearn_config()["array_api_dispatch"]
    if isinstance(X, torch.Tensor) and not dispatch:
        X = X.detach().cpu().numpy()
    if isinstance(y, torch.Tensor) and not dispatch:
        y = y.detach().cpu().numpy()
    xp = get_namespace_and_device(X)[0]
    options: dict[str, Any] = {"dtype": [xp.float64, xp.float32], "force_writeable": True}
    if _is_numpy(xp):
        options["order"] = "C"
    options |= check
    validated = validate_data(estimator, X, y, reset=reset, **options)
    arrays = validated if isinstance(validated, tuple) else (validated,)
    _check_range(arrays)
    xp, _, home = get_namespace_and_device(arrays[0])
    returns_tensors = isinstance(given, torch.Tensor) and not dispatch
    compute = _config.resolve_device(device)
    if isinstance(given, torch.Tensor) and (device is None or device == "auto"):
        compute = given.device
    passage = Passage(
        xp=xp,
        home=given.device if returns_tensors else home,
        device=compute,
        dtype=_float_dtype(arrays[0]),
        returns_tensors=returns_tensors,
    )
    return passage, *arrays


def cross_targets(estimator: Any, X: Any, y: Any) -> tuple[Passage, Any, Any, torch.Tensor, bool]:
    """Validate the training data of a regressor and open the way to torch.

    Parameters
    ----------
    estimator : estimator
        Its ``device`` says where to compute.

    X, y : array-like of shape (n, d) and (n,) or (n, t)
        The user's data.

    Returns
    -------
    passage, X, y : Passage and arrays
        As from :func:`cross`.

    Y : Tensor of shape (n, t)
        The targets in float64.

    single : bool
        Whether targets came with one axis.
    """
    passage, X, y = cross(
        estimator, X, y, reset=True, device=estimator.device, multi_output=True, y_numeric=True
    )
    Y = passage.tensor(y).double()
    single = Y.ndim == 1
    return passage, X, y, Y[:, None] if single else Y, single


def flat_rows(X: Any) -> tuple[Any, tuple[int, ...]]:
    """Flatten samples of several dimensions, such as images, to rows.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        An array in any namespace, a data frame or nested lists.

    Returns
    -------
    X : array-like of shape (n_samples, n_features)
        What came, if it has not more than two dimensions.

    shape : tuple of int
        Dimensions of a sample; empty if X came flat.
    """
    if isinstance(X, (list, tuple)):
        X = np.asarray(X)
    shape = tuple(getattr(X, "shape", ()))
    if len(shape) <= 2:
        return X, ()
    width = int(np.prod(shape[1:]))
    if hasattr(X, "reshape"):
        return X.reshape((shape[0], width)), shape[1:]
    return X.__array_namespace__().reshape(X, (shape[0], width)), shape[1:]


def same_namespace(estimator: Any, X: Any, *, attribute: str, method: str) -> None:
    """Refuse data of another namespace or device than the estimator was fitted on."""
    check_same_namespace(X, estimator, attribute=attribute, method=method)


def feature_names_in(estimator: Any, input_features: Any) -> Any:
    """Names of the input columns: those given, those seen in fit, or x0, x1, ..."""
    return _check_feature_names_in(estimator, input_features)


class NumpyStateMixin:
    """Pickle array attributes as numpy arrays, whatever they were fitted on.

    A fitted estimator then loads on a machine without the device, or without the array library,
    that it was fitted with.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with every tensor turned into a numpy array."""
        state: Any = super().__getstate__()
        return {name: _numpy_if_array(value) for name, value in state.items()}


def tensor_function(*names: str) -> Callable[[Function], Function]:
    """Let a function on tensors take arrays, and answer in kind.

    Parameters
    ----------
    *names : str
        The arguments that are arrays, in any namespace, or None. The first one decides the kind
        and the device of the result.

    Returns
    -------
    decorator : callable
        Validates the named arguments (numbers, finite, at least 1-D), calls the function with
        tensors, and turns a tensor, or the tensors in a NamedTuple, back into the user's kind.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            lead = bound.arguments[names[0]]
            for name in names:
                given = bound.arguments.get(name)
                required = signature.parameters[name].default is inspect.Parameter.empty
                if given is not None or required:
                    bound.arguments[name] = _finite_tensor(bound.arguments[name], name, lead)
            return _in_kind(function(*bound.args, **bound.kwargs), lead)

        return wrapper  # type: ignore[return-value,unused-ignore]

    return decorate


def ways_of(lead: Any) -> tuple[Callable[[Any, str], torch.Tensor], Callable[[torch.Tensor], Any]]:
    """Return two functions: into tensors on the device of an array, and back into its kind.

    For results with methods that take and return arrays; :func:`tensor_function` is enough for
    everything else. The first function takes an array and its name, and checks it.
    """
    return (
        lambda array, name: _finite_tensor(array, name, lead),
        lambda tensor: _in_kind(tensor, lead),
    )


def finite_array(array: Any, name: str, *, n_dims: int = 2) -> np.ndarray[Any, Any]:
    """Validate a side argument, such as a prior, as a finite float array.

    Parameters
    ----------
    array : array-like
        What the user gave: array, tensor, data frame, nested lists or a sparse matrix.

    name : str
        The parameter's name, for the messages.

    n_dims : int, default=2
        How many dimensions it must have.

    Returns
    -------
    numpy.ndarray
        The values in float64.
    """
    if hasattr(array, "toarray"):
        array = array.toarray()
    try:
        values = check_array(
            to_numpy(array),
            dtype=np.float64,
            ensure_2d=False,
            allow_nd=True,
            ensure_min_samples=0,
            input_name=name,
        )
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must hold finite numbers: {error}") from error
    if values.ndim != n_dims:
        raise ValueError(f"{name} must have {n_dims} dimensions, got shape {values.shape}.")
    return values


def sample_weights(sample_weight: Any, n_samples: int) -> np.ndarray[Any, Any]:
    """Validate ``sample_weight``: one number >= 0 per sample, ones if it is None.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
        What the user gave.

    n_samples : int
        How many there must be.

    Returns
    -------
    numpy.ndarray
        The weights in float64.
    """
    if sample_weight is None:
        return np.ones(n_samples)
    weights = finite_array(sample_weight, "sample_weight", n_dims=1)
    if len(weights) != n_samples or (weights < 0).any():
        raise ValueError(
            f"sample_weight must hold {n_samples} numbers >= 0, got {len(weights)} numbers, the "
            f"smallest {weights.min(initial=0):g}."
        )
    if not weights.any():
        raise ValueError("sample_weight must not be zero for every sample.")
    return weights


def _finite_tensor(array: Any, name: str, lead: Any) -> torch.Tensor:
    if array is None:
        raise TypeError(f"{name} must be an array of numbers, got None.")
    if isinstance(array, torch.Tensor):
        tensor = array.detach()
        if tensor.is_complex():
            raise TypeError(f"{name} must be an array of real numbers, got {tensor.dtype}.")
    else:
        try:
            values = np.asarray(to_numpy(array))
            if values.dtype.kind == "c":
                raise TypeError(f"got complex numbers, of {values.dtype}.")
            if values.dtype.kind not in "fiub":
                values = values.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"{name} must be an array of numbers: {error}") from error
        device = lead.device if isinstance(lead, torch.Tensor) else _config.resolve_device("auto")
        tensor = _writeable_tensor(values).to(device)
    if tensor.dtype not in _FLOATS.values():
        tensor = tensor.to(torch.float64)
    if tensor.ndim == 0:
        raise ValueError(f"{name} must be an array of at least one dimension, got a number.")
    if not _all_finite(tensor):
        raise ValueError(f"{name} must hold finite numbers, got NaN or infinity.")
    return tensor


def _all_finite(tensor: torch.Tensor) -> bool:
    # The sum is one fast pass, and not finite if an element is not; it may also overflow.
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _in_kind(result: Any, lead: Any) -> Any:
    if isinstance(result, tuple):
        values = [_in_kind(value, lead) for value in result]
        return type(result)(*values) if hasattr(result, "_fields") else tuple(values)
    if not isinstance(result, torch.Tensor) or isinstance(lead, torch.Tensor):
        return result
    xp, is_array_api, home = get_namespace_and_device(lead)
    array = result.detach().cpu().numpy()
    return xp.asarray(array, device=home) if is_array_api and not _is_numpy(xp) else array


def _writeable_tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    # torch warns about read-only memory and refuses negative strides and foreign byte orders.
    native = array.dtype.newbyteorder("=")
    return torch.from_numpy(np.require(array, dtype=native, requirements=["C", "W"]))


def _is_array(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or hasattr(value, "__array_namespace__")


def _numpy_if_array(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numpy_if_array(entry) for name, entry in value.items()}
    if _is_array(value):
        return value if isinstance(value, np.ndarray) else to_numpy(value)
    return value


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Bring an array of any namespace to the host."""
    if isinstance(array, torch.Tensor):
        return array.detach().cpu().numpy()
    if get_sklearn_config()["array_api_dispatch"] and hasattr(array, "__array_namespace__"):
        return move_to(array, xp=np, device="cpu")
    return np.asarray(array)


def _float_dtype(array: Any) -> torch.dtype:
    return torch.float32 if str(array.dtype).endswith("float32") else torch.float64


def _check_range(arrays: tuple[Any, ...]) -> None:
    """Refuse targets that results, which have the type of X, could not hold."""
    if len(arrays) < 2 or arrays[1] is None or _float_dtype(arrays[0]) != torch.float32:
        return
    if not str(arrays[1].dtype).endswith("float64"):
        return
    y = to_numpy(arrays[1])
    largest = max(y.max(), -y.min())
    if largest > np.finfo(np.float32).max:
        raise ValueError(
            f"y has entries of size {largest:.3g}, too large for float32, the type of X, in which "
            "predictions come back: scale y, or give X in float64."
        )


def _is_torch(xp: Any) -> bool:
    return "torch" in xp.__name__.split(".")


def _is_numpy(xp: Any) -> bool:
    return "numpy" in xp.__name__.split(".")
