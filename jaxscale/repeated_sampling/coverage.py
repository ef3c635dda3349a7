"""Coverage: the share of problems that at least one of k attempts solves.

The failures of one problem fall exponentially in k. Averaged over problems that are not equally
hard they fall as a power, which Brown et al. 2024 fit and Schaeffer et al. 2025 explain.

The chance that all attempts fail is a ratio of Beta functions: four log-gamma functions that nearly
cancel. At 10,000 attempts float32 would keep two digits, and none where problems are nearly alike.
Here they are subtracted term by term before anything is rounded, and all terms left have one sign.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import exp_where, is_finite, is_positive, where_safe

# Gamma functions are shifted up by this, to where Stirling's series has an error of 1e-16.
SHIFT = 10
# Of that series after 1 / (12 x), by 1 / x^3, 1 / x^5 and so on: Abramowitz & Stegun 1964, 6.1.41.
STIRLING = (-1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
NEAR, TERMS = 0.5, 11  # a series in t^2 <= 0.04, to 1e-16
LARGEST_CONCENTRATION = 1e18  # as good as infinite at any number of attempts
CUBE = 0.3  # power of the largest number: second derivatives divide by cubes


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PowerCoverage:
    """Coverage as an exponentiated power, Brown et al. 2024, arXiv 2407.21787, Section 3.1.

    a and b are negative, and broadcast with the arguments of the methods. Where a number is
    bad, the methods return NaN with zero derivatives.

    Examples:
        >>> coverage = js.repeated_sampling.PowerCoverage(a=-2.0, b=-0.3)
        >>> print(np.asarray(coverage.coverage(np.array([1, 100]))).round(3))
        [0.135 0.605]
    """

    a: Real  # natural logarithm of the coverage of one attempt
    b: Real

    equation: ClassVar[str] = "c(k) = exp(a k^b)"

    def coverage(self, attempts: ArrayLike) -> Array:
        """Share of problems that at least one of `attempts` attempts solves."""
        return _power_coverage(*arrays.enter(law=self, attempts=attempts))

    def attempts_for(self, coverage: ArrayLike) -> Array:
        """Attempts that solve this share of problems, a real number; NaN outside (0, 1).

        Below 1 where one attempt solves more. NaN also where the dtype holds no such number.
        """
        return _power_attempts(*arrays.enter(law=self, coverage=coverage))

    def is_valid(self) -> Array:
        """Whether both coefficients are negative and finite."""
        return is_positive(-self.a) & is_positive(-self.b)


def power_coverage(k1: Real, c1: Real, k2: Real, c2: Real) -> PowerCoverage:
    """The `PowerCoverage` with coverage c1 at k1 attempts and c2 at k2.

    Numbers, or arrays that broadcast. Raises ValueError for concrete values unless the
    attempts are positive, the coverages in (0, 1), and more attempts cover more.

    Examples:
        >>> coverage = js.repeated_sampling.power_coverage(1, 0.1, 100, 0.5)
        >>> print(f"{coverage.coverage(1000):.2f}")
        0.68
    """
    k1, c1, k2, c2 = arrays.align(*arrays.enter(k1=k1, c1=c1, k2=k2, c2=c2))
    _check("k1", k1, (k1 > 0) & (k1 < np.inf), "above 0 and finite")
    _check("k2", k2, (k2 > 0) & (k2 < np.inf) & (k2 != k1), "above 0, finite and not k1")
    for name, share in (("c1", c1), ("c2", c2)):
        _check(name, share, (share > 0) & (share < 1), "between 0 and 1")
    _check("c2", c2, (c2 - c1) * (k2 - k1) > 0, "the larger where k2 is, as coverage rises")
    first, second = jnp.log(-jnp.log(c1)), jnp.log(-jnp.log(c2))
    b = (second - first) / jnp.log(k2 / k1)
    return PowerCoverage(a=-jnp.exp(first - b * jnp.log(k1)), b=b)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BetaCoverage:
    """Coverage of problems whose success rates are spread as Beta(u, v).

    u and v are positive; attempts need not be whole. With many, failures fall as k^-u: Schaeffer
    et al. 2025, arXiv 2502.17578. NaN with zero derivatives for bad numbers.

    Examples:
        >>> coverage = js.repeated_sampling.BetaCoverage(u=0.5, v=3.0)
        >>> print(np.asarray(coverage.coverage(np.array([1, 100]))).round(3))
        [0.143 0.836]
    """

    u: Real
    v: Real

    equation: ClassVar[str] = "c(k) = 1 - B(u, v + k) / B(u, v)"

    def coverage(self, attempts: ArrayLike) -> Array:
        """Share of problems that at least one of `attempts` attempts solves."""
        return _beta_coverage(*arrays.enter(law=self, attempts=attempts))

    def is_valid(self) -> Array:
        """Whether u and v are positive and finite."""
        return is_positive(self.u) & is_positive(self.v)


def pass_at_k(trials: ArrayLike, successes: ArrayLike, k: ArrayLike) -> Array:
    """Unbiased estimate of the chance that one of k attempts at a problem succeeds.

    `1 - C(n - s, k) / C(n, k)` of n trials with s successes, 1 where fewer than k failed
    (Chen et al. 2021, arXiv 2107.03374, eq. 1). Whole numbers that broadcast: one problem a
    lane, of which coverage is the mean. NaN unless 0 <= s <= n and 1 <= k <= n.

    Examples:
        >>> print(f"{js.repeated_sampling.pass_at_k(trials=100, successes=5, k=10):.3f}")
        0.416
    """
    return _pass_at_k(*arrays.enter(trials=trials, successes=successes, k=k))


@jax.jit
def _power_coverage(law, attempts):
    law, attempts = arrays.align(law, attempts)
    answer = law.is_valid() & is_positive(attempts)
    law, attempts = jax.tree.map(lambda x: where_safe(answer, x), (law, attempts))
    return jnp.where(answer, jnp.exp(law.a * jnp.exp(law.b * jnp.log(attempts))), jnp.nan)


@jax.jit
def _power_attempts(law, coverage):
    law, coverage = arrays.align(law, coverage)
    answer = law.is_valid() & (coverage > 0) & (coverage < 1)
    a, b, coverage = (jnp.where(answer, x, -0.5) for x in (law.a, law.b, -coverage))
    log_attempts = (jnp.log(-jnp.log(-coverage)) - jnp.log(-a)) / b
    return exp_where(answer, log_attempts)


@jax.jit
def _beta_coverage(law, attempts):
    law, attempts = arrays.align(law, attempts)
    answer = law.is_valid() & is_positive(attempts)
    law, attempts = jax.tree.map(lambda x: where_safe(answer, x), (law, attempts))
    return jnp.where(answer, -jnp.expm1(log_failure(law.u, law.v, attempts)), jnp.nan)


@jax.jit
def _pass_at_k(trials, successes, k):
    n, s, k = arrays.align(trials, successes, k)
    answer = (s >= 0) & (s <= n) & (k >= 1) & (k <= n)
    for each in (n, s, k):
        answer &= is_finite(each) & (each == jnp.round(each))
    certain = jnp.where(answer, jnp.where(s > 0, 1, 0), jnp.nan)
    uncertain = answer & (n - s >= k) & (s > 0)
    n, s, k = (where_safe(uncertain, x) for x in (n, s, k))
    # Both binomials together are a ratio of Beta functions.
    return jnp.where(uncertain, -jnp.expm1(log_failure(s, n - s - k + 1, k)), certain)


def _check(name: str, value: Array, good: Array, rule: str) -> None:
    if arrays.is_concrete(good) and not np.all(good):
        raise ValueError(f"{name} must be {rule}; got {np.asarray(value)}")


# --- Chance that all attempts fail ----------------------------------------------------------


def failure_rate(
    success_rate: ArrayLike, attempts: ArrayLike, *, concentration: ArrayLike = np.inf
) -> Array:
    """Chance that all attempts at a problem fail, given the mean success rate of one attempt.

    Success rates of problems are spread as Beta(p s, (1 - p) s) about the mean p, with s the
    concentration: `B(p s, (1 - p) s + k) / B(p s, (1 - p) s)`, as in Schaeffer et al. 2025, arXiv
    2502.17578.
    An infinite concentration makes all problems equally hard: (1 - p)^k. Attempts are any positive
    numbers. All broadcast; NaN with zero derivatives where one is bad.

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
    failure = jnp.exp(log_failure_of_mean(p, attempts, concentration))
    return jnp.where(uncertain, failure, jnp.where(answer, 0, jnp.nan))


def log_failure_of_mean(p: Array, attempts: Array, concentration: Array | None) -> Array:
    """Natural logarithm of `failure_rate`, for 0 <= p < 1; checks and converts nothing.

    A concentration of None is infinite in all lanes, and far less work.
    """
    if concentration is None:
        # log1p of a negative number is a hundred times less accurate in XLA for CPUs.
        return -attempts * jnp.log1p(p / (1 - p))
    s = jnp.minimum(
        concentration, min(LARGEST_CONCENTRATION, float(jnp.finfo(p.dtype).max) ** CUBE)
    )
    return log_failure(p * s, (1 - p) * s, attempts)


def log_failure(u: Array, v: Array, attempts: Array) -> Array:
    """Natural logarithm of `B(u, v + k) / B(u, v)`: of the mean of (1 - p)^k, p ~ Beta(u, v).

    For finite u >= 0, v > 0 and k > 0, whole or not, of one dtype and rank. Relative error at
    most 30 epsilons. Checks and converts nothing.
    """
    # Symmetric in u and k: no term is larger than the smaller of the two.
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
    """Stirling's series at w and at w + u + k, less those at w + u and at w + k."""
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
