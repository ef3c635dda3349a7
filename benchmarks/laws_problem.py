"""The laws that are timed, each with the scenarios that it is asked for.

Losses and demands are chosen so that plans lie within two decades of the runs that a law was
fitted to, and not at an end of a lever's range.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jaxscale as js
from benchmarks import problem
from jaxscale.laws.precision import FULL_BITS
from jaxscale.laws.protocol import Flops

UNIQUE_TOKENS = 25e9
SCALING_BLOCK = 128.0


# --- Laws of the benchmark's own -------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OnlyLoss:
    """The Chinchilla law as a user may write it: nothing but a loss."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, params: Array, tokens: Array) -> Array:
        size = self.A * jnp.exp(-self.alpha * jnp.log(params))
        data = self.B * jnp.exp(-self.beta * jnp.log(tokens))
        return self.E + size + data


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LossFromLogs:
    """The same with a loss at logarithms, which is what a search moves in."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, params: Array, tokens: Array) -> Array:
        return self.loss_from_logs(jnp.log(params), jnp.log(tokens))

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        size = self.A * jnp.exp(-self.alpha * log_params)
        data = self.B * jnp.exp(-self.beta * log_tokens)
        return self.E + size + data


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SparseBits:
    """Two levers: bits as in Kumar et al. 2024, and experts of which a share is idle.

    One share of effective parameters, that of activations, and a power of the active share as
    in Abnar et al. 2025, eq. 6. Nobody's fit: with it both levers are best inside their ranges.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    gamma: float
    n: float
    c: float
    exponent: float

    levers: ClassVar[dict[str, tuple[float, float]]] = {
        "bits": (4.0, 16.0),
        "sparsity": (0.0, 0.98),
    }

    def loss(self, params: Array, tokens: Array, bits: Array, sparsity: Array) -> Array:
        return self.loss_from_logs(jnp.log(params), jnp.log(tokens), bits, sparsity)

    def loss_from_logs(
        self, log_params: Array, log_tokens: Array, bits: Array, sparsity: Array
    ) -> Array:
        log_effective = log_params + jnp.log(1 - jnp.exp(self.n - bits / self.gamma))
        size = self.A * jnp.exp(-self.alpha * log_effective)
        data = self.B * jnp.exp(-self.beta * log_tokens)
        idle = self.c * jnp.exp(-self.exponent * jnp.log(1 - sparsity))
        return self.E + size + data + idle

    def flops(self, params: Array, tokens: Array, bits: Array, sparsity: Array) -> Flops:
        active = params * (1 - sparsity) * (bits / FULL_BITS)
        return Flops(6 * active * tokens, 2 * active, 2 * active)


# --- Cases -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A law and what it is asked: the cheapest plan of each loss and demand."""

    law: Any
    losses: tuple[float, float]  # nats per token, as the law counts them
    demands: tuple[float, float]  # input tokens
    fixed: dict[str, float] = field(default_factory=dict)  # levers with a value
    chosen: tuple[str, ...] = ()  # levers that are chosen too


CHINCHILLA, ONLY_LOSS, LOGS = (
    "Chinchilla, closed", "Chinchilla, only loss", "Chinchilla, loss_from_logs",
)  # fmt: skip
KAPLAN, MUENNIGHOFF = "kaplan2020", "muennighoff2023_repeated"
LING = "ling2025_on_besiroglu2024"
LUDZIEJEWSKI, OVER_EXPERTS = "ludziejewski2025", "ludziejewski2025 over experts"
KRAJEWSKI, KUMAR, FARSEER = "krajewski2024", "kumar2024", "li2025"
SUN, OVER_FORMATS = "sun2025", "sun2025 over exponent_bits and mantissa_bits"
OVER_GRANULARITY, OVER_BITS = "krajewski2024 over granularity", "kumar2024 over bits"
OVER_FINENESS = "ling2025_on_besiroglu2024 over granularity"
OVER_VOCABULARY = "tao2024 over vocabulary_params"
STUDENT = "busbridge2025_student"
OVER_TWO = "a law of its own over bits and sparsity"
IN_STREAMS = "Chinchilla in 4 streams of chen2025_pile"


@functools.cache
def cases() -> dict[str, Case]:
    """Every case by its name."""
    published = js.laws.published
    chinchilla = problem.LOSSES, problem.DEMANDS
    kumar, krajewski = published("kumar2024"), published("krajewski2024")
    tao, bits = published("tao2024"), ((3.1, 3.7), (1e8, 1e12))
    experts, joint = ((2.6, 3.3), (1e9, 1e13)), published("ludziejewski2025")
    ling, sparse = published(LING), ((2.1, 2.6), (1e9, 1e13))
    return {
        CHINCHILLA: Case(js.laws.Chinchilla(*problem.LAW), *chinchilla),
        ONLY_LOSS: Case(OnlyLoss(*problem.LAW), *chinchilla),
        LOGS: Case(LossFromLogs(*problem.LAW), *chinchilla),
        KAPLAN: Case(published("kaplan2020"), (2.1, 3.0), (1e8, 1e13)),
        MUENNIGHOFF: Case(
            published("muennighoff2023_repeated"), (2.3, 2.8), (1e8, 1e13),
            fixed={"unique_tokens": UNIQUE_TOKENS},
        ),
        KRAJEWSKI: Case(krajewski, *experts, fixed={"granularity": 8.0}),
        KUMAR: Case(kumar, *bits, fixed={"bits": 8.0}),
        LING: Case(ling, *sparse, fixed={"activation": 0.05, "granularity": 8.0}),
        STUDENT: Case(published(STUDENT), (2.2, 2.5), (1e9, 1e12), fixed={"teacher_loss": 2.1}),
        LUDZIEJEWSKI: Case(joint, (2.0, 2.6), (1e9, 1e13), fixed={"experts": 8.0}),
        OVER_EXPERTS: Case(joint, (2.0, 2.6), (1e9, 1e13), chosen=("experts",)),
        FARSEER: Case(published("li2025"), (0.44, 0.6), (1e8, 1e13)),
        SUN: Case(
            published("sun2025"), (2.3, 3.0), (1e8, 1e12),
            fixed={"exponent_bits": 4.0, "mantissa_bits": 3.0, "scaling_block": SCALING_BLOCK},
        ),
        OVER_FORMATS: Case(
            published("sun2025"), (2.3, 3.0), (1e8, 1e12),
            fixed={"scaling_block": SCALING_BLOCK}, chosen=("exponent_bits", "mantissa_bits"),
        ),
        OVER_GRANULARITY: Case(krajewski, *experts, chosen=("granularity",)),
        OVER_BITS: Case(kumar, *bits, chosen=("bits",)),
        OVER_FINENESS: Case(
            ling, *sparse, fixed={"activation": 0.05}, chosen=("granularity",)
        ),
        OVER_VOCABULARY: Case(tao, (-5.0, -4.2), (1e8, 1e12), chosen=("vocabulary_params",)),
        OVER_TWO: Case(
            SparseBits(
                kumar.E, kumar.A, kumar.B, kumar.alpha, kumar.beta, kumar.gamma_a, kumar.n_a,
                c=0.03, exponent=1.0,
            ),
            *bits, chosen=("bits", "sparsity"),
        ),
        IN_STREAMS: Case(
            js.laws.with_streams(
                js.laws.Chinchilla(*problem.LAW), published("chen2025_pile").k
            ),
            *chinchilla, fixed={"streams": 4.0},
        ),
    }  # fmt: skip


@functools.lru_cache(maxsize=4)
def scenarios(case: str, count: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses, uniform, and demands, log-uniform: the same draws for every row of a case."""
    asked = cases()[case]
    rng = np.random.default_rng(problem.SEED)
    (low, high), (least, most) = asked.losses, asked.demands
    loss = rng.uniform(low, high, count).astype(dtype)
    demand = np.exp(rng.uniform(math.log(least), math.log(most), count)).astype(dtype)
    loss.flags.writeable = demand.flags.writeable = False
    return loss, demand


def solve(case: str, loss: Array, demand: Array) -> js.Plan:
    """The whole plans of jaxscale, by a plain call."""
    asked = cases()[case]
    served = js.Demand(input_tokens=demand)
    over = ("params", "tokens", *asked.chosen)
    return js.minimize_cost(asked.law, loss, served, levers=asked.fixed, over=over)
