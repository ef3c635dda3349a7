"""Checks of values in traced code, and safe replacements for bad ones.

A bad lane is computed like any other and its result masked at the end. That is enough for
values but not for derivatives, where zero times infinity is NaN: under differentiation a
bad value is replaced before it is used.
"""

import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap

from jaxscale._numerics.arrays import Real


def is_finite(x: Array) -> Array:
    return jnp.abs(x) < jnp.inf


def is_positive(x: Array) -> Array:
    """Whether x is finite and above zero; no for NaN."""
    return (x > 0) & (x < jnp.inf)


def all_positive(*numbers: Array) -> Array:
    """Whether every number, broadcast together, is finite and above zero."""
    return reduce(operator.and_, map(is_positive, numbers), jnp.asarray(True))


def is_nonnegative(x: Array) -> Array:
    """Whether x is finite and not below zero; no for NaN."""
    return (x >= 0) & (x < jnp.inf)


def is_normal(x: Array) -> Array:
    """Whether x is positive and has neither underflowed nor overflowed in its dtype."""
    limits = jnp.finfo(x.dtype)
    return (x >= limits.tiny) & (x <= limits.max)


def has_normal_exp(x: Array) -> Array:
    """Whether exp(x) is a normal number of x's dtype, with a few ulps of x to spare."""
    limits = jnp.finfo(x.dtype)
    inside = 1 - 4 * float(limits.eps)
    low, high = math.log(float(limits.tiny)), math.log(float(limits.max))
    return (x > low * inside) & (x < high * inside)


def exp_where(good: Real, x: Array) -> Array:
    """exp(x) where it is good and a normal number; elsewhere NaN with zero derivatives."""
    return exp_or_nan(good & has_normal_exp(x), x)


@jax.custom_jvp
def exp_or_nan(good: Array, x: Array) -> Array:
    """exp(x); NaN with zero derivatives where not good.

    The exponential comes last because XLA on a CPU evaluates one a single time, and a selection
    after it again for all that reads it, with all that led to the selection.
    """
    return jnp.exp(jnp.where(good, x, jnp.nan))


@exp_or_nan.defjvp
def _exp_or_nan_jvp(primals, tangents):
    (good, _), (_, x_dot) = primals, tangents
    value = exp_or_nan(*primals)
    return value, jnp.where(good, value, 0) * jnp.where(good, x_dot, 0)


@custom_vmap
def any_of(mask: Array) -> Array:
    """Whether any element holds, across the lanes of a `vmap` too.

    A `cond` on it stays one under `vmap`, so its branch must leave the other lanes as they are.
    """
    return jnp.any(mask)


@any_of.def_vmap
def _any_of_all(axis_size, in_batched, mask):
    del axis_size, in_batched
    return any_of(mask), False


_has_no_derivatives = ContextVar("_has_no_derivatives", default=False)


@contextmanager
def undifferentiated() -> Iterator[None]:
    """Inside, `where_safe` returns the value itself. For traced code without derivatives."""
    token = _has_no_derivatives.set(True)
    try:
        yield
    finally:
        _has_no_derivatives.reset(token)


def where_safe(good: Real, x: Array) -> Array:
    """The value, to be differentiated only where it is good: elsewhere as if it were 1.

    The caller masks what it computes from a bad value. Undifferentiated code pays nothing:
    a select for each input would cost a pass over memory, and took a third of a solve.
    """
    if _has_no_derivatives.get():
        return x
    # A number that many lanes share is good in some of them and bad in others.
    shape = jnp.broadcast_shapes(jnp.shape(good), jnp.shape(x))
    return _where_safe(good, x if jnp.shape(x) == shape else jnp.broadcast_to(x, shape))


@jax.custom_jvp
def _where_safe(good: Real, x: Array) -> Array:
    # XLA drops this select. It gives the value all lanes of a `vmap` that the derivative below has:
    # JAX takes them to be the same.
    return jnp.where(good, x, x)


@_where_safe.defjvp
def _where_safe_jvp(primals, tangents):
    (good, x), (_, x_dot) = primals, tangents
    return jnp.where(good, x, 1), jnp.where(good, x_dot, 0)


@jax.custom_jvp
def quotient(x: Array, y: Array) -> Array:
    """Quotient whose derivatives never form `1 / y^2`: beside a 0, that infinity is a NaN."""
    return x / y


@quotient.defjvp
def _quotient_jvp(primals, tangents):
    (x, y), (x_dot, y_dot) = primals, tangents
    inverse, value = 1 / y, quotient(x, y)
    return value, x_dot * inverse - (y_dot * inverse) * value
