"""Released models by name, and the demand that their makers seem to have expected."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._display import Catalog
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import count
from jaxscale.costs import Costs, Demand
from jaxscale.economics.implied import ImpliedDemand, implied_demand
from jaxscale.laws.protocol import Law
from jaxscale.published import Entry, find, shipped
from jaxscale.status import Status

if TYPE_CHECKING:
    from pandas import DataFrame

SIZES = ("params", "tokens")
DATE = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Release:
    """A released model and how long it was trained.

    Examples:
        >>> js.economics.release("llama-3-8b").release.tokens
        15000000000000.0
    """

    title: str
    maker: str
    params: float
    tokens: float  # in training
    date: str  # month, as 2024-04


def _listed(*, title: str, maker: str, params: Real, tokens: Real, date: str) -> Release:
    """The release that a file of published facts describes."""
    for name, value in (("params", params), ("tokens", tokens)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0; got {value!r}")
    if not DATE.fullmatch(str(date)):
        raise ValueError(f"date must be a month, as 2024-04; got {date!r}")
    return Release(title, maker, float(params), float(tokens), date)


FORMS = {"Release": _listed}


def releases() -> Catalog[Entry]:
    """All released models of the catalogue, by date.

    Examples:
        >>> [entry.name for entry in js.economics.releases()][:3]
        ['gpt3-175b', 'jurassic1-178b', 'gopher-280b']
    """
    return shipped("releases")


def release(name: str) -> Entry:
    """The released model of that name, case aside.

    Raises TypeError for a name that is no string, and ValueError for an unknown one, with the
    nearest one and all names.

    Examples:
        >>> js.economics.release("Chinchilla-70B").release.tokens
        1400000000000.0
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string; got {name!r}")
    return find("release", releases(), name)


@dataclass(frozen=True, repr=False)
class ReleasesExplained:
    """Released models with the demand that explains the size of each, by one law.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> explained = js.economics.implied_by_releases(law)
        >>> len(explained.releases), int(explained.implied.over_sized.sum())
        (28, 6)
    """

    releases: tuple[Entry, ...]
    implied: ImpliedDemand  # arrays of NumPy, a number for each release

    def __repr__(self) -> str:
        return _display.table(self._header, self._cells())

    def _repr_html_(self) -> str:
        return _display.html(self._header, self._cells())

    @property
    def _header(self) -> list[str]:
        return ["", "date", "params", "tokens", "implied demand", "per training token", "status"]

    def _cells(self) -> list[list[str]]:
        rows = []
        for entry, total, word in zip(self.releases, self.implied.tokens, self._words, strict=True):
            model = entry.release
            numbers = [count(x) for x in (model.params, model.tokens, total)]
            rows.append([model.title, model.date, *numbers, count(total / model.tokens), word])
        return rows

    @property
    def _words(self) -> list[str]:
        """The status of each model, and a word where its number is below 0."""
        names = (Status(int(x)).name for x in self.implied.status)
        pairs = zip(names, self.implied.over_sized, strict=True)
        return ["over-sized" if over_sized else name for name, over_sized in pairs]

    def to_dataframe(self) -> "DataFrame":
        """A row for each model.

        Examples:
            >>> law = js.laws.published("besiroglu2024")
            >>> frame = js.economics.implied_by_releases(law).to_dataframe()
            >>> implied = frame.set_index("name")["implied_tokens"]
            >>> print(f"{implied['llama-3-8b']:.2g}")
            1.9e+14
        """
        models = [entry.release for entry in self.releases]
        columns = {
            "name": [entry.name for entry in self.releases],
            **{
                name: [getattr(model, name) for model in models]
                for name in ("title", "maker", "params", "tokens", "date")
            },
            "implied_input_tokens": self.implied.demand.input_tokens,
            "implied_output_tokens": self.implied.demand.output_tokens,
            "implied_tokens": self.implied.tokens,
            "ratio": self.implied.ratio,
            "status": [Status(int(x)).name for x in self.implied.status],
            "source": [entry.source for entry in self.releases],
        }
        return _display.dataframe(columns)

    def plot(self) -> Any:
        """The picture of `js.plots.implied_demand`."""
        return _display.figure("implied_demand", self)


def implied_by_releases(
    law: Law,
    costs: Costs | None = None,
    *,
    mix: Demand | None = None,
    levers: Mapping[str, ArrayLike] | None = None,
    models: tuple[Entry, ...] | None = None,
) -> ReleasesExplained:
    """The demand that explains the size of each released model: what its maker seems to expect.

    It takes the maker to have known this law and these prices, to have counted serving, and to have
    chosen the size for cost alone, where speed, memory or a family of sizes often decide. Laws of
    other data and tokenizers give other numbers: compare models by one law, and laws by one model.

    Args:
        law: a scaling law, whose other arguments are those of `js.implied_demand`.
        costs: the price of a FLOP in each phase; 1 by default.
        mix: tokens read and written, of which only the proportion counts.
        levers: a number for each lever of the law, or one for each model.
        models: entries of `js.economics.releases()`, or of a file of your own; all by default.

    Raises as `js.implied_demand`, and ValueError for a law of several sets of coefficients.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> models = (js.economics.release("llama-2-7b"), js.economics.release("llama-3-8b"))
        >>> explained = js.economics.implied_by_releases(law, models=models)
        >>> print([f"{x / 1e12:.0f}T" for x in explained.implied.tokens])
        ['10T', '190T']
    """
    if not isinstance(models, Iterable | None):
        raise TypeError(f"models must be a tuple of js.economics.releases(); got {models!r}")
    entries = tuple(releases() if models is None else models)
    other = next((each for each in entries if getattr(each, "release", None) is None), None)
    if other is not None:
        raise TypeError(f"models must be entries of js.economics.releases(); got {other!r}")
    params, tokens = (np.array([getattr(x.release, name) for x in entries]) for name in SIZES)
    implied = interpreted(implied_demand, law, params, tokens, costs, mix=mix, levers=levers)
    if np.shape(implied.status) != (len(entries),):
        raise ValueError("law, costs, mix and levers must have one number, or one for each model")
    return ReleasesExplained(entries, implied)
