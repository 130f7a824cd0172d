"""Predictions that are weighted averages of training targets: singular kernels and simplices."""
