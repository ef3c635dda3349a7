"""Compiled programs, kept in the user's cache folder from one command to the next.

JAX keys them by program, version and options. The library leaves JAX's cache alone.
"""

import hashlib
import os
import platform
import sys
import warnings
from pathlib import Path

import jax

SWITCH, OFF = "JAXSCALE_CACHE", "off"
MOST_BYTES = 2**26  # some thousand programs, checked when a command starts


def use() -> None:
    """Keep and reuse compiled programs; nothing where the user or the folder forbids it."""
    if os.environ.get(SWITCH, "").lower() == OFF or jax.config.values["jax_compilation_cache_dir"]:
        return
    try:
        caches = _caches()
        if not caches.parent.is_dir():  # no home is made for a cache
            return
        folder = caches / "jaxscale" / "programs" / _processor()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK) or not _is_own(folder):
            return
        _trim(folder.parent)
    except (OSError, RuntimeError):  # a full disk, a file of that name, no home
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    overlook_damage()


def overlook_damage() -> None:
    """Silence JAX on a damaged entry, or a disk that fills up: the program is compiled."""
    warnings.filterwarnings("ignore", message=".*persistent compilation cache")


def _caches() -> Path:
    """The folder of caches that the platform gives a user."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = Path.home()
    if not os.path.isabs(given) and home == Path(home.root):  # of a user without one
        raise RuntimeError("no home")
    return Path(given) if os.path.isabs(given) else home / ".cache"


def _processor() -> str:
    """A name for the instructions of the processor, which JAX's keys leave out.

    Machines that share a home may differ in them.
    """
    said = platform.machine() + platform.processor()
    table = Path("/proc/cpuinfo")
    if table.exists():
        lines = table.read_text(errors="replace").splitlines()
        said += next((x for x in lines if x.lower().startswith(("flags", "features"))), "")
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _is_own(folder: Path) -> bool:
    """Whether nobody else can put programs there for this user to run."""
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _trim(folder: Path) -> None:
    """Delete the oldest files until half of the room is free, where there are too many."""
    files = [(x.stat(), x) for x in folder.rglob("*") if x.is_file()]
    size = sum(stat.st_size for stat, _ in files)
    if size <= MOST_BYTES:
        return
    for stat, path in sorted(files, key=lambda file: file[0].st_mtime):
        if size <= MOST_BYTES // 2:
            break
        path.unlink(missing_ok=True)
        size -= stat.st_size
