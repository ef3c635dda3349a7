# pyright: reportUnknownMemberType=false
"""Profit along losses: what the cheapest plan of each loss earns, beside the best plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import fori_loop
from jaxscale._numerics.values import is_finite, is_positive
from jaxscale.costs import Costs, Demand
from jaxscale.economics._most_profitable import Problem, Value
from jaxscale.economics.market import Market
from jaxscale.economics.profit import Profit, entered, maximize_profit
from jaxscale.laws.protocol import Law
from jaxscale.plan import Bounds, Plan
from jaxscale.solve.minimize import minimize_cost
from jaxscale.status import Status

if TYPE_CHECKING:
    from pandas import DataFrame

LOSSES = 201  # by default, of models from a tenth to ten times the best one's params and tokens
MOST_SOLD = 40.0  # logarithm of what is sold over the known demand, beyond any answer
STEPS = 24  # until what is sold agrees with the price
SOLD = 1e-4  # agreement in logarithms: at the best price profit is wrong by no more than its square


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class ProfitCurve:
    """The profit of the cheapest plan at each loss, and the plan of the greatest profit.

    `js.economics.profit_curve` returns it.
    """

    points: Profit  # one for each loss; those that lose money stay
    best: Profit  # the answer of `js.maximize_profit`

    def __repr__(self) -> str:
        return repr(self.points).replace("Profit", "ProfitCurve", 1)

    def _repr_html_(self) -> str | None:
        shown = self.points._repr_html_()
        return shown and shown.replace("Profit", "ProfitCurve", 1)

    def to_dataframe(self) -> "DataFrame":
        """A row for each loss."""
        return self.points.to_dataframe()

    def plot(self) -> Any:
        """The figure of profit over loss, `js.plots.profit_over_loss`."""
        return _display.figure("profit_over_loss", self)


def profit_curve(
    law: Law,
    value: Value | None,
    demand: Demand | Market,
    costs: Costs,
    bounds: Bounds | None = None,
    *,
    losses: ArrayLike | None = None,
    price: ArrayLike | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> ProfitCurve:
    """The profit of the cheapest plan at each loss: how much a better or a worse model would earn.

    All arguments but `losses` are those of `js.maximize_profit`, whose answer is the `best` of the
    result, and broadcast. A plan that loses money stays. At a loss that has no plan, numbers are
    NaN and the status is that of `js.minimize_cost`; NO_FINITE_PRICE and NOT_CONVERGED are where no
    best price is known.

    Args:
        law: a scaling law, such as `js.laws.published("sardana2024")`.
        value: what a model is worth, a function of loss; None where only tokens are sold.
        demand: a `Demand`, or a `js.economics.Market`.
        costs: the price of a FLOP in each phase.
        bounds: limits on params and tokens; none by default.
        losses: where to look; by default 201 about the best plan, for one scenario.
        price: of a token of a `Market`; at each loss the best one by default.
        levers: a value for each lever of the law.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: as `js.maximize_profit`; or losses are missing for several scenarios.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> h100 = js.accelerator("H100-SXM", price=2.0)
        >>> costs = js.Costs.on(train=h100, serve=h100, decode_mfu=0.1)
        >>> market = js.economics.Market(8e12, 2e12, at_loss=2.0, at_price=1e-6, per_nat=2.0)
        >>> losses = np.linspace(1.93, 2.3, 100)
        >>> curve = js.economics.profit_curve(law, None, market, costs, losses=losses, price=1e-6)
        >>> near = losses[curve.points.profit > 0.99 * curve.best.profit]
        >>> print(f"within 1 % of ${curve.best.profit:.3g}: {near.min():.2f} to {near.max():.2f}")
        within 1 % of $8.86e+06: 2.00 to 2.03
    """
    best = maximize_profit(law, value, demand, costs, bounds, price=price, levers=levers)
    if losses is None:
        losses = _losses_about(law, best.plan, levers or {})
    fields = entered(law, value, demand, costs, bounds, price, levers, losses=losses)
    return ProfitCurve(_along(fields.pop("losses"), Problem(**fields)), best)


def _losses_about(law: Law, plan: Plan, levers: Mapping[str, ArrayLike]) -> Array:
    if jnp.ndim(plan.status):
        raise ValueError(
            f"losses must be given for several scenarios; here their shape is {plan.status.shape}"
        )
    factors = 10.0 ** jnp.linspace(-1, 1, LOSSES).astype(plan.params.dtype)
    return law.loss(plan.params * factors, plan.tokens * factors, **levers)


@compiled
def _along(losses: Array, problem: Problem) -> Profit:
    losses, problem = arrays.align(losses, problem)
    market, price = problem.market, problem.price
    if market is None:
        plan = _cheapest(problem, losses, problem.demand)
        profit = _priced(problem, plan, problem.demand, jnp.zeros_like(losses))
        return _failed(profit, profit.ok & ~is_finite(profit.value), Status.INVALID_INPUT)
    if price is None:
        profit, invalid = _at_best_price(problem, market, losses), ~market.is_valid()
    else:
        demand = market.demand(losses, price)
        profit = _priced(problem, _cheapest(problem, losses, demand), demand, price)
        invalid = ~(market.is_valid() & is_positive(price))
    invalid |= profit.ok & ~is_finite(profit.value)
    return _failed(profit, invalid, Status.INVALID_INPUT)


def _cheapest(problem: Problem, losses: Array, demand: Demand) -> Plan:
    fixed = problem.law, losses, demand, problem.costs, problem.bounds
    return minimize_cost(*fixed, levers=problem.levers)


def _priced(problem: Problem, plan: Plan, demand: Demand, price: Any) -> Profit:
    """What a plan earns, in full shape and NaN where there is none."""
    value = problem.value(jnp.where(plan.ok, plan.loss, 1.0))
    numbers = jax.tree.map(lambda x: jnp.where(plan.ok, x, jnp.nan), (value, price, demand))
    return Profit(plan, *numbers)


# --- The best price --------------------------------------------------------------------------


def _at_best_price(problem: Problem, market: Market, losses: Array) -> Profit:
    """The better of the best prices that are found from a high one and from a low one."""
    like = jnp.zeros_like(_cheapest(problem, losses, market.scaled(jnp.ones_like(losses))).params)
    few, many = (_from(problem, market, losses, like + x) for x in (-MOST_SOLD, MOST_SOLD))
    is_more = ~(few.profit >= many.profit) & many.ok
    return jax.tree.map(lambda x, y: jnp.where(is_more, y, x), few, many)


def _from(problem: Problem, market: Market, losses: Array, guess: Array) -> Profit:
    """What the best price earns that is found from a guess of what is sold."""
    fixed = lax.stop_gradient((problem, market, losses))
    near = _settled(lambda log_scale: _step(*fixed, log_scale), guess)
    # Newton's step has the derivatives that the secants lack.
    step, slope = jax.jvp(
        lambda log_scale: _step(problem, market, losses, log_scale), (near,), (jnp.ones_like(near),)
    )
    step = step / lax.stop_gradient(slope)
    log_scale = near - jnp.where(is_finite(step), step, 0)
    plan = _cheapest(problem, losses, market.scaled(jnp.exp(log_scale)))
    price = jnp.exp(market.log_price(losses, log_scale))
    profit = _priced(problem, plan, market.scaled(jnp.exp(log_scale)), price)
    unpriced = profit.ok & (market.elasticity <= 1)
    profit = _failed(profit, unpriced, Status.NO_FINITE_PRICE)
    return _failed(profit, profit.ok & ~(jnp.abs(step) <= SOLD), Status.NOT_CONVERGED)


def _step(problem: Problem, market: Market, losses: Array, log_scale: Array) -> Array:
    """From what is sold to what would be sold at the best price for that, in logarithms."""
    plan = _cheapest(problem, losses, market.scaled(jnp.exp(log_scale)))
    elasticity = jnp.where(market.elasticity > 1, market.elasticity, 2)
    log_markup = jnp.log(elasticity) - jnp.log(elasticity - 1)
    log_sold = jnp.log(market.input_tokens + market.output_tokens) + log_scale
    log_price = jnp.log(plan.inference_cost) - log_sold + log_markup
    return market.log_scale(losses, log_price) - log_scale


def _settled(step_at: Callable[[Array], Array], guess: Array) -> Array:
    """Where the step is 0, nearly, by the secant method."""

    def settle(_: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        here, step, before, step_before = carry
        # What is sold grows by less than what was assumed does, or there is no best price near.
        rate = (step - step_before) / (here - before)
        rate = jnp.where(is_finite(rate), jnp.clip(rate, -1.2, -0.2), -1)
        moved = here - step / rate
        moved = jnp.where(is_finite(moved), moved, here)
        return moved, step_at(moved), here, step

    first = step_at(guess)
    return fori_loop(STEPS, settle, (guess, first, guess, first))[0]


def _failed(profit: Profit, bad: Array, status: Status) -> Profit:
    """The same, NaN with a status where it is bad."""
    code = jnp.where(bad, jnp.int8(status), profit.status)
    numbers = replace(profit, plan=replace(profit.plan, status=None))
    numbers = jax.tree.map(lambda x: jnp.where(bad, jnp.nan, x), numbers)
    return replace(numbers, plan=replace(numbers.plan, status=code))
