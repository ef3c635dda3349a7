# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""Loss curves: losses at steps of a training with its schedule, and curves of several trainings."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.names import check_keywords
from jaxscale.fitting._suspicions.sheet import Suspicion
from jaxscale.fitting.files import Table, read_table
from jaxscale.fitting.runs import Runs
from jaxscale.fitting.tables import Reading, table_of
from jaxscale.laws.fitted import coefficients_of, held_by
from jaxscale.trajectories.law import check_reads_schedules, reads_sizes
from jaxscale.trajectories.logs import Log, logs_of
from jaxscale.trajectories.schedules import Schedule, checked_count

if TYPE_CHECKING:
    import pandas

ALONE = "curve"  # the name of one that has none
SIZES = ("params", "batch")  # of a training, where they are known


@dataclass(frozen=True, eq=False, repr=False)
class Curve:
    """Losses of one training at some of its steps.

    `fit` takes it, as it takes `Curves`. Steps are ascending whole numbers of the schedule, and
    losses in nats per token. Only `KaplanCurve` needs `params` and `batch`, in tokens per step;
    `dataclasses.replace(curve, params=1e8, batch=5e5)` adds them to a curve read from a table.

    Examples:
        >>> schedule = js.trajectories.Schedule.constant(300, 3e-4)
        >>> curve = js.trajectories.Curve([100, 200, 300], [4.1, 3.9, 3.8], schedule)
        >>> curve
        Curve(3 losses at steps 100 to 300, of 300)
    """

    steps: Any
    loss: Any
    schedule: Schedule
    name: str = ALONE
    params: float | None = None
    batch: float | None = None  # tokens per step

    def __post_init__(self) -> None:
        steps, loss = np.asarray(self.steps), np.asarray(self.loss, float)
        if steps.shape != loss.shape or steps.ndim != 1 or not steps.size:
            raise ValueError(
                f"{self.name}: steps and loss must be columns of one length, at least 1; "
                f"got shapes {steps.shape} and {loss.shape}"
            )
        if not isinstance(self.schedule, Schedule):
            raise TypeError(
                f"{self.name}: schedule must be a Schedule; got {type(self.schedule).__name__}"
            )
        steps = self.schedule.checked_steps(steps)
        if not (np.diff(steps) > 0).all():
            late = steps[1:][np.diff(steps) <= 0][0]
            raise ValueError(f"{self.name}: steps must ascend; {late} comes after one as large")
        bad = np.flatnonzero(~(np.isfinite(loss) & (loss > 0)))
        if bad.size:
            raise ValueError(
                f"{self.name}: loss must be finite and above 0; got {loss[bad[0]]:g} "
                f"at step {steps[bad[0]]}"
            )
        for name in SIZES:
            size = getattr(self, name)
            if size is not None and not (np.ndim(size) == 0 and np.isfinite(size) and size > 0):
                raise ValueError(f"{self.name}: {name} must be finite and above 0; got {size!r}")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "loss", loss)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        first, last = self.steps[[0, -1]]
        total = self.schedule.steps
        return f"Curve({len(self)} losses at steps {first:,} to {last:,}, of {total:,})"

    @classmethod
    def read(cls, source: "str | PathLike[str] | IO[Any]", **how: Any) -> "Curve":
        r"""A curve from a file of any kind that `Runs.read` reads: a path, "-", or an open file.

        Takes the keywords of `from_dataframe`; raises as it does, with lines of the file, and
        OSError where that cannot be opened.

        Examples:
            >>> with open("curve.csv", "w") as file:
            ...     _ = file.write("Step;lr;loss\n1.000;3e-4;4,1\n2.000;3e-4;3,9\n")
            >>> js.trajectories.Curve.read("curve.csv", step="Step")
            Curve(2 losses at steps 1,000 to 2,000, of 2,000)
        """
        check_keywords("Curve.read", how, cls.from_dataframe)
        return _curve(read_table(source), **how)

    @classmethod
    def from_dataframe(
        cls,
        frame: "pandas.DataFrame",
        *,
        step: str = "step",
        loss: str = "loss",
        lr: str | None = "lr",
        schedule: Schedule | None = None,
        steps: int | None = None,
        name: str = ALONE,
        where: str | None = None,
        loss_unit: str = "nats",
        bytes_per_token: float | None = None,
    ) -> "Curve":
        """A curve from the columns of a data frame, each of which may be an expression.

        `where`, `loss_unit` and `bytes_per_token` are those of `Runs.from_dataframe`. Rows without
        a step or a loss have no part in the losses, nor has step 0, before training.

        The schedule is `schedule`, or that of the column `lr` in all rows that have a rate, with a
        loss or not: between these steps the rate is linear, before the first and up to step `steps`
        after the last it is constant. With neither it is 1 all along.

        Raises ValueError where a column is not there, or rows are bad or of several trainings.

        Examples:
            >>> import pandas as pd
            >>> table = {"step": [100, 200], "lr": [3e-4, 3e-4], "loss": [4.1, 3.9]}
            >>> js.trajectories.Curve.from_dataframe(pd.DataFrame(table), steps=600)
            Curve(2 losses at steps 100 to 200, of 600)
        """
        how: dict[str, Any] = dict(loss_unit=loss_unit, bytes_per_token=bytes_per_token)
        how |= dict(step=step, loss=loss, lr=lr, where=where)
        return _curve(table_of(frame), schedule=schedule, steps=steps, name=name, **how)

    def until(self, step: float) -> "Curve":
        """The losses up to a step; the schedule stays whole."""
        early = self.steps <= step
        return replace(self, steps=self.steps[early], loss=self.loss[early])

    def runs_for(self, law: type, fixed: Mapping[str, float] | None = None) -> Runs:
        """The losses as `fit` reads them; see `Curves.runs_for`."""
        return Curves([self]).runs_for(law, fixed)


class Curves(tuple[Curve, ...]):
    """Loss curves of several trainings, for one fit.

    Examples:
        >>> schedule = js.trajectories.Schedule.constant(300, 3e-4)
        >>> curve = js.trajectories.Curve([100, 200, 300], [4.1, 3.9, 3.8], schedule)
        >>> curves = js.trajectories.Curves([curve, curve.until(200)])
        >>> len(curves)
        2
    """

    __slots__ = ()

    def __new__(cls, curves: Sequence[Curve]) -> "Curves":
        """Raises TypeError for what is no `Curve`, ValueError for none at all."""
        made = super().__new__(cls, curves)
        for each in made:
            if not isinstance(each, Curve):
                raise TypeError(f"curves must be of js.trajectories.Curve; got {each!r}")
        if not made:
            raise ValueError("curves must hold at least one curve; got none")
        return made

    def __repr__(self) -> str:
        return f"Curves({len(self)} curves, {sum(map(len, self)):,} losses)"

    @classmethod
    def read(cls, source: "str | PathLike[str] | IO[Any]", **how: Any) -> "Curves":
        r"""Curves from a file of any kind that `Runs.read` reads: a path, "-", or an open file.

        Takes the keywords of `from_dataframe`; raises as it does, with lines of the file, and
        OSError where that cannot be opened. In an export with a column for each run the name is
        in the column `run`.

        Examples:
            >>> with open("curves.csv", "w") as file:
            ...     _ = file.write("name,step,loss\na,100,4.1\na,200,3.9\nb,100,4\n")
            >>> js.trajectories.Curves.read("curves.csv", lr=None)
            Curves(2 curves, 3 losses)
        """
        check_keywords("Curves.read", how, cls.from_dataframe)
        return cls(_curves(read_table(source), **how))

    @classmethod
    def from_dataframe(
        cls,
        frame: "pandas.DataFrame",
        *,
        step: str = "step",
        loss: str = "loss",
        lr: str | None = "lr",
        name: str | None = "name",
        schedules: Mapping[str, Schedule] | None = None,
        where: str | None = None,
        loss_unit: str = "nats",
        bytes_per_token: float | None = None,
    ) -> "Curves":
        """Curves from the columns of a data frame, one for each value of the column `name`.

        Rows, rates and keywords are those of `Curve.from_dataframe`. `schedules` by the curve's
        name are exact, and know the warm-up; `lr` is read where one is not among them.

        Raises ValueError where a column is not there, rows are bad, or `schedules` has a name that
        no curve has.

        Examples:
            >>> import pandas as pd
            >>> table = {"step": [100, 200], "lr": [3e-4, 3e-4], "loss": [4.1, 3.9]}
            >>> js.trajectories.Curves.from_dataframe(pd.DataFrame(table), name=None)
            Curves(1 curves, 2 losses)
        """
        how: dict[str, Any] = dict(loss_unit=loss_unit, bytes_per_token=bytes_per_token)
        how |= dict(step=step, loss=loss, lr=lr, where=where)
        return cls(_curves(table_of(frame), name=name, schedules=schedules, **how))

    def runs_for(self, law: type, fixed: Mapping[str, float] | None = None) -> Runs:
        """The losses as `fit` reads them: what the law reads of each schedule, row by row.

        Rows of a curve are of one group, so that errors and a bootstrap are by whole curves. Where
        these are no more than the coefficients that are fitted, groups are stretches of the
        curves: neighbouring losses err together.

        Raises TypeError for a law that does not hold along a training, ValueError for a curve
        without the params or the batch that the law reads.
        """
        held = held_by(law) | dict(fixed or {})
        steps = np.concatenate([curve.steps for curve in self]).astype(float)
        if reads_sizes(law):
            params, batch = (self._sizes(law, name) for name in SIZES)
            tokens, levers = steps * batch, {"batch": batch}
        else:
            check_reads_schedules(law)
            parts = [law.features(curve.schedule, curve.steps, held) for curve in self]
            params, tokens = np.ones_like(steps), steps
            levers = {name: _joined([part[name] for part in parts]) for name in parts[0]}
        return Runs(
            params=params,
            tokens=tokens,
            loss=np.concatenate([curve.loss for curve in self]),
            group=self._groups(len(coefficients_of(law)) - len(held)),
            levers=levers,
        )

    def _sizes(self, law: type, name: str) -> np.ndarray:
        """The params or the batch of each loss."""
        for number, curve in enumerate(self, start=1):
            missing = [each for each in SIZES if getattr(curve, each) is None]
            if missing:
                raise ValueError(
                    f"curve {number} of {len(self)}, {curve.name!r}, has no "
                    f"{' and no '.join(missing)}: {law.__name__} needs the params and the batch, "
                    "in tokens per step, of each curve"
                )
        sizes = [float(getattr(curve, name)) for curve in self]
        return np.repeat(sizes, [len(curve) for curve in self])

    def _groups(self, free: int) -> np.ndarray:
        parts = 1 if len(self) > free else -(-STRETCHES // len(self))
        labels = [np.arange(len(curve)) * parts // len(curve) for curve in self]
        return np.concatenate([parts * i + label for i, label in enumerate(labels)])


# As many independent groups as intervals need.
STRETCHES = 16


def _joined(columns: list[np.ndarray]) -> np.ndarray:
    """Columns of all curves; vectors of a row padded with zeros to one length."""
    if columns[0].ndim == 1:
        return np.concatenate(columns)
    most = max(column.shape[1] for column in columns)
    return np.concatenate([np.pad(x, ((0, 0), (0, most - x.shape[1]))) for x in columns])


# --- Reading ---------------------------------------------------------------------------------


def _curve(
    table: Table,
    *,
    schedule: Schedule | None = None,
    steps: int | None = None,
    name: str = ALONE,
    lr: str | None = "lr",
    **how: Any,
) -> Curve:
    logs, remarks = read_logs(table, None, None if schedule is not None else lr, **how)
    _warn(remarks)
    return curve_from(logs[""], name, lr, schedule, steps)


def _curves(
    table: Table,
    *,
    name: str | None = "name",
    schedules: Mapping[str, Schedule] | None = None,
    lr: str | None = "lr",
    **how: Any,
) -> list[Curve]:
    known = schedules or {}
    logs, remarks = read_logs(table, name, None, **how)
    _warn(remarks)
    names = [label or ALONE for label in logs]
    unknown = [label for label in known if label not in names]
    if unknown:
        raise ValueError(f"schedules: no curve {unknown[0]!r}; there are {', '.join(names)}")
    if lr is not None and len(known) < len(names):
        logs, _ = read_logs(table, name, lr, **how)
    named = zip(names, logs.values(), strict=True)
    return [curve_from(log, label, lr, known.get(label), None) for label, log in named]


def _warn(remarks: Sequence[Suspicion]) -> None:
    for remark in remarks:
        warnings.warn(remark, stacklevel=4)  # the caller of `read` or `from_dataframe`


def read_logs(
    table: Table,
    group: str | None,
    lr: str | None,
    *,
    step: str = "step",
    loss: str = "loss",
    where: str | None = None,
    loss_unit: str = "nats",
    bytes_per_token: float | None = None,
) -> tuple[dict[str, Log], tuple[Suspicion, ...]]:
    """As `logs_of`; rates are read where `lr` is given."""
    reading = Reading(loss=loss, where=where, loss_unit=loss_unit, bytes_per_token=bytes_per_token)
    columns = {"step": step, "loss": loss, "lr": lr, "group": group}
    return logs_of(table, {k: x for k, x in columns.items() if x is not None}, reading)


def curve_from(
    log: Log, name: str, lr: str | None, schedule: Schedule | None, steps: int | None
) -> Curve:
    """The curve of a log: see `Curve.from_dataframe`."""
    if schedule is None and lr is None:
        schedule = Schedule.constant(int(log.steps[-1]) if steps is None else steps, 1.0)
    elif schedule is None and not log.rated.size:
        raise ValueError(f"{name}: no row has a rate in {lr!r}")
    elif schedule is None:
        end = int(max(log.steps[-1], log.rated[-1])) if steps is None else steps
        schedule = between(log.rated, log.rates, end)
    return Curve(log.steps, log.loss, schedule, name)


def between(steps: np.ndarray, rates: np.ndarray, last: int) -> Schedule:
    """The schedule of rates at some steps: linear between them, constant before and after."""
    checked_count("steps", last, 1)
    every = np.interp(np.arange(last + 1), steps, rates)
    return Schedule.table(every[1:], before=every[0])
