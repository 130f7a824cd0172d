"""The Display of a completion: the artists hold the right numbers."""

import builtins

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.impute import KNNImputer

from skoverparam import NTKMatrixCompleter
from skoverparam.datasets import make_low_rank_matrix_with_missing
from skoverparam.inspection import MatrixCompletionDisplay

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def matrices():
    return make_low_rank_matrix_with_missing(25, 12, rank=2, noise=0.1, random_state=0)


@pytest.fixture(scope="module")
def completer(matrices):
    return NTKMatrixCompleter(alpha=0.1, n_passes=1).fit(matrices[0])


def test_panels_show_observed_completed_and_errors(matrices, completer):
    X, X_true = matrices
    display = MatrixCompletionDisplay.from_estimator(completer, X, X_true, order=None)
    observed, completed, error = (image.get_array() for image in display.images_)
    np.testing.assert_array_equal(np.ma.getmaskarray(observed), np.isnan(X))
    np.testing.assert_array_equal(observed[~np.isnan(X)], X[~np.isnan(X)])
    np.testing.assert_array_equal(completed, completer.transform(X))
    holes = np.isnan(X)
    np.testing.assert_array_equal(np.ma.getmaskarray(error), ~holes)
    np.testing.assert_allclose(error[holes], (completer.transform(X) - X_true)[holes])
    assert [ax.get_title() for ax in display.axes_] == [
        "observed",
        "completed",
        "error in the holes",
    ]
    # The two matrices can be compared: one color scale. Errors are symmetric about zero.
    assert display.images_[0].get_clim() == display.images_[1].get_clim()
    assert sum(display.images_[2].get_clim()) == 0
    assert len(display.colorbars_) == 2
    assert display.figure_ is display.axes_[0].figure


def test_an_order_permutes_all_panels_alike(matrices, completer):
    X, X_true = matrices
    display = MatrixCompletionDisplay.from_estimator(completer, X, X_true)
    rows, columns = display.row_order, display.column_order
    np.testing.assert_array_equal(np.sort(rows), np.arange(25))
    np.testing.assert_array_equal(np.sort(columns), np.arange(12))
    for image, matrix in zip(display.images_, (X, completer.transform(X)), strict=False):
        drawn = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(drawn, matrix[np.ix_(rows, columns)])


def test_the_order_finds_a_hidden_one():
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(30), rng.permutation(20)
    X = np.outer(rows - 14.5, columns - 9.5)
    display = MatrixCompletionDisplay.from_matrices(X, X)
    for order, hidden in ((display.row_order, rows), (display.column_order, columns)):
        assert abs(np.diff(hidden[order])).max() == 1


def test_without_the_truth_there_are_two_panels(matrices):
    X, _ = matrices
    imputer = KNNImputer().fit(X)
    display = MatrixCompletionDisplay.from_estimator(imputer, X)
    assert len(display.axes_) == len(display.images_) == 2
    assert len(display.colorbars_) == 1
    with pytest.raises(ValueError, match="There is no column_kernel to draw"):
        display.plot_kernel()


def test_entries_without_truth_have_no_error(matrices, completer):
    X, X_true = matrices
    X_true = X_true.copy()
    hole = tuple(np.argwhere(np.isnan(X))[0])
    X_true[hole] = np.nan
    display = MatrixCompletionDisplay.from_estimator(completer, X, X_true, order=None)
    assert display.images_[2].get_array().mask[hole]


def test_kernels_are_drawn_as_correlations(matrices, completer):
    display = MatrixCompletionDisplay.from_estimator(completer, matrices[0])
    display.plot_kernel("column", order=None)
    K = completer.column_kernel_
    expected = K / np.sqrt(np.outer(np.diag(K), np.diag(K)))
    np.testing.assert_allclose(display.kernel_image_.get_array(), expected, atol=1e-12)
    display.plot_kernel("row")
    drawn = display.kernel_image_.get_array()
    assert drawn.shape == (25, 25)
    np.testing.assert_allclose(np.diag(drawn), 1)
    with pytest.raises(ValueError, match="side must be one of 'column', 'row'; got 'both'"):
        display.plot_kernel("both")


def test_the_row_kernel_is_that_of_the_model(matrices):
    X, _ = matrices
    completer = NTKMatrixCompleter(
        random_state=0, alpha=0.5, tol=1e-8, standardize=False, row_prior=np.eye(25, 3)
    )
    completer.fit(X)
    display = MatrixCompletionDisplay.from_estimator(completer, X)
    holes = np.isnan(X)
    standardized = display.row_kernel @ completer.dual_coef_ @ completer.column_kernel_
    completed = standardized * completer.column_scales_
    np.testing.assert_allclose(completed[holes], completer.transform(X)[holes], atol=1e-8)


def test_the_row_kernel_that_was_learned_is_that_of_the_model(matrices):
    X, _ = matrices
    completer = NTKMatrixCompleter(alpha=0.5, n_passes=1, tol=1e-8).fit(X)
    display = MatrixCompletionDisplay.from_estimator(completer, X)
    standardized = display.row_kernel @ completer.dual_coef_ @ completer.column_kernel_
    baseline = completer.row_offsets_[:, None] + completer.column_offsets_
    completed = baseline + standardized * completer.column_scales_
    holes = np.isnan(X)
    np.testing.assert_allclose(completed[holes], completer.transform(X)[holes], atol=1e-8)


def test_the_row_kernel_of_many_training_rows_is_left_out(matrices):
    many = np.random.default_rng(0).normal(size=(5001, 3))
    completer = NTKMatrixCompleter(alpha=1.0, n_passes=1, n_landmarks=3, random_state=0).fit(many)
    display = MatrixCompletionDisplay.from_estimator(completer, many[:10])
    assert display.row_kernel is None


def test_the_kernel_of_an_identity_prior_is_the_identity(matrices):
    completer = NTKMatrixCompleter(row_prior="identity", alpha=0.1, random_state=0).fit(
        matrices[0]
    )
    display = MatrixCompletionDisplay.from_estimator(completer, matrices[0])
    np.testing.assert_array_equal(display.row_kernel, np.eye(25))


def test_a_kernel_is_ordered_along_a_hidden_line():
    places = np.random.default_rng(0).permutation(40)
    kernel = np.exp(-((places[:, None] - places) ** 2) / 50)
    X = np.random.default_rng(1).normal(size=(5, 40))
    display = MatrixCompletionDisplay.from_matrices(X, X, column_kernel=kernel).plot_kernel()
    drawn = display.kernel_image_.get_array()
    # Neighbors on the line are neighbors in the picture: the first off-diagonal is constant.
    np.testing.assert_allclose(np.diag(drawn, 1), np.exp(-1 / 50))


def test_dropped_columns_and_indicators_are_left_out(matrices):
    X, X_true = (matrix.copy() for matrix in matrices)
    X[:, 4] = np.nan
    completer = NTKMatrixCompleter(alpha=0.1, n_passes=1, add_indicator=True, random_state=0).fit(
        X
    )
    display = MatrixCompletionDisplay.from_estimator(completer, X, X_true, order=None)
    np.testing.assert_array_equal(display.X_completed, completer.transform(X)[:, :11])
    np.testing.assert_array_equal(display.X_true, np.delete(X_true, 4, axis=1))


def test_empty_columns_that_are_kept_are_not_mistaken_for_others(matrices):
    X, X_true = (matrix.copy() for matrix in matrices)
    X[:, 4] = np.nan
    completer = NTKMatrixCompleter(alpha=0.1, n_passes=1, keep_empty_features=True).fit(X)
    display = MatrixCompletionDisplay.from_estimator(completer, X, X_true, order=None)
    np.testing.assert_array_equal(
        display.X_completed, np.delete(completer.transform(X), 4, axis=1)
    )
    np.testing.assert_array_equal(display.X_true, np.delete(X_true, 4, axis=1))


def test_holes_that_have_a_number_are_holes(matrices):
    X, X_true = matrices
    marked = np.where(np.isnan(X), 0.1, X).astype(np.float32)
    completer = NTKMatrixCompleter(alpha=0.1, n_passes=1, missing_values=0.1).fit(marked)
    display = MatrixCompletionDisplay.from_estimator(completer, marked, X_true, order=None)
    observed, _, error = (np.ma.getmaskarray(image.get_array()) for image in display.images_)
    np.testing.assert_array_equal(observed, np.isnan(X))
    np.testing.assert_array_equal(error, ~np.isnan(X))


def test_axes_can_be_given(matrices, completer):
    X, X_true = matrices
    figure, axes = plt.subplots(1, 3)
    display = MatrixCompletionDisplay.from_estimator(completer, X, X_true, ax=axes)
    assert list(display.axes_) == list(axes)
    assert display.figure_ is figure
    figure, ax = plt.subplots()
    display.plot(ax)
    assert display.figure_ is figure
    assert len(display.axes_) == 3
    with pytest.raises(ValueError, match="ax must be one or 3 matplotlib axes, got 2"):
        display.plot(axes[:2])


def test_styles_are_passed_on(matrices, completer):
    X, X_true = matrices
    display = MatrixCompletionDisplay.from_estimator(
        completer, X, X_true, im_kw={"cmap": "gray", "vmin": -1}, error_kw={"vmax": 5}
    )
    assert display.images_[0].get_cmap().name == "gray"
    assert display.images_[0].get_clim()[0] == -1
    assert display.images_[2].get_clim()[1] == 5


def test_wrong_input_is_named(matrices, completer):
    X, X_true = matrices
    with pytest.raises(ValueError, match=r"X_true must have the shape of X, \(25, 12\), got"):
        MatrixCompletionDisplay.from_matrices(X, X_true, X_true[:3])
    with pytest.raises(ValueError, match="order must be one of 'similarity'; got 'alphabet'"):
        MatrixCompletionDisplay.from_matrices(X, X_true, order="alphabet")
    with pytest.raises(NotFittedError):
        MatrixCompletionDisplay.from_estimator(NTKMatrixCompleter(), X)


def test_without_matplotlib_it_says_what_to_install(matrices, monkeypatch):
    X, X_true = matrices
    real_import = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"pip install 'skoverparam\[plot\]'"):
        MatrixCompletionDisplay.from_matrices(X, X_true)
