"""`jaxscale fit`: a law fitted to a table of finished trainings."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale._written import counted
from jaxscale.cli import (
    fit_comparison,
    fit_options,
    fit_parabolas,
    fit_report,
    options,
    program_cache,
    tables,
)
from jaxscale.cli.files import save
from jaxscale.cli.fit_options import (
    OBJECTIVES,
    PICTURES,
    check_several,
    chosen,
    names_of,
    read_beside,
    read_family,
    read_fixed,
    read_loss_unit,
    read_names,
    read_objective,
    read_output,
    read_resamples,
    read_tie,
)
from jaxscale.cli.mistakes import Mistake, path_of
from jaxscale.cli.tables import Begin, steps
from jaxscale.fitting import Suspicion
from jaxscale.fitting.report import numbers_of, record_of
from jaxscale.laws import saved
from jaxscale.laws.fitted import coefficients_of
from jaxscale.laws.protocol import levers_of
from jaxscale.plots.fits import MOST_PANELS, varied
from jaxscale.solve.frontier import sizes_at

SMALLEST, LARGEST = 1e-6, 1e30  # counts beyond are surely in another unit
HOFFMANN = "hoffmann2022"
MOST_INSIDE, BEYOND = 4, 2  # budgets that are shown within the runs, and decades past them


class Source(NamedTuple):
    """The table of the runs, and what is read of it."""

    path: str
    where: str | None
    columns: Mapping[str, Any]  # by the names of `Runs`
    units: Mapping[str, Any]
    best_of_cell: bool  # of the runs of one cell: params, tokens and levers

    @property
    def name(self) -> str:
        """The file without its folder."""
        return "standard input" if self.path == "-" else Path(self.path).name

    @property
    def label(self) -> str:
        """The file, and which of its rows."""
        best = ", the best of each cell" * self.best_of_cell
        return self.name + (f" where {self.where}" if self.where else "") + best


class Request(NamedTuple):
    """The fit that the options ask for."""

    family: type
    objective: Any
    fixed: Mapping[str, float]
    tie: Sequence[Sequence[str]]
    starts: str | None
    resamples: int
    seed: int


class Result(NamedTuple):
    """A fit, its resamples, and all that its tables, pictures and files share."""

    source: Source
    request: Request
    fit: js.fitting.Fit
    bootstrap: js.fitting.Bootstrap | None
    beside: Mapping[str, Any]  # published laws by name
    remarks: Mapping[
        str, str
    ]  # by subject: suspicions about the table first, then remarks on the fit
    odd: Sequence[str]  # suspicions about the table
    optima: Sequence[fit_report.Optimum]
    parabolas: fit_parabolas.Parabolas | None  # where the runs part into budgets

    @property
    def title(self) -> str:
        return f"{len(self.fit.runs):,} runs of {self.source.label}"


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
    bytes_per_token: fit_options.BytesPerToken = None,
    best_of_cell: fit_options.BestOfCell = False,
    law: fit_options.Family = None,
    objective: fit_options.Objective = "huber",
    delta: fit_options.Delta = None,
    tie: fit_options.Tie = None,
    fix: fit_options.Fix = None,
    starts: fit_options.Starts = None,
    resamples: fit_options.Resamples = None,
    seed: fit_options.Seed = None,
    beside: fit_options.Beside = None,
    output: fit_options.Output = "fit.json",
    flops: fit_options.Flops = None,
    pictures: fit_options.Pictures = None,
    no_pictures: fit_options.NoPictures = False,
    anyway: fit_options.Anyway = False,
    as_json: options.Json = False,
) -> None:
    """Fit a law to a table of finished trainings: E + A / N^alpha + B / D^beta, or another.

    Prints the coefficients with intervals beside published laws, how good the fit is, what a
    colleague would warn of, and the compute-optimal sizes. Writes the fit, which serves as a
    law wherever one is named, as in jaxscale plan --law fit.json, and five pictures. Where the
    runs leave a coefficient open the exit code is 2, and there are no sizes, unless it is E
    alone, on which no size rests. Levers of the law are columns of the same names.

    With several --law, prints which of them to believe instead: errors of runs held out, AICc
    and BIC. Writes a fit of each, such as fit-kaplan.json, with no resamples unless asked for.
    """
    families = [read_family(each) for each in law or ["Chinchilla"]]
    units = {
        "params_unit": 1.0 if params_unit is None else params_unit,
        "tokens_unit": 1.0 if tokens_unit is None else tokens_unit,
        **read_loss_unit(loss_unit, bytes_per_token),
    }
    given = dict(params=params, tokens=tokens, loss=loss, weights=weights, group=group)
    columns: dict[str, Any] = {name: each for name, each in given.items() if each is not None}
    if len(families) == 1 and levers_of(families[0]):
        columns["levers"] = tuple(levers_of(families[0]))
    source = Source(path, where, columns, units, best_of_cell)

    def request_of(family: type, resamples: int | None) -> Request:
        tied = read_tie(tie or [], family)
        return Request(
            family,
            read_objective(chosen("--objective", objective, OBJECTIVES), delta),
            read_fixed(fix or [], family, tied),
            tied,
            None if starts is None else chosen("--starts", starts, (HOFFMANN,)),
            read_resamples(resamples),
            seed or 0,
        )

    if len(families) > 1:
        check_several(families, beside=beside, pictures=pictures, starts=starts)
        requests = [request_of(each, resamples or 0) for each in families]
        paths = names_of(families, read_output(output))
        fit_several(source, requests, paths, flops, anyway=anyway, as_json=as_json)
        return
    if flops is not None:
        raise Mistake("--flops compares several --law; of one, ask jaxscale plan --law fit.json")
    (family,) = families
    request = request_of(family, resamples)
    named = read_beside(beside, family)
    record_path = read_output(output)
    names = None if no_pictures else read_names(pictures, record_path)
    if no_pictures and pictures is not None:
        raise Mistake("give either --pictures or --no-pictures, not both")
    with steps() as begin:
        result = search(source, request, {each.name: each.law for each in named}, begin)
        doubts = {
            f"beside: {each.name}": each.warning.removeprefix(f"{each.name}: ")
            for each in named
            if each.warning
        }
        result = result._replace(remarks=dict(result.remarks) | doubts)
        about = about_of(result)
        result.fit.save(record_path, result.bootstrap, **about)
        drawn = [] if names is None else draw(result, names, begin)
    written = [str(each) for each in (record_path, *drawn)]
    if as_json:
        head = {
            "format": saved.FORMAT,
            "family": family.__name__,
            "law": numbers_of(result.fit.law),
        }
        record = head | record_of(result.fit, result.bootstrap) | about | {"written": written}
        tables.print_json("fit", saved.plain(record))
    else:
        fit_report.show(result, written)
    if result.fit.claims.unidentified and not anyway:
        raise Mistake(f"{result.fit.claims.sentence} --anyway takes the fit as it is")


EXAMPLES = """\
jaxscale fit runs.csv
jaxscale fit runs.csv --params N --tokens D --loss final/loss --where 'step > 1000'
jaxscale fit flops.csv.gz --params N --tokens 'C / (6 * N)' --loss 'log(perplexity)'
jaxscale fit runs.parquet --params-unit 1M --tokens-unit 1B --group run
jaxscale fit sweep.csv --best-of-cell
jaxscale fit repeats.csv --law Muennighoff --tie alpha=beta
jaxscale fit runs.csv --fix E=1.69 --beside sardana2024 --output ours.json --pictures ours.svg
jaxscale plan --law ours.json --like-params 7B --inference-tokens 1T
jaxscale fit runs.csv --law own.py:Blend --output blend.json
jaxscale fit runs.csv --law Chinchilla --law Skaling --law Kaplan --flops 1e24
jaxscale plan --law blend.json:own.py:Blend --like-params 7B --inference-tokens 1T
"""


def search(source: Source, request: Request, beside: Mapping[str, Any], begin: Begin) -> Result:
    """Read, fit and resample; warnings of the library become remarks."""
    with noted() as notes:
        begin("reading the runs", None)
        runs = read_runs(source)
        check_enough(source, runs, request)
        begin(f"fitting {request.family.__name__}", None)
        made = fitted(runs, request)
        boot = None
        if request.resamples:
            advance = begin("resampling", request.resamples)
            boot = js.bootstrap(
                made, resamples=request.resamples, key=request.seed, advance=advance
            )
    odd, remarks = remarks_of(notes, made, boot)
    optima = optima_of(made, boot)
    parabolas = fit_parabolas.parabolas_of(made, [each.flops for each in optima])
    return Result(source, request, made, boot, beside, remarks, odd, optima, parabolas)


def searched_by_name(source: Source, request: Request, begin: Begin) -> Result:
    """The result for one of several families; a Mistake about its levers names it."""
    levers = tuple(levers_of(request.family))
    columns = dict(source.columns) | ({"levers": levers} if levers else {})
    try:
        return search(source._replace(columns=columns), request, {}, begin)
    except Mistake as mistake:
        if any(repr(name) in str(mistake) for name in levers_of(request.family)):
            raise Mistake(f"--law {request.family.__name__}: {mistake}") from None
        raise


def fit_several(
    source: Source,
    requests: Sequence[Request],
    paths: Sequence[Path],
    flops: float | None,
    *,
    anyway: bool,
    as_json: bool,
) -> None:
    """Fit several families to the same runs, compare and write them."""
    with steps() as begin:
        results = [searched_by_name(source, request, begin) for request in requests]
        comparison = fit_comparison.compared([each.fit for each in results], flops, begin)
        for result, path in zip(results, paths, strict=True):
            result.fit.save(path, result.bootstrap, **about_of(result))
    first = results[0]
    odd = {about: first.remarks[about] for about in first.odd}
    written = [str(path) for path in paths]
    if as_json:
        record = fit_comparison.record_of(comparison, flops, odd, written)
        tables.print_json("fit", saved.plain({"dataset": first.title} | record))
    else:
        fit_comparison.show(first.title, comparison, flops, odd, written)
    if comparison.best is None and not anyway:
        raise Mistake(f"{comparison.advice} --anyway takes the fits as they are")


def fitted(runs: js.Runs, request: Request) -> js.fitting.Fit:
    """The fit; Mistake where held coefficients leave none."""
    try:
        return js.fit(
            request.family,
            runs,
            objective=request.objective,
            starts=request.starts,
            fixed=request.fixed,
            tie=request.tie,
        )
    except ValueError as error:
        if request.fixed and "is not finite at any of" in str(error):
            raise Mistake("--fix: no law with these values comes near the runs") from None
        raise Mistake(str(error)) from None


@contextmanager
def noted() -> Iterator[list[Warning]]:
    """Collect the warnings of the block."""
    notes: list[Warning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        program_cache.overlook_damage()
        yield notes
    messages = (each.message for each in caught if each.category in (UserWarning, Suspicion))
    notes += (message for message in messages if isinstance(message, Warning))


def remarks_of(notes: Sequence[Warning], made: Any, boot: Any) -> tuple[list[str], dict[str, str]]:
    """Subjects of suspicions about the table, and all remarks by subject."""
    said: dict[str, str] = {}
    for each in notes:
        if isinstance(each, Suspicion):
            earlier = said.get(each.about)
            said[each.about] = "; ".join(filter(None, (earlier, each.sentence)))
    odd = list(said)
    for remark in made.diagnose(boot):
        said.setdefault(remark.about, remark.sentence)
    others = dict.fromkeys(str(note) for note in notes if not isinstance(note, Suspicion))
    said |= {f"note {number}": text for number, text in enumerate(others, start=1)}
    return odd, said


def read_runs(source: Source) -> js.Runs:
    """The runs of weight above 0; Mistake names every fault of the table."""
    try:
        runs = js.Runs.read(
            "-" if source.path == "-" else path_of(source.path),
            **source.columns,
            where=source.where,
            best_of_cell=source.best_of_cell,
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
    """Refuse runs that can be neither fitted nor resampled."""
    columns = [runs.params, runs.tokens, *(runs.levers or {}).values()]
    sizes = len(np.unique(np.stack(columns), axis=1).T)
    for name, values in {"params": runs.params, "tokens": runs.tokens}.items():
        if not (values.min() >= SMALLEST and values.max() <= LARGEST):
            low, high = float(values.min()), float(values.max())
            raise Mistake(
                f"{source.label}: {name} from {low:.3g} to {high:.3g} are not counts: see "
                f"--{name}-unit"
            )
    held = request.fixed.get("E", -math.inf)
    if held >= runs.loss.min():
        raise Mistake(f"--fix: E={held:g} is not below the least loss, {runs.loss.min():.4g}")
    said = coefficients_of(request.family)
    free = sum(name not in request.fixed and not said[name].held for name in said)
    free -= sum(len(group) - 1 for group in request.tie)
    if sizes <= free:
        raise Mistake(
            f"{source.label}: {counted(sizes, 'run')} of different sizes cannot tell "
            f"{counted(free, 'coefficient')}: add runs, or hold coefficients with --fix or --tie"
        )
    if runs.group is not None and request.resamples and len(np.unique(runs.group)) < 2:
        raise Mistake(
            f"{source.label}: --group: all runs are of one group; nothing can be resampled"
        )


def optima_of(made: Any, boot: Any) -> list[fit_report.Optimum]:
    """Compute-optimal sizes at round budgets within the runs and somewhat beyond.

    Empty where the runs do not identify them, and for a law with levers.
    """
    if not made.claims.has_sizes or levers_of(made.law):
        return []
    runs, flops = made.runs, np.array(budgets_of(made.runs.flops))
    sizes = sizes_at(made.law, flops)
    ends = {} if boot is None else js.size_intervals(boot.law, flops)
    if made.claims.unidentified:  # E alone, on which no size rests
        sizes["loss"] = np.full_like(sizes["loss"], np.nan)
        ends |= {"loss": (sizes["loss"], sizes["loss"])} if ends else {}
    optima = []
    for at, budget in enumerate(flops):
        params, tokens = sizes["params"][at], sizes["tokens"][at]
        above = budget / runs.flops.max(), params / runs.params.max(), tokens / runs.tokens.max()
        below = runs.params.min() / params, runs.tokens.min() / tokens
        optima.append(
            fit_report.Optimum(
                float(budget),
                *(float(sizes[name][at]) for name in fit_report.SIZES),
                intervals={name: (float(x[at]), float(y[at])) for name, (x, y) in ends.items()},
                beyond=float(max(*above, *below)),
            )
        )
    return optima


def budgets_of(flops: np.ndarray) -> list[float]:
    """Powers of ten within the runs, a few if they are many, and the next ones beyond."""
    low, high = math.log10(flops.min()), math.log10(flops.max())
    inside = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
    if len(inside) > MOST_INSIDE:
        some = np.linspace(0, len(inside) - 1, MOST_INSIDE).round().astype(int)
        inside = [inside[at] for at in some]
    first = math.floor(high + 1e-9) + 1
    return [float(f"1e{power}") for power in (*inside, *range(first, first + BEYOND))]


def about_of(result: Result) -> dict[str, Any]:
    """The record's values besides the fit: table, sizes, published laws and remarks."""
    source, made = result.source, result.fit
    resamples = record_of(made, result.bootstrap)["resamples"]
    return {
        "source": f"jaxscale fit, version {js.__version__}",
        "dataset": result.title,
        "params_convention": f"as in column {source.columns['params']} of {source.name}",
        "resamples": {**resamples, "seed": result.request.seed},
        "best_params_exponent": fit_report.exponent_of(made.law) if result.optima else None,
        "runs": {
            "count": len(made.runs),
            "file": source.path,
            "where": source.where,
            "best_of_cell": source.best_of_cell,
            "columns": dict(source.columns),
            "units": dict(source.units),
        },
        "optima": [each.record() for each in result.optima],
        "parabolas": result.parabolas and result.parabolas.record(),
        "published": {name: numbers_of(law) for name, law in result.beside.items()},
        "remarks": dict(result.remarks),
    }


def draw(result: Result, path_of_kind: Callable[[str], Path], begin: Begin) -> list[Path]:
    """Write every picture that the fit has; the paths written."""
    advance, written = begin("drawing", len(PICTURES)), []
    made, boot, data = result.fit, result.bootstrap, result.title
    losses = not made.claims.unidentified and not levers_of(made.law)
    makers = {
        "quality": lambda: js.plots.fit_quality(made, data=data),
        "contours": lambda: js.plots.fit_surface(made, boot, data=data) if losses else None,
        "isoflops": lambda: js.plots.fit_isoflops(made, boot, data=data) if losses else None,
        "pairs": lambda: js.plots.coefficient_pairs(boot, data=data) if _has_pairs(boot) else None,
        "optima": lambda: (
            js.plots.fit_sizes(made, boot, beside=result.beside, data=data)
            if result.optima
            else None
        ),
    }
    for kind in PICTURES:
        figure = makers[kind]()
        if figure is not None:
            save(figure, path_of_kind(kind))
            written.append(path_of_kind(kind))
        advance(1)
    return written


def _has_pairs(boot: js.fitting.Bootstrap | None) -> bool:
    """Whether resamples move two coefficients or more, and no more than a picture holds."""
    if boot is None or boot.fit.claims.unidentified:
        return False
    return 2 <= len(varied(boot.fit)) <= MOST_PANELS
