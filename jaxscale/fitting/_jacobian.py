# pyright: reportUnknownMemberType=false
"""Derivatives of losses, and of any function of a law, by the coordinates of its coefficients.

A coordinate is the logarithm of a coefficient that its family says is positive, and any other
coefficient as it is: those of a fit's covariance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.typed import flattened, map_leaves
from jaxscale.fitting.kernel import Numbers
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
    known = tuple(coefficients_of(law.__class__)) if names is None else tuple(names)
    check_lever_names(law, levers or {})
    columns = [params, tokens, *(levers or {}).values()]
    sizes = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, np.float64)) for x in columns))
    with jax.enable_x64(True), np.errstate(divide="ignore", invalid="ignore"):
        log_params, log_tokens = map(np.log, sizes[:2])
        chosen = dict(zip(levers or {}, sizes[2:], strict=True))

        def slopes(law: Any) -> Array:
            return _of_law(law, known, log_params, log_tokens, chosen)

        of_laws = jax.vmap(slopes) if _has_axis(law) else slopes
        return np.asarray(interpreted(of_laws, _float64(law)))


def _of_law(law: Any, names: Names, x: Numbers, y: Numbers, levers: Mapping[str, Numbers]) -> Array:
    def value(*steps: Array) -> Array:
        loss = loss_from_logs(stepped(law, names, steps), x, y, **levers)
        return jnp.log(loss) if fits_logarithm(law) else loss

    def along(*direction: Array) -> Array:
        return jax.jvp(value, (np.zeros(()),) * len(names), direction)[1]

    directions: Numbers = np.eye(len(names))
    return jax.vmap(along, out_axes=-1)(*directions)  # forwards, for coordinates are few


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
    known = tuple(coefficients_of(law.__class__)) if names is None else tuple(names)

    def of_one(law: Any) -> tuple[Array, Array]:
        def value(*steps: Array) -> Array:
            return jnp.ravel(jnp.asarray(fn(stepped(law, known, steps)), jnp.float64))

        def along(*direction: Array) -> tuple[Array, Array]:
            return jax.jvp(value, (np.zeros(()),) * len(known), direction)

        # Of scalars in a row rather than of an array: NumPy, which runs this, cannot split one.
        directions: Numbers = np.eye(len(known))
        return jax.vmap(along, out_axes=(None, -1))(*directions)

    with jax.enable_x64(True):
        of_laws = jax.vmap(of_one) if _has_axis(law) else of_one
        values, slopes = interpreted(of_laws, _float64(law))
        return np.asarray(values), np.asarray(slopes)


def stepped(law: Any, names: Names, steps: Any) -> Any:
    """The law with a step in each of these coordinates. Traceable."""
    known = coefficients_of(law.__class__)
    moved: dict[str, Any] = {}
    for name, step in zip(names, steps, strict=True):
        value = getattr(law, name)
        moved[name] = value * jnp.exp(step) if known[name].positive else value + step
    return replace(law, **moved)


def _has_axis(law: Any) -> bool:
    return any(np.ndim(x) for x in flattened(law)[0])


def _float64(law: Any) -> Any:
    """The law in float64, and every coefficient as long as the one axis, if there is one."""
    length = max(np.size(x) for x in flattened(law)[0])
    has_axis = _has_axis(law)

    def cast(x: Any) -> Any:
        number = np.asarray(x, np.float64)
        return np.broadcast_to(np.ravel(number), (length,)) if has_axis else number

    return map_leaves(cast, law)
