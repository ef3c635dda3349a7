"""Efficiency leverage: how much compute a mixture of experts saves, which makes a dense law sparse.

The leverage of Tian et al. 2025 is the compute of a dense model over that of a mixture of experts
with the same loss. It is a function of its own: with a dense law, any one, it is the law of a
mixture of experts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive, is_finite, where_safe
from jaxscale.laws import protocol
from jaxscale.laws.protocol import TRAIN_FLOPS, checked_loss, exp_of, short_repr
from jaxscale.published import find, shipped

LOG_2, LOG_10 = math.log(2.0), math.log(10.0)
DEFAULT = "ling2025"
SHAPE = {"activation": (0.008, 1.0), "granularity": (1.0, 16.0)}
CAUTION = (
    "params are active ones, and the leverage was fitted where it is below 6, at 3e18 to 3e20 FLOPs"
)
MOST_ACTIVATION = 1 + 1e-6  # an end of the range may be rounded up


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Leverage:
    """Compute of a dense model over that of a sparse one of equal loss, Tian et al. 2025, eq. 13.

    `EL = Â^(a + d log10 C + gamma (log2 G)^2 + beta log2 G)`, arXiv 2507.17702, where Â grows from
    A_start to A_max with the activation ratio A: `equation` has it in full. A is the share of
    experts that a token uses, with shared experts on both sides. The granularity G is `2 d_model /
    d_expert`, half of what `Krajewski` calls so. C is the training compute of the sparse model, 6 N
    D of its active params without embeddings.

    The paper does not print the bases of its logarithms. Decimal for C and 2 for G give both of its
    numbers: a leverage above 7 at A = 0.031, G = 12 and 1e22 FLOPs (7.24; 6.87 by ln G), and a best
    granularity of about 12 (11.34; 33 by ln G). They also turn its law of the best dense sizes into
    its law of the best sparse ones, within 1 %, if C is that of the sparse model. M, of which it
    makes C = M D, is called FLOPs of a forward pass. Here M and C are of training, as its runs then
    had the more than three times the best tokens that it says.

    At A = 1 it is 0.989 to 0.994, not 1 as the paper says, because Â is 1.016 there; `Sparse` takes
    Â as at most 1. `A_max > A_start > 0`; the other coefficients have any sign. Fields broadcast
    with each other and with the arguments of the method.

    Examples:
        >>> leverage = js.laws.leverage("ling2025")
        >>> print(f"{leverage.leverage(1e22, activation=0.031, granularity=12):.3f}")
        7.245
    """

    a: Real
    d: Real  # per factor of 10 in compute
    gamma: Real
    beta: Real
    A_start: Real
    A_max: Real

    equation: ClassVar[str] = (
        "EL(A, G, C) = Â^(a + d log10 C + gamma (log2 G)^2 + beta log2 G), "
        "1 / Â = 1 / (A + 1 / (1 / A_start - 1 / A_max)) + 1 / A_max"
    )

    __repr__ = short_repr

    def leverage(self, flops: ArrayLike, activation: ArrayLike, granularity: ArrayLike) -> Array:
        """Dense FLOPs over those of the sparse model, whose training takes `flops` FLOPs.

        NaN with zero derivatives for bad values, and for an activation ratio above 1.
        """
        shape = {"activation": activation, "granularity": granularity}
        return exp_of(_log_leverage, self, flops=flops, **shape)

    def log_active(self, activation: Array) -> Array:
        """Ln Â of an activation ratio; below 0 where the leverage is above 1."""
        shifted = activation + 1 / (1 / self.A_start - 1 / self.A_max)
        return -jnp.log(1 / shifted + 1 / self.A_max)

    def exponent(self, log_flops: Array, granularity: Array) -> Array:
        """The power of Â that is the leverage, at the natural logarithm of FLOPs."""
        octaves = jnp.log(granularity) / LOG_2
        per_octave = self.gamma * octaves + self.beta
        return self.a + self.d / LOG_10 * log_flops + per_octave * octaves

    def is_valid(self) -> Array:
        """Whether all coefficients are finite and the transform of the activation ratio is one."""
        finite = is_finite(self.a) & is_finite(self.d)
        finite &= is_finite(self.gamma) & is_finite(self.beta)
        return finite & all_positive(self.A_start, self.A_max) & (self.A_max > self.A_start)


def is_shape(activation: Array, granularity: Array) -> Array:
    """Whether there are models of this activation ratio and granularity."""
    return (activation > 0) & (activation <= MOST_ACTIVATION) & (granularity > 0)


def _log_leverage(
    leverage: Leverage, log_flops: Array, log_activation: Array, log_granularity: Array
) -> Array:
    activation, granularity = jnp.exp(log_activation), jnp.exp(log_granularity)
    gain = leverage.exponent(log_flops, granularity) * leverage.log_active(activation)
    return jnp.where(is_shape(activation, granularity), gain, jnp.nan)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sparse:
    """Loss of a mixture of experts, by the law of dense models and a leverage; see `sparse`.

    `L(N, D, A, G) = L_dense(EL N, D)`: the model is worth a dense one of EL times its compute on
    the same tokens. `params` N are active params, counted as the dense law counts them: a token
    takes 6 N FLOPs in training and 2 N in serving. Â is at most 1, so that at an activation of 1
    the loss is that of the dense law. Idle experts take memory and no FLOPs, so that with
    `activation` as a lever the optimum lies at the low end of its range; the best `granularity` is
    the same for all sizes. Levers of the dense law remain.

    Examples:
        >>> law = js.laws.published("ling2025_on_besiroglu2024")
        >>> shape = {"activation": 0.034, "granularity": 12.0}
        >>> print(f"{law.loss(0.855e9, 1e12, **shape):.3f}, {law.dense.loss(6.1e9, 1e12):.3f}")
        2.098, 2.092
    """

    dense: Any  # the law of dense models
    leverage: Leverage

    has_experts: ClassVar[bool] = True
    counts_idle_experts: ClassVar[bool] = False

    __repr__ = short_repr
    __getattr__ = protocol.members_of("dense")

    @property
    def equation(self) -> str:
        """The formula, with that of the dense law."""
        dense = getattr(self.dense, "equation", type(self.dense).__name__)
        return (
            f"L(N, D, A, G) = L_dense(EL N, D), {self.leverage.equation}, C = 6 N D, dense: {dense}"
        )

    @property
    def levers(self) -> Mapping[str, tuple[float, float]]:
        """Activation ratio and granularity as of `Leverage`, and the levers of the dense law."""
        return {**SHAPE, **protocol.levers_of(self.dense)}

    @property
    def caution(self) -> str:
        """The caution of the leverage, and that of the dense law."""
        return "; ".join(filter(None, (CAUTION, protocol.caution_of(self.dense))))

    def loss(
        self,
        params: ArrayLike,
        tokens: ArrayLike,
        *,
        activation: ArrayLike,
        granularity: ArrayLike,
        **levers: ArrayLike,
    ) -> Array:
        """Loss of `params` active params that are the share `activation` of the experts.

        NaN with zero derivatives for bad values, and for an activation ratio above 1.
        """
        shape = {"activation": activation, "granularity": granularity}
        return checked_loss(self, params, tokens, **shape, **levers)

    def loss_from_logs(
        self,
        log_params: Array,
        log_tokens: Array,
        activation: Array,
        granularity: Array,
        **levers: Array,
    ) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        usable = is_shape(activation, granularity)
        dense = self._log_dense(log_params, log_tokens, activation, granularity)
        loss = protocol.loss_from_logs(self.dense, dense, log_tokens, **levers)
        return jnp.where(usable, loss, jnp.nan)

    def holds(
        self,
        log_params: Array,
        log_tokens: Array,
        activation: Array,
        granularity: Array,
        **levers: Array,
    ) -> Array:
        """Whether the dense law says anything of the dense model that is as good."""
        dense = self._log_dense(log_params, log_tokens, activation, granularity)
        return protocol.holds(self.dense, dense, log_tokens, **levers)

    def _log_dense(
        self, log_params: Array, log_tokens: Array, activation: Array, granularity: Array
    ) -> Array:
        """Log params of the dense model that is as good on the same tokens."""
        usable = is_shape(activation, granularity)
        activation, granularity = where_safe(usable, activation), where_safe(usable, granularity)
        log_flops = math.log(TRAIN_FLOPS) + log_params + log_tokens
        # Above 1, more tokens would have less leverage, and a dense model less than itself.
        log_active = jnp.minimum(self.leverage.log_active(activation), 0)
        return log_params + self.leverage.exponent(log_flops, granularity) * log_active

    def is_valid(self) -> Array:
        """Whether the dense law and the leverage are."""
        return protocol.is_valid(self.dense) & self.leverage.is_valid()


def sparse(law: Any, leverage: Leverage | str = DEFAULT) -> Sparse:
    """The law of mixtures of experts whose dense models follow `law`.

    In a name, a plus does the same: `js.laws.published("besiroglu2024+ling2025")`, and `--law` with
    such a name or `ours.json+ling2025` in a terminal.

    Args:
        law: a law of dense models, such as a fit to your own runs.
        leverage: the compute that experts save, or the name of a published one.

    Raises:
        TypeError: `law` is no law.
        ValueError: it has experts already, or counts FLOPs of its own, so that equal loss is not
            known to mean equal leverage, or has a ceiling in tokens, which more leverage moves; or
            there is no leverage of that name.

    Examples:
        >>> law = js.laws.sparse(js.laws.published("besiroglu2024"))
        >>> plan = js.minimize_loss(law, 1e20, levers={"activation": 0.05, "granularity": 12})
        >>> print(f"{plan.params:.3g} active params, {plan.tokens:.3g} tokens")
        4.43e+08 active params, 3.76e+10 tokens
    """
    protocol.check_law(law)
    name = type(law).__name__
    if protocol.has_experts(law):
        raise ValueError(f"law must be of dense models; {name} has experts already")
    if protocol.has_own_flops(law):
        raise ValueError(f"law must count 6 N D FLOPs, as the leverage does; {name} does not")
    if protocol.has_ceiling(law):
        raise ValueError(f"law must have no ceiling in tokens; {name} has one")
    return Sparse(law, _published(leverage) if isinstance(leverage, str) else leverage)


def leverage(name: str = DEFAULT) -> Leverage:
    """The published leverage of that name: `ling2025`, of Tian et al. 2025.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.laws.leverage().A_start
        0.0163
    """
    return _published(name)


def _published(name: str) -> Leverage:
    return find("leverage", shipped("leverages"), name).law


FORMS = {"Leverage": Leverage}
