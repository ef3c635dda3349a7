"""Names of columns in an expression, replaced by identifiers that Python's parser takes.

A name may be any text in back quotes, one back quote of its own written twice. Bare, it may hold
letters, digits and `_ / . - :`, unless what it writes is arithmetic of other columns too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jaxscale._numerics.names import hint

OPERATORS = {"and", "or", "not", "in", "True", "False"}
_NUMBER = r"(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_BARE = re.compile(r"[\w./:-]+")


@dataclass(frozen=True)
class Names:
    """The columns that an expression may name, and the text in which they are identifiers."""

    columns: Sequence[str]
    text: str
    by_identifier: Mapping[str, str]

    def restored(self, text: str) -> str:
        """Text of the parser's with the columns as a user writes them."""
        return re.sub(
            r"\w+",
            lambda word: (
                written(self.by_identifier[word[0]]) if word[0] in self.by_identifier else word[0]
            ),
            text,
        )

    def unknown(self, word: str) -> ValueError:
        """The error for a word that is no column, with the nearest that is."""
        near = hint(word, self.columns, written=written)
        return ValueError(
            f"no column {word!r}{near}; the columns are "
            f"{', '.join(map(written, self.columns))} (`in back quotes`, a name may hold anything)"
        )

    def word_at(self, offset: int) -> str:
        """All that a bare name could be at a byte of the text."""
        start = len(self.text.encode()[:offset].decode())
        bare = _BARE.match(self.text, start)
        return self.restored(bare[0]) if bare else ""


def read(text: str, columns: Iterable[str]) -> Names:
    """The expression with each column an identifier; ValueError where a name is none, or two."""
    columns = tuple(dict.fromkeys(columns))
    prefix = "_"
    while prefix in text:  # so that no word of the user's is taken for an identifier of ours
        prefix += "_"
    identifiers = {name: f"{prefix}{number}" for number, name in enumerate(columns)}
    names = Names(columns, text, {each: name for name, each in identifiers.items()})
    parts, end = [], 0
    for token in _tokens(columns).finditer(text):
        parts += [" ".join(text[end : token.start()].split("\n")), _parsed(token, names)]
        end = token.end()
    return Names(columns, "".join([*parts, text[end:]]).strip(), names.by_identifier)


def written(name: str) -> str:
    """A column as an expression has it: bare, or in back quotes."""
    bare = _BARE.fullmatch(name) and name not in OPERATORS and not _is_number(name)
    return name if bare else "`" + name.replace("`", "``") + "`"


def _tokens(columns: Sequence[str]) -> re.Pattern[str]:
    """Strings, quoted names, names that only look like arithmetic, numbers and words."""
    odd = [name for name in columns if written(name) == name and not name.isidentifier()]
    longest_first = "|".join(re.escape(name) for name in sorted(odd, key=len, reverse=True))
    return re.compile(
        rf"(?P<string>{_STRING})|`(?P<quoted>(?:[^`]|``)+)`"
        rf"|(?P<odd>{longest_first or '(?!)'})(?![\w])"
        rf"|(?P<number>{_NUMBER}(?!\w))|(?P<word>\w+)|(?P<joined>[&|])|(?P<refused>[`#@$?;\\])"
    )


def _parsed(token: re.Match[str], names: Names) -> str:
    """What the parser reads instead of a token."""
    identifiers = {name: each for each, name in names.by_identifier.items()}
    kind, found = token.lastgroup, token[0]
    if kind == "joined":  # as pandas has it: below comparisons, where Python has & above them
        return " and " if found == "&" else " or "
    if kind == "refused":
        raise ValueError(f"{found!r} has no meaning here")
    if kind == "quoted":
        name = token["quoted"].replace("``", "`")
        if name not in identifiers:
            raise names.unknown(name)
        return f" {identifiers[name]} "
    if kind == "odd":
        _refuse_arithmetic(found, identifiers)
        return f" {identifiers[found]} "
    after, before = token.string[token.end() :].lstrip(), token.string[: token.start()].rstrip()
    is_name = kind == "word" and found not in OPERATORS and not before.endswith(".")
    if is_name and found in identifiers and not after.startswith("("):
        return identifiers[found]
    return found


def _refuse_arithmetic(name: str, columns: Iterable[str]) -> None:
    """Refuse a bare name whose parts are columns or numbers: it could be meant either way."""
    parts = re.split("[/-]", name)
    known = set(columns)
    if len(parts) > 1 and all(not each or each in known or _is_number(each) for each in parts):
        spaced = re.sub("([/-])", r" \1 ", name).strip()
        raise ValueError(
            f"{name!r} is a column, and arithmetic of others: write `{name}` for the column, "
            f"or {spaced!r} with spaces"
        )


def _is_number(text: str) -> bool:
    return re.fullmatch(_NUMBER, text) is not None
