"""Where a sum of rising powers has a given value."""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

# From the start below, u has at most the logarithm of the number of terms to fall.
STEPS = 8


class Power(NamedTuple):
    """One term, `exp(log_scale + exponent * u)`; the exponent is positive."""

    log_scale: Array
    exponent: Array


@jax.custom_jvp
def log_root(terms: tuple[Power, ...], log_sum: Array) -> Array:
    """The one u at which the terms add up to `exp(log_sum)`; all of one dtype and rank.

    The logarithm of the sum rises with u and is convex, so Newton's method from above falls to
    the root and stops there. It is above where the largest term alone has the whole sum. Can be
    differentiated any number of times.
    """
    start = reduce(jnp.minimum, [(log_sum - term.log_scale) / term.exponent for term in terms])

    def step(_, u):
        log_of_sum, shares = log_sum_at(terms, u)
        return u - (log_of_sum - log_sum) / _slope(terms, shares)

    return lax.fori_loop(0, STEPS, step, start)


@log_root.defjvp
def _log_root_jvp(primals, tangents):
    (terms, log_sum), (terms_dot, log_sum_dot) = primals, tangents
    u = log_root(terms, log_sum)
    _, shares = log_sum_at(terms, u)
    moved = [
        share * (dot.log_scale + u * dot.exponent)
        for share, dot in zip(shares, terms_dot, strict=True)
    ]
    return u, (log_sum_dot - sum(moved)) / _slope(terms, shares)


def log_sum_at(terms, u):
    """Logarithm of the sum, and each term's share of it."""
    logs = [term.log_scale + term.exponent * u for term in terms]
    top = lax.stop_gradient(reduce(jnp.maximum, logs))
    parts = [jnp.exp(each - top) for each in logs]
    total = sum(parts)
    return top + jnp.log(total), [part / total for part in parts]


def _slope(terms, shares):
    return sum(share * term.exponent for share, term in zip(shares, terms, strict=True))
