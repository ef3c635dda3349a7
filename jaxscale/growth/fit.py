"""A law for each shape, fitted to a table of runs, all shapes at once.

At given b and d the law is linear in a and c, and least squares have a closed form. For the other
two unknowns a grid gives a start, and Levenberg-Marquardt steps refine it to the last digit, with
the derivative of the linear part as in Kaufman 1975. All of it is NumPy in float64.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxscale.growth.schedule import ShapeLaw

FEWEST_RUNS = 4  # as many as a law has coefficients
EXPONENTS = np.geomspace(0.01, 4, 60)
OFFSETS = np.geomspace(1e-4, 1e4, 33)  # d, in units of the fewest FLOPs of a shape
STEPS = 100
FIRST_DAMPING, MIN_DAMPING, MAX_DAMPING = 1e-3, 1e-14, 1e10


def fit_shapes(shape: Any, flops: Any, loss: Any) -> ShapeLaw:
    """A law for each shape from a table of runs, by least squares of the loss.

    Columns of one length: labels of shapes, numbers or words; training FLOPs; and loss in nats
    per token. The fields of the law are float64 arrays with an entry for each shape, in the
    order of `numpy.unique(shape)`; c is at least 0, and d above 0.

    Raises ValueError where lengths differ, a number is not finite and positive, or a shape has
    fewer than four runs of different FLOPs. The law is that of Anagnostidis et al. 2023, arXiv
    2311.03233, who do not say how it was fitted.

    Examples:
        >>> flops = np.geomspace(1e16, 1e19, 6)
        >>> small, large = 0.5 + 60 * flops**-0.1, 0.3 + 300 * flops**-0.13
        >>> law = js.growth.fit_shapes(
        ...     np.repeat(["small", "large"], 6), np.tile(flops, 2), np.concatenate([small, large])
        ... )
        >>> print(law.b.round(2))
        [0.13 0.1 ]
    """
    labels, rows = _rows(shape, flops, loss)
    # Where FLOPs nearly agree, or a law has nearly reached its floor, a basis may not be finite.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs = _descend(rows, _starts(rows))
        linear = _linear(rows, logs)
    if not (linear.slope > 0).all():
        flat = labels[np.argmin(linear.slope > 0)]
        raise ValueError(f"loss must fall as flops grow; that of shape {str(flat)!r} does not")
    b, d = np.exp(logs)
    return ShapeLaw(a=linear.slope * rows.unit**b, b=b, c=linear.constant, d=d * rows.unit)


class _Rows(NamedTuple):
    """Runs by shape, padded to one length with weight 0; FLOPs in units of the shape's fewest."""

    flops: np.ndarray  # shapes, runs
    loss: np.ndarray
    weight: np.ndarray
    unit: np.ndarray  # shapes

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over each shape's runs; the last axis stays, with one entry."""
        return (values * self.weight).sum(-1, keepdims=True) / self.weight.sum(-1, keepdims=True)


def _rows(shape, flops, loss):
    columns = {"shape": np.asarray(shape)}
    columns |= {name: np.asarray(x, np.float64) for name, x in (("flops", flops), ("loss", loss))}
    sizes = {name: column.shape for name, column in columns.items()}
    if len(set(sizes.values())) != 1 or columns["shape"].ndim != 1:
        raise ValueError(f"shape, flops and loss must be columns of one length; got {sizes}")
    for name in ("flops", "loss"):
        good = np.isfinite(columns[name]) & (columns[name] > 0)
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(
                f"{name} must be finite and above 0; row {row} has {columns[name][row]}"
            )
    labels, index, counts = np.unique(columns["shape"], return_inverse=True, return_counts=True)
    if not len(labels):
        raise ValueError("shape, flops and loss must have rows; got none")
    for i, label in enumerate(labels):
        runs = len(np.unique(columns["flops"][index == i]))
        if runs < FEWEST_RUNS:
            raise ValueError(
                f"a shape needs {FEWEST_RUNS} runs of different flops; {str(label)!r} has {runs}"
            )
    order = np.argsort(index, kind="stable")
    column = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.ones((3, len(labels), counts.max()))
    padded[2] = 0
    values = columns["flops"], columns["loss"], np.ones(len(index))
    for each, value in zip(padded, values, strict=True):
        each[index[order], column] = value[order]
    unit = np.where(padded[2] > 0, padded[0], np.inf).min(axis=1)
    return labels, _Rows(padded[0] / unit[:, None], padded[1], padded[2], unit)


class _Linear(NamedTuple):
    """The best a and c at given b and d, and the residuals."""

    basis: np.ndarray  # (C + d)^-b
    slope: np.ndarray
    constant: np.ndarray
    residual: np.ndarray  # times the weights
    error: np.ndarray  # sum of its squares


def _linear(rows: _Rows, logs: np.ndarray) -> _Linear:
    b, d = np.exp(logs)[..., None]
    basis = (rows.flops + d) ** -b
    slope, constant = _projected(rows, basis, rows.loss, None)
    below = constant < 0
    slope, constant = (
        np.where(below, x, y)
        for x, y in zip(_projected(rows, basis, rows.loss, below), (slope, constant), strict=True)
    )
    residual = (rows.loss - constant - slope * basis) * rows.weight
    return _Linear(basis, slope[..., 0], constant[..., 0], residual, (residual**2).sum(-1))


def _projected(rows, basis, values, no_constant):
    """Slope and constant of values on a basis; the constant is 0 where `no_constant` holds."""
    centre, middle = rows.mean(basis), rows.mean(values)
    if no_constant is not None:
        centre, middle = np.where(no_constant, 0, centre), np.where(no_constant, 0, middle)
    apart = basis - centre
    slope = rows.mean(apart * (values - middle)) / rows.mean(apart**2)
    return slope, middle - slope * centre


def _starts(rows: _Rows) -> np.ndarray:
    """Log b and log d of the smallest error on a grid: two rows, a column for each shape."""
    grid = np.log(np.stack(np.meshgrid(EXPONENTS, OFFSETS, indexing="ij")).reshape(2, -1))
    errors = []
    for each in grid.T:
        fit = _linear(rows, np.repeat(each[:, None], len(rows.unit), axis=1))
        errors.append(np.where(fit.slope > 0, fit.error, np.inf))
    return grid[:, np.argmin(errors, axis=0)]


def _descend(rows: _Rows, logs: np.ndarray) -> np.ndarray:
    now, damping = _linear(rows, logs), np.full(len(rows.unit), FIRST_DAMPING)
    for _ in range(STEPS):
        tried = logs - _step(rows, logs, now, damping)
        fit = _linear(rows, tried)
        better = (fit.error < now.error) & (fit.slope > 0)
        logs = np.where(better, tried, logs)
        now = _linear(rows, logs)
        damping = np.clip(np.where(better, damping * 0.3, damping * 4), MIN_DAMPING, MAX_DAMPING)
    return logs


def _step(rows, logs, now, damping):
    """A damped step in log b and log d, after which the linear part is solved again."""
    b, d = np.exp(logs)[..., None]
    moved = now.basis * now.slope[:, None]
    by_b = moved * -b * np.log(rows.flops + d)
    by_d = moved * -b * d / (rows.flops + d)
    no_constant = now.constant[:, None] <= 0
    columns = []
    for each in (by_b, by_d):
        slope, constant = _projected(rows, now.basis, each, no_constant)
        columns.append((constant + slope * now.basis - each) * rows.weight)
    sizes = [np.sqrt(np.einsum("sr,sr->s", column, column)) for column in columns]
    first, second = (
        column / np.where(size > 0, size, 1)[:, None]
        for column, size in zip(columns, sizes, strict=True)
    )
    alike = np.einsum("sr,sr->s", first, second)
    u, v = (np.einsum("sr,sr->s", column, now.residual) for column in (first, second))
    grown = 1 + damping
    bottom = np.maximum(grown * grown - alike * alike, damping)
    step = np.stack([grown * u - alike * v, grown * v - alike * u]) / bottom
    return np.clip(step / np.where(np.stack(sizes) > 0, sizes, np.inf), -1, 1)
