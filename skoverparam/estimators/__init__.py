"""scikit-learn estimators: one family a file, each a page around the mathematics."""

from skoverparam.estimators._image_completer import NTKImageCompleter
from skoverparam.estimators._interaction_regressor import NTKInteractionRegressor
from skoverparam.estimators._kernel_interpolator import (
    KernelInterpolatorClassifier,
    KernelInterpolatorRegressor,
)
from skoverparam.estimators._matrix_completer import NTKMatrixCompleter
from skoverparam.estimators._max_margin import MaxMarginClassifier
from skoverparam.estimators._min_norm import MinNormRegressor
from skoverparam.estimators._mirror_descent import (
    MirrorDescentClassifier,
    MirrorDescentRegressor,
)
from skoverparam.estimators._random_features import (
    RandomFeatureClassifier,
    RandomFeatureRegressor,
)
from skoverparam.estimators._simplicial import SimplicialClassifier, SimplicialRegressor
from skoverparam.estimators._singular_kernel import (
    SingularKernelClassifier,
    SingularKernelRegressor,
)
from skoverparam.estimators._square_loss_net import SquareLossNetClassifier
from skoverparam.estimators._token_ids import TokenIdVectorizer
from skoverparam.estimators._two_layer_cnn import TwoLayerCNNClassifier

__all__ = [
    "KernelInterpolatorClassifier",
    "KernelInterpolatorRegressor",
    "MaxMarginClassifier",
    "MinNormRegressor",
    "MirrorDescentClassifier",
    "MirrorDescentRegressor",
    "NTKImageCompleter",
    "NTKInteractionRegressor",
    "NTKMatrixCompleter",
    "RandomFeatureClassifier",
    "RandomFeatureRegressor",
    "SimplicialClassifier",
    "SimplicialRegressor",
    "SingularKernelClassifier",
    "SingularKernelRegressor",
    "SquareLossNetClassifier",
    "TokenIdVectorizer",
    "TwoLayerCNNClassifier",
]
