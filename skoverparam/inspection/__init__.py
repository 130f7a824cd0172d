"""Looking inside fitted models: measures, and Displays that draw them."""

from skoverparam.inspection._completion_display import MatrixCompletionDisplay
from skoverparam.inspection._image_display import ImageCompletionDisplay

__all__ = ["ImageCompletionDisplay", "MatrixCompletionDisplay"]
