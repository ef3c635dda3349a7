"""What not knowing the law better costs, and the plan of the least expected cost or loss.

A bootstrap is many laws that the runs allow. Each has a best plan of its own; one plan has to be
made for all of them. Its regret in one of them is what it costs, or what loss it gets, beyond the
best plan of that law.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import is_finite
from jaxscale.costs import Costs, Demand
from jaxscale.economics._least_expected import Resamples, best_on_average
from jaxscale.economics._outcomes import best_of, outcomes
from jaxscale.laws.fitted import coefficients_of
from jaxscale.laws.protocol import check_law
from jaxscale.plan import Bounds, Plan, lever_values, plan_arguments
from jaxscale.published import Entry
from jaxscale.solve import minimize_cost, minimize_loss
from jaxscale.solve.newton import Inputs, cost_value
from jaxscale.status import Status, is_ok

if TYPE_CHECKING:
    from pandas import DataFrame

LANES = 2**18  # resamples of scenarios at a time: a few hundred arrays of them fit in memory
LOOKS = 9  # sizes in the bracket at which the mean is compared with the least that was found
SAME = 4096.0  # epsilons: means closer than this count as equal

_WRITERS = {
    "loss": lambda x: f"{x:.4f}",
    "regret_loss": lambda x: f"{x:.3g}",
    "naive_regret_loss": lambda x: f"{x:.3g}",
    "status": lambda x: Status(int(x)).name,
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class ExpectedRegret:
    """The plan that is best on average over resamples of a law, and what is lost by not knowing it.

    Fields have the shape of the scenarios; those of the resamples have one more axis, the first.
    The naive plan is that of the fit itself. Costs are in the unit of the `Costs`, losses in nats
    per token. Where `ok` is False all numbers are NaN, and their derivatives are zero.

    Examples:
        >>> law = js.laws.Chinchilla(1.7, 400.0, 400.0, np.array([0.33, 0.34]), 0.28)
        >>> regret = js.expected_regret(law, loss=2.1)
        >>> print(f"{regret.regret_cost / regret.cost:.1%} of the cost, {regret.ok}")
        2.6% of the cost, True
    """

    params: Array  # size of the model
    tokens: Array  # training tokens, their mean
    loss: Array  # the mean, or the target
    cost: Array  # the mean, or the budget
    regret_cost: Array  # mean cost beyond that of the least cost for the same loss
    regret_loss: Array  # mean loss beyond the least loss for the same cost
    naive_params: Array
    naive_regret_cost: Array  # infinite where the naive size cannot reach the loss in some resample
    naive_regret_loss: Array
    share: Any  # of the regret, by coefficient: a law whose coefficients are the shares
    resample_params: Array  # best size of each resample, its law known
    resample_regret_cost: Array
    resample_regret_loss: Array
    resample_status: Array  # int8, of each resample's own plan
    infeasible: Array  # int32, number of resamples without a plan
    status: Array  # int8, a member of Status

    def __repr__(self) -> str:
        return _display.scenarios(self, self._columns, _WRITERS, self._numbers())

    def _repr_html_(self) -> str | None:
        return _display.scenarios_html(self, self._columns, _WRITERS, self._numbers())

    def to_dataframe(self) -> "DataFrame":
        """A row for each scenario, in C order, without the resamples.

        Examples:
            >>> law = js.laws.Chinchilla(1.7, 400.0, 400.0, np.array([0.33, 0.34]), 0.28)
            >>> frame = js.expected_regret(law, loss=np.array([2.0, 2.1])).to_dataframe()
            >>> frame["status"].tolist()
            ['OK', 'OK']
        """
        leaves, _ = jax.tree_util.tree_flatten_with_path(self.share)
        shares = {f"share_{_name(path)}": x for path, x in leaves}
        columns = {name: np.ravel(x) for name, x in {**self._numbers(), **shares}.items()}
        columns["status"] = np.array([Status(x).name for x in columns["status"].tolist()])
        shape = np.shape(self.status)
        axes = {}
        if len(shape) > 1:
            axes = {f"axis_{i}": np.ravel(x) for i, x in enumerate(np.indices(shape))}
        return _display.dataframe({**axes, **columns})

    def _numbers(self) -> dict[str, Any]:
        per_scenario = (name for name in vars(self) if not name.startswith("resample_"))
        return {name: getattr(self, name) for name in per_scenario if name != "share"}

    def _columns(self) -> dict[str, Any]:
        return self._numbers()

    @property
    def ok(self) -> Array:
        """Whether the scenario has a plan: boolean, of the shape of the scenarios."""
        return is_ok(self.status)


def expected_regret(
    law: Any,
    *,
    loss: ArrayLike | None = None,
    budget: ArrayLike | None = None,
    demand: Demand | None = None,
    costs: Costs | None = None,
    bounds: Bounds | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
) -> ExpectedRegret:
    """The plan of the least expected cost or loss over resamples of a law, and its regret.

    With a `loss` to reach, the size of the model is chosen now, and training stops when the loss is
    reached: so tokens and cost differ between resamples, and the plan has the least mean cost. Its
    regret in a resample is its cost less that of `minimize_cost` for that law; in nats, it is the
    loss that the same money would have bought with the law known, below the target.

    With a `budget` to spend, the loss differs, and the plan has the least mean loss. Its regret in
    nats is its loss less that of `minimize_loss`; as a cost, it is the budget less the cost that
    would have been enough for the same loss.

    Scenarios broadcast as in NumPy, and with what follows the first axis of the coefficients. Works
    under jit and vmap. Derivatives of any order are those of the plan and of what follows from it;
    `share` has none. A resample without a plan, such as one whose E is above the loss, makes the
    expected cost infinite: the scenario gets its status and NaN, and `infeasible` counts them. In
    float32 regrets are known to a few epsilons of the whole cost and loss, or better.

    `share` says how much of the regret is due to each coefficient: of the variance of the log of
    the best size, linear in the coefficients as they are fitted (the logarithm of one that is
    positive), the covariance with the coefficient's own part. Shares add up to 1; one may be
    negative, or above 1, where errors of coefficients cancel each other. All are 0 where nothing
    moves the best size, and NaN where the fit itself has no plan.

    Args:
        law: a `js.bootstrap`, of which the resamples that are ok count; the `js.laws.entry` of a
            fit that was saved with one, of which all do; or a law whose coefficients have a first
            axis of resamples: one that has none is the same in all. The naive plan is that of the
            fit, or of the mean of each coefficient.
        loss: the loss to reach, in nats per token.
        budget: what is to be spent, in the unit of `costs`. Give this or `loss`.
        demand: tokens to read and to write over the model's life; none by default.
        costs: the price of a FLOP in each phase; 1 by default, so that costs are in FLOPs.
        bounds: limits on params, and upper ones on tokens; they hold in every resample.
        levers: a value for each lever of the law.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, no coefficient has resamples, both or neither of loss
            and budget are given, bounds have a min_tokens, or a lever is unknown or has no value.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("sardana2024"), 60, key=1)
        >>> boot = js.bootstrap(js.fit(js.laws.Chinchilla, runs), resamples=200, key=1)
        >>> regret = js.expected_regret(boot, budget=1e24)
        >>> print(f"{regret.params:.3g} params, {regret.regret_loss:.2g} nats")
        4.53e+10 params, 0.00043 nats
    """
    if (loss is None) == (budget is None):
        raise ValueError("expected_regret takes exactly one of loss and budget")
    resampled, point = _laws(law)
    arguments = plan_arguments(resampled, demand, costs, bounds)
    values = lever_values(resampled, levers or {})
    if bounds is not None:
        _check_bounds(bounds)
    target = {"budget": budget} if loss is None else {"loss": loss}
    rest = {**target, "levers": values, **{k: x for k, x in arguments.items() if k != "law"}}
    rank = max((np.ndim(x) for x in jax.tree.leaves(rest)), default=0)
    entered = arrays.enter(law=_joined(resampled, point, rank), **rest)
    return _regrets(loss is not None, *entered)


# --- The resamples ---------------------------------------------------------------------------


def _laws(law: Any) -> tuple[Any, Any]:
    """The law with a first axis of resamples, and the law of the naive plan."""
    if hasattr(law, "fit") and hasattr(law, "ok"):
        if not np.any(law.ok):
            raise ValueError("law must have a resample that is ok; this bootstrap has none")
        return jax.tree.map(lambda x: x[law.ok], law.law), law.fit.law
    if isinstance(law, Entry):
        if law.draws is None:
            raise ValueError(f"law must have resamples; {law.name} holds none")
        return law.draws, law.law
    check_law(law)
    (law,) = arrays.enter(law=law)
    sizes = {np.shape(x)[0] for x in jax.tree.leaves(law) if np.ndim(x)}
    if len(sizes) != 1 or sizes == {0}:
        lengths = f"of lengths {sorted(sizes)}" if sizes else "without one"
        raise ValueError(
            "law must have coefficients with one first axis of resamples, as js.bootstrap makes; "
            f"got coefficients {lengths}: {law!r}"
        )
    return law, jax.tree.map(lambda x: x.mean(axis=0) if np.ndim(x) else x, law)


def _joined(resampled: Any, point: Any, rank: int) -> Any:
    """The law with the point after all resamples, its first axis before those of scenarios."""
    (resampled,), (point,) = arrays.enter(law=resampled), arrays.enter(law=point)
    count = max(np.shape(x)[0] for x in jax.tree.leaves(resampled) if np.ndim(x))
    rank = max(rank, *(np.ndim(x) - 1 for x in jax.tree.leaves(resampled)))

    def joined(x: Any, last: Any) -> Array:
        x, last = jnp.asarray(x), jnp.asarray(last, x.dtype)
        inner = x.shape[1:]
        x = jnp.broadcast_to(x, (count, *inner))
        both = jnp.concatenate([x, jnp.broadcast_to(last, inner)[None]])
        return both.reshape(count + 1, *(1,) * (rank - len(inner)), *inner)

    return jax.tree.map(joined, resampled, point)


def _check_bounds(bounds: Bounds) -> None:
    least = bounds.min_tokens
    if not arrays.is_concrete(least) or np.any(np.asarray(least) != 0):
        raise ValueError(
            "bounds of expected_regret have no min_tokens: tokens follow from the size of the "
            f"model; got {least!r}"
        )


# --- All scenarios ---------------------------------------------------------------------------


@partial(compiled, static=1)
def _regrets(
    at_loss: bool,
    law: Any,
    target: Array,
    levers: dict[str, Array],
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None = None,
) -> ExpectedRegret:
    rest = target, levers, demand, costs, bounds
    leaves, structure = jax.tree.flatten((law, rest))
    of_law = len(jax.tree.leaves(law))
    shape = np.broadcast_shapes(
        *(np.shape(x)[1:] for x in leaves[:of_law]), *(np.shape(x) for x in leaves[of_law:])
    )
    scenarios = math.prod(shape)
    resamples = leaves[0].shape[0]
    # A coefficient that all scenarios share is not copied for each.
    flat = [
        _flat(x, (resamples, *shape)) if i < of_law else jnp.broadcast_to(x, shape).ravel()
        for i, x in enumerate(leaves)
    ]
    shared = [x.ndim == 1 and i < of_law for i, x in enumerate(flat)]

    def solve(numbers: list[Array]) -> ExpectedRegret:
        each = iter(numbers)
        whole = [x if is_shared else next(each) for x, is_shared in zip(flat, shared, strict=True)]
        law, rest = jax.tree.unflatten(structure, whole)
        return _regret(at_loss, law, *rest)

    own = [x for x, is_shared in zip(flat, shared, strict=True) if not is_shared]
    most = max(1, LANES // resamples)
    result = jax.vmap(solve)(own) if scenarios <= most else lax.map(solve, own, batch_size=most)

    def shaped(x: Array) -> Array:
        if x.ndim == 1:
            return x.reshape(shape)
        return jnp.moveaxis(x, 0, -1).reshape(x.shape[1], *shape)

    return jax.tree.map(shaped, result)


def _flat(x: Array, shape: tuple[int, ...]) -> Array:
    """A coefficient with a row for each scenario; of resamples alone, where scenarios share it."""
    if all(size == 1 for size in x.shape[1:]):
        return x.ravel()
    return jnp.broadcast_to(x, shape).reshape(shape[0], math.prod(shape[1:])).T


# --- One scenario: coefficients have an axis of resamples, the rest is scalar ----------------


def _regret(
    at_loss: bool,
    law: Any,
    target: Array,
    levers: dict[str, Array],
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
) -> ExpectedRegret:
    def own_plans(law: Any) -> tuple[Array, Plan]:
        solve = minimize_cost if at_loss else minimize_loss
        plan = solve(law, target, demand, costs, bounds, levers=levers)
        return jnp.log(jnp.where(plan.ok, plan.params, 1)), plan

    log_params, pullback, plans = jax.vjp(own_plans, law, has_aux=True)
    share = _shares(law, lambda x: pullback(x)[0], plans.ok[-1])
    own, point = (jax.tree.map(lambda x, part=part: x[part], plans) for part in (slice(-1), -1))
    ok = jnp.all(own.ok)
    inputs = Inputs(jax.tree.map(lambda x: x[:-1], law), levers, target, demand, costs)
    inputs, bounds = _made_safe(at_loss, inputs, bounds, ok)
    each = jax.tree.map(lambda x: jnp.where(ok, x, 0), best_of(own))
    unit = lax.stop_gradient(jnp.where(ok, jnp.max(each.cost), 1))
    resamples = Resamples(inputs, unit)
    best = best_on_average(at_loss, resamples, bounds, each.log_params)
    has_naive = ok & point.ok
    naive = jnp.where(has_naive, log_params[-1], best.log_params)
    looks = best.low + (best.high - best.low) * jnp.linspace(0, 1, LOOKS, dtype=unit.dtype)
    sizes = jnp.stack([best.log_params, naive])
    means, outcome = outcomes(at_loss, resamples, bounds, each, lax.stop_gradient(looks), sizes)
    chosen, other = (jax.tree.map(lambda x, i=i: x[i], outcome) for i in range(2))
    least = jnp.mean(chosen.cost / unit if at_loss else chosen.loss)
    beaten = jnp.any(means < least * (1 - SAME * epsilon(least)))
    good = jnp.all(jnp.stack([jnp.all(is_finite(x)) for x in chosen]))
    failed = jnp.max(jnp.where(own.ok, 0, own.status)).astype(jnp.int8)
    status = jnp.where(ok, best.status, failed)
    status = jnp.where((status == int(Status.OK)) & beaten, jnp.int8(Status.SEVERAL_OPTIMA), status)
    status = jnp.where(is_ok(status) & ~good, jnp.int8(Status.OUT_OF_RANGE), status)
    ok &= is_ok(status)

    def mean_cost(x: Array) -> Array:
        return jnp.mean(x / unit) * unit  # a sum of costs may overflow

    numbers = {
        "params": jnp.exp(best.log_params),
        "tokens": jnp.mean(chosen.tokens),
        "loss": target if at_loss else jnp.mean(chosen.loss),
        "cost": mean_cost(chosen.cost),
        "regret_cost": mean_cost(chosen.regret_cost),
        "regret_loss": jnp.mean(chosen.regret_loss),
        "resample_regret_cost": chosen.regret_cost,
        "resample_regret_loss": chosen.regret_loss,
    }
    naive_numbers = {
        "naive_params": jnp.exp(naive),
        "naive_regret_cost": mean_cost(other.regret_cost),
        "naive_regret_loss": jnp.mean(other.regret_loss),
    }
    return ExpectedRegret(
        **{name: jnp.where(ok, x, jnp.nan) for name, x in numbers.items()},
        **{name: jnp.where(ok & has_naive, x, jnp.nan) for name, x in naive_numbers.items()},
        share=share,
        resample_params=own.params,
        resample_status=own.status,
        infeasible=jnp.sum(~own.ok).astype(jnp.int32),
        status=status,
    )


def _made_safe(
    at_loss: bool, inputs: Inputs, bounds: Bounds | None, ok: Array
) -> tuple[Inputs, Bounds | None]:
    """The same, or where not ok a scenario that has a plan of one param and one token."""
    safe = jax.tree.map(jnp.ones_like, inputs)
    zero = jnp.zeros_like(inputs.target)
    target = safe.loss(zero, zero) if at_loss else cost_value(zero, zero, safe)
    safe = safe._replace(target=jnp.mean(target))
    nothing = None if bounds is None else jax.tree.map(jnp.full_like, bounds, Bounds())
    given, instead = (inputs, bounds), (safe, nothing)
    return jax.tree.map(lambda x, y: jnp.where(ok, x, y), given, instead)


def _shares(law: Any, pullback: Any, has_plan: Array) -> Any:
    """The share of each coefficient in the variance of the log of the best size, linearised."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(law)
    of_point = jnp.zeros_like(leaves[0][1]).at[-1].set(1)
    gradient = jax.tree.leaves(pullback(of_point))
    families = coefficients_of(type(law))
    parts: list[Array] = []
    for (path, x), slope in zip(leaves, gradient, strict=True):
        name, draws, point = _name(path), x[:-1], x[-1]
        positive = jnp.all(x > 0) & (name not in families or families[name].positive)
        logs = jnp.log(jnp.where(positive, draws, 1))
        apart = jnp.where(positive, point * (logs - logs[0]), draws - draws[0])
        apart = jnp.where(draws == draws[0], 0, apart)  # not rounding, of which shares add up to 1
        moved = apart - apart.mean()
        parts.append(slope[-1] * moved)
    total = reduce(operator.add, parts)
    variance = jnp.mean(total * total)
    safe = jnp.where(variance > 0, variance, 1)
    shares = [jnp.where(has_plan, jnp.mean(x * total) / safe, jnp.nan) for x in parts]
    return lax.stop_gradient(jax.tree.unflatten(structure, shares))


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
