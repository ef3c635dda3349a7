"""`score_design`: how good a plan a design would give, by simulated tables of its losses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._display import dataframe, html, table
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import count, percent, scientific
from jaxscale.experiments._design import Design, checked_number
from jaxscale.experiments._tables import Tables, fit_tables
from jaxscale.fitting._fit import Fit, checked_for, fit
from jaxscale.fitting._jacobian import gradients
from jaxscale.fitting.resampling import checked_count, generator
from jaxscale.fitting.runs import Runs
from jaxscale.laws.protocol import Law, check_law, levers_of
from jaxscale.plan import lever_values
from jaxscale.solve.frontier import compute_optimal

STEP = 0.05  # of ln C, on both sides, for the exponent
LEAST_OK = 0.5  # of the tables


class Accuracy(NamedTuple):
    """Errors of one quantity over the simulated tables, and its intervals."""

    truth: float
    bias: float  # mean of the errors
    rmse: float  # their root mean square
    coverage: float  # share of the intervals that hold the truth; NaN where none is known
    width: float  # of an interval, median


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """How good a plan a design would give for a budget. Prints itself as a table.

    Errors of `params` and `tokens` are of their natural logarithms, so that 0.1 is about 10 %;
    those of `loss` are in nats per token, and those of `exponent` as it is. `regret` is what the
    loss of the plan, which is made by a fitted law, is on average above the best, in nats.
    """

    at: float  # training FLOPs of the plan
    noise: float  # standard deviation of the logarithm of a loss
    tables: int
    level: float  # of the intervals
    ok: float  # share of the tables whose fit is at a certified minimum and has a plan
    params: Accuracy
    tokens: Accuracy
    loss: Accuracy
    exponent: Accuracy  # of params in the budget: N* ~ C^a
    regret: float

    def to_dataframe(self) -> "DataFrame":
        """A pandas DataFrame with a row for each quantity."""
        rows = self._quantities()
        columns = {name: [getattr(x, name) for x in rows.values()] for name in Accuracy._fields}
        return dataframe(columns, index=list(rows))

    def __repr__(self) -> str:
        return "\n".join([table(*self.cells(), title=self._title()), self.advice()])

    def _repr_html_(self) -> str:
        return html(*self.cells(), title=f"{self._title()} {self.advice()}")

    def _quantities(self) -> dict[str, Accuracy]:
        names = "params", "tokens", "loss", "exponent"
        return {name: getattr(self, name) for name in names}

    def _title(self) -> str:
        return (
            f"Plan for {scientific(self.at)} FLOPs from {self.tables} simulated tables, noise "
            f"{percent(self.noise)}, {self.ok:.0%} of fits ok"
        )

    def advice(self) -> str:
        """One sentence: what a plan by a fitted law would lose."""
        return f"Loss of the plan above the best: {self.regret:.2g} nats on average."

    def cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Header and rows of the table, as text."""
        header = ("", "truth", "bias", "error (RMSE)", f"{self.level:.0%} intervals hold", "width")
        write = {"params": _percents, "tokens": _percents, "loss": _nats, "exponent": _nats}
        rows: list[tuple[str, ...]] = []
        for name, each in self._quantities().items():
            write_error = write[name]
            truth = count(each.truth) if name in ("params", "tokens") else f"{each.truth:.4f}"
            held = "-" if np.isnan(each.coverage) else f"{each.coverage:.0%}"
            errors = write_error(each.bias, True), write_error(each.rmse), held
            rows.append((name, truth, *errors, write_error(each.width)))
        return header, rows


def _percents(log: float, signed: bool = False) -> str:
    """A difference of logarithms in percent of the number itself, or as a factor beyond 2."""
    if np.isnan(log):
        return "-"
    if abs(log) > np.log(2):
        return f"x {np.exp(log):.3g}"
    sign = "+" if signed and log > 0 else ""
    return f"{sign}{percent(float(np.expm1(log)))}"


def _nats(x: float, signed: bool = False) -> str:
    return "-" if np.isnan(x) else f"{x:+.4f}" if signed else f"{x:.4f}"


def score_design(
    design: Design | Runs,
    law: Law,
    *,
    at: float,
    noise: float = 0.005,
    tables: int = 200,
    key: Any = 0,
    family: type | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
    level: float = 0.95,
    advance: Callable[[int], None] | None = None,
    **options: Any,
) -> Score:
    """How good a plan fits to a design would give for a budget, if a law were true.

    Losses of the design are simulated from the law many times, with normal noise in their
    logarithms. Each table is fitted as by `fit`, and its plan for `at` FLOPs compared with the
    true one. Intervals are those of the fit's covariance, by the delta method. The answer is only
    as good as the law and the noise that it assumes. 200 tables give an RMSE within 5 %.

    Args:
        design: sizes to train: from `design`, or runs, whose losses are not read.
        law: the law that losses are simulated from.
        at: training FLOPs of the plan.
        noise: standard deviation of the logarithm of a loss.
        tables: how many to simulate.
        key: a JAX key or a whole number.
        family: the class to fit; that of the law by default.
        levers: of the plan; needed where the design has several values of a lever.
        level: of the intervals.
        advance: called with how many more tables are done, for a progress bar.
        options: keywords of `fit`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: a number is out of range, a lever is missing, or the design cannot identify the
            family even without noise.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> for span in (0.5, 1.2):
        ...     design = js.design(law, budget=1e21, span=span)
        ...     score = js.experiments.score_design(design, law, at=1e23, key=1)
        ...     print(f"{span} decades: ln params off by {score.params.rmse:.2f}")
        0.5 decades: ln params off by 0.18
        1.2 decades: ln params off by 0.08
    """
    check_law(law)
    if not isinstance(design, Design | Runs):
        raise TypeError(f"design must be of js.design, or js.Runs; got {type(design).__name__}")
    checked_count("tables", tables, least=2)
    at = checked_number("at", at)
    for name, number in (("noise", noise), ("level", level)):
        if checked_number(name, number) >= 1:
            raise ValueError(f"{name} must be above 0 and below 1; got {number!r}")
    family = type(law) if family is None else family
    with jax.enable_x64(True):
        known = {name: np.asarray(x, np.float64) for name, x in (design.levers or {}).items()}
        exact = np.asarray(interpreted(law.loss, design.params, design.tokens, **known))
        runs = checked_for(family, Runs(design.params, design.tokens, exact, levers=known or None))
        fitted = fit(family, runs, **options)
        if fitted.claims.unidentified or fitted.problem.run_count <= len(fitted.names):
            named = ", ".join(fitted.claims.unidentified)
            others = "sizes, budgets or levers" if known else "sizes or budgets"
            raise ValueError(
                f"the design does not identify {named or 'the law'} of {family.__name__}, even "
                f"without noise: add runs of other {others}"
            )
        random = generator(key).standard_normal((tables, len(exact)))
        losses = exact * np.exp(noise * random)
        made = fit_tables(fitted, losses, options, advance)
        asked = _Asked(at, _of_plan(law, levers, known))
        return _scored(law, fitted, made, asked, noise, level)


class _Asked(NamedTuple):
    """The plan that is asked for."""

    at: float
    levers: dict[str, float]


def _of_plan(
    law: Law, levers: Mapping[str, ArrayLike] | None, known: dict[str, np.ndarray]
) -> dict[str, float]:
    """Values of the levers that the plan is made for."""
    needed = levers_of(law)
    single = {name: x[0] for name, x in known.items() if name in needed and np.ptp(x) == 0}
    values = lever_values(law, single | dict(levers or {}))
    return {name: float(np.asarray(x)) for name, x in values.items()}


def _answers(law: Any, asked: _Asked) -> Array:
    """Ln of the best params and tokens, their loss, and the exponent of params; first axis."""
    flops = asked.at * np.exp(np.array([-STEP, 0.0, STEP]))
    below, plan, above = (compute_optimal(law, flops=x, levers=asked.levers) for x in flops)
    exponent = (jnp.log(above.params) - jnp.log(below.params)) / (2 * STEP)
    return jnp.stack([jnp.log(plan.params), jnp.log(plan.tokens), plan.loss, exponent])


def _scored(law: Law, exact: Fit, made: Tables, asked: _Asked, noise: float, level: float) -> Score:
    """Errors of the tables' plans."""
    truth = np.asarray(interpreted(_answers, law, asked))
    if not np.isfinite(truth).all():
        raise ValueError(f"the law has no compute-optimal plan at {scientific(asked.at)} FLOPs")

    laws = exact.problem.laws(made.coordinates.T)
    values, slopes = gradients(lambda law: _answers(law, asked), laws, exact.problem.kernel.names)
    errors = values - truth
    ok = made.ok & np.isfinite(errors).all(axis=1)
    if ok.mean() < LEAST_OK:
        raise ValueError(f"only {ok.mean():.0%} of the tables have a fit with a plan: add runs")
    variance = np.einsum("tij,tjk,tik->ti", slopes, made.covariance, slopes)
    reach = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(np.maximum(variance, 0))
    names = "params", "tokens", "loss", "exponent"
    scale = np.array([np.exp(truth[0]), np.exp(truth[1]), *truth[2:]])
    return Score(
        asked.at,
        noise,
        len(ok),
        level,
        float(ok.mean()),
        **{name: _accuracy(scale[i], errors[ok, i], reach[ok, i]) for i, name in enumerate(names)},
        regret=_regret(law, values[ok], float(truth[2]), asked),
    )


def _accuracy(truth: float, errors: np.ndarray, reach: np.ndarray) -> Accuracy:
    known = np.isfinite(reach)
    coverage = float(np.mean(np.abs(errors[known]) <= reach[known])) if known.any() else np.nan
    width = float(2 * np.median(reach[known])) if known.any() else np.nan
    rmse = float(np.sqrt(np.mean(errors**2)))
    return Accuracy(float(truth), float(errors.mean()), rmse, coverage, width)


def _regret(law: Law, values: np.ndarray, best: float, asked: _Asked) -> float:
    """What the true loss of the plans is above the best one for the same FLOPs, on average."""
    losses = interpreted(law.loss, np.exp(values[:, 0]), np.exp(values[:, 1]), **asked.levers)
    return float(np.mean(losses) - best)


if TYPE_CHECKING:
    from pandas import DataFrame
