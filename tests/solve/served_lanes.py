"""Scenarios whose serving is priced by size, and the best plan of each by a grid in NumPy."""

from dataclasses import replace

import numpy as np

import jaxscale as js
from serving import by_hand

LAW = js.laws.published("sardana2024")
K = js.laws.published("chen2025_stack").k
# A context that no draw exceeds; heads in groups, so that a cache is copied on many devices.
FAMILY = replace(js.architectures.LLAMA, context=1e6, kv_group=4.0)
COUNTS = (1, 2, 4, 8, 16, 32, 64)
TRAINER = js.accelerator("H100-SXM", price=2.0)
TRAIN = 2.0 / 3600 / TRAINER.peak("bf16") / 0.5  # dollars for each FLOP
LANES = 200
FREE = {"min_params": 0.0, "max_params": np.inf, "min_tokens": 0.0, "max_tokens": np.inf}
FREE |= {"max_tokens_per_param": np.inf}
# A model of 16 billion params on one or two devices, inside all limits.
TYPICAL = {"loss": 2.05, "budget": 2e6, "read": 1e13, "written": 2e12, "prompt": 1000.0}
TYPICAL |= {"output": 250.0, "token": 0.05, "first": 1.0, "max_batch": np.inf, "price": 2.0} | FREE
SOLVERS = {"loss": js.minimize_cost, "budget": js.minimize_loss}


def drawn(rng, count=LANES):
    """Scenarios by name, half of them limited in time, in memory or in the batch."""

    def limit(low, high, share):
        value = 10 ** rng.uniform(low, high, count)
        return np.where(rng.random(count) < share, np.inf, value)

    read = 10 ** rng.uniform(9, 14, count)
    draws = {
        "loss": rng.uniform(1.85, 2.7, count),
        "budget": 10 ** rng.uniform(3, 9, count),
        "read": read,
        "written": read * 10 ** rng.uniform(-1.5, 0.5, count),
        "prompt": 10 ** rng.uniform(1.5, 4, count),
        "output": 10 ** rng.uniform(1, 3.3, count),
        "token": limit(-2.2, -0.5, 0.3),
        "first": limit(-1.5, 1, 0.5),
        "max_batch": limit(0, 3, 0.7),
        "price": rng.uniform(1, 4, count),
    }
    return draws | {name: np.full(count, value) for name, value in FREE.items()}


def lanes(*scenarios):
    """Scenarios that differ from the typical one as given, repeated to LANES."""
    made = [{**TYPICAL, **each} for each in scenarios]
    assert len(made) <= LANES
    return {name: np.resize([float(each[name]) for each in made], LANES) for name in TYPICAL}


def costs_of(draws, family=FAMILY, **chosen):
    return js.Costs.served(
        family,
        js.accelerator("H100-SXM", price=draws["price"]),
        js.serving.Requests(draws["prompt"], draws["output"]),
        js.serving.Limits(draws["token"], draws["first"], draws["max_batch"]),
        train=TRAINER,
        **chosen,
    )


def bounds_of(draws):
    return js.Bounds(**{name: draws[name] for name in FREE})


def solve(draws, target, law=LAW, levers=None, **chosen):
    """The plan; all draws have one shape, so that all calls share a program."""
    demand = js.Demand(draws["read"], draws["written"])
    costs = costs_of(draws, **chosen)
    return SOLVERS[target](law, draws[target], demand, costs, bounds_of(draws), levers=levers)


# --- By hand --------------------------------------------------------------------------------


def priced(draws, count, log_params, batch):
    """Dollars of serving all tokens; infinite where a limit is not kept."""
    shape = by_hand.shape_of(FAMILY, np.exp(log_params))
    return _priced(draws, count, shape, batch)


def _priced(draws, count, shape, batch):
    rates, limits = by_hand.rates_of(TRAINER, count), (draws["token"], draws["first"])
    streams = draws.get("streams", 1.0)
    asked = draws["prompt"], draws["output"], batch, limits
    each = by_hand.price(shape, rates, *asked, streams)
    # The price of an hour is each scenario's own.
    read, written = (draws["price"] / TRAINER.price * x for x in each)
    return draws["read"] * read + draws["written"] * written


def largest(draws, count, shape):
    """The largest batch that keeps all limits, by bisection; 1 where none does."""
    low = np.zeros_like(shape["params"])
    high = low + np.log(np.minimum(draws["max_batch"], 2.0**20))
    for _ in range(40):
        middle = (low + high) / 2
        keeps = np.isfinite(_priced(draws, count, shape, np.exp(middle)))
        low, high = np.where(keeps, middle, low), np.where(keeps, high, middle)
    return np.exp(low)


def value(draws, target, count, shape, batch):
    """The lifetime cost, or the loss, of the best training of such a model."""
    served, params = _priced(draws, count, shape, batch), shape["params"]
    streams = draws.get("streams", 1.0)
    size = LAW.E + LAW.A / (params * (1 + K * np.log(streams))) ** LAW.alpha
    train = 6 * params * streams * TRAIN  # dollars for each token
    low, high = draws["min_tokens"], draws["max_tokens"]
    high = np.minimum(high, draws["max_tokens_per_param"] * params)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if target == "loss":
            left = draws["loss"] - size
            tokens = np.maximum((LAW.B / np.where(left > 0, left, np.nan)) ** (1 / LAW.beta), low)
            return np.where(tokens <= high, train * tokens + served, np.inf)
        left = draws["budget"] - served
        tokens = np.minimum(np.where(left > 0, left, np.nan) / train, high)
        return np.where((tokens >= low) & (tokens > 0), size + LAW.B / tokens**LAW.beta, np.inf)


def searched(draws, target, *, points=100, zooms=5, finer=21, batches=7):
    """The least value over numbers of devices, sizes and batches: a grid, and finer ones in it.

    Batches are powers of the largest that a size may have.
    """
    draws = {name: np.asarray(x)[:, None, None] for name, x in draws.items()}
    powers = np.linspace(0, 1, batches)[None, None, :]
    best = []
    for count in COUNTS:
        # From where the family has its narrowest models.
        low = np.log(np.maximum(draws["min_params"], 6e5))
        high = np.log(np.minimum(draws["max_params"], 1e14))
        start, end, least = low, high, np.full(len(low), np.inf)
        for size in [points, *[finer] * zooms]:
            line = np.linspace(0, 1, size)[None, :, None]
            sizes = start * (1 - line) + end * line
            shape = by_hand.shape_of(FAMILY, np.exp(sizes))
            batch = largest(draws, count, shape) ** powers
            found = value(draws, target, count, shape, batch).min(axis=2)
            found = np.where((low <= high)[:, :, 0], found, np.inf)
            least = np.minimum(least, found.min(axis=1))
            middle = np.take_along_axis(sizes, found.argmin(axis=1)[:, None, None], 1)
            step = (end - start) / (size - 1)
            start, end = np.maximum(middle - step, low), np.minimum(middle + step, high)
        best.append(least)
    return np.min(best, axis=0)
