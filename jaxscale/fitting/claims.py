"""Which coefficients a fit identifies, and why not the others."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxscale.fitting.certificate import MOST_CONDITION, at_bounds, basis_of
from jaxscale.fitting.constraints import Constraints
from jaxscale.fitting.identified import equal_minima, flat_in, moves, null_of
from jaxscale.fitting.runs import Runs
from jaxscale.published.entry import tells_sizes

# A coefficient whose standard error is a hundred times its value is unknown.
MOST_ERROR = 100.0
TRADE_OFF = "coefficients trade off against each other, and the runs fit any of them alike"
# In logarithms: sizes that agree to nine digits are the same.
SAME = 1e-8
FEWEST = 3  # sizes that tell a constant, a scale and an exponent


class Design:
    """How many different sizes the runs have, and whether these lie on one line.

    `levers` are those of one value, and `different` counts runs of different sizes and levers. Of
    a law over steps neither sizes nor levers say why coefficients are open.
    """

    def __init__(self, runs: Runs, *, of_steps: bool = False) -> None:
        self.of_steps = of_steps
        self.log_params = np.log(np.asarray(runs.params, float))
        self.log_tokens = np.log(np.asarray(runs.tokens, float))
        self.params = distinct(self.log_params)
        self.tokens = distinct(self.log_tokens)
        self.ratios = distinct(self.log_tokens - self.log_params)
        levers = {name: np.asarray(x, float) for name, x in (runs.levers or {}).items()}
        levers = {name: x for name, x in levers.items() if x.ndim == 1}
        self.levers = {name: float(x[0]) for name, x in levers.items() if np.ptp(x) == 0}
        columns = np.stack([runs.params, runs.tokens, *levers.values()])
        self.different = len(np.unique(columns, axis=1).T)

    @property
    def is_line(self) -> bool:
        """Whether ln tokens is a straight line in ln params, over several sizes of each."""
        if min(self.params, self.tokens) < 2:
            return False
        x, y = (z - z.mean() for z in (self.log_params, self.log_tokens))
        across = y - x * (x @ y) / (x @ x)
        return bool(np.abs(across).max() < SAME)


def distinct(logs: np.ndarray) -> int:
    """Number of different values."""
    return 1 + int((np.diff(np.sort(logs)) > SAME).sum())


def reason_of(design: Design, free: int) -> str:
    """Why the runs leave some of `free` coefficients open; empty where sizes do not say."""
    if design.of_steps:
        return ""
    said: list[str] = []
    for name, count in (("params", design.params), ("tokens", design.tokens)):
        if count == 1:
            said.append(f"all runs have the same {name}")
        elif count < FEWEST:
            said.append(f"the runs have {count} different {name}")
    if not said and design.is_line and design.ratios == 1:
        ratio = float(np.exp(np.median(design.log_tokens - design.log_params)))
        said.append(f"all runs have {ratio:.4g} tokens per param")
    elif not said and design.is_line:
        said.append("ln tokens is a straight line in ln params over the runs")
    if not said and design.different <= free:
        runs = "1 run" if design.different == 1 else f"{design.different} different runs"
        said.append(f"{runs} cannot tell {free} coefficients")
    said += [f"{name} is {value:g} in all runs" for name, value in design.levers.items()]
    return " and ".join(said)


# --- What is claimed --------------------------------------------------------------------------


class Claims(NamedTuple):
    """What is known of a fit's coefficients besides their values.

    A coefficient that is unidentified has a value that explains the runs no better than others
    would, and no standard error. `directions`, in columns, are changes of the fitted coordinates
    that change no residual.
    """

    held: tuple[str, ...]  # as was asked
    at_bound: tuple[str, ...]
    unidentified: tuple[str, ...]
    reason: str  # why they are, in a sentence; empty where all are identified
    combinations: Mapping[str, tuple[float, float]]  # what is known instead: value, error
    directions: np.ndarray

    def error_text(
        self, name: str, error: float, write: Callable[[float], str] = "{:.3g}".format
    ) -> str:
        """A standard error for a table, its number written by `write`."""
        if name in self.held:
            return "held"
        if name in self.unidentified:
            return ""
        if name in self.at_bound:
            return "at bound"
        return "not known" if error != error else write(error)

    @property
    def has_sizes(self) -> bool:
        """Whether compute-optimal sizes are known."""
        return tells_sizes(self.unidentified)

    @property
    def sentence(self) -> str:
        """Which coefficients the runs do not identify, and why; empty where they identify all."""
        if not self.unidentified:
            return ""
        return f"These runs do not identify {', '.join(self.unidentified)}: {self.reason}."


class Ending(NamedTuple):
    """The end of a fit, as far as claims need it."""

    coordinates: np.ndarray
    slopes: np.ndarray  # of residuals: runs, coordinates
    weights: np.ndarray
    hessian: np.ndarray
    condition: float  # along what is left
    asked: Constraints  # as the caller set them
    left: Constraints  # with what is not identified held
    equals: np.ndarray  # points with the same objective: coordinates, points
    open: np.ndarray  # which coefficients move along what is null everywhere
    covariance: np.ndarray  # along what is left


def open_at(ending: Ending, logarithmic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which coefficients are not identified, and directions along which they move."""
    basis = basis_of(ending.asked, ending.coordinates)
    null = null_of(ending.slopes, ending.weights, ending.asked.prior.precision, basis)
    errors = np.sqrt(np.clip(np.diag(ending.covariance), 0, None))
    size = np.where(logarithmic, 1, np.abs(ending.coordinates))
    others = equal_minima(ending.equals, errors)
    others |= ~(errors <= MOST_ERROR * size) & (np.diag(ending.left.projection) > 0)
    if not ending.condition <= MOST_CONDITION:
        others |= flat_in(ending.hessian, basis_of(ending.left, ending.coordinates))
    others = (others | ending.open) & (np.diag(ending.asked.projection) > 0)
    single = np.eye(len(others))[:, others & ~moves(null, basis)]
    return moves(null, basis) | others, np.concatenate([null.directions, single], axis=1)


def claims_of_law(
    ending: Ending,
    names: Sequence[str],
    positive: np.ndarray,
    held: Sequence[str],
    design: Design,
    more: np.ndarray,
) -> Claims:
    """The claims of a fit of any family; `more` are other coefficients not identified."""
    unknown, directions = open_at(ending, positive)
    single = np.eye(len(more))[:, more & ~unknown]
    directions = np.concatenate([directions, single], axis=1)
    return claims_of(ending, names, held, design, unknown | more, "", {}, directions)


def claims_of(
    ending: Ending,
    names: Sequence[str],
    held: Sequence[str],
    design: Design,
    unknown: np.ndarray,
    reason: str,
    combinations: Mapping[str, tuple[float, float]],
    directions: np.ndarray,
) -> Claims:
    """Claims by name, where `unknown` says which coefficients are not identified.

    `reason` is why, where the sizes of the runs do not say it.
    """
    free = ending.asked.free_count
    if np.count_nonzero(ending.weights) <= free:  # no run is left to estimate an error from
        unknown = unknown | (np.diag(ending.asked.projection) > 0)
        combinations, directions = {}, np.eye(len(unknown))[:, unknown]
    reason = reason_of(design, free) or reason or TRADE_OFF
    bound = at_bounds(ending.asked, ending.coordinates)
    return Claims(
        tuple(held),
        tuple(name for name, at in zip(names, bound, strict=True) if at),
        tuple(name for name, is_open in zip(names, unknown, strict=True) if is_open),
        reason if unknown.any() else "",
        combinations,
        directions,
    )


def without(covariance: np.ndarray, names: Sequence[str], claims: Claims) -> np.ndarray:
    """The covariance with NaN for coefficients that are not identified or at a bound."""
    silent = np.isin(names, [*claims.unidentified, *claims.at_bound])
    return np.where(silent[:, None] | silent, np.nan, covariance)
