"""Accelerators on the command line: by name, by file, or by their numbers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jaxscale as js
from jaxscale._written_device import EXAMPLE as EXAMPLE
from jaxscale._written_device import NUMBERS, device_of_numbers
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.hardware import Accelerator


def read_device(text: str) -> Accelerator:
    """The accelerator that a text names, or describes as peak=989T,bandwidth=3.35T,price=2.

    A text with an equals sign is a description. Raises ValueError for what is neither.
    """
    return device_of_numbers(text) if "=" in text else js.accelerator(text)


def device_of(
    option: str, text: str | None, numbers: Mapping[str, float | None]
) -> Accelerator | None:
    """The accelerator of `option`, with the numbers of --bandwidth, --memory and --price.

    Without the option, one of --peak, --bandwidth and --memory alone; None where nothing is given.
    """
    given = {key: value for key, value in numbers.items() if value is not None}
    values: dict[str, Any] = {NUMBERS[key][0]: given[key] for key in given if key != "peak"}
    if text is not None:
        if "peak" in given:
            raise Mistake(f"give {option} or --peak, not both")
        with blamed_on(option):
            return replace(read_device(text), **values)
    missing = [f"--{key}" for key in ("peak", "bandwidth", "memory") if key not in given]
    if given and missing:
        raise Mistake(f"give {option}, or {' and '.join(missing)} too, for a device of your own")
    return js.hardware.custom(given["peak"], **values) if given else None
