"""Entries in words: the facts of one, and the columns of a table of several."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from jaxscale._numerics.quantities import count

NOT_STATED = "not stated"
_TEXTS = {
    "accuracy on": "benchmark",
    "data": "dataset",
    "tokenizer": "tokenizer",
    "losses are of": "losses_on",
    "schedule": "schedule",
    "params are": "params_convention",
    "tokens are": "tokens_convention",
    "FLOPs are": "flops_convention",
}
_RANGES = ("params", "tokens", "tokens_per_param", "flops")
# Of a law it is said where these are not stated.
_OF_LAWS = {"dataset", "tokenizer", "params_convention", "params", "tokens", "tokens_per_param"}
_OF_RELEASES = ("title", "maker", "date")


def facts_of(entry: Any) -> Iterator[tuple[str, str]]:
    """The facts of an `Entry`, as pairs of a name and a text; a name may repeat."""
    needed = _OF_LAWS if entry.law is not None else set[str]()
    if entry.warning:
        yield "status", entry.warning
    equation = getattr(entry.law, "equation", "")
    if equation:
        yield "equation", equation
    for name in _OF_RELEASES if entry.release is not None else ():
        yield name, getattr(entry.release, name)
    absent = set[str]() if entry.architecture is None else _absent(entry.architecture)
    for name, value in coefficients(entry.content).items():
        if name not in absent:
            yield name, f"{value:.10g}"
    for lever, limits in getattr(entry.law, "levers", {}).items():
        yield "lever", f"{lever}, {range_text(limits)}"
    if loss_scale := entry.loss_scale or getattr(entry.law, "loss_scale", ""):
        yield "loss is", loss_scale
    yield "source", entry.source
    for name, field in _TEXTS.items():
        if field in needed or getattr(entry, field) != NOT_STATED:
            yield name, getattr(entry, field)
    for size in _RANGES:
        limits = getattr(entry, f"{size}_range")
        if size in needed or limits is not None:
            name = "FLOPs" if size == "flops" else size.replace("_", " ")
            yield name, range_text(limits) if limits else NOT_STATED
    if entry.standard_errors is not None:
        errors = coefficients(entry.standard_errors).items()
        written = ((name, "not known" if x != x else f"{x:.10g}") for name, x in errors)
        yield "standard errors", ", ".join(f"{name} {error}" for name, error in written)
    if entry.covariance is not None:
        yield "covariance", _matrix(_coordinates(entry.law), entry.covariance)
    if entry.check is not None:
        model = f"{count(entry.check.params)} params on {count(entry.check.tokens)} tokens"
        yield "measured", f"{100 * entry.check.measured:.1f} % by {model}"
    for text in (*entry.errata, *entry.remarks):
        yield "note", text
    if entry.aliases:
        yield "also called", ", ".join(entry.aliases)


def coefficients(content: Any) -> dict[str, float]:
    """The numbers of a law, allocation, recipe or architecture by name; `dense.beta` in a part.

    Of names that no two parts share, the part is left out.
    """
    if not is_dataclass(content):
        return {}
    values = {each.name: getattr(content, each.name) for each in fields(content)}
    numbers = {name: float(x) for name, x in values.items() if isinstance(x, int | float)}
    # Of a task, which has a law and a curve, and of a law that is made of others.
    parts = {name: coefficients(x) for name, x in values.items()}
    inner = [each for part in parts.values() for each in part]
    clash = len({*inner, *numbers}) < len(inner) + len(numbers)
    for name, part in parts.items():
        numbers |= {f"{name}.{each}" if clash else each: x for each, x in part.items()}
    return numbers


def _absent(architecture: Any) -> set[str]:
    """The fields of parts that it does not have, which are 0 by default."""
    return {x.name for x in fields(architecture) if getattr(architecture, x.name) == x.default == 0}


def _coordinates(law: Any) -> list[str]:
    """The coordinates of a covariance: logarithms of positive coefficients, as in `laws.fitted`."""
    fitted = getattr(type(law), "fitted", {})
    is_positive = {name: name not in fitted or fitted[name].positive for name in coefficients(law)}
    return [f"ln {name}" if positive else name for name, positive in is_positive.items()]


def _matrix(names: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    lines = [" " * 6 + "".join(f"{name:>10}" for name in names)]
    for name, row in zip(names, rows, strict=True):
        lines.append(f"{name:<6}" + "".join(f"{value:>10.3g}" for value in row))
    return "\n".join(lines)


def range_text(limits: Sequence[float]) -> str:
    """`70.0M to 16.0B`."""
    return f"{count(limits[0])} to {count(limits[1])}"


def _form(entry: Any) -> str | None:
    return None if entry.content is None else type(entry.content).__name__


_NAMED: Mapping[str, Callable[[Any], Any]] = {"name": lambda entry: entry.name}
_SOURCE: Mapping[str, Callable[[Any], Any]] = {"source": lambda entry: entry.source}
_FITTED: Mapping[str, Callable[[Any], Any]] = {
    **_NAMED,
    "form": _form,
    "params": lambda entry: entry.params_range,
    "tokens": lambda entry: entry.tokens_range,
    **_SOURCE,
}
COLUMNS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "laws": _FITTED,
    "recipes": _FITTED,
    "trajectories": {**_NAMED, "form": _form, **_SOURCE},
    "tasks": {**_NAMED, "form": _form, **_SOURCE},
    "leverages": {**_NAMED, "form": _form, **_SOURCE},
    "reinforcement": {**_NAMED, **_SOURCE},
    "reuse": {**_NAMED, **_SOURCE},
    "contexts": {**_NAMED, "form": _form, **_SOURCE},
    "allocations": {
        **_NAMED,
        "params_exponent": lambda entry: entry.exponents[0],
        "tokens_exponent": lambda entry: entry.exponents[1],
        "flops": lambda entry: entry.flops_range,
        **_SOURCE,
    },
    "accelerators": {**_NAMED, **_SOURCE},
    "architectures": {
        **_NAMED,
        "layers": lambda entry: entry.architecture.layers,
        "width": lambda entry: entry.architecture.width,
        "heads": lambda entry: entry.architecture.heads,
        "vocabulary": lambda entry: entry.architecture.vocabulary,
        **_SOURCE,
    },
    "releases": {
        **_NAMED,
        "maker": lambda entry: entry.release.maker,
        "params": lambda entry: entry.release.params,
        "tokens": lambda entry: entry.release.tokens,
        "date": lambda entry: entry.release.date,
        **_SOURCE,
    },
}
