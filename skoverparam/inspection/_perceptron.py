"""Multilayer perceptrons of scikit-learn as torch modules."""

from skoverparam._arrays import ways_of
from skoverparam.nets._architectures import rebuild_network


def perceptron_module(model):
    """Make a torch module of a perceptron of scikit-learn; its outputs are before softmax."""
    names = [f"body.linear{i}" for i in range(1, model.n_layers_ - 1)] + ["head"]
    weights = {}
    for name, W, b in zip(names, model.coefs_, model.intercepts_, strict=True):
        into, _ = ways_of(W)
        weights |= {f"{name}.weight": into(W.T, "coefs_"), f"{name}.bias": into(b, "intercepts_")}
    return rebuild_network(
        "mlp",
        (model.n_features_in_,),
        model.n_outputs_,
        weights,
        hidden_layer_sizes=[len(b) for b in model.intercepts_[:-1]],
        activation=model.activation,
    )
