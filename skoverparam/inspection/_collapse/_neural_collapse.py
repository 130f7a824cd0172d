"""Neural collapse of the last features of a classifier, on training and on test samples."""

import warnings
from typing import NamedTuple

import numpy as np

from skoverparam._arrays import to_numpy, ways_of
from skoverparam._params import check_flag, check_number, check_option
from skoverparam.inspection._collapse._class_statistics import ClassStatistics, indices_of
from skoverparam.inspection._collapse._collapse_sources import (
    features_of_array,
    head_of_arrays,
    read_features,
)
from skoverparam.nets._class_statistics import ClassSums
from skoverparam.nets._collapse import (
    angles,
    class_means,
    duality,
    forms_of_samples,
    forms_of_scatter,
    head_decisions,
    nearest_means,
    variability,
)
from skoverparam.nets._module_features import PENULTIMATE, batch_statistics, is_module


class NeuralCollapse(NamedTuple):
    """Measures of neural collapse: numbers, or None where there is nothing to measure.

    Measures of the test samples have the prefix ``test_``.

    Attributes
    ----------
    n_samples, n_classes, n_features : float
        Samples, classes that are present among them, and features.

    sb_rank, sb_condition : float
        Rank of the covariance of the class means, and the ratio of its largest to its smallest
        eigenvalue that counts. Do not read ``nc1_pinv`` without them.

    sb_trace, sw_trace : float
        Traces of the covariances between and within classes.

    nc1_pinv : float
        :math:`tr(S_W S_B^+) / C`: sees noise along the differences of the means only.

    nc1_ratio : float
        :math:`tr(S_W) / tr(S_B)`: sees all noise.

    nc1_cdnv : float
        Mean over pairs of classes of :math:`(v_c + v_{c'}) / (2 |mu_c - mu_{c'}|^2)`.

    nc2_equinorm, nc2_equiangle : float
        Standard deviation of the norms of the centered means over their mean, and of the cosines
        between them.

    nc2_max_angle, nc2_etf_error : float
        Mean distance of the cosines from -1 / (C - 1), and distance of the Gram matrix from that
        of a simplex. None with fewer than C - 1 features: there is no room for a simplex.

    nc2_head_equinorm, nc2_head_equiangle, nc2_head_max_angle : float
        The same for the rows of the head.

    nc3_self_duality, nc3_etf_error : float
        Squared distance of the head from the centered means, both of norm one; distance of their
        product from the Gram matrix of a simplex.

    nc4_disagreement : float
        Share of samples that the head, with its bias, and the nearest class mean of the training
        samples put in different classes.

    ncc_accuracy, accuracy : float
        Accuracy of the nearest class mean, and of the head.

    test_strong_dispersion : float
        Mean squared distance of test features from the training mean of their own class, over the
        trace between classes. Zero if they collapse to the right means.

    test_weak_dispersion : float
        The same from the nearest training mean, whichever it is; never larger.

    test_mean_shift : float
        Mean squared distance of test from training means, in the same units.
    """

    n_samples: float | None = None
    n_classes: float | None = None
    n_features: float | None = None
    sb_rank: float | None = None
    sb_condition: float | None = None
    sb_trace: float | None = None
    sw_trace: float | None = None
    nc1_pinv: float | None = None
    nc1_ratio: float | None = None
    nc1_cdnv: float | None = None
    nc2_equinorm: float | None = None
    nc2_equiangle: float | None = None
    nc2_max_angle: float | None = None
    nc2_etf_error: float | None = None
    nc2_head_equinorm: float | None = None
    nc2_head_equiangle: float | None = None
    nc2_head_max_angle: float | None = None
    nc3_self_duality: float | None = None
    nc3_etf_error: float | None = None
    nc4_disagreement: float | None = None
    ncc_accuracy: float | None = None
    accuracy: float | None = None
    test_n_samples: float | None = None
    test_n_classes: float | None = None
    test_sb_rank: float | None = None
    test_sb_condition: float | None = None
    test_sb_trace: float | None = None
    test_sw_trace: float | None = None
    test_nc1_pinv: float | None = None
    test_nc1_ratio: float | None = None
    test_nc1_cdnv: float | None = None
    test_nc2_equinorm: float | None = None
    test_nc2_equiangle: float | None = None
    test_nc2_max_angle: float | None = None
    test_nc2_etf_error: float | None = None
    test_nc3_self_duality: float | None = None
    test_nc3_etf_error: float | None = None
    test_nc4_disagreement: float | None = None
    test_ncc_accuracy: float | None = None
    test_accuracy: float | None = None
    test_strong_dispersion: float | None = None
    test_weak_dispersion: float | None = None
    test_mean_shift: float | None = None

    def to_frame(self):
        """Make a pandas data frame: a row for "train" and, if measured, one for "test"."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame() needs pandas: `pip install pandas`.") from error

        rows = self.by_split()
        return pd.DataFrame(rows.values(), index=pd.Index(rows, name="split"), dtype=float)

    def by_split(self):
        """Collect the measures by split: ``{"train": {...}, "test": {...}}``, without prefix."""
        values = self._asdict()
        rows = {"train": {k: v for k, v in values.items() if not k.startswith("test_")}}
        if self.test_n_samples is not None:
            test = {k[5:]: v for k, v in values.items() if k.startswith("test_")}
            rows["test"] = test | {"n_features": self.n_features}
        return rows


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
        paths of submodules, or "hidden1", ... of an MLPClassifier. Other layers have no head.

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
    return _measured(train, test, head, options)


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
    measured = {}
    for name in names:
        head = found.head if name == PENULTIMATE else None
        if head is not None and len(head.W) != len(classes):
            head = None
        train_part = _part(found.layers[name], y, classes, "")
        test_part = None
        if test is not None:
            test_part = _part(test.layers[name], _labels(y_test, "y_test"), classes, "_test")
        measured[name] = _measured(train_part, test_part, head, options)
    return measured


class Options(NamedTuple):
    """How collapse is measured, checked."""

    by_class: bool
    unbiased: bool
    center_head: bool
    rtol: float


def checked_options(weighting, unbiased, center_head, pool, rtol):
    """Check the options that all functions on collapse have."""
    check_option(weighting, "weighting", ("class", "sample"))
    check_flag(unbiased, "unbiased")
    check_flag(center_head, "center_head")
    check_option(pool, "pool", ("gap", "flatten"))
    check_number(rtol, "rtol", low=0, high=1, boundaries="left")
    return Options(weighting == "class", bool(unbiased), bool(center_head), float(rtol))


class _Part(NamedTuple):
    """Sums of a set of samples and, unless they were streamed, the samples."""

    sums: ClassSums
    H: object = None
    labels: object = None


def _is_array(value):
    if is_module(value) or hasattr(value, "fit"):
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
    return _Part(sums, H, labels)


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
        test = _Part(X_test._seen())
    head = head_of_arrays(head, sums.means.shape[1])
    if head is not None and len(head.W) != len(statistics.classes):
        raise ValueError(
            f"head must have a row for each of the {len(statistics.classes)} classes, got "
            f"{len(head.W)}."
        )
    return _Part(sums), test, _moved(head, sums.means.device)


def _moved(head, device):
    return None if head is None else type(head)(head.W.to(device), head.b.to(device))


def _warn_of_batches(model):
    module = model if is_module(model) else getattr(model, "module_", None)
    names = batch_statistics(module) if is_module(module) else []
    if names:
        warnings.warn(
            f"Layers {', '.join(names)} normalize by the batch also in evaluation mode: features "
            "depend on which samples come together, and collapse looks further than it is.",
            UserWarning,
            stacklevel=4,
        )


def _measured(train, test, head, options):
    """Measure everything; a head of another number of classes has been left out before."""
    n_present = int((train.sums.counts > 0).sum())
    if n_present < 2:
        raise ValueError(
            f"Neural collapse needs samples of at least two classes, got {n_present} in y."
        )
    means = class_means(train.sums, by_class=options.by_class, rtol=options.rtol)
    values = _of_means(train, means, head, options, "training")
    values["n_features"] = float(train.sums.means.shape[1])
    if head is not None:
        W = head.W[train.sums.counts > 0]
        rows = angles(W - W.mean(0) if options.center_head else W)
        values["nc2_head_equinorm"] = rows.equinorm
        values["nc2_head_equiangle"] = rows.equiangle
        values["nc2_head_max_angle"] = rows.max_angle
    values |= _of_samples(train, train, means, head)[0]
    if test is not None:
        if test.sums.means.shape != train.sums.means.shape:
            raise ValueError(
                f"Test features must be {train.sums.means.shape[1]} as in training, got "
                f"{test.sums.means.shape[1]}."
            )
        own = {"n_samples": float(test.sums.counts.sum())}
        own["n_classes"] = float((test.sums.counts > 0).sum())
        if own["n_classes"] > 1:
            test_means = class_means(test.sums, by_class=options.by_class, rtol=options.rtol)
            own = _of_means(test, test_means, head, options, "test")
        shares, nearest = _of_samples(test, train, means, head)
        own |= shares | _dispersion(test, train, means, nearest, options)
        values |= {f"test_{name}": value for name, value in own.items()}
    return NeuralCollapse(**values)


def _of_means(part, means, head, options, which):
    """Measure NC1, NC2 and NC3 on samples and their own means."""
    sums, present = part.sums, part.sums.counts > 0
    if part.H is not None:
        forms = forms_of_samples(part.H, part.labels, sums.means, means.directions)
    else:
        forms = forms_of_scatter(sums, means.directions)
    if forms is not None and forms.ndim == 1 and options.by_class:
        counts = sums.counts[present]
        if not bool((counts == counts[0]).all()):
            forms = None  # pooled scatter cannot be weighted by class any more
    spread = variability(sums, means, forms, by_class=options.by_class, unbiased=options.unbiased)
    _warn(sums, means, which)
    shape = angles(means.centered)
    values = {
        "n_samples": float(sums.counts.sum()),
        "n_classes": float(present.sum()),
        "sb_rank": float(means.rank),
        "sb_condition": means.condition,
        "sb_trace": means.trace,
        "sw_trace": spread.within,
        "nc1_pinv": spread.pinv,
        "nc1_ratio": spread.ratio,
        "nc1_cdnv": spread.cdnv,
        "nc2_equinorm": shape.equinorm,
        "nc2_equiangle": shape.equiangle,
        "nc2_max_angle": shape.max_angle,
        "nc2_etf_error": shape.etf_error,
    }
    if head is not None:
        dual = duality(head.W[present], means, center=options.center_head)
        values |= {"nc3_self_duality": dual.difference, "nc3_etf_error": dual.etf_error}
    return values


def _of_samples(part, train, means, head):
    """Measure NC4 and accuracies, from samples and training means; nothing without samples."""
    if part.H is None:
        return {}, None
    nearest = nearest_means(part.H, part.labels, train.sums, means.center)
    shares = {"ncc_accuracy": _share(nearest.label == part.labels)}
    if head is not None:
        decided = head_decisions(part.H, head.W, head.b)
        shares["nc4_disagreement"] = _share(decided != nearest.label)
        shares["accuracy"] = _share(decided == part.labels)
    return shares, nearest


def _dispersion(test, train, means, nearest, options):
    """Measure how far test features are from training means, in units of those."""
    both = (test.sums.counts > 0) & (train.sums.counts > 0)
    if not means.trace or not bool(both.any()):
        return {"strong_dispersion": None, "weak_dispersion": None, "mean_shift": None}
    counts = test.sums.counts[both]
    shift = (test.sums.means[both] - train.sums.means[both]).square().sum(1)
    share = counts * 0 + 1 / len(counts) if options.by_class else counts / counts.sum()
    values = {"mean_shift": float(shift.mean()) / means.trace}
    if nearest is None:
        strong = test.sums.squares[both] / counts + shift
        return values | {"strong_dispersion": float(share @ strong) / means.trace}
    weights = test.sums.counts * 0
    weights[both] = share / counts
    known = both[test.labels]
    weights = weights[test.labels][known]
    values["strong_dispersion"] = float(weights @ nearest.own[known]) / means.trace
    values["weak_dispersion"] = float(weights @ nearest.distance[known]) / means.trace
    return values


def _share(right):
    return float(right.double().mean())


def _warn(sums, means, which):
    if not means.trace:
        warnings.warn(
            f"The class means of the {which} features do not differ: NC1 is infinite, or NaN if "
            "the features do not differ either.",
            RuntimeWarning,
            stacklevel=5,
        )
    elif means.rank < means.full_rank:
        warnings.warn(
            f"The class means of the {which} features have rank {means.rank}, less than "
            f"{means.full_rank}: nc1_pinv leaves out directions in which classes do not differ.",
            RuntimeWarning,
            stacklevel=5,
        )
    singles = int((sums.counts == 1).sum())
    if singles:
        warnings.warn(
            f"{singles} classes have a single {which} sample: their variability counts as zero.",
            RuntimeWarning,
            stacklevel=5,
        )
