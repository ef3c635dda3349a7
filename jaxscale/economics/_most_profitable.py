# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""The search for the greatest profit: how far to go on a path of ever better models.

What a loss is worth, less the cheapest way to it, is a function of one number. `minimize_cost`
finds that way, for every law, and the envelope theorem its slope: a profit is stationary where one
more nat costs what it earns. Where the price is chosen too, what is sold is a second unknown.

The path leads through ever larger models, each trained in proportion, so that it crosses every loss
that a law gives, whatever the law. Profits are compared at points of it, and the best optimum is
bracketed between two of them. The secant method does the rest, and the equations that it solves
give the optimum its derivatives.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.logarithm import log
from jaxscale._numerics.typed import epsilon, fori_loop, nth
from jaxscale._numerics.values import any_of, is_finite, is_positive, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.economics._two_powers import has_several_prices, point_of
from jaxscale.economics.market import Market, ValuePerNat
from jaxscale.laws import protocol
from jaxscale.laws.inverse import BOTH, LOG_TOKENS_PER_PARAM, beginning
from jaxscale.plan import Bounds, Plan, evaluate
from jaxscale.solve.general import zeros_of_full_shape
from jaxscale.solve.minimize import minimize_cost
from jaxscale.status import Status, first_status, is_ok

Value = Callable[[Array], Array]  # from a loss to what it is worth

# Points of the path in e-folds of params, from those of a common model: between some fifty thousand
# params and a thousand trillion.
LOWEST, HIGHEST, POINTS = -10.0, 20.0, 25
SECANTS, WITH_BOUNDS = 6, 24  # steps; with bounds every other one halves, as slopes have kinks
SALES = 5  # evaluations until what is sold agrees with the price
MOST_SOLD = 40.0  # logarithm of what is sold over the known demand, beyond any answer
STEEPEST = 8.0  # in logarithms, between what a nat costs and what it earns
PLAIN = 5  # more of them, which double the digits
CORNERS = 8  # of two sizes within bounds on both and on their ratio
# How far from a plan others are compared with it, in logarithms of params and tokens.
NEIGHBORS = tuple(
    (size * far, data * far)
    for far in (0.05, 1.0)
    for size, data in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1))
)
SAME = 256.0  # epsilons of all that is earned and paid, within which profits are equal


class Problem(NamedTuple):
    """The inputs, aligned. Where there is a market tokens are sold, at the best price if none."""

    value: Value
    levers: dict[str, Array]
    law: Any
    demand: Demand
    costs: Costs
    bounds: Bounds | None = None
    market: Market | None = None
    price: Array | None = None

    @property
    def has_one_optimum(self) -> bool:
        """Whether it is known to have no second: the cost of a loss is convex."""
        is_fixed = self.market is None and self.bounds is None
        is_linear = isinstance(self.value, ValuePerNat)
        return is_fixed and is_linear and protocol.two_powers(self.law) is not None

    @property
    def chooses_price(self) -> bool:
        """Whether the price is to be found too."""
        return self.market is not None and self.price is None


class Answer(NamedTuple):
    """A plan with what it earns, in the order of the fields of a `Profit`."""

    plan: Plan
    value: Array
    price: Array
    demand: Demand

    @property
    def revenue(self) -> Array:
        """What the tokens sell for."""
        return self.price * (self.demand.input_tokens + self.demand.output_tokens)

    @property
    def profit(self) -> Array:
        """Value and revenue less the cost; NaN where there is no plan."""
        return self.value + self.revenue - self.plan.total_cost

    def failed(self, bad: Array, status: Status | Array) -> "Answer":
        """The same answer, NaN with `status` where it is bad."""
        numbers = jax.tree.map(lambda x: jnp.where(bad, jnp.nan, x), self._replace(plan=None))
        plan = jax.tree.map(lambda x: jnp.where(bad, jnp.nan, x), replace(self.plan, status=None))
        code = jnp.where(bad, jnp.asarray(status).astype(jnp.int8), self.plan.status)
        return numbers._replace(plan=replace(plan, status=code))


def most_profitable(problem: Problem) -> Answer:
    """The plan of the greatest profit; NaN where there is none."""
    like = zeros_of_full_shape(problem)
    _check_value(problem.value, like)
    fixed = lax.stop_gradient(problem)
    status = _judged(fixed) + jnp.zeros_like(like, jnp.int8)
    problem = protocol.made_safe(problem, is_ok(status))
    origin = beginning(fixed.law, fixed.levers, BOTH, like) + like
    found = _search(fixed, origin)
    is_inside = is_ok(status) & found.is_bracketed
    at = _with_derivatives(problem, origin, found.optimum.at, is_inside)
    best = _offer(problem, origin, at).answer
    converged = found.optimum.error < epsilon(like) ** 0.5
    best = best.failed(best.plan.ok & ~found.is_bracketed, Status.DO_NOT_TRAIN)
    best = best.failed(best.plan.ok & ~converged, Status.NOT_CONVERGED)
    if problem.bounds is not None:
        best = _better_corner(problem, problem.bounds, best)
    profit = lax.stop_gradient(best.profit)
    runs_off = found.beyond > jnp.where(best.plan.ok, jnp.maximum(profit, 0), 0)
    best = best.failed(runs_off, Status.NO_INTERIOR_OPTIMUM)
    best = best.failed(best.plan.ok & ~(profit > 0), Status.DO_NOT_TRAIN)
    best = best.failed(_is_beaten(fixed, lax.stop_gradient(best), found.most), Status.NOT_CONVERGED)
    best = best.failed(~is_ok(status), status)
    several = found.has_several & (best.plan.status == int(Status.OK))
    status = jnp.where(several, jnp.int8(Status.BEST_OF_SEVERAL), best.plan.status)
    return best._replace(plan=replace(best.plan, status=status))


def _check_value(value: Value, loss: Array) -> None:
    """Raises ValueError for a value that is not one number for each loss."""
    shape = jax.eval_shape(value, loss).shape
    if shape != loss.shape:
        raise ValueError(
            f"value must return an array of the shape of the loss; got {shape} for {loss.shape}. "
            "Put arrays into a jax.tree_util.Partial: its leaves broadcast"
        )


def _judged(problem: Problem) -> Array:
    """Status before the search."""
    value, levers, law, demand, costs, bounds, market, price = problem
    valid = protocol.is_valid(law) & protocol.are_finite((value, levers))
    valid &= demand.is_valid() & costs.is_valid()
    if bounds is not None:
        valid &= bounds.is_valid()
    if market is None:
        return first_status((~valid, Status.INVALID_INPUT))
    valid &= market.is_valid()
    if price is not None:
        return first_status((~(valid & is_positive(price)), Status.INVALID_INPUT))
    served = costs.prefill * market.input_tokens + costs.decode * market.output_tokens
    return first_status(
        (~valid, Status.INVALID_INPUT),
        (market.elasticity <= 1, Status.NO_FINITE_PRICE),
        (~is_positive(served), Status.NO_INTERIOR_OPTIMUM),  # what costs nothing is given away
    )


# --- What a plan earns -----------------------------------------------------------------------


class _At(NamedTuple):
    """A point of the path, and the logarithm of what is sold over the known demand."""

    path: Array
    log_scale: Array


class _Offer(NamedTuple):
    """The cheapest plan at a point, and how far the point is from an optimum."""

    answer: Answer
    slope: Array  # of what a nat costs over what it earns, in logarithms: 0 at an optimum
    scale_step: Array  # from what is sold to what would be sold at the best price of this plan


def _offer(problem: Problem, origin: Array, at: _At) -> _Offer:
    """The cheapest plan at a point of the path, and what it earns."""
    value, levers, law, demand, costs, bounds, market, price = problem
    loss = protocol.least_loss_from_logs(law, *_sizes_on_path(bounds, origin, at.path), **levers)
    log_price, log_scale = -jnp.inf, at.log_scale
    if market is not None:
        if price is None:
            log_price = market.log_price(loss, log_scale)
        else:
            log_price = jnp.log(price)
            log_scale = market.log_scale(loss, log_price)
        demand = market.scaled(jnp.exp(log_scale))
    plan = minimize_cost(law, loss, demand, costs, bounds, levers=levers)
    worth, falls = _value_of(value, plan)
    answer = _answer(plan, worth, jnp.exp(log_price), demand)
    step = jnp.zeros_like(loss)
    earned = -falls
    if market is not None and price is not None:
        earned += market.per_nat * (answer.revenue - plan.inference_cost)
    elif market is not None:
        # At what is sold, a better model raises the price.
        earned += market.per_nat / market.elasticity * answer.revenue
        per_token = jnp.log(plan.inference_cost) - log_scale
        step = market.log_scale(loss, _log_best_price(market, per_token)) - log_scale
    # A scenario without a value earns nothing by a lower loss, and its derivatives are none.
    log_earned = jnp.log(where_safe(earned > 0, earned))
    return _Offer(answer, jnp.log(plan.marginal_cost) - log_earned, step)


def _sizes_on_path(bounds: Bounds | None, origin: Array, path: Array) -> tuple[Array, Array]:
    """Log params and log tokens of a point, within the bounds, so that a plan reaches its loss."""
    x = origin + path
    y = x + LOG_TOKENS_PER_PARAM
    if bounds is None:
        return x, y
    least, most, ratio = _log_limits(bounds)
    x = jnp.clip(x, least[0], most[0])
    return x, jnp.clip(y, least[1], jnp.minimum(most[1], x + ratio))


def _log_limits(bounds: Bounds) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """Logarithms of the least and most params and tokens, and of the largest ratio."""
    ratio = jnp.log(bounds.max_tokens_per_param)
    low, high = jnp.log(bounds.min_params), jnp.log(bounds.max_params)
    low_tokens, high_tokens = jnp.log(bounds.min_tokens), jnp.log(bounds.max_tokens)
    least = jnp.maximum(low, low_tokens - ratio)
    return (least, low_tokens), (high, jnp.minimum(high_tokens, high + ratio)), ratio


def _value_of(value: Value, plan: Plan) -> tuple[Array, Array]:
    """Value of the plan's loss, and its slope; NaN where there is no plan."""
    loss = where_safe(plan.ok, plan.loss)
    worth, slope = jax.jvp(value, (loss,), (jnp.ones_like(loss),))
    return jnp.where(plan.ok, worth, jnp.nan), jnp.where(plan.ok, slope, jnp.nan)


def _answer(plan: Plan, value: Array, price: Array, demand: Demand) -> Answer:
    """The answer of a plan, in full shape and NaN where there is none."""
    price, demand = jax.tree.map(lambda x: jnp.where(plan.ok, x, jnp.nan), (price, demand))
    return Answer(plan, value, price, demand)


def _log_best_price(market: Market, log_known_cost: Array) -> Array:
    """Lerner's price, by the logarithm of the cost of serving the known demand."""
    known = jnp.log(market.input_tokens + market.output_tokens)
    markup = jnp.log(market.elasticity) - jnp.log(market.elasticity - 1)
    return log_known_cost - known + markup


def _of_sizes(problem: Problem, params: Array, tokens: Array) -> Answer:
    """What a model of these sizes earns, at the given or the best price."""
    value, levers, law, demand, costs, _, market, price = problem
    if market is None:
        plan = evaluate(law, params, tokens, demand, costs, levers=levers)
        return _answer(plan, _value_of(value, plan)[0], jnp.zeros_like(params), demand)
    plan = evaluate(law, params, tokens, market.scaled(jnp.ones_like(params)), costs, levers=levers)
    known_cost, loss = (where_safe(plan.ok, x) for x in (plan.inference_cost, plan.loss))
    log_price = _log_best_price(market, jnp.log(known_cost)) if price is None else jnp.log(price)
    demand = market.demand(loss, jnp.exp(log_price))
    plan = evaluate(law, params, tokens, demand, costs, levers=levers)
    return _answer(plan, _value_of(value, plan)[0], jnp.exp(log_price), demand)


# --- The search ------------------------------------------------------------------------------


class _Bracket(NamedTuple):
    """An optimum between a point of the path and the next: the slope is below 0, then above."""

    path: Array
    end: Array  # the next
    low: Array  # slope at the point
    high: Array  # and at the next
    log_scale: Array
    height: Array  # profit at the better of the two; -inf where there is no optimum


class _Optimum(NamedTuple):
    """An optimum of the path."""

    at: _At
    profit: Array
    error: Array  # of the point, in logarithms


class _Found(NamedTuple):
    """The best optimum of the path, and what else was seen."""

    optimum: _Optimum
    is_bracketed: Array
    has_several: Array
    beyond: Array  # profit at an end of the path from which it rises; -inf at neither
    most: Array  # profit of the best of the points


class _Walk(NamedTuple):
    """What was seen up to a point of the path."""

    slope: Array
    profit: Array
    best: _Bracket
    second: _Bracket
    first_profit: Array  # where profit rises towards ever smaller models
    most: Array  # profit so far


def _search(problem: Problem, origin: Array) -> _Found:
    """The best of all optima on the path. Not for differentiation."""
    like = jnp.zeros_like(origin)
    points = 2 if problem.has_one_optimum else POINTS
    gap = (HIGHEST - LOWEST) / (points - 1)
    none = _Bracket(like, like + gap, like - 1, like + 1, like, jnp.full_like(like, -jnp.inf))

    def look(count: Array, walk: _Walk) -> _Walk:
        path = like + (LOWEST + gap * count)
        slope, profit, log_scale, _ = _seen(problem, origin, _At(path, like), 2)
        is_optimum = (walk.slope < 0) & (slope >= 0)
        height = jnp.where(is_optimum, jnp.fmax(walk.profit, profit), -jnp.inf)
        new = _Bracket(path - gap, path, walk.slope, slope, log_scale, height)
        is_best = height > walk.best.height
        other = _where(is_best, walk.best, new)
        rises_back = (count == 0) & (slope > 0)
        return _Walk(
            slope,
            profit,
            _where(is_best, new, walk.best),
            _where(other.height > walk.second.height, other, walk.second),
            jnp.where(rises_back, profit, walk.first_profit),
            jnp.fmax(walk.most, profit),
        )

    begin = _Walk(like, like, none, none, none.height, none.height)
    walk = fori_loop(points, look, begin)
    several = walk.second.height > -jnp.inf

    def refine(count: Array, best: _Optimum) -> _Optimum:
        new = _refined(problem, origin, _where(count == 0, walk.best, walk.second))
        return _where((count == 0) | (several & (new.profit > best.profit)), new, best)

    # Which of two optima is better may depend on less than what their points tell.
    refinements = 1 + any_of(several).astype(jnp.int32)
    optimum = fori_loop(refinements, refine, _Optimum(_At(like, like), like, like))
    # A batch does not change what is found in a scenario without a second optimum.
    last_profit = jnp.where(walk.slope < 0, walk.profit, -jnp.inf)
    beyond = jnp.fmax(walk.first_profit, last_profit)
    return _Found(optimum, walk.best.height > -jnp.inf, several, beyond, walk.most)


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), yes, no)


class _Seen(NamedTuple):
    """What the search asks of a point."""

    slope: Array  # of an `_Offer`; below 0 where a better model earns more
    profit: Array
    log_scale: Array  # of what is sold
    error: Array  # of that


def _seen(problem: Problem, origin: Array, at: _At, starts: Array | int) -> _Seen:
    """A point at what is sold there: from a guess, or where there are two starts at the better.

    What is sold may be best at a high price, and at a low one.
    """
    law = protocol.two_powers(problem.law)
    if law is not None and problem.bounds is None:
        return _seen_closed(problem, law, origin, at, starts)
    look = partial(_looked_at, problem, origin, at.path)
    if not problem.chooses_price:
        return look(at.log_scale)

    def try_start(count: Array, best: _Seen) -> _Seen:
        # The largest model, of no demand, asks the highest price, and the smallest the lowest.
        ends = jnp.where(count == 0, -MOST_SOLD, MOST_SOLD).astype(at.path.dtype)
        seen = _with_agreed_sales(look, jnp.where(starts == 1, at.log_scale, ends))
        return _where((count == 0) | (seen.profit > best.profit), seen, best)

    nothing = jnp.zeros_like(at.path)
    return fori_loop(starts, try_start, _Seen(*[nothing] * 4))


def _seen_closed(problem: Problem, law: Any, origin: Array, at: _At, starts: Array | int) -> _Seen:
    """`_seen` of a law of two powers, in few operations."""
    value, _, _, demand, costs, _, market, price = problem
    if market is not None:
        demand = Demand(market.input_tokens, market.output_tokens)
    point_at = point_of(law, demand, costs, market, price)

    def look(from_high: Array | bool) -> _Seen:
        point = point_at(*_sizes_on_path(None, origin, at.path), from_high)
        # What a value closes over is no leaf of the problem, whose derivatives are stopped.
        worth, falls = lax.stop_gradient(
            jax.jvp(value, (point.loss,), (jnp.ones_like(point.loss),))
        )
        earned = point.earned_per_nat - falls
        slope = point.log_marginal_cost - jnp.where(earned > 0, log(earned), jnp.nan)
        profit = worth + point.revenue - point.train_cost - point.inference_cost
        return _Seen(_clipped(slope), profit, point.log_scale, jnp.zeros_like(slope))

    if market is None or price is not None:
        return look(False)

    def try_start(count: Array, best: _Seen) -> _Seen:
        seen = look(count == 1)
        return _where((count == 0) | (seen.profit > best.profit), seen, best)

    several = any_of(has_several_prices(law, market)).astype(jnp.int32)
    nothing = jnp.zeros_like(at.path)
    return fori_loop(1 + several, try_start, _Seen(*[nothing] * 4))


def _clipped(slope: Array) -> Array:
    # What loses money by every token sold earns nothing by a lower loss.
    return jnp.where(jnp.isnan(slope), STEEPEST, jnp.clip(slope, -STEEPEST, STEEPEST))


def _looked_at(problem: Problem, origin: Array, path: Array, log_scale: Array) -> _Seen:
    """A point at a guess of what is sold."""
    answer, slope, step = lax.stop_gradient(_offer(problem, origin, _At(path, log_scale)))
    slope = _clipped(slope)
    if problem.bounds is not None:
        slope = _turned_at_corners(problem.bounds, origin, path, slope)
    return _Seen(slope, answer.profit, log_scale, step)


def _with_agreed_sales(look: Callable[[Array], _Seen], guess: Array) -> _Seen:
    """The point with as much sold as its price lets one sell, from a guess."""

    def settle(count: Array, carry: tuple[Array, Array, _Seen]) -> tuple[Array, Array, _Seen]:
        here, before, last = carry
        seen = look(here)
        # What is sold grows by less than what was assumed does, or there is no best price near.
        rate = (seen.error - last.error) / (here - before)
        rate = jnp.where(is_finite(rate) & (count > 0), jnp.clip(rate, -1.2, -0.2), -1)
        moved = here - seen.error / rate
        return jnp.where(is_finite(moved), moved, here), here, seen

    nothing = jnp.zeros_like(guess)
    return fori_loop(SALES, settle, (guess, nothing, _Seen(*[nothing] * 4)))[-1]


def _turned_at_corners(bounds: Bounds, origin: Array, path: Array, slope: Array) -> Array:
    """The slope, but where the path ends in a corner one that leads out of it."""
    x, y = _sizes_on_path(bounds, origin, path)
    least, most, _ = _log_limits(bounds)
    slope = jnp.where((x >= most[0]) & (y >= most[1]), STEEPEST, slope)
    return jnp.where((x <= least[0]) & (y <= least[1]), -STEEPEST, slope)


class _Secant(NamedTuple):
    """A step of the secant method."""

    a: Array  # where the slope was below 0
    b: Array  # where it was above
    low: Array  # slope at a, or less where it stayed
    high: Array
    at: _At
    slope: Array  # there
    rate: Array  # of the slope along the path
    profit: Array
    error: Array  # of what is sold


def _refined(problem: Problem, origin: Array, bracket: _Bracket) -> _Optimum:
    """The optimum in a bracket to the last digit.

    By the Illinois form of the secant method, and its plain form where the digits are to be exact.
    """
    inside = SECANTS if problem.bounds is None else WITH_BOUNDS
    smallest = epsilon(origin) ** 0.5

    def step(count: Array, last: _Secant) -> _Secant:
        a, b, low, high, at, slope, rate, *_ = last
        illinois = (a * high - b * low) / (high - low)
        if problem.bounds is not None:
            illinois = jnp.where(count % 2, illinois, (a + b) / 2)
        plain = at.path - slope / rate
        is_plain = (count >= inside) & (plain > LOWEST) & (plain < HIGHEST)
        if problem.bounds is None:
            # With room for rounding, which would send one that has arrived far off.
            is_plain |= (plain > a - smallest) & (plain < b + smallest)
        path = jnp.where(is_plain, plain, illinois)
        seen = _seen(problem, origin, _At(path, at.log_scale), 1)
        # Between two points nearer than this the slope changes by little more than its rounding.
        moved = path - at.path
        rate = jnp.where(jnp.abs(moved) > smallest, (seen.slope - slope) / moved, rate)
        is_low = seen.slope < 0
        # The end that stays counts for half, so that it moves soon.
        ends = jnp.where(is_low, path, a), jnp.where(is_low, b, path)
        slopes = jnp.where(is_low, seen.slope, low / 2), jnp.where(is_low, high / 2, seen.slope)
        here = _At(path, seen.log_scale)
        return _Secant(*ends, *slopes, here, seen.slope, rate, seen.profit, seen.error)

    path, end, low, high, log_scale, height = bracket
    rate, none = (high - low) / (end - path), jnp.zeros_like(path)
    begin = _Secant(path, end, low, high, _At(path, log_scale), low, rate, height, none)
    last = fori_loop(inside + PLAIN, step, begin)
    error = jnp.maximum(jnp.abs(last.slope / last.rate), jnp.abs(last.error))
    return _Optimum(last.at, last.profit, error)


def _with_derivatives(problem: Problem, origin: Array, found: _At, is_inside: Array) -> _At:
    """The optimum that was found, with derivatives of all orders."""
    one, zero = jnp.ones_like(found.path), jnp.zeros_like(found.path)

    def equations(at: _At) -> _At:
        offer = _offer(problem, origin, at)
        step = offer.scale_step if problem.chooses_price else at.log_scale - found.log_scale
        return _At(
            jnp.where(is_inside, offer.slope, at.path - found.path),
            jnp.where(is_inside, step, at.log_scale - found.log_scale),
        )

    def root(_: Callable[[_At], _At], at: _At) -> _At:
        return at

    def tangents(at_point: Callable[[_At], _At], value: _At) -> _At:
        across = at_point(_At(zero, one)) if problem.chooses_price else _At(zero, one)
        return _solved(at_point(_At(one, zero)), across, value)

    return lax.custom_root(equations, found, root, tangents)


def _solved(along: _At, across: _At, value: _At) -> _At:
    """The solution of two linear equations, whose columns are `along` and `across`."""
    size = along.path * across.log_scale - across.path * along.log_scale
    return _At(
        (value.path * across.log_scale - across.path * value.log_scale) / size,
        (along.path * value.log_scale - value.path * along.log_scale) / size,
    )


# --- Corners and neighbors -------------------------------------------------------------------


def _better_corner(problem: Problem, bounds: Bounds, best: Answer) -> Answer:
    """The corner of the bounds that earns most, where it earns more; or the best.

    Where two bounds meet, what a nat costs leaps, so that no plan is stationary.
    """
    fixed = lax.stop_gradient(problem)
    like = jnp.zeros_like(best.plan.params)

    def compare(index: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        answer = _at_corner(fixed, lax.stop_gradient(bounds), index, like)
        profit = lax.stop_gradient(answer.profit)
        is_better = profit > found[0]
        return jnp.where(is_better, profit, found[0]), jnp.where(is_better, index, found[1])

    least = jnp.where(best.plan.ok, lax.stop_gradient(best.profit), -jnp.inf)
    _, index = fori_loop(CORNERS, compare, (least, jnp.full_like(like, -1, jnp.int32)))
    return _where(index >= 0, _at_corner(problem, bounds, index, like), best)


def _at_corner(problem: Problem, bounds: Bounds, index: Array, like: Array) -> Answer:
    """What the corner of that index earns; INFEASIBLE_BOUNDS where it is none."""
    low, high, ratio = bounds.min_params, bounds.max_params, bounds.max_tokens_per_param
    low_tokens, high_tokens = bounds.min_tokens, bounds.max_tokens
    corners = (
        *((x, y) for x in (low, high) for y in (low_tokens, high_tokens, x * ratio)),
        *((y / ratio, y) for y in (low_tokens, high_tokens)),
    )
    params, tokens = like + corners[0][0], like + corners[0][1]
    for at, (x, y) in enumerate(corners[1:], start=1):
        params, tokens = jnp.where(index == at, x, params), jnp.where(index == at, y, tokens)
    slack = 1 + SAME * epsilon(like)
    exists = is_positive(params) & is_positive(tokens) & (low <= high)
    exists &= (params * slack >= low) & (params <= high * slack)
    exists &= (tokens * slack >= low_tokens) & (tokens <= high_tokens * slack)
    exists &= (tokens <= ratio * params * slack) & (low_tokens <= high_tokens)
    answer = _of_sizes(problem, *(jnp.where(exists, x, 1) for x in (params, tokens)))
    is_free = answer.plan.status == int(Status.OK)  # and not past a ceiling
    status = jnp.where(is_free, jnp.int8(Status.AT_CORNER), answer.plan.status)
    answer = answer._replace(plan=replace(answer.plan, status=status))
    return answer.failed(~exists, Status.INFEASIBLE_BOUNDS)


def _is_beaten(problem: Problem, best: Answer, most: Array) -> Array:
    """Whether a neighbor within the bounds earns more than the plan, or a point of the path did.

    Where no plan was found to earn anything, whether a point of the path did. Not for
    differentiation.
    """
    params, tokens = (jnp.where(best.plan.ok, x, 1) for x in (best.plan.params, best.plan.tokens))
    logs = jnp.log(params), jnp.log(tokens)
    total = jnp.abs(best.value) + best.revenue + best.plan.total_cost
    least = best.profit + SAME * epsilon(params) * total

    def compare(count: Array, better: Array) -> Array:
        by = (nth([each[i] for each in NEIGHBORS], count, params.dtype) for i in (0, 1))
        x, y = (size + step for size, step in zip(logs, by, strict=True))
        more = lax.stop_gradient(_profit_at(problem, x, y)) > least
        return better | (more & _are_within(problem.bounds, jnp.exp(x), jnp.exp(y)))

    is_beaten = fori_loop(len(NEIGHBORS), compare, most > least)
    is_idle = best.plan.status == int(Status.DO_NOT_TRAIN)
    return jnp.where(best.plan.ok, is_beaten, is_idle & (most > 0))


def _profit_at(problem: Problem, log_params: Array, log_tokens: Array) -> Array:
    """The profit of `_of_sizes`, without a plan and its checks. Not for differentiation."""
    value, levers, law, demand, costs, _, market, price = problem
    loss = protocol.loss_from_logs(law, log_params, log_tokens, **levers)
    flops = protocol.flops_of(law, jnp.exp(log_params), jnp.exp(log_tokens), **levers)
    known = demand if market is None else market
    inference = costs.prefill * flops.prefill * known.input_tokens
    inference += costs.decode * flops.decode * known.output_tokens
    earned = value(loss) - costs.train * flops.train
    if market is None:
        return earned - inference
    log_price = _log_best_price(market, jnp.log(inference)) if price is None else jnp.log(price)
    revenue = jnp.exp(log_price) * (market.input_tokens + market.output_tokens)
    return earned + jnp.exp(market.log_scale(loss, log_price)) * (revenue - inference)


def _are_within(bounds: Bounds | None, params: Array, tokens: Array) -> Array:
    if bounds is None:
        return jnp.ones_like(params, bool)
    inside = (params >= bounds.min_params) & (params <= bounds.max_params)
    inside &= (tokens >= bounds.min_tokens) & (tokens <= bounds.max_tokens)
    return inside & (tokens <= bounds.max_tokens_per_param * params)
