"""Step Law, Li et al. 2025: learning rate by size and training length, batch by length alone."""

from dataclasses import dataclass, replace
from math import exp
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_positive
from jaxscale.laws.checked import exp_of
from jaxscale.laws.protocol import are_finite
from jaxscale.recipes.entries import RecipeEntry


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StepLaw:
    """Powers of params and tokens, Li et al. 2025, arXiv 2503.04715.

    Scales are positive. Fields broadcast with each other and with what the methods are given.

    Examples:
        >>> law = js.recipes.entry("steplaw2025").law
        >>> print(f"{law.learning_rate(7e9, 1.4e12, 2.0):.2g}")
        0.00092
    """

    rate_scale: Real
    rate_by_params: Real  # exponents
    rate_by_tokens: Real
    batch_scale: Real  # tokens
    batch_by_tokens: Real

    equation: ClassVar[str] = (
        "LR = rate_scale N^rate_by_params D^rate_by_tokens, B = batch_scale D^batch_by_tokens"
    )

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Peak learning rate; `loss` changes nothing. NaN where a number is not positive."""
        del loss
        return exp_of(StepLaw._log_rate, self, params=params, tokens=tokens)

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch, by `tokens` alone. NaN where they are not positive."""
        del params, loss
        return exp_of(StepLaw._log_batch, self, tokens=tokens)

    def _log_rate(self, log_params, log_tokens):
        powers = self.rate_by_params * log_params + self.rate_by_tokens * log_tokens
        return jnp.log(self.rate_scale) + powers

    def _log_batch(self, log_tokens):
        return jnp.log(self.batch_scale) + self.batch_by_tokens * log_tokens

    def is_valid(self) -> Array:
        """Whether both scales are positive and all fields finite."""
        return are_finite(self) & is_positive(self.rate_scale) & is_positive(self.batch_scale)


_PRINTED = RecipeEntry(
    name="steplaw2025",
    law=StepLaw(1.79, -0.713, 0.307, 0.58, 0.571),
    source="Li et al. 2025, arXiv 2503.04715, Table 1; "
    "ranges from the dense runs in step-law/steplaw, data/dense_lr_bs_loss.csv",
    params_convention="without vocabulary: neither embeddings nor the last layer",
    tokens_convention="training tokens seen",
    schedule="peak rate of AdamW: 2000 steps of warm-up, then cosine to a fixed 1e-5 whatever the "
    "peak was; sequences of 2048 tokens",
    params_range=(214_663_680, 1_073_741_824),
    tokens_range=(4e9, 1e11),
    errata=(
        "The rate grows with tokens, which may come with decay to a fixed rate: another schedule "
        "has another best peak.",
        "Rates and batches near the best ones cost little: the runs hold a broad optimum.",
    ),
)
_MEDIANS = replace(
    _PRINTED,
    name="steplaw2025_medians",
    law=StepLaw(exp(0.5780), -0.7122, 0.3070, exp(-0.5563), 0.5713),
    source="medians of 1000 bootstrap fits in step-law/steplaw, "
    "data/1004_fitted_lr_bs_scaling_model_parameters.csv, of Li et al. 2025, arXiv 2503.04715",
    errata=(
        "The fits scatter with standard deviations of 0.62, 0.030 and 0.019 in ln rate_scale and "
        "the exponents of the rate, and of 0.44 and 0.019 in those of the batch.",
        *_PRINTED.errata,
    ),
)

ENTRIES = (_PRINTED, _MEDIANS)
