# pyright: reportUnknownMemberType=false
"""The one equation behind both problems: `u = softplus(k - c u)`, with `k = m + log Q`.

In DESIGN's terms p t = q softplus(k - t), u is t p / q and c is q / p. Solving for u has
three advantages: one parameter less, no singular case at q = 0 (an exponent alpha of 1),
and a tangent rule without logarithms. With `sigma = 1 - exp(-u)` the root also satisfies

    exp(-u) + exp(k - (1 + c) u) = 1,

which is what is solved: both terms lie in [0, 1] at the root, so nothing overflows in any
dtype, and all derivatives of a sum of exponentials come free with the exponentials.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.logarithm import Log, Weight, split_log, weighted_sum
from jaxscale._numerics.typed import custom_jvp, limits
from jaxscale._numerics.values import where_safe


class Root(NamedTuple):
    u: Array
    sigma: Array  # `1 - exp(-u)`, the sigmoid of `k - c u`, to full relative accuracy


def root_above(
    c: Array, shift: Array | float, base: tuple[tuple[Weight, Log], ...], Q: Array
) -> tuple[Array, Root]:
    """Logarithm of tokens without demand, and the root, whose u lies above it by `c u`.

    `base` are the weights and logarithms whose sum is log D0. The root's k is
    `shift - log D0 + log Q`, summed as one, because D0 and Q may nearly agree.
    """
    log_base = weighted_sum(*base)
    served = limits(Q).tiny <= Q
    less_base = [(Weight(-weight.head, -weight.tail), log) for weight, log in base]
    k = shift + weighted_sum((Weight(1.0, 0.0), split_log(where_safe(served, Q))), *less_base)
    k = lax.stop_gradient(jnp.where(served, k, -jnp.inf))
    return log_base, softplus_root(c, k, shift - log_base, Q)


@custom_jvp(4)
def softplus_root(c: Array, k: Array, m: Array, Q: Array, steps: int = 2) -> Root:
    """The one `u >= 0` with `u = softplus(k - c u)`, for c > -1.

    `k` is the value of `m + log Q`, as exact as the caller has it, and -inf at Q = 0, where
    u is 0. Derivatives are with respect to c, m and Q: log Q has none at 0, u has. All
    orders exist there too.

    Whatever k, two steps of fourth order leave an error of rounding size for c in
    [-0.7, 60], and 3e-13 relative at 100; three steps do so up to 1000.
    """
    # The first step need not be exact, and in float32 costs half.
    low_c, low_k = (x.astype(jnp.float32) for x in (c, k))
    u = _householder(low_c, low_k, _start(low_c, low_k)).u.astype(k.dtype)
    for _ in range(steps - 2):
        u = _householder(c, k, u).u
    return _householder(c, k, u)


@softplus_root.defjvp
def _softplus_root_jvp(
    steps: int, primals: tuple[Array, ...], tangents: tuple[Array, ...]
) -> tuple[Root, Root]:
    # With du = sigma (dm + dQ/Q - c du - u dc), where sigma / Q = exp(m - (1 + c) u) has a
    # limit at Q = 0 although 1 / Q has none.
    c, k, m, Q = primals
    c_dot, _, m_dot, Q_dot = tangents
    root = softplus_root(c, k, m, Q, steps)
    u, sigma = root
    # It overflows only with the tokens themselves, in lanes that are masked.
    largest = math.log(float(limits(u).max)) - 1
    slope = jnp.exp(jnp.minimum(m - (1 + c) * u, largest))
    u_dot = (sigma * (m_dot - u * c_dot) + slope * Q_dot) / (1 + c * sigma)
    return root, Root(u_dot, (1 - sigma) * u_dot)


def _start(c: Array, k: Array) -> Array:
    """Root of a quadratic: softplus(x) is taken as `(x + sqrt(x^2 + curve)) / 2`.

    The curve that makes two steps suffice falls with c, because the root moves to where
    softplus is nearly an exponential. For very negative k the root is exp(k) itself.
    """
    rate = 1 + c
    curve = 1.64 * lax.rsqrt(1 + c / 8)
    # This sum cancels only where exp(k) is far below it; no sum of infinities is formed.
    k_above = jnp.maximum(k, -1e4)
    u = (k_above + jnp.sqrt(k_above * k_above + rate * curve)) * (0.5 / rate)
    return jnp.clip(u, 0, jnp.exp(k))


def _householder(c: Array, k: Array, u: Array) -> Root:
    """One step of Householder's method of third order on `1 - exp(-u) - exp(k - (1 + c) u)`."""
    rate = 1 + c
    # All terms are times 1 + t with t = tanh(u / 2): then 1 - exp(-u) is 2 t and exp(-u) is 1 - t,
    # to the last digit however small u is, at half of what expm1 costs on a CPU.
    t = jnp.tanh(u / 2)
    first, second = 1 - t, jnp.exp(k - rate * u) * (1 + t)
    f = 2 * t - second
    d1 = first + rate * second
    d2 = first + rate**2 * second  # the second derivative is -d2, the third is d3
    d3 = first + rate**3 * second
    h = f * (d1 * d1 + f * d2 / 2) / (d1 * (d1 * d1 + f * d2) + f * f * d3 / 6)
    # 1 - exp(h) by its series, where a last step is small: another tanh would cost more.
    share = -h * (1 + h / 2 * (1 + h / 3 * (1 + h / 4)))
    return Root(u - h, (2 * t + first * share) / (1 + t))
