"""The table of runs that the checks read, and the suspicions that they return."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

LISTED = 5  # stretches of rows that a sentence lists
NAMED = 3  # runs
# Words of columns that name runs, the surest first.
NAMES = ("run", "name", "id", "experiment", "model", "training")


class Suspicion(UserWarning):
    """A likely mistake in a table of runs, as a record and as a warning.

    `about` is the subject in a word or two, `sentence` says what is odd and what to do, and `rows`
    are the numbers of the rows concerned: lines of a file, or rows of a frame counted from 1. The
    sentence has them too, and the names of their runs where a column has names.
    """

    def __init__(self, about: str, sentence: str, rows: tuple[int, ...], source: str = ""):
        super().__init__(f"{source}: {sentence}" if source else sentence)
        self.about, self.sentence, self.rows = about, sentence, rows


@dataclass(frozen=True)
class Sheet:
    """The columns that were read, in counts and nats, and the others of the table."""

    columns: Mapping[str, np.ndarray]  # params, tokens, loss; weights, group, levers where given
    names: Mapping[str, str]  # in the table, by the same keys
    units: Mapping[str, float]  # what one unit of params and tokens counts
    others: Mapping[str, np.ndarray]
    row_numbers: np.ndarray  # lines of a file, or rows from 1
    row_label: str = "row"  # or "line"
    source: str = ""
    levers: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.row_numbers)

    @property
    def tokens_per_param(self) -> np.ndarray:
        return self.columns["tokens"] / self.columns["params"]

    @cached_property
    def run_names(self) -> np.ndarray | None:
        """The names of the runs, as strings; None where no column has them."""
        labels = dict(self.others)
        if "group" in self.columns:
            labels[self.names["group"]] = self.columns["group"]
        for word in NAMES:
            for name, column in labels.items():
                if word in words(name) and _are_names(column):
                    return np.asarray(column).astype(str)
        return None

    def suspicion(self, about: str, sentence: str, mask: np.ndarray) -> Suspicion:
        """A suspicion whose sentence lists the rows of the mask where it says `{rows}`."""
        rows = tuple(self.row_numbers[mask].tolist())
        return Suspicion(about, sentence.replace("{rows}", self.listed(mask)), rows, self.source)

    def listed(self, mask: np.ndarray) -> str:
        """`line 2 to 13, 15; run 'a', 'b'`: rows by number, and by name where not all are meant."""
        listed = f"{self.row_label} {stretches(np.flatnonzero(mask), self.row_numbers)}"
        if self.run_names is None or mask.all():
            return listed
        names = list(dict.fromkeys(self.run_names[mask].tolist()))
        rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return f"{listed}; run {', '.join(map(repr, names[:NAMED]))}{rest}"


def _are_names(column: np.ndarray) -> bool:
    """Whether cells are words or whole numbers, of which there are several."""
    cells = np.asarray(column)
    return cells.dtype.kind in "iuOUST" and len(set(cells.tolist())) > 1


def words(name: str) -> set[str]:
    """The words of a column's name, in lower case: `eval/ppl_c4` has eval, ppl and c4."""
    return set(re.findall(r"[a-z]+[0-9]*", name.lower()))


def numbers(column: np.ndarray) -> np.ndarray | None:
    """The column as float64; None where a cell is not a finite number."""
    try:
        found = np.asarray(column, np.float64)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found).all() else None


def stretches(rows: Iterable[int], row_numbers: np.ndarray) -> str:
    """`2 to 13, 15 and 3 more`: numbers of rows, consecutive ones as one stretch."""
    runs: list[list[int]] = []
    for number in row_numbers[list(rows)].tolist():
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    listed = [f"{low}" if low == high else f"{low} to {high}" for low, high in runs[:LISTED]]
    rest = sum(high - low + 1 for low, high in runs[LISTED:])
    return ", ".join(listed) + (f" and {rest} more" if rest else "")


# --- Runs of one size -----------------------------------------------------------------------

DIGITS = 3  # that sizes share: a last batch makes token counts differ by less


def sizes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """A number for each row, the same for rows that agree in three digits of all columns."""
    rounded = [[float(f"{x:.{DIGITS - 1}e}") for x in column] for column in columns]
    return np.unique(np.array(rounded).T, axis=0, return_inverse=True)[1].reshape(-1)


def best_of_cell(loss: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    """The rows, in their order, of the least loss of each size; of equal ones the first."""
    order = np.lexsort((loss, sizes(columns)))
    size = sizes(columns)[order]
    first = np.append(True, size[1:] != size[:-1])
    return np.sort(order[first])
