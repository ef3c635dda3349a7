"""The best of listed values of levers: one batched call solves for all, and the best is taken."""

# JAX leaves what `tree.map` returns without a type.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import where_safe
from jaxscale.laws.protocol import Law, choices_of, levers_of
from jaxscale.plan import Plan, lever_values
from jaxscale.solve.levers import POINTS, SIZES, masked
from jaxscale.status import Status

Name: TypeAlias = str | tuple[str, ...]
Over: TypeAlias = Sequence[str] | Mapping[Name, Sequence[Any] | None]
MOST = 1000  # combinations: each multiplies the work and the memory of a call
EXAMPLE = '{"experts": [1, 2, 4]}'
# Of a value that may have the best plan, though none was found.
UNKNOWN = (
    Status.NO_INTERIOR_OPTIMUM,
    Status.SEVERAL_OPTIMA,
    Status.NOT_CONVERGED,
    Status.OUT_OF_RANGE,
    Status.INVALID_INPUT,
    Status.BEYOND_LAW,
)


@dataclass(frozen=True)
class Chosen:
    """What is chosen besides params and tokens."""

    anywhere: tuple[str, ...]  # levers, each over its whole range
    listed: tuple[str, ...]  # levers with a list of values
    values: tuple[tuple[float, ...], ...]  # of each of these: a column of the combinations
    ends: tuple[float, ...]  # the highest that the law allows of each, where there is a choice

    def columns(self, rank: int, dtype: Any) -> dict[str, Array]:
        """The values of listed levers, along an axis before those of scenarios."""
        shape = -1, *(1,) * rank
        pairs = zip(self.listed, self.values, strict=True)
        return {name: jnp.asarray(values, dtype).reshape(shape) for name, values in pairs}


def read_over(
    law: Law, over: Over, levers: Mapping[str, ArrayLike] | None, left: Sequence[str] = ()
) -> tuple[Chosen, dict[str, ArrayLike]]:
    """The levers to choose, from `over` as `minimize_cost` takes it, and the values of all others.

    Those in `left` may have none. Raises TypeError or ValueError that names what is wrong.
    """
    asked: Any = over
    words = asked if isinstance(asked, Iterable) and not isinstance(asked, str) else ()
    if not isinstance(over, Mapping) and not set(SIZES) <= set(words):
        raise ValueError(f"over must hold 'params' and 'tokens', and names of levers; got {over!r}")
    lists: dict[Any, Any] = dict(over) if isinstance(over, Mapping) else dict.fromkeys(over)
    for size in SIZES:
        if lists.pop(size, None) is not None:
            raise ValueError(f"over: {size} takes no list of values; use bounds")
    names: list[Any] = _flat(lists)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"over: levers must be names, or tuples of names; got {over!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"over holds a lever twice; got {over!r}")
    given, known, own = levers or {}, levers_of(law), choices_of(law)
    absent = (name for name in left if name in known and name not in {*names, *given})
    fixed = lever_values(law, given, (*names, *absent))
    for key, values in lists.items():
        if values is None and not isinstance(key, str):
            raise ValueError(f"over: levers that go together need a list of values; got {over!r}")
        if values is None:
            lists[key] = own.get(str(key))
    anywhere = tuple(str(key) for key, values in lists.items() if values is None)
    if len(anywhere) > max(POINTS):
        raise ValueError(
            f"over may hold {max(POINTS)} levers besides params and tokens; got {over!r}"
        )
    listed = {key: _rows(key, values, known) for key, values in lists.items() if values is not None}
    count = math.prod(map(len, listed.values()))
    if count > MOST:
        raise ValueError(f"over has {count} combinations of listed values, more than {MOST}")
    rows = [sum(row, ()) for row in itertools.product(*listed.values())]
    columns = tuple(zip(*rows, strict=True))
    ends = tuple(known[x][1] if len(listed.get(x, ())) > 1 else math.inf for x in _flat(listed))
    return Chosen(anywhere, tuple(_flat(listed)), columns, ends), fixed


def _flat(names: Iterable[Name]) -> list[str]:
    return [each for name in names for each in (name if isinstance(name, tuple) else [name])]


def _rows(
    name: Name, values: Any, known: Mapping[str, tuple[float, float]]
) -> list[tuple[float, ...]]:
    """The values of one lever, or of several that go together, as rows of numbers."""
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str) or not len(values):
        raise ValueError(f"over: {name!r} must have a list of values, as {EXAMPLE}; got {values!r}")
    names = _flat([name])
    return list(dict.fromkeys(_row(name, names, value, known) for value in values))


def _row(
    name: Name, names: Sequence[str], value: Any, known: Mapping[str, tuple[float, float]]
) -> tuple[float, ...]:
    row: tuple[Any, ...] = (value,)
    if not isinstance(name, str) and isinstance(value, tuple | list):
        row = tuple(value)
    if len(row) != len(names):
        raise ValueError(f"over: {name!r} needs {len(names)} numbers a value; got {value!r}")
    for lever, number in zip(names, row, strict=True):
        if not isinstance(number, int | float | np.generic | Array) or np.ndim(number):
            raise TypeError(f"over: values of {lever!r} must be numbers; got {number!r}")
        low, high = known[lever]
        if not low <= float(number) <= high:
            raise ValueError(
                f"over: {lever} {float(number):g} is outside its range, {low:g} to {high:g}"
            )
    return tuple(map(float, row))


@partial(compiled, static=2)
def best_of(at_loss: bool, chosen: Chosen, plans: Plan) -> Plan:
    """The best along the first axis, with the second best in `runner_up`.

    No plan where a value has none that was not shown to be infeasible: it might be the best.
    """
    objective = plans.total_cost if at_loss else plans.loss
    objective = lax.stop_gradient(jnp.where(plans.ok, objective, jnp.inf))
    rows = jnp.arange(len(objective)).reshape(-1, *(1,) * (objective.ndim - 1))
    best = jnp.argmin(objective, axis=0, keepdims=True)
    others = jnp.where(rows == best, jnp.inf, objective)
    second = jnp.argmin(others, axis=0, keepdims=True)

    def row(numbers: Any, index: Array) -> Any:
        # By masks, not indices: a gather has no line in NumPy's table of operations.
        def pick(x: Array) -> Array:
            return jnp.sum(jnp.where(rows == index, x, 0), axis=0).astype(x.dtype)

        return jax.tree.map(pick, numbers)

    plan, other = row(plans, best), row(plans, second)
    has_second = jnp.isfinite(row(others, second))
    value, next_value = (
        where_safe(has_second, x.total_cost if at_loss else x.loss) for x in (plan, other)
    )
    excess = next_value / value - 1 if at_loss else next_value - value
    runner_up = {**other.levers, "excess": excess}
    runner_up = jax.tree.map(lambda x: jnp.where(has_second, x, jnp.nan), runner_up)
    status = plan.status
    for name, end in zip(chosen.listed, chosen.ends, strict=True):
        at_end = (status == int(Status.OK)) & (plan.levers[name] == end)
        status = jnp.where(at_end, jnp.int8(Status.AT_LEVER_END), status)
    for doubt in UNKNOWN:
        is_open = jnp.any(plans.status == int(doubt), axis=0)
        status = jnp.where(is_open, jnp.int8(doubt), status)
    return masked(replace(plan, runner_up=runner_up), status)
