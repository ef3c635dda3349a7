"""The API reference has every public name, and nothing else."""

import re
from collections import Counter
from pathlib import Path

from public_names import public_names

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_every_public_name_is_in_the_reference_exactly_once():
    pages = "\n".join(page.read_text() for page in REFERENCE.glob("*.md"))
    shown = Counter(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    assert shown == Counter(list(public_names()))
