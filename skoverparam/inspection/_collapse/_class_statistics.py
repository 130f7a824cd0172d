"""Class means and scatter of features that come in batches."""

import numpy as np

from skoverparam._arrays import to_numpy, ways_of
from skoverparam._config import require_memory, resolve_device
from skoverparam._params import check_option
from skoverparam.nets._class_statistics import ClassSums


class ClassStatistics:
    r"""Counts, means and scatter of classes, summed over batches of features.

    Features that do not fit in memory are shown batch by batch, in one pass, and sums of different
    workers are merged. :func:`neural_collapse` takes the result in place of features. Everything
    is kept in float64, and batches are centered before they are squared, so that a collapse to
    one part in a million, on top of an offset a million times larger, is still measured.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
        All labels that may come.

    scatter : {"class", "pooled", "none"}, default="class"
        What to keep of the scatter within classes. With "class" a matrix of d times d for each
        class, as ``nc1_pinv`` needs; "pooled" keeps their sum, enough where classes have as many
        samples each or ``weighting="sample"``; "none" keeps traces, enough for all other measures
        and much faster.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where sums are kept.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.

    counts : ndarray of shape (n_classes,)
        Samples seen of each class.

    means : ndarray of shape (n_classes, n_features)
        Their means; zero where there are none.

    variances : ndarray of shape (n_classes,)
        Mean squared distance from the mean.

    See Also
    --------
    neural_collapse : Measures of collapse.

    Notes
    -----
    Two sets of n and m samples of a class, whose means differ by :math:`\delta`, have together the
    scatter :math:`S_1 + S_2 + \delta \delta^T n m / (n + m)`: no difference of large numbers is
    taken. Cost of a batch of b samples: :math:`O(b d)` plus :math:`b d^2` for the scatter.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import ClassStatistics, neural_collapse
    >>> rng = np.random.default_rng(0)
    >>> statistics = ClassStatistics(classes=[0, 1, 2])
    >>> for _ in range(5):
    ...     y = rng.integers(3, size=100)
    ...     features = np.eye(3)[y] + 1e-3 * rng.standard_normal((100, 3))
    ...     statistics = statistics.update(features, y)
    >>> neural_collapse(statistics).nc1_ratio < 1e-5
    True
    """

    def __init__(self, classes, *, scatter="class", device="auto"):
        check_option(scatter, "scatter", ("class", "pooled", "none"))
        self.classes = np.unique(to_numpy(classes))
        if len(self.classes) < 2:
            raise ValueError(f"classes must hold at least two labels, got {self.classes!r}.")
        self.scatter = scatter
        self.device = resolve_device(device)
        self._sums = None

    @property
    def counts(self):
        """Samples seen of each class."""
        return self._seen().counts.cpu().numpy().astype(int)

    @property
    def means(self):
        """Means of the classes."""
        return self._seen().means.cpu().numpy().copy()

    @property
    def variances(self):
        """Mean squared distances from the means of the classes."""
        sums = self._seen()
        return (sums.squares / sums.counts.clamp_min(1)).cpu().numpy()

    def update(self, features, y):
        """Add a batch.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            Features; a batch of none changes nothing.

        y : array-like of shape (n_samples,)
            Labels.

        Returns
        -------
        self : ClassStatistics
            The statistics.
        """
        H = ways_of(features)[0](features, "features")
        labels = indices_of(y, self.classes, "y")
        if H.ndim != 2 or len(H) != len(labels):
            raise ValueError(
                f"features must have shape ({len(labels)}, n_features), one row a label, got "
                f"{tuple(H.shape)}."
            )
        width = H.shape[1]
        if self._sums is None:
            self._sums = self._empty(width)
        if width != self._sums.means.shape[1]:
            raise ValueError(
                f"features must have {self._sums.means.shape[1]} columns as before, got {width}."
            )
        if len(H):
            to_tensor = ways_of(H.to(self.device))[0]
            self._sums.update(H.to(self.device), to_tensor(labels, "y").long())
        return self

    def merge(self, other):
        """Add the statistics of other samples, such as another worker's.

        Parameters
        ----------
        other : ClassStatistics
            With the same classes, features and kind of scatter; it is not changed.

        Returns
        -------
        self : ClassStatistics
            The statistics of both.
        """
        same = isinstance(other, ClassStatistics) and np.array_equal(self.classes, other.classes)
        if not same or self.scatter != other.scatter:
            raise ValueError("other must be ClassStatistics of the same classes and scatter.")
        if other._sums is None:
            return self
        if self._sums is None:
            self._sums = self._empty(other._sums.means.shape[1])
        if self._sums.means.shape != other._sums.means.shape:
            raise ValueError(
                f"other must have {self._sums.means.shape[1]} features, got "
                f"{other._sums.means.shape[1]}."
            )
        self._sums.merge(other._sums)
        return self

    def _empty(self, width):
        n_classes = len(self.classes)
        matrices = {"class": n_classes, "pooled": 1, "none": 0}[self.scatter]
        require_memory(
            8.0 * (2 * n_classes * width + matrices * width**2),
            self.device,
            what=f"The scatter of {n_classes} classes of {width} features",
            remedy="Pass scatter='pooled' or 'none'.",
        )
        return ClassSums(n_classes, width, scatter=self.scatter, device=self.device)

    def _seen(self):
        if self._sums is None or not bool(self._sums.counts.any()):
            raise ValueError("ClassStatistics have seen no samples yet: call update first.")
        return self._sums


def indices_of(y, classes, name):
    """Look up labels among sorted classes."""
    y = np.asarray(to_numpy(y))
    if y.ndim != 1:
        raise ValueError(f"{name} must have shape (n_samples,), got {y.shape}.")
    if not len(y):
        return np.zeros(0, dtype=np.int64)
    places = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    strangers = np.unique(y[classes[places] != y])
    if len(strangers):
        raise ValueError(
            f"{name} has labels {strangers[:5].tolist()} that are not among the classes "
            f"{classes[:10].tolist()}."
        )
    return places
