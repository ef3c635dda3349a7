"""Deployments to choose from: accelerators, how many of them, how they are split, which weights."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale._numerics import arrays
from jaxscale.hardware import Accelerator, accelerator
from jaxscale.serving.deployment import Deployment, Machine, machine

COUNTS = (1, 2, 4, 8, 16, 32, 64)

# What options are made of: a name of the catalogue, an accelerator, or a deployment of which count
# and split are left open.
Device: TypeAlias = str | Accelerator | Deployment


def options(
    devices: Device | Sequence[Device],
    *,
    counts: Iterable[int] = COUNTS,
    weights: str | Sequence[str] | None = None,
    every_split: bool = True,
) -> tuple[Deployment, ...]:
    """Every deployment of these devices, in these numbers and with these weights.

    With `every_split`, each count is split in all powers of two that one domain links, and in as
    few stages as domains allow; else in the latter alone. Where the link of a device is not known,
    it serves alone. Raises TypeError or ValueError for what is no device, for counts that are not
    whole numbers from 1, and for devices without a price.

    Examples:
        >>> device = js.accelerator("H100-SXM", price=2.0)
        >>> [each.tensor_parallel for each in js.serving.options(device, counts=[1, 2])]
        [1, 1, 2]
    """
    if not isinstance(counts, Iterable) or isinstance(counts, str):
        raise TypeError(f"counts must be several whole numbers, such as (1, 2, 4); got {counts!r}")
    counts = tuple(counts)
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"counts must be whole numbers from 1; got {count!r}")
    if not counts:
        raise ValueError("counts must hold at least one number")
    found = []
    for template in templates(devices, weights):
        device = template.accelerator
        known = counts if device.link_bandwidth is not None else tuple(x for x in counts if x == 1)
        for count in known:
            splits = _splits(count, device.domain)
            for split in splits if every_split else splits[-1:]:
                found.append(replace(template, count=count, tensor_parallel=split))
                machine(found[-1], priced=True)
    if not found:
        raise ValueError(
            "no device can serve together in these counts: give count 1, or a link_bandwidth"
        )
    return tuple(found)


def templates(
    devices: Device | Sequence[Device], weights: str | Sequence[str] | None
) -> list[Deployment]:
    """A deployment of each device and precision; names and accelerators with all else as usual."""
    if not isinstance(devices, str | Accelerator | Deployment | Iterable):
        raise TypeError(f"devices must be accelerators by name or with prices; got {devices!r}")
    several = [devices] if isinstance(devices, str | Accelerator | Deployment) else list(devices)
    if not several:
        raise ValueError("devices must hold at least one accelerator")
    found = []
    for each in several:
        device = accelerator(each) if isinstance(each, str) else each
        made = Deployment(device) if isinstance(device, Accelerator) else device
        if not isinstance(made, Deployment):
            raise TypeError(
                "devices must be names, accelerators or deployments, such as "
                f"js.accelerator('H100-SXM', price=2.5); got {each!r}"
            )
        stored = [weights] if isinstance(weights, str) else (weights or [made.weights])
        found += [replace(made, weights=precision) for precision in stored]
    return found


def _splits(count: int, domain: Any) -> list[int]:
    """Powers of two that divide a count, and the largest divisor that one domain links, last."""
    most = int(count)
    if domain is not None and arrays.is_concrete(domain):
        most = int(min(count, float(np.min(np.asarray(domain)))))
    divisors = [i for i in range(1, most + 1) if count % i == 0]
    return [i for i in divisors if i & (i - 1) == 0 or i == divisors[-1]]


def stacked(machines: Sequence[Machine], rank: int) -> Machine:
    """The numbers of several machines along a first axis, before `rank` axes of scenarios."""

    def stack(*leaves: Any) -> Any:
        shape = np.broadcast_shapes(*(np.shape(x) for x in leaves))
        full = [jnp.broadcast_to(x, shape) for x in leaves]
        ones = (1,) * (rank - len(shape))
        return jnp.stack([x.reshape(ones + shape) for x in full])

    return jax.tree.map(stack, *machines)


def entered(found: Sequence[Deployment], **rest: Any) -> tuple[Any, ...]:
    """The machines of deployments, and the rest, as `arrays.enter` makes them."""
    named = {
        f"machine[{i}].{field}": value
        for i, each in enumerate(found)
        for field, value in machine(each, priced=True)._asdict().items()
    }
    numbers = arrays.enter(**rest, **named)
    made, size = numbers[len(rest) :], len(Machine._fields)
    machines = tuple(Machine(*made[i : i + size]) for i in range(0, len(made), size))
    return machines, *numbers[: len(rest)]


def name_of(deployment: Deployment) -> str:
    """A deployment in a few words: `8 x H100-SXM, fp8, 2 stages`.

    Examples:
        >>> js.serving.name_of(js.serving.Deployment(js.accelerator("H100-SXM"), count=8))
        '8 x H100-SXM'
    """
    count, split = deployment.count, deployment.tensor_parallel
    parts = [f"{count} x {deployment.accelerator.name}"]
    if deployment.weights != "bf16":
        parts.append(deployment.weights)
    if split is not None and split != count:
        parts.append(f"{count // split} stages of {split}")
    return ", ".join(parts)
