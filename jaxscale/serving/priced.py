"""Serving as `Costs` hold it: a family of models, and the deployments that may serve them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import is_positive, where_safe
from jaxscale.architectures import counts
from jaxscale.architectures.family import (
    Family,
    architecture_of_width,
    log_width_of_counted,
)
from jaxscale.laws import protocol
from jaxscale.serving._options import COUNTS, Device, entered, options, stacked
from jaxscale.serving.deployment import Deployment, Machine
from jaxscale.serving.offer import offer
from jaxscale.serving.passes import is_whole
from jaxscale.serving.requests import Limits, Requests
from jaxscale.serving.service import checked_limits
from jaxscale.status import Status, first_status


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Served:
    """What serving a model of any size costs: made by `Costs.served`."""

    family: Family
    options: tuple[Deployment, ...]  # of which the cheapest is taken
    requests: Requests
    limits: Limits
    utilisation: Real = 1.0

    @property
    def is_dense(self) -> bool:
        """Whether no model of the family has experts, as far as one can know while tracing."""
        experts = self.family.experts
        return arrays.is_concrete(experts) and bool(np.all(np.asarray(experts) == 1))

    def of_law(self, law: Any, levers: Mapping[str, Any]) -> "Served":
        """The same, with as many experts as a law of active params has at these levers."""
        if protocol.counts_idle_experts(law) or "experts" not in levers:
            return self
        family = replace(self.family, experts=levers["experts"], active_experts=1.0)
        return replace(self, family=family)

    def prices(
        self,
        params: ArrayLike,
        demand: Any = None,
        *,
        counts_embeddings: bool = True,
        counts_idle: bool = True,
        streams: ArrayLike | None = None,
    ) -> dict[str, Array]:
        """Dollars of a token read and of one written for models of these sizes, and by what.

        `read`, `write`, `batch`, `token_seconds`, `first_token_seconds`, the index `choice` among
        `options`, its number of `devices`, the `active_share` of the params, and a `status`; NaN
        and -1 where none can serve. The cheapest is that for the tokens of the demand, or for those
        of one request. `streams` takes the place of those of the requests.
        """
        requests = self.requests if streams is None else replace(self.requests, streams=streams)
        tokens = self.requests if demand is None else demand
        names = ("prompt", "output") if demand is None else ("input_tokens", "output_tokens")
        machines, *rest = entered(
            self.options,
            family=self.family,
            asked_requests=requests,
            asked_limits=self.limits,
            utilisation=self.utilisation,
            params=params,
            read=getattr(tokens, names[0]),
            written=getattr(tokens, names[1]),
        )
        return _prices((self.is_dense, counts_embeddings, counts_idle), machines, *rest)


@partial(compiled, static=1)
def _prices(
    kind: tuple[bool, bool, bool],
    machines: tuple[Machine, ...],
    family: Family,
    requests: Requests,
    limits: Limits,
    utilisation: Array,
    params: Array,
    read: Array,
    written: Array,
) -> dict[str, Array]:
    dense, counts_embeddings, counts_idle = kind
    given = family, requests, limits, utilisation, params, read, written
    rank = max(jnp.ndim(x) for x in jax.tree.leaves((given, machines)))
    m, *given = arrays.align(stacked(machines, rank), *given)
    good = (
        given[0].is_valid() & m.is_valid() & is_whole(m) & given[1].is_valid() & given[2].is_valid()
    )
    good &= (given[3] > 0) & (given[3] <= 1) & is_positive(given[4])
    m, family, requests, limits, utilisation, params, read, written = jax.tree.map(
        lambda x: where_safe(good, x), (m, *given)
    )
    log_width = log_width_of_counted(
        family, jnp.log(params), embeddings=counts_embeddings, idle=counts_idle
    )
    shape = architecture_of_width(family, log_width)
    made, _ = offer(shape, m, requests, limits, utilisation, dense=dense)
    long = requests.longest > shape.context
    # As a joint plan that lies on a limit meets it, to rounding.
    fits = (made.room >= -ROUNDING * jnp.finfo(made.room.dtype).eps) & good & ~long
    # Tokens of no demand cost nothing anywhere: then one of each.
    none = (read + written) <= 0
    total = jnp.where(none, made.read + made.write, made.read * read + made.write * written)
    choice = jnp.argmin(jnp.where(fits, total, jnp.inf), axis=0)[None]
    full = jnp.zeros_like(total)

    def taken(x: Array) -> Array:
        return jnp.take_along_axis(x + full, choice, axis=0)[0]

    ok = jnp.take_along_axis(fits | (full > 1), choice, axis=0)[0]
    late = ~(made.memory < 0) & good & ~long
    status = first_status(
        (ok, Status.OK),
        (~good.any(axis=0), Status.INVALID_INPUT),
        (jnp.broadcast_to(long, full.shape).all(axis=0), Status.CONTEXT_TOO_LONG),
        (jnp.broadcast_to(late, full.shape).any(axis=0), Status.TOO_SLOW),
        (~ok, Status.OUT_OF_MEMORY),
    )
    numbers = {name: getattr(made, name) for name in _NUMBERS} | {"devices": m.count}
    return {
        **{name: jnp.where(ok, taken(x), jnp.nan) for name, x in numbers.items()},
        "choice": jnp.where(ok, choice[0], -1),
        "active_share": jnp.broadcast_to((counts.active(shape) / counts.total(shape))[0], ok.shape),
        "status": jnp.broadcast_to(status, ok.shape),
    }


ROUNDING = 1024.0  # epsilons by which a limit may be missed that a plan lies on
_NUMBERS = ("read", "write", "batch", "token_seconds", "first_token_seconds")


def served_by(
    family: Family,
    devices: Device | Sequence[Device],
    requests: Requests,
    limits: Limits | None,
    *,
    counts: Iterable[int] = COUNTS,
    weights: str | Sequence[str] | None = None,
    every_split: bool = False,
    utilisation: Real = 1.0,
) -> Served:
    """Serving by the cheapest of these devices; raises for what is wrong by structure."""
    if not isinstance(family, Family):
        raise TypeError(f"family must be a Family, such as architectures.LLAMA; got {family!r}")
    found = options(devices, counts=counts, weights=weights, every_split=every_split)
    return Served(family, found, Requests.filled(requests), checked_limits(limits), utilisation)
