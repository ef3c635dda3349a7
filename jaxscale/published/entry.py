"""One published fact, with what a reader must know before using it, and its look-up by name."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._numerics import arrays
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.names import unknown
from jaxscale._numerics.values import is_positive, where_safe
from jaxscale.published.facts import NOT_STATED, facts_of, range_text

if TYPE_CHECKING:
    from pandas import DataFrame

Range = tuple[float, float]
FELT = 1e-8  # of the loss, for a change of one in a logarithm
STEP = 1e-5  # of that change: rounding and curvature leave 1e-11
TRAIN_FLOPS = 6  # per parameter and token: forward 2, backward 4
INFERENCE_FLOPS = 2  # per parameter and token: forward


class Interval(NamedTuple):
    """Between which values an exponent lies."""

    low: float
    high: float
    level: float  # the share of resampled fits between them


class Check(NamedTuple):
    """The accuracy of a model far larger than those that a law was fitted to.

    Examples:
        >>> check = js.laws.task_entry("mmlu").check
        >>> print(f"{check.params:.3g} params: {check.measured:.1%}")
        1.32e+10 params: 51.6%
    """

    params: float
    tokens: float
    measured: float  # accuracy, a share


class Sized(Protocol):
    """Anything with params and tokens: a plan, a set of runs."""

    @property
    def params(self) -> ArrayLike: ...
    @property
    def tokens(self) -> ArrayLike: ...


@dataclass(frozen=True)
class Entry:
    """A law, allocation, recipe, accelerator, architecture, task or release, with its source.

    Ranges are the smallest and the largest of the runs behind it, as far as the source says; None
    where it does not. An entry is not a pytree: pass its `law` to functions that compute.
    """

    name: str
    # One of the five, by kind; a recipe and a task are laws too. Numbers are Python's.
    law: Any = None  # losses in nats per token, or as the errata say
    _: KW_ONLY
    allocation: Any = None  # None where only exponents are published
    accelerator: Any = field(default=None, hash=False)  # its peaks are in a dict
    architecture: Any = None
    release: Any = None  # a model: its maker, params and training tokens
    source: str = NOT_STATED  # paper and table, or code

    # Of a law whose family has losses of any scale, where it is not nats per token: as in "its loss
    # is in bits per byte".
    loss_scale: str = ""

    # Of a task: what its accuracy is on, and the accuracy of a large model.
    benchmark: str = NOT_STATED
    check: Check | None = None

    # The runs.
    dataset: str = NOT_STATED
    tokenizer: str = NOT_STATED
    # The text, and tokenizer, that its losses are of, where these two do not say it.
    losses_on: str = NOT_STATED
    schedule: str = NOT_STATED  # of the learning rate
    params_convention: str = NOT_STATED  # the definition of a parameter
    tokens_convention: str = NOT_STATED
    flops_convention: str = NOT_STATED  # the definition of compute
    params_range: Range | None = None
    tokens_range: Range | None = None  # training tokens seen
    flops_range: Range | None = None
    tokens_per_param_range: Range | None = None

    # The precision of the numbers.
    standard_errors: Any = None  # each coefficient's own, in a law; None: not published
    # Of the law's coefficients in the order of its fields, of the logarithms of those that are
    # positive, as of (ln E, ln A, ln B, alpha, beta); None: not known. In the catalogue it is that
    # of refits to 2000 resamples, with replacement, of the runs that the law was fitted to.
    covariance: tuple[tuple[float, ...], ...] | None = None
    # Of an allocation: exponents of params and of tokens, as printed; where one alone is, the
    # other is 1 minus it.
    exponents: Range = (math.nan, math.nan)
    params_interval: Interval | None = None  # of the exponent of params; None: not published
    tokens_interval: Interval | None = None

    errata: tuple[str, ...] = ()  # faults of the source and limits of the fit, in sentences
    remarks: tuple[str, ...] = ()  # what a model has besides its architecture, in sentences
    aliases: tuple[str, ...] = ()

    # What is to be said before it is used, empty for one that is OK; of a fit in a file also what
    # its runs do not identify. `directions` are changes of what the covariance is of that no run
    # felt, a row each.
    warning: str = ""
    unidentified: tuple[str, ...] = ()
    directions: tuple[tuple[float, ...], ...] = ()
    draws: Any = field(default=None, compare=False)  # its law in each resample, on a leading axis

    def __repr__(self) -> str:
        return f"Entry({self.name!r}, {self.content!r}, source={self.source!r})"

    def _repr_html_(self) -> str:
        return _display.html(("", ""), self.facts(), title=self.name)

    def to_dataframe(self) -> "DataFrame":
        """The facts of the entry, a row for each."""
        names, texts = zip(*self.facts(), strict=True)
        return _display.dataframe({"fact": names, "value": texts})

    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is known of the entry, as pairs of a name and a text; a name may repeat.

        Examples:
            >>> for name, text in js.laws.entry("muennighoff2023").facts()[:3]:
            ...     print(f"{name}: {text}")
            equation: L(N, D) = E + A / N^alpha + B / D^beta
            E: 1.869143678
            A: 520.8249517
        """
        return tuple(facts_of(self))

    @property
    def content(self) -> Any:
        """What the entry is of, such as its law; None where no number is published."""
        contents = self.law, self.allocation, self.accelerator, self.architecture, self.release
        return next((each for each in contents if each is not None), None)

    @property
    def loss_group(self) -> str:
        """What its losses are of: laws are comparable by their losses where this is equal.

        It is `losses_on` where that is stated; else the data, up to a colon, and the tokenizer.
        Where one of these is not stated, it may differ between papers, so the paper is named. The
        scale of the loss is added where it is not nats per token.

        Examples:
            >>> js.laws.entry("besiroglu2024").loss_group
            'MassiveText (tokenizer: vocabulary of 32,000)'
            >>> js.laws.entry("kumar2024").loss_group
            'Kumar et al. 2024: Dolma'
        """
        data, paper = self.dataset.partition(":")[0], self.source.partition(",")[0]
        if self.losses_on != NOT_STATED:
            text = self.losses_on
        elif self.dataset == NOT_STATED:
            text = f"{paper}: data not stated"
        elif self.tokenizer == NOT_STATED:
            text = f"{paper}: {data}"
        else:
            text = f"{data} (tokenizer: {self.tokenizer})"
        scale = self.loss_scale or getattr(self.law, "loss_scale", "")
        return f"{text}; loss {scale}" if scale else text

    @property
    def has_range(self) -> bool:
        """Whether the source states the sizes, or the FLOPs, of the runs."""
        return self.flops_range is not None or None not in (self.params_range, self.tokens_range)

    def range_note(self, plan: Sized) -> str:
        """A sentence where a plan leaves the ranges of the runs; empty where it does not.

        Examples:
            >>> entry = js.laws.entry("sardana2024")
            >>> entry.range_note(js.evaluate(entry.law, 1e12, 1e13)).partition(":")[0]
            'Extrapolated'
        """
        if interpreted(self.in_range, plan):
            return ""
        if not self.has_range:
            return f"The range of the runs behind {self.name} is not known."
        limits = [
            f"{range_text(limits)} {size}"
            for limits, size in (
                (self.params_range, "params"),
                (self.tokens_range, "tokens"),
                (self.tokens_per_param_range, "tokens per param"),
                (self.flops_range, "FLOPs"),
            )
            if limits is not None
        ]
        return f"Extrapolated: the runs behind {self.name} had {', '.join(limits)}."

    @property
    def tells_sizes(self) -> bool:
        """Whether the runs tell compute-optimal sizes, and the plan that matches a model."""
        return tells_sizes(self.unidentified)

    def tells_loss(self, params: float, tokens: float, **levers: float) -> bool:
        """Whether the runs of a fit tell the loss at one size of model and data.

        Of runs of one size they do at that size, say, although E and A / N^alpha are not known.
        """
        if not self.unidentified:
            return True
        if not self.directions:
            return False
        said = getattr(type(self.law), "fitted", {})  # as `laws.fitted` reads it
        known = [(x.name, x.name not in said or said[x.name].positive) for x in fields(self.law)]
        with jax.enable_x64(True):
            here = float(interpreted(self.law.loss, params, tokens, **levers))
            for row in self.directions:
                largest = max(map(abs, row))
                ends = []
                for step in (STEP / largest, -STEP / largest):
                    pairs = zip(known, row, strict=True)
                    moved = {
                        name: _moved(getattr(self.law, name), positive, step * part)
                        for (name, positive), part in pairs
                    }
                    law = type(self.law)(**moved)
                    ends.append(float(interpreted(law.loss, params, tokens, **levers)))
                if not abs(ends[0] - ends[1]) <= 2 * STEP * FELT * abs(here):
                    return False
        return True

    def in_range(self, plan: Sized) -> Array:
        """Whether each plan lies within all ranges that the source states; works under jit.

        Boolean, of the full shape of `params` and `tokens`. False where a number is NaN, so where
        a plan is not ok, and everywhere if neither both sizes nor FLOPs have a range: nothing is
        then known to be inside.
        """
        params, tokens = arrays.align(*arrays.enter(params=plan.params, tokens=plan.tokens))
        inside = is_positive(params) & is_positive(tokens) & self.has_range
        for size, limits in (
            (params, self.params_range),
            (tokens, self.tokens_range),
            (jnp.divide(tokens, params), self.tokens_per_param_range),
        ):
            if limits is not None:
                inside &= (size >= limits[0]) & (size <= limits[1])
        if self.flops_range is not None:
            inside &= _within(self.flops_range, params, tokens)
        return inside


def _moved(value: float, positive: bool, step: float) -> float:
    return value * math.exp(step) if positive else value + step


def tells_sizes(unidentified: Collection[str]) -> bool:
    """Whether sizes of one loss or cost are known: they rest on all coefficients but E."""
    return not {*unidentified} - {"E"}


def _within(flops_range: Range, params: Array, tokens: Array) -> Array:
    # In logarithms, because N D overflows float32.
    log_params, log_tokens = (jnp.log(where_safe(is_positive(x), x)) for x in (params, tokens))
    log_flops = log_params + log_tokens + math.log(TRAIN_FLOPS)
    # A plan at a limit is inside, whatever its logarithm rounds to.
    slack = 1 + 8 * float(jnp.finfo(log_flops.dtype).eps)
    low, high = map(math.log, flops_range)
    return (log_flops >= low / slack) & (log_flops <= high * slack)


def by_name(entries: Iterable[Entry], key: Callable[[str], str] = str.lower) -> dict[str, Entry]:
    """Each entry under the keys of its name and its aliases."""
    return {key(name): entry for entry in entries for name in (entry.name, *entry.aliases)}


def find(kind: str, entries: Iterable[Entry], name: Any) -> Entry:
    """The entry of that name or alias, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names; `kind` is the word
    for what was looked for.

    Examples:
        >>> entries = js.published.shipped("laws")
        >>> js.published.find("law", entries, "DeVries2023").name
        'sardana2024'
    """
    entries = tuple(entries)
    spellings = by_name(entries)
    key = str(name).lower()
    if key in spellings:
        return spellings[key]
    aliases = (alias for entry in entries for alias in entry.aliases)
    raise unknown(kind, name, (entry.name for entry in entries), aliases)
