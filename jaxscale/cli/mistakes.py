"""Mistakes of the user, each reported in one line without a traceback."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from jaxscale._numerics.names import hint, question
from jaxscale.cli.tables import visible

# click's, or typer's own copy of it: which of the two depends on the version of typer.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Mistake(Exception):
    """Something that the user can correct; its text is the one line to print."""


class Stopped(Exception):
    """A signal ended the command; the text says what is kept, in one line."""


@contextmanager
def blamed_on(option: str) -> Iterator[None]:
    """Turn a ValueError inside the block into a mistake in `option`."""
    try:
        yield
    except ValueError as error:
        raise Mistake(f"{option}: {error}") from None


def reading(option: str, read: Callable[[str], float]) -> Callable[[Any], float]:
    """`read` as the parser of `option`: what it refuses is a mistake in that option."""

    def parser(text: str) -> float:
        with blamed_on(option):
            return read(text)

    return parser


def one_line(error: Exception) -> str:
    """The line to print for a mistake, with the nearest spelling or where to look."""
    message = _joined(getattr(error, "format_message", error.__str__)())
    context: Any = getattr(error, "ctx", None)
    if context is None:
        return message
    option = getattr(error, "option_name", "")
    if message.startswith("No such option"):
        options = [name for each in context.command.params for name in each.opts]
        message = f"no such option: {option}{nearest(option, options)}"
    elif message.startswith("No such command"):
        name = message.split("'")[1]
        message = f"no such command: {name}{nearest(name, context.command.commands)}"
    return f"{message.rstrip('.')}; see {context.command_path} --help"


def nearest(word: str, choices: Iterable[str]) -> str:
    """A question after a misspelt word; empty where nothing is near."""
    if not word:
        return ""
    choices = list(choices)
    begun = [choice for choice in choices if choice.startswith(word)]
    return question(begun) if begun else hint(word, choices)


def path_of(text: str) -> Path:
    """A path; as in a shell, a `~name` that has no home stays unchanged."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise Mistake(f"{text!r} is not a valid file name") from None
    if "\0" in text:
        raise Mistake(f"{text!r} is not a path: it holds a null character")
    return Path(os.path.expanduser(text))


def check_file(option: str, text: str, path: Path) -> None:
    """Refuse a path where no file can be written, or where one must not be replaced."""
    try:
        problem = _problem(text, path)
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be read
        problem = f"cannot be used: {getattr(error, 'strerror', None) or error}"
    if problem:
        raise Mistake(f"{option}: {text!r} {problem}")


def _problem(text: str, path: Path) -> str:
    if not text or path.is_dir():
        return "is a folder" if text else "is empty"
    if not path.parent.is_dir():
        return "lies in a folder that does not exist"
    return "" if path.is_file() or not path.exists() else "is not a file"  # a device, a pipe


def _joined(text: str) -> str:
    """The text as one line of characters that a terminal shows."""
    return visible(" ".join(text.split()))
