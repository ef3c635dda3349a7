"""Public names with signatures, and the help of every command, as text to compare.

    python tests/before_0.2/write.py FOLDER

`names.txt` and `help.txt` beside this file are those of the last 0.1 commit, and `README.md` holds
what its commands and examples printed. Whatever differs before 0.2.0 is out is explained in
CHANGELOG.md; then this folder goes.
"""

import dataclasses
import inspect
import os
import re
import sys
from pathlib import Path

import jaxscale

MODULES = {"js.laws.jaxscale.laws.kaplan", "js.laws.jaxscale.laws.tao"}


def lines_of(name, value, seen):
    """A line for a public object, and for each of a class' public members."""
    if inspect.ismodule(value):
        if value.__name__ in seen:
            return
        seen.add(value.__name__)
        yield f"{name}: module"
        for member in sorted(dir(value)):
            child = getattr(value, member)
            if not member.startswith("_") and belongs(child) and is_public(name, child):
                yield from lines_of(f"{name}.{member}", child, seen)
    elif inspect.isclass(value):
        yield f"{name}{signature(value)}: class"
        fields = (
            {x.name for x in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else {}
        )
        for member, child in sorted(vars(value).items()):
            if not member.startswith("_") and member not in fields:
                yield f"{name}.{member}{signature(child)}"
    elif callable(value):
        yield f"{name}{signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def belongs(value):
    """Whether a member is the package's own, not something that it imports."""
    home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "jaxscale")
    return str(home).startswith("jaxscale") and "._" not in str(home)


def is_public(parent, value):
    """Of modules, those that a package imports on purpose, not each of its files."""
    return not inspect.ismodule(value) or f"{parent}.{value.__name__}" in MODULES


def signature(value):
    try:
        return re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(value)))
    except (TypeError, ValueError):
        return ""


def names():
    seen = set()
    for name in jaxscale.__all__:
        yield from lines_of(f"js.{name}", getattr(jaxscale, name), seen)


def helps():
    import typer
    from typer.testing import CliRunner

    from jaxscale.cli.app import app

    commands = ["", *sorted(typer.main.get_command(app).commands)]
    for command in commands:
        arguments = [*command.split(), "--help"]
        yield f"$ jaxscale {' '.join(arguments)}"
        yield CliRunner().invoke(app, arguments).output


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names.txt").write_text("\n".join(names()) + "\n")
    (folder / "help.txt").write_text("\n".join(helps()) + "\n")
