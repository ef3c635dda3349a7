"""One fit of a law, with what a reader must know before using it."""

import math
import operator
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays

Range = tuple[float, float]
FELT = 1e-8  # of the loss, for a change of one in a logarithm: rounding leaves 1e-14
NOT_STATED = "not stated"


def tells_sizes(unidentified: Collection[str]) -> bool:
    """Whether sizes of one loss or cost are known: they rest on all coefficients but E."""
    return not {*unidentified} - {"E"}


class Sized(Protocol):
    """Anything with params and tokens: a plan, a set of runs."""

    @property
    def params(self) -> ArrayLike: ...
    @property
    def tokens(self) -> ArrayLike: ...


@dataclass(frozen=True)
class Entry:
    """One fit, published or a team's own, with what a reader must know before using it.

    Ranges are the smallest and the largest of the runs that it was fitted to, as far as the
    source says. An entry is not a pytree: pass its `law` to functions that compute.
    """

    name: str
    law: Any  # of Python floats; losses in nats per token, or as the errata say
    source: str  # paper and table, or code
    dataset: str
    params_convention: str  # what is counted as a parameter
    tokenizer: str
    params_range: Range | None
    tokens_range: Range | None  # training tokens seen
    tokens_per_param_range: Range | None
    standard_errors: Any = None  # each coefficient's own, in a law; None: not published
    # Of (ln A, ln B, ln E, alpha, beta) of a Chinchilla law, symmetric; None: not known. In the
    # catalogue it is that of refits to 2000 resamples, with replacement, of the runs that the
    # law was fitted to.
    covariance: tuple[tuple[float, ...], ...] | None = None
    errata: tuple[str, ...] = ()  # faults of the source and limits of the fit, in sentences
    aliases: tuple[str, ...] = ()
    # Of a fit in a file: what is to be said before it is used, empty for one that is OK, and what
    # its runs do not identify. `directions` are changes of (ln A, ln B, ln E, alpha, beta) that
    # no run felt, a row each.
    warning: str = ""
    unidentified: tuple[str, ...] = ()
    directions: tuple[tuple[float, ...], ...] = ()

    @property
    def tells_sizes(self) -> bool:
        """Whether the runs tell compute-optimal sizes, and the plan that matches a model."""
        return tells_sizes(self.unidentified)

    def tells_loss(self, params: float, tokens: float) -> bool:
        """Whether the runs of a Chinchilla fit tell the loss at one size of model and data.

        Of runs of one size they do at that size, say, although E and A / N^alpha are not known.
        """
        if not self.unidentified:
            return True
        if not self.directions:
            return False
        law, x, y = self.law, math.log(params), math.log(tokens)
        size = law.A * math.exp(-law.alpha * x)
        data = law.B * math.exp(-law.beta * y)
        slope = (size, data, law.E, -x * size, -y * data)
        loss = size + data + law.E
        changes = (
            abs(sum(map(operator.mul, row, slope))) / max(map(abs, row)) for row in self.directions
        )
        return max(changes) <= FELT * loss

    def in_range(self, plan: Sized) -> Array:
        """Whether each plan lies within the sizes of the runs that the law was fitted to.

        Boolean, of the full shape of `params` and `tokens`. False where a number is NaN, so
        where a plan is not ok, and everywhere if the source gives no range of params or of
        tokens: nothing is then known to be inside. Tokens per parameter are looked at where
        their range is given. Works under jit.
        """
        params, tokens = arrays.align(*arrays.enter(params=plan.params, tokens=plan.tokens))
        known = self.params_range is not None and self.tokens_range is not None
        inside = jnp.full(jnp.broadcast_shapes(params.shape, tokens.shape), known)
        for size, limits in (
            (params, self.params_range),
            (tokens, self.tokens_range),
            (jnp.divide(tokens, params), self.tokens_per_param_range),
        ):
            if limits is not None:
                inside &= (size >= limits[0]) & (size <= limits[1])
        return inside
