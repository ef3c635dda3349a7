"""The cheapest plan by each of several laws, in groups of laws whose losses are comparable.

Between groups they are not: data and tokenizers differ, and so does what counts as a param. To ask
every law the same question, match a model by its size instead of by a loss.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale import laws as families
from jaxscale._explain import Asked, is_of_memory, sentence_of
from jaxscale._numerics import arrays
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.names import hint
from jaxscale._numerics.quantities import count, counted, scientific
from jaxscale.costs import Costs, Demand
from jaxscale.laws._tasks import entry_of_law, task_entry, tasks
from jaxscale.laws.protocol import (
    NO_LENGTH,
    NO_MEMORY,
    Law,
    check_law,
    choices_of,
    depends_on_tokens,
    formats_of,
    knows_memory,
    levers_of,
    loss_scale,
)
from jaxscale.laws.saved import is_file_name
from jaxscale.laws.vocabulary import vocabulary_params_for
from jaxscale.plan import Bounds, Plan, evaluate
from jaxscale.published import Entry
from jaxscale.solve import compute_optimal, minimize_cost, plan_intervals
from jaxscale.status import Status

if TYPE_CHECKING:
    from pandas import DataFrame

BEST = "best"
# Levers of which more is not simply better: their best value says something.
CHOSEN = ("sparsity", "activation", "granularity", "bits", "vocabulary_params")
# Of a dense model in 16 bits, with layers in one piece, on tokens that are all new.
PLAIN = {"sparsity": 0.0, "activation": 1.0, "experts": 1.0, "granularity": 1.0, "bits": 16.0}
PLAIN |= {"exponent_bits": 8.0, "mantissa_bits": 7.0, "scaling_block": 128.0}
PLAIN |= {"streams": 1.0, "unique_tokens": 1e30}
FORMAT = "format"  # names the levers of a number format at once
OWN = "your own"  # the group of laws that no publication describes
# Reasons without the numbers of a scenario, which laws share; of other statuses, their sentence.
SHORT = {
    Status.INFEASIBLE_LOSS: "no model reaches this loss",
    Status.INFEASIBLE_BOUNDS: "no plan within the bounds reaches this loss",
    Status.NO_INTERIOR_OPTIMUM: "no optimum without bounds",
}
COSTS = ("train_cost", "prefill_cost", "decode_cost", "total_cost")


class Spelling(NamedTuple):
    """Names of options and arguments in reasons."""

    lever: str = "levers={{{name!r}: ...}}"
    loss: str = "loss"
    model: str = "params"


PYTHON = Spelling()


@dataclass(frozen=True)
class LawRow:
    """One law's answer: a plan, or the reason why there is none.

    Examples:
        >>> row = js.compare_laws(["sardana2024"], loss=2.5).rows[0]
        >>> row.name, row.in_range, row.reason
        ('sardana2024', True, '')
    """

    name: str
    law: Any
    entry: Entry | None = None  # None for a law that no entry describes
    target: float | None = None  # loss to reach, nats per token; NaN where the runs do not tell it
    plan: Plan | None = None
    chosen: tuple[str, ...] = ()  # levers that were chosen with the plan
    reason: str = ""  # why there is no plan
    short_reason: str = ""  # the same without the law's own numbers: laws may share it
    status: Status | None = None  # of the plan, or of the scenario without one
    in_range: bool | None = None  # inside the runs behind the law; None: their range is not known
    resampled: Plan | None = None  # by the resamples of a saved fit, for `js.plan_intervals`
    task: Entry | None = None  # whose accuracy is the target, as the law's loss tells it
    of_memory: bool = False  # whether the bound of the status on params is one on memory

    @property
    def group(self) -> str:
        """What its losses are of, as `Entry.loss_group`; "your own" for a law without an entry."""
        if self.entry is not None and not is_file_name(self.entry.name):
            return self.entry.loss_group
        data = "" if self.entry is None else f", {self.entry.dataset}"
        scale = loss_scale(self.law, self.entry)
        return f"{OWN}{data}" + (f"; loss {scale}" if scale else "")

    @property
    def note(self) -> str:
        """Why there is no plan, or how it leaves the range of the law's runs; empty if inside."""
        if self.plan is None or self.entry is None:
            return self.reason
        return self.entry.range_note(self.plan)


@dataclass(frozen=True)
class LawComparison:
    """The answers of several laws to one question, a row each.

    Examples:
        >>> js.compare_laws(["sardana2024", "besiroglu2024"], loss=2.5)
        Loss 2.5: the cheapest plan by 2 laws
          law            params  tokens  tokens per param  total cost  note
        -------------------------------------------------------------------
        MassiveText (tokenizer: vocabulary of 32,000)
          sardana2024     1.12B   31.3B              28.0     2.10e20
          besiroglu2024   1.06B   23.9B              22.6     1.51e20
    """

    rows: tuple[LawRow, ...]
    question: str  # in words

    def __repr__(self) -> str:
        return _display.grouped(self._header, self._groups(), title=self._title, notes=self._notes)

    def _repr_html_(self) -> str:
        shown = self._header, self._groups()
        return _display.grouped_html(*shown, title=self._title, notes=self._notes)

    @property
    def groups(self) -> dict[str, list[LawRow]]:
        """The rows with a plan by what their losses are of: comparable in each group alone.

        Examples:
            >>> names = ["sardana2024", "kaplan2020", "besiroglu2024"]
            >>> for group, rows in js.compare_laws(names, loss=2.5).groups.items():
            ...     print(f"{group}: {', '.join(row.name for row in rows)}")
            MassiveText (tokenizer: vocabulary of 32,000): sardana2024, besiroglu2024
            WebText2 (tokenizer: byte pairs, vocabulary of 50,257): kaplan2020
        """
        return _collected((row.group, row) for row in self.rows if row.plan is not None)

    @property
    def without_plan(self) -> dict[str, list[LawRow]]:
        """The other rows, by a reason that they share.

        Examples:
            >>> js.compare_laws(["kaplan2020", "clark2022_rlr"], loss=2.5).without_plan.keys()
            dict_keys(['no training length in the law'])
        """
        return _collected((row.short_reason, row) for row in self.rows if row.plan is None)

    def to_dataframe(self) -> "DataFrame":
        """A row for each law; NaN where a law has no plan.

        Where a law is a saved fit with resamples, with the ends of 95 % intervals.

        Examples:
            >>> frame = js.compare_laws(["sardana2024"], loss=2.5).to_dataframe()
            >>> print(frame.loc[0, ["law", "status"]].tolist())
            ['sardana2024', 'OK']
        """
        names = ("params", "tokens", "tokens_per_param", "loss", *COSTS)
        levers = dict.fromkeys(name for row in self.rows if row.plan for name in row.plan.levers)
        return _display.dataframe(
            {
                "law": [row.name for row in self.rows],
                "group": [row.group for row in self.rows],
                "target_loss": [row.target for row in self.rows],
                **{name: [_number(row.plan, name) for row in self.rows] for name in names},
                **{name: [_lever(row.plan, name) for row in self.rows] for name in levers},
                **self._ends(names),
                "status": [row.status.name if row.status is not None else "" for row in self.rows],
                "in_range": [row.in_range for row in self.rows],
                "reason": [row.reason for row in self.rows],
            }
        )

    @property
    def _title(self) -> str:
        return f"{self.question}: the cheapest plan by {counted(len(self.rows), 'law')}"

    @property
    def has_intervals(self) -> bool:
        """Whether any law is a saved fit with resamples."""
        return any(row.resampled is not None for row in self.rows)

    def _ends(self, names: Iterable[str]) -> dict[str, list[float]]:
        """Columns of the ends of intervals, where there are any."""
        ends = [{} if row.resampled is None else plan_intervals(row.resampled) for row in self.rows]
        unknown = math.nan, math.nan
        return {
            f"{name}_{end}": [float(each.get(name, unknown)[index]) for each in ends]
            for name in names
            for index, end in enumerate(("low", "high"))
            if any(ends)
        }

    @property
    def _header(self) -> tuple[str, ...]:
        interval = ["95 % interval"] * self.has_intervals
        sizes = "params", *interval, "tokens", *interval, "tokens per param"
        return ("law", *sizes, "total cost", *interval, "note")

    @property
    def _notes(self) -> list[str]:
        """A line for each reason of laws without a plan."""
        return [
            f"{short_names(x.name for x in rows)}: {reason_of(rows)}"
            for rows in self.without_plan.values()
        ]

    def _groups(self) -> dict[str, list[tuple[str, ...]]]:
        return {group: list(map(self._cells, rows)) for group, rows in self.groups.items()}

    def _cells(self, row: LawRow) -> tuple[str, ...]:
        numbers = {"params": count, "tokens": count, "tokens_per_param": count}
        numbers["total_cost"] = scientific
        cells = [row.name]
        ends = {} if row.resampled is None else plan_intervals(row.resampled)
        for name, write in numbers.items():
            cells.append(write(_number(row.plan, name)))
            if self.has_intervals and name != "tokens_per_param":
                low, high = map(float, ends.get(name, (math.nan, math.nan)))
                known = math.isfinite(low + high)
                cells.append(f"{write(low)} to {write(high)}" if known else "")
        return *cells, ", ".join(remarks(row))


def _collected(pairs: Iterable[tuple[str, LawRow]]) -> dict[str, list[LawRow]]:
    """The rows of each text, in the order of first appearance."""
    rows: dict[str, list[LawRow]] = defaultdict(list)
    for text, row in pairs:
        rows[text].append(row)
    return dict(rows)


def short_names(names: Iterable[str]) -> str:
    """Names of laws in a line: of those of one paper, as far as the first underscore once.

    >>> short_names(["clark2022_sbase", "clark2022_rlr", "tao2024"])
    'clark2022_sbase, _rlr, tao2024'
    """
    written, paper = [], None
    for name in names:
        stem, underscore, rest = name.partition("_")
        written.append(f"_{rest}" if underscore and stem == paper else name)
        paper = stem
    return ", ".join(written)


def reason_of(rows: Sequence[LawRow]) -> str:
    """The reason why these have no plan: of one law with its numbers."""
    return rows[0].reason if len(rows) == 1 else rows[0].short_reason


def remarks(row: LawRow) -> Iterator[str]:
    """Remarks on a plan, in few words."""
    assert row.plan is not None
    for name, text in lever_texts(row.law, row.plan.levers):
        value = row.plan.levers[name]
        how = f" ({BEST})" if name in row.chosen else ""
        if row.status is Status.AT_LEVER_END and how and _is_end(float(value), row.law, name):
            how = f" ({BEST}, end of its range)"
        yield f"{text}{how}"
    yield from _runner_up(row)
    if row.status is not None and row.status not in (Status.OK, Status.AT_LEVER_END):
        yield "at max memory" if row.of_memory else row.status.name.lower().replace("_", " ")
    if row.entry is not None and row.entry.warning:
        kind, colon, _ = row.entry.warning.partition(": ")
        yield f"fit {kind}" if colon and kind.isupper() else "fit with open coefficients"
    if row.in_range is not True:
        yield "range unknown" if row.in_range is None else "extrapolated"


def _runner_up(row: LawRow) -> Iterator[str]:
    """The second best values of levers that take only some, and how much dearer they are."""
    assert row.plan is not None
    second = dict(row.plan.runner_up)
    excess = float(second.pop("excess", math.nan))
    if second and math.isfinite(excess):
        own = {name: value for name, value in second.items() if name in row.chosen}
        values = ", ".join(text for _, text in lever_texts(row.law, own))
        yield f"{float(f'{100 * excess:.2g}'):g} % dearer with {values}"


def lever_texts(law: Any, levers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and text of each lever, such as `granularity 16.0`; of a number format one for all."""
    for word, own in formats_of(law).items():
        if all(name in levers and float(levers[name]) == x for name, x in own.items()):
            yield next(iter(own)), f"{FORMAT} {word}"
            levers = {name: value for name, value in levers.items() if name not in own}
            break
    yield from ((name, lever_text(law, name, value)) for name, value in levers.items())


def lever_text(law: Any, name: str, value: Any) -> str:
    """A lever and its value, as in `granularity 16.0`; one that takes only some is written out."""
    number = float(value)
    text = f"{number:g}" if name in choices_of(law) else count(number)
    return f"{name.replace('_', ' ')} {text}"


def compare_laws(
    laws: Iterable[Any] | Mapping[str, Any] | None = None,
    *,
    loss: float | None = None,
    task: str | None = None,
    accuracy: float | None = None,
    params: float | None = None,
    tokens: float | None = None,
    demand: Demand | None = None,
    costs: Costs | None = None,
    bounds: Bounds | None = None,
    levers: Mapping[str, float | str | Sequence[float]] | None = None,
) -> LawComparison:
    """The cheapest plan for a quality by each of several laws.

    The quality is a loss, an accuracy on a task, or that of a model: by each law the model has the
    loss of that law. An accuracy is asked of the laws whose loss tells it; see `js.task`.
    Sparsity, activation, granularity, bits, number formats and vocabulary are chosen with the plan
    where `levers` has no value for them; a model to match is then dense, in 16 bits and with layers
    in one piece.

    A saved fit whose runs leave open what the plan rests on has none. One with resamples has the
    plan of each in its row's `resampled`: intervals of its numbers are in the table.

    The answers are in groups of laws whose losses are of the same data, tokenizer and unit; between
    groups losses are not comparable.

    Works on the host in float64 and compiles nothing: NumPy runs the solvers' equations.

    Args:
        laws: names of published laws or files, entries, laws and fits, or a dict of them by names
            of your own. A law without a name is called by its class. The whole catalogue by
            default.
        loss: the loss to reach, in nats per token.
        task: name of a task, with an accuracy instead of a loss.
        accuracy: the share to reach on it.
        params: size of the model to match, instead of a loss.
        tokens: what this model was trained on; compute-optimal by default.
        demand: tokens to read and to write over the model's life; none by default.
        costs: the price of a FLOP in each phase; 1 by default, so that costs are in FLOPs.
        bounds: limits on params and tokens; none by default.
        levers: values by name; "best", or a list of values, for a lever to choose. "format" sets
            the bits of a number format, such as "E4M3".

    Raises:
        ValueError: no quality is given, or more than one; a law, a task or a lever is unknown;
            there is no law, or an array where one number is needed.
        TypeError: something in `laws` is no law, or `laws` is a single one.

    Examples:
        >>> comparison = js.compare_laws(["sardana2024", "kaplan2020"], params=7e9)
        >>> [f"{row.plan.tokens:.3g}" for row in comparison.rows]
        ['2.76e+11', '2.91e+10']
    """
    if (task is None) != (accuracy is None):
        raise ValueError("give task and accuracy together")
    entry = None if task is None else task_entry(task)
    named = read_laws(laws, entry)
    given = dict(levers or {})
    check_levers(named, given)
    if entry is not None and (loss is not None or params is not None):
        raise ValueError("give one of loss, params of a model, and task with accuracy")
    if entry is None and (loss is None) == (params is None):
        raise ValueError("give either loss, or params of a model to match")
    if tokens is not None and params is None:
        raise ValueError("tokens belong to a model to match: give params too")
    numbers = {name: x for name, x in given.items() if not (isinstance(x, str) or _is_list(x))}
    inputs = {"loss": loss, "accuracy": accuracy, "params": params, "tokens": tokens}
    inputs |= {"demand": demand, "costs": costs, "bounds": bounds, "levers": numbers}
    check_single(**{name: x for name, x in inputs.items() if x is not None})
    question = Question(loss, params, tokens, demand, costs, bounds, entry, accuracy)
    return compare(named, given, question)


def _is_end(value: float, law: Any, name: str) -> bool:
    """Whether a lever is at an end of its range, to rounding."""
    return any(math.isclose(value, end, rel_tol=1e-6, abs_tol=1e-6) for end in levers_of(law)[name])


class Question(NamedTuple):
    """The question that every law is asked."""

    loss: float | None
    params: float | None
    tokens: float | None
    demand: Demand | None
    costs: Costs | None
    bounds: Bounds | None
    task: Entry | None = None
    accuracy: float | None = None

    def __str__(self) -> str:
        if self.task is not None and self.accuracy is not None:
            return f"Accuracy {_percent(self.accuracy)} on {self.task.benchmark}"
        if self.loss is not None:
            return f"Loss {self.loss:.5g}"
        training = f"on {count(self.tokens)} tokens" if self.tokens else "compute-optimal"
        return f"The loss of {count(self.params or 0)} params {training}"


class Named(NamedTuple):
    """A law with its name, and its entry if it has one."""

    name: str
    law: Any
    entry: Entry | None


def _percent(share: float) -> str:
    return f"{round(100 * share, 1):g} %"


def read_laws(laws: Any, task: Entry | None = None) -> list[Named]:
    """Laws by name, from what `compare_laws` takes; raises as it does.

    By default those of the catalogue, and those of a task besides.
    """
    if isinstance(laws, Mapping):
        found = [_named(value, str(name)) for name, value in laws.items()]
    elif laws is None:
        own = [entry_of_law(each) for each in _same_task(task)]
        found = [_named(entry) for entry in dict.fromkeys((*families.catalog(), *own))]
    elif isinstance(laws, str | Entry) or not isinstance(laws, Iterable):
        raise TypeError(f"laws must be a list of laws, or a dict by name; got {laws!r}")
    else:
        found = _distinct(_named(value) for value in laws)
    if not found:
        raise ValueError("laws is empty: give one law or more, or None for the whole catalogue")
    return found


def _named(value: Any, name: str | None = None) -> Named:
    """A law, fit, entry, or name of a published law or of a file, by a name of its own if given."""
    entry = families.entry(value) if isinstance(value, str) else value
    if isinstance(entry, Entry):
        check_law(entry.law)
        return Named(name or entry.name, entry.law, entry)
    law = getattr(value, "law", value)  # of a fit
    check_law(law)
    check_single(law=law)
    return Named(name or type(law).__name__, law, None)


def _distinct(laws: Iterable[Named]) -> list[Named]:
    """The laws, with a number after the name of each that has been used already."""
    found: dict[str, Named] = {}
    for each in laws:
        name, number = each.name, 1
        while name in found:
            number += 1
            name = f"{each.name} {number}"
        found[name] = each._replace(name=name)
    return list(found.values())


def check_single(**inputs: Any) -> None:
    """Raises TypeError for what is no number, and ValueError for an array, naming the input."""
    arrays.enter(**inputs)
    for name, tree in inputs.items():
        for shape in {np.shape(x) for x in jax.tree.leaves(tree)} - {()}:
            raise ValueError(f"{name} must be of one scenario, not an array of shape {shape}")


def check_levers(laws: Sequence[Named], given: Mapping[str, Any]) -> None:
    """Raises ValueError for a lever that no law has, or a word that is not "best"."""
    formats = {FORMAT for each in laws if formats_of(each.law)}
    known = sorted(formats.union(*(levers_of(each.law) for each in laws)))
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"no law has {name!r}{hint(name, known)}")
        if isinstance(value, str) and value != BEST and name != FORMAT:
            raise ValueError(f"lever {name} must be a number or {BEST!r}; got {value!r}")


Joint = Mapping[tuple[str, ...], tuple[tuple[float, ...], ...]]


def read_format(law: Any, given: Mapping[str, Any]) -> tuple[dict[str, Any], Joint]:
    """The levers with those that `format` sets in place of it, and the formats to choose among.

    Raises ValueError for a format that is not known, and for one beside a lever that it sets.
    """
    formats, levers = formats_of(law), dict(given)
    if FORMAT not in given or not formats:
        return levers, {}
    asked = levers.pop(FORMAT)
    words = tuple(formats) if asked == BEST else (asked,) if isinstance(asked, str) else asked
    known = {name.lower(): own for name, own in formats.items()}
    for word in words:
        if str(word).lower() not in known:
            raise ValueError(f"{FORMAT} {word!r} is not known; known: {', '.join(formats)}, {BEST}")
    rows = [known[str(word).lower()] for word in words]
    names = tuple(next(iter(formats.values())))
    for name in names:
        if name in levers:
            raise ValueError(f"give {FORMAT} or {name}, not both")
    if len(rows) == 1:
        return {**levers, **rows[0]}, {}
    return levers, {names: tuple(tuple(row[name] for name in names) for row in rows)}


def plain_levers(names: Iterable[str], params: float) -> dict[str, float]:
    """Levers of an ordinary model of `params` params: the values to use where none are given.

    Raises ValueError for a lever whose ordinary value is not known.
    """
    values = {}
    for name in names:
        if name not in PLAIN and name != "vocabulary_params":
            raise ValueError(f"lever {name!r} needs a value for a model to match")
        values[name] = PLAIN[name] if name in PLAIN else _vocabulary(params)
    return values


def _vocabulary(params: float) -> float:
    with jax.enable_x64(True):  # which may be off
        return float(vocabulary_params_for(params))


class NoPlan(Exception):
    """A law has no plan: why, in short too, and the status where a solver said so."""

    def __init__(self, reason: str, short: str = "", status: Status | None = None) -> None:
        super().__init__(reason)
        self.short = short or reason
        self.status = status

    def row(self, named: Named) -> LawRow:
        """The law's row."""
        return LawRow(*named, reason=str(self), short_reason=self.short, status=self.status)


def _plain(names: Iterable[str], params: float) -> dict[str, float]:
    """`plain_levers`; NoPlan, which concerns one law alone, where a value is not known."""
    try:
        return plain_levers(names, params)
    except ValueError as error:
        raise NoPlan(str(error)) from None


def _same_task(task: Entry | None) -> list[Entry]:
    """The entries of one task, each with the law by whose loss it is."""
    return [] if task is None else [x for x in tasks() if x.benchmark == task.benchmark]


def _target(named: Named, question: Question) -> tuple[float | None, Entry | None]:
    """The loss to reach, and the task whose accuracy that is, if any; NoPlan without a loss."""
    if question.task is None or question.accuracy is None:
        return question.loss, None
    task = next((x for x in _same_task(question.task) if x.law.law == named.law), None)
    on = question.task.benchmark
    if task is None:
        raise NoPlan(f"its loss does not tell the accuracy on {on}")
    low, high = map(float, interpreted(lambda: task.law.reach))
    if not low < question.accuracy < high:
        ends = f"{_percent(low)} to {_percent(high)}"
        raise NoPlan(
            f"no model has {_percent(question.accuracy)} on {on} by it, but {ends}",
            "no model has this accuracy",
        )
    return float(interpreted(task.law.loss, question.accuracy)), task


class _Case(NamedTuple):
    """The question put to one law: fixed levers, levers to choose, and a model to match, if any."""

    named: Named
    values: dict[str, float]
    over: Mapping[Any, Any]  # levers to choose, as that of `minimize_cost`
    model: tuple[float, float] | None  # params and tokens
    target: float | None  # loss
    task: Entry | None

    @property
    def chosen(self) -> tuple[str, ...]:
        return names_of(self.over)


def compare(
    laws: Sequence[Named],
    given: Mapping[str, Any],
    question: Question,
    spelling: Spelling = PYTHON,
) -> LawComparison:
    """The answers in the order of the laws; laws of one class are solved for together."""
    rows: dict[str, LawRow] = {}
    alike: dict[Any, list[_Case]] = defaultdict(list)
    with jax.enable_x64(True):
        for named in laws:
            try:
                case = _case(named, given, question, spelling)
                if case.over:
                    rows[named.name] = _searched(case, question)
                else:
                    structure = jax.tree.structure(named.law)
                    alike[type(named.law), structure, *case.values.items()].append(case)
            except NoPlan as none:
                rows[named.name] = none.row(named)
        for family in alike.values():
            rows |= {row.name: row for row in _solved_together(family, question)}
    return LawComparison(tuple(rows[named.name] for named in laws), str(question))


def _case(named: Named, given: Mapping[str, Any], question: Question, spelling: Spelling) -> _Case:
    """The question put to one law; NoPlan where the law cannot answer it."""
    law = named.law
    entry = named.entry
    target, task = _target(named, question)
    if entry and entry.unidentified and (question.loss is not None or not entry.tells_sizes):
        raise NoPlan(entry.warning, "the runs behind it leave open what a plan rests on")
    if not depends_on_tokens(law):
        raise NoPlan(f"its loss {NO_LENGTH}", "no training length in the law")
    if question.loss is not None and (scale := loss_scale(law, entry)):
        instead = f"use {spelling.model} instead of {spelling.loss}"
        raise NoPlan(f"its loss is {scale}: {instead}", f"loss not in nats per token: {instead}")
    if question.bounds is not None and question.bounds.of_memory and not knows_memory(law):
        raise NoPlan(NO_MEMORY)
    known, formats = levers_of(law), formats_of(law)
    of_format = {name for own in formats.values() for name in own}
    if of_format and not of_format & given.keys():
        given = {FORMAT: BEST, **given}
    try:
        given, joint = read_format(law, given)
    except ValueError as error:
        raise NoPlan(str(error)) from None
    # Blocks are those of an ordinary format.
    plain = PLAIN if formats else {}
    values = {
        name: given.get(name, BEST if name in (*CHOSEN, *choices_of(law)) else plain.get(name))
        for name in known
        if name not in names_of(joint)
    }
    missing = [name for name, value in values.items() if value is None]
    if missing:
        needed = "; ".join(
            f"{spelling.lever.format(name=name)}, {count(known[name][0])} to "
            f"{count(known[name][1])}"
            for name in missing
        )
        raise NoPlan(f"needs {needed}", f"needs values of {' and '.join(missing)}")
    lists = {name: tuple(map(float, x)) for name, x in values.items() if _is_list(x)}
    over = {name: lists.get(name) for name, x in values.items() if name in lists or x == BEST}
    numbers = {name: float(value) for name, value in values.items() if name not in over}
    over = {**joint, **over}
    listed = [(name, value) for name, several in lists.items() for value in several]
    for name, value in (*numbers.items(), *listed):
        low, high = known[name]
        if not low <= value <= high:
            limits = f"{count(low)} to {count(high)}"
            raise NoPlan(f"{name} {value:g} is outside its range, {limits}")
    model = _model(named, numbers, names_of(over), question)
    return _Case(named, numbers, over, model, target, task)


def names_of(over: Iterable[str | tuple[str, ...]]) -> tuple[str, ...]:
    """The levers of an `over`, those that go together one by one."""
    return tuple(name for key in over for name in ((key,) if isinstance(key, str) else key))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _model(named, values, chosen, question: Question) -> tuple[float, float] | None:
    """Params and tokens of the model to match."""
    if question.params is None:
        return None
    if question.tokens is not None:
        return question.params, question.tokens
    levers = {**values, **_plain(chosen, question.params)}
    plan = interpreted(compute_optimal, named.law, params=question.params, levers=levers)
    plan = solved(plan, Asked(named.law, params=question.params, levers=levers))
    return float(plan.params), float(plan.tokens)


def solved(plan: Plan, asked: Asked) -> Plan:
    """The plan; NoPlan where there is none."""
    status = Status(int(plan.status))
    if not status.ok:
        raise NoPlan(sentence_of(status, asked), SHORT.get(status, status.sentence), status)
    return plan


def cheapest(
    law: Law, question: Question, target: float, values: Mapping[str, Any], over: Any
) -> Plan:
    """The cheapest plan of one law, over its chosen levers too; NoPlan where there is none.

    `over` has these as that of `minimize_cost`.
    """
    demand, costs, bounds = question.demand, question.costs, question.bounds
    plan = interpreted(minimize_cost, law, target, demand, costs, bounds, levers=values, over=over)
    return solved(plan, Asked(law, target, demand, costs, bounds, levers=values))


def loss_of_model(
    law: Law, model: tuple[float, float], values: Mapping[str, ArrayLike], chosen: Sequence[str]
) -> float:
    """The loss of the model to match, which has plain values of chosen levers."""
    levers = {**values, **_plain(chosen, model[0])}
    plan = interpreted(evaluate, law, *model, levers=levers)
    return float(solved(plan, Asked(law, params=model[0], tokens=model[1], levers=levers)).loss)


def _searched(case: _Case, question: Question) -> LawRow:
    """The cheapest plan by one law, over levers too."""
    named, values, over, model, target, _ = case
    if target is None:
        assert model is not None
        target = loss_of_model(named.law, model, values, case.chosen)
    plan = cheapest(named.law, question, target, values, over)
    return _row(case, question, target, plan)


def _row(case: _Case, question: Question, target: float, plan: Plan) -> LawRow:
    in_range = None
    named = case.named
    if named.entry is not None and named.entry.has_range:
        in_range = bool(interpreted(named.entry.in_range, plan))
    sizes = {"params": float(plan.params), "tokens": float(plan.tokens)}
    levers = {name: float(x) for name, x in plan.levers.items()}
    if named.entry is not None and not named.entry.tells_loss(**sizes, **levers):
        target, plan = math.nan, replace(plan, loss=np.array(math.nan))
    status = Status(int(plan.status))
    resampled = _resampled(case, question)
    return LawRow(
        *named,
        target,
        plan,
        case.chosen,
        status=status,
        in_range=in_range,
        resampled=resampled,
        task=case.task,
        of_memory=is_of_memory(plan, Asked(named.law, bounds=question.bounds)),
    )


def _resampled(case: _Case, question: Question) -> Plan | None:
    """The cheapest plan by each resample of a fit, for its own loss of a model to match."""
    draws = case.named.entry.draws if case.named.entry else None
    if draws is None:
        return None
    target: Any = case.target
    if question.params is not None:
        levers = {**case.values, **_plain(case.chosen, question.params)}
        tokens: Any = question.tokens
        if tokens is None:
            tokens = interpreted(
                compute_optimal, draws, params=question.params, levers=levers
            ).tokens
        target = interpreted(evaluate, draws, question.params, tokens, levers=levers).loss
    asked = draws, target, question.demand, question.costs, question.bounds
    return interpreted(minimize_cost, *asked, levers=case.values, over=case.over)


def _solved_together(family: Sequence[_Case], question: Question) -> Iterator[LawRow]:
    """The cheapest plan by each law of one class, at the same levers."""
    law = jax.tree.map(lambda *x: np.array(x, float), *(case.named.law for case in family))
    values = family[0].values
    demand, costs, bounds = question.demand, question.costs, question.bounds
    targets, matched = np.array([case.target for case in family], float), None
    if question.params is not None:
        params, tokens = np.array([case.model for case in family]).T
        matched = interpreted(evaluate, law, params, tokens, levers=values)
        targets = matched.loss
    plans = interpreted(minimize_cost, law, targets, demand, costs, bounds, levers=values)
    for lane, case in enumerate(family):
        model, plan = (jax.tree.map(lambda x, lane=lane: x[lane], x) for x in (matched, plans))
        target = float(targets[lane])
        asked = Asked(case.named.law, target, demand, costs, bounds, levers=values)
        try:
            if case.model is not None:
                params, tokens = case.model
                solved(model, Asked(case.named.law, params=params, tokens=tokens, levers=values))
            yield _row(case, question, target, solved(plan, asked))
        except NoPlan as none:
            yield none.row(case.named)


def _number(plan: Plan | None, name: str) -> float:
    return float("nan") if plan is None else float(getattr(plan, name))


def _lever(plan: Plan | None, name: str) -> float:
    return float("nan") if plan is None or name not in plan.levers else float(plan.levers[name])
