# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""Runs: finished trainings, one row each, and the reading of them from tables."""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import jax
import numpy as np

from jaxscale._display import ROWS, dataframe, html, table
from jaxscale._numerics.arrays import is_concrete
from jaxscale._numerics.names import check_keywords
from jaxscale.fitting import tables
from jaxscale.laws.protocol import TRAIN_FLOPS

if TYPE_CHECKING:
    import pandas

FLOPS_PER_PARAM_TOKEN = float(TRAIN_FLOPS)  # products of int64 would overflow
POSITIVE = ("params", "tokens", "loss")
LISTED = 3  # rows that a message names


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Runs:
    """Finished trainings: columns of one length, a row each.

    `weights` multiply each run's part of an objective; None weighs all the same. `group` are
    labels, numbers or strings: runs of one group, such as checkpoints of one training, are
    resampled together. `levers` is a dict of columns, by the law's names ("unique_tokens"), of
    what else a law depends on; of a law over steps a lever may be a vector in each row. The
    constructor checks nothing, because JAX rebuilds the class with tracers inside; `fit` and the
    readers of tables check every row.

    Examples:
        >>> params, tokens = np.array([1e8, 1e9]), np.array([2e9, 2e10])
        >>> runs = js.Runs(params, tokens, loss=np.array([3.6, 2.9]))
        >>> print(runs.flops)
        [1.2e+18 1.2e+20]
    """

    params: Any
    tokens: Any  # training tokens seen
    loss: Any  # nats per token
    weights: Any = None
    group: Any = None
    levers: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.params)

    def __repr__(self) -> str:
        shapes = {np.shape(x) for x in self._columns().values()}
        if not is_concrete(self.loss) or len(shapes) > 1 or np.ndim(self.loss) != 1:
            return f"Runs(params={self.params!r}, tokens={self.tokens!r}, loss={self.loss!r})"
        return table(*self._rows(), title=f"{len(self):,} runs", total=len(self))

    def _repr_html_(self) -> str | None:
        if len({np.shape(x) for x in self._columns().values()}) > 1:
            return None  # the text is shown instead
        return html(*self._rows(), title=f"{len(self):,} runs", total=len(self))

    def _rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        columns = {name: np.asarray(x)[:ROWS] for name, x in self._columns().items()}
        rows = zip(*columns.values(), strict=True)
        return tuple(columns), [tuple(map(_written, row)) for row in rows]

    def _columns(self) -> dict[str, Any]:
        """The columns that the runs have, by the names of the fields and of the levers.

        Without levers that are vectors.
        """
        columns = {name: column for name, column in vars(self).items() if name != "levers"}
        levers = {name: x for name, x in (self.levers or {}).items() if np.ndim(x) < 2}
        return {name: x for name, x in columns.items() if x is not None} | levers

    def to_dataframe(self) -> "pandas.DataFrame":
        """A pandas DataFrame with a row for each run."""
        return dataframe({name: np.asarray(x) for name, x in self._columns().items()})

    @property
    def flops(self) -> Any:
        """Training FLOPs, 6 N D."""
        return FLOPS_PER_PARAM_TOKEN * self.params * self.tokens

    @property
    def tokens_per_param(self) -> Any:
        """Training tokens for each parameter."""
        return self.tokens / self.params

    def select(self, rows: Any) -> "Runs":
        """The runs that a mask, a slice or an array of row numbers selects.

        Examples:
            >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
            >>> small = runs.select(runs.params < 1e9)
            >>> print(f"{small.params.max():.1e}")
            9.9e+08
        """

        def selected(column: Any) -> np.ndarray:
            return np.asarray(column)[rows]

        return jax.tree.map(selected, self)

    @classmethod
    def read(cls, source: "str | PathLike[str] | IO[Any]", **how: Any) -> "Runs":
        r"""Runs from a file: CSV, JSON, JSON lines or Parquet, plain or gzipped.

        `source` is a path, "-" for standard input, or an open file. What it holds is told by its
        content, not by its name: CSV may have any separator, decimal commas, comment lines and
        UTF-16; nested JSON has columns such as `config.params`; an export of a tracker with a
        column for each run gets a row for each, and a column `run`. Numbers may be written as
        30,000,000, 30 M or 2.00x10^19.

        Takes the keywords of `from_dataframe`. Warns of likely mistakes, as `fitting.suspicions`
        lists them: rows in another unit, repeated rows, checkpoints, sweeps over a learning rate,
        FLOPs that disagree. It also sees the columns that `Runs` does not keep.

        Raises:
            ValueError: the file holds no table, a column is not there, or rows are bad (missing,
                not a number, not finite, not positive); names the line of each.
            ImportError: pandas is not installed.
            TypeError: a keyword is unknown; names the nearest.

        Examples:
            >>> with open("runs.csv", "w") as file:
            ...     _ = file.write("N;FLOPs;loss\n100 M;1,2e18;3,6\n1 B;1,2e20;2,9\n")
            >>> runs = js.Runs.read("runs.csv", params="N", tokens="FLOPs / (6 * N)")
            >>> print(runs.tokens, runs.loss)
            [2.e+09 2.e+10] [3.6 2.9]
        """
        check_keywords("Runs.read", how, cls.from_dataframe)
        return cls(**tables.from_file(source, **how))

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write a CSV file that `read` reads: a header, and a line for each run.

        Columns are those that the runs have, by the names of the fields and of the levers; numbers
        have 12 digits. An earlier file is replaced only when the new one is complete. Raises
        OSError where it cannot be written.

        Examples:
            >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
            >>> runs.to_csv("runs.csv")
            >>> len(js.Runs.read("runs.csv"))
            240
        """
        columns = self._columns()
        rows = zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
        target = Path(path)
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                for row in rows:
                    writer.writerow(f"{x:.12g}" if isinstance(x, float) else x for x in row)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def from_dataframe(
        cls,
        frame: "pandas.DataFrame",
        *,
        params: str = "params",
        tokens: str = "tokens",
        loss: str = "loss",
        weights: str | None = None,
        group: str | None = None,
        levers: tuple[str, ...] | Mapping[str, str] = (),
        where: str | None = None,
        params_unit: float = 1,
        tokens_unit: float = 1,
        loss_unit: str = "nats",
        bytes_per_token: float | None = None,
        best_of_cell: bool = False,
    ) -> "Runs":
        """Runs from the columns of a data frame.

        A column is named, or made of others by an expression such as "C / (6 * N)" or
        "log(perplexity)", in the language of `jaxscale.fitting.expressions`; a column of exactly
        that name comes first.

        Args:
            frame: a table, a row for each run.
            params: a column, or an expression.
            tokens: a column, or an expression.
            loss: a column, or an expression.
            weights: a column, or an expression, if there is one.
            group: name of the column, if there is one.
            levers: names of columns, each of which is a lever of that name; or a dict of columns
                or expressions by the names of the levers.
            where: an expression that keeps the rows for which it holds, such as
                "loss < 4 and `my step` > 1000": see `jaxscale.fitting.expressions`, which runs
                no code.
            params_unit: what one unit of the column counts: 1e6 for millions.
            tokens_unit: the same of tokens.
            loss_unit: "nats" or "bits", per token; "bits-per-byte"; or "perplexity", whose
                logarithm is taken.
            bytes_per_token: mean bytes of a token, for bits per byte: nats per token are bits per
                byte x bytes per token x ln 2.
            best_of_cell: whether to keep only the run of least loss of all that agree in params,
                tokens and levers to three digits, as a sweep over learning rates has them.

        Raises:
            ValueError: as `read`, with rows counted from 1.

        Examples:
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"N": [0.1, 1.0], "tokens": [2e9, 2e10], "loss": [3.6, 2.9]})
            >>> js.Runs.from_dataframe(frame, params="N", params_unit=1e9).params
            array([1.e+08, 1.e+09])
        """
        given = dict(
            params=params, tokens=tokens, loss=loss, weights=weights, group=group, levers=levers
        )
        more = dict(params_unit=params_unit, tokens_unit=tokens_unit, loss_unit=loss_unit)
        more |= dict(where=where, bytes_per_token=bytes_per_token, best_of_cell=best_of_cell)
        return cls(**tables.from_dataframe(frame, columns=given, **more))


def _written(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


@runtime_checkable
class Source(Protocol):
    """What has runs for a law, as loss curves do: the law says which columns it reads."""

    def runs_for(self, law: type, fixed: Mapping[str, float] | None = None) -> Runs:
        """The runs, for a fit in which some coefficients are held."""
        ...


# --- Checks ----------------------------------------------------------------------------------


def checked(
    runs: Any,
    levers: Collection[str] | None = None,
    positive_loss: bool = True,
    vectors: bool = False,
) -> Runs:
    """The runs as float64 columns of one length.

    `levers` are the names that a law takes, exactly; None lets any pass. Without
    `positive_loss` a loss may be any finite number, and with `vectors` a lever a vector a row.

    Raises TypeError for anything but runs, ValueError for levers that are missing or unknown, for
    columns that differ in length and for rows, counted from 1, that are not finite and positive.
    Weights may be 0, and levers any finite number.
    """
    if not isinstance(runs, Runs):
        raise TypeError(f"runs must be js.Runs; got {runs!r} ({type(runs).__name__})")
    columns = {name: _column(name, getattr(runs, name)) for name in POSITIVE}
    weights = np.ones_like(columns["loss"]) if runs.weights is None else runs.weights
    columns["weights"] = _column("weights", weights)
    chosen = _levers(runs, levers, 2 if vectors else 1)
    every = columns | {f"levers[{name!r}]": column for name, column in chosen.items()}
    lengths = {name: len(column) for name, column in every.items()}
    if runs.group is not None:
        lengths["group"] = len(np.asarray(runs.group))
    if len(set(lengths.values())) > 1 or not lengths["loss"]:
        given = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"runs must have columns of one length, at least 1; got {given}")
    least = {"params": 0.0, "tokens": 0.0, "weights": -np.finfo(float).tiny}
    least |= {"loss": 0.0} if positive_loss else {}
    for name, column in every.items():
        low = least.get(name, -np.inf)
        if column.ndim > 1:  # vectors, whose sum is finite where they are
            column = column.sum(axis=1)
        bad = np.flatnonzero(~(np.isfinite(column) & (column > low)))
        if bad.size:
            allowed = {0.0: "finite and above 0", -np.inf: "finite"}.get(
                low, "finite and 0 or more"
            )
            shown = ", ".join(f"{column[i]:g} in row {i + 1}" for i in bad[:LISTED])
            more = f" and {bad.size - LISTED} more" if bad.size > LISTED else ""
            raise ValueError(f"runs.{name} must be {allowed}; got {shown}{more}")
    if not (columns["weights"] > 0).any():
        raise ValueError("runs.weights must be above 0 for at least one run; all are 0")
    group = None if runs.group is None else np.asarray(runs.group)
    return Runs(**columns, group=group, levers=chosen or None)


def _levers(runs: Any, known: Collection[str] | None, most: int) -> dict[str, np.ndarray]:
    given: Any = {} if runs.levers is None else runs.levers
    if not isinstance(given, Mapping):
        raise TypeError(f"runs.levers must be a dict of columns by name; got {given!r}")
    given = cast(Mapping[str, Any], given)
    if known is not None and set(given) != set(known):
        names = (", ".join(sorted(map(str, each))) or "none" for each in (known, given))
        raise ValueError("runs.levers must be those of the law: {}; got {}".format(*names))
    return {name: _column(f"levers[{name!r}]", column, most) for name, column in given.items()}


def _column(name: str, given: Any, most: int = 1) -> np.ndarray:
    try:
        column = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"runs.{name} must be numbers; got {given!r}") from None
    if not 1 <= column.ndim <= most:
        raise ValueError(f"runs.{name} must have one dimension; got shape {column.shape}")
    return column
