"""The multi-power law: what each fall of the learning rate gains, Luo et al. 2025."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.typed import custom_jvp
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import short_repr
from jaxscale.trajectories.falls import falls_of
from jaxscale.trajectories.law import all_are_positive, losses
from jaxscale.trajectories.schedules import Schedule

ANY_NUMBER = (-1e30, 1e30)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MultiPower:
    """Loss by the sum of learning rates and by each fall of the rate, Luo et al. 2025.

    S1 is the sum of the rates so far and S_k that from step k on. The warm-up is inside both sums,
    so that its rises count as negative falls. Losses are within 1e-8 of the double sum over steps.
    All coefficients are positive; few curves identify B, C, beta and gamma, so compare losses and
    not these. Not valid over changes of batch size or weight decay. Source:
    arXiv 2503.12811.

    Examples:
        >>> law = js.trajectories.published("luo2025_400m")
        >>> schedule = js.trajectories.Schedule.cosine(24_000, 3e-4, 3e-5, warmup=2160)
        >>> print(f"{law.loss(schedule, 23_920):.4f}")
        2.7572
    """

    L0: Real  # irreducible loss, nats per token
    A: Real
    alpha: Real
    B: Real
    C: Real
    beta: Real
    gamma: Real

    of_steps: ClassVar[bool] = True
    levers: ClassVar[dict[str, tuple[float, float]]] = {
        "rate_sum": (0.0, 1e30),
        "falls": ANY_NUMBER,
        "log_rates": ANY_NUMBER,
        "log_since": ANY_NUMBER,
    }
    equation: ClassVar[str] = (
        "L(t) = L0 + A S1^-alpha - B sum_k (rate_(k-1) - rate_k) "
        "(1 - (1 + C rate_k^-gamma S_k)^-beta)"
    )
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "L0": Coefficient((2.5,)),
        "A": Coefficient((0.6,)),
        "alpha": Coefficient((0.45,)),
        "B": Coefficient((500.0,)),
        "C": Coefficient((0.05, 2.0)),
        "beta": Coefficient((0.2, 0.6)),
        "gamma": Coefficient((0.6, 1.2)),
    }

    __repr__ = short_repr

    def loss(self, schedule: Schedule, steps: ArrayLike | None = None) -> Array:
        """Loss in nats per token after `steps`, by default each step of the schedule."""
        return losses(self, schedule, steps)

    def loss_from_logs(
        self,
        log_params: Any,
        log_tokens: Any,
        rate_sum: Array,
        falls: Array,
        log_rates: Array,
        log_since: Array,
    ) -> Array:
        """Loss at S1 and the terms of the falls; checks and converts nothing."""
        del log_params, log_tokens
        at = jnp.stack([jnp.log(self.C), self.beta, self.gamma])
        gained = _gained(at, _Terms(falls, log_rates, log_since))
        trained = self.A * jnp.exp(-self.alpha * jnp.log(rate_sum))
        return self.L0 + trained - self.B * gained

    @staticmethod
    def features(
        schedule: Schedule, steps: np.ndarray, held: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """S1 at steps, and the falls before each."""
        del held
        return {"rate_sum": schedule.sums()[steps], **falls_of(schedule, steps)._asdict()}

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_are_positive(self)


# By hand: derivatives are sums that all directions share, and a fit that differentiates each term
# in each direction takes a hundred times as long.


class _Terms(NamedTuple):
    """The falls, which have no derivatives here: they are data of the schedule."""

    falls: Array
    log_rates: Array
    log_since: Array


@custom_jvp()
def _gained(at: Array, terms: _Terms) -> Array:
    """Sum of `fall (1 - (1 + C rate^-gamma S)^-beta)` at (ln C, beta, gamma)."""
    return jnp.sum(-terms.falls * jnp.expm1(-at[1] * _width(at, terms)))


@custom_jvp()
def _slope(at: Array, terms: _Terms) -> Array:
    """Derivatives of `_gained` by each coordinate."""
    width = _width(at, terms)
    left = terms.falls * jnp.exp(-at[1] * width)
    by_log = -at[1] * jnp.expm1(-width) * left
    return jnp.stack([jnp.sum(by_log), jnp.sum(width * left), -jnp.sum(terms.log_rates * by_log)])


def _bend(at: Array, terms: _Terms) -> Array:
    """Second derivatives of `_gained`."""
    width, beta, rates = _width(at, terms), at[1], terms.log_rates
    left, share = terms.falls * jnp.exp(-beta * width), -jnp.expm1(-width)
    twice = beta * share * left * (1 - share - beta * share)
    mixed = share * left * (1 - beta * width)
    c_gamma, beta_gamma = -jnp.sum(rates * twice), -jnp.sum(rates * mixed)
    rows = (
        (jnp.sum(twice), jnp.sum(mixed), c_gamma),
        (jnp.sum(mixed), -jnp.sum(width**2 * left), beta_gamma),
        (c_gamma, beta_gamma, jnp.sum(rates**2 * twice)),
    )
    return jnp.stack([jnp.stack(row) for row in rows])


def _width(at: Array, terms: _Terms) -> Array:
    """ln(1 + C rate^-gamma S)."""
    return jax.nn.softplus(at[0] - at[2] * terms.log_rates + terms.log_since)


def _gained_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return _gained(*primals), jnp.vdot(_slope(*primals), tangents[0])


def _slope_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return _slope(*primals), _bend(*primals) @ tangents[0]


_gained.defjvp(_gained_jvp)
_slope.defjvp(_slope_jvp)
