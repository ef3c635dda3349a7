"""Plans: a model size and a training length with their loss, their costs and a status."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.logarithm import exponent
from jaxscale._numerics.quantities import elapsed
from jaxscale._numerics.values import exp_or_nan, has_normal_exp, is_finite, is_positive, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws import protocol
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS, Law
from jaxscale.laws.streams import STREAMS
from jaxscale.status import Status, first_status, is_ok

if TYPE_CHECKING:
    from pandas import DataFrame


NUMBERS = ("params", "tokens", "tokens_per_param", "loss", "train_cost", "prefill_cost")
NUMBERS += ("decode_cost", "total_cost", "marginal_cost")
_OF_MEMORY = ("max_memory", "weight_bytes", "cached_tokens")
_SERVED = ("devices", "batch", "token_seconds")  # shown of how a plan is served
# What bounds the size of a plan, by `Plan.serving["reason"]`.
REASONS = ("none", "memory", "time of a token", "time of the first token")
_WORDS: dict[str, Callable[[Any], str]] = {
    "reason": lambda x: REASONS[x],
    "status": lambda x: Status(int(x)).name,
}
_WRITERS: dict[str, Callable[[Any], str]] = {
    "loss": lambda x: f"{x:.4f}",
    "devices": lambda x: f"{x:g}",
    "token_seconds": elapsed,
    "status": _WORDS["status"],
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Plan:
    """One plan for each scenario. Every field has the full shape of all scenarios.

    Costs are in the unit of the `Costs` they were priced with. Where `ok` is False all
    numbers are NaN, and their derivatives are zero.

    `marginal_cost` is what a nat costs: the cost of a slightly lower loss, over the nats gained,
    along the best plans within the bounds. It is a slope, and the cost is convex: 0.01 nat costs
    more than a hundredth of it, and near the law's E many times more. At AT_CORNER it is 0 for
    `minimize_cost`, whose loss is beaten for free, and NaN for `minimize_loss`, where no budget
    buys a lower loss. It is also NaN for plans of `evaluate`, which need not be optimal, and beyond
    the range of the dtype.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> plan = js.minimize_cost(law, 2.0)
        >>> print(f"{plan.tokens_per_param:.1f} tokens per param, {plan.ok}")
        47.8 tokens per param, True
        >>> print(f"{plan.marginal_cost:.1e} FLOPs for a nat")
        2.3e+24 FLOPs for a nat
    """

    params: Array  # size of the model
    tokens: Array  # training tokens
    loss: Array  # of this model after this training, nats per token
    train_cost: Array  # of all training tokens
    prefill_cost: Array  # of all tokens read
    decode_cost: Array  # of all tokens written
    marginal_cost: Array  # of a nat of loss, per nat
    status: Array  # int8, a member of Status
    levers: dict[str, Array] = field(default_factory=dict)  # what else the law lets one choose
    serving: dict[str, Array] = field(default_factory=dict)  # how it is served, by `Costs.served`
    # Of levers with listed values: the levers of the second best, and "excess", by how much it is
    # worse: a share of the cost for `minimize_cost`, nats for `minimize_loss`.
    runner_up: dict[str, Array] = field(default_factory=dict)

    def __repr__(self) -> str:
        return _display.scenarios(self, self._columns, _WRITERS)

    def _repr_html_(self) -> str | None:
        return _display.scenarios_html(self, self._columns, _WRITERS)

    def to_dataframe(self) -> "DataFrame":
        """A row for each scenario, in C order, by its index along each axis.

        Examples:
            >>> law = js.laws.published("sardana2024")
            >>> frame = js.minimize_cost(law, np.array([2.0, 2.1])).to_dataframe()
            >>> frame["status"].tolist()
            ['OK', 'OK']
        """
        numbers = {**self._numbers(), **self.serving, "status": self.status}
        columns = {name: np.ravel(x) for name, x in numbers.items()}
        for name, words in _WORDS.items():
            if name in columns:
                columns[name] = np.array([words(x) for x in columns[name].tolist()])
        shape = np.shape(self.status)
        axes = {}
        if len(shape) > 1:
            axes = {f"axis_{i}": np.ravel(x) for i, x in enumerate(np.indices(shape))}
        return _display.dataframe({**axes, **columns})

    def _numbers(self) -> dict[str, Any]:
        return {
            **self.levers,
            **{name: getattr(self, name) for name in NUMBERS},
            **{f"runner_up_{name}": x for name, x in self.runner_up.items()},
        }

    def _columns(self) -> dict[str, Any]:
        """What is shown of each scenario."""
        served = {name: self.serving[name] for name in _SERVED} if self.serving else {}
        numbers = self._numbers()
        if np.all(np.isnan(self.marginal_cost)):  # as `evaluate` leaves it
            del numbers["marginal_cost"]
        return {**numbers, **served, "status": self.status}

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
@dataclass(frozen=True, repr=False)
class Bounds:
    """Limits that a plan must keep. The defaults, zero and infinity, limit nothing.

    `max_memory` holds all weights of the model, of `weight_bytes` each (2 by default, as in bf16),
    and a bf16 cache of `cached_tokens` (16,384 by default), those of all requests together. For
    `minimize_cost` and `minimize_loss`, by laws that say what their models take in memory. For each
    number of experts it bounds params, so where it decides the plan is AT_MAX_PARAMS.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> plan = js.minimize_loss(law, 1e23, bounds=js.Bounds(max_params=1e9))
        >>> print(f"{plan.params:.3g}", js.Status(int(plan.status)).name)
        1e+09 AT_MAX_PARAMS

        Experts cost no FLOPs but memory:

        >>> law = js.laws.published("ludziejewski2025")
        >>> bounds = js.Bounds(max_memory=80e9)
        >>> plan = js.minimize_loss(law, 1e23, levers={"experts": 4}, bounds=bounds)
        >>> print(f"{plan.params:.3g}", js.Status(int(plan.status)).name)
        1.09e+10 AT_MAX_PARAMS
    """

    min_params: Real = 0.0
    max_params: Real = np.inf
    min_tokens: Real = 0.0
    max_tokens: Real = np.inf
    max_tokens_per_param: Real = np.inf
    max_memory: Any = arrays.NOTHING  # bytes
    weight_bytes: Any = arrays.NOTHING
    cached_tokens: Any = arrays.NOTHING

    def __repr__(self) -> str:
        given = {name: x for name, x in vars(self).items() if not isinstance(x, arrays.Nothing)}
        return f"Bounds({', '.join(f'{name}={x!r}' for name, x in given.items())})"

    @property
    def of_memory(self) -> dict[str, Real]:
        """The limit on memory and what is known of its use; empty without one."""
        given = {name: getattr(self, name) for name in _OF_MEMORY}
        return {name: x for name, x in given.items() if not isinstance(x, arrays.Nothing)}

    def is_valid(self) -> Array:
        """Whether no bound is negative or NaN."""
        low = (self.min_params >= 0) & (self.min_tokens >= 0)
        high = (self.max_params >= 0) & (self.max_tokens >= 0)
        return low & high & (self.max_tokens_per_param >= 0)

    def made_safe(self) -> "Bounds":
        """The bounds with 1 for each bad one: no NaN may enter a gradient."""
        return jax.tree.map(lambda x: where_safe(x >= 0, x), self)


def evaluate(
    law: Law,
    params: ArrayLike,
    tokens: ArrayLike,
    demand: Demand | None = None,
    costs: Costs | None = None,
    *,
    levers: Mapping[str, ArrayLike] | None = None,
) -> Plan:
    """Loss and costs of any model size and training length.

    All arguments broadcast as in NumPy. A bad value gives NaN and the status INVALID_INPUT or
    OUT_OF_RANGE.

    Source of the costs: Sardana et al. 2024, eq. 6.

    Args:
        law: a scaling law, such as `js.laws.published("sardana2024")`.
        params: parameters of the model.
        tokens: tokens that it is trained on.
        demand: tokens to read and to write over the model's life; none by default.
        costs: the price of a FLOP in each phase; 1 by default, so that costs are in FLOPs.
        levers: a value for each lever of the law.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or a lever is unknown or has no value.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> plan = js.evaluate(law, params=7e9, tokens=2e12, demand=js.Demand(input_tokens=1e12))
        >>> print(f"loss {plan.loss:.3f}, {plan.total_cost:.3g} FLOPs")
        loss 2.026, 9.8e+22 FLOPs
    """
    arguments = plan_arguments(law, demand, costs, may_be_served=True)
    values = lever_values(law, levers or {})
    if arguments["costs"].serving:
        return _evaluate_served(params, tokens, values, arguments)
    return _evaluate(*arrays.enter(params=params, tokens=tokens, levers=values, **arguments))


def _evaluate_served(
    params: ArrayLike,
    tokens: ArrayLike,
    levers: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> Plan:
    """The plan with serving priced for its size: at that size, prices are those of FLOPs."""
    law, demand, costs = (arguments[name] for name in ("law", "demand", "costs"))
    counts_embeddings = protocol.counts_embeddings(law)
    counts_idle = protocol.counts_idle_experts(law)
    served = costs.serving.of_law(law, levers)
    offered = served.prices(
        params,
        demand,
        counts_embeddings=counts_embeddings,
        counts_idle=counts_idle,
        streams=levers.get(STREAMS),
    )
    sizes = arrays.enter(
        law=law, params=params, tokens=tokens, levers=levers, train=costs.train, **offered
    )
    law_, params_, tokens_, values, train, *numbers = arrays.align(*sizes)
    prices = dict(zip(offered, numbers, strict=True))
    flops = protocol.flops_of(law_, params_, tokens_, **values)
    # Experts that a token does not run through cost nothing in training.
    if counts_embeddings and counts_idle and not protocol.has_own_flops(law):
        train = train * prices["active_share"]
    prices = Costs(train, prices["read"] / flops.prefill, prices["write"] / flops.decode)
    entered = {"law": law, "demand": demand, "costs": prices}
    plan = _evaluate(*arrays.enter(params=params, tokens=tokens, levers=levers, **entered))
    shape = jnp.shape(plan.status)
    offered = {name: jnp.broadcast_to(x, shape) for name, x in offered.items()}
    status = jnp.where(is_ok(offered["status"]), plan.status, offered["status"])
    kept = ("choice", "devices", "batch", "token_seconds", "first_token_seconds")
    serving = {name: offered[name] for name in kept}
    return replace(plan, status=status, serving={**serving, "reason": jnp.zeros_like(status)})


def plan_arguments(
    law: Law,
    demand: Demand | None,
    costs: Costs | None,
    bounds: "Bounds | None" = None,
    *,
    may_be_served: bool = False,
    may_limit_memory: bool = False,
) -> dict[str, Any]:
    """The arguments that all plans share, defaults filled in; TypeError for a wrong type.

    And for costs that price tokens by size, and bounds on memory, where these may not be.
    """
    protocol.check_law(law)
    demand = Demand() if demand is None else demand
    costs = Costs.flops() if costs is None else costs
    arguments = {"demand": (demand, Demand), "costs": (costs, Costs)}
    if bounds is not None:
        arguments["bounds"] = (bounds, Bounds)
    for name, (value, kind) in arguments.items():
        if not isinstance(value, kind):
            raise TypeError(
                f"{name} must be a jaxscale {kind.__name__}; got {value!r} ({type(value).__name__})"
            )
    if costs.serving and not may_be_served:
        raise TypeError(
            "costs of Costs.served price tokens by the model's size: they are for minimize_cost, "
            "minimize_loss and evaluate"
        )
    if bounds is not None and bounds.of_memory:
        _check_memory(law, costs, bounds, may_limit_memory)
    return {"law": law, **{name: value for name, (value, _) in arguments.items()}}


def _check_memory(law: Law, costs: Costs, bounds: Bounds, may_limit_memory: bool) -> None:
    """Raise where a bound on memory says nothing, or would not be kept."""
    if not may_limit_memory:
        raise TypeError("bounds with a max_memory are for minimize_cost and minimize_loss")
    if "max_memory" not in bounds.of_memory:
        raise ValueError(f"bounds with {', '.join(bounds.of_memory)} need a max_memory")
    if costs.serving:
        raise TypeError(
            "bounds with a max_memory are not for costs of Costs.served, whose devices have their "
            "own memory"
        )
    if not protocol.knows_memory(law):
        raise ValueError(f"max_memory: {type(law).__name__} {protocol.NO_MEMORY}")


def in_memory(law: Law, bounds: Bounds, levers: Mapping[str, Any]) -> Bounds:
    """The bounds with that on memory as one on params, at these levers; all of one dtype."""
    uses = bounds.of_memory
    memory = uses.pop("max_memory")
    held = protocol.params_in_memory(law, memory, levers, **uses)
    memory, held, most = arrays.align(memory, held, bounds.max_params)
    held = jnp.where((memory == 0) | (memory == jnp.inf), memory, held)
    most = jnp.minimum(most, held)
    return replace(bounds, max_params=most, **dict.fromkeys(_OF_MEMORY, arrays.NOTHING))


def lever_values(
    law: Law, given: Mapping[str, ArrayLike], chosen: tuple[str, ...] = ()
) -> dict[str, ArrayLike]:
    """The values of all levers that are not `chosen` by the solver.

    Raises ValueError that names one which the law lacks, or which has no value, or two.
    """
    known = protocol.levers_of(law)
    name_of_law = type(law).__name__
    listed = ", ".join(f"{name} ({low:g} to {high:g})" for name, (low, high) in known.items())
    for name in (*given, *chosen):
        if name not in known:
            raise ValueError(f"{name_of_law} has no lever {name!r}; known: {listed or 'none'}")
        if name in given and name in chosen:
            raise ValueError(f"lever {name!r} is in `over` and has a value: give one of the two")
    missing = [name for name in known if name not in given and name not in chosen]
    if missing:
        raise ValueError(
            f"{name_of_law} needs levers={{{missing[0]!r}: ...}}, or {missing[0]!r} in `over`; "
            f"its levers: {listed}"
        )
    return {name: given[name] for name in known if name in given}


class Sizes(NamedTuple):
    """A model size and training length, with their logarithms to full accuracy."""

    params: Array | None  # None for the exponential of the logarithm
    tokens: Array | None
    log_params: Array
    log_tokens: Array
    status: Array
    ok: Array  # whether the status comes with numbers

    def require(self, good: Array, status: Status) -> "Sizes":
        """The same sizes, with `status` where they were ok and are not good."""
        failed = jnp.where(self.ok & ~good, jnp.int8(status), self.status)
        return self._replace(status=failed, ok=self.ok & good)


def with_finite_loss(law: Law, sizes: Sizes, levers: Mapping[str, Array] | None = None) -> Sizes:
    """The sizes, OUT_OF_RANGE where their loss overflows, as it may for absurdly small ones."""
    logs = sizes.log_params, sizes.log_tokens
    finite = is_finite(protocol.loss_from_logs(law, *logs, **(levers or {})))
    return sizes.require(finite, Status.OUT_OF_RANGE)


def priced(
    law: Law,
    sizes: Sizes,
    demand: Demand,
    costs: Costs,
    levers: Mapping[str, Array] | None = None,
) -> Plan:
    """The plan of these sizes with its loss and costs; NaN where its status is not ok.

    Its marginal cost is NaN: these sizes need not be the best.

    All arguments are aligned and safe, and the status has the full shape. A lane whose
    costs overflow becomes OUT_OF_RANGE.
    """
    log_params, log_tokens = sizes.log_params, sizes.log_tokens
    if protocol.may_end(law):
        holds = protocol.holds(law, log_params, log_tokens, **(levers or {}))
        sizes = sizes.require(holds, Status.BEYOND_LAW)
    in_range = has_normal_exp(log_params) & has_normal_exp(log_tokens)
    if not protocol.has_own_flops(law):
        in_range &= _has_normal_costs(log_params, log_tokens, demand, costs)
    params = _masked_size(sizes.ok & in_range, sizes.params, log_params)
    # The verdict is read off the params: XLA would evaluate all that it rests on for each field.
    ok = params == params
    tokens = _masked_size(ok, sizes.tokens, log_tokens)
    status = jnp.where(sizes.ok & ~ok, jnp.int8(Status.OUT_OF_RANGE), sizes.status)
    # Derivatives of an overflowed product are infinite, so bad lanes are priced at one instead.
    safe_params, safe_tokens = where_safe(ok, params), where_safe(ok, tokens)
    chosen = {name: where_safe(ok, value) for name, value in (levers or {}).items()}
    law, demand, costs = jax.tree.map(lambda x: where_safe(ok, x), (law, demand, costs))
    loss = protocol.loss_from_logs(
        law, where_safe(ok, log_params), where_safe(ok, log_tokens), **chosen
    )
    if protocol.has_own_flops(law):
        flops = protocol.flops_of(law, safe_params, safe_tokens, **chosen)
        phase_costs = _own_phase_costs(flops, demand, costs)
        train, prefill, decode = phase_costs
        fits = is_finite(8 * (train + prefill + decode)) & (train > 0)
        status = jnp.where(ok & ~fits, jnp.int8(Status.OUT_OF_RANGE), status)
        ok &= fits
        params, tokens = (jnp.where(ok, x, jnp.nan) for x in (params, tokens))
    else:
        phase_costs = _phase_costs(safe_params, safe_tokens, demand, costs)
    shape = jnp.shape(status)
    chosen = {name: jnp.broadcast_to(value, shape) for name, value in chosen.items()}
    unmasked = (loss, *phase_costs), chosen
    numbers, chosen = jax.tree.map(lambda x: jnp.where(ok, x, jnp.nan), unmasked)
    loss, train, prefill, decode = numbers
    no_optimum = jnp.full_like(params, jnp.nan)
    return Plan(params, tokens, loss, train, prefill, decode, no_optimum, status, chosen)


def _masked_size(ok: Array, size: Array | None, log_size: Array) -> Array:
    return exp_or_nan(ok, log_size) if size is None else jnp.where(ok, size, jnp.nan)


def _own_phase_costs(flops, demand, costs):
    prefill = (costs.prefill * demand.input_tokens) * flops.prefill
    return costs.train * flops.train, prefill, (costs.decode * demand.output_tokens) * flops.decode


def _phase_costs(params, tokens, demand, costs):
    # N * D overflows float32 long before the cost does, and a price times an N below 1 underflows.
    below_one = params < 1
    first = jnp.where(below_one, tokens, costs.train)
    second = jnp.where(below_one, costs.train, tokens)
    # So may 6 times the larger of the two factors.
    product = params * first
    small = product < 1
    train = jnp.where(small, TRAIN_FLOPS * product, product)
    train *= jnp.where(small, second, TRAIN_FLOPS * second)
    prefill = params * (INFERENCE_FLOPS * (costs.prefill * demand.input_tokens))
    decode = params * (INFERENCE_FLOPS * (costs.decode * demand.output_tokens))
    return train, prefill, decode


def _has_normal_costs(log_params, log_tokens, demand, costs):
    """Whether training is a normal number, and no sum of costs within 8 times of overflow."""
    # Judged by logarithms, so that the test of N does not wait for the exponential of D. The
    # power of two is near enough for the serving cost and costs a twentieth of its logarithm.
    log_price = jnp.log(costs.train)
    log_train = log_params + log_tokens + log_price + math.log(TRAIN_FLOPS)
    log_first = log_params + jnp.where(log_params < 0, log_tokens, log_price)
    serving = costs.prefill * demand.input_tokens + costs.decode * demand.output_tokens
    serving = INFERENCE_FLOPS * serving
    log_serving = log_params + exponent(serving) * math.log(2)
    ceiling = (jnp.finfo(log_train.dtype).maxexp - 2.5) * math.log(2)
    fits = is_finite(serving) & (log_serving < ceiling)
    return fits & has_normal_exp(log_first) & has_normal_exp(log_train) & (log_train < ceiling)


@compiled
def _evaluate(params, tokens, levers, law, demand, costs):
    params, tokens, levers, law, demand, costs = arrays.align(
        params, tokens, levers, law, demand, costs
    )
    law_is_valid = protocol.is_valid(law)
    valid = law_is_valid & demand.is_valid() & costs.is_valid()
    valid &= is_positive(params) & is_positive(tokens)
    valid &= protocol.are_finite(levers)
    law = protocol.made_safe(law, law_is_valid)
    demand, costs = demand.made_safe(), costs.made_safe()
    log_params, log_tokens = (jnp.log(where_safe(is_positive(x), x)) for x in (params, tokens))
    status = first_status((~valid, Status.INVALID_INPUT))
    sizes = Sizes(params, tokens, log_params, log_tokens, status, valid)
    return priced(law, with_finite_loss(law, sizes, levers), demand, costs, levers)
