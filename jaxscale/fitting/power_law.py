"""A size as a power law of training FLOPs, and the line in logarithms that gives it.

All of it is NumPy in float64.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PowerLaw:
    """`coefficient * flops^exponent`; fields are float64 scalars, or arrays of resamples."""

    coefficient: Any
    exponent: Any

    def __call__(self, flops: Any) -> np.ndarray:
        """The size at `flops` training FLOPs, which broadcast with the fields."""
        log_flops = np.log(np.asarray(flops, np.float64))
        # A factor may overflow where the product does not.
        return np.exp(np.log(self.coefficient) + self.exponent * log_flops)


def line(log_flops: np.ndarray, log_size: np.ndarray, weights: np.ndarray) -> PowerLaw:
    """Weighted least squares in logarithms, a law for each row; NaN for one without weights."""
    used = weights > 0
    x, y = np.where(used, log_flops, 0), np.where(used, log_size, 0)
    with np.errstate(invalid="ignore"):  # 0 / 0
        share = weights / weights.sum(axis=-1, keepdims=True)
        centre = (share * x).sum(axis=-1, keepdims=True)
        middle = (share * y).sum(axis=-1)
        lever = share * (x - centre)
        exponent = (lever * y).sum(axis=-1) / (lever * (x - centre)).sum(axis=-1)
    return PowerLaw(np.exp(middle - exponent * centre[..., 0]), exponent)
