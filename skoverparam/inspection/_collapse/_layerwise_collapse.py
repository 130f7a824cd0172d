"""Cascading collapse: the layers of a network from the first to the last."""

from typing import NamedTuple

from skoverparam._display import pandas
from skoverparam.inspection._collapse._measures import NeuralCollapse, checked_options
from skoverparam.inspection._collapse._neural_collapse import collapse_of_layers


class LayerwiseCollapse(NamedTuple):
    """Collapse of several layers.

    Attributes
    ----------
    layers : tuple of str
        Names, in the order in which the network reaches the layers.

    collapse : tuple of NeuralCollapse
        Measures of each.
    """

    layers: tuple[str, ...]
    collapse: tuple[NeuralCollapse, ...]

    def to_frame(self):
        """Make a pandas data frame with a row for each layer and split."""
        return pandas().concat(
            [found.to_frame() for found in self.collapse], keys=self.layers, names=["layer"]
        )


def layerwise_collapse(
    estimator,
    X,
    y,
    X_test=None,
    y_test=None,
    *,
    layers="all",
    weighting="class",
    unbiased=False,
    pool="gap",
    rtol=1e-10,
):
    """Measure the collapse of the layers of a network, one by one.

    Collapse cascades: classes contract a little in the first layers and most in the last. In the
    middle their order is not certain, on test samples above all.

    Parameters
    ----------
    estimator : estimator or torch module
        A fitted network of any kind that :func:`neural_collapse` takes.

    X : array-like of shape (n_samples, ...)
        Training samples.

    y : array-like of shape (n_samples,)
        Their labels.

    X_test : array-like of shape (n_test, ...), default=None
        Test samples.

    y_test : array-like of shape (n_test,), default=None
        Their labels.

    layers : "all" or sequence of str, default="all"
        "all": every activation that is a layer of its own, or without them every layer with
        weights, and last what comes into the last linear layer, "penultimate". Else paths of
        submodules.

    weighting : {"class", "sample"}, default="class"
        As in :func:`neural_collapse`.

    unbiased : bool, default=False
        As in :func:`neural_collapse`.

    pool : {"gap", "flatten"}, default="gap"
        Whether positions of maps, or steps of sequences, are averaged, or kept as features.

    rtol : float, default=1e-10
        As in :func:`neural_collapse`.

    Returns
    -------
    layerwise : LayerwiseCollapse
        Named tuple of ``layers`` and the ``collapse`` of each; ``to_frame()`` makes a pandas data
        frame with a row for each layer and split.

    See Also
    --------
    neural_collapse : One layer.
    NeuralCollapseDisplay : Draws it.

    Notes
    -----
    The network runs once over the samples, and the features of all layers are kept meanwhile.
    ``nc1_ratio`` also sees noise outside the span of the means, which wide layers have more of;
    with ``nc1_pinv`` look at ``sb_condition`` as well. A layer that is called several times
    counts where it is called last.

    References
    ----------
    L. Hui, M. Belkin, P. Nakkiran, "Limitations of Neural Collapse for Understanding
    Generalization in Deep Learning", arXiv:2202.08384.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SquareLossNetClassifier
    >>> from skoverparam.inspection import layerwise_collapse
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = SquareLossNetClassifier(max_iter=5, random_state=0).fit(X / 16, y)
    >>> layerwise = layerwise_collapse(classifier, X / 16, y)
    >>> layerwise.layers
    ('body.activation1', 'penultimate')
    >>> first, last = layerwise.collapse
    >>> last.nc1_ratio < first.nc1_ratio
    True
    """
    if layers != "all" and (isinstance(layers, str) or not len(layers)):
        raise ValueError(f"layers must be 'all' or a sequence of names, got {layers!r}.")
    options = checked_options(weighting, unbiased, False, pool, rtol)
    found = collapse_of_layers(
        estimator, X, y, X_test, y_test, layers=layers, pool=pool, options=options
    )
    return LayerwiseCollapse(tuple(found), tuple(found.values()))
