"""Derivatives of fitted coefficients by what they were fitted to, at the optimum.

The gradient of the objective is 0 there, whatever the runs are: so coefficients move by minus
the inverse Hessian times what the runs do to that gradient. No iteration is unrolled.
"""

import operator
from collections.abc import Mapping
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.compiled import compiled
from jaxscale.fitting.chinchilla_kernel import Prior, Rows, residuals_at
from jaxscale.fitting.objectives import (
    LEAST_DELTA,
    AbsoluteError,
    Huber,
    HuberLikelihood,
    Objective,
    best_scale,
)


class Inputs(NamedTuple):
    """What coefficients depend on."""

    weights: Any  # runs
    loss: Any  # runs, nats per token
    delta: Any  # Huber's bound


class Sensitivity(NamedTuple):
    """Derivatives of (ln A, ln B, ln E, alpha, beta), and of the objective, by the inputs."""

    coefficients: Inputs  # 5, runs; 5, runs; 5
    value: Inputs  # runs; runs; one


def with_delta(objective: Objective, delta: Any) -> Objective:
    """The objective as a smooth function that knows `delta`."""
    if isinstance(objective, AbsoluteError):
        return Huber(LEAST_DELTA)
    return with_own_delta(objective, delta)


def with_own_delta(objective: Objective, delta: Any) -> Objective:
    """The objective at another delta, where it has one."""
    return type(objective)(delta) if isinstance(objective, (Huber, HuberLikelihood)) else objective


def sensitivity(
    coefficients: np.ndarray,
    basis: np.ndarray,
    rows: Rows,
    inputs: Inputs,
    objective: Objective,
    prior: Prior,
) -> Sensitivity:
    """At fitted coefficients, free to move along the columns of `basis`; float64 throughout."""
    smooth = with_delta(objective, inputs.delta)
    residuals = residuals_at(jnp.asarray(coefficients)[:, None], rows)[0]
    unknown = jnp.asarray(coefficients)
    if isinstance(smooth, HuberLikelihood):
        scale = best_scale(residuals, jnp.asarray(inputs.weights), jnp.asarray(inputs.delta))
        unknown = jnp.append(unknown, jnp.log(scale))
        grown = np.zeros((6, basis.shape[1] + 1))
        grown[:5, :-1], grown[5, -1] = basis, 1
        basis = grown
    inputs = Inputs(*(jnp.asarray(x) for x in inputs))
    hessian, mixed, by_input = _derivatives(unknown, inputs, rows, objective, prior)
    if isinstance(objective, AbsoluteError):
        # The smooth stand-in is delta times the absolute error.
        by_input = jax.tree.map(lambda x: x / LEAST_DELTA, by_input)
    inverse = basis @ np.linalg.solve(basis.T @ np.asarray(hessian) @ basis, basis.T)
    moved = Inputs(*(-(inverse @ np.asarray(each))[:5] for each in mixed))
    return Sensitivity(moved, Inputs(*map(np.asarray, by_input)))


@compiled
def _derivatives(unknown, inputs, rows, objective, prior):
    """Hessian by the coefficients, mixed second derivatives, and first ones by the inputs."""

    def value(unknown, inputs):
        coefficients = unknown[:5]
        # The loss enters as the rows' logarithm; what they hold of it is left out.
        seen = rows._replace(log_loss=jnp.log(inputs.loss))
        residuals = residuals_at(coefficients[:, None], seen)[0]
        smooth = with_delta(objective, inputs.delta)
        if unknown.size == 6:
            total = smooth.value_at(residuals, inputs.weights, unknown[5])  # pyright: ignore[reportAttributeAccessIssue]
        else:
            total = smooth.value(residuals, inputs.weights)
        off = coefficients - prior.mean
        return total + jnp.sum(prior.precision * off * off) / 2

    slopes = jax.grad(value, argnums=(0, 1))
    hessian, mixed = jax.jacfwd(slopes)(unknown, inputs)
    return hessian, jax.tree.map(jnp.transpose, mixed), slopes(unknown, inputs)[1]


def directional(derivatives: Inputs, tangents: Mapping[str, Array]) -> Array:
    """The change of what has these derivatives along the tangents of some of the inputs."""
    changes = []
    for name, x in tangents.items():
        slope = jnp.asarray(getattr(derivatives, name), x.dtype)
        changes.append(slope @ x if x.ndim else slope * x)
    return reduce(operator.add, changes)
