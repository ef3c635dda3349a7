"""Mixtures of experts: the laws of Clark et al., of Krajewski et al. and of Abnar et al.

Such a model computes with part of its parameters for each token, so two sizes matter: FLOPs
follow the active parameters and memory follows all of them. What `params` counts differs
from law to law, and each class says which it is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import (
    all_positive,
    is_finite,
    is_nonnegative,
    is_positive,
    where_safe,
)
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS, Flops, checked_loss, short_repr

LOG_10 = math.log(10.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Clark:
    """Loss by dense size and number of experts, Clark et al. 2022, arXiv 2202.01169, eq. 1.

    `params` are those of the dense model, without the experts that were added, and the
    default FLOPs are those of that model: routing is not counted. The law does not depend on
    `tokens`: all runs had 130e9, so hold tokens there (bounds) when planning with it. Its
    logarithms are decimal. More experts cost no FLOPs here, so with `experts` as a lever the
    optimum lies at an end of its range. `E_max > E_start > 0`; a to d have any sign.

    Examples:
        >>> law = js.laws.published("clark2022_sbase")
        >>> print(np.asarray(law.loss(1e9, 130e9, experts=np.array([1, 64]))).round(3))
        [2.285 2.086]
    """

    a: Real
    b: Real
    c: Real
    d: Real
    E_start: Real  # the transformed count of a single expert: not 1
    E_max: Real  # the transformed count of infinitely many

    depends_on_tokens: ClassVar[bool] = False
    equation: ClassVar[str] = (
        "log10 L = a log10 N + b log10 Ê + c log10 N log10 Ê + d, "
        "1 / Ê = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max"
    )
    has_experts: ClassVar[bool] = True
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"experts": (1.0, 512.0)}

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "a": Coefficient((-0.1,), positive=False),
        "b": Coefficient((-0.1,), positive=False),
        "c": Coefficient((0.01,), positive=False),
        "d": Coefficient((1.0,), positive=False),
        "E_start": Coefficient((1.5, 4.0)),
        "E_max": Coefficient((1e2, 5e2)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, experts: ArrayLike) -> Array:
        """Loss in nats per token with `experts` experts in each routed layer."""
        return checked_loss(self, params, tokens, experts=experts)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, experts: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        del log_tokens
        shifted = experts - 1 + 1 / (1 / self.E_start - 1 / self.E_max)
        usable = shifted > 0
        log_experts = -jnp.log(1 / where_safe(usable, shifted) + 1 / self.E_max)
        # ln L: only the product of two logarithms and d keep a trace of the base.
        log_loss = self.a * log_params + self.b * log_experts
        log_loss += self.c * log_params * log_experts / LOG_10 + self.d * LOG_10
        return jnp.where(usable, jnp.exp(log_loss), jnp.nan)

    def is_valid(self) -> Array:
        """Whether all coefficients are finite and the transform of experts is one."""
        finite = is_finite(self.a) & is_finite(self.b) & is_finite(self.c) & is_finite(self.d)
        return finite & is_positive(self.E_start) & is_positive(self.E_max - self.E_start)


EXPANSION = 64  # parameters of an expert layer over those of its dense counterpart: all runs
ACTIVE_IN_BLOCK = 12  # active parameters of a block over its width squared, Section 6.1
WIDTH_PER_BLOCK = 64  # width over depth, assumed in Section 6.1
# FLOPs of training per token and parameter in the router. The paper derives it in an appendix;
# with 6 for all else it gives each of the seven FLOP counts of Table 2 within 0.5 %.
ROUTER_FLOPS = 14


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Krajewski:
    """Loss by size, data and granularity, Krajewski et al. 2024, arXiv 2402.07871, eq. 9.

    `params` are all parameters but the embeddings, those of idle experts included. Expert
    layers have 64 times the parameters of dense ones, of which each token uses one part in
    64; `granularity` G cuts that part into G smaller experts out of 64 G. With experts of width
    d_expert it is `4 d_model / d_expert`, twice the granularity of `Leverage`. All coefficients
    are positive; `c` may be 0.

    Examples:
        >>> law = js.laws.published("krajewski2024")
        >>> print(np.asarray(law.loss(1e9, 1e11, granularity=np.array([1, 8]))).round(3))
        [3.078 2.942]
    """

    c: Real  # irreducible loss, nats per token
    g: Real
    gamma: Real
    a: Real
    alpha: Real
    b: Real
    beta: Real

    counts_embeddings: ClassVar[bool] = False
    equation: ClassVar[str] = "L(N, D, G) = c + (g / G^gamma + a) / N^alpha + b / D^beta"
    has_experts: ClassVar[bool] = True
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"granularity": (1.0, 16.0)}

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "c": Coefficient((0.5, 1.5)),
        "g": Coefficient((1.0, 10.0, 100.0)),
        "gamma": Coefficient((0.3, 1.0)),
        "a": Coefficient((10.0, 100.0, 1000.0)),
        "alpha": Coefficient((0.1, 0.2, 0.4)),
        "b": Coefficient((10.0, 100.0, 1000.0)),
        "beta": Coefficient((0.1, 0.2, 0.4)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, granularity: ArrayLike) -> Array:
        """Loss in nats per token of experts that are `granularity` times smaller than a layer."""
        return checked_loss(self, params, tokens, granularity=granularity)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, granularity: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        usable = granularity > 0
        log_granularity = jnp.log(where_safe(usable, granularity))
        log_size = -self.alpha * log_params
        coarse = jnp.exp(jnp.log(self.g) - self.gamma * log_granularity + log_size)
        size = jnp.exp(jnp.log(self.a) + log_size)
        data = jnp.exp(jnp.log(self.b) - self.beta * log_tokens)
        return jnp.where(usable, self.c + coarse + size + data, jnp.nan)

    def flops(self, params: Array, tokens: Array, granularity: Array) -> Flops:
        """FLOPs of the active parameters and of the router, Krajewski et al. 2024, eq. 10.

        The width is 64 times the number of blocks, as the paper assumes (Section 6.1). It
        counts training alone; a token served takes a third of a token trained, as in 6 N D.
        """
        per_cube = WIDTH_PER_BLOCK**2 * (8 * EXPANSION + 4)  # N is this times blocks cubed
        blocks = jnp.exp((jnp.log(params) - math.log(per_cube)) / 3)
        width = WIDTH_PER_BLOCK * blocks
        active = ACTIVE_IN_BLOCK * width * width * blocks
        router = width * EXPANSION * granularity * blocks
        per_token = TRAIN_FLOPS * active + ROUTER_FLOPS * router
        serving = per_token * INFERENCE_FLOPS / TRAIN_FLOPS
        return Flops(per_token * tokens, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        positive = all_positive(self.g, self.gamma, self.a, self.alpha, self.b, self.beta)
        return is_nonnegative(self.c) & positive


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Abnar:
    """Loss by size, data and sparsity, Abnar et al. 2025, arXiv 2501.12370, eq. 6.

    `params` are all parameters; `sparsity` is the share of experts that a token does not
    use. `a`, `b`, `c`, `d`, `alpha`, `beta` and `gamma` are positive, `e` is not negative;
    `lambda_` and `delta` have any sign.

    Examples:
        >>> law = js.laws.published("abnar2025")
        >>> print(np.asarray(law.loss(1e10, 1e11, sparsity=np.array([0.5, 0.9]))).round(3))
        [2.102 2.15 ]
    """

    a: Real
    alpha: Real
    b: Real
    beta: Real
    c: Real
    lambda_: Real
    d: Real
    delta: Real
    gamma: Real
    e: Real  # irreducible loss, nats per token

    equation: ClassVar[str] = (
        "L(N, D, S) = a / N^alpha + b / D^beta + c / (1 - S)^lambda "
        "+ d / ((1 - S)^delta N^gamma) + e"
    )
    has_experts: ClassVar[bool] = True
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"sparsity": (0.0, 0.98)}

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "a": Coefficient((1e2, 1e3, 1e4)),
        "alpha": Coefficient((0.3, 0.6)),
        "b": Coefficient((1e2, 1e3, 1e4)),
        "beta": Coefficient((0.2, 0.4)),
        "c": Coefficient((0.2, 1.0)),
        "lambda_": Coefficient((-0.2, 0.2), positive=False),
        "d": Coefficient((1.0, 10.0)),
        "delta": Coefficient((-0.2, 0.2), positive=False),
        "gamma": Coefficient((0.1, 0.2)),
        "e": Coefficient((0.5, 1.5)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, sparsity: ArrayLike) -> Array:
        """Loss in nats per token where a share `sparsity` of the experts is idle."""
        return checked_loss(self, params, tokens, sparsity=sparsity)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, sparsity: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        usable = sparsity < 1
        log_active = jnp.log(where_safe(usable, 1 - sparsity))
        size = jnp.exp(jnp.log(self.a) - self.alpha * log_params)
        data = jnp.exp(jnp.log(self.b) - self.beta * log_tokens)
        idle = jnp.exp(jnp.log(self.c) - self.lambda_ * log_active)
        both = jnp.exp(jnp.log(self.d) - self.delta * log_active - self.gamma * log_params)
        return jnp.where(usable, size + data + idle + both + self.e, jnp.nan)

    def flops(self, params: Array, tokens: Array, sparsity: Array) -> Flops:
        """6 N D, 2 N and 2 N of the active parameters, taken to be `params (1 - sparsity)`.

        As if every parameter were an expert's: attention and embeddings, which all tokens
        use, are counted short by the same share, and the router is left out.
        """
        active = params * (1 - sparsity)
        serving = INFERENCE_FLOPS * active
        return Flops(TRAIN_FLOPS * active * tokens, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        exponents = all_positive(self.alpha, self.beta, self.gamma)
        positive = exponents & all_positive(self.a, self.b, self.c, self.d)
        return is_nonnegative(self.e) & positive & is_finite(self.lambda_) & is_finite(self.delta)
