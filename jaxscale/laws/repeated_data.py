"""The data-constrained law: tokens that are seen again are worth less each time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.logarithm import log
from jaxscale._numerics.typed import custom_jvp
from jaxscale._numerics.values import is_positive, quotient, where_safe
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import checked_loss, exp_of, short_repr


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Muennighoff:
    """The Chinchilla law of effective params and tokens, Muennighoff et al. 2023.

    Of `tokens` seen, at most `unique_tokens` are new. Each repeat adds less than the one
    before, by the factor `exp(-1 / R_D)`, and all together add at most R_D times the unique
    tokens. Params beyond the best for the unique tokens fade in the same way, with R_N.
    Repetition wastes compute in this law but does no harm: the loss never rises with it.
    Source: arXiv 2305.16264 and huggingface/datablations, README.md.

    Fields broadcast with each other and with the arguments of the methods. `E >= 0` is in
    nats per token; all other coefficients are positive. Where a number is bad, the methods
    return NaN with zero derivatives.

    Examples:
        >>> law = js.laws.published("muennighoff2023_repeated")
        >>> print(f"{law.loss(7e9, 1e11, unique_tokens=25e9):.3f}")  # four epochs
        2.267
    """

    E: Real  # irreducible loss, nats per token
    A: Real
    B: Real
    alpha: Real
    beta: Real
    R_D: Real  # the paper's R_D*: repeats worth having
    R_N: Real  # the paper's R_N*: the same of excess params

    levers: ClassVar[dict[str, tuple[float, float]]] = {"unique_tokens": (1.0, 1e30)}
    equation: ClassVar[str] = (
        "L(N, D, U) = E + A / N'^alpha + B / D'^beta, "
        "D' = U_D (1 + R_D (1 - exp(-(D / U_D - 1) / R_D))), U_D = min(U, D), "
        "N' = U_N (1 + R_N (1 - exp(-(N / U_N - 1) / R_N))), U_N = min(N, best N for U_D)"
    )

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "E": Coefficient((1.0, 2.0)),
        "A": Coefficient((1e2, 1e3, 1e4)),
        "B": Coefficient((1e2, 1e3, 1e4)),
        "alpha": Coefficient((0.2, 0.35, 0.5)),
        "beta": Coefficient((0.2, 0.35, 0.5)),
        "R_D": Coefficient((2.0, 10.0, 50.0)),
        "R_N": Coefficient((2.0, 10.0, 50.0)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, unique_tokens: ArrayLike) -> Array:
        """Loss in nats per token on `tokens` tokens, of which `unique_tokens` differ."""
        return checked_loss(self, params, tokens, unique_tokens=unique_tokens)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, unique_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; `unique_tokens` is not a logarithm.

        Converts nothing, and checks nothing but that there are unique tokens.
        """
        some = is_positive(unique_tokens)
        log_unique = _least(jnp.log(where_safe(some, unique_tokens)), log_tokens)
        log_fitting = _least(self._log_best_params(log_unique), log_params)
        loss = self.base().loss_from_logs(
            _log_effective(log_params, log_fitting, self.R_N),
            _log_effective(log_tokens, log_unique, self.R_D),
        )
        return jnp.where(some, loss, jnp.nan)

    def effective_tokens(self, tokens: ArrayLike, unique_tokens: ArrayLike) -> Array:
        """Unique tokens that would be worth as much: D', at most `(1 + R_D) unique_tokens`.

        Examples:
            >>> law = js.laws.published("muennighoff2023_repeated")
            >>> print(f"{law.effective_tokens(1e11, 25e9):.3g}")
            9.31e+10
        """
        return _effective_tokens(
            *arrays.enter(law=self, tokens=tokens, unique_tokens=unique_tokens)
        )

    def best_params_for(self, unique_tokens: ArrayLike) -> Array:
        """Params whose compute-optimal training reads `unique_tokens` once.

        `G (G U)^(beta / alpha)` with `G = (alpha A / (beta B))^(1 / (alpha + beta))`, from
        Hoffmann et al. 2022, eq. 4. Params beyond these are excess.

        Examples:
            >>> law = js.laws.published("muennighoff2023_repeated")
            >>> print(f"{law.best_params_for(25e9):.3g}")
            1.27e+09
        """
        return exp_of(Muennighoff._log_best_params, self, unique_tokens=unique_tokens)

    def base(self) -> Chinchilla:
        """The law for tokens that are seen once, by models without excess params.

        Examples:
            >>> law = js.laws.published("muennighoff2023_repeated")
            >>> type(law.base()).__name__
            'Chinchilla'
        """
        return Chinchilla(self.E, self.A, self.B, self.alpha, self.beta)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        return self.base().is_valid() & is_positive(self.R_D) & is_positive(self.R_N)

    def _log_best_params(self, log_unique):
        log_G = self.base().log_frontier_scale()
        return log_G + (self.beta / self.alpha) * (log_unique + log_G)


def _least(x, y):
    """The smaller of two; y where either is NaN."""
    # At a tie the derivative of either will do, and that of `jnp.minimum`, half of each, takes a
    # division.
    return jnp.where(x < y, x, y)


def _log_effective(log_seen, log_first, scale):
    # Beyond this many repeats all of them have long been spent, and exp would overflow.
    most = 0.9 * math.log(float(jnp.finfo(log_seen.dtype).max))
    return log_first + _log_gain(_least(most, log_seen - log_first), scale)


# First and second derivatives in closed form: with those that JAX finds, a solver's step takes
# two and a half times as long on a CPU.


@custom_jvp()
def _log_gain(log_seen: Array, scale: Array) -> Array:
    """Logarithm of what so many times the first are worth, in units of the first."""
    return log(_gain(_spent(log_seen, scale), scale))


def _log_gain_jvp(primals, tangents):
    (log_seen, scale), (log_seen_dot, scale_dot) = primals, tangents
    rate = _times(_elasticity(log_seen, scale), log_seen_dot)
    return _log_gain(log_seen, scale), rate + _times(_by_scale(log_seen, scale), scale_dot)


@custom_jvp()
def _elasticity(log_seen: Array, scale: Array) -> Array:
    """Derivative of `_log_gain` by its first argument: 1 for the first repeat, 0 in the end."""
    spent = _spent(log_seen, scale)
    return jnp.exp(log_seen - spent) / _gain(spent, scale)


def _elasticity_jvp(primals, tangents):
    (log_seen, scale), (log_seen_dot, scale_dot) = primals, tangents
    value, spent, inverse = _elasticity(log_seen, scale), _spent(log_seen, scale), 1 / scale
    rate = _times(1 - value - spent - inverse, log_seen_dot)
    rate += _times(spent * inverse - _by_scale(log_seen, scale), scale_dot)
    return value, value * rate


def _by_scale(log_seen, scale):
    spent = _spent(log_seen, scale)
    return (_fraction(spent) - spent * jnp.exp(-spent)) / _gain(spent, scale)


def _times(slope, rate):
    """A product that is not formed where the rate is known to be 0."""
    return 0 if isinstance(rate, SymbolicZero) else slope * rate


_log_gain.defjvp(_log_gain_jvp, symbolic_zeros=True)
_elasticity.defjvp(_elasticity_jvp, symbolic_zeros=True)


def _gain(spent, scale):
    return 1 + scale * _fraction(spent)


def _spent(log_seen, scale):
    # Of few repeats, rounding leaves out no more than of the logarithm.
    return _share_spent(jnp.exp(log_seen) - 1, scale)


def _share_spent(repeats, scale):
    """Repeats over their scale, up to where all of their worth is long spent."""
    # There exp(-repeats / scale) is 0, times the repeats too. An infinite quotient would do for the
    # value, but its derivative is infinity times that 0.
    limits = jnp.finfo(repeats.dtype)
    enough = 1 + math.log(float(limits.max)) - math.log(float(limits.smallest_subnormal))
    return quotient(_least(enough * scale, repeats), scale)


@custom_jvp()
def _fraction(spent: Array) -> Array:
    """`1 - exp(-spent)`, as exact as by expm1 and faster on a CPU."""
    return jnp.tanh(spent / 2) * (1 + jnp.exp(-spent))


def _fraction_jvp(primals, tangents):
    # That of the product would be the small difference of large terms.
    return _fraction(*primals), jnp.exp(-primals[0]) * tangents[0]


_fraction.defjvp(_fraction_jvp)


def _safe(law):
    base = law.base().made_safe()
    R_D, R_N = (where_safe(is_positive(x), x) for x in (law.R_D, law.R_N))
    return Muennighoff(base.E, base.A, base.B, base.alpha, base.beta, R_D, R_N)


@jax.jit
def _effective_tokens(law, tokens, unique_tokens):
    law, tokens, unique_tokens = arrays.align(law, tokens, unique_tokens)
    answer = law.is_valid() & is_positive(tokens) & is_positive(unique_tokens)
    tokens, unique = (where_safe(is_positive(x), x) for x in (tokens, unique_tokens))
    first, scale = jnp.minimum(tokens, unique), _safe(law).R_D
    effective = first * _gain(_share_spent(quotient(tokens, first) - 1, scale), scale)
    return jnp.where(answer, effective, jnp.nan)
