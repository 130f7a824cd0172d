"""What is predicted: spectra, effective ranks, exact risks and bounds, in closed form."""

from skoverparam.optim import bregman_projection
from skoverparam.theory._critical_batch_size import critical_batch_size
from skoverparam.theory._feature_laws import FeatureLaws
from skoverparam.theory._interpolating_sgd import interpolating_sgd, sgd_mean_squared_error
from skoverparam.theory._max_margin_risk import (
    linear_classifier_risk,
    max_margin_risk,
    max_margin_risk_bound,
)
from skoverparam.theory._minimum_norm_risk import minimum_norm_risk
from skoverparam.theory._signal_noise_phase import signal_noise_phase
from skoverparam.theory._spectra import effective_ranks, spectrum

__all__ = [
    "FeatureLaws",
    "bregman_projection",
    "critical_batch_size",
    "effective_ranks",
    "interpolating_sgd",
    "linear_classifier_risk",
    "max_margin_risk",
    "max_margin_risk_bound",
    "minimum_norm_risk",
    "sgd_mean_squared_error",
    "signal_noise_phase",
    "spectrum",
]
