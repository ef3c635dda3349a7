"""Laws made of published parts by name, with a plus before each part: `besiroglu2024+ling2025`.

A part is a leverage, which makes a dense law one of mixtures of experts (`sparse`), constants of
data reuse (`repeated`), or a law of parallel streams, whose streams are taken (`with_streams`).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxscale.laws._leverage import Leverage, sparse
from jaxscale.laws.reuse import Reuse, repeated
from jaxscale.laws.streams import ParScale, with_streams
from jaxscale.published import Entry, find, shipped

# The name of a part begins with a letter and holds no dot or slash: a plus in a number, as 1e+3, or
# in the path of a file is none of these.
PART = re.compile(r"(.+)\+\s*([a-z]\w*)", re.IGNORECASE | re.DOTALL)


def split_part(name: str) -> tuple[str, str]:
    """A name before its last plus, and the part after it; the name and "" where it has none."""
    match = PART.fullmatch(name.strip())
    return (match[1].strip(), match[2]) if match else (name.strip(), "")


def parts() -> Iterator[Entry]:
    """All published parts of laws."""
    yield from shipped("leverages")
    yield from shipped("reuse")
    yield from (entry for entry in shipped("laws") if isinstance(entry.law, ParScale))


def law_with_part(law: Any, name: str) -> Any:
    """The law with the published part of that name."""
    return _made(law, find("part", parts(), name).law)


def with_part(entry: Entry, name: str) -> Entry:
    """The entry of a law with the published part of that name, and what is known of both.

    Raises ValueError for an unknown part, and for one that the law does not take.
    """
    part = find("part", parts(), name)
    draws = entry.draws
    if draws is not None:
        count = len(jax.tree.leaves(draws)[0])
        draws = _made(draws, jax.tree.map(partial(np.full, count), part.law))
    made = replace(
        entry,
        name=f"{entry.name}+{part.name}",
        law=_made(entry.law, part.law),
        draws=draws,
        source=f"{entry.source}; with {part.name}: {part.source}",
        standard_errors=None,
        covariance=None,
        errata=(*(f"{part.name}: {text}" for text in part.errata), *entry.errata),
        aliases=(),
        directions=(),
    )
    if isinstance(part.law, Reuse):
        return replace(made, loss_scale=part.loss_scale or entry.loss_scale)
    if isinstance(part.law, Leverage):  # fitted by compute; params become active ones
        ranges = {"params_range": None, "tokens_per_param_range": None}
        params = f"active; of the dense law: {entry.params_convention}"
        flops = part.flops_range
        return replace(made, flops_range=flops, params_convention=params, **ranges)
    return made


def _made(law: Any, part: Leverage | Reuse | ParScale) -> Any:
    try:
        if isinstance(part, Leverage):
            return sparse(law, part)
        if isinstance(part, Reuse):
            return repeated(law, part)
        return with_streams(law, part.k)
    except TypeError as error:  # of a law that is not Chinchilla's
        raise ValueError(str(error)) from None
