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


class _Sales(NamedTuple):
    """What is sold at log params x: `log_scale = constant - per_nat loss - elasticity x`."""

    constant: Array
    per_nat: Array
    elasticity: Array | None  # where the price is chosen, which rises with params
    log_price: Array  # of a token, less x where it is chosen
    tokens: Array  # of the known demand


def _sales(market: Market | None, price: Array | None, log_served: Array) -> _Sales:
    """Of a fixed demand, of a given price, or of the best price."""
    zero = jnp.zeros_like(log_served)
    if market is None:
        return _Sales(zero, zero, None, zero - jnp.inf, zero)
    tokens = jnp.asarray(market.input_tokens + market.output_tokens)
    elasticity, chosen = jnp.asarray(market.elasticity), None
    if price is None:
        markup = log(elasticity) - log(elasticity - 1)
        log_price, chosen = (
            math.log(INFERENCE_FLOPS) + log_served - log(tokens) + markup,
            elasticity,
        )
    else:
        log_price = log(price)
    cheaper = log(jnp.asarray(market.at_price)) - log_price
    constant = market.per_nat * market.at_loss + elasticity * cheaper
    return _Sales(constant, jnp.asarray(market.per_nat), chosen, log_price, tokens)


def point_of(
    law: Chinchilla,
    demand: Demand,
    costs: Costs,
    market: Market | None,
    price: Array | None,
) -> Callable[[Array, Array, Array | bool], Point]:
    """The function from log sizes to the cheapest plan of their loss.

    `demand` is the known one where there is a market. Where there are two best prices, the
    function's last argument says which: `from_high` that of many sales.
    """
    E, A, B, alpha, beta = (jnp.asarray(x) for x in (law.E, law.A, law.B, law.alpha, law.beta))
    total = alpha + beta
    log_A, log_B, log_train = log(A), log(B), log(jnp.asarray(costs.train))
    served = jnp.asarray(costs.prefill * demand.input_tokens + costs.decode * demand.output_tokens)
    log_served = jnp.where(served > 0, log(served), -jnp.inf)  # of each param
    sales = _sales(market, price, log_served)
    power = None if sales.elasticity is None else sales.elasticity / alpha
    size_shift = log_A + log(total / beta)
    data_shift = (log_B + log(total / alpha)) / beta
    k_shift = log(beta / (3 * total)) + log_served - log_train - data_shift
    train_shift = math.log(TRAIN_FLOPS) + log_train
    nat_shift = log(total / (alpha * beta))

    def at(log_params: Array, log_tokens: Array, from_high: Array | bool) -> Point:
        reducible = jnp.exp(log_A - alpha * log_params) + jnp.exp(log_B - beta * log_tokens)
        loss, log_reducible = E + reducible, log(reducible)
        x = (size_shift - log_reducible) / alpha  # params if none are served
        log_scale = sales.constant - sales.per_nat * loss
        if sales.elasticity is not None:
            log_scale -= sales.elasticity * x
        k = jnp.maximum(k_shift + log_reducible / beta + log_scale, LEAST_K)
        u, sigma = _root(1 / beta, alpha / beta, power, k, from_high)
        fewer = log(1 + alpha / beta * sigma) / alpha
        x -= fewer
        y = data_shift + (u - log_reducible) / beta
        price = jnp.exp(sales.log_price)
        if sales.elasticity is not None:
            log_scale += sales.elasticity * fewer
            price = jnp.exp(sales.log_price + x)
        scale = jnp.exp(log_scale)
        log_cost = train_shift + x + y
        inference = INFERENCE_FLOPS * served * jnp.exp(x) * scale
        revenue = price * sales.tokens * scale
        # At what is sold, a better model raises the best price.
        chosen = sales.elasticity
        part = revenue - inference if chosen is None else revenue / chosen
        marginal = log_cost + nat_shift + u - log_reducible
        costs = jnp.exp(log_cost), inference
        return Point(loss, *costs, revenue, sales.per_nat * part, marginal, log_scale)

    return at


def has_several_prices(law: Chinchilla, market: Market) -> Array:
    """Whether the equation for sigma may have several roots.

    Its slope has the sign of `beta + sigma - elasticity sigma (1 - sigma)` or is above 0.
    """
    return jnp.asarray((market.elasticity - 1) ** 2 >= 4 * market.elasticity * law.beta)


def _root(
    c: Array, ratio: Array, power: Array | None, k: Array, from_high: Array | bool
) -> tuple[Array, Array]:
    """Softplus and sigmoid of v; the terms of its equation are those of `_Terms`."""
    if power is None:
        return softplus_root(c, k, k, jnp.ones_like(k))
    # The last term lies between 0 and this.
    k_above = k + jnp.where(from_high, power * log(1 + ratio), 0)
    v = jnp.minimum(k_above, k_above / (1 + c))
    terms = _Terms(c, ratio, power, k)
    low = _Terms(*(x.astype(jnp.float32) for x in terms))
    v = v.astype(jnp.float32)
    for _ in range(NEWTON):
        f, d1, _ = _excess(low, v)
        v = v - f / d1
    v = v.astype(k.dtype)
    f, d1, d2 = _excess(terms, v)
    v = v - f * d1 / (d1 * d1 - f * d2 / 2)
    small = jnp.exp(-jnp.abs(v))
    return jnp.maximum(v, 0) + log(1 + small), jnp.where(v > 0, 1, small) / (1 + small)


class _Terms(NamedTuple):
    """`v + c softplus(v) - power log(1 + ratio sigmoid(v)) = k`."""

    c: Array
    ratio: Array
    power: Array
    k: Array


def _excess(terms: _Terms, v: Array) -> tuple[Array, Array, Array]:
    """The left side less the right, with its first two derivatives by v."""
    c, ratio, power, k = terms
    small = jnp.exp(-jnp.abs(v))
    first = jnp.where(v > 0, 1, small) / (1 + small)
    rest = jnp.where(v > 0, small, 1) / (1 + small)
    f = v + c * (jnp.maximum(v, 0) + log(1 + small)) - k
    d1, d2 = 1 + c * first, c * first * rest
    h = ratio * first * rest / (1 + ratio * first)
    f -= power * log(1 + ratio * first)
    d1 -= power * h
    d2 -= power * h * (1 - 2 * first - h)
    return f, d1, d2
