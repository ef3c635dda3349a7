"""The joint law of dense models and mixtures of experts, Ludziejewski et al. 2025.

At a fixed number of experts it is Chinchilla's law of the active parameters; all of them, idle
experts too, take memory. Each expert is as large as the feed-forward part of a dense model, and
each token runs through one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.sum_of_powers import Power, log_root, log_sum_at
from jaxscale._numerics.values import (
    all_positive,
    exp_where,
    is_finite,
    is_nonnegative,
    is_positive,
    where_safe,
)
from jaxscale.laws.chinchilla import LEAST_EXPONENT, MOST_EXPONENT, Chinchilla
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import checked_loss, short_repr

# The shapes of A.1 and A.3: blocks are a 64th of the width; in each, attention has 4 width^2
# parameters and every expert 9 width^2, a gated layer of three times the width.
VOCABULARY = 50257
WIDTH_PER_BLOCK = 64
ATTENTION, EXPERT = 4, 9
CACHE_BYTES = 2  # of a key or a value in the cache: bf16
LEAST_TOKENS = 1e-20

_EXPONENT = Coefficient((-0.2,), positive=False, low=-MOST_EXPONENT, high=-LEAST_EXPONENT)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ludziejewski:
    """Loss by active size, data and number of experts, Ludziejewski et al. 2025, eq. 4 and 6.

    `params` are those that a token runs through, embeddings included; `total_params` counts the
    idle experts too. `experts` is 1 for a dense model. FLOPs are 6 N D and 2 N of active params:
    routing costs next to nothing. With them the law wants as many experts as there may be, so
    what limits their number is memory: `js.Bounds(max_memory=...)`.

    As printed, the exponents `alpha` and `beta` are negative. `a` and `b` are positive, `c` is not
    negative, `E_max > E_start > 0`; the others have any sign.

    Examples:
        >>> law = js.laws.published("ludziejewski2025")
        >>> print(np.asarray(law.loss(1e9, 1e11, experts=np.array([1, 8, 32]))).round(3))
        [2.439 2.362 2.304]
        >>> plan = js.minimize_loss(law, 1e22, levers={"experts": 8})
        >>> print(f"{plan.params:.3g} active of {law.total_params(plan.params, experts=8):.3g}")
        1.45e+10 active of 8.27e+10
    """

    a: Real
    alpha: Real
    delta: Real
    gamma: Real
    b: Real
    beta: Real
    omega: Real
    zeta: Real
    E_start: Real  # the transformed count of a single expert: not 1
    E_max: Real  # the transformed count of infinitely many
    c: Real  # irreducible loss, nats per token

    equation: ClassVar[str] = (
        "L(N, D, E) = a Ê^delta N^(alpha + gamma ln Ê) + b Ê^omega D^(beta + zeta ln Ê) + c, "
        "1 / Ê = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max"
    )
    has_experts: ClassVar[bool] = True
    counts_idle_experts: ClassVar[bool] = False
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"experts": (1.0, 32.0)}
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "experts": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    }

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "a": Coefficient((30.0, 200.0)),
        "alpha": _EXPONENT,
        "delta": Coefficient((-0.2,), positive=False),
        "gamma": Coefficient((0.0,), positive=False),
        "b": Coefficient((30.0, 200.0)),
        "beta": _EXPONENT,
        "omega": Coefficient((0.5,), positive=False),
        "zeta": Coefficient((0.0,), positive=False),
        "E_start": Coefficient((2.0,)),
        "E_max": Coefficient((300.0,)),
        "c": Coefficient((0.5, 1.5)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, experts: ArrayLike) -> Array:
        """Loss in nats per token with `experts` experts in each layer, one of which is active."""
        return checked_loss(self, params, tokens, experts=experts)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, experts: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        log_a, by_params, log_b, by_tokens = self._powers(experts)
        size = jnp.exp(log_a + by_params * log_params)
        return self.c + size + jnp.exp(log_b + by_tokens * log_tokens)

    def two_powers(self, *, experts: Array) -> Chinchilla:
        """The Chinchilla law of active params that this is with so many experts, Section 3.

        Examples:
            >>> law = js.laws.published("ludziejewski2025").two_powers(experts=8.0)
            >>> print(f"E = {law.E:.4f}, alpha = {law.alpha:.3f}, beta = {law.beta:.3f}")
            E = 1.3637, alpha = 0.168, beta = 0.234
        """
        log_a, by_params, log_b, by_tokens = self._powers(experts)
        return Chinchilla(self.c, jnp.exp(log_a), jnp.exp(log_b), -by_params, -by_tokens)

    def _powers(self, experts: Array) -> tuple[Array, Array, Array, Array]:
        """Log coefficient and exponent of params, and of tokens; NaN for less than one expert."""
        usable = is_finite(experts) & (experts >= 1) & self._has_transform()
        start, most = where_safe(usable, self.E_start), where_safe(usable, self.E_max)
        shifted = experts - 1 + 1 / (1 / start - 1 / most)
        log_experts = -jnp.log(1 / where_safe(usable, shifted) + 1 / most)
        log_experts = jnp.where(usable, log_experts, jnp.nan)
        return (
            jnp.log(self.a) + self.delta * log_experts,
            self.alpha + self.gamma * log_experts,
            jnp.log(self.b) + self.omega * log_experts,
            self.beta + self.zeta * log_experts,
        )

    def total_params(self, params: ArrayLike, *, experts: ArrayLike) -> Array:
        """All parameters of a model of `params` active ones, idle experts included, eq. 9 and 10.

        By the paper's shapes, of any width. NaN where params are not positive or there is less
        than one expert.

        Examples:
            >>> law = js.laws.published("ludziejewski2025")
            >>> print(f"{law.total_params(1e9, experts=8):.3g}")
            5.06e+09
        """
        return _total(*arrays.enter(params=params, experts=experts))

    def params_in_memory(
        self,
        memory: ArrayLike,
        *,
        experts: ArrayLike,
        weight_bytes: ArrayLike = 2.0,
        cached_tokens: ArrayLike = 16384.0,
    ) -> Array:
        """Active params of the largest model that `memory` bytes hold, with its cache, Section 4.3.

        All weights are held, and bf16 keys and values of `cached_tokens` tokens in all. NaN where
        memory or weight_bytes are not positive, or there is less than one expert.

        Examples:
            >>> law = js.laws.published("ludziejewski2025")
            >>> print(np.asarray(law.params_in_memory(80e9, experts=np.array([1, 8]))).round(-7))
            [2.687e+10 6.270e+09]
        """
        numbers = {"weight_bytes": weight_bytes, "cached_tokens": cached_tokens}
        return _active_in_memory(*arrays.enter(memory=memory, experts=experts, **numbers))

    def is_valid(self) -> Array:
        """Whether all coefficients are finite and of the sign that the law needs."""
        exponents = is_positive(-self.alpha) & is_finite(self.gamma) & is_finite(self.delta)
        exponents &= is_positive(-self.beta) & is_finite(self.zeta) & is_finite(self.omega)
        positive = all_positive(self.a, self.b) & is_nonnegative(self.c)
        return exponents & positive & self._has_transform()

    def _has_transform(self) -> Array:
        return is_positive(self.E_start) & is_positive(self.E_max - self.E_start)


def _weights(experts: Array) -> tuple[Power, Power]:
    """All parameters as powers of the width: embeddings at both ends, and blocks."""
    per_block = (ATTENTION + EXPERT * experts) / WIDTH_PER_BLOCK
    one = jnp.ones_like(per_block)
    return Power(one * math.log(2 * VOCABULARY), one), Power(jnp.log(per_block), 3 * one)


@compiled
def _total(params: Array, experts: Array) -> Array:
    params, experts = arrays.align(params, experts)
    answer = is_positive(params) & is_finite(experts) & (experts >= 1)
    experts, log_params = where_safe(answer, experts), jnp.log(where_safe(answer, params))
    log_width = log_root(_weights(jnp.ones_like(experts)), log_params)
    return exp_where(answer, log_sum_at(_weights(experts), log_width)[0])


@compiled
def _active_in_memory(
    memory: Array, experts: Array, weight_bytes: Array, cached_tokens: Array
) -> Array:
    numbers = arrays.align(memory, experts, weight_bytes, cached_tokens)
    memory, experts, weight_bytes, cached_tokens = numbers
    answer = is_nonnegative(cached_tokens) & all_positive(memory, weight_bytes)
    answer &= is_finite(experts) & (experts >= 1)
    numbers = (where_safe(answer, x) for x in numbers)
    memory, experts, weight_bytes, cached_tokens = numbers
    weights = [
        Power(jnp.log(weight_bytes) + scale, exponent) for scale, exponent in _weights(experts)
    ]
    # A key and a value of the width, in each block. So small a share of a token has no effect but
    # that of none at all there is a derivative too.
    log_tokens = jnp.log(cached_tokens + LEAST_TOKENS)
    log_scale = log_tokens + math.log(2 * CACHE_BYTES / WIDTH_PER_BLOCK)
    cache = Power(log_scale, 2 * jnp.ones_like(log_scale))
    log_width = log_root((*weights, cache), jnp.log(memory))
    return exp_where(answer, log_sum_at(_weights(jnp.ones_like(experts)), log_width)[0])
