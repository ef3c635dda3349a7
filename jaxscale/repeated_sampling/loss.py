"""The loss at which a number of attempts succeeds at a given rate."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.repeated_sampling.coverage import log_failure_of_mean

# Nats per token, beyond any language model: a success rate that is reached here needs no model.
WORST = 1024.0
NEAR_WORST = 0.99 * WORST
MORE_HALVINGS = 12  # than a number has binary digits: from WORST down to a loss of 1

Success = Callable[[Array], Array]  # from a loss to a chance of success of one attempt


def loss_for_success(
    success: Success,
    target: ArrayLike,
    attempts: ArrayLike,
    *,
    concentration: ArrayLike = np.inf,
) -> Array:
    """The highest loss, in nats per token, at which `attempts` attempts succeed at rate `target`.

    `success` is the chance of one attempt, a function of loss that falls with it: a pytree
    with `__call__`, or a plain function (the same object at each call, for a new one compiles
    again). It takes and returns arrays of one shape. Problems are spread about it as
    `failure_rate` says. Other arguments broadcast, and so does what `success` is made of.

    0 where no positive loss is low enough, infinite where every loss is, and NaN for a target
    outside (0, 1) and other bad numbers, with zero derivatives.

    Examples:
        >>> def success(loss):  # the chance that one attempt succeeds
        ...     return jax.nn.sigmoid((2.1 - loss) / 0.1)
        ...
        >>> print(f"{js.repeated_sampling.loss_for_success(success, 0.8, attempts=10):.3f}")
        2.275
    """
    arguments = {"target": target, "attempts": attempts, **spread_of(concentration)}
    return _loss_for_success(Needs(*entered(success, **arguments)))


def spread_of(concentration: ArrayLike) -> dict[str, ArrayLike]:
    """The argument by name; nothing if it is infinite in all lanes, which takes far less work."""
    if type(concentration) is float and concentration == np.inf:
        return {}
    return {"concentration": concentration}


def entered(success: Success, **arguments: Any) -> tuple:
    """`success` as a pytree of arrays, and the arguments, of one dtype.

    Raises TypeError for what cannot be called, and as `arrays.enter`.
    """
    if not callable(success):
        raise TypeError(f"success must be a function of loss; got {success!r}")
    leaves, treedef = jax.tree.flatten(success)
    if jax.tree_util.treedef_is_leaf(treedef):
        leaves, treedef = jax.tree.flatten(jax.tree_util.Partial(success))
    numbers = {f"success[{i}]": leaf for i, leaf in enumerate(leaves)}
    values = arrays.enter(**numbers, **arguments)
    return jax.tree.unflatten(treedef, values[: len(leaves)]), *values[len(leaves) :]


class Needs(NamedTuple):
    """The inputs of `loss_for_success`; arrays of one rank and dtype, or scalars."""

    success: Success
    target: Array
    attempts: Array
    concentration: Array | None = None  # infinite

    def are_valid(self) -> Array:
        """Whether the target lies in (0, 1), and the other two are above 0."""
        good = (self.target > 0) & (self.target < 1) & is_positive(self.attempts)
        return good if self.concentration is None else good & (self.concentration > 0)


@compiled
def _loss_for_success(needs):
    needs = arrays.align(needs)[0]
    return with_derivatives(needs, bisected_loss(needs))


def bisected_loss(needs: Needs) -> Array:
    """`loss_for_success`, not to be differentiated."""
    needs = lax.stop_gradient(needs)
    leaves = jax.tree.leaves(needs)
    low = jnp.zeros(jnp.broadcast_shapes(*map(jnp.shape, leaves)), leaves[0].dtype)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        enough = _excess(middle, needs) >= 0
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    halvings = int(jnp.finfo(low.dtype).nmant) + MORE_HALVINGS
    low, _ = lax.fori_loop(0, halvings, halve, (low, low + WORST))
    return jnp.where(needs.are_valid(), jnp.where(low > NEAR_WORST, jnp.inf, low), jnp.nan)


@jax.custom_jvp
def with_derivatives(needs: Needs, loss: Array) -> Array:
    """The bisected loss, with implicit derivatives of any order by `needs`."""
    del needs
    return loss


@with_derivatives.defjvp
def _with_derivatives_jvp(primals, tangents):
    (needs, _), (needs_dot, _) = primals, tangents
    loss = with_derivatives(*primals)
    inside = (loss > 0) & (loss < jnp.inf)
    safe = jnp.where(inside, loss, 1)
    needs = needs._replace(target=jnp.where(inside, needs.target, 0.5))
    needs = jax.tree.map(lambda x: where_safe(inside, x), needs)
    slope = jax.jvp(lambda x: _excess(x, needs), (safe,), (jnp.ones_like(safe),))[1]
    change = jax.jvp(lambda needs: _excess(safe, needs), (needs,), (needs_dot,))[1]
    falls = inside & is_finite(1 / slope)
    return loss, jnp.where(falls, -change, 0) / jnp.where(falls, slope, 1)


def _excess(loss: Array, needs: Needs) -> Array:
    """Above 0 where a loss is lower than needed.

    In log(-log(failure)), which is nearly linear even where failure is close to 1.
    """
    p = needs.success(loss)
    limits = jnp.finfo(p.dtype)
    p = jnp.clip(p, float(limits.tiny), 1 - float(limits.eps))
    log_failure = log_failure_of_mean(p, needs.attempts, needs.concentration)
    return jnp.log(-log_failure) - jnp.log(jnp.log1p(needs.target / (1 - needs.target)))
