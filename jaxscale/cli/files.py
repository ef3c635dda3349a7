"""Files that commands write: tables and pictures, checked before any work is done."""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.tables import visible
from jaxscale.sweeping import results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEEDS = {"--csv": "pandas", "--parquet": "pyarrow"}
WRITERS = {"--csv": results.write_csv, "--parquet": results.write_parquet}


def checked_table(option: str, text: str | None) -> Path | None:
    """The path of a table, checked before any work is done."""
    if text is None:
        return None
    path = path_of(text)
    check_file(option, text, path)
    if importlib.util.find_spec(NEEDS[option]) is None:
        raise Mistake(f"{option} needs: pip install {NEEDS[option]}")
    return path


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the errors of a disk into mistakes."""
    try:
        yield
    except OSError as error:
        raise Mistake(f"cannot write {str(path)!r}: {error.strerror or error}") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` that replaces it when it is whole."""
    with disk_errors(path), results.replacing(path) as partial:
        yield partial


FORMATS = (".pdf", ".png", ".svg")


def checked_path(option: str, text: str) -> Path:
    """The path of a picture, checked before any work is done."""
    path = path_of(text)
    if text and path.suffix.lower() not in FORMATS:
        raise Mistake(f"{option}: {text!r} must end in {', '.join(FORMATS)}")
    check_file(option, text, path)
    if importlib.util.find_spec("matplotlib") is None:
        raise Mistake("the picture needs matplotlib: pip install 'jaxscale[all]'")
    return path


def save(figure: "Figure", path: Path) -> None:
    """Write a picture, with names from files not read as formulas; Mistake where that fails."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text():  # the text of a tick comes later, and may be a formula by matplotlib
            text.set(text=visible(text.get_text(), kept="\n\N{NO-BREAK SPACE}"), parse_math=False)
    with replacing(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about characters that the font lacks
        figure.savefig(partial, format=path.suffix.lower().removeprefix("."))
