# Optax has no types:
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
"""A search by any Optax optimiser instead of Newton steps."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jaxscale._numerics.typed import map_array
from jaxscale.fitting import descent
from jaxscale.fitting.constraints import Constraints
from jaxscale.fitting.descent import Arrival
from jaxscale.fitting.kernel import Kernel, Point
from jaxscale.fitting.problem import Problem, approach, ranked, run

KEPT = 4  # starts that the optimiser gets
STEPS = 3000


def search_with(
    optimizer: optax.GradientTransformation, problem: Problem, starts: np.ndarray
) -> Arrival:
    """Reweighted least squares from all starts, then `optimizer` from the best few of them.

    It takes 3,000 steps in coordinates in which the valley is round, on the objective over its
    value at the start. The end is certified as it stands.
    """
    near = approach(problem, starts)
    best = ranked(near)[:KEPT]
    arguments = problem.rows, problem.weights, problem.constraints, problem.delta
    begun: np.ndarray = near.coordinates[:, best].T
    # Optimisers mix widths of integers, which a caller's strict promotion would refuse.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        minimised = cast(Callable[..., Array], _minimised)
        ends = minimised(optimizer, problem.kernel, begun, *arguments, problem.likelihood)
        ended = np.asarray(ends).T
    last = descent.newton(problem.delta, problem.likelihood, steps=1)
    weights = np.broadcast_to(problem.weights, (best.size, problem.weights.size))
    return run(problem, ended, weights, type(last)(*(x[-1:] for x in last)))


@partial(jax.jit, static_argnames=("optimizer", "kernel", "likelihood"))
def _minimised(
    optimizer: optax.GradientTransformation,
    kernel: Kernel,
    starts: Array,
    rows: Any,
    weights: Array,
    constraints: Constraints,
    delta: Array,
    likelihood: bool,
) -> Array:
    """End points of the optimiser from each start, of shape (starts, coordinates)."""
    optimizer = optax.with_extra_args_support(optimizer)

    scaled = jnp.bool_(True) if likelihood else None

    def point(coordinates: Array) -> Point:
        squares = jnp.bool_(False), constraints.prior, scaled
        return kernel(coordinates[:, None], rows, weights[None], delta, *squares)

    def objective(coordinates: Array) -> Array:
        settings = rows, weights[None], delta, constraints.prior, scaled
        return kernel.value(coordinates[:, None], *settings)[0]

    def minimise(start: Array) -> Array:
        here = point(start)
        unit = jnp.abs(here.value[0])
        # Least squares at the start: a step of one there changes the objective by half of it.
        matrix = constraints.reduced(
            here.hessian, constraints.projection[:, :, None], 1e-9 * here.diagonal
        )[..., 0]
        root = cast(Array, jnp.linalg.cholesky(matrix))
        whitening = cast(Array, jnp.linalg.inv(root))
        to_coordinates = constraints.projection @ whitening.T

        def at(round_: Array) -> Array:
            moved: Array = start + jnp.sqrt(unit) * (to_coordinates @ round_)
            return constraints.clip(moved[:, None])[:, 0]

        def value(round_: Array) -> Array:
            return objective(at(round_)) / unit

        def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], None]:
            round_, state = carry
            now, slope = jax.value_and_grad(value)(round_)
            change, state = optimizer.update(
                slope, state, round_, value=now, grad=slope, value_fn=value
            )
            return (cast(Array, optax.apply_updates(round_, change)), state), None

        round_ = jnp.zeros_like(start)
        (round_, _), _ = lax.scan(step, (round_, optimizer.init(round_)), None, length=STEPS)
        return at(round_)

    return map_array(minimise, starts)
