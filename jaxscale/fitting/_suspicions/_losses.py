"""Checks for losses in another unit than nats per token, and of runs that diverged."""

from collections.abc import Iterator

import numpy as np

from jaxscale.fitting._suspicions._expected import excess
from jaxscale.fitting._suspicions._names import states_bits
from jaxscale.fitting._suspicions.sheet import Sheet, Suspicion

LARGEST_LOSS, SMALLEST_LOSS = 12.0, 0.3  # nats: above ln of any vocabulary; below any text
# Logarithms of losses over those expected, in the median. exp(loss) is at least e times the loss;
# bits per byte are a third of nats per token.
TOO_HIGH, TOO_LOW = np.log(2), np.log(0.45)
NATS_APART = 0.4  # the same between rows of two units of loss
SHARE = 0.2  # least share of rows of either unit
# Above what neighbours have: the farthest run of Hoffmann et al. 2022 is at 1.3.
FAR = np.log(1.35)
NEIGHBOURS = 5
FEWEST = 8  # rows with neighbours
MOST_DIVERGED = 0.2  # of all rows: beyond, something else is odd
TRIPS = 30  # of reweighted least squares, each of which halves what is left of the error


def losses(sheet: Sheet) -> Iterator[Suspicion]:
    """Losses that are hardly nats per token, by name or by size."""
    loss, every = sheet.columns["loss"], np.ones(len(sheet), bool)
    name = sheet.names["loss"]
    if sheet.units.get("loss", 1.0) == 1.0 and states_bits(name):
        yield sheet.suspicion(
            "units",
            f"column {name!r} is named for bits and was read as nats per token ({{rows}}): give "
            "the loss unit 'bits' if they are per token; bits per byte take the bytes per token, "
            "too",
            every,
        )
        return
    odd = (loss > LARGEST_LOSS) | (loss < SMALLEST_LOSS)
    over = _excess(sheet)
    middle = float(np.median(over))
    perplexities = _perplexities(sheet, over)
    if perplexities.any():
        yield sheet.suspicion(
            "units",
            f"{perplexities.sum()} of {len(sheet)} losses seem to be perplexities ({{rows}}), the "
            "others do not: take their logarithms",
            perplexities,
        )
    elif middle > TOO_HIGH and odd.any():
        yield _hardly(sheet, odd)
    elif middle > TOO_HIGH:
        yield sheet.suspicion(
            "units",
            f"losses from {loss.min():.3g} to {loss.max():.3g} ({{rows}}) are about "
            f"{np.exp(middle):.2g} times what models of these sizes have in nats per token: give "
            "the loss unit 'perplexity' if that is what they are",
            every,
        )
    elif middle < TOO_LOW and loss.max() < 2:
        yield sheet.suspicion(
            "units",
            f"losses from {loss.min():.3g} to {loss.max():.3g} ({{rows}}) are about "
            f"{np.exp(middle):.2g} times what models of these sizes have in nats per token: they "
            "may be bits per byte, which a loss unit and the bytes per token turn into nats",
            every,
        )
    elif odd.any() and (loss.min() < SMALLEST_LOSS or not _are_few(odd)):
        yield _hardly(sheet, odd)


def _hardly(sheet: Sheet, odd: np.ndarray) -> Suspicion:
    loss = sheet.columns["loss"]
    return sheet.suspicion(
        "units",
        f"losses from {loss.min():.3g} to {loss.max():.3g} are hardly nats per token ({{rows}})"
        ": give the loss unit 'perplexity' or 'bits' if that is what they are",
        odd,
    )


def _are_few(odd: np.ndarray) -> bool:
    return len(odd) >= FEWEST and odd.sum() <= MOST_DIVERGED * len(odd)


def _excess(sheet: Sheet) -> np.ndarray:
    return excess(*(sheet.columns[name] for name in ("params", "tokens", "loss")))


def _perplexities(sheet: Sheet, over: np.ndarray) -> np.ndarray:
    """Rows whose logarithms of losses are like the losses of the others."""
    none, order = np.zeros(len(sheet), bool), np.argsort(over)
    gaps = np.diff(over[order])
    fewest = int(np.ceil(SHARE * len(sheet)))
    inside = gaps[fewest - 1 : len(sheet) - fewest]
    if not inside.size or inside.max() < NATS_APART:
        return none
    low = none.copy()
    low[order[: fewest + int(np.argmax(inside))]] = True
    high, loss = ~low, sheet.columns["loss"]
    if not (loss[high] > 1).all():
        return none
    logs = excess(sheet.columns["params"][high], sheet.columns["tokens"][high], np.log(loss[high]))
    return high if abs(np.median(logs) - np.median(over[low])) < NATS_APART else none


# --- Diverged runs ---------------------------------------------------------------------------


def diverged(sheet: Sheet) -> Iterator[Suspicion]:
    """Single runs with losses far above those of runs of about their size and length."""
    if len(sheet) < FEWEST or sheet.levers:  # repeated data, for one, multiply a loss
        return
    sizes = [np.log(sheet.columns[name]) for name in ("params", "tokens")]
    over, loss = _excess(sheet), sheet.columns["loss"]
    # Plain losses are bent at small sizes, losses over those expected are not where the unit and
    # the tokenizer are usual: a run that stands out of both is odd whatever these are.
    above = np.minimum(_above_plane(over, sizes), _above_plane(np.log(loss), sizes))
    candidates = np.flatnonzero(above > FAR)
    if not candidates.size or not _are_few(above > FAR):
        return
    points = np.stack(sizes, axis=1)
    points = (points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-300)
    odd, factors = np.zeros(len(sheet), bool), np.ones(len(sheet))
    for row in candidates:
        distance = np.square(points - points[row]).sum(axis=1)
        distance[row] = np.inf
        near = np.argpartition(distance, NEIGHBOURS - 1)[:NEIGHBOURS]
        step = over[row] - np.median(over[near])
        odd[row], factors[row] = step > FAR, np.exp(step)
    if odd.any():
        yield sheet.suspicion("diverged runs", _of_diverged(loss, odd, factors), odd)


def _of_diverged(loss: np.ndarray, odd: np.ndarray, factors: np.ndarray) -> str:
    worst = int(np.argmax(factors))
    percent = f"{100 * (factors[worst] - 1):.0f} %"
    if odd.sum() == 1:
        return (
            f"a loss of {loss[worst]:.4g} ({{rows}}) is {percent} above what runs of about that "
            "size and length have: look whether the run diverged or has not finished, and leave it "
            "out if so"
        )
    return (
        f"losses of {odd.sum()} runs ({{rows}}) are up to {percent} above what runs of about their "
        "sizes and lengths have: look whether they diverged or have not finished, and leave those "
        "out"
    )


def _above_plane(values: np.ndarray, sizes: list[np.ndarray]) -> np.ndarray:
    """Values less the plane in logarithms of params and tokens of least absolute deviation."""
    columns = np.stack([np.ones(len(values)), *(x - x.mean() for x in sizes)], axis=1)
    weights = np.ones(len(values))
    left = values
    for _ in range(TRIPS):
        root = np.sqrt(weights)
        plane = np.linalg.lstsq(columns * root[:, None], values * root, rcond=None)[0]
        left = values - columns @ plane
        weights = 1 / np.maximum(np.abs(left), 1e-3)
    return left
