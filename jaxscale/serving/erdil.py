"""Decoding time by the full model of Erdil 2025, with the time of each all-reduce and launch.

A pass takes the time to launch its kernels and to wait for its all-reduces, one after another,
and the longer of the times of memory and of arithmetic, both at their peaks. The model
is that of Erdil 2025, arXiv 2506.04645, as in its released code: ege-erdil/inference-economics,
notebook of 2024-09-06. In formulas, P is `params`, h and k are the heads of queries and of keys, q
is their size, f the feed-forward width and V the vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.names import unknown
from jaxscale._numerics.values import is_nonnegative, where_safe
from jaxscale.architectures.architecture import BYTES_PER_NUMBER, NUMBERS, Architecture, checked
from jaxscale.hardware import Accelerator
from jaxscale.serving import erdil_formulas as formulas

LAUNCH_SECONDS = 4e-6  # of a kernel, in the released code


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Device:
    """One accelerator as the model sees it; numbers broadcast and may be traced.

    Examples:
        >>> h100 = js.serving.erdil.Device(
        ...     peak=1e15, memory_bandwidth=3.3e12, memory_bytes=8e10,
        ...     link_bandwidth=450e9, domain=8, network_bandwidth=50e9,
        ... )
        >>> h100.launch_seconds
        4e-06
    """

    peak: Real  # FLOP/s at the precision of the arithmetic
    memory_bandwidth: Real  # bytes/s
    memory_bytes: Real
    link_bandwidth: Real  # bytes/s in one direction, inside a node
    domain: Real  # devices of a node, which links join
    network_bandwidth: Real  # bytes/s of a device in one direction, between nodes
    launch_seconds: Real = LAUNCH_SECONDS  # of a kernel


_DEVICE = tuple(each.name for each in fields(Device))
_RATES = _DEVICE[:-1]


def device_of(accelerator: Accelerator, arithmetic: str = "bf16", **numbers: ArrayLike) -> Device:
    """The `Device` of an accelerator, with its peak at the precision of the arithmetic.

    `numbers` replace fields. Raises ValueError for a precision that the accelerator lacks, and for
    a link, domain or network that no source gives; a domain of 1 needs no link.

    Examples:
        >>> print(js.serving.erdil.device_of(js.accelerator("H100-SXM"), "fp8").peak)
        1979000000000000.0
    """
    chosen = {
        "peak": accelerator.peak(arithmetic),
        "memory_bandwidth": accelerator.memory_bandwidth,
        "memory_bytes": accelerator.memory_bytes,
        "link_bandwidth": accelerator.link_bandwidth,
        "domain": accelerator.domain,
        "network_bandwidth": accelerator.network_bandwidth,
        **numbers,
    }
    if chosen["link_bandwidth"] is None and _is_one(chosen["domain"]):
        chosen["link_bandwidth"] = jnp.inf
    missing = [f"{name}=..." for name, value in chosen.items() if value is None]
    if missing:
        raise ValueError(f"no source gives these of {accelerator.name}: pass {', '.join(missing)}")
    return Device(**chosen)


def _is_one(domain: Any) -> bool:
    return isinstance(domain, int | float) and domain == 1


# --- Sizes ----------------------------------------------------------------------------------


def params(architecture: Architecture) -> Array:
    """All parameters, as the source counts them.

    `layers (2 width (h + k) q + experts m width f) + 2 V width`, where m is 3 if gated, else 2: no
    norms or routers, and two tables of embeddings even if they are tied.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.serving.erdil.params(shape):.6g}")
        8.03e+09
    """
    return checked(formulas.total_params, architecture)


def active_params(architecture: Architecture) -> Array:
    """`params` without the experts that a token does not run through.

    The ratio of experts to active experts is exact; the released code rounds it down.

    Examples:
        >>> shape = js.architectures.published("mixtral-8x7b")
        >>> print(f"{js.serving.erdil.active_params(shape):.6g}")
        1.28786e+10
    """
    return checked(formulas.active_params, architecture)


def flops(
    architecture: Architecture, batch: ArrayLike, context: ArrayLike, tokens: ArrayLike = 1
) -> Array:
    """FLOPs of a pass of `tokens` tokens in each of `batch` sequences after `context` others.

    `2 P_active B s + 4 layers h q B s (c + (s - 1) / 2)`. NaN where a number is bad.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.serving.erdil.flops(shape, batch=64, context=2048):.4g}")
        1.097e+12
    """
    numbers = formulas.Run(batch=batch, context=context, tokens=tokens)
    return _evaluated(formulas.flops, architecture, None, numbers)


def tokens_per_round(drafts: ArrayLike, acceptance: ArrayLike) -> Array:
    """Mean tokens of a round of speculative decoding: `(1 - a^(drafts + 1)) / (1 - a)`.

    Each draft is accepted with probability a if all before it were, and the model adds one token
    of its own (Leviathan et al. 2023, eq. 1). A round takes `drafts` steps of the draft model and
    one `step` of `drafts + 1` tokens. NaN with zero derivatives unless drafts are at least 0 and a
    is from 0 to 1.

    Examples:
        >>> print(js.serving.erdil.tokens_per_round(4, 0.8))
        3.3616
    """
    drafts, acceptance = arrays.enter(drafts=drafts, acceptance=acceptance)
    return _tokens_per_round(drafts, acceptance)


@jax.jit
def _tokens_per_round(drafts: Array, acceptance: Array) -> Array:
    drafts, acceptance = arrays.align(drafts, acceptance)
    good = is_nonnegative(drafts) & (acceptance >= 0) & (acceptance <= 1)
    count, a = where_safe(good, drafts) + 1, where_safe(good, acceptance)
    # The quotient cancels near 1. At 1 it is 0 / 0: there, the sum of powers to first order.
    missing = 1 - a
    from_zero = (1 - jnp.where(a < 0.5, a, 0) ** count) / jnp.where(a < 0.5, missing, 1)
    inside = (a >= 0.5) & (a < 1)
    logs = jnp.log1p(-jnp.where(inside, missing, 0.5))
    from_half = -jnp.expm1(count * logs) / jnp.where(inside, missing, 1)
    at_one = count - missing * count * (count - 1) / 2
    value = jnp.where(a < 0.5, from_zero, jnp.where(inside, from_half, at_one))
    return jnp.where(good, value, jnp.nan)


# --- Seconds --------------------------------------------------------------------------------


def step(
    architecture: Architecture,
    device: Device,
    count: ArrayLike,
    batch: ArrayLike,
    context: ArrayLike,
    *,
    variant: str = "final",
    tokens: ArrayLike = 1,
    weights: str = "bf16",
    activations: str = "bf16",
    as_released: bool = False,
) -> Array:
    """Seconds of a pass over `batch` sequences with `context` tokens in the cache of each.

    A pass computes `tokens` new tokens for each sequence: 1 in decoding, `drafts + 1` to check
    drafts. With n devices of peak F and memory bandwidth W, B sequences, s new tokens after c
    cached ones, and w and a bytes of a weight and of an activation (and of a cached number):

        seconds = 4 layers launch + layers sum(all-reduces) + max(bytes / (n W), flops / (n F))
        bytes = 2 layers k q a B c + layers sum(matrices) + w V width
        matrix from i to o numbers = w i o + a B s (copies of i * i + copies of o * o)

    `flops` has the FLOPs and `all_reduce_seconds` the all-reduces, each of a B s bytes a word. The
    matrices of a layer are that of queries, keys and values, the projection, and those of
    feed-forward parts: of the experts, B s tokens hit the share `1 - (1 - active / experts)^(B s)`,
    and each has its share of the tokens.

    | layout | ranks | copies of inner numbers, of the width | words of a layer's all-reduces |
    | --- | --- | --- | --- |
    | square | sqrt(n) | sqrt(n), sqrt(n) | q (h + 2 k), width, E m f, E width; all over sqrt(n) |
    | row | n | n, 1 | width, E width |

    E is the number of active experts, and m is 2 where they are gated, else 1. The variant "paper"
    is the square. "final" takes the fastest of both, in 1, 2, 4 or 6 pipeline stages that take
    turns with as many parts of the batch: each stage has its share of the devices and hands on
    `a B s width / n` bytes. "network_only" is Section 2.2: four all-reduces of
    `6 us + 2 us (sqrt(n) - 1)` in each layer, and `max(w P / (n W), 2 P B s / (n F))`.

    Seconds jump where a layout needs one more node. Infinite where weights and cache exceed the
    memory of n devices. NaN with zero derivatives where a number is bad: count, batch and tokens
    are at least 1. Raises ValueError for an unknown variant or precision.

    The released code counts one byte for each output of queries, keys and values, whatever a is.
    `as_released` does so too, which takes up to 0.4 % off the published points. That code also
    takes F from the precision of the weights; here F is the device's.

    Examples:
        >>> shape = js.architectures.published("llama-3-70b")
        >>> h100 = js.serving.erdil.device_of(js.accelerator("H100-SXM"))
        >>> seconds = js.serving.erdil.step(shape, h100, count=8, batch=64, context=2048)
        >>> print(f"{1e3 * seconds:.1f} ms")
        12.1 ms
    """
    if variant not in formulas.VARIANTS:
        raise unknown("variant", variant, formulas.VARIANTS)
    activation_bytes = _bytes_of("activations", activations)
    numbers = formulas.Run(
        count=count,
        batch=batch,
        context=context,
        tokens=tokens,
        weight_bytes=_bytes_of("weights", weights),
        activation_bytes=activation_bytes,
        output_bytes=1.0 if as_released else activation_bytes,
    )
    return _evaluated(formulas.VARIANTS[variant], architecture, device, numbers)


class Fastest(NamedTuple):
    """The number of devices, not rounded, that decodes one sequence fastest.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> h100 = js.serving.erdil.device_of(js.accelerator("H100-SXM"))
        >>> print(f"{js.serving.erdil.fastest(shape, h100).count:.1f}")
        11.2
    """

    count: Array
    seconds: Array  # of a token


def fastest(
    architecture: Architecture,
    device: Device,
    *,
    weights: str = "bf16",
    reduces: ArrayLike = formulas.REDUCES,
    first_seconds: ArrayLike = formulas.FIRST_SECONDS,
    rank_seconds: ArrayLike = formulas.RANK_SECONDS,
) -> Fastest:
    """The number of devices that decodes one sequence fastest, in closed form.

    Each layer has `reduces` all-reduces of `first_seconds + rank_seconds (sqrt(n) - 1)`, and n
    devices read the weights in `w P / (n W)`: `step` in the variant "network_only", while memory
    is the limit. The sum is least at `n = (2 w P / (reduces layers rank_seconds W))^(2/3)`, or at 1
    if that is less. Whether the model fits is not asked. Parallel attention, as in PaLM, has 2
    all-reduces. Defaults are those of Section 2.2 of the source. NaN where a number is bad.

    Examples:
        >>> shape = js.architectures.published("llama-3-70b")
        >>> h100 = js.serving.erdil.device_of(js.accelerator("H100-SXM"))
        >>> fastest = js.serving.erdil.fastest(shape, h100)
        >>> print(f"{1 / fastest.seconds:.1f} tokens/s on {fastest.count:.1f} devices")
        162.2 tokens/s on 25.9 devices
    """
    weight_bytes = _bytes_of("weights", weights)
    numbers = formulas.Network(weight_bytes, reduces, first_seconds, rank_seconds)
    return Fastest(*_evaluated(formulas.fastest, architecture, device, numbers))


def all_reduce_seconds(
    device: Device,
    size: ArrayLike,
    ranks: ArrayLike,
    nodes: ArrayLike,
    protocol: str | None = None,
) -> Array:
    """Seconds of an NCCL all-reduce of `size` bytes over `ranks` devices in `nodes` nodes.

    By one protocol, or by the fastest for the size. With r ranks in N nodes, and W_in and W_out the
    bandwidths in one direction inside a node and between nodes:

        seconds = 2 ((r / N - 1) inside + across log2(N)) + base
                  + 2 size (N max(0, r / N - 1) / W_in + (N - 1) / W_out) / (r share)

    | protocol | inside, us | across, us | base, us | share of the bandwidth |
    | --- | --- | --- | --- | --- |
    | LL | 0.6 | 5 | 6.8 | 0.5 |
    | LL128 | 1.25 | 8.5 | 14 | 0.95 |
    | Simple | 28 | 28 | 0 | 1 |

    The constants are those of NCCL, as the released code has them. 0 for one rank. Ranks and nodes
    need not be whole. NaN where a number is bad; ValueError for an unknown protocol.

    Examples:
        >>> h100 = js.serving.erdil.device_of(js.accelerator("H100-SXM"))
        >>> seconds = js.serving.erdil.all_reduce_seconds(h100, 2**20, ranks=8, nodes=1)
        >>> print(f"{1e6 * seconds:.1f} us")
        23.4 us
    """
    if protocol not in formulas.ALL_REDUCES:
        raise unknown("protocol", protocol, formulas.PROTOCOLS)
    message = formulas.Message(size, ranks, nodes)
    return _evaluated(formulas.ALL_REDUCES[protocol], None, device, message)


# --- Checks of what enters ------------------------------------------------------------------


Formula = Callable[[Any, Any, Any], Any]


def _evaluated(
    formula: Formula, architecture: Architecture | None, device: Device | None, numbers: Any
) -> Any:
    """`formula` of any numbers that broadcast; NaN where one is bad."""
    if architecture is not None and not isinstance(architecture, Architecture):
        raise TypeError(f"architecture must be an Architecture; got {architecture!r}")
    if device is not None and not isinstance(device, Device):
        raise TypeError(f"device must be a Device, such as device_of makes; got {device!r}")
    shapes = {} if architecture is None else {name: getattr(architecture, name) for name in NUMBERS}
    rates = {} if device is None else {name: getattr(device, name) for name in _DEVICE}
    named = {f"architecture.{name}": value for name, value in shapes.items()}
    named |= {f"device.{name}": value for name, value in rates.items()}
    entered = iter(arrays.enter(**named, **numbers._asdict()))
    if architecture is not None:
        architecture = replace(architecture, **{name: next(entered) for name in shapes})
    if device is not None:
        device = Device(**{name: next(entered) for name in rates})
    return _masked(formula, architecture, device, type(numbers)(*entered))


@partial(jax.jit, static_argnums=0)
def _masked(formula: Formula, *parts: Any) -> Any:
    architecture, device, numbers = parts = arrays.align(*parts)
    good = numbers.is_valid()
    if architecture is not None:
        good &= architecture.is_valid()
    if device is not None:
        for name in _RATES:  # which may be infinite
            good &= getattr(device, name) > 0
        good &= is_nonnegative(device.launch_seconds)
    safe = jax.tree.map(lambda x: where_safe(good, x), parts)
    return jax.tree.map(lambda x: jnp.where(good, x, jnp.nan), formula(*safe))


def _bytes_of(name: str, precision: str) -> float:
    if precision not in BYTES_PER_NUMBER:
        raise unknown(f"precision of {name}", precision, BYTES_PER_NUMBER)
    return BYTES_PER_NUMBER[precision]
