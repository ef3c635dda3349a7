"""The options `--law` and `--lever`: a law by name, file or coefficients, and its levers."""

import importlib.util
import inspect
import math
import sys
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxscale as js
from jaxscale._compare import BEST, FORMAT
from jaxscale._levers import Given, Levers, Value, levers_of_texts, range_text, read_lever
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import Refused
from jaxscale._written_law import law_of_coefficients
from jaxscale.cli.mistakes import Mistake, blamed_on, nearest, path_of
from jaxscale.laws.composed import law_with_part, split_part, with_part
from jaxscale.laws.protocol import formats_of, levers_of
from jaxscale.laws.saved import SUFFIX, is_file_name, taken_as_it_is
from jaxscale.published import Entry
from jaxscale.published.entry import by_name

PYTHON, OWN = ".py", "jaxscale_own_"  # files with a class of law, and how their modules are called
REMEDY = "--anyway takes the fit as it is"


class NamedLaw(NamedTuple):
    name: str
    law: Any
    entry: Entry | None  # None for a law given by its coefficients

    @property
    def warning(self) -> str:
        """The warning about a fit that is not a certified minimum; else empty."""
        said = self.entry.warning if self.entry else ""
        return f"{self.name}: {said}" if said else ""

    @property
    def laws(self) -> Any:
        """The law with a leading axis: as it is, then in each resample of its fit, if any."""
        draws = self.entry.draws if self.entry else None
        if draws is None:
            return jax.tree.map(lambda x: np.array([float(x)]), self.law)
        return jax.tree.map(lambda x, drawn: np.append(float(x), drawn), self.law, draws)

    @property
    def resamples(self) -> int:
        """Number of resamples of the fit, of which `laws` has one law each."""
        draws = self.entry.draws if self.entry else None
        return 0 if draws is None else len(jax.tree.leaves(draws)[0])

    def with_at_most(self, count: int) -> "NamedLaw":
        """The same with so many resamples or fewer, for answers that take long."""
        if self.entry is None or self.resamples <= count:
            return self
        rows = np.linspace(0, self.resamples - 1, count).astype(int)
        draws = jax.tree.map(lambda x: x[rows], self.entry.draws)
        return self._replace(entry=replace(self.entry, draws=draws))

    def with_part(self, part: str) -> "NamedLaw":
        """The law with a published part; ValueError for one that is unknown or does not fit it."""
        if self.entry is None:
            return NamedLaw(f"{self.name}+{part}", law_with_part(self.law, part), None)
        entry = with_part(self.entry, part)
        return NamedLaw(entry.name, entry.law, entry)

    @property
    def is_fit(self) -> bool:
        """Whether the law is a fit in a file."""
        return self.entry is not None and is_file_name(self.entry.name)

    def need_sizes(self) -> None:
        """Refuse a fit whose runs do not identify what sizes rest on."""
        if self.entry is not None and not self.entry.tells_sizes:
            raise Mistake(f"--law: {self.warning} Nothing at other sizes can rest on it; {REMEDY}")

    def need_all(self) -> None:
        """Refuse a fit whose runs leave any coefficient open."""
        if self.entry is not None and self.entry.unidentified:
            raise Mistake(f"--law: {self.warning} So losses at other sizes are not known; {REMEDY}")

    def as_known(self, plan: js.Plan) -> js.Plan:
        """A plan on the host, with NaN for a loss that the runs of the law do not tell."""
        sizes = float(plan.params), float(plan.tokens)
        if self.entry is None or self.entry.tells_loss(*sizes):
            return plan
        return js.Plan(**{**vars(plan), "loss": math.nan, "marginal_cost": math.nan})

    def need_loss(self, params: float, tokens: float) -> None:
        """Refuse a fit whose runs do not tell the loss at this size."""
        if self.entry is not None and not self.entry.tells_loss(params, tokens):
            raise Mistake(f"--law: {self.warning} So the loss at this size is not known; {REMEDY}")

    def range_note(self, plan: js.Plan) -> str:
        """A line where the plan leaves the range that the law was fitted in; else empty."""
        return "" if self.entry is None else self.entry.range_note(plan)

    def outside_note(self, sizes: Any) -> str:
        """A line on how many runs are outside the range that the law was fitted in; else empty."""
        if self.entry is None or not self.entry.has_range or not len(sizes):
            return ""
        runs = js.Runs(sizes.params, sizes.tokens, np.ones(len(sizes)))
        outside = len(sizes) - int(np.sum(interpreted(self.entry.in_range, runs)))
        if not outside:
            return ""
        lie = "lies" if outside == 1 else "lie"
        return (
            f"{outside} of {len(sizes)} {lie} outside the sizes of the runs behind "
            f"{self.entry.name}: there the law itself may fail."
        )


def read_law(text: str, *, anyway: bool = False) -> NamedLaw:
    """The law that `--law` names, or the one whose coefficients it lists.

    The fit of a class of one's own is named with it, as fit.json:own.py:Blend. A plus and
    the name of a published part may follow any of these. With `anyway` all coefficients of a fit
    count as known, and its warning says so.
    """
    base, part = split_part(text)
    if part:
        named = read_law(base, anyway=anyway)
        with blamed_on("--law"):
            return named.with_part(part)
    name, suffix, own = text.strip().partition(f"{SUFFIX}:")
    file, colon, family = own.rpartition(":")
    if suffix and not (colon and file.endswith(PYTHON)):
        raise Mistake(f"--law: {own!r} must be the class of {name}{SUFFIX}, as FILE.py:CLASS")
    if "=" in text and not suffix:
        with blamed_on("--law"):
            return NamedLaw("".join(text.split()), law_of_coefficients(text), None)
    tasks, laws = by_name(js.laws.tasks()), by_name(js.laws.catalog())
    if name.lower() in tasks and name.lower() not in laws:
        raise Mistake(
            f"--law: {name} is the law of a task: give --accuracy {name}=SHARE to jaxscale plan or "
            f"compare, --task {name} to estimate or profit"
        )
    with blamed_on("--law"):
        entry = js.laws.entry(
            f"{name}{SUFFIX}" if suffix else name, own_family(file, family) if suffix else None
        )
    return NamedLaw(entry.name, entry.law, taken_as_it_is(entry) if anyway else entry)


def own_family(file: str, name: str) -> type:
    """The class of law of that name in a Python file, which is run."""
    path = path_of(file)
    spec = importlib.util.spec_from_file_location(f"{OWN}{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise Mistake(f"--law: no Python file {file!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # where a dataclass looks up annotations
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's own code raises
        raise Mistake(f"--law: {file}: {type(error).__name__}: {error}") from None
    family = getattr(module, name, None)
    if not (inspect.isclass(family) and is_dataclass(family) and hasattr(family, "loss")):
        raise Mistake(f"--law: {file} has no frozen dataclass {name!r} with a loss")
    return family


OPTION = "--lever"


def read_levers(texts: Sequence[str] | None) -> Given:
    """The levers that were given, by name."""
    given: dict[str, Value] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or name in given:
            problem = "is given twice" if name in given else "is not a lever"
            raise Mistake(f"{OPTION}: {text!r} {problem}; write bits=8 or unique_tokens=25B")
        with blamed_on(f"{OPTION} {name}"):
            given[name] = read_lever(name, value)
    return given


def levers_for(named: NamedLaw, given: Given) -> Levers:
    """The levers of one law; a mistake where one is unknown, missing or outside its range."""
    known = levers_of(named.law)
    for name in given:
        if name not in known and not (name == FORMAT and formats_of(named.law)):
            listed = ", ".join(known) or "none"
            raise Mistake(
                f"{OPTION}: {named.name} has no lever {name!r}{nearest(name, known)}; "
                f"its levers: {listed}"
            )
    try:
        levers = levers_of_texts(named.law, given)
    except Refused as error:
        raise Mistake(f"{f'{OPTION} {error.name}'.strip()}: {error}") from None
    if missing := levers.missing(named.law):
        needed = "; ".join(f"{OPTION} {name}=VALUE, {range_text(*known[name])}" for name in missing)
        formats = ", ".join(formats_of(named.law))
        instead = f"; bits also as {OPTION} {FORMAT}=NAME: {formats}, {BEST}" if formats else ""
        raise Mistake(f"--law: {named.name} needs {needed}{instead}")
    return levers


def fixed_levers(named: NamedLaw, texts: Sequence[str] | None) -> Levers:
    """The levers of one law, for a command that chooses none; a mistake where one is to choose."""
    levers = levers_for(named, read_levers(texts))
    for name in levers.chosen:
        text = ",".join(f"{x:g}" for x in levers.lists.get(name, ())) or BEST
        raise Mistake(f"{OPTION}: {name}={text} is for jaxscale plan and compare; give one value")
    return levers


def without_levers(named: NamedLaw, option: str) -> NamedLaw:
    """The law; a mistake where it has levers, for a command that gives none a value."""
    needed = ", ".join(levers_of(named.law))
    if needed:
        raise Mistake(
            f"{option}: {named.name} needs {needed}: use jaxscale plan, estimate or compare"
        )
    return named
