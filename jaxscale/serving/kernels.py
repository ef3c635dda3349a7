"""Efficiencies of one's own kernels, from their measured times."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike as HostArray

from jaxscale.hardware import Accelerator

# Shares of the highest efficiency seen in any kernel that a search starts from.
STARTS = (1.0, 0.75, 0.5)
STEPS, TOLERANCE, WORST_DAMPING = 200, 1e-12, 1e12


class Efficiencies(NamedTuple):
    """A roofline fitted to kernels: `seconds = max(bytes / (W e_m), FLOPs / (F e_f)) + fixed`.

    An efficiency is NaN where fewer than two kernels are bound by that rate. One above 1 says that
    the device is faster than its accelerator was said to be.

    Examples:
        >>> fit = js.serving.Efficiencies(0.7, 0.9, 40e-6, 0.1)
        >>> deployment = js.serving.Deployment(
        ...     js.accelerator("H100-SXM"),
        ...     compute_efficiency=fit.compute_efficiency,
        ...     bandwidth_efficiency=fit.bandwidth_efficiency,
        ...     launch_seconds=fit.fixed_seconds / 4,  # of four kernels in a layer
        ... )
    """

    compute_efficiency: float  # e_f, of the peak F
    bandwidth_efficiency: float  # e_m, of the memory's bandwidth W
    fixed_seconds: float  # of the kernels that were timed together
    rms: float  # of the logarithm of predicted over measured


def fit_efficiencies(
    seconds: HostArray,
    flops: HostArray,
    bytes: HostArray,
    accelerator: Accelerator,
    *,
    precision: str = "bf16",
) -> Efficiencies:
    """The efficiencies of one device that explain its measured kernels best.

    Least squares of the logarithm of the time, so that short kernels count as much as long ones.
    A `Deployment` takes the efficiencies as they are, and the fixed time divided by the kernels
    that it stands for as `launch_seconds`. Where devices share a matrix, give what one of them
    does; the fitted efficiencies then hold for that many devices, with `eight_way_efficiency` 1.

    Args:
        seconds: measured times, at least four.
        flops: FLOPs of each kernel on this device.
        bytes: bytes that each kernel reads, as a roofline counts them: of the weights, say.
        accelerator: the device, of which bandwidth and peak are needed.
        precision: of the arithmetic.

    Raises:
        ValueError: lists of different lengths, fewer than four kernels, a number that is not
            positive, or a precision that the accelerator lacks.

    Examples:
        >>> device, tokens = js.accelerator("H100-SXM"), np.array([1, 64, 512, 1024, 4096])
        >>> flops, bytes = 1.7e9 * tokens, np.full(5, 1.7e9)  # one layer of a 70B model
        >>> seconds = np.array([0.6, 0.6, 1.26, 2.45, 9.63]) * 1e-3
        >>> fit = js.serving.fit_efficiencies(seconds, flops, bytes, device)
        >>> print(f"{fit.compute_efficiency:.2f} of the peak, {fit.rms:.1%} off")
        0.74 of the peak, 0.1% off
    """
    times, flops, bytes = (np.asarray(x, np.float64) for x in (seconds, flops, bytes))
    if times.ndim != 1 or not times.shape == flops.shape == bytes.shape or len(times) < 4:
        raise ValueError(
            "seconds, flops and bytes must be lists of one length, of at least four kernels; got "
            f"shapes {times.shape}, {flops.shape} and {bytes.shape}"
        )
    for name, numbers in (("seconds", times), ("flops", flops), ("bytes", bytes)):
        bad = ~((numbers > 0) & np.isfinite(numbers))
        if bad.any():
            raise ValueError(f"{name} must be above 0; got {numbers[bad][0]:g}")
    arithmetic = flops / float(np.asarray(accelerator.peak(precision)))
    memory = bytes / float(np.asarray(accelerator.memory_bandwidth))
    highest = (arithmetic / times).max(), (memory / times).max()
    searches = [
        _search(
            times, arithmetic, memory, np.log([a * highest[0], b * highest[1], times.min() / 2])
        )
        for a in STARTS
        for b in STARTS
    ]
    logs = min(searches, key=lambda x: _sum_of_squares(x, times, arithmetic, memory))
    compute, bandwidth, fixed = np.exp(logs)
    is_compute = arithmetic / compute > memory / bandwidth
    return Efficiencies(
        float(compute) if is_compute.sum() > 1 else np.nan,
        float(bandwidth) if (~is_compute).sum() > 1 else np.nan,
        float(fixed),
        float(np.sqrt(_sum_of_squares(logs, times, arithmetic, memory) / len(times))),
    )


def _residuals(
    logs: np.ndarray, times: np.ndarray, arithmetic: np.ndarray, memory: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of predicted over measured, and their derivatives by the three logarithms."""
    compute, bandwidth, fixed = np.exp(logs)
    a, m = arithmetic / compute, memory / bandwidth
    total = np.maximum(a, m) + fixed
    rises = np.stack([np.where(a > m, -a, 0), np.where(a > m, 0, -m), np.full_like(a, fixed)])
    return np.log(total / times), rises / total


def _sum_of_squares(logs: np.ndarray, *kernels: np.ndarray) -> float:
    return float((_residuals(logs, *kernels)[0] ** 2).sum())


def _search(
    times: np.ndarray, arithmetic: np.ndarray, memory: np.ndarray, logs: np.ndarray
) -> np.ndarray:
    """Levenberg and Marquardt's method, which stops where no step goes down any more."""
    damping = 1e-3
    off, rises = _residuals(logs, times, arithmetic, memory)
    for _ in range(STEPS):
        curvature = rises @ rises.T
        # Where no kernel is bound by a rate, its own curvature is 0.
        damped = curvature + damping * np.diag(np.diag(curvature) + 1e-9)
        ahead = logs - np.linalg.solve(damped, rises @ off)
        tried, tried_rises = _residuals(ahead, times, arithmetic, memory)
        gain = (off**2).sum() - (tried**2).sum()
        if gain > 0:
            logs, off, rises, damping = ahead, tried, tried_rises, damping / 3
            if gain < TOLERANCE * (off**2).sum():
                break
        else:
            damping *= 4
            if damping > WORST_DAMPING:
                break
    return logs
