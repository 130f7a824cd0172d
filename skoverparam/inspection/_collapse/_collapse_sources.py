"""Features, head and classes of whatever is looked into."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import to_numpy, ways_of
from skoverparam._config import require_memory
from skoverparam.inspection._perceptron import perceptron_module
from skoverparam.nets._evaluation import is_network, suited
from skoverparam.nets._module_features import (
    PENULTIMATE,
    Head,
    module_features,
    two_layer_features,
    two_outputs,
)


class Features(NamedTuple):
    """What a model makes of samples.

    Attributes
    ----------
    layers : dict of tensor
        Features (n, d) by layer, in order.

    head : Head or None
        What turns the last of them into outputs.

    classes : ndarray or None
        Labels of the outputs, where the model knows them.
    """

    layers: dict[str, Any]
    head: Head | None
    classes: Any


def read_features(model, X, layers, pool):
    """Read features of a model of any kind.

    Parameters
    ----------
    model : estimator or torch module
        A fitted one.

    X : array-like
        Samples.

    layers : "penultimate", "all" or sequence of str
        Which.

    pool : {"gap", "flatten"}
        What becomes of positions.

    Returns
    -------
    Features
        In the precision in which the model computes.
    """
    if isinstance(model, type) or not (is_network(model) or hasattr(model, "fit")):
        raise _unknown(model)
    if isinstance(model, Pipeline):
        check_is_fitted(model)
        X = model[:-1].transform(X) if len(model.steps) > 1 else X
        return read_features(model[-1], X, layers, pool)
    if is_network(model):
        return _of_module(model, X, layers, pool, None)
    check_is_fitted(model)
    if hasattr(model, "_reopen"):  # a network of ours, rebuilt from its weights
        _, samples, network = model._reopen(X, "transform")
        found = _read(network, samples, layers, pool)
        return Features(*found, to_numpy(model.classes_))
    if hasattr(model, "_reopen_patches"):  # the two-layer convolutional network of ours
        _, patches, coef = model._reopen_patches(X, "transform")
        found = two_layer_features(patches, coef, float(model.q))
        return Features(_chosen(found.layers, layers), found.head, to_numpy(model.classes_))
    if isinstance(model, MLPClassifier):
        if np.ndim(X) != 2 or np.shape(X)[1] != model.n_features_in_:
            raise ValueError(
                f"X must have shape (n_samples, {model.n_features_in_}), got {np.shape(X)}."
            )
        return _of_module(perceptron_module(model), X, layers, pool, model.classes_)
    if is_network(getattr(model, "module_", None)):  # skorch
        classes = getattr(model, "classes_inferred_", None)
        return _of_module(model.module_, X, layers, pool, classes)
    if hasattr(model, "transform"):
        H = model.transform(X)
        tensor = ways_of(H)[0](H, "features")
        return Features(_chosen({PENULTIMATE: tensor.flatten(1)}, layers), None, None)
    raise _unknown(model)


def _unknown(model):
    return TypeError(
        "estimator_or_features must be a network of skoverparam, a torch module, a skorch net, an "
        "MLPClassifier, an estimator with transform, class statistics or an array of features; "
        f"got {model!r:.80}."
    )


def features_of_array(H, name):
    """Bring an array of features (n, d), or (n, ...), to a tensor."""
    tensor = ways_of(H)[0](H, name)
    if tensor.ndim < 2:
        raise ValueError(f"{name} must have shape (n_samples, n_features), got {tensor.shape}.")
    return tensor.flatten(1)


def head_of_arrays(head, n_features):
    """Check a head given as a pair of arrays: weights (C, d) and bias (C,), or None."""
    if head is None:
        return None
    if not isinstance(head, (tuple, list)) or len(head) != 2:
        raise TypeError(f"head must be a pair (W, b) of weights and bias, got {head!r:.80}.")
    W = np.atleast_2d(to_numpy(head[0])).astype(np.float64)
    b = np.zeros(len(W)) if head[1] is None else np.atleast_1d(to_numpy(head[1])).astype(float)
    if W.ndim != 2 or b.shape != W.shape[:1] or W.shape[1] != n_features:
        raise ValueError(
            f"head must hold W of shape (n_classes, {n_features}) and b of shape (n_classes,), "
            f"got {W.shape} and {b.shape}."
        )
    to_tensor = ways_of(W)[0]
    return two_outputs(to_tensor(W, "W"), to_tensor(b, "b"))


def _of_module(module, X, layers, pool, classes):
    samples = X.detach() if hasattr(X, "detach") else ways_of(X)[0](X, "X")
    found = _read(module, suited(module, samples), layers, pool)
    return Features(*found, None if classes is None else np.asarray(classes))


def _read(network, samples, layers, pool):
    require = partial(
        require_memory,
        device=samples.device,
        what="Keeping the features of all layers",
        remedy="Pass fewer layers or samples, or stream features into ClassStatistics.",
    )
    found = module_features(network, samples, layers, pool=pool, require=require)
    return found.layers, found.head


def _chosen(layers, wanted):
    if wanted == "all":
        return layers
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in wanted:
        if name not in layers:
            raise ValueError(f"layer must be one of {', '.join(layers)}; got {name!r}.")
    return {name: layers[name] for name in wanted}
