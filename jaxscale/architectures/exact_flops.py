"""Laws whose FLOPs are those of a shape instead of 6 N D and 2 N."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import GetAttrKey
from jax.typing import ArrayLike

from jaxscale import laws
from jaxscale.architectures import counts
from jaxscale.architectures.architecture import Architecture
from jaxscale.architectures.family import Family, architecture_of_log
from jaxscale.laws import protocol
from jaxscale.laws.protocol import TRAIN_FLOPS, Flops

_COUNTS_ITS_OWN = "law must leave its FLOPs to be counted; {} counts its own"


@dataclass(frozen=True)
class ExactFlops:
    """A law whose FLOPs are those of the shape that a family has at that size.

    Made by `with_exact_flops`. All but `flops` is the law's own.
    """

    law: Any
    family: Family
    count: str

    __getattr__ = protocol.members_of("law", "holds", "log_tokens_ceiling", "params_in_memory")

    def loss(self, params: ArrayLike, tokens: ArrayLike, **levers: ArrayLike) -> Array:
        """Loss in nats per token, by the law."""
        return self.law.loss(params, tokens, **levers)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, **levers: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        return protocol.loss_from_logs(self.law, log_params, log_tokens, **levers)

    def tokens_for(self, loss: ArrayLike, params: ArrayLike, **levers: ArrayLike) -> Array:
        """Training tokens with which `params` parameters reach `loss`; NaN where none do."""
        return laws.tokens_for(self.law, loss, params, **levers)

    def params_for(self, loss: ArrayLike, tokens: ArrayLike, **levers: ArrayLike) -> Array:
        """Parameters that reach `loss` on `tokens` training tokens; NaN where none do."""
        return laws.params_for(self.law, loss, tokens, **levers)

    def is_valid(self) -> Array:
        """Whether the numbers of the law and of the family mean anything."""
        return protocol.is_valid(self.law) & self.family.is_valid()

    def flops(self, params: Array, tokens: Array, **levers: Array) -> Flops:
        """FLOPs of the shape with `params` parameters over full contexts, trained and served."""
        del levers
        forward = counts.formula(self.count)(architecture_of_log(self.family, jnp.log(params)))
        return Flops(counts.TRAIN_OVER_FORWARD * forward * tokens, forward, forward)


# The family's numbers are children of their own, because all that reads the leaves of a law looks
# into laws that it is made of, and into nothing else.
def _flatten(exact: ExactFlops):
    numbers, kind = jax.tree_util.tree_flatten_with_path(exact.family)
    keyed = [(GetAttrKey(f"family{jax.tree_util.keystr(path)}"), x) for path, x in numbers]
    return [(GetAttrKey("law"), exact.law), *keyed], (kind, exact.count)


def _unflatten(kind_and_count, children):
    (kind, count), (law, *numbers) = kind_and_count, children
    return ExactFlops(law, jax.tree.unflatten(kind, numbers), count)


jax.tree_util.register_pytree_with_keys(ExactFlops, _flatten, _unflatten)


def with_exact_flops(law: Any, family: Family, count: str = "operations") -> ExactFlops:
    """The law with FLOPs counted by shape: those of `family` at each size, by one of `COUNTS`.

    Training takes three forward passes for each token, and a token read or written takes one, all
    over the family's full context. The law's params must be all parameters, embeddings included.
    Solved by the general path of `minimize_cost` and `minimize_loss`. Raises TypeError for what is
    no law or no family, and ValueError for an unknown count, a law that counts its own FLOPs, and
    one that leaves out embeddings, such as Kaplan's.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> exact = js.architectures.with_exact_flops(law, js.architectures.LLAMA)
        >>> plan = js.evaluate(exact, 7e9, 1e12)
        >>> print(f"{plan.train_cost / (6 * 7e9 * 1e12):.2f} of 6 N D")
        1.06 of 6 N D
    """
    if isinstance(law, type) or not callable(getattr(law, "loss", None)):
        raise TypeError(f"law must have loss(params, tokens); got {law!r}")
    if protocol.has_own_flops(law):
        raise ValueError(_COUNTS_ITS_OWN.format(type(law).__name__))
    if not protocol.counts_embeddings(law):
        raise ValueError(
            f"law must count all parameters; {type(law).__name__} leaves out embeddings"
        )
    if not isinstance(family, Family):
        raise TypeError(f"family must be a Family, such as CHINCHILLA; got {family!r}")
    counts.formula(count)
    return ExactFlops(law, family, count)


def params_of(architecture: Architecture, law: Any) -> Array:
    """Active params of a shape, as the law counts them: some, such as Kaplan's, omit embeddings.

    Examples:
        >>> shape = js.architectures.published("gpt2")
        >>> print(f"{js.architectures.params_of(shape, js.laws.published('kaplan2020')):.3g}")
        8.49e+07
    """
    if protocol.counts_embeddings(law):
        return architecture.active_params
    return architecture.active_non_embedding_params


def flops_over_rule(architecture: Architecture, law: Any, count: str = "operations") -> Array:
    """Training FLOPs of a shape, by one of `COUNTS`, over 6 N with `params_of` the law for N.

    Raises ValueError for a law that counts its own FLOPs.

    Examples:
        >>> shape, law = js.architectures.published("llama-3-8b"), js.laws.published("sardana2024")
        >>> print(f"{js.architectures.flops_over_rule(shape, law):.2f}")
        1.20
    """
    if protocol.has_own_flops(law):
        raise ValueError(_COUNTS_ITS_OWN.format(type(law).__name__))
    return architecture.train_flops(count) / (TRAIN_FLOPS * params_of(architecture, law))
