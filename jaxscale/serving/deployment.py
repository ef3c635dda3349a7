"""A deployment: accelerators that serve one copy of a model together, and how well they do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.names import unknown
from jaxscale._numerics.values import is_finite, is_nonnegative, is_positive, where_safe
from jaxscale.architectures.architecture import BYTES_PER_NUMBER
from jaxscale.hardware import NETWORK_BANDWIDTH, PRECISIONS, SECONDS_PER_HOUR, Accelerator

_STATIC = {"static": True}

# One H100 or A100 against the kernels that microsoft/vidur measured (data/profiling, medians): from
# 0.64 to 0.77 of the peak, and from 0.69 to 0.86 of the bandwidth, less where eight share a matrix.
COMPUTE_EFFICIENCY = 0.7
BANDWIDTH_EFFICIENCY = 0.85
EIGHT_WAY_EFFICIENCY = 0.85
# Of the link's bandwidth in one direction, what a reduction over eight H100 of one node reaches
# (387 of 450 GB/s; eight A100 218 of 300), and the time of a short one; the same source.
LINK_EFFICIENCY = 0.86
REDUCE_SECONDS = 30e-6
# From one device to the next: an H100 in the node, and across nodes; the same source.
SEND_SECONDS = 8e-6
SEND_ACROSS_SECONDS = 24e-6
LAUNCH_SECONDS = 4e-6  # of a kernel: ege-erdil/inference-economics, the code of Erdil 2025
USABLE_MEMORY = 0.9
# The arithmetic that numbers stored in these formats run at, where it has another name.
ARITHMETIC: Mapping[str, str] = MappingProxyType({"nvfp4": "fp4", "mxfp4": "fp4"})
SPLITS = ("heads", "batch")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Deployment:
    """Accelerators that together hold one copy of a model, and what share of their rates it gets.

    Each layer's matrices are split over `tensor_parallel` devices, and the layers over as many
    stages as the count then allows; where it is left out, as many devices as one domain links.
    Numbers broadcast and may be traced; precisions are names. The constructor checks nothing.

    | number | default | source |
    | --- | --- | --- |
    | compute_efficiency | 0.7 | kernels of Llama-2-70B on A100 and H100, microsoft/vidur |
    | bandwidth_efficiency | 0.85 | the same |
    | eight_way_efficiency | 0.85 | the same: of both, where eight devices share each matrix |
    | link_efficiency | 0.86 | all-reduce over eight H100, the same; eight A100 reach 0.73 |
    | reduce_seconds | 30e-6 | a short all-reduce over eight H100, the same; eight A100 take 40 |
    | launch_seconds | 4e-6 | each of four kernels a layer, code of Erdil 2025, arXiv 2506.04645 |
    | usable_memory | 0.9 | a convention: the rest is for activations and fragments |

    Examples:
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.0), count=8)
        >>> deployment.ideal().compute_efficiency
        1.0
    """

    accelerator: Accelerator
    count: Real = 1
    weights: str = field(default="bf16", metadata=_STATIC)  # precision that they are stored in
    activations: str = field(default="bf16", metadata=_STATIC)  # and of the arithmetic
    cache: str = field(default="bf16", metadata=_STATIC)  # of keys and values
    tensor_parallel: Real | None = None  # devices that share each matrix; None: a whole domain
    compute_efficiency: Real = COMPUTE_EFFICIENCY  # of the peak, of large matrices on one device
    bandwidth_efficiency: Real = BANDWIDTH_EFFICIENCY  # of the memory's, on one device
    eight_way_efficiency: Real = EIGHT_WAY_EFFICIENCY
    link_efficiency: Real = LINK_EFFICIENCY
    reduce_seconds: Real = REDUCE_SECONDS  # of a short all-reduce in a domain; twice that across
    launch_seconds: Real = LAUNCH_SECONDS
    usable_memory: Real = USABLE_MEMORY  # share of each device's
    workspace_bytes: Real = 0.0  # of each device, besides
    # Whether devices split the cache by heads, of which copies are kept where there are fewer heads
    # than devices, or by sequences.
    cache_split: str = field(default="heads", metadata=_STATIC)

    def ideal(self) -> "Deployment":
        """The same devices at their full rates, all memory usable, without launch and network.

        What remains is the roofline, which can be computed by hand.
        """
        return replace(
            self,
            accelerator=replace(
                self.accelerator, link_bandwidth=np.inf, network_bandwidth=np.inf, domain=np.inf
            ),
            compute_efficiency=1.0,
            bandwidth_efficiency=1.0,
            eight_way_efficiency=1.0,
            link_efficiency=1.0,
            reduce_seconds=0.0,
            launch_seconds=0.0,
            usable_memory=1.0,
            workspace_bytes=0.0,
        )


class Machine(NamedTuple):
    """The numbers of a deployment, its precisions looked up."""

    peak: Any  # FLOP/s of a device
    bandwidth: Any  # bytes/s of its memory
    memory: Any  # bytes
    price: Any  # dollars per device-second; NaN where none was chosen
    count: Any
    tensor_parallel: Any  # 0 stands for a whole domain
    link_bandwidth: Any
    domain: Any
    network_bandwidth: Any
    weight_bytes: Any  # of a number
    activation_bytes: Any
    cache_bytes: Any
    compute_efficiency: Any
    bandwidth_efficiency: Any
    eight_way_efficiency: Any
    link_efficiency: Any
    reduce_seconds: Any
    launch_seconds: Any
    usable_memory: Any
    workspace_bytes: Any
    copies_heads: Any  # 1 where the cache is split by heads, 0 where by sequences

    def is_valid(self) -> Array:
        """Whether each number is of the right sign, and shares are at most 1."""
        good = self.count >= 1
        for each in (self.peak, self.bandwidth, self.memory, self.count):
            good &= is_positive(each)
        for each in (self.link_bandwidth, self.network_bandwidth, self.domain):
            good &= each > 0
        shares = (self.compute_efficiency, self.bandwidth_efficiency, self.eight_way_efficiency)
        for each in (*shares, self.link_efficiency, self.usable_memory):
            good &= (each > 0) & (each <= 1)
        for each in (self.reduce_seconds, self.launch_seconds, self.workspace_bytes):
            good &= is_nonnegative(each)
        good &= is_nonnegative(self.tensor_parallel) & (self.tensor_parallel <= self.count)
        return good & ~(self.price <= 0) & is_finite(jnp.where(self.price > 0, self.price, 0))

    def made_safe(self, good: Array) -> "Machine":
        """The numbers, 1 where they are not good: no NaN may enter a gradient."""
        return jax.tree.map(lambda x: where_safe(good, x), self)


def machine(deployment: Deployment, *, priced: bool = False) -> Machine:
    """The numbers of a deployment; raises for what is wrong by structure.

    TypeError for what is no deployment, ValueError for a precision that the accelerator lacks or
    nobody knows, for several devices whose link no source gives, for a device of unknown memory,
    and, where it must be `priced`, for an accelerator without a price.
    """
    if not isinstance(deployment, Deployment):
        raise TypeError(
            "deployment must be a js.serving.Deployment, such as "
            f"js.serving.Deployment(js.accelerator('H100-SXM', price=2.5)); got {deployment!r}"
        )
    device = deployment.accelerator
    if not isinstance(device, Accelerator):
        raise TypeError(f"accelerator must be a js.accelerator(...); got {device!r}")
    if deployment.cache_split not in SPLITS:
        raise unknown("cache_split", deployment.cache_split, SPLITS)
    if priced and device.price is None:
        raise ValueError(
            f"no price was chosen for {device.name}; pass js.accelerator({device.name!r}, "
            f"price=...) in dollars per device-hour. Quotes: {_quotes(device)}"
        )
    if missing(device):
        raise ValueError(
            f"{device.name} needs its {' and '.join(missing(device))} to serve: give both, as "
            "js.hardware.custom(989e12, memory_bytes=80e9, memory_bandwidth=3.35e12)"
        )
    link, domain = device.link_bandwidth, device.domain
    if link is None:
        if not _is_all(1, deployment.count):
            raise ValueError(
                f"count is above 1, and no source gives the link between devices of {device.name}: "
                f"pass js.accelerator({device.name!r}, link_bandwidth=..., domain=...)"
            )
        link, domain = NETWORK_BANDWIDTH, 1.0
    across = device.network_bandwidth
    split = deployment.tensor_parallel
    return Machine(
        peak=device.peak(ARITHMETIC.get(deployment.activations, deployment.activations)),
        bandwidth=device.memory_bandwidth,
        memory=device.memory_bytes,
        price=_per_second(device.price),
        count=deployment.count,
        tensor_parallel=0.0 if split is None else split,
        link_bandwidth=_needed(link, deployment.count),
        domain=np.inf if domain is None else domain,
        network_bandwidth=NETWORK_BANDWIDTH if across is None else across,
        weight_bytes=bytes_of("weights", deployment.weights),
        activation_bytes=bytes_of("activations", deployment.activations),
        cache_bytes=bytes_of("cache", deployment.cache),
        compute_efficiency=deployment.compute_efficiency,
        bandwidth_efficiency=deployment.bandwidth_efficiency,
        eight_way_efficiency=deployment.eight_way_efficiency,
        link_efficiency=deployment.link_efficiency,
        reduce_seconds=deployment.reduce_seconds,
        launch_seconds=deployment.launch_seconds,
        usable_memory=deployment.usable_memory,
        workspace_bytes=deployment.workspace_bytes,
        copies_heads=float(deployment.cache_split == "heads"),
    )


def _needed(link: Any, count: Any) -> Any:
    """The link, but any where one device serves alone: `comparable` has 0 for one not known."""
    if arrays.is_concrete(link) and np.all(np.asarray(link) > 0):
        return link
    return jnp.where((jnp.asarray(count) <= 1) & (jnp.asarray(link) == 0), NETWORK_BANDWIDTH, link)


def bytes_of(name: str, precision: str) -> float:
    """Bytes of a number in a precision; ValueError that names the argument for an unknown one."""
    known = {**BYTES_PER_NUMBER, "tf32": 4.0, "fp4": 0.5}
    if precision not in known:
        raise unknown(f"precision of {name}", precision, known)
    return known[precision]


def narrowest_of(device: Accelerator, bits: float) -> str | None:
    """The narrowest precision of a device that holds so many bits; None where none does."""
    holding = [
        name
        for name in PRECISIONS
        if name in device.peak_flops and 8 * bytes_of("weights", name) >= bits
    ]
    return min(holding, key=lambda name: bytes_of("weights", name)) if holding else None


def _per_second(price: Any) -> Any:
    if price is None:
        return np.nan
    return price / SECONDS_PER_HOUR


def missing(device: Accelerator) -> list[str]:
    """The numbers that serving needs and that are not known, by name: `hardware.custom` has 0."""
    names = ("memory_bytes", "memory_bandwidth")
    return [name for name in names if _is_all(0, getattr(device, name))]


def _is_all(number: float, values: Any) -> bool:
    return arrays.is_concrete(values) and bool(np.all(np.asarray(values) == number))


def _quotes(device: Accelerator) -> str:
    told = (f"${each.dollars_per_hour:g} ({each.date}, {each.source})" for each in device.quotes)
    return "; ".join(told) or "none known"
