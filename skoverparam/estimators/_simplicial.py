"""Regression and classification by interpolation on the simplices between training points."""

from __future__ import annotations

from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, same_namespace
from skoverparam._config import memory_budget
from skoverparam._params import check_integer
from skoverparam.averages._points import without_own
from skoverparam.averages._simplicial import (
    Triangulation,
    hull_of,
    locate,
    nearest_of,
    triangulate,
    triangulation_bytes,
)
from skoverparam.estimators._averages import PointAverageClassifier, PointAverageRegressor

# The nearest is chosen among some, of which the search may know the distances less exactly.
_CANDIDATES = 4


class _SimplicialAverage:
    """What the regressor and the classifier share: the simplices."""

    def __init__(self, *, max_dim=4, device="auto"):
        self.max_dim = max_dim
        self.device = device

    def inside_hull(self, X):
        """Tell which samples lie in the convex hull of the training samples.

        The others get the value of the nearest training point.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        inside : array of bool of shape (n_samples,)
            True inside and on the border.
        """
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="_points", method="inside_hull")
        return passage.back(self._locate(passage, X).inside)

    def _check_params(self):
        check_integer(self.max_dim, "max_dim", low=0)

    def _prepare(self, passage, cloud):
        Z = hull_of(cloud).coordinates(cloud.X)[0]
        self.hull_dim_ = Z.shape[1]
        triangulation = None
        few = 0 < self.hull_dim_ <= self.max_dim
        if few and triangulation_bytes(*Z.shape) <= memory_budget(passage.device):
            triangulation = triangulate(Z)
        self.n_simplices_ = None if triangulation is None else len(triangulation.simplices)
        self._triangulation = None
        if triangulation is not None:
            self._triangulation = passage.keep_all(triangulation._asdict())

    def _corner(self, passage, cloud, Q, *, skip=0):
        """Find the nearest point to each of the queries Q, after `skip` nearer ones."""
        count = min(_CANDIDATES + skip, len(cloud))
        return nearest_of(cloud, Q, self._nearest(passage, cloud, Q, count), skip=skip)

    def _locate(self, passage, X):
        """Find the corners around samples X."""
        cloud, triangulation = self._cloud(passage), None
        if self._triangulation is not None:
            triangulation = Triangulation(**passage.tensors(self._triangulation))
        Q = cloud.queries(passage.tensor(X).double())
        nearest = self._corner(passage, cloud, Q)
        return locate(cloud, hull_of(cloud), triangulation, Q, nearest)

    def _average(self, passage, X):
        return self._locate(passage, X).average(passage.tensor(self._values))

    def _without_own(self, passage, merged, Y, weights):
        cloud, values = self._cloud(passage), merged.values

        def elsewhere():
            if len(cloud) == 1:
                return values * float("nan")
            nearest = self._corner(passage, cloud, cloud.X, skip=1)
            corners = locate(cloud, hull_of(cloud), None, cloud.X, nearest, alone=True)
            return corners.average(values)

        return without_own(merged, Y, weights, elsewhere)


class SimplicialRegressor(_SimplicialAverage, PointAverageRegressor):
    r"""Regression by linear interpolation on the Delaunay simplices between training points.

    Inside the convex hull of the samples it is the piecewise linear function through all of
    them, noise included; outside it is the nearest neighbor. In one dimension it connects the
    dots.

    Parameters
    ----------
    max_dim : int, default=4
        Up to that many dimensions the points are triangulated by Qhull in ``fit``. The number of
        simplices grows steeply with the dimension; above it, the Delaunay simplex of each query
        is searched by linear programming, which finds the same one. 0 always searches.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one. Qhull runs on the host.

    Attributes
    ----------
    n_points_ : int
        Number of distinct training points.

    hull_dim_ : int
        Dimension of their convex hull: the number of features, or less if the points lie in a
        plane of fewer dimensions. Samples outside of that plane are outside of the hull.

    n_simplices_ : int or None
        Number of simplices; None without a triangulation: above `max_dim`, where it would exceed
        the memory budget, or where Qhull gave up.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one of its column. It is
        unless equal samples have different targets, which are averaged.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    SimplicialClassifier : The same for classes.
    SingularKernelRegressor : Averages with singular weights: no hull, any dimension.
    scipy.interpolate.LinearNDInterpolator : The same function inside the hull, for a few
        dimensions; NaN outside.

    Notes
    -----
    The Delaunay simplex of x has vertices :math:`x_{(0)}, \dots, x_{(d)}` and no other point
    inside its circumscribed sphere. With the barycentric coordinates b of x,

    .. math:: f(x) = \sum_j b_j y_{(j)} , \qquad x = \sum_j b_j x_{(j)} , \;
       \sum_j b_j = 1 , \; b_j \ge 0 .

    The coordinates solve :math:`\min_b \sum_i b_i \|x_i\|^2` under these constraints over all
    points [2]_, a linear program that is solved for many queries at once by the simplex method,
    with the most violated sphere as the pivot. A wrong target only governs the corners of the
    simplices at its point, and the excess risk shrinks as the dimension grows [1]_; but so does
    the convex hull: in ten dimensions and more, hardly any new sample lies inside of it. Ask
    :meth:`inside_hull`.

    Simplices depend on the units of the features: scale them first. Of points on a common sphere
    one of the possible triangulations is taken.

    Cost: in d dimensions, Qhull's :math:`n^{\lceil d / 2 \rceil}`, then a walk of a few steps
    for each query; a search takes about 5 d to 10 d products of :math:`n d`.

    References
    ----------
    .. [1] M. Belkin, D. Hsu, P. Mitra, "Overfitting or perfect fitting? Risk bounds for
       classification and regression rules that interpolate", NeurIPS 2018, arXiv:1806.05161.
    .. [2] K. Q. Brown, "Voronoi diagrams from convex hulls", Information Processing Letters 9,
       1979: Delaunay simplices as faces of a lifted hull.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import SimplicialRegressor
    >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> model = SimplicialRegressor().fit(X, [0.0, 1.0, 2.0])
    >>> model.predict([[0.25, 0.5], [3.0, 0.0]])
    array([1.25, 1.  ])
    >>> model.inside_hull([[0.25, 0.5], [3.0, 0.0]])
    array([ True, False])
    """


class SimplicialClassifier(_SimplicialAverage, PointAverageClassifier):
    r"""Classification by linear interpolation on the Delaunay simplices between training points.

    It fits every training label, wrong ones included: each governs the corners of the simplices
    at its own point, a share of the volume that shrinks as the dimension grows. Outside the
    convex hull of the samples it is the nearest neighbor.

    Parameters
    ----------
    max_dim : int, default=4
        Up to that many dimensions the points are triangulated by Qhull in ``fit``. The number of
        simplices grows steeply with the dimension; above it, the Delaunay simplex of each query
        is searched by linear programming, which finds the same one. 0 always searches.

    target_coding : {"onehot", "pm1", "rescaled"} or (k, M), default="onehot"
        What is averaged for a sample's own class and for the others: 1 and 0, or 1 and -1. A pair
        (k, M) is M and 0, the own class counting k times; "rescaled" takes it from a published
        table by the number of classes. It is the scale of ``decision_function`` and of
        ``loo_residuals``: classes and probabilities are the same in every coding.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one. Qhull runs on the host.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    n_points_ : int
        Number of distinct training points.

    hull_dim_ : int
        Dimension of their convex hull: the number of features, or less if the points lie in a
        plane of fewer dimensions. Samples outside of that plane are outside of the hull.

    n_simplices_ : int or None
        Number of simplices; None without a triangulation: above `max_dim`, where it would exceed
        the memory budget, or where Qhull gave up.

    interpolates_ : bool
        Whether every training sample gets probability one of its own class. It does unless equal
        samples have different classes.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    SimplicialRegressor : The same for numbers; the formulas are there.
    SingularKernelClassifier : Averages with singular weights: no hull, any dimension.

    Notes
    -----
    The probability of a class is the total barycentric weight of its points among the corners of
    the simplex. Of classes with equal probabilities the first is predicted. In one dimension it
    is the nearest neighbor.

    Where every label is wrong with probability 1/5, at random, new labels are missed with
    probability 0.32 by the nearest neighbor in any dimension, and by 0.317, 0.292 and 0.271 in
    dimension 2, 3 and 5 here (measured, n = 800, inside the hull; 0.2 is the least possible).

    References
    ----------
    M. Belkin, D. Hsu, P. Mitra, "Overfitting or perfect fitting? Risk bounds for classification
    and regression rules that interpolate", NeurIPS 2018, arXiv:1806.05161.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import SimplicialClassifier
    >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> model = SimplicialClassifier().fit(X, ["a", "b", "b"])
    >>> model.predict([[0.2, 0.2], [0.4, 0.4]])
    array(['a', 'b'], dtype='<U1')
    >>> model.predict_proba([[0.2, 0.2]]).round(3)
    array([[0.6, 0.4]])
    """

    def __init__(
        self,
        *,
        max_dim=4,
        target_coding="onehot",
        device="auto",
    ):
        super().__init__(
            max_dim=max_dim,
            device=device,
        )
        self.target_coding = target_coding
