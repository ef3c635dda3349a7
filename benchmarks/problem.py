"""The problem that every row solves, its scenarios, its true answers, and how far off a row is.

The cheapest plan, serving counted, for a loss and a demand of input tokens, in FLOPs: the
root D of Sardana et al. 2024, eq. 12,

    B (1 + beta / alpha) D^-beta + (beta B / (3 alpha)) Q D^(-beta - 1) = loss - E,

and N from the law. Scenarios are drawn at random where arrays are given, and decoded from
an index on a grid where none may be stored.
"""

import functools
import math
from typing import NamedTuple

import numpy as np


class Coefficients(NamedTuple):
    """Of Hoffmann et al. 2022, eq. 2; the values are those of Sardana et al. 2024."""

    E: float = 1.69
    A: float = 406.4
    B: float = 410.7
    alpha: float = 0.336
    beta: float = 0.283


LAW = Coefficients()
LOSSES = 1.8, 2.6  # nats per token
DEMANDS = 1e9, 1e14  # input tokens
COLUMNS = 1024  # demands to each loss on the grid
CHECKED = 2000  # scenarios whose true answer is computed
# float32 has 24 bits: an exponential turns an error of 24 * 6e-8 in log N into one in N.
TOLERANCE = {"float64": 1e-9, "float32": 2e-5}
SEED = 0


class Grid(NamedTuple):
    """Scenario `i` has loss `i // COLUMNS` and demand `i % COLUMNS`, evenly spaced."""

    rows: int

    @property
    def loss_axis(self) -> tuple[float, float]:
        """First loss and the step from one to the next."""
        return LOSSES[0], (LOSSES[1] - LOSSES[0]) / max(1, self.rows - 1)

    @property
    def log_demand_axis(self) -> tuple[float, float]:
        """Logarithm of the first demand and the step from one to the next."""
        low, high = map(math.log, DEMANDS)
        return low, (high - low) / (COLUMNS - 1)

    def arrays(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """All losses and demands of the grid, computed in `dtype`."""
        index = np.arange(self.rows * COLUMNS)
        (loss, loss_step), (log, log_step) = (
            np.array(axis, dtype) for axis in (self.loss_axis, self.log_demand_axis)
        )
        row, column = ((index // COLUMNS).astype(dtype), (index % COLUMNS).astype(dtype))
        return loss + loss_step * row, np.exp(log + log_step * column)


def grid_axes(rows: int, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """Losses and demands of a grid as a user makes them: axes in float64."""
    return np.linspace(*LOSSES, rows), np.geomspace(*DEMANDS, columns)


@functools.lru_cache(maxsize=2)
def random_scenarios(count: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses, uniform, and demands, log-uniform: the same draws for every row and dtype."""
    rng = np.random.default_rng(SEED)
    loss = rng.uniform(*LOSSES, count).astype(dtype)
    demand = rng.uniform(*np.log(DEMANDS), count)
    demand = np.exp(demand, out=demand).astype(dtype)
    loss.flags.writeable = demand.flags.writeable = False
    return loss, demand


def law_in(dtype: str) -> Coefficients:
    """The coefficients as `dtype` rounds them."""
    return Coefficients(*(float(np.dtype(dtype).type(value)) for value in LAW))


def true_plans(
    loss: np.ndarray, demand: np.ndarray, dtype: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """N and D by bisection on the equation as printed, in the widest float there is.

    Inputs count as the numbers that they are, and the law as rounded to `dtype`, by default theirs.
    """
    E, A, B, alpha, beta = map(np.longdouble, law_in(dtype or loss.dtype.name))
    reducible, demand = loss.astype(np.longdouble) - E, demand.astype(np.longdouble)
    low, high = np.zeros_like(reducible), np.full_like(reducible, 100)  # of log D
    for _ in range(80):  # halves the interval below the last bit
        middle = (low + high) / 2
        tokens = np.exp(middle)
        term = B * tokens**-beta
        excess = term * (1 + beta / alpha) + beta / (3 * alpha) * demand / tokens * term - reducible
        low, high = np.where(excess > 0, middle, low), np.where(excess > 0, high, middle)
    tokens = np.exp((low + high) / 2)
    return (A / (reducible - B * tokens**-beta)) ** (1 / alpha), tokens
