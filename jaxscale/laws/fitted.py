"""Starts and bounds of coefficients, by which any family of laws can be fitted to runs.

| class variable | what it is | without it |
| --- | --- | --- |
| `fitted` | a dict of coefficient to `Coefficient` | each is `ANY` |
| `fits_logarithm` | whether residuals are `ln L - ln loss`, or `L - loss` | they are |
| `searched_as` | the same laws in other coefficients, as `FarseerAtMiddle` | its own |

Starts surround published values: they decide how fast a search converges rather than where. A loss
that may be negative, such as one relative to a unigram model, has no logarithm.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple


class Coefficient(NamedTuple):
    """Starts and bounds of one coefficient in a fit.

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


def searched_as(law: type) -> Any:
    """The class with the coefficients that a fit of the family searches; None for its own.

    It is made of its own coefficients, `middle_params` and `middle_tokens`, natural logarithms, and
    has `coefficients_of` and `coordinates_of`, which turn all of them into the family's and back.
    """
    return getattr(law, "searched_as", None)


def coefficients_of(law: type) -> Mapping[str, Coefficient]:
    """The `Coefficient` of each field, in their order; `ANY` where the family has none."""
    fitted = getattr(law, "fitted", {})
    return {field.name: fitted.get(field.name, ANY) for field in fields(law)}


def coordinates_of(law: type) -> tuple[str, ...]:
    """Coordinates of a fit's covariance: each coefficient, or its logarithm if it is positive."""
    known = coefficients_of(law).items()
    return tuple(f"ln {name}" if each.positive else name for name, each in known)


def held_by(law: type) -> dict[str, float]:
    """Coefficients that a fit holds, by name: no loss of a run depends on them."""
    coefficients = coefficients_of(law).items()
    return {name: each.starts[0] for name, each in coefficients if each.held}


def fits_logarithm(law: Any) -> bool:
    """Whether residuals are of logarithms of losses, rather than of losses."""
    return getattr(law, "fits_logarithm", True)
