"""Tangent kernels of networks as they are: the kernel, its change, and the Hessian behind it."""
