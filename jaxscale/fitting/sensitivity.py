# pyright: reportUnknownMemberType=false
"""Derivatives of fitted coefficients by the runs' weights and losses and by delta.

By the implicit function theorem: the gradient of the objective is 0 at the optimum whatever the
runs are, so coefficients move by minus the inverse Hessian times the change of that gradient. No
iteration is unrolled.
"""

import operator
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.compiled import compiled
from jaxscale.fitting.kernel import Kernel, Prior
from jaxscale.fitting.objectives import (
    LEAST_DELTA,
    AbsoluteError,
    Huber,
    HuberLikelihood,
    Objective,
    best_scale,
)


class Inputs(NamedTuple):
    """Inputs that the fitted coefficients depend on."""

    weights: Any  # runs
    loss: Any  # runs, nats per token
    delta: Any  # Huber's bound


Slopes: TypeAlias = Callable[[Array, Inputs], tuple[Array, Inputs]]


class Sensitivity(NamedTuple):
    """Derivatives of the fitted coordinates, and of the objective, by the inputs.

    A coordinate is the logarithm of a coefficient that is positive, and any other as it is.
    """

    coordinates: Inputs  # coordinates, runs; coordinates, runs; coordinates
    value: Inputs  # runs; runs; one


def with_delta(objective: Objective, delta: Any) -> Objective:
    """The objective as a smooth function of `delta`."""
    if isinstance(objective, AbsoluteError):
        return Huber(LEAST_DELTA)
    return with_own_delta(objective, delta)


def with_own_delta(objective: Objective, delta: Any) -> Objective:
    """The objective at another delta, where it has one."""
    return type(objective)(delta) if isinstance(objective, (Huber, HuberLikelihood)) else objective


def sensitivity(
    kernel: Kernel,
    coordinates: np.ndarray,
    basis: np.ndarray,
    rows: Any,
    inputs: Inputs,
    objective: Objective,
    prior: Prior,
) -> Sensitivity:
    """At fitted coordinates, free to move along the columns of `basis`; float64 throughout."""
    smooth, size = with_delta(objective, inputs.delta), len(coordinates)
    unknown = jnp.asarray(coordinates)
    if isinstance(smooth, HuberLikelihood):
        residuals = kernel.residuals(unknown, rows)
        scale = best_scale(residuals, jnp.asarray(inputs.weights), jnp.asarray(inputs.delta))
        unknown = jnp.append(unknown, jnp.log(scale))
        grown = np.zeros((size + 1, basis.shape[1] + 1))
        grown[:size, :-1], grown[size, -1] = basis, 1
        basis = grown
    inputs = Inputs(*(jnp.asarray(x) for x in inputs))
    hessian, mixed, by_input = _derivatives(kernel, unknown, inputs, rows, objective, prior)
    if isinstance(objective, AbsoluteError):
        # The smooth stand-in is delta times the absolute error.
        by_input = Inputs(*(x / LEAST_DELTA for x in by_input))
    inverse = basis @ np.linalg.solve(basis.T @ np.asarray(hessian) @ basis, basis.T)
    moved = Inputs(*(-(inverse @ np.asarray(x))[:size] for x in mixed))
    return Sensitivity(moved, Inputs(*map(np.asarray, by_input)))


@partial(compiled, static=1)
def _derivatives(
    kernel: Kernel,
    unknown: Array,
    inputs: Inputs,
    rows: Any,
    objective: Objective,
    prior: Prior,
) -> tuple[Array, Inputs, Inputs]:
    """Hessian by the coordinates, mixed second derivatives, and first ones by the inputs."""
    size = prior.mean.size

    def value(unknown: Array, inputs: Inputs) -> Array:
        coordinates = unknown[:size]
        # The loss is differentiated: it replaces the target of the rows.
        target = jnp.log(inputs.loss) if kernel.logarithm else inputs.loss
        residuals = kernel.residuals(coordinates, rows._replace(target=target))
        smooth = with_delta(objective, inputs.delta)
        if isinstance(smooth, HuberLikelihood):  # its scale is the last of the unknowns
            total = smooth.value_at(residuals, inputs.weights, unknown[size])
        else:
            total = smooth.value(residuals, inputs.weights)
        off = coordinates - prior.mean
        return total + jnp.sum(prior.precision * off * off) / 2

    slopes = cast(Slopes, jax.grad(value, argnums=(0, 1)))
    hessian, mixed = cast(Slopes, jax.jacfwd(slopes))(unknown, inputs)
    return hessian, Inputs(*map(jnp.transpose, mixed)), slopes(unknown, inputs)[1]


def directional(derivatives: Inputs, tangents: Mapping[str, Array]) -> Array:
    """The directional derivative along the tangents of some of the inputs."""
    changes: list[Array] = []
    for name, x in tangents.items():
        slope = jnp.asarray(getattr(derivatives, name), x.dtype)
        changes.append(slope @ x if x.ndim else slope * x)
    return reduce(operator.add, changes)
