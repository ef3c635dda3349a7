"""Checks for rows that are not one finished training each, or contradict another column."""

from collections.abc import Iterator

import numpy as np

from jaxscale.fitting._suspicions.sheet import Sheet, Suspicion, numbers, sizes, words
from jaxscale.laws.protocol import TRAIN_FLOPS

STEPS = {"step", "steps", "iter", "iters", "iteration", "iterations", "checkpoint", "ckpt"}
TRAININGS = {"run", "model", "name", "id", "training", "experiment"}
ONE_TRAINING = {"run", "id", "training"}  # rows that share such a label are of one training
REPLICATES = {"seed", "rerun", "repeat", "replicate", "trial", "run", "name", "id"}
SETTINGS = {"lr", "rate", "bs", "bsz", "batch", "wd", "decay", "warmup", "momentum", "dropout"}
LEAST_CHECKPOINTS = 8  # of a training; finished runs of one size are rarely as many
EVEN = 1.5  # largest over smallest distance in tokens
ALIKE = 0.05  # largest over least loss of seeds of one setting, less one: Muennighoff et al. 2023
ONE_NAME = 0.9  # share of rows with a name of their own where each names one run
DISAGREE = np.log(1.5)  # attention and embeddings make less of a gap between neighbours
AGREE = np.log(1.2)
ONE_FACTOR = np.log(1.65)  # in all rows: recomputed activations and attention make 1.6
CONSTANT = 0.05  # largest over smallest factor, less one: of units it differs by rounding alone
DIGITS = 9  # after which rows may differ by the way they were written
# FLOPs over 6 N D of other definitions and units.
DEFINITIONS = {
    1 / 3: "2 N D",
    0.5: "multiplications alone",
    1e-9: "GFLOPs",
    1e-12: "TFLOPs",
    1e-15: "PFLOPs",
    1e-18: "EFLOPs",
    1e-21: "ZFLOPs",
    1 / 8.64e19: "PFLOP-days",
}


def repeated(sheet: Sheet) -> Iterator[Suspicion]:
    """Rows with the numbers of an earlier one, or with the name of a run that has other numbers."""
    names = ("params", "tokens", *sheet.levers, "loss")
    columns = [_rounded(sheet.columns[name]) for name in names]
    # Runs of two settings may end at one loss.
    columns += [_numbered(sheet.others[name]) for name in _varied(sheet, _cells(sheet)[0])]
    mask = _are_later(np.stack(columns, axis=1))
    if mask.any():
        yield sheet.suspicion(
            "repeated rows",
            f"rows with the {', '.join(names[:-1])} and loss of an earlier one: {mask.sum()} "
            "({rows})",
            mask,
        )
    labels = sheet.run_names
    if labels is None or "group" in sheet.columns:
        return
    again = _are_later(labels[:, None]) & ~mask
    if again.any() and len(np.unique(labels)) >= ONE_NAME * len(sheet):
        yield sheet.suspicion(
            "repeated names",
            f"rows with the name of an earlier run and other numbers: {again.sum()} ({{rows}}): "
            "keep one row of each run",
            again,
        )


def _rounded(column: np.ndarray) -> np.ndarray:
    """The column to so many digits that ways of writing a number do not matter."""
    size = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(column), 1e-300))) - DIGITS)
    return np.round(column / size) * size


def _numbered(column: np.ndarray) -> np.ndarray:
    """A number for each value of a column of anything."""
    return np.unique(column.astype(str), return_inverse=True)[1].astype(float)


def _are_later(rows: np.ndarray) -> np.ndarray:
    """Which rows equal an earlier one."""
    _, first = np.unique(rows, axis=0, return_index=True)
    mask = np.ones(len(rows), bool)
    mask[first] = False
    return mask


# --- Checkpoints -----------------------------------------------------------------------------


def checkpoints(sheet: Sheet) -> Iterator[Suspicion]:
    """Rows that are checkpoints, where no group says of which training."""
    if "group" in sheet.columns:
        return
    steps = [numbers(x) for name, x in sheet.others.items() if words(name) & STEPS]
    steps = [column for column in steps if column is not None]
    names = sorted(sheet.others, key=lambda name: not words(name) & TRAININGS)
    columns = {name: sheet.others[name] for name in names}
    columns[sheet.names["params"]] = sheet.columns["params"]  # where each size is one training
    for name, column in columns.items():
        labels, training = np.unique(column.astype(str), return_inverse=True)
        certain = bool(words(name) & ONE_TRAINING)
        if len(labels) > 1 and _are_trainings(sheet, training, steps, certain):
            each = np.bincount(training)
            yield sheet.suspicion(
                "checkpoints",
                f"the rows look like {_to(each)} checkpoints of each of {len(labels)} trainings "
                f"({{rows}}): group them by column {name!r}, so that whole trainings are "
                "resampled; before its learning rate has decayed, a checkpoint also has a higher "
                "loss than a training that ends there",
                np.ones(len(sheet), bool),
            )
            return


def _are_trainings(
    sheet: Sheet, training: np.ndarray, steps: list[np.ndarray], certain: bool
) -> bool:
    """Whether each label is one model on ever more tokens, a checkpoint a row.

    The labels of certain ones are of single trainings; others need steps, or even distances.
    """
    if np.median(np.bincount(training)) < LEAST_CHECKPOINTS:
        return False
    groups = [np.flatnonzero(training == number) for number in range(training.max() + 1)]
    params, tokens = sheet.columns["params"], sheet.columns["tokens"]
    groups = [rows[np.argsort(tokens[rows])] for rows in groups]
    if any(np.ptp(params[rows]) or not np.all(np.diff(tokens[rows]) > 0) for rows in groups):
        return False
    if certain:
        return True
    rises = any(all(np.all(np.diff(step[rows]) > 0) for rows in groups) for step in steps)
    return rises or all(_is_even(tokens[rows]) for rows in groups)


def may_be_checkpoints(params: np.ndarray, tokens: np.ndarray) -> bool:
    """Whether most sizes have many lengths at even steps, of tokens or of their logarithms."""
    even = [
        _is_even(lengths) or _is_even(np.log(lengths))
        for lengths in (np.sort(tokens[params == size]) for size in np.unique(params))
        if len(lengths) >= LEAST_CHECKPOINTS
    ]
    return 2 * sum(even) > len(np.unique(params))


def _is_even(tokens: np.ndarray) -> bool:
    steps = np.diff(tokens)
    return len(steps) > 0 and bool(0 < steps.max() < EVEN * steps.min())


# --- Sweeps of settings ----------------------------------------------------------------------


def settings(sheet: Sheet) -> Iterator[Suspicion]:
    """Several runs of each size that differ in a setting, such as the learning rate."""
    cell, several = _cells(sheet)
    if not several.any():
        return
    each = np.bincount(cell)
    varied = _varied(sheet, cell)
    if varied:
        why = f"which differ in {', '.join(varied)}"
    else:
        spread = _spread(sheet.columns["loss"], cell)
        if spread < ALIKE:
            return
        why = f"whose losses differ by {100 * spread:.0f} % or more in half of them"
    yield sheet.suspicion(
        "several runs a size",
        f"{(each > 1).sum()} pairs of params and tokens have {_to(each[each > 1])} runs each "
        f"({{rows}}), {why}: a law is of one setting, or of the best run of each cell: select rows "
        "by where, or keep the best of each cell (--best-of-cell, in Python best_of_cell=True)",
        several,
    )


def _cells(sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
    """A number for each size and length, and the rows that share theirs; none unless half do."""
    cell = sizes([sheet.columns[name] for name in ("params", "tokens", *sheet.levers)])
    several = np.bincount(cell)[cell] > 1
    return cell, several & (2 * several.sum() >= len(sheet))


def is_sweep(sheet: Sheet) -> bool:
    """Whether most rows share their size and length with another."""
    return bool(_cells(sheet)[1].any())


def _varied(sheet: Sheet, cell: np.ndarray) -> list[str]:
    """The columns of settings that differ within cells."""
    return [name for name, column in sheet.others.items() if _is_setting(name, column, cell)]


def _spread(loss: np.ndarray, cell: np.ndarray) -> float:
    """Largest over least loss of a cell, less one, in the median of cells of several runs."""
    cells = [loss[cell == number] for number in np.flatnonzero(np.bincount(cell) > 1)]
    return float(np.median([np.ptp(losses) / losses.min() for losses in cells]))


def _is_setting(name: str, column: np.ndarray, cell: np.ndarray) -> bool:
    """Whether a column takes a few values that differ within cells and return in others."""
    if words(name) & REPLICATES:
        return False
    _, value = np.unique(column.astype(str), return_inverse=True)
    pairs = np.unique(np.stack([cell, value]), axis=1)
    varied = len(pairs.T) - len(np.unique(cell))
    # The results of trainings, unlike their settings, rarely repeat; but a random search does not
    # repeat its settings either.
    few = 2 * (value.max() + 1) <= len(value)
    return varied > 0 and (few or bool(words(name) & SETTINGS))


def _to(numbers: np.ndarray) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"


# --- FLOPs -----------------------------------------------------------------------------------


def flops(sheet: Sheet) -> Iterator[Suspicion]:
    """Columns of FLOPs with which some rows disagree, or all by one factor."""
    product = float(TRAIN_FLOPS) * sheet.columns["params"] * sheet.columns["tokens"]
    for name, column in sheet.others.items():
        compute = numbers(column) if _is_compute(name) else None
        if compute is None or not (compute > 0).all():
            continue
        excess = np.log(product / compute)
        odd = _odd(excess)
        if odd.any():
            yield sheet.suspicion(
                "FLOPs",
                f"6 x params x tokens is {np.exp(np.median(excess[odd])):.3g} times column "
                f"{name!r} in {odd.sum()} of {len(sheet)} rows ({{rows}}), and agrees with it in "
                "the others: correct their tokens, params or FLOPs",
                odd,
            )
        elif np.ptp(excess) < DISAGREE and abs(np.median(excess)) > ONE_FACTOR:
            yield sheet.suspicion(
                "FLOPs",
                f"6 x params x tokens is {np.exp(np.median(excess)):.3g} times column {name!r} in "
                f"all rows ({{rows}}){_explained(excess)}do not compute tokens as "
                "C / (6 N) from it",
                np.ones(len(sheet), bool),
            )


def _is_compute(name: str) -> bool:
    found = words(name)
    return any(word.endswith(("flop", "flops")) for word in found) or bool(
        found & {"compute", "pfdays"} or found == {"c"}
    )


def _explained(excess: np.ndarray) -> str:
    """What explains a factor of all rows, and the advice, for the middle of a sentence."""
    factor, units = float(np.median(excess)), ": check the units of params and tokens, and "
    for known, definition in DEFINITIONS.items():
        if abs(factor + np.log(known)) < AGREE:
            return f", as if it counted {definition}{units}"
    thousand = float(np.log(1000))
    powers = round(factor / thousand)
    if factor < 0 or (powers and abs(factor - powers * thousand) < AGREE):
        return units
    # Experts, of which few are active, have fewer FLOPs by a factor of their own; only a constant
    # one may be a unit.
    if np.expm1(np.ptp(excess)) < CONSTANT:
        return ": check the units of params and tokens, unless it counts active params alone, and "
    return ", by a factor that varies, as where it counts active params alone: "


def _odd(excess: np.ndarray) -> np.ndarray:
    """Rows beyond a gap from those that agree; none where no row agrees, or all do."""
    order = np.argsort(excess)
    gaps = np.diff(excess[order]) > DISAGREE
    cluster = np.empty(len(excess), int)
    cluster[order] = np.append(0, np.cumsum(gaps))
    good = [number for number in np.unique(cluster) if _agrees(excess[cluster == number])]
    return ~np.isin(cluster, good) if good else np.zeros(len(excess), bool)


def _agrees(excess: np.ndarray) -> bool:
    return abs(np.median(excess)) < AGREE
