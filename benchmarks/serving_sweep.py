"""Decode steps over models, devices, batches and contexts: as a sweep, and by plain calls."""

import itertools
from dataclasses import replace
from typing import Any

import jax
import numpy as np

import jaxscale as js

MODELS = "llama-7b", "llama-13b", "llama-65b", "llama-2-70b", "llama-3-8b", "llama-3-70b"
PRICES = {"A100-80GB": 1.5, "H100-SXM": 2.5, "H200": 3.0, "B200": 5.0}  # examples, $/hour
BATCHES, MOST_CONTEXT = 64, 8192
FIELDS = "seconds", "dollars"


def _device(name: str, price: float) -> js.hardware.Accelerator:
    """The numbers of a device without its words, which entries of an axis must share."""
    device = js.accelerator(name, price=price)
    peaks = {"bf16": device.peak("bf16")}
    return replace(
        device, peak_flops=peaks, name="", vendor="", quotes=(), source="", note=""
    )  # fmt: skip


# Their context is made long, so that every combination has an answer unless memory is short.
SHAPES = {
    name: jax.tree.map(float, replace(js.architectures.published(name), context=MOST_CONTEXT))
    for name in MODELS
}
DEVICES = {name: _device(name, price) for name, price in PRICES.items()}


def scenario(model: Any, device: Any, batch: Any, context: Any) -> dict[str, Any]:
    """One decode step on four devices."""
    step = js.serving.step(model, js.serving.Deployment(device, 4), batch, context)
    return {
        "seconds": step.seconds,
        "dollars": step.dollars_per_million_tokens,
        "status": step.status,
    }


def space(scenarios: int) -> js.Grid:
    """The grid nearest to so many scenarios."""
    contexts = max(2, round(scenarios / (len(MODELS) * len(DEVICES) * BATCHES)))
    return js.Grid(
        model=SHAPES,
        device=DEVICES,
        batch=js.geomspace(1.0, 512.0, BATCHES),
        context=js.linspace(1.0, float(MOST_CONTEXT), contexts),
    )


def swept(grid: js.Grid, dtype: str) -> Any:
    """Moments of seconds and dollars, and how many of each status."""
    reducers = [*(js.Moments(field) for field in FIELDS), js.StatusCounts()]
    return js.sweep(scenario, grid, reduce=reducers, dtype=dtype, progress=False)


def called(grid: js.Grid) -> dict[str, np.ndarray]:
    """All fields of a small grid by one plain call for each model and device, in float64."""
    batch = np.geomspace(1, 512, BATCHES)[:, None]
    context = np.linspace(1, MOST_CONTEXT, grid.size // (len(MODELS) * len(DEVICES) * BATCHES))
    parts = [
        scenario(model, device, batch, context)
        for model, device in itertools.product(SHAPES.values(), DEVICES.values())
    ]
    return {name: np.stack([np.asarray(part[name]) for part in parts]) for name in parts[0]}
