"""Published fits by name, each with its source, its range and its known faults.

The runs that a law was fitted to decide where its numbers mean anything. An entry describes them,
beside the law and not inside it, so that a law stays a pytree of plain numbers. Losses of different
entries are not comparable: data and tokenizers differ.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxscale.laws import saved
from jaxscale.laws._flops_form import from_flops_form
from jaxscale.laws._leverage import DEFAULT, Sparse, sparse
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.composed import split_part, with_part
from jaxscale.laws.distillation import Distillation, TeacherAndStudent
from jaxscale.laws.experts import Abnar, Clark, Krajewski
from jaxscale.laws.farseer import Farseer
from jaxscale.laws.floating_point import Sun
from jaxscale.laws.joint_experts import Ludziejewski
from jaxscale.laws.kaplan import Kaplan
from jaxscale.laws.other_forms import BrokenPowerLaw, ComputeOnly, Frantar
from jaxscale.laws.precision import Kumar
from jaxscale.laws.repeated_data import Muennighoff
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

    A plus adds a published part: experts by a leverage, as `sparse` does
    (`"besiroglu2024+ling2025"`), constants of data reuse, as `repeated` does
    (`"ours.json+prabhudesai2025_diffusion"`), or the streams of a law, as `with_streams` does
    (`"besiroglu2024+chen2025_pile"`).

    Such files are written by `Fit.save` and `jaxscale fit`; `family` is the class of the law in
    one, where that is a class of your own. Where a bootstrap was saved with the fit, `draws` is
    the law with a leading axis of resamples; else None. `warning` says where a fit was not OK.
    Raises ValueError for an unknown name, with the nearest one and all names, for a part that the
    law does not take, and for a file that holds no fit.

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
    if saved.is_file_name(name):
        return _saved(name, family)
    base, part = split_part(str(name))
    if part:
        return with_part(entry(base, family), part)
    return find("law", catalog(), str(name))


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
