"""Classification by networks trained with the square loss."""

from __future__ import annotations

import math
import warnings
from copy import copy
from functools import partial
from inspect import signature

import numpy as np
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, flat_rows, same_namespace, to_numpy, ways_of
from skoverparam._labels import (
    counted_positions,
    decode_labels,
    decode_positions,
    encode_labels,
    encode_positions,
    has_positions,
)
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
from skoverparam.nets._architectures import (
    ACTIVATIONS,
    SEQUENTIAL,
    build_network,
    rebuild_network,
)
from skoverparam.nets._calibration import (
    fit_temperature,
    fixed_temperature,
    log_probabilities,
    probabilities,
)
from skoverparam.nets._layers import layer_values, read_width
from skoverparam.nets._losses import LOSSES, Loss, published_rescaling, sharpness
from skoverparam.nets._sequences import check_steps, present_steps
from skoverparam.nets._training import (
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    DivergenceError,
    Recipe,
    Training,
    TrainingState,
    is_adaptive,
    is_constant,
    network_outputs,
    training_epochs,
)
from skoverparam.optim._mirror_descent import MirrorDescent
from skoverparam.optim._mirrors import make_mirror
from skoverparam.optim._polyak import GaussNewtonSGD, PolyakSGD

_OWN_OPTIMIZERS = {
    "mirror-descent": MirrorDescent,
    "polyak": PolyakSGD,
    "gauss-newton": GaussNewtonSGD,
}


class SquareLossNetClassifier(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClassifierMixin,
    DocumentedEstimator,
):
    r"""A network that classifies, trained with the square loss or another.

    Regression of the network's raw outputs on one-hot labels classifies as well as softmax and
    cross-entropy, or better, with the same architecture and budget. What it takes is done here:
    rescaled targets for many classes, and probabilities from outputs that are not log-odds.

    Parameters
    ----------
    architecture : str or callable, default="mlp"
        What the network is made of:

        - "mlp": a multilayer perceptron;
        - "resnet": a small residual network of convolutions for images;
        - "tcnn": residual blocks of dilated convolutions along time, for sequences;
        - "lstm": an LSTM in both directions, for sequences, and attention over its steps;
        - "transformer": a small pre-norm transformer encoder, for sequences;
        - a function of ``(input_shape, n_outputs)`` that makes a torch module with ``n_outputs``
          outputs per sample and no softmax.

    hidden_layer_sizes : sequence of int, default=(256, 256)
        Widths of the hidden layers of "mlp".

    activation : {"relu", "tanh", "logistic", "gelu", "identity"}, default="relu"
        What stands between the layers of "mlp".

    architecture_options : dict, default=None
        More keyword arguments of the architecture, such as ``{"dropout": 0.1}``: see Notes.

    input_shape : tuple of int, "tokens" or None, default=None
        Shape that a row of X stands for: ``(height, width)`` or ``(height, width, n_channels)``
        of images, ``(n_steps, n_features)`` of sequences. "tokens": a row is a sequence of token
        ids. None: the shape of the samples, which may have more than one dimension; for
        sequences, every feature of flat rows is a step.

    loss : {"square", "cross-entropy", "squentropy"}, default="square"
        What is minimized: see Notes.

    k, M : float or "auto", default="auto"
        Weight and target of a sample's own class, both from 1, for the square loss. "auto"
        follows the number of classes. For ``optimizer="sgd"`` the published table: 1 and 1
        below 42 classes, 1 and 15 below 1000, 15 and 30 from there. For others 1 and 1 below 42
        and 15 and 1 from there; this rule is ours.

    class_reduction : {"mean", "sum"}, default="mean"
        Whether the square loss is averaged over the classes, as published, or summed. With "sgd"
        and no weight decay a ``learning_rate`` of ``n_classes`` times that for "sum" makes "mean"
        the same; a rate tuned for cross-entropy is that much too small for "mean".

    optimizer : {"adam", "adamw", "sgd", "mirror-descent", "polyak", "gauss-newton"} or \
            callable, default="adam"
        Or a function of ``(parameters, lr=...)`` that makes a torch optimizer, such as
        ``torch.optim.RMSprop``. "mirror-descent" is :class:`skoverparam.optim.MirrorDescent`,
        "polyak" :class:`skoverparam.optim.PolyakSGD` and "gauss-newton", for the square loss,
        :class:`skoverparam.optim.GaussNewtonSGD`. For the last two ``learning_rate`` is a
        factor, 1.0 for their own steps. None of the three has momentum or weight decay. A step
        of "gauss-newton" holds ``batch_size`` times ``n_classes`` gradients at once.

    optimizer_params : dict, default=None
        Further settings of one of those three, such as
        ``{"mirror": "pnorm", "mirror_params": {"p": 3.0}}``, ``{"lr_max": 1.0}`` or
        ``{"damping": 1.0}``.

    learning_rate : float, default=0.001
        Learning rate. For "sgd" and "mean", 0.1 to 1 are usual.

    schedule : {"constant", "linear", "cosine"} or callable, default="constant"
        How the learning rate changes: down to zero in a line or a half cosine, or a function
        that maps the share of the training that is done, from 0 to 1, to a factor. With
        ``warm_start`` all epochs so far and ``max_iter`` more are one training.

    momentum : float, default=0.9
        Momentum of "sgd".

    weight_decay : float, default=0.0
        Weight of the squared weights; decoupled for "adamw".

    batch_size : int, default=64
        Samples per step.

    max_iter : int, default=60
        Epochs: passes over the data. Without early stopping so many are made.

    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the samples, some of each class, keep the
        weights of the epoch with the best accuracy on them, and stop when it has not risen by
        more than ``tol`` for ``n_iter_no_change`` epochs.

    validation_fraction : float, default=0.1
        Share of the samples that is held out.

    n_iter_no_change : int, default=10
        Epochs to wait for a better one.

    tol : float, default=1e-4
        What counts as better.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes' samples in the mean over a batch.

    warm_start : bool, default=False
        Whether ``fit`` goes on where the last one stopped, with the optimizer's memory and the
        random streams.

    mixed_precision : bool, default=False
        Whether products are computed in bfloat16. On CUDA devices only; the loss and the weights
        stay in ``dtype``.

    dtype : {"float32", "float64"}, default="float32"
        What the network is trained in. Outputs are computed in the precision of X.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Draws the weights, the order of the samples and what is held out.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    weights_ : dict of array
        Parameters and buffers of the network by name; with early stopping the best ones.

    k_, M_ : float
        Weight and target of the own class; 1 for other losses.

    temperature_ : float
        Outputs are divided by it before softmax makes probabilities of them. With early stopping
        it is fitted to the held-out samples, else it is ``M_ / 10`` for the square loss, 1 for
        others.

    input_shape_ : tuple of int
        Dimensions of a sample as the network gets it.

    loss_ : float
        Mean loss of the batches of the last epoch.

    loss_curve_ : list of float
        That of every epoch.

    validation_scores_ : list of float
        Accuracies on the held-out samples after every epoch; None without early stopping.

    best_validation_score_ : float
        The best of them, or None.

    n_iter_ : int
        Epochs, those of earlier fits that were continued included.

    t_ : int
        Samples seen, again and again in every epoch.

    n_features_in_ : int
        Number of features seen in ``fit``.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if all of them are strings.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : Multilayer perceptrons with cross-entropy.
    sklearn.calibration.CalibratedClassifierCV : Probabilities by cross-validation.

    Notes
    -----
    With C classes, the losses of a sample of class y and outputs f are

    .. math::

        \text{square:} \quad & \tfrac{1}{C} \Big[ k (f_y - M)^2 + \sum_{j \ne y} f_j^2 \Big] \\
        \text{cross-entropy:} \quad & -\log \mathrm{softmax}(f)_y \\
        \text{squentropy:} \quad & -\log \mathrm{softmax}(f)_y
        + \tfrac{1}{C - 1} \sum_{j \ne y} f_j^2

    The first is from [1]_, the last from [2]_. With 1000 classes and k = M = 1 the zeros outweigh
    the one and nothing is learned at usual rates; with few classes rescaling does harm.

    Softmax of outputs near 0 and 1 would give the best of ten classes a probability of 0.23 at
    most. :meth:`predict_proba` therefore divides by ``temperature_``, which changes no decision.
    The temperature is ours, not published.

    Options are ``dropout`` for all architectures, and

    - "mlp": none but the parameters above;
    - "resnet": ``widths``, the number of channels of each stage, each half the size of the one
      before, (16, 32, 64) by default, and ``n_blocks`` in each, 1;
    - all for sequences: ``width``, 64; ``pooling`` of the steps, "max", "mean" or "attention";
      ``causal``, False, whether a step sees itself and the past only; ``n_tokens`` for token
      ids, by default the largest in ``fit`` and one: larger ones are unknown and embedded as
      zero;
    - "tcnn": ``n_blocks``, by default as many as make a step see half the sequence on each side;
      ``kernel_size``, 3;
    - "lstm": ``n_layers``, 1;
    - "transformer": ``n_blocks``, 2; ``n_heads``, 4; ``feedforward_width``, twice the width.

    Sequences may have padding anywhere: negative token ids, or steps of NaN. It changes nothing:
    outputs are those of the sequence without it. With one label per position the loss is the mean
    over the positions that are counted.

    Data are brought to the device once. A batch is a gather of rows, gradients of the loss are
    in closed form, and optimizers make one fused step. If the loss or a weight is not finite
    after an epoch, ``fit`` raises :class:`FloatingPointError` and what the epoch before ended
    with stays fitted; it also stays after an interrupt.

    Refits with one seed are equal to the last bit on the same device and number of threads.

    References
    ----------
    .. [1] L. Hui, M. Belkin, "Evaluation of Neural Architectures Trained with Square Loss vs
       Cross-Entropy in Classification Tasks", ICLR 2021, arXiv:2006.07322.
    .. [2] L. Hui, M. Belkin, S. Wright, "Cut your Losses with Squentropy", ICML 2023,
       arXiv:2302.03952.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skoverparam import SquareLossNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    >>> classifier = SquareLossNetClassifier(max_iter=10, random_state=0)
    >>> bool(classifier.fit(X_train, y_train).score(X_test, y_test) > 0.96)
    True
    """

    def __init__(
        self,
        *,
        architecture="mlp",
        hidden_layer_sizes=(256, 256),
        activation="relu",
        architecture_options=None,
        input_shape=None,
        loss="square",
        k="auto",
        M="auto",
        class_reduction="mean",
        optimizer="adam",
        optimizer_params=None,
        learning_rate=1e-3,
        schedule="constant",
        momentum=0.9,
        weight_decay=0.0,
        batch_size=64,
        max_iter=60,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        warm_start=False,
        mixed_precision=False,
        dtype="float32",
        device="auto",
        random_state=None,
    ):
        self.architecture = architecture
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.architecture_options = architecture_options
        self.input_shape = input_shape
        self.loss = loss
        self.k = k
        self.M = M
        self.class_reduction = class_reduction
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.mixed_precision = mixed_precision
        self.dtype = dtype
        self.device = device
        self.random_state = random_state

    @all_or_nothing(keeps="weights_")
    @with_callbacks
    def fit(self, X, y):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,) or (n_samples, n_steps)
            Their classes; or those of every step of sequences, where negative numbers and empty
            strings are not counted.

        Returns
        -------
        self : SquareLossNetClassifier
            The fitted estimator.
        """
        self._check_params()
        resumes = bool(self.warm_start) and hasattr(self, "weights_")
        passage, X, y, shape = self._open_training(X, y, resumes)
        samples = self._samples(passage, X, shape)
        if resumes:
            classes, labels = self.classes_, self._known_labels(samples, y, self.classes_)
        else:
            classes, labels = self._new_labels(samples, y)
        known, training = self._begin(passage, samples, classes, labels, resumes)
        truth = passage.tensor(labels)
        held_out = None
        if self.early_stopping:
            kept, held = self._split(labels, known["_seed"])
            held_out = samples[held], truth[held]
            samples, truth = samples[kept], truth[kept]
        losses = list(self.loss_curve_) if resumes else []
        scores = list(getattr(self, "validation_scores_", None) or []) if resumes else []
        latest = None

        def recorded(epochs):
            nonlocal latest
            for epoch in epochs:
                losses.append(epoch.loss)
                if epoch.score is not None:
                    scores.append(epoch.score)
                latest = epoch
                yield epoch

        def fitted_after(epoch):
            curves = {
                "loss_": losses[-1],
                "loss_curve_": list(losses),
                "validation_scores_": list(scores) if held_out else None,
            }
            return known | curves | self._attributes(passage, known, epoch.state, held_out)

        epochs = training_epochs(
            training,
            samples,
            truth,
            n_epochs=self.max_iter,
            held_out=held_out,
            patience=self.n_iter_no_change,
            tol=self.tol,
        )
        try:
            run_steps(
                self,
                recorded(epochs),
                X=X,
                y=y,
                task_name="epoch",
                max_steps=self.max_iter,
                fitted_after=fitted_after,
            )
        except DivergenceError:
            raise FloatingPointError(self._divergence(known, training)) from None
        finally:
            # Also after an interrupt: the last whole epoch is there to go on from.
            if latest is not None:
                vars(self).update(fitted_after(latest))
        self._warn_if_constant(training, samples)
        return self

    @all_or_nothing(keeps="weights_")
    def partial_fit(self, X, y, classes=None):
        """Train on a batch of samples: one pass, in the order in which they stand.

        Chunks of a stream, each a multiple of ``batch_size``, lead to the same weights as the
        stream in one call. The schedule is not followed: where it ends is not known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples, well mixed.

        y : array-like of shape (n_samples,)
            Their classes.

        classes : array-like of shape (n_classes,), default=None
            All classes there are; needed in the first call only.

        Returns
        -------
        self : SquareLossNetClassifier
            The fitted estimator.
        """
        self._check_params()
        if self.early_stopping:
            raise ValueError("partial_fit holds nothing out: it needs early_stopping=False.")
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all samples at once: give partial_fit a dict."
            )
        resumes = hasattr(self, "weights_")
        classes = self._classes_of_stream(classes, resumes)
        passage, X, y, shape = self._open_training(X, y, resumes)
        samples = self._samples(passage, X, shape)
        labels = self._known_labels(samples, y, classes)
        known, training = self._begin(passage, samples, classes, labels, resumes)
        try:
            loss = training.run_epoch(samples, passage.tensor(labels), shuffle=False)
        except DivergenceError:
            raise FloatingPointError(self._divergence(known, training)) from None
        training.best_weights = None
        curves = {
            "loss_": loss,
            "loss_curve_": [*(self.loss_curve_ if resumes else ()), loss],
            "validation_scores_": None,
        }
        vars(self).update(known | curves)
        vars(self).update(self._attributes(passage, known, training.state(), None))
        return self

    def decision_function(self, X):
        """Compute the outputs of the network, in units of M.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            For two classes the second output minus the first. With labels per position, of
            shape (n_samples, n_steps) or (n_samples, n_steps, n_classes), zeros on padding.
        """
        passage, _, outputs = self._outputs(X, "decision_function")
        scores = outputs / sharpness(self._loss(self.k_, self.M_))
        if len(self.classes_) == 2:
            scores = scores[..., 1] - scores[..., 0]
        return passage.back(scores)

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,) or (n_samples, n_steps)
            The class with the largest output; -1 or an empty string on padding.
        """
        passage, samples, outputs = self._outputs(X, "predict")
        best = outputs.argmax(-1)
        if best.ndim == 1:
            return decode_labels(passage, self.classes_, best)
        return decode_positions(passage, self.classes_, best, self._present(samples))

    def score(self, X, y, sample_weight=None):
        """Compute the accuracy: the share of labels, or of all positions counted, that are right.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        y : array-like of shape (n_samples,) or (n_samples, n_steps)
            Their classes.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, or of all positions of each.

        Returns
        -------
        float
            The accuracy.
        """
        if not has_positions(y):
            return super().score(X, y, sample_weight)
        predicted = to_numpy(self.predict(X))
        y, counted = counted_positions(y, counted_positions(predicted, None)[1])
        weights = np.ones(len(y)) if sample_weight is None else to_numpy(sample_weight)
        weights = np.broadcast_to(weights[:, None], y.shape)[counted]
        return float(np.average((predicted == y)[counted], weights=weights))

    def transform(self, X, layer=None):
        """Compute features: what a layer of the network makes of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        layer : str, default=None
            Which layer. None: what comes into the last linear layer. The error for any other name
            lists the names there are.

        Returns
        -------
        features : array of shape (n_samples, n_features_out)
            What the layer returns, flattened; zeros on padding.
        """
        passage, samples, network = self._reopen(X, "transform")
        return passage.back(layer_values(network, samples, layer).flatten(1))

    def predict_proba(self, X):
        """Estimate probabilities: softmax of the outputs over ``temperature_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        Returns
        -------
        p : array of shape (n_samples, n_classes)
            The largest is that of the class predicted.
        """
        passage, _, outputs = self._outputs(X, "predict_proba")
        return passage.back(probabilities(outputs, self.temperature_))

    def predict_log_proba(self, X):
        """Compute logarithms of the probabilities, also where these round to zero.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        Returns
        -------
        log_p : array of shape (n_samples, n_classes)
            Logarithms.
        """
        passage, _, outputs = self._outputs(X, "predict_log_proba")
        logarithms = log_probabilities(outputs, self.temperature_)
        return passage.back(logarithms.to(passage.dtype))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.allow_nan = self._is_sequential()
        return tags

    @property
    def _n_features_out(self):
        architecture, options = self._blueprint
        network = build_network(architecture, self.input_shape_, len(self.classes_), **options)
        return read_width(network, self.input_shape_)

    def _check_input_shape(self):
        shape = self.input_shape
        if isinstance(shape, str):
            if shape != "tokens":
                raise ValueError(
                    f"input_shape must be None, 'tokens' or a tuple of integers, got {shape!r}."
                )
            if isinstance(self.architecture, str) and not self._is_sequential():
                raise ValueError(
                    "input_shape='tokens' needs an architecture for sequences, "
                    f"{', '.join(map(repr, SEQUENTIAL))}, got {self.architecture!r}."
                )
        elif shape is not None:
            if not isinstance(shape, (tuple, list)):
                raise TypeError(
                    f"input_shape must be None, 'tokens' or a tuple of integers, got {shape!r}."
                )
            for size in shape:
                check_integer(size, "input_shape", low=1)

    def _check_params(self):
        check_option(self.loss, "loss", LOSSES)
        check_auto(self.k, "k", check_number, low=1)
        check_auto(self.M, "M", check_number, low=1)
        check_option(self.class_reduction, "class_reduction", ("mean", "sum"))
        check_option(self.activation, "activation", ACTIVATIONS)
        for size in np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)):
            check_integer(size, "hidden_layer_sizes", low=1)
        self._check_input_shape()
        if self.architecture_options is not None and not isinstance(
            self.architecture_options, dict
        ):
            raise TypeError(
                f"architecture_options must be None or a dict, got {self.architecture_options!r}."
            )
        self._check_optimizer()
        check_number(self.learning_rate, "learning_rate", low=0, boundaries="neither")
        if not callable(self.schedule):
            check_option(self.schedule, "schedule", SCHEDULES)
        check_number(self.momentum, "momentum", low=0, high=1, boundaries="left")
        check_number(self.weight_decay, "weight_decay", low=0)
        check_integer(self.batch_size, "batch_size", low=1)
        check_integer(self.max_iter, "max_iter", low=1)
        check_flag(self.early_stopping, "early_stopping")
        check_number(
            self.validation_fraction, "validation_fraction", low=0, high=1, boundaries="neither"
        )
        check_integer(self.n_iter_no_change, "n_iter_no_change", low=1)
        check_number(self.tol, "tol", low=0)
        if isinstance(self.class_weight, dict):
            for weight in self.class_weight.values():
                check_number(weight, "class_weight", low=0)
        elif self.class_weight is not None:
            check_option(self.class_weight, "class_weight", ("balanced",))
        check_flag(self.warm_start, "warm_start")
        check_flag(self.mixed_precision, "mixed_precision")
        check_option(self.dtype, "dtype", PRECISIONS)

    # ---- training -------------------------------------------------------------------------

    def _open_training(self, X, y, resumes):
        """Validate the data; also return the shape of a sample."""
        X, shape = flat_rows(X)
        passage, X, y = cross(
            self,
            X,
            y,
            reset=not resumes,
            device=self.device,
            multi_output=has_positions(y),
            ensure_all_finite=self._finite(),
        )
        if self.input_shape == "tokens":
            shape = (X.shape[1],)
        elif self.input_shape is not None:
            shape = tuple(self.input_shape)
            if math.prod(shape) != X.shape[1]:
                raise ValueError(
                    f"input_shape={shape} stands for {math.prod(shape)} features, but X has "
                    f"{X.shape[1]} features."
                )
        elif self._is_sequential() and not shape:
            shape = (X.shape[1], 1)
        return passage, X, y, shape or (X.shape[1],)

    def _new_labels(self, samples, y):
        if not has_positions(y):
            return encode_labels(y, type(self).__name__)
        self._check_positions(samples, y)
        return encode_positions(y, self._present_on_host(samples), type(self).__name__)

    def _known_labels(self, samples, y, classes):
        if not has_positions(y):
            return _known_labels(y, classes)
        self._check_positions(samples, y)
        y, counted = counted_positions(y, self._present_on_host(samples))
        labels = np.full(y.shape, -1)
        labels[counted] = _known_labels(y[counted], classes)
        return labels

    def _check_positions(self, samples, y):
        """See that labels per position are of positions."""
        if not self._is_sequential() and isinstance(self.architecture, str):
            raise ValueError(
                f"y has shape {tuple(y.shape)}: labels per position need an architecture for "
                f"sequences, {', '.join(map(repr, SEQUENTIAL))}, got {self.architecture!r}."
            )
        if self._is_sequential() and y.shape[1] != samples.shape[1]:
            raise ValueError(
                f"y has labels for {y.shape[1]} positions, but the sequences of X have "
                f"{samples.shape[1]} steps."
            )

    def _is_sequential(self):
        return isinstance(self.architecture, str) and self.architecture in SEQUENTIAL

    def _finite(self):
        return "allow-nan" if self._is_sequential() and self.input_shape != "tokens" else True

    def _present(self, samples):
        return present_steps(samples) if self._is_sequential() else None

    def _present_on_host(self, samples):
        return to_numpy(self._present(samples)) if self._is_sequential() else None

    def _begin(self, passage, samples, classes, labels, resumes):
        """Make the network and its training, new or where the last one stopped."""
        if resumes:
            n_tokens = self._blueprint[1].get("n_tokens")
            now = self._architecture(samples, labels, n_tokens), tuple(samples.shape[1:])
            then = self._blueprint, self.input_shape_
            if now != then:
                raise ValueError(
                    "Training goes on with the same network only, and its description changed "
                    f"from {then} to {now}. Without warm_start, fit begins anew."
                )
            known = {
                name: getattr(self, name)
                for name in ("classes_", "input_shape_", "_blueprint", "_seed")
            }
        else:
            known = {
                "classes_": classes,
                "input_shape_": tuple(samples.shape[1:]),
                "_blueprint": self._architecture(samples, labels, None),
                "_seed": make_generator(self.random_state).initial_seed(),
            }
        k, M = 1.0, 1.0
        if self.loss == "square":
            auto = published_rescaling(len(classes), adaptive=is_adaptive(self.optimizer))
            k, M = (
                float(default if isinstance(value, str) else value)
                for value, default in zip((self.k, self.M), auto, strict=True)
            )
        known |= {"k_": k, "M_": M, "_home": passage.keep(samples.flatten()[:1])}
        architecture, options = known["_blueprint"]
        network = build_network(
            architecture, known["input_shape_"], len(classes), seed=known["_seed"], **options
        ).to(device=passage.device, dtype=PRECISIONS[self.dtype])
        training = Training(network, self._recipe(passage, known, labels), known["_seed"] + 1)
        if resumes:
            training.resume(TrainingState(**passage.tensors(self._training)))
        elif callable(architecture):
            self._check_outputs(network, samples[:2], (*labels.shape[1:], len(classes)))
        return known, training

    def _architecture(self, samples, labels, n_tokens):
        """Collect what the network is made of: a name or factory, and options."""
        options = dict(self.architecture_options or {})
        if self.architecture == "mlp":
            sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=int))
            options = {
                "hidden_layer_sizes": tuple(sizes.tolist()),
                "activation": self.activation,
            } | options
        if self._is_sequential():
            options["per_position"] = labels.ndim == 2
            if self.input_shape == "tokens":
                # Ids that come later do not make a network that goes on a larger one.
                options.setdefault("n_tokens", n_tokens or int(max(samples.max(), 0)) + 1)
        return self.architecture, options

    def _check_optimizer(self):
        given, name = self.optimizer_params, self.optimizer
        if not callable(name):
            check_option(name, "optimizer", (*OPTIMIZERS, *_OWN_OPTIMIZERS))
        if given is not None and not isinstance(given, dict):
            raise TypeError(f"optimizer_params must be None or a dict, got {given!r}.")
        if callable(name) or name not in _OWN_OPTIMIZERS:
            if given:
                raise ValueError(
                    f"optimizer_params={given!r} goes with one of "
                    f"{', '.join(map(repr, _OWN_OPTIMIZERS))}, got optimizer={name!r:.80}."
                )
            return
        if self.weight_decay:
            raise ValueError(
                f"optimizer={name!r} has no weight decay, which would change where it ends: "
                f"weight_decay must be 0, got {self.weight_decay!r}."
            )
        if name == "gauss-newton" and self.loss != "square":
            raise ValueError(
                "optimizer='gauss-newton' needs the residuals of loss='square', "
                f"got loss={self.loss!r}."
            )
        accepted = set(signature(_OWN_OPTIMIZERS[name]).parameters) - {"params", "lr"}
        if unknown := sorted(map(str, set(given or {}) - accepted)):
            raise ValueError(
                f"optimizer_params of {name!r} must be among {sorted(accepted)}, got {unknown}."
            )
        if name == "mirror-descent":
            options = given or {}
            make_mirror(options.get("mirror", "euclidean"), options.get("mirror_params"))

    def _own_optimizer(self):
        return partial(_OWN_OPTIMIZERS[self.optimizer], **(self.optimizer_params or {}))

    def _recipe(self, passage, known, labels):
        weights = None
        if self.class_weight is not None:
            weights = compute_class_weight(
                self.class_weight,
                classes=known["classes_"],
                y=known["classes_"][labels[labels >= 0]],
            )
            if not weights.any():
                raise ValueError("class_weight must not be zero for every class.")
            weights = passage.tensor(weights, PRECISIONS[self.dtype])
        return Recipe(
            loss=self._loss(known["k_"], known["M_"]),
            optimizer=(
                self.optimizer if self.optimizer not in _OWN_OPTIMIZERS else self._own_optimizer()
            ),
            learning_rate=float(self.learning_rate),
            momentum=float(self.momentum),
            weight_decay=float(self.weight_decay),
            schedule=self.schedule,
            batch_size=int(self.batch_size),
            bfloat16=bool(self.mixed_precision) and passage.device.type == "cuda",
            class_weights=weights,
        )

    def _loss(self, k, M):
        return Loss(self.loss, k, M, self.class_reduction)

    def _samples(self, passage, X, shape):
        samples = passage.tensor(X, PRECISIONS[self.dtype]).reshape(-1, *shape)
        if self._is_sequential():
            check_steps(samples)
        return samples

    def _split(self, labels, seed):
        """Draw the indices of the samples to train on, and of those to hold out."""
        try:
            return train_test_split(
                np.arange(len(labels)),
                test_size=self.validation_fraction,
                stratify=labels if labels.ndim == 1 else None,
                random_state=seed,
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True holds out validation_fraction={self.validation_fraction} of "
                f"{len(labels)} samples, some of each class: {error}"
            ) from error

    def _classes_of_stream(self, classes, resumes):
        if not resumes:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            return encode_labels(classes, type(self).__name__)[0]
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={np.unique(classes)!r} are not those of the first call, "
                f"{self.classes_!r}."
            )
        return self.classes_

    @staticmethod
    def _check_outputs(network, samples, shape):
        """See that a network of the user's fits the data and ends without softmax."""
        outputs = network_outputs(network, samples)
        if tuple(outputs.shape) != (len(samples), *shape):
            raise ValueError(
                f"architecture must make a network with {' x '.join(map(str, shape))} outputs per "
                f"sample: for {len(samples)} samples it returned shape {tuple(outputs.shape)}."
            )
        sums = outputs.sum(-1)
        if bool((outputs >= 0).all()) and bool(((sums - 1).abs() < 1e-4).all()):
            warnings.warn(
                "The network's outputs look like probabilities. Remove the softmax at its end: "
                "losses are of raw outputs.",
                UserWarning,
                stacklevel=6,
            )

    def _attributes(self, passage, known, state, held_out):
        """Collect the fitted attributes that a state of the training amounts to."""
        kept = passage.keep_all(state._asdict())
        best = state.weights if state.best_weights is None else state.best_weights
        kind = self._loss(known["k_"], known["M_"])
        temperature = fixed_temperature(kind)
        if held_out is not None:
            network = self._network(known, best)
            outputs, counted = network_outputs(network, held_out[0]), held_out[1] >= 0
            temperature = fit_temperature(outputs[counted], held_out[1][counted], kind)
        return {
            "weights_": kept["weights" if state.best_weights is None else "best_weights"],
            "temperature_": temperature,
            "best_validation_score_": None if held_out is None else state.best_score,
            "n_iter_": state.n_epochs,
            "t_": state.n_samples,
            "_training": kept,
        }

    def _divergence(self, known, training):
        rescaled = f", k={known['k_']:g} or M={known['M_']:g}" if self.loss == "square" else ""
        kept = "" if training.n_epochs == 1 else " The weights of the epoch before are kept."
        return (
            f"The loss or a weight became infinite or NaN in epoch {training.n_epochs}: lower "
            f"learning_rate={self.learning_rate:g}{rescaled}, or scale X.{kept}"
        )

    @staticmethod
    def _warn_if_constant(training, samples):
        few = samples[:256]
        if is_constant(network_outputs(training.network, few)) and not is_constant(few):
            warnings.warn(
                "The network gives the same outputs for every sample: its units have died. Lower "
                f"learning_rate={training.recipe.learning_rate:g} or scale X.",
                ConvergenceWarning,
                stacklevel=5,
            )

    # ---- prediction -----------------------------------------------------------------------

    def _at_start(self):
        """Copy the fitted estimator with the weights that its training began with."""
        _, back = ways_of(next(iter(self.weights_.values())))
        architecture, options = self._blueprint
        network = build_network(
            architecture, self.input_shape_, len(self.classes_), seed=self._seed, **options
        ).to(PRECISIONS[self.dtype])
        start = copy(self)
        start.weights_ = {name: back(value) for name, value in network.state_dict().items()}
        start.n_iter_ = 0
        return start

    @staticmethod
    def _network(known, weights):
        architecture, options = known["_blueprint"]
        shape, n_outputs = known["input_shape_"], len(known["classes_"])
        return rebuild_network(architecture, shape, n_outputs, weights, **options)

    def _outputs(self, X, method):
        """Validate the data; also return samples, and outputs in their precision."""
        passage, samples, network = self._reopen(X, method)
        return passage, samples, network_outputs(network, samples)

    def _reopen(self, X, method):
        """Validate the data; also return samples, and the network in their precision."""
        check_is_fitted(self)
        passage, X = cross(
            self,
            flat_rows(X)[0],
            reset=False,
            device=self.device,
            ensure_all_finite=self._finite(),
        )
        same_namespace(self, X, attribute="_home", method=method)
        samples = passage.tensor(X, passage.dtype).reshape(-1, *self.input_shape_)
        if self._is_sequential():
            check_steps(samples)
        network = self._network(vars(self), passage.tensors(self.weights_)).to(passage.dtype)
        return passage, samples, network


def _known_labels(y, classes):
    """Look labels up among the classes, all of which are known."""
    y = to_numpy(y)
    check_classification_targets(y)
    places = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    strangers = np.unique(y[classes[places] != y])
    if len(strangers):
        raise ValueError(f"y has labels {strangers.tolist()} that are not among the classes.")
    return places
