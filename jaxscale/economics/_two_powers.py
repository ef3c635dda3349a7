# pyright: reportUnknownMemberType=false
"""Profit along the path of cheapest plans, in few operations, for laws of two powers.

With sigma the share of training's marginal cost that serving adds, as in `solve.root`, log params
and log tokens at a loss are closed in it, and so are all costs. Where demand is fixed at a loss,
sigma solves the equation of the cheapest plan. Where the price is the best one, it falls with
params, and the same equation has one more term:

    v + softplus(v) / beta - elasticity / alpha log(1 + alpha / beta sigma) = k, sigma = sigmoid(v)
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.logarithm import log
from jaxscale.costs import Costs, Demand
from jaxscale.economics.market import Market
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS
from jaxscale.solve.root import softplus_root

NEWTON = 3  # steps in float32, before one of third order
LEAST_K = -80.0  # serving costs nothing beside training, and its exponential is normal in float32


class Point(NamedTuple):
    """The cheapest plan at a loss, and what it sells."""

    loss: Array
    train_cost: Array
    inference_cost: Array
    revenue: Array
    earned_per_nat: Array  # by what is sold
    log_marginal_cost: Array
    log_scale: Array  # of what is sold over the known demand


class Branch(NamedTuple):
    """The terms of the equation for sigma."""

    c: Array  # 1 / beta
    ratio: Array  # alpha / beta
    power: Array | None  # elasticity / alpha, where the price is chosen


def point_of(
    law: Chinchilla,
    known: Demand | Market,
    costs: Costs,
    market: Market | None,
    price: Array | None,
) -> Callable[[Array, Array, Array | bool], Point]:
    """The function from log sizes to the cheapest plan of their loss.

    `known` holds the known demand. Where there are two best prices, the function's last argument
    says which: `from_high` that of many sales.
    """
    alpha, beta = law.alpha, law.beta
    total = alpha + beta
    log_A, log_B, log_train = log(law.A), log(law.B), log(costs.train)
    served = costs.prefill * known.input_tokens + costs.decode * known.output_tokens
    log_served = jnp.where(served > 0, log(served), -jnp.inf)  # of each param
    log_ratio = log(total / alpha)
    size_shift, data_shift = log_A + log(total), (log_B + log_ratio) / beta
    k_shift = log(beta / (3 * total)) + log_served - log_train - data_shift
    marginal_shift = log(total / (alpha * beta)) + math.log(TRAIN_FLOPS) + log_train
    branch = Branch(1 / beta, alpha / beta, None)
    if market is not None:
        log_known = log(market.input_tokens + market.output_tokens)
        elasticity = market.elasticity
        if price is None:
            markup = log(elasticity) - log(elasticity - 1)
            per_param = math.log(INFERENCE_FLOPS) + log_served - log_known + markup
            branch = branch._replace(power=elasticity / alpha)
        else:
            cheaper = elasticity * (log(market.at_price) - log(price))

    def at(log_params: Array, log_tokens: Array, from_high: Array | bool) -> Point:
        reducible = jnp.exp(log_A - alpha * log_params) + jnp.exp(log_B - beta * log_tokens)
        loss, log_reducible = law.E + reducible, log(reducible)
        log_scale = jnp.zeros_like(loss)
        largest = (size_shift - log(beta) - log_reducible) / alpha  # params if none are served
        if market is not None:
            log_scale = market.per_nat * (market.at_loss - loss)
            if price is None:
                log_scale += elasticity * (log(market.at_price) - per_param - largest)
            else:
                log_scale += cheaper
        k = k_shift + log_reducible / beta + log_scale
        u, sigma = _root(branch, jnp.maximum(k, LEAST_K), from_high)
        lift = log(1 + branch.ratio * sigma) / alpha
        log_N = largest - lift
        if market is not None and price is None:
            log_scale += elasticity * lift
        log_D = data_shift - log_reducible / beta + u / beta
        log_cost = math.log(TRAIN_FLOPS) + log_train + log_N + log_D
        train = jnp.exp(log_cost)
        scale = jnp.exp(log_scale)
        inference = INFERENCE_FLOPS * served * jnp.exp(log_N) * scale
        revenue = earned = jnp.zeros_like(loss)
        if market is not None:
            per_token = jnp.exp(per_param + log_N) if price is None else price
            revenue = per_token * (market.input_tokens + market.output_tokens) * scale
            # At what is sold, a better model raises the best price.
            part = revenue / market.elasticity if price is None else revenue - inference
            earned = market.per_nat * part
        marginal = marginal_shift + log_N + log_D + u - log_reducible
        return Point(loss, train, inference, revenue, earned, marginal, log_scale)

    return at


def has_several_prices(law: Chinchilla, market: Market) -> Array:
    """Whether the equation for sigma may have several roots.

    Its slope has the sign of `beta + sigma - elasticity sigma (1 - sigma)` or is above 0.
    """
    return jnp.asarray((market.elasticity - 1) ** 2 >= 4 * market.elasticity * law.beta)


def _root(branch: Branch, k: Array, from_high: Array | bool) -> tuple[Array, Array]:
    """Softplus and sigmoid of v."""
    c, ratio, power = branch
    if power is None:
        return softplus_root(c, k, k, jnp.ones_like(k))
    # The last term lies between 0 and this.
    k_above = k + jnp.where(from_high, power * log(1 + ratio), 0)
    v = jnp.minimum(k_above, k_above / (1 + c))
    low = Branch(*(jnp.asarray(x, jnp.float32) for x in branch))
    v, low_k = v.astype(jnp.float32), k.astype(jnp.float32)
    for _ in range(NEWTON):
        f, d1, _ = _excess(low, low_k, v, jnp.log1p)
        v = v - f / d1
    v = v.astype(k.dtype)
    f, d1, d2 = _excess(branch, k, v, _log_of_one_more)
    v = v - f * d1 / (d1 * d1 - f * d2 / 2)
    small = jnp.exp(-jnp.abs(v))
    return jnp.maximum(v, 0) + log(1 + small), jnp.where(v > 0, 1, small) / (1 + small)


def _log_of_one_more(x: Array) -> Array:
    return log(1 + x)


def _excess(
    branch: Branch, k: Array, v: Array, log1p: Callable[[Array], Array]
) -> tuple[Array, Array, Array]:
    """The equation's excess at v with its first two derivatives."""
    c, ratio, power = branch
    small = jnp.exp(-jnp.abs(v))
    first = jnp.where(v > 0, 1, small) / (1 + small)
    rest = jnp.where(v > 0, small, 1) / (1 + small)
    f = v + c * (jnp.maximum(v, 0) + log1p(small)) - k
    d1, d2 = 1 + c * first, c * first * rest
    h = ratio * first * rest / (1 + ratio * first)
    f -= power * log1p(ratio * first)
    d1 -= power * h
    d2 -= power * h * (1 - 2 * first - h)
    return f, d1, d2
