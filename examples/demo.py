"""Complete a real matrix and a real image, both bundled with scikit-learn: ``make demo``.

The matrix is 1797 scanned digits of 64 pixels each, of which a fifth of the entries is hidden. The
image is a grey photograph read as a matrix of rows and columns, with half of its pixels hidden.
The root mean squared error over the hidden entries stands beside that of the usual imputers, which
complete the same matrix in the same run. Pictures are left in ``build/demo``.
"""

import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits, load_sample_image
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from skoverparam import NTKMatrixCompleter

# Pictures go to files, so no screen is needed.
mpl.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path("build", "demo")


def hide(X, share, seed=0):
    """Set a share of the entries, chosen at random, to NaN."""
    hidden = np.random.default_rng(seed).random(X.shape) < share
    return np.where(hidden, np.nan, X), hidden


def compare(title, X_true, X, hidden, imputers):
    """Complete X with each imputer, print a table of errors, return the completions."""
    print(f"\n{title}")
    print(f"{'':28}{'RMSE':>8}{'seconds':>10}")
    completed = {}
    for name, imputer in imputers.items():
        start = time.perf_counter()
        completed[name] = imputer.fit_transform(X)
        seconds = time.perf_counter() - start
        rmse = np.sqrt(np.mean((completed[name] - X_true)[hidden] ** 2))
        print(f"{name:28}{rmse:8.3f}{seconds:10.2f}")
    return completed


def draw(path, columns, image_shape=None, rows=(None,)):
    """Draw one column of pictures per name; with `image_shape`, one picture per given row."""
    figure, axes = plt.subplots(
        len(rows), len(columns), squeeze=False, figsize=(2.6 * len(columns), 2.3 * len(rows))
    )
    low, high = np.nanmin(columns["true"]), np.nanmax(columns["true"])
    colors = mpl.colormaps["gray"].with_extremes(bad="tab:red")
    for row_axes, row in zip(axes, rows, strict=True):
        for ax, X in zip(row_axes, columns.values(), strict=True):
            picture = X if image_shape is None else X[row].reshape(image_shape)
            ax.imshow(picture, cmap=colors, vmin=low, vmax=high)
            ax.set_axis_off()
    for ax, name in zip(axes[0], columns, strict=True):
        ax.set_title(name, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def complete_digits():
    """Complete a matrix of scanned digits, one digit a row."""
    X_true = load_digits().data
    X, hidden = hide(X_true, share=0.2)
    completed = compare(
        f"Digits: {X.shape[0]} x {X.shape[1]} matrix, {hidden.mean():.0%} hidden",
        X_true,
        X,
        hidden,
        {
            "column mean": SimpleImputer(keep_empty_features=True),
            "KNNImputer": KNNImputer(keep_empty_features=True),
            # A huge tolerance ends after one round without a warning; more do not help here.
            "IterativeImputer, one round": IterativeImputer(
                max_iter=1, tol=1e9, random_state=0, keep_empty_features=True
            ),
            "NTKMatrixCompleter": NTKMatrixCompleter(keep_empty_features=True),
        },
    )
    columns = {"true": X_true, "observed": X, **completed}
    draw(FOLDER / "digits.png", columns, image_shape=(8, 8), rows=range(4))


def complete_photograph():
    """Complete a grey photograph read as a matrix: rows and columns of pixels."""
    X_true = load_sample_image("china.jpg")[::2, ::2].mean(axis=2)
    X, hidden = hide(X_true, share=0.5)
    completed = compare(
        f"Photograph: {X.shape[0]} x {X.shape[1]} pixels, {hidden.mean():.0%} hidden",
        X_true,
        X,
        hidden,
        {
            "column mean": SimpleImputer(),
            "KNNImputer": KNNImputer(),
            "NTKMatrixCompleter": NTKMatrixCompleter(),
        },
    )
    draw(FOLDER / "photograph.png", {"true": X_true, "observed": X, **completed})


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    complete_digits()
    complete_photograph()
    print(f"\nPictures: {FOLDER / 'digits.png'}, {FOLDER / 'photograph.png'}")
