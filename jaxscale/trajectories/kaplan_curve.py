"""Kaplan's loss over steps at a batch that need not be large, solved for the loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import checked_loss, short_repr
from jaxscale.trajectories.law import all_are_positive

STEPS = 12  # of Newton's method, from below: each doubles the digits
LAST = 2  # that are differentiated, which gives the first three derivatives


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KaplanCurve:
    """Loss of a size over training tokens at a batch, Kaplan et al. 2020, eq. 1.6 and 5.4.

    The steps that count are `S_min = S / (1 + B_crit / batch)`, with the critical batch at the loss
    that is reached, `B_crit = B_star / L^(1 / alpha_B)`: the loss is on both sides. Valid after
    the warm-up, for schedules that decay to zero; the law itself reads no schedule. A law over
    params and tokens with the lever `batch`, in tokens per step: a training of S steps has seen S
    times the batch. All coefficients are positive. The published ones are
    `js.trajectories.KAPLAN_CURVE`.

    `fit` takes `Runs` with the lever, or `Curves` that have `params` and `batch`: several of each,
    and no losses of the warm-up.

    Examples:
        >>> law = js.trajectories.KAPLAN_CURVE
        >>> print(f"{law.loss(1e9, 1e5 * 5e5, batch=5e5):.3f}")  # 100,000 steps
        2.551
    """

    N_c: Real  # params, embeddings left out
    alpha_N: Real
    S_c: Real  # steps
    alpha_S: Real
    B_star: Real  # tokens
    alpha_B: Real

    counts_embeddings: ClassVar[bool] = False
    reads_sizes: ClassVar[bool] = True
    levers: ClassVar[dict[str, tuple[float, float]]] = {"batch": (1.0, 1e12)}
    equation: ClassVar[str] = (
        "L(N, D, B) = (N_c / N)^alpha_N + (S_c (1 + B_star / (B L^(1 / alpha_B))) B / D)^alpha_S"
    )
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "N_c": Coefficient((1e13, 1e14)),
        "alpha_N": Coefficient((0.05, 0.1)),
        "S_c": Coefficient((1e3, 5e3)),
        "alpha_S": Coefficient((0.5, 0.9)),
        "B_star": Coefficient((1e8, 5e8)),
        "alpha_B": Coefficient((0.15, 0.3)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, batch: ArrayLike) -> Array:
        """Loss in nats per token; NaN with zero derivatives where a number is bad."""
        return checked_loss(self, params, tokens, batch=batch)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, batch: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; `batch` is not a logarithm."""
        log_batch = jnp.log(batch)
        size = self.alpha_N * (jnp.log(self.N_c) - log_params)
        time = jnp.log(self.S_c) - log_tokens + log_batch
        ratio = jnp.log(self.B_star) - log_batch

        def newton(log_loss: Array) -> Array:
            """One step towards the root of `log_loss - right(log_loss)`, which is concave."""
            excess = ratio - log_loss / self.alpha_B
            by_time = self.alpha_S * (time + jax.nn.softplus(excess))
            right = jnp.logaddexp(size, by_time)
            share = jnp.exp(by_time - right) * jax.nn.sigmoid(excess)
            slope = 1 + share * self.alpha_S / self.alpha_B
            return log_loss - (log_loss - right) / slope

        # From below, as an endless batch has it, steps never pass the root.
        start = jnp.logaddexp(size, self.alpha_S * time)
        root = lax.stop_gradient(lax.fori_loop(0, STEPS, lambda _, x: newton(x), start))
        for _ in range(LAST):
            root = newton(root)
        return jnp.exp(root)

    def is_valid(self) -> Array:
        """Whether every coefficient is positive and finite."""
        return all_are_positive(self)


# Kaplan et al. 2020, Tables 3 and 5.
KAPLAN_CURVE = KaplanCurve(
    N_c=6.5e13, alpha_N=0.077, S_c=2.1e3, alpha_S=0.76, B_star=2.1e8, alpha_B=0.21
)
