"""Versions, machine and commit that a result was measured with."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

import jax

PACKAGES = (
    "jax", "jaxlib", "optax", "numpy", "scipy", "optimistix", "xarray", "dask", "zarr",
    "tensorstore",
)  # fmt: skip


def versions() -> dict[str, str | None]:
    """Of Python, the packages and gcc; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found | {"gcc": compiler()}


def compiler() -> str | None:
    """Name and version of gcc; None without it."""
    if shutil.which("gcc") is None:
        return None
    said = subprocess.run(["gcc", "--version"], check=True, capture_output=True, text=True).stdout
    return said.splitlines()[0]


def cores() -> int:
    """Number of cores that this process may use, which is the number of threads of XLA."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict:
    """Processor, cores, memory and the device that JAX runs on."""
    device = jax.devices()[0]
    return {
        "name": f"{device.platform}-{cores()}-cores",
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(memory_bytes("MemTotal") / 2**30, 1),
        "platform": device.platform,
        "device": device.device_kind,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def commit() -> dict[str, str | bool] | None:
    """The git commit, and whether anything differed from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        head, changes = (
            subprocess.run(
                ["git", *arguments], cwd=here, check=True, capture_output=True, text=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"hash": head, "changed": bool(changes)}


def memory_bytes(field: str) -> int:
    """A line of /proc/meminfo, or all physical memory where there is no such file."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
