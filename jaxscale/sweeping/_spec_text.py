"""Reads the TOML text of a specification, and says where each mistake in it is.

Everything is checked here, before anything is computed. Contents go by short names, without units.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxscale import laws
from jaxscale._labelled import STATUS
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.names import hint, nearest, question, unknown
from jaxscale._schema import (
    DEFAULT_LAW,
    DEVICES,
    POSITIVE,
    PRECISIONS_OF,
    QUANTITIES,
    ROLES,
    Refused,
    Rule,
    check_demand,
    in_dollars,
    key_of,
    read_law,
    rented,
)
from jaxscale.hardware import PRECISIONS, accelerator, is_file_name
from jaxscale.laws.protocol import NO_MEMORY, knows_memory, levers_of
from jaxscale.sweeping._toml_lines import TomlText, parsed
from jaxscale.sweeping.axes import as_axis, geomspace, linspace

AXES, FIXED, FIELDS, LAW, LEVERS = "axes", "fixed", "fields", "law", "levers"
TASK, ACCURACY, LOSS = "task", "accuracy", "loss"
NAMED = {
    LAW: "law",
    TASK: "task",
    "train_on": "accelerator that trains",
    "serve_on": "accelerator that serves",
}
NAMES = {
    key_of(name): name for name in (LAW, TASK, *QUANTITIES, *DEVICES, *PRECISIONS_OF)
}  # by key
KEYS = (*NAMES, LEVERS)
SPACINGS = {"linear": linspace, "log": geomspace}
RANGE = "{from = .., to = .., count = ..}"

COST = "cost"  # stands for dollars, or for FLOPs where no accelerator is named
RESULTS: Mapping[str, tuple[str, str]] = {  # units and long name of each field
    "params": ("1", "params of the cheapest plan"),
    "tokens": ("tokens", "training tokens of the cheapest plan"),
    "tokens_per_param": ("tokens", "training tokens per param"),
    "plan_loss": ("nats/token", "loss of the cheapest plan"),
    "train_cost": (COST, "cost of training"),
    "prefill_cost": (COST, "cost of prefill"),
    "decode_cost": (COST, "cost of decode"),
    "inference_cost": (COST, "cost of prefill and decode"),
    "total_cost": (COST, "cost of training and inference"),
    "marginal_cost": (COST, "cost of a nat of loss"),
    "cost_ratio": ("1", "total cost over that of the Chinchilla plan"),
    "params_ratio": ("1", "params over those of the Chinchilla plan"),
    "tokens_ratio": ("1", "training tokens over those of the Chinchilla plan"),
    STATUS: ("1", "outcome of the scenario"),
}
DEFAULT_FIELDS = (
    *("params", "tokens", "tokens_per_param", "total_cost"),
    *("cost_ratio", "params_ratio", "tokens_ratio", STATUS),
)

Path = tuple[str, ...]  # of a key in the text
Values = np.ndarray | tuple[str, ...]  # along an axis: numbers, or names from a catalogue


class Contents(NamedTuple):
    """The contents of a specification, by short name."""

    axes: Mapping[str, Values]
    fixed: Mapping[str, Any]  # numbers, names, and a law as a name or as an object
    fields: tuple[str, ...]
    # Prices of the accelerators of an axis, where each has its own: by `serve_price`, say.
    paired: Mapping[str, tuple[float, ...]]


def read_text(name: str, text: str, *, anyway: bool = False) -> Contents:
    """The contents of a text that errors call `name`; ValueError for any mistake in it.

    One is a fit whose runs leave coefficients open, but for `anyway`.
    """
    source = parsed(name, text)
    for key in source.tables:
        if key not in (AXES, FIXED, FIELDS):
            source.refuse((key,), _misplaced(key))
    sections = {section: _section(source, section) for section in (AXES, FIXED)}
    axes = {NAMES[key]: _axis(source, key, x) for key, x in sections[AXES].items() if key in NAMES}
    paired = _paired_prices(source, sections)
    fixed = {
        NAMES[key]: _fixed(source, key, x)
        for key, x in sections[FIXED].items()
        if key in NAMES and NAMES[key] not in paired
    }
    if TASK in fixed:
        _add_law_of_task(source, axes, fixed)
    if LAW not in axes:
        fixed.setdefault(LAW, DEFAULT_LAW)
    if not anyway:
        _check_identified(source, axes, fixed)
    _add_levers(source, sections, axes, fixed)
    _check_memory(source, axes, fixed)
    contents = Contents(axes, fixed, _fields(source), paired)
    _check_together(source, contents)
    return contents


def law_of(name_or_law: Any) -> Any:
    """A law, looked up where it is a name."""
    return laws.entry(name_or_law).law if isinstance(name_or_law, str) else name_or_law


# --- Sections and keys ---------------------------------------------------------------------------


def _misplaced(key: str) -> str:
    if key in KEYS:
        return f"belongs under [{AXES}] or [{FIXED}]"
    return f"unknown key{_meant(key, (AXES, FIXED, FIELDS, *KEYS))}"


def _section(source: TomlText, section: str) -> Mapping[str, Any]:
    """The keys and values of a section, each key known."""
    table = source.tables.get(section, {})
    if not isinstance(table, dict):
        source.refuse((section,), f"must be a section; write [{section}] on a line of its own")
    for key in table:
        if key == FIELDS:
            source.refuse((section, key), f"belongs at the top, above [{section}]")
        if key not in KEYS:
            source.refuse((section, key), f"unknown key{_meant(key, KEYS)}")
    return table


def _meant(word: str, keys: Iterable[str]) -> str:
    """A question after an unknown word: the keys that share most of its parts.

    A key with another unit shares its first parts with the right one, however far apart
    the two are letter by letter.
    """
    keys = list(keys)
    parts = set(word.lower().split("_"))
    shared = {key: len(parts & set(key.split("_"))) for key in keys}
    most = max(shared.values(), default=0)
    likely = [key for key in keys if most and shared[key] == most]
    if len(likely) > 2:
        likely = [nearest(word, likely, cutoff=0.0) or likely[0]]
    return question(map(_with_unit, likely)) if likely else hint(word, keys, written=_with_unit)


def _with_unit(key: str) -> str:
    quantity = QUANTITIES.get(NAMES.get(key, ""))
    return f"{key}, in {quantity.units}" if quantity and quantity.units != "1" else key


def _fields(source: TomlText) -> tuple[str, ...]:
    """The fields to keep, the status always among them."""
    names = source.tables.get(FIELDS, list(DEFAULT_FIELDS))
    known = ", ".join(RESULTS)
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        source.refuse((FIELDS,), f"must be a list of names from {known}")
    for name in names:
        if not isinstance(name, str) or name not in RESULTS:
            near = _meant(str(name), RESULTS)
            source.refuse((FIELDS,), f"unknown field {name!r}{near}; known: {known}")
    return tuple(dict.fromkeys([*names, STATUS]))


# --- Values --------------------------------------------------------------------------------------


def _axis(source: TomlText, key: str, given: Any) -> Values:
    path = (AXES, key)
    if key in (*PRECISIONS_OF, TASK):
        source.refuse(path, f"cannot be an axis; put it under [{FIXED}]")
    if key in NAMED:
        has_prices = key in DEVICES and isinstance(given, dict)
        return _listed_names(source, path, list(given) if has_prices else given)
    return _numbers(source, path, given, QUANTITIES[NAMES[key]].rule)


def _paired_prices(
    source: TomlText, sections: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[float, ...]]:
    """The price of each accelerator of an axis: a table of them, or a list as long as theirs."""
    paired: dict[str, tuple[float, ...]] = {}
    for role in ROLES:
        on, price = f"{role}_on", f"{role}_price"
        devices, key = sections[AXES].get(on), key_of(price)
        listed = sections[FIXED].get(key)
        if isinstance(devices, dict):
            for section in (AXES, FIXED):
                if key in sections[section]:
                    source.refuse((section, key), f"{on} has a price for each accelerator already")
            paired[price] = tuple(
                _number(source, (AXES, on, name), x, POSITIVE) for name, x in devices.items()
            )
        elif isinstance(devices, list) and isinstance(listed, list):
            if len(listed) != len(devices):
                wanted = f"must have a price for each of the {len(devices)} accelerators of {on}"
                source.refuse((FIXED, key), f"{wanted}; got {len(listed)}")
            paired[price] = tuple(_number(source, (FIXED, key), x, POSITIVE) for x in listed)
    return paired


def _fixed(source: TomlText, key: str, given: Any) -> Any:
    path = (FIXED, key)
    if NAMES[key] in QUANTITIES:
        return _number(source, path, given, QUANTITIES[NAMES[key]].rule)
    if isinstance(given, list):
        source.refuse(path, f"a list belongs under [{AXES}]")
    if key in PRECISIONS_OF:
        if given not in PRECISIONS:
            source.refuse(path, str(unknown("precision", given, PRECISIONS)))
        return given
    if key == LAW and isinstance(given, dict):
        return _law(source, path, given)
    return _name(source, path, given)


def _numbers(source: TomlText, path: Path, given: Any, rule: Rule) -> np.ndarray:
    if isinstance(given, dict):
        return _range(source, path, given, rule)
    if not isinstance(given, list):
        problem = f"an axis is a list or {RANGE}; a single value belongs under [{FIXED}]"
        source.refuse(path, problem)
    if not given:
        source.refuse(path, "the list is empty; give at least one value")
    values = [_number(source, path, each, rule) for each in given]
    steps = np.diff(values)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        at = int(np.flatnonzero(steps * (steps[0] or 1) <= 0)[0])
        problem = f"must rise or fall throughout; {given[at]!r} is followed by {given[at + 1]!r}"
        source.refuse(path, problem)
    return as_axis(path[-1], np.array(values, float)).values


def _range(source: TomlText, path: Path, given: Mapping[str, Any], rule: Rule) -> np.ndarray:
    keys = ("from", "to", "count", "spacing")
    for key in given:
        if key not in keys:
            problem = f"unknown key{_meant(key, keys)}; write {path[-1]} = {RANGE}"
            source.refuse((*path, key), problem)
    missing = [key for key in keys[:3] if key not in given]
    if missing:
        source.refuse(path, f"{' and '.join(missing)} missing; write {RANGE}")
    spacing = given.get("spacing", "linear")
    if not isinstance(spacing, str) or spacing not in SPACINGS:
        source.refuse((*path, "spacing"), f'must be "linear" or "log"; got {spacing!r}')
    start, stop = (_number(source, (*path, end), given[end], rule) for end in ("from", "to"))
    if isinstance(given["count"], float):
        source.refuse((*path, "count"), f"must be a whole number; got {given['count']!r}")
    try:
        return SPACINGS[spacing](start, stop, given["count"]).values
    except (TypeError, ValueError) as error:
        # In the words of the file.
        words = {"num must": "count must", "start": "from", "stop": "to"}
        message = str(error)
        for theirs, ours in words.items():
            message = message.replace(theirs, ours)
        source.refuse(path, message)


def _number(source: TomlText, path: Path, given: Any, rule: Rule) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        example = ", without quotes, as in 7e9 or 1_000_000" if isinstance(given, str) else ""
        more = f"; a list belongs under [{AXES}]" if isinstance(given, list | dict) else example
        source.refuse(path, f"must be a number{more}; got {given!r}")
    value = float(given) if abs(given) < 1e308 else math.inf
    if not math.isfinite(value) or not rule.holds(value):
        source.refuse(path, f"must be {rule.words} and finite; got {given!r}")
    return value


def _listed_names(source: TomlText, path: Path, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        source.refuse(path, f"must be a list of names; a single one belongs under [{FIXED}]")
    if not given:
        source.refuse(path, "the list is empty; give at least one name")
    names: dict[str, str] = {}
    for each in given:
        name = _name(source, path, each)
        if name in names:
            also = "" if each == names[name] else f", once as {names[name]!r}"
            source.refuse(path, f"{each!r} is given twice{also}")
        names[name] = each
    if path[-1] == LAW:
        _check_one_family(source, path, names)
    return tuple(names)


def _name(source: TomlText, path: Path, given: Any) -> str:
    """The catalogue's own spelling of a name."""
    if not isinstance(given, str):
        article = "an" if path[-1] in DEVICES else "a"
        source.refuse(path, f"must be the name of {article} {NAMED[path[-1]]}; got {given!r}")
    look_up = {LAW: laws.entry, TASK: laws.task_entry}.get(path[-1], accelerator)
    try:
        # An accelerator in a file keeps the name of the file, by which it is found again.
        name = look_up(given.strip()).name
        return given.strip() if path[-1] in DEVICES and is_file_name(given) else name
    except ValueError as error:
        source.refuse(path, str(error))


# --- Laws and their levers -----------------------------------------------------------------------


def _check_identified(source: TomlText, axes: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Refuse fits whose runs leave coefficients open."""
    section, given = (AXES, axes[LAW]) if LAW in axes else (FIXED, (fixed[LAW],))
    for entry in (laws.entry(name) for name in given if isinstance(name, str)):
        if entry.unidentified:
            source.refuse(
                (section, LAW),
                f"{entry.name}: {entry.warning} So losses at other sizes are not known; anyway "
                "(in a terminal --anyway) takes the fit as it is",
            )


def _add_law_of_task(source: TomlText, axes: Mapping[str, Any], fixed: dict) -> None:
    """Take the law of the task's loss, by which alone its accuracy is known."""
    for section, given in ((AXES, axes), (FIXED, fixed)):
        if LAW in given:
            source.refuse(
                (section, LAW),
                f"{fixed[TASK]} has a law of its own; leave {LAW} out, or {TASK} and {ACCURACY}",
            )
    fixed[LAW] = laws.task_entry(fixed[TASK]).law.law


def _check_memory(source: TomlText, axes: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Refuse a bound on memory for a law that does not say what it takes."""
    name = "max_memory"
    law = axes[LAW][0] if LAW in axes else fixed[LAW]  # those of an axis are of one family
    if name in {*axes, *fixed} and not knows_memory(law_of(law)):
        which = law if isinstance(law, str) else type(law).__name__
        section = AXES if name in axes else FIXED
        source.refuse((section, key_of(name)), f"{which} {NO_MEMORY}")


def _check_one_family(source: TomlText, path: Path, names: Iterable[str]) -> None:
    """Refuse laws of several families: along an axis numbers may vary, and nothing else."""
    families = {type(laws.entry(name).law).__name__: name for name in names}
    if len(families) > 1:
        examples = " and ".join(f"{name} is of {family}" for family, name in families.items())
        source.refuse(path, f"the laws of an axis must be of one family; {examples}")


def _law(source: TomlText, path: Path, given: Mapping[str, Any]) -> Any:
    """The law of a table: its family, Chinchilla's by default, and its coefficients."""
    try:
        return read_law(given, lambda name, x, rule: _number(source, (*path, name), x, rule))
    except Refused as error:
        source.refuse((*path, error.name) if error.name else path, str(error))


def _add_levers(
    source: TomlText, sections: Mapping[str, Mapping[str, Any]], axes: dict, fixed: dict
) -> None:
    """Read a value, or an axis, for each lever of the law."""
    where = AXES if LAW in axes else FIXED
    law = axes[LAW][0] if LAW in axes else fixed[LAW]
    known = levers_of(law_of(law))
    name = law if isinstance(law, str) else type(law).__name__
    rules = {
        lever: Rule(f"{low:g} to {high:g}", lambda x, low=low, high=high: low <= x <= high)
        for lever, (low, high) in known.items()
    }
    for section, read, into in ((AXES, _numbers, axes), (FIXED, _number, fixed)):
        table = sections[section].get(LEVERS, {})
        if not isinstance(table, dict):
            source.refuse((section, LEVERS), f"must be a table; write {LEVERS}.NAME = ..")
        for lever, given in table.items():
            path = (section, LEVERS, lever)
            if lever not in known:
                listed = ", ".join(known) or "none"
                near = hint(lever, known)
                source.refuse(path, f"is not a lever of {name}{near}; its levers: {listed}")
            into[lever] = read(source, path, given, rules[lever])
    missing = [lever for lever in known if lever not in axes and lever not in fixed]
    if missing:
        needed = " and ".join(f"{LEVERS}.{lever}, {rules[lever].words}," for lever in missing)
        source.refuse((where, LAW), f"{name} needs {needed} under [{AXES}] or [{FIXED}]")


# --- Keys beside each other ----------------------------------------------------------------------


def _check_together(source: TomlText, contents: Contents) -> None:
    """Refuse keys that contradict each other, lack another or have no effect."""
    axes, fixed = contents.axes, contents.fixed
    for name in axes:
        if name in fixed:
            source.refuse((FIXED, *_path_of(name)), "is an axis too; give it once")
    if not axes:
        source.fail(f"give at least one axis under [{AXES}]")
    given = {**axes, **fixed}
    _check_quality(source, axes, fixed)
    try:
        check_demand(given, key_of)
        if in_dollars(given, key_of):
            for role in ROLES:
                on, price = f"{role}_on", f"{role}_price"
                devices = axes.get(on, (given[on],))
                prices = contents.paired.get(price, (given.get(price),) * len(devices))
                for device, own in zip(devices, prices, strict=True):
                    priced = {} if own is None else {price: own}
                    rented(role, {**given, on: device, **priced}, key_of)
    except Refused as error:
        if not error.name:
            source.fail(str(error))
        source.refuse((AXES if error.name in axes else FIXED, key_of(error.name)), str(error))


def _check_quality(source: TomlText, axes: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Refuse a loss beside an accuracy, neither, and an accuracy without its task or beyond it."""
    given = {**axes, **fixed}
    if ACCURACY in given or TASK in given:
        if LOSS in given:
            other = ACCURACY if ACCURACY in given else TASK
            source.fail(f"give {key_of(LOSS)} or {other}, not both")
        for name, other in ((ACCURACY, TASK), (TASK, ACCURACY)):
            if name not in given:
                source.fail(f"{name} is missing: {other} needs it")
        section, shares = (AXES, axes[ACCURACY]) if ACCURACY in axes else (FIXED, fixed[ACCURACY])
        low, high = map(float, interpreted(lambda: laws.task_entry(fixed[TASK]).law.reach))
        for share in np.ravel(shares):
            if not low < share < high:
                source.refuse(
                    (section, ACCURACY),
                    f"no model has {share:g} by {fixed[TASK]}; give what lies between {low:.3f} "
                    f"and {high:.3f}",
                )
    elif LOSS not in given:
        source.fail(f"{key_of(LOSS)} is missing; give it under [{AXES}] or [{FIXED}]")


def _path_of(name: str) -> Path:
    return (key_of(name),) if key_of(name) in NAMES else (LEVERS, name)
