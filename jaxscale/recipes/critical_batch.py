"""The critical batch by training tokens; that by loss is the batch of the recipe `kaplan2020`."""

import math

from jax import Array
from jax.typing import ArrayLike

from jaxscale.laws.protocol import exp_of

# Zhang et al. 2024: 22.91 D^0.47 sequences of 512 tokens, with D in 1e9 tokens.
SEQUENCES, EXPONENT = 22.91, 0.47
SEQUENCE_TOKENS, UNIT_OF_TOKENS = 512, 1e9


def critical_batch_of_tokens(tokens: ArrayLike) -> Array:
    """Tokens in the critical batch of a training on `tokens`, Zhang et al. 2024.

    The batch at which steps exceed those of linear scaling by 20 %: a stricter threshold than
    Kaplan's, at which they are twice the fewest. Fitted to models of 85e6 to 1.2e9 params on C4,
    with hardly any dependence on params. NaN with zero derivatives where tokens are not positive.

    Source: Zhang et al. 2024, arXiv 2410.21676.

    Examples:
        >>> print(f"{js.recipes.critical_batch_of_tokens(1e12):.0f}")
        301505
    """
    return exp_of(_log_batch, None, tokens=tokens)


def _log_batch(_: None, log_tokens: Array) -> Array:
    log_scale = math.log(SEQUENCES * SEQUENCE_TOKENS) - EXPONENT * math.log(UNIT_OF_TOKENS)
    return log_scale + EXPONENT * log_tokens
