"""`design`: a first set of runs for a budget, in levels of equal FLOPs around a guessed optimum."""

import csv
import itertools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxscale._display import dataframe, html, table
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import count, scientific
from jaxscale.costs import Costs
from jaxscale.fitting.resampling import checked_count
from jaxscale.fitting.runs import Runs
from jaxscale.laws.inverse import tokens_of_flops
from jaxscale.laws.protocol import Law, check_law
from jaxscale.plan import lever_values
from jaxscale.solve.frontier import compute_optimal

if TYPE_CHECKING:
    from pandas import DataFrame

LEVELS, SIZES, REPLICATES = 5, 6, 2
STEP = math.sqrt(10)
SPAN = 1.2  # decades: simple-scaling-laws 0.2.0 found profiles best near it
# Of ln params and ln tokens: beyond this the two terms of a law can hardly be told apart.
MOST_CORRELATION = 0.95


@dataclass(frozen=True, eq=False, repr=False)
class Design:
    """Runs to train, the cheapest first. Prints itself as a table.

    Columns are float64 arrays of one length. `cost` is in the unit of the costs that the design was
    made with, FLOPs by default.

    Examples:
        >>> design = js.design(js.laws.published("besiroglu2024"), budget=1e21)
        >>> losses = design.law.loss(design.params, design.tokens)  # here of the law itself
        >>> print(js.fit(js.laws.Chinchilla, design.observed(losses)).ok)
        True
    """

    params: np.ndarray
    tokens: np.ndarray
    flops: np.ndarray
    cost: np.ndarray
    levers: dict[str, np.ndarray]
    law: Any  # the guess that sizes are centred at

    def __len__(self) -> int:
        return len(self.params)

    @property
    def cumulative_cost(self) -> np.ndarray:
        """Cost of each run and all before it."""
        return np.cumsum(self.cost)

    @property
    def total_cost(self) -> float:
        """Cost of all runs."""
        return float(self.cost.sum())

    @property
    def correlation(self) -> float:
        """Correlation of ln params and ln tokens: near 1 or -1 no fit can tell the two apart."""
        return correlation(self.params, self.tokens)

    def observed(self, loss: ArrayLike) -> Runs:
        """The runs with their losses, in nats per token and in the order of the table, for `fit`.

        Raises ValueError unless there is one loss for each run.
        """
        losses = np.asarray(loss, np.float64)
        if losses.shape != self.params.shape:
            raise ValueError(f"loss must have {len(self)} values; got shape {losses.shape}")
        return Runs(self.params, self.tokens, losses, levers=self.levers or None)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write a CSV file, a line for each run; with a column `loss` added, `fit` reads it.

        Raises OSError where it cannot be written.
        """
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            rows = zip(*self.columns.values(), strict=True)
            writer.writerows([f"{x:.12g}" for x in row] for row in rows)

    def to_dataframe(self) -> "DataFrame":
        """A pandas DataFrame with a row for each run."""
        return dataframe(self.columns)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The columns of the table by name; cost only where it is not FLOPs."""
        sizes = {"params": self.params, "tokens": self.tokens, **self.levers, "flops": self.flops}
        priced = {} if np.array_equal(self.cost, self.flops) else {"cost": self.cost}
        return sizes | priced | {"cumulative_cost": self.cumulative_cost}

    def __repr__(self) -> str:
        return table(*self._rows(), title=self._title(), total=len(self))

    def _repr_html_(self) -> str:
        return html(*self._rows(), title=self._title(), total=len(self))

    def _title(self) -> str:
        ratio = self.tokens / self.params
        return (
            f"{len(self)} runs for {self._cost(self.total_cost)}, {count(ratio.min())} to "
            f"{count(ratio.max())} tokens per param, correlation of sizes {self.correlation:.2f}"
        )

    def _cost(self, cost: float) -> str:
        return count(cost) if "cost" in self.columns else f"{scientific(cost)} FLOPs"

    def _rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        columns = self.columns
        total = count if "cost" in columns else scientific
        written = {"flops": scientific, "cumulative_cost": total}
        rows = [
            tuple(written.get(name, count)(float(x)) for name, x in zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
        return tuple(name.replace("_", " ") for name in columns), rows


def design(
    law: Law,
    budget: float,
    *,
    levels: int = LEVELS,
    step: float = STEP,
    sizes: int = SIZES,
    span: float = SPAN,
    replicates: int = REPLICATES,
    costs: Costs | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> Design:
    """A first set of runs: levels of equal FLOPs, each of several sizes around the best guess.

    All runs together cost `budget`. Each level has `sizes` models, evenly spaced in logarithm
    within `span` decades of the compute-optimal one, and `replicates` more of that one, which also
    show the noise between runs. The guess need not be right: a wide range of sizes costs no more
    than a narrow one, and the fit of the runs replaces the guess.

    Args:
        law: a published law, or a guess.
        budget: what all runs may cost: training FLOPs, or the unit of `costs`.
        levels: how many budgets of a single run, each `step` times the one before.
        step: ratio between neighbouring levels.
        sizes: models of each level, at least 3.
        span: decades from the best size to the smallest and to the largest.
        replicates: further runs of the best size, at each level.
        costs: prices of a FLOP; only that of training counts. FLOPs by default.
        levers: a value for each lever of the law, or several, which each get all runs.

    Warns where the correlation of ln params and ln tokens is beyond 0.95 either way: a fit can then
    hardly tell what each of them does.

    Raises:
        TypeError: the law or the costs are not such.
        ValueError: a number is out of range, a lever is unknown or has no value, the law has no
            compute-optimal size at a level, or a run would have less than one param or token.

    Source: the ranges and replicates are those of simple-scaling-laws 0.2.0 (`isoflop_grid`).

    Examples:
        >>> design = js.design(js.laws.published("besiroglu2024"), budget=1e21)
        >>> print(f"{len(design)} runs, the largest of {design.flops.max():.2g} FLOPs")
        40 runs, the largest of 8.6e+19 FLOPs
    """
    check_law(law)
    checked_count("levels", levels, least=1)
    checked_count("sizes", sizes, least=3)
    checked_count("replicates", replicates, least=0)
    budget, span = checked_number("budget", budget), checked_number("span", span)
    step, price = checked_number("step", step, above=1.0), _price(costs)
    combinations = _combinations(law, dict(levers or {}))
    shares = step ** np.arange(1.0 - levels, 1.0)
    runs_of_level = (sizes + replicates) * len(combinations)
    largest = budget / price / (runs_of_level * shares.sum())
    offsets = np.sort(np.concatenate([np.linspace(-span, span, sizes), np.zeros(replicates)]))
    parts = [_runs(law, largest * shares, offsets, chosen) for chosen in combinations]
    params, tokens, flops = (np.concatenate(x, axis=1).ravel() for x in zip(*parts, strict=True))
    _check_sizes(params, tokens)
    shape = levels, len(offsets)
    levered = {
        name: np.concatenate([np.full(shape, chosen[name]) for chosen in combinations], axis=1)
        for name in combinations[0]
    }
    made = Design(
        params, tokens, flops, price * flops, {name: x.ravel() for name, x in levered.items()}, law
    )
    if abs(made.correlation) > MOST_CORRELATION:
        warnings.warn(
            f"ln params and ln tokens of these runs have a correlation of {made.correlation:.2f}: "
            "a fit can hardly tell what each does; widen span, or spread the levels",
            stacklevel=2,
        )
    return made


def correlation(params: np.ndarray, tokens: np.ndarray) -> float:
    """Correlation of ln params and ln tokens; 1 where one of them is the same for all runs."""
    logs = np.log(params), np.log(tokens)
    if min(np.ptp(x) for x in logs) == 0:
        return 1.0
    return float(np.corrcoef(*logs)[0, 1])


def checked_number(name: str, value: Any, above: float = 0.0) -> float:
    """A single number as a float; ValueError unless it is finite and above a bound."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > above):
        raise ValueError(f"{name} must be finite and above {above:g}; got {value!r}")
    return number


def _price(costs: Costs | None) -> float:
    """The price of a training FLOP."""
    if costs is None:
        return 1.0
    if not isinstance(costs, Costs):
        raise TypeError(f"costs must be js.Costs; got {costs!r} ({type(costs).__name__})")
    return checked_number("costs.train", costs.train)


def _combinations(law: Law, levers: dict[str, ArrayLike]) -> list[dict[str, float]]:
    """All combinations of the values of the levers; a single empty one where there is no lever."""
    values = {name: _numbers(name, x) for name, x in lever_values(law, levers).items()}
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def _numbers(name: str, values: ArrayLike) -> list[float]:
    try:
        numbers = np.ravel(np.asarray(values, np.float64)).tolist()
    except (TypeError, ValueError):
        numbers = []
    if not numbers:
        raise ValueError(f"levers: {name} must be a number or several; got {values!r}")
    return numbers


def _check_sizes(params: np.ndarray, tokens: np.ndarray) -> None:
    """ValueError where a model would have less than one param or token, or more than can be."""
    for name, sizes in (("params", params), ("tokens", tokens)):
        if not (np.isfinite(sizes) & (sizes >= 1)).all():
            raise ValueError(
                f"runs must have at least one param and one token; these have {name} from "
                f"{sizes.min():.3g} to {sizes.max():.3g}: give a larger budget or a smaller span"
            )


def _runs(
    law: Law, flops: np.ndarray, offsets: np.ndarray, levers: dict[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Params, tokens and FLOPs of the runs at some levers: levels, sizes."""
    with jax.enable_x64(True):
        # A few plans, which take longer to compile.
        best = interpreted(compute_optimal, law, flops=flops, levers=levers)
        bad = np.flatnonzero(~np.asarray(best.ok))
        if bad.size:
            raise ValueError(
                f"law has no compute-optimal size at {scientific(float(flops[bad[0]]))} FLOPs, "
                "around which to lay out runs: choose another law, or other levers"
            )
        with np.errstate(over="ignore"):  # of a span that is refused
            params = np.asarray(best.params)[:, None] * 10.0**offsets
        spent = np.broadcast_to(flops[:, None], params.shape)
        tokens = np.asarray(interpreted(tokens_of_flops, law, spent, params, **levers))
    return params, tokens, spent
