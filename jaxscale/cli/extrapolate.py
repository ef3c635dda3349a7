# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""`jaxscale extrapolate`: the end of a training from the losses of its start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from jaxscale import plots, trajectories
from jaxscale._written import nonnegative, whole
from jaxscale.cli import options, tables
from jaxscale.cli.files import checked_path, save
from jaxscale.cli.fit_options import (
    COLUMNS,
    BytesPerToken,
    LossUnit,
    Where,
    read_fixed,
    read_loss_unit,
)
from jaxscale.cli.mistakes import Mistake, blamed_on, nearest, path_of
from jaxscale.fitting.files import Table, read_table
from jaxscale.fitting.report import numbers_of
from jaxscale.fitting.wide import long_table
from jaxscale.laws import saved
from jaxscale.trajectories.curves import curve_from, read_logs

LAWS = {"early": trajectories.EarlyPower, "momentum": trajectories.Momentum}
FURTHER = 3  # times the last step, where nothing else says where to predict
SHOWN = 5  # steps of the table
LARGE_RATE = 10.0  # above which a column hardly holds learning rates, or shares of their peak
KINDS = {
    "constant": ("peak", "warmup"),
    "cosine": ("peak", "end", "warmup"),
    "wsd": ("peak", "end", "warmup", "decay"),
}
EXAMPLES = """\
jaxscale extrapolate curve.csv --to 72000
jaxscale extrapolate curve.csv --to 72000 --picture curve.png
jaxscale extrapolate curve.csv --to 24000 --schedule cosine:peak=3e-4,end=3e-5,warmup=2160
jaxscale extrapolate curve.csv --to 24000 --schedule wsd:peak=3e-4,end=3e-5,decay=4000 --fix C=0.45
"""


def _column(name: str, description: str) -> Any:
    return typer.Option(name, metavar="COLUMN", help=description, rich_help_panel=COLUMNS)


CurvePath = Annotated[
    str,
    typer.Argument(
        metavar="CURVE",
        help="A table of one training's losses: CSV with any separator, JSON, JSON lines or "
        "Parquet, plain or gzipped; - for standard input.",
    ),
]
To = Annotated[
    float | None,
    options.number_option("--to", "STEP", "The step to predict, the last of the schedule.", None),
]
ScheduleText = Annotated[
    str | None,
    typer.Option(
        "--schedule",
        metavar="SCHEDULE",
        help="constant, cosine:peak=3e-4,end=3e-5,warmup=2160 or "
        "wsd:peak=3e-4,end=3e-5,warmup=2160,decay=4000. "
        "[dim]\\[default: the column of learning rates][/dim]",
    ),
]
LawName = Annotated[
    str | None,
    typer.Option(
        "--law",
        metavar="NAME",
        help="early or momentum. [dim]\\[default: momentum where the rate falls][/dim]",
    ),
]
Fix = Annotated[
    list[str] | None,
    typer.Option("--fix", metavar="NAME=VALUE", help="Hold a coefficient. May be repeated."),
]
StepColumn = Annotated[
    str,
    _column("--step", "Steps trained. Columns may be expressions of others."),
]
LossColumn = Annotated[str, _column("--loss", "Loss.")]
RateColumn = Annotated[str | None, _column("--lr", "Learning rates. [dim]\\[default: lr][/dim]")]
Picture = Annotated[
    str | None,
    options.path_option("--picture", "Where a picture of the curve and its interval goes."),
]


def extrapolate(
    path: CurvePath,
    to: To = None,
    schedule: ScheduleText = None,
    law: LawName = None,
    fix: Fix = None,
    step: StepColumn = "step",
    loss: LossColumn = "loss",
    lr: RateColumn = None,
    where: Where = None,
    loss_unit: LossUnit = "nats",
    bytes_per_token: BytesPerToken = None,
    picture: Picture = None,
    as_json: options.Json = False,
) -> None:
    """Predict the end of a training from the losses of its start, with an interval.

    Fits a law of the sum of learning rates; where the rate falls by then, one of its fall too. The
    interval has two parts: what resampling says of the coefficients, and how far the same law was
    off when it was fitted to yet earlier starts. A curve whose rate has not fallen yet does not
    tell what its fall will gain: hold C at what other curves have.
    """
    if schedule is not None and lr is not None:
        raise Mistake("give --schedule or --lr, not both: each tells the learning rates")
    for option, column in (("--loss", loss), ("--step", step)):
        if lr == column:
            raise Mistake(f"--lr: {lr!r} is the column of {option}; learning rates have their own")
    chosen = None if law is None else _law(law)
    how = {"where": where, **read_loss_unit(loss_unit, bytes_per_token)}
    fixed = read_fixed(fix or [], chosen or trajectories.Momentum, [])
    target = None if picture is None else checked_path("--picture", picture)
    with tables.progress("fitting"):
        start = _read(Source(path, step, loss, lr, how), to, schedule)
        try:
            answer = trajectories.extrapolate(start.curve, law=chosen, fixed=fixed)
        except ValueError as error:
            if lr is not None and "is not finite at any of" in str(error):
                raise Mistake(
                    f"--lr: no law comes near the losses by the rates in {lr!r}"
                ) from None
            raise Mistake(str(error)) from None
    if target is not None:
        save(plots.extrapolation(answer), target)
    if as_json:
        record = {**as_record(answer, start), "picture": target and str(target)}
        tables.print_json("extrapolate", saved.plain(record))
    else:
        _show(answer, start, target)
    if not answer.ok:
        raise Mistake(f"{answer.status.name}: {answer.status.sentence}")


class Source(NamedTuple):
    """A table and its columns."""

    path: str
    step: str
    loss: str
    lr: str | None
    how: Mapping[str, Any]  # other keywords of `Curve.read`


class Start(NamedTuple):
    """The start of a curve, and in words what was taken for granted and what is odd."""

    curve: trajectories.Curve
    assumed: str
    remarks: list[str]


def as_record(answer: trajectories.Extrapolation, start: Start) -> dict[str, Any]:
    """The answer in the types of JSON."""
    loss, low, high = answer.end
    curve = answer.curve
    return {
        "law": {"name": type(answer.fit.law).__name__, **numbers_of(answer.fit.law)},
        "status": {"name": answer.status.name, "sentence": answer.status.sentence},
        "losses": len(curve),
        "first_step": int(curve.steps[0]),
        "last_step": int(curve.steps[-1]),
        "assumed": start.assumed,
        "remarks": start.remarks,
        "step": int(answer.steps[-1]),
        "loss": loss,
        "interval": [low, high],
        "interval_level": answer.level,
        "drift": answer.drift,
        "path": {
            "steps": answer.steps.tolist(),
            "loss": answer.loss.tolist(),
            "low": answer.low.tolist(),
            "high": answer.high.tolist(),
        },
    }


def _show(answer: trajectories.Extrapolation, start: Start, picture: Path | None) -> None:
    loss, low, high = answer.end
    curve, law = answer.curve, answer.fit.law
    tables.note(
        f"Loss {loss:.4f} at step {answer.steps[-1]:,}, {100 * answer.level:g} % interval "
        f"{low:.4f} to {high:.4f}",
        style="bold",
    )
    values = ", ".join(f"{name} {x:.4g}" for name, x in numbers_of(law).items())
    tables.note(f"{law.equation}: {values}", style="dim")
    span = f"{curve.steps[0]:,} to {curve.steps[-1]:,}"
    tables.note(f"Fitted to {len(curve)} losses at steps {span}{start.assumed}", style="dim")
    for remark in start.remarks:
        tables.note(remark, style="yellow")
    beyond = [i for i, at in enumerate(answer.steps) if at >= curve.steps[-1]]
    picked = [beyond[round(i * (len(beyond) - 1) / (SHOWN - 1))] for i in range(SHOWN)]
    rows = [
        (f"{answer.steps[i]:,}", *(f"{x[i]:.4f}" for x in (answer.loss, answer.low, answer.high)))
        for i in dict.fromkeys(picked)
    ]
    tables.print_columns(("step", "loss", "low", "high"), rows)
    tables.note(_drift(answer))
    tables.note("" if picture is None else str(picture))


def _drift(answer: trajectories.Extrapolation) -> str:
    if answer.drift is None:
        return (
            "Too few losses to try the law on its own past: the interval knows only how well "
            "these losses tell the coefficients."
        )
    return (
        f"Fitted to earlier starts, the law was off by {100 * answer.drift:.2f} % for each e-fold "
        "of steps ahead."
    )


# --- Reading ---------------------------------------------------------------------------------


def _read(source: Source, to: float | None, schedule: str | None) -> Start:
    """The start of the curve, with the schedule up to the step that is asked for."""
    try:
        table = _table(source)
        lr = source.lr or ("lr" if "lr" in table.names else None)
        how = {"step": source.step, "loss": source.loss, **source.how}
        read = None if schedule is not None else lr
        logs, remarks = read_logs(table, None, read, **how)
        log = logs[""]
        last, known = int(log.steps[-1]), log.rated[-1] if log.rated.size else 0
        end = _end(to, last, int(known))
        plan = None if schedule is None else _schedule(schedule, to, end)
        curve = curve_from(log, Path(source.path).name, read, plan, end)
    except (TypeError, ValueError, ImportError) as error:
        raise Mistake(str(error)) from None
    assumed = ""
    if schedule is None and lr is None:
        assumed = ", without learning rates, so that one rate is assumed throughout"
    elif schedule is None and (log.rated[0] > 1 or end > known):
        assumed = (
            ", with the rate constant before and after the logged ones, since no --schedule says "
            "more"
        )
    said = [remark.sentence for remark in remarks]
    if read is not None and log.rates.max() > LARGE_RATE:
        most = f"{log.rates.max():.3g}"
        said.append(f"Rates in {read!r} are up to {most}: is it the column of learning rates?")
    return Start(curve, assumed, said)


def _table(source: Source) -> Table:
    try:
        table = read_table("-" if source.path == "-" else path_of(source.path))
    except OSError as error:
        why = error.strerror or error
        raise Mistake(f"cannot read the curve {source.path!r}: {why}") from None
    return long_table(table, [source.step, source.loss, *filter(None, [source.lr])])


def _end(to: float | None, last: int, known: int) -> int:
    """The step to predict: that asked for, or the last whose rate is known, or well ahead."""
    if to is None:
        return known if known > last else FURTHER * last
    if to != int(to):
        raise Mistake(f"--to: must be a whole number; got {to:g}")
    if to < last:
        raise Mistake(f"--to: {to:,.0f} is before the last loss, at step {last:,}")
    return int(to)


def _law(name: str) -> type:
    if name.lower() not in LAWS:
        raise Mistake(f"--law: {name!r} is none of {', '.join(LAWS)}{nearest(name, LAWS)}")
    return LAWS[name.lower()]


def _schedule(text: str, to: float | None, steps: int) -> trajectories.Schedule:
    """The schedule that the option describes, of so many steps."""
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise Mistake(f"--schedule: {kind!r} is none of {known}{nearest(kind, KINDS)}")
    if to is None and kind != "constant":
        raise Mistake("--schedule needs --to, the last step of the training, where the rate falls")
    given = _settings(kind, rest)
    warmup, peak = int(given.get("warmup", 0)), given.get("peak", 1.0)
    needed = [name for name in KINDS[kind] if name not in ("warmup", *given)]
    if needed and kind != "constant":
        raise Mistake(f"--schedule: {kind} needs {needed[0]}=, as in --schedule {EXAMPLE[kind]}")
    with blamed_on("--schedule"):
        if kind == "constant":
            return trajectories.Schedule.constant(steps, peak, warmup=warmup)
        if kind == "cosine":
            return trajectories.Schedule.cosine(steps, peak, given["end"], warmup=warmup)
        decay = int(given["decay"])
        return trajectories.Schedule.wsd(
            steps, peak, given["end"], warmup=warmup, decay_steps=decay
        )


EXAMPLE = {
    "cosine": "cosine:peak=3e-4,end=3e-5",
    "wsd": "wsd:peak=3e-4,end=3e-5,decay=4000",
}


def _settings(kind: str, text: str) -> Mapping[str, float]:
    given: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if name in given:
            raise Mistake(f"--schedule: {name} is given twice")
        if not equals or name not in KINDS[kind]:
            raise Mistake(f"--schedule: {part!r} is not NAME=VALUE of {', '.join(KINDS[kind])}")
        with blamed_on(f"--schedule: {name}"):
            given[name] = float(whole(value)) if name in ("warmup", "decay") else nonnegative(value)
    return given
