"""What a family of laws says of its coefficients, so that any of them can be fitted to runs.

| class variable | what it is | without it |
| --- | --- | --- |
| `fitted` | a dict of coefficient to `Coefficient` | each is `ANY` |
| `fits_logarithm` | whether `ln L - ln loss` is made small, or `L - loss` | it is |

Starts surround published values, and decide how soon a search ends rather than where. A loss that
may be negative, as one less that of a unigram model is, has no logarithm.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple


class Coefficient(NamedTuple):
    """Where a fit begins with one coefficient, and between which values it may end.

    Examples:
        >>> js.laws.Coefficient(starts=(0.5, 1.0, 2.0), low=0.1)
        Coefficient(starts=(0.5, 1.0, 2.0), positive=True, low=0.1, high=inf, held=False)
    """

    starts: tuple[float, ...]
    positive: bool = True  # fitted as a logarithm
    low: float = -math.inf
    high: float = math.inf
    held: bool = False  # at its first start: no loss of a run depends on it


# Exponents and irreducible losses lie from 0.1 to 2; what multiplies a power of a size is larger.
ANY = Coefficient(starts=(0.1, 0.5, 2.0, 1e2, 1e4))


def coefficients_of(law: type) -> Mapping[str, Coefficient]:
    """What the family says of each field, in their order; `ANY` where it says nothing."""
    said = getattr(law, "fitted", {})
    return {field.name: said.get(field.name, ANY) for field in fields(law)}


def coordinates_of(law: type) -> tuple[str, ...]:
    """What a covariance of a fit is of: each coefficient, or its logarithm if it is positive."""
    known = coefficients_of(law).items()
    return tuple(f"ln {name}" if each.positive else name for name, each in known)


def held_by(law: type) -> dict[str, float]:
    """What the family holds, by name, because runs say nothing of it."""
    known = coefficients_of(law).items()
    return {name: each.starts[0] for name, each in known if each.held}


def fits_logarithm(law: Any) -> bool:
    """Whether residuals are of logarithms of losses, rather than of losses."""
    return getattr(law, "fits_logarithm", True)
