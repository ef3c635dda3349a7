"""What a longer prompt is worth: the loss that it saves, against its prefill and its cache."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale.architectures.architecture import Architecture
from jaxscale.laws.context import ContextLength
from jaxscale.serving.deployment import Deployment
from jaxscale.serving.passes import MILLION, WRITERS
from jaxscale.serving.requests import Limits, Requests
from jaxscale.serving.service import Service, serve
from jaxscale.status import Status, is_ok


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class LongerPrompt:
    """Loss and price with a prompt, and with a longer one. Arrays have the full shape of all.

    Where the status is not OK, all numbers but those of the two services are NaN.

    Examples:
        >>> from dataclasses import replace
        >>> law = js.laws.context_length("xiong2023_7b")
        >>> shape = replace(js.architectures.published("llama-2-7b"), context=32768)
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.0))
        >>> requests = js.serving.Requests(prompt=4096, output=512)
        >>> longer = js.serving.longer_prompt(law, shape, deployment, requests)
        >>> print(f"{longer.gain:.3f} nats for ${longer.dollars:.2f} a million tokens written")
        0.027 nats for $0.63 a million tokens written
    """

    loss: Array  # with the prompt, nats per token
    gain: Array  # nats per token by which the longer prompt lowers it
    dollars: Array  # that it adds to the cost of requests, for a million tokens written
    service: Service  # with the prompt
    longer: Service
    status: Array  # int8, a member of Status: of the first of the two services that is not OK

    def __repr__(self) -> str:
        return _display.scenarios(self, self._columns, WRITERS)

    def _repr_html_(self) -> str | None:
        return _display.scenarios_html(self, self._columns, WRITERS)

    def _columns(self) -> dict[str, Array]:
        """What is shown of each scenario."""
        numbers = {name: getattr(self, name) for name in ("loss", "gain", "dollars")}
        numbers |= {"dollars_per_nat": self.dollars_per_nat}
        numbers |= {"batch": self.service.batch, "longer_batch": self.longer.batch}
        return {**numbers, "status": self.status}

    @property
    def dollars_per_nat(self) -> Array:
        """Dollars for each nat per token that is gained, for a million tokens written."""
        return self.dollars / self.gain

    @property
    def ok(self) -> Array:
        """Whether the numbers are given: boolean, of the full shape."""
        return is_ok(self.status)


def longer_prompt(
    law: ContextLength,
    architecture: Architecture,
    deployment: Deployment,
    requests: Requests,
    limits: Limits | None = None,
    *,
    times: ArrayLike = 2.0,
    batch: ArrayLike | None = None,
    utilisation: ArrayLike = 1.0,
) -> LongerPrompt:
    """What prompts `times` as long gain in loss and add to the price, by `js.serving.serve`.

    The law gives the loss at the tokens of the prompt. A longer prompt takes more to read, and its
    cache takes more memory, so that fewer requests are answered together, and more time in each
    step. All numbers broadcast as in NumPy; works under jit, vmap and grad.

    Args:
        law: loss by context of the model, such as `js.laws.context_length("xiong2023_7b")`.
        architecture: its shape, whose context holds the longer prompt and the answer.
        deployment: what serves one copy of it.
        requests: those with the shorter prompt, all alike.
        limits: what an answer may take; nothing by default.
        times: the longer prompt over the shorter.
        batch: sequences decoded together, with both; for each the largest that fits where left out.
        utilisation: share of the time in which devices work: see `serve`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: as `serve`, and for requests of several lengths.

    Examples:
        >>> from dataclasses import replace
        >>> law = js.laws.context_length("xiong2023_7b")
        >>> shape = replace(js.architectures.published("llama-2-7b"), context=32768)
        >>> deployment = js.serving.Deployment(js.accelerator("H100-SXM", price=2.0))
        >>> requests = js.serving.Requests(prompt=np.array([2048, 8192]), output=512)
        >>> longer = js.serving.longer_prompt(law, shape, deployment, requests)
        >>> print(np.asarray(longer.dollars_per_nat).round(1))
        [ 8.3 65.1]
    """
    if not isinstance(law, ContextLength):
        raise TypeError(f"law must be a ContextLength, as laws.context_length gives; got {law!r}")
    if not isinstance(requests, Requests):
        raise TypeError(
            f"requests must be js.serving.Requests(prompt=..., output=...); got {requests!r}"
        )
    means = ("prompt_context", "output_context", "kept", "longest")
    if any(getattr(requests, name) is not None for name in means):
        raise ValueError(f"requests must be all alike: leave out {', '.join(means)}")
    asked: dict[str, Any] = {"batch": batch, "limits": limits, "utilisation": utilisation}
    longer_requests = replace(requests, prompt=times * requests.prompt)
    service = serve(architecture, deployment, requests, **asked)
    longer = serve(architecture, deployment, longer_requests, **asked)
    numbers = _compared(
        *arrays.enter(
            output=requests.output,
            loss=law.loss(requests.prompt),
            longer_loss=law.loss(longer_requests.prompt),
            spent=service.dollars_per_request,
            longer_spent=longer.dollars_per_request,
        ),
        jnp.where(service.ok, longer.status, service.status),
    )
    return LongerPrompt(**numbers, service=service, longer=longer)


@jax.jit
def _compared(
    output: Array, loss: Array, longer_loss: Array, spent: Array, longer_spent: Array, status: Array
) -> dict[str, Array]:
    given = arrays.align(output, loss, longer_loss, spent, longer_spent, status)
    output, loss, longer_loss, spent, longer_spent, status = given
    gain, dollars = loss - longer_loss, MILLION * (longer_spent - spent) / output
    full = jnp.zeros_like(gain + dollars)
    status = jnp.broadcast_to(status, full.shape)
    # Of the inputs, those of the law alone are not in the status of a service.
    status = jnp.where(is_ok(status) & jnp.isnan(gain), jnp.int8(Status.INVALID_INPUT), status)
    numbers = {"loss": loss, "gain": gain, "dollars": dollars}
    masked = {name: jnp.where(is_ok(status), x + full, jnp.nan) for name, x in numbers.items()}
    return {**masked, "status": status}
