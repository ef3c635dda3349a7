"""Checks for columns in another unit than stated, in all rows or in some."""

from collections.abc import Iterator

import numpy as np

from jaxscale.fitting._suspicions._expected import excess
from jaxscale.fitting._suspicions._names import stated_unit
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
# Logarithms of losses over those that sizes lead one to expect: most of a column in a smaller
# unit, single rows at most, counts at most, and between rows in a smaller unit and counts.
LOW, LOWEST, NEAR, BETWEEN = -0.5, -0.25, 0.35, 0.2
FEWEST_IN_THOUSANDS = 3  # rows: one or two short trainings may have a loss too low for that law
EXPLAINED = 0.9  # share of odd rows that one unit brings near
OUTSIDE = 0.5  # share of odd rows outside the tokens per param of all others
BELOW_COUNTS = {"params": 1e6, "tokens": 1e8}  # medians that a stated unit explains
UNITS = {3: "thousands", 6: "millions", 9: "billions", 12: "trillions"}


def units(sheet: Sheet) -> Iterator[Suspicion]:
    """Rows of another unit than the rest; failing those, a column of another unit."""
    mixed = list(_mixed(sheet))
    stated = list(_stated(sheet))
    yield from mixed or stated or _whole(sheet)


def _excess(sheet: Sheet, powers: dict[str, int] | None = None) -> np.ndarray:
    """Logarithms of losses over those expected, were columns larger by powers of ten."""
    params, tokens = (
        sheet.columns[name] * 10.0 ** (powers or {}).get(name, 0) for name in ("params", "tokens")
    )
    return excess(params, tokens, sheet.columns["loss"])


def _powers() -> Iterator[dict[str, int]]:
    """Units that columns may count, as powers of ten; those of one column first."""
    for power in UNITS:
        yield {"params": power}
        yield {"tokens": power}
    for power in UNITS:
        for other in UNITS:
            yield {"params": power, "tokens": other}


def _explained(sheet: Sheet, odd: np.ndarray, both: bool) -> dict[str, int]:
    """The units of columns in which losses of the odd rows are near those expected; or none."""
    for powers in _powers():
        if len(powers) == 1 or both:
            near = np.abs(_excess(sheet, powers)[odd]) < NEAR
            if near.mean() >= EXPLAINED:
                return powers
    return {}


# --- Some rows -------------------------------------------------------------------------------


def _mixed(sheet: Sheet) -> Iterator[Suspicion]:
    odd = _low_for_their_losses(sheet)
    if not odd:
        odd = dict([_odd_ratios(sheet)])
    if not any(mask.any() for mask in odd.values()):  # or both columns of a row are in other units
        odd = {name: _small_rows(sheet.columns[name], APART[name]) for name in APART}
    over = _excess(sheet)
    for name, mask in odd.items():
        if mask.any() and abs(np.median(over[mask])) > NEAR:  # else losses are as sizes say
            column = np.log10(sheet.columns[name])
            powers = np.median(column[mask]) - np.median(column[~mask])
            yield sheet.suspicion(
                "units",
                f"{mask.sum()} of {len(sheet)} cells of column {sheet.names[name]!r} seem to count "
                f"{_unit(-powers)} ({{rows}}), the others do not: write all in one unit",
                mask,
            )


def _low_for_their_losses(sheet: Sheet) -> dict[str, np.ndarray]:
    """Rows whose sizes are too small for their losses, by the columns that another unit mends."""
    over = _excess(sheet)
    order = np.sort(over)
    ends = np.flatnonzero((np.diff(order) > BETWEEN) & (order[:-1] < LOWEST))
    for end in order[ends[::-1]]:  # the most rows first
        odd = over <= end
        powers = _explained(sheet, odd, both=True)
        if abs(np.median(over[~odd])) < NEAR and _is_apart(sheet, odd, powers):
            return {name: odd for name in powers}
    return {}


def _is_apart(sheet: Sheet, odd: np.ndarray, powers: dict[str, int]) -> bool:
    """Whether the odd rows lie outside the others, of which tables of short trainings are one."""
    if not powers:
        return False
    if len(powers) > 1:
        return all(_small_rows(sheet.columns[name], np.inf)[odd].all() for name in powers)
    if odd.sum() < FEWEST_IN_THOUSANDS and max(powers.values()) == 3:
        return False
    ratio = sheet.tokens_per_param
    low, high = ratio[~odd].min(), ratio[~odd].max()
    beyond = ratio[odd] > high if "params" in powers else ratio[odd] < low
    return bool(beyond.mean() > OUTSIDE)


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


# --- Units by name ----------------------------------------------------------------------------


def _stated(sheet: Sheet) -> Iterator[Suspicion]:
    """Columns whose names state another unit than they were read in."""
    for name, limit in BELOW_COUNTS.items():
        column, unit = sheet.names[name], sheet.units[name]
        said = stated_unit(column)
        if said is None or np.isclose(said, unit):
            continue
        if unit == 1 and not _is_small(sheet, name, limit, said):
            continue  # counts, whatever the name says
        read = "as counts" if unit == 1 else f"with the unit {unit:g}"
        yield sheet.suspicion(
            "units",
            f"column {column!r} states a unit of {said:g} by its name and was read {read} "
            f"({{rows}}): give the {name} unit {said:g}",
            np.ones(len(sheet), bool),
        )


def _is_small(sheet: Sheet, name: str, limit: float, unit: float) -> bool:
    """Whether a column is too small for counts, or fits the losses better in another unit."""
    if np.median(sheet.columns[name]) < limit:
        return True
    as_counts, in_units = (
        abs(np.median(_excess(sheet, powers))) for powers in ({}, {name: round(np.log10(unit))})
    )
    return in_units < NEAR < as_counts


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
    low = _excess(sheet) < LOW
    if not odd and low.mean() > EXPLAINED:
        for name, power in _explained(sheet, low, both=False).items():
            if not _is_likelier(ratio, name, power):
                continue
            yield sheet.suspicion(
                "units",
                "losses are far below those of models so small, or trained so shortly ({rows}): "
                f"column {sheet.names[name]!r} seems to count {UNITS[power]}: say so by its unit",
                every,
            )


def _is_likelier(ratio: float, name: str, power: int) -> bool:
    """Whether tokens per param are nearer the usual ones were a column larger by a power of ten."""
    usual = np.log10(ratio / USUAL)
    return abs(usual + (power if name == "tokens" else -power)) < abs(usual)


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
