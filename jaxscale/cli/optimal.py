"""Compute-optimal training with no demand: the one size that belongs to the other.

At the lowest loss for a training budget both terms of the law fall equally fast,
`alpha A / N^alpha = beta B / D^beta` (Hoffmann et al. 2022, eq. 4).
"""

import math

from jaxscale.laws import Chinchilla


def optimal_tokens(law: Chinchilla, params: float) -> float:
    """Training tokens that make `params` the best size for the FLOPs."""
    return _other(params, (law.A, law.alpha), (law.B, law.beta))


def optimal_params(law: Chinchilla, tokens: float) -> float:
    """Params that make `tokens` the best training length for the FLOPs."""
    return _other(tokens, (law.B, law.beta), (law.A, law.alpha))


def _other(size, known, other):
    (known_scale, known_exponent), (other_scale, other_exponent) = known, other
    log_slope = _log(other_scale) + _log(other_exponent) - _log(known_scale) - _log(known_exponent)
    log_size = (log_slope + known_exponent * _log(size)) / other_exponent
    if not abs(log_size) < math.log(1e300):
        raise ValueError("the compute-optimal plan is beyond the range of float64")
    return math.exp(log_size)


def _log(x) -> float:
    return math.log(float(x))
