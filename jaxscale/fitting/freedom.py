"""How the coefficients of any law may move, and where a fit of them begins.

`constraints` and `starts` say the same for the Chinchilla law, of which more is known.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from jaxscale.fitting.chinchilla_kernel import Prior
from jaxscale.fitting.constraints import LEAST_E_SHARE, Constraints, pair_of, place_of
from jaxscale.fitting.model import AnyLaw
from jaxscale.fitting.starts import Starts
from jaxscale.laws.fitted import Coefficient

MOST_STARTS = 512  # of a grid: enough for all families here, and each costs about a millisecond
# Of a coefficient that is positive. A term that the runs do not want falls for ever, and no family
# needs a number beyond these.
LEAST, MOST = 1e-30, 1e30
Pairs = Mapping[str, tuple[float, float]]


class Asked(NamedTuple):
    """What `fit` was asked to hold of the coefficients."""

    fixed: Mapping[str, float]
    tie: Sequence[Sequence[str]]
    bounds: Pairs
    prior: Pairs


def check_asked(asked: Asked, known: Mapping[str, Coefficient]) -> None:
    """Raises ValueError for a name that is no coefficient, or of which two things are asked."""
    names = list(known)
    tied = [name for group in asked.tie for name in _group(group)]
    for argument, given in (asked._replace(tie=tied))._asdict().items():
        for name in given:
            place_of(argument, name, names)
    for name, value in asked.fixed.items():
        if not math.isfinite(value) or (known[name].positive and value < 0):
            raise ValueError(f"fixed[{name!r}] must be finite, and 0 or more; got {value!r}")
        if name in asked.bounds or name in asked.prior:
            raise ValueError(f"{name} is fixed: it takes no bounds and no prior")
    for name in tied:
        others = {*asked.fixed, *asked.bounds, *asked.prior}
        if name in others or tied.count(name) > 1:
            raise ValueError(f"{name} is tied: tie it once, and neither fix, bound nor expect it")
    if set(asked.fixed) == set(known):
        raise ValueError(f"fixed holds every coefficient of {', '.join(names)}: none is fitted")


def _group(group):
    if isinstance(group, str) or len(group) < 2:
        raise ValueError(f"tie must hold groups of two names or more; got {group!r}")
    return group


def constraints_of_law(
    law: AnyLaw,
    known: Mapping[str, Coefficient],
    unit: float,
    asked: Asked,
    loss: np.ndarray,
) -> Constraints:
    """The constraints on what is free. `unit` is what one deviation of a prior costs.

    Raises ValueError for numbers that a coefficient cannot take.
    """
    size = len(law.free)
    low, high = np.array([_limits(law, known, name) for name in law.free]).T
    for name, pair in asked.bounds.items():
        low[law.free.index(name)], high[law.free.index(name)] = _bounds(law, name, pair)
    least = least_of_e(law, loss)
    if least is not None:
        low[law.free.index("E")] = max(low[law.free.index("E")], least)
    projection = np.eye(size)
    for group in asked.tie:
        places = [law.free.index(name) for name in group]
        if len({law.positive[place] for place in places}) > 1:
            raise ValueError(f"tie: {', '.join(group)} are not all positive, or all of any sign")
        projection[np.ix_(places, places)] = 1 / len(places)
        low[places], high[places] = low[places].max(), high[places].min()
    mean, precision = np.zeros(size), np.zeros(size)
    for name, pair in asked.prior.items():
        place = law.free.index(name)
        centre, deviation = pair_of(f"prior[{name!r}]", pair)
        if not 0 < deviation < math.inf:
            raise ValueError(f"prior[{name!r}] must have a deviation above 0; got {deviation!r}")
        if not math.isfinite(centre) or (law.positive[place] and centre <= 0):
            raise ValueError(f"prior[{name!r}] must be finite and above 0; got {centre!r}")
        mean[place] = math.log(centre) if law.positive[place] else centre
        precision[place] = (unit / deviation) ** 2
    return Constraints(projection, np.zeros(size), low, high, Prior(mean, precision))


def least_of_e(law: AnyLaw, loss: np.ndarray) -> float | None:
    """The logarithm of an E that is 0 as far as data can tell, as of Chinchilla.

    None where a law has no E that is free and positive, or losses of any sign.
    """
    if not law.logarithm or "E" not in law.free or not law.positive[law.free.index("E")]:
        return None
    return math.log(float(np.min(loss)) * LEAST_E_SHARE)


def _limits(law, known, name):
    return _coordinates(law, name, known[name].low, known[name].high)


def _bounds(law, name, pair):
    low, high = pair_of(f"bounds[{name!r}]", pair)
    least = 0 if law.positive[law.free.index(name)] else -math.inf
    if not least <= low < high:
        rule = "0 or more and ascending" if least == 0 else "ascending"
        raise ValueError(f"bounds[{name!r}] must be {rule}; got {pair!r}")
    return _coordinates(law, name, low, high)


def _coordinates(law, name, low, high):
    if not law.positive[law.free.index(name)]:
        return low, high
    return math.log(max(low, LEAST)), math.log(min(high, MOST))


def at_ends(law: AnyLaw, coordinates: np.ndarray) -> np.ndarray:
    """Which coefficients fell or rose as far as they may without having been told to stop."""
    logs = np.array(law.positive)
    return logs & ((coordinates <= math.log(LEAST)) | (coordinates >= math.log(MOST)))


def starts_of_law(law: AnyLaw, known: Mapping[str, Coefficient], given: Any) -> Starts:
    """Coordinates of shape (free, starts): a law's own fields, or a grid of what its family says.

    Of a grid with more than 512 places, as many are taken at random, the same ones each time.
    Raises TypeError for another kind of start, ValueError for a law that is not finite, or not
    positive where it has to be.
    """
    if given is None:
        return _grid(law, known)
    if not isinstance(given, law.law):
        raise TypeError(f"starts must be None, or a {law.law.__name__} of arrays; got {given!r}")
    values = [np.ravel(np.asarray(getattr(given, field.name), float)) for field in fields(given)]
    numbers = dict(zip(known, np.stack(np.broadcast_arrays(*values)), strict=True))
    coordinates = law.coordinates(np.stack([numbers[name] for name in law.free]))
    if not np.isfinite(coordinates).all():
        raise ValueError("starts must be finite, and above 0 for coefficients that are positive")
    return Starts(coordinates, "starts given")


def _grid(law, known):
    each = [np.asarray(known[name].starts, float) for name in law.free]
    sizes = [len(values) for values in each]
    total = math.prod(sizes)
    places = np.arange(total)
    if total > MOST_STARTS:
        places = np.random.default_rng(0).choice(total, MOST_STARTS, replace=False)
    found = np.unravel_index(places, sizes)
    values = np.stack([x[place] for x, place in zip(each, found, strict=True)])
    return Starts(law.coordinates(values), "grid of starts")
