# pyright: reportUnknownMemberType=false
"""Coordinates in which a search goes better than in the law's own, and the way between the two."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np


class Turn(Protocol):
    """From the coordinates of a search to those of the law; points are the last axis."""

    @property
    def held(self) -> Mapping[str, float]:
        """Numbers that the kernel needs besides its coordinates."""
        ...

    def to_law(self, coordinates: np.ndarray) -> np.ndarray: ...

    def to_search(self, coordinates: np.ndarray) -> np.ndarray: ...

    def slopes(self, point: np.ndarray) -> np.ndarray:
        """Derivatives of the law's coordinates by those of the search, at a point of the search."""
        ...


@dataclass(frozen=True, eq=False)
class Shear:
    """A linear turn, of a matrix whose square is twice itself less the identity."""

    matrix: np.ndarray

    @property
    def held(self) -> Mapping[str, float]:
        return {}

    def to_law(self, coordinates: np.ndarray) -> np.ndarray:
        return self.matrix @ coordinates

    def to_search(self, coordinates: np.ndarray) -> np.ndarray:
        return (2 * np.eye(len(self.matrix)) - self.matrix) @ coordinates

    def slopes(self, point: np.ndarray) -> np.ndarray:
        del point
        return self.matrix


@dataclass(frozen=True, eq=False)
class Reshaped:
    """The turn of a family that is searched as another; see `laws.fitted`."""

    searched: Any
    held: Mapping[str, float]

    def to_law(self, coordinates: np.ndarray) -> np.ndarray:
        return self._made(self.searched.coefficients_of, coordinates)

    def to_search(self, coordinates: np.ndarray) -> np.ndarray:
        return self._made(self.searched.coordinates_of, coordinates)

    def slopes(self, point: np.ndarray) -> np.ndarray:
        def to_law(point: Any) -> Any:
            return self.searched.coefficients_of(point, **self.held)

        with jax.enable_x64(True):
            return np.asarray(cast(Callable[..., Any], jax.jacfwd(to_law))(jnp.asarray(point)))

    def _made(self, function: Callable[..., Any], coordinates: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.array(function(jnp.asarray(coordinates), **self.held))
