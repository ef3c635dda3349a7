"""Runs to fit: the shared tables where they are, and simulated ones everywhere."""

import csv
import functools
import os
from pathlib import Path

import numpy as np
import pytest

import jaxscale as js

FOLDER = Path(os.environ.get("JAXSCALE_DATA") or Path(__file__).parents[3] / "shared" / "data")
SEED = int(os.environ.get("JAXSCALE_TEST_SEED") or np.random.SeedSequence().entropy % 2**32)

# Tables, with the rows of each that are one experiment, by name.
TABLES = {
    "besiroglu": ("besiroglu_2024/points.csv", lambda row: row["outlier"] == "0"),
    "besiroglu, all": ("besiroglu_2024/points.csv", None),
    "sardana": ("sardana_2024/points.csv", None),
    "sardana to 100": (
        "sardana_2024/points.csv",
        lambda row: float(row["tokens_per_param"]) <= 100,
    ),
    "gadre c4": ("gadre_2024/points.csv", lambda row: row["train_set"] == "c4_original"),
    "gadre rpj": ("gadre_2024/points.csv", lambda row: row["train_set"] == "rpj"),
    "gadre rw": ("gadre_2024/points.csv", lambda row: row["train_set"] == "rw_original"),
    "gemstones hot": ("gemstones_2025/points_hot.csv", None),
    "gemstones cool": ("gemstones_2025/points_cooldown_end.csv", None),
    "gemstones half rate": ("gemstones_2025/points_lr_ablation_hot.csv", None),
    "gemstones 100b": ("gemstones_2025/points_hot_100b_plus.csv", None),
    "muennighoff": ("muennighoff_2023/points_c4.csv", None),
    "muennighoff 182": ("muennighoff_2023/points_c4_constrained_fit.csv", None),
    "olmo": ("olmo_ladder_2024/points.csv", None),
    "steplaw": ("steplaw_2025/points_dense_best_per_nd.csv", None),
    "marin comma": ("isoflops_open_athena/marin_202603.csv", lambda row: row["outlier"] == "0"),
    "ml scalefit": ("isoflops_open_athena/ml_scalefit.csv", lambda row: row["outlier"] == "0"),
    "misfitting": ("isoflops_open_athena/misfitting.csv", lambda row: row["outlier"] == "0"),
    "porian owt2": (
        "porian_2024/isoflop_points.csv",
        lambda row: row["train_set"] == "owt2" and row["loss_split"] == "train",
    ),
}


@functools.cache
def table(name: str) -> js.Runs:
    """The runs of a shared table; skips where the folder is absent."""
    path, keep = TABLES[name]
    if not FOLDER.is_dir():
        pytest.skip(f"no training runs at hand: {FOLDER} is absent; JAXSCALE_DATA names it")
    with (FOLDER / path).open() as lines:
        rows = [row for row in csv.DictReader(lines) if keep is None or keep(row)]
    columns = ("params", "tokens", "loss")
    return js.Runs(*(np.array([float(row[name]) for row in rows]) for name in columns))


@functools.cache
def fitted(name: str, objective: js.fitting.Huber | None = None) -> js.fitting.Fit:
    return js.fit(js.laws.Chinchilla, table(name), objective=objective)


TRUTH = js.laws.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.348, beta=0.366)


@functools.cache
def simulated(count: int = 100, noise: float = 0.005, key: int = 7) -> js.Runs:
    return js.fitting.simulate(TRUTH, count, key=key, noise=noise)


@functools.cache
def fitted_simulation() -> js.fitting.Fit:
    return js.fit(js.laws.Chinchilla, simulated())


def published_resamples() -> np.ndarray:
    """The 4,000 resamples of Besiroglu et al.: places among the 240 runs."""
    random = np.random.RandomState(42)
    return np.stack([random.choice(240, size=240, replace=True) for _ in range(4000)])
