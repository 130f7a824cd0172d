"""scikit-learn estimators for learning past the interpolation threshold, computed with torch."""

from importlib import import_module as _import_module
from importlib.metadata import version as _version

from skoverparam._config import config_context, get_config, set_config
from skoverparam.estimators import (
    KernelInterpolatorClassifier,
    KernelInterpolatorRegressor,
    MaxMarginClassifier,
    MinNormRegressor,
    MirrorDescentClassifier,
    MirrorDescentRegressor,
    NTKImageCompleter,
    NTKInteractionRegressor,
    NTKMatrixCompleter,
    RandomFeatureClassifier,
    RandomFeatureRegressor,
    SimplicialClassifier,
    SimplicialRegressor,
    SingularKernelClassifier,
    SingularKernelRegressor,
    SquareLossNetClassifier,
    TokenIdVectorizer,
    TwoLayerCNNClassifier,
)

__version__ = _version("skoverparam")

# Folders with public functions. They are imported on first use, so that the import of an
# estimator does not pay for the theory and the instruments.
_SUBMODULES = (
    "datasets",
    "inspection",
    "kernels",
    "linalg",
    "model_selection",
    "optim",
    "theory",
)

__all__ = [
    # matrix and image completion
    "NTKImageCompleter",
    "NTKInteractionRegressor",
    "NTKMatrixCompleter",
    # linear models
    "MaxMarginClassifier",
    "MinNormRegressor",
    "MirrorDescentClassifier",
    "MirrorDescentRegressor",
    # kernels
    "KernelInterpolatorClassifier",
    "KernelInterpolatorRegressor",
    # random features
    "RandomFeatureClassifier",
    "RandomFeatureRegressor",
    # weighted averages
    "SimplicialClassifier",
    "SimplicialRegressor",
    "SingularKernelClassifier",
    "SingularKernelRegressor",
    # networks
    "SquareLossNetClassifier",
    "TokenIdVectorizer",
    "TwoLayerCNNClassifier",
    # settings of the process
    "config_context",
    "get_config",
    "set_config",
]


def __getattr__(name):
    if name in _SUBMODULES:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES})
