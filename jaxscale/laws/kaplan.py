"""The laws of Kaplan et al. 2020: loss as powers of size, data, steps and compute.

Nothing is irreducible in these laws: at infinite scale the loss is 0. Params exclude the
embeddings of words and positions. Every product of powers is formed as a sum of logarithms
and exponentiated once, so that no factor overflows before the whole does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import checked_loss, exp_of, short_repr

PF_DAY = 8.64e19  # FLOPs: 1e15 a second for a day (Kaplan et al. 2020, Section 1.3)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kaplan:
    """Loss of a model that stops early on limited data, Kaplan et al. 2020, eq. 1.5.

    Fields are positive, and broadcast with each other and with the arguments of the methods.
    Where a number is bad, `loss` is NaN with zero derivatives.

    Examples:
        >>> law = js.laws.Kaplan(N_c=8.8e13, D_c=5.4e13, alpha_N=0.076, alpha_D=0.095)
        >>> print(f"{law.loss(1e9, 2e10):.3f}")
        2.435
    """

    N_c: Real  # params, embeddings left out
    D_c: Real  # tokens
    alpha_N: Real
    alpha_D: Real

    counts_embeddings: ClassVar[bool] = False
    caution: ClassVar[str] = (
        "embeddings not counted, and its path is that of eq. 1.5, not the allocation that its "
        "authors give"
    )
    equation: ClassVar[str] = "L(N, D) = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D"

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "N_c": Coefficient((1e12, 1e14)),
        "D_c": Coefficient((1e12, 1e14)),
        "alpha_N": Coefficient((0.05, 0.1, 0.2)),
        "alpha_D": Coefficient((0.05, 0.1, 0.2)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss in nats per token of `params` parameters trained on `tokens` tokens."""
        return checked_loss(self, params, tokens)

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        size = (self.alpha_N / self.alpha_D) * (jnp.log(self.N_c) - log_params)
        data = jnp.log(self.D_c) - log_tokens
        return jnp.exp(self.alpha_D * jnp.logaddexp(size, data))

    def frontier_powers(self, log: Callable[[Any], Any] = jnp.log) -> tuple[Any, Any, Any]:
        """Ln G, a and b where `N = G (C / 6)^a`, `D = (C / 6)^b / G` have the lowest loss.

        L^(1 / alpha_D) is a Chinchilla law without E, of exponents alpha_N / alpha_D and 1: its
        optimum is that of Hoffmann et al. 2022, eq. 4.
        """
        ratio = self.alpha_N / self.alpha_D
        log_scale = log(ratio) + ratio * log(self.N_c) - log(self.D_c)
        return log_scale / (ratio + 1), 1 / (ratio + 1), ratio / (ratio + 1)

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_positive(*jax.tree.leaves(self))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KaplanSteps:
    """Loss on unlimited data after a number of optimiser steps, Kaplan et al. 2020, eq. 1.6.

    The steps are the fewest that reach the loss: those of a batch far above the critical
    one (`minimum_steps`). Not a surface over tokens, so no law to plan with. Fields are
    positive, and broadcast with the arguments of `loss`.

    Examples:
        >>> print(f"{js.laws.kaplan.LOSS_OF_STEPS.loss(1e9, 1e5):.2f}")
        2.40
    """

    N_c: Real  # params, embeddings left out
    S_c: Real  # steps
    alpha_N: Real
    alpha_S: Real

    equation: ClassVar[str] = "L(N, S) = (N_c / N)^alpha_N + (S_c / S)^alpha_S"

    __repr__ = short_repr

    def loss(self, params: ArrayLike, steps: ArrayLike) -> Array:
        """Loss in nats per token; NaN with zero derivatives where a number is bad."""
        return exp_of(KaplanSteps._log_loss, self, params=params, steps=steps)

    def _log_loss(self, log_params, log_steps):
        size = self.alpha_N * (jnp.log(self.N_c) - log_params)
        time = self.alpha_S * (jnp.log(self.S_c) - log_steps)
        return jnp.logaddexp(size, time)

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_positive(*jax.tree.leaves(self))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KaplanPower:
    """Loss where one cause alone limits it, `(scale / x)^exponent`, Kaplan et al. 2020, eq. 1.1.

    The scale has the unit of x: params, tokens or PF-days.

    Examples:
        >>> print(f"{js.laws.kaplan.LOSS_OF_PARAMS.loss(1e9):.2f}")
        2.38
    """

    scale: Real
    exponent: Real

    __repr__ = short_repr

    def loss(self, x: ArrayLike) -> Array:
        """Loss in nats per token; NaN with zero derivatives where a number is bad."""
        return exp_of(KaplanPower._log_loss, self, x=x)

    def _log_loss(self, log_x):
        return self.exponent * (jnp.log(self.scale) - log_x)

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_positive(*jax.tree.leaves(self))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CriticalBatch:
    """The batch at which time and compute are spent evenly, Kaplan et al. 2020, eq. 1.4.

    `B_star / L^(1 / alpha_B)` tokens: it depends on the loss that is reached and on nothing else.

    Examples:
        >>> print(f"{js.laws.kaplan.CRITICAL_BATCH.tokens(3.0):.3g}")
        1.12e+06
    """

    B_star: Real  # tokens
    alpha_B: Real

    __repr__ = short_repr

    def tokens(self, loss: ArrayLike) -> Array:
        """Tokens in a critical batch at that loss; NaN with zero derivatives where it has none."""
        return exp_of(CriticalBatch._log_tokens, self, loss=loss)

    def _log_tokens(self, log_loss):
        return jnp.log(self.B_star) - log_loss / self.alpha_B

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_positive(*jax.tree.leaves(self))


# Kaplan et al. 2020, Table 5.
LOSS_OF_PARAMS = KaplanPower(8.8e13, 0.076)
LOSS_OF_TOKENS = KaplanPower(5.4e13, 0.095)
LOSS_OF_PF_DAYS = KaplanPower(1.6e7, 0.057)  # at the fixed batch of the paper's runs
LOSS_OF_MINIMUM_PF_DAYS = KaplanPower(3.1e8, 0.050)  # of `minimum_compute`, best spent
CRITICAL_BATCH = CriticalBatch(2.1e8, 0.21)  # the text of Section 5.1 has 2e8

# Kaplan et al. 2020, Table 3.
LOSS_OF_STEPS = KaplanSteps(N_c=6.5e13, S_c=2.1e3, alpha_N=0.077, alpha_S=0.76)


def minimum_steps(steps: ArrayLike, batch: ArrayLike, critical_batch: ArrayLike) -> Array:
    """Steps that a batch far above the critical one would need: S / (1 + B_crit / B).

    Both batches in tokens. Kaplan et al. 2020, eq. 5.4. NaN where a number is not positive.

    Examples:
        >>> print(f"{js.laws.kaplan.minimum_steps(1e5, batch=1e6, critical_batch=1e6):.0f}")
        50000
    """
    return exp_of(_log_part, None, steps=steps, batch=batch, critical_batch=critical_batch)


def minimum_compute(flops: ArrayLike, batch: ArrayLike, critical_batch: ArrayLike) -> Array:
    """Compute that a batch far below the critical one would need: C / (1 + B / B_crit).

    In the unit of `flops`; both batches in tokens. Kaplan et al. 2020, eq. 5.5. NaN where a
    number is not positive.

    Examples:
        >>> print(f"{js.laws.kaplan.minimum_compute(1e20, batch=1e6, critical_batch=1e6):.2g}")
        5e+19
    """
    return exp_of(_log_part, None, flops=flops, critical_batch=critical_batch, batch=batch)


class _Growth(NamedTuple):
    """scale * x^exponent."""

    scale: float
    exponent: float


# Kaplan et al. 2020, Appendix A, Table 6: fits, so the tokens there are not batch times steps.
_BATCH = _Growth(2.0e6, 0.24)
_STEPS = _Growth(5.4e3, 0.03)
_ENOUGH_TOKENS = _Growth(5e3, 0.74)  # Kaplan et al. 2020, eq. 4.4


def best_batch(pf_days: ArrayLike) -> Array:
    """The batch, in tokens, that spends `pf_days` of minimum compute best: B of Table 6.

    It is far below the critical batch. A fit to models of up to 1.5e9 params; the params and tokens
    of that table are `js.allocations.published("kaplan2020")`. NaN where `pf_days` is not positive.

    Examples:
        >>> print(f"{js.laws.kaplan.best_batch(1.0):.2g} tokens in a batch for one PF-day")
        2e+06 tokens in a batch for one PF-day
    """
    return exp_of(_log_growth, _BATCH, pf_days=pf_days)


def best_steps(pf_days: ArrayLike) -> Array:
    """The steps that spend `pf_days` of minimum compute best: S_min of Table 6.

    Otherwise as `best_batch`.

    Examples:
        >>> print(f"{js.laws.kaplan.best_steps(1.0):.2g} steps for one PF-day")
        5.4e+03 steps for one PF-day
    """
    return exp_of(_log_growth, _STEPS, pf_days=pf_days)


def tokens_against_overfitting(params: ArrayLike) -> Array:
    """Fewest tokens with which a model does not overfit, Kaplan et al. 2020, eq. 4.4.

    Not how many are best for a budget, although it is often quoted so.

    Examples:
        >>> print(f"{js.laws.kaplan.tokens_against_overfitting(1e9):.2g}")
        2.3e+10
    """
    return exp_of(_log_growth, _ENOUGH_TOKENS, params=params)


def _log_part(_, log_total, log_batch, log_other):
    return log_total - jnp.logaddexp(0, log_other - log_batch)


def _log_growth(growth, log_x):
    return jnp.log(growth.scale) + growth.exponent * log_x
