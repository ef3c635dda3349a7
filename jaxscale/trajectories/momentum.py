"""The momentum law: what a falling learning rate gains, Tissue et al. 2024."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import short_repr
from jaxscale.trajectories.law import all_are_positive, losses, number_of
from jaxscale.trajectories.schedules import Schedule

DECAY = 0.999


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Momentum:
    """Loss by the sum of learning rates and by their decay, Tissue et al. 2024.

    S1 is the sum of the rates so far. S2 sums `m_t = decay m_(t-1) + (rate_(t-1) - rate_t)` over
    the steps, from m_0 = 0: what the fall of the rate has gained, some steps after it fell. `decay`
    is held at 0.999 in a fit, or at what `fixed` says. All coefficients are positive. Not
    valid over changes of batch size or weight decay. Source: arXiv 2408.11029.

    Examples:
        >>> law = js.trajectories.Momentum(L0=3.068, A=0.4913, alpha=0.5715, C=0.3977)
        >>> schedule = js.trajectories.Schedule.cosine(24_000, 3e-4, 3e-5, warmup=2160)
        >>> print(f"{law.loss(schedule, 24_000):.3f}")
        3.306
    """

    L0: Real  # irreducible loss, nats per token
    A: Real
    alpha: Real
    C: Real
    decay: Real = DECAY

    of_steps: ClassVar[bool] = True
    levers: ClassVar[dict[str, tuple[float, float]]] = {
        "rate_sum": (0.0, 1e30),
        "annealing": (-1e30, 1e30),
    }
    equation: ClassVar[str] = "L(t) = L0 + A S1^-alpha - C S2"
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "L0": Coefficient((1.0, 2.0, 3.0)),
        "A": Coefficient((0.2, 0.6, 2.0)),
        "alpha": Coefficient((0.2, 0.5, 0.8)),
        "C": Coefficient((0.1, 0.5, 5.0)),
        "decay": Coefficient((DECAY,), held=True),
    }

    __repr__ = short_repr

    def loss(self, schedule: Schedule, steps: ArrayLike | None = None) -> Array:
        """Loss in nats per token after `steps`, by default each step of the schedule."""
        return losses(self, schedule, steps)

    def loss_from_logs(
        self, log_params: Any, log_tokens: Any, rate_sum: Array, annealing: Array
    ) -> Array:
        """Loss at S1 and S2; checks and converts nothing."""
        del log_params, log_tokens
        return self.L0 + self.A * jnp.exp(-self.alpha * jnp.log(rate_sum)) - self.C * annealing

    @staticmethod
    def features(
        schedule: Schedule, steps: np.ndarray, held: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """S1 and S2 at steps, with the decay that is held."""
        decay = number_of("decay", held["decay"])
        return {"rate_sum": schedule.sums()[steps], "annealing": schedule.momenta(decay)[steps]}

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_are_positive(self)
