"""Which coefficients of a law decide how its slope is shared between params and tokens.

Along one ratio of tokens to params, or along any one line through their logarithms, runs never
tell what params do from what tokens do. Where a law's form alone says it, as of two powers that
may change places, the coefficients that decide it are not identified by the runs.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale.fitting.constraints import Asked, Constraints
from jaxscale.fitting.kernel import values_of
from jaxscale.fitting.model import AnyLaw, Rows
from jaxscale.laws.protocol import loss_from_logs

LOOKED_AT = 16  # runs: enough to see that a share moves
STILL = 1e-9  # a share that changes by less, for a step of one in a coordinate


def is_unguided(constraints: Constraints, asked: Asked) -> bool:
    """Whether nothing beyond the runs was said of the coefficients."""
    said = bool(asked.tie or asked.bounds or asked.prior or constraints.prior.precision.any())
    return not said and not dict(asked.fixed)


def splits(form: AnyLaw, place: np.ndarray, rows: Rows) -> np.ndarray:
    """Which free coefficients change the share of params in the slope of the loss."""
    few = jax.tree.map(lambda x: jnp.asarray(x[:LOOKED_AT]), rows)

    def share(coordinates, row):
        law = form.law(**values_of(form, coordinates), **row.held)

        def loss(logs):
            return loss_from_logs(law, logs[0], logs[1], **row.levers)

        slope = jax.grad(loss)(jnp.stack([row.log_params, row.log_tokens]))
        total = jnp.sum(jnp.abs(slope))
        return jnp.where(total > 0, slope[0] / jnp.where(total > 0, total, 1), 0)

    change = jax.vmap(jax.jacfwd(share), in_axes=(None, 0))(jnp.asarray(place), few)
    return np.asarray(jnp.max(jnp.abs(change), axis=0) > STILL)
