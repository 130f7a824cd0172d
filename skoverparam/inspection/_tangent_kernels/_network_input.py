"""Networks in any wrapping, and samples as they want them."""

from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import ways_of
from skoverparam._config import memory_budget, require_memory
from skoverparam.inspection._perceptron import perceptron_module
from skoverparam.nets._evaluation import is_network, outputs_per_sample, precision_of, suited


def network_of(model, name="module"):
    """Return the torch module in a model, and how its samples are shaped.

    Parameters
    ----------
    model : torch module, skorch net, SquareLossNetClassifier, MLPClassifier or MLPRegressor
        What the user gave.

    name : str, default="module"
        The parameter's name, for the message.

    Returns
    -------
    module : torch module
        The user's own, but for estimators that keep their network as arrays: then a new one.

    input_shape : tuple of int or None
        Dimensions of a sample, where the model knows them.
    """
    if is_network(model):
        return model, None
    if hasattr(model, "weights_") and hasattr(model, "input_shape_"):
        way, _ = ways_of(next(iter(model.weights_.values())))
        weights = {key: way(value, key) for key, value in model.weights_.items()}
        return model._network(vars(model), weights), model.input_shape_
    if isinstance(model, (MLPClassifier, MLPRegressor)):
        check_is_fitted(model)
        return perceptron_module(model), (model.n_features_in_,)
    if hasattr(model, "initialize") and hasattr(model, "get_params"):
        check_is_fitted(model, "module_")
        return model.module_, None
    if hasattr(model, "get_params"):
        check_is_fitted(model)
    raise TypeError(
        f"{name} must be a torch module, a fitted SquareLossNetClassifier, skorch net, "
        f"MLPClassifier or MLPRegressor, got {type(model).__name__}."
    )


def samples_for(module, X, name="X", *, lead=None, input_shape=None):
    """Turn an array into samples for a network.

    Parameters
    ----------
    module : torch module
        The network.

    X : array-like of shape (n, ...)
        What the user gave: finite numbers.

    name : str, default="X"
        The parameter's name, for the messages.

    lead : array-like, default=None
        The array that decides the kind of results; None is X.

    input_shape : tuple of int, default=None
        Dimensions of a sample, where X may be flat.

    Returns
    -------
    samples : Tensor
        On the device and in the precision of the network.

    back : callable
        From tensors to the kind of ``lead``.
    """
    into, back = ways_of(X if lead is None else lead)
    samples = into(X, name)
    if samples.ndim < 2 or not len(samples):
        raise ValueError(
            f"{name} must hold samples, of shape (n_samples, ...), got shape "
            f"{tuple(samples.shape)}."
        )
    if input_shape is not None:
        samples = samples.reshape(len(samples), *input_shape)
    return suited(module, samples), back


def targets_for(module, samples, y):
    """Turn targets into a tensor of the shape of a network's outputs, (n, C)."""
    targets = ways_of(samples)[0](y, "y")
    width = outputs_per_sample(module, samples)
    if len(targets) != len(samples) or targets.numel() != len(samples) * width:
        raise ValueError(
            f"y must have the shape of the outputs, ({len(samples)}, {width}), got "
            f"{tuple(targets.shape)}."
        )
    return targets.reshape(len(samples), width).to(
        device=samples.device, dtype=precision_of(module)[1]
    )


def room_for_samples(device):
    """Return what says how much memory derivatives may take, or that they do not fit."""

    def room(need, kernel):
        require_memory(
            need + 2 * kernel,
            device,
            what="A tangent kernel, with the derivatives of two samples,",
            remedy="Take fewer samples, output='trace', or fewer parameters (params).",
        )
        # Half of it: what torch holds while it computes derivatives is counted, but not its cache.
        return max(need, (memory_budget(device) - 2 * kernel) / 2)

    return room
