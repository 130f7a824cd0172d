"""What is measured of neural collapse, from sums over classes and from samples."""

import warnings
from typing import NamedTuple

from skoverparam._display import pandas
from skoverparam._params import check_flag, check_number, check_option
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


class NeuralCollapse(NamedTuple):
    r"""Measures of neural collapse: numbers, or None where there is nothing to measure.

    Those of the test samples have the prefix ``test_`` and mean the same; measures of the head
    alone have no such counterpart.

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
        Mean over pairs of classes of :math:`(v_c + v_{c'}) / (2 |\mu_c - \mu_{c'}|^2)`.

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
        rows = self.by_split()
        pd = pandas()
        return pd.DataFrame(rows.values(), index=pd.Index(rows, name="split"), dtype=float)

    def by_split(self):
        """Collect the measures by split: ``{"train": {...}, "test": {...}}``, without prefix."""
        values = self._asdict()
        rows = {"train": {k: v for k, v in values.items() if not k.startswith("test_")}}
        if self.test_n_samples is not None:
            test = {k[5:]: v for k, v in values.items() if k.startswith("test_")}
            rows["test"] = test | {"n_features": self.n_features}
        return rows


class Options(NamedTuple):
    """How collapse is measured, checked.

    Attributes
    ----------
    by_class : bool
        Whether classes have equal weights, or samples.

    unbiased : bool
        Whether variances are over n_c - 1.

    center_head : bool
        Whether rows of the head are centered.

    rtol : float
        Share of the largest eigenvalue below which others count as zero.
    """

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


class Part(NamedTuple):
    """A set of samples.

    Attributes
    ----------
    sums : ClassSums
        Their sums over classes.

    H : Tensor of shape (n, d) or None
        The samples; None where they were streamed.

    labels : Tensor of shape (n,) or None
        Indices of their classes; None likewise.
    """

    sums: ClassSums
    H: object = None
    labels: object = None


def measured(train, test, head, options):
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
