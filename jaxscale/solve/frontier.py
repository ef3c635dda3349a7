"""The compute-optimal frontier of any law: sizes from FLOPs, and one size from the other.

On it a step in params and one in tokens that cost the same FLOPs lower the loss equally
(Hoffmann et al. 2022, eq. 4). At given params that is one equation in ln(D / N), which has one
sign where there are too few tokens and the other where there are too many.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import Law, are_finite, has_frontier, is_valid, made_safe
from jaxscale.plan import Bounds, Place, Plan, check_law, lever_values, priced, with_finite_loss
from jaxscale.solve.checks import is_verified
from jaxscale.solve.general import zeros_of_full_shape
from jaxscale.solve.closed import minimize_loss
from jaxscale.solve.newton import Inputs, cost_value, equations
from jaxscale.status import Status, first_status

FARTHEST = 48.0  # in ln(D / N), from 1e-20 to 1e20 tokens per param
HALVINGS = 64  # leave 5e-18 of that range


def compute_optimal(
    law: Law,
    *,
    flops: ArrayLike | None = None,
    params: ArrayLike | None = None,
    tokens: ArrayLike | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> Plan:
    """Plan of the lowest loss for its training FLOPs, from one of FLOPs, params and tokens.

    Exactly one of `flops`, `params` and `tokens` is given. It broadcasts with the law's
    coefficients and `levers`, which has a value for each of the law's. The plan's costs are FLOPs.
    Differentiable any number of times. A scenario that no training is compute-optimal for has the
    status NO_INTERIOR_OPTIMUM and NaN.

    Raises TypeError or ValueError naming the argument for wrong structure.

    Source: Hoffmann et al. 2022, eq. 4, for laws of any form.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> plan = js.compute_optimal(law, flops=1e23)
        >>> print(f"{plan.params:.3g} params, {plan.tokens:.3g} tokens")
        2.95e+10 params, 5.65e+11 tokens
    """
    sizes = {"flops": flops, "params": params, "tokens": tokens}
    given = {name: value for name, value in sizes.items() if value is not None}
    if len(given) != 1:
        listed = " and ".join(given) or "none"
        raise ValueError(f"give exactly one of flops, params and tokens; got {listed}")
    if flops is not None:
        return minimize_loss(law, flops, levers=levers)
    check_law(law)
    values = lever_values(law, levers or {})
    program = _at_params if params is not None else _at_tokens
    return program(*arrays.enter(**given, levers=values, law=law))


@compiled
def _at_params(params, levers, law):
    return _at_size(True, *arrays.align(params, levers, law))


@compiled
def _at_tokens(tokens, levers, law):
    return _at_size(False, *arrays.align(tokens, levers, law))


def _at_size(is_params: bool, size: Array, levers: dict[str, Array], law: Any) -> Plan:
    law_is_valid = is_valid(law)
    valid = law_is_valid & is_positive(size) & are_finite(levers)
    law = made_safe(law, law_is_valid)
    one, zero = jnp.ones((), size.dtype), jnp.zeros((), size.dtype)
    demand, costs = Demand(zero, zero), Costs(one, one, one)
    inputs = Inputs(law, levers, one, demand, costs)
    like = zeros_of_full_shape((size, law, levers))
    log_size = jnp.log(where_safe(valid & is_positive(size), size)) + like
    if has_frontier(law):
        other = (law.log_optimal_tokens if is_params else law.log_optimal_params)(log_size)
        is_bracketed = is_finite(other)
    else:
        ratio, is_bracketed = lax.stop_gradient(_log_ratio(is_params, inputs, log_size))
        other = log_size + ratio if is_params else log_size - ratio
        other = _with_derivatives(is_params, inputs, log_size, where_safe(is_bracketed, other))
    logs = (log_size, other) if is_params else (other, log_size)
    sizes = (size + like, jnp.exp(other)) if is_params else (jnp.exp(other), size + like)
    status = first_status(
        (~valid, Status.INVALID_INPUT), (~is_bracketed, Status.NO_INTERIOR_OPTIMUM)
    )
    place = Place(*sizes, *logs, status, valid & is_bracketed)
    if not has_frontier(law):
        # Of two sizes of the same FLOPs near by, neither may have the lower loss.
        budget = cost_value(*logs, inputs)
        kept = is_verified(False, inputs._replace(target=budget), _endless(size.dtype), place)
        kept |= ~is_finite(budget)  # which `priced` says
        status = jnp.where(place.ok & ~kept, jnp.int8(Status.NO_INTERIOR_OPTIMUM), place.status)
        place = place._replace(status=status, ok=place.ok & kept)
    return priced(law, with_finite_loss(law, place, levers), demand, costs, levers)


def _endless(dtype):
    low, high = jnp.zeros((), dtype), jnp.full((), jnp.inf, dtype)
    return Bounds(low, high, low, high, high)


def _lead_of_data(is_params: bool, inputs: Inputs, log_size: Array, other: Array) -> Array:
    """The logarithm of what params are worth over what tokens are worth, at the same FLOPs."""
    x, y = (log_size, other) if is_params else (other, log_size)
    _, psi = equations(True, x, y, inputs)
    return psi


def _log_ratio(is_params: bool, inputs: Inputs, log_size: Array) -> tuple[Array, Array]:
    """The root in ln(D / N), and whether there is a change of sign around it."""
    sign = 1 if is_params else -1

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        # With too few tokens for its size a model gains more from data; NaN is far beyond.
        too_few = _lead_of_data(is_params, inputs, log_size, log_size + sign * middle) < 0
        return jnp.where(too_few, middle, low), jnp.where(too_few, high, middle)

    ends = jnp.full_like(log_size, -FARTHEST), jnp.full_like(log_size, FARTHEST)
    low, high = lax.fori_loop(0, HALVINGS, halve, ends)
    middle = (low + high) / 2
    psi = _lead_of_data(is_params, inputs, log_size, log_size + sign * middle)
    return middle, (low > -FARTHEST) & (high < FARTHEST) & is_finite(psi)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _with_derivatives(is_params: bool, inputs: Inputs, log_size: Array, other: Array) -> Array:
    """`other` as it is, with implicit derivatives of any order by `inputs` and `log_size`."""
    return other


@_with_derivatives.defjvp
def _with_derivatives_jvp(is_params, primals, tangents):
    inputs, log_size, other = primals
    inputs_dot, size_dot, _ = tangents
    other = _with_derivatives(is_params, inputs, log_size, other)
    lead = partial(_lead_of_data, is_params)
    _, by_given = jax.jvp(
        lambda inputs, size: lead(inputs, size, other), (inputs, log_size), (inputs_dot, size_dot)
    )
    _, by_other = jax.jvp(
        lambda other: lead(inputs, log_size, other), (other,), (jnp.ones_like(other),)
    )
    return other, -by_given / by_other
