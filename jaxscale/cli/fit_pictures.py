"""The pictures of a fit: what each is handed, and where it goes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxscale import plots
from jaxscale.cli.bars import Begin
from jaxscale.cli.fit_outcome import NAMES, PLACES, Outcome, published_sizes
from jaxscale.cli.mistakes import Mistake, path_of
from jaxscale.cli.pictures import checked_path, save
from jaxscale.fitting.runs import FLOPS_PER_PARAM_TOKEN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG = ".png"
POINTS = 120  # of a curve, or along each side of a map
ROOM = 2.0  # factor around the runs on a map of sizes
FAR = 20.0  # factor beyond the runs to which curves and maps reach at most
REACH = 100.0  # budgets are drawn to this multiple of the largest run's
MOST_BUDGETS, APART = 6, 2.5  # of isoFLOP curves, and by what factor at least they differ
NEAR = 1.2  # factor within which a run's budget counts as that of a curve
FEWEST_RUNS = 3  # of a curve; where no budget has them, budgets are spread evenly


class Names(NamedTuple):
    """What the names of pictures are made of."""

    folder: Path
    stem: str
    suffix: str

    def path(self, kind: str) -> Path:
        return self.folder / f"{self.stem}-{kind}{self.suffix}"


def read_names(text: str | None, output: Path) -> Names:
    """Where the pictures go: beside the output, in a folder, or where their names begin."""
    if text is None:
        names = Names(output.parent, output.stem, PNG)
    else:
        path = path_of(text)
        if not text or (text.endswith(("/", "\\")) and not path.is_dir()):
            raise Mistake(f"--pictures: {text!r} is {'no folder' if text else 'empty'}")
        names = Names(path.parent, path.stem, path.suffix)
        if path.is_dir():
            names = Names(path, output.stem, PNG)
        elif not path.suffix:
            names = Names(path.parent, path.name, PNG)
    for kind in PICTURES:
        checked_path("--pictures", str(names.path(kind)))
    return names


def draw(outcome: Outcome, names: Names, begin: Begin) -> list[Path]:
    """Write every picture that the outcome has; the paths written."""
    advance, written = begin("drawing", len(PICTURES)), []
    for kind, make in PICTURES.items():
        needed = OF_PART.get(kind, PLACES)
        shown = not {*needed} & {*outcome.fit.claims.unidentified}
        figure, path = make(outcome) if shown else None, names.path(kind)
        if figure is not None:
            save(figure, path)
            written.append(path)
        advance(1)
    return written


def _subtitle(outcome: Outcome, *more: str) -> str:
    """What was fitted to what; `more` is said of resamples where there are any."""
    parts = [outcome.title, outcome.objective, outcome.law_text]
    if outcome.bootstrap is not None:
        parts += [each.format(f"{outcome.bootstrap.objective.size:,} resamples") for each in more]
    return "; ".join(parts)


def _quality(outcome: Outcome) -> "Figure":
    runs = outcome.runs
    return plots.observed_and_predicted(
        runs.loss,
        runs.loss * np.exp(outcome.fit.residuals),
        runs.tokens_per_param,
        title="How well the law explains its runs",
        subtitle=_subtitle(outcome),
    )


def _contours(outcome: Outcome) -> "Figure":
    runs = outcome.runs
    flops = _budgets(outcome, 10.0)
    sizes, intervals = outcome.sizes(flops), outcome.size_intervals(flops)
    path = plots.OptimalPath(flops, sizes["params"], sizes["tokens"])
    if intervals is not None:
        # More params at a budget are fewer tokens.
        (few, many), (short, long) = intervals["params"], intervals["tokens"]
        path = path._replace(low=(few, long), high=(many, short))
    at_end = [10 * float(runs.flops.max())]
    ends = outcome.sizes(at_end)
    params = _around(runs.params, ends["params"])
    tokens = _around(runs.tokens, ends["tokens"])
    return plots.iso_loss_map(
        params,
        tokens,
        _loss(outcome, params[None, :], tokens[:, None]),
        runs=(runs.params, runs.tokens, runs.loss),
        path=path,
        title="Loss over size and training length, and where compute is best spent",
        subtitle=_subtitle(outcome, "band: 95 % of {}"),
    )


def _isoflops(outcome: Outcome) -> "Figure":
    budgets = [_curve(outcome, flops) for flops in curve_budgets(outcome.runs.flops)]
    return plots.iso_flop_curves(
        budgets,
        title="The best size at each training budget",
        subtitle=f"{_subtitle(outcome, 'bars: 95 % of {}')}; runs within 20 % of each budget",
    )


def _curve(outcome: Outcome, flops: float) -> plots.BudgetCurve:
    """The isoFLOP curve of one budget, and the runs that are near it."""
    runs = outcome.runs
    params = np.geomspace(runs.params.min() / FAR, runs.params.max() * FAR, 2 * POINTS)
    tokens = flops / params / FLOPS_PER_PARAM_TOKEN
    best, interval = outcome.sizes([flops]), outcome.size_intervals([flops])
    near = np.abs(np.log(runs.flops / flops)) <= np.log(NEAR)
    ends = None if interval is None else interval["params"]
    return plots.BudgetCurve(
        flops,
        params,
        _loss(outcome, params, tokens),
        float(best["params"][0]),
        float(best["loss"][0]),
        None if ends is None else (float(ends[0][0]), float(ends[1][0])),
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


def _pairs(outcome: Outcome) -> "Figure | None":
    """None without resamples, and where fewer than two coefficients vary."""
    varied = outcome.varied
    if outcome.bootstrap is None or len(varied) < 2:
        return None
    labels = {name: LABELS.get(name, name) for name in varied}
    drawn, fitted = outcome.bootstrap.coordinates, outcome.fit.coordinates
    places = {name: PLACES[name] for name in varied}
    natural = {"E": np.exp}  # the others as they are fitted: A and B span decades
    read = {name: natural.get(name, np.asarray) for name in varied}
    return plots.coefficient_pairs(
        {labels[name]: read[name](drawn[places[name]]) for name in varied},
        {labels[name]: float(read[name](fitted[places[name]])) for name in varied},
        title="How far resampled runs move the coefficients, and which move together",
        subtitle=_subtitle(outcome, "{}", "contours hold half and 95 % of them"),
    )


def _optima(outcome: Outcome) -> "Figure":
    flops = _budgets(outcome, REACH)
    intervals = outcome.size_intervals(flops)
    return plots.optimal_size_panels(
        flops,
        _panels(outcome.sizes(flops)),
        bands=intervals and _panels(intervals),
        published={named.name: _panels(published_sizes(named, flops)) for named in outcome.beside},
        runs_flops=(float(outcome.runs.flops.min()), float(outcome.runs.flops.max())),
        name="this fit",
        title="Compute-optimal sizes against the training budget",
        subtitle=_subtitle(outcome, "band: 95 % of {}"),
    )


def _panels(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes by the titles of their panels."""
    return {NAMES.get(name, name): sizes[name] for name in ("params", "tokens", "tokens_per_param")}


def _budgets(outcome: Outcome, reach: float) -> np.ndarray:
    flops = outcome.runs.flops
    return np.geomspace(flops.min(), flops.max() * reach, POINTS)


def _around(values: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Sizes from below the least to above the largest, and `more` if it is not far off."""
    low, high = values.min(), min(max(values.max(), float(more.max())), FAR * values.max())
    return np.geomspace(low / ROOM, high * ROOM, POINTS)


def _loss(outcome: Outcome, params: Any, tokens: Any) -> np.ndarray:
    return np.asarray(outcome.fit.law.loss(params, tokens))


LABELS = {"A": "ln A", "B": "ln B"}
# Coefficients that a picture rests on, where those are not all.
OF_PART = {"quality": (), "optima": ("A", "B", "alpha", "beta")}
PICTURES: Mapping[str, Callable[[Outcome], "Figure | None"]] = {
    "quality": _quality,
    "contours": _contours,
    "isoflops": _isoflops,
    "pairs": _pairs,
    "optima": _optima,
}
