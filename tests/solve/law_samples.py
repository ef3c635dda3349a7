"""Laws for the general solver: plain copies of the Chinchilla law, and published ones."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

import jaxscale as js
from solve.lanes import DTYPE


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class InLogs:
    """The Chinchilla law as anybody may write it, with its formula in logarithms."""

    E: Any
    A: Any
    B: Any
    alpha: Any
    beta: Any

    def loss(self, params, tokens):
        return self.loss_from_logs(jnp.log(params), jnp.log(tokens))

    def loss_from_logs(self, x, y):
        size = jnp.exp(jnp.log(self.A) - self.alpha * x)
        return self.E + size + jnp.exp(jnp.log(self.B) - self.beta * y)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnlyLoss:
    """The same with nothing but powers in `loss`."""

    E: Any
    A: Any
    B: Any
    alpha: Any
    beta: Any

    def loss(self, params, tokens):
        return self.E + self.A * params**-self.alpha + self.B * tokens**-self.beta


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OfMillions:
    """A Chinchilla law that counts params and tokens in millions, and says which law that is."""

    law: js.laws.Chinchilla

    def loss(self, params, tokens):
        return self.law.loss(params / 1e6, tokens / 1e6)

    def two_powers(self):
        law = self.law
        A, B = law.A * 1e6**law.alpha, law.B * 1e6**law.beta
        return js.laws.Chinchilla(law.E, A, B, law.alpha, law.beta)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TwoValleys:
    """A Chinchilla law with a ridge across it, at one token a parameter."""

    height: Any
    levers: ClassVar[dict] = {}

    def loss(self, params, tokens):
        ridge = 1 + self.height * jnp.exp(-(jnp.log(tokens / params) ** 2))
        return 1.7 + (400 * params**-0.34 + 400 * tokens**-0.34) * ridge


# Entry, and what its levers are where they are not chosen. Ranges, where a source has none.
PUBLISHED = {
    "kaplan2020": {},
    "muennighoff2023_repeated": {"unique_tokens": (1e9, 1e12)},
    "krajewski2024": {"granularity": (1.0, 16.0)},
    "abnar2025": {"sparsity": (0.0, 0.98)},
    "kumar2024": {"bits": (3.0, 16.0)},
    "tao2024": {"vocabulary_params": (1e6, 1e10)},
    "ludziejewski2025": {"experts": (1.0, 32.0)},
    "li2025": {},
}
USUAL_RANGES = {"params": (1e7, 1e10), "tokens": (1e9, 1e12)}
BEYOND = 100.0  # two decades


def random_plans(name, count, rng):
    """Law, params and tokens over its range and two decades beyond, and levers: log-uniform."""

    def drawn(low, high):
        if low <= 0:
            return rng.uniform(low, high, count).astype(DTYPE)
        return np.exp(rng.uniform(np.log(low), np.log(high), count)).astype(DTYPE)

    entry = js.laws.entry(name)
    low_params, high_params = entry.params_range or USUAL_RANGES["params"]
    low_tokens, high_tokens = entry.tokens_range or USUAL_RANGES["tokens"]
    params = drawn(low_params / BEYOND, high_params * BEYOND)
    tokens = drawn(low_tokens / BEYOND, high_tokens * BEYOND)
    levers = {lever: drawn(*limits) for lever, limits in PUBLISHED[name].items()}
    return entry.law, params, tokens, levers


def random_demand(count, rng):
    """Up to far more than any training, and none in a fifth of the lanes."""
    nothing = rng.random(count) < 0.2
    read, written = (np.exp(rng.uniform(np.log(1e6), np.log(1e15), count)) for _ in range(2))
    return js.Demand(*(np.where(nothing, 0, each).astype(DTYPE) for each in (read, written)))


def log_slopes(law, params, tokens, demand, costs, levers):
    """Loss and cost, and their derivatives in ln N and ln D, by reverse differentiation."""

    def loss(x, y):
        return jnp.sum(law.loss(jnp.exp(x), jnp.exp(y), **levers))

    def cost(x, y):
        n, d = jnp.exp(x), jnp.exp(y)
        if hasattr(law, "flops"):
            train, prefill, decode = law.flops(n, d, **levers)
        else:
            train, prefill, decode = 6 * n * d, 2 * n, 2 * n
        served = demand.input_tokens * costs.prefill * prefill
        return jnp.sum(costs.train * train + served + demand.output_tokens * costs.decode * decode)

    x, y = jnp.log(params), jnp.log(tokens)
    return jax.grad(loss, (0, 1))(x, y), jax.grad(cost, (0, 1))(x, y)
