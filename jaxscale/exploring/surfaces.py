"""Loss over params and tokens, with the sizes of equal loss and equal cost and the best path."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxscale._numerics.compiled import compiled
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.answering import Answer
from jaxscale.exploring.optima import POINTS, best_plans, law_and_draws, losses_of_models
from jaxscale.exploring.uncertainty import draws_of
from jaxscale.laws.inverse import tokens_for, tokens_of_flops
from jaxscale.laws.protocol import checked_loss, flops_of
from jaxscale.plan import evaluate
from jaxscale.solve.intervals import ends_of, tails_of

Numbers = NDArray[np.float64]
Range = tuple[float, float]

SIDE = 64  # of the map, in points
LINE = 97  # points of a curve
MULTIPLES = (1.0, 1.5, 2.0, 4.0)  # of the best plan's cost
BEFORE = 0.02  # in a logarithm: more than what lines between the points of a map leave out
REACH = 2.25  # decades of params and tokens that the path goes to both sides, beyond the map
ROOM = 1.0  # decades around the plans on the map, at the least
LEVEL = 0.95


class Line(NamedTuple):
    """A curve over sizes; NaN where it has no point."""

    params: Numbers
    tokens: Numbers


class LossMap(NamedTuple):
    """The losses around a plan; levers have the values of the plan."""

    params: Numbers  # log-spaced
    tokens: Numbers
    loss: Numbers  # tokens along the first axis, nats per token
    equal_loss: Line  # all sizes with the optimum's loss
    equal_costs: tuple[tuple[float, Line], ...]  # with the cost, over that of the optimum
    path: Line  # optima of other targets, with the question's in the middle
    band: tuple[Line, Line] | None  # that holds 95 % of the paths that runs allow; None: not known
    range: tuple[Range, Range] | None  # params and tokens of the runs behind the law


def loss_map(answer: Answer) -> LossMap | None:
    """The map around the best plan; None where there is none.

    Its ends are whole half-decades, so that they stay where they are while a plan moves a little.
    """
    asked, optimum = answer.asked, answer.optimum
    if not bool(optimum.ok):
        return None
    plans = [plan for plan in (optimum, answer.chinchilla) if bool(plan.ok)]
    across = _axis([float(plan.params) for plan in plans])
    up = _axis([float(plan.tokens) for plan in plans])
    law = jax.tree.map(np.float64, asked.law)
    costs = float(optimum.total_cost) * np.array(MULTIPLES)
    with jax.enable_x64(True):
        found = _curves(
            law,
            (across, up, np.log(across[[0, -1]])),
            (np.float64(optimum.params), np.float64(optimum.tokens), costs),
            asked.demand,
            asked.costs,
            asked.levers,
        )
    loss, equal_loss, equal_costs = jax.tree.map(np.asarray, found)
    if math.isnan(float(optimum.loss)):  # which the runs of a fit may not tell
        loss = np.full_like(loss, math.nan)
    path, band = _path(answer)
    return LossMap(
        across,
        up,
        loss,
        Line(*equal_loss),
        tuple(
            (multiple, Line(params, tokens))
            for multiple, params, tokens in zip(MULTIPLES, *equal_costs, strict=True)
        ),
        path,
        band,
        _range_of(answer),
    )


def _axis(sizes: list[float]) -> Numbers:
    """Sizes around these, between whole half-decades."""
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    middle = round(low + high) / 2
    half = math.ceil(2 * ((high - low) / 2 + ROOM)) / 2 + 0.5
    return np.logspace(middle - half, middle + half, SIDE)


def _range_of(answer: Answer) -> tuple[Range, Range] | None:
    entry = answer.asked.entry
    if entry is None or entry.params_range is None or entry.tokens_range is None:
        return None
    return entry.params_range, entry.tokens_range


@compiled
def _curves(
    law: Any,
    window: tuple[Any, Any, Any],
    plan: tuple[Any, Any, Any],
    demand: Demand,
    costs: Costs,
    levers: dict[str, Any],
) -> Any:
    """Losses of the map, sizes of one loss, and sizes of each cost."""
    across, up, log_params = window
    params, tokens, totals = plan
    loss = checked_loss(law, params, tokens, **levers)
    losses = checked_loss(law, across, up[:, None], **levers)
    # From a little before the curve enters the map at the top, denser there because it is steep.
    entry = _crossed(-loss, -losses[-1], jnp.log(across)) - BEFORE
    sizes = jnp.exp(_spaced(jnp.maximum(entry, log_params[0]), log_params[1]))
    same_loss = sizes, tokens_for(law, loss, sizes, **levers)

    def priced(params: Any) -> Any:
        return evaluate(law, params, tokens, demand, costs, levers=levers)

    # Up to where serving alone costs as much, denser there for the same reason.
    serving = jnp.log(priced(across).inference_cost)
    ends = jax.vmap(lambda total: _crossed(jnp.log(total), serving, jnp.log(across)))(totals)
    line = jnp.exp(jax.vmap(_spaced, (0, None))(ends, log_params[0]))[:, ::-1]
    # Of the costs only training depends on tokens, in proportion to its FLOPs.
    plans = priced(line)
    price = plans.train_cost / flops_of(law, line, tokens, **levers).train
    flops = (totals[:, None] - plans.inference_cost) / price
    return losses, same_loss, (line, tokens_of_flops(law, flops, line, **levers))


def _crossed(value: Any, values: Any, positions: Any) -> Any:
    """Where rising values reach one, nearly: by lines between them. An end where none do."""
    known = jnp.where(jnp.isnan(values), jnp.inf, values)
    index = jnp.clip(jnp.sum(known < value), 1, len(values) - 1)
    low, high = known[index - 1], known[index]
    share = (value - low) / (high - low)
    step = positions[index] - positions[index - 1]
    share = jnp.where(jnp.isnan(share), 1.0, share)  # of two values of minus infinity
    return positions[index - 1] + jnp.clip(share, 0.0, 1.0) * step


def _spaced(dense: Any, sparse: Any) -> Any:
    """LINE points from beside one to another, nearer to each other towards the first."""
    return dense + (sparse - dense) * (jnp.arange(1, LINE + 1) / LINE) ** 3


def _path(answer: Answer) -> tuple[Line, tuple[Line, Line] | None]:
    """Optima of other targets, and the band of those by the laws that runs allow.

    Levers that are chosen with the plan keep its values: one map holds for one value of each.
    """
    asked, optimum = answer.asked, answer.optimum
    draws = None if asked.is_timed else draws_of(asked.entry)
    laws = law_and_draws(asked.law, draws)
    factors = np.logspace(-REACH, REACH, POINTS)
    factors[POINTS // 2] = 1.0
    quality = asked.quality
    if quality.budget is not None:
        targets = quality.budget * factors**2
    elif quality.loss is not None:  # all laws are asked for the same
        sizes = float(optimum.params) * factors, float(optimum.tokens) * factors
        targets = losses_of_models(law_and_draws(asked.law), *sizes, asked.levers)
        targets[0, POINTS // 2] = quality.loss
    else:
        assert quality.params is not None
        tokens = None if quality.tokens is None else quality.tokens * factors
        model = asked.given.of_model(quality.params)
        targets = losses_of_models(laws, quality.params * factors, tokens, model)
    plans = best_plans(asked, laws, targets, asked.demand)
    path = Line(np.asarray(plans.params[0]), np.asarray(plans.tokens[0]))
    if draws is None:
        return path, None
    return path, _band(np.log(plans.params), np.log(plans.tokens))


def _band(log_params: Numbers, log_tokens: Numbers) -> tuple[Line, Line]:
    """Between which paths of resampled laws lie, where they train with as many FLOPs as the first.

    Of these, and not of the same target, because a target moves a plan along its path too.
    """
    # Their product rises along every path, also where a bound holds params or tokens.
    product = log_params + log_tokens
    sample = np.full_like(product[1:], math.nan)
    for row, along, sizes in zip(sample, product[1:], log_params[1:], strict=True):
        known = np.isfinite(along)
        if known.any():
            row[:] = np.interp(product[0], along[known], sizes[known], math.nan, math.nan)
    ends = ends_of(sample, tails_of(LEVEL))
    low, high = (Line(np.exp(end), np.exp(product[0] - end)) for end in ends)
    return low, high
