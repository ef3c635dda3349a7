"""The problem of `fit`: 240 runs, from 4,500 starts, and 4,000 resamples of the runs.

The runs are those of Hoffmann et al. 2022, Figure 4, as Besiroglu et al. 2024 read them off,
less their five outliers. They are read from the folder that JAXSCALE_DATA names, else
beside the repository; without them runs are simulated, and no published number is checked.
"""

import csv
import functools
import itertools
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from benchmarks.problem import LAW, SEED

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("JAXSCALE_DATA") or ROOT.parent / "shared" / "data")
TABLE = FOLDER / "besiroglu_2024" / "points.csv"
COUNT, RESAMPLES = 240, 4000
DELTA = 1e-3  # Hoffmann et al. 2022, D.2
NOISE = 0.01  # of simulated losses, relative: half of the 240 residuals are below 0.008
# The certified minimum of the 240 runs, found with 50 digits, and the sum of the 4,000 minima.
MINIMUM, SUM_OF_MINIMA = 1.0182740178006e-3, 3.973948973904
TOLERANCE = 1e-9  # of an objective, relative


class Logs(NamedTuple):
    """Logarithms of the columns of runs, as peers take them."""

    params: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray

    def rows(self, indices: np.ndarray) -> "Logs":
        """The runs at these indices."""
        return Logs(*(column[indices] for column in self))


@functools.cache
def runs() -> js.Runs:
    """The 240 runs, in the order of their file, or as many simulated ones."""
    if not TABLE.is_file():
        return simulated(COUNT, SEED)
    with open(TABLE, newline="") as file:
        kept = [row for row in csv.DictReader(file) if row["outlier"] == "0"]
    names = "params", "tokens", "loss"
    return js.Runs(*(np.array([float(row[name]) for row in kept]) for name in names))


def simulated(count: int, key: int) -> js.Runs:
    """Runs of the law of `problem`, with noise like that of the 240."""
    return js.fitting.simulate(js.laws.Chinchilla(*LAW), count, key=key, noise=NOISE)


def is_published() -> bool:
    """Whether `runs` are the published ones, so that published minima can be checked."""
    return TABLE.is_file()


def source() -> str:
    """Where `runs` are from, for people."""
    if is_published():
        return f"the {COUNT} runs of Besiroglu et al. 2024"
    return f"{COUNT} simulated runs, as no {TABLE.name} of Besiroglu et al. 2024 was found"


def logs() -> Logs:
    """Of `runs`."""
    return Logs(*(np.log(x) for x in (runs().params, runs().tokens, runs().loss)))


def fit(table: js.Runs | None = None) -> js.fitting.Fit:
    """Our fit to `runs`, or to others."""
    return js.fit(js.laws.Chinchilla, runs() if table is None else table)


def bootstrap(fitted: js.fitting.Fit, **options: Any) -> js.fitting.Bootstrap:
    """`js.bootstrap` without its warnings of resamples that failed."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return js.bootstrap(fitted, **options)


def hoffmann_starts() -> np.ndarray:
    """(ln A, ln B, ln E, alpha, beta) of the 4,500 starts of Hoffmann et al. 2022, D.2."""
    scales, rest = np.arange(0, 26, 5.0), np.arange(-1, 1.25, 0.5)
    exponents = np.arange(0, 2.25, 0.5)
    return np.array(list(itertools.product(scales, scales, rest, exponents, exponents)))


def in_peers_order(coordinates: np.ndarray) -> np.ndarray:
    """(ln A, ln B, ln E, alpha, beta) of a fit's (ln E, ln A, ln B, alpha, beta)."""
    return coordinates[[1, 2, 0, 3, 4]]


def published_resamples(count: int = RESAMPLES) -> np.ndarray:
    """Indices of the runs, a row for each resample, as the published notebook draws them."""
    # The same stream as numpy.random.seed(42).
    random = np.random.RandomState(42)
    return np.array([random.choice(COUNT, size=COUNT, replace=True) for _ in range(count)])
