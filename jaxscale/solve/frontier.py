# pyright: reportUnknownMemberType=false
"""The compute-optimal frontier of any law, with intervals, and the overhead off it.

On it a step in params and one in tokens that cost the same FLOPs lower the loss equally
(Hoffmann et al. 2022, eq. 4). At given params that is one equation in ln(D / N), which has one
sign where there are too few tokens and the other where there are too many.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.padded import padded
from jaxscale._numerics.quantities import number
from jaxscale._numerics.typed import custom_jvp, fori_loop
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.inverse import far, params_for, tokens_for
from jaxscale.laws.protocol import (
    TRAIN_FLOPS,
    Law,
    are_finite,
    check_law,
    has_frontier,
    has_power_frontier,
    is_valid,
    levers_of,
    made_safe,
    two_powers,
)
from jaxscale.plan import (
    Bounds,
    Plan,
    Sizes,
    evaluate,
    lever_values,
    priced,
    with_finite_loss,
)
from jaxscale.solve.general import zeros_of_full_shape
from jaxscale.solve.intervals import ends_of, tails_of
from jaxscale.solve.marginal import with_marginal_cost
from jaxscale.solve.minimize import minimize_cost, minimize_loss
from jaxscale.solve.newton import Inputs, cost_value, equations
from jaxscale.solve.validate import is_verified, outcome
from jaxscale.status import Status

FARTHEST = 48.0  # in ln(D / N), from 1e-20 to 1e20 tokens per param
HALVINGS = 64  # leave 5e-18 of that range
# The overhead of some laws is the same at every loss, so any loss serves: this far above E.
ANY_REDUCIBLE = 0.3
INTERVALS = ("params", "tokens", "tokens_per_param", "loss")  # of a plan


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
    options = {"flops": flops, "params": params, "tokens": tokens}
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) != 1:
        listed = " and ".join(given) or "none"
        raise ValueError(f"give exactly one of flops, params and tokens; got {listed}")
    check_law(law)
    if flops is not None and has_power_frontier(law) and not levers_of(law) and not levers:
        return _at_flops(*arrays.enter(flops=flops, law=law))
    if flops is not None:
        return minimize_loss(law, flops, levers=levers)
    values = lever_values(law, levers or {})
    return _at_size(params is not None, *arrays.enter(**given, levers=values, law=law))


@compiled
def _at_flops(flops: Array, law: Any) -> Plan:
    """The closed form, which compiles in a tenth of the time of a solver."""
    flops, law = arrays.align(flops, law)
    valid = is_valid(law) & is_positive(flops)
    law = made_safe(law, is_valid(law))
    log_scale, by_params, by_tokens = law.frontier_powers()
    like = zeros_of_full_shape((flops, law))
    log_product = jnp.log(where_safe(valid, flops)) - math.log(TRAIN_FLOPS) + like
    logs = log_scale + by_params * log_product, by_tokens * log_product - log_scale
    judged = outcome((~valid, Status.INVALID_INPUT))
    sizes = Sizes(jnp.exp(logs[0]), jnp.exp(logs[1]), *logs, *judged)
    one, zero = jnp.ones((), flops.dtype), jnp.zeros((), flops.dtype)
    inputs = Inputs(law, {}, one, Demand(zero, zero), Costs(one, one, one))
    return _finished(inputs, with_finite_loss(law, sizes))


@partial(compiled, static=1)
def _at_size(is_params: bool, size: Array, levers: dict[str, Array], law: Any) -> Plan:
    size, levers, law = arrays.align(size, levers, law)
    valid = is_valid(law) & is_positive(size) & are_finite(levers)
    law, levers = made_safe((law, levers), valid)
    one, zero = jnp.ones((), size.dtype), jnp.zeros((), size.dtype)
    inputs = Inputs(law, levers, one, Demand(zero, zero), Costs(one, one, one))
    like = zeros_of_full_shape((size, law, levers))
    log_size = jnp.log(where_safe(valid, size)) + like
    if has_frontier(law):
        other = (law.log_optimal_tokens if is_params else law.log_optimal_params)(log_size)
        is_bracketed = is_finite(other)
    else:
        ratio, is_bracketed = lax.stop_gradient(_log_ratio(is_params, inputs, log_size))
        other = log_size + ratio if is_params else log_size - ratio
        other = _with_derivatives(is_params, inputs, log_size, where_safe(is_bracketed, other))
    logs = (log_size, other) if is_params else (other, log_size)
    pair = (size + like, jnp.exp(other)) if is_params else (jnp.exp(other), size + like)
    judged = outcome((~valid, Status.INVALID_INPUT), (~is_bracketed, Status.NO_INTERIOR_OPTIMUM))
    sizes = Sizes(*pair, *logs, *judged)
    if not has_frontier(law):
        # Of two sizes of the same FLOPs near by, neither may have the lower loss.
        budget = cost_value(*logs, inputs)
        verified = is_verified(False, inputs._replace(target=budget), _endless(size.dtype), sizes)
        verified |= ~is_finite(budget)  # which `priced` says
        sizes = sizes.require(verified, Status.NO_INTERIOR_OPTIMUM)
    return _finished(inputs, with_finite_loss(law, sizes, levers))


def _finished(inputs: Inputs, sizes: Sizes) -> Plan:
    plan = priced(inputs.law, sizes, inputs.demand, inputs.costs, inputs.levers)
    return with_marginal_cost(False, inputs, sizes, plan, bounded=False)


def _endless(dtype: Any) -> Bounds:
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

    def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        # With too few tokens for its size a model gains more from data; NaN is far beyond.
        too_few = _lead_of_data(is_params, inputs, log_size, log_size + sign * middle) < 0
        return jnp.where(too_few, middle, low), jnp.where(too_few, high, middle)

    ends = jnp.full_like(log_size, -FARTHEST), jnp.full_like(log_size, FARTHEST)
    low, high = fori_loop(HALVINGS, halve, ends)
    middle = (low + high) / 2
    psi = _lead_of_data(is_params, inputs, log_size, log_size + sign * middle)
    return middle, (low > -FARTHEST) & (high < FARTHEST) & is_finite(psi)


@custom_jvp(0)
def _with_derivatives(is_params: bool, inputs: Inputs, log_size: Array, other: Array) -> Array:
    """`other` as it is, with implicit derivatives of any order by `inputs` and `log_size`."""
    return other


@_with_derivatives.defjvp
def _with_derivatives_jvp(
    is_params: bool, primals: tuple[Inputs, Array, Array], tangents: tuple[Inputs, Array, Array]
) -> tuple[Array, Array]:
    inputs, log_size, other = primals
    inputs_dot, size_dot, _ = tangents
    other = _with_derivatives(is_params, inputs, log_size, other)

    def lead_at(inputs: Inputs, log_size: Array) -> Array:
        return _lead_of_data(is_params, inputs, log_size, other)

    def lead_of(other: Array) -> Array:
        return _lead_of_data(is_params, inputs, log_size, other)

    _, by_given = jax.jvp(lead_at, (inputs, log_size), (inputs_dot, size_dot))
    _, by_other = jax.jvp(lead_of, (other,), (jnp.ones_like(other),))
    return other, -by_given / by_other


# --- Intervals -------------------------------------------------------------------------------


def size_intervals(
    laws: Any, flops: ArrayLike, *, level: float = 0.95
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Low and high ends of compute-optimal params, tokens, their ratio and the loss.

    `laws` is one law with a leading axis, as `js.bootstrap(...).law`, and each end has the shape of
    `flops`. NaN where more than a hundredth of the laws has no plan. Raises ValueError for a level
    outside (0, 1).

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> boot = js.bootstrap(js.fit(js.laws.Chinchilla, runs), resamples=1000, key=1)
        >>> low, high = js.size_intervals(boot.law, flops=1e23)["params"]
        >>> print(f"{low / 1e9:.0f}B to {high / 1e9:.0f}B")
        26B to 33B
    """
    tails = tails_of(level)
    if not all(np.ndim(x) for x in jax.tree.leaves(laws)) or not hasattr(laws, "loss"):
        kind = type(laws).__name__
        raise ValueError(f"laws must be a law with a leading axis, as boot.law is; got {kind}")

    def column(x: ArrayLike) -> np.ndarray:
        return np.ravel(x)[:, None]

    samples = sizes_at(jax.tree.map(column, laws), flops)
    return {name: ends_of(sample, tails) for name, sample in samples.items()}


def sizes_at(law: Any, flops: ArrayLike) -> dict[str, np.ndarray]:
    """Compute-optimal sizes and their loss on the host, budgets along the last axes.

    A law with a leading axis has an axis of one after it.
    """
    budgets = np.asarray(flops, np.float64)
    with jax.enable_x64(True):
        if any(np.ndim(x) for x in jax.tree.leaves(law)):
            plans = padded(compute_optimal)(law, flops=budgets.ravel())
        else:  # a few plans, which take longer to compile
            plans = interpreted(compute_optimal, law, flops=budgets.ravel())
        columns = {name: np.asarray(getattr(plans, name)) for name in INTERVALS}
    return {name: x.reshape(*x.shape[:-1], *budgets.shape) for name, x in columns.items()}


# --- Off the frontier ------------------------------------------------------------------------


class Overhead(NamedTuple):
    """Overhead of a model k times the size of the cheapest to train, at the same loss.

    Examples:
        >>> js.overhead(js.laws.published("hoffmann2022"), 0.5)
        Overhead(tokens_ratio=2.416, extra_cost=0.208, smallest=0.09652)
    """

    tokens_ratio: Array  # training tokens over those of the cheapest
    extra_cost: Array  # of training, as a share of the cheapest: 0.1 is 10 %
    smallest: Array  # size ratio below which no training is long enough

    def __repr__(self) -> str:
        if not _display.are_concrete(tuple(self)):
            return f"Overhead({', '.join(f'{name}={x!r}' for name, x in self._asdict().items())})"
        shape, size = np.shape(self.tokens_ratio), np.size(self.tokens_ratio)
        if shape:
            title = f"Overhead of shape {shape}"
            return _display.table(("", *self._fields), self._rows(), title=title, total=size)
        (row,) = self._rows()
        cells = zip(self._fields, row[1:], strict=True)
        return f"Overhead({', '.join(f'{name}={cell}' for name, cell in cells)})"

    def _rows(self) -> Iterator[list[str]]:
        """Cells of the first models, after their index."""
        columns = [np.asarray(x) for x in self]
        for index in islice(np.ndindex(columns[0].shape), _display.ROWS):
            yield [", ".join(map(str, index)), *(number(float(x[index])) for x in columns)]


def overhead(
    law: Law, k: ArrayLike, *, loss: ArrayLike | None = None, **levers: ArrayLike
) -> Overhead:
    """Extra cost of training a model `k` times the compute-optimal size to the same loss.

    All arguments broadcast. For the Chinchilla law the answer is the same at every loss; other
    laws need one. NaN where no training reaches the loss.

    Source: De Vries 2023, "Go smol or go home", whose k_D is `tokens_ratio`.

    Args:
        law: a scaling law.
        k: size of the model, as a ratio to the compute-optimal one.
        loss: the loss of both models, in nats per token.
        levers: a value for each lever of the law, by name.

    Raises:
        ValueError: the law needs a loss, and there is none.

    Examples:
        >>> law = js.laws.published("hoffmann2022")
        >>> half = js.overhead(law, 0.5)
        >>> print(f"{half.tokens_ratio:.2f} times the tokens, {half.extra_cost:.0%} more to train")
        2.42 times the tokens, 21% more to train
    """
    check_law(law)
    if loss is None and (closed_law := two_powers(law, levers)) is not None:
        (E,) = arrays.enter(loss=closed_law.E)
        loss = E + ANY_REDUCIBLE
    if loss is None:
        raise ValueError(f"loss is needed: the overhead of {type(law).__name__} depends on it")
    cheapest = minimize_cost(law, loss, levers=levers)
    tokens = tokens_for(law, loss, jnp.multiply(k, cheapest.params), **levers)
    plan = evaluate(law, jnp.multiply(k, cheapest.params), tokens, levers=levers)
    endless = jnp.exp(far(cheapest.params.dtype)).astype(cheapest.params.dtype)
    least = params_for(law, loss, endless, **levers)
    return Overhead(
        tokens / cheapest.tokens,
        plan.train_cost / cheapest.train_cost - 1,
        jnp.broadcast_to(least / cheapest.params, tokens.shape),
    )
