"""A pair plot of the coefficients of resampled fits: spread, skew and correlation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxscale._numerics.quantities import short_scientific
from jaxscale.plots.fields import FILL
from jaxscale.plots.frame import INK, LINE, dress, same_length, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 1.55  # inches
BINS = 40
LEVEL = 0.95  # of the interval between the dashed lines
FRAME_SHARE = 0.996  # of the draws lies inside each axis
SHARES = (0.95, 0.5)  # of the draws inside each contour
FEWEST = 200  # draws; a density of fewer says little
GRID = 48  # cells of the density, along each side
SLENDER = 0.99  # correlation from which the lines around a cloud would hide it
REACH = 4.5  # of the grid to each side, in standard deviations of the draws
COARSE = 0.04  # share of the draws in one cell from which on the grid is too coarse for them
SMOOTHING = 1.6  # of the density, in cells
BEST = "#d55e00"


def pair_panels(
    draws: Mapping[str, ArrayLike],
    best: Mapping[str, float],
    *,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """A panel for each pair of coefficients, by label, and on the diagonal each on its own.

    `best` is the fit itself, drawn as orange lines; above the diagonal stand correlations. Dashed
    lines are ends of the 95 % interval. Raises ValueError for draws that do not fit,
    ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> rng = np.random.default_rng(0)
        >>> draws = {"alpha": rng.normal(0.35, 0.01, 200), "beta": rng.normal(0.37, 0.01, 200)}
        >>> figure = pair_panels(draws, best={"alpha": 0.35, "beta": 0.37})
    """
    labels = list(draws)
    if set(labels) != set(best) or not labels:
        raise ValueError(f"draws and best must have the same labels; got {labels}, {list(best)}")
    columns = dict(zip(labels, same_length(**draws), strict=True))
    size = CELL * len(labels)
    figure = titled((size + 0.6, size + 0.5), title, subtitle)
    panels = figure.subplots(len(labels), len(labels), squeeze=False, sharex="col")
    for row, below in enumerate(labels):
        for column, across in enumerate(labels):
            panel = panels[row, column]
            pair = columns[across], columns[below]
            if column < row:
                _draw_pair(panel, *pair, best[across], best[below])
            elif column == row:
                _draw_spread(panel, pair[0], best[across])
            else:
                _write_correlation(panel, *pair)
            _label(panel, row, column, len(labels), across, below)
    return figure


def _draw_pair(panel: "Axes", x: Any, y: Any, best_x: float, best_y: float) -> None:
    dress(panel, "")
    faint = max(0.06, min(0.6, 150 / x.size))
    panel.plot(x, y, ".", color=FILL, alpha=faint, markersize=2.5, rasterized=True, zorder=1)
    limits = _limits(x), _limits(y)
    if x.size >= FEWEST and abs(_correlation(x, y)) < SLENDER:
        _draw_contours(panel, np.stack([x, y]))
    panel.axvline(best_x, color=BEST, linewidth=0.8, zorder=3)
    panel.axhline(best_y, color=BEST, linewidth=0.8, zorder=3)
    panel.set(xlim=limits[0], ylim=limits[1])


def _draw_contours(panel: "Axes", pairs: np.ndarray) -> None:
    """Lines around the densest regions, which hold half and 95 % of the draws.

    The density is counted along the axes of the cloud: on a grid along those of the panel,
    smoothing would widen a narrow slanting one.
    """
    centre = pairs.mean(axis=1, keepdims=True)
    spreads, axes = np.linalg.eigh(np.cov(pairs))
    turn = axes * np.sqrt(np.maximum(spreads, 1e-12 * spreads.max()))
    x, y = np.linalg.solve(turn, pairs - centre)
    counts, x_edges, y_edges = np.histogram2d(x, y, GRID, range=[(-REACH, REACH)] * 2)
    if counts.max() > COARSE * pairs.shape[1]:
        return
    density = _smoothed(counts)
    ordered = np.sort(density.ravel())[::-1]
    inside = np.cumsum(ordered) / ordered.sum()
    levels = [float(ordered[np.searchsorted(inside, share)]) for share in SHARES]
    if 0 < levels[0] < levels[1]:
        middles = [(edges[1:] + edges[:-1]) / 2 for edges in (x_edges, y_edges)]
        grid = np.stack(np.meshgrid(*middles, indexing="ij"))
        points = centre[:, :, None] + np.einsum("ij,jkl->ikl", turn, grid)
        panel.contour(*points, density, levels, colors=INK, linewidths=(0.6, 0.9), zorder=2)


def _smoothed(counts: np.ndarray) -> np.ndarray:
    reach = np.arange(-5, 6)
    kernel = np.exp(-((reach / SMOOTHING) ** 2) / 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel, mode="same")
    return counts


def _draw_spread(panel: "Axes", x: Any, best: float) -> None:
    dress(panel, "")
    low, high = np.quantile(x, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    panel.hist(x, BINS if x.size >= FEWEST else 10, range=_limits(x), color=FILL)
    panel.axvline(best, color=BEST, linewidth=1.2)
    for end in (low, high):
        panel.axvline(end, color=INK, linewidth=0.8, linestyle="--")
    panel.set_xlim(_limits(x))
    panel.set_yticks([])
    panel.set_title(f"{_digits(best)} ({_digits(low)} to {_digits(high)})", fontsize=7.5, color=INK)


def _write_correlation(panel: "Axes", x: Any, y: Any) -> None:
    panel.set_axis_off()
    correlation = _correlation(x, y)
    panel.text(
        0.5,
        0.5,
        f"{correlation:+.2f}",
        transform=panel.transAxes,
        ha="center",
        va="center",
        # Darker for stronger correlations, but always dark enough to read.
        alpha=0.45 + 0.55 * abs(correlation),
        fontsize=11,
        color=LINE,
    )


def _correlation(x: Any, y: Any) -> float:
    """Correlation of two columns; 0 where one of them does not vary."""
    varies = min(np.ptp(x), np.ptp(y)) > 0
    return float(np.corrcoef(x, y)[0, 1]) if varies else 0.0


def _digits(x: float) -> str:
    """Text of three digits, with trailing zeros."""
    return f"{x:#.3g}".rstrip(".") if 1e-3 <= abs(x) < 1000 else short_scientific(x)


def _limits(x: Any) -> tuple[float, float]:
    """Ends that hold most draws, and stay apart where these differ by rounding alone."""
    tail = (1 - FRAME_SHARE) / 2
    low, high = np.quantile(x, [tail, 1 - tail])
    middle = float(low + high) / 2
    reach = max(0.55 * float(high - low), 1e-6 * abs(middle), 1e-9)
    return middle - reach, middle + reach


def _label(panel: "Axes", row: int, column: int, count: int, across: str, below: str) -> None:
    """Names and numbers at the left and the bottom alone."""
    panel.locator_params(nbins=3)
    panel.tick_params(labelsize=7, labelbottom=row == count - 1, labelleft=column == 0 < row)
    if row == count - 1:
        panel.set_xlabel(across, fontsize=9, color=INK)
    if column == 0:
        panel.set_ylabel(below, fontsize=9, color=INK)
