"""Looking inside fitted models: measures, and Displays that draw them."""

from skoverparam.inspection._adversarial_density import (
    AdversarialDensityDisplay,
    adversarial_density,
)
from skoverparam.inspection._completion_display import MatrixCompletionDisplay
from skoverparam.inspection._convergence_display import ConvergenceDisplay
from skoverparam.inspection._image_display import ImageCompletionDisplay
from skoverparam.inspection._interpolation_report import interpolation_report
from skoverparam.inspection._interpolation_report_display import InterpolationReportDisplay

__all__ = [
    "AdversarialDensityDisplay",
    "ConvergenceDisplay",
    "ImageCompletionDisplay",
    "InterpolationReportDisplay",
    "MatrixCompletionDisplay",
    "adversarial_density",
    "interpolation_report",
]
