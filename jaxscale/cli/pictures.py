"""Pictures in files: where they may go, and how they are written."""

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from jaxscale.cli.export import replacing
from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.visible import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".pdf", ".png", ".svg")


def checked_path(option: str, text: str) -> Path:
    """Where a picture goes, checked before any work is done."""
    path = path_of(text)
    if text and path.suffix.lower() not in FORMATS:
        raise Mistake(f"{option}: {text!r} must end in {', '.join(FORMATS)}")
    check_file(option, text, path)
    if importlib.util.find_spec("matplotlib") is None:
        raise Mistake("the picture needs matplotlib: pip install 'jaxscale[all]'")
    return path


def save(figure: "Figure", path: Path) -> None:
    """Write a picture in which names from files are no formulas; Mistake where that cannot be."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text():  # that of a tick comes later, and may be a formula of matplotlib's
            text.set(text=visible(text.get_text(), kept="\n\N{NO-BREAK SPACE}"), parse_math=False)
    with replacing(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of characters that the font has not
        figure.savefig(partial, format=path.suffix.lower().removeprefix("."))
