"""Regression and classification by averages whose weights are infinite at the training points."""

from __future__ import annotations

from functools import partial

from skoverparam._params import check_integer, check_number, check_option
from skoverparam.averages._intrinsic_dimension import dimension_of
from skoverparam.averages._singular import (
    WEIGHTS,
    Rule,
    Sample,
    SingularKernel,
    averages,
    leave_one_out,
)
from skoverparam.estimators._averages import PointAverageClassifier, PointAverageRegressor

_EXPONENTS = ("intrinsic", "dimension")
_ALGORITHMS = ("auto", "brute", "kd_tree", "ball_tree")


class _SingularKernelAverage:
    """What the regressor and the classifier share: the weights."""

    def __init__(
        self,
        *,
        exponent="intrinsic",
        n_neighbors=None,
        radius=None,
        weight="power",
        algorithm="auto",
        device="auto",
    ):
        self.exponent = exponent
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.weight = weight
        self.algorithm = algorithm
        self.device = device

    def _check_params(self):
        if isinstance(self.exponent, str):
            check_option(self.exponent, "exponent", _EXPONENTS)
        else:
            check_number(self.exponent, "exponent", low=0, boundaries="neither")
        check_integer(self.n_neighbors, "n_neighbors", low=1, none=True)
        check_number(self.radius, "radius", low=0, boundaries="neither", none=True)
        check_option(self.weight, "weight", WEIGHTS)
        check_option(self.algorithm, "algorithm", _ALGORITHMS)
        if self.n_neighbors is not None and self.radius is not None:
            raise ValueError(
                "n_neighbors and radius are two kinds of neighborhoods: one of them must be None, "
                f"got {self.n_neighbors} and {self.radius}."
            )
        if self.weight != "power" and self.n_neighbors is None and self.radius is None:
            raise ValueError(
                f"weight={self.weight!r} falls to zero at the end of a neighborhood: it needs "
                "n_neighbors or radius, got None for both."
            )

    def _prepare(self, passage, cloud):
        dimension = float(cloud.X.shape[1])
        if self.exponent == "intrinsic":
            dimension = dimension_of(cloud, partial(self._nearest, passage, cloud))
            self.intrinsic_dimension_ = dimension
        if isinstance(self.exponent, str):
            everywhere = self.n_neighbors is None and self.radius is None
            self.exponent_ = dimension if everywhere else dimension / 2
        else:
            self.exponent_ = float(self.exponent)
        self.n_neighbors_ = None
        if self.n_neighbors is not None:
            self.n_neighbors_ = max(1, min(int(self.n_neighbors), len(cloud) - 1))

    def _rule(self):
        return Rule(SingularKernel(self.exponent_, self.weight), self.n_neighbors, self.radius)

    def _average(self, passage, X):
        cloud = self._cloud(passage)
        sample = Sample(cloud, passage.tensor(self._values), passage.tensor(self._mass))
        Q = cloud.queries(passage.tensor(X).double())
        search = partial(self._nearest, passage, cloud)
        return averages(self._rule(), sample, Q, search=search)

    def _without_own(self, passage, merged, Y, weights):
        cloud = self._cloud(passage)
        sample = Sample(cloud, merged.values, merged.mass)
        search = partial(self._nearest, passage, cloud)
        return leave_one_out(self._rule(), sample, merged.group, Y, weights, search=search)


class SingularKernelRegressor(_SingularKernelAverage, PointAverageRegressor):
    r"""Regression by averages of targets whose weights are infinite at the training points.

    It goes through every training point, noise included, without solving an equation, and is
    still consistent: every point pulls the function to itself in its own immediate neighborhood
    and is outvoted everywhere else.

    Parameters
    ----------
    exponent : {"intrinsic", "dimension"} or float, default="intrinsic"
        How fast weights fall with the distance. A number is the exponent itself. The names stand
        for a dimension: that in which the samples seem to lie, estimated from distances of
        neighbors, or the number of features. The exponent is the dimension if all samples are
        averaged, which theory asks for, and half of it in a neighborhood, where theory asks for
        less than that. Has no effect with ``weight="log"``.

    n_neighbors : int, default=None
        Average over that many nearest points; the next one ends the neighborhood. None averages
        over all points.

    radius : float, default=None
        Average over the points within that distance; where there are none, over the nearest.
        At most one of `n_neighbors` and `radius` can be given.

    weight : {"power", "log", "tapered"}, default="power"
        Weight of a point as a function of t, its distance over the reach of the neighborhood.

        - "power": ``t**-exponent``;
        - "log": ``-log(t)``, the weakest of singularities: the least sensitive to noise;
        - "tapered": ``t**-exponent * (1 - t)**2``, which makes the function continuous where
          points enter and leave a neighborhood.

        The last two need a neighborhood.

    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default="auto"
        How neighbors are found: by a tree on the host, or by measuring all distances. "auto" is a
        tree up to 15 features, and never on a GPU.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    Attributes
    ----------
    exponent_ : float
        The exponent used.

    intrinsic_dimension_ : float
        The estimated dimension, between 1 and the number of features. Only with
        ``exponent="intrinsic"``.

    n_points_ : int
        Number of distinct training points.

    n_neighbors_ : int or None
        Number of neighbors used: `n_neighbors`, or one less than there are points.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one of its column. It is
        unless equal samples have different targets, which are averaged.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    SingularKernelClassifier : The same for classes.
    SimplicialRegressor : Interpolation on the simplices between the points.
    sklearn.neighbors.KNeighborsRegressor : With ``weights="distance"``, the exponent 1 on a few
        neighbors.

    Notes
    -----
    With :math:`m_i` the sample weights and :math:`r_i` the distance of x from the i-th point,

    .. math:: f(x) = \frac{\sum_i m_i w(r_i) y_i}{\sum_i m_i w(r_i)} , \qquad w(0) = \infty .

    Over all points with :math:`w = r^{-d}` it is the Hilbert kernel estimate [1]_. On the nearest
    neighbors it is the weighted interpolating nearest neighbor scheme of [2]_, and with a radius
    the estimate of [3]_; both attain optimal rates of regression for smooth functions, with
    exponents below half the dimension. An exponent that is too large makes it the nearest
    neighbor, one that is too small is governed by points far away.

    Equal samples become one point with the average of their targets and the sum of their weights,
    and count once among the neighbors. Weights are computed as logarithms, relative to the
    largest: nothing is added to a distance. Points as far as the one that ends a neighborhood are
    not in it, unless all are; then those that the search finds first count, equally.

    Cost of a prediction: :math:`n d`, in blocks of samples, for all points and for a radius; for
    the nearest neighbors that of the search.

    References
    ----------
    .. [1] L. Devroye, L. Györfi, A. Krzyżak, "The Hilbert Kernel Regression Estimate", Journal of
       Multivariate Analysis 65, 1998.
    .. [2] M. Belkin, D. Hsu, P. Mitra, "Overfitting or perfect fitting? Risk bounds for
       classification and regression rules that interpolate", NeurIPS 2018, arXiv:1806.05161.
    .. [3] M. Belkin, A. Rakhlin, A. B. Tsybakov, "Does data interpolation contradict statistical
       optimality?", AISTATS 2019, arXiv:1806.09471.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import SingularKernelRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(2000, 2))
    >>> y = np.sin(2 * np.pi * X[:, 0]) + 0.3 * rng.normal(size=2000)
    >>> model = SingularKernelRegressor(exponent=0.5, n_neighbors=30, weight="tapered").fit(X, y)
    >>> bool(np.array_equal(model.predict(X), y))  # meets all of the noise
    True
    >>> X_test = rng.uniform(size=(1000, 2))
    >>> error = model.predict(X_test) - np.sin(2 * np.pi * X_test[:, 0])
    >>> bool(np.mean(error**2) < 0.3**2 / 4)  # and predicts
    True
    """


class SingularKernelClassifier(_SingularKernelAverage, PointAverageClassifier):
    r"""Classification by averages whose weights are infinite at the training points.

    It fits every training label, wrong ones included, without solving an equation, and is still
    consistent: a wrong label wins its own immediate neighborhood and is outvoted everywhere else.

    Parameters
    ----------
    exponent : {"intrinsic", "dimension"} or float, default="intrinsic"
        How fast weights fall with the distance. A number is the exponent itself. The names stand
        for a dimension: that in which the samples seem to lie, estimated from distances of
        neighbors, or the number of features. The exponent is the dimension if all samples are
        averaged, which theory asks for, and half of it in a neighborhood, where theory asks for
        less than that. Has no effect with ``weight="log"``.

    n_neighbors : int, default=None
        Average over that many nearest points; the next one ends the neighborhood. None averages
        over all points.

    radius : float, default=None
        Average over the points within that distance; where there are none, over the nearest.
        At most one of `n_neighbors` and `radius` can be given.

    weight : {"power", "log", "tapered"}, default="power"
        Weight of a point as a function of t, its distance over the reach of the neighborhood.

        - "power": ``t**-exponent``;
        - "log": ``-log(t)``, the weakest of singularities: the least sensitive to noise;
        - "tapered": ``t**-exponent * (1 - t)**2``, which makes probabilities continuous where
          points enter and leave a neighborhood.

        The last two need a neighborhood.

    algorithm : {"auto", "brute", "kd_tree", "ball_tree"}, default="auto"
        How neighbors are found: by a tree on the host, or by measuring all distances. "auto" is a
        tree up to 15 features, and never on a GPU.

    target_coding : {"onehot", "pm1", "rescaled"} or (k, M), default="onehot"
        What is averaged for a sample's own class and for the others: 1 and 0, or 1 and -1. A pair
        (k, M) is M and 0, the own class counting k times; "rescaled" takes it from a published
        table by the number of classes. It is the scale of ``decision_function`` and of
        ``loo_residuals``: classes and probabilities are the same in every coding.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    exponent_ : float
        The exponent used.

    intrinsic_dimension_ : float
        The estimated dimension, between 1 and the number of features. Only with
        ``exponent="intrinsic"``.

    n_points_ : int
        Number of distinct training points.

    n_neighbors_ : int or None
        Number of neighbors used: `n_neighbors`, or one less than there are points.

    interpolates_ : bool
        Whether every training sample gets probability one of its own class. It does unless equal
        samples have different classes.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    SingularKernelRegressor : The same for numbers; the formulas are there.
    SimplicialClassifier : Interpolation on the simplices between the points.
    sklearn.neighbors.KNeighborsClassifier : With ``weights="distance"``, the exponent 1 on a few
        neighbors.

    Notes
    -----
    The probability of a class, p, is the average of its indicator. The average of any other
    coding is a function of it: :math:`2 p - 1`, or :math:`M k p / (1 + (k - 1) p)` where targets M
    of the own class count k times. It grows with p, so that all codings predict the same class.
    Of classes with equal probabilities the first is predicted.

    On the digits with 40 % of the labels drawn at random, n = 1000, 25 neighbors with exponent 2
    err on 4.5 % of clean test samples, where the nearest neighbor errs on 40 %; both fit all
    wrong labels (measured).

    References
    ----------
    M. Belkin, D. Hsu, P. Mitra, "Overfitting or perfect fitting? Risk bounds for classification
    and regression rules that interpolate", NeurIPS 2018, arXiv:1806.05161.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SingularKernelClassifier
    >>> rng = np.random.default_rng(0)
    >>> X, y = load_digits(return_X_y=True)
    >>> noisy = np.where(rng.random(len(y)) < 0.4, rng.integers(0, 10, len(y)), y)
    >>> model = SingularKernelClassifier(exponent=2, n_neighbors=25).fit(X[:1000], noisy[:1000])
    >>> float(model.score(X[:1000], noisy[:1000]))  # fits all of the noise
    1.0
    >>> bool(model.score(X[1000:], y[1000:]) > 0.9)  # and predicts
    True
    """

    def __init__(
        self,
        *,
        exponent="intrinsic",
        n_neighbors=None,
        radius=None,
        weight="power",
        algorithm="auto",
        target_coding="onehot",
        device="auto",
    ):
        super().__init__(
            exponent=exponent,
            n_neighbors=n_neighbors,
            radius=radius,
            weight=weight,
            algorithm=algorithm,
            device=device,
        )
        self.target_coding = target_coding
