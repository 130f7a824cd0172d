"""What is predicted: spectra, effective ranks, exact risks and bounds, in closed form."""

from skoverparam.theory._feature_laws import FeatureLaws
from skoverparam.theory._max_margin_risk import (
    linear_classifier_risk,
    max_margin_risk,
    max_margin_risk_bound,
)
from skoverparam.theory._minimum_norm_risk import minimum_norm_risk
from skoverparam.theory._spectra import effective_ranks, spectrum

__all__ = [
    "FeatureLaws",
    "effective_ranks",
    "linear_classifier_risk",
    "max_margin_risk",
    "max_margin_risk_bound",
    "minimum_norm_risk",
    "spectrum",
]
