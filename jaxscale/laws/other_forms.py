"""Laws to fit to your own runs, and a null model; the catalogue has no coefficients of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import (
    all_positive,
    is_finite,
    is_nonnegative,
    is_positive,
    where_safe,
)
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import TRAIN_FLOPS, checked_loss, made_safe, short_repr


@dataclass(frozen=True)
class BrokenPowerLaw:
    """A power law whose exponent changes at breaks, Caballero et al. 2022, arXiv 2210.14891.

    `c`, `d` and `f` are numbers or arrays for one break, or tuples with one of them for each
    break. In logarithms the slope is `-c0` far below the first break and falls by each `c`
    past its `d`; the turn is as sharp as `f` is small. As a law of params and tokens it is
    read along training FLOPs, x = 6 N D, which alone decide, so that it has no best size.
    `a` is not negative; `b`, all `d` and all `f` are positive.

    Examples:
        >>> law = js.laws.BrokenPowerLaw(a=1.7, b=60.0, c0=0.05, c=0.1, d=1e20, f=0.5)
        >>> print(np.asarray(law.value(np.array([1e19, 1e21, 1e23]))).round(2))
        [8.43 5.95 3.83]
    """

    a: Real  # the limit; of a loss, nats per token
    b: Real
    c0: Real
    c: Any
    d: Any  # in units of x
    f: Any

    equation: ClassVar[str] = (
        "y = a + b x^-c0 prod_i (1 + (x / d_i)^(1 / f_i))^(-c_i f_i), x = 6 N D"
    )

    # With one break; a break sharper than a hundredth of an e-fold is a kink.
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "a": Coefficient((0.5, 1.5)),
        "b": Coefficient((10.0, 100.0, 1000.0)),
        "c0": Coefficient((0.05, 0.15), positive=False),
        "c": Coefficient((0.05, -0.05), positive=False),
        "d": Coefficient((1e19, 1e20, 1e21, 1e22)),
        "f": Coefficient((0.3, 1.0), low=0.01),
    }

    def value(self, x: ArrayLike) -> Array:
        """Value of the law at x; NaN with zero derivatives for bad numbers.

        Raises ValueError where `c`, `d` and `f` are not of as many breaks.
        """
        self._breaks()
        return _value(*arrays.enter(law=self, x=x))

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss in nats per token after 6 N D training FLOPs; raises as `value`."""
        self._breaks()
        return checked_loss(self, params, tokens)

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        return self._value_from_log(log(TRAIN_FLOPS) + log_params + log_tokens)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        good = is_nonnegative(self.a) & is_positive(self.b) & is_finite(self.c0)
        for c, d, f in self._breaks():
            good = good & is_finite(c) & is_positive(d) & is_positive(f)
        return good

    def _value_from_log(self, log_x: Array) -> Array:
        log_power = jnp.log(self.b) - self.c0 * log_x
        for c, d, f in self._breaks():
            # A softplus neither overflows far above the break nor loses digits below it.
            log_power -= c * f * jax.nn.softplus((log_x - jnp.log(d)) / f)
        return self.a + jnp.exp(log_power)

    def _breaks(self) -> list[tuple[Any, Any, Any]]:
        columns = [x if isinstance(x, tuple) else (x,) for x in (self.c, self.d, self.f)]
        counts = [len(column) for column in columns]
        if len(set(counts)) > 1:
            raise ValueError(f"c, d and f need one number for each break; got {counts} of them")
        return list(zip(*columns, strict=True))


# By hand, because a law's leaves must lie one level deep: entry checks name each by its field.
def _flatten(law: BrokenPowerLaw) -> tuple[list[tuple[Any, Any]], tuple[int | None, ...]]:
    leaves = [(jax.tree_util.GetAttrKey(name), getattr(law, name)) for name in ("a", "b", "c0")]
    counts = []
    for name in ("c", "d", "f"):
        field = getattr(law, name)
        counts.append(len(field) if isinstance(field, tuple) else None)
        column = field if isinstance(field, tuple) else (field,)
        leaves += [(jax.tree_util.GetAttrKey(name), each) for each in column]
    return leaves, tuple(counts)


def _unflatten(counts: tuple[int | None, ...], leaves: Any) -> BrokenPowerLaw:
    a, b, c0, *rest = leaves
    columns = []
    for count in counts:
        columns.append(rest[0] if count is None else tuple(rest[:count]))
        rest = rest[1 if count is None else count :]
    return BrokenPowerLaw(a, b, c0, *columns)


jax.tree_util.register_pytree_with_keys(BrokenPowerLaw, _flatten, _unflatten)


@jax.jit
def _value(law, x):
    law, x = arrays.align(law, x)
    good = law.is_valid() & is_positive(x)
    value = made_safe(law, good)._value_from_log(jnp.log(where_safe(good, x)))
    return jnp.where(good, value, jnp.nan)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Frantar:
    """Loss by sparsity, size and data, Frantar et al. 2023, arXiv 2309.08520, eq. 1.

    `params` are the parameters that are not zero, `sparsity` the share of all that are. The
    default FLOPs are of those that are not zero, as if zeros cost nothing in training
    either; sparsity is then free and an optimum over it lies at the end of its range.
    All coefficients are positive; `c` may be 0.

    Examples:
        >>> law = js.laws.Frantar(a_S=17.0, b_S=0.7, c_S=45.0, b_N=0.25, a_D=7e8, b_D=0.2, c=0.65)
        >>> print(np.asarray(law.loss(1e8, 1e11, sparsity=np.array([0.0, 0.5]))).round(3))
        [1.641 1.575]
    """

    a_S: Real
    b_S: Real
    c_S: Real
    b_N: Real
    a_D: Real
    b_D: Real
    c: Real  # irreducible loss, nats per token

    equation: ClassVar[str] = "L(S, N, D) = (a_S (1 - S)^b_S + c_S) / N^b_N + (a_D / D)^b_D + c"
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"sparsity": (0.0, 0.95)}

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "a_S": Coefficient((10.0, 100.0)),
        "b_S": Coefficient((0.5, 1.0)),
        "c_S": Coefficient((10.0, 100.0)),
        "b_N": Coefficient((0.2, 0.4)),
        "a_D": Coefficient((1e7, 1e9)),
        "b_D": Coefficient((0.2, 0.5)),
        "c": Coefficient((0.5, 1.5)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, sparsity: ArrayLike) -> Array:
        """Loss in nats per token where a share `sparsity` of all parameters is zero."""
        return checked_loss(self, params, tokens, sparsity=sparsity)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, sparsity: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        usable = sparsity < 1
        log_kept = jnp.log(where_safe(usable, 1 - sparsity))
        log_size = -self.b_N * log_params
        kept = jnp.exp(jnp.log(self.a_S) + self.b_S * log_kept + log_size)
        size = jnp.exp(jnp.log(self.c_S) + log_size)
        data = jnp.exp(self.b_D * (jnp.log(self.a_D) - log_tokens))
        return jnp.where(usable, kept + size + data + self.c, jnp.nan)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        size = all_positive(self.a_S, self.b_S, self.c_S, self.b_N)
        return is_nonnegative(self.c) & size & all_positive(self.a_D, self.b_D)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ComputeOnly:
    """Loss as a straight line in the logarithm of compute, Guo 2024, arXiv 2404.19484.

    The hypothesis of that paper, at odds with every other law here: no split of a budget
    is better than another, so there is no best plan to find. The slope is positive. The
    line crosses 0 at `exp(intercept / slope)` FLOPs and means nothing long before. Where a
    number is bad, `loss` is NaN with zero derivatives. No coefficients ship.

    Examples:
        >>> law = js.laws.ComputeOnly(intercept=8.0, slope=0.12)
        >>> print(f"{law.loss(1e9, 2e10):.2f}")
        2.45
    """

    intercept: Real  # in the unit of the loss that it was fitted to, at 1 FLOP
    slope: Real  # the same, per e-fold of FLOPs

    equation: ClassVar[str] = "L(N, D) = intercept - slope ln(6 N D)"

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "intercept": Coefficient((10.0,), positive=False),
        "slope": Coefficient((0.1,)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss of `params` parameters trained on `tokens` tokens, in the unit of the fields."""
        return checked_loss(self, params, tokens)

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        return self.intercept - self.slope * (log(TRAIN_FLOPS) + log_params + log_tokens)

    def is_valid(self) -> Array:
        """Whether both coefficients are finite and more compute is better."""
        return is_finite(self.intercept) & is_positive(self.slope)
