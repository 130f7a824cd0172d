"""What the optimizers raise instead of a step to weights that are no numbers."""


class DivergingStepError(FloatingPointError, ValueError):
    """A step would leave the range of numbers: it was not made."""
