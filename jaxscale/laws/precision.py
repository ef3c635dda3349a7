"""Precision: the law of Kumar et al., in which fewer bits act like fewer parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import (
    all_positive,
    is_finite,
    is_nonnegative,
    is_positive,
    where_safe,
)
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import (
    INFERENCE_FLOPS,
    TRAIN_FLOPS,
    Flops,
    checked_loss,
    made_safe,
    short_repr,
)

FULL_BITS = 16  # the precision in whose FLOPs costs are counted, Section 4.3

# Where the printed share falls to 0 and below, at 3.1 bits for activations, there is no model
# left and no logarithm. A share x is therefore taken as `SOFTNESS softplus(x / SOFTNESS)`:
# positive and smooth, and within 1e-15 of x from x = 0.33 on, which is at 4 bits.
SOFTNESS = 0.01


class Shares(NamedTuple):
    """Share of the parameters that each kind of number leaves effective at some precision."""

    weights: Array
    activations: Array
    cache: Array  # keys and values


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kumar:
    """Loss by size, data and bits of training, Kumar et al. 2024, arXiv 2411.04330, eq. 3, 4.

    `params` count as `N_eff = N f_w f_a f_kv`. Each share is `1 - exp(-P / gamma + n)`, with
    the offset n that Appendix K says was fitted and the main text leaves out; only with it
    does the fit have the optimum at 7 to 8 bits that the paper reports. `bits` is one
    precision for weights, activations and the cache of keys and values. FLOPs are counted
    in those of 16 bits. All coefficients are positive but `E`, which is not negative, and
    the offsets, which have any sign.

    Examples:
        >>> law = js.laws.published("kumar2024")
        >>> print(np.asarray(law.loss(1e9, 1e11, bits=np.array([4, 8, 16]))).round(3))
        [3.16  2.988 2.974]
    """

    A: Real
    B: Real
    E: Real  # irreducible loss, nats per token
    alpha: Real
    beta: Real
    gamma_w: Real  # bits
    n_w: Real
    gamma_a: Real  # bits; printed with the index i
    n_a: Real
    gamma_kv: Real  # bits
    n_kv: Real
    C_T: Real
    gamma_D: Real
    gamma_N: Real
    gamma_post: Real  # bits
    b: Real = 0.0  # offset beside `P_post / gamma_post`; its sign is not in the paper

    equation: ClassVar[str] = (
        "L(N, D, P) = A / N_eff^alpha + B / D^beta + E, N_eff = N f_w f_a f_kv, "
        "f_x = 1 - exp(-P / gamma_x + n_x)"
    )
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"bits": (3.0, 16.0)}

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "A": Coefficient((1e2, 1e4)),
        "B": Coefficient((1e3, 1e5)),
        "E": Coefficient((1.0, 2.5)),
        "alpha": Coefficient((0.3, 0.5)),
        "beta": Coefficient((0.3, 0.5)),
        "gamma_w": Coefficient((1.0, 3.0)),
        "n_w": Coefficient((0.0,), positive=False),
        "gamma_a": Coefficient((1.0, 3.0)),
        "n_a": Coefficient((1.0,), positive=False),
        "gamma_kv": Coefficient((1.0,)),
        "n_kv": Coefficient((2.0,), positive=False),
        # Of rounding after training, which no loss of a run shows: Appendix K, Table 2.
        "C_T": Coefficient((0.0598,), held=True),
        "gamma_D": Coefficient((0.5068,), held=True),
        "gamma_N": Coefficient((0.3439,), held=True),
        "gamma_post": Coefficient((0.5907,), held=True),
        "b": Coefficient((0.0,), positive=False, held=True),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, bits: ArrayLike) -> Array:
        """Loss in nats per token of a model trained in `bits` bits."""
        return checked_loss(self, params, tokens, bits=bits)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, bits: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        log_effective = log_params + sum(self._log_shares(bits))
        size = jnp.exp(jnp.log(self.A) - self.alpha * log_effective)
        data = jnp.exp(jnp.log(self.B) - self.beta * log_tokens)
        return self.E + size + data

    def shares(self, bits: ArrayLike) -> Shares:
        """What `bits` bits leave of the parameters, by kind of number; NaN for bad values.

        Examples:
            >>> law = js.laws.published("kumar2024")
            >>> print(f"{law.shares(4.0).weights:.2f}")
            0.70
        """
        return _shares(*arrays.enter(law=self, bits=bits))

    def post_training_penalty(
        self, params: ArrayLike, tokens: ArrayLike, bits: ArrayLike, post_bits: ArrayLike
    ) -> Array:
        """Loss added when weights trained in `bits` bits are then rounded to `post_bits`.

        `C_T D^gamma_D / N_eff^gamma_N exp(-P_post / gamma_post + b)`, in nats per token, and
        0 where nothing is rounded off (Kumar et al. 2024, eq. 2 and 9). Eq. 9 has another
        factor, a product of `1 - exp(-C_x (P_x - P_post))`, which eases the step where the
        two precisions are close; its C_x are not printed, so it is 1 here, its upper bound.
        NaN for bad values.

        Examples:
            >>> law = js.laws.published("kumar2024")
            >>> print(f"{law.post_training_penalty(1e9, 1e11, bits=16.0, post_bits=4.0):.2g}")
            0.021
        """
        named = {"params": params, "tokens": tokens, "bits": bits, "post_bits": post_bits}
        return _penalty(*arrays.enter(law=self, **named))

    def flops(self, params: Array, tokens: Array, bits: Array) -> Flops:
        """6 N D, 2 N and 2 N times `bits / 16`: FLOPs of 16 bits, Kumar et al. 2024, Section 4.3.

        Price them at the rate of 16-bit arithmetic.
        """
        narrowed = params * bits / FULL_BITS
        serving = INFERENCE_FLOPS * narrowed
        return Flops(TRAIN_FLOPS * narrowed * tokens, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        offsets = is_finite(self.n_w) & is_finite(self.n_a) & is_finite(self.n_kv)
        size = all_positive(self.A, self.alpha, self.gamma_w, self.gamma_a, self.gamma_kv)
        post = all_positive(self.C_T, self.gamma_D, self.gamma_N, self.gamma_post)
        positive = size & all_positive(self.B, self.beta) & post
        return is_nonnegative(self.E) & positive & offsets & is_finite(self.b)

    def _log_shares(self, bits: Array) -> tuple[Array, Array, Array]:
        return (
            _log_share(bits, self.gamma_w, self.n_w),
            _log_share(bits, self.gamma_a, self.n_a),
            _log_share(bits, self.gamma_kv, self.n_kv),
        )


def _log_share(bits: Array, gamma: Array, offset: Array) -> Array:
    x = -jnp.expm1(offset - bits / gamma) / SOFTNESS
    # Below -36 log(softplus(x)) is x to the last digit, and softplus may underflow.
    floored = jnp.log(jax.nn.softplus(jnp.maximum(x, -36)))
    return math.log(SOFTNESS) + jnp.where(x > -36, floored, x)


@jax.jit
def _shares(law, bits):
    law, bits = arrays.align(law, bits)
    good = law.is_valid() & is_positive(bits)
    logs = made_safe(law, good)._log_shares(where_safe(good, bits))
    return Shares(*(jnp.where(good, jnp.exp(log), jnp.nan) for log in logs))


@jax.jit
def _penalty(law, params, tokens, bits, post_bits):
    aligned = arrays.align(law, params, tokens, bits, post_bits)
    good = aligned[0].is_valid() & all_positive(*aligned[1:])
    law, params, tokens, bits, post_bits = made_safe(aligned, good)
    log_effective = jnp.log(params) + sum(law._log_shares(bits))
    log_ratio = law.gamma_D * jnp.log(tokens) - law.gamma_N * log_effective
    penalty = jnp.exp(jnp.log(law.C_T) + log_ratio - post_bits / law.gamma_post + law.b)
    return jnp.where(good, jnp.where(post_bits < bits, penalty, 0), jnp.nan)
