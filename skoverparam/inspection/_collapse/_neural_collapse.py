"""Neural collapse of the last features of a classifier, on training and on test samples."""

import warnings

import numpy as np

from skoverparam._arrays import to_numpy, ways_of
from skoverparam.inspection._collapse._class_statistics import ClassStatistics, indices_of
from skoverparam.inspection._collapse._collapse_sources import (
    features_of_array,
    head_of_arrays,
    read_features,
)
from skoverparam.inspection._collapse._measures import Part, checked_options, measured
from skoverparam.nets._class_statistics import ClassSums
from skoverparam.nets._evaluation import is_network
from skoverparam.nets._module_features import PENULTIMATE, batch_statistics


def neural_collapse(
    estimator_or_features,
    X=None,
    y=None,
    X_test=None,
    y_test=None,
    *,
    layer=PENULTIMATE,
    head=None,
    weighting="class",
    unbiased=False,
    center_head=False,
    pool="gap",
    rtol=1e-10,
):
    r"""Measure neural collapse: how far the features of a class have shrunk to a point.

    In the last phase of training, features of training samples gather at the mean of their class
    (NC1), the means take the corners of a regular simplex (NC2), the rows of the head line up
    with them (NC3), and the network decides for the nearest mean (NC4). Test samples usually do
    not follow: measured on both, training collapses and test stays.

    Parameters
    ----------
    estimator_or_features : estimator, torch module, array-like or ClassStatistics
        What is looked into: a fitted network of this package, any torch module, a skorch net, an
        :class:`~sklearn.neural_network.MLPClassifier`, any estimator with ``transform``, or a
        pipeline that ends with one of them; features of training samples, (n_samples,
        n_features), X then being left out; or the statistics of features that were streamed.

    X : array-like of shape (n_samples, ...), default=None
        Training samples. For features, leave it out: ``neural_collapse(features, y=y)``.

    y : array-like of shape (n_samples,), default=None
        Their labels. For a module that does not know its classes, labels are the indices of its
        outputs, or stand in sorted order for them.

    X_test : array-like or ClassStatistics, default=None
        Test samples; their features, if features were given; or statistics.

    y_test : array-like of shape (n_test,), default=None
        Their labels, all of which must be known.

    layer : str, default="penultimate"
        Whose features. "penultimate" is what comes into the last linear layer; other names are
        paths of submodules; of an MLPClassifier "body.activation1" and so on, as of the network
        of this package. Other layers have no head.

    head : pair of array-like, default=None
        Weights (n_classes, n_features) and bias of the head, for features and statistics, in the
        sorted order of the labels. One row stands for two classes.

    weighting : {"class", "sample"}, default="class"
        Whether classes count alike in the center of the means and the scatter within, or samples.

    unbiased : bool, default=False
        Whether variances are over n_c - 1 instead of n_c. Compare small test sets that way, and
        never with biased values.

    center_head : bool, default=False
        Whether rows of the head are centered before NC2 and NC3. One vector added to all rows
        changes no decision of softmax.

    pool : {"gap", "flatten"}, default="gap"
        Whether positions of maps, or steps of sequences, are averaged, or kept as features.

    rtol : float, default=1e-10
        Eigenvalues of the covariance of the means below that share of the largest count as zero
        in the pseudo-inverse.

    Returns
    -------
    collapse : NeuralCollapse
        Named tuple of floats, with ``to_frame()``.

    Raises
    ------
    ValueError
        If there are fewer than two classes, labels are unknown, features are not finite, or there
        is no such layer (the message names those there are).

    See Also
    --------
    ClassStatistics : For features that do not fit in memory.
    NeuralCollapseDisplay : Draws it.

    Notes
    -----
    With class means :math:`\mu_c` around their mean, the rows of M,

    .. math::

        S_B = \tfrac{1}{C} M^T M, \quad S_W = \tfrac{1}{C} \sum_c \tfrac{1}{n_c} \sum_{i \in c}
        (h_i - \mu_c)(h_i - \mu_c)^T .

    Nothing of size d times d is made: with :math:`M = U s V^T`, ``nc1_pinv`` is the sum over
    directions of the variance within along v over :math:`s^2`. Cost :math:`O(n d C)`, in float64
    whatever the features are in. Variants of NC1 measure different things and must not be
    compared with each other. There is no threshold for "collapsed", and collapse of training
    features does not explain generalization: compare with the test columns.

    ``nc4_disagreement`` and accuracies are shares of samples. Dispersions are weighted as
    ``weighting`` says. Where means do not differ, NC1 is infinite, or NaN if samples do not
    differ either, with a warning. Which of the dispersions is to be called strong or weak is our
    reading of [2]_.

    References
    ----------
    .. [1] V. Papyan, X. Y. Han, D. L. Donoho, "Prevalence of neural collapse during the terminal
       phase of deep learning training", PNAS 2020, arXiv:2008.08186.
    .. [2] L. Hui, M. Belkin, P. Nakkiran, "Limitations of Neural Collapse for Understanding
       Generalization in Deep Learning", arXiv:2202.08384.
    .. [3] T. Galanti, A. Gyorgy, M. Hutter, "On the Role of Neural Collapse in Transfer
       Learning", ICLR 2022, arXiv:2112.15121.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skoverparam import SquareLossNetClassifier
    >>> from skoverparam.inspection import neural_collapse
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0)
    >>> classifier = SquareLossNetClassifier(
    ...     optimizer="sgd", learning_rate=0.5, max_iter=30, random_state=0
    ... ).fit(X, y)
    >>> collapse = neural_collapse(classifier, X, y, X_test, y_test)
    >>> collapse.test_nc1_pinv > 2 * collapse.nc1_pinv
    True
    >>> collapse.test_weak_dispersion <= collapse.test_strong_dispersion
    True
    """
    options = checked_options(weighting, unbiased, center_head, pool, rtol)
    if isinstance(estimator_or_features, ClassStatistics):
        train, test, head = _statistics(estimator_or_features, X_test, head)
    elif _is_array(estimator_or_features):
        train, test, head = _arrays(estimator_or_features, X, y, X_test, y_test, head)
    else:
        if X is None or y is None:
            raise ValueError("X and y must be given: samples, and their labels.")
        if head is not None:
            raise ValueError("head must be None for a model, which has its own.")
        found = collapse_of_layers(
            estimator_or_features, X, y, X_test, y_test, layers=layer, pool=pool, options=options
        )
        return next(iter(found.values()))
    return measured(train, test, head, options)


def collapse_of_layers(model, X, y, X_test, y_test, *, layers, pool, options):
    """Measure the collapse of several layers of a model: a dict in their order."""
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test must be given together.")
    _warn_of_batches(model)
    found = read_features(model, X, layers, pool)
    names = list(found.layers)
    test = None if X_test is None else read_features(model, X_test, names, pool)
    y = _labels(y, "y")
    classes = _classes_of(found.head, found.classes, y)
    collapse = {}
    for name in names:
        head = found.head if name == PENULTIMATE else None
        if head is not None and len(head.W) != len(classes):
            head = None
        train_part = _part(found.layers[name], y, classes, "")
        test_part = None
        if test is not None:
            test_part = _part(test.layers[name], _labels(y_test, "y_test"), classes, "_test")
        collapse[name] = measured(train_part, test_part, head, options)
    return collapse


def _is_array(value):
    if is_network(value) or hasattr(value, "fit"):
        return False
    return hasattr(value, "shape") or isinstance(value, (list, tuple))


def _labels(y, name):
    y = np.asarray(to_numpy(y))
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"{name} must have one label a sample, got shape {y.shape}.")
    return y


def _classes_of(head, known, y):
    """Find the labels that the rows of a head stand for, in their order."""
    if known is not None:
        return known
    present = np.unique(y)
    n_outputs = None if head is None else len(head.W)
    if head is None or len(present) > n_outputs:
        # Others than the outputs stand for, such as finer classes: there is no head for them.
        return present
    if present.dtype.kind in "iu" and present.min() >= 0 and present.max() < n_outputs:
        return np.arange(n_outputs)
    if len(present) == n_outputs:
        return present
    raise ValueError(
        f"y has {len(present)} labels, and there are {n_outputs} outputs: labels must be the "
        f"indices of outputs, 0 to {n_outputs - 1}, got {present[:10].tolist()}."
    )


def _part(H, y, classes, suffix):
    labels = indices_of(y, classes, f"y{suffix}")
    if len(H) != len(labels):
        raise ValueError(
            f"X{suffix} and y{suffix} must have as many samples, got {len(H)} and {len(labels)}."
        )
    if not len(labels):
        raise ValueError(f"X{suffix} must hold at least one sample.")
    if not bool(H.isfinite().all()):
        raise ValueError(f"The features of X{suffix} must be finite, got NaN or infinity.")
    labels = ways_of(H)[0](labels, "labels").to(H.device).long()
    sums = ClassSums(len(classes), H.shape[1], device=H.device)
    sums.update(H, labels)
    return Part(sums, H, labels)


def _arrays(features, X, y, X_test, y_test, head):
    if y is None:
        X, y = None, X
    if X is not None or y is None:
        raise ValueError(
            "With features in place of an estimator, X must be left out and y given: "
            "neural_collapse(features, y=y, X_test=test_features, y_test=y_test)."
        )
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test must be given together.")
    H, y = features_of_array(features, "features"), _labels(y, "y")
    head = head_of_arrays(head, H.shape[1])
    classes = _classes_of(head, None, y)
    if head is not None and len(classes) != len(head.W):
        raise ValueError(
            f"head must have a row for each of the {len(classes)} labels, got {len(head.W)}."
        )
    train, test = _part(H, y, classes, ""), None
    if X_test is not None:
        H_test = features_of_array(X_test, "X_test")
        if H_test.shape[1] != H.shape[1]:
            raise ValueError(
                f"X_test must have the {H.shape[1]} columns of the features, got "
                f"{H_test.shape[1]}."
            )
        test = _part(H_test.to(H.device), _labels(y_test, "y_test"), classes, "_test")
    return train, test, _moved(head, H.device)


def _statistics(statistics, X_test, head):
    sums = statistics._seen()
    test = None
    if X_test is not None:
        if not isinstance(X_test, ClassStatistics) or not np.array_equal(
            X_test.classes, statistics.classes
        ):
            raise ValueError("X_test must be ClassStatistics of the same classes, or None.")
        test = Part(X_test._seen())
    head = head_of_arrays(head, sums.means.shape[1])
    if head is not None and len(head.W) != len(statistics.classes):
        raise ValueError(
            f"head must have a row for each of the {len(statistics.classes)} classes, got "
            f"{len(head.W)}."
        )
    return Part(sums), test, _moved(head, sums.means.device)


def _moved(head, device):
    return None if head is None else type(head)(head.W.to(device), head.b.to(device))


def _warn_of_batches(model):
    module = model if is_network(model) else getattr(model, "module_", None)
    names = batch_statistics(module) if is_network(module) else []
    if names:
        warnings.warn(
            f"Layers {', '.join(names)} normalize by the batch also in evaluation mode: features "
            "depend on which samples come together, and collapse looks further than it is.",
            UserWarning,
            stacklevel=4,
        )
