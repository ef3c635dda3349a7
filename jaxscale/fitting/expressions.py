"""A small language of expressions on the columns of a table, as `loss < 4 and step % 1000 == 0`.

Numbers, as 1.5e9 or 1.5B, strings, columns; `+ - * / // % **`; comparisons, chained and
`in [..]`; `and`, `or`, `not` (also `&`, `|`, `~`); and the functions of `FUNCTIONS`, which may
also follow a column, as `loss.isna()` does. `number(run)` is the size in a name, 7e7 of
`gpt-70M-a`; `number(run, 2)` the second. Python parses the text and runs none of it: whatever is
not listed here is refused.
"""

import ast
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxscale._numerics.names import hint
from jaxscale._numerics.quantities import parse
from jaxscale.fitting.column_values import (
    COMPARISONS,
    FUNCTIONS,
    Value,
    compared,
    number_of,
    truth_of,
)

LONGEST = 10_000  # characters; the parser is recursive
OPERATORS = {"and", "or", "not", "in", "True", "False"}
_NUMBER = r"(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_BARE = re.compile(r"[\w./:-]+")


def evaluate(text: str, columns: Sequence[str], column: Callable[[str], np.ndarray]) -> Value:
    """The value of an expression: an array of one value a row, or one value.

    `column(name)` gives the values of one of `columns`, as `column_values.values_of` makes them.
    Raises ValueError that names what is refused.
    """
    if len(text) > LONGEST:
        raise ValueError(f"an expression has at most {LONGEST:,} characters; got {len(text):,}")
    names = _named(text, columns)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # a mean of no numbers, a needless backslash
            return _Evaluation(names, column).value(ast.parse(names.text, mode="eval").body)
    except SyntaxError as error:
        raise ValueError(names.restored(error.msg)) from None
    except (RecursionError, MemoryError):
        raise ValueError("an expression must not be nested as deeply") from None


def could_be(text: Any, columns: Sequence[Any]) -> bool:
    """Whether a text that names no column may be an expression, and not only a wrong name."""
    if not isinstance(text, str) or not _BARE.fullmatch(text):
        return isinstance(text, str)
    parts = re.split("[/-]", text)  # `C/N` divides two columns
    return all(part in columns or _is_number(part) for part in parts)


# --- Names of columns -----------------------------------------------------------------------


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
        """The error for a word that is not a column, with the nearest that is."""
        near = hint(word, self.columns, written=written)
        return ValueError(
            f"no column {word!r}{near}; the columns are "
            f"{', '.join(map(written, self.columns))} (`in back quotes`, a name may hold anything)"
        )

    def word_at(self, offset: int) -> str:
        """The longest bare name at a byte of the text."""
        start = len(self.text.encode()[:offset].decode())
        bare = _BARE.match(self.text, start)
        return self.restored(bare[0]) if bare else ""


def _named(text: str, columns: Iterable[str]) -> Names:
    """The expression with columns as identifiers; ValueError for unknown and unclear names."""
    columns = tuple(dict.fromkeys(columns))
    prefix = "_"
    while prefix in text:  # so that no word of the user's is taken for an identifier of ours
        prefix += "_"
    identifiers = {name: f"{prefix}{number}" for number, name in enumerate(columns)}
    names = Names(columns, text, {each: name for name, each in identifiers.items()})
    parts: list[str] = []
    end = 0
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
        rf"|(?P<number>{_NUMBER}(?!\w))|(?P<suffixed>[0-9.]+[KMBT](?!\w))"
        r"|(?P<word>\w+)|(?P<joined>[&|])|(?P<refused>[`#@$?;\\])"
    )


def _parsed(token: re.Match[str], names: Names) -> str:
    """The text that the parser reads instead of a token."""
    identifiers = {name: each for each, name in names.by_identifier.items()}
    kind, text = token.lastgroup, token[0]
    if kind == "joined":  # as pandas has it: below comparisons, where Python has & above them
        return " and " if text == "&" else " or "
    if kind == "refused":
        raise ValueError(f"{text!r} has no meaning here")
    if kind == "quoted":
        name = token["quoted"].replace("``", "`")
        if name not in identifiers:
            raise names.unknown(name)
        return f" {identifiers[name]} "
    if kind == "suffixed":
        number = parse(text)
        return text if number is None else repr(number.value)
    if kind == "odd":
        _refuse_arithmetic(text, identifiers)
        return f" {identifiers[text]} "
    after, before = token.string[token.end() :].lstrip(), token.string[: token.start()].rstrip()
    is_name = kind == "word" and text not in OPERATORS and not before.endswith(".")
    if is_name and text in identifiers and not after.startswith("("):
        return identifiers[text]
    return text


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


# --- Evaluation ------------------------------------------------------------------------------

ARITHMETIC: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
ALLOWED = (
    "an expression has columns, numbers, strings, arithmetic, comparisons, and, or, not, in [..], "
    f"and the functions {', '.join(FUNCTIONS)}"
)


class _Evaluation:
    """The values of the nodes of one expression."""

    def __init__(self, names: Names, column: Callable[[str], np.ndarray]) -> None:
        self.names, self.column = names, column

    def value(self, node: ast.AST) -> Value:
        """The value of a node; ValueError for one that is no part of the language."""
        read = getattr(self, f"_{type(node).__name__}", None)
        return self._refused(node) if read is None else read(node)

    def _refused(self, node: ast.AST) -> Value:
        raise ValueError(f"{self.names.restored(ast.unparse(node))!r} is not allowed: {ALLOWED}")

    def _Constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, int) and abs(node.value) >= 2**63:
            return float(node.value) if abs(node.value) < 1e308 else math.inf
        known = isinstance(node.value, str | int | float)
        return node.value if known else self._refused(node)

    def _Name(self, node: ast.Name) -> Value:
        name = self.names.by_identifier.get(node.id)
        if name is None:
            around = self.names.word_at(node.col_offset)
            raise self.names.unknown(around or node.id)
        try:
            return self.column(name)
        except ValueError as error:
            raise ValueError(f"column {name!r} {error}") from None

    def _Attribute(self, node: ast.Attribute) -> Value:
        root: ast.AST = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id not in self.names.by_identifier:
            raise self.names.unknown(self.names.word_at(root.col_offset))
        return self._refused(node)

    def _List(self, node: ast.List | ast.Tuple) -> Value:
        values = [self.value(each) for each in node.elts]
        return values if all(np.ndim(each) == 0 for each in values) else self._refused(node)

    _Tuple = _List

    def _Call(self, node: ast.Call) -> Value:
        name, given = node.func, list(node.args)
        if isinstance(name, ast.Attribute):  # a method, with or without pandas' `.str`
            owner = name.value
            if isinstance(owner, ast.Attribute) and owner.attr == "str":
                owner = owner.value
            given, name = [owner, *given], name.attr
        elif isinstance(name, ast.Name):
            name = name.id
        if not isinstance(name, str) or name not in FUNCTIONS or node.keywords:
            return self._refused(node)
        function, least, most = FUNCTIONS[name]
        if not least <= len(given) <= most:
            number = f"{least}" if least == most else f"{least} or more"
            raise ValueError(f"{name} takes {number} values; got {len(given)}")
        values = [self.value(each) for each in given]
        if name != "isin" and any(isinstance(each, list) for each in values):
            return self._refused(node)
        try:
            return function(*values)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def _UnaryOp(self, node: ast.UnaryOp) -> Value:
        operand = self.value(node.operand)
        if isinstance(node.op, ast.Not | ast.Invert):
            return ~self._truth(node.operand, operand)
        return -number_of(operand) if isinstance(node.op, ast.USub) else number_of(operand)

    def _BoolOp(self, node: ast.BoolOp) -> Value:
        truths = [self._truth(each, self.value(each)) for each in node.values]
        joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        for each in truths[1:]:
            truths[0] = joined(truths[0], each)
        return truths[0]

    def _truth(self, node: ast.AST, value: Value) -> np.ndarray:
        truth = truth_of(value)
        if truth is None:
            shown = self.names.restored(ast.unparse(node))
            raise ValueError(f"{shown!r} is not a condition, as 'loss < 4' is")
        return truth

    def _BinOp(self, node: ast.BinOp) -> Value:
        function = ARITHMETIC.get(type(node.op))
        if function is None:
            return self._refused(node)
        return function(number_of(self.value(node.left)), number_of(self.value(node.right)))

    def _Compare(self, node: ast.Compare) -> Value:
        values = [self.value(each) for each in (node.left, *node.comparators)]
        result = np.True_
        for op, left, right in zip(node.ops, values, values[1:], strict=False):
            if type(op) not in (ast.In, ast.NotIn, *COMPARISONS):
                return self._refused(node)
            result = result & compared(op, left, right)
        return result
