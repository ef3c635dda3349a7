"""The law of a question and its levers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxscale import laws
from jaxscale._compare import BEST, PLAIN, plain_levers
from jaxscale._levers import Given, Levers, levers_of_texts, range_text
from jaxscale._numerics.names import hint
from jaxscale._schema import Refused
from jaxscale._written_law import law_of_coefficients
from jaxscale.exploring.fields import LEVER
from jaxscale.laws.composed import law_with_part, split_part, with_part
from jaxscale.laws.protocol import formats_of, levers_of
from jaxscale.laws.saved import is_file_name
from jaxscale.published import Entry
from jaxscale.published.entry import by_name
from jaxscale.solve.choices import read_over


class NamedLaw(NamedTuple):
    """A law with its name, and its entry where one describes it."""

    name: str
    law: Any
    entry: Entry | None  # None for a law given by its coefficients

    @property
    def warning(self) -> str:
        """The warning about a fit that is not a certified minimum; else empty."""
        said = self.entry.warning if self.entry else ""
        return f"{self.name}: {said}" if said else ""


def law_of_text(text: str, own: Mapping[str, Entry]) -> NamedLaw:
    """The law of that name, of one's own or published, or of coefficients; never of a file.

    A plus and the name of a part may follow. Raises ValueError.
    """
    entry = _own(text, own)
    base, part = ("", "") if entry else split_part(text)
    if part:
        named = law_of_text(base, own)
        if named.entry is None:
            return NamedLaw(f"{named.name}+{part}", law_with_part(named.law, part), None)
        entry = with_part(named.entry, part)
    if entry is None and "=" in text:
        return NamedLaw("".join(text.split()), law_of_coefficients(text), None)
    if entry is None:
        entry = _published(text, own)
    return NamedLaw(entry.name, entry.law, entry)


def _own(text: str, own: Mapping[str, Entry]) -> Entry | None:
    return {name.lower(): entry for name, entry in own.items()}.get(text.strip().lower())


def _published(text: str, own: Mapping[str, Entry]) -> Entry:
    name, published = text.strip().lower(), by_name(laws.catalog())
    if name in published:
        return published[name]
    if name in by_name(laws.tasks()):
        raise ValueError(f"{text} is the law of a task: ask for an accuracy on it instead")
    if is_file_name(text):
        raise ValueError("a file of one's own is given when the page is started")
    raise ValueError(f"no law {text!r}{hint(text, (*published, *own))}")


def check_runs(named: NamedLaw, *, of_loss: bool) -> None:
    """Refuse a fit whose runs do not tell what the plan rests on."""
    entry = named.entry
    if entry is None:
        return
    if of_loss and entry.unidentified:
        raise Refused(f"{named.warning} So losses at other sizes are not known", "law")
    if not entry.tells_sizes:
        raise Refused(f"{named.warning} Nothing at other sizes can rest on it", "law")


def levers_of_question(named: NamedLaw, given: Given) -> Levers:
    """The levers of the law; Refused, with the field to blame, where they do not fit it."""
    known, formats = levers_of(named.law), formats_of(named.law)
    words = (*known, *["format"] * bool(formats))
    for name in given:
        if name not in words:
            listed = ", ".join(words) or "none"
            raise Refused(
                f"{named.name} has no lever {name!r}{hint(name, words)}; its levers: {listed}",
                f"{LEVER}{name}",
            )
    try:
        levers = levers_of_texts(named.law, given)
    except Refused as error:
        raise Refused(str(error), f"{LEVER}{error.name or 'format'}") from None
    for name in levers.missing(named.law):
        instead = f"; or a format: {', '.join(formats)}, {BEST}" if formats else ""
        raise Refused(
            f"{named.name} needs it, from {range_text(*known[name])}{instead}", f"{LEVER}{name}"
        )
    if levers.chosen:
        try:
            read_over(named.law, levers.over, levers.values)
        except (TypeError, ValueError) as error:
            raise Refused(str(error), f"{LEVER}{levers.chosen[0]}") from None
    return levers


def entry_of(text: str, own: Mapping[str, Entry]) -> Entry:
    """The law of that text with what is known of it: of coefficients, nothing more."""
    named = law_of_text(text, own)
    return named.entry or Entry(named.name, named.law)


def plain(law: Any, params: float) -> dict[str, float]:
    """Levers of an ordinary model by this law, where the question gives none."""
    known = levers_of(law)
    return plain_levers((name for name in known if name in (*PLAIN, "vocabulary_params")), params)
