"""Both problems where the price of a token depends on the model's size: the joint optimum.

Serving is priced by a machine for each size, and the cheapest of several machines is the minimum of
several curves, each with kinks where another limit decides. So each curve is searched by itself,
over the width of the model's family: first at points that cover all sizes, then, between the
neighbors of the best point, by golden sections, which need no slope. What they found is moved onto
the equation that decides there (a stationary point, a kink or an end) by the secant method, and
that equation gives it derivatives.
"""

# JAX leaves what `jvp`, `tree.map` and its loops return without a type.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import custom_jvp, epsilon, fori_loop
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.architectures import counts
from jaxscale.architectures.architecture import Architecture
from jaxscale.architectures.family import (
    Family,
    architecture_of_width,
    log_params_of,
    log_width_of_counted,
)
from jaxscale.costs import Demand
from jaxscale.laws import protocol
from jaxscale.laws.inverse import TOKENS, beginning, crossing, far, loss_value
from jaxscale.laws.streams import STREAMS
from jaxscale.plan import Bounds, Plan, lever_values
from jaxscale.serving._options import entered, stacked
from jaxscale.serving.deployment import Machine
from jaxscale.serving.offer import Offer, Switches, offer
from jaxscale.serving.passes import is_whole
from jaxscale.serving.requests import Limits, Requests
from jaxscale.solve.general import zeros_of_full_shape
from jaxscale.solve.in_chunks import in_chunks
from jaxscale.solve.marginal import at_corner, cost_of_a_nat, open_way
from jaxscale.solve.validate import Case
from jaxscale.status import Status, first_status, is_ok

# Natural logarithms of the narrowest and the widest model, and points between them.
NARROWEST, WIDEST, POINTS = 2.0, 15.5, 40
ENDS = 60  # halvings that find the largest size that a machine serves
# Golden sections of each machine's curve, all to the end: at a kink or an end of a curve a smaller
# width is worth as much in the cost, so that fewer would not tell which machine is the cheapest.
SECTIONS = 22
GOLDEN = 0.3819660112501051
ARRAYS = 128  # intermediate arrays at a time: some twenty for each machine
BITS = "bits"  # the lever that the precision of the served weights sets, where it has no value
SETTLED = 5  # steps of the secant method at the end
BEYOND = 64.0  # epsilons by which what decides may lie outside its bracket
EVEN = 0.1  # of the change of a slope, by which it is off a line
BEATEN = 64.0  # roots of an epsilon by which another plan is better
TIED = 64.0  # epsilons by which losses that are the same differ
ROUNDING = 256.0  # epsilons by which a limit may be missed that decides


class Scenario(NamedTuple):
    """All that one plan is solved for, with the machines along a first axis."""

    law: Any
    levers: dict[str, Array]
    target: Array  # a loss, or a budget
    demand: Demand
    train: Array  # dollars for each FLOP in training
    family: Family
    requests: Requests
    limits: Limits
    utilisation: Array
    bounds: Bounds | None
    machine: Machine
    dense: bool  # whether no expert is ever idle

    def map(self, change: Callable[[Array], Array]) -> "Scenario":
        """The scenario with every array changed."""
        return jax.tree.map(change, self._replace(dense=()))._replace(dense=self.dense)


class Sized(NamedTuple):
    """A model of one width, trained until it meets the target, and served."""

    value: Array  # the lifetime cost, or the loss; infinite where it keeps not all limits
    log_params: Array
    log_tokens: Array
    offer: Offer
    switches: Switches
    train_cost: Array
    short: Array  # whether a bound on tokens makes it beat the target, or leave budget over
    # In logarithms: of the tokens that it asks for from each bound, of the bounds from each other,
    # and of the two that bound them above.
    distances: tuple[Array, ...]


def sized(at_loss: bool, given: Scenario, log_width: Array, slack: float = 0.0) -> Sized:
    """The model of that width that just meets the target, by what it costs or what it reaches.

    A limit may be missed by `slack`, as a share of it.
    """
    shape = architecture_of_width(given.family, log_width)
    log_params = _log_params(given, shape, log_width)
    made, switches = _offer(given, shape)
    served = given.demand.input_tokens * made.read + given.demand.output_tokens * made.write
    bounds = given.bounds
    if at_loss:
        free = _tokens_of_loss(given, log_params)
    else:
        free = _tokens_of_budget(given, shape, log_params, given.target - served)
    log_tokens, kept, distances = free, jnp.asarray(True), ()
    if bounds is not None:
        low, high = _log_or_none(bounds.min_tokens), jnp.log(bounds.max_tokens)
        by_ratio = jnp.log(bounds.max_tokens_per_param) + log_params
        either, high = high - by_ratio, jnp.minimum(high, by_ratio)
        # A cheapest plan may be trained longer than its loss asks, a best one shorter than its
        # budget allows.
        log_tokens = jnp.maximum(free, low) if at_loss else jnp.minimum(free, high)
        # Logarithms are rounded by their size.
        near = slack * (1 + jnp.abs(log_tokens)) if slack else 0.0
        kept = (log_tokens <= high + near) if at_loss else (log_tokens >= low - near)
        kept &= low <= high + near
        distances = free - low, free - high, low - high, either
    train = given.train * _train_flops(given, shape, log_params, log_tokens)
    if at_loss:
        value = train + served
    else:
        value = protocol.loss_from_logs(given.law, log_params, log_tokens, **given.levers)
    value = jnp.where(kept & (made.room >= -slack) & (value < jnp.inf), value, jnp.inf)
    return Sized(
        value, log_params, log_tokens, made, switches, train, log_tokens != free, distances
    )


def _log_or_none(x: Array) -> Array:
    """The logarithm; minus infinity with zero derivatives at 0, which is no bound."""
    return jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1)), -jnp.inf)


def _offer(given: Scenario, shape: Architecture) -> tuple[Offer, Switches]:
    asked = given.machine, given.requests, given.limits, given.utilisation
    return offer(shape, *asked, dense=given.dense)


def _log_params(given: Scenario, shape: Any, log_width: Array) -> Array:
    """As the law counts them: some leave out embeddings, some idle experts."""
    if not protocol.counts_embeddings(given.law):
        return jnp.log(counts.active_non_embedding(shape))
    if not protocol.counts_idle_experts(given.law):
        return jnp.log(counts.active(shape))
    return log_params_of(given.family, log_width)


def _log_trained(given: Scenario, shape: Architecture, log_params: Array) -> Array:
    """Of the params that a training token runs through: not of experts that it does not choose."""
    if given.dense or not _counts_all(given.law):
        return log_params
    return jnp.log(counts.active(shape))


def _counts_all(law: Any) -> bool:
    return protocol.counts_embeddings(law) and protocol.counts_idle_experts(law)


def _train_flops(
    given: Scenario, shape: Architecture, log_params: Array, log_tokens: Array
) -> Array:
    if not protocol.has_own_flops(given.law):
        log_flops = _log_trained(given, shape, log_params) + log_tokens
        return jnp.exp(log_flops) * protocol.TRAIN_FLOPS
    sizes = jnp.exp(log_params), jnp.exp(log_tokens)
    return protocol.flops_of(given.law, *sizes, **given.levers).train


def _tokens_of_loss(given: Scenario, log_params: Array) -> Array:
    """Log tokens that reach the loss; infinite where none do."""
    if (powers := protocol.two_powers(given.law, given.levers)) is not None:
        left = (given.target - powers.E) - powers.A * jnp.exp(-powers.alpha * log_params)
        good = left > 0
        found = (jnp.log(powers.B) - jnp.log(jnp.where(good, left, 1))) / powers.beta
        return jnp.where(good, found, jnp.inf)
    zero = jnp.zeros_like(log_params + given.target)
    inputs = given.law, given.levers
    start = lax.stop_gradient(beginning(given.law, given.levers, TOKENS, zero)) + zero
    end = zero + far(zero.dtype)
    at = log_params + zero, zero
    return crossing(loss_value, TOKENS, *at, given.target + zero, inputs, start, end)


def _tokens_of_budget(
    given: Scenario, shape: Architecture, log_params: Array, left: Array
) -> Array:
    """Log tokens that are paid for by what is left; minus infinity where nothing is."""
    good = left > 0
    flops = jnp.where(good, left, 1) / given.train
    by_rule = jnp.log(flops / protocol.TRAIN_FLOPS) - _log_trained(given, shape, log_params)
    if protocol.has_own_flops(given.law):
        zero = jnp.zeros_like(by_rule)
        start, end = lax.stop_gradient(by_rule), zero - far(zero.dtype)
        inputs = given.law, given.levers
        at = log_params + zero, zero
        by_rule = crossing(_own_flops, TOKENS, *at, flops + zero, inputs, start, end)
    return jnp.where(good, by_rule, -jnp.inf)


def _own_flops(log_params: Array, log_tokens: Array, inputs: tuple[Any, dict[str, Array]]) -> Array:
    law, levers = inputs
    return protocol.flops_of(law, jnp.exp(log_params), jnp.exp(log_tokens), **levers).train


# --- The search -----------------------------------------------------------------------------


def _ends(given: Scenario, like: Array) -> tuple[Array, Array, Array]:
    """Log widths between which all limits that do not depend on the training are kept.

    And whether there are none.
    """
    low, high = jnp.full_like(like, NARROWEST), jnp.full_like(like, WIDEST)
    if given.bounds is not None:
        # Fewer params may not be trained on the least tokens.
        by_ratio = given.bounds.min_tokens / given.bounds.max_tokens_per_param
        by_ratio *= 1 + BEYOND * epsilon(like)
        low = jnp.maximum(low, _width_at(given, jnp.maximum(given.bounds.min_params, by_ratio)))
        high = jnp.minimum(high, _width_at(given, given.bounds.max_params))

    def room(log_width: Array) -> Array:
        shape = architecture_of_width(given.family, log_width)
        return _offer(given, shape)[0].room

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        inside, outside = ends
        middle = (inside + outside) / 2
        keeps = room(middle) >= 0
        return jnp.where(keeps, middle, inside), jnp.where(keeps, outside, middle)

    keeps_all, keeps_none = room(high) >= 0, room(low) < 0
    inside, _ = fori_loop(ENDS, halve, (low + jnp.zeros_like(high), high))
    return low, jnp.where(keeps_all, high, inside), keeps_none


def _width_at(given: Scenario, params: Array) -> Array:
    """Log width of a number of params, as the law counts them, cut to the range of the search."""
    safe = jnp.log(jnp.clip(params, 1e-3, 1e30))
    embeddings, idle = (
        counted(given.law) for counted in (protocol.counts_embeddings, protocol.counts_idle_experts)
    )
    found = log_width_of_counted(given.family, safe, embeddings=embeddings, idle=idle)
    found = jnp.where(params > 0, found, -jnp.inf)
    return jnp.clip(jnp.where(params < 1e30, found, jnp.inf), NARROWEST, WIDEST)


class Bracket(NamedTuple):
    """A point with two neighbors, neither of which is better."""

    low: Array
    best: Array
    high: Array
    value: Array  # at the best


def _covered(at_loss: bool, given: Scenario, low: Array, high: Array, like: Array) -> Bracket:
    """A bracket of each machine's optimum: the best of points over all widths, and of the ends.

    The ends are points too, so that no range of widths is missed because it is narrow.
    """
    spacing = (WIDEST - NARROWEST) / (POINTS - 1)

    def look(i: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        value, at = best
        # One width for all machines, whose training is computed once; then the ends of each.
        here = NARROWEST + spacing * jnp.asarray(i, like.dtype)
        found = sized(at_loss, given, here).value
        better = (found < value) & (low <= here) & (here <= high)
        return jnp.where(better, found, value), jnp.where(better, here, at)

    def look_at_end(i: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        value, at = best
        here = jnp.where(i == 0, high, low) + jnp.zeros_like(like)
        found = sized(at_loss, given, here).value
        better = found < value
        return jnp.where(better, found, value), jnp.where(better, here, at)

    start = jnp.full_like(like, jnp.inf), high + jnp.zeros_like(like)
    value, at = fori_loop(2, look_at_end, fori_loop(POINTS, look, start))
    return Bracket(jnp.maximum(at - spacing, low), at, jnp.minimum(at + spacing, high), value)


def _narrowed(at_loss: bool, given: Scenario, start: Bracket, sections: int) -> Bracket:
    """The bracket after so many golden sections."""

    def section(_: Array, b: Bracket) -> Bracket:
        here = _between(b)
        return _cut(b, here, sized(at_loss, given, here).value)

    return fori_loop(sections, section, start)


def _between(b: Bracket) -> Array:
    """A point in the larger part of a bracket."""
    below = b.best - b.low > b.high - b.best
    return b.best + GOLDEN * jnp.where(below, b.low - b.best, b.high - b.best)


def _cut(b: Bracket, here: Array, value: Array) -> Bracket:
    """The part of a bracket that holds its optimum, by the value at a point inside."""
    better, below = value < b.value, here < b.best
    return Bracket(
        low=jnp.where(better == below, b.low, jnp.where(below, here, b.best)),
        best=jnp.where(better, here, b.best),
        high=jnp.where(better == below, jnp.where(below, b.best, here), b.high),
        value=jnp.where(better, value, b.value),
    )


# --- What decides ---------------------------------------------------------------------------

# Besides a stationary point: the fields of `Switches`, and the ends.
MEMORY, TOKEN_TIME, FIRST_TOKEN = 1, 2, 3
TOKEN_BOUNDS = 4  # `distances` of a model


class Decided(NamedTuple):
    """A log width, moved onto the equation that decides it."""

    log_width: Array
    limit: Array  # 0, or which limit of the machine decides: `jaxscale.plan.REASONS`
    at_max: Array  # whether the bound max_params does
    at_min: Array


def _equations(at_loss: bool, given: Scenario, u: Array) -> tuple[Array, ...]:
    """Each is 0 where it decides: a stationary point, the end of a limit, a kink, a bound."""

    def value(u: Array) -> tuple[Array, Sized]:
        model = sized(at_loss, given, u, jnp.inf)
        return jnp.log(model.value) if at_loss else model.value, model

    _, slope, model = jax.jvp(value, (u,), (jnp.ones_like(u),), has_aux=True)
    limits = model.offer.memory, model.offer.token, model.offer.first
    decide = slope, *limits, *model.switches
    if given.bounds is None:
        return decide
    widths = (_width_at(given, x) for x in (given.bounds.max_params, given.bounds.min_params))
    return *decide, *model.distances, *(u - width for width in widths)


Secant: TypeAlias = tuple[Array, Array, Array, Array]  # two widths, each with its value


def _selected(equations: tuple[Array, ...], which: Array) -> Array:
    chosen = jnp.where(which == 0, equations[0], jnp.nan)
    for number, equation in enumerate(equations[1:], start=1):
        chosen = jnp.where(which == number, equation, chosen)
    return chosen


def _decided(at_loss: bool, given: Scenario, found: Bracket) -> Decided:
    """Which equation decides the width that was found, and the width with its derivatives."""
    fixed = given.map(lax.stop_gradient)
    slack = BEYOND * epsilon(found.best)
    ends = jnp.concatenate([found.low - slack, found.high + slack])
    values = _equations(at_loss, fixed, jnp.concatenate([ends, found.best]))
    low, high, middle = ([x[i : i + 1] for x in values] for i in range(3))
    # Across a stationary point the slope changes evenly, across a kink it jumps.
    rise, share = high[0] - low[0], (found.best - ends[:1]) / (ends[1:] - ends[:1])
    is_even = jnp.abs(middle[0] - low[0] - share * rise) < EVEN * rise
    which = jnp.full_like(found.best, -1, jnp.int32)
    for number in range(len(values) - 1, 0, -1):
        crosses = (low[number] > 0) != (high[number] > 0)
        crosses &= is_finite(low[number]) & is_finite(high[number])
        which = jnp.where(crosses, number, which)
    which = jnp.where((low[0] < 0) & (high[0] > 0) & (is_even | (which < 0)), 0, which)

    def secant(_: Array, at: Secant) -> Secant:
        u, value, before, old = at
        rise = value - old
        moved = jnp.where(rise != 0, value * (u - before) / jnp.where(rise != 0, rise, 1), 0)
        here = jnp.clip(u - moved, ends[:1], ends[1:])
        return here, _selected(_equations(at_loss, fixed, here), which), u, value

    start = ends[1:], _selected(tuple(high), which), ends[:1], _selected(tuple(low), which)
    u, value, _, _ = fori_loop(SETTLED, secant, start)
    known = is_finite(u) & is_finite(value)
    which = jnp.where(known, which, -1)
    u = _root(at_loss, given, which, jnp.where(which >= 0, u, found.best))
    limit = jnp.where((which >= MEMORY) & (which <= FIRST_TOKEN), which, 0)
    last = FIRST_TOKEN + len(Switches._fields) + TOKEN_BOUNDS
    return Decided(u, limit, which == last + 1, which == last + 2)


def _root(at_loss: bool, given: Scenario, which: Array, u: Array) -> Array:
    """The log width u, with the derivatives that the equation which decides it gives it."""
    return _implicit((at_loss, given.dense), given._replace(dense=False), which, u)


@custom_jvp(0)
def _implicit(kind: tuple[bool, bool], given: Scenario, which: Array, u: Array) -> Array:
    del kind, given, which
    return u


@_implicit.defjvp
def _implicit_jvp(
    kind: tuple[bool, bool], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Array, Array]:
    (at_loss, dense), (given, which, u) = kind, primals
    u = _implicit(kind, given, which, u)

    def equation(given: Scenario, u: Array) -> Array:
        return _selected(_equations(at_loss, given._replace(dense=dense), u), which)

    _, change = jax.jvp(lambda given: equation(given, u), (given,), tangents[:1])
    _, rise = jax.jvp(lambda u: equation(given, u), (u,), (jnp.ones_like(u),))
    # Of the tangents nothing may be asked, or there would be no reverse mode.
    safe = (which >= 0) & is_finite(rise) & (rise != 0)
    return u, jnp.where(safe, -change / jnp.where(safe, rise, 1), 0)


# --- The plan -------------------------------------------------------------------------------


def best_plan(
    at_loss: bool,
    target: Mapping[str, ArrayLike],
    arguments: Mapping[str, Any],
    levers: Mapping[str, ArrayLike],
    chosen: tuple[str, ...],
) -> Plan:
    """The cheapest plan of a loss (`at_loss`), or the best of a budget, with its deployment.

    Raises ValueError for levers that would have to be searched.
    """
    law, costs = arguments["law"], arguments["costs"]
    by_bits = BITS in protocol.levers_of(law) and BITS not in levers
    if any(name != BITS or not by_bits for name in chosen):
        raise ValueError(f"over may not hold levers with Costs.served; got {chosen!r}: give values")
    values = lever_values(law, levers, (BITS,) if by_bits else ())
    served = costs.serving.of_law(law, values)
    machines, *rest = entered(
        served.options,
        **target,
        levers=values,
        law=law,
        demand=arguments["demand"],
        train=costs.train,
        family=served.family,
        asked_requests=served.requests,
        asked_limits=served.limits,
        utilisation=served.utilisation,
        bounds=arguments.get("bounds"),
    )
    return minimize((at_loss, by_bits, served.is_dense), *rest, machines)


@partial(compiled, static=1)
def minimize(
    kind: tuple[bool, bool, bool],
    target: Array,
    levers: dict[str, Array],
    law: Any,
    demand: Demand,
    train: Array,
    family: Family,
    requests: Requests,
    limits: Limits,
    utilisation: Array,
    bounds: Bounds | None,
    machines: tuple[Machine, ...],
) -> Plan:
    """The cheapest plan of a loss, or the best of a budget, with its deployment."""
    given = target, levers, law, demand, train, family, requests, limits, utilisation, bounds
    return in_chunks(partial(_stacked, kind), *arrays.align(*given, machines), arrays=ARRAYS)


def _stacked(kind: tuple[bool, bool, bool], *given: Any) -> Plan:
    """The plan of aligned arguments, the machines put along a first axis."""
    at_loss, by_bits, dense = kind
    *rest, machines = given
    rank = max(jnp.ndim(x) for x in jax.tree.leaves(given))
    *rest, machine = arrays.align(*rest, stacked(machines, rank))
    target, levers, law, demand, train, family, requests, limits, utilisation, bounds = rest
    if by_bits:
        levers = {**levers, BITS: 8 * machine.weight_bytes}
    if STREAMS in levers:
        requests = replace(requests, streams=levers[STREAMS])
    return _plan(
        at_loss,
        Scenario(
            law,
            levers,
            target,
            demand,
            train,
            family,
            requests,
            limits,
            utilisation,
            bounds,
            machine,
            dense,
        ),
    )


def _made_safe(at_loss: bool, given: Scenario) -> tuple[Scenario, Array]:
    """The scenario with 1 for bad numbers when differentiated, and whether there are none.

    What many scenarios share is judged by itself, so that it stays shared.
    """
    law = protocol.is_valid(given.law) & protocol.are_finite(given.levers)
    asked = given.demand.is_valid() & is_positive(given.train)
    asked &= is_finite(given.target) if at_loss else is_positive(given.target)
    serving = given.family.is_valid() & given.requests.is_valid() & given.limits.is_valid()
    serving &= given.machine.is_valid() & is_whole(given.machine)
    serving &= (given.utilisation > 0) & (given.utilisation <= 1)
    bounded = True if given.bounds is None else given.bounds.is_valid()

    def safe(good: Array, *parts: Any) -> Any:
        return jax.tree.map(lambda x: where_safe(good, x), parts)

    groups = {
        ("law", "levers"): law,
        ("target", "demand", "train"): asked,
        ("family", "requests", "limits", "utilisation", "machine"): serving,
    }
    made = {}
    for names, good in groups.items():
        parts = (getattr(given, name) for name in names)
        made |= dict(zip(names, safe(good, *parts), strict=True))
    bounds = None if given.bounds is None else given.bounds.made_safe()
    return given._replace(**made, bounds=bounds), law & asked & serving & bounded


def _plan(at_loss: bool, given: Scenario) -> Plan:
    given, good = _made_safe(at_loss, given)
    fixed = given.map(lax.stop_gradient)
    like = zeros_of_full_shape(given[:-1])
    serving = fixed.machine, fixed.family, fixed.requests, fixed.limits, fixed.utilisation
    low, high, never = _ends(fixed, zeros_of_full_shape((serving, fixed.bounds)))
    found = _covered(at_loss, fixed, low, high, like)
    bracket = _narrowed(at_loss, fixed, found, SECTIONS)
    worth = bracket.value if at_loss else _cheapest_of_ties(fixed, bracket)
    choice = jnp.argmin(worth, axis=0)[None]
    take = partial(_taken, choice)
    chosen = given.map(take)
    bracket = jax.tree.map(take, bracket)
    best = bracket.value
    decided = _decided(at_loss, chosen, bracket)
    slack = ROUNDING * epsilon(best)
    model = sized(at_loss, chosen, decided.log_width, slack)
    good = _taken(choice, good)
    refused = (
        (~good, Status.INVALID_INPUT),
        (chosen.requests.longest > chosen.family.context, Status.CONTEXT_TOO_LONG),
        (jnp.all(never, axis=0, keepdims=True), Status.INFEASIBLE_BOUNDS),
    )
    plan = _finished(at_loss, chosen, model, decided, choice, refused, best)
    return jax.tree.map(lambda x: x[0], plan)


def _cheapest_of_ties(given: Scenario, found: Bracket) -> Array:
    """The costs of the machines whose losses are the least; infinite for others.

    Where bounds leave budget over, all machines serve a plan of the same loss.
    """
    model = sized(False, given, found.best, jnp.inf)
    demand = given.demand
    spent = demand.input_tokens * model.offer.read + demand.output_tokens * model.offer.write
    least = jnp.min(found.value, axis=0, keepdims=True)
    ties = found.value <= least + TIED * epsilon(least) * jnp.abs(least)
    return jnp.where(ties & (found.value < jnp.inf), model.train_cost + spent, jnp.inf)


def _taken(index: Array, x: Array) -> Array:
    """Elements along the first axis; what all share stays as it is."""
    if jnp.ndim(x) == 0 or x.shape[0] == 1:
        return x
    return jnp.take_along_axis(jnp.broadcast_to(x, (x.shape[0], *index.shape[1:])), index, axis=0)


def _is_outside(bounds: Bounds | None, model: Sized) -> Array:
    """Whether bounds on params cross each other, or no width in the search keeps them."""
    if bounds is None:
        return jnp.zeros_like(model.value, dtype=bool)
    params, slack = jnp.exp(model.log_params), ROUNDING * epsilon(model.value)
    outside = (params > bounds.max_params * (1 + slack)) | (
        bounds.min_params * (1 - slack) > params
    )
    return outside | (bounds.min_params > bounds.max_params)


def _finished(
    at_loss: bool,
    given: Scenario,
    model: Sized,
    decided: Decided,
    choice: Array,
    refused: tuple[Case, ...],
    best: Array,
) -> Plan:
    found = model.value < jnp.inf
    bounds = given.bounds
    cases = [*refused]
    floor = far(model.value.dtype)
    if at_loss:
        top = jnp.full_like(model.value, floor)
        least = protocol.loss_from_logs(given.law, top, top, **given.levers)
        cases.append((given.target <= least, Status.INFEASIBLE_LOSS))
        cases.append((~found | _is_outside(bounds, model), Status.INFEASIBLE_BOUNDS))
    else:
        cases.append((_is_outside(bounds, model), Status.INFEASIBLE_BOUNDS))
        cases.append((~found, Status.INFEASIBLE_BUDGET))
    beaten = best < model.value - jnp.abs(model.value) * (BEATEN * epsilon(best) ** 0.5)
    cases.append((beaten, Status.NOT_CONVERGED))
    held = protocol.holds(given.law, model.log_params, model.log_tokens, **given.levers)
    cases.append((~held, Status.BEYOND_LAW))
    # Where the search ends, no limit and no bound decides: the optimum may lie beyond.
    edge_of_search = BEYOND * epsilon(best) * WIDEST
    ends = decided.log_width <= NARROWEST + edge_of_search
    ends |= decided.log_width >= WIDEST - edge_of_search
    cases.append((ends, Status.NO_INTERIOR_OPTIMUM))
    if bounds is not None:
        high = jnp.minimum(
            jnp.log(bounds.max_tokens), jnp.log(bounds.max_tokens_per_param) + model.log_params
        )
        near = BEATEN * epsilon(model.value) ** 0.5
        at_low = model.log_tokens <= jnp.log(bounds.min_tokens) + near
        at_high = model.log_tokens >= high - near
        by_ratio = jnp.log(bounds.max_tokens) > high
        edge = decided.at_max | decided.at_min | (decided.limit > 0) | (at_low & at_high)
        cases += [
            (model.short & edge, Status.AT_CORNER),
            (at_low, Status.AT_MIN_TOKENS),
            (at_high & by_ratio, Status.AT_MAX_RATIO),
            (at_high, Status.AT_MAX_TOKENS),
            (decided.at_min, Status.AT_MIN_PARAMS),
        ]
    cases.append((decided.at_max | (decided.limit > 0), Status.AT_MAX_PARAMS))
    full = jnp.zeros_like(model.value)
    status = jnp.broadcast_to(first_status(*cases), full.shape)
    ok = is_ok(status)

    def masked(x: Array) -> Array:
        return jnp.where(ok, x + full, jnp.nan)

    made = model.offer
    tokens = jnp.exp(model.log_tokens)
    nat = _marginal_cost(at_loss, given, model, decided.log_width, status)
    return Plan(
        params=masked(jnp.exp(model.log_params)),
        tokens=masked(tokens),
        loss=masked(
            protocol.loss_from_logs(given.law, model.log_params, model.log_tokens, **given.levers)
        ),
        train_cost=masked(model.train_cost),
        prefill_cost=masked(given.demand.input_tokens * made.read),
        decode_cost=masked(given.demand.output_tokens * made.write),
        marginal_cost=masked(nat),
        status=status,
        levers={name: masked(x) for name, x in given.levers.items()},
        serving={
            "choice": jnp.where(ok, choice, -1),
            "devices": masked(given.machine.count),
            "batch": masked(made.batch),
            "token_seconds": masked(made.token_seconds),
            "first_token_seconds": masked(made.first_token_seconds),
            "reason": jnp.where(ok, decided.limit, 0).astype(jnp.int8),
        },
    )


def _marginal_cost(
    at_loss: bool, given: Scenario, model: Sized, log_width: Array, status: Array
) -> Array:
    """What a nat costs, as `solve.marginal` has it, with the width in the role of params.

    Tokens decide it also where a limit of the machine, or a kink of its prices, fixes the width.
    """
    ok = is_ok(status)
    at = where_safe(ok, log_width + 0 * model.value), where_safe(ok, model.log_tokens)

    def surfaces(log_width: Array, log_tokens: Array) -> tuple[Array, Array]:
        shape = architecture_of_width(given.family, log_width)
        log_params = _log_params(given, shape, log_width)
        cost = given.train * _train_flops(given, shape, log_params, log_tokens)
        loss = protocol.loss_from_logs(given.law, log_params, log_tokens, **given.levers)
        if given.bounds is not None:  # only they may fix the tokens
            made, _ = _offer(given, shape)
            cost += given.demand.input_tokens * made.read + given.demand.output_tokens * made.write
        return cost, loss

    one = jnp.ones_like(at[0])
    if given.bounds is None:
        _, (rise, slope) = jax.jvp(partial(surfaces, at[0]), at[1:], (one,))
        return cost_of_a_nat(ok, rise, -slope)

    def log_params(log_width: Array) -> Array:
        return _log_params(given, architecture_of_width(given.family, log_width), log_width)

    by_width, by_tokens = open_way(status, one)
    _, per_width = jax.jvp(log_params, at[:1], (one,))
    by_tokens = jnp.where(status == int(Status.AT_MAX_RATIO), per_width, by_tokens)
    _, (rise, slope) = jax.jvp(surfaces, at, (by_width, by_tokens))
    return at_corner(at_loss, status, cost_of_a_nat(ok, rise, -slope))
