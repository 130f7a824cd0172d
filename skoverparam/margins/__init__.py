"""Hard-margin classifiers: solvers with certificates."""
