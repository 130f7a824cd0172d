"""Matrix completion on real data, ours beside its peers: prints the tables to judge it by.

    SKOVERPARAM_DATA=FOLDER python benchmarks/acceptance_completion.py [random] [blocks] [profiles]

- random: drug responses, a tenth of the observed entries hidden at random;
- blocks: the same table, drugs hidden for a whole group of cell lines at a time. The file has no
  tissues, so the groups are made here: k-means (25 groups) on the profiles of the *training*
  table of another draw, standardized and with holes at the column mean. Cells of (group, drug)
  are hidden until a tenth of the observed entries is;
- profiles: expression profiles of a plate, whole wells hidden: all wells of a fifth of the drugs,
  or a fifth of the treated wells. What is known of a well is its drug and dose.

Every method gets the same masks, and times are those of fit and transform in this process.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import svd
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from skoverparam import NTKMatrixCompleter

SHARE = 0.1
N_GROUPS = 25


# ---- the peer that scikit-learn does not have ---------------------------------------------


def soft_impute(X, threshold, start, n_rounds=60, tol=1e-4):
    """Soft-thresholded singular values of the completed matrix, again and again."""
    observed = ~np.isnan(X)
    filled = np.where(observed, X, start)
    for _ in range(n_rounds):
        U, s, Vt = svd(filled, full_matrices=False, check_finite=False)
        low_rank = (U * np.maximum(s - threshold, 0)) @ Vt
        change = np.linalg.norm((low_rank - filled)[~observed])
        filled = np.where(observed, X, low_rank)
        if change < tol * np.linalg.norm(filled):
            break
    return low_rank


class SoftImpute:
    """SoftImpute on standardized columns; the threshold is chosen on a part of the entries."""

    def fit_transform(self, X):
        observed = ~np.isnan(X)
        row = np.zeros((len(X), 1))
        for _ in range(15):
            column = np.nanmean(X - row, axis=0)
            row = np.nansum(X - column, axis=1, keepdims=True)
            row /= observed.sum(axis=1, keepdims=True) + 1
        scale = np.sqrt(np.nanmean((X - row - column) ** 2, axis=0))
        Z = (X - row - column) / scale
        held = observed & (np.random.default_rng(0).random(X.shape) < SHARE)
        part = np.where(held, np.nan, Z)
        largest = np.linalg.norm(np.nan_to_num(Z), 2)
        best, threshold, completed = np.inf, None, np.zeros(X.shape)
        # From the strongest threshold down, each solution the start of the next.
        for candidate in largest * np.geomspace(0.6, 0.03, 12):
            completed = soft_impute(part, candidate, completed)
            error = np.sqrt(np.mean(((completed - Z) * scale)[held] ** 2))
            if error > best:
                break
            best, threshold = error, candidate
        completed = soft_impute(Z, threshold, completed, n_rounds=150)
        return np.where(observed, X, row + column + scale * completed)


# ---- drug responses -----------------------------------------------------------------------

IMPUTERS = {
    "NTKMatrixCompleter()": lambda: NTKMatrixCompleter(),
    "IterativeImputer(max_iter=1)": lambda: IterativeImputer(max_iter=1, random_state=0),
    "KNNImputer(10)": lambda: KNNImputer(n_neighbors=10),
    "SoftImpute": SoftImpute,
    "column mean": lambda: SimpleImputer(),
}


def hide_at_random(X, seed):
    """Hide a share of the observed entries."""
    observed = np.argwhere(~np.isnan(X))
    chosen = np.random.default_rng(seed).permutation(len(observed))[: round(SHARE * len(observed))]
    held = np.zeros(X.shape, dtype=bool)
    held[tuple(observed[chosen].T)] = True
    return held


def hide_in_blocks(X, seed):
    """Hide drugs for whole groups of similar cell lines until the share is reached."""
    seen = np.where(hide_at_random(X, seed + 1000), np.nan, X)
    Z = np.nan_to_num((seen - np.nanmean(seen, axis=0)) / np.nanstd(seen, axis=0))
    group = KMeans(N_GROUPS, n_init=3, random_state=seed).fit_predict(Z)
    rng, held = np.random.default_rng(seed), np.zeros(X.shape, dtype=bool)
    observed = ~np.isnan(X)
    for cell in rng.permutation(N_GROUPS * X.shape[1]):
        if held.sum() >= SHARE * observed.sum():
            return held
        rows, column = np.flatnonzero(group == cell // X.shape[1]), cell % X.shape[1]
        left = observed[:, column] & ~held[:, column]
        left[rows] = False
        if left.sum() >= 20:  # the drug stays known elsewhere
            held[rows, column] = observed[rows, column]
    return held


def drug_responses(folder, hide, title, seeds):
    """Print errors and times of all imputers on the same masks."""
    X = np.load(folder / "completion" / "gdsc_ic50.npz", allow_pickle=True)["X"]
    figures = {name: [] for name in IMPUTERS}
    for seed in range(seeds):
        held = hide(X, seed)
        X_train = np.where(held, np.nan, X)
        for name, make in IMPUTERS.items():
            start = time.perf_counter()
            completed = make().fit_transform(X_train)
            seconds = time.perf_counter() - start
            rmse = np.sqrt(np.mean((completed - X)[held] ** 2))
            figures[name].append((rmse, seconds))
            print(f"  seed {seed}  {name:30} RMSE {rmse:.4f}  {seconds:6.1f} s", flush=True)
    print(f"\n{title}: {X.shape}, {seeds} seeds\n{'':30}{'RMSE':>8}{'sd':>8}{'seconds':>10}")
    for name, rows in figures.items():
        rmse, seconds = np.array(rows).T
        print(f"{name:30}{rmse.mean():8.4f}{rmse.std():8.4f}{seconds.mean():10.2f}")


# ---- expression profiles ------------------------------------------------------------------


def log_dose(table):
    """Logarithm of the dose: about 0 for the smallest, 1 for the largest, 0 for controls."""
    dose = table[["dose"]].to_numpy()
    return np.where(dose > 0, np.log(np.maximum(dose, 0.01) / 0.013) / np.log(10 / 0.013), 0)


def drug_times_log_dose(table):
    """One-hot drug, scaled by the logarithm of its dose."""
    drug = OneHotEncoder(sparse_output=False).fit_transform(table[["drug"]])
    return drug * log_dose(table)


def well_prior(wells):
    """Encode what is known of the wells: drug, drug times log dose, log dose, constant."""
    blocks = ColumnTransformer(
        [
            ("drug", OneHotEncoder(sparse_output=False), ["drug"]),
            ("drug and dose", FunctionTransformer(drug_times_log_dose), ["drug", "dose"]),
            ("dose", FunctionTransformer(log_dose), ["dose"]),
            ("constant", FunctionTransformer(lambda table: np.ones((len(table), 1))), ["dose"]),
        ],
        transformer_weights={"drug": 1, "drug and dose": 2, "dose": 1, "constant": 2},
    )
    return blocks.fit_transform(wells)


def correlations(A, B):
    """Pearson correlation of each row of A with that of B."""
    A, B = (rows - rows.mean(axis=1, keepdims=True) for rows in (A, B))
    norms = np.linalg.norm(A, axis=1) * np.linalg.norm(B, axis=1)
    return (A * B).sum(axis=1) / np.maximum(norms, 1e-12)


def with_alpha_for_wells(X_train, held, prior, hide, seed):
    """Choose the ridge on training wells that are hidden as the test wells are."""
    rng, errors = np.random.default_rng(seed + 1000), {}
    parts = [hide(rng) & ~held for _ in range(3)]
    for alpha in (0.3, 1, 3, 10, 30):
        completer = NTKMatrixCompleter(
            row_prior=prior, column_prior="identity", alpha=alpha, random_state=0
        )
        errors[alpha] = 0
        for part in parts:
            completed = completer.fit_transform(np.where(part[:, None], np.nan, X_train))
            errors[alpha] += np.mean((completed - X_train)[part] ** 2)
    return completer.set_params(alpha=min(errors, key=errors.get))


def profiles(folder, seeds):
    """Print correlations of predicted with measured profiles of hidden wells."""
    data = np.load(folder / "completion" / "l1000_plate.npz", allow_pickle=True)
    X = data["X"].astype(np.float64)
    treated = data["pert_type"] != "ctl_vehicle"
    dose = np.where(treated, pd.to_numeric(pd.Series(data["dose"])), 0)
    wells = pd.DataFrame({"drug": data["pert_iname"], "dose": dose})
    prior = well_prior(wells)
    drugs = np.unique(wells["drug"][treated])

    def hide_drugs(rng):
        return wells["drug"].isin(rng.choice(drugs, len(drugs) // 5, replace=False)).to_numpy()

    def hide_wells(rng):
        held, places = np.zeros(len(X), dtype=bool), np.flatnonzero(treated)
        held[rng.choice(places, len(places) // 5, replace=False)] = True
        return held

    models = {
        "NTKMatrixCompleter(row_prior=...)": {},
        '... column_prior="identity"': {"column_prior": "identity"},
        "... and alpha chosen on wells": None,
    }
    for title, hide in (
        ("all wells of 20 % of the drugs", hide_drugs),
        ("20 % wells", hide_wells),
    ):
        figures = {name: [] for name in ["gene mean", *models]}
        for seed in range(seeds):
            held = hide(np.random.default_rng(seed))
            X_train = np.where(held[:, None], np.nan, X)
            mean = X[~held].mean(axis=0)
            predicted = {"gene mean": (np.broadcast_to(mean, X.shape), 0.0)}
            for name, parameters in models.items():
                start = time.perf_counter()
                if parameters is None:
                    completer = with_alpha_for_wells(X_train, held, prior, hide, seed)
                else:
                    completer = NTKMatrixCompleter(row_prior=prior, random_state=0, **parameters)
                predicted[name] = completer.fit_transform(X_train), time.perf_counter() - start
            for name, (guess, seconds) in predicted.items():
                raw = correlations(guess[held], X[held]).mean()
                effect = correlations(guess[held] - mean, X[held] - mean).mean()
                rmse = np.sqrt(np.mean((guess - X)[held] ** 2))
                figures[name].append((raw, effect, rmse, seconds))
        print(f"\n{title}: {X.shape}, {seeds} seeds, means over hidden wells, then over seeds")
        print(f"{'':36}{'corr.':>8}{'centered':>10}{'RMSE':>8}{'seconds':>9}  better than mean")
        baseline = np.array(figures["gene mean"])[:, 0]
        for name, rows in figures.items():
            raw, effect, rmse, seconds = np.array(rows).T
            wins = f"{(raw > baseline).sum()} of {seeds} seeds" if name != "gene mean" else ""
            print(
                f"{name:36}{raw.mean():8.4f}{effect.mean():10.3f}{rmse.mean():8.4f}"
                f"{seconds.mean():9.2f}  {wins}"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help="random, blocks, profiles; all if none is named")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    parts = arguments.parts or ["random", "blocks", "profiles"]
    if unknown := set(parts) - {"random", "blocks", "profiles"}:
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    if "SKOVERPARAM_DATA" not in os.environ:
        parser.error("set SKOVERPARAM_DATA to the folder of real data")
    # One round of IterativeImputer does not converge, and is what predicts best.
    warnings.filterwarnings("ignore", message=".*Early stopping criterion not reached")
    data_folder = Path(os.environ["SKOVERPARAM_DATA"])
    if "random" in parts:
        drug_responses(data_folder, hide_at_random, "Hidden at random", arguments.seeds)
    if "blocks" in parts:
        drug_responses(data_folder, hide_in_blocks, "Hidden in blocks", arguments.seeds)
    if "profiles" in parts:
        profiles(data_folder, arguments.seeds)
