"""The function `(e^z - 1) / z`, with its derivatives at 0."""

import math
from types import ModuleType

from jaxscale._numerics.arrays import Real

TERMS = 20  # of the series, which is good to 1e-19 within the radius
RADIUS = 1.0


def expm1_over(z: Real, functions: ModuleType) -> Real:
    """`(e^z - 1) / z`, 1 at z = 0; `functions` is `numpy` or `jax.numpy`.

    A series near 0, where derivatives of the quotient lose their digits: the first as 1 / z, and
    the second as its square.
    """
    is_near = abs(z) < RADIUS
    near, far = functions.where(is_near, z, 0.0), functions.where(is_near, 1.0, z)
    series = 0.0
    for term in reversed(range(TERMS)):
        series = series * near + 1 / math.factorial(term + 1)
    return functions.where(is_near, series, functions.expm1(far) / far)
