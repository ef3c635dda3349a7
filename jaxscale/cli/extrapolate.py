# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""`jaxscale extrapolate`: the end of a training from the losses of its start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from jaxscale import plots, trajectories
from jaxscale.cli import options, tables
from jaxscale.cli.files import checked_path, save
from jaxscale.cli.fit_options import read_fixed
from jaxscale.cli.mistakes import Mistake, blamed_on, nearest, path_of
from jaxscale.cli.quantities import nonnegative, whole
from jaxscale.fitting.report import numbers_of
from jaxscale.laws import saved

LAWS = {"early": trajectories.EarlyPower, "momentum": trajectories.Momentum}
FURTHER = 3  # times the last step, where nothing else says where to predict
SHOWN = 5  # steps of the table
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
    return typer.Option(name, metavar="COLUMN", help=description)


CurvePath = Annotated[
    str, typer.Argument(metavar="CURVE", help="A table of one training's losses, .csv or .parquet.")
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
StepColumn = Annotated[str, _column("--step", "Steps trained.")]
LossColumn = Annotated[str, _column("--loss", "Loss in nats per token.")]
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
    picture: Picture = None,
    as_json: options.Json = False,
) -> None:
    """Predict the end of a training from the losses of its start, with an interval.

    Fits a law of the sum of learning rates; where the rate falls by then, one of its fall too. The
    interval has two parts: what resampling says of the coefficients, and how far the same law was
    off when it was fitted to yet earlier starts. A curve whose rate has not fallen yet does not
    tell what its fall will gain: hold C at what other curves have.
    """
    chosen = None if law is None else _law(law)
    fixed = read_fixed(fix or [], chosen or trajectories.Momentum, [])
    target = None if picture is None else checked_path("--picture", picture)
    with tables.progress("fitting"):
        start = _read(path, (step, loss, lr), to, schedule)
        try:
            answer = trajectories.extrapolate(start.curve, law=chosen, fixed=fixed)
        except ValueError as error:
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


class Start(NamedTuple):
    """The start of a curve, and what was taken for granted in words."""

    curve: trajectories.Curve
    assumed: str


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


def _read(
    path: str, columns: tuple[str, str, str | None], to: float | None, schedule: str | None
) -> Start:
    frame = _frame(path)
    step, loss, lr = columns
    if lr is None and "lr" in frame.columns:
        lr = "lr"
    if step in frame.columns and len(frame):
        last = frame[step].max()
    else:
        raise Mistake(f"--step: no column {step!r} with steps; there are {_listed(frame)}")
    end = int(FURTHER * last) if to is None else _step(to)
    if end < last:
        raise Mistake(f"--to: {end:,} is before the last loss, at step {int(last):,}")
    plan, assumed = None, ""
    if schedule is not None:
        plan = _schedule(schedule, to, end)
    elif lr is None:
        assumed = ", without learning rates, so that one rate is assumed throughout"
    elif to is None or end > last:
        assumed = ", with the rate constant before and after them, since no --schedule says more"
    try:
        curve = trajectories.Curve.from_dataframe(
            frame, step=step, loss=loss, lr=lr, schedule=plan, steps=end, name=Path(path).name
        )
    except (TypeError, ValueError) as error:
        raise Mistake(str(error)) from None
    return Start(curve, assumed)


def _frame(path: str) -> Any:
    import pandas as pd

    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise Mistake(f"CURVE: {path!r} must end in {' or '.join(readers)}")
    try:
        return readers[suffix](path_of(path))
    except OSError as error:
        raise Mistake(f"cannot read the curve {path!r}: {error.strerror or error}") from None
    except (ValueError, ImportError) as error:
        raise Mistake(f"cannot read the curve {path!r}: {error}") from None


def _listed(frame: Any) -> str:
    return ", ".join(map(str, frame.columns)) or "none"


def _step(number: float) -> int:
    if number != int(number):
        raise Mistake(f"--to: must be a whole number; got {number:g}")
    return int(number)


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
        if not equals or name not in KINDS[kind]:
            raise Mistake(f"--schedule: {part!r} is not NAME=VALUE of {', '.join(KINDS[kind])}")
        with blamed_on(f"--schedule: {name}"):
            given[name] = float(whole(value)) if name in ("warmup", "decay") else nonnegative(value)
    return given
