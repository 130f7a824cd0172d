"""The public functions: they check what users give, and call the functions on tensors."""
