"""Plans whose serving is priced by size, beside those of an assumed utilisation."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxscale._numerics.quantities import short
from jaxscale.plots.frame import (
    DASHED,
    FRAME,
    LINES,
    count_axis,
    dress,
    grid,
    label,
    legend_below,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (10.8, 3.9)  # inches
ASSUMED = {"color": LINES[1], "linewidth": 1.9, "linestyle": DASHED, "zorder": 3}
SERVED = {"color": LINES[0], "linewidth": 1.9, "zorder": 4}


def serving_prices(
    tokens: ArrayLike,
    assumed: Any,
    served: Any,
    repriced: Any,
    *,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Params and cost of plans with either price of serving, against the tokens that they serve.

    `assumed` has the plans for costs of a fixed utilisation (`Costs.on`), `served` those for prices
    by size (`Costs.served`), and `repriced` is the first evaluated with the second prices: the last
    panel has what it costs more than the best plan. Each has one plan for each of `tokens`, in
    rising order; NaN leaves a gap. Raises ValueError for plans of another shape, ImportError
    without matplotlib.

    Examples:
        >>> law, h100 = js.laws.published("sardana2024"), js.accelerator("H100-SXM", price=2.0)
        >>> family, requests = js.architectures.LLAMA, js.serving.Requests(1000, 200)
        >>> by_size = js.Costs.served(family, h100, requests, train=h100, counts=[1])
        >>> tokens = np.geomspace(1e10, 1e14, 5)
        >>> demand = js.Demand(tokens * 5 / 6, tokens / 6)
        >>> assumed = js.minimize_cost(law, 2.1, demand, js.Costs.on(train=h100, serve=h100))
        >>> served = js.minimize_cost(law, 2.1, demand, by_size)
        >>> repriced = js.evaluate(law, assumed.params, assumed.tokens, demand, by_size)
        >>> figure = js.plots.serving_prices(tokens, assumed, served, repriced)
    """
    tokens = np.asarray(tokens, float)
    plans = {"assumed": assumed, "served": served, "repriced": repriced}
    params = {name: _of(name, plan.params, tokens) for name, plan in plans.items()}
    costs = {name: _of(name, plan.total_cost, tokens) for name, plan in plans.items()}
    figure = titled(SIZE, title or "Serving priced two ways", subtitle)
    sizes, prices, excess = figure.subplots(1, 3)
    dress(sizes, "size of the cheapest model")
    dress(prices, "its cost, as each prices it")
    dress(excess, "what it costs to assume")
    for panel, values in ((sizes, params), (prices, costs)):
        panel.set(xscale="log", yscale="log")
        panel.plot(tokens, values["assumed"], label="utilisation assumed", **ASSUMED)
        panel.plot(tokens, values["served"], label="priced by size", **SERVED)
        low, high = panel.get_ylim()
        count_axis(panel.yaxis, math.log10(high / low))
    excess.set_xscale("log")
    excess.axhline(0, color=FRAME, linewidth=0.8, zorder=1)
    excess.plot(tokens, 100 * (costs["repriced"] / costs["served"] - 1), **ASSUMED)
    label(sizes, y="params")
    label(prices, y="training and serving")
    prices.yaxis.set_major_formatter(lambda x, _: f"${short(x)}")
    label(excess, y="above the best plan, priced by size (%)")
    for panel in (sizes, prices, excess):
        _frame(panel, tokens)
    legend_below(figure, sizes)
    return figure


def _of(name: str, values: Any, tokens: np.ndarray) -> np.ndarray:
    """The numbers of a plan, one for each of the tokens."""
    numbers = np.asarray(values, float)
    if tokens.ndim != 1 or numbers.shape != tokens.shape:
        raise ValueError(
            f"{name} must have one plan for each of tokens, of shape {tokens.shape}; got "
            f"{numbers.shape}"
        )
    return numbers


def _frame(panel: "Axes", tokens: np.ndarray) -> None:
    panel.set_xlim(tokens[0], tokens[-1])
    count_axis(panel.xaxis, math.log10(tokens[-1] / tokens[0]))
    grid(panel)
    label(panel, "tokens read and written", panel.get_ylabel())
