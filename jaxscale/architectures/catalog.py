"""The catalogue of published architectures: each with its source and what it leaves out."""

from jaxscale.architectures.architecture import Architecture
from jaxscale.architectures.files import from_fields
from jaxscale.published import Entry, find, shipped

FORMS = {"Architecture": from_fields}


def catalog() -> tuple[Entry, ...]:
    """Every published architecture that is known, by model.

    Examples:
        >>> [entry.name for entry in js.architectures.catalog()][:3]
        ['gpt2', 'gpt2-medium', 'gpt2-large']
    """
    return shipped("architectures")


def entry(name: str) -> Entry:
    """The published architecture of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> print(js.architectures.entry("llama-3-8b").source)
        Grattafiori et al. 2024, arXiv 2407.21783, Table 3; vocabulary in the model files
    """
    return find("architecture", catalog(), name)


def published(name: str) -> Architecture:
    """The architecture of that name, as Python integers: `entry(name).architecture`.

    Examples:
        >>> js.architectures.published("llama-3-8b").layers
        32
    """
    return entry(name).architecture
