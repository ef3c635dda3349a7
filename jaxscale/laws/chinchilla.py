"""The Chinchilla law: loss falls as a sum of two powers, of size and of data.

Every power is the exponential of a sum of logarithms. `pow` costs more, and the factors of
`A * N**-alpha` can overflow where the term itself is small.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import (
    all_positive,
    exp_where,
    is_finite,
    is_nonnegative,
    is_positive,
    where_safe,
)
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import short_repr

# An exponent of 0 is no term but a constant, and one above any published is none either.
LEAST_EXPONENT, MOST_EXPONENT = 1e-4, 8.0
EXPONENT = Coefficient((0.2, 0.35, 0.5), positive=False, low=LEAST_EXPONENT, high=MOST_EXPONENT)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chinchilla:
    """`L(N, D) = E + A / N^alpha + B / D^beta`, Hoffmann et al. 2022, eq. 2.

    Fields are scalars or arrays that broadcast with each other and with the arguments of
    the methods, so a bootstrap of a law is one law with longer fields. `E >= 0` is in nats
    per token; all other coefficients are positive. The constructor checks nothing, because
    JAX rebuilds the class with tracers inside. Where a coefficient or an argument is bad,
    or no answer exists, the methods return NaN with zero derivatives.

    Examples:
        >>> law = js.laws.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
        >>> print(f"{law.loss(params=70e9, tokens=1.4e12):.4f}")
        1.9366
    """

    E: Real  # irreducible loss, nats per token
    A: Real
    B: Real
    alpha: Real
    beta: Real

    equation: ClassVar[str] = "L(N, D) = E + A / N^alpha + B / D^beta"
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "E": Coefficient((1.0, 2.0)),
        "A": Coefficient((1e2, 1e3, 1e4)),
        "B": Coefficient((1e2, 1e3, 1e4)),
        "alpha": EXPONENT,
        "beta": EXPONENT,
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss in nats per token of `params` parameters trained on `tokens` tokens.

        Examples:
            >>> law = js.laws.published("hoffmann2022")
            >>> print(np.asarray(law.loss(np.array([1e9, 1e10]), 1e12)).round(3))
            [2.223 2.031]
        """
        return _loss(*arrays.enter(law=self, params=params, tokens=tokens))

    def tokens_for(self, loss: ArrayLike, params: ArrayLike) -> Array:
        """Training tokens with which `params` parameters reach `loss`; NaN where none do.

        Examples:
            >>> law = js.laws.published("hoffmann2022")
            >>> print(f"{law.tokens_for(loss=2.1, params=7e9):.3g}")
            4.28e+11
        """
        law, loss, params = arrays.enter(law=self, loss=loss, params=params)
        return _other_size(law, loss, params, (law.A, law.alpha), (law.B, law.beta))

    def params_for(self, loss: ArrayLike, tokens: ArrayLike) -> Array:
        """Parameters that reach `loss` on `tokens` training tokens; NaN where none do.

        Examples:
            >>> law = js.laws.published("hoffmann2022")
            >>> print(f"{law.params_for(loss=2.1, tokens=1e12):.3g}")
            3.52e+09
        """
        law, loss, tokens = arrays.enter(law=self, loss=loss, tokens=tokens)
        return _other_size(law, loss, tokens, (law.B, law.beta), (law.A, law.alpha))

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        size = jnp.exp(jnp.log(self.A) - self.alpha * log_params)
        data = jnp.exp(jnp.log(self.B) - self.beta * log_tokens)
        return self.E + size + data

    def log_frontier_scale(self, log: Callable[[Any], Any] = jnp.log) -> Any:
        """Ln G of the frontier `N = G (C / 6)^(beta / (alpha + beta))`, `D = C / (6 N)`.

        Hoffmann et al. 2022, eq. 4. `log` is `math.log` where a law of floats must not start JAX.
        """
        scale = log(self.alpha) + log(self.A) - log(self.beta) - log(self.B)
        return scale / (self.alpha + self.beta)

    def frontier_powers(self, log: Callable[[Any], Any] = jnp.log) -> tuple[Any, Any, Any]:
        """Ln G of `log_frontier_scale`, and the exponents of C / 6 in best params and tokens."""
        total = self.alpha + self.beta
        return self.log_frontier_scale(log), self.beta / total, self.alpha / total

    def log_optimal_tokens(self, log_params: Array) -> Array:
        """Log tokens whose compute-optimal size has these log params: eq. 4 again."""
        log_slopes = self.log_frontier_scale() * (self.alpha + self.beta)
        return (self.alpha * log_params - log_slopes) / self.beta

    def log_optimal_params(self, log_tokens: Array) -> Array:
        """Log params of the compute-optimal size for these log tokens."""
        log_slopes = self.log_frontier_scale() * (self.alpha + self.beta)
        return (self.beta * log_tokens + log_slopes) / self.alpha

    def two_powers(self) -> "Chinchilla":
        """This law, for which solvers have a closed optimum."""
        return self

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        return is_nonnegative(self.E) & all_positive(self.A, self.B, self.alpha, self.beta)

    def made_safe(self) -> "Chinchilla":
        """The law with 1 for each bad coefficient: no NaN may enter a gradient."""
        return Chinchilla(
            E=where_safe(is_nonnegative(self.E), self.E),
            A=where_safe(is_positive(self.A), self.A),
            B=where_safe(is_positive(self.B), self.B),
            alpha=where_safe(is_positive(self.alpha), self.alpha),
            beta=where_safe(is_positive(self.beta), self.beta),
        )


def log_other(excess: Array, log_scale: Array, exponent: Array) -> Array:
    """Logarithm of one size, from the share of the reducible loss that the other leaves.

    One term of the law is the share `exp(-excess)` of the reducible loss, so the other is
    the share `1 - exp(-excess)`: `log_scale` is the logarithm of that other term's
    coefficient over the reducible loss. Needs `excess > 0`.
    """
    return (log_scale - jnp.log(-jnp.expm1(-excess))) / exponent


@jax.jit
def _loss(law, params, tokens):
    law, params, tokens = arrays.align(law, params, tokens)
    answer = law.is_valid() & is_positive(params) & is_positive(tokens)
    log_params = jnp.log(where_safe(is_positive(params), params))
    log_tokens = jnp.log(where_safe(is_positive(tokens), tokens))
    return jnp.where(answer, law.made_safe().loss_from_logs(log_params, log_tokens), jnp.nan)


@jax.jit
def _other_size(law, loss, known, known_term, other_term):
    law, loss, known, known_term, other_term = arrays.align(
        law, loss, known, known_term, other_term
    )
    answer = law.is_valid() & is_positive(known) & is_finite(loss) & (loss > law.E)
    known_scale, known_exponent = (where_safe(is_positive(x), x) for x in known_term)
    other_scale, other_exponent = (where_safe(is_positive(x), x) for x in other_term)
    log_reducible = jnp.log(where_safe(answer, loss - law.E))
    log_known = jnp.log(where_safe(is_positive(known), known))
    excess = known_exponent * log_known - (jnp.log(known_scale) - log_reducible)
    answer &= excess > 0
    log_answer = log_other(
        where_safe(answer, excess), jnp.log(other_scale) - log_reducible, other_exponent
    )
    return exp_where(answer, log_answer)
