"""The 27 loss curves of Luo et al. 2025, where they are at hand, and their schedules."""

from functools import cache

import numpy as np
import pytest

import jaxscale as js
from fitting.runs_at_hand import FOLDER

SIZES = ("25", "100", "400")  # in 1e6 params
TRAINED_ON = ("cosine_24000", "constant_24000", "wsdcon_9")
PEAK, END, WARMUP = 3e-4, 3e-5, 2160


def schedule(name):
    kind, *numbers = name.split("_")
    build = js.trajectories.Schedule
    if kind == "wsdcon":
        rates = build.constant(24_000, PEAK, warmup=WARMUP).rates
        rates[8000:] = int(numbers[0]) * 1e-5
        return build.table(rates[1:], before=0.0)
    if kind in ("wsd", "wsdld"):
        start, last = map(int, numbers)
        decay = {"decay": "linear"} if kind == "wsdld" else {}
        return build.wsd(last, PEAK, END, decay_steps=last - start, warmup=WARMUP, **decay)
    steps = int(numbers[0])
    if kind == "constant":
        return build.constant(steps, PEAK, warmup=WARMUP)
    return build.cosine(steps, PEAK, END, warmup=WARMUP)


@cache
def curves(size):
    """All curves of a size by name; skips the test where the table is absent."""
    path = FOLDER / "curves" / "multipower_2025.parquet"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in {path.parent}, which JAXSCALE_DATA may set")
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(path)
    names = table["name"].unique()
    made = js.trajectories.Curves.from_dataframe(
        table[table["size"] == size], schedules={name: schedule(name) for name in names}
    )
    return {curve.name: curve for curve in made}


def trained_on(size):
    every = curves(size)
    return js.trajectories.Curves([every[name] for name in TRAINED_ON])


def huber_sum(residuals, delta=1e-3):
    near = np.minimum(np.abs(residuals), delta)
    return float(np.sum(near * (np.abs(residuals) - near / 2)))
