"""The plan of the greatest profit: how good a model, how large, how long trained, at what price."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.economics._most_profitable import Problem, Value, most_profitable
from jaxscale.economics.market import Market
from jaxscale.laws.protocol import Law
from jaxscale.plan import Bounds, Plan, lever_values, plan_arguments
from jaxscale.solve.in_chunks import in_chunks
from jaxscale.status import Status, is_ok

if TYPE_CHECKING:
    from pandas import DataFrame

ARRAYS = 32  # intermediate arrays at a time


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Profit:
    """The most profitable plan of each scenario; all fields have the full shape.

    In the unit of the costs, over the model's whole life. Where `ok` is False all numbers are NaN.
    """

    plan: Plan  # with the demand that it meets, and its status
    value: Array  # of its loss, beside what tokens sell for
    price: Array  # of a token; 0 where none is sold
    demand: Demand  # tokens that are read and written

    def __repr__(self) -> str:
        return _display.scenarios(self, self._columns, _WRITERS)

    def _repr_html_(self) -> str | None:
        return _display.scenarios_html(self, self._columns, _WRITERS)

    def to_dataframe(self) -> "DataFrame":
        """A row for each scenario, in C order, by its index along each axis."""
        columns = {name: np.ravel(x) for name, x in self._columns().items() if name != "status"}
        frame = self.plan.to_dataframe()
        return frame.assign(**{name: x for name, x in columns.items() if name not in frame})

    def _columns(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "profit": self.profit,
            "value": self.value,
            "revenue": self.revenue,
            "total_cost": plan.total_cost,
            "price": self.price,
            "loss": plan.loss,
            "params": plan.params,
            "tokens": plan.tokens,
            "status": self.status,
        }

    @property
    def revenue(self) -> Array:
        """What the tokens sell for."""
        sold = self.demand.input_tokens + self.demand.output_tokens
        # Where there is no plan both are NaN, and so would be the derivatives of their product.
        price, sold = (where_safe(self.ok, x) for x in (self.price, sold))
        return jnp.where(self.ok, price * sold, jnp.nan)

    @property
    def profit(self) -> Array:
        """Value and revenue less the cost of training and inference."""
        return self.value + self.revenue - self.plan.total_cost

    @property
    def status(self) -> Array:
        """A member of `Status`, as int8."""
        return self.plan.status

    @property
    def ok(self) -> Array:
        """Whether the scenario has a plan that earns more than it costs."""
        return is_ok(self.status)


_WRITERS: dict[str, Callable[[Any], str]] = {
    "loss": lambda x: f"{x:.4f}",
    "price": lambda x: f"{x:.3g}",
    "status": lambda x: Status(int(x)).name,
}


def maximize_profit(
    law: Law,
    value: Value | None,
    demand: Demand | Market,
    costs: Costs,
    bounds: Bounds | None = None,
    *,
    price: ArrayLike | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> Profit:
    """The plan of the greatest profit: what a loss is worth and tokens sell for, less all costs.

    All arguments broadcast as in NumPy. Works under jit, vmap, grad and hessian.

    Profits are compared at 25 losses, those of models that grow by 3.5 from one to the next, and
    the best is then searched for to the last digit: a `value` with two optima closer than that may
    get the lesser, and one that rises all at once between two of them NOT_CONVERGED.
    BEST_OF_SEVERAL says that there were several. DO_NOT_TRAIN is where the best profit is not above
    0, which is what no model earns; NO_FINITE_PRICE where the best price is asked for and the
    elasticity is not above 1; NO_INTERIOR_OPTIMUM where ever larger models, or ever smaller ones,
    earn more. A scenario without a plan gets NaN, with derivatives of zero.

    At the optimum a nat costs what it earns, the best price is Lerner's, `elasticity /
    (elasticity - 1)` times the cost of serving, and params and tokens stand in the ratio of
    Sardana et al. 2024 for the demand that is met.

    Args:
        law: a scaling law, such as `js.laws.published("sardana2024")`.
        value: what a model is worth, a differentiable function of loss, in the unit of the costs:
            `js.economics.ValuePerNat`, `ValueOfAccuracy`, another pytree with `__call__`, or a
            plain function (the same object at each call, for a new one compiles again). It takes
            and returns arrays of one shape, by `jax.numpy`; arrays of scenarios go into a
            `jax.tree_util.Partial`. None where only tokens are sold.
        demand: a `Demand`, or a `js.economics.Market` in which it reacts and tokens are sold.
        costs: the price of a FLOP in each phase.
        bounds: limits on params and tokens; none by default.
        price: of a token of a `Market`; the best one by default.
        levers: a value for each lever of the law.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, a lever is unknown or has no value, or a price is
            given for a demand that does not react to it.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> h100 = js.accelerator("H100-SXM", price=2.0)
        >>> costs = js.Costs.on(train=h100, serve=h100, decode_mfu=0.1)
        >>> market = js.economics.Market(8e12, 2e12, at_loss=2.0, at_price=1e-6, per_nat=2.0)
        >>> best = js.maximize_profit(law, None, market, costs, price=1e-6)
        >>> print(f"{best.plan.params:.3g} params earn ${best.profit:.3g}")
        1.41e+10 params earn $8.86e+06
    """
    return _most_profitable(Problem(**entered(law, value, demand, costs, bounds, price, levers)))


def entered(
    law: Law,
    value: Value | None,
    demand: Demand | Market,
    costs: Costs,
    bounds: Bounds | None,
    price: ArrayLike | None,
    levers: Mapping[str, ArrayLike] | None,
    **others: ArrayLike,
) -> dict[str, Any]:
    """The fields of a `Problem`, and other numbers, as arrays of one dtype; by name."""
    is_market = isinstance(demand, Market)
    arguments = plan_arguments(law, None if is_market else demand, costs, bounds)
    if not is_market:
        if price is not None:
            raise ValueError("price is for a js.economics.Market: a Demand sells nothing")
        if value is None:
            raise ValueError("value must be given with a Demand, which sells nothing; got None")
    given = {"levers": lever_values(law, levers or {}), **arguments, **others}
    if is_market:
        given |= {"market": demand} | ({} if price is None else {"price": price})
    arrays_of_one_dtype = arrays.enter_function("value", value or _nothing, **given)
    return dict(zip(("value", *given), arrays_of_one_dtype, strict=True))


def _nothing(loss: Array) -> Array:
    return jnp.zeros_like(loss)


@compiled
def _most_profitable(problem: Problem) -> Profit:
    return in_chunks(_best, arrays.align(problem)[0], arrays=ARRAYS)


def _best(problem: Problem) -> Profit:
    return Profit(*most_profitable(problem))
