"""Plans: a model size and a training length with their loss, their bills and a status."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _arrays
from jaxscale._arrays import Real
from jaxscale._logarithm import exponent
from jaxscale._values import has_normal_exp, is_finite, is_positive, where_safe
from jaxscale.costs import INFERENCE_FLOPS, TRAIN_FLOPS, Costs, Demand
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.status import Status, first_status, is_ok


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Plan:
    """One plan for each scenario. Every field has the full shape of all scenarios.

    Costs are in the unit of the `Costs` they were priced with. Where `ok` is False all
    numbers are NaN, and their derivatives are zero.
    """

    params: Array
    tokens: Array  # training tokens
    loss: Array  # of this model after this training, nats per token
    train_cost: Array
    prefill_cost: Array
    decode_cost: Array
    status: Array  # int8, a member of Status

    @property
    def inference_cost(self) -> Array:
        """Cost of prefill and decode together."""
        return self.prefill_cost + self.decode_cost

    @property
    def total_cost(self) -> Array:
        """Cost of training and inference together."""
        return self.train_cost + self.inference_cost

    @property
    def tokens_per_param(self) -> Array:
        """Training tokens for each parameter."""
        return self.tokens / self.params

    @property
    def ok(self) -> Array:
        """Whether the scenario has a plan: boolean, of the full shape."""
        return is_ok(self.status)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Bounds:
    """Limits that a plan must keep. The defaults, zero and infinity, limit nothing."""

    min_params: Real = 0.0
    max_params: Real = np.inf
    min_tokens: Real = 0.0
    max_tokens: Real = np.inf
    max_tokens_per_param: Real = np.inf

    def is_valid(self) -> Array:
        """Whether no bound is negative or NaN."""
        low = (self.min_params >= 0) & (self.min_tokens >= 0)
        high = (self.max_params >= 0) & (self.max_tokens >= 0)
        return low & high & (self.max_tokens_per_param >= 0)

    def made_safe(self) -> "Bounds":
        """The bounds with 1 for each bad one: no NaN may enter a gradient."""
        return jax.tree.map(lambda x: where_safe(x >= 0, x), self)


def evaluate(
    law: Chinchilla,
    params: ArrayLike,
    tokens: ArrayLike,
    demand: Demand | None = None,
    costs: Costs | None = None,
) -> Plan:
    """Loss and bills of any model size and training length.

    All arguments broadcast. `demand` defaults to none, `costs` to FLOPs. Bad values give
    status INVALID_INPUT or OUT_OF_RANGE and NaN; bad structure raises TypeError or
    ValueError naming the argument. Costs: Sardana et al. 2024, eq. 6.
    """
    arguments = plan_arguments(law, demand, costs)
    return _evaluate(*_arrays.enter(params=params, tokens=tokens, **arguments))


def plan_arguments(
    law: Chinchilla, demand: Demand | None, costs: Costs | None, bounds: "Bounds | None" = None
) -> dict[str, Any]:
    """The arguments that all plans share, defaults in place; TypeError for a wrong type."""
    demand = Demand() if demand is None else demand
    costs = Costs.flops() if costs is None else costs
    arguments = {"law": (law, Chinchilla), "demand": (demand, Demand), "costs": (costs, Costs)}
    if bounds is not None:
        arguments["bounds"] = (bounds, Bounds)
    for name, (value, kind) in arguments.items():
        if not isinstance(value, kind):
            raise TypeError(
                f"{name} must be a jaxscale {kind.__name__}; got {value!r} ({type(value).__name__})"
            )
    return {name: value for name, (value, _) in arguments.items()}


class Place(NamedTuple):
    """A model size and training length, with their logarithms to full accuracy."""

    params: Array
    tokens: Array
    log_params: Array
    log_tokens: Array
    status: Array
    ok: Array  # whether the status comes with numbers


def with_finite_loss(law: Chinchilla, place: Place) -> Place:
    """The place, OUT_OF_RANGE where its loss overflows, as that of an absurdly small plan may."""
    finite = is_finite(law.loss_from_logs(place.log_params, place.log_tokens))
    status = jnp.where(place.ok & ~finite, jnp.int8(Status.OUT_OF_RANGE), place.status)
    return place._replace(status=status, ok=place.ok & finite)


def priced(law: Chinchilla, place: Place, demand: Demand, costs: Costs) -> Plan:
    """The plan at `place` with its loss and bills; NaN where its status is not ok.

    All arguments are aligned and safe, and the status has the full shape. A lane whose
    bills overflow becomes OUT_OF_RANGE.
    """
    params, tokens, log_params, log_tokens, status, ok = place
    in_range = has_normal_exp(log_params) & has_normal_exp(log_tokens)
    in_range &= _has_normal_bills(log_params, log_tokens, demand, costs)
    status = jnp.where(ok & ~in_range, jnp.int8(Status.OUT_OF_RANGE), status)
    ok &= in_range
    # Derivatives of an overflowed product are infinite, so bad lanes are priced at one instead.
    safe_params, safe_tokens = where_safe(ok, params), where_safe(ok, tokens)
    law, demand, costs = jax.tree.map(lambda x: where_safe(ok, x), (law, demand, costs))
    loss = law.loss_from_logs(where_safe(ok, log_params), where_safe(ok, log_tokens))
    # N * D overflows float32 long before the bill does, and a price times an N below 1 underflows.
    below_one = log_params < 0
    first = jnp.where(below_one, safe_tokens, costs.train)
    second = jnp.where(below_one, costs.train, safe_tokens)
    # So may 6 times the larger of the two factors.
    product = safe_params * first
    small = product < 1
    train = jnp.where(small, TRAIN_FLOPS * product, product)
    train *= jnp.where(small, second, TRAIN_FLOPS * second)
    prefill = safe_params * (INFERENCE_FLOPS * (costs.prefill * demand.input_tokens))
    decode = safe_params * (INFERENCE_FLOPS * (costs.decode * demand.output_tokens))
    numbers = params, tokens, loss, train, prefill, decode
    return Plan(*(jnp.where(ok, x, jnp.nan) for x in numbers), status=status)


def _has_normal_bills(log_params, log_tokens, demand, costs):
    """Whether training is a normal number, and no sum of bills within 8 times of overflow."""
    # Judged by logarithms, so that the test of N does not wait for the exponential of D. The
    # power of two is near enough for the serving bill and costs a twentieth of its logarithm.
    log_price = jnp.log(costs.train)
    log_train = log_params + log_tokens + log_price + math.log(TRAIN_FLOPS)
    log_first = log_params + jnp.where(log_params < 0, log_tokens, log_price)
    serving = costs.prefill * demand.input_tokens + costs.decode * demand.output_tokens
    serving = INFERENCE_FLOPS * serving
    log_serving = log_params + exponent(serving) * math.log(2)
    ceiling = (jnp.finfo(log_train.dtype).maxexp - 2.5) * math.log(2)
    fits = is_finite(serving) & (log_serving < ceiling)
    return fits & has_normal_exp(log_first) & has_normal_exp(log_train) & (log_train < ceiling)


@jax.jit
def _evaluate(params, tokens, law, demand, costs):
    params, tokens, law, demand, costs = _arrays.align(params, tokens, law, demand, costs)
    valid = law.is_valid() & demand.is_valid() & costs.is_valid()
    valid &= is_positive(params) & is_positive(tokens)
    law, demand, costs = law.made_safe(), demand.made_safe(), costs.made_safe()
    log_params, log_tokens = (jnp.log(where_safe(is_positive(x), x)) for x in (params, tokens))
    status = first_status((~valid, Status.INVALID_INPUT))
    place = Place(params, tokens, log_params, log_tokens, status, valid)
    return priced(law, with_finite_loss(law, place), demand, costs)
