"""What both problems do first: judge the inputs, and put safe ones in place of bad ones."""

import operator
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.values import is_finite, is_normal, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.plan import Bounds
from jaxscale.status import Status, first_status

# The start of the root is tuned for these exponents; accuracy is promised for 0.02 to 2.
MIN_EXPONENT, MAX_EXPONENT = 0.01, 3.0


class Scenario(NamedTuple):
    """Inputs that are safe to compute and differentiate with, and what was wrong with them."""

    law: Chinchilla
    demand: Demand
    costs: Costs
    bounds: Bounds | None
    effective_demand: Array  # tokens, at the price of training
    status: Array  # of the full shape
    ok: Array  # whether nothing was wrong


def judged(
    law: Chinchilla,
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
    target_is_valid: Array,
    *target_cases: tuple[Array, Status],
) -> Scenario:
    """The scenario made safe, with a status where no plan exists or none can be computed.

    `target_cases` are conditions on the loss or the budget, each with its status.
    """
    valid = law.is_valid() & demand.is_valid() & costs.is_valid() & target_is_valid
    law, demand, costs = law.made_safe(), demand.made_safe(), costs.made_safe()
    if bounds is not None:
        valid &= bounds.is_valid()
        bounds = bounds.made_safe()

    A, A_fits = _kept(law.A, has_normal_products(law.A))
    B, B_fits = _kept(law.B, has_normal_products(law.B))
    train, train_fits = _kept(costs.train, is_normal(4 / costs.train) & is_finite(8 * costs.train))
    costs = Costs(train, costs.prefill, costs.decode)
    demand_fits = is_finite(costs.effective_demand(demand))
    demand, costs = jax.tree.map(lambda x: where_safe(demand_fits, x), (demand, costs))
    alpha, alpha_covered = _kept(law.alpha, _is_covered(law.alpha))
    beta, beta_covered = _kept(law.beta, _is_covered(law.beta))
    cases = (
        (~valid, Status.INVALID_INPUT),
        *target_cases,
        (~(A_fits & B_fits & train_fits & demand_fits), Status.OUT_OF_RANGE),
        (~(alpha_covered & beta_covered), Status.NOT_CONVERGED),
    )
    # Not `is_ok(status)`: XLA would carry bytes through every loop that needs one bit.
    ok = ~reduce(operator.or_, (condition for condition, _ in cases))
    law = Chinchilla(law.E, A, B, alpha, beta)
    # A scenario that one input spoils is differentiated at 1 everywhere: where that input was
    # replaced, the others need not go together.
    law, demand, costs, bounds = jax.tree.map(
        lambda x: where_safe(ok, x), (law, demand, costs, bounds)
    )
    effective_demand = costs.effective_demand(demand)
    return Scenario(law, demand, costs, bounds, effective_demand, first_status(*cases), ok)


def has_normal_products(x: Array) -> Array:
    """Whether the product or quotient of two such numbers neither over- nor underflows."""
    limit = float(jnp.finfo(x.dtype).max) ** 0.45
    return (x > 1 / limit) & (x < limit)


def _is_covered(exponent):
    return (exponent >= MIN_EXPONENT) & (exponent <= MAX_EXPONENT)


def _kept(x, good):
    return where_safe(good, x), good
