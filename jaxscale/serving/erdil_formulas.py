"""Formulas of Erdil's model of decoding, for numbers of one dtype and rank; nothing is checked.

`a` is an architecture, `device` an `erdil.Device`. The sources are those of `erdil`.
"""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.values import all_positive, is_nonnegative, is_positive
from jaxscale.architectures import counts

Shape: TypeAlias = Any  # an `Architecture`
Machine: TypeAlias = Any  # a `Device`

# Of a layer, one after another: queries, keys and values; projection; feed-forward in; and out.
MATMULS = 4
STAGES = (1, 2, 4, 6)  # of a pipeline, that the released code tries
# Of Section 2.2, in each layer and in seconds: an all-reduce takes the first and, for each rank
# beyond one, the second.
REDUCES, FIRST_SECONDS, RANK_SECONDS = 4, 6e-6, 2e-6


class Run(NamedTuple):
    """The numbers of a pass besides the model and the device."""

    batch: Any
    context: Any
    tokens: Any  # new ones of each sequence
    count: Any = 1.0
    weight_bytes: Any = 2.0  # of a number
    activation_bytes: Any = 2.0
    output_bytes: Any = 2.0  # of the outputs of queries, keys and values

    def is_valid(self) -> Array:
        good = is_nonnegative(self.context)
        for each in (self.count, self.batch, self.tokens):
            good &= is_positive(each) & (each >= 1)
        return good


class Network(NamedTuple):
    """The constants of Section 2.2."""

    weight_bytes: Any
    reduces: Any
    first_seconds: Any
    rank_seconds: Any

    def is_valid(self) -> Array:
        return all_positive(*self)


class Message(NamedTuple):
    """What is sent, over which devices."""

    size: Any  # bytes
    ranks: Any
    nodes: Any

    def is_valid(self) -> Array:
        return is_nonnegative(self.size) & is_positive(self.ranks) & (self.nodes >= 1)


# --- Sizes ----------------------------------------------------------------------------------


def attention_params(a: Shape) -> Array:
    """Of one layer."""
    return 2 * a.width * (a.heads + a.kv_heads) * a.head_size


def matrices(a: Shape) -> int:
    """Of one feed-forward part."""
    return 3 if a.gated else 2


def total_params(a: Shape) -> Array:
    return _of_experts(a, a.experts)


def active_params(a: Shape) -> Array:
    return _of_experts(a, a.active_experts)


def _of_experts(a: Shape, experts: Array) -> Array:
    feed_forward = experts * matrices(a) * a.width * a.ff_width
    return a.layers * (attention_params(a) + feed_forward) + 2 * counts.vocabulary_matrix(a)


def flops(a: Shape, device: Machine, run: Run) -> Array:
    del device
    attended = run.context + (run.tokens - 1) / 2
    scores = 4 * a.layers * counts.attention_width(a) * attended
    return (2 * active_params(a) + scores) * run.batch * run.tokens


def cache_bytes(a: Shape, run: Run) -> Array:
    of_token = 2 * a.layers * a.kv_heads * a.head_size * run.activation_bytes
    return of_token * run.context * run.batch


def where_it_fits(a: Shape, device: Machine, run: Run, seconds: Array) -> Array:
    """The seconds; infinite where weights and cache exceed the memory."""
    stored = run.weight_bytes * total_params(a) + cache_bytes(a, run)
    return jnp.where(stored <= run.count * device.memory_bytes, seconds, jnp.inf)


# --- Layouts --------------------------------------------------------------------------------


class Layout(NamedTuple):
    """How the devices of a stage share a matrix."""

    ranks: Array  # that an all-reduce is over
    nodes: Array
    inner_copies: Array  # of each activation of an inner width: of heads, or of a feed-forward part
    outer_copies: Array  # of each of the model's width
    is_square: bool


def square(devices: Array, domain: Array) -> Layout:
    side = jnp.sqrt(devices)
    return Layout(side, jnp.sqrt(_nodes(devices, domain)), side, side, is_square=True)


def row(devices: Array, domain: Array) -> Layout:
    one = jnp.ones_like(devices)
    return Layout(devices, _nodes(devices, domain), devices, one, is_square=False)


def _nodes(devices: Array, domain: Array) -> Array:
    # A quotient may be an ulp above a whole number, where division is not exact.
    exact = devices / domain * (1 - 4 * jnp.finfo(devices.dtype).eps)
    return jnp.maximum(jnp.ceil(exact), 1)  # of an infinite domain too


def bytes_moved(a: Shape, run: Run, layout: Layout, batch: Array) -> Array:
    """Bytes that a pass over `batch` sequences reads and writes."""
    sequences = batch * run.tokens
    inner, outer = layout.inner_copies, layout.outer_copies

    query_width = counts.attention_width(a)
    output_width = query_width + 2 * a.kv_heads * a.head_size
    heads = inner * (output_width * run.output_bytes + query_width * run.activation_bytes)
    widths = 2 * outer * a.width * run.activation_bytes
    attention = run.weight_bytes * attention_params(a) + sequences * (heads + widths)

    share = a.active_experts / a.experts  # of the tokens, for each expert
    hit = a.experts * (1 - (1 - share) ** sequences)
    copies = (inner * a.ff_width + outer * a.width) * run.activation_bytes
    matrix = run.weight_bytes * a.width * a.ff_width + copies * share * sequences
    feed_forward = hit * matrices(a) * matrix

    logits = run.weight_bytes * counts.vocabulary_matrix(a)
    return (
        cache_bytes(a, run._replace(batch=batch)) + a.layers * (attention + feed_forward) + logits
    )


def words_reduced(a: Shape, layout: Layout) -> tuple[Array, ...]:
    """Of each all-reduce of a layer, the numbers for each token."""
    down = a.active_experts * a.width
    if not layout.is_square:
        return a.width, down
    heads = (a.heads + 2 * a.kv_heads) * a.head_size
    up = a.active_experts * (matrices(a) - 1) * a.ff_width
    return tuple(words / layout.ranks for words in (heads, a.width, up, down))


Arrange: TypeAlias = Callable[[Array, Array], Layout]


def arranged(a: Shape, device: Machine, run: Run, arrange: Arrange, stages: Any) -> Array:
    """Seconds in one layout, in stages that take turns with as many parts of the batch."""
    devices, batch = run.count / stages, run.batch / stages
    layout = arrange(devices, device.domain)
    bytes_of_word = batch * run.tokens * run.activation_bytes
    messages = [
        Message(words * bytes_of_word, layout.ranks, layout.nodes)
        for words in words_reduced(a, layout)
    ]
    reduces = sum(fastest_message(device, each, ways=2) for each in messages)
    memory = stages * bytes_moved(a, run, layout, batch) / device.memory_bandwidth
    busy = jnp.maximum(memory, flops(a, device, run) / device.peak) / run.count
    two = jnp.full_like(devices, 2)
    handed_on = Message(a.width * bytes_of_word / devices, two, two)
    hand_overs = (stages - 1) * fastest_message(device, handed_on, ways=1)
    seconds = a.layers * (MATMULS * device.launch_seconds + reduces) + hand_overs + busy
    return jnp.where(jnp.minimum(run.count, run.batch) >= stages, seconds, jnp.inf)


# --- Variants -------------------------------------------------------------------------------


def paper(a: Shape, device: Machine, run: Run) -> Array:
    return where_it_fits(a, device, run, arranged(a, device, run, square, 1))


def final(a: Shape, device: Machine, run: Run) -> Array:
    return where_it_fits(a, device, run, _best_plan(a, device, run))


def _square_or_row(a: Shape, device: Machine, run: Run, stages: Any) -> Array:
    return jnp.minimum(*(arranged(a, device, run, each, stages) for each in (square, row)))


@jax.custom_jvp
def _best_plan(a: Shape, device: Machine, run: Run) -> Array:
    return reduce(jnp.minimum, [_square_or_row(a, device, run, each) for each in STAGES])


@_best_plan.defjvp
def _best_plan_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # To differentiate each number of stages would triple the time to compile: only the best.
    a, device, run = primals
    times = [_square_or_row(a, device, run, each) for each in STAGES]
    least = reduce(jnp.minimum, times)
    stages = jnp.ones_like(least)
    for each, seconds in zip(STAGES, times, strict=True):
        stages = jnp.where(seconds == least, each, stages)
    _, slope = jax.jvp(partial(_square_or_row, stages=stages), primals, tangents)
    return least, slope


def network_only(a: Shape, device: Machine, run: Run) -> Array:
    network = Network(run.weight_bytes, REDUCES, FIRST_SECONDS, RANK_SECONDS)
    arithmetic = 2 * total_params(a) * run.batch * run.tokens / (run.count * device.peak)
    busy = jnp.maximum(_reading(a, device, network) / run.count, arithmetic)
    return where_it_fits(a, device, run, _waiting(a, network, run.count) + busy)


VARIANTS: Mapping[str, Callable[[Shape, Machine, Run], Array]] = MappingProxyType(
    {"final": final, "paper": paper, "network_only": network_only}
)


def fastest(a: Shape, device: Machine, network: Network) -> tuple[Array, Array]:
    """The best count of devices and its seconds, by the closed form."""
    reading = _reading(a, device, network)
    of_ranks = a.layers * network.reduces * network.rank_seconds
    count = jnp.maximum((2 * reading / of_ranks) ** (2 / 3), 1)
    return count, _waiting(a, network, count) + reading / count


def _waiting(a: Shape, network: Network, count: Array) -> Array:
    """Seconds of all all-reduces."""
    each = network.first_seconds + network.rank_seconds * (jnp.sqrt(count) - 1)
    return a.layers * network.reduces * each


def _reading(a: Shape, device: Machine, network: Network) -> Array:
    """Seconds in which one device reads all weights."""
    return network.weight_bytes * total_params(a) / device.memory_bandwidth


# --- Messages -------------------------------------------------------------------------------


class Protocol(NamedTuple):
    inside: float  # seconds of a hop within a node
    across: float  # seconds of a doubling of nodes
    base: float  # seconds
    share: float  # of the bandwidth


# NCCL's own model of its protocols, as the released code has it.
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "LL": Protocol(0.6e-6, 5e-6, 6.8e-6, 0.5),
        "LL128": Protocol(1.25e-6, 8.5e-6, 14e-6, 0.95),
        "Simple": Protocol(28e-6, 28e-6, 0.0, 1.0),
    }
)


def message_seconds(device: Machine, message: Message, ways: int, protocol: Protocol) -> Array:
    """Seconds of a reduction, which goes there and back in 2 ways, or of a hand-over, in 1."""
    size, ranks, nodes = message
    hops = ranks / nodes - 1
    latency = ways * (hops * protocol.inside + protocol.across * jnp.log2(nodes)) + protocol.base
    # Inverses, because a bandwidth may be infinite: its product with ranks has no derivative.
    inside = nodes * jnp.maximum(hops, 0) * (1 / device.link_bandwidth)
    across = (nodes - 1) * (1 / device.network_bandwidth)
    seconds = latency + ways * size * (inside + across) / (ranks * protocol.share)
    return jnp.where(ranks > 1, seconds, 0)


def fastest_message(device: Machine, message: Message, ways: int) -> Array:
    times = [message_seconds(device, message, ways, each) for each in PROTOCOLS.values()]
    return reduce(jnp.minimum, times)


def _all_reduce(a: None, device: Machine, message: Message, *, protocol: Protocol) -> Array:
    del a
    return message_seconds(device, message, 2, protocol)


def _fastest_all_reduce(a: None, device: Machine, message: Message) -> Array:
    del a
    return fastest_message(device, message, 2)


# Made once, so that each is compiled once.
ALL_REDUCES: Mapping[str | None, Callable[[None, Machine, Message], Array]] = MappingProxyType(
    {
        None: _fastest_all_reduce,
        **{name: partial(_all_reduce, protocol=each) for name, each in PROTOCOLS.items()},
    }
)
