"""`suggest`: the runs that most reduce the uncertainty of a plan, and when to stop buying runs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale import _display
from jaxscale._numerics.quantities import count as counted
from jaxscale._numerics.quantities import dollars, scientific
from jaxscale.costs import Costs, Demand
from jaxscale.experiments._information import Information, information_of
from jaxscale.experiments.candidates import Candidates, around, budgets_within, candidates_of
from jaxscale.experiments.question import COST, LOSS, SIZE, Question, train_flops
from jaxscale.experiments.selection import (
    CHEAPEST_FIRST,
    Method,
    Selection,
    greedy,
    updated,
    within_budget,
)
from jaxscale.fitting import Bootstrap, Fit, gradients, jacobian
from jaxscale.laws.fitted import fits_logarithm
from jaxscale.laws.protocol import levers_of

if TYPE_CHECKING:
    from pandas import DataFrame

FEWEST_DRAWS = 20
FLOPS, DOLLARS, OWN_UNIT = "FLOPs", "dollars", ""
LABELS = {SIZE: "ln N*", LOSS: "ln loss", COST: "ln cost"}


@dataclass(frozen=True, repr=False)
class Suggestion:
    """Runs to train next, a row each in the order of their worth, and when to stop.

    `sd_before` and `sd_after` are standard deviations of the goal, of several goals the root of
    their mean variance. `regret_before` and `regret_after` are expected: the nats by which a plan
    of the size that is now thought best misses the best loss of its budget, on average, which are
    half the curvature of the loss times the variance of ln N*. `saved` is the fall of that, times
    what a nat of the plan's loss costs.

    Only the first `worth` runs cost less than they save. Later ones are listed, but not worth
    their price by this law. Refit after each batch: all this is linear in what is known now.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> runs = js.fitting.simulate(law, 40, key=1, flops=(1e19, 1e20))
        >>> known = js.experiments.information(law, runs, noise=0.005)
        >>> next_runs = js.suggest(known, budgets=[1e20, 1e21], at=1e24, count=3)
        >>> print(next_runs.worth, f"{next_runs.sd_before[0]:.3f} to {next_runs.sd_after[-1]:.3f}")
        3 0.495 to 0.280
    """

    params: np.ndarray
    tokens: np.ndarray
    levers: dict[str, np.ndarray]
    index: np.ndarray  # of each run among the candidates
    cost: np.ndarray
    gain: np.ndarray  # by the method, when the run was chosen
    sd_before: np.ndarray
    sd_after: np.ndarray
    regret_before: np.ndarray  # nats
    regret_after: np.ndarray
    saved: np.ndarray  # in the unit of the cost
    worth: int
    goal: str  # in words
    unit: str  # "FLOPs", "dollars", or "" where a function gives the cost
    plan: Any  # the best plan by the law as it is
    marginal_cost: float  # of a nat of that plan's loss
    noise: float  # of one run
    candidates: int

    def __len__(self) -> int:
        return len(self.params)

    @property
    def cumulative_cost(self) -> np.ndarray:
        """Cost of each run and all before it."""
        return np.cumsum(self.cost)

    @property
    def knows_savings(self) -> bool:
        """Whether what each run saves is a number."""
        return bool(np.isfinite(self.saved).all())

    @property
    def advice(self) -> str:
        """What to train, and why to stop there, in a sentence."""
        if not len(self):
            return "No candidate reduces the uncertainty of the plan within the budget."
        if not self.knows_savings:
            return f"What a smaller error of {self.goal} saves is not known."
        spent, saved = float(self.cost[: self.worth].sum()), float(self.saved[: self.worth].sum())
        if not self.worth:
            return (
                f"Stop: the next run costs {self.price(float(self.cost[0]))}, and knowing the law "
                f"better saves {self.price(float(self.saved[0]))}."
            )
        whole = self.worth == len(self)
        runs = "run" if self.worth == 1 else f"{self.worth} runs"
        first = f"{'this' if self.worth == 1 else 'these'} {runs}" if whole else f"the first {runs}"
        cost, save = ("costs", "saves") if self.worth == 1 else ("cost", "save")
        sentence = (
            f"Train {first}: {'it' if self.worth == 1 else 'they'} {cost} {self.price(spent)} and "
            f"{save} {self.price(saved)} of expected regret"
        )
        if whole:
            return f"{sentence}. Then refit, and ask again."
        following = map(self.price, (float(self.cost[self.worth]), float(self.saved[self.worth])))
        return "{}. The next costs {} and saves {}: stop.".format(sentence, *following)

    def price(self, cost: float) -> str:
        """A cost in its unit: `$1.29M`, `4.86e23 FLOPs`."""
        if math.isnan(cost):
            return "not known"
        if self.unit == DOLLARS:
            return dollars(cost)
        return f"{scientific(cost)} {self.unit}".strip()

    def __repr__(self) -> str:
        header, rows = self._rows()
        return "\n".join([_display.table(header, rows, title=self._title()), self.advice])

    def _repr_html_(self) -> str:
        return _display.html(*self._rows(), title=f"{self._title()} {self.advice}")

    def to_dataframe(self) -> "DataFrame":
        """A pandas DataFrame with a row for each run."""
        return _display.dataframe(self.columns)

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Arrays by name, as long as there are runs."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            **self.levers,
            "cost": self.cost,
            "cumulative_cost": self.cumulative_cost,
            "gain": self.gain,
            "sd_before": self.sd_before,
            "sd_after": self.sd_after,
            "regret_before": self.regret_before,
            "regret_after": self.regret_after,
            "saved": self.saved,
            "worth": np.arange(len(self)) < self.worth,
        }

    def _title(self) -> str:
        return (
            f"Next runs for a plan of {counted(float(self.plan.params))} params on "
            f"{counted(float(self.plan.tokens))} tokens, of {self.candidates:,} candidates"
        )

    def _rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        header = ("", "params", "tokens", *self.levers, "cost", "all together")
        header += (f"sd of {self.goal}", "regret, nats", "saves")
        rows = [("now", *("" for _ in header[1:-3]), *self._state(0, before=True), "")]
        for i in range(len(self)):
            levers = (counted(float(x[i])) for x in self.levers.values())
            rows.append(
                (
                    f"{i + 1}",
                    counted(float(self.params[i])),
                    counted(float(self.tokens[i])),
                    *levers,
                    self.price(float(self.cost[i])),
                    self.price(float(self.cumulative_cost[i])),
                    *self._state(i, before=False),
                    self.price(float(self.saved[i])),
                )
            )
        return header, rows if len(self) else []

    def _state(self, i: int, before: bool) -> tuple[str, str]:
        sd, regret = (
            (self.sd_before, self.regret_before) if before else (self.sd_after, self.regret_after)
        )
        return (f"{sd[i]:.3g}", scientific(float(regret[i]))) if len(self) else ("", "")


def suggest(
    fit: Fit | Bootstrap | Information | str,
    candidates: Any = None,
    *,
    at: float,
    budgets: Any = None,
    goal: str | Callable[[Any], Any] = SIZE,
    cost: Costs | Callable[[Any, Any], Any] | None = None,
    demand: Demand | None = None,
    levers: Mapping[str, float] | None = None,
    noise: float | None = None,
    power: float = 0.4,
    count: int | None = None,
    budget: float | None = None,
    cap: int = 2,
    method: Method = "V",
) -> Suggestion:
    """The runs that most reduce the uncertainty of a plan, and the point where the next costs more.

    Derivatives of the law say how much a further run would tell of the goal, by rank-one updates
    of the covariance of the fit, which is robust to outliers. Runs are chosen one after another by
    the largest gain over their cost to the `power`. Within a budget a set of the largest gain is
    looked for by swaps, too; for the size of a plan, the set that saves the most beyond its cost is
    taken. Of a bootstrap, gains are averaged over 64 of its resamples, each with derivatives of its
    own: what is best does then not rest on the linearisation at one law.

    Below eight runs a weak prior joins them (`experiments.information` says which). Runs within a
    factor of sixteen of the best size alone are offered of `budgets`: beyond it laws fail.

    Sources: Li et al. 2026, arXiv 2604.22753, for the score; Hoffmann et al. 2022, eq. 4.

    Args:
        fit: a fit, the bootstrap of one, the name of a file of either, or
            `experiments.information` of a law and its runs.
        candidates: runs that may be trained: anything with `params` and `tokens`, and levers where
            the law has some; or a pair of columns.
        at: FLOPs of the plan that the runs are for, those of serving its demand included; with
            `Costs` in dollars, what so many FLOPs of training cost.
        budgets: FLOPs of single runs, in place of candidates: 31 sizes are offered of each. By
            default from a thousandth of `budget` to all of it, by half decades, but none below the
            smallest run of the fit, which `budget` has to pay for.
        goal: "N*", the logarithm of the plan's size; "loss", the logarithm of its loss, by "V" at
            five sizes within half a decade of it; "cost", the logarithm of the cost of the plan's
            loss; or a function of a law that returns one number or several of one unit.
        cost: `Costs` in dollars, or a function of params and tokens; the FLOPs of training by
            default.
        demand: tokens that the plan serves; none by default.
        levers: a value for each lever of the law, of the plan and of runs that have none.
        noise: standard deviation of the ln loss of a run; by default that of `fitting.noise_of`.
        power: 0 picks the most telling runs, always the dearest, and 1 the most telling by cost,
            always the cheapest.
        count: how many runs; one by default, and as many as the budget allows where there is one.
        budget: what all runs may cost together.
        cap: how often one candidate may be chosen.
        method: "V" for the variances of all goals together, "c" for that of one, "D" for all
            coefficients alike, whatever the goal.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: the runs of the fit do not identify what the goal rests on, the law has no plan,
            or arguments do not fit together.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 60, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> print(js.suggest(fit, budgets=[1e20, 1e21, 1e22], at=1e25, count=2).worth)
        2
    """
    known = information_of(fit, noise)
    question, price, unit = _question(known.law, at, cost, demand, levers or {})
    chosen = _candidates(known, candidates, budgets, budget, question, cost)
    plan = question.checked_plan(known.law)
    costs = _costs(known.law, chosen, price, cost)
    name = goal if isinstance(goal, str) else None
    fn = goal if callable(goal) else question.goal(name or "", known.law, plan, method != "c")
    goals, size = _slopes(known, fn, question)
    view = _view(known, fn, goals, chosen)
    own_cost = None if cost is None or isinstance(cost, Costs) else cost
    marginal = question.marginal_cost(known.law, plan, own_cost)
    if demand is None and own_cost is None:  # in FLOPs
        marginal *= price
    curvature = question.curvature(known.law, plan)

    def followed(selection: Selection) -> _Path:
        rows = chosen.select(selection.indices)
        of_law = known.laws is None
        slopes = view.jacobian[selection.indices] if of_law else known.jacobian(*rows)
        return _followed(known, goals, size, slopes, curvature, marginal)

    limits = {"count": _count(count, budget), "budget": budget, "cap": cap, "method": method}
    arguments = view.covariance, view.jacobian, known.noise**2, view.goals, costs
    selections = [greedy(*arguments, power=power, **limits)]
    if budget is not None:
        selections = [within_budget(*arguments, power=power, **limits), *selections]
        if name == SIZE and method != "D":
            # What is known best for the money may cost more than it saves: the dearer set has to
            # save more in the end.
            selections.append(greedy(*arguments, power=CHEAPEST_FIRST, **limits))
            selections.sort(key=lambda each: -_net(followed(each).saved, costs[each.indices]))
    selection = selections[0]
    path, at_each = followed(selection), selection.indices
    return Suggestion(
        params=chosen.params[at_each],
        tokens=chosen.tokens[at_each],
        levers={name: column[at_each] for name, column in chosen.levers.items()},
        index=at_each,
        cost=costs[at_each],
        gain=selection.gains,
        sd_before=path.sd[:-1],
        sd_after=path.sd[1:],
        regret_before=path.regret[:-1],
        regret_after=path.regret[1:],
        saved=path.saved,
        worth=worth(path.saved, costs[at_each]),
        goal=_label(name, known.law),
        unit=unit,
        plan=plan,
        marginal_cost=marginal,
        noise=known.noise,
        candidates=len(costs),
    )


def worth(saved: np.ndarray, cost: np.ndarray) -> int:
    """The number of first runs that save the most beyond their cost; 0 where none does.

    Where each run saves less than the one before, the first that costs more than it saves is next.
    """
    net = _nets(saved, cost)
    return int(np.argmax(net)) if np.isfinite(net).all() else 0


def _label(goal: str | None, law: Any) -> str:
    if goal == LOSS and not fits_logarithm(law):
        return "loss"  # may be negative
    return LABELS.get(goal or "", "the goal")


def _net(saved: np.ndarray, cost: np.ndarray) -> float:
    """What the first runs that are worth it save beyond their cost; 0 where that is not known."""
    net = _nets(saved, cost)
    return float(net.max()) if np.isfinite(net).all() else 0.0


def _nets(saved: np.ndarray, cost: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(saved - cost)])


# --- What is known ---------------------------------------------------------------------------


class _View(NamedTuple):
    """What a choice rests on: arrays of one law, or of resamples with a leading axis."""

    covariance: np.ndarray
    jacobian: np.ndarray
    goals: np.ndarray


def _slopes(
    known: Information, fn: Callable[[Any], Any], question: Question
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the goals, and of the logarithm of the plan's size."""

    def both(law: Any) -> Any:
        goals = jnp.ravel(jnp.asarray(fn(law), jnp.float64))
        return jnp.concatenate([goals, jnp.log(question.plan(law).params)[None]])

    values, slopes = known.gradients(both)
    if not np.isfinite(values).all() or not np.isfinite(slopes).all():
        raise ValueError("the goal is not finite by the law as it is known")
    return slopes[:-1], slopes[-1]


def _view(
    known: Information, fn: Callable[[Any], Any], goals: np.ndarray, chosen: Candidates
) -> _View:
    if known.laws is None:
        slopes = known.jacobian(chosen.params, chosen.tokens, chosen.levers)
        return _View(known.covariance, slopes, goals)
    values, slopes = gradients(fn, known.laws, known.names)
    finite = np.concatenate([values[..., None], slopes], axis=-1)
    good = np.flatnonzero(np.isfinite(finite).reshape(len(finite), -1).all(axis=1))
    if len(good) < min(FEWEST_DRAWS, math.ceil(len(finite) / 2)):
        raise ValueError(
            f"only {len(good)} of {len(finite)} resamples have a plan for this budget: too few to "
            "choose runs by"
        )
    laws = jax.tree.map(lambda x: np.ravel(x)[good], known.laws)
    jacobians = jacobian(laws, chosen.params, chosen.tokens, chosen.levers, names=known.names)
    return _View(known.covariance, jacobians, slopes[good])


class _Path(NamedTuple):
    """What is known before any run, and after each; and what each saves."""

    sd: np.ndarray  # of the goal
    regret: np.ndarray
    saved: np.ndarray


def _followed(
    known: Information,
    goals: np.ndarray,
    size: np.ndarray,
    slopes: np.ndarray,
    curvature: float,
    marginal: float,
) -> _Path:
    """By the law itself, whatever resamples the choice was averaged over."""
    covariances = [known.covariance]
    for row in slopes:
        covariances.append(updated(covariances[-1], row, known.noise**2))
    every = np.stack(covariances)
    variances = np.einsum("ti,kij,tj->kt", goals, every, goals)
    regret = np.maximum(curvature * np.einsum("i,kij,j->k", size, every, size) / 2, 0)
    sd = np.sqrt(np.maximum(variances.mean(axis=1), 0))
    return _Path(sd, regret, -np.diff(regret) * marginal)


# --- What is asked ---------------------------------------------------------------------------


def _question(
    law: Any,
    at: Any,
    cost: Any,
    demand: Demand | None,
    levers: Mapping[str, float],
) -> tuple[Question, float, str]:
    """The plan, the price of a FLOP of training, and the unit of costs."""
    if not (np.ndim(at) == 0 and 0 < float(at) < math.inf):
        raise ValueError(f"at must be the FLOPs of one plan, above 0; got {at!r}")
    if cost is not None and not isinstance(cost, Costs) and not callable(cost):
        raise TypeError(f"cost must be js.Costs or a function of params and tokens; got {cost!r}")
    missing = [name for name in levers_of(law) if name not in levers]
    if missing:
        raise ValueError(f"levers of the plan: {', '.join(missing)} has no value")
    prices = cost if isinstance(cost, Costs) else None
    price = 1.0 if prices is None else float(prices.train)
    unit = FLOPS if cost is None or (prices is not None and price == 1) else OWN_UNIT
    unit = DOLLARS if prices is not None and price != 1 else unit
    if prices is not None and prices.serving:
        raise TypeError("cost may not be Costs.served, which prices tokens by the model's size")
    numbers = {name: float(value) for name, value in levers.items()}
    budget = float(at) * (price if demand is not None else 1.0)
    return Question(budget, demand, prices, numbers), price, unit


def _candidates(
    known: Information,
    given: Any,
    budgets: Any,
    budget: float | None,
    question: Question,
    cost: Any,
) -> Candidates:
    if given is not None and budgets is not None:
        raise ValueError("give candidates or budgets, not both")
    if given is not None:
        return candidates_of(known.law, given, question.levers)
    if budgets is None:
        if budget is None or (cost is not None and not isinstance(cost, Costs)):
            raise ValueError("give candidates, or budgets of single runs, in FLOPs")
        price = 1.0 if cost is None else float(cost.train)
        budgets = budgets_within(known, budget / price)
    return around(known, budgets, question.levers)


def _costs(law: Any, chosen: Candidates, price: float, cost: Any) -> np.ndarray:
    if cost is None or isinstance(cost, Costs):
        return price * train_flops(law, chosen.params, chosen.tokens, chosen.levers)
    costs = np.broadcast_to(
        np.asarray(cost(chosen.params, chosen.tokens), np.float64), chosen.params.shape
    )
    if not (costs > 0).any():
        raise ValueError("cost must be above 0 for the candidates")
    return costs


def _count(count: Any, budget: float | None) -> int | None:
    if count is None:
        return 1 if budget is None else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be a whole number, at least 1; got {count!r}")
    return count
