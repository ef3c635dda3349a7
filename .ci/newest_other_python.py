"""Prints the path of the newest CPython that the project allows, other than the one that runs this.

Looks on PATH and among pyenv's versions, which may be there without being active. Prints nothing
where there is no other.
"""

import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

from packaging.specifiers import SpecifierSet

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
# Released versions that can make virtual environments; Debian's cannot without a package more.
ASK = """
import ensurepip, platform, sys, venv
if sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final":
    print(platform.python_version(), sys.executable, end="")
"""


def candidates():
    """Paths of what may be an interpreter."""
    folders = map(Path, filter(None, os.environ.get("PATH", "").split(os.pathsep)))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for folder in chain(folders, pyenv.glob("versions/*/bin")):
        yield from (x for x in folder.glob("python3.*") if re.fullmatch(r"python3\.\d+", x.name))


def others():
    """(its version as numbers, path) of each other interpreter that works and is allowed."""
    allowed = SpecifierSet(tomllib.loads(PROJECT.read_text())["project"]["requires-python"])
    for path in candidates():
        try:
            done = subprocess.run([path, "-I", "-c", ASK], capture_output=True, text=True)
        except OSError:
            continue
        version, _, executable = done.stdout.partition(" ")
        numbers = tuple(map(int, version.split("."))) if version else ()
        if numbers and version in allowed and numbers[:2] != sys.version_info[:2]:
            yield numbers, executable


if __name__ == "__main__":
    print(max(others(), default=((), ""))[1])
