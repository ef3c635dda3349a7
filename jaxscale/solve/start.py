"""The start of Newton's method: the optimum of the Chinchilla law that is like a law at one point.

Over some range every law falls with a power of each size. The two powers that have a law's
derivatives at a common model have an optimum in closed form, which for many laws is the answer.
"""

import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.logarithm import log
from jaxscale._numerics.values import is_finite
from jaxscale.laws.inverse import BOTH, LOG_TOKENS_PER_PARAM, beginning
from jaxscale.laws.protocol import TRAIN_FLOPS, has_own_flops
from jaxscale.solve.newton import Inputs, Partials, cost_ratio, floor_of, log_cost, partials
from jaxscale.solve.root import softplus_root

FARTHEST = 60.0  # e-folds from the point, beyond which nothing that holds there need hold


def start(
    at_loss: bool, inputs: Inputs, like: Array, near: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Log params and log tokens to search from, of the shape of `like`, by the law at `near`.

    Not for differentiation.
    """
    x, y = near
    loss = partials(inputs.loss, x, y)
    served = jnp.maximum(cost_ratio(x, y, inputs) - 1, 0)
    if at_loss:
        moved = _to_loss(inputs.target, floor_of(inputs, like), loss, served)
        usual = x, y
    else:
        log_price = jnp.log(TRAIN_FLOPS * inputs.costs.train)
        log_product, here = log(inputs.target) - log_price, x + y
        if has_own_flops(inputs.law):
            here = log_cost(x, y, inputs) - log(1 + served) - log_price
        moved = _to_budget(log_product - here, loss, served)
        usual = tuple(
            (log_product + side) / 2 for side in (-LOG_TOKENS_PER_PARAM, LOG_TOKENS_PER_PARAM)
        )
    in_reach = [is_finite(z) & (jnp.abs(z) < FARTHEST) for z in moved]
    x, y = (
        jnp.where(in_reach[0] & in_reach[1], at + by, other)
        for at, by, other in zip((x, y), moved, usual, strict=True)
    )
    return x + like, y + like


def usual_point(inputs: Inputs, like: Array) -> tuple[Array, Array]:
    """Log params and log tokens of a common model, or of a smaller one whose loss can be told."""
    x = beginning(inputs.law, inputs.levers, BOTH, like)
    return x, x + LOG_TOKENS_PER_PARAM


def _to_loss(target: Array, floor: Array, loss: Partials, served: Array) -> tuple[Array, Array]:
    """The way from a point to the cheapest plan of a loss.

    `served` are the tokens that are served at the point, as a multiple of a third of its training
    tokens. See `closed.iso_loss_curve`.
    """
    alpha, beta = -loss.xx / loss.x, -loss.yy / loss.y
    size, data = -loss.x / alpha, -loss.y / beta
    # Of the loss above the floor, which no two powers need to add up to.
    log_left = log(target - floor) - jnp.log((loss.value - floor) / (size + data))
    along_y = (jnp.log(data * (1 + beta / alpha)) - log_left) / beta
    k = jnp.log(beta / (alpha + beta)) - along_y + _log(served)
    u, sigma = softplus_root(1 / beta, k, k, served)
    along_x = (jnp.log(size * (alpha + beta)) - log_left - log(beta + alpha * sigma)) / alpha
    return along_x, along_y + u / beta


def _to_budget(log_budget: Array, loss: Partials, served: Array) -> tuple[Array, Array]:
    """The way from a point to the best plan of a budget, a multiple of the point's training.

    See `closed.budget_curve`.
    """
    alpha, beta = -loss.xx / loss.x, -loss.yy / loss.y
    along_y = (jnp.log(loss.y / loss.x) + alpha * log_budget) / (alpha + beta)
    c, k = (1 - alpha) / (alpha + beta), _log(served) - along_y
    along_y += c * softplus_root(c, k, k, served).u
    return log_budget - log(jnp.exp(along_y) + served), along_y


def _log(served: Array) -> Array:
    return jnp.where(served > 0, log(served), -jnp.inf)
