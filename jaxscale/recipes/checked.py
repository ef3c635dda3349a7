"""What every formula of a recipe shares: dtype, shapes, bad values, and one exponential."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _arrays
from jaxscale._values import has_normal_exp, is_positive, where_safe
from jaxscale.laws.protocol import is_valid, made_safe


def exp_of(log_answer: Callable[..., Array], law: Any, **numbers: ArrayLike) -> Array:
    """Answer of `log_answer(law, *logarithms of the numbers)`, all of which broadcast.

    NaN with zero derivatives where a number is not positive, where the law is not valid, and
    where the answer is too large or too small for its dtype. Raises TypeError or ValueError for
    wrong structure, naming the argument.
    """
    law, *values = _arrays.enter(law=law, **numbers)
    return _exp_of(log_answer, law, values)


@partial(jax.jit, static_argnums=0)
def _exp_of(log_answer, law, values):
    law, values = _arrays.align(law, values)
    answer = is_valid(law)
    for each in values:
        answer = answer & is_positive(each)
    found = log_answer(
        made_safe(law, answer), *(jnp.log(where_safe(answer, each)) for each in values)
    )
    answer &= has_normal_exp(found)
    return jnp.where(answer, jnp.exp(where_safe(answer, found)), jnp.nan)
