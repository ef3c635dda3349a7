"""One published recipe, with what a reader must know before using it."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.values import is_positive, where_safe
from jaxscale.laws.protocol import TRAIN_FLOPS
from jaxscale.published import Range, Sized


class RecipeLaw(Protocol):
    """Peak learning rate and batch by size, training length and loss; a frozen pytree.

    Each answer has the shape of those arguments that it depends on. NaN with zero derivatives
    where one of these is not positive.
    """

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Peak learning rate of Adam or AdamW."""
        ...

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch."""
        ...


@dataclass(frozen=True)
class RecipeEntry:
    """A published recipe with what it was fitted to. Not a pytree: its `law` is one.

    Ranges are the smallest and the largest of the runs behind it, as far as the source says.
    """

    name: str
    law: RecipeLaw  # of Python floats
    source: str  # paper and equation or table, or code
    params_convention: str  # what is counted as a parameter
    tokens_convention: str
    schedule: str  # what its learning rates assume
    params_range: Range | None = None
    tokens_range: Range | None = None
    flops_range: Range | None = None  # of 6 N D
    tokens_per_param_range: Range | None = None
    errata: tuple[str, ...] = ()  # faults of the source and limits of the fit, in sentences

    def in_range(self, plan: Sized) -> Array:
        """Whether each plan lies within all ranges that are stated; works under jit.

        Boolean, of the full shape of `params` and `tokens`. False where a number is NaN, so
        where a plan is not ok, and everywhere if no range is stated.
        """
        ranges = (
            self.params_range,
            self.tokens_range,
            self.flops_range,
            self.tokens_per_param_range,
        )
        return _within(ranges, *arrays.enter(params=plan.params, tokens=plan.tokens))


@partial(jax.jit, static_argnums=0)
def _within(ranges, params, tokens):
    params, tokens = arrays.align(params, tokens)
    inside = is_positive(params) & is_positive(tokens)
    log_params, log_tokens = (jnp.log(where_safe(inside, x)) for x in (params, tokens))
    # In logarithms, because N D overflows float32.
    log_flops = log_params + log_tokens + math.log(TRAIN_FLOPS)
    # A plan at a limit is inside, whatever its logarithm rounds to.
    slack = 1 + 8 * float(jnp.finfo(log_flops.dtype).eps)
    log_sizes = log_params, log_tokens, log_flops, log_tokens - log_params
    for log_size, limits in zip(log_sizes, ranges, strict=True):
        if limits is not None:
            low, high = map(math.log, limits)
            inside &= (log_size >= low / slack) & (log_size <= high * slack)
    return inside & any(ranges)
