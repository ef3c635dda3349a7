"""A power law of the sum of learning rates, for curves at a constant rate."""

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
from jaxscale.trajectories.law import all_are_positive, losses
from jaxscale.trajectories.schedules import Schedule


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EarlyPower:
    """Loss as a power of the sum of learning rates: what a constant rate leaves of other laws.

    `Momentum` and `MultiPower` reduce to it where the rate does not fall after the warm-up. Fitted
    to the start of a curve it predicts the rest; it knows nothing of a decay of the rate.

    Examples:
        >>> law = js.trajectories.EarlyPower(L0=3.155, A=0.5165, alpha=0.508)
        >>> schedule = js.trajectories.Schedule.constant(72_000, 3e-4, warmup=2160)
        >>> print(f"{law.loss(schedule, 72_000):.3f}")
        3.264
    """

    L0: Real  # irreducible loss at this rate, nats per token
    A: Real
    alpha: Real

    of_steps: ClassVar[bool] = True
    levers: ClassVar[dict[str, tuple[float, float]]] = {"rate_sum": (0.0, 1e30)}
    equation: ClassVar[str] = "L(t) = L0 + A S1^-alpha"
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "L0": Coefficient((1.0, 2.0, 3.0)),
        "A": Coefficient((0.2, 0.6, 2.0, 20.0, 200.0)),  # of sums of rates, or of steps
        "alpha": Coefficient((0.2, 0.5, 0.8)),
    }

    __repr__ = short_repr

    def loss(self, schedule: Schedule, steps: ArrayLike | None = None) -> Array:
        """Loss in nats per token after `steps`, by default each step of the schedule."""
        return losses(self, schedule, steps)

    def loss_from_logs(self, log_params: Any, log_tokens: Any, rate_sum: Array) -> Array:
        """Loss at S1; checks and converts nothing."""
        del log_params, log_tokens
        return self.L0 + self.A * jnp.exp(-self.alpha * jnp.log(rate_sum))

    @staticmethod
    def features(
        schedule: Schedule, steps: np.ndarray, held: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """S1 at steps."""
        del held
        return {"rate_sum": schedule.sums()[steps]}

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_are_positive(self)
