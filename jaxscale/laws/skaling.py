"""The Skaling law: a power of the sum of two powers, of which three known laws are cases."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import (
    all_positive,
    exp_where,
    is_finite,
    is_nonnegative,
    is_positive,
    where_safe,
)
from jaxscale.laws.chinchilla import LEAST_EXPONENT, MOST_EXPONENT, log_other
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import checked_loss, made_safe, short_repr

_EXPONENT = Coefficient((0.35, 0.7), positive=False, low=LEAST_EXPONENT, high=MOST_EXPONENT)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Skaling:
    """`L(N, D) = E + A (N^-alpha + R D^-beta)^k`, Videau 2026, arXiv 2608.07222.

    With k = 1 it is Chinchilla's law, of which B is `A R`; with E = 0 and beta = 1 that of Kaplan
    et al. 2020, eq. 1.5, of which alpha_D is k; and with any k and E the supervised law of
    Busbridge et al. 2025. Far from the other limit the loss falls with the powers `alpha k` of N
    and `beta k` of D. `E >= 0` is in nats per token; all other coefficients are positive. Fields
    broadcast with each other and with the arguments of the methods. Where a number is bad, or no
    answer exists, the methods return NaN with zero derivatives.

    Runs determine `alpha k` and `beta k` far better than k alone, which decides only how the two
    terms meet: compare the fit with Chinchilla's by `js.compare`.

    Examples:
        >>> law = js.laws.Skaling(E=1.22, A=39.2, R=5.42, alpha=0.408, beta=0.431, k=0.452)
        >>> print(f"{law.loss(params=7e9, tokens=2e11):.3f}")
        1.994
    """

    E: Real  # irreducible loss, nats per token
    A: Real
    R: Real
    alpha: Real
    beta: Real
    k: Real

    equation: ClassVar[str] = "L(N, D) = E + A (N^-alpha + R D^-beta)^k"
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "E": Coefficient((0.1, 0.7, 1.7)),
        "A": Coefficient((10.0, 100.0, 1000.0)),
        "R": Coefficient((1.0, 10.0, 1000.0)),
        "alpha": _EXPONENT,
        "beta": _EXPONENT,
        "k": _EXPONENT._replace(starts=(0.15, 0.5, 1.0)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss in nats per token of `params` parameters trained on `tokens` tokens."""
        return checked_loss(self, params, tokens)

    def tokens_for(self, loss: ArrayLike, params: ArrayLike) -> Array:
        """Training tokens with which `params` parameters reach `loss`; NaN where none do.

        Examples:
            >>> law = js.laws.Skaling(E=1.22, A=39.2, R=5.42, alpha=0.408, beta=0.431, k=0.452)
            >>> print(f"{law.tokens_for(loss=2.0, params=7e9):.3g}")
            1.82e+11
        """
        law, loss, params = arrays.enter(law=self, loss=loss, params=params)
        return _other_size(True, law, loss, params)

    def params_for(self, loss: ArrayLike, tokens: ArrayLike) -> Array:
        """Parameters that reach `loss` on `tokens` training tokens; NaN where none do.

        Examples:
            >>> law = js.laws.Skaling(E=1.22, A=39.2, R=5.42, alpha=0.408, beta=0.431, k=0.452)
            >>> print(f"{law.params_for(loss=2.0, tokens=1e12):.3g}")
            3.01e+09
        """
        law, loss, tokens = arrays.enter(law=self, loss=loss, tokens=tokens)
        return _other_size(False, law, loss, tokens)

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        data = jnp.log(self.R) - self.beta * log_tokens
        both = jnp.logaddexp(-self.alpha * log_params, data)
        return self.E + jnp.exp(jnp.log(self.A) + self.k * both)

    def frontier_powers(self, log: Callable[[Any], Any] = jnp.log) -> tuple[Any, Any, Any]:
        """Ln G, a and b where `N = G (C / 6)^a`, `D = (C / 6)^b / G` have the lowest loss.

        A power of a sum is least where the sum is, which is a Chinchilla law of A = 1 and B = R:
        its optimum is that of Hoffmann et al. 2022, eq. 4.
        """
        total = self.alpha + self.beta
        log_scale = log(self.alpha) - log(self.beta) - log(self.R)
        return log_scale / total, self.beta / total, self.alpha / total

    def log_optimal_tokens(self, log_params: Array) -> Array:
        """Log tokens whose compute-optimal size has these log params."""
        log_slopes = jnp.log(self.alpha) - jnp.log(self.beta) - jnp.log(self.R)
        return (self.alpha * log_params - log_slopes) / self.beta

    def log_optimal_params(self, log_tokens: Array) -> Array:
        """Log params of the compute-optimal size for these log tokens."""
        log_slopes = jnp.log(self.alpha) - jnp.log(self.beta) - jnp.log(self.R)
        return (self.beta * log_tokens + log_slopes) / self.alpha

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        exponents = all_positive(self.alpha, self.beta, self.k)
        return is_nonnegative(self.E) & exponents & all_positive(self.A, self.R)


def from_sum_form(E: Real, A: Real, B: Real, alpha: Real, beta: Real, gamma: Real) -> Skaling:
    """The law `E + (A N^-alpha + B D^-beta)^gamma` of Busbridge et al. 2025, eq. 1.

    Numbers, or arrays that broadcast.

    Examples:
        >>> law = js.laws.from_sum_form(1.22, A=3355, B=18186, alpha=0.408, beta=0.431, gamma=0.452)
        >>> print(f"A = {law.A:.1f}, R = {law.R:.2f}, k = {law.k:.3f}")
        A = 39.2, R = 5.42, k = 0.452
    """
    return Skaling(E=E, A=A**gamma, R=B / A, alpha=alpha, beta=beta, k=gamma)


@partial(compiled, static=1)
def _other_size(is_tokens, law, loss, known):
    law, loss, known = arrays.align(law, loss, known)
    answer = law.is_valid() & is_positive(known) & is_finite(loss) & (loss > law.E)
    law = made_safe(law, answer)
    log_known = jnp.log(where_safe(answer, known))
    # Of N^-alpha + R D^-beta, which the loss fixes, one term is known.
    log_sum = (jnp.log(where_safe(answer, loss - law.E)) - jnp.log(law.A)) / law.k
    log_scales = jnp.zeros_like(law.R), jnp.log(law.R)
    terms = tuple(zip(log_scales, (law.alpha, law.beta), strict=True))
    (known_scale, exponent), (scale, other) = terms if is_tokens else terms[::-1]
    excess = exponent * log_known - known_scale + log_sum
    answer &= excess > 0
    return exp_where(answer, log_other(where_safe(answer, excess), scale - log_sum, other))
