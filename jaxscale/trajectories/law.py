"""Laws over the steps of one training: what they read of a schedule, and their losses.

Such a law is a frozen dataclass with `features(schedule, steps, law)`: columns of NumPy numbers, a
row for each step, by the names that its `loss_from_logs` takes. A feature may be a vector a row.
`of_steps` tells `fit` that params and tokens do not matter.

A law with `reads_sizes` reads the params and the batch of a curve instead: it is over params and
tokens with the lever `batch`, in tokens per step, and holds all along a training.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.values import all_positive
from jaxscale.laws.protocol import is_valid, made_safe
from jaxscale.trajectories.schedules import Schedule


def losses(law: Any, schedule: Schedule, steps: ArrayLike | None) -> Array:
    """The losses of a law at steps of a schedule: the shape of the law, then that of the steps.

    NaN with zero derivatives where a coefficient is bad.
    """
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule must be a js.trajectories.Schedule; got {schedule!r}")
    at = schedule.checked_steps(steps)
    features = type(law).features(schedule, np.ravel(at), vars(law))
    (law,) = arrays.enter(law=law)
    shape = jnp.broadcast_shapes(*(jnp.shape(x) for x in jax.tree.leaves(law)))
    dtype = jax.tree.leaves(law)[0].dtype
    rows = {name: jnp.asarray(x, dtype) for name, x in features.items()}
    flat = jax.tree.map(lambda x: jnp.broadcast_to(x, shape).ravel(), law)
    every = jax.vmap(_losses, in_axes=(0, None))(flat, rows)
    return every.reshape(shape + at.shape)


@jax.jit
def _losses(law: Any, rows: dict[str, Array]) -> Array:
    answer = is_valid(law)
    safe = made_safe(law, answer)

    def loss(row: dict[str, Array]) -> Array:
        return safe.loss_from_logs(None, None, **row)

    return jnp.where(answer, jax.vmap(loss)(rows), jnp.nan)


def reads_sizes(law: Any) -> bool:
    """Whether the law reads the params and the batch of a curve, rather than its schedule."""
    return getattr(law, "reads_sizes", False)


def check_reads_schedules(law: Any) -> None:
    """Raises TypeError for a law that reads no schedules."""
    if not hasattr(law, "features"):
        raise TypeError(
            f"{getattr(law, '__name__', law)} is no law over steps: curves need one of "
            "js.trajectories, such as Momentum"
        )


def all_are_positive(law: Any) -> Array:
    """Whether every coefficient is positive and finite."""
    return all_positive(*jax.tree.leaves(law))


def number_of(name: str, value: Any) -> float:
    """A coefficient that decides the features, as one number.

    Raises ValueError where it differs between the lanes of a law.
    """
    if not arrays.is_concrete(value):
        raise TypeError(f"{name} decides what a law reads of a schedule: it cannot be traced")
    values = np.unique(np.asarray(value, float))
    if values.size != 1:
        raise ValueError(f"{name} must be one number; got {values.size} different ones")
    return float(values[0])
