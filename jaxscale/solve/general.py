"""Both problems for any law that is not the Chinchilla law, whose reduction is closed."""

import operator
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import is_finite, is_normal, is_positive, where_safe
from jaxscale.costs import Costs
from jaxscale.laws.inverse import ALLOWED, NEAR_FLOOR, SAME, far, is_plausible
from jaxscale.laws.protocol import are_finite, is_valid, made_safe
from jaxscale.plan import Bounds, Plan, priced, with_finite_loss
from jaxscale.solve.bounds import optimum
from jaxscale.solve.checks import is_verified
from jaxscale.solve.general_curve import Free, budget_curve, free_optimum, iso_loss_curve
from jaxscale.solve.newton import Inputs, cost_value, floor_of
from jaxscale.status import Status, first_status


@compiled
def cheapest(loss, levers, law, demand, costs, bounds=None) -> Plan:
    """The cheapest plan whose loss is at most `loss`, at given levers."""
    inputs, bounds = aligned(loss, levers, law, demand, costs, bounds)
    return solve(True, inputs, bounds)


@compiled
def best(budget, levers, law, demand, costs, bounds=None) -> Plan:
    """The plan of the lowest loss whose lifetime cost is at most `budget`, at given levers."""
    inputs, bounds = aligned(budget, levers, law, demand, costs, bounds)
    return solve(False, inputs, bounds)


def aligned(target, levers, law, demand, costs, bounds) -> tuple[Inputs, Bounds | None]:
    """All numbers at one rank."""
    target, law, levers, demand, costs, bounds = arrays.align(
        target, law, levers, demand, costs, bounds
    )
    return Inputs(law, levers, target, demand, costs), bounds


def solve(at_loss: bool, inputs: Inputs, bounds: Bounds | None) -> Plan:
    """The plan of aligned inputs: the cheapest of a loss (`at_loss`), or the best of a budget."""
    # Searched for with the inputs as they are: made safe, a number that all lanes share would
    # be carried through every step as an array.
    at_floor = jnp.asarray(False)
    if at_loss:
        inputs, at_floor = _off_the_floor(inputs)
    given = lax.stop_gradient(inputs)
    inputs, bounds, like, status, ok = _judged(at_loss, inputs, bounds)
    free = free_optimum(at_loss, given, like)
    absurd = at_floor & ~(is_plausible(free.log_params) & is_plausible(free.log_tokens))
    doubt = jnp.where(absurd, jnp.int8(Status.INFEASIBLE_LOSS), free.status)
    curve_of = iso_loss_curve if at_loss else budget_curve

    def curve(inputs, log_params, log_tokens):
        return curve_of(inputs, Free(log_params, log_tokens, doubt))

    known = inputs, free.log_params, free.log_tokens
    place = optimum(curve, known, bounds, status, ok)
    kept = is_verified(at_loss, given, bounds, place)
    status = jnp.where(place.ok & ~kept, jnp.int8(Status.NOT_CONVERGED), place.status)
    place = place._replace(status=status, ok=place.ok & kept)
    if not at_loss:
        place = with_finite_loss(inputs.law, place, inputs.levers)
    return priced(inputs.law, place, inputs.demand, inputs.costs, inputs.levers)


def _off_the_floor(inputs: Inputs) -> tuple[Inputs, Array]:
    """The inputs with a loss that can be told from the floor, and whether it was at the floor.

    Where repeated data does no more good, models of plausible sizes have the least loss that the
    law gives, to the last digit. Near it, that digit is worth a good part of the cost: a few more
    are allowed, so that rounding never makes a plan dearer than a known one.
    """
    floor = floor_of(inputs, inputs.target)
    digit = float(jnp.finfo(floor.dtype).eps) * jnp.abs(floor)
    above = inputs.target - floor
    at_floor = jnp.abs(above) <= SAME * digit
    near = (above > -SAME * digit) & (above < NEAR_FLOOR * digit)
    shift = ALLOWED * digit - jnp.minimum(lax.stop_gradient(above), 0)
    return inputs._replace(target=inputs.target + jnp.where(near, shift, 0)), at_floor


def _judged(at_loss: bool, inputs: Inputs, bounds: Bounds | None) -> Any:
    """Inputs that are safe to compute with, zeros of the full shape, and what was wrong."""
    law, levers, target, demand, costs = inputs
    law_is_valid = is_valid(law)
    valid = law_is_valid & demand.is_valid() & costs.is_valid()
    valid &= is_finite(target) if at_loss else is_positive(target)
    valid &= are_finite(levers)
    if bounds is not None:
        valid &= bounds.is_valid()
        bounds = bounds.made_safe()
    law, demand, costs = made_safe(law, law_is_valid), demand.made_safe(), costs.made_safe()
    train_fits = is_normal(4 / costs.train) & is_finite(8 * costs.train)
    costs = Costs(where_safe(train_fits, costs.train), costs.prefill, costs.decode)
    fits = train_fits & is_finite(costs.effective_demand(demand))
    inputs = Inputs(law, levers, target, demand, costs)
    like = zeros_of_full_shape((inputs, bounds))
    # The largest model has the least loss that there is, and the smallest the least cost.
    given = lax.stop_gradient(inputs)
    if at_loss:
        reachable, infeasible = given.target > floor_of(given, like), Status.INFEASIBLE_LOSS
    else:
        nothing = jnp.full_like(like, -far(like.dtype))
        reachable = cost_value(nothing, nothing, given) < given.target
        infeasible = Status.INFEASIBLE_BUDGET
    status = first_status(
        (~valid, Status.INVALID_INPUT), (~fits, Status.OUT_OF_RANGE), (~reachable, infeasible)
    )
    ok = valid & fits & reachable
    inputs, bounds = jax.tree.map(lambda x: where_safe(ok, x), (inputs, bounds))
    return inputs, bounds, like, status, ok


def zeros_of_full_shape(tree: Any) -> Array:
    """Zeros of the shape that all numbers together have; those are of one rank."""
    # Made of all of them: under `shard_map` a loop must begin with what varies as its results do.
    return reduce(operator.add, map(jnp.zeros_like, jax.tree.leaves(tree)))
