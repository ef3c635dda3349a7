"""The cheapest deployment that answers in time, and the whole trade of speed against price."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import sequences
from jaxscale.architectures.architecture import Architecture
from jaxscale.serving._options import COUNTS, Device, entered, name_of, options, stacked
from jaxscale.serving.deployment import Deployment, Machine
from jaxscale.serving.passes import WRITERS
from jaxscale.serving.requests import Limits, Requests
from jaxscale.serving.service import WHOLE, Service, checked_limits, served, unserved
from jaxscale.status import Status, is_ok

if TYPE_CHECKING:
    from pandas import DataFrame

# Batches of each deployment on a front: powers of two up to this one's, and the largest allowed.
DOUBLINGS = 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Best:
    """The cheapest way to serve each scenario. Arrays have the full shape of all of them.

    Examples:
        >>> shape = js.architectures.published("llama-3-70b")
        >>> device, requests = js.accelerator("H100-SXM", price=2.0), js.serving.Requests(1024, 256)
        >>> limits = js.serving.Limits(token_seconds=0.03)
        >>> best = js.serving.best(shape, device, requests, limits)
        >>> print(f"{best.service.batch:.0f} at once on {js.serving.name_of(best.deployment)}")
        76 at once on 8 x H100-SXM
    """

    service: Service
    choice: Array  # int32, the index of the deployment among `options`; -1 where none can
    options: tuple[Deployment, ...]  # in the order in which they were tried

    def __repr__(self) -> str:
        numbers = self.service, self.choice
        return _display.scenarios(self, self._columns, self._writers, numbers)

    def _repr_html_(self) -> str | None:
        numbers = self.service, self.choice
        return _display.scenarios_html(self, self._columns, self._writers, numbers)

    def _columns(self) -> dict[str, Array]:
        return {"deployment": self.choice, **self.service._columns()}

    @property
    def _writers(self) -> dict[str, Callable[[Any], str]]:
        return {**WRITERS, "deployment": self._name}

    def _name(self, choice: int) -> str:
        return name_of(self.options[choice]) if choice >= 0 else "none"

    @property
    def status(self) -> Array:
        """Int8, a member of Status."""
        return self.service.status

    @property
    def ok(self) -> Array:
        """Whether there is a way: boolean, of the full shape."""
        return is_ok(self.status)

    @property
    def deployment(self) -> Deployment:
        """The chosen deployment of one scenario; ValueError where there is none, or several."""
        if np.ndim(self.choice) or int(self.choice) < 0:
            raise ValueError(f"deployment is of one scenario that is OK; choice is {self.choice!r}")
        return self.options[int(self.choice)]


def best(
    architecture: Architecture,
    devices: Device | Sequence[Device],
    requests: Requests,
    limits: Limits | None = None,
    *,
    counts: Iterable[int] = COUNTS,
    weights: str | Sequence[str] | None = None,
    utilisation: ArrayLike = 1.0,
) -> Best:
    """The deployment with the lowest cost of a request that keeps the limits, and its batch.

    Tries every count, split and precision of the weights, each with the largest batch that limits
    and memory allow, which is its cheapest. Where the requests have a rate, whole deployments are
    counted: the lowest cost is then that of an hour at this rate. Batched over architectures,
    prices, requests and limits; works under jit, vmap and grad.

    Args:
        architecture: the shape of the model.
        devices: accelerators by name or with prices, or deployments whose count is left open.
        requests: what is read and written.
        limits: what an answer may take; nothing by default.
        counts: numbers of devices to try.
        weights: precisions of the weights to try; those of the devices where left out.
        utilisation: share of the time in which devices work: see `serve`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: shapes do not broadcast, or a device has no price, no known memory, or lacks a
            precision.

    Examples:
        >>> shape = js.architectures.published("llama-3-70b")
        >>> h100, a100 = js.accelerator("H100-SXM", price=2), js.accelerator("A100-80GB", price=1.2)
        >>> requests, limits = js.serving.Requests(1024, 256), js.serving.Limits(token_seconds=0.05)
        >>> best = js.serving.best(shape, [h100, a100], requests, limits)
        >>> print(js.serving.name_of(best.deployment))
        4 x H100-SXM
    """
    found = options(devices, counts=counts, weights=weights)
    service, choice = _cheapest(*arguments(architecture, found, requests, limits, utilisation))
    return Best(service, choice, found)


def arguments(
    architecture: Architecture,
    found: Sequence[Deployment],
    requests: Requests,
    limits: Limits | None,
    utilisation: ArrayLike,
) -> tuple[Any, ...]:
    """The arguments of a choice among deployments as arrays; raises as `best` does."""
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture must be an Architecture; got {architecture!r}")
    return entered(
        found,
        architecture=architecture,
        asked_requests=Requests.filled(requests),
        asked_limits=checked_limits(limits),
        utilisation=utilisation,
    )


def served_by_each(
    machines: tuple[Machine, ...],
    a: Architecture,
    requests: Requests,
    limits: Limits,
    utilisation: Array,
) -> Service:
    """The services of all machines along a first axis, each with its largest batch."""
    rest = a, requests, limits, utilisation
    rank = max(jnp.ndim(x) for x in jax.tree.leaves((machines, rest)))
    m = stacked(machines, rank)
    m, *rest = arrays.align(m, *rest)
    return served(rest[0], m, None, rest[1], rest[2], None, None, rest[3])


def cheapest(tried: Service) -> Array:
    """The index of the cheapest of several services along the first axis, if one is OK."""
    each = jnp.where(tried.ok, tried.dollars_per_request, jnp.inf)
    hourly = jnp.where(tried.ok, tried.dollars_per_hour, jnp.inf)
    # Of as many whole devices for the rate, those that are the least busy.
    beaten = hourly > hourly.min(axis=0, keepdims=True) * (1 + WHOLE * jnp.finfo(hourly.dtype).eps)
    return jnp.argmin(jnp.where(beaten, jnp.inf, each), axis=0)


@compiled
def _cheapest(
    machines: tuple[Machine, ...],
    a: Architecture,
    requests: Requests,
    limits: Limits,
    utilisation: Array,
) -> tuple[Service, Array]:
    tried = served_by_each(machines, a, requests, limits, utilisation)
    choice = cheapest(tried)
    taken = jax.tree.map(lambda x: jnp.take_along_axis(x, choice[None], axis=0)[0], tried)
    status = unserved(tried.status)
    return (
        Service(**{**vars(taken), "status": jnp.where(taken.ok, taken.status, status)}),
        jnp.where(taken.ok, choice, -1),
    )


# --- The front ------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Front:
    """Deployments and batches that none beats in both speed and price, the fastest first.

    Fields are NumPy arrays of one length. Results print as a table, and `plot()` draws them.

    Examples:
        >>> shape, l4 = js.architectures.published("llama-3-8b"), js.accelerator("L4", price=0.5)
        >>> front = js.serving.front(shape, l4, js.serving.Requests(1024, 256), counts=[1])
        >>> print(f"{len(front)} batches, from {front.batch[0]:.0f} to {front.batch[-1]:.0f}")
        7 batches, from 1 to 33
    """

    tokens_per_second_per_user: np.ndarray
    dollars_per_million_output_tokens: np.ndarray
    dollars_per_request: np.ndarray
    first_token_seconds: np.ndarray
    batch: np.ndarray
    choice: np.ndarray  # index among `options`
    options: tuple[Deployment, ...]
    status: Status  # OK, or why there is nothing

    def __len__(self) -> int:
        return len(self.batch)

    def __repr__(self) -> str:
        return _display.table(self._header, self._rows(), title=self._title, total=len(self))

    def _repr_html_(self) -> str:
        return _display.html(self._header, self._rows(), title=self._title, total=len(self))

    def to_dataframe(self) -> "DataFrame":
        """A row for each point of the front, the fastest first."""
        names = [each.name for each in fields(self) if each.name not in ("options", "status")]
        columns = {name: getattr(self, name) for name in names}
        columns["deployment"] = [name_of(self.options[i]) for i in self.choice]
        return _display.dataframe(columns)

    def plot(self) -> Any:
        """The figure of speed against price, a colour for each count of devices."""
        return _display.figure("serving_front", self)

    @property
    def _title(self) -> str:
        return "Speed against price" if len(self) else f"Nothing serves: {self.status.sentence}"

    @property
    def _header(self) -> list[str]:
        return ["deployment", "batch", "tokens/s/user", "first token", "$/M output", "$/request"]

    def _rows(self) -> Iterator[list[str]]:
        for i in range(len(self)):
            yield [
                name_of(self.options[self.choice[i]]),
                sequences(float(self.batch[i])),
                f"{self.tokens_per_second_per_user[i]:.1f}",
                f"{self.first_token_seconds[i]:.3g} s",
                f"{self.dollars_per_million_output_tokens[i]:.3g}",
                f"{self.dollars_per_request[i]:.3g}",
            ]


def front(
    architecture: Architecture,
    devices: Device | Sequence[Device],
    requests: Requests,
    limits: Limits | None = None,
    *,
    counts: Iterable[int] = COUNTS,
    weights: str | Sequence[str] | None = None,
    utilisation: float = 1.0,
) -> Front:
    """The trade of speed against price: what no other deployment and batch beats in both.

    Speed is tokens a second that one user sees, price that of a request. Every count, split and
    precision is tried with batches of powers of two, and with the largest that the limits allow.
    Arguments as in `best`, all of them single numbers; the same errors.

    Examples:
        >>> shape, l4 = js.architectures.published("llama-3-8b"), js.accelerator("L4", price=0.5)
        >>> front = js.serving.front(shape, l4, js.serving.Requests(1024, 256), counts=[1])
        >>> print(f"{front.batch[-1]:.0f} at once, ${front.dollars_per_request[-1]:.2g} a request")
        33 at once, $0.00011 a request
    """
    found = options(devices, counts=counts, weights=weights)
    numbers = arguments(architecture, found, requests, limits, utilisation)
    check_single(numbers)
    # Interpreted, as one front takes far longer to compile than to compute.
    tried = interpreted(_all_batches, *numbers)
    # A stage without a sequence of its own idles: such a batch is for a smaller deployment.
    stages = np.array([each.count / (each.tensor_parallel or each.count) for each in found])
    ok = np.asarray(tried.ok) & (tried.batch >= stages[:, None] * (1 - 1e-6))
    speed = np.where(ok, 1 / tried.token_seconds, -np.inf)
    cost = np.where(ok, tried.dollars_per_request, np.inf)
    order = np.lexsort((cost.ravel(), -speed.ravel()))
    cheapest = np.minimum.accumulate(np.concatenate([[np.inf], cost.ravel()[order][:-1]]))
    kept = order[cost.ravel()[order] < cheapest]
    option, _ = np.unravel_index(kept, cost.shape)
    status = Status.OK if len(kept) else Status(int(unserved(tried.status[:, -1])))
    return Front(
        speed.ravel()[kept],
        tried.dollars_per_million_output_tokens.ravel()[kept],
        cost.ravel()[kept],
        tried.first_token_seconds.ravel()[kept],
        tried.batch.ravel()[kept],
        option,
        found,
        status,
    )


def check_single(numbers: tuple[Any, ...]) -> None:
    """Refuse arrays among entered arguments, where an answer is for one scenario."""
    names = ("devices", "architecture", "requests", "limits", "utilisation")
    for name, each in zip(names, numbers, strict=True):
        shapes = {np.shape(x) for x in jax.tree.leaves(each)} - {()}
        if shapes:
            raise ValueError(f"{name} must be single numbers here; got shape {shapes.pop()}")


@compiled
def _all_batches(
    machines: tuple[Machine, ...],
    a: Architecture,
    requests: Requests,
    limits: Limits,
    utilisation: Array,
) -> Service:
    m = stacked(machines, 1)
    m, a, requests, limits, utilisation = arrays.align(m, a, requests, limits, utilisation)
    most = served(a, m, None, requests, limits, None, None, utilisation).batch
    powers = jnp.asarray([2.0**i for i in range(DOUBLINGS + 1)] + [jnp.inf], most.dtype)[None]
    batch = jnp.minimum(powers, jnp.where(most >= 1, most, 1))
    return served(a, m, None, requests, limits, None, batch, utilisation)
