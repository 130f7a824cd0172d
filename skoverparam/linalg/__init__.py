"""Solvers and factorizations on tensors. Nothing here is public yet."""
