"""Floating point: the law of Sun et al., whose loss rises again where tokens are too many."""

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
from jaxscale._numerics.values import (
    all_positive,
    exp_where,
    is_nonnegative,
    is_positive,
    where_safe,
)
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import (
    INFERENCE_FLOPS,
    TRAIN_FLOPS,
    Flops,
    are_finite,
    checked_loss,
    made_safe,
    short_repr,
)

LOG_2 = math.log(2.0)
SIGN_BITS = 1
FULL_BITS = 16  # the precision in whose FLOPs costs are counted, as in Kumar et al.
HALF_BIT = 0.5  # what a format without an exponent, or without a mantissa, keeps: Section 3.5

# Exponent and mantissa bits of formats that hardware has, within the levers' ranges.
FORMATS: Mapping[str, tuple[float, float]] = {
    "E2M1": (2.0, 1.0),
    "E2M3": (2.0, 3.0),
    "E3M2": (3.0, 2.0),
    "E4M3": (4.0, 3.0),
    "E5M2": (5.0, 2.0),
    "bf16": (8.0, 7.0),
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sun:
    """Loss by size, data and floating-point format, Sun et al. 2025, arXiv 2501.02423, eq. 26.

    `params` leave out embeddings. Weights, and activations in the gradient of weights, are rounded
    to `exponent_bits` and `mantissa_bits`, with a scale for each `scaling_block` numbers. What
    rounding adds grows with tokens, so that past a number of them, `critical_tokens`, the loss
    rises again. All coefficients are positive but `e`, which is not negative. A block of one number
    loses nothing: the law is then Chinchilla's. Bits are real numbers here; `FORMATS` has those of
    formats that exist.

    Examples:
        >>> law = js.laws.published("sun2025")
        >>> fp4 = {"exponent_bits": 2.0, "mantissa_bits": 1.0, "scaling_block": 128.0}
        >>> print(np.asarray(law.loss(1e9, np.array([1e11, 4e11, 1e13]), **fp4)).round(3))
        [2.598 2.561 2.811]
    """

    n: Real
    alpha: Real
    d: Real
    beta: Real
    e: Real  # irreducible loss, nats per token
    gamma: Real
    delta: Real
    nu: Real

    counts_embeddings: ClassVar[bool] = False
    equation: ClassVar[str] = (
        "L(N, D, E, M, B) = n / N^alpha + d / D^beta + e "
        "+ (D^beta / N^alpha) log2(B) / (gamma (E + 1/2)^delta (M + 1/2)^nu)"
    )
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {
        "exponent_bits": (1.0, 8.0),
        "mantissa_bits": (1.0, 7.0),
        "scaling_block": (32.0, 512.0),
    }

    formats: ClassVar[Mapping[str, Mapping[str, float]]] = {
        name: {"exponent_bits": exponent, "mantissa_bits": mantissa}
        for name, (exponent, mantissa) in FORMATS.items()
    }

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "n": Coefficient((10.0, 100.0, 1000.0)),
        "alpha": Coefficient((0.2, 0.4)),
        "d": Coefficient((1e3, 1e5)),
        "beta": Coefficient((0.3, 0.5)),
        "e": Coefficient((0.5, 1.5)),
        "gamma": Coefficient((1e3, 1e5)),
        "delta": Coefficient((2.0, 4.0)),
        "nu": Coefficient((2.0, 4.0)),
    }

    __repr__ = short_repr

    def loss(
        self,
        params: ArrayLike,
        tokens: ArrayLike,
        *,
        exponent_bits: ArrayLike,
        mantissa_bits: ArrayLike,
        scaling_block: ArrayLike,
    ) -> Array:
        """Loss in nats per token of a model trained in that format."""
        levers = {"exponent_bits": exponent_bits, "mantissa_bits": mantissa_bits}
        return checked_loss(self, params, tokens, **levers, scaling_block=scaling_block)

    def loss_from_logs(
        self,
        log_params: Array,
        log_tokens: Array,
        exponent_bits: Array,
        mantissa_bits: Array,
        scaling_block: Array,
    ) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        usable, doublings, log_fine = self._format(exponent_bits, mantissa_bits, scaling_block)
        log_size = -self.alpha * log_params
        size = jnp.exp(jnp.log(self.n) + log_size)
        data = jnp.exp(jnp.log(self.d) - self.beta * log_tokens)
        rounding = doublings * jnp.exp(self.beta * log_tokens + log_size - log_fine)
        return jnp.where(usable, size + data + self.e + rounding, jnp.nan)

    def log_tokens_ceiling(
        self,
        log_params: Array,
        exponent_bits: Array,
        mantissa_bits: Array,
        scaling_block: Array,
    ) -> Array:
        """Log of the tokens past which the loss rises; checks and converts nothing.

        Infinite for a block of one number, which rounds nothing.
        """
        _, doublings, log_fine = self._format(exponent_bits, mantissa_bits, scaling_block)
        rounds = doublings > 0
        log_worth = jnp.log(self.d) + self.alpha * log_params + log_fine
        log_worth -= jnp.log(where_safe(rounds, doublings))
        return jnp.where(rounds, log_worth / (2 * self.beta), jnp.inf)

    def critical_tokens(
        self,
        params: ArrayLike,
        *,
        exponent_bits: ArrayLike,
        mantissa_bits: ArrayLike,
        scaling_block: ArrayLike,
    ) -> Array:
        """Tokens past which more of them raise the loss, Sun et al. 2025, eq. 21.

        NaN for bad values, and where the number is beyond the dtype.

        Examples:
            >>> law = js.laws.published("sun2025")
            >>> fp8 = {"exponent_bits": 4.0, "mantissa_bits": 3.0, "scaling_block": 128.0}
            >>> print(f"{law.critical_tokens(1e9, **fp8):.3g}")
            2.73e+13
        """
        levers = {"exponent_bits": exponent_bits, "mantissa_bits": mantissa_bits}
        levers["scaling_block"] = scaling_block
        return _critical_tokens(*arrays.enter(law=self, params=params, levers=levers))

    def flops(
        self,
        params: Array,
        tokens: Array,
        exponent_bits: Array,
        mantissa_bits: Array,
        scaling_block: Array,
    ) -> Flops:
        """6 N D, 2 N and 2 N times `bits / 16`: FLOPs of 16 bits, Sun et al. 2025, Section 4.4.

        `bits` are those of exponent, mantissa and sign; the paper's cost is `(6 / 16) bits N D`.
        Price them at the rate of 16-bit arithmetic. Scales cost nothing, so that the smallest
        `scaling_block` is always the best.
        """
        del scaling_block
        narrowed = params * (SIGN_BITS + exponent_bits + mantissa_bits) / FULL_BITS
        serving = INFERENCE_FLOPS * narrowed
        return Flops(TRAIN_FLOPS * narrowed * tokens, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        positive = all_positive(self.n, self.alpha, self.d, self.beta)
        return is_nonnegative(self.e) & positive & all_positive(self.gamma, self.delta, self.nu)

    def _format(
        self, exponent_bits: Array, mantissa_bits: Array, scaling_block: Array
    ) -> tuple[Array, Array, Array]:
        """Whether there is such a format, log2 B, and the log of what divides it in eq. 26."""
        exponent, mantissa = exponent_bits + HALF_BIT, mantissa_bits + HALF_BIT
        usable = (exponent > 0) & (mantissa > 0) & (scaling_block >= 1)
        # Not `where_safe`: derivatives by params must be finite beside levers that have none.
        exponent, mantissa, block = (
            jnp.where(usable, x, 1) for x in (exponent, mantissa, scaling_block)
        )
        log_fine = jnp.log(self.gamma) + self.delta * jnp.log(exponent)
        log_fine += self.nu * jnp.log(mantissa)
        return usable, jnp.log(block) / LOG_2, log_fine


@jax.jit
def _critical_tokens(law, params, levers):
    law, params, levers = arrays.align(law, params, levers)
    good = law.is_valid() & is_positive(params) & are_finite(levers)
    law, params, levers = made_safe((law, params, levers), good)
    usable, _, _ = law._format(**levers)
    return exp_where(good & usable, law.log_tokens_ceiling(jnp.log(params), **levers))
