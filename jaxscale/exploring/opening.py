"""The question that a page opens with, and the laws that it knows beside the catalogue."""

import os
from typing import Any

from jaxscale import laws
from jaxscale._numerics.names import unknown
from jaxscale.exploring.fields import FIELDS
from jaxscale.exploring.question import FIRST, Question, is_field
from jaxscale.published import Entry


def opened_with(law: Any = None, **texts: Any) -> tuple[Question, dict[str, Entry]]:
    """The question of these texts, and one's own law by name where `law` is none that is published.

    Without texts it is the example with this law. Raises ValueError for what is no field.
    """
    for name in texts:
        if not is_field(name):
            raise unknown("option", name, FIELDS)
    given = {name: str(text) for name, text in texts.items() if text is not None}
    own: dict[str, Entry] = {}
    if law is not None:
        entry = law if isinstance(law, Entry) else _entry(law)
        own = {} if entry is None else {entry.name: entry}
        given["law"] = str(law) if entry is None else entry.name
    return (Question(given) if texts else FIRST.with_texts(given)), own


def _entry(law: Any) -> Entry | None:
    """The law of a file; None where it is a name."""
    is_file = os.path.exists(law) or str(law).endswith(".json")
    return laws.entry(law) if is_file else None
