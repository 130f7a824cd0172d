"""Looking inside fitted models: measures, and Displays that draw them."""

from skoverparam.inspection._adversarial_density import (
    AdversarialDensityDisplay,
    adversarial_density,
)
from skoverparam.inspection._collapse._class_statistics import ClassStatistics
from skoverparam.inspection._collapse._collapse_recorder import CollapseRecorder
from skoverparam.inspection._collapse._layerwise_collapse import layerwise_collapse
from skoverparam.inspection._collapse._neural_collapse import neural_collapse
from skoverparam.inspection._collapse._neural_collapse_display import NeuralCollapseDisplay
from skoverparam.inspection._collapse._transfer_curve import TransferCurveDisplay, transfer_curve
from skoverparam.inspection._completion_display import MatrixCompletionDisplay
from skoverparam.inspection._convergence_display import ConvergenceDisplay
from skoverparam.inspection._image_display import ImageCompletionDisplay
from skoverparam.inspection._implicit_bias_display import ImplicitBiasDisplay
from skoverparam.inspection._interpolation_report import interpolation_report
from skoverparam.inspection._interpolation_report_display import InterpolationReportDisplay
from skoverparam.inspection._tangent_kernels._empirical_ntk import TangentKernel, empirical_ntk
from skoverparam.inspection._tangent_kernels._hessian_norm import hessian_norm
from skoverparam.inspection._tangent_kernels._linearity_display import LinearityDisplay
from skoverparam.inspection._tangent_kernels._linearize import linearize, ntk_parametrize
from skoverparam.inspection._tangent_kernels._pl_star import pl_star_constant
from skoverparam.inspection._tangent_kernels._tangent_kernel_change import (
    TangentKernelRecorder,
    tangent_kernel_change,
)
from skoverparam.inspection._tangent_kernels._width_sweep import width_sweep
from skoverparam.nets._ntk_parametrization import NTKMLP

__all__ = [
    "AdversarialDensityDisplay",
    "ClassStatistics",
    "CollapseRecorder",
    "ConvergenceDisplay",
    "ImageCompletionDisplay",
    "ImplicitBiasDisplay",
    "InterpolationReportDisplay",
    "LinearityDisplay",
    "MatrixCompletionDisplay",
    "NTKMLP",
    "NeuralCollapseDisplay",
    "TangentKernel",
    "TangentKernelRecorder",
    "TransferCurveDisplay",
    "adversarial_density",
    "empirical_ntk",
    "hessian_norm",
    "interpolation_report",
    "layerwise_collapse",
    "linearize",
    "neural_collapse",
    "ntk_parametrize",
    "pl_star_constant",
    "tangent_kernel_change",
    "transfer_curve",
    "width_sweep",
]
