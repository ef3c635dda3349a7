# pyright: reportUnknownMemberType=false
"""Derivatives of losses, and of any function of a law, by the coordinates of its coefficients.

A coordinate is the logarithm of a coefficient that its family says is positive, and any other
coefficient as it is: those of a fit's covariance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.interpreted import interpreted
from jaxscale.fitting.problem import padded_length
from jaxscale.laws.fitted import coefficients_of, fits_logarithm
from jaxscale.laws.protocol import check_lever_names, loss_from_logs

Names = tuple[str, ...]


def jacobian(
    law: Any,
    params: Any,
    tokens: Any,
    levers: Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """Derivatives of ln loss by a law's coordinates, of shape (runs, coordinates), in float64.

    Coordinates are those of a fit's covariance: logarithms of positive coefficients, and others as
    they are. Of a law with a leading axis, as `boot.law`, that axis is the first. Of a family whose
    loss may be negative they are derivatives of the loss itself. NaN where a law has no loss.

    Args:
        law: a law of any family.
        params: of each run.
        tokens: of each run.
        levers: a column, or one value, for each lever of the law.
        names: the coefficients to differentiate by, all by default.

    Raises:
        TypeError: the levers are not those of the law.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> js.fitting.jacobian(law, [1e9, 1e10], [2e10, 2e11]).round(3)
        array([[ 0.718,  0.141,  0.14 , -2.926, -3.332],
               [ 0.853,  0.075,  0.072, -1.733, -1.869]])
    """
    known = tuple(coefficients_of(type(law))) if names is None else tuple(names)
    check_lever_names(law, levers or {})
    columns = [params, tokens, *(levers or {}).values()]
    sizes = [np.atleast_1d(np.asarray(x, np.float64)) for x in columns]
    count = np.broadcast_shapes(*(x.shape for x in sizes))[0]
    length = padded_length(count)

    def pad(column: np.ndarray) -> np.ndarray:
        return np.resize(np.broadcast_to(column, (count,)), length)

    with jax.enable_x64(True), np.errstate(divide="ignore", invalid="ignore"):
        log_params, log_tokens, *values = map(pad, sizes)
        chosen = dict(zip(levers or {}, values, strict=True))
        leaves = jax.tree.map(lambda x: np.asarray(x, np.float64), law)
        has_axis = any(np.ndim(x) for x in jax.tree.leaves(leaves))
        slopes = _of_laws if has_axis else _of_law
        found = slopes(known, leaves, np.log(log_params), np.log(log_tokens), chosen)
        return np.asarray(found)[..., :count, :]


@partial(compiled, static=1)
def _of_law(names: Names, law: Any, x: Array, y: Array, levers: dict[str, Array]) -> Array:
    def value(steps: Array) -> Array:
        loss = loss_from_logs(stepped(law, names, steps), x, y, **levers)
        return jnp.log(loss) if fits_logarithm(law) else loss

    return _forwards(value, len(names))


@partial(compiled, static=1)
def _of_laws(names: Names, laws: Any, x: Array, y: Array, levers: dict[str, Array]) -> Array:
    laws = _with_axis(laws)
    return jax.vmap(lambda law: _of_law(names, law, x, y, levers))(laws)


def gradients(
    fn: Callable[[Any], Any], law: Any, names: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of `fn(law)` in a row, and their derivatives by coordinates, a row for each.

    `fn` takes a law and is traced. Of a law with a leading axis, `fn` gets one of them at a time,
    and both results have that axis first.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> value, slopes = js.fitting.gradients(lambda law: law.beta / (law.alpha + law.beta), law)
        >>> value.round(4), slopes.round(3)
        (array([0.5126]), array([[ 0.   ,  0.   ,  0.   , -0.718,  0.683]]))
    """
    known = tuple(coefficients_of(type(law))) if names is None else tuple(names)

    def of_one(law: Any) -> tuple[Array, Array]:
        def value(steps: Array) -> tuple[Array, Array]:
            numbers = jnp.ravel(jnp.asarray(fn(stepped(law, known, steps)), jnp.float64))
            return numbers, numbers

        slopes, numbers = jax.jacfwd(value, has_aux=True)(jnp.zeros(len(known)))
        return numbers, slopes

    with jax.enable_x64(True):
        leaves = jax.tree.map(lambda x: np.asarray(x, np.float64), law)
        if any(np.ndim(x) for x in jax.tree.leaves(leaves)):
            leaves = _with_axis(leaves)
            return cast(Any, interpreted(jax.vmap(of_one), leaves))
        return interpreted(of_one, leaves)


def stepped(law: Any, names: Names, steps: Any) -> Any:
    """The law with a step in each of these coordinates. Traceable."""
    known = coefficients_of(type(law))
    moved: dict[str, Any] = {}
    for name, step in zip(names, steps, strict=True):
        value = getattr(law, name)
        moved[name] = value * jnp.exp(step) if known[name].positive else value + step
    return replace(law, **moved)


def _with_axis(laws: Any) -> Any:
    """The laws with every coefficient as long as their one axis."""
    length = max(np.size(x) for x in jax.tree.leaves(laws))
    return jax.tree.map(lambda x: jnp.broadcast_to(jnp.ravel(x), (length,)), laws)


def _forwards(value: Callable[[Array], Array], count: int) -> Array:
    """Derivatives by `count` steps from 0, in the last axis: forwards, since coordinates are few."""

    def along(direction: Array) -> Array:
        return jax.jvp(value, (jnp.zeros(count),), (direction,))[1]

    return jax.vmap(along, out_axes=-1)(jnp.eye(count))
