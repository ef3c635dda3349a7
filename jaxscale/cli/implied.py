"""`jaxscale implied`: the demand that explains the size of released models, or of your own."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

import jaxscale as js
from jaxscale import _schema, economics
from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, nonnegative
from jaxscale.cli import options, tables
from jaxscale.cli.files import checked_path, save
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, fixed_levers, read_law
from jaxscale.cli.options import Prices, number_option, read_prices
from jaxscale.cli.plan_report import SERVED
from jaxscale.economics.implied import sentence_of
from jaxscale.economics.released import SIZES
from jaxscale.published import Entry

EXAMPLES = """\
jaxscale implied
jaxscale implied llama-3-8b chinchilla-70b --law besiroglu2024
jaxscale implied --params 8B --tokens 15T --picture implied.png
jaxscale implied --train-on H100-SXM --train-price 2 --serve-on H100-SXM --serve-price 2 \\
    --input-per-request 1155 --output-per-request 211
"""
YOURS = "your model"
MIX_PANEL = "Mix of tokens, of which only the proportion counts; as many written as read by default"
MIX = ("input_per_request", "output_per_request")


def complete_releases() -> list[str]:
    """Names for shells to complete."""
    return [entry.name for entry in economics.releases()]


Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL ...]",
        help="Released models by name. [dim]\\[default: all of the catalogue][/dim]",
        autocompletion=complete_releases,
    ),
]
InputPerRequest = Annotated[
    float | None,
    number_option(
        "--input-per-request", "N", "Tokens that a request reads.", MIX_PANEL, nonnegative
    ),
]
OutputPerRequest = Annotated[
    float | None,
    number_option(
        "--output-per-request", "N", "Tokens that a request writes.", MIX_PANEL, nonnegative
    ),
]
Picture = Annotated[str | None, options.path_option("--picture", "Where a picture goes.")]


class Answer(NamedTuple):
    """Models with the demand of each, and what it was asked by."""

    named: NamedLaw
    prices: Prices
    mix: js.Demand
    explained: economics.ReleasesExplained

    @property
    def note(self) -> str:
        """A line on models outside the runs behind the law; empty without."""
        entry, models = self.named.entry, [each.release for each in self.explained.releases]
        if entry is None or not entry.has_range:
            return ""
        params, tokens = (np.array([getattr(x, name) for x in models]) for name in SIZES)
        inside = interpreted(entry.in_range, js.Runs(params, tokens, np.ones(len(models))))
        outside = len(models) - int(np.sum(inside))
        if not outside:
            return ""
        which = f"{outside} of {len(models)} models lie" if len(models) > 1 else "the model lies"
        return f"Extrapolated: {which} outside the sizes of the runs behind {entry.name}."


def implied(
    models: Models = None,
    params: options.Params = None,
    tokens: options.Tokens = None,
    law: options.Law = _schema.DEFAULT_LAW,
    lever: options.Lever = None,
    anyway: options.Anyway = False,
    train_on: options.TrainOn = None,
    serve_on: options.ServeOn = None,
    train_precision: options.TrainPrecision = None,
    serve_precision: options.ServePrecision = None,
    train_mfu: options.TrainMfu = None,
    prefill_mfu: options.PrefillMfu = None,
    decode_mfu: options.DecodeMfu = None,
    train_price: options.TrainPrice = None,
    serve_price: options.ServePrice = None,
    input_per_request: InputPerRequest = None,
    output_per_request: OutputPerRequest = None,
    picture: Picture = None,
    as_json: options.Json = False,
) -> None:
    """The demand for which a model is the cheapest of its loss: what its maker seems to expect.

    It takes the maker to know this law and these prices, and to choose the size for cost alone. As
    many tokens are read as written, unless both per request are given. A model that is larger than
    what is cheapest to train has a demand below 0: it would be too large if nobody used it.
    """
    given = dict(locals())
    path = None if picture is None else checked_path("--picture", picture)
    prices, mix = read_prices(given), read_mix(given)
    named = read_law(law, anyway=anyway)
    named.need_sizes()
    levers = fixed_levers(named, lever)
    entries = read_models(models or (), params, tokens)
    explained = economics.implied_by_releases(
        named.law, prices.costs, mix=mix, levers=levers.values, models=entries
    )
    answer = Answer(named, prices, mix, explained)
    if path is not None:
        save(draw(answer), path)
    if as_json:
        tables.print_json("implied", {**as_record(answer), "picture": path and str(path)})
    else:
        show(answer)
        tables.note(str(path) if path else "")


def read_models(
    names: Sequence[str], params: float | None, tokens: float | None
) -> tuple[Entry, ...]:
    """The models of these names, and one by its size; all of the catalogue without any."""
    if (params is None) != (tokens is None):
        raise Mistake("give --params and --tokens together: they are one model")
    with blamed_on("MODEL"):
        entries = [economics.release(name) for name in names]
    if params is not None and tokens is not None:
        entries.append(Entry(YOURS, release=economics.Release(YOURS, "", params, tokens, "")))
    return tuple(entries) or tuple(economics.releases())


def read_mix(given: Mapping[str, Any]) -> js.Demand:
    """The tokens of a request; as many read as written by default."""
    read, written = (given[name] for name in MIX)
    if read is None and written is None:
        return js.Demand(1.0, 1.0)
    if read is None or written is None:
        raise Mistake("give --input-per-request and --output-per-request together")
    if read + written == 0 or not math.isfinite(read + written):
        raise Mistake("--input-per-request: a request must read or write some tokens")
    return js.Demand(read, written)


def draw(answer: Answer) -> Any:
    """The picture of the models."""
    from jaxscale import plots

    subtitle = "; ".join([f"Law {answer.named.name}", *answer.prices.describe()])
    return plots.implied_demand(answer.explained, subtitle=subtitle)


def show(answer: Answer) -> None:
    """Print a row for each model, and what to know about them."""
    explained = answer.explained
    tables.note(answer.named.warning, style="bold yellow")
    title = f"Demand that makes a model the cheapest of its loss, law {answer.named.name}"
    tables.note(title, style="bold")
    for line in answer.prices.describe():
        tables.note(line, style="dim")
    header = (
        "model",
        "date",
        "params",
        "training\ntokens",
        "read",
        "written",
        "per training\ntoken",
    )
    rows = []
    for i, entry in enumerate(explained.releases):
        model = entry.release
        demand = [float(x[i]) for x in vars(explained.implied.demand).values()]
        numbers = [count(model.params), count(model.tokens), *map(_count, demand)]
        rows.append(
            (
                entry.name,
                model.date,
                *numbers,
                _count(sum(demand) / model.tokens),
                _meaning(answer, i)[0],
            )
        )
    tables.print_columns((*header, "note"), rows, words=("note",))
    for word, sentence in dict(_meaning(answer, i) for i in range(len(rows))).items():
        if word:
            tables.note(f"{word}: {sentence[0].lower()}{sentence[1:]}", style="dim")
    tables.note(answer.note, style="dim")


def _count(x: float) -> str:
    return "-" if math.isnan(x) else count(x)


def _meaning(answer: Answer, i: int) -> tuple[str, str]:
    """The word for what a number means, empty where the demand explains the size; a sentence."""
    implied = answer.explained.implied
    status, over_sized = js.Status(int(implied.status[i])), bool(implied.over_sized[i])
    word = {js.Status.OK: "", js.Status.NO_INTERIOR_OPTIMUM: "no demand"}.get(status, status.name)
    return "too large" if over_sized else word, sentence_of(status, over_sized)


def as_record(answer: Answer) -> dict[str, Any]:
    """The answer for machines: numbers and strings alone."""
    costs = {name: float(getattr(answer.prices.costs, name)) for name in ("train", *SERVED)}
    return {
        "law": {"name": answer.named.name, **tables.plain(answer.named.law)},
        "law_status": answer.named.warning,
        "unit": answer.prices.unit,
        "costs_per_flop": costs,
        "mix": tables.plain(answer.mix),
        "models": [_record(answer, i) for i in range(len(answer.explained.releases))],
        "note": answer.note,
    }


def _record(answer: Answer, i: int) -> dict[str, Any]:
    entry, implied = answer.explained.releases[i], answer.explained.implied
    status = js.Status(int(implied.status[i]))
    numbers = {
        **{name: float(x[i]) for name, x in vars(implied.demand).items()},
        **{"ratio": float(implied.ratio[i]), "substitution": float(implied.substitution[i])},
    }
    return {
        "name": entry.name,
        **vars(entry.release),
        **tables.finite(numbers),
        "over_sized": bool(implied.over_sized[i]),
        "status": status.name,
        "status_sentence": _meaning(answer, i)[1],
        "source": entry.source,
    }
