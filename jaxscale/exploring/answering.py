"""The answer to a question: the best plan beside the Chinchilla plan of equal loss."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale._explain import Asked as Scenario
from jaxscale._explain import sentence_of, sentence_of_plan
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.interpreted import interpreted
from jaxscale._sentences import (
    NO_CHINCHILLA,
    SMALL,
    UNBOUNDED,
    UNSERVED,
    better_line,
    cost_text,
    dearer_line,
    demand_in_words,
    more_than,
    price_line,
    runner_up_line,
    runner_up_of,
    serving_facts,
    serving_line,
    serving_note,
)
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.reading import Asked
from jaxscale.exploring.uncertainty import DRAWS, draws_of, resamples_of
from jaxscale.laws.protocol import loss_scale
from jaxscale.plan import Bounds, Plan, evaluate
from jaxscale.serving.requests import FAMILY
from jaxscale.solve import compute_optimal, minimize_cost, minimize_loss
from jaxscale.solve.intervals import MOST_TIMED, ends_of, plan_intervals, tails_of
from jaxscale.status import Status


class Better(NamedTuple):
    """What the cheapest plan of a slightly better quality costs more than the optimum."""

    status: Status
    cost: float | None  # None where no plan is found


class Answer(NamedTuple):
    """The plans of a question, on the host; numbers are NaN where there is none."""

    asked: Asked  # with the optimum's value of each lever that is chosen
    target: float  # loss, nats per token; NaN where the runs of a fit do not tell it
    optimum: Plan
    chinchilla: Plan  # of equal loss, cheapest to train
    resampled: Plan | None  # the optimum of each law that the runs allow
    sentence: str  # what binds, or why there is no plan
    notes: tuple[str, ...]  # what to know before using it
    # By a loss 0.01 nat lower, or an accuracy one point higher; None where neither is asked of it.
    better: Better | None = None
    resampled_chinchilla: Plan | None = None

    @property
    def status(self) -> Status:
        return Status(int(self.optimum.status))

    @property
    def saving(self) -> float:
        """The share of the Chinchilla plan's cost that the optimum saves.

        NaN where there is no Chinchilla plan, or limits forbid to serve it.
        """
        return 1 - float(self.optimum.total_cost) / float(self.chinchilla.total_cost)

    @property
    def savings(self) -> np.ndarray | None:
        """The saving by each law that the runs allow."""
        if self.resampled is None or self.resampled_chinchilla is None:
            return None
        return np.asarray(1 - self.resampled.total_cost / self.resampled_chinchilla.total_cost)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the optimum's numbers, and of the `saving`, by name.

        Empty where the law's uncertainty is not known; NaN where too many laws have no plan.
        """
        if self.resampled is None:
            return {}
        ends = plan_intervals(self.resampled)
        if self.savings is not None:
            ends["saving"] = ends_of(self.savings, tails_of(0.95))
        return {name: (float(low), float(high)) for name, (low, high) in ends.items()}

    @property
    def accuracies(self) -> tuple[float, float] | None:
        """Of the optimum and the Chinchilla plan, where one is asked for."""
        score = self.asked.score
        if score is None:
            return None
        best, other = (score.scored.accuracy(x.loss) for x in (self.optimum, self.chinchilla))
        return best, other

    @property
    def title(self) -> str:
        """What was asked, in a line."""
        asked = self.asked
        is_known = not math.isnan(float(self.optimum.loss)) or not self.status.ok
        quality = f"Loss {self.target:.5g}" if is_known else "The loss of the model"
        if asked.score:
            quality = asked.score.title
        budget = asked.quality.budget
        if budget is not None:
            quality = f"Budget {cost_text(budget, asked.in_dollars)}"
        demand = demand_in_words(asked.demand, is_budget=budget is not None)
        return f"{quality}, {demand}, law {asked.name}"

    @property
    def prices(self) -> tuple[str, ...]:
        """Lines on the accelerators and their prices; none for FLOPs."""
        asked = self.asked
        verbs = {"train": "Trained", "serve": "Served"}
        if asked.deployment is not None:
            serving = serving_line(asked.costs, asked.deployment)
            return price_line(verbs["train"], asked.uses["train"]), serving
        return tuple(price_line(verbs[role], use) for role, use in asked.uses.items())

    @property
    def serving(self) -> tuple[tuple[str, str], ...]:
        """How the optimum is served, as pairs of a name and a text; empty where that is assumed."""
        if not self.asked.is_timed or not self.status.ok:
            return ()
        return tuple(serving_facts(self.asked.costs, self.optimum))

    @property
    def runner_up(self) -> dict[str, float] | None:
        """The second best of listed values of levers, with its `excess`."""
        return runner_up_of(self.optimum)


class _Found(NamedTuple):
    """What the solvers found, by laws on a leading axis."""

    targets: Any
    frontier: Plan | None  # of a model to match whose tokens are not given
    model: Plan | None  # to match
    optima: Plan
    sizes: Plan  # of the Chinchilla plans
    chinchillas: Plan
    better: Plan  # by the first law


def answer(asked: Asked, most_draws: int | None = None) -> Answer:
    """The answer in float64, by programs compiled once for a family of law and shape of question.

    The first answer of a family waits for the compiler, for seconds; others take milliseconds.
    Intervals rest on all resamples of a fit, as those of `jaxscale plan` do, or on `most_draws`.

    Examples:
        >>> from jaxscale.exploring import Question, answer, read
        >>> answered = answer(read(Question({"loss": "2", "inference_tokens": "1T"})))
        >>> print(answered.title)
        Loss 2, 1.00T tokens read and 0 written, law sardana2024
        >>> print(f"{answered.optimum.params:.4g} params, saves {answered.saving:.1%}")
        1.393e+10 params, saves 4.6%
    """
    with jax.enable_x64(True):
        laws = _laws(asked, resamples_behind(asked) if most_draws is None else most_draws)
        found = _compiled_plans(*_arguments(asked, laws))
        return _told(asked, jax.tree.map(np.asarray, _Found(*found)))


def answer_at_once(asked: Asked) -> Answer:
    """The same without a compiler, for the first question of a family: some 30 ms, by NumPy.

    Where serving is timed it takes half a second, and knows no intervals.
    """
    laws = _laws(asked._replace(entry=None) if asked.is_timed else asked, DRAWS)
    over, *rest = _arguments(asked, laws)
    with jax.enable_x64(True):
        return _told(asked, _Found(*interpreted(_plans, over, *rest)))


def resamples_behind(asked: Asked) -> int:
    """How many resamples of a fit its intervals rest on; none of a law that has none."""
    resamples = resamples_of(asked.entry)
    return min(resamples, MOST_TIMED) if asked.is_timed else resamples


def _laws(asked: Asked, most_draws: int) -> Any:
    """The law on a leading axis, with those that the runs allow after it."""
    draws = draws_of(asked.entry, most_draws)
    one = jax.tree.map(lambda x: np.array([float(x)]), asked.law)
    return one if draws is None else jax.tree.map(np.append, one, draws)


def _arguments(asked: Asked, laws: Any) -> tuple[Any, ...]:
    quality, levers, score = asked.quality, asked.given, asked.score
    return (
        tuple(levers.over.items()),
        laws,
        (quality.loss, quality.params, quality.tokens, quality.budget),
        None if score is None else score.loss_of_a_point_more,
        (asked.demand, asked.costs, asked.bounds),
        levers.values,
        {} if quality.params is None else levers.of_model(quality.params),
    )


def _plans(
    over: Any,
    laws: Any,
    quality: tuple[Any, ...],
    better: Any,
    served: tuple[Demand, Costs, Bounds | None],
    levers: dict[str, Any],
    of_model: dict[str, Any],
) -> tuple[Any, ...]:
    """What `_Found` holds, by laws on a leading axis; `better` is the loss of a better score."""
    choice = {"levers": levers, "over": dict(over)}
    frontier, model, within, budget = None, None, None, quality[-1]
    if budget is not None:
        within = minimize_loss(laws, budget, *served, **choice)
        targets = within.loss
    else:
        targets, frontier, model = targets_of(laws, quality, of_model)
    first = jax.tree.map(lambda x: x[:1], laws)
    lower = targets[:1] - SMALL if better is None else jnp.full((1,), better)
    at = [(first, lower)] if within is not None else [(first, lower), (laws, targets)]
    (step, *optima), sizes = _cheapest(at, (laws, targets), served, choice)
    best = within if within is not None else optima[0]
    return targets, frontier, model, best, sizes, _priced(laws, sizes, served), step


_compiled_plans = compiled(_plans, static=1)


def targets_of(
    laws: Any, quality: tuple[Any, ...], of_model: dict[str, Any]
) -> tuple[Any, Plan | None, Plan | None]:
    """The losses to reach; of a model to match its plan too, and its tokens' if none are given."""
    loss, params, tokens, _ = quality
    if loss is not None:
        return jnp.broadcast_to(loss, jnp.shape(jax.tree.leaves(laws)[0])), None, None
    frontier = None
    if tokens is None:
        frontier = compute_optimal(laws, params=params, levers=of_model)
        tokens = frontier.tokens
    model = evaluate(laws, params, tokens, levers=of_model)
    return model.loss, frontier, model


def _cheapest(
    at: list[tuple[Any, Any]],
    unserved: tuple[Any, Any],
    served: tuple[Demand, Costs, Bounds | None],
    choice: dict[str, Any],
) -> tuple[list[Plan], Plan]:
    """The cheapest plans by some laws of some losses, and that of others without serving."""
    demand, costs, bounds = served
    if costs.serving is not None or bounds is not None:
        laws, losses = _joined(at)
        plans = minimize_cost(laws, losses, demand, costs, bounds, **choice)
        return _parts(plans, at), minimize_cost(unserved[0], unserved[1], **choice)
    # One call for all, because a solver takes seconds to compile.
    lanes = [*at, unserved]
    counts = [len(losses) for _, losses in lanes]
    is_served = np.repeat([1.0] * len(at) + [0.0], counts)
    tokens = (x * is_served for x in (demand.input_tokens, demand.output_tokens))
    laws, losses = _joined(lanes)
    plans = minimize_cost(laws, losses, Demand(*tokens), costs, **choice)
    *parts, last = _parts(plans, lanes)
    return parts, last


def _joined(lanes: list[tuple[Any, Any]]) -> Any:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *lanes)


def _parts(plans: Plan, lanes: list[tuple[Any, Any]]) -> list[Plan]:
    ends = np.cumsum([len(losses) for _, losses in lanes])[:-1]
    leaves, structure = jax.tree.flatten(plans)
    split = zip(*(jnp.split(x, ends) for x in leaves), strict=True)
    return [jax.tree.unflatten(structure, part) for part in split]


def _priced(laws: Any, sizes: Plan, served: tuple[Demand, Costs, Bounds | None]) -> Plan:
    """The plans of these sizes, served too, which bounds do not hold."""
    demand, costs, _ = served
    size = sizes.params, sizes.tokens
    plans = evaluate(laws, *size, demand, costs, levers=sizes.levers)
    if costs.serving is None:
        return plans
    # Limits may forbid to serve it, but not to train it.
    trained = Costs(costs.train, prefill=0.0, decode=0.0)
    alone = evaluate(laws, *size, None, trained, levers=sizes.levers)
    return replace(alone, prefill_cost=plans.prefill_cost, decode_cost=plans.decode_cost)


# --- On the host ----------------------------------------------------------------------------------


def _told(asked: Asked, found: _Found) -> Answer:
    """The answer with its sentences."""
    has_draws = len(found.targets) > 1
    target, budget = float(found.targets[0]), asked.quality.budget
    optimum, chinchilla = _at(found.optima, 0), _at(found.chinchillas, 0)
    refused = _refusal(asked, found)
    better = None
    if refused is None:
        loss = None if budget is not None else target
        scenario = Scenario(asked.law, loss, asked.demand, asked.costs, asked.bounds, budget)
        sentence = sentence_of_plan(optimum, scenario)
        better = _better(asked, found)
        optimum, chinchilla = (_as_known(asked, plan) for plan in (optimum, chinchilla))
        target = math.nan if math.isnan(float(optimum.loss)) else target
        asked = asked._replace(levers={name: float(x) for name, x in optimum.levers.items()})
    else:
        status, sentence = refused
        optimum = replace(_without_numbers(optimum), status=np.asarray(int(status)))
    told = Answer(
        asked,
        target,
        optimum,
        chinchilla,
        _at(found.optima, slice(1, None)) if has_draws else None,
        sentence,
        (),
        better,
        _at(found.chinchillas, slice(1, None)) if has_draws else None,
    )
    return told._replace(notes=tuple(filter(None, _notes(told))))


def _at(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: x[index], tree)


def _refusal(asked: Asked, found: _Found) -> tuple[Status, str] | None:
    """The status and the sentence with which `jaxscale plan` refuses; None where it answers."""
    quality, target = asked.quality, float(found.targets[0])
    if quality.params is not None:
        size = Scenario(asked.law, params=quality.params, tokens=quality.tokens)
        size = size._replace(levers=asked.given.of_model(quality.params))
        for plan in (found.frontier, found.model):
            if plan is not None and not (status := _status(plan)).ok:
                return status, sentence_of(status, size)
    loss = None if quality.budget is not None else target
    scenario = Scenario(asked.law, loss, asked.demand, asked.costs, asked.bounds, quality.budget)
    scenario = scenario._replace(levers=asked.given.values)
    if not (status := _status(found.optima)).ok:
        return status, sentence_of(status, scenario)
    # Of some losses the law has plans, but not the Chinchilla plan.
    if (status := _status(found.sizes)) is Status.BEYOND_LAW:
        return None
    if not status.ok:
        return status, sentence_of(status, Scenario(asked.law, target, levers=asked.given.values))
    if not (status := _status(found.chinchillas)).ok:
        sizes = {name: float(getattr(found.sizes, name)[0]) for name in ("params", "tokens")}
        return status, sentence_of(status, scenario._replace(bounds=None, **sizes))
    return None


def _status(plans: Plan) -> Status:
    return Status(int(plans.status[0]))


def _without_numbers(plan: Plan) -> Plan:
    return jax.tree.map(lambda x: np.full_like(x, np.nan) if x.dtype.kind == "f" else x, plan)


def _as_known(asked: Asked, plan: Plan) -> Plan:
    """A plan with NaN for a loss that the runs of the law do not tell."""
    entry = asked.entry
    if entry is None or entry.tells_loss(float(plan.params), float(plan.tokens)):
        return plan
    nothing = np.asarray(math.nan)
    return replace(plan, loss=nothing, marginal_cost=nothing)


def _better(asked: Asked, found: _Found) -> Better | None:
    if asked.score is None and loss_scale(asked.law, asked.entry):
        return None
    status = _status(found.better)
    more = more_than(found.better.total_cost[0], found.optima.total_cost[0])
    return Better(status, float(more) if status.ok else None)


def _notes(told: Answer) -> Iterator[str]:
    """What to know before using the answer, in the order of the command."""
    asked, best, other = told.asked, told.optimum, told.chinchilla
    is_budget, score = asked.quality.budget is not None, asked.score
    yield asked.named.warning
    if score:
        yield score.scored.caution
    elif scale := loss_scale(asked.law, asked.entry):
        yield f"The loss is {scale}."
    if not told.status.ok:
        return
    if not other.ok:
        yield NO_CHINCHILLA
    elif asked.is_timed and math.isnan(told.saving):
        yield UNSERVED
    yield dearer_line(told.saving)
    if asked.bounds is not None and asked.bounds.of_memory:
        yield UNBOUNDED
    yield runner_up_line(asked.law, best, is_budget=is_budget)
    if told.better is not None:
        yield better_line(*told.better, asked.in_dollars, of_accuracy=score is not None)
    if score:
        yield score.scored.check_note
    yield asked.entry.range_note(best) if asked.entry else ""
    if asked.is_timed:
        yield serving_note(asked.question.texts.get("family", FAMILY), asked.law)
