"""Published measurements of serving, and what `js.serving` predicts for each of them.

Predictions use the defaults of `js.serving.Deployment`, none of which was chosen for these rows:
its efficiencies come from kernels of one layer. Decoding is summed over the steps that the source
ran, as the context grows by a token each.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

import jaxscale as js

MILLI = 1e-3
# Kinds of rows. TensorRT-LLM 0.5 and 0.6 had slow kernels for shared keys and values on several
# devices, so these rows say little of what such devices can do.
ONE_DEVICE, ONE_NODE, SLICE, OLD_KERNELS = "one device", "one node", "slice of 64", "old kernels"
NODES = "several nodes"


class Setup(NamedTuple):
    """A device and the precisions that a source ran it with."""

    device: str
    weights: str
    arithmetic: str
    cache: str
    cache_split: str = "heads"


class Case(NamedTuple):
    """One published measurement."""

    source: str
    kind: str
    setup: Setup
    devices: int
    model: str
    batch: int
    prompt: int  # tokens of each sequence before the first step
    reads: bool  # whether the prompts are read in that time
    steps: int
    measured: float
    unit: str  # "s", or "tokens/s" written for each device

    def what(self) -> str:
        """The row in words."""
        precision = self.setup.weights
        did = [f"reads {self.prompt:,}"] * self.reads + [f"writes {self.steps:,}"] * bool(
            self.steps
        )
        at = "" if self.reads else f" after {self.prompt:,}"
        devices = f"{self.devices} x {self.setup.device}, {precision}"
        return f"{self.model}, {devices}: {self.batch:,} at once, {', '.join(did)}{at}"


class Row(NamedTuple):
    """A measurement beside its prediction."""

    case: Case
    predicted: float  # in the unit of the case

    @property
    def speed(self) -> float:
        """Measured speed over predicted: below 1 where the model is too fast."""
        ratio = self.case.measured / self.predicted
        return ratio if self.case.unit == "tokens/s" else 1 / ratio


def _shape(layers, width, heads, kv_heads, head_size, ff_width, vocabulary, matrices=3):
    # A plain feed-forward part as a gated one of as many params: all shapes are of one type then.
    # They get room for the longest request, which not all of them were trained for.
    return js.Architecture(
        layers, width, heads, kv_heads, head_size, ff_width * matrices / 3, vocabulary, 2**17,
        gated=True, tied=False,
    )  # fmt: skip


SHAPES = {
    "LLaMA 7B": _shape(32, 4096, 32, 32, 128, 11008, 32000),
    "LLaMA 70B": _shape(80, 8192, 64, 8, 128, 28672, 32000),
    "GPT-J 6B": _shape(28, 4096, 16, 16, 256, 16384, 50400, matrices=2),
    "Falcon 180B": _shape(80, 14848, 232, 8, 64, 59392, 65024, matrices=2),
    "PaLM 540B": _shape(118, 18432, 48, 1, 256, 73728, 256000),
    "DeepSeek-V3": js.architectures.published("deepseek-v3"),
    "13B": _shape(40, 5120, 40, 40, 128, 20480, 51200, matrices=2),
}

# --- TensorRT-LLM ---------------------------------------------------------------------------

# NVIDIA/TensorRT-LLM, docs/source/performance.md, v0.6.1: batch, devices, tokens in and out, and
# tokens/s written for each device. Static batches: all prompts, then all steps.
TENSORRT = "TensorRT-LLM 0.6.1"
THROUGHPUT = {
    ("H100-SXM", "GPT-J 6B"): (
        (1024, 1, 128, 128, 26150),
        (120, 1, 128, 2048, 8011),
        (64, 1, 2048, 128, 2551),
        (64, 1, 2048, 2048, 3327),
    ),
    ("H100-SXM", "LLaMA 7B"): (
        (768, 1, 128, 128, 19694),
        (112, 1, 128, 2048, 6818),
        (80, 1, 2048, 128, 2244),
        (48, 1, 2048, 2048, 2740),
    ),
    ("H100-SXM", "LLaMA 70B"): (
        (1024, 2, 128, 128, 2657),
        (480, 4, 128, 2048, 1486),
        (96, 2, 2048, 128, 306),
        (64, 2, 2048, 2048, 547),
    ),
    ("H100-SXM", "Falcon 180B"): (
        (1024, 4, 128, 128, 987),
        (1024, 8, 128, 2048, 724),
        (64, 4, 2048, 128, 112),
        (64, 4, 2048, 2048, 264),
    ),
    ("A100-80GB", "GPT-J 6B"): (
        (512, 1, 128, 128, 6374),
        (120, 2, 128, 2048, 2192),
        (60, 1, 2048, 128, 670),
        (64, 2, 2048, 2048, 903),
    ),
    ("A100-80GB", "LLaMA 7B"): (
        (384, 1, 128, 128, 5586),
        (60, 1, 128, 2048, 1928),
        (52, 1, 2048, 128, 591),
        (64, 2, 2048, 2048, 782),
    ),
    ("A100-80GB", "LLaMA 70B"): (
        (1280, 4, 128, 128, 670),
        (240, 4, 128, 2048, 525),
        (120, 4, 2048, 128, 79),
    ),
    ("A100-80GB", "Falcon 180B"): ((1024, 8, 128, 128, 232), (128, 8, 128, 2048, 180)),
}
# The same page, v0.5: devices, tokens in, and milliseconds to the first token of one sequence.
FIRST_TOKEN = {
    ("H100-SXM", "GPT-J 6B"): ((1, 128, 7), (1, 2048, 29)),
    ("H100-SXM", "LLaMA 7B"): ((1, 128, 7), (1, 2048, 36)),
    ("H100-SXM", "LLaMA 70B"): ((4, 128, 26), (4, 2048, 109)),
    ("H100-SXM", "Falcon 180B"): ((8, 128, 27), (8, 2048, 205)),
    ("A100-80GB", "GPT-J 6B"): ((1, 128, 12), (1, 2048, 129)),
    ("A100-80GB", "LLaMA 7B"): ((1, 128, 16), (1, 2048, 133)),
    ("A100-80GB", "LLaMA 70B"): ((4, 128, 47), (4, 2048, 377)),
    ("A100-80GB", "Falcon 180B"): ((8, 128, 61), (8, 2048, 509)),
}


def _tensorrt() -> Iterator[Case]:
    for (device, model), rows in THROUGHPUT.items():
        for batch, devices, prompt, output, speed in rows:
            yield Case(
                TENSORRT, _kind(model, devices), _precision(device), devices, model, batch,
                prompt, True, output, speed, "tokens/s",
            )  # fmt: skip
    for (device, model), rows in FIRST_TOKEN.items():
        for devices, prompt, milliseconds in rows:
            yield Case(
                f"{TENSORRT}, first token", _kind(model, devices), _precision(device), devices,
                model, 1, prompt, True, 0, milliseconds * MILLI, "s",
            )  # fmt: skip


def _kind(model, devices):
    if devices == 1:
        return ONE_DEVICE
    return OLD_KERNELS if model in ("LLaMA 70B", "Falcon 180B") else ONE_NODE


def _precision(device):
    """FP8 throughout on an H100, cache too (`--enable_fp8 --fp8_kv_cache`); FP16 on an A100."""
    return Setup(device, *["fp8" if device == "H100-SXM" else "fp16"] * 3)


# --- Other sources --------------------------------------------------------------------------

# Pope et al. 2022, arXiv 2211.05102, Table 2: int8 weights or none, arithmetic in bf16, the cache
# split by sequences; seconds of all steps.
_TPU = {
    weights: Setup("TPU-v4", weights, "bf16", "bf16", cache_split="batch")
    for weights in ("int8", "bf16")
}
POPE = "Pope et al. 2022"
# deepseek-ai/open-infra-index, day 6: 18 nodes decode together, 14.8e3 tokens/s each, 88
# sequences a device and a mean context of 4,989, which follow from its figures. They split experts
# over all devices, where we make stages of the nodes.
DEEPSEEK = "DeepSeek 2025"
_H800 = Setup("H800", "fp8", "fp8", "bf16", cache_split="batch")
KIPPLY = "Chen 2022"  # kipply, Transformer Inference Arithmetic: FasterTransformer
_A100 = Setup("A100-40GB", "fp16", "fp16", "fp16")
OTHERS = (
    Case(POPE, SLICE, _TPU["int8"], 64, "PaLM 540B", 1, 2048, True, 0, 0.29, "s"),
    Case(POPE, SLICE, _TPU["int8"], 64, "PaLM 540B", 64, 2048, False, 64, 1.82, "s"),
    Case(POPE, SLICE, _TPU["bf16"], 64, "PaLM 540B", 64, 2048, False, 64, 64 * 0.0369, "s"),
    Case(POPE, SLICE, _TPU["bf16"], 64, "PaLM 540B", 512, 2048, True, 0, 85.2, "s"),
    Case(POPE, SLICE, _TPU["bf16"], 64, "PaLM 540B", 512, 2048, False, 64, 6.0, "s"),
    Case(
        DEEPSEEK, NODES, _H800, 144, "DeepSeek-V3", 144 * 88, 4989, False, 1, 14.8e3 / 8, "tokens/s"
    ),
    Case(KIPPLY, ONE_DEVICE, _A100, 1, "13B", 1, 512, True, 0, 63.17 * MILLI, "s"),
    Case(KIPPLY, ONE_DEVICE, _A100, 1, "13B", 1, 512, False, 1, 22.0 * MILLI, "s"),
    Case(KIPPLY, ONE_NODE, _A100, 2, "13B", 1, 512, True, 0, 45.45 * MILLI, "s"),
    Case(KIPPLY, ONE_NODE, _A100, 2, "13B", 1, 512, False, 1, 13.5 * MILLI, "s"),
)

# --- Predictions ----------------------------------------------------------------------------


def rows() -> list[Row]:
    """Every measurement with its prediction."""
    cases = [*_tensorrt(), *OTHERS]
    setups = dict.fromkeys(case.setup for case in cases)
    groups = [[case for case in cases if case.setup == setup] for setup in setups]
    # Groups are repeated to one length, so that two programs are compiled for all of them.
    length = max(map(len, groups))
    found = {}
    for setup, group in zip(setups, groups, strict=True):
        repeated = [group[i % len(group)] for i in range(length)]
        found |= dict(zip(repeated, _predicted(setup, repeated).tolist(), strict=True))
    return [Row(case, found[case]) for case in cases]


def _predicted(setup: Setup, cases: list[Case]) -> np.ndarray:
    """Seconds of cases that share a setup, or tokens/s of each device."""
    batch, devices, prompt, steps, reads = (
        np.array([getattr(case, name) for case in cases], float)
        for name in ("batch", "devices", "prompt", "steps", "reads")
    )
    shapes = jax.tree.map(lambda *x: np.array(x, float), *(SHAPES[case.model] for case in cases))
    deployment = js.serving.Deployment(
        # They all did run, with less room left than a user would leave.
        replace(_accelerator(setup.device), memory_bytes=1e15),
        devices,
        weights=setup.weights,
        activations=setup.arithmetic,
        cache=setup.cache,
        cache_split=setup.cache_split,
    )
    reading = np.asarray(js.serving.prefill(shapes, deployment, batch, prompt).seconds)
    done = np.arange(max(case.steps for case in _tensorrt()))[:, None]
    each = np.asarray(js.serving.step(shapes, deployment, batch, prompt + done).seconds)
    seconds = reads * reading + np.where(done < steps, each, 0).sum(axis=0)
    is_speed = np.array([case.unit == "tokens/s" for case in cases])
    return np.where(is_speed, batch * steps / (seconds * devices), seconds)


def _accelerator(name):
    """As in the catalogue; an H800 is an H100 with links of 160e9 bytes/s (DeepSeek-V3 report)."""
    if name == "H800":
        return js.accelerator("H100-SXM", link_bandwidth=160e9)
    return js.accelerator(name)


def of(found: Iterable[Row], source: str, *kinds: str) -> list[float]:
    """Speeds of the rows of a source, measured over predicted."""
    return [row.speed for row in found if row.case.source == source and row.case.kind in kinds]
