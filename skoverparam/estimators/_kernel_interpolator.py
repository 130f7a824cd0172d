"""Kernel interpolation and ridge regression, exact or iterative by what there is room for."""

from __future__ import annotations

from sklearn.callback import with_callbacks

from skoverparam._arrays import cross_targets, sample_weights
from skoverparam._labels import TargetCoding, check_target_coding, cross_labels, decode_labels
from skoverparam.estimators._base import all_or_nothing
from skoverparam.estimators._columns import ColumnClassifier, ColumnRegressor
from skoverparam.estimators._kernel_columns import KernelColumns
from skoverparam.estimators._kernel_data import KernelData


class KernelInterpolatorRegressor(ColumnRegressor, KernelColumns):
    r"""Interpolation by the function of smallest norm in a kernel's space, or kernel ridge.

    The function of smallest norm that goes through all training targets, or with a ridge close to
    them. The linear system is solved exactly or iteratively by what there is memory and time for,
    and what came out is certified: true residual, norm, condition, leave-one-out errors.

    Parameters
    ----------
    kernel : str or callable, default="laplace"
        The kernel: "laplace", "gaussian", "matern", "exponential", "ntk" or "nngp". The first
        four are functions of the distance, as :func:`~.kernels.laplace`,
        :func:`~.kernels.gaussian`, :func:`~.kernels.matern` and
        :func:`~.kernels.generalized_exponential`; "ntk" and "nngp" are those of a network with one
        hidden layer, :func:`~.kernels.fully_connected_ntk` and
        :func:`~.kernels.fully_connected_nngp`. A callable maps two arrays of rows, (n, d) and
        (m, d), to the (n, m) array of their kernel values: for other depths and activations, say,
        ``functools.partial(fully_connected_ntk, depth=3)``.

    bandwidth : "median" or float, default="median"
        Unit of distances for the first four kernels. "median" is the median distance of two
        training samples, of 1000 of them if there are more.

    exponent : float, default=1.0
        Power of the distance, of "exponential" only: ``0 < exponent <= p_norm``.

    p_norm : float, default=2.0
        The norm that measures the distance, of "exponential" only, at most 2.

    nu : float, default=1.5
        Smoothness of "matern" only: 0.5, 1.5, ... or infinity.

    ridge : float or "loo", default=0.0
        Penalty on the squared norm of the function, in the units of a sum of squared errors, as
        ``alpha`` of :class:`sklearn.kernel_ridge.KernelRidge`. 0 interpolates. "loo" takes the one
        with the smallest mean squared leave-one-out error, of 0 and 21 ridges from 1e-8 to 100
        times the mean of the kernel's diagonal, all from one eigendecomposition.

    solver : {"auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted"}, default="auto"
        How to solve the linear system.

        - "cholesky": exact, in half the memory of the matrix;
        - "eigh": exact, by eigenvectors: the solution of smallest norm where the matrix is
          singular, ten times slower;
        - "pcg": conjugate gradients with a randomly pivoted partial Cholesky factor as
          preconditioner, all targets at once, to `tol`;
        - "eigenpro": stochastic gradients on a preconditioned kernel, for samples without number;
        - "restricted": a function of `n_centers` samples only, fitted to all;
        - "auto": "restricted" if `n_centers` is given, else the fastest of "cholesky" and "pcg"
          that fits the memory budget, see `plan_`.

    n_centers : int, default=None
        How many samples have coefficients with "restricted", drawn so that they represent the
        others. Predictions then cost that much less, and training targets are not met.

    tol : float, default=None
        Relative residual, true and of the worst target, at which iterative solvers stop. None is
        1e-4 with a ridge, and without at most 1e-6: what it takes to meet the training targets
        up to 1e-6 of the largest one.

    max_iter : int, default=200
        Largest number of iterations, each a pass over the kernel matrix.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines what iterative solvers draw; their solutions depend on it no more than `tol`
        allows, unless the centers are restricted.

    Attributes
    ----------
    dual_coef_ : array of shape (n_fit,) or (n_fit, n_targets)
        Coefficients of the kernel functions of `X_fit_`, in float64: single precision would lose
        what the certificates promise.

    X_fit_ : array of shape (n_fit, n_features)
        The samples that have coefficients: all, the distinct ones if ``ridge=0``, or the centers.

    bandwidth_ : float or None
        The bandwidth used, None for kernels without.

    ridge_ : float
        The ridge used.

    solver_ : str
        The solver used.

    plan_ : dict or None
        Why it was chosen: expected memory and seconds of each candidate, and the budget. None if
        there was no choice.

    n_iter_ : int
        Iterations; 1 for an exact solver.

    residual_ : float
        True relative residual of the linear system, computed in float64, of the worst target.

    residual_history_ : list of float
        Relative residuals on the way, as estimated by an iterative solver.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one of its column.

    rkhs_norm_ : float
        Norm of the function in the kernel's space, all targets together.

    jitter_ : float
        What had to be added to the diagonal for a Cholesky factor to exist; 0 nearly always.

    condition_estimate_ : float or None
        Lower bound of the system's condition number, None where the solver knows none.

    loo_residuals_ : array of shape (n_samples,) or (n_samples, n_targets) or None
        Targets minus their predictions by a fit to all other samples, without refitting; NaN for
        samples of weight zero. None after an iterative solver, and after "cholesky" with more
        than 3000 samples, whose time they would double: "eigh" has them at any size.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    KernelInterpolatorClassifier : The same for classes.
    RandomFeatureRegressor : The approximation by random features, and its double descent.
    SingularKernelRegressor : Interpolation without solving an equation.
    skoverparam.linalg.kernel_solve : The solvers as a function.
    sklearn.kernel_ridge.KernelRidge : Dense kernel ridge regression.

    Notes
    -----
    With :math:`K` the kernel matrix and :math:`W` the sample weights the coefficients are

    .. math:: (K + \lambda W^{-1}) A = Y ,

    the minimum of :math:`\sum_i w_i (f(x_i) - y_i)^2 + \lambda \|f\|^2` over the kernel's space;
    for :math:`\lambda = 0` the function of smallest norm among those that meet all targets, which
    is what gradient descent from zero converges to. Leaving sample i out changes its prediction
    by :math:`A_i / (K + \lambda W^{-1})^{-1}_{ii}` [2]_.

    Without a ridge equal samples become one, with the weighted mean of their targets; where these
    differ there is no interpolant, a warning says so and `interpolates_` is False.

    How noise is fitted depends on the kernel [1]_: with a rough one, such as "laplace", noisy
    targets do limited harm, and norms grow slowly with the number of samples. Functions of a
    smooth one, such as "gaussian", need norms growing faster than any power of it, and the matrix
    is soon singular to rounding: `residual_`, `jitter_` and `condition_estimate_` tell.

    Cost: exact solvers :math:`n^3 / 3` multiplications and :math:`4 n^2` bytes; "pcg"
    :math:`n^2` kernel values, :math:`2 n^2` bytes if they fit, and as many multiplications for
    every iteration and target. Predictions go through tiles that stay in the cache. All is
    computed in float64, except where `plan_` says that stored values are float32; solutions are
    then refined until the residual in float64 is at `tol`.

    References
    ----------
    .. [1] M. Belkin, S. Ma, S. Mandal, "To understand deep learning we need to understand kernel
       learning", ICML 2018, arXiv:1802.01396.
    .. [2] G. Wahba, "Spline Models for Observational Data", section 4.2, 1990.
    .. [3] M. Diaz, E. N. Epperly, Z. Frangella, J. A. Tropp, R. J. Webber, "Robust, randomized
       preconditioning for kernel ridge regression", arXiv:2304.12465.
    .. [4] M. Belkin, "Fit without fear: remarkable mathematical phenomena of deep learning
       through the prism of interpolation", Acta Numerica 2021, arXiv:2105.14368.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import KernelInterpolatorRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, size=(500, 2))
    >>> y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
    >>> model = KernelInterpolatorRegressor().fit(X, y)
    >>> model.interpolates_, model.solver_
    (True, 'cholesky')
    >>> X_test = rng.uniform(-0.9, 0.9, size=(200, 2))
    >>> bool(model.score(X_test, np.sin(3 * X_test[:, 0]) + X_test[:, 1] ** 2) > 0.999)
    True

    With noise a ridge is better, and leave-one-out errors say which:

    >>> noisy = y + 0.5 * rng.normal(size=500)
    >>> model = KernelInterpolatorRegressor(ridge="loo").fit(X, noisy)
    >>> bool(model.ridge_ > 0), bool(abs(np.mean(model.loo_residuals_**2) - 0.25) < 0.03)
    (True, True)
    """

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Interpolate the targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the squared errors. Without a ridge they matter only where equal samples
            are averaged. Samples of weight zero are dropped.

        Returns
        -------
        self : KernelInterpolatorRegressor
            The fitted estimator.
        """
        self._check_params()
        passage, X, y, data = self._cross(X, y, sample_weight)
        self._learn(passage, X, y, data, {})
        return self

    def fit_predict_path(self, X, y, X_test, *, param_name="ridge", param_range):
        """Predict with a fit for each ridge, from one eigendecomposition.

        The predictions are, to rounding, those of clones fitted with each value; this estimator
        is left as it was. If 0 is one of them, and without a ridge samples or classes count
        differently, there are two decompositions.
        :func:`skoverparam.model_selection.generalization_curve` calls this method of any estimator
        that has it, if `path_parameters` names the parameter.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        X_test : array-like of shape (n_test, n_features)
            Samples to predict.

        param_name : "ridge", default="ridge"
            The parameter.

        param_range : array-like of shape (n_values,)
            Its values.

        Returns
        -------
        y_test : array of shape (n_values, n_test) or (n_values, n_test, n_targets)
            Predictions of every fit.
        """
        self._check_params()
        (passage, *_), outputs = self._over_ridges(X, y, X_test, param_name, param_range)
        return passage.back(outputs.to(passage.dtype))

    def _answers(self, crossed, outputs):
        return outputs[..., 0] if crossed[3].single else outputs

    def _cross(self, X, y, sample_weight=None):
        passage, X, y, Y, single = cross_targets(self, X, y)
        data = KernelData.of(
            passage.tensor(X).double(),
            Y,
            passage.tensor(sample_weights(sample_weight, len(Y))),
            interpolate=self.ridge == 0,
            single=single,
        )
        return passage, X, y, data


class KernelInterpolatorClassifier(ColumnClassifier, KernelColumns):
    r"""Classification by functions of smallest norm in a kernel's space, through all labels.

    Columns of targets stand for the classes and are interpolated as by
    `KernelInterpolatorRegressor`, or with a ridge; the largest output decides.

    Parameters
    ----------
    kernel : str or callable, default="laplace"
        The kernel: "laplace", "gaussian", "matern", "exponential", "ntk" or "nngp". The first
        four are functions of the distance, as :func:`~.kernels.laplace`,
        :func:`~.kernels.gaussian`, :func:`~.kernels.matern` and
        :func:`~.kernels.generalized_exponential`; "ntk" and "nngp" are those of a network with one
        hidden layer, :func:`~.kernels.fully_connected_ntk` and
        :func:`~.kernels.fully_connected_nngp`. A callable maps two arrays of rows, (n, d) and
        (m, d), to the (n, m) array of their kernel values: for other depths and activations, say,
        ``functools.partial(fully_connected_ntk, depth=3)``.

    bandwidth : "median" or float, default="median"
        Unit of distances for the first four kernels. "median" is the median distance of two
        training samples, of 1000 of them if there are more.

    exponent : float, default=1.0
        Power of the distance, of "exponential" only: ``0 < exponent <= p_norm``.

    p_norm : float, default=2.0
        The norm that measures the distance, of "exponential" only, at most 2.

    nu : float, default=1.5
        Smoothness of "matern" only: 0.5, 1.5, ... or infinity.

    ridge : float or "loo", default=0.0
        Penalty on the squared norm of the function, in the units of a sum of squared errors, as
        ``alpha`` of :class:`sklearn.kernel_ridge.KernelRidge`. 0 interpolates. "loo" takes the one
        with the smallest mean squared leave-one-out error, of 0 and 21 ridges from 1e-8 to 100
        times the mean of the kernel's diagonal, all from one eigendecomposition.

    solver : {"auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted"}, default="auto"
        How to solve the linear system.

        - "cholesky": exact, in half the memory of the matrix;
        - "eigh": exact, by eigenvectors: the solution of smallest norm where the matrix is
          singular, ten times slower;
        - "pcg": conjugate gradients with a randomly pivoted partial Cholesky factor as
          preconditioner, all targets at once, to `tol`;
        - "eigenpro": stochastic gradients on a preconditioned kernel, for samples without number;
        - "restricted": a function of `n_centers` samples only, fitted to all;
        - "auto": "restricted" if `n_centers` is given, else the fastest of "cholesky" and "pcg"
          that fits the memory budget, see `plan_`.

    n_centers : int, default=None
        How many samples have coefficients with "restricted", drawn so that they represent the
        others. Predictions then cost that much less, and training targets are not met.

    target_coding : {"onehot", "pm1", "rescaled"} or (k, M), default="onehot"
        Targets of a sample's own class and of the others: 1 and 0, or 1 and -1. A pair (k, M) is
        M and 0, the errors of the own class counting k times; "rescaled" takes it from a published
        table by the number of classes. Two classes with k = 1 share one column, whose sign
        decides. Without a ridge k has no effect.

    tol : float, default=None
        Relative residual, true and of the worst target, at which iterative solvers stop. None is
        1e-4 with a ridge, and without at most 1e-6: what it takes to meet the training targets
        up to 1e-6 of the largest one.

    max_iter : int, default=200
        Largest number of iterations, each a pass over the kernel matrix.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines what iterative solvers draw; their solutions depend on it no more than `tol`
        allows, unless the centers are restricted.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    dual_coef_ : array of shape (n_fit, n_columns)
        Coefficients of the kernel functions of `X_fit_`, in float64: single precision would lose
        what the certificates promise.

    X_fit_ : array of shape (n_fit, n_features)
        The samples that have coefficients: all, the distinct ones if ``ridge=0``, or the centers.

    bandwidth_ : float or None
        The bandwidth used, None for kernels without.

    ridge_ : float
        The ridge used.

    solver_ : str
        The solver used.

    plan_ : dict or None
        Why it was chosen: expected memory and seconds of each candidate, and the budget. None if
        there was no choice.

    n_iter_ : int
        Iterations; 1 for an exact solver.

    residual_ : float
        True relative residual of the linear system, computed in float64, of the worst target.

    residual_history_ : list of float
        Relative residuals on the way, as estimated by an iterative solver.

    interpolates_ : bool
        Whether every training target is met up to 1e-6 of the largest one of its column.

    rkhs_norm_ : float
        Norm of the function in the kernel's space, all targets together.

    jitter_ : float
        What had to be added to the diagonal for a Cholesky factor to exist; 0 nearly always.

    condition_estimate_ : float or None
        Lower bound of the system's condition number, None where the solver knows none.

    loo_residuals_ : array of shape (n_samples, n_columns) or None
        Targets minus their predictions by a fit to all other samples, without refitting; NaN for
        samples of weight zero. None after an iterative solver, and after "cholesky" with more
        than 3000 samples, whose time they would double: "eigh" has them at any size.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    KernelInterpolatorRegressor : The fit, its cost, and what noise does to it.
    MaxMarginClassifier : The largest margin in place of the square loss.
    SingularKernelClassifier : Interpolation without solving an equation.
    sklearn.calibration.CalibratedClassifierCV : Calibrated probabilities.

    Notes
    -----
    Formulas, what noise does, and the cost are in the notes of
    :class:`KernelInterpolatorRegressor`. Without a ridge equal samples become one, with the
    weighted mean of their targets; where their classes differ there is no interpolant, a warning
    says so and `interpolates_` is False.

    References
    ----------
    M. Belkin, S. Ma, S. Mandal, "To understand deep learning we need to understand kernel
    learning", ICML 2018, arXiv:1802.01396.

    L. Hui, M. Belkin, "Evaluation of Neural Architectures Trained with Square Loss vs
    Cross-Entropy in Classification Tasks", ICLR 2021, arXiv:2006.07322.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skoverparam import KernelInterpolatorClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    >>> wrong = np.random.default_rng(0).uniform(size=len(y)) < 0.1
    >>> noisy = np.where(wrong, (y + 1) % 10, y)  # a tenth of the labels
    >>> model = KernelInterpolatorClassifier().fit(X, noisy)
    >>> model.score(X, noisy), bool(model.score(X_test, y_test) > 0.95)
    (1.0, True)
    """

    def __init__(
        self,
        *,
        kernel="laplace",
        bandwidth="median",
        exponent=1.0,
        p_norm=2.0,
        nu=1.5,
        ridge=0.0,
        solver="auto",
        n_centers=None,
        target_coding="onehot",
        tol=None,
        max_iter=200,
        device="auto",
        random_state=None,
    ):
        super().__init__(
            kernel=kernel,
            bandwidth=bandwidth,
            exponent=exponent,
            p_norm=p_norm,
            nu=nu,
            ridge=ridge,
            solver=solver,
            n_centers=n_centers,
            tol=tol,
            max_iter=max_iter,
            device=device,
            random_state=random_state,
        )
        self.target_coding = target_coding

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Interpolate the labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the squared errors. Without a ridge they matter only where equal samples
            are averaged. Samples of weight zero are dropped.

        Returns
        -------
        self : KernelInterpolatorClassifier
            The fitted estimator.
        """
        self._check_params()
        passage, X, y, data, classes, coding = self._cross(X, y, sample_weight)
        self._learn(passage, X, y, data, {"classes_": classes, "_coding": tuple(coding)})
        return self

    def fit_predict_path(self, X, y, X_test, *, param_name="ridge", param_range):
        """Predict with a fit for each ridge, from one eigendecomposition.

        The predictions are, to rounding, those of clones fitted with each value; this estimator
        is left as it was. If 0 is one of them, and without a ridge samples or classes count
        differently, there are two decompositions.
        :func:`skoverparam.model_selection.generalization_curve` calls this method of any estimator
        that has it, if `path_parameters` names the parameter.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        X_test : array-like of shape (n_test, n_features)
            Samples to predict.

        param_name : "ridge", default="ridge"
            The parameter.

        param_range : array-like of shape (n_values,)
            Its values.

        Returns
        -------
        y_test : array of shape (n_values, n_test)
            Predictions of every fit.
        """
        self._check_params()
        crossed, best = self._over_ridges(X, y, X_test, param_name, param_range)
        return decode_labels(crossed[0], crossed[4], best)

    def _answers(self, crossed, outputs):
        n_values, n_test, _ = outputs.shape
        coding = crossed[5]
        return coding.decide(outputs.reshape(n_values * n_test, -1)).view(n_values, n_test)

    def _check_params(self):
        super()._check_params()
        check_target_coding(self.target_coding)

    def _cross(self, X, y, sample_weight=None):
        passage, X, y, classes, labels = cross_labels(self, X, y)
        coding = TargetCoding.of(self.target_coding, len(classes))
        if self.ridge == 0:
            # Where all targets are met, weights of their errors mean nothing.
            coding = coding._replace(k=1.0)
        data = KernelData.of(
            passage.tensor(X).double(),
            coding.columns(labels),
            passage.tensor(sample_weights(sample_weight, len(labels))),
            class_weights=coding.weights(labels),
            interpolate=self.ridge == 0,
        )
        return passage, X, y, data, classes, coding
