"""What happens to networks as they grow wide, with slopes."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed

from skoverparam._display import pandas
from skoverparam._params import check_integer, check_number
from skoverparam.inspection._tangent_kernels._hessian_norm import hessian_norm
from skoverparam.inspection._tangent_kernels._network_input import (
    network_of,
    samples_for,
    targets_for,
)
from skoverparam.inspection._tangent_kernels._pl_star import pl_star_constant
from skoverparam.nets._ntk_parametrization import plain_layers
from skoverparam.nets._tangent_descent import train_to_loss

QUANTITIES = ("hessian_norm", "kernel_change", "lambda_min", "lambda_max", "n_steps")

_TRAINED = ("kernel_change", "n_steps")


class WidthSweep(NamedTuple):
    """Measures of networks over their width.

    Attributes
    ----------
    widths : ndarray of int of shape (n_widths,)
        The widths.

    values : dict of ndarray of shape (n_widths, n_seeds)
        By the name of the quantity.

    mean : dict of ndarray of shape (n_widths,)
        Means over seeds.

    slopes, standard_errors : dict of float
        Of the straight lines through the logarithms of all values over those of the widths; NaN
        where values are not positive.

    intercepts : dict of float
        Logarithms of the lines at width one.
    """

    widths: np.ndarray
    values: dict[str, np.ndarray]
    mean: dict[str, np.ndarray]
    slopes: dict[str, float]
    standard_errors: dict[str, float]
    intercepts: dict[str, float]

    def to_frame(self):
        """Make a pandas data frame with a row for each width and seed."""
        n_seeds = next(iter(self.values.values())).shape[1]
        columns = {name: table.ravel() for name, table in self.values.items()}
        index = {
            "width": np.repeat(self.widths, n_seeds),
            "seed": np.tile(np.arange(n_seeds), len(self.widths)),
        }
        return pandas().DataFrame(index | columns)


def width_sweep(
    factory,
    widths,
    X,
    y=None,
    *,
    quantities=("hessian_norm",),
    n_seeds=3,
    loss=1e-4,
    max_iter=3000,
    n_jobs=None,
    random_state=None,
):
    r"""Measure networks of many widths, and fit how the measures scale.

    Parameters
    ----------
    factory : callable
        ``factory(width, seed)`` makes a torch module in the tangent parametrization, such as
        :class:`NTKMLP`; see the notes. With `n_jobs` it must be picklable, or a lambda.

    widths : array-like of int of shape (n_widths,)
        The widths, at least two.

    X : array-like of shape (n, ...)
        Samples.

    y : array-like of shape (n,) or (n, C), default=None
        Targets, for quantities that need training.

    quantities : list of str or callables, default=("hessian_norm",)
        What is measured: "hessian_norm", the largest over samples and outputs; "lambda_min" and
        "lambda_max" of the tangent kernel; after training "kernel_change", the largest relative
        change of the kernel on the way, and "n_steps" that it took. A callable of ``(module, X,
        y)`` returns a number, and is listed by its ``__name__``.

    n_seeds : int, default=3
        Networks of each width.

    loss : float, default=1e-4
        Half the sum of squared errors at which training ends, so that networks are compared at
        equal loss. It is gradient descent on all samples, with a step of one over the first
        ``lambda_max``.

    max_iter : int, default=3000
        Largest number of steps; a warning tells where they do not suffice.

    n_jobs : int, default=None
        Number of networks measured in parallel.

    random_state : int, RandomState instance or None, default=None
        Determines the seeds that the factory gets and the start of Lanczos' method. An integer r
        gives the seeds r, r + 1, ....

    Returns
    -------
    sweep : WidthSweep
        Named tuple of ``widths``, and by quantity ``values`` of shape (n_widths, n_seeds),
        ``mean``, ``slopes``, ``standard_errors`` and ``intercepts``; ``to_frame()`` makes a pandas
        data frame of it.

    Raises
    ------
    ValueError
        If a quantity is unknown, or needs targets that are not there.

    See Also
    --------
    LinearityDisplay : Draws it.
    hessian_norm, tangent_kernel_change : What is measured.

    Notes
    -----
    Slopes are by least squares in logarithms over all networks, with their classical standard
    errors; networks of one width are independent, so these are not too small.

    Theory bounds the Hessian norm and the change of the kernel by a multiple of
    :math:`m^{-1/2}` if the output is linear and all hidden layers are m wide. The Hessian norm
    attains that; the change of the kernel under gradient descent falls like :math:`m^{-1}`, as its
    first-order part averages out over neurons. With an output that is not linear, or a narrow
    layer, both stay what they are. In PyTorch's own parametrization width has another meaning and
    the slopes are others: networks that have plain layers are refused;
    :func:`ntk_parametrize` converts them.

    Quantities that are computed in float32 are good to about 1e-6 of the largest: let the factory
    make float64 networks where the kernel's change is small.

    References
    ----------
    C. Liu, L. Zhu, M. Belkin, "On the linearity of large non-linear models: when and why the
    tangent kernel is constant", NeurIPS 2020, arXiv:2010.01092.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import NTKMLP, width_sweep
    >>> def factory(width, seed):
    ...     return NTKMLP(10, [width], output_layer="signs", random_state=seed).double()
    >>> sweep = width_sweep(factory, [64, 256, 1024], np.ones((1, 10)), random_state=0)
    >>> round(sweep.slopes["hessian_norm"], 2)
    -0.5
    """
    widths = _widths(widths)
    check_integer(n_seeds, "n_seeds", low=1)
    check_integer(max_iter, "max_iter", low=1)
    check_number(loss, "loss", low=0, boundaries="neither")
    if not callable(factory):
        raise TypeError(
            f"factory must be a function of (width, seed), got {type(factory).__name__}."
        )
    named = _named(quantities, y)
    if isinstance(random_state, (int, np.integer)):
        seeds = [int(random_state) + k for k in range(n_seeds)]
    else:
        seeds = check_random_state(random_state).randint(2**31 - 1, size=n_seeds).tolist()
    found = Parallel(n_jobs=n_jobs)(
        delayed(_measure)(factory, int(width), seed, X, y, named, loss, max_iter)
        for width in widths
        for seed in seeds
    )
    rows, reached = zip(*found, strict=True)
    if not all(reached):
        warnings.warn(
            f"{reached.count(False)} of {len(reached)} networks did not reach loss={loss:g} in "
            f"max_iter={max_iter} steps: they are compared where they stopped. Raise max_iter or "
            "loss.",
            ConvergenceWarning,
            stacklevel=2,
        )
    values = {
        name: np.array([row[name] for row in rows]).reshape(len(widths), n_seeds) for name in named
    }
    lines = {name: _line(widths, table) for name, table in values.items()}
    return WidthSweep(
        widths,
        values,
        {name: table.mean(axis=1) for name, table in values.items()},
        *({name: line[k] for name, line in lines.items()} for k in range(3)),
    )


def _widths(widths):
    values = np.asarray(widths)
    if values.ndim != 1 or values.dtype.kind not in "iu" or len(np.unique(values)) < 2:
        raise ValueError(
            f"widths must be a list of at least two different integers, got {widths!r}."
        )
    if values.min() < 1:
        raise ValueError(f"widths must be positive, got {values.min()} among them.")
    return values


def _named(quantities, y):
    if isinstance(quantities, str) or callable(quantities):
        quantities = [quantities]
    named = {}
    for quantity in quantities:
        if not callable(quantity) and quantity not in QUANTITIES:
            raise ValueError(
                f"quantities must be among {', '.join(map(repr, QUANTITIES))}, or callables; got "
                f"{quantity!r}."
            )
        if quantity in _TRAINED and y is None:
            raise ValueError(f"quantity {quantity!r} needs the targets y to train on.")
        named[getattr(quantity, "__name__", quantity)] = quantity
    if not named:
        raise ValueError("quantities must name at least one quantity, got none.")
    return named


def _measure(factory, width, seed, X, y, named, loss, max_iter):
    """Measure one network, and tell whether it reached the loss; training comes last."""
    module, _ = network_of(factory(width, seed), "factory(width, seed)")
    plain = plain_layers(module)
    if plain:
        raise ValueError(
            f"factory must make networks in the tangent parametrization, but {', '.join(plain)} "
            "are plain layers, whose scale depends on the width. Return ntk_parametrize(module, "
            "redraw=True, random_state=seed)."
        )
    found, reached = {}, True
    if "hessian_norm" in named:
        found["hessian_norm"] = hessian_norm(module, X, random_state=seed).norm
    if {"lambda_min", "lambda_max"} & set(named):
        constant = pl_star_constant(module, X)
        found |= {"lambda_min": constant.mu, "lambda_max": constant.beta}
    for name, quantity in named.items():
        if callable(quantity):
            found[name] = float(quantity(module, X, y))
    if set(_TRAINED) & set(named):
        samples, _ = samples_for(module, X)
        targets = targets_for(module, samples, y)
        run = train_to_loss(module, samples, targets, loss=loss, max_iter=max_iter)
        found |= {
            "kernel_change": max(move.change for move in run.moves),
            "n_steps": len(run.losses) - 1,
        }
        reached = run.losses[-1] <= loss
    return found, reached


def _line(widths, table):
    """Fit a line to logarithms: its slope, the standard error of that, and its intercept."""
    if not (np.isfinite(table).all() and (table > 0).all()):
        return np.nan, np.nan, np.nan
    x = np.log(np.repeat(widths.astype(float), table.shape[1]))
    z = np.log(table.ravel())
    centered = x - x.mean()
    spread = centered @ centered
    slope = float(centered @ z / spread)
    intercept = float(z.mean() - slope * x.mean())
    left = z - intercept - slope * x
    free = len(x) - 2
    error = float(np.sqrt(left @ left / free / spread)) if free else np.nan
    return slope, error, intercept
