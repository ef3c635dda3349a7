"""Figures of a fit and of its resamples, drawn from the objects that the library returns."""

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale.laws.fitted import coefficients_of
from jaxscale.laws.protocol import TRAIN_FLOPS, levers_of
from jaxscale.plots._coefficient_pairs import pair_panels
from jaxscale.plots.fit_panels import (
    BudgetCurve,
    iso_flop_curves,
    observed_and_predicted,
    optimal_size_panels,
)
from jaxscale.plots.law_maps import OptimalPath, iso_loss_map
from jaxscale.solve.frontier import size_intervals, sizes_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 120  # of a curve, or along each side of a map
ROOM = 2.0  # factor around the runs on a map of sizes
FAR = 20.0  # factor beyond the runs to which curves and maps reach at most
REACH = 100.0  # budgets are drawn to this multiple of the largest run's
MOST_BUDGETS, APART = 6, 2.5  # of isoFLOP curves, and by what factor at least they differ
NEAR = 1.2  # factor within which a run's budget counts as that of a curve
FEWEST_RUNS = 3  # of a curve; where no budget has them, budgets are spread evenly
MOST_NAMED = 6  # coefficients that a subtitle names
MOST_PANELS = 7  # coefficients of a picture in pairs
WIDE = 2.0  # upper over lower end from which on a positive coefficient is drawn as its logarithm
PANELS = {
    "params": "params",
    "tokens": "tokens",
    "tokens_per_param": "tokens per param",
}


def fit_quality(fit: Any, bootstrap: Any = None, *, data: str = "") -> "Figure":
    """Observed loss of the runs over predicted loss, and by how much they differ.

    `data` says in the subtitle what the runs are. Raises ImportError without matplotlib.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> figure = js.plots.fit_quality(js.fit(js.laws.Chinchilla, runs))
    """
    _check_fit(fit, bootstrap)
    runs = fit.runs
    return observed_and_predicted(
        runs.loss,
        predicted(fit),
        runs.tokens_per_param,
        title="How well the law explains its runs",
        subtitle=_subtitle(fit, None, data),
    )


def fit_surface(fit: Any, bootstrap: Any = None, *, data: str = "") -> "Figure":
    """Contours of the law's loss over params and tokens, with the runs and the best sizes.

    With a bootstrap the best sizes have a band. Raises ValueError for a fit that has none, because
    the law has levers or the runs leave its coefficients open; ImportError without matplotlib.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> figure = js.plots.fit_surface(js.fit(js.laws.Chinchilla, runs))
    """
    _check_sizes(fit, bootstrap)
    runs, flops = fit.runs, _budgets(fit, 10.0)
    best = sizes_at(fit.law, flops)
    path = OptimalPath(flops, best["params"], best["tokens"])
    if bootstrap is not None:
        # At one budget, more params mean fewer tokens.
        ends = size_intervals(bootstrap.law, flops)
        (few, many), (short, long) = ends["params"], ends["tokens"]
        path = path._replace(low=(few, long), high=(many, short))
    params = _around(runs.params, best["params"][-1])
    tokens = _around(runs.tokens, best["tokens"][-1])
    return iso_loss_map(
        params,
        tokens,
        np.asarray(fit.law.loss(params[None, :], tokens[:, None])),
        runs=(runs.params, runs.tokens, runs.loss),
        path=path,
        title="Loss over size and training length, and where compute is best spent",
        subtitle=_subtitle(fit, bootstrap, data, "band: 95 % of {}"),
    )


def fit_isoflops(fit: Any, bootstrap: Any = None, *, data: str = "") -> "Figure":
    """Loss over params at each budget that many runs are near, with the best size of each.

    With a bootstrap the best sizes have bars. Raises as `fit_surface`.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> figure = js.plots.fit_isoflops(js.fit(js.laws.Chinchilla, runs))
    """
    _check_sizes(fit, bootstrap)
    budgets = np.array(curve_budgets(fit.runs.flops))
    best = sizes_at(fit.law, budgets)
    ends = None if bootstrap is None else size_intervals(bootstrap.law, budgets)["params"]
    curves = [_curve(fit, budgets, best, ends, at) for at in range(budgets.size)]
    more = "bars: 95 % of {}"
    return iso_flop_curves(
        curves,
        title="The best size at each training budget",
        subtitle=f"{_subtitle(fit, bootstrap, data, more)}; runs within 20 % of each budget",
    )


def fit_sizes(
    fit: Any,
    bootstrap: Any = None,
    *,
    beside: Mapping[str, Any] | None = None,
    data: str = "",
) -> "Figure":
    """Compute-optimal params, tokens and their ratio against the training budget.

    `beside` holds other laws by name; a bootstrap gives bands. Raises as `fit_surface`.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> beside = {"sardana2024": js.laws.published("sardana2024")}
        >>> figure = js.plots.fit_sizes(js.fit(js.laws.Chinchilla, runs), beside=beside)
    """
    _check_sizes(fit, bootstrap)
    flops = _budgets(fit, REACH)
    ends = None if bootstrap is None else size_intervals(bootstrap.law, flops)
    others = {name: sizes_at(law, flops) for name, law in (beside or {}).items()}
    return optimal_size_panels(
        flops,
        _panels(sizes_at(fit.law, flops)),
        bands=ends and _panels(ends),
        published={name: _panels(sizes) for name, sizes in others.items()},
        runs_flops=(float(fit.runs.flops.min()), float(fit.runs.flops.max())),
        name="this fit",
        title="Compute-optimal sizes against the training budget",
        subtitle=_subtitle(fit, bootstrap, data, "band: 95 % of {}"),
    )


def coefficient_pairs(bootstrap: Any, *, data: str = "") -> "Figure":
    """Spread of each coefficient over the resamples, and which coefficients move together.

    Raises ValueError where fewer than two coefficients are free, or more than seven; ImportError
    without matplotlib.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> boot = js.bootstrap(js.fit(js.laws.Chinchilla, runs), resamples=500, key=1)
        >>> figure = js.plots.coefficient_pairs(boot)
    """
    _check_bootstrap(bootstrap)
    fit = bootstrap.fit
    names = varied(fit)
    if not 2 <= len(names) <= MOST_PANELS:
        raise ValueError(f"pairs need 2 to {MOST_PANELS} free coefficients; got {len(names)}")
    draws, best, known = {}, {}, coefficients_of(type(fit.law))
    for name in names:
        column, value = np.ravel(getattr(bootstrap.law, name)), float(getattr(fit.law, name))
        low, high = np.quantile(column, [0.025, 0.975])
        logarithm = known[name].positive and low > 0 and high > WIDE * low
        label, read = (f"ln {name}", np.log) if logarithm else (name, np.asarray)
        draws[label], best[label] = read(column), float(read(value))
    return pair_panels(
        draws,
        best,
        title="How far resampled runs move the coefficients, and which move together",
        subtitle=_subtitle(fit, bootstrap, data, "{}", "contours hold half and 95 % of them"),
    )


def predicted(fit: Any) -> np.ndarray:
    """The loss that the law predicts for each run, in nats per token."""
    return np.asarray(fit.law.loss(fit.runs.params, fit.runs.tokens, **(fit.runs.levers or {})))


def varied(fit: Any) -> tuple[str, ...]:
    """The coefficients that were fitted; of those that are tied, the first."""
    held = {*fit.problem.asked.fixed, *(x for group in fit.problem.asked.tie for x in group[1:])}
    return tuple(name for name in fit.names if name not in held)


def has_sizes(fit: Any) -> bool:
    """Whether compute-optimal sizes of a fit are known, at no lever's value."""
    return fit.claims.has_sizes and not levers_of(fit.law)


def _check_fit(fit: Any, bootstrap: Any) -> None:
    """Raises TypeError for what is no fit, and for a bootstrap that is none."""
    if not all(hasattr(fit, name) for name in ("law", "runs", "claims")):
        raise TypeError(
            f"fit must be a fit of js.fit; got {reprlib.repr(fit)} ({type(fit).__name__})"
        )
    if bootstrap is not None:
        _check_bootstrap(bootstrap)


def _check_bootstrap(bootstrap: Any) -> None:
    if not all(hasattr(bootstrap, name) for name in ("fit", "law", "objective")):
        raise TypeError(
            "bootstrap must be a bootstrap of js.bootstrap; got "
            f"{reprlib.repr(bootstrap)} ({type(bootstrap).__name__})"
        )


def _check_sizes(fit: Any, bootstrap: Any) -> None:
    _check_fit(fit, bootstrap)
    if levers_of(fit.law):
        raise ValueError(f"a law with levers has no sizes of its own; got {type(fit.law).__name__}")
    if not fit.claims.has_sizes:
        raise ValueError(f"this fit has no compute-optimal sizes: {fit.claims.sentence}")


def _subtitle(fit: Any, bootstrap: Any, data: str, *more: str) -> str:
    """The family and its runs; `more` describes resamples where there are any."""
    loss = fit.loss_function
    delta = getattr(loss, "delta", None)
    names = fit.names[: MOST_NAMED if len(fit.names) <= MOST_NAMED else 0]
    parts = [
        data or f"{len(fit.runs):,} runs",
        type(loss).__name__ + (f", delta {delta:g}" if delta else ""),
        ", ".join(f"{name} = {float(getattr(fit.law, name)):.4g}" for name in names),
    ]
    if bootstrap is not None:
        parts += [each.format(f"{bootstrap.objective.size:,} resamples") for each in more]
    return "; ".join(filter(None, parts))


def _panels(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes by the titles of their panels."""
    return {title: sizes[name] for name, title in PANELS.items()}


def _curve(
    fit: Any, budgets: np.ndarray, best: Mapping[str, np.ndarray], ends: Any, at: int
) -> BudgetCurve:
    """The isoFLOP curve of one budget, and the runs that are near it."""
    runs, flops = fit.runs, float(budgets[at])
    params = np.geomspace(runs.params.min() / FAR, runs.params.max() * FAR, 2 * POINTS)
    near = np.abs(np.log(runs.flops / flops)) <= np.log(NEAR)
    return BudgetCurve(
        flops,
        params,
        np.asarray(fit.law.loss(params, flops / params / TRAIN_FLOPS)),
        float(best["params"][at]),
        float(best["loss"][at]),
        None if ends is None else (float(ends[0][at]), float(ends[1][at])),
        runs.params[near],
        runs.loss[near],
    )


def curve_budgets(flops: np.ndarray) -> list[float]:
    """Budgets that most runs are near, well apart; spread evenly where runs cluster nowhere."""
    logs, chosen = np.log(flops), []
    near = np.abs(logs[:, None] - logs) <= np.log(NEAR)
    counts = near.sum(axis=1)
    while len(chosen) < MOST_BUDGETS and counts.max(initial=0) >= FEWEST_RUNS:
        best = int(counts.argmax())
        chosen.append(float(np.exp(np.median(logs[near[best]]))))
        counts[np.abs(logs - np.log(chosen[-1])) < np.log(APART)] = 0
    if len(chosen) >= 2:
        return sorted(chosen)
    return np.geomspace(flops.min(), flops.max(), 4).tolist()


def _budgets(fit: Any, reach: float) -> np.ndarray:
    flops = fit.runs.flops
    return np.geomspace(flops.min(), flops.max() * reach, POINTS)


def _around(values: np.ndarray, most: float) -> np.ndarray:
    """Sizes from below the least to above the largest, and `most` if it is not far off."""
    low, high = values.min(), min(max(values.max(), float(most)), FAR * values.max())
    return np.geomspace(low / ROOM, high * ROOM, POINTS)
