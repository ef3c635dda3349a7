"""Kernels, links and traffic that microsoft/vidur measured, and what `js.serving` predicts.

Files of `data/serving`: the folder that JAXSCALE_DATA names, or one beside this repository.
"""

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxscale as js

DATA = Path(os.environ.get("JAXSCALE_DATA") or Path(__file__).parents[2] / "shared" / "data")
FOLDER = DATA / "serving"
FILES = {"H100-SXM": "h100", "A100-80GB": "a100"}
MILLI = 1e-3
PARTS = "attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj"
BYTES = 2  # of a weight
# One layer of Llama 2 70B; its logits are next to nothing.
LAYER = js.Architecture(1, 8192, 64, 8, 128, 28672, 1, 2**20, gated=True, tied=True)


def _columns(name: str, *columns: str) -> list[np.ndarray]:
    with (FOLDER / name).open() as lines:
        rows = list(csv.DictReader(lines))
    return [np.array([float(row[column]) for row in rows]) for column in columns]


class Kernels(NamedTuple):
    """Matrices of one layer, timed on one of the devices that share them."""

    device: str
    tokens: np.ndarray
    devices: np.ndarray
    seconds: np.ndarray

    def predicted(self) -> np.ndarray:
        """Seconds of a layer by default efficiencies, launches counted, without links."""
        accelerator = replace(js.accelerator(self.device), link_bandwidth=np.inf)
        deployment = js.serving.Deployment(accelerator, self.devices, reduce_seconds=0.0)
        # Sequences with nothing cached: matrices alone.
        return np.asarray(js.serving.step(LAYER, deployment, self.tokens, 0).seconds)

    def fit(self) -> js.serving.Efficiencies:
        """The roofline that fits best, all degrees of parallelism alike."""
        params = float(LAYER.non_embedding_params) / self.devices
        return js.serving.fit_efficiencies(
            self.seconds, 2 * params * self.tokens, BYTES * params, js.accelerator(self.device)
        )


def kernels(device: str) -> Kernels:
    """All kernels of a device."""
    parts = (f"time_stats.{part}.median" for part in PARTS)
    tokens, devices, *times = _columns(
        f"vidur_mlp_{FILES[device]}.csv", "num_tokens", "num_tensor_parallel_workers", *parts
    )
    return Kernels(device, tokens, devices, sum(times) * MILLI)


class Reductions(NamedTuple):
    """All-reduces of some bytes."""

    bytes: np.ndarray
    seconds: np.ndarray
    predicted: np.ndarray

    def median_error(self) -> float:
        """Of the relative errors."""
        return float(np.median(np.abs(self.predicted / self.seconds - 1)))


def reductions(device: str, count: int, **links: float) -> Reductions:
    """All-reduces over `count` devices of one node, with other `links` than a deployment's own."""
    size, workers, domain, times = _columns(
        f"vidur_all_reduce_{FILES[device]}.csv",
        "size", "num_workers", "devices_per_node", "time_stats.all_reduce.median",
    )  # fmt: skip
    chosen = (workers == count) & (domain == count)
    size, seconds = size[chosen], times[chosen] * MILLI
    accelerator = replace(
        js.accelerator(device), peak_flops={"bf16": 1e30}, memory_bandwidth=1e30, memory_bytes=1e30
    )
    deployment = js.serving.Deployment(accelerator, count, launch_seconds=0.0, **links)
    # A layer of that width reduces twice.
    layer = replace(LAYER, width=size / BYTES)
    return Reductions(
        size, seconds, np.asarray(js.serving.step(layer, deployment, 1, 0).seconds) / 2
    )


def traffic(name: str) -> list[np.ndarray]:
    """Tokens of the prompts and of the answers of a trace, "conv" or "code"."""
    return _columns(f"azure_2023_{name}.csv", "num_prefill_tokens", "num_decode_tokens")
