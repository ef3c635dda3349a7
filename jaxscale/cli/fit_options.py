"""The options of `jaxscale fit` and `jaxscale simulate`, and how those of `fit` are read."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale._written import deviation, positive, signed, whole
from jaxscale.cli.files import checked_path
from jaxscale.cli.mistakes import Mistake, blamed_on, check_file, nearest, path_of
from jaxscale.cli.named_law import NamedLaw, own_family, read_law
from jaxscale.cli.options import OUTPUTS, number_option, path_option
from jaxscale.fitting import objectives
from jaxscale.laws import saved
from jaxscale.laws._catalog import FAMILIES
from jaxscale.laws.fitted import coefficients_of

RESAMPLES, MOST_RESAMPLES = 4000, 1_000_000
BESIDE = {"Chinchilla": ("hoffmann2022_unrounded", "besiroglu2024")}
MOST_BESIDE = 2
OBJECTIVES: dict[str, Callable[..., Any]] = {
    "huber": objectives.Huber,
    "squared": objectives.SquaredError,
    "absolute": objectives.AbsoluteError,
    "likelihood": objectives.HuberLikelihood,
}
LOSS_UNITS = ("nats", "bits", "perplexity", "bits-per-byte")
WITH_DELTA = ("huber", "likelihood")
PNG = ".png"
PICTURES = ("quality", "contours", "isoflops", "pairs", "optima")

COLUMNS = "The columns of the table"
METHOD = "How it is fitted"
SPREAD = "What is simulated"


def _text(name: str, metavar: str, description: str, panel: str) -> Any:
    return typer.Option(name, metavar=metavar, help=description, rich_help_panel=panel)


def _column(name: str, description: str) -> Any:
    return _text(name, "COLUMN", description, COLUMNS)


def _whole(name: str, description: str, panel: str) -> Any:
    return number_option(name, "N", description, panel, whole)


def _spread(
    name: str, metavar: str, description: str, read: Callable[[str], float] | None = None
) -> Any:
    more = () if read is None else (read,)
    return number_option(name, metavar, description, SPREAD, *more)


def _default(text: str) -> str:
    return f"[dim]\\[default: {text}][/dim]"


RunsPath = Annotated[
    str,
    typer.Argument(
        metavar="RUNS",
        help="A table of finished trainings: CSV with any separator, JSON, JSON lines or Parquet, "
        "plain or gzipped; - for standard input.",
    ),
]
ParamsColumn = Annotated[
    str,
    _column(
        "--params",
        "Model parameters. Columns may be expressions of others, such as "
        "[bold]'C / (6 * N)'[/bold].",
    ),
]
TokensColumn = Annotated[str, _column("--tokens", "Training tokens seen.")]
LossColumn = Annotated[str, _column("--loss", "Final loss.")]
WeightsColumn = Annotated[
    str | None, _column("--weights", "How much each run counts. " + _default("all alike"))
]
GroupColumn = Annotated[
    str | None,
    _column("--group", "Which runs err together, as checkpoints of one training do."),
]
Where = Annotated[
    str | None,
    _text(
        "--where",
        "EXPR",
        "Which rows count, such as [bold]'loss < 4 and `my step` > 1000'[/bold]; names with more "
        "than letters, digits and _ / . - : go in `back quotes`.",
        COLUMNS,
    ),
]
ParamsUnit = Annotated[
    float | None,
    number_option(
        "--params-unit", "N", f"What one unit counts, such as 1M. {_default('1')}", COLUMNS
    ),
]
TokensUnit = Annotated[
    float | None,
    number_option("--tokens-unit", "N", f"The same, such as 1B. {_default('1')}", COLUMNS),
]
LossUnit = Annotated[
    str,
    _text("--loss-unit", "UNIT", "nats or bits, per token, perplexity, or bits-per-byte.", COLUMNS),
]
BytesPerToken = Annotated[
    float | None,
    number_option("--bytes-per-token", "X", "Mean bytes of a token, for bits-per-byte.", COLUMNS),
]
BestOfCell = Annotated[
    bool,
    typer.Option(
        "--best-of-cell",
        help="Keep the best run of each cell, as of a sweep of learning rates.",
        rich_help_panel=COLUMNS,
    ),
]

Objective = Annotated[
    str, _text("--objective", "NAME", "huber, squared, absolute or likelihood.", METHOD)
]
Delta = Annotated[
    float | None,
    number_option(
        "--delta", "X", f"Bound of huber and likelihood, in ln loss. {_default('0.001')}", METHOD
    ),
]
Family = Annotated[
    list[str] | None,
    _text(
        "--law",
        "FAMILY",
        "Chinchilla, Skaling, Kaplan and so on, as [bold]jaxscale laws[/bold] lists them; or a "
        "class of your own, FILE.py:CLASS. Repeat it to compare families. "
        + _default("Chinchilla"),
        METHOD,
    ),
]
Tie = Annotated[
    list[str] | None,
    _text("--tie", "NAME=NAME", "Make coefficients one, as alpha=beta. May be repeated.", METHOD),
]
Fix = Annotated[
    list[str] | None,
    _text("--fix", "NAME=VALUE", "Hold a coefficient. May be repeated.", METHOD),
]
Starts = Annotated[
    str | None,
    _text(
        "--starts",
        "NAME",
        f"hoffmann2022 for its 4,500. {_default('256 by least squares')}",
        METHOD,
    ),
]
Resamples = Annotated[
    int | None,
    _whole("--bootstrap", f"Resamples for the intervals; 0 for none. {_default('4,000')}", METHOD),
]
Seed = Annotated[int | None, _whole("--seed", f"Of the resamples. {_default('0')}", METHOD)]

Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--beside",
        metavar="LAW",
        help="A law to stand beside the fit, as in [bold]jaxscale plan[/bold]. May be repeated. "
        + _default("hoffmann2022_unrounded and besiroglu2024"),
        rich_help_panel=OUTPUTS,
    ),
]
Output = Annotated[str, path_option("--output", "Where the fit goes, to serve as a law.", OUTPUTS)]
Flops = Annotated[
    float | None,
    number_option(
        "--flops",
        "N",
        "With several [bold]--law[/bold]: a budget, to print the best size that each gives it.",
        OUTPUTS,
    ),
]
Pictures = Annotated[
    str | None,
    path_option(
        "--pictures",
        f"A folder, or how their names begin, as fit.png or fit.svg. {_default('the output')}",
        OUTPUTS,
    ),
]
NoPictures = Annotated[
    bool, typer.Option("--no-pictures", help="Draw nothing.", rich_help_panel=OUTPUTS)
]

Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="End with exit code 0 although the runs leave coefficients open.",
        rich_help_panel=OUTPUTS,
    ),
]

Table = Annotated[str, typer.Argument(metavar="PATH", help="Where the CSV file goes.")]
Count = Annotated[int | None, _whole("--runs", f"How many. {_default('200')}", SPREAD)]
Noise = Annotated[
    float | None,
    _spread("--noise", "SHARE", f"Standard deviation of each loss. {_default('0.5%')}", deviation),
]
MinFlops = Annotated[
    float | None, _spread("--min-flops", "N", f"Least training budget. {_default('1e19')}")
]
MaxFlops = Annotated[
    float | None, _spread("--max-flops", "N", f"Largest training budget. {_default('1e22')}")
]
MinRatio = Annotated[
    float | None,
    _spread("--min-tokens-per-param", "N", f"Shortest training. {_default('5')}"),
]
MaxRatio = Annotated[
    float | None,
    _spread("--max-tokens-per-param", "N", f"Longest training. {_default('500')}"),
]
SimulationSeed = Annotated[int | None, _whole("--seed", f"Of the draws. {_default('0')}", SPREAD)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a table that is there.")]


def read_family(text: str) -> type:
    """The class of law that `--law` names: one of ours, or FILE.py:CLASS."""
    file, colon, name = text.rpartition(":")
    if colon and file.endswith(".py"):
        return own_family(file, name)
    known = {each.lower(): family for each, family in FAMILIES.items()}
    if text.lower() in known:
        return known[text.lower()]
    near = nearest(text, FAMILIES)
    published = {each.name for each in js.laws.catalog()}
    beside = "; --beside puts a published law next to the fit" if text in published else ""
    raise Mistake(f"--law: no family {text!r}{near}{beside}; known: {', '.join(FAMILIES)}")


def chosen(option: str, word: str, choices: Any) -> str:
    """One of the choices, in any case of letters."""
    if word.lower() in choices:
        return word.lower()
    known = ", ".join(choices)
    raise Mistake(f"{option}: {word!r} is unknown{nearest(word.lower(), choices)}; known: {known}")


def read_loss_unit(unit: str, bytes_per_token: float | None) -> dict[str, Any]:
    """The keywords of `Runs.read` for the unit of the losses."""
    unit = chosen("--loss-unit", unit, LOSS_UNITS)
    if (bytes_per_token is not None) != (unit == "bits-per-byte"):
        raise Mistake("--bytes-per-token goes with --loss-unit bits-per-byte, which needs it")
    return {"loss_unit": unit, "bytes_per_token": bytes_per_token}


def read_objective(name: str, delta: float | None) -> Any:
    if delta is None:
        return OBJECTIVES[name.lower()]()
    if name.lower() not in WITH_DELTA:
        raise Mistake(f"--delta belongs to {' and '.join(WITH_DELTA)}; {name.lower()} has none")
    return OBJECTIVES[name.lower()](delta)


def read_tie(texts: Sequence[str], family: type) -> list[tuple[str, ...]]:
    """The groups of coefficients that `--tie` makes equal, written alpha=beta."""
    known = {name.lower(): name for name in coefficients_of(family)}
    groups = []
    for text in texts:
        names = [known.get(part.strip().lower()) for part in text.split("=")]
        if None in names or len({*names}) < 2 or len({*names}) < len(names):
            listed = ", ".join(known.values())
            raise Mistake(
                f"--tie: {text!r} is not a pair of coefficients; write NAME=NAME of {listed}"
            )
        groups.append(tuple(name for name in names if name is not None))
    return groups


def read_fixed(
    texts: Sequence[str], family: type, tie: Sequence[Sequence[str]]
) -> dict[str, float]:
    """The coefficients that `--fix` holds, written NAME=VALUE."""
    said = coefficients_of(family)
    known = {name.lower(): name for name in said}
    fixed: dict[str, float] = {}
    for text in texts:
        given, equals, value = text.partition("=")
        name = known.get(given.strip().lower())
        if name is None or not equals or name in fixed:
            problem = "is given twice" if name in fixed else "is not NAME=VALUE of a coefficient"
            example = "E=1.69" if "E" in said else f"{next(iter(said))}=1"
            raise Mistake(f"--fix: {text!r} {problem}; write {example}, of {', '.join(said)}")
        with blamed_on(f"--fix: {name}"):
            has_sign = not said[name].positive and said[name].low < 0
            fixed[name] = (signed if has_sign else positive)(value)
    both = [name for group in tie for name in group if name in fixed]
    if both:
        raise Mistake(f"--fix can hold none of what --tie makes one; got {', '.join(both)}")
    if len(fixed) == len(said):
        raise Mistake("--fix: all coefficients are held, and nothing is left to fit")
    return fixed


def check_several(families: Sequence[type], **given: Any) -> None:
    """Refuse a family that is named twice, and options that belong to the fit of one family."""
    names = [family.__name__ for family in families]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise Mistake(f"--law: {twice[0]} is named twice")
    for option, value in given.items():
        if value is not None:
            raise Mistake(f"--{option} belongs to a fit of one --law; got {', '.join(names)}")


def names_of(families: Sequence[type], output: Path) -> list[Path]:
    """The path of each family's fit: fit-chinchilla.json and so on."""
    paths = [output.with_stem(f"{output.stem}-{each.__name__.lower()}") for each in families]
    return [read_output(str(path)) for path in paths]


def read_resamples(number: int | None) -> int:
    if number == 1:
        raise Mistake("--bootstrap: one resample has no spread; give 0 for none, or thousands")
    if number is not None and number > MOST_RESAMPLES:
        raise Mistake(f"--bootstrap: at most {MOST_RESAMPLES:,}; got {number:,}")
    return RESAMPLES if number is None else number


def read_beside(names: Sequence[str] | None, family: type) -> list[NamedLaw]:
    """Laws of the same family to show beside the fit."""
    if names is None:
        same = [each.name for each in js.laws.catalog() if type(each.law) is family]
        names = BESIDE.get(family.__name__, same[:MOST_BESIDE])
    laws: list[NamedLaw] = []
    for name in names:
        try:
            laws.append(read_law(name))
        except Mistake as mistake:
            raise Mistake(str(mistake).replace("--law", "--beside", 1)) from None
    for named in laws:
        if type(named.law) is not family:
            listed = ", ".join(coefficients_of(family))
            raise Mistake(f"--beside: {named.name} has no {listed} to stand beside the fit")
    return laws


def read_output(text: str) -> Path:
    """The path of the record, checked before any work: only an earlier fit is replaced."""
    path = path_of(text)
    if text and path.suffix.lower() != saved.SUFFIX:
        raise Mistake(f"--output: {text!r} must end in {saved.SUFFIX}")
    check_file("--output", text, path)
    if path.exists() and not saved.is_fit(path):
        raise Mistake(f"--output: {text!r} exists and is not a fit; choose another name")
    return path


def read_names(text: str | None, output: Path) -> Callable[[str], Path]:
    """The paths of pictures: beside the output, in a folder, or with the given beginning."""
    folder, stem, suffix = output.parent, output.stem, PNG
    if text is not None:
        path = path_of(text)
        if not text or (text.endswith(("/", "\\")) and not path.is_dir()):
            raise Mistake(f"--pictures: {text!r} is {'no folder' if text else 'empty'}")
        if path.is_dir():
            folder = path
        else:
            folder, stem, suffix = path.parent, path.stem, path.suffix or PNG
            stem = stem if path.suffix else path.name
    for kind in PICTURES:
        checked_path("--pictures", str(folder / f"{stem}-{kind}{suffix}"))
    return lambda kind: folder / f"{stem}-{kind}{suffix}"
