"""Starts of a search: points that a user gives, or a grid of the family.

Starts are in the coordinates of the problem that is searched.
"""

from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from jaxscale.fitting.kernel import Kernel, coordinates_of
from jaxscale.fitting.problem import Problem


class Starts(NamedTuple):
    """Coordinates with starts along the last axis, and their name in a report."""

    coordinates: np.ndarray
    name: str


def starts_of(problem: Problem, given: Any) -> Starts:
    """The starts that were asked for; None for the grid of the family.

    Raises TypeError for another kind of start, ValueError for an unknown name and for laws that are
    not finite, or not positive where they have to be.
    """
    kernel = problem.kernel
    if given is None:
        return Starts(grid(problem), kernel.grid_name)
    if isinstance(given, kernel.law):
        return Starts(problem.centred(_coordinates(kernel, given)), "starts given")
    named = kernel.named_starts
    if isinstance(given, str) and given in named:
        return Starts(problem.centred(named[given]()), given)
    choices = ", ".join(["None", *map(repr, named)])
    message = (
        f"starts must be {choices}, or a law of {kernel.law.__name__} with arrays; got {given!r}"
    )
    raise ValueError(message) if isinstance(given, str) and named else TypeError(message)


def grid(problem: Problem, *, few: bool = False) -> np.ndarray:
    """Coordinates of a grid; `few` of them where many resamples each get their own."""
    thin = problem.thin
    return problem.kernel.grid(thin.rows, thin.weights, few=few)


def _coordinates(kernel: Kernel, law: Any) -> np.ndarray:
    """The coordinates of a law with arrays, of shape (coordinates, laws)."""
    names = [field.name for field in fields(law)]
    values = [np.ravel(np.asarray(getattr(law, name), float)) for name in names]
    numbers = dict(zip(names, np.broadcast_arrays(*values), strict=True))
    coordinates = coordinates_of(kernel, np.stack([numbers[name] for name in kernel.names]))
    if not np.isfinite(coordinates).all():
        raise ValueError("starts must be finite, and above 0 for coefficients that are positive")
    return coordinates
