# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""Loss curves: losses at steps of a training with its schedule, and curves of several trainings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale.fitting.runs import Runs
from jaxscale.laws.fitted import coefficients_of, held_by
from jaxscale.trajectories.schedules import Schedule

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Curve:
    """Losses of one training at some of its steps.

    `fit` takes it, as it takes `Curves`. Steps are ascending whole numbers of the schedule, and
    losses in nats per token.

    Examples:
        >>> schedule = js.trajectories.Schedule.constant(300, 3e-4)
        >>> curve = js.trajectories.Curve([100, 200, 300], [4.1, 3.9, 3.8], schedule)
        >>> curve
        Curve(3 losses at steps 100 to 300, of 300)
    """

    steps: Any
    loss: Any
    schedule: Schedule
    name: str = "curve"

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
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "loss", loss)

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        first, last = self.steps[[0, -1]]
        total = self.schedule.steps
        return f"Curve({len(self)} losses at steps {first:,} to {last:,}, of {total:,})"

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
        name: str = "curve",
    ) -> "Curve":
        """A curve from the columns of a data frame; rows without a step or a loss are left out.

        The schedule is `schedule`, or of the column `lr`: between logged steps the rate is linear,
        before the first and up to step `steps` after the last it is constant. With neither it is
        1 all along.

        Raises ValueError where a column is not there, or rows make no curve.

        Examples:
            >>> import pandas as pd
            >>> table = {"step": [100, 200], "lr": [3e-4, 3e-4], "loss": [4.1, 3.9]}
            >>> js.trajectories.Curve.from_dataframe(pd.DataFrame(table), steps=600)
            Curve(2 losses at steps 100 to 200, of 600)
        """
        for what, column in {"step": step, "loss": loss, "lr": lr}.items():
            if column is not None and column not in frame.columns:
                raise _no_column(what, column, frame)
        rows = frame.dropna(subset=[step, loss]).sort_values(step)
        if not len(rows):
            raise ValueError(f"{name}: no row has both a {step} and a {loss}")
        at = rows[step].to_numpy()
        if schedule is None:
            rates = np.ones(len(rows)) if lr is None else rows[lr].ffill().bfill().to_numpy(float)
            schedule = between(at, rates, steps)
        return cls(at, rows[loss].to_numpy(float), schedule, name)

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
    def from_dataframe(
        cls,
        frame: "pandas.DataFrame",
        *,
        step: str = "step",
        loss: str = "loss",
        lr: str | None = "lr",
        name: str | None = "name",
        schedules: Mapping[str, Schedule] | None = None,
    ) -> "Curves":
        """Curves from the columns of a data frame, one for each value of the column `name`.

        Logged rates are those of some steps: between them the rate is taken to be linear, and
        before the first it is constant. `schedules` by the curve's name are exact, and know the
        warm-up.

        Raises ValueError where a column is not there, or rows make no curve.

        Examples:
            >>> import pandas as pd
            >>> table = {"step": [100, 200], "lr": [3e-4, 3e-4], "loss": [4.1, 3.9]}
            >>> js.trajectories.Curves.from_dataframe(pd.DataFrame(table), name=None)
            Curves(1 curves, 2 losses)
        """
        if name is not None and name not in frame.columns:
            raise _no_column("name", name, frame)
        parts: Any = [("curve", frame)] if name is None else frame.groupby(name, sort=False)
        known = schedules or {}
        return cls(
            [
                Curve.from_dataframe(
                    rows,
                    step=step,
                    loss=loss,
                    lr=lr,
                    schedule=known.get(str(label)),
                    name=str(label),
                )
                for label, rows in parts
            ]
        )

    def runs_for(self, law: type, fixed: Mapping[str, float] | None = None) -> Runs:
        """The losses as `fit` reads them: what the law reads of each schedule, row by row.

        Rows of a curve are of one group, so that errors and a bootstrap are by whole curves. Where
        these are no more than the coefficients that are fitted, groups are stretches of the
        curves: neighbouring losses err together.
        """
        if not hasattr(law, "features"):
            raise TypeError(
                f"{getattr(law, '__name__', law)} is no law over steps: curves need one of "
                "js.trajectories, such as Momentum"
            )
        held = held_by(law) | dict(fixed or {})
        parts = [law.features(curve.schedule, curve.steps, held) for curve in self]
        steps = np.concatenate([curve.steps for curve in self]).astype(float)
        return Runs(
            params=np.ones_like(steps),
            tokens=steps,
            loss=np.concatenate([curve.loss for curve in self]),
            group=self._groups(len(coefficients_of(law)) - len(held)),
            levers={name: _joined([part[name] for part in parts]) for name in parts[0]},
        )

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


def _no_column(what: str, column: str, frame: Any) -> ValueError:
    known = ", ".join(map(str, frame.columns))
    return ValueError(f"{what}: no column {column!r}; there are {known}")


def between(steps: Any, rates: np.ndarray, last: int | None = None) -> Schedule:
    """The schedule of rates at some steps: linear between them, constant before and after."""
    if not (np.isfinite(rates).all() and int(steps[0]) == steps[0] and steps[0] > 0):
        raise ValueError("steps must be whole numbers from 1 on, and rates finite")
    every = np.arange(1, (int(steps[-1]) if last is None else last) + 1)
    return Schedule.table(np.interp(every, steps, rates))
