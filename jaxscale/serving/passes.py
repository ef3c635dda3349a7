"""One pass of a model over a batch: how long it takes, what limits it, and what it costs.

Each layer multiplies by its matrices, attends to the cache, and adds up the parts that its devices
have; each of these is bound by arithmetic, by memory or by the links. Sources: the additive form is
that of the JAX scaling book (jax-ml/scaling-book, `inference.md`), the form with one maximum that
of the code of Erdil 2025 (ege-erdil/inference-economics).
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.names import unknown
from jaxscale._numerics.quantities import elapsed, percent
from jaxscale._numerics.values import is_finite, is_nonnegative, is_positive, where_safe
from jaxscale.architectures import counts
from jaxscale.architectures.architecture import Architecture
from jaxscale.serving.deployment import (
    SEND_ACROSS_SECONDS,
    SEND_SECONDS,
    Deployment,
    Machine,
    machine,
)
from jaxscale.status import Status, first_status, is_ok

MILLION = 1e6
# Reductions in a layer, after attention and after the feed-forward part, and kernels launched.
REDUCES, LAUNCHES = 2, 4
FORMS = ("additive", "max")


class Limit(enum.IntEnum):
    """What the largest share of a pass is spent on.

    Examples:
        >>> shape, device = js.architectures.published("llama-3-8b"), js.accelerator("H100-SXM")
        >>> step = js.serving.step(shape, js.serving.Deployment(device), batch=1, context=2048)
        >>> js.serving.Limit(int(step.limit)).sentence
        'Reading weights takes the most time: a larger batch shares it.'
    """

    sentence: str

    def __new__(cls, value: int, sentence: str) -> "Limit":
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    COMPUTE = 0, "Arithmetic takes the most time: a larger batch gains no more."
    WEIGHTS = 1, "Reading weights takes the most time: a larger batch shares it."
    CACHE = 2, "Reading the cache takes the most time: shorten it, or store it in fewer bytes."
    NETWORK = 3, "Links between devices take the most time: use fewer, or faster links."
    LAUNCH = 4, "Launching kernels takes the most time: use fewer layers, or graphs of kernels."


def _share(x: float) -> str:
    return "nan" if math.isnan(x) else percent(x)


# How cells of results are written; speeds, prices and batches as counts.
WRITERS: dict[str, Callable[[Any], str]] = {
    "seconds": elapsed,
    "token_seconds": elapsed,
    "first_token_seconds": elapsed,
    "mfu": _share,
    "mbu": _share,
    "decode_mfu": _share,
    "limit": lambda x: Limit(int(x)).name if x >= 0 else "none",
    "status": lambda x: Status(int(x)).name,
}
_SHOWN = ("seconds", "tokens_per_second", "mfu", "mbu", "dollars_per_million_tokens")


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Pass:
    """One pass over a batch. Every field has the full shape of all that was given.

    Where the status is not OK, all numbers but those of memory are NaN.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.0))
        >>> step = js.serving.step(shape, deployment, batch=64, context=1024)
        >>> print(f"{step.seconds * 1e3:.2f} ms, {step.mbu:.0%} of the bandwidth")
        8.80 ms, 80% of the bandwidth
    """

    seconds: Array
    tokens_per_second: Array  # of the whole deployment
    tokens_per_second_per_user: Array  # of one sequence
    mfu: Array  # FLOPs of the model over what the peaks allow in that time
    mbu: Array  # bytes of weights and cache over what the memories allow in that time
    limit: Array  # int8, a member of Limit
    memory_bytes: Array  # of weights, cache and workspace, on each device
    memory_left: Array  # of the usable memory of each device; negative where it does not fit
    dollars_per_million_tokens: Array  # NaN without a price
    status: Array  # int8, a member of Status

    def __repr__(self) -> str:
        return _display.scenarios(self, self._columns, WRITERS)

    def _repr_html_(self) -> str | None:
        return _display.scenarios_html(self, self._columns, WRITERS)

    def _columns(self) -> dict[str, Array]:
        """What is shown of each scenario."""
        numbers = {name: getattr(self, name) for name in _SHOWN}
        return {**numbers, "limit": jnp.where(self.ok, self.limit, -1), "status": self.status}

    @property
    def ok(self) -> Array:
        """Whether the numbers are given: boolean, of the full shape."""
        return is_ok(self.status)


def step(
    architecture: Architecture,
    deployment: Deployment,
    batch: ArrayLike,
    context: ArrayLike,
    *,
    streams: ArrayLike = 1.0,
    attention: str = "additive",
    sharpness: float | None = None,
) -> Pass:
    """One step of decoding: each of `batch` sequences gets a token, with `context` tokens cached.

    `t = launches + network + max(2 P B / F, w P / W) + max(cache, scores)`, F and W being what all
    devices that share a matrix reach, P the params that are multiplied or read. With
    `attention="max"` the maximum is one, of all arithmetic and all bytes: never longer, and by half
    at the most. Stages of a pipeline each take their share of the batch, one after the other. All
    arguments broadcast as in NumPy; works under jit, vmap and grad.

    Args:
        architecture: the shape of the model.
        deployment: what serves one copy of it.
        batch: sequences decoded together, from 1.
        context: tokens of each that are cached already, at most the model's own context.
        streams: copies of each sequence that run through the layers, as in `Requests`.
        attention: "additive", as the JAX scaling book has it, or "max".
        sharpness: p of a smooth maximum `(x^p + y^p)^(1/p)`, which is never below the maximum and
            at most 2^(1/p) times it; without one, the maximum itself, which has kinks.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, the accelerator lacks a precision, or a name is
            unknown.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.5))
        >>> step = js.serving.step(shape, deployment, batch=64, context=2048)
        >>> print(f"{step.seconds * 1e3:.1f} ms, ${step.dollars_per_million_tokens:.2f}")
        11.8 ms, $0.13
    """
    return _public(
        architecture,
        deployment,
        batch,
        1.0,
        context,
        None,
        streams,
        attention=attention,
        sharpness=sharpness,
    )


def prefill(
    architecture: Architecture,
    deployment: Deployment,
    batch: ArrayLike,
    prompt: ArrayLike,
    *,
    cached: ArrayLike = 0.0,
    streams: ArrayLike = 1.0,
    attention: str = "additive",
    sharpness: float | None = None,
) -> Pass:
    """One pass over `batch` prompts of `prompt` tokens, of which the first `cached` are known.

    As `step`, of all new tokens at once; each attends to those before it, and logits are those of
    the last. Tokens and dollars count the whole prompt, cached tokens too.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.5))
        >>> prefill = js.serving.prefill(shape, deployment, batch=1, prompt=2048)
        >>> print(f"{prefill.seconds * 1e3:.0f} ms at {prefill.mfu:.0%} of the peak")
        43 ms at 69% of the peak
    """
    return _public(
        architecture,
        deployment,
        batch,
        prompt,
        0.0,
        cached,
        streams,
        attention=attention,
        sharpness=sharpness,
    )


class Work(NamedTuple):
    """What a pass does with each sequence."""

    new: Array  # tokens that it adds
    attended: Array  # tokens that the last one attends to
    cached: Array  # tokens whose keys and values are read
    logits: Array  # tokens whose logits are wanted
    first: Array | None = None  # tokens that the first one attends to, where it reads a prompt
    streams: Array | float = 1.0  # copies of it that run through the layers


class Times(NamedTuple):
    """Seconds of a pass by what they go to."""

    launch: Array
    network: Array
    compute: Array  # products with matrices
    weights: Array  # reading them
    scores: Array  # arithmetic of attention
    cache: Array  # reading keys and values

    def total(self, form: str = "additive", sharpness: float | None = None) -> Array:
        """Seconds of the whole pass."""
        fixed = self.launch + self.network
        if form == "max":
            arithmetic, memory = self.compute + self.scores, self.weights + self.cache
            return fixed + larger(arithmetic, memory, sharpness)
        dense = larger(self.compute, self.weights, sharpness)
        return fixed + dense + larger(self.scores, self.cache, sharpness)

    def limit(self) -> Array:
        """The member of `Limit` that takes the most."""
        dense_is_compute, scores_are_more = self.compute > self.weights, self.scores > self.cache
        compute = jnp.where(dense_is_compute, self.compute, 0)
        parts = (
            compute + jnp.where(scores_are_more, self.scores, 0),
            jnp.where(dense_is_compute, 0, self.weights),
            jnp.where(scores_are_more, 0, self.cache),
            self.network,
            self.launch,
        )
        most, limit = parts[0], jnp.int8(Limit.COMPUTE)
        for member, part in zip(list(Limit)[1:], parts[1:], strict=True):
            limit = jnp.where(part > most, jnp.int8(member), limit)
            most = jnp.maximum(part, most)
        return limit


class Rates(NamedTuple):
    """What a pass takes for each sequence, and whatever their number: seconds, FLOPs and bytes."""

    launch: Array
    latency: Array  # of all messages
    network: Array  # of each sequence, and so to `cache`
    compute: Array
    scores: Array
    cache: Array
    weights: Array  # of the whole pass
    experts: Array  # of the whole pass, were all of them read
    idle: Array | None  # share of the experts that a token does not run through; None where none is
    new: Array  # tokens of each sequence
    run: Array  # tokens that run through the layers, of each sequence: in every stream
    flops: Array  # of each sequence
    bytes: Array  # of each sequence: keys and values
    weight_bandwidth: Array  # bytes/s at which weights are read

    def times(self, part: Array) -> Times:
        """Seconds of a pass over `part` sequences."""
        return Times(
            launch=self.launch,
            network=self.latency + part * self.network,
            compute=part * self.compute,
            weights=self.weights + self.experts * self.share_of_experts(part * self.run),
            scores=part * self.scores,
            cache=part * self.cache,
        )

    def share_of_experts(self, tokens: Array) -> Array | float:
        """The expected share of the experts that at least one of `tokens` tokens runs through.

        `1 - (1 - k / E)^tokens` for k of E experts, as the code of Erdil 2025 has it.
        """
        if self.idle is None:
            return 1.0
        # A power of 0 has no derivative: of one expert, or of all of them, none is idle.
        some = self.idle > 0
        return 1 - jnp.where(some, jnp.where(some, self.idle, 0.5) ** tokens, 0)


def rates(
    a: Architecture, m: Machine, split: "Layout", work: Work, *, dense: bool = False
) -> Rates:
    """What a pass takes on the devices of one stage; all numbers are aligned and valid.

    `dense` says that no expert is ever idle, which saves what depends on it.
    """
    logits = counts.vocabulary_matrix(a)
    run = work.new * work.streams
    # Streams are summed before their logits are computed (Chen et al. 2025, arXiv 2505.10475).
    multiplied = run * (counts.matmul_params(a) - logits) + work.logits * logits
    if work.first is None:
        scores = run * counts.attention_flops(a, work.attended)
    else:
        scores = run * counts.unpacked_attention_flops(a, work.attended, work.first)
    kept = work.streams * counts.cached_numbers(a, work.cached) * m.cache_bytes
    idle_weights = counts.read_params(a, jnp.zeros_like(a.experts)) * m.weight_bytes
    all_weights = counts.read_params(a, jnp.ones_like(a.experts)) * m.weight_bytes
    reduces = REDUCES * a.layers
    between = run * a.width * m.activation_bytes
    reduce_latency, reduce_rate = reduction(m, split)
    send_latency, send_rate = sending(m, split)
    return Rates(
        launch=LAUNCHES * a.layers * m.launch_seconds,
        latency=reduces * reduce_latency + send_latency,
        network=between * (reduces * reduce_rate + send_rate),
        compute=2 * multiplied / split.flops,
        scores=scores / split.flops,
        cache=work.streams * sequence_bytes(a, m, split, work.cached) / split.bandwidth,
        weights=idle_weights / split.bandwidth,
        experts=(all_weights - idle_weights) / split.bandwidth,
        idle=None if dense else 1 - a.active_experts / a.experts,
        new=work.new,
        run=run,
        flops=2 * multiplied + scores,
        bytes=kept,
        weight_bandwidth=split.bandwidth,
    )


def larger(x: Array, y: Array, sharpness: float | None) -> Array:
    """The larger of two times, or their p-norm, which has derivatives everywhere above 0."""
    if sharpness is None:
        return jnp.maximum(x, y)
    top = jax.lax.stop_gradient(jnp.maximum(jnp.maximum(x, y), jnp.finfo(x.dtype).tiny))
    a, b = ((each / top) ** sharpness for each in (x, y))
    some = a + b > 0
    return top * jnp.where(some, jnp.where(some, a + b, 1) ** (1 / sharpness), 0)


class Layout(NamedTuple):
    """How a machine is split, and what the devices that share a matrix reach together."""

    tensor: Array  # devices that share each matrix
    stages: Array
    flops: Array  # FLOP/s of those devices
    bandwidth: Array  # bytes/s


def tensor_of(m: Machine) -> Array:
    """Devices that share each matrix: as given, or of as few equal stages as domains allow."""
    stages = jnp.maximum(jnp.ceil(m.count / m.domain), 1)
    return jnp.where(m.tensor_parallel > 0, m.tensor_parallel, m.count / stages)


def is_whole(m: Machine) -> Array:
    """Whether all stages have as many devices, a whole number of them."""
    tensor = tensor_of(m)
    stages = m.count / tensor
    return (tensor == jnp.round(tensor)) & (stages == jnp.round(stages))


def layout(m: Machine) -> Layout:
    """How the machine is split: over a domain where nothing is said, and else as given."""
    tensor = tensor_of(m)
    share = m.eight_way_efficiency ** (jnp.log2(tensor) / 3)
    return Layout(
        tensor,
        m.count / tensor,
        tensor * m.peak * m.compute_efficiency * share,
        tensor * m.bandwidth * m.bandwidth_efficiency * share,
    )


def reduction(m: Machine, split: Layout) -> tuple[Array, Array]:
    """Seconds of a short reduction over the devices that share a matrix, and of each byte more.

    In a domain `2 (n - 1) / n` times the bytes go over a link; across domains, what is left for
    each device goes over the network besides.
    """
    inside = jnp.minimum(split.tensor, m.domain)
    outside = split.tensor / inside
    link, network = (x * m.link_efficiency for x in (m.link_bandwidth, m.network_bandwidth))
    near = 2 * (inside - 1) / inside / link
    far = 2 * (outside - 1) / outside / (inside * network)
    steps = jnp.where(inside > 1, 1, 0) + jnp.where(outside > 1, 1, 0)
    return steps * m.reduce_seconds, near + far


def sending(m: Machine, split: Layout) -> tuple[Array, Array]:
    """Seconds in which all stages hand something short to the next, and of each byte more."""
    within = m.count <= m.domain
    rate = jnp.where(within, m.link_bandwidth, m.network_bandwidth) * m.link_efficiency
    # Without a time for reductions the machine is an ideal one.
    latency = jnp.where(
        m.reduce_seconds > 0, jnp.where(within, SEND_SECONDS, SEND_ACROSS_SECONDS), 0
    )
    times = split.stages - 1
    return times * latency, times / (split.tensor * rate)


def cache_copies(a: Architecture, m: Machine, split: Layout) -> Array:
    """How many devices keep the same keys and values: those that share a head of them."""
    heads = jnp.where(a.kv_latent > 0, 1, a.kv_heads)  # latents are one head that all share
    return jnp.where(m.copies_heads > 0, jnp.maximum(split.tensor / heads, 1), 1)


def weight_bytes(a: Architecture, m: Machine) -> Array:
    """Bytes of all weights."""
    return m.weight_bytes * counts.total(a)


def sequence_bytes(a: Architecture, m: Machine, split: Layout, kept: Array) -> Array:
    """Bytes that `kept` tokens of one sequence take, copies counted; a state has none."""
    state = a.linear_layers * a.linear_state
    keys_and_values = counts.cached_numbers(a, kept) - state
    return (keys_and_values * cache_copies(a, m, split) + state) * m.cache_bytes


def _public(
    architecture: Architecture,
    deployment: Deployment,
    batch: ArrayLike,
    new: ArrayLike,
    known: ArrayLike,
    cached: ArrayLike | None,
    streams: ArrayLike,
    *,
    attention: str,
    sharpness: float | None,
) -> Pass:
    if attention not in FORMS:
        raise unknown("attention", attention, FORMS)
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture must be an Architecture; got {architecture!r}")
    if sharpness is not None and not (isinstance(sharpness, int | float) and sharpness >= 1):
        raise ValueError(f"sharpness must be at least 1; got {sharpness!r}")
    entered = arrays.enter(
        architecture=architecture,
        machine=machine(deployment),
        batch=batch,
        new=new,
        known=known,
        cached=0.0 if cached is None else cached,
        streams=streams,
    )
    return _one_pass((cached is not None, attention, sharpness), *entered)


@partial(compiled, static=1)
def _one_pass(
    kind: tuple[bool, str, float | None],
    a: Architecture,
    m: Machine,
    batch: Array,
    new: Array,
    known: Array,
    cached: Array,
    streams: Array,
) -> Pass:
    reads, form, sharpness = kind
    given = a, m, batch, new, known, cached, streams
    a, m, batch, new, known, cached, streams = given = arrays.align(*given)
    good = a.is_valid() & m.is_valid() & is_whole(m) & (batch >= 1) & is_finite(batch)
    good &= is_positive(new) & is_nonnegative(known) & is_nonnegative(cached) & (cached < new)
    good &= (streams >= 1) & is_finite(streams)
    a, m, batch, new, known, cached, streams = jax.tree.map(lambda x: where_safe(good, x), given)
    if reads:
        longest, work = new, Work(new - cached, new, new, jnp.ones_like(new), cached, streams)
    else:
        longest, work = known, Work(new, known, known, jnp.ones_like(new), streams=streams)
    split = layout(m)
    # Stages work on parts of the batch at once: a sequence goes through all stages, with its part.
    part = jnp.maximum(batch / split.stages, 1)
    rate = rates(a, m, split, work)
    parts = rate.times(part)
    seconds = parts.total(form, sharpness)
    used = weight_bytes(a, m) + batch * streams * sequence_bytes(a, m, split, work.cached)
    used = used / m.count + m.workspace_bytes
    left = m.usable_memory * m.memory - used
    status = first_status(
        (~good, Status.INVALID_INPUT),
        (longest > a.context, Status.CONTEXT_TOO_LONG),
        (left < 0, Status.OUT_OF_MEMORY),
        (~is_positive(seconds), Status.OUT_OF_RANGE),
    )
    tokens = batch * new
    read = parts.weights * rate.weight_bandwidth + part * rate.bytes
    numbers = {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "tokens_per_second_per_user": new / seconds,
        "mfu": batch * rate.flops / (m.count * m.peak * seconds),
        "mbu": read / (split.tensor * m.bandwidth * seconds),
        "dollars_per_million_tokens": MILLION * m.count * m.price * seconds / tokens,
    }
    full = jnp.zeros_like(seconds + left)
    status = jnp.broadcast_to(status, full.shape)
    ok = is_ok(status)
    return Pass(
        **{name: jnp.where(ok, x + full, jnp.nan) for name, x in numbers.items()},
        limit=jnp.broadcast_to(parts.limit(), full.shape),
        memory_bytes=jnp.where(good, used + full, jnp.nan),
        memory_left=jnp.where(good, left + full, jnp.nan),
        status=status,
    )
