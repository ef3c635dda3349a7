"""The catalogue of published architectures: each with its source and what it leaves out."""

from jaxscale.architectures.architecture import Architecture
from jaxscale.architectures.files import from_fields
from jaxscale.published import Entry, find, shipped

FORMS = {"Architecture": from_fields}


def catalog() -> tuple[Entry, ...]:
    """Every published architecture that is known, by model."""
    return shipped("architectures")


def entry(name: str) -> Entry:
    """The published architecture of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.
    """
    return find("architecture", catalog(), name)


def published(name: str) -> Architecture:
    """The architecture of that name, as Python integers: `entry(name).architecture`."""
    return entry(name).architecture
