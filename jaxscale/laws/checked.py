"""What public functions do around a law's formula: dtype, shapes, bad values."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import has_normal_exp, is_positive, where_safe
from jaxscale.laws.protocol import are_finite, is_valid, levers_of, made_safe


def checked_loss(law: Any, params: ArrayLike, tokens: ArrayLike, **levers: ArrayLike) -> Array:
    """`law.loss_from_logs` of any numbers that broadcast; NaN with zero derivatives for bad ones.

    Raises TypeError or ValueError for wrong structure, naming the argument.
    """
    known = levers_of(law)
    if set(levers) != set(known):
        given, needed = (", ".join(sorted(names)) or "none" for names in (levers, known))
        raise TypeError(f"levers of {type(law).__name__} are {needed}; got {given}")
    law, params, tokens, *values = arrays.enter(law=law, params=params, tokens=tokens, **levers)
    return _loss(law, params, tokens, dict(zip(levers, values, strict=True)))


@compiled
def _loss(law, params, tokens, levers):
    law, params, tokens, levers = arrays.align(law, params, tokens, levers)
    answer = is_valid(law) & are_finite(levers) & is_positive(params) & is_positive(tokens)
    law, levers = made_safe(law, answer), made_safe(levers, answer)
    log_params = jnp.log(where_safe(answer, params))
    log_tokens = jnp.log(where_safe(answer, tokens))
    return jnp.where(answer, law.loss_from_logs(log_params, log_tokens, **levers), jnp.nan)


def exp_of(log_answer: Callable[..., Array], law: Any, **numbers: ArrayLike) -> Array:
    """Answer of `log_answer(law, *logarithms of the numbers)`, all of which broadcast.

    NaN with zero derivatives where a number is not positive, where the law is not valid, and
    where the answer is too large or too small for its dtype. Raises TypeError or ValueError for
    wrong structure, naming the argument.
    """
    law, *values = arrays.enter(law=law, **numbers)
    return _exp_of(log_answer, law, values)


@partial(compiled, static=1)
def _exp_of(log_answer, law, values):
    law, values = arrays.align(law, values)
    answer = is_valid(law)
    for each in values:
        answer = answer & is_positive(each)
    found = log_answer(
        made_safe(law, answer), *(jnp.log(where_safe(answer, each)) for each in values)
    )
    answer &= has_normal_exp(found)
    return jnp.where(answer, jnp.exp(where_safe(answer, found)), jnp.nan)
