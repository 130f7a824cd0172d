"""A network for one fit: its labels, its description, its training, and the way back to it."""

from __future__ import annotations

import math
import warnings
from copy import copy
from functools import partial

import numpy as np
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, flat_rows, same_namespace, to_numpy, ways_of
from skoverparam._labels import (
    counted_positions,
    encode_labels,
    encode_positions,
    has_positions,
)
from skoverparam._params import make_generator
from skoverparam.estimators._base import DocumentedEstimator
from skoverparam.nets._architectures import SEQUENTIAL, build_network, rebuild_network
from skoverparam.nets._calibration import fit_temperature, fixed_temperature
from skoverparam.nets._losses import Loss, published_rescaling, sharpness
from skoverparam.nets._sequences import check_steps, present_steps
from skoverparam.nets._training import (
    PRECISIONS,
    Recipe,
    Training,
    TrainingState,
    is_adaptive,
    is_constant,
    network_outputs,
)
from skoverparam.optim._gauss_newton import GaussNewtonSGD
from skoverparam.optim._mirror_descent import MirrorDescent
from skoverparam.optim._polyak import PolyakSGD

OWN_OPTIMIZERS = {
    "mirror-descent": MirrorDescent,
    "polyak": PolyakSGD,
    "gauss-newton": GaussNewtonSGD,
}


class TrainedNetwork(CallbackSupportMixin, DocumentedEstimator):
    """What lies between the parameters of a network classifier and the training of its network."""

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
            return _looked_up(y, classes)
        self._check_positions(samples, y)
        y, counted = counted_positions(y, self._present_on_host(samples))
        labels = np.full(y.shape, -1)
        labels[counted] = _looked_up(y[counted], classes)
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

    def _own_optimizer(self):
        return partial(OWN_OPTIMIZERS[self.optimizer], **(self.optimizer_params or {}))

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
                self.optimizer if self.optimizer not in OWN_OPTIMIZERS else self._own_optimizer()
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
        epoch = training.n_epochs
        kept = "" if epoch == 1 else " The weights of the epoch before are kept."
        return (
            f"The loss, a weight or an output became infinite or NaN in epoch {epoch}: lower "
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

    def _unit(self):
        return sharpness(self._loss(self.k_, self.M_))

    def _outputs(self, X, method):
        """Validate the data; also return samples, and outputs in units of M."""
        passage, samples, network = self._reopen(X, method)
        return passage, samples, network_outputs(network, samples) / self._unit()

    def _reopen(self, X, method):
        """Validate the data; also return samples and the network, no less precise than trained."""
        check_is_fitted(self)
        passage, X = cross(
            self,
            flat_rows(X)[0],
            reset=False,
            device=self.device,
            ensure_all_finite=self._finite(),
        )
        same_namespace(self, X, attribute="_home", method=method)
        # Weights of a training in double precision may be beyond the numbers of single samples.
        dtype = max(passage.dtype, PRECISIONS[self.dtype], key=lambda dtype: dtype.itemsize)
        samples = passage.tensor(X, dtype).reshape(-1, *self.input_shape_)
        if self._is_sequential():
            check_steps(samples)
        network = self._network(vars(self), passage.tensors(self.weights_)).to(dtype)
        return passage, samples, network


def _looked_up(y, classes):
    """Look labels up among the classes, all of which are known."""
    y = to_numpy(y)
    check_classification_targets(y)
    places = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    strangers = np.unique(y[classes[places] != y])
    if len(strangers):
        raise ValueError(f"y has labels {strangers.tolist()} that are not among the classes.")
    return places
