"""Looking inside fitted models: measures, and Displays that draw them."""

from skoverparam.inspection._completion_display import MatrixCompletionDisplay

__all__ = ["MatrixCompletionDisplay"]
