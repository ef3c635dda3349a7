"""One published allocation, with what a reader must know before using it."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxscale.allocations.allocation import Allocation
from jaxscale.published import Range


class Interval(NamedTuple):
    """Between which values an exponent lies."""

    low: float
    high: float
    level: float  # the share of resampled fits between them


@dataclass(frozen=True)
class Entry:
    """One published allocation, with what a reader must know before using it.

    Not a pytree: pass its `allocation` to functions that compute.
    """

    name: str
    allocation: Allocation | None  # of Python floats; None: only exponents are published
    # Of params and of tokens, as printed; where one alone is, the other is 1 less it.
    exponents: tuple[float, float]
    source: str  # paper and table, or code
    params_convention: str  # what is counted as a parameter
    flops_convention: str  # what is counted as compute
    flops_range: Range | None = None  # budgets that it was fitted to; None: not stated
    params_interval: Interval | None = None  # of the exponent of params; None: not published
    tokens_interval: Interval | None = None
    errata: tuple[str, ...] = ()  # faults of the source and limits of the fit, in sentences
    aliases: tuple[str, ...] = ()


TOTAL = "total, embeddings counted"
SIX_N_D = "6 N D"
