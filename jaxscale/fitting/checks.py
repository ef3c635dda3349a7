"""Checks of the arguments of `fit`: objectives, columns of one length, possible rows."""

from collections.abc import Collection, Mapping
from typing import Any, cast, get_args

import jax
import numpy as np

from jaxscale._numerics.arrays import is_concrete
from jaxscale.fitting.objectives import Objective
from jaxscale.fitting.runs import Runs

POSITIVE = ("params", "tokens", "loss")
LISTED = 3


def is_traced(runs: Runs, objective: Any) -> bool:
    """Whether any number is being differentiated."""
    return not all(map(is_concrete, jax.tree.leaves((runs, objective))))


def check_objective(objective: Any) -> None:
    """Raises TypeError for what is no objective, ValueError for a delta that is not positive."""
    if not isinstance(objective, get_args(Objective)):
        kinds = ", ".join(kind.__name__ for kind in get_args(Objective))
        raise TypeError(f"objective must be a js.fitting {kinds}; got {objective!r}")
    delta = getattr(objective, "delta", 1.0)
    if is_concrete(delta) and not (np.ndim(delta) == 0 and 0 < float(delta) < np.inf):
        raise ValueError(f"objective.delta must be finite and above 0; got {delta!r}")


def checked(runs: Any, levers: Collection[str] | None = None, positive_loss: bool = True) -> Runs:
    """The runs as float64 columns of one length.

    `levers` are the names that a law takes, exactly; None lets any pass. Without
    `positive_loss` a loss may be any finite number.

    Raises TypeError for what are no runs, ValueError for levers that are missing or unknown, for
    columns that differ in length and for rows, counted from 1, that are not finite and positive.
    Weights may be 0, and levers any finite number.
    """
    if not isinstance(runs, Runs):
        raise TypeError(f"runs must be js.Runs; got {runs!r} ({type(runs).__name__})")
    columns = {name: _column(name, getattr(runs, name)) for name in POSITIVE}
    weights = np.ones_like(columns["loss"]) if runs.weights is None else runs.weights
    columns["weights"] = _column("weights", weights)
    chosen = _levers(runs, levers)
    every = columns | {f"levers[{name!r}]": column for name, column in chosen.items()}
    lengths = {name: len(column) for name, column in every.items()}
    if runs.group is not None:
        lengths["group"] = len(np.asarray(runs.group))
    if len(set(lengths.values())) > 1 or not lengths["loss"]:
        given = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"runs must have columns of one length, at least 1; got {given}")
    least = {"params": 0.0, "tokens": 0.0, "weights": -np.finfo(float).tiny}
    least |= {"loss": 0.0} if positive_loss else {}
    for name, column in every.items():
        low = least.get(name, -np.inf)
        bad = np.flatnonzero(~(np.isfinite(column) & (column > low)))
        if bad.size:
            allowed = {0.0: "finite and above 0", -np.inf: "finite"}.get(
                low, "finite and 0 or more"
            )
            shown = ", ".join(f"{column[i]:g} in row {i + 1}" for i in bad[:LISTED])
            more = f" and {bad.size - LISTED} more" if bad.size > LISTED else ""
            raise ValueError(f"runs.{name} must be {allowed}; got {shown}{more}")
    if not (columns["weights"] > 0).any():
        raise ValueError("runs.weights must be above 0 for at least one run; all are 0")
    group = None if runs.group is None else np.asarray(runs.group)
    return Runs(**columns, group=group, levers=chosen or None)


def _levers(runs: Any, known: Collection[str] | None) -> dict[str, np.ndarray]:
    given: Any = {} if runs.levers is None else runs.levers
    if not isinstance(given, Mapping):
        raise TypeError(f"runs.levers must be a dict of columns by name; got {given!r}")
    given = cast(Mapping[str, Any], given)
    if known is not None and set(given) != set(known):
        names = (", ".join(sorted(map(str, each))) or "none" for each in (known, given))
        raise ValueError("runs.levers must be those of the law: {}; got {}".format(*names))
    return {name: _column(f"levers[{name!r}]", column) for name, column in given.items()}


def _column(name: str, given: Any) -> np.ndarray:
    try:
        column = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"runs.{name} must be numbers; got {given!r}") from None
    if column.ndim != 1:
        raise ValueError(f"runs.{name} must have one dimension; got shape {column.shape}")
    return column
