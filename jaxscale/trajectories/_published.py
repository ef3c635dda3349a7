"""Published laws over the steps of a training, each with its source."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxscale.published import Catalog, Entry, find, shipped
from jaxscale.trajectories.multi_power import MultiPower

# By the name that a file of published facts gives as `form`.
FORMS: Mapping[str, Callable[..., Any]] = {"MultiPower": MultiPower}


def catalog() -> Catalog[Entry]:
    """All published laws over steps.

    Examples:
        >>> [entry.name for entry in js.trajectories.catalog()]
        ['luo2025_25m', 'luo2025_100m', 'luo2025_400m']
    """
    return shipped("trajectories")


def entry(name: str) -> Entry:
    """The published law of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> print(js.trajectories.entry("luo2025_25m").source)
        Luo et al. 2025, arXiv 2503.12811; repository thu-yao-01-luo/MultiPowerLaw, src/config.py
    """
    return find("trajectory", catalog(), name)


def published(name: str) -> Any:
    """The law of that name, as Python floats: `entry(name).law`; raises as `entry`.

    Examples:
        >>> print(js.trajectories.published("luo2025_400m").L0)
        2.37474466
    """
    return entry(name).law
