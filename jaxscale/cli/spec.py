"""The specification of a sweep: a TOML text read with its mistakes pointed at.

    fields = ["params", "total_cost"]          # optional; what is kept of each plan

    [axes]                                     # every combination is a scenario
    loss_nats_per_token = {from = 1.8, to = 2.6, count = 101}
    requests = {from = 1e6, to = 1e12, count = 101, spacing = "log"}
    serve_on = ["A100-40GB", "L40S"]

    [fixed]
    law = "besiroglu2024"                      # or "fit.json", or {E = .., A = .., B = .., ...}
    input_tokens_per_request = 70

Keys, units and fields: `jaxscale.cli.vocabulary`. Everything is refused or understood before
anything is computed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

import jaxscale as js
from jaxscale.cli import vocabulary
from jaxscale.cli.named_law import COEFFICIENTS
from jaxscale.cli.options import DEFAULT_LAW
from jaxscale.cli.spec_rules import check_together
from jaxscale.cli.toml_text import TomlText, parsed
from jaxscale.cli.vocabulary import NAMED, QUANTITIES, Rule, meant
from jaxscale.hardware import PRECISIONS
from jaxscale.laws import Chinchilla
from jaxscale.laws.protocol import levers_of
from jaxscale.published import Entry
from jaxscale.sweeping.axes import as_axis

AXES, FIXED, FIELDS = "axes", "fixed", "fields"
SPACINGS = {"linear": js.linspace, "log": js.geomspace}
RANGE = "{from = .., to = .., count = ..}"


@dataclass(frozen=True)
class Spec:
    """What to sweep, by the keys of the vocabulary."""

    text: str
    axes: Mapping[str, np.ndarray | tuple[str, ...]]  # numbers, or names from a catalogue
    fixed: Mapping[str, Any]  # numbers, names and one law
    fields: tuple[str, ...]

    def names(self, key: str) -> tuple[str, ...]:
        """The names given for a key, be it an axis or fixed; none where it is not given."""
        if key in self.axes:
            return tuple(self.axes[key])
        return (self.fixed[key],) if key in self.fixed else ()


def default_text() -> str:
    """The specification of `jaxscale sweep` without an argument."""
    return resources.files("jaxscale.cli").joinpath("default_sweep.toml").read_text("utf-8")


def read_spec(name: str, text: str) -> Spec:
    """The specification that a text writes; `name` is what a mistake calls the text."""
    source = parsed(name, text)
    for key in source.tables:
        if key not in (AXES, FIXED, FIELDS):
            source.refuse((key,), _misplaced(key))
    axes = {key: _axis(source, key, given) for key, given in _section(source, AXES).items()}
    fixed = {key: _fixed(source, key, given) for key, given in _section(source, FIXED).items()}
    if vocabulary.LAW not in axes:
        fixed.setdefault(vocabulary.LAW, DEFAULT_LAW)
    spec = Spec(text, axes, fixed, _fields(source))
    check_together(source, spec.axes, spec.fixed)
    return spec


def _misplaced(key: str) -> str:
    if key in vocabulary.KEYS:
        return f"belongs under [{AXES}] or [{FIXED}]"
    return f"unknown key{meant(key, (AXES, FIXED, FIELDS, *vocabulary.KEYS))}"


def _section(source: TomlText, section: str) -> Mapping[str, Any]:
    """The keys and values of a section, each key known."""
    given = source.tables.get(section, {})
    if not isinstance(given, dict):
        source.refuse((section,), f"must be a section; write [{section}] on a line of its own")
    for key in given:
        if key == FIELDS:
            source.refuse((section, key), f"belongs at the top, above [{section}]")
        if key not in vocabulary.KEYS:
            source.refuse((section, key), f"unknown key{meant(key, vocabulary.KEYS)}")
    return given


def _axis(source: TomlText, key: str, given: Any) -> np.ndarray | tuple[str, ...]:
    path = (AXES, key)
    if key in vocabulary.PRECISION_KEYS:
        source.refuse(path, f"cannot be an axis; put it under [{FIXED}]")
    if key in NAMED:
        return _listed_names(source, path, given)
    if isinstance(given, dict):
        return _range(source, path, given)
    if not isinstance(given, list):
        problem = f"an axis is a list or {RANGE}; a single value belongs under [{FIXED}]"
        source.refuse(path, problem)
    return _listed_numbers(source, path, given)


def _range(source: TomlText, path: tuple[str, str], given: Mapping[str, Any]) -> np.ndarray:
    keys = ("from", "to", "count", "spacing")
    for each in given:
        if each not in keys:
            source.refuse(
                (*path, each), f"unknown key{meant(each, keys)}; write {path[-1]} = {RANGE}"
            )
    missing = [each for each in keys[:3] if each not in given]
    if missing:
        source.refuse(path, f"{' and '.join(missing)} missing; write {RANGE}")
    spacing = given.get("spacing", "linear")
    if not isinstance(spacing, str) or spacing not in SPACINGS:
        source.refuse((*path, "spacing"), f'must be "linear" or "log"; got {spacing!r}')
    rule = QUANTITIES[path[-1]].rule
    start, stop = (_number(source, (*path, end), given[end], rule) for end in ("from", "to"))
    if isinstance(given["count"], float):
        source.refuse((*path, "count"), f"must be a whole number; got {given['count']!r}")
    try:
        return SPACINGS[spacing](start, stop, given["count"]).values
    except (TypeError, ValueError) as error:
        source.refuse(path, _in_our_words(str(error)))


def _in_our_words(message: str) -> str:
    words = {"num must": "count must", "start": "from", "stop": "to"}
    for theirs, ours in words.items():
        message = message.replace(theirs, ours)
    return message


def _listed_numbers(source: TomlText, path: tuple[str, str], given: list[Any]) -> np.ndarray:
    if not given:
        source.refuse(path, "the list is empty; give at least one value")
    values = [_number(source, path, each, QUANTITIES[path[-1]].rule) for each in given]
    steps = np.diff(values)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        place = int(np.flatnonzero(steps * (steps[0] or 1) <= 0)[0])
        problem = (
            f"must rise or fall throughout; {given[place]!r} is followed by {given[place + 1]!r}"
        )
        source.refuse(path, problem)
    return as_axis(path[-1], np.array(values, float)).values


def _number(source: TomlText, path: tuple[str, ...], given: Any, rule: Rule) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        example = ", without quotes, as in 7e9 or 1_000_000" if isinstance(given, str) else ""
        more = f"; a list belongs under [{AXES}]" if isinstance(given, list | dict) else example
        source.refuse(path, f"must be a number{more}; got {given!r}")
    value = float(given) if abs(given) < 1e308 else math.inf
    if not math.isfinite(value) or not rule.holds(value):
        source.refuse(path, f"must be {rule.words} and finite; got {given!r}")
    return value


def _listed_names(source: TomlText, path: tuple[str, str], given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        source.refuse(path, f"must be a list of names; a single one belongs under [{FIXED}]")
    if not given:
        source.refuse(path, "the list is empty; give at least one name")
    names = {}
    for each in given:
        name = _name(source, path, each)
        if name in names:
            also = "" if each == names[name] else f", once as {names[name]!r}"
            source.refuse(path, f"{each!r} is given twice{also}")
        names[name] = each
    if path[-1] == vocabulary.LAW:
        _check_one_family(source, path, names)
    return tuple(names)


def _check_one_family(source: TomlText, path: tuple[str, str], names: Iterable[str]) -> None:
    """Refuse laws of several families: along an axis numbers may vary, and nothing else."""
    families = {type(js.laws.published(name)).__name__: name for name in names}
    if len(families) > 1:
        examples = " and ".join(f"{name} is of {family}" for family, name in families.items())
        source.refuse(path, f"the laws of an axis must be of one family; {examples}")


def _name(source: TomlText, path: tuple[str, ...], given: Any) -> str:
    """The catalogue's own spelling of a name."""
    if not isinstance(given, str):
        source.refuse(
            path,
            f"must be the name of a{'n' * (path[-1] != 'law')} {NAMED[path[-1]]}; got {given!r}",
        )
    look_up = _law_entry if path[-1] == vocabulary.LAW else js.accelerator
    try:
        return look_up(given.strip()).name
    except ValueError as error:
        source.refuse(path, str(error))


def _law_entry(name: str) -> Entry:
    entry = js.laws.entry(name)
    if levers_of(entry.law):
        needed = ", ".join(levers_of(entry.law))
        raise ValueError(f"{entry.name} needs {needed}, which no sweep gives: use js.sweep")
    if entry.unidentified:
        raise ValueError(f"{entry.name}: {entry.warning} So losses at other sizes are not known")
    return entry


def _fixed(source: TomlText, key: str, given: Any) -> Any:
    path = (FIXED, key)
    if key in QUANTITIES:
        return _number(source, path, given, QUANTITIES[key].rule)
    if isinstance(given, list):
        source.refuse(path, f"a list belongs under [{AXES}]")
    if key in vocabulary.PRECISION_KEYS:
        if given not in PRECISIONS:
            near = meant(str(given), PRECISIONS)
            source.refuse(
                path, f"unknown precision {given!r}{near}; known: {', '.join(PRECISIONS)}"
            )
        return given
    if key == vocabulary.LAW and isinstance(given, dict):
        return _law(source, path, given)
    return _name(source, path, given)


def _law(source: TomlText, path: tuple[str, str], given: Mapping[str, Any]) -> Chinchilla:
    for each in given:
        if each not in COEFFICIENTS:
            known = ", ".join(COEFFICIENTS)
            source.refuse((*path, each), f"is no coefficient of a law; they are {known}")
    missing = [name for name in COEFFICIENTS if name not in given]
    if missing:
        source.refuse(path, f"{', '.join(missing)} missing")
    rules = {"E": vocabulary.NONNEGATIVE}
    return Chinchilla(
        **{
            name: _number(source, (*path, name), given[name], rules.get(name, vocabulary.POSITIVE))
            for name in COEFFICIENTS
        }
    )


def _fields(source: TomlText) -> tuple[str, ...]:
    """The fields to keep, the status always among them."""
    given = source.tables.get(FIELDS, list(vocabulary.DEFAULT_FIELDS))
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        source.refuse((FIELDS,), f"must be a list of names from {', '.join(vocabulary.FIELDS)}")
    for each in given:
        if not isinstance(each, str) or each not in vocabulary.FIELDS:
            near = meant(str(each), vocabulary.FIELDS)
            problem = f"unknown field {each!r}{near}; known: {', '.join(vocabulary.FIELDS)}"
            source.refuse((FIELDS,), problem)
    return tuple(dict.fromkeys([*given, vocabulary.STATUS]))
