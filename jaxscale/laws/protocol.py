"""The interface of laws: any frozen pytree of numbers with a `loss`, and what it may offer besides.

`loss` is enough. A law that offers more is solved faster, or answers more questions:

| member | what it is | without it |
| --- | --- | --- |
| `loss(params, tokens, **levers)` | nats per token; falls with both, up to a ceiling | needed |
| `loss_from_logs(log_params, log_tokens, **levers)` | the same at logarithms | `loss` |
| `levers` | a dict of name to (low, high): what else may be chosen | none |
| `choices` | a dict of name to values: levers that take only these | all levers take any |
| `formats` | a dict of number format to the levers that it sets | none |
| `counts_embeddings` | whether `params` includes embeddings | it does |
| `counts_idle_experts` | whether `params` includes experts that a token does not run through; \
if not, one of its lever `experts` is active | it does |
| `has_experts` | whether its models are mixtures of experts | they are dense |
| `caution` | what to know before comparing it with other laws | nothing |
| `flops(params, tokens, **levers)` | a `Flops` | 6 N D, 2 N and 2 N |
| `params_in_memory(memory, **levers)` | largest params that so many bytes hold | not known |
| `tokens_for`, `params_for` | the inverse of `loss` | found by `laws.inverse` |
| `log_optimal_tokens(log_params)`, `log_optimal_params(log_tokens)` | the frontier | bisection |
| `frontier_powers(log)` | ln G, a, b: best N is `G (C / 6)^a`, D `(C / 6)^b / G` | no such form |
| `loss_scale` | another scale than nats per token, in words | nats per token |
| `of_steps` | whether it is a loss over the steps of one training | it is of its end |
| `log_tokens_ceiling(log_params, **levers)` | past it more tokens raise the loss | no ceiling |
| `depends_on_tokens` | whether more tokens lower the loss | they do |
| `holds(log_params, log_tokens, **levers)` | whether it says anything of a size | it does of all |
| `two_powers(**levers)` | it as a `Chinchilla`, whose optimum is closed | solved by Newton |
| `is_valid()` | whether the coefficients of each lane are valid | all are finite |

Other modules never look these up themselves: they call the functions below. A law made of another
takes what it does not say itself from that one, by `members_of`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import all_positive, exp_where, is_finite, is_positive, where_safe
from jaxscale.published.entry import INFERENCE_FLOPS as INFERENCE_FLOPS
from jaxscale.published.entry import TRAIN_FLOPS as TRAIN_FLOPS

AnyLaw = TypeVar("AnyLaw")

# Members that are the same for a law made of another, unless its class says otherwise. The rest
# depend on sizes, levers or FLOPs, which it may change.
FACTS = (
    *("levers", "choices", "formats", "loss_scale", "caution", "depends_on_tokens", "of_steps"),
    *("counts_embeddings", "counts_idle_experts", "has_experts"),
)

AT_CEILING = 16.0  # epsilons of a log size, within which tokens are at the ceiling


class Law(Protocol):
    """A loss surface; the table above lists what else it may have."""

    @property
    def loss(self) -> Callable[..., Array]:
        """Loss in nats per token at `params` and `tokens`, and at levers by name."""
        ...


class Flops(NamedTuple):
    """FLOPs of a model in training and in serving, in the unit that is priced.

    Examples:
        >>> flops = js.laws.Flops(train=6 * 1e9 * 2e10, prefill=2e9, decode=2e9)
        >>> print(f"{flops.train:.3g}")
        1.2e+20
    """

    train: Array  # for the whole training
    prefill: Array  # for each token read
    decode: Array  # for each token written


def short_repr(self: Any) -> str:
    """The `repr` of a law: its numbers, and of arrays no more than dtype and shape."""
    values = {field.name: getattr(self, field.name) for field in fields(self)}
    written = (f"{name}={_written(value)}" for name, value in values.items())
    return f"{type(self).__name__}({', '.join(written)})"


def _written(value: Any) -> str:
    shape = getattr(value, "shape", ())
    if not shape:
        return repr(value)
    return f"{value.dtype}[{', '.join(map(str, shape))}]"


def members_of(part: str, *more: str) -> Callable[[Any, str], Any]:
    """A `__getattr__` for a law made of another, its field `part`: facts of that one, and `more`.

    What neither has is missing, as in the law that it is made of.
    """
    names = (*FACTS, *more)

    def __getattr__(self: Any, name: str) -> Any:
        if name in names:
            return getattr(getattr(self, part), name)
        raise AttributeError(f"{type(self).__name__} has no {name}")

    return __getattr__


def check_law(law: Any) -> None:
    """Raises TypeError for what has no loss, or is not a pytree that JAX can traverse."""
    is_leaf = jax.tree.structure(law) == jax.tree.structure(0)
    if isinstance(law, type) or not callable(getattr(law, "loss", None)) or is_leaf:
        raise TypeError(
            "law must be a jaxscale law, such as js.laws.published('sardana2024'), or a frozen "
            "dataclass with loss(params, tokens) and jax.tree_util.register_dataclass; got "
            f"{law!r} ({type(law).__name__})"
        )


def levers_of(law: Any) -> Mapping[str, tuple[float, float]]:
    """The levers of the law by name, with the lowest and the highest value of each."""
    return getattr(law, "levers", {})


def choices_of(law: Any) -> Mapping[str, tuple[float, ...]]:
    """The levers that take only some values, with these values."""
    return getattr(law, "choices", {})


def formats_of(law: Any) -> Mapping[str, Mapping[str, float]]:
    """Number formats by name, with the levers that each sets."""
    return getattr(law, "formats", {})


def loss_from_logs(law: Any, log_params: Array, log_tokens: Array, **levers: Array) -> Array:
    """Loss at natural logarithms of params and tokens; checks and converts nothing."""
    if hasattr(law, "loss_from_logs"):
        return law.loss_from_logs(log_params, log_tokens, **levers)
    return law.loss(jnp.exp(log_params), jnp.exp(log_tokens), **levers)


def has_ceiling(law: Any) -> bool:
    """Whether the loss rises again past some number of tokens."""
    return hasattr(law, "log_tokens_ceiling")


def log_tokens_ceiling(law: Any, log_params: Array, **levers: Array) -> Array:
    """Log of the tokens past which more raise the loss; infinite where none do."""
    if has_ceiling(law):
        return law.log_tokens_ceiling(log_params, **levers)
    return jnp.full_like(log_params, jnp.inf)


def least_loss_from_logs(law: Any, log_params: Array, log_tokens: Array, **levers: Array) -> Array:
    """The lowest loss of at most so many tokens: training stops at the ceiling of the law.

    It falls with both sizes for every law, which is what searches and inverses rest on.
    """
    if has_ceiling(law):
        ceiling = law.log_tokens_ceiling(log_params, **levers)
        log_tokens = jnp.where(log_tokens > ceiling, ceiling, log_tokens)
    return loss_from_logs(law, log_params, log_tokens, **levers)


def is_at_ceiling(law: Any, log_params: Array, log_tokens: Array, **levers: Array) -> Array:
    """Whether more tokens would raise the loss, or lower it by less than rounding."""
    ceiling = log_tokens_ceiling(law, log_params, **levers)
    rounding = AT_CEILING * float(jnp.finfo(log_tokens.dtype).eps)
    return log_tokens >= ceiling - rounding * (1 + jnp.abs(log_tokens))


def may_end(law: Any) -> bool:
    """Whether there are sizes of which the law says nothing."""
    return hasattr(law, "holds")


def holds(law: Any, log_params: Array, log_tokens: Array, **levers: Array) -> Array:
    """Whether the law says anything of a model of this size, trained on so many tokens."""
    if may_end(law):
        return law.holds(log_params, log_tokens, **levers)
    return jnp.asarray(True)


def flops_of(law: Any, params: Array, tokens: Array, **levers: Array) -> Flops:
    """The law's own count, or 6 N D, 2 N and 2 N (Kaplan et al. 2020, Section 2.1)."""
    if has_own_flops(law):
        return law.flops(params, tokens, **levers)
    serving = INFERENCE_FLOPS * params
    return Flops(TRAIN_FLOPS * params * tokens, serving, serving)


def has_own_flops(law: Any) -> bool:
    """Whether the law counts its own FLOPs."""
    return hasattr(law, "flops")


NO_LENGTH = "does not depend on tokens, so no training length is better than another"
NO_MEMORY = "does not say what its models take in memory, as ludziejewski2025 does: bound params"


def knows_memory(law: Any) -> bool:
    """Whether the law says what its models take in memory."""
    return hasattr(law, "params_in_memory")


def params_in_memory(law: Any, memory: Array, levers: Mapping[str, Array], **uses: Array) -> Array:
    """Params of the largest model that fits; `uses` are bytes of a weight and cached tokens."""
    return law.params_in_memory(memory, **levers, **uses)


def counts_embeddings(law: Any) -> bool:
    """Whether the params of the law include embeddings."""
    return getattr(law, "counts_embeddings", True)


def counts_idle_experts(law: Any) -> bool:
    """Whether the params of the law include experts that a token does not run through."""
    return getattr(law, "counts_idle_experts", True)


def has_experts(law: Any) -> bool:
    """Whether the law is of mixtures of experts."""
    return getattr(law, "has_experts", False)


def caution_of(law: Any) -> str:
    """A caution about comparing the law with others; empty for most."""
    return getattr(law, "caution", "")


def loss_scale(law: Any, entry: Any = None) -> str:
    """The scale of the loss in words, where it is not nats per token; else empty.

    A family of which all laws have it says so, or the entry of one that was fitted on it.
    """
    return getattr(entry, "loss_scale", "") or getattr(law, "loss_scale", "")


def depends_on_tokens(law: Any) -> bool:
    """Whether the loss depends on tokens, so that a best length of training exists."""
    return getattr(law, "depends_on_tokens", True)


def is_of_steps(law: Any) -> bool:
    """Whether the law is over the steps of one training: params and tokens do not matter."""
    return getattr(law, "of_steps", False)


def has_frontier(law: Any) -> bool:
    """Whether the law has its compute-optimal sizes in closed form, which counts 6 N D."""
    return hasattr(law, "log_optimal_tokens") and not has_own_flops(law)


def has_power_frontier(law: Any) -> bool:
    """Whether the best sizes of the law are powers of compute, which counts 6 N D."""
    return hasattr(law, "frontier_powers") and not has_own_flops(law)


def two_powers(law: Any, levers: Mapping[str, Any] | None = None) -> Any:
    """The law at these levers as a `Chinchilla`; None for a law that does not say that it is one.

    And where a lever has no value: at each value it is another.
    """
    values = levers or {}
    return law.two_powers(**values) if has_two_powers(law, values) else None


def has_two_powers(law: Any, levers: Collection[str] = ()) -> bool:
    """Whether the law is a `Chinchilla` where these levers have values."""
    return hasattr(law, "two_powers") and set(levers) == set(levers_of(law))


def is_valid(law: Any) -> Array:
    """Whether the coefficients of each lane are valid."""
    if hasattr(law, "is_valid"):
        return law.is_valid()
    return are_finite(law)


def are_finite(numbers: Any) -> Array:
    """Whether all of a law's coefficients, or of a dict of levers, are finite in each lane."""
    good = jnp.asarray(True)
    for leaf in jax.tree.leaves(numbers):
        good = good & is_finite(leaf)
    return good


def made_safe(law: AnyLaw, good: Array) -> AnyLaw:
    """The law with 1 for the coefficients of lanes that are not good, when differentiated."""
    return jax.tree.map(lambda x: where_safe(good, x), law)


# --- Formulas made public: dtype, shapes and bad values --------------------------------------


def checked_loss(law: Any, params: ArrayLike, tokens: ArrayLike, **levers: ArrayLike) -> Array:
    """`law.loss_from_logs` of any numbers that broadcast; NaN with zero derivatives for bad ones.

    Raises TypeError or ValueError for wrong structure, naming the argument.
    """
    check_lever_names(law, levers)
    law, params, tokens, *values = arrays.enter(law=law, params=params, tokens=tokens, **levers)
    return _loss(law, params, tokens, dict(zip(levers, values, strict=True)))


def check_lever_names(law: Any, names: Collection[str]) -> None:
    """Raises TypeError unless these are the levers of the law."""
    if set(names) != set(levers_of(law)):
        given, needed = (", ".join(sorted(x)) or "none" for x in (names, levers_of(law)))
        raise TypeError(f"levers of {type(law).__name__} are {needed}; got {given}")


@compiled
def _loss(law, params, tokens, levers):
    law, params, tokens, levers = arrays.align(law, params, tokens, levers)
    answer = is_valid(law) & are_finite(levers) & is_positive(params) & is_positive(tokens)
    law, levers = made_safe(law, answer), made_safe(levers, answer)
    log_params = jnp.log(where_safe(answer, params))
    log_tokens = jnp.log(where_safe(answer, tokens))
    answer &= holds(law, log_params, log_tokens, **levers)
    return jnp.where(answer, law.loss_from_logs(log_params, log_tokens, **levers), jnp.nan)


def exp_of(log_answer: Callable[..., Array], law: Any, **numbers: ArrayLike) -> Array:
    """Exponential of `log_answer(law, *logarithms of the numbers)`, all of which broadcast.

    NaN with zero derivatives where a number is not positive, where the law is not valid, and
    where the answer is too large or too small for its dtype. Raises TypeError or ValueError for
    wrong structure, naming the argument.
    """
    law, *values = arrays.enter(law=law, **numbers)
    return _exp_of(log_answer, law, values)


@partial(compiled, static=1)
def _exp_of(log_answer, law, values):
    law, values = arrays.align(law, values)
    answer = is_valid(law) & all_positive(*values)
    logs = (jnp.log(where_safe(answer, each)) for each in values)
    return exp_where(answer, log_answer(made_safe(law, answer), *logs))
