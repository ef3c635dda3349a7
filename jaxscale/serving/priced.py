"""Serving as `Costs` hold it: a family of models, and the deployments that may serve them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jax

from jaxscale._numerics.arrays import Real
from jaxscale.architectures.family import Family
from jaxscale.serving._options import COUNTS, Device, options
from jaxscale.serving.deployment import Deployment
from jaxscale.serving.requests import Limits, Requests
from jaxscale.serving.service import checked_limits


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Served:
    """What serving a model of any size costs: made by `Costs.served`."""

    family: Family
    options: tuple[Deployment, ...]  # of which the cheapest is taken
    requests: Requests
    limits: Limits
    utilisation: Real = 1.0


def served_by(
    family: Family,
    devices: Device | Sequence[Device],
    requests: Requests,
    limits: Limits | None,
    *,
    counts: Iterable[int] = COUNTS,
    weights: str | Sequence[str] | None = None,
    utilisation: Real = 1.0,
) -> Served:
    """Serving by the cheapest of these devices; raises for what is wrong by structure."""
    if not isinstance(family, Family):
        raise TypeError(f"family must be a Family, such as architectures.LLAMA; got {family!r}")
    found = options(devices, counts=counts, weights=weights, every_split=False)
    return Served(family, found, Requests.filled(requests), checked_limits(limits), utilisation)
