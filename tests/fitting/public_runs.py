"""Public tables of runs, where there are any: in JAXSCALE_DATA, or in a folder beside this one."""

import csv

import numpy as np
import pytest

from fitting.runs_at_hand import FOLDER

# Porian et al. 2024, `summary_df` of their repository: the exponent of compute-optimal params,
# by training set, hyperparameters, warm-up, decay and what counts as params.
PORIAN = {
    "rw base long kaplan kaplan": 0.8338,
    "rw base long kaplan standard": 0.7009,
    "rw base short kaplan standard": 0.6035,
    "rw base short chinchilla standard": 0.5714,
    "rw tuned short const standard": 0.4970,
    "owt2 base long kaplan kaplan": 0.8700,
    "owt2 base long kaplan standard": 0.7000,
    "owt2 base short kaplan standard": 0.6016,
    "owt2 base short chinchilla standard": 0.5689,
    "owt2 tuned short const standard": 0.5184,
}


def table(name):
    """The path of a table; skips the test where it is absent."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {FOLDER}, which JAXSCALE_DATA may set")
    return path


def column(path, name, kind=float):
    """One column, not read by the code under test."""
    with open(path, newline="") as file:
        return np.array([kind(row[name]) for row in csv.DictReader(file)])


def porian(experiment):
    """The `where` of an experiment of `PORIAN`."""
    names = ("train_set", "hparams", "warmup", "decay", "param_count")
    chosen = zip(names, experiment.split(), strict=True)
    return " and ".join(f"{name} == {value!r}" for name, value in chosen)
