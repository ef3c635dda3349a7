"""Published fits by name, each with its source, its range and its known faults.

The runs that a law was fitted to decide where its numbers mean anything. An entry describes them,
beside the law and not inside it, so that a law stays a pytree of plain numbers. Losses of different
entries are not comparable: data and tokenizers differ.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxscale.laws import saved
from jaxscale.laws._flops_form import from_flops_form
from jaxscale.laws._leverage import DEFAULT, Sparse, sparse
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.distillation import Distillation, TeacherAndStudent
from jaxscale.laws.experts import Abnar, Clark, Krajewski
from jaxscale.laws.farseer import Farseer
from jaxscale.laws.floating_point import Sun
from jaxscale.laws.joint_experts import Ludziejewski
from jaxscale.laws.kaplan import Kaplan
from jaxscale.laws.other_forms import BrokenPowerLaw, ComputeOnly, Frantar
from jaxscale.laws.precision import Kumar
from jaxscale.laws.repeated_data import Muennighoff
from jaxscale.laws.reuse import repeated
from jaxscale.laws.skaling import Skaling, from_sum_form
from jaxscale.laws.streams import ParScale
from jaxscale.laws.vocabulary import Tao
from jaxscale.published import Catalog, Entry, find, shipped
from jaxscale.published.load import shipped_alone

FAMILIES: Mapping[str, type] = {
    each.__name__: each
    for each in (
        *(Chinchilla, Kaplan, Muennighoff, Abnar, Clark, Krajewski, Kumar, Tao),
        *(BrokenPowerLaw, ComputeOnly, Farseer, Frantar, Skaling),
        *(Distillation, TeacherAndStudent),
        Ludziejewski,
        ParScale,
        Sun,
    )
}
SPARSE = "sparse:"  # before the name of a dense law


def _sparse(dense: str, leverage: str = DEFAULT) -> Sparse:
    """A law made of two published parts, by name."""
    return sparse(shipped_alone("laws", dense).law, leverage)


# Classes and constructors by the name that a file of published facts gives as `form`.
FORMS: Mapping[str, Callable[..., Any]] = {
    **FAMILIES,
    from_flops_form.__name__: from_flops_form,
    sparse.__name__: _sparse,
    from_sum_form.__name__: from_sum_form,
}


def catalog() -> Catalog[Entry]:
    """All published fits, by paper.

    Examples:
        >>> [entry.name for entry in js.laws.catalog()][:3]
        ['hoffmann2022', 'hoffmann2022_unrounded', 'sardana2024']
    """
    return shipped("laws")


def entry(name: str | Path, family: type | None = None) -> Entry:
    """The published fit of that name or alias, case aside, or the one in a file `*.json`.

    A plus adds published constants of data reuse, as `repeated` does:
    `"besiroglu2024+prabhudesai2025_diffusion"`.

    Such files are written by `Fit.save` and `jaxscale fit`; `family` is the class of the law in
    one, where that is a class of your own. Where a bootstrap was saved with the fit, `draws` is
    the law with a leading axis of resamples; else None. `warning` says where a fit was not OK.
    With `sparse:` before the name it is that of mixtures of experts, by `js.laws.sparse`.
    Raises ValueError for an unknown name, with the nearest one and all names, and for a file that
    holds no fit.

    Examples:
        >>> entry = js.laws.entry("sardana2024")
        >>> print(entry.source)
        Sardana et al. 2024, arXiv 2401.00448, Appendix A, after De Vries 2023, 'Go smol or go home'
        >>> plan = js.evaluate(entry.law, 7e9, 2e11)
        >>> print(entry.in_range(plan))
        True

        Intervals of a plan, by the resamples in a file:

        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> fit.save("ours.json", js.bootstrap(fit, resamples=1000, key=1))
        >>> plans = js.minimize_loss(js.laws.entry("ours.json").draws, 1e23)
        >>> low, high = js.plan_intervals(plans)["params"]
        >>> print(f"{low / 1e9:.0f}B to {high / 1e9:.0f}B params")
        26B to 33B params
    """
    dense = dense_name(name)
    if dense is not None:
        return _sparse_entry(entry(dense, family))
    if saved.is_file_name(name):
        return _saved(name, family)
    base, plus, reuse = str(name).rpartition("+")
    if plus:
        return _with_reuse(entry(base, family), reuse)
    return find("law", catalog(), str(name))


def dense_name(name: str | Path) -> str | None:
    """The name of the dense law in `sparse:NAME`, case aside; None for another name."""
    text = str(name).strip()
    return text[len(SPARSE) :].strip() if text.lower().startswith(SPARSE) else None


def _sparse_entry(dense: Entry) -> Entry:
    """The entry of a dense law made sparse, in the range of the leverage and in its tokens."""
    leverage = find("leverage", shipped("leverages"), DEFAULT)
    draws = dense.draws
    if draws is not None:
        count = len(jax.tree.leaves(draws)[0])
        draws = sparse(draws, jax.tree.map(partial(np.full, count), leverage.law))
    return replace(
        dense,
        name=f"{SPARSE}{dense.name}",
        law=sparse(dense.law, leverage.law),
        draws=draws,
        source=f"{dense.source}; leverage: {leverage.source}",
        params_range=None,
        flops_range=leverage.flops_range,
        tokens_per_param_range=None,
        standard_errors=None,
        covariance=None,
        errata=(*leverage.errata, *dense.errata),
        aliases=(),
        directions=(),
    )


def _with_reuse(entry: Entry, name: str) -> Entry:
    """The entry of a Chinchilla law with published constants of data reuse."""
    reuse = find("reuse", shipped("reuse"), name)
    if not isinstance(entry.law, Chinchilla | Muennighoff):
        raise ValueError(f"{entry.name} takes no constants of reuse: it is not a Chinchilla law")
    return replace(
        entry,
        name=f"{entry.name}+{reuse.name}",
        law=repeated(entry.law, reuse.law),
        draws=None if entry.draws is None else repeated(entry.draws, reuse.law),
        source=f"{entry.source}; reuse: {reuse.source}",
        loss_scale=reuse.loss_scale or entry.loss_scale,
        errata=(*reuse.errata, *entry.errata),
        aliases=(),
        standard_errors=None,
        covariance=None,
    )


def _saved(path: str | Path, family: type | None) -> Entry:
    if family is None:
        return saved.read(str(path), FAMILIES)
    if not (isinstance(family, type) and hasattr(family, "loss")):
        raise TypeError(f"family must be a class of law; got {family!r}")
    entry = saved.read(str(path), {**FAMILIES, family.__name__: family})
    if type(entry.law) is not family:
        kind = type(entry.law).__name__
        raise ValueError(f"{path}: a fit of {kind}, and family is {family.__name__}")
    return entry


def published(name: str) -> Any:
    """The law of that name or file, as Python floats: `entry(name).law`; raises as `entry`.

    What it needs besides params and tokens, if anything, is in its `levers`. Warns as `load`.

    Examples:
        >>> law = js.laws.published("hoffmann2022")
        >>> law
        Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    """
    return _with_warning(entry(name))


def load(path: str | Path, family: type | None = None) -> Any:
    """The law in a file that `Fit.save` or `jaxscale fit` wrote, as Python floats.

    `family` is its class, where that is one of your own. `entry(path, family)` has also what the
    file says of the runs. Warns of a fit that is no certified minimum, or whose runs leave
    coefficients open. Raises ValueError for a file that holds no fit.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> fit.save("ours.json")
        >>> js.laws.load("ours.json") == fit.law
        True
    """
    return _with_warning(_saved(path, family))


def _with_warning(entry: Entry) -> Any:
    """The law of an entry, after its warning if it has one."""
    if entry.warning:
        warnings.warn(f"{entry.name}: {entry.warning}", stacklevel=3)
    return entry.law
