"""Families of shapes: one shape for each number of parameters."""

from dataclasses import dataclass, field, fields, replace

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.sum_of_powers import Power, log_root, log_sum_at
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.architectures.architecture import OPTIONAL, STATIC, Architecture, with_zeros


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Family:
    """Shapes of `layers = scale * width^power`, with all else in proportion to the width.

    Heads add up to the width, and positions are not learned. Numbers broadcast; they are
    positive, but for `power`, which is above -1. Far from the sizes of the models behind a family,
    its shape is that of a formula and of no model: look at its `layers`.

    Examples:
        >>> print(f"{js.architectures.LLAMA.architecture(7e9).width:.0f}")
        4189
    """

    scale: Real
    power: Real
    head_size: Real
    ff_ratio: Real  # of the inner width of a feed-forward part to the width
    kv_group: Real  # query heads that share a head of keys and values
    vocabulary: Real
    context: Real  # tokens
    experts: Real = 1.0  # feed-forward parts in each layer
    active_experts: Real = 1.0  # of them, those that one token runs through
    gated: bool = field(kw_only=True, metadata=STATIC)
    tied: bool = field(kw_only=True, metadata=STATIC)

    def architecture(self, params: ArrayLike) -> Architecture:
        """The shape with exactly `params` parameters in all, so its numbers are not whole.

        Within 1e-14 of them in float64 and 1e-5 in float32. Broadcasts, and can be differentiated
        any number of times. Where a number is bad, so is the shape: NaN with zero derivatives.
        """
        names = [each.name for each in fields(self) if each.metadata != STATIC]
        fields_of_numbers = {name: getattr(self, name) for name in names}
        *numbers, params = arrays.enter(**fields_of_numbers, params=params)
        family = replace(self, **dict(zip(names, numbers, strict=True)))
        return with_zeros(_architecture(family, params))

    def is_valid(self) -> Array:
        """Whether the numbers are those of a family."""
        good = is_finite(self.power) & (self.power > -1) & (self.kv_group >= 1)
        good &= self.active_experts <= self.experts
        positive = replace(self, power=self.scale)  # the others
        for each in jax.tree.leaves(positive):
            good &= is_positive(each)
        return good


@jax.jit
def _architecture(family, params):
    family, params = arrays.align(family, params)
    good = family.is_valid() & is_positive(params)
    family, params = jax.tree.map(lambda x: where_safe(good, x), (family, params))
    shape = architecture_of_log(family, jnp.log(params))
    shape = replace(shape, **dict.fromkeys(OPTIONAL))  # not to be arrays of zeros
    return jax.tree.map(lambda x: jnp.where(good, x, jnp.nan), shape)


def architecture_of_log(family: Family, log_params: Array) -> Architecture:
    """The shape at a natural logarithm of parameters; checks and converts nothing."""
    return architecture_of_width(family, log_root(_terms(family), log_params))


def log_width_of_counted(
    family: Family, log_params: Array, *, embeddings: bool, idle: bool
) -> Array:
    """Logarithm of the width at that of params; checks and converts nothing.

    Params are all, or those of matrices that a token runs through (no `embeddings`), or those with
    embeddings but without idle experts (no `idle`).
    """
    terms = _terms_of_matrices(family)
    if embeddings:
        square, *others = _terms(family)
        terms = square if idle else terms[0], *others
    return log_root(terms, log_params)


def log_params_of(family: Family, log_width: Array) -> Array:
    """Logarithm of the parameters at a logarithm of the width; checks and converts nothing."""
    log_sum, _ = log_sum_at(_terms(family), log_width)
    return log_sum


def _terms(family: Family) -> tuple[Power, ...]:
    """What `Architecture.params` adds up: matrices, norms and routers of layers, and embeddings.

    The last norm is with the embeddings.
    """
    one = jnp.ones_like(family.power)
    per_expert = (3 if family.gated else 2) * family.ff_ratio
    per_square = 2 + 2 / family.kv_group + family.experts * per_expert
    # Two norms, and the router where there is a choice.
    per_width = 2 * one + jnp.where(family.experts > 1, family.experts, 0)
    tables = 1 if family.tied else 2
    log_scale = jnp.log(family.scale)
    return (
        Power(log_scale + jnp.log(per_square), 2 + family.power),
        Power(log_scale + jnp.log(per_width), 1 + family.power),
        Power(jnp.log(1 + tables * family.vocabulary), one),
    )


def _terms_of_matrices(family: Family) -> tuple[Power, ...]:
    """What `Architecture.active_non_embedding_params` adds up: matrices and routers of layers."""
    per_expert = (3 if family.gated else 2) * family.ff_ratio
    per_square = 2 + 2 / family.kv_group + family.active_experts * per_expert
    log_scale = jnp.log(family.scale)
    routers = jnp.where(family.experts > 1, family.experts, 0)
    return (
        Power(log_scale + jnp.log(per_square), 2 + family.power),
        Power(log_scale + jnp.log(routers), 1 + family.power),
    )


def architecture_of_width(family: Family, log_width: Array) -> Architecture:
    """The shape at a natural logarithm of the width; checks and converts nothing."""
    width = jnp.exp(log_width)
    heads = width / family.head_size
    return Architecture(
        layers=jnp.exp(jnp.log(family.scale) + family.power * log_width),
        width=width,
        heads=heads,
        kv_heads=heads / family.kv_group,
        head_size=family.head_size,
        ff_width=family.ff_ratio * width,
        vocabulary=family.vocabulary,
        context=family.context,
        experts=family.experts,
        active_experts=family.active_experts,
        gated=family.gated,
        tied=family.tied,
    )


# Least squares of ln layers on ln width over Hoffmann et al. 2022, Table A4: 10, 20, 24, 26, 28
# and 40 layers of width 640, 1024, 1280, 1792, 2048 and 3584. Heads of 128 are those of the last
# four; a vocabulary of 32000 and 2048 tokens are what the table's FLOPs hold for.
CHINCHILLA = Family(
    scale=0.1017,
    power=0.7406,
    head_size=128.0,
    ff_ratio=4.0,
    kv_group=1.0,
    vocabulary=32000.0,
    context=2048.0,
    gated=False,
    tied=True,
)
# The same over Touvron et al. 2023, Table 2: 32, 40, 60 and 80 layers of width 4096, 5120, 6656
# and 8192. A gate on two thirds of 4 w keeps the parameters (their Section 2.2).
LLAMA = Family(
    scale=0.0004166,
    power=1.3487,
    head_size=128.0,
    ff_ratio=8 / 3,
    kv_group=1.0,
    vocabulary=32000.0,
    context=2048.0,
    gated=True,
    tied=False,
)

# By the name that a user writes.
FAMILIES = {"llama": LLAMA, "chinchilla": CHINCHILLA}
