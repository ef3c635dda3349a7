"""The null model: only compute matters, however it is split. Compare other laws with it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_finite, is_positive
from jaxscale.laws.checked import checked_loss
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import TRAIN_FLOPS


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

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss of `params` parameters trained on `tokens` tokens, in the unit of the fields."""
        return checked_loss(self, params, tokens)

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        return self.intercept - self.slope * (math.log(TRAIN_FLOPS) + log_params + log_tokens)

    def is_valid(self) -> Array:
        """Whether both coefficients are finite and more compute is better."""
        return is_finite(self.intercept) & is_positive(self.slope)
