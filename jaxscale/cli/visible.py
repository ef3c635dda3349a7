"""Text from files and options, shown as it is: nothing in it steers the terminal."""

from typing import Any

import rich.text


def visible(text: str, kept: str = "") -> str:
    r"""The text with an escape, as `\x1b`, for what is not printed: controls, marks of direction.

    `kept` are characters to leave, such as line ends.
    """
    return "".join(
        char if char.isprintable() or char in kept else ascii(char)[1:-1] for char in text
    )


class Text(rich.text.Text):
    """Text of several lines in which brackets are no markup."""

    def __init__(self, text: str = "", *rest: Any, **style: Any) -> None:
        super().__init__(visible(text, kept="\n"), *rest, **style)
