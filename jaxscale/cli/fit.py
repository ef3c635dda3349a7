"""`jaxscale fit`: from a table of finished trainings to a law, with what is known of it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale.cli import fit_file, fit_options, fit_pictures, fit_report, options, tables
from jaxscale.cli.bars import Begin, steps
from jaxscale.cli.fit_outcome import Outcome, Request, Source
from jaxscale.cli.mistakes import Mistake, blamed_on, nearest, path_of
from jaxscale.cli.named_law import COEFFICIENTS, NamedLaw, read_law
from jaxscale.cli.quantities import counted, positive
from jaxscale.fitting import Fit, Suspicion, objectives
from jaxscale.fitting.csv_rows import CONVERT

HOFFMANN = "hoffmann2022"
RESAMPLES, MOST_RESAMPLES = 4000, 1_000_000
BESIDE = ("hoffmann2022_unrounded", "besiroglu2024")
READERS = {".csv": js.Runs.from_csv, ".parquet": js.Runs.from_parquet}
OTHERS = {
    ".json": CONVERT.format("read_json(path)"),
    ".jsonl": CONVERT.format("read_json(path, lines=True)"),
    ".ndjson": CONVERT.format("read_json(path, lines=True)"),
    ".tsv": CONVERT.format("read_csv(path, sep='\\t')"),
    ".xlsx": CONVERT.format("read_excel(path)"),
}
OBJECTIVES: dict[str, Callable[..., Any]] = {
    "huber": objectives.Huber,
    "squared": objectives.SquaredError,
    "absolute": objectives.AbsoluteError,
    "likelihood": objectives.HuberLikelihood,
}
WITH_DELTA = ("huber", "likelihood")
SMALLEST, LARGEST = 1e-6, 1e30  # counts beyond are in the wrong unit, whatever that may be
LOSS_UNITS = ("nats", "bits", "perplexity")


class Method(NamedTuple):
    """How to fit, as the options say."""

    request: Request
    objective: Any
    starts: str | None


class Outputs(NamedTuple):
    """What is kept of a fit."""

    record: Path
    pictures: fit_pictures.Names | None


def fit(
    path: fit_options.RunsPath,
    params: fit_options.ParamsColumn = "params",
    tokens: fit_options.TokensColumn = "tokens",
    loss: fit_options.LossColumn = "loss",
    weights: fit_options.WeightsColumn = None,
    group: fit_options.GroupColumn = None,
    where: fit_options.Where = None,
    params_unit: fit_options.ParamsUnit = None,
    tokens_unit: fit_options.TokensUnit = None,
    loss_unit: fit_options.LossUnit = "nats",
    best_of_each: fit_options.BestOfEach = False,
    objective: fit_options.Objective = "huber",
    delta: fit_options.Delta = None,
    tie_exponents: fit_options.TieExponents = False,
    fix: fit_options.Fix = None,
    starts: fit_options.Starts = None,
    resamples: fit_options.Resamples = None,
    seed: fit_options.Seed = None,
    beside: fit_options.Beside = None,
    output: fit_options.Output = "fit.json",
    pictures: fit_options.Pictures = None,
    no_pictures: fit_options.NoPictures = False,
    anyway: fit_options.Anyway = False,
    as_json: options.Json = False,
) -> None:
    """Fit L(N, D) = E + A / N^alpha + B / D^beta to a table of finished trainings.

    Prints the coefficients with intervals beside published laws, how good the fit is, what a
    colleague would warn of, and the compute-optimal sizes. Writes the fit, which serves as a
    law wherever one is named, as in jaxscale plan --law fit.json, and five pictures. Where the
    runs leave a coefficient open the exit code is 2, and there are no sizes, unless it is E
    alone, on which no size rests.
    """
    units = {
        "params_unit": 1.0 if params_unit is None else params_unit,
        "tokens_unit": 1.0 if tokens_unit is None else tokens_unit,
        "loss_unit": chosen("--loss-unit", loss_unit, LOSS_UNITS),
    }
    given = dict(params=params, tokens=tokens, loss=loss, weights=weights, group=group)
    columns = {name: column for name, column in given.items() if column is not None}
    source = Source(path, where, columns, units, best_of_each)
    request = Request(
        chosen("--objective", objective, OBJECTIVES),
        read_fixed(fix or [], tie_exponents),
        tie_exponents,
        read_resamples(resamples),
        seed or 0,
    )
    method = Method(request, read_objective(objective, delta), read_starts(starts))
    laws = read_beside(BESIDE if beside is None else beside)
    outputs = read_outputs(output, pictures, no_pictures)
    with steps() as begin:
        outcome = found(source, method, laws, begin)
        written = write(outcome, outputs, begin)
    if as_json:
        record = {**fit_file.record_of(outcome), "written": list(map(str, written))}
        tables.print_json("fit", record)
    else:
        fit_report.show(outcome, written)
    if outcome.fit.claims.unidentified and not anyway:
        raise Mistake(f"{outcome.fit.claims.sentence} --anyway takes the fit as it is")


def read_beside(names: Sequence[str]) -> tuple[NamedLaw, ...]:
    """The laws to stand beside the fit, coefficient by coefficient."""
    laws = tuple(map(read_law, names))
    for named in laws:
        if not isinstance(named.law, js.laws.Chinchilla):
            raise Mistake(
                f"--law: {named.name} has no {', '.join(COEFFICIENTS)} to stand beside the fit"
            )
    return laws


EXAMPLES = """\
jaxscale fit runs.csv
jaxscale fit runs.csv --params N --tokens D --loss final/loss --where 'step > 1000'
jaxscale fit runs.parquet --params-unit 1M --tokens-unit 1B --group run
jaxscale fit sweep.csv --best-of-each
jaxscale fit runs.csv --fix E=1.69 --law sardana2024 --output ours.json --pictures ours.svg
jaxscale plan --law ours.json --like-params 7B --inference-tokens 1T
"""


# --- What the options say --------------------------------------------------------------------


def chosen(option: str, word: str, choices: Any) -> str:
    """One of the choices, whatever its case."""
    if word.lower() in choices:
        return word.lower()
    known = ", ".join(choices)
    raise Mistake(f"{option}: {word!r} is unknown{nearest(word.lower(), choices)}; known: {known}")


def read_objective(name: str, delta: float | None) -> Any:
    if delta is None:
        return OBJECTIVES[name.lower()]()
    if name.lower() not in WITH_DELTA:
        raise Mistake(f"--delta belongs to {' and '.join(WITH_DELTA)}; {name.lower()} has none")
    return OBJECTIVES[name.lower()](delta)


def read_fixed(texts: Sequence[str], tie_exponents: bool) -> dict[str, float]:
    """The coefficients that `--fix` holds, written NAME=VALUE."""
    known = {name.lower(): name for name in COEFFICIENTS}
    fixed: dict[str, float] = {}
    for text in texts:
        given, equals, value = text.partition("=")
        name = known.get(given.strip().lower())
        if name is None or not equals or name in fixed:
            problem = "is given twice" if name in fixed else "is no NAME=VALUE of a coefficient"
            raise Mistake(f"--fix: {text!r} {problem}; write E=1.69, of {', '.join(COEFFICIENTS)}")
        with blamed_on(f"--fix: {name}"):
            fixed[name] = positive(value)
    if tie_exponents and {"alpha", "beta"} & set(fixed):
        raise Mistake("--tie-exponents leaves one exponent: --fix can hold neither alpha nor beta")
    if len(fixed) == len(COEFFICIENTS):
        raise Mistake("--fix: all coefficients are held, and nothing is left to fit")
    return fixed


def read_starts(name: str | None) -> str | None:
    return None if name is None else chosen("--starts", name, (HOFFMANN,))


def read_resamples(number: int | None) -> int:
    if number == 1:
        raise Mistake("--bootstrap: one resample has no spread; give 0 for none, or thousands")
    if number is not None and number > MOST_RESAMPLES:
        raise Mistake(f"--bootstrap: at most {MOST_RESAMPLES:,}; got {number:,}")
    return RESAMPLES if number is None else number


def read_outputs(output: str, pictures: str | None, no_pictures: bool) -> Outputs:
    """Where everything goes, checked before any work is done."""
    record = fit_file.checked_output(output)
    if no_pictures:
        if pictures is not None:
            raise Mistake("give either --pictures or --no-pictures, not both")
        return Outputs(record, None)
    return Outputs(record, fit_pictures.read_names(pictures, record))


# --- What is done ----------------------------------------------------------------------------


def found(source: Source, method: Method, beside: tuple[NamedLaw, ...], begin: Begin) -> Outcome:
    """Read, fit and resample; what the library warns of on the way becomes a note."""
    request = method.request
    with noted() as notes:
        begin("reading the runs", None)
        runs = read_runs(source)
        check_enough(source, runs, request)
        begin("fitting", None)
        fitted = fitted_law(runs, method)
        resampled = None
        if request.resamples:
            advance = begin("resampling", request.resamples)
            resampled = js.bootstrap(
                fitted, resamples=request.resamples, key=request.seed, advance=advance
            )
    return Outcome(source, request, fitted, resampled, beside, *told_apart(notes))


def fitted_law(runs: js.Runs, method: Method) -> Fit:
    """The fit; a mistake where held coefficients leave none."""
    request = method.request
    try:
        return js.fit(
            js.laws.Chinchilla,
            runs,
            objective=method.objective,
            starts=method.starts,
            fixed=request.fixed,
            tie=(("alpha", "beta"),) if request.tie_exponents else (),
        )
    except ValueError:
        raise Mistake("--fix: no law with these values comes near the runs") from None


@contextmanager
def noted() -> Iterator[list[Warning]]:
    """Collect what is warned of inside the block."""
    notes: list[Warning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield notes
    messages = (each.message for each in caught if each.category in (UserWarning, Suspicion))
    notes += (message for message in messages if isinstance(message, Warning))


def told_apart(notes: Sequence[Warning]) -> tuple[tuple[Suspicion, ...], tuple[str, ...]]:
    """What is odd about the table, and what else was warned of, each once."""
    suspicions = tuple(note for note in notes if isinstance(note, Suspicion))
    texts = (str(note) for note in notes if not isinstance(note, Suspicion))
    return suspicions, tuple(dict.fromkeys(texts))


def read_runs(source: Source) -> js.Runs:
    """The runs that have any weight; every fault of the table is a mistake that names it."""
    suffix = Path(source.path).suffix.lower()
    if suffix not in READERS:
        advice = f"; {OTHERS[suffix]}" if suffix in OTHERS else ""
        raise Mistake(f"RUNS: {source.path!r} must end in {' or '.join(READERS)}{advice}")
    try:
        runs = READERS[suffix](
            path_of(source.path),
            **source.columns,
            where=source.where,
            best_of_each=source.best_of_each,
            **source.units,
        )
    except OSError as error:
        raise Mistake(f"cannot read the runs {source.path!r}: {error.strerror or error}") from None
    except (ValueError, ImportError) as error:
        raise Mistake(str(error)) from None
    if runs.weights is None:
        return runs
    if not (runs.weights > 0).any():
        raise Mistake(f"{source.label}: --weights: the weight of every run is 0")
    return runs.select(runs.weights > 0)


def check_enough(source: Source, runs: js.Runs, request: Request) -> None:
    """Refuse what no fit and no resampling can be made of."""
    sizes = len(np.unique(np.stack([runs.params, runs.tokens]), axis=1).T)
    for name, values in {"params": runs.params, "tokens": runs.tokens}.items():
        if not (values.min() >= SMALLEST and values.max() <= LARGEST):
            low, high = float(values.min()), float(values.max())
            raise Mistake(
                f"{source.label}: {name} from {low:.3g} to {high:.3g} are no counts: see "
                f"--{name}-unit"
            )
    held = request.fixed.get("E", 0.0)
    if held >= runs.loss.min():
        raise Mistake(f"--fix: E={held:g} is not below the least loss, {runs.loss.min():.4g}")
    free = len(COEFFICIENTS) - len(request.fixed) - request.tie_exponents
    if sizes <= free:
        raise Mistake(
            f"{source.label}: {counted(sizes, 'run')} of different sizes cannot tell "
            f"{counted(free, 'coefficient')}: add runs, or hold coefficients with --fix or "
            "--tie-exponents"
        )
    if runs.group is not None and request.resamples and len(np.unique(runs.group)) < 2:
        raise Mistake(
            f"{source.label}: --group: all runs are of one group; nothing can be resampled"
        )


def write(outcome: Outcome, outputs: Outputs, begin: Begin) -> list[Path]:
    """Write the record and the pictures; the paths written."""
    fit_file.write(outcome, outputs.record)
    if outputs.pictures is None:
        return [outputs.record]
    return [outputs.record, *fit_pictures.draw(outcome, outputs.pictures, begin)]
