"""Complete a real matrix and a real image, both bundled with scikit-learn: ``make demo``.

The matrix is 1797 scanned digits of 64 pixels each, of which a fifth of the entries is hidden. The
image is a color photograph, once with half of its pixels hidden and once with letters over it. The
root mean squared error over what was hidden stands beside that of the usual tools, which complete
the same in the same run: scikit-learn's imputers, and for the photograph scikit-image's biharmonic
inpainting, where that is installed. Pictures are left in ``build/demo``.
"""

import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits, load_sample_image
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from skoverparam import NTKImageCompleter, NTKMatrixCompleter
from skoverparam.datasets import mask_images

try:
    from skimage.restoration import inpaint_biharmonic
except ImportError:  # it is not among the dependencies
    inpaint_biharmonic = None

# Pictures go to files, so no screen is needed.
mpl.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path("build", "demo")


def hide(X, share, seed=0):
    """Set a share of the entries, chosen at random, to NaN."""
    hidden = np.random.default_rng(seed).random(X.shape) < share
    return np.where(hidden, np.nan, X), hidden


def compare(title, X_true, X, hidden, contenders):
    """Complete X with each function, print a table of errors, return the completions."""
    print(f"\n{title}")
    print(f"{'':28}{'RMSE':>8}{'seconds':>10}")
    completed = {}
    for name, complete in contenders.items():
        start = time.perf_counter()
        completed[name] = complete(X)
        seconds = time.perf_counter() - start
        rmse = np.sqrt(np.mean((completed[name] - X_true)[hidden] ** 2))
        print(f"{name:28}{rmse:8.3f}{seconds:10.2f}")
    return completed


def draw(path, rows):
    """Draw rows of pictures, each a dict from names to grey or color pictures, NaN in red."""
    figure, axes = plt.subplots(
        len(rows), len(rows[0]), squeeze=False, figsize=(2.6 * len(rows[0]), 2.3 * len(rows))
    )
    colors = mpl.colormaps["gray"].with_extremes(bad="tab:red")
    for row_axes, row in zip(axes, rows, strict=True):
        low, high = np.nanmin(row["true"]), np.nanmax(row["true"])
        for ax, (name, picture) in zip(row_axes, row.items(), strict=True):
            if picture.ndim == 3:
                red = mpl.colors.to_rgb("tab:red")
                picture = np.where(np.isnan(picture), red, np.clip(picture / 255, 0, 1))
            ax.imshow(picture, cmap=colors, vmin=low, vmax=high)
            ax.set_axis_off()
            if row is rows[0]:
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
            "column mean": SimpleImputer(keep_empty_features=True).fit_transform,
            "KNNImputer": KNNImputer(keep_empty_features=True).fit_transform,
            # A huge tolerance ends after one round without a warning; more do not help here.
            "IterativeImputer, one round": IterativeImputer(
                max_iter=1, tol=1e9, random_state=0, keep_empty_features=True
            ).fit_transform,
            "NTKMatrixCompleter": NTKMatrixCompleter(keep_empty_features=True).fit_transform,
        },
    )
    columns = {"true": X_true, "observed": X, **completed}
    rows = [{name: X[k].reshape(8, 8) for name, X in columns.items()} for k in range(4)]
    draw(FOLDER / "digits.png", rows)


def by_rows(X):
    """Complete an image as a matrix whose rows are those of its pixels."""
    return KNNImputer().fit_transform(X.reshape(len(X), -1)).reshape(X.shape)


def biharmonic(X):
    """Complete an image by the smoothest surface through what is observed."""
    return inpaint_biharmonic(np.nan_to_num(X), np.isnan(X).any(axis=2), channel_axis=2)


def complete_photograph():
    """Complete a color photograph: pixels hidden at random, then letters."""
    image = load_sample_image("china.jpg")[60:220, 210:420].astype(float)
    contenders = {"KNNImputer, row by row": by_rows}
    if inpaint_biharmonic is not None:
        contenders = {"biharmonic inpainting": biharmonic}
    # Estimators take many images, of shape (n_images, height, width, channels): here one.
    completer = NTKImageCompleter()
    contenders["NTKImageCompleter"] = lambda X: completer.fit_transform(X[None])[0]
    rows = []
    for name, options in {
        "pixels hidden": {"missing": 0.5},
        "hidden by letters": {"missing": 0.15, "mechanism": "text"},
    }.items():
        X = mask_images(image[None], random_state=0, **options)[0]
        height, width, _ = X.shape
        hidden = np.isnan(X)
        title = f"Photograph: {height} x {width} color pixels, {hidden.mean():.0%} {name}"
        completed = compare(title, image, X, hidden, contenders)
        rows.append({"true": image, "observed": X, **completed})
    draw(FOLDER / "photograph.png", rows)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    complete_digits()
    complete_photograph()
    print(f"\nPictures: {FOLDER / 'digits.png'}, {FOLDER / 'photograph.png'}")
