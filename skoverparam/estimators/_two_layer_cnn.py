"""The two-layer convolutional network of benign overfitting, trained by gradient descent."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import (
    cross,
    finite_array,
    flat_rows,
    same_namespace,
    tensor_function,
    to_numpy,
)
from skoverparam._config import memory_budget, require_memory
from skoverparam._labels import cross_labels, decision_values_of_outputs, decode_labels
from skoverparam._params import (
    check_auto,
    check_flag,
    check_integer,
    check_number,
    check_option,
    make_generator,
)
from skoverparam._steps import run_steps
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.linalg._threads import on_threads
from skoverparam.nets._calibration import probabilities
from skoverparam.nets._evaluation import within
from skoverparam.nets._two_layer_cnn import outputs
from skoverparam.nets._two_layer_cnn_decomposition import decompose, find_signal
from skoverparam.nets._two_layer_cnn_patches import gather_patches, split_patches
from skoverparam.nets._two_layer_cnn_training import (
    Learned,
    Record,
    batches,
    dense_bytes,
    filters,
    initial_filters,
    patch_norms,
    span_bytes,
    span_is_cheaper,
    stacked,
    start_training,
    suitable_threads,
    train_batch,
    training_accuracy,
    training_steps,
)

_SOLVERS = ("auto", "span", "dense")
_DTYPES = ("float64", "float32")


class TwoLayerCNNClassifier(CallbackSupportMixin, ClassifierMixin, DocumentedEstimator):
    r"""Two-layer convolutional network with polynomial ReLU, trained by gradient descent.

    The smallest network that shows benign and harmful overfitting: it fits its training data
    perfectly either way, by learning the signal that samples of a class share, or by memorizing
    the noise of each. Which of the two happens is decided by the signal-to-noise ratio, and the
    fitted network can be taken apart to see it. Filters are shared by the patches of a sample,
    there is no bias, and the second layer is fixed.

    Parameters
    ----------
    n_patches : int, default=2
        Number of patches a row of X consists of, one after another. If it does not divide the
        number of features, zeros fill up the last patch.

    n_filters : int, default=10
        Number m of filters of each class.

    q : float, default=3.0
        Degree of the activation :math:`\max(0, z)^q`, at least 1. Theory is about q > 2.

    init_scale : "auto" or float, default="auto"
        Standard deviation of the entries of the initial filters. "auto" is 0.2 over the median
        norm of the patches.

    learning_rate : "auto" or float, default="auto"
        Constant step of gradient descent. "auto" is 0.5 over the largest squared norm of a patch,
        halved as long as training diverges with it.

    solver : {"auto", "span", "dense"}, default="auto"
        Both make the same steps. "span" works on coefficients of the training patches, at a cost
        that does not depend on their size; "dense" on the filters. "auto" takes the cheaper one.

    tol : float, default=1e-2
        Training stops when the mean training loss is at most this.

    max_iter : int, default=2000
        Largest number of steps.

    track : int, "log" or None, default=None
        Which steps to keep the coefficients of, for the history: every so many, about twenty for
        every factor of ten, or none.

    warm_start : bool, default=False
        Whether `fit` goes on from the filters of the last one.

    dtype : {"float64", "float32"}, default="float64"
        Precision of training. Small initial filters stay near zero for long, and rounding errors
        of single precision grow with them.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Determines the initial filters.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes. Of two, the second one is +1 in formulas.

    coef_ : array of shape (n_classes, n_filters, d)
        The filters; d is the number of features over that of patches, rounded up.

    coef_init_ : array of shape (n_classes, n_filters, d)
        The filters that training began with.

    patches_ : array of shape (n_distinct, d)
        Distinct patches of the training samples.

    patch_index_ : array of shape (n_samples, n_patches)
        Where each sample's patches are in them; -1 for a patch of zeros.

    patch_coef_ : array of shape (n_classes, n_filters, n_distinct)
        What training added: ``coef_ = coef_init_ + patch_coef_ @ patches_``.

    loss_curve_ : list of float
        Mean training loss, before the first step and after every one.

    n_iter_ : int
        Number of steps since the initial filters.

    converged_ : bool
        Whether the training loss is at most `tol`.

    train_accuracy_ : float
        Share of training samples that are classified correctly.

    learning_rate_, init_scale_ : float
        What was used; ``init_scale_`` is NaN if the initial filters were given.

    solver_ : {"span", "dense"}
        What was used.

    history_ : dict or None
        Only with `track`: lists ``step`` and ``loss`` of the tracked steps, and the last one.

    patch_coef_path_ : array of shape (n_tracked, n_classes, n_filters, n_distinct) or None
        Coefficients at the tracked steps.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    skoverparam.datasets.make_signal_noise_patches : Data to see it on.
    skoverparam.theory.signal_noise_phase : What to expect.
    skoverparam.model_selection.phase_transition_map : Test accuracy over signal and dimension.

    Notes
    -----
    The output of class k for a sample of patches :math:`x_1, \dots, x_P` is

    .. math::

        F_k(x) = \frac1m \sum_{r=1}^m \sum_{p=1}^P \max(0, \langle w_{k,r}, x_p \rangle)^q .

    For two classes the loss is the logistic one on :math:`f = F_1 - F_0`, for more the softmax
    cross-entropy, which for two is the same. Two classes and two patches are the setting of the
    paper cited; more of either are ours, as is the step in coefficient space: gradients of
    filters are combinations of training patches, so :math:`w_{k,r} - w_{k,r}(0)` never leaves
    their span.

    Cost of a step with K classes and M distinct patches: :math:`K m M^2`, or :math:`2 K m M d`
    with ``solver="dense"``. Memory: :math:`M^2`, or none besides the data.

    For hundreds of steps nothing seems to happen, the loss stays at its first value: inner
    products grow like :math:`z' \sim z^{q-1}`, slowly and then all at once. After the loss has
    become small, filters grow like :math:`\log t`; compare networks at equal loss, not at equal
    steps. The network is positively homogeneous: scale X or rely on "auto", not both.

    References
    ----------
    Y. Cao, Z. Chen, M. Belkin, Q. Gu, "Benign Overfitting in Two-layer Convolutional Neural
    Networks", NeurIPS 2022, arXiv:2202.06526.

    Examples
    --------
    >>> from skoverparam import TwoLayerCNNClassifier
    >>> from skoverparam.datasets import make_signal_noise_patches
    >>> X, y, truth = make_signal_noise_patches(20, 400, signal=20.0, random_state=0)
    >>> X_test, y_test, _ = make_signal_noise_patches(1000, 400, signal=20.0, random_state=1)
    >>> classifier = TwoLayerCNNClassifier(random_state=0).fit(X, y)
    >>> classifier.train_accuracy_, classifier.score(X_test, y_test)
    (1.0, 1.0)
    >>> parts = classifier.signal_noise_decomposition(truth.signal)
    >>> bool(parts.max_gamma.min() > 2), bool(parts.max_rho.max() < 0.6)
    (True, True)
    """

    def __init__(
        self,
        *,
        n_patches=2,
        n_filters=10,
        q=3.0,
        init_scale="auto",
        learning_rate="auto",
        solver="auto",
        tol=1e-2,
        max_iter=2000,
        track=None,
        warm_start=False,
        dtype="float64",
        device="auto",
        random_state=None,
    ):
        self.n_patches = n_patches
        self.n_filters = n_filters
        self.q = q
        self.init_scale = init_scale
        self.learning_rate = learning_rate
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.track = track
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.random_state = random_state

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y, coef_init=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_patches, d)
            Samples, their patches one after another.

        y : array-like of shape (n_samples,)
            Their classes.

        coef_init : array-like of shape (n_classes, n_filters, d), default=None
            Initial filters, in the order of the sorted classes. None draws them.

        Returns
        -------
        self : TwoLayerCNNClassifier
            The fitted estimator.
        """
        self._check_params()
        passage, X, training, record, known = self._training(X, y, coef_init)
        solver = self._solver(passage, training)
        steps = training_steps(
            training,
            solver=solver,
            logistic=len(training.coef) == 2,
            tol=float(self.tol),
            max_iter=int(self.max_iter),
            halve=self.learning_rate == "auto",
        )

        def fitted_after(at):
            coef = filters(training, at.patch_coef) if at.coef is None else at.coef
            learned = Learned(
                at.patch_coef, coef, list(record.curve), at.learning_rate, at.end or "diverged"
            )
            return self._attributes(passage, training, learned, known) | {"solver_": solver}

        with suitable_threads(training.patch_coef.numel()):
            last, _ = run_steps(
                self,
                record.follow(steps),
                X=X,
                y=y,
                task_name="step",
                max_steps=int(self.max_iter) + 1,
                fitted_after=fitted_after,
            )
        record.close(last)
        attributes = fitted_after(last) | self._history(passage, record)
        self._report([attributes])
        vars(self).update(attributes)
        return self

    def fit_many(self, data, *, parameters=None):
        """Train a network on each of many data sets, all of them at once.

        Networks of one shape are trained as one tensor program, which for small ones is much
        faster than one after the other, above all on a GPU.

        Parameters
        ----------
        data : iterable of tuple
            ``(X, y)``, or ``(X, y, coef_init)``, as for :meth:`fit`. Sizes may differ.

        parameters : iterable of dict, default=None
            For each data set, what differs from the parameters of this classifier, such as
            ``random_state``.

        Returns
        -------
        classifiers : list of TwoLayerCNNClassifier
            A fitted copy of this classifier for each data set. This one is left as it is;
            callbacks, `warm_start` and ``solver="dense"`` are not for batches and make
            the copies train one by one, as does `track`.
        """
        data = list(data)
        parameters = [{}] * len(data) if parameters is None else list(parameters)
        if len(parameters) != len(data):
            raise ValueError(
                f"parameters must have one dict for each of the {len(data)} data sets, got "
                f"{len(parameters)}."
            )
        classifiers, groups, fitted = [], defaultdict(list), []
        for number, (given, changes) in enumerate(zip(data, parameters, strict=True)):
            one = clone(self).set_params(warm_start=False, **changes)
            classifiers.append(one)
            one._check_params(warn=number == 0)
            if one.solver == "dense" or one.track is not None:
                one.fit(*given)
                continue
            with suitable_threads(0):
                passage, _, training, _, known = one._training(*given)
            one._solver(passage, training)
            shape = training.coef.shape[:2]
            alike = (*shape, one.q, one.dtype, one.tol, one.max_iter, passage.device)
            groups[alike].append((one, passage, training, known))
        for members in groups.values():
            for one, passage, training, known, learned in self._together(members):
                with suitable_threads(0):
                    fitted.append(one._attributes(passage, training, learned, known))
                vars(one).update(fitted[-1])
        self._report(fitted)
        return classifiers

    def decision_function(self, X):
        """Compute scores.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_patches, d)
            Samples.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            For two classes :math:`f = F_1 - F_0`, positive for ``classes_[1]``; else one output
            for each class.
        """
        passage, F = self._outputs(X, "decision_function")
        return passage.back(decision_values_of_outputs(F, passage.dtype))

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_patches, d)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,)
            The class with the largest output; of equal ones, as of a sample that excites no
            filter, the first.
        """
        passage, F = self._outputs(X, "predict")
        return decode_labels(passage, self.classes_, F.argmax(1))

    def predict_proba(self, X):
        """Estimate probabilities, by the softmax of the outputs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_patches, d)
            Samples.

        Returns
        -------
        probabilities : array of shape (n_samples, n_classes)
            What the loss is computed from. A network that has memorized noise is not sure of
            anything on new samples, and calibrated by that.
        """
        passage, F = self._outputs(X, "predict_proba")
        return passage.back(probabilities(F, 1.0, passage.dtype))

    def signal_noise_decomposition(self, signal, *, signal_position=None, history=False):
        r"""Take the filters apart: what they learned of the signal, and of each sample's noise.

        Parameters
        ----------
        signal : array-like of shape (d,) or (n_classes, d)
            The signal that samples of two classes have with opposite signs, +1 being
            ``classes_[1]``; or one signal for each class.

        signal_position : array-like of shape (n_samples,), default=None
            Which patch of each training sample is the signal. None takes the one best aligned
            with a signal.

        history : bool, default=False
            Whether coefficients come for all tracked steps, along a first axis.

        Returns
        -------
        parts : SignalNoiseDecomposition
            Named tuple of ``gamma``, ``rho``, ``max_gamma``, ``max_rho``, ``alignment``,
            ``signal_position`` and ``reconstruction_error``.

        Notes
        -----
        With :math:`j = \pm 1` for the two classes,

        .. math::

            w_{j,r} = w_{j,r}(0) + j \gamma_{j,r} \frac{\mu}{\|\mu\|^2}
                + \sum_i \rho_{j,r,i} \frac{\xi_i}{\|\xi_i\|^2} .

        ``gamma`` never decreases in training; ``rho`` never decreases on samples of the filter's
        own class, where it is memorized noise, and never increases on the others.
        With one signal a class, ``gamma`` has an axis more: whose signal it is.
        """
        check_is_fitted(self)
        check_flag(history, "history")
        if history and self.patch_coef_path_ is None:
            raise ValueError("history=True needs a classifier fitted with track, got track=None.")
        signal = self._signal(signal)
        n_patches = self.patch_index_.shape[1]
        if signal_position is None:
            position = None
        else:
            position = finite_array(signal_position, "signal_position", n_dims=1)
            n = self.patch_index_.shape[0]
            if position.shape != (n,) or not np.isin(position, np.arange(n_patches)).all():
                raise ValueError(
                    f"signal_position must hold {n} integers from 0 to {n_patches - 1}, one for "
                    f"each training sample, got shape {position.shape}."
                )
        return _decomposition(
            self.patch_coef_,
            self.coef_,
            self.coef_init_,
            self.patches_,
            self.patch_index_,
            signal,
            position,
            self.patch_coef_path_ if history else None,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        # No bias, and one set of filters for all patches: on data that are not made of
        # exchangeable patches about the origin it is a poor classifier by design.
        tags.classifier_tags.poor_score = True
        return tags

    def _check_params(self, *, warn=True):
        check_integer(self.n_patches, "n_patches", low=1)
        check_integer(self.n_filters, "n_filters", low=1)
        check_number(self.q, "q", low=1)
        check_auto(self.init_scale, "init_scale", check_number, low=0, boundaries="neither")
        check_auto(self.learning_rate, "learning_rate", check_number, low=0, boundaries="neither")
        check_option(self.solver, "solver", _SOLVERS)
        check_number(self.tol, "tol", low=0)
        check_integer(self.max_iter, "max_iter", low=1)
        if isinstance(self.track, str):
            check_option(self.track, "track", ("log",))
        else:
            check_integer(self.track, "track", low=1, none=True)
        check_flag(self.warm_start, "warm_start")
        check_option(self.dtype, "dtype", _DTYPES)
        if warn and self.q <= 2:
            warnings.warn(
                f"q={self.q:g}: signal and noise only race each other for q > 2, which is what "
                "the theory of phases is about.",
                UserWarning,
                stacklevel=5,
            )

    def _training(self, X, y, coef_init=None):
        """Validate data, and set up what is to be trained."""
        n_patches = int(self.n_patches)
        X = self._flat(X, n_patches)
        passage, X, y, classes, labels = cross_labels(self, X, y)
        patches = self._patches(passage, X, n_patches)
        largest, median = patch_norms(patches)
        if not 1e-15 < largest < 1e15:
            raise ValueError(
                f"X must have patches of moderate size, got a largest norm of {largest:.3g}: "
                "scale X, for example by its standard deviation."
            )
        distinct = gather_patches(patches)
        shape = (len(classes), int(self.n_filters), patches.shape[2])
        resumes = self.warm_start and coef_init is None and hasattr(self, "coef_")
        if resumes:
            coef_init, scale = self._earlier(X, classes, shape), math.nan
        elif coef_init is not None:
            coef_init, scale = finite_array(coef_init, "coef_init", n_dims=3), math.nan
            if coef_init.shape != shape:
                raise ValueError(
                    f"coef_init must have shape {shape}, (n_classes, n_filters, d), got "
                    f"{coef_init.shape}."
                )
        else:
            auto = self.init_scale == "auto"
            scale = 0.2 / median if auto else float(self.init_scale)
            coef_init = initial_filters(*shape, scale, make_generator(self.random_state))
        auto = self.learning_rate == "auto"
        training = start_training(
            distinct,
            labels,
            passage.tensor(coef_init, dtype=patches.dtype),
            learning_rate=0.5 / largest**2 if auto else float(self.learning_rate),
            q=float(self.q),
        )
        record, known = Record(self.track), {"classes_": classes, "init_scale_": scale}
        if resumes and self._same_patches(passage, training):
            training, record = self._resumed(passage, training)
            known["init_scale_"] = self.init_scale_
        return passage, X, training, record, known

    def _earlier(self, X, classes, shape):
        """Return the filters of the last fit, for the next one to begin with."""
        same_namespace(self, X, attribute="coef_", method="fit")
        if tuple(self.coef_.shape) != shape or not np.array_equal(self.classes_, classes):
            raise ValueError(
                "warm_start=True goes on with filters of the same shape for the same classes: got "
                f"shape {shape} and classes {classes.tolist()} after {tuple(self.coef_.shape)} "
                f"and {self.classes_.tolist()}."
            )
        return self.coef_

    def _same_patches(self, passage, training):
        vectors, index = training.patches[:2]
        old = passage.tensor(self.patches_, dtype=vectors.dtype)
        old_index = passage.tensor(self.patch_index_)
        return (
            old.shape == vectors.shape
            and old_index.shape == index.shape
            and bool((old == vectors).all() and (old_index == index).all())
        )

    def _resumed(self, passage, training):
        """Training that goes on where the last one on the same samples stopped."""
        dtype = training.coef.dtype
        rate = training.learning_rate
        if self.learning_rate == "auto":
            rate = self.learning_rate_
        training = training._replace(
            coef_init=passage.tensor(self.coef_init_, dtype=dtype),
            patch_coef=passage.tensor(self.patch_coef_, dtype=dtype),
            learning_rate=rate,
        )
        steps, path = (), ()
        if self.history_ is not None and self.track is not None:
            steps = self.history_["step"]
            path = list(passage.tensor(self.patch_coef_path_, dtype=dtype))
        return training, Record(self.track, self.loss_curve_, steps, path)

    def _solver(self, passage, training):
        """Choose what to work on by cost, and see that there is memory for it."""
        units = training.coef.shape[:2]
        span = span_bytes(training.patches, *units)
        solver = self.solver
        if solver == "auto":
            fits = span <= memory_budget(passage.device)
            solver = "span" if fits and span_is_cheaper(training.patches) else "dense"
        require_memory(
            span if solver == "span" else dense_bytes(training.patches, *units),
            passage.device,
            what=f"Gradient descent with {len(training.patches.vectors)} patches",
            remedy="solver='dense' needs less."
            if solver == "span"
            else "Use fewer samples or filters.",
        )
        return solver

    def _together(self, members):
        """Train networks of one shape, a batch on each thread."""
        trainings = [training for _, _, training, _ in members]
        halve = [one.learning_rate == "auto" for one, *_ in members]
        first, passage, *_ = members[0]

        def train(batch):
            return train_batch(
                [trainings[k] for k in batch],
                logistic=len(trainings[0].coef) == 2,
                tol=float(first.tol),
                max_iter=int(first.max_iter),
                halve=halve[batch[0]],
            )

        divided = batches(trainings, halve)
        for batch, results in zip(
            divided, on_threads(train, divided, passage.device), strict=True
        ):
            for k, learned in zip(batch, results, strict=True):
                yield (*members[k], learned)

    def _attributes(self, passage, training, learned, known):
        """Collect the fitted attributes that a training amounts to."""
        vectors, index, _ = training.patches
        arrays = {
            "coef_": within(learned.coef, passage.dtype),
            "coef_init_": within(training.coef_init, passage.dtype),
            "patch_coef_": within(learned.patch_coef, passage.dtype),
            "patches_": vectors.to(passage.dtype),
            "patch_index_": index,
        }
        return (
            known
            | {name: passage.keep(values) for name, values in arrays.items()}
            | {
                "loss_curve_": learned.loss_curve,
                "n_iter_": len(learned.loss_curve) - 1,
                "converged_": learned.end == "converged",
                "train_accuracy_": training_accuracy(training, learned.coef),
                "learning_rate_": learned.learning_rate,
                "solver_": "span",
                "history_": None,
                "patch_coef_path_": None,
            }
        )

    def _history(self, passage, record):
        if record.track is None:
            return {}
        path = within(stacked(record.path), passage.dtype)
        losses = [record.curve[step] for step in record.steps]
        return {
            "history_": {"step": record.steps, "loss": losses},
            "patch_coef_path_": passage.keep(path),
        }

    def _report(self, fitted):
        """Say how many networks did not come where they should."""
        open_ends = [attributes for attributes in fitted if not attributes["converged_"]]
        if not open_ends:
            return
        loss = max(attributes["loss_curve_"][-1] for attributes in open_ends)
        some = f" of {len(open_ends)} of {len(fitted)} networks" if len(fitted) > 1 else ""
        steps = max(attributes["n_iter_"] for attributes in open_ends)
        warnings.warn(
            f"The training loss{some} is still above tol={self.tol:g} after {steps} steps, at "
            f"{loss:.3g}. More steps (max_iter={self.max_iter}), a larger init_scale or more "
            "filters help data that can be fitted; a loss that has gone up needs a smaller "
            "learning_rate.",
            ConvergenceWarning,
            stacklevel=5,
        )

    @staticmethod
    def _flat(X, n_patches):
        X, shape = flat_rows(X)
        if shape and shape[0] != n_patches:
            raise ValueError(
                f"X of more than two dimensions must have n_patches={n_patches} patches, of "
                f"shape (n_samples, n_patches, d); got samples of shape {tuple(shape)}."
            )
        return X

    def _patches(self, passage, X, n_patches):
        X = passage.tensor(X)
        X = X.double() if self.dtype == "float64" else X.float()
        return split_patches(X, n_patches)

    def _reopen_patches(self, X, method):
        """Validate the data; also return their patches, and the filters in their precision."""
        check_is_fitted(self)
        n_patches = self.patch_index_.shape[1]
        X = self._flat(X, n_patches)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="coef_", method=method)
        patches = self._patches(passage, X, n_patches)
        return passage, patches, passage.tensor(self.coef_, dtype=patches.dtype)

    def _outputs(self, X, method):
        passage, patches, coef = self._reopen_patches(X, method)
        return passage, outputs(coef, patches, float(self.q))

    def _signal(self, signal):
        n_classes, _, d = self.coef_.shape
        n_dims = 1 if np.ndim(to_numpy(signal)) <= 1 else 2
        mu = finite_array(signal, "signal", n_dims=n_dims)
        if mu.shape[-1] != d or (n_dims == 2 and len(mu) != n_classes):
            raise ValueError(
                f"signal must have shape ({d},) or ({n_classes}, {d}), got {mu.shape}."
            )
        if n_dims == 1 and n_classes != 2:
            raise ValueError(
                f"signal must have one row for each of the {n_classes} classes: a single one "
                "stands for two classes, which have it with opposite signs."
            )
        if not (np.abs(mu).max(axis=-1) > 0).all():
            raise ValueError("signal must not be zero.")
        return mu


@tensor_function(
    "patch_coef", "coef", "coef_init", "patches", "index", "signal", "position", "path"
)
def _decomposition(patch_coef, coef, coef_init, patches, index, signal, position=None, path=None):
    """Decompose arrays of any kind, in double precision; integers come as numbers."""
    dtype, index, signal = coef.dtype, index.long(), signal.double()
    patches = patches.double()
    if position is None:
        position = find_signal(patches, index, signal)
    parts = decompose(
        patch_coef.double(),
        coef.double(),
        coef_init.double(),
        patches,
        index,
        signal,
        position.long(),
        None if path is None else path.double(),
    )
    numbers = ("gamma", "rho", "max_gamma", "max_rho", "alignment")
    return parts._replace(**{name: within(getattr(parts, name), dtype) for name in numbers})
