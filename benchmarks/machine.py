"""Versions, machine and commit that a result was measured with; its memory and energy."""

import ctypes
import functools
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax

PACKAGES = (
    "jax", "jaxlib", "optax", "numpy", "scipy", "optimistix", "xarray", "dask", "zarr",
    "tensorstore",
)  # fmt: skip


def versions() -> dict[str, str | None]:
    """Of Python, the packages, XLA's device and compilers; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    runtime = jax.devices()[0].client.platform_version
    return found | {"runtime": runtime} | {each: compiler(each) for each in ("gcc", "nvcc")}


def compiler(name: str) -> str | None:
    """What a compiler says of its version, in a line; None without it."""
    if shutil.which(name) is None:
        return None
    said = subprocess.run([name, "--version"], check=True, capture_output=True, text=True).stdout
    lines = said.splitlines()
    return next((line for line in lines if "release" in line), lines[0])


def cores() -> int:
    """Number of cores that this process may use, which is the number of threads of XLA."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict:
    """Processor, cores, memory and the device that JAX runs on."""
    device, on_device = jax.devices()[0], device_bytes()
    return {
        "name": _name(device),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(memory_bytes("MemTotal") / 2**30, 1),
        "platform": device.platform,
        "device": device.device_kind,
        "device_memory_gib": round(on_device / 2**30, 1) if on_device else None,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _name(device: jax.Device) -> str:
    """`cpu-2-cores`, or the name of a card, such as `nvidia-h100-80gb-hbm3`."""
    if device.platform == "cpu":
        return f"{device.platform}-{cores()}-cores"
    return re.sub(r"[^a-z0-9]+", "-", device.device_kind.lower()).strip("-")


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


# --- The device's memory ---------------------------------------------------------------------

BYTES_PER_SCENARIO = 800  # of a chunk, with all temporaries of a general law


def device_bytes() -> int | None:
    """Memory that JAX may take of the first device; None where it does not say, as on a CPU."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


def power_of_two_that_fits(most: int) -> int:
    """Scenarios that fit the memory of the device with all temporaries, or `most`."""
    fitting = (device_bytes() or 2**33) // BYTES_PER_SCENARIO
    return min(most, 1 << (fitting.bit_length() - 1))


def peak_mib() -> float:
    """MiB held at the most until now: of the device, or of this process where that is a CPU."""
    from benchmarks.fresh import memory_so_far

    stats = jax.local_devices()[0].memory_stats() or {}
    return stats["peak_bytes_in_use"] / 2**20 if stats else memory_so_far()


# --- The device's energy ---------------------------------------------------------------------


def joules() -> float | None:
    """What the counter of the first NVIDIA GPU shows; None where there is none, or none is read."""
    read = _energy_counter()
    return read() if read else None


@functools.cache
def _energy_counter() -> Callable[[], float | None] | None:
    if jax.default_backend() != "gpu":
        return None
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        return _counter_of(library, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    except (OSError, AttributeError):
        return None


def _counter_of(library: ctypes.CDLL, visible: str) -> Callable[[], float | None] | None:
    """The reader of a counter, by the management library of NVIDIA (NVML)."""
    first, handle = visible.partition(",")[0].strip(), ctypes.c_void_p()
    if library.nvmlInit_v2() != 0:
        return None
    if first.startswith("GPU-"):
        failed = library.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(handle))
    else:
        index = ctypes.c_uint(int(first) if first.isdigit() else 0)
        failed = library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    if failed:
        return None

    def read() -> float | None:
        millijoules = ctypes.c_ulonglong()
        failed = library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        return None if failed else millijoules.value / 1000

    return read
