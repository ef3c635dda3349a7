"""Runs of one size: trainings alike in params, tokens and levers, whatever else they differ in."""

from collections.abc import Sequence

import numpy as np

DIGITS = 3  # that sizes share: a last batch makes token counts differ by less


def sizes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """A number for each row, the same for rows that agree in three digits of all columns."""
    rounded = [[float(f"{x:.{DIGITS - 1}e}") for x in column] for column in columns]
    return np.unique(np.array(rounded).T, axis=0, return_inverse=True)[1].reshape(-1)


def best_of_each(loss: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    """The rows, in their order, of the least loss of each size; of equal ones the first."""
    order = np.lexsort((loss, sizes(columns)))
    size = sizes(columns)[order]
    first = np.append(True, size[1:] != size[:-1])
    return np.sort(order[first])
