"""Checks for columns in another unit than stated, in all rows or in some."""

from collections.abc import Iterator

import numpy as np

from jaxscale.fitting._suspicions.sheet import Sheet, Suspicion

# Medians below or above these are counts of something else, or in another unit.
SMALL = {"params": 1e4, "tokens": 1e6}
LARGE = {"params": 1e14, "tokens": 1e17}
# Medians of tokens per param. Sardana et al. 2024 went to 10,000 with single runs, Hoffmann et
# al. 2022 to 0.04; the medians of published tables lie from 1 to 500.
SHORTEST, LONGEST = 0.1, 3000.0
IMPOSSIBLE = 0.01  # tokens per param of single runs, apart from all others
USUAL = 20.0
# Rows below these, by a factor that no series of sizes leaves open, are in another unit.
APART = {"params": 1e6, "tokens": 1e8}
GAP = 30.0
RATIO_GAP = 100.0  # the same in tokens per param, of trainings short and long
LARGEST_LOSS, SMALLEST_LOSS = 12.0, 0.3  # nats: above ln of any vocabulary; below any text
UNITS = {3: "thousands", 6: "millions", 9: "billions", 12: "trillions"}


def units(sheet: Sheet) -> Iterator[Suspicion]:
    """Rows of another unit than the rest; failing those, a column of another unit."""
    mixed = list(_mixed(sheet))
    yield from mixed or _whole(sheet)


def losses(sheet: Sheet) -> Iterator[Suspicion]:
    """Losses that are hardly nats per token."""
    loss = sheet.columns["loss"]
    odd = (loss > LARGEST_LOSS) | (loss < SMALLEST_LOSS)
    if odd.any():
        yield sheet.suspicion(
            "units",
            f"losses from {loss.min():.3g} to {loss.max():.3g} are hardly nats per token ({{rows}})"
            ": give the loss unit 'perplexity' or 'bits' if that is what they are",
            odd,
        )


# --- Some rows -------------------------------------------------------------------------------


def _mixed(sheet: Sheet) -> Iterator[Suspicion]:
    odd = dict([_odd_ratios(sheet)])
    if not any(mask.any() for mask in odd.values()):  # or both columns of a row are in other units
        odd = {name: _small_rows(sheet.columns[name], APART[name]) for name in APART}
    for name, mask in odd.items():
        if mask.any():
            column = np.log10(sheet.columns[name])
            powers = np.median(column[mask]) - np.median(column[~mask])
            yield sheet.suspicion(
                "units",
                f"{mask.sum()} of {len(sheet)} cells of column {sheet.names[name]!r} seem to count "
                f"{_unit(-powers)} ({{rows}}), the others do not: write all in one unit",
                mask,
            )


def _small_rows(column: np.ndarray, limit: float) -> np.ndarray:
    """Rows too small for counts, and far below the others; none where all are small."""
    low = column < limit
    if low.any() and not low.all() and column[~low].min() >= GAP * column[low].max():
        return low
    return np.zeros(len(column), bool)


def _odd_ratios(sheet: Sheet) -> tuple[str, np.ndarray]:
    """The column that is too small in rows whose tokens per param are impossible, and the rows."""
    ratio = sheet.tokens_per_param
    low, gap = _below_widest_gap(np.log10(ratio))
    nothing = np.zeros(len(sheet), bool)
    if gap < np.log10(RATIO_GAP):
        return "params", nothing
    below, above = (float(np.median(ratio[side])) for side in (low, ~low))
    # Tokens are too small where the ratio is, params where it is too large.
    if below < IMPOSSIBLE <= above <= LONGEST:
        return "tokens", low
    if IMPOSSIBLE <= below <= LONGEST < above:
        return "params", ~low
    return "params", nothing


def _below_widest_gap(logs: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows below the widest gap between neighbours in order, and its width; none for one value."""
    order = np.unique(logs)
    if order.size < 2:
        return np.zeros(len(logs), bool), 0.0
    widest = int(np.argmax(np.diff(order)))
    return logs <= order[widest], float(order[widest + 1] - order[widest])


# --- A whole column --------------------------------------------------------------------------


def _whole(sheet: Sheet) -> Iterator[Suspicion]:
    every = np.ones(len(sheet), bool)
    medians = {name: float(np.median(sheet.columns[name])) for name in SMALL}
    odd = {name: x for name, x in medians.items() if not SMALL[name] <= x <= LARGE[name]}
    ratio = float(np.median(sheet.tokens_per_param))
    if len(odd) < 2 and not SHORTEST <= ratio <= LONGEST:
        yield sheet.suspicion("units", f"{_ratio(ratio)}: {_blame(sheet, ratio)}", every)
        return
    for name, median in odd.items():
        yield sheet.suspicion("units", f"{_size(name, median)}: {_why(sheet, name, median)}", every)


def _size(name: str, median: float) -> str:
    end = "most" if median < SMALL[name] else "least"
    return f"half of the runs ({{rows}}) have at {end} {median:.3g} {name}"


def _why(sheet: Sheet, name: str, median: float) -> str:
    if median > LARGE[name]:
        return _applied(sheet, name)
    return f"if column {sheet.names[name]!r} counts millions or billions, say so by its unit"


def _ratio(ratio: float) -> str:
    more = "over" if ratio > LONGEST else "under"
    return f"half of the runs ({{rows}}) have {more} {ratio:.1e} tokens per param"


def _blame(sheet: Sheet, ratio: float) -> str:
    """The column whose unit explains the ratio."""
    small, large = ("params", "tokens") if ratio > LONGEST else ("tokens", "params")
    if sheet.units[large] > 1:
        return _applied(sheet, large)
    return (
        f"column {sheet.names[small]!r} seems to count {_unit(abs(np.log10(ratio / USUAL)))}: say "
        "so by its unit"
    )


def _applied(sheet: Sheet, name: str) -> str:
    unit = sheet.units[name]
    if unit > 1:
        return (
            f"the {name} unit of {unit:g} was applied to column {sheet.names[name]!r}, which seems "
            "to hold counts already: leave it out"
        )
    return f"column {sheet.names[name]!r} seems to hold something else than {name}"


def _unit(powers: float) -> str:
    """Thousands, millions and so on by the nearest power of a thousand."""
    return UNITS[int(np.clip(3 * np.round(powers / 3), 3, 12))]
