"""What a machine asks for the tokens of a model, as a function of the model's size."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jaxscale.architectures.architecture import Architecture
from jaxscale.serving.deployment import Machine
from jaxscale.serving.passes import layout
from jaxscale.serving.requests import Limits, Requests
from jaxscale.serving.service import Load, answered, load


class Offer(NamedTuple):
    """Prices of a machine for a model, and how far it is from each limit."""

    read: Array  # dollars for each token read
    write: Array  # and for each token written
    batch: Array
    token_seconds: Array
    first_token_seconds: Array
    # By how much each limit is kept, as a share of it; below 0 where it is not. All fall with size.
    memory: Array
    token: Array
    first: Array

    @property
    def room(self) -> Array:
        """The least of the three."""
        return jnp.minimum(jnp.minimum(self.memory, self.token), self.first)


class Switches(NamedTuple):
    """Differences whose sign says which of two formulas a price follows: it has a kink at 0."""

    memory_or_time: Array  # which of them limits the batch
    memory_or_batch: Array  # memory, or the limit of the batch itself
    time_or_batch: Array
    compute_or_weights: Array  # which takes longer in a step
    batch_or_stages: Array  # whether each stage has a sequence
    prompt_compute_or_weights: Array  # which takes longer in a prefill
    devices_or_heads: Array  # whether devices keep copies of heads


def offer(
    a: Architecture,
    m: Machine,
    requests: Requests,
    limits: Limits,
    utilisation: Array,
    *,
    dense: bool = False,
) -> tuple[Offer, Switches]:
    """The machine's offer with the largest batch that memory and limits allow, which is the best.

    All arguments are aligned and valid. A price where a limit is not kept means nothing.
    """
    asked = load(a, m, None, requests, dense=dense)
    in_memory, in_time = asked.most_in_memory(), asked.most_in_time(limits.token_seconds)
    batch = jnp.maximum(jnp.minimum(jnp.minimum(in_memory, in_time), limits.max_batch), 1)
    result = answered(asked, m, None, batch, utilisation)
    one = jnp.ones_like(batch)
    made = Offer(
        read=result.read_dollars / requests.prompt,
        write=result.write_dollars / requests.output,
        batch=batch,
        token_seconds=result.token_seconds,
        first_token_seconds=result.first_token_seconds,
        memory=(asked.room - asked.each) / (m.count * m.usable_memory * m.memory),
        token=1 - asked.token_seconds(one) / limits.token_seconds,
        first=1 - result.first_token_seconds / limits.first_token_seconds,
    )
    return made, _switches(asked, batch, in_memory, in_time, limits, a, m)


def _switches(
    asked: Load,
    batch: Array,
    in_memory: Array,
    in_time: Array,
    limits: Limits,
    a: Architecture,
    m: Machine,
) -> Switches:
    def log(x: Array) -> Array:
        return jnp.log(jnp.maximum(x, jnp.finfo(batch.dtype).tiny))

    def compared(x: Array, y: Array) -> Array:
        bounded = (x < jnp.inf) & (y < jnp.inf)
        return jnp.where(
            bounded, log(jnp.where(bounded, x, 1)) - log(jnp.where(bounded, y, 1)), jnp.inf
        )

    times = asked.decode[0].times(jnp.maximum(batch / asked.stages, 1))
    return Switches(
        compared(in_memory, in_time),
        compared(in_memory, limits.max_batch + jnp.zeros_like(batch)),
        compared(in_time, limits.max_batch + jnp.zeros_like(batch)),
        log(times.compute) - log(times.weights),
        log(batch) - log(asked.stages + jnp.zeros_like(batch)),
        log(asked.prompt_times.compute) - log(asked.prompt_times.weights),
        log(layout(m).tensor + jnp.zeros_like(batch)) - log(a.kv_heads + jnp.zeros_like(batch)),
    )
