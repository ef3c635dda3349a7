"""The best size by every law that can answer the question, with its interval.

Laws of one class are one batch of one program, which is compiled once and then takes a millisecond;
`at_once` has the same numbers from NumPy, faster than that once and slower ever after.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jaxscale import _compare
from jaxscale._compare import LawRow, Named, NoPlan, Spelling
from jaxscale._explain import Asked as Scenario
from jaxscale._explain import is_of_memory
from jaxscale._levers import read_lever
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.interpreted import interpreted
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.answering import Answer
from jaxscale.exploring.fields import LEVER
from jaxscale.exploring.optima import POINTS, best_plans, losses_of_models
from jaxscale.exploring.reading import Asked
from jaxscale.exploring.uncertainty import draws_of
from jaxscale.plan import Bounds, Plan, evaluate
from jaxscale.published import Entry
from jaxscale.published.entry import TRAIN_FLOPS
from jaxscale.solve import compute_optimal, minimize_cost, minimize_loss
from jaxscale.solve.intervals import ends_of, tails_of
from jaxscale.status import Status

LEVEL = 0.95
WORDS = Spelling(lever="{name}", loss="a loss", model="a model to match")
OTHER_LOSS = "its losses are of other data or tokens: ask for a model to match"
TIMED = "not asked where serving is timed: give assumed utilisations instead"


class LawSize(NamedTuple):
    """The best plan by one law; numbers are NaN where it has none."""

    name: str
    params: float
    tokens: float
    cost: float  # in all
    low: float  # ends of the 95 % interval of params; NaN where not known
    high: float
    in_range: bool | None  # inside the runs behind the law; None: their range is not known
    group: str  # laws whose losses are comparable
    note: str  # why there is no plan, or the levers and what binds, in few words


class LawsAlike(NamedTuple):
    """Laws that one program answers for."""

    key: Hashable  # of the program, which is compiled when it is asked for the first time
    names: tuple[str, ...]
    sizes: Callable[[], list[LawSize]]
    at_once: Callable[[], list[LawSize]] | None  # without compiling, where that is faster


class Compared(NamedTuple):
    """The laws that are asked: those that have said their size, or why none, and the others."""

    sizes: Sequence[LawSize]
    waiting: Sequence[LawsAlike] = ()  # for their program

    def with_next(self, sizes: Iterable[LawSize]) -> "Compared":
        """The same when the first of those that wait has its sizes."""
        return Compared([*self.sizes, *sizes], self.waiting[1:])


def compared(
    answer: Answer, own: Mapping[str, Entry], is_compiled: Callable[[Hashable], bool]
) -> Compared:
    """The sizes by all laws whose program `is_compiled`, by its key; the others wait."""
    sizes, groups = laws_alike(answer, own)
    waiting: list[LawsAlike] = []
    for group in groups:
        if is_compiled(group.key):
            sizes += group.sizes()
        else:
            waiting.append(group)
    return Compared(sizes, waiting)


def sizes_by_law(
    answer: Answer, own: Mapping[str, Entry] | None = None, *, at_once: bool = False
) -> list[LawSize]:
    """The best size by every law of the catalogue and of `own`, in this order.

    Laws of which the question makes no sense are there too, with a note. `at_once` has the numbers
    without waiting for the compiler.
    """
    without, groups = laws_alike(answer, own)
    found = {each.name: each for each in without}
    for group in groups:
        sizes = (group.at_once if at_once else None) or group.sizes
        found |= {each.name: each for each in sizes()}
    return [found[named.name] for named in _laws(answer.asked, own)]


def laws_alike(
    answer: Answer, own: Mapping[str, Entry] | None = None
) -> tuple[list[LawSize], list[LawsAlike]]:
    """Laws that cannot answer, and the others by the program that does.

    The class of the question's law is first, and last are laws whose levers are chosen: a program
    of these takes ten seconds to compile, where the others take one to five.
    """
    asked = answer.asked
    question = _compare.Question(
        asked.quality.loss if asked.quality.task is None else None,
        None,
        None,
        asked.demand,
        asked.costs,
        asked.bounds,
        asked.quality.task,
        asked.quality.accuracy,
    )
    without: list[LawSize] = []
    alike: dict[Any, list[_Case]] = defaultdict(list)
    for named in _laws(asked, own):
        try:
            with jax.enable_x64(True):  # of an accuracy's loss
                case = _case(named, asked, question)
            alike[case.kind].append(case)
        except NoPlan as none:
            without.append(_without(named, none.short))
    groups = sorted(
        alike.values(), key=lambda cases: (asked.name not in map(_name, cases), bool(cases[0].over))
    )
    if asked.is_timed:
        own_group, *others = groups
        others = [case for cases in others for case in cases]
        return without + [_without(case.named, TIMED) for case in others], [
            _timed(own_group, answer)
        ]
    return without, [_group(cases, asked) for cases in groups]


class _Case(NamedTuple):
    """The question put to one law."""

    named: Named
    levers: dict[str, float]
    over: tuple[tuple[Any, Any], ...]  # levers to choose, as that of `minimize_cost`
    ordinary: dict[str, float]  # of a model to match, levers that are chosen
    target: float | None  # loss

    @property
    def kind(self) -> Hashable:
        """The same for laws of one program."""
        law = self.named.law
        structure = jax.tree.structure(law)
        levers = *self.levers.items(), *self.ordinary.items()
        return type(law), structure, levers, self.over

    @property
    def chosen(self) -> tuple[str, ...]:
        return _compare.names_of(dict(self.over))


def _name(case: _Case) -> str:
    return case.named.name


def _laws(asked: Asked, own: Mapping[str, Entry] | None) -> list[Named]:
    """Those of the catalogue and of one's own; the question's law may be neither."""
    named = _compare.read_laws(None, asked.quality.task)
    named += [Named(name, entry.law, entry) for name, entry in (own or {}).items()]
    if asked.name not in {each.name for each in named}:
        named.append(Named(asked.name, asked.law, asked.entry))
    return named


def _case(named: Named, asked: Asked, question: _compare.Question) -> _Case:
    """NoPlan where the law cannot answer."""
    case = _compare._case(named, _levers(asked), question, WORDS)
    group = None if asked.entry is None else LawRow(asked.name, asked.law, asked.entry).group
    if question.loss is not None and LawRow(*named).group != group:
        raise NoPlan(OTHER_LOSS)
    ordinary: dict[str, float] = {}
    if asked.quality.params is not None:
        ordinary = _compare._plain(case.chosen, asked.quality.params)
    return _Case(named, case.values, tuple(case.over.items()), ordinary, case.target)


def _levers(asked: Asked) -> dict[str, Any]:
    """As the question gives them: those that it leaves open are chosen by each law."""
    return {
        name.removeprefix(LEVER): read_lever(name.removeprefix(LEVER), text)
        for name, text in asked.question.texts.items()
        if name.startswith(LEVER)
    }


def _without(named: Named, note: str) -> LawSize:
    numbers = dict.fromkeys(("params", "tokens", "cost", "low", "high"), math.nan)
    return LawSize(named.name, **numbers, in_range=None, group=LawRow(*named).group, note=note)


def _group(cases: Sequence[_Case], asked: Asked) -> LawsAlike:
    draws = [draws_of(case.named.entry) for case in cases]
    laws = _stacked([case.named.law for case in cases], draws)
    counts = [0 if each is None else len(jax.tree.leaves(each)[0]) for each in draws]
    first, quality = cases[0], asked.quality
    targets: Any = None
    if first.target is not None:
        each = [case.target for case in cases]
        targets = np.concatenate(
            [np.array(each, float), *(np.full(n, x) for n, x in zip(counts, each, strict=True))]
        )
    model = quality.params, quality.tokens, first.ordinary
    arguments = (
        first.over,
        laws,
        (targets, quality.budget, *model),
        asked.demand,
        asked.costs,
        asked.bounds,
        first.levers,
    )
    structures = jax.tree.structure(arguments[1:])
    key = type(first.named.law), first.over, structures, sum(counts) + len(cases)

    def rows(solve: Callable[..., Any]) -> list[LawSize]:
        with jax.enable_x64(True):
            statuses, plans = jax.tree.map(np.asarray, solve(*arguments))
        ends = _ends(plans.params, counts, len(cases))
        return [
            _size(case, asked, statuses[i], jax.tree.map(lambda x, i=i: x[i], plans), ends[i])
            for i, case in enumerate(cases)
        ]

    return LawsAlike(
        key, tuple(map(_name, cases)), partial(rows, _solved), partial(rows, _interpreted)
    )


def _stacked(laws: Sequence[Any], draws: Iterable[Any]) -> Any:
    """The laws along one axis, and after them the draws of each that has some."""
    known = [each for each in draws if each is not None]
    return jax.tree.map(
        lambda *x: np.concatenate([np.ravel(np.asarray(each, float)) for each in x]), *laws, *known
    )


def _ends(
    params: NDArray[np.float64], counts: Sequence[int], laws: int
) -> list[tuple[float, float]]:
    """Ends of the interval of each law, from the draws that stand after the laws."""
    ends, start = [], laws
    for count in counts:
        sample, start = params[start : start + count], start + count
        low, high = ends_of(sample, tails_of(LEVEL)) if count else (math.nan, math.nan)
        ends.append((float(low), float(high)))
    return ends


def _interpreted(*arguments: Any) -> Any:
    return interpreted(_solve, *arguments)


def _solve(
    over: tuple[tuple[Any, Any], ...],
    laws: Any,
    quality: tuple[Any, ...],
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
    levers: dict[str, Any],
) -> tuple[Any, Plan]:
    """The status of a model to match, and the best plans, by laws along an axis."""
    targets, budget, params, tokens, ordinary = quality
    rest = demand, costs, bounds
    choice: Any = {"levers": levers, "over": dict(over)} if over else {"levers": levers}
    shape = jax.tree.leaves(laws)[0].shape
    status = np.zeros(shape, np.int8)
    if budget is not None:
        return status, minimize_loss(laws, budget, *rest, **choice)
    if params is not None:
        model = {**levers, **ordinary}
        if tokens is None:
            size = compute_optimal(laws, params=params, levers=model)
            tokens, status = size.tokens, size.status
        matched = evaluate(laws, params, tokens, levers=model)
        targets = matched.loss
        status = jax.numpy.where(status == 0, matched.status, status)
    return status, minimize_cost(laws, targets, *rest, **choice)


_solved = partial(compiled, static=1)(_solve)


def _size(
    case: _Case, asked: Asked, of_model: Any, plan: Plan, ends: tuple[float, float]
) -> LawSize:
    """The answer of one law."""
    for status in (Status(int(of_model)), Status(int(plan.status))):
        if not status.ok:
            return _without(case.named, _compare.SHORT.get(status, status.sentence))
    named = case.named
    in_range = None
    if named.entry is not None and named.entry.has_range:
        in_range = _in_range(named.entry, float(plan.params), float(plan.tokens))
    of_memory = asked.bounds is not None and bool(asked.bounds.of_memory)
    if of_memory:
        of_memory = is_of_memory(plan, Scenario(named.law, bounds=asked.bounds))
    row = LawRow(
        *named,
        plan=plan,
        chosen=case.chosen,
        status=Status(int(plan.status)),
        in_range=True,  # which is said apart
        of_memory=of_memory,
    )
    return LawSize(
        named.name,
        float(plan.params),
        float(plan.tokens),
        float(plan.total_cost),
        *ends,
        in_range,
        row.group,
        ", ".join(_compare.remarks(row)),
    )


def _in_range(entry: Entry, params: float, tokens: float) -> bool:
    """As `entry.in_range`, without JAX: thirty laws are asked after each move of a slider."""
    limits = (
        (params, entry.params_range),
        (tokens, entry.tokens_range),
        (tokens / params, entry.tokens_per_param_range),
        (TRAIN_FLOPS * params * tokens, entry.flops_range),
    )
    near = 1 + 1e-12  # a plan at a limit is inside
    return all(x * near >= ends[0] and x <= ends[1] * near for x, ends in limits if ends)


def _timed(cases: Sequence[_Case], answer: Answer) -> LawsAlike:
    """Laws of the question's class alone, by the programs of the path of optima.

    Others would wait for a compilation of ten seconds and more each.
    """
    asked, quality = answer.asked, answer.asked.quality

    def sizes() -> list[LawSize]:
        found: list[LawSize] = []
        for start in range(0, len(cases), POINTS):
            found += chunk(cases[start : start + POINTS])
        return found

    def chunk(some: Sequence[_Case]) -> list[LawSize]:
        lanes = [*some, *[some[-1]] * (POINTS - len(some))]
        laws = jax.tree.map(lambda x: x[None], _stacked([case.named.law for case in lanes], ()))
        if quality.budget is not None:
            targets: Any = quality.budget
        elif quality.params is not None:
            params, tokens = (
                None if x is None else np.full(POINTS, x) for x in (quality.params, quality.tokens)
            )
            model = asked.given.of_model(quality.params)
            targets = losses_of_models(laws, params, tokens, model)
        else:
            targets = np.array([case.target for case in lanes], float)
        plans = best_plans(asked, laws, targets, asked.demand)
        rows = []
        for i, case in enumerate(some):
            plan = jax.tree.map(lambda x, i=i: x[0, i], plans)
            ends = math.nan, math.nan
            if case.named.name == asked.name:
                ends = answer.intervals.get("params", ends)
            rows.append(_size(case, asked, 0, plan, ends))
        return rows

    key = "timed", type(asked.law), jax.tree.structure((asked.demand, asked.costs, asked.bounds))
    return LawsAlike(key, tuple(map(_name, cases)), sizes, None)
