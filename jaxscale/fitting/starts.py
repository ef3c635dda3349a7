"""Where a fit begins: points that a user gives, or a grid that the family says.

Starts are in the coordinates of the problem that is searched, wherever they come from.
"""

import math
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from jaxscale.fitting.kernel import Kernel, coordinates_of
from jaxscale.fitting.problem import Problem
from jaxscale.laws.fitted import coefficients_of

MOST_STARTS = 512  # of a grid: enough for all families here, and each costs about a millisecond
FEW_STARTS = 36


class Starts(NamedTuple):
    """Coordinates with starts along the last axis, and what they are called."""

    coordinates: np.ndarray
    name: str


def starts_of(problem: Problem, given: Any) -> Starts:
    """The starts that were asked for; None for the grid of the family.

    Raises TypeError for another kind of start, ValueError for an unknown name and for laws that are
    not finite, or not positive where they have to be.
    """
    kernel = problem.kernel
    if given is None:
        return grid(problem)
    if isinstance(given, kernel.law):
        return Starts(problem.centred(_coordinates(kernel, given)), "starts given")
    named = getattr(kernel, "named_starts", {})
    if isinstance(given, str) and given in named:
        return Starts(problem.centred(named[given]()), given)
    choices = ", ".join(["None", *map(repr, named)])
    message = f"starts must be {choices}, or a {kernel.law.__name__} of arrays; got {given!r}"
    raise ValueError(message) if isinstance(given, str) and named else TypeError(message)


def grid(problem: Problem, *, few: bool = False) -> Starts:
    """A grid of starts; `few` of them where many resamples each get their own.

    Of a grid with more points than are wanted, as many are taken at random, the same ones each
    time.
    """
    kernel, known = problem.kernel, coefficients_of(problem.kernel.law)
    if hasattr(kernel, "grid"):
        thin = problem.thin
        points = kernel.grid(thin.rows, thin.weights, few=few)  # pyright: ignore[reportAttributeAccessIssue]
        return Starts(points, "grid of exponents")
    each = [np.asarray(known[name].starts, float) for name in kernel.names]
    sizes, most = [len(values) for values in each], FEW_STARTS if few else MOST_STARTS
    chosen = np.arange(math.prod(sizes))
    if chosen.size > most:
        chosen = np.random.default_rng(0).choice(chosen.size, most, replace=False)
    index = np.unravel_index(chosen, sizes)
    values = np.stack([x[i] for x, i in zip(each, index, strict=True)])
    return Starts(coordinates_of(kernel, values), "grid of starts")


def _coordinates(kernel: Kernel, law: Any) -> np.ndarray:
    """Of a law with arrays, of shape (coordinates, laws)."""
    names = [field.name for field in fields(law)]
    values = [np.ravel(np.asarray(getattr(law, name), float)) for name in names]
    numbers = dict(zip(names, np.broadcast_arrays(*values), strict=True))
    found = coordinates_of(kernel, np.stack([numbers[name] for name in kernel.names]))
    if not np.isfinite(found).all():
        raise ValueError("starts must be finite, and above 0 for coefficients that are positive")
    return found
