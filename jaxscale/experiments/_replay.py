"""`replay`: what a rule of selection would have learned from a pool of finished runs, and when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxscale._display import dataframe, html, table
from jaxscale._numerics.quantities import percent
from jaxscale.experiments._information import inverse, prior_widths
from jaxscale.experiments.selection import greedy
from jaxscale.fitting._fit import Fit, checked_for, fit
from jaxscale.fitting._jacobian import jacobian
from jaxscale.fitting._noise import SEED_NOISE
from jaxscale.fitting.resampling import generator
from jaxscale.fitting.runs import Runs
from jaxscale.laws.fitted import coefficients_of, fits_logarithm, held_by

Method = Literal["V", "D", "random"]
METHODS = "V", "D", "random"
SHARES = 0.01, 0.02, 0.05, 0.1
# Li et al. 2026 begin with the cheapest 2.5 runs a coefficient, within 2 % of the cost.
BEGIN_RUNS, BEGIN_SHARE = 2.5, 0.02
BATCH = 0.2  # of the runs so far, between two fits
ROUNDING = 1e-12  # of sums of shares


@dataclass(frozen=True, eq=False, repr=False)
class Replay:
    """Errors on the target runs by the share of the cost spent. Prints itself as a table.

    All arrays have one value for each share. `r2` is the share of the variance of the target
    losses that the fitted law predicts, from -1, as which anything below counts, to 1.
    """

    method: str
    shares: np.ndarray  # of the cost of the pool, that might be spent
    spent: np.ndarray  # that were spent
    count: np.ndarray  # of runs
    r2: np.ndarray
    rmse: np.ndarray  # root mean square of predicted less observed loss
    chosen: np.ndarray  # numbers of the runs in their order, as many as the last of `count`

    def to_dataframe(self) -> "DataFrame":
        """A pandas DataFrame with a row for each share."""
        return dataframe({name: getattr(self, name) for name in _COLUMNS})

    def __repr__(self) -> str:
        return table(*self._rows(), title=self._title())

    def _repr_html_(self) -> str:
        return html(*self._rows(), title=self._title())

    def _title(self) -> str:
        return f"Runs chosen by {self.method}: error on the target runs by share of the cost"

    def _rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        columns = zip(*(getattr(self, name) for name in _COLUMNS), strict=True)
        rows = [
            (percent(share), percent(spent), f"{count}", f"{r2:.3f}", f"{rmse:.4f}")
            for share, spent, count, r2, rmse in columns
        ]
        return ("budget", "spent", "runs", "R2", "RMSE"), rows


_COLUMNS = "shares", "spent", "count", "r2", "rmse"


def replay(
    runs: Runs,
    target: Runs,
    law: type,
    *,
    method: Method = "V",
    shares: Sequence[float] = SHARES,
    cost: ArrayLike | None = None,
    power: float = 0.4,
    key: Any = 0,
    **options: Any,
) -> Replay:
    """Errors on target runs, had runs been chosen from a pool by a rule, at growing budgets.

    Every rule begins with the cheapest runs, 2.5 for each coefficient of the law within 2 % of the
    cost. Then "V" chooses those that most reduce the variance of the predicted losses of the
    targets, and "D" those that tell most of all coefficients, both for their cost to a power;
    "random" draws runs that the budget still allows. Losses are seen only of runs that were chosen,
    and the law is fitted again whenever a fifth more of them have been.

    Args:
        runs: the pool.
        target: runs to predict, whose losses no rule sees.
        law: the family to fit.
        method: "V", "D" or "random".
        shares: budgets, as shares of the cost of the whole pool, in rising order.
        cost: of each run of the pool; training FLOPs, 6 N D, by default.
        power: of the cost: 0 for the most information, 1 for the most per cost.
        key: of "random": a JAX key or a whole number.
        options: keywords of `fit`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: a share, a cost or a method is wrong, or a row is one that `fit` refuses.

    Source: Li et al. 2026, arXiv 2604.22753, whose runs and rules this follows.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> runs = js.fitting.simulate(law, 100, key=1)
        >>> order = np.argsort(runs.flops)
        >>> pool, target = runs.select(order[:-20]), runs.select(order[-20:])
        >>> js.experiments.replay(pool, target, js.laws.Chinchilla, shares=[0.05, 0.2])
        Runs chosen by V: error on the target runs by share of the cost
        budget  spent  runs     R2    RMSE
        ----------------------------------
        5.0 %   5.0 %    21  0.751  0.0175
        20 %     20 %    32  0.911  0.0105
    """
    if method not in METHODS:
        raise ValueError(f"method must be 'V', 'D' or 'random'; got {method!r}")
    pool, held = checked_for(law, runs), checked_for(law, target)
    budgets = _checked_shares(shares)
    costs = _checked_costs(pool.flops if cost is None else cost, len(pool))
    if costs.min() > budgets[0]:
        raise ValueError(
            f"shares must buy a run: {budgets[0]:g} of the cost does not, the cheapest run is "
            f"{costs.min():.2g}"
        )
    with jax.enable_x64(True):
        return _replayed(_Pool(pool, held, law, costs, options), method, budgets, power, key)


class _Pool(NamedTuple):
    """The runs that may be chosen, and those to predict."""

    runs: Runs
    target: Runs
    law: type
    costs: np.ndarray  # shares of the cost of all
    options: dict[str, Any]

    def fitted(self, chosen: list[int]) -> Fit:
        return fit(self.law, self.runs.select(chosen), **self.options)

    def errors(self, fitted: Fit) -> tuple[float, float]:
        """R2, from -1 to 1, and root mean square error on the target runs."""
        target = self.target
        levers = target.levers or {}
        predicted = np.asarray(fitted.law.loss(target.params, target.tokens, **levers))
        if not np.isfinite(predicted).all():
            return -1.0, math.inf
        square = float(np.mean((predicted - target.loss) ** 2))
        r2 = 1 - square / max(float(np.var(target.loss)), np.finfo(float).tiny)
        return float(np.clip(r2, -1, 1)), math.sqrt(square)


def _replayed(pool: _Pool, method: Method, shares: np.ndarray, power: float, key: Any) -> Replay:
    order = generator(key).permutation(len(pool.costs))
    size = int(BEGIN_RUNS * _coefficients(pool.law))
    chosen = _affordable(
        pool, np.argsort(pool.costs, kind="stable")[:size], [], min(BEGIN_SHARE, shares[0])
    )
    made: list[tuple[float, int, float, float]] = []
    for share in shares:
        while True:
            ranked = order if method == "random" else _ranked(pool, chosen, share, method, power)
            new = _affordable(pool, ranked, chosen, share)
            if not new:
                break
            chosen = chosen + new
        spent = float(pool.costs[chosen].sum())
        made.append((spent, len(chosen), *pool.errors(pool.fitted(chosen))))
    spent, count, r2, rmse = map(np.array, zip(*made, strict=True))
    return Replay(method, shares, spent, count, r2, rmse, np.array(chosen))


def _coefficients(law: type) -> int:
    """Number of coefficients that a fit does not hold."""
    return len(coefficients_of(law)) - len(held_by(law))


def _affordable(pool: _Pool, ranked: np.ndarray, chosen: list[int], share: float) -> list[int]:
    """Those of the ranked runs, in their order, that a budget still allows."""
    left, new, seen = share - float(pool.costs[chosen].sum()), list[int](), set(chosen)
    for index in ranked.tolist():
        if index not in seen and pool.costs[index] <= left + ROUNDING:
            left -= float(pool.costs[index])
            new.append(index)
    return new


def _ranked(
    pool: _Pool, chosen: list[int], share: float, method: Literal["V", "D"], power: float
) -> np.ndarray:
    """The next batch by the rule: of the runs that the budget allows, those of the best score."""
    is_open = pool.costs <= share - pool.costs[chosen].sum() + ROUNDING
    is_open[chosen] = False
    candidates = np.flatnonzero(is_open)
    if not candidates.size:
        return candidates
    fitted = pool.fitted(chosen)
    names = fitted.problem.kernel.names
    slopes, goals = (
        np.nan_to_num(jacobian(fitted.law, x.params, x.tokens, x.levers, names=names))
        for x in (pool.runs, pool.target)
    )
    variance = _variance(fitted)
    matrix = slopes[chosen].T @ slopes[chosen] / variance
    # A weak prior: a few runs leave some direction open.
    matrix += np.diag(prior_widths(pool.law, names) ** -2.0)
    batch = max(1, math.ceil(BATCH * len(chosen)))
    picks = greedy(
        inverse(matrix),
        slopes[candidates],
        variance,
        goals,
        pool.costs[candidates],
        power=power,
        count=batch,
        cap=1,
        method=method,
    ).indices
    return candidates[picks]


def _variance(fitted: Fit) -> float:
    """Variance of the residual of one run: of those beyond what coefficients explain, at least."""
    freedom = max(1, len(fitted.residuals) - len(fitted.problem.kernel.names))
    scale = 1.0 if fits_logarithm(fitted.law) else float(np.abs(fitted.runs.loss).mean())
    return max(float(np.sum(fitted.residuals**2)) / freedom, (SEED_NOISE * scale) ** 2)


def _numbers(values: Any) -> np.ndarray:
    """As an array; an empty one where they are not numbers."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return np.empty(0)


def _checked_shares(shares: Sequence[float]) -> np.ndarray:
    checked = _numbers(shares)
    rising = checked.ndim == 1 and checked.size > 0 and bool((np.diff(checked) > 0).all())
    if not (rising and checked[0] > 0 and checked[-1] <= 1):
        raise ValueError(f"shares must rise, above 0 and up to 1; got {shares!r}")
    return checked


def _checked_costs(cost: ArrayLike, count: int) -> np.ndarray:
    """Costs as shares of their sum."""
    costs = _numbers(cost)
    if costs.shape != (count,) or not (np.isfinite(costs) & (costs > 0)).all():
        raise ValueError(f"cost must have {count} values, finite and above 0")
    return costs / costs.sum()


if TYPE_CHECKING:
    from pandas import DataFrame
