"""The bootstrap: laws fitted to resampled runs.

A resample is the same runs with other weights, so one compiled program serves all. A few Newton
steps from the fit's own optimum reach the minimum of nearly every resample of well identified data.
Where data identify a law weakly, a resample may prefer another valley, and gets starts of its own.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.scipy.special import ndtr, ndtri

from jaxscale._display import dataframe, figure, html, table
from jaxscale.fitting._fit import Fit, checked_fit
from jaxscale.fitting._small_samples import widening
from jaxscale.fitting.certificate import FitStatus, bound_status, is_stationary
from jaxscale.fitting.claims import MOST_ERROR
from jaxscale.fitting.constraints import exponents_of, least_of_e
from jaxscale.fitting.descent import Arrival
from jaxscale.fitting.kernel import Numbers
from jaxscale.fitting.objectives import LEAST_DELTA, AbsoluteError, HuberLikelihood
from jaxscale.fitting.problem import Problem, chunks, newton, reweighted, run
from jaxscale.fitting.resampling import (
    BLOCK,
    checked_count,
    checked_indices,
    key_words,
    multiplicities,
    weighed,
)
from jaxscale.fitting.starts import grid

WARM_STEPS, MORE_STEPS = 12, 100
OWN_KEPT, OWN_STEPS = 4, 200
# Where the fit has E at 0, how many lost resamples are searched anew before the others start from
# their minima, and how often the others do.
PILOTS, ROUNDS = 16, 3
PART_CHUNKS = 16  # of lanes, in each part: enough that its few slow resamples fill a chunk, too
DISAGREEMENT = 0.2  # of standard errors: above this, a warning
JUDGED_ON = 200  # resamples, or more: fewer say little of a standard error
LEVEL = 0.95  # of the intervals that the spread of groups is made for

Method = Literal["percentile", "basic", "bca"]
Fn = Callable[[Any], Any]


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Laws fitted to resamples of the runs: `law` has one leading axis, in float64.

    It goes as it is into `minimize_cost`, or as `js.rows(boot.law)` into a `Sample`.
    """

    law: Any
    objective: np.ndarray
    status: np.ndarray  # int8, members of FitStatus
    fit: Fit
    coordinates: np.ndarray  # as of the fit, with resamples last

    @property
    def ok(self) -> np.ndarray:
        """Which resamples ended at a certified minimum inside all bounds."""
        return self.status == FitStatus.OK

    @property
    def covariance(self) -> np.ndarray:
        """Covariance over the resamples, ordered as the fit's; NaN for what is not identified."""
        order, names = self.fit.names, self.fit.problem.kernel.names
        index = [order.index(name) for name in names]
        whole = np.zeros((len(order), len(order)))
        whole[np.ix_(index, index)] = np.cov(self.coordinates)
        silent = np.array([not self.is_known(name) for name in order])
        return np.where(silent[:, None] | silent, np.nan, whole)

    @property
    def standard_errors(self) -> Any:
        """The standard deviation of each coefficient over the resamples, as a law.

        NaN for what the runs do not identify, and where a few resamples are so far off that
        the deviation is over a hundred times the coefficient.
        """
        return type(self.fit.law)(**{name: self._error(name) for name in self.fit.names})

    @property
    def not_ok(self) -> dict[str, int]:
        """Numbers of resamples without a certified minimum inside all bounds, by status."""
        names = [FitStatus(int(code)).name for code in self.status]
        return {name: names.count(name) for name in sorted(set(names)) if name != "OK"}

    def is_known(self, name: str) -> bool:
        """Whether the resamples tell the spread of a coefficient.

        They do not where the runs leave it open, or where none moves it from a bound.
        """
        claims = self.fit.claims
        still = name in claims.at_bound and np.ptp(getattr(self.law, name)) == 0
        return name not in claims.unidentified and not still

    def _error(self, name: str) -> float:
        draws = getattr(self.law, name)
        error = float(np.std(draws, ddof=1)) if self.is_known(name) else math.nan
        size = max(abs(float(getattr(self.fit.law, name))), float(np.median(np.abs(draws))))
        return error if error <= MOST_ERROR * size else math.nan

    def interval(
        self, fn: Fn, level: float = 0.95, method: Method = "percentile"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of an interval for `fn(law)`, at the given level.

        `fn` takes a law with a leading axis and returns arrays with it. "percentile" are
        quantiles of the resamples, "basic" those mirrored at the fit, "bca" quantiles moved
        for bias and skewness (Efron 1987; needs a fit without each run, made on first use).
        All are NaN where `fn` depends on what the runs do not identify.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1; got {level!r}")
        if method not in ("percentile", "basic", "bca"):
            raise ValueError(f"method must be 'percentile', 'basic' or 'bca'; got {method!r}")
        with jax.enable_x64(True):
            draws, centre = _valued(fn, self.law), _valued(fn, _one(self.fit.law))[0]
            tails = (1 - level) / 2, (1 + level) / 2
            silent = _is_open(self.fit, fn, centre)
            if silent.any():
                draws = np.where(silent, np.nan, draws)
            if method == "bca":
                jackknifed = _valued(fn, self.jackknife)
                low, high = (_bca(draws, centre, jackknifed, tail) for tail in tails)
                return low, high
        low, high = np.quantile(draws, tails, axis=0)
        return (2 * centre - high, 2 * centre - low) if method == "basic" else (low, high)

    def intervals(
        self, level: float = 0.95, method: Method = "percentile"
    ) -> dict[str, tuple[float, float]]:
        """An interval for each coefficient, as `interval`."""
        intervals = {
            name: self.interval(lambda law, name=name: getattr(law, name), level, method)
            for name in self.fit.names
        }
        return {
            name: (float(low), float(high)) if self.is_known(name) else (math.nan, math.nan)
            for name, (low, high) in intervals.items()
        }

    def plot(self) -> Any:
        """A figure: the coefficients of the resamples in pairs, `js.plots.coefficient_pairs`."""
        return figure("coefficient_pairs", self)

    def __repr__(self) -> str:
        return table(*self._rows(), title=self._title())

    def _repr_html_(self) -> str:
        return html(*self._rows(), title=self._title())

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each resample: coefficients, objective and status."""
        columns = {name: np.ravel(getattr(self.law, name)) for name in self.fit.names}
        status = [FitStatus(int(each)).name for each in self.status]
        return dataframe(columns | {"objective": self.objective, "status": status})

    def _title(self) -> str:
        return f"{type(self.law).__name__} fitted to {self.objective.size:,} resamples"

    def _rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        ends, law = self.intervals(), self.fit.law
        rows = [
            (name, *(f"{x:.5g}" for x in (getattr(law, name), *ends[name], self._error(name))))
            for name in self.fit.names
        ]
        return ("", "fit", "2.5 %", "97.5 %", "std. error"), rows

    @cached_property
    def jackknife(self) -> Any:
        """The law without each run, or without each group of runs, in turn."""
        with jax.enable_x64(True):
            _, member = _units(self.fit)
            counts = 1 - np.eye(member.max() + 1)[:, member]
            return self.fit.problem.laws(_resampled(self.fit, counts)[0])


def bootstrap(
    fit: Fit,
    *,
    resamples: int = 4000,
    key: Any = None,
    indices: Any = None,
    advance: Callable[[int], None] | None = None,
) -> Bootstrap:
    """Laws fitted to resamples of the runs, in each of which runs have other weights.

    By `key` the weights are exponential, the Bayesian bootstrap of Rubin 1981; by `indices` they
    are how often a run was drawn, the bootstrap of Efron 1979. Draws leave out a third of the
    runs each time, and of 20 to 60 runs their intervals are too wide: of 95 %, they hold the best
    size at ten times the largest budget in 98 to 99 % of cases, and those by `key` in 94 to 98 %.

    Where the runs have groups, whole groups are weighed. These are few, so laws by `key` go
    `sqrt(n / (n - 1))` times Student's t over a normal quantile further from the fit, for n
    groups (Cameron and Miller 2015, VI). So do those of n runs for p coefficients, with n - p
    for n - 1, where most residuals are within delta or squared. `objective` and `status` are of
    the law before that.

    Computes in float64 on the host, whatever JAX's switch says. Warns where the standard error
    of an exponent differs by over a fifth from the one that the fit reports.

    Args:
        fit: a fit of any family.
        resamples: how many.
        key: a JAX key or a whole number. Give this or `indices`.
        indices: the runs of each resample, a row each, by their numbers; of groups, by the
            numbers of their sorted labels.
        advance: called with how many more resamples are done, for a progress bar.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: arguments do not fit together.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> boot = js.bootstrap(js.fit(js.laws.Chinchilla, runs), resamples=1000, key=1)
        >>> low, high = boot.interval(lambda law: law.alpha)
        >>> print(f"{low:.2f} to {high:.2f}")
        0.34 to 0.37
    """
    made = resampled_laws(fit, resamples, key, indices, advance)
    _warn_of_disagreement(made)
    return made


def resampled_laws(
    fit: Fit,
    resamples: int,
    key: Any,
    indices: Any = None,
    advance: Callable[[int], None] | None = None,
) -> Bootstrap:
    """The same as `bootstrap`, without its warning."""
    fit = checked_fit("bootstrap", fit)
    if (key is None) == (indices is None):
        raise ValueError("bootstrap takes exactly one of key and indices")
    names, member = _units(fit)
    counted = np.unique(member[fit.problem.weights[: fit.problem.run_count] > 0]).size
    if counted < 2:
        raise ValueError("all runs are of one group: nothing can be resampled")
    if indices is None:
        count = checked_count("resamples", resamples, least=2)
        blocks: Iterator[np.ndarray] = weighed(len(names), count, key_words(key))
    else:
        kind = "runs" if fit.runs.group is None else "groups"
        table = checked_indices(indices, len(names), kind)
        parts = (table[part] for part in chunks(len(table), BLOCK))
        blocks = (multiplicities(rows, len(names)) for rows in parts)
    with jax.enable_x64(True):
        ends: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for counts in _gathered(blocks, fit.problem):
            ends.append(_resampled(fit, counts[:, member]))
            if advance is not None:
                advance(len(counts))
    coordinates, objective, status = (np.concatenate(x, axis=-1) for x in zip(*ends, strict=True))
    if indices is None:
        coordinates = _spread(fit, coordinates, _spread_of(fit, counted))
    return Bootstrap(fit.problem.laws(coordinates), objective, status, fit, coordinates)


def _spread_of(fit: Fit, units: int) -> float:
    """How much further than they do the laws of resamples should go from the fit.

    Squared residuals about p coefficients are too small by n - p over n. Absolute ones are, too,
    but resamples of a median spread too far by as much, and Huber's delta is small.
    """
    if fit.runs.group is not None:
        return widening(units, 1, LEVEL)
    free = fit.problem.constraints.free_count
    if 2 * fit.certificate.quadratic_runs < units or units <= free:
        return 1.0
    return widening(units, free, LEVEL)


def _spread(fit: Fit, coordinates: np.ndarray, factor: float) -> np.ndarray:
    """Coordinates `factor` times as far from the fit's, within their bounds."""
    if factor == 1:
        return coordinates
    problem, centre = fit.problem, fit.coordinates[:, None]
    wider = centre + factor * (coordinates - centre)
    if least_of_e(problem.kernel, fit.runs.loss) is not None:
        # A logarithm is -inf where E is 0: of any E above, it would make one above all losses.
        at = problem.kernel.names.index("E")
        e, best = np.exp(coordinates[at]), np.exp(centre[at])
        wider[at] = np.log(np.maximum(best + factor * (e - best), np.finfo(float).tiny))
    return problem.uncentred(problem.constraints.start(problem.centred(wider)))


def _units(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """The units that are resampled, and which of them each run belongs to."""
    group = fit.runs.group
    return np.unique(np.arange(len(fit.runs)) if group is None else group, return_inverse=True)


def _gathered(blocks: Iterator[np.ndarray], problem: Problem) -> Iterator[np.ndarray]:
    """Weights of the units, in parts that fill the device."""
    waiting: list[np.ndarray] = []
    for rows in blocks:
        waiting.append(rows)
        if sum(map(len, waiting)) >= PART_CHUNKS * problem.lanes:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


class _Best(NamedTuple):
    """The lowest point so far of each resample."""

    coordinates: Numbers  # of the problem, resamples last
    value: Numbers
    converged: Numbers

    def with_lower(self, problem: Problem, lanes: np.ndarray, arrival: Arrival) -> "_Best":
        """The lowest points with those of some lanes, where lower, or as low and converged."""
        converged, near = is_stationary(problem, arrival), 1e-12 * np.abs(self.value[lanes])
        lower = arrival.value < self.value[lanes] - near
        level = arrival.value <= self.value[lanes] + near
        better = lower | (level & converged & ~self.converged[lanes])
        changed = _Best(*map(np.array, self))
        for old, new in zip(changed, (arrival.coordinates, arrival.value, converged), strict=True):
            old[..., lanes[better]] = new[..., better]
        return changed


def _resampled(fit: Fit, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, objective and status for rows of weights of the runs."""
    problem = fit.problem
    weights = np.zeros((len(counts), problem.weights.size))
    weights[:, : problem.run_count] = counts * problem.weights[: problem.run_count]
    here = np.repeat(problem.centred(fit.coordinates)[:, None], len(counts), axis=1)
    best = _converged_from(problem, here, weights)
    weak = fit.certificate.is_weak
    lost = np.arange(len(counts)) if weak else np.flatnonzero(~best.converged)
    if fit.status == FitStatus.E_AT_ZERO and not weak:
        lost, first = lost[PILOTS:], lost[:PILOTS]
        best = _searched_anew(problem, weights, first, best)
        for _ in range(ROUNDS):
            best = _converged_beside(problem, weights, first, lost, best)
            first, lost = np.append(first, lost), lost[~best.converged[lost]]
    best = _searched_anew(problem, weights, lost, best)
    coordinates = problem.uncentred(best.coordinates)
    return coordinates, _objective(fit, best, weights), _status(fit, best)


def _converged_from(problem: Problem, starts: np.ndarray, weights: np.ndarray) -> _Best:
    """A few Newton steps for all lanes, and more for those that have not converged."""
    arrival = run(problem, starts, weights, newton(problem, WARM_STEPS))
    best = _Best(arrival.coordinates, arrival.value, is_stationary(problem, arrival))
    again = np.flatnonzero(~best.converged)
    if not again.size:
        return best
    more = newton(problem, MORE_STEPS)
    return best.with_lower(
        problem, again, run(problem, best.coordinates[:, again], weights[again], more)
    )


def _objective(fit: Fit, best: "_Best", weights: np.ndarray) -> np.ndarray:
    """The minimum of the kernel, in the units of the objective."""
    if isinstance(fit.loss_function, HuberLikelihood):
        return best.value + weights.sum(axis=1) * float(fit.loss_function.log_normaliser())
    if isinstance(fit.loss_function, AbsoluteError):
        return best.value / LEAST_DELTA
    return best.value


def _converged_beside(
    problem: Problem, weights: np.ndarray, known: np.ndarray, lanes: np.ndarray, best: _Best
) -> _Best:
    """Newton steps of some resamples, each from the minimum of a known one with near weights.

    No step leaves the plateau where E is 0, and a search anew takes eight times as many.
    """
    known = known[best.converged[known]]
    if not known.size or not lanes.size:
        return best
    shares = weights / weights.sum(axis=1, keepdims=True)
    apart = np.stack([np.square(shares[lanes] - shares[each]).sum(axis=1) for each in known])
    starts = best.coordinates[:, known[apart.argmin(axis=0)]]
    ends = run(problem, starts, weights[lanes], newton(problem, OWN_STEPS))
    return best.with_lower(problem, lanes, ends)


def _searched_anew(problem: Problem, weights: np.ndarray, lanes: np.ndarray, best: _Best) -> _Best:
    """The lowest points of some resamples, each searched from starts of its own."""
    for part in chunks(lanes.size, max(1, problem.lanes // OWN_KEPT)):
        best = _searched(problem, weights, lanes[part], best)
    return best


def _searched(problem: Problem, weights: np.ndarray, lanes: np.ndarray, best: _Best) -> _Best:
    """The lowest points of as many resamples as fill a chunk."""
    starts = problem.constraints.start(grid(problem, few=True))
    count = starts.shape[1]
    many = np.repeat(weights[lanes], count, axis=0)
    near = run(problem, np.tile(starts, lanes.size), many, reweighted(problem))
    value = np.where(np.isfinite(near.value), near.value, np.inf).reshape(lanes.size, count)
    kept = np.argsort(value, axis=1)[:, :OWN_KEPT] + count * np.arange(lanes.size)[:, None]
    ends = run(
        problem, near.coordinates[:, kept.ravel()], many[kept.ravel()], newton(problem, OWN_STEPS)
    )
    for nth in range(OWN_KEPT):
        best = best.with_lower(
            problem, lanes, Arrival(*(each[..., nth::OWN_KEPT] for each in ends))
        )
    return best


def _status(fit: Fit, best: _Best) -> np.ndarray:
    bound = bound_status(fit.problem, fit.runs.loss, best.coordinates)
    inside = np.where(best.converged, FitStatus.OK, FitStatus.NOT_STATIONARY).astype(np.int8)
    return np.where(bound == FitStatus.OK, inside, bound)


def _one(law: Any) -> Any:
    def one(x: float) -> np.ndarray:
        return np.array([x], np.float64)

    return jax.tree.map(one, law)


def _valued(fn: Fn, law: Any) -> np.ndarray:
    return np.asarray(fn(law), np.float64)


def _is_open(fit: Fit, fn: Fn, centre: np.ndarray) -> np.ndarray:
    """Where `fn` changes along a direction that no run depends on."""
    moves = 1e-4 * fit.claims.directions / np.abs(fit.claims.directions).max(axis=0, initial=0)
    if not moves.size:
        return np.zeros(np.shape(centre), bool)
    middle = fit.coordinates[:, None]
    up, down = (_valued(fn, fit.problem.laws(middle + sign * moves)) for sign in (1, -1))
    return np.any(np.abs(up - down) > 1e-8 * np.abs(centre), axis=0)


def _bca(draws: np.ndarray, centre: np.ndarray, jackknifed: np.ndarray, tail: float) -> np.ndarray:
    """The quantile whose level is moved for bias and skewness: Efron 1987, eq. 2.3 and 6.6."""
    below = np.mean(draws < centre, axis=0) + np.mean(draws == centre, axis=0) / 2
    bias = np.asarray(ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
    pull = jackknifed.mean(axis=0) - jackknifed
    spread = np.sum(pull**2, axis=0)
    skew = np.sum(pull**3, axis=0) / (6 * np.where(spread > 0, spread, 1) ** 1.5)
    z = bias + float(ndtri(tail))
    level = np.asarray(ndtr(bias + z / (1 - skew * z)))
    flat, levels = draws.reshape(len(draws), -1), np.ravel(level)
    ends = [np.quantile(column, q) for column, q in zip(flat.T, levels, strict=True)]
    return np.reshape(ends, np.shape(centre))


def _warn_of_disagreement(made: Bootstrap) -> None:
    if made.objective.size < JUDGED_ON:
        return
    kernel = made.fit.problem.kernel
    exponents = exponents_of(kernel)
    judged = exponents if exponents.any() else np.ones_like(exponents)
    whole = np.sqrt(np.maximum(np.diag(made.fit.covariance), 0))
    reported = dict(zip(made.fit.names, whole, strict=True))
    for name, row, counts in zip(kernel.names, made.coordinates, judged, strict=True):
        resampled = float(np.std(row, ddof=1))
        if counts and reported[name] > 0 and abs(reported[name] / resampled - 1) > DISAGREEMENT:
            logarithm = "the logarithm of " * kernel.positive[kernel.names.index(name)]
            warnings.warn(
                f"the standard error of {logarithm}{name} is {resampled:.3g} by resampling and "
                f"{reported[name]:.3g} by the {made.fit.covariance_method}: trust the resampling",
                stacklevel=3,
            )
