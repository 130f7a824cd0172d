"""Classification by networks trained with the square loss."""

from __future__ import annotations

from inspect import signature

import numpy as np
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import with_callbacks

from skoverparam._arrays import to_numpy
from skoverparam._labels import (
    counted_positions,
    decision_values_of_outputs,
    decode_labels,
    decode_positions,
    has_positions,
)
from skoverparam._params import (
    check_auto,
    check_flag,
    check_integer,
    check_number,
    check_option,
)
from skoverparam._steps import run_steps
from skoverparam.estimators._base import all_or_nothing
from skoverparam.estimators._trained_network import OWN_OPTIMIZERS, TrainedNetwork
from skoverparam.nets._architectures import (
    ACTIVATIONS,
    SEQUENTIAL,
    build_network,
    check_architecture,
)
from skoverparam.nets._calibration import log_probabilities, probabilities
from skoverparam.nets._evaluation import within
from skoverparam.nets._losses import LOSSES
from skoverparam.nets._module_features import PENULTIMATE, feature_width, module_features
from skoverparam.nets._training import (
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    DivergenceError,
    training_epochs,
)
from skoverparam.optim._mirrors import make_mirror


class SquareLossNetClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, TrainedNetwork
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

    optimizer : str or callable, default="adam"
        "adam", "adamw", "sgd", "mirror-descent", "polyak", "gauss-newton", or a function of
        ``(parameters, lr=...)`` that makes a torch optimizer, such as ``torch.optim.RMSprop``.
        "mirror-descent" is :class:`skoverparam.optim.MirrorDescent`, "polyak"
        :class:`skoverparam.optim.PolyakSGD` and "gauss-newton", for the square loss,
        :class:`skoverparam.optim.GaussNewtonSGD`. For the last two ``learning_rate`` is a factor,
        1.0 for their own steps. None of the three has momentum or weight decay. A step of
        "gauss-newton" holds ``batch_size`` times ``n_classes`` gradients at once.

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
        Determines the weights, the order of the samples and what is held out.

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

    validation_scores_ : list of float or None
        Accuracies on the held-out samples after every epoch; None without early stopping.

    best_validation_score_ : float or None
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
    in closed form, and optimizers make one fused step. If the loss, a weight or an output is not
    finite after an epoch, ``fit`` raises :class:`FloatingPointError` and what the epoch before
    ended with stays fitted; it also stays after an interrupt.

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
        except DivergenceError as error:
            raise FloatingPointError(self._divergence(known, training)) from error.__cause__
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
        except DivergenceError as error:
            raise FloatingPointError(self._divergence(known, training)) from error.__cause__
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
        return passage.back(decision_values_of_outputs(outputs, passage.dtype))

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

    def transform(self, X, layer=PENULTIMATE):
        """Compute features: what a layer of the network makes of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        layer : str, default="penultimate"
            Which layer; "penultimate" stands for what comes into the last linear layer. The error
            for any other name lists the names there are.

        Returns
        -------
        features : array of shape (n_samples, n_features_out)
            What the layer returns, flattened; zeros on padding.
        """
        passage, samples, network = self._reopen(X, "transform")
        found = module_features(network, samples, [layer], pool="flatten")
        return passage.back(within(found.layers[layer], passage.dtype))

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
        temperature = self.temperature_ / self._unit()
        return passage.back(probabilities(outputs, temperature, passage.dtype))

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
        logarithms = log_probabilities(outputs, self.temperature_ / self._unit())
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
        return feature_width(network, self.input_shape_)

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
        check_architecture(self.architecture)
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

    def _check_optimizer(self):
        given, name = self.optimizer_params, self.optimizer
        if not callable(name):
            check_option(name, "optimizer", (*OPTIMIZERS, *OWN_OPTIMIZERS))
        if given is not None and not isinstance(given, dict):
            raise TypeError(f"optimizer_params must be None or a dict, got {given!r}.")
        if callable(name) or name not in OWN_OPTIMIZERS:
            if given:
                raise ValueError(
                    f"optimizer_params={given!r} goes with one of "
                    f"{', '.join(map(repr, OWN_OPTIMIZERS))}, got optimizer={name!r:.80}."
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
        accepted = set(signature(OWN_OPTIMIZERS[name]).parameters) - {"params", "lr"}
        if unknown := sorted(map(str, set(given or {}) - accepted)):
            raise ValueError(
                f"optimizer_params of {name!r} must be among {sorted(accepted)}, got {unknown}."
            )
        if name == "mirror-descent":
            options = given or {}
            make_mirror(options.get("mirror", "euclidean"), options.get("mirror_params"))
