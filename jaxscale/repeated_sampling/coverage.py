"""Coverage: the share of problems that at least one of k attempts solves.

One problem's failures fall exponentially in k. Over many problems that are not equally hard
the mean falls as a power, which Brown et al. 2024 fit and Schaeffer et al. 2025 explain.
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
from jaxscale._numerics.values import has_normal_exp, is_finite, is_positive, where_safe
from jaxscale.repeated_sampling.failure import log_failure


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PowerCoverage:
    """Coverage as an exponentiated power, Brown et al. 2024, arXiv 2407.21787, Section 3.1.

    a and b are negative, and broadcast with what the methods are given. Where a number is
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
        """Share of problems that one of `attempts` attempts solves."""
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
    """The power law with coverage c1 at k1 attempts and c2 at k2.

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
    """Coverage where the problems' chances of success are spread as Beta(u, v).

    u and v are positive; attempts need not be whole. With many, what is left falls as
    k^-u: Schaeffer et al. 2025, arXiv 2502.17578. NaN with zero derivatives for bad numbers.

    Examples:
        >>> coverage = js.repeated_sampling.BetaCoverage(u=0.5, v=3.0)
        >>> print(np.asarray(coverage.coverage(np.array([1, 100]))).round(3))
        [0.143 0.836]
    """

    u: Real
    v: Real

    equation: ClassVar[str] = "c(k) = 1 - B(u, v + k) / B(u, v)"

    def coverage(self, attempts: ArrayLike) -> Array:
        """Share of problems that one of `attempts` attempts solves."""
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
    answer &= has_normal_exp(log_attempts)
    return jnp.where(answer, jnp.exp(where_safe(answer, log_attempts)), jnp.nan)


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
