"""Files that commands write: checked before any work is done, and whole or not there."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.sweeping import export

NEEDS = {"--csv": "pandas", "--parquet": "pyarrow"}
WRITERS = {"--csv": export.write_csv, "--parquet": export.write_parquet}


def checked_table(option: str, text: str | None) -> Path | None:
    """Where a table goes, checked before any work is done."""
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
    with disk_errors(path), export.replacing(path) as partial:
        yield partial
