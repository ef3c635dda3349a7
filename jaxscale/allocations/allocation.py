"""How a budget is best split: params and tokens as powers of compute.

Every power is the exponential of a sum of logarithms, so that no factor overflows before the
whole does.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import has_normal_exp, is_finite, is_positive, where_safe
from jaxscale.laws import Chinchilla
from jaxscale.laws.protocol import TRAIN_FLOPS


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Allocation:
    """`N*(C) = params_scale (C / unit)^params_exponent`, and the same of tokens for `D*(C)`.

    C is a training budget in FLOPs. `unit` is what the formula counts it in: 1, 8.64e19 for
    PF-days, 6 where a paper writes C / 6. Fields are scalars or arrays that broadcast with
    each other and with what the methods are given; scales and `unit` are positive, exponents
    finite. Where a number is bad, or a size too large or too small for its dtype, the methods
    return NaN with zero derivatives.

    Examples:
        >>> allocation = js.allocations.published("hoffmann2022_approach2")
        >>> print(f"{allocation.params(1e22):.2g} params, {allocation.tokens(1e22):.2g} tokens")
        8.7e+09 params, 1.9e+11 tokens
    """

    params_scale: Real  # params at C = unit
    params_exponent: Real  # the a of Hoffmann et al. 2022, Section 3
    tokens_scale: Real  # tokens at C = unit
    tokens_exponent: Real  # their b
    unit: Real = 1.0  # FLOPs

    def params(self, flops: ArrayLike) -> Array:
        """Params of the best model that `flops` can train."""
        scale, exponent = self.params_scale, self.params_exponent
        return _size(
            *arrays.enter(params_scale=scale, params_exponent=exponent, unit=self.unit, flops=flops)
        )

    def tokens(self, flops: ArrayLike) -> Array:
        """Tokens that the best model that `flops` can train is trained on."""
        scale, exponent = self.tokens_scale, self.tokens_exponent
        return _size(
            *arrays.enter(tokens_scale=scale, tokens_exponent=exponent, unit=self.unit, flops=flops)
        )

    def tokens_per_param(self, flops: ArrayLike) -> Array:
        """D* / N*, formed in logarithms: known also where one of them is out of range."""
        return _ratio(*arrays.enter(**vars(self), flops=flops))


def from_params(scale: Real, exponent: Real, unit: Real = 1.0) -> Allocation:
    """The allocation of which `N* = scale (C / unit)^exponent` alone is known: D* = C / (6 N*).

    Numbers, or arrays that broadcast. Raises TypeError for what is no number, and ValueError
    for a concrete scale or unit that is not positive and finite, or exponent not finite.

    Examples:
        >>> allocation = js.allocations.from_params(scale=0.1, exponent=0.5)
        >>> print(f"{allocation.tokens(1e22):.2g} tokens")
        1.7e+11 tokens
    """
    _check(scale=scale, exponent=exponent, unit=unit)
    return Allocation(scale, exponent, unit / (TRAIN_FLOPS * scale), 1 - exponent, unit)


def from_tokens(scale: Real, exponent: Real, unit: Real = 1.0) -> Allocation:
    """The allocation of which `D* = scale (C / unit)^exponent` alone is known: N* = C / (6 D*).

    Takes and raises what `from_params` does.

    Examples:
        >>> allocation = js.allocations.from_tokens(scale=1.7, exponent=0.5)
        >>> print(f"{allocation.params(1e22):.2g} params")
        9.8e+09 params
    """
    _check(scale=scale, exponent=exponent, unit=unit)
    return Allocation(unit / (TRAIN_FLOPS * scale), 1 - exponent, scale, exponent, unit)


def from_law(law: Chinchilla) -> Allocation:
    """Where the loss of a Chinchilla law is lowest at C = 6 N D, Hoffmann et al. 2022, eq. 4.

    Fields may be arrays, and derivatives pass. NaN where a coefficient is bad. TypeError for
    another law: its best sizes are no powers of compute; `minimize_loss` finds them.

    Examples:
        >>> allocation = js.allocations.from_law(js.laws.published("hoffmann2022"))
        >>> print(f"{allocation.params(1e22):.2g} params")
        5.2e+09 params
    """
    if not isinstance(law, Chinchilla):
        raise TypeError(f"law must be a Chinchilla law; got {type(law).__name__}")
    return _of_law(*arrays.enter(law=law))


def frontier(law: Chinchilla, functions: Any) -> Allocation:
    """The closed form of `from_law`, with `log` and `exp` of `functions`; checks nothing.

    That module is `math` where a table of numbers must not start JAX.
    """
    exp, total = functions.exp, law.alpha + law.beta
    log_scale = law.log_frontier_scale(functions.log)
    return Allocation(
        params_scale=exp(log_scale),
        params_exponent=law.beta / total,
        tokens_scale=exp(-log_scale),
        tokens_exponent=law.alpha / total,
        unit=float(TRAIN_FLOPS),
    )


@jax.jit
def _of_law(law):
    (law,) = arrays.align(law)
    answer = law.is_valid()
    found = frontier(law.made_safe(), jnp)
    return jax.tree.map(lambda x: jnp.where(answer, x, jnp.nan), found)


@jax.jit
def _size(scale, exponent, unit, flops):
    return _exp(*_log_size(*arrays.align(scale, exponent, unit, flops)))


@jax.jit
def _ratio(params_scale, params_exponent, tokens_scale, tokens_exponent, unit, flops):
    params_scale, params_exponent, tokens_scale, tokens_exponent, unit, flops = arrays.align(
        params_scale, params_exponent, tokens_scale, tokens_exponent, unit, flops
    )
    has_params, log_params = _log_size(params_scale, params_exponent, unit, flops)
    has_tokens, log_tokens = _log_size(tokens_scale, tokens_exponent, unit, flops)
    return _exp(has_params & has_tokens, log_tokens - log_params)


def _log_size(scale, exponent, unit, flops):
    """Whether there is a size, and its logarithm, finite in any case."""
    positive = scale, unit, flops
    answer = is_finite(exponent)
    for each in positive:
        answer &= is_positive(each)
    log_scale, log_unit, log_flops = (jnp.log(where_safe(is_positive(x), x)) for x in positive)
    exponent = where_safe(is_finite(exponent), exponent)
    return answer, log_scale + exponent * (log_flops - log_unit)


def _exp(answer, log_size):
    answer &= has_normal_exp(log_size)
    return jnp.where(answer, jnp.exp(where_safe(answer, log_size)), jnp.nan)


def _check(**numbers: Real) -> None:
    arrays.enter(**numbers)  # names what is no number, and shapes that do not broadcast
    for name, value in numbers.items():
        if not arrays.is_concrete(value):
            continue
        host = np.asarray(value)
        if not (np.isfinite(host) & ((host > 0) | (name == "exponent"))).all():
            rule = "finite" if name == "exponent" else "finite and above 0"
            raise ValueError(f"{name} must be {rule}; got {value!r}")
