"""What the keys of a specification owe each other: one loss, one demand, whole prices."""

from collections.abc import Iterable, Mapping
from typing import Any

import jaxscale as js
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.pricing import quotes_of
from jaxscale.cli.toml_text import TomlText
from jaxscale.cli.vocabulary import DEMANDS, DEVICES, MFU_KEYS, PRECISION_KEYS, PRICES, ROLES
from jaxscale.costs import DEFAULT_PRECISION

LOSS = "loss_nats_per_token"


def check_together(source: TomlText, axes: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """Refuse keys that contradict, lack or idle beside each other."""
    for key in axes:
        if key in fixed:
            source.refuse(("fixed", key), "is an axis too; give it once")
    if not axes:
        raise Mistake(f"{source.name}: give at least one axis under [axes]")
    given = {**axes, **fixed}
    if LOSS not in given:
        raise Mistake(f"{source.name}: {LOSS} is missing; give it under [axes] or [fixed]")
    _check_demand(source, given)
    _check_dollars(source, axes, given)


def _check_demand(source: TomlText, given: Iterable[str]) -> None:
    used = [way for way in DEMANDS if any(key in given for key in way)]
    if len(used) != 1:
        problem = "given in more than one way" if used else "missing"
        choices = "; or ".join(" with ".join(way) for way in DEMANDS)
        raise Mistake(f"{source.name}: the demand is {problem}: use {choices}")
    missing = [key for key in used[0] if key not in given]
    if missing:
        words = f"give {' and '.join(missing)} too, or 0 where there is none"
        raise Mistake(f"{source.name}: {words}")


def _check_dollars(source: TomlText, axes: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    unnamed = [key for key in DEVICES if key not in given]
    if len(unnamed) == len(DEVICES):
        for key in (*PRICES, *MFU_KEYS, *PRECISION_KEYS):
            if key in given:
                problem = f"needs {' and '.join(DEVICES)}: without them costs are FLOPs"
                source.refuse(("axes" if key in axes else "fixed", key), problem)
        return
    if unnamed:
        raise Mistake(f"{source.name}: give {unnamed[0]} too: dollars need {' and '.join(DEVICES)}")
    for role in ROLES:
        _check_devices(source, axes, given, role)


def _check_devices(
    source: TomlText, axes: Mapping[str, Any], given: Mapping[str, Any], role: str
) -> None:
    """Every accelerator has the precision and a price."""
    key, price = f"{role}_on", f"{role}_price_dollars_per_hour"
    precision = given.get(f"{role}_precision", DEFAULT_PRECISION)
    path = "axes" if key in axes else "fixed", key
    for name in given[key] if key in axes else (given[key],):
        device = js.accelerator(name)
        try:
            device.peak(precision)
        except ValueError as error:
            source.refuse(path, str(error))
        if device.price is None and price not in given:
            problem = f"{name} has no default price: give {price}; quotes: {quotes_of(device)}"
            source.refuse(path, problem)
