"""Contours of equal loss of one or several laws, with their compute-optimal paths."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxscale import laws as catalogue
from jaxscale._numerics.names import hint
from jaxscale._numerics.quantities import short
from jaxscale.laws.protocol import Law, caution_of, levers_of, loss_scale
from jaxscale.plots.law_maps import LawPanel, OptimalPath, laws_compared
from jaxscale.published import Entry
from jaxscale.solve import minimize_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 90  # points along each side of a map
BUDGETS = np.geomspace(1e18, 1e25, 320)  # of compute-optimal paths
ROOM = 2.5  # factor around the paths on a map
# Ranges of the axes where no law has a compute-optimal path.
PARAMS, TOKENS = (1e8, 1e12), (1e9, 1e13)

Range = tuple[float, float]
LawLike = Law | Entry | str

TITLE = "Equal losses, and where to spend compute"
TITLES = "Where laws put equal losses, and where each would spend compute"


class _Named(NamedTuple):
    """A law with the levers that it is drawn at, and its entry if it has one."""

    name: str
    law: Any
    entry: Entry | None
    levers: dict[str, float]


def iso_loss(
    laws: LawLike | Iterable[LawLike] | Mapping[str, LawLike],
    *,
    levers: Mapping[str, float] | None = None,
    params: Range | None = None,
    tokens: Range | None = None,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Contours of equal loss over params and training tokens, a panel for each law.

    All panels have the same axes and the same losses. Each shows the compute-optimal path of its
    law, for 1e18 to 1e25 FLOPs of training, and faintly those of the others. `laws` is a law, a
    published name or an entry, several of them, or a dict of any of them by title. Entries also
    show the range of their runs, beyond which the path is dashed. `levers` has a value for each
    lever of the laws; `params` and `tokens` are (lowest, highest) of the axes.

    Raises TypeError or ValueError naming the argument, ImportError without matplotlib.

    Examples:
        >>> ours = js.laws.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
        >>> figure = js.plots.iso_loss({"ours": ours, "Besiroglu": "besiroglu2024"})
        >>> figure = js.plots.iso_loss("kumar2024", levers={"bits": 8})
    """
    named = named_laws(laws, levers or {})
    plans = [minimize_loss(each.law, BUDGETS, levers=each.levers) for each in named]
    across = _axis("params", params, [plan.params for plan in plans], PARAMS)
    up = _axis("tokens", tokens, [plan.tokens for plan in plans], TOKENS)
    panels = [_panel(*each, across, up) for each in zip(named, plans, strict=True)]
    return laws_compared(
        across,
        up,
        panels,
        title=title or (TITLES if len(named) > 1 else TITLE),
        subtitle=subtitle or "; ".join(_remarks(named)),
    )


def named_laws(laws: Any, levers: Mapping[str, float]) -> list[_Named]:
    """The laws with names that differ, and the levers of each."""
    pairs = list(_pairs(laws))
    if not pairs:
        raise ValueError("laws must hold at least one law; got none")
    known = sorted({name for _, law, _ in pairs for name in levers_of(law)})
    for lever, value in levers.items():
        if lever not in known:
            raise ValueError(f"levers: no law here has {lever!r}{hint(lever, known)}")
        if not isinstance(value, Real | np.ndarray | jax.Array) or np.ndim(value):
            raise TypeError(f"lever {lever} must be one number; got {value!r}")
    seen: Counter[str] = Counter()
    named = []
    for name, law, entry in pairs:
        seen[name] += 1
        title = name if seen[name] == 1 else f"{name} ({seen[name]})"
        named.append(_Named(title, law, entry, _levers(name, law, levers)))
    return named


def _pairs(laws: Any) -> Iterator[tuple[str, Any, Entry | None]]:
    if isinstance(laws, Mapping):
        for name, value in laws.items():
            yield str(name), *_law_and_entry(value)
        return
    for value in laws if _is_list(laws) else [laws]:
        law, entry = _law_and_entry(value)
        yield (entry.name if entry else type(law).__name__), law, entry


def _is_list(laws: Any) -> bool:
    return isinstance(laws, Iterable) and not isinstance(laws, str) and not _is_law(laws)


def _law_and_entry(value: Any) -> tuple[Any, Entry | None]:
    entry = catalogue.entry(value) if isinstance(value, str) else value
    law = entry.law if isinstance(entry, Entry) else value
    if not _is_law(law):
        raise TypeError(
            "laws must be laws, entries or published names, such as 'sardana2024', in a list or "
            f"a dict; got {value!r} ({type(value).__name__})"
        )
    shape = next((np.shape(leaf) for leaf in jax.tree.leaves(law) if np.ndim(leaf)), None)
    if shape is not None:
        raise ValueError(f"laws must each have one value of a coefficient; got shape {shape}")
    return law, entry if isinstance(entry, Entry) else None


def _is_law(value: Any) -> bool:
    return not isinstance(value, type) and callable(getattr(value, "loss", None))


def _levers(name: str, law: Any, levers: Mapping[str, float]) -> dict[str, float]:
    """The values of the law's own levers; ValueError for one without a value."""
    missing = ", ".join(lever for lever in levers_of(law) if lever not in levers)
    if missing:
        example = f"levers={{{missing.split(', ')[0]!r}: ...}}"
        raise ValueError(f"{name} also depends on {missing}: give a value, {example}")
    return {lever: float(levers[lever]) for lever in levers_of(law)}


def _axis(name: str, ends: Range | None, paths: list[Any], default: Range) -> np.ndarray:
    """Sizes along one axis: between the ends given, else around all paths."""
    if ends is not None:
        low, high = np.broadcast_to(np.asarray(ends, float), 2) if np.size(ends) == 2 else (0, 0)
        if not 0 < low < high < np.inf:
            raise ValueError(f"{name} must be (lowest, highest), both above zero; got {ends!r}")
        return np.geomspace(low, high, SIDE)
    sizes = np.concatenate([np.asarray(path) for path in paths])
    sizes = sizes[np.isfinite(sizes)]
    low, high = (sizes.min() / ROOM, sizes.max() * ROOM) if sizes.size else default
    return np.geomspace(low, high, SIDE)


def _panel(named: _Named, plan: Any, params: np.ndarray, tokens: np.ndarray) -> LawPanel:
    entry = named.entry
    fitted = None if entry is None else _fitted_range(entry, params)
    return LawPanel(
        named.name,
        np.asarray(named.law.loss(params, tokens[:, None], **named.levers)),
        OptimalPath(BUDGETS, np.asarray(plan.params), np.asarray(plan.tokens)),
        np.full(BUDGETS.size, True) if entry is None else np.asarray(entry.in_range(plan)),
        fitted,
        "" if entry is None or fitted else "fitted range not known",
        loss_scale(named.law, named.entry),
    )


def _fitted_range(entry: Entry, params: np.ndarray) -> tuple[Any, Any, Any] | None:
    """Params, and the fewest and the most tokens of runs of each size."""
    if entry.params_range is None or entry.tokens_range is None:
        return None
    low, high = entry.params_range
    # With the range's own corners, so that it ends at them.
    x = np.unique(np.concatenate([params, [low, high]]))
    x = x[(x >= low) & (x <= high)]
    fewest, most = (np.full(x.size, end) for end in entry.tokens_range)
    if entry.tokens_per_param_range is not None:
        fewest = np.maximum(fewest, entry.tokens_per_param_range[0] * x)
        most = np.minimum(most, entry.tokens_per_param_range[1] * x)
    return x, fewest, most


def _remarks(named: list[_Named]) -> Iterator[str]:
    """What to know of the laws and their levers, for the subtitle."""
    if len(named) > 1 and any(each.entry for each in named):
        yield "Losses of different laws are not comparable: data and tokenizers differ"
    levers = {name: value for each in named for name, value in each.levers.items()}
    if levers:
        yield ", ".join(f"{name} = {short(value)}" for name, value in levers.items())
    for each in named:
        if caution_of(each.law):
            yield f"{each.name}: {caution_of(each.law)}"
        if scale := loss_scale(each.law, each.entry):
            yield f"{each.name}: loss {scale}"
