"""Checks for rows that are not one finished training each, or contradict another column."""

from collections.abc import Iterator

import numpy as np

from jaxscale.fitting._suspicions.sheet import Sheet, Suspicion, numbers, sizes, words
from jaxscale.laws.protocol import TRAIN_FLOPS

STEPS = {"step", "steps", "iter", "iters", "iteration", "iterations", "checkpoint", "ckpt"}
TRAININGS = {"run", "model", "name", "id", "training", "experiment"}
REPLICATES = {"seed", "rerun", "repeat", "replicate", "trial", "run", "name", "id"}
LEAST_CHECKPOINTS = 8  # of a training; finished runs of one size are rarely as many
EVEN = 1.5  # largest over smallest distance in tokens
DISAGREE = np.log(1.5)  # attention and embeddings make less of a gap between neighbours
AGREE = np.log(1.2)


def repeated(sheet: Sheet) -> Iterator[Suspicion]:
    """Rows with the numbers of an earlier one."""
    names = ("params", "tokens", *sheet.levers, "loss")
    rows = np.stack([sheet.columns[name] for name in names], axis=1)
    _, first = np.unique(rows, axis=0, return_index=True)
    mask = np.ones(len(sheet), bool)
    mask[first] = False
    if mask.any():
        yield sheet.suspicion(
            "repeated rows",
            f"rows with the {', '.join(names[:-1])} and loss of an earlier one: {mask.sum()} "
            "({rows})",
            mask,
        )


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
        if len(labels) > 1 and _are_trainings(sheet, training, steps):
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


def _are_trainings(sheet: Sheet, training: np.ndarray, steps: list[np.ndarray]) -> bool:
    """Whether each label is one model on ever more tokens, a checkpoint a row."""
    if np.median(np.bincount(training)) < LEAST_CHECKPOINTS:
        return False
    groups = [np.flatnonzero(training == number) for number in range(training.max() + 1)]
    params, tokens = sheet.columns["params"], sheet.columns["tokens"]
    groups = [rows[np.argsort(tokens[rows])] for rows in groups]
    if any(np.ptp(params[rows]) or not np.all(np.diff(tokens[rows]) > 0) for rows in groups):
        return False
    rises = any(all(np.all(np.diff(step[rows]) > 0) for rows in groups) for step in steps)
    return rises or all(_is_even(tokens[rows]) for rows in groups)


def _is_even(tokens: np.ndarray) -> bool:
    steps = np.diff(tokens)
    return len(steps) > 0 and steps.max() < EVEN * steps.min()


# --- Sweeps of settings ----------------------------------------------------------------------


def settings(sheet: Sheet) -> Iterator[Suspicion]:
    """Several runs of each size that differ in a setting, such as the learning rate."""
    size = sizes([sheet.columns[name] for name in ("params", "tokens", *sheet.levers)])
    each = np.bincount(size)
    several = each[size] > 1
    if 2 * several.sum() < len(sheet):
        return
    varied = [name for name, column in sheet.others.items() if _is_setting(name, column, size)]
    if not varied:
        return
    yield sheet.suspicion(
        "several runs a size",
        f"{(each > 1).sum()} pairs of params and tokens have {_to(each[each > 1])} runs each "
        f"({{rows}}), which differ in {', '.join(varied)}: a law is of one setting, or of the best "
        "run of each size: select rows by where, or keep the best of each",
        several,
    )


def _is_setting(name: str, column: np.ndarray, size: np.ndarray) -> bool:
    """Whether a column takes a few values that differ within sizes and return in others."""
    if words(name) & REPLICATES:
        return False
    _, value = np.unique(column.astype(str), return_inverse=True)
    pairs = np.unique(np.stack([size, value]), axis=1)
    varied = len(pairs.T) - len(np.unique(size))
    # The results of trainings, unlike their settings, rarely repeat.
    return varied > 0 and 2 * (value.max() + 1) <= len(value)


def _to(numbers: np.ndarray) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"


# --- FLOPs -----------------------------------------------------------------------------------


def flops(sheet: Sheet) -> Iterator[Suspicion]:
    """A column of FLOPs with which some rows agree, and others do not by one factor."""
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


def _is_compute(name: str) -> bool:
    found = words(name)
    return bool(found & {"flop", "flops", "compute"}) or found == {"c"}


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
