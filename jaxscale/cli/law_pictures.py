"""Pictures of laws: what each is handed, solved for here, and where it goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import jaxscale as js
from jaxscale import plots
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.named_law import NamedLaw, read_law
from jaxscale.cli.pictures import save
from jaxscale.laws.kaplan import Kaplan
from jaxscale.laws.protocol import TRAIN_FLOPS, levers_of

POINTS = 160  # of a curve
SIDE = 90  # points along each side of a map
BUDGETS = np.geomspace(1e18, 1e25, 2 * POINTS)  # of compute-optimal paths
ROOM = 2.5  # factor around the paths on a map

REPEATED = "muennighoff2023_repeated"
UNIQUE = np.geomspace(1e9, 1e13, 2 * POINTS)
REPEATED_BUDGETS = np.array([1e20, 1e21, 1e22, 1e23, 1e24])
MOST_EPOCHS = 100.0  # beyond, the law finds next to nothing in a repeat

OVERTRAINED = "gadre2024_c4"
RATIOS = np.geomspace(1, 3000, POINTS)
OVERTRAINED_BUDGETS = np.array([1e18, 1e19, 1e20, 1e21, 1e22])
OVERTRAINED_SIZES = np.array([1e8, 4e8, 1.4e9, 6.9e9])


def draw_comparison(names: Sequence[str], path: Path) -> None:
    """Write a picture of the laws, as `--law` takes them, in panels of equal axes.

    Raises Mistake for an unknown law, for one with levers and where there is no file to write.
    """
    laws = [_of_sizes_alone(read_law(name)) for name in names]
    plans = [js.minimize_loss(named.law, BUDGETS) for named in laws]
    params = _around(np.stack([plan.params for plan in plans]))
    tokens = _around(np.stack([plan.tokens for plan in plans]))
    panels = [_panel(*each, params, tokens) for each in zip(laws, plans, strict=True)]
    save(
        plots.laws_compared(
            params,
            tokens,
            panels,
            title="Where laws put equal losses, and where each would spend compute",
            subtitle="; ".join(_cautions(laws)),
        ),
        path,
    )


def draw_data_constrained(path: Path) -> None:
    """Write a picture of the best plans where unique tokens are few (Muennighoff et al. 2023)."""
    law: Any = js.laws.published(REPEATED)
    plan = js.minimize_loss(law, REPEATED_BUDGETS[:, None], levers={"unique_tokens": UNIQUE})
    free = js.minimize_loss(law.base(), REPEATED_BUDGETS)
    save(
        plots.data_constrained(
            UNIQUE,
            REPEATED_BUDGETS,
            plan,
            free,
            max_epochs=MOST_EPOCHS,
            title="The best plan of a budget when tokens must be read again",
            subtitle=f"law {REPEATED}; lines end at {MOST_EPOCHS:g} epochs; the law knows waste, "
            "and no harm from repetition",
        ),
        path,
    )


def draw_overtraining(path: Path) -> None:
    """Write a picture of loss and error on tasks by tokens per param (Gadre et al. 2024)."""
    entry = js.laws.entry(OVERTRAINED)
    assert entry.tokens_per_param_range is not None  # the source gives it
    best = js.minimize_loss(entry.law, OVERTRAINED_BUDGETS)
    flops = TRAIN_FLOPS * OVERTRAINED_SIZES[:, None] ** 2 * RATIOS
    by_budget, by_size = (
        js.laws.loss_at_ratio(entry.law, each, RATIOS)
        for each in (OVERTRAINED_BUDGETS[:, None], flops)
    )
    save(
        plots.overtraining(
            RATIOS,
            (OVERTRAINED_BUDGETS, by_budget),
            (OVERTRAINED_SIZES, by_size),
            best,
            error=js.downstream(OVERTRAINED).error,
            fitted=entry.tokens_per_param_range,
            title="What over-training costs at a budget, and gains at a size",
            subtitle=f"law {OVERTRAINED}: loss on C4, mean top-1 error of 17 tasks; "
            "its optimum lies outside the fitted range: choose no size by it",
        ),
        path,
    )


def _of_sizes_alone(named: NamedLaw) -> NamedLaw:
    levers = ", ".join(levers_of(named.law))
    if levers:
        raise Mistake(
            f"{named.name} also depends on {levers}: it cannot be drawn over params alone"
        )
    return named


def _around(sizes: np.ndarray) -> np.ndarray:
    return np.geomspace(np.nanmin(sizes) / ROOM, np.nanmax(sizes) * ROOM, SIDE)


def _panel(named: NamedLaw, plan: js.Plan, params: Any, tokens: Any) -> plots.LawPanel:
    entry = named.entry
    path = plots.OptimalPath(BUDGETS, np.asarray(plan.params), np.asarray(plan.tokens))
    inside = np.zeros(BUDGETS.size, bool) if entry is None else np.asarray(entry.in_range(plan))
    fitted = _fitted_range(named, params)
    return plots.LawPanel(
        named.name,
        np.asarray(named.law.loss(params, tokens[:, None])),
        path,
        inside,
        fitted,
        "" if fitted else "fitted range not known",
    )


def _fitted_range(named: NamedLaw, params: Any) -> tuple[Any, Any, Any] | None:
    """Params, and the fewest and the most tokens of runs of each size."""
    entry = named.entry
    if entry is None or entry.params_range is None or entry.tokens_range is None:
        return None
    low, high = entry.params_range
    # Its own corners too, so that the ends of the range stand where they are.
    x = np.unique(np.concatenate([params, [low, high]]))
    x = x[(x >= low) & (x <= high)]
    fewest, most = (np.full(x.size, end) for end in entry.tokens_range)
    if entry.tokens_per_param_range is not None:
        fewest = np.maximum(fewest, entry.tokens_per_param_range[0] * x)
        most = np.minimum(most, entry.tokens_per_param_range[1] * x)
    return x, fewest, most


def _cautions(laws: Sequence[NamedLaw]) -> list[str]:
    """What a reader must know before reading one panel against another."""
    cautions = ["Losses of different laws are not comparable: data and tokenizers differ"]
    for named in laws:
        if isinstance(named.law, Kaplan):
            cautions.append(
                f"{named.name}: embeddings not counted, and its path is that of eq. 1.5, "
                "not the allocation that its authors give"
            )
    return cautions
