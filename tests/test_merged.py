"""Merged operations: fewer, with the same results."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.testing import assert_array_equal

from jaxscale._numerics.merged import merged


@jax.custom_jvp
def power(x, y):
    return jnp.exp(y * jnp.log(x))


@power.defjvp
def _power_jvp(primals, tangents):
    (x, y), (x_dot, y_dot) = primals, tangents
    value = power(x, y)
    return value, value * (x_dot * y / x + y_dot * jnp.log(x))


def curved(x, y):
    """A value with its slopes, which evaluate it again, and what a loop makes of it."""
    slopes = [jax.jvp(lambda z: power(z, y), (x,), (jnp.ones_like(x),))[1]]
    slopes += [jax.jvp(lambda z: power(x, z), (y,), (jnp.ones_like(y),))[1]]
    doubled = lax.fori_loop(0, 2, lambda _, z: z + z, power(x, y))
    zeros = jnp.where(x > 1, jnp.copysign(1.0, 0 * x + 0.0), jnp.copysign(1.0, -0.0))
    return {"value": power(x, y), "slopes": slopes, "doubled": doubled, "zeros": zeros}


def count(function, name, *arguments):
    return str(jax.make_jaxpr(function)(*arguments)).count(f" {name} ")


def test_equal_operations_are_merged_and_results_stay():
    x, y = jnp.asarray([0.5, 2.0, 3.0]), jnp.asarray([2.0, 0.5, -1.0])
    assert count(curved, "exp", x, y) == 4
    assert count(merged(curved), "exp", x, y) == 1
    for one, other in zip(*map(jax.tree.leaves, (merged(curved)(x, y), curved(x, y))), strict=True):
        assert_array_equal(one, other)


def test_a_merged_function_maps_over_a_batch_and_what_it_closes_over():
    x = jnp.asarray([0.5, 2.0, 3.0])
    found = jax.vmap(lambda x: merged(lambda y: curved(x, y)["value"])(2 * x))(x)
    np.testing.assert_allclose(found, x ** (2 * x), rtol=1e-5)
