"""Chunks of a space: contiguous ranges of scenarios, all of one shape.

Scenarios are numbered in C order over the axes of a space. A chunk takes whole axes from
the right while they fit, equal parts of the next axis, and one value of each axis further
left. So chunks follow the numbering, each is one chunk of a labelled array, and what varies
along one axis only is computed once for each of its values.
"""

import math
from typing import NamedTuple

import numpy as np


class Chunks(NamedTuple):
    """A space of `sizes` scenarios along its axes, cut into chunks of `shape`.

    The last chunk along the split axis may reach beyond the space: what lies there is
    computed, masked and not kept.
    """

    sizes: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(
            math.ceil(size / length) for size, length in zip(self.sizes, self.shape, strict=True)
        )

    @property
    def count(self) -> int:
        return math.prod(self.grid)

    @property
    def length(self) -> int:
        """Scenarios in a chunk, those beyond the space included."""
        return math.prod(self.shape)

    def starts(self, numbers: np.ndarray) -> np.ndarray:
        """Index of the first scenario of each chunk along each axis: int64, (chunks, axes)."""
        indices = np.stack(np.unravel_index(np.asarray(numbers, np.int64), self.grid), axis=-1)
        return indices * np.array(self.shape, np.int64)

    def numbers(self, starts: np.ndarray) -> np.ndarray:
        """Numbers of the chunks whose first scenarios have these indices: int64, (chunks,)."""
        indices = tuple((starts // np.array(self.shape, np.int64)).T)
        return np.asarray(np.ravel_multi_index(indices, self.grid), np.int64)

    def slices(self, number: int) -> tuple[slice, ...]:
        """Slices of a chunk in an array of the whole space."""
        starts = self.starts(np.array([number]))[0].tolist()
        return tuple(
            slice(start, min(start + length, size))
            for start, length, size in zip(starts, self.shape, self.sizes, strict=True)
        )

    def inside(self, number: int) -> tuple[slice, ...]:
        """The part of a chunk that lies in the space."""
        return tuple(slice(0, each.stop - each.start) for each in self.slices(number))

    def extents(self, numbers: np.ndarray) -> np.ndarray:
        """Extent of each chunk inside the space along each axis: (chunks, axes)."""
        return np.clip(np.array(self.sizes) - self.starts(numbers), 0, self.shape)

    def scenarios_in(self, numbers: np.ndarray) -> int:
        """Scenarios of all these chunks together."""
        return int(self.extents(numbers).prod(axis=1).sum())


def cut(sizes: tuple[int, ...], target: int) -> Chunks:
    """Chunks of at most `target` scenarios, as near to it as equal parts allow."""
    shape = [1] * len(sizes)
    room = target
    for axis in reversed(range(len(sizes))):
        size = sizes[axis]
        if size > room:
            parts = math.ceil(size / room)
            shape[axis] = math.ceil(size / parts)
            break
        shape[axis] = size
        room //= size
    return Chunks(sizes, tuple(shape))
