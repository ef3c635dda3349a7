"""What it costs to serve requests on a deployment, and how soon they are answered."""

from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import fori_loop
from jaxscale._numerics.values import is_finite, is_nonnegative, where_safe
from jaxscale.architectures.architecture import Architecture
from jaxscale.hardware import SECONDS_PER_HOUR
from jaxscale.serving.deployment import Deployment, Machine, machine
from jaxscale.serving.passes import (
    MILLION,
    WRITERS,
    Rates,
    Times,
    Work,
    is_whole,
    layout,
    rates,
    sequence_bytes,
    weight_bytes,
)
from jaxscale.serving.requests import Limits, Requests
from jaxscale.status import Status, first_status, is_ok

# Of Newton's method, from below, on a concave function: exact at once where no experts are idle.
BATCH_STEPS = 12
WHOLE = 64.0  # epsilons by which a whole number of deployments may be missed


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Speculation:
    """A small model that drafts tokens, of which the large one verifies several in one pass.

    Of `drafts` drafts, each is accepted with probability `acceptance` if those before it were:
    `(1 - a^(g + 1)) / (1 - a)` tokens come of a round (Leviathan et al. 2023, as in the code of
    Erdil 2025). The draft runs on the same devices, one token at a time, and reads prompts too.

    Examples:
        >>> draft = js.architectures.published("llama-3-8b")
        >>> guess = js.serving.Speculation(draft, drafts=4, acceptance=0.8)
        >>> print(f"{guess.tokens_per_round():.2f} tokens a round")
        3.36 tokens a round
    """

    draft: Architecture
    drafts: Real = 4.0
    acceptance: Real = 0.8

    def tokens_per_round(self) -> Array:
        """Tokens that a round gives, in the mean: from 1 to one more than the drafts."""
        rate = self.acceptance
        sure = rate >= 1
        safe = jnp.where(sure, 0.5, rate)
        return jnp.where(sure, self.drafts + 1, (1 - safe ** (self.drafts + 1)) / (1 - safe))


_SHOWN = ("batch", "token_seconds", "first_token_seconds", "dollars_per_million_output_tokens")
_SHOWN += ("decode_mfu",)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Service:
    """What serving takes and costs. Every field has the full shape of all that was given.

    Where the status is not OK, all numbers are NaN.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.0))
        >>> service = js.serving.serve(shape, deployment, js.serving.Requests(1024, 256))
        >>> print(f"{service.batch:.0f} at once, {service.token_seconds * 1e3:.0f} ms a token")
        333 at once, 53 ms a token
    """

    batch: Array  # sequences decoded together
    token_seconds: Array  # from one token of an answer to the next
    first_token_seconds: Array  # waiting and prefill
    waiting_seconds: Array  # of a request, before its prefill
    tokens_per_second: Array  # written by one deployment, at its utilisation
    requests_per_second: Array  # of one deployment, at its utilisation
    dollars_per_request: Array
    dollars_per_million_input_tokens: Array  # of all that are read, cached ones too
    dollars_per_million_output_tokens: Array
    decode_mfu: Array
    devices: Array  # that the rate of the requests takes, not rounded up; NaN without a rate
    dollars_per_hour: Array  # of the whole deployments that the rate takes; NaN without a rate
    memory_left: Array  # of the usable memory of each device
    limit: Array  # int8, a member of Limit: what a decode step spends most on
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


def serve(
    architecture: Architecture,
    deployment: Deployment,
    requests: Requests,
    *,
    batch: ArrayLike | None = None,
    limits: Limits | None = None,
    utilisation: ArrayLike = 1.0,
    prefill_on: Deployment | None = None,
    speculation: Speculation | None = None,
) -> Service:
    """Cost and speed of answering requests, with the largest batch that the limits allow.

    A price per token never rises with the batch, so the largest one is the cheapest. It is not
    rounded: it is the mean number of sequences in flight, at least 1. While a deployment both reads
    and writes, each token of an answer waits for its share of the prompts as well: in the time of
    one token, `batch / output` requests begin. With `prefill_on`, other devices read the prompts;
    moving the cache is not counted.

    At a utilisation u below 1 devices stand idle for a share 1 - u of the time, which their work
    pays for, and a request waits `u s / (2 (1 - u))` before it is read: the mean of a queue of one
    server that takes s seconds for each request, all alike, which come at random (M/D/1). The
    default of 1 is work that is always there, and waiting is not counted.

    All numbers broadcast as in NumPy; works under jit, vmap and grad.

    Args:
        architecture: the shape of the model.
        deployment: what serves one copy of it.
        requests: what is read and written.
        batch: sequences decoded together; the largest that fits where left out.
        limits: what an answer may take; nothing by default.
        utilisation: share of the time in which devices work, above 0.
        prefill_on: a deployment of its own for prompts.
        speculation: a draft model, where one is used.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or the accelerator has no price, no known memory, or
            lacks a precision.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.0))
        >>> requests = js.serving.Requests(prompt=1024, output=256)
        >>> served = js.serving.serve(shape, deployment, requests)
        >>> print(f"${served.dollars_per_million_output_tokens:.3f} a million tokens written")
        $0.042 a million tokens written
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture must be an Architecture; got {architecture!r}")
    if not isinstance(speculation, Speculation | None):
        raise TypeError(f"speculation must be js.serving.Speculation(...); got {speculation!r}")
    guess = speculation
    if guess is not None and not isinstance(guess.draft, Architecture):
        raise TypeError(f"draft must be an Architecture; got {guess.draft!r}")
    entered = arrays.enter(
        architecture=architecture,
        machine=machine(deployment, priced=True),
        reader=None if prefill_on is None else machine(prefill_on, priced=True),
        asked_requests=Requests.filled(requests),
        asked_limits=checked_limits(limits),
        draft=None if guess is None else guess.draft,
        drafts=1.0 if guess is None else guess.drafts,
        acceptance=0.5 if guess is None else guess.acceptance,
        batch=np.nan if batch is None else batch,
        utilisation=utilisation,
    )
    return _serve(batch is not None, *entered)


def checked_limits(limits: Limits | None) -> Limits:
    """The limits, or none; TypeError for what is something else."""
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be js.serving.Limits(...); got {limits!r}")
    return limits


class Load(NamedTuple):
    """What each request asks of a deployment, for any batch: all that a service follows from."""

    decode: tuple[Rates, ...]  # passes of one round: the model's, and its draft's
    passes: tuple[Any, ...]  # how often each is made in a round
    per_round: Any  # tokens that a round gives to each sequence
    stages: Array
    prompt_seconds: Array  # of one prompt by itself
    prompt_work: Array  # of the devices that read it: stages of a pipeline read several at a time
    shares: bool  # whether the same devices read prompts
    output: Array  # tokens of an answer
    room: Array  # bytes for caches
    each: Array  # bytes of one sequence
    reads_fit: Array  # whether the devices that read hold the model and one sequence
    context: Array  # that the model, and its draft, can attend to
    prompt_times: Times  # of one prompt, by the model

    def round_seconds(self, batch: Array) -> Array:
        """Seconds of one round over the whole batch."""
        part = jnp.maximum(batch / self.stages, 1)
        times = (rate.times(part).total() for rate in self.decode)
        return reduce(add, (n * t for n, t in zip(self.passes, times, strict=True)))

    def prompt_share(self) -> Array:
        """Seconds of reading prompts that a token of each sequence in the batch waits for."""
        return self.prompt_work / self.output if self.shares else jnp.zeros_like(self.output)

    def token_seconds(self, batch: Array) -> Array:
        """Seconds from one token of an answer to the next."""
        return self.round_seconds(batch) / self.per_round + batch * self.prompt_share()

    def most_in_memory(self) -> Array:
        """Sequences whose caches fit; below 1 where not even one does."""
        return self.room / self.each

    def most_in_time(self, seconds: Array) -> Array:
        """The largest batch whose tokens take at most so long; below 1 where one alone is longer.

        Each pass takes the longer of arithmetic and reading weights, so that a round is as long as
        the longest of all ways to choose one of the two for each pass: of the batches that each way
        allows, the smallest.
        """
        lines = [(jnp.zeros_like(seconds), self.per_round * self.prompt_share(), [])]
        for times, rate in zip(self.passes, self.decode, strict=True):
            fixed = times * (rate.launch + rate.latency)
            slope = times * (rate.network + jnp.maximum(rate.scores, rate.cache)) / self.stages
            compute = times * rate.compute / self.stages
            lines = [
                way
                for f, s, curves in lines
                for way in (
                    (f + fixed, s + slope + compute, curves),
                    (f + fixed + times * rate.weights, s + slope, [*curves, (times, rate)]),
                )
            ]
        # Infinitely many seconds would make derivatives NaN, even where something else decides.
        bounded = seconds < jnp.inf
        seconds = jnp.where(bounded, seconds, 1)
        allowed = seconds * self.per_round
        batches = [self._reaching(allowed, *line) for line in lines]
        most = batches[0]
        for other in batches[1:]:
            most = jnp.minimum(most, other)
        # A batch of fewer sequences than there are stages takes as long as one of as many.
        alone = self.token_seconds(jnp.ones_like(seconds)) <= seconds
        stages = self.token_seconds(self.stages + jnp.zeros_like(seconds)) <= seconds
        few = (seconds - self.round_seconds(jnp.ones_like(seconds)) / self.per_round) / jnp.where(
            self.prompt_share() > 0, self.prompt_share(), jnp.inf
        )
        few = jnp.where(self.prompt_share() > 0, few, self.stages)
        few = jnp.where(alone, jnp.minimum(few, self.stages), 0)
        return jnp.where(bounded, jnp.where(stages, most, few), jnp.inf)

    def _reaching(self, allowed: Array, fixed: Array, slope: Array, curves: list[Any]) -> Array:
        """The batch at which `fixed + slope B` and the experts that B tokens hit take `allowed`."""
        all_of_them = fixed
        for times, rate in curves:
            all_of_them = all_of_them + times * rate.experts
        curves = [(times, rate) for times, rate in curves if rate.idle is not None]
        if not curves:
            return (allowed - all_of_them) / slope
        # From below, where all experts are hit at once, tangents never lead beyond the answer: the
        # share that is hit is concave from one sequence a stage on.
        start = jnp.maximum((allowed - all_of_them) / slope, self.stages)

        def seconds(batch: Array) -> Array:
            total = fixed + slope * batch
            for times, rate in curves:
                total = total + times * rate.times(jnp.maximum(batch / self.stages, 1)).weights
                total = total - times * rate.weights
            return total

        def step(_: Array, batch: Array) -> Array:
            value, rise = jax.jvp(seconds, (batch,), (jnp.ones_like(batch),))
            return batch + (allowed - value) / rise

        return fori_loop(BATCH_STEPS, step, start)


def load(
    a: Architecture,
    m: Machine,
    prefill_m: Machine | None,
    requests: Requests,
    speculation: Speculation | None = None,
    *,
    dense: bool = False,
) -> Load:
    """What requests ask of a machine; all numbers are aligned and valid."""
    split = layout(m)
    one = jnp.ones_like(requests.prompt)
    context = requests.output_context
    room = m.count * (m.usable_memory * m.memory - m.workspace_bytes) - weight_bytes(a, m)
    streams = requests.streams
    each = streams * sequence_bytes(a, m, split, requests.kept)
    if speculation is None:
        decode: tuple[Rates, ...] = (
            rates(a, m, split, Work(one, context, context, one, streams=streams), dense=dense),
        )
        passes, per_round = (1.0,), 1.0
    else:
        tokens, draft = speculation.drafts + 1, speculation.draft
        seen = context + (tokens - 1) / 2
        decode = (
            rates(a, m, split, Work(tokens, seen, context, tokens, streams=streams)),
            rates(draft, m, split, Work(one, context, context, one)),
        )
        passes, per_round = (1.0, speculation.drafts), speculation.tokens_per_round()
        room -= weight_bytes(draft, m)
        each += sequence_bytes(draft, m, split, requests.kept)
    reader = m if prefill_m is None else prefill_m
    reading = layout(reader)
    reads_fit = jnp.asarray(True)
    if prefill_m is not None:
        held = reader.count * (reader.usable_memory * reader.memory - reader.workspace_bytes)
        models = [(a, streams)] if speculation is None else [(a, streams), (speculation.draft, 1)]
        taken = [
            weight_bytes(each, reader)
            + copies * sequence_bytes(each, reader, reading, requests.prompt)
            for each, copies in models
        ]
        reads_fit = reduce(add, taken) <= held
    known = requests.prompt * requests.cached
    # Of prompts of several lengths, one of the length that their tokens see in the mean.
    last = 2 * requests.prompt_context
    work = Work(requests.prompt - known, last, requests.prompt, one, last * requests.cached)
    read = work._replace(streams=streams)
    prompt_times = rates(a, reader, reading, read, dense=dense).times(one)
    prompt_seconds = prompt_times.total()
    if speculation is not None:
        drafting = rates(speculation.draft, reader, reading, work).times(one).total()
        prompt_seconds = prompt_seconds + drafting
    return Load(
        decode,
        passes,
        per_round,
        split.stages,
        prompt_seconds,
        prompt_seconds / reading.stages,
        prefill_m is None,
        requests.output,
        room,
        each,
        reads_fit,
        a.context if speculation is None else jnp.minimum(a.context, speculation.draft.context),
        prompt_times,
    )


class Answered(NamedTuple):
    """Seconds of an answer, and what it takes of the devices."""

    token_seconds: Array
    first_token_seconds: Array
    waiting: Array
    reading: Array  # seconds of the devices that read a request's prompt
    writing: Array  # and of those that write its answer
    read_dollars: Array  # of a request's prompt
    write_dollars: Array  # of a request's answer


def answered(
    asked: Load, m: Machine, prefill_m: Machine | None, batch: Array, utilisation: Array
) -> Answered:
    """What requests take and cost with a batch."""
    reader = m if prefill_m is None else prefill_m
    writing = asked.output * asked.round_seconds(batch) / (asked.per_round * batch)
    served = asked.prompt_work + (writing if prefill_m is None else 0)
    idle = utilisation < 1
    left = jnp.where(idle, 1 - utilisation, 1)
    waiting = jnp.where(idle, utilisation * served / (2 * left), 0)
    return Answered(
        asked.token_seconds(batch),
        waiting + asked.prompt_seconds,
        waiting,
        asked.prompt_work,
        writing,
        reader.count * reader.price * asked.prompt_work / utilisation,
        m.count * m.price * writing / utilisation,
    )


def _is_valid(
    a: Architecture,
    m: Machine,
    prefill_m: Machine | None,
    requests: Requests,
    limits: Limits,
    speculation: Speculation | None,
    batch: Array | None,
    utilisation: Array,
) -> Array:
    good = a.is_valid() & m.is_valid() & is_whole(m) & requests.is_valid() & limits.is_valid()
    good &= (utilisation > 0) & (utilisation <= 1)
    if prefill_m is not None:
        good &= prefill_m.is_valid() & is_whole(prefill_m)
    if speculation is not None:
        good &= speculation.draft.is_valid() & is_nonnegative(speculation.drafts)
        good &= (speculation.acceptance >= 0) & (speculation.acceptance <= 1)
    return good if batch is None else good & (batch >= 1) & is_finite(batch)


@partial(compiled, static=1)
def _serve(
    is_given: bool,
    a: Architecture,
    m: Machine,
    prefill_m: Machine | None,
    requests: Requests,
    limits: Limits,
    draft: Architecture | None,
    drafts: Array,
    acceptance: Array,
    batch: Array,
    utilisation: Array,
) -> Service:
    speculation = None if draft is None else Speculation(draft, drafts, acceptance)
    given = a, m, prefill_m, requests, limits, speculation, batch if is_given else None, utilisation
    return served(*arrays.align(*given))


def served(
    a: Architecture,
    m: Machine,
    prefill_m: Machine | None,
    requests: Requests,
    limits: Limits,
    speculation: Speculation | None,
    batch: Array | None,
    utilisation: Array,
) -> Service:
    """The service of aligned arguments; with the largest batch allowed where none is given."""
    given = a, m, prefill_m, requests, limits, speculation, batch, utilisation
    good = _is_valid(*given)
    a, m, prefill_m, requests, limits, speculation, batch, utilisation = jax.tree.map(
        lambda x: where_safe(good, x), given
    )
    asked = load(a, m, prefill_m, requests, speculation)
    in_memory, in_time = asked.most_in_memory(), asked.most_in_time(limits.token_seconds)
    most = jnp.minimum(jnp.minimum(in_memory, in_time), limits.max_batch)
    if batch is None:
        batch = jnp.maximum(most, 1)
    result = answered(asked, m, prefill_m, batch, utilisation)
    slow = (batch > in_time) | (result.first_token_seconds > limits.first_token_seconds)
    crowded = batch > limits.max_batch
    status = first_status(
        (~good, Status.INVALID_INPUT),
        (requests.longest > asked.context, Status.CONTEXT_TOO_LONG),
        ((batch > in_memory) | ~asked.reads_fit, Status.OUT_OF_MEMORY),
        (slow, Status.TOO_SLOW),
        (crowded, Status.INVALID_INPUT),
        (~is_finite(result.write_dollars + result.read_dollars), Status.OUT_OF_RANGE),
    )
    part = jnp.maximum(batch / asked.stages, 1)
    seconds = asked.round_seconds(batch)
    spent = result.read_dollars + result.write_dollars
    # Of the tokens that are kept, by the model itself.
    flops = asked.per_round * asked.decode[0].flops / asked.decode[0].new
    reader = m if prefill_m is None else prefill_m
    device_seconds = m.count * result.writing + reader.count * result.reading
    own_seconds = result.writing + (result.reading if asked.shares else 0)
    rate = jnp.asarray(requests.rate)
    hourly = _copies(rate * own_seconds / utilisation) * m.count * m.price
    if prefill_m is not None:
        reading = _copies(rate * result.reading / utilisation)
        hourly = hourly + reading * reader.count * reader.price
    numbers = {
        "batch": batch,
        "token_seconds": result.token_seconds,
        "first_token_seconds": result.first_token_seconds,
        "waiting_seconds": result.waiting,
        "tokens_per_second": utilisation * batch / result.token_seconds,
        "requests_per_second": utilisation / own_seconds,
        "dollars_per_request": spent,
        "dollars_per_million_input_tokens": MILLION * result.read_dollars / requests.prompt,
        "dollars_per_million_output_tokens": MILLION * result.write_dollars / requests.output,
        "decode_mfu": batch * flops / (m.count * m.peak * seconds),
        "devices": rate * device_seconds / utilisation,
        "dollars_per_hour": SECONDS_PER_HOUR * hourly,
        "memory_left": (asked.room - batch * asked.each) / m.count,
    }
    full = jnp.zeros_like(spent + asked.room + most)
    ok = jnp.broadcast_to(is_ok(status), full.shape)
    return Service(
        **{name: jnp.where(ok, x + full, jnp.nan) for name, x in numbers.items()},
        limit=jnp.broadcast_to(asked.decode[0].times(part).limit(), full.shape),
        status=jnp.broadcast_to(status, full.shape),
    )


def _copies(busy: Array) -> Array:
    """Whole deployments, at least one, for as many that are busy all the time; NaN for NaN."""
    # A number that is whole but for rounding is not raised.
    return jnp.maximum(jnp.ceil(busy * (1 - WHOLE * jnp.finfo(busy.dtype).eps)), 1)


# Of the reasons of several deployments, the one that is nearest to an answer comes first.
_NEAREST = (Status.OK, Status.TOO_SLOW, Status.OUT_OF_MEMORY, Status.CONTEXT_TOO_LONG)


def unserved(status: Array) -> Array:
    """Why none of several deployments, along the first axis, can serve; OK where one can."""
    cases = [((status == int(each)).any(axis=0), each) for each in _NEAREST]
    cases.append(((status == int(Status.OUT_OF_RANGE)).any(axis=0), Status.OUT_OF_RANGE))
    return first_status(*cases, (cases[0][0] | True, Status.INVALID_INPUT))
