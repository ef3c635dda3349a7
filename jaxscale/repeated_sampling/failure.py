"""How likely it is that all attempts fail, where problems differ in how hard they are.

A ratio of Beta functions is four log-gamma functions, each far larger than what is left of
them: of 10,000 attempts float32 would keep two digits, and where problems are nearly alike none.
Here the four are subtracted term by term, before anything is rounded, and all terms that are
left have one sign.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.values import is_positive, where_safe

# Gamma functions are moved up by so much, where Stirling's series has an error of 1e-16.
SHIFT = 10
# Of that series after 1 / (12 x), by 1 / x^3, 1 / x^5 and so on: Abramowitz & Stegun 1964, 6.1.41.
STIRLING = (-1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
NEAR, TERMS = 0.5, 11  # a series in t^2 <= 0.04, to 1e-16
ALIKE = 1e18  # a concentration that no number of attempts tells from an infinite one
CUBE = 0.3  # of the largest number: second derivatives divide by cubes


def failure_rate(
    success_rate: ArrayLike, attempts: ArrayLike, *, concentration: ArrayLike = np.inf
) -> Array:
    """Chance that all of so many attempts at a problem fail, where one succeeds at a mean rate.

    Problems are spread as Beta(p s, (1 - p) s) about the mean p, with s the concentration:
    `B(p s, (1 - p) s + k) / B(p s, (1 - p) s)`, as in Schaeffer et al. 2025, arXiv 2502.17578.
    Infinite, all are equally hard: (1 - p)^k. Attempts are any positive numbers. All broadcast;
    NaN with zero derivatives where one is bad.

    Examples:
        >>> print(f"{js.repeated_sampling.failure_rate(0.1, attempts=10):.3f}")
        0.349
    """
    return _failure_rate(
        *arrays.enter(success_rate=success_rate, attempts=attempts, concentration=concentration)
    )


@jax.jit
def _failure_rate(p, attempts, concentration):
    p, attempts, concentration = arrays.align(p, attempts, concentration)
    answer = (p >= 0) & (p <= 1) & is_positive(attempts) & (concentration > 0)
    uncertain = answer & (p < 1)
    p = jnp.where(uncertain, p, 0)
    attempts, concentration = (where_safe(answer, x) for x in (attempts, concentration))
    found = jnp.exp(log_failure_of_mean(p, attempts, concentration))
    return jnp.where(uncertain, found, jnp.where(answer, 0, jnp.nan))


def log_failure_of_mean(p: Array, attempts: Array, concentration: Array | None) -> Array:
    """Natural logarithm of `failure_rate`, for 0 <= p < 1; checks and converts nothing.

    A concentration of None is infinite in all lanes, and far less work.
    """
    if concentration is None:
        # log1p of a negative number is a hundred times less accurate in XLA for CPUs.
        return -attempts * jnp.log1p(p / (1 - p))
    s = jnp.minimum(concentration, min(ALIKE, float(jnp.finfo(p.dtype).max) ** CUBE))
    return log_failure(p * s, (1 - p) * s, attempts)


def log_failure(u: Array, v: Array, attempts: Array) -> Array:
    """Natural logarithm of `B(u, v + k) / B(u, v)`: of the mean of (1 - p)^k, p ~ Beta(u, v).

    For finite u >= 0, v > 0 and k > 0, whole or not, of one dtype and rank. Within 30 epsilons
    of itself. Checks and converts nothing.
    """
    # The same in u and k: terms are no larger than the smaller of the two.
    u_is_small = u < attempts
    small, large = jnp.where(u_is_small, u, attempts), jnp.where(u_is_small, attempts, u)
    small, large, v = jnp.broadcast_arrays(small, large, v)
    return _first_factors(small, large, v) + _other_factors(small, large, v + SHIFT)


def _first_factors(small, large, v):
    """Log of the product of `w (w + u + k) / ((w + u) (w + k))` over w = v + j, j < SHIFT."""
    steps = jnp.arange(SHIFT, dtype=v.dtype).reshape(SHIFT, *(1,) * v.ndim)
    w, small, large = v[None] + steps, small[None], large[None]
    return -jnp.log1p((small / w) * (large / (w + small + large))).sum(axis=0)


def _other_factors(small, large, w):
    """The same product from w on, by Stirling's series."""
    top = w + large
    slow, fast = small / w, small / top
    # Of w log1p(d / w) and top log1p(d / top), which have the term d in common.
    bends = small * (slow * _bend(slow) - fast * _bend(fast))
    halves = jnp.log1p(slow * (large / (top + small))) / 2
    straight = small * jnp.log1p(large / (w + small))
    return -(bends + halves + straight + _mixed_series(small, large, w))


def _mixed_series(small, large, w):
    """Stirling's series at w, less that at w + u and at w + k, and with that at w + u + k."""
    top = w + large
    inverse = 1 / w, 1 / (w + small), 1 / top, 1 / (top + small)
    first = (small * inverse[0] * inverse[1]) * (large * inverse[2])
    total = first * ((w + top + small) * inverse[3]) / 12
    for n, coefficient in enumerate(STIRLING):
        here, aside, above, far = (x ** (2 * n + 3) for x in inverse)
        total += coefficient * ((here - aside) - (above - far))
    return total


def _bend(x):
    """`(x - log1p(x)) / x^2`, which is 1/2 at 0."""
    near = x < NEAR
    # With x = 2 t / (1 - t), log1p(x) is 2 atanh(t).
    t = jnp.where(near, x, 0)
    t /= 2 + t
    odd = jnp.zeros_like(t)
    for n in reversed(range(TERMS)):
        odd = odd * (t * t) + 1 / (2 * n + 3)
    rest = 1 - t
    far = jnp.where(near, 1, x)
    return jnp.where(near, (rest - rest * rest * t * odd) / 2, (far - jnp.log1p(far)) / (far * far))
