"""Parallel streams: one set of weights that runs a text several times over, Chen et al. 2025.

P copies of the text, told apart by learned prefixes, run through the layers side by side and are
summed before the logits (ParScale). It takes P times the arithmetic and the cache, and reads the
weights once.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive, is_finite, is_nonnegative, where_safe
from jaxscale.laws import protocol
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import (
    INFERENCE_FLOPS,
    TRAIN_FLOPS,
    Flops,
    checked_loss,
    made_safe,
    short_repr,
)

STREAMS = "streams"  # the lever, which also sets the streams of served requests
RANGE = (1.0, 8.0)  # of all runs
CHOICES = (1.0, 2.0, 4.0, 8.0)
LOG_BILLION = math.log(1e9)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ParScale:
    """Loss by size and number of streams, Chen et al. 2025, arXiv 2505.10475, eq. 5.

    P streams count as `1 + k ln P` times the parameters. `params` are those outside the
    embeddings. The law does not depend on `tokens`: all runs had 42e9, so hold tokens there
    (bounds) when planning with it, or put its k on a law that has a training length, with
    `with_streams`. FLOPs are those of one stream, 6 N D and 2 N, times P. All coefficients are
    positive but `E`, which is not negative.

    Examples:
        >>> law = js.laws.published("chen2025_pile")
        >>> print(np.asarray(law.loss(1.6e9, 42e9, streams=np.array([1, 2, 4, 8]))).round(3))
        [1.952 1.925 1.904 1.887]
    """

    E: Real  # irreducible loss, nats per token
    A: Real  # in 1e9 params
    alpha: Real
    k: Real  # effective parameters gained per e-fold of streams, as a share

    counts_embeddings: ClassVar[bool] = False
    depends_on_tokens: ClassVar[bool] = False
    equation: ClassVar[str] = "L(N, P) = E + (1e9 A / (N (1 + k ln P)))^alpha"
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {STREAMS: RANGE}
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {STREAMS: CHOICES}

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "E": Coefficient((0.3, 0.7, 1.2)),
        "A": Coefficient((0.01, 0.1, 1.0)),
        "alpha": Coefficient((0.1, 0.2, 0.4)),
        "k": Coefficient((0.2, 0.5)),
    }

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, streams: ArrayLike) -> Array:
        """Loss in nats per token of a model that runs in `streams` streams, from 1."""
        return checked_loss(self, params, tokens, streams=streams)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, streams: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        del log_tokens
        log_effective = log_params - LOG_BILLION + _log_gain(self.k, streams)
        return self.E + jnp.exp(self.alpha * (jnp.log(self.A) - log_effective))

    def effective_params(self, params: ArrayLike, streams: ArrayLike) -> Array:
        """Parameters that would reach the same loss in one stream; NaN for bad values.

        Examples:
            >>> law = js.laws.published("chen2025_stack")
            >>> print(f"{law.effective_params(1e9, streams=8):.3g}")
            1.82e+09
        """
        return _effective_params(*arrays.enter(law=self, params=params, streams=streams))

    def flops(self, params: Array, tokens: Array, streams: Array) -> Flops:
        """6 N D, 2 N and 2 N in each stream."""
        run = params * streams
        serving = INFERENCE_FLOPS * run
        return Flops(TRAIN_FLOPS * run * tokens, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        return is_nonnegative(self.E) & all_positive(self.A, self.alpha, self.k)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Streams:
    """A law whose models run in parallel streams: `L(N (1 + k ln P), D)` of that law.

    Made by `with_streams`. Levers are those of the law and `streams`; FLOPs are those of the law,
    at N, times P. All else is the law's own.

    Examples:
        >>> law = js.laws.with_streams(js.laws.published("besiroglu2024"), k=0.33)
        >>> plan = js.minimize_loss(law, 1e22, levers={"streams": 8})
        >>> print(f"{plan.params:.3g} params, {plan.tokens:.3g} tokens")
        2.42e+09 params, 8.62e+10 tokens
    """

    law: Any
    k: Real  # effective parameters gained per e-fold of streams, as a share

    __getattr__ = protocol.members_of("law")

    @property
    def levers(self) -> Mapping[str, tuple[float, float]]:
        """The levers of the law, and `streams`."""
        return {**protocol.levers_of(self.law), STREAMS: RANGE}

    @property
    def choices(self) -> Mapping[str, tuple[float, ...]]:
        """The values of levers that take only some."""
        return {**protocol.choices_of(self.law), STREAMS: CHOICES}

    def loss(
        self, params: ArrayLike, tokens: ArrayLike, *, streams: ArrayLike, **levers: ArrayLike
    ) -> Array:
        """Loss by the law, of a model that runs in `streams` streams, from 1."""
        return checked_loss(self, params, tokens, streams=streams, **levers)

    def loss_from_logs(
        self, log_params: Array, log_tokens: Array, streams: Array, **levers: Array
    ) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        log_effective = log_params + _log_gain(self.k, streams)
        return protocol.loss_from_logs(self.law, log_effective, log_tokens, **levers)

    @property
    def holds(self) -> Callable[..., Array]:
        """Whether the law says anything of the effective size; of a law that may end."""
        return self._at_effective_size(self.law.holds)

    @property
    def log_tokens_ceiling(self) -> Callable[..., Array]:
        """Log of the tokens past which more raise the loss, of a law that has it."""
        return self._at_effective_size(self.law.log_tokens_ceiling)

    def _at_effective_size(self, formula: Callable[..., Array]) -> Callable[..., Array]:
        def of_streams(
            log_params: Array, *log_tokens: Array, streams: Array, **levers: Array
        ) -> Array:
            return formula(log_params + _log_gain(self.k, streams), *log_tokens, **levers)

        return of_streams

    def flops(self, params: Array, tokens: Array, streams: Array, **levers: Array) -> Flops:
        """The FLOPs of the law in each stream."""
        once = protocol.flops_of(self.law, params, tokens, **levers)
        return Flops(*(streams * each for each in once))

    def is_valid(self) -> Array:
        """Whether the law is valid, and streams do not make it worse."""
        return protocol.is_valid(self.law) & is_nonnegative(self.k)


def with_streams(law: Any, k: Real) -> Streams:
    """The law with a lever `streams`: P of them count as `1 + k ln P` times the parameters.

    k is that of Chen et al. 2025, which they fitted at 42e9 tokens in up to 8 streams: that it
    holds for other lengths of training, and that streams act on params alone, is assumed. Training
    and serving take P times the FLOPs. Serving by `js.Costs.served` reads the weights once for all
    streams, so that they cost little where that takes the most time. Raises TypeError for what is
    no law, and ValueError for a law that has streams, or a teacher. In a name, a plus does the
    same: `js.laws.published("besiroglu2024+chen2025_pile")`.

    Examples:
        >>> k = js.laws.published("chen2025_pile").k
        >>> law = js.laws.with_streams(js.laws.published("besiroglu2024"), k)
        >>> print(np.asarray(law.loss(1e9, 1e11, streams=np.array([1, 8]))).round(3))
        [2.371 2.311]
    """
    protocol.check_law(law)
    if STREAMS in protocol.levers_of(law):
        raise ValueError(f"law must have no streams of its own; got {law!r}")
    # A teacher has no streams, so that its FLOPs are not to be multiplied.
    if any(name.startswith("teacher_") for name in protocol.levers_of(law)):
        raise ValueError(f"law must be of models without a teacher; got {law!r}")
    return Streams(law, k)


def _log_gain(k: Array, streams: Array) -> Array:
    """Ln (1 + k ln P); NaN below one stream, of which nothing is known."""
    usable = streams >= 1
    return jnp.where(usable, jnp.log1p(k * jnp.log(where_safe(usable, streams))), jnp.nan)


@jax.jit
def _effective_params(law, params, streams):
    law, params, streams = arrays.align(law, params, streams)
    good = law.is_valid() & all_positive(params) & is_finite(streams) & (streams >= 1)
    law, params, streams = made_safe(law, good), where_safe(good, params), where_safe(good, streams)
    return jnp.where(good, params * (1 + law.k * jnp.log(streams)), jnp.nan)
