# pyright: reportUnknownMemberType=false
"""The demand for which a model of given size and training is the cheapest of its loss.

On a curve of equal loss the cost is least where the loss and the cost fall at the same rate along
it. With x = ln N, y = ln D, subscripts for derivatives, F the FLOPs of training and S what serving
one token of the mix costs, in FLOPs of training, that is

    (F_x + T S_x) L_y = (F_y + T S_y) L_x

for T tokens: one equation, linear in T. Counting 6 N D and 2 N it is the ratio of Sardana et al.
2024, L_x / L_y = 1 + S T / (3 D), solved for the demand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import is_finite, is_positive, quotient, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import (
    INFERENCE_FLOPS,
    TRAIN_FLOPS,
    Law,
    flops_of,
    has_own_flops,
)
from jaxscale.plan import Bounds, Sizes, lever_values, plan_arguments
from jaxscale.solve.general import zeros_of_full_shape
from jaxscale.solve.newton import Inputs, Surface, cost_value
from jaxscale.solve.validate import SAME_LOSS, is_valid, is_verified, outcome
from jaxscale.status import Status, is_ok

EVEN = Demand(1.0, 1.0)  # a token written for each one read
OVER_SIZED = "Larger than what is cheapest to train to its loss, so no demand explains its size."
EXPLAINED = "The cheapest model of its loss for this demand."
UNEXPLAINED = "By this law and these prices, no demand makes this size the best."
_WRITERS = {"status": lambda x: Status(int(x)).name}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class ImpliedDemand:
    """The demand that explains a model's size; every field has the full shape of all models.

    Numbers are NaN where `ok` is False.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> implied = js.implied_demand(law, params=np.array([7e9, 175e9]), tokens=3e11)
        >>> implied.over_sized.tolist()
        [False, True]
    """

    demand: Demand  # tokens read and written; below 0 for a model that is too large
    ratio: Array  # of what the loss falls by with params and with tokens, d ln each
    substitution: Array  # elasticity of D / N in their ratio of marginal losses, at equal loss
    status: Array  # int8, a member of Status

    def __repr__(self) -> str:
        return _display.scenarios(self, self._columns, _WRITERS)

    def _repr_html_(self) -> str | None:
        return _display.scenarios_html(self, self._columns, _WRITERS)

    def _columns(self) -> dict[str, Any]:
        return {
            "input_tokens": self.demand.input_tokens,
            "output_tokens": self.demand.output_tokens,
            "ratio": self.ratio,
            "substitution": self.substitution,
            "status": self.status,
        }

    @property
    def tokens(self) -> Array:
        """Tokens read and written together."""
        return self.demand.input_tokens + self.demand.output_tokens

    @property
    def over_sized(self) -> Array:
        """Whether the model is larger than what is cheapest to train: its demand is below 0."""
        return self.tokens < 0

    @property
    def ok(self) -> Array:
        """Whether there is a number: boolean, of the full shape."""
        return is_ok(self.status)

    @property
    def sentence(self) -> str:
        """What one model's number means; ValueError for several models.

        Examples:
            >>> law = js.laws.published("besiroglu2024")
            >>> print(js.implied_demand(law, params=175e9, tokens=300e9).sentence)
            Larger than what is cheapest to train to its loss, so no demand explains its size.
        """
        if jnp.ndim(self.status):
            raise ValueError("sentence is that of one model; take one by jax.tree.map")
        return sentence_of(Status(int(self.status)), bool(self.over_sized))


def sentence_of(status: Status, over_sized: bool) -> str:
    """What a number of this status means."""
    if over_sized:
        return OVER_SIZED
    return {Status.OK: EXPLAINED, Status.NO_INTERIOR_OPTIMUM: UNEXPLAINED}.get(
        status, status.sentence
    )


def implied_demand(
    law: Law,
    params: ArrayLike,
    tokens: ArrayLike,
    costs: Costs | None = None,
    *,
    mix: Demand | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> ImpliedDemand:
    """The demand for which a model of this size and training is the cheapest of its loss.

    So `js.minimize_cost(law, loss, implied.demand, costs)` at the model's loss returns the model.
    Below 0 the model is larger than what is cheapest to train, and would be too large if nobody
    used it; no solver takes such a demand. All arguments broadcast. For any law, its own FLOPs
    counted; differentiable. Where no demand makes this size an optimum of the law, as where more
    tokens do not lower the loss, the status is NO_INTERIOR_OPTIMUM and the numbers are NaN.

    Source: Sardana et al. 2024, eq. 3, solved for the demand.

    Args:
        law: a scaling law.
        params: parameters of the model.
        tokens: tokens that it was trained on.
        costs: the price of a FLOP in each phase; 1 by default.
        mix: tokens read and written, of which only the proportion counts: by default as many of
            the one as of the other. It matters where prefill and decode have different prices.
        levers: a value for each lever of the law.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or a lever is unknown or has no value.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> implied = js.implied_demand(law, params=8.03e9, tokens=15e12)  # Llama 3 8B
        >>> print(f"{implied.tokens:.2g} tokens")
        1.9e+14 tokens
    """
    if not isinstance(mix, Demand | None):
        raise TypeError(f"mix must be a jaxscale Demand; got {mix!r} ({type(mix).__name__})")
    arguments = plan_arguments(law, None, costs)
    entered = {"law": law, "costs": arguments["costs"], "mix": EVEN if mix is None else mix}
    entered |= {"levers": lever_values(law, levers or {}), "bounds": Bounds()}
    return _implied(*arrays.enter(params=params, tokens=tokens, **entered))


class _Slopes(NamedTuple):
    """Derivatives by log params and by log tokens."""

    x: Array
    y: Array


class _Point(NamedTuple):
    """One model, and what its demand follows from."""

    price: Array  # of serving a token of the mix, in FLOPs of training
    loss: _Slopes
    total: Array  # tokens read and written
    ratio: Array  # of the slopes of the loss


@compiled
def _implied(params, tokens, law, costs, mix, levers, bounds):
    params, tokens, law, costs, mix, levers, bounds = arrays.align(
        params, tokens, law, costs, mix, levers, bounds
    )
    one = jnp.ones((), params.dtype)
    inputs = Inputs(law, levers, one, mix, costs)
    valid = is_valid(inputs, None) & is_positive(params) & is_positive(tokens)
    valid &= is_positive(mix.input_tokens + mix.output_tokens)
    like = zeros_of_full_shape((params, tokens, inputs))
    x, y = (jnp.log(where_safe(valid, size)) + like for size in (params, tokens))
    judged = outcome((~valid, Status.INVALID_INPUT))
    sizes = _judged(Sizes(params, tokens, x, y, *judged), inputs, bounds)
    # Derivatives of what overflows, or divides by 0, must not reach the other models.
    x, y, inputs = jax.tree.map(lambda x: where_safe(sizes.ok, x), (x, y, inputs))
    point = _point(x, y, inputs)
    numbers = _demand(point, inputs.demand), point.ratio, _substitution(x, y, inputs, point.ratio)
    demand, ratio, elasticity = jax.tree.map(lambda x: jnp.where(sizes.ok, x, jnp.nan), numbers)
    return ImpliedDemand(demand, ratio, elasticity, sizes.status)


def _judged(sizes: Sizes, inputs: Inputs, bounds: Bounds) -> Sizes:
    """The sizes with the status of their demand."""
    sizes_, inputs = lax.stop_gradient((sizes, inputs))
    x, y = sizes_.log_params, sizes_.log_tokens
    point = _point(x, y, inputs)
    # Where rounding hides what more params or tokens gain, or serving is free, the optimum does not
    # tell the demand.
    felt = SAME_LOSS * epsilon(x) * (1 + jnp.abs(inputs.loss(x, y)))
    has_trade_off = (point.loss.x < -felt) & (point.loss.y < -felt) & (point.price > 0)
    sizes = sizes.require(has_trade_off, Status.NO_INTERIOR_OPTIMUM)
    sizes = sizes.require(is_finite(point.total) & is_finite(point.ratio), Status.OUT_OF_RANGE)
    served = inputs._replace(demand=_demand(point, inputs.demand))
    served = served._replace(target=cost_value(x, y, served))
    best = is_verified(False, served, bounds, sizes_) | ~is_finite(served.target)
    # Of two sizes of the same cost near by, neither may have the lower loss; nothing costs less
    # than to train a model that is too large, and there is no optimum to compare it with.
    return sizes.require(best | (point.total < 0), Status.NO_INTERIOR_OPTIMUM)


def _point(x: Array, y: Array, inputs: Inputs) -> _Point:
    law, levers, _, mix, costs = inputs
    loss = _slopes(inputs.loss, x, y)
    ratio = quotient(loss.x, loss.y)
    if not has_own_flops(law):
        price = INFERENCE_FLOPS * costs.effective_demand(_shares(mix))
        return _Point(price, loss, TRAIN_FLOPS * jnp.exp(y) / price * (ratio - 1), ratio)

    def log_train(x: Array, y: Array) -> Array:
        return jnp.log(flops_of(law, jnp.exp(x), jnp.exp(y), **levers).train)

    def log_price(x: Array, y: Array) -> Array:
        flops, shares = flops_of(law, jnp.exp(x), jnp.exp(y), **levers), _shares(mix)
        read, written = shares.input_tokens * flops.prefill, shares.output_tokens * flops.decode
        return jnp.log(costs.effective_demand(Demand(read, written)))

    train, serving = _slopes(log_train, x, y), _slopes(log_price, x, y)
    moved = quotient(train.y * ratio - train.x, serving.x - serving.y * ratio)
    total = jnp.exp(log_train(x, y) - log_price(x, y)) * moved
    return _Point(jnp.exp(log_price(x, y)), loss, total, ratio)


def _slopes(surface: Surface, x: Array, y: Array) -> _Slopes:
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    slopes = (jax.jvp(surface, (x, y), along)[1] for along in ((one, zero), (zero, one)))
    return _Slopes(*slopes)


def _shares(mix: Demand) -> Demand:
    total = mix.input_tokens + mix.output_tokens
    return Demand(mix.input_tokens / total, mix.output_tokens / total)


def _demand(point: _Point, mix: Demand) -> Demand:
    return jax.tree.map(lambda share: point.total * share, _shares(mix))


def _substitution(x: Array, y: Array, inputs: Inputs, ratio: Array) -> Array:
    """`d ln (D / N) / d ln (L_N / L_D)` at equal loss; of two powers 1 / (1 + a s_D + b s_N)."""

    def log_ratio(x: Array, y: Array) -> Array:
        loss = _slopes(inputs.loss, x, y)
        return jnp.log(quotient(loss.x, loss.y))

    share = ratio / (1 + ratio)
    return 1 / (1 + jax.jvp(log_ratio, (x, y), (share - 1, share))[1])
