"""What repeated sampling asks of a model: more tokens written, and perhaps more read."""

import numpy as np
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale.costs import Demand


def demand_of_attempts(
    requests: ArrayLike,
    *,
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    attempts: ArrayLike,
    shared_prompt: bool = True,
) -> Demand:
    """Demand of `requests` requests that are each answered `attempts` times.

    Tokens are those of one attempt: T_in + k T_out are served for a request whose prompt is
    read once, else k (T_in + T_out). Priced at 2 N FLOPs a token, as every demand is.
    Raises ValueError for a concrete count that is negative or not finite, or attempts below 1.

    Examples:
        >>> tokens = {"input_tokens": 70, "output_tokens": 215}  # of one attempt
        >>> js.repeated_sampling.demand_of_attempts(1e9, **tokens, attempts=10)
        Demand(input_tokens=70000000000.0, output_tokens=2150000000000.0)
    """
    arrays.enter(
        requests=requests, input_tokens=input_tokens, output_tokens=output_tokens, attempts=attempts
    )
    if arrays.is_concrete(attempts):
        host = np.asarray(attempts, np.float64)
        if not ((host >= 1) & (host < np.inf)).all():
            raise ValueError(f"attempts must be finite and at least 1; got {attempts!r}")
    once = Demand.from_requests(requests, input_tokens=input_tokens, output_tokens=output_tokens)
    often = Demand.from_requests(
        attempts, input_tokens=once.input_tokens, output_tokens=once.output_tokens
    )
    return Demand(once.input_tokens, often.output_tokens) if shared_prompt else often
