"""Published constants of machines: overheads of servers, power, and prices, with their sources."""

import importlib.resources
import tomllib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from jaxscale._numerics.names import unknown
from jaxscale.hardware import Accelerator

OTHERS = "others"


class MachineFacts(NamedTuple):
    """One table of constants, by device, organisation, vendor or year."""

    values: Mapping[str, float]
    unit: str
    source: str


def machine_facts(name: str) -> MachineFacts:
    """A table of published constants of machines, with its unit and source.

    | name | by |
    | --- | --- |
    | `server_overhead` | device: price of a server over that of its accelerators |
    | `server_power` | device: power of a server over that of its accelerators |
    | `average_power` | device: average power in training over that at TDP |
    | `pue` | organisation: power of a data centre over that of its servers |
    | `energy_price` | year: dollars per kWh for industry in the United States |
    | `discount_for_1_year`, `discount_for_3_years` | vendor: share off the on-demand price |

    The values are read-only. Raises TypeError for a name that is no string, and ValueError for an
    unknown one.

    Examples:
        >>> js.economics.machine_facts("energy_price").values["2024"]
        0.0771
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string; got {name!r}")
    tables = _tables()
    if name not in tables:
        raise unknown("table", name, tables)
    return tables[name]


def fact_of(name: str, device: object) -> float:
    """The constant of a table for a device; that of others where the device is but a number."""
    values = machine_facts(name).values
    known = device.name if isinstance(device, Accelerator) else ""
    return next((x for start, x in values.items() if known.startswith(start)), values[OTHERS])


@cache
def _tables() -> dict[str, MachineFacts]:
    file = importlib.resources.files("jaxscale.published") / "machines.toml"
    tables = tomllib.loads(file.read_text("utf-8"))
    return {
        name: MachineFacts(MappingProxyType(table["values"]), table["unit"], table["source"])
        for name, table in tables.items()
    }
