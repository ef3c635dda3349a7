"""Compute-optimal params and tokens as powers of compute, of laws and as papers publish them.

What counts as a parameter and as compute differs between papers, and exponents with it:
`params_convention` and `flops_convention` of an entry say what its numbers mean.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale import laws
from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale.laws.protocol import TRAIN_FLOPS, exp_of, has_power_frontier, is_valid, made_safe
from jaxscale.published import Catalog, Entry, find, shipped


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Allocation:
    """`N*(C) = params_scale (C / unit)^params_exponent`, and the same of tokens for `D*(C)`.

    C is a training budget in FLOPs. `unit` is what the formula counts it in: 1, 8.64e19 for
    PF-days, 6 where a paper writes C / 6. Fields are scalars or arrays that broadcast with
    each other and with the arguments of the methods; scales and `unit` are positive, exponents
    finite. Where a number is bad, or a size too large or too small for its dtype, the methods
    return NaN with zero derivatives.

    Examples:
        >>> allocation = js.allocations.published("hoffmann2022_approach2")
        >>> print(f"{allocation.params(1e22):.2g} params, {allocation.tokens(1e22):.2g} tokens")
        8.7e+09 params, 1.9e+11 tokens
    """

    params_scale: Real  # params at C = unit
    params_exponent: Real  # the a of Hoffmann et al. 2022, Section 3
    tokens_scale: Real  # tokens at C = unit
    tokens_exponent: Real  # their b
    unit: Real = 1.0  # FLOPs

    def params(self, flops: ArrayLike) -> Array:
        """Params of the best model that `flops` can train."""
        exponents = {"params_exponent": self.params_exponent}
        scale = {"params_scale": self.params_scale}
        return exp_of(_log_size, exponents, **scale, unit=self.unit, flops=flops)

    def tokens(self, flops: ArrayLike) -> Array:
        """Training tokens of the best model that `flops` can train."""
        exponents = {"tokens_exponent": self.tokens_exponent}
        scale = {"tokens_scale": self.tokens_scale}
        return exp_of(_log_size, exponents, **scale, unit=self.unit, flops=flops)

    def tokens_per_param(self, flops: ArrayLike) -> Array:
        """D* / N*, formed in logarithms: known also where one of them is out of range."""
        exponents = {"params": self.params_exponent, "tokens": self.tokens_exponent}
        scales = {"params_scale": self.params_scale, "tokens_scale": self.tokens_scale}
        return exp_of(_log_ratio, exponents, **scales, unit=self.unit, flops=flops)

    def equations(self) -> tuple[str, str]:
        """Both formulas as text; the fields are concrete scalars.

        Examples:
            >>> print(*js.allocations.published("llama3").equations(), sep="; ")
            params = 0.5574136 C^0.463; tokens = 0.299 C^0.537
        """
        base = "C" if self.unit == 1 else f"(C / {self.unit:g})"
        return (
            f"params = {self.params_scale:.7g} {base}^{self.params_exponent:.7g}",
            f"tokens = {self.tokens_scale:.7g} {base}^{self.tokens_exponent:.7g}",
        )


def _log_size(
    exponents: dict[str, Array], log_scale: Array, log_unit: Array, log_flops: Array
) -> Array:
    (exponent,) = exponents.values()
    return log_scale + exponent * (log_flops - log_unit)


def _log_ratio(
    exponents: dict[str, Array],
    log_params_scale: Array,
    log_tokens_scale: Array,
    log_unit: Array,
    log_flops: Array,
) -> Array:
    log_params = log_params_scale + exponents["params"] * (log_flops - log_unit)
    log_tokens = log_tokens_scale + exponents["tokens"] * (log_flops - log_unit)
    return log_tokens - log_params


def from_params(scale: Real, exponent: Real, unit: Real = 1.0) -> Allocation:
    """The allocation with `N* = scale (C / unit)^exponent`, and D* = C / (6 N*).

    Numbers, or arrays that broadcast. Raises TypeError for anything but numbers, and ValueError
    for a concrete scale or unit that is not positive and finite, or exponent not finite.

    Examples:
        >>> allocation = js.allocations.from_params(scale=0.1, exponent=0.5)
        >>> print(f"{allocation.tokens(1e22):.2g} tokens")
        1.7e+11 tokens
    """
    _check(scale=scale, exponent=exponent, unit=unit)
    return Allocation(scale, exponent, unit / (TRAIN_FLOPS * scale), 1 - exponent, unit)


def from_tokens(scale: Real, exponent: Real, unit: Real = 1.0) -> Allocation:
    """The allocation with `D* = scale (C / unit)^exponent`, and N* = C / (6 D*).

    Takes and raises what `from_params` does.

    Examples:
        >>> allocation = js.allocations.from_tokens(scale=1.7, exponent=0.5)
        >>> print(f"{allocation.params(1e22):.2g} params")
        9.8e+09 params
    """
    _check(scale=scale, exponent=exponent, unit=unit)
    return Allocation(unit / (TRAIN_FLOPS * scale), 1 - exponent, scale, exponent, unit)


def _check(**numbers: Real) -> None:
    arrays.enter(**numbers)  # refuses non-numbers, and shapes that do not broadcast
    for name, value in numbers.items():
        if not arrays.is_concrete(value):
            continue
        host = np.asarray(value)
        if not (np.isfinite(host) & ((host > 0) | (name == "exponent"))).all():
            rule = "finite" if name == "exponent" else "finite and above 0"
            raise ValueError(f"{name} must be {rule}; got {value!r}")


def from_law(law: Any) -> Allocation:
    """The compute-optimal allocation of a law at C = 6 N D, where it is a pair of powers.

    It is for the Chinchilla law (Hoffmann et al. 2022, eq. 4) and for Kaplan's eq. 1.5, though that
    paper splits budgets otherwise: see the entry kaplan2020. Fields may be arrays, and derivatives
    pass. NaN where a coefficient is bad. TypeError for another law, whose sizes
    `js.compute_optimal` finds.

    Examples:
        >>> allocation = js.allocations.from_law(js.laws.published("hoffmann2022"))
        >>> print(f"{allocation.params(1e22):.2g} params")
        5.2e+09 params
    """
    if not has_power_frontier(law):
        raise TypeError(
            "law must have best sizes that are powers of compute, as Chinchilla and Kaplan have; "
            f"got {type(law).__name__}"
        )
    return _from_law(*arrays.enter(law=law))


@jax.jit
def _from_law(law: Any) -> Allocation:
    (law,) = arrays.align(law)
    answer = is_valid(law)
    allocation = _closed_form(made_safe(law, answer), jnp)
    return jax.tree.map(lambda x: jnp.where(answer, x, jnp.nan), allocation)


def _closed_form(law: Any, functions: Any) -> Allocation:
    """The allocation of a law, with `log` and `exp` of `functions`: `math` does not start JAX."""
    log_scale, a, b = law.frontier_powers(functions.log)
    return Allocation(
        params_scale=functions.exp(log_scale),
        params_exponent=a,
        tokens_scale=functions.exp(-log_scale),
        tokens_exponent=b,
        unit=float(TRAIN_FLOPS),
    )


# --- Published ------------------------------------------------------------------------------

CHINCHILLA_FLOPS = 5.88e23  # 6 N D of 70e9 params on 1.4e12 tokens, Hoffmann et al. 2022


class Step(NamedTuple):
    """One step of a chain of corrections."""

    name: str  # of the entry
    label: str  # what this step changes


# From Kaplan's allocation to Hoffmann's, on RefinedWeb: Porian et al. 2024.
PORIAN_CHAIN = (
    Step("porian2024_refinedweb_kaplan", "Kaplan's runs again"),
    Step("porian2024_refinedweb_last_layer", "+ last layer counted"),
    Step("porian2024_refinedweb_warmup", "+ warm-up by size"),
    Step("porian2024_refinedweb_decay", "+ decay by budget"),
    Step("porian2024_refinedweb_tuned", "optimiser tuned by size"),
)


def _from_published_law(law: str) -> Allocation:
    """The allocation of a published law, in Python floats."""
    return _closed_form(laws.published(law), math)


# Constructors by the name that a file of published facts gives as `form`.
FORMS: Mapping[str, Callable[..., Allocation]] = {
    "Allocation": Allocation,
    "from_params": from_params,
    "from_tokens": from_tokens,
    "from_law": _from_published_law,
}


def catalog() -> Catalog[Entry]:
    """All published allocations, by paper.

    Examples:
        >>> [entry.name for entry in js.allocations.catalog()][:3]
        ['kaplan2020', 'henighan2020', 'hoffmann2022_approach1']
    """
    return shipped("allocations")


def entry(name: str) -> Entry:
    """The published allocation of that name or alias, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.allocations.entry("hoffmann2022_approach2").exponents
        (0.49, 0.51)
    """
    return find("allocation", catalog(), name)


def published(name: str) -> Allocation:
    """The allocation of that name, as Python floats: `entry(name).allocation`.

    Raises as `entry`, and ValueError where only exponents are published, with the names of
    those that have scales too.

    Examples:
        >>> allocation = js.allocations.published("kaplan2020")
        >>> print(f"{allocation.params(1e22):.2g} params")
        4.2e+10 params
    """
    named = entry(name)
    if named.allocation is not None:
        return named.allocation
    a, b = named.exponents
    names = ", ".join(each.name for each in catalog() if each.allocation is not None)
    raise ValueError(
        f"only exponents are published of {named.name}: params ~ C^{a:g}, tokens ~ C^{b:g}; "
        f"with scales: {names}"
    )
