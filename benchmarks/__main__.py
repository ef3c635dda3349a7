"""The command line: `python -m benchmarks` and the name of a suite, such as `solve`."""

import argparse
import math
import sys
import time

import jax

from benchmarks import economics, fit, harness, laws, ours, report, serving, solve, sweep
from benchmarks.harness import DEVICE_SECONDS, Disagreement, Options

EXAMPLES = """\
examples:
  python -m benchmarks solve                        everything, in about four minutes
  python -m benchmarks solve --quick                to see that it runs, in twenty seconds
  python -m benchmarks solve --scenarios 1000000    smaller arrays
  python -m benchmarks solve --output here.json     the results somewhere else
  python -m benchmarks solve --device               our rows and the floor, in two minutes
  python -m benchmarks sweep                        sweeps, in about seven minutes
  python -m benchmarks sweep --largest 10000000     without the sweeps of up to 1e9 scenarios
  python -m benchmarks sweep --trillion             with sweeps of 1e12 scenarios: minutes of a GPU
  python -m benchmarks fit                          fits, in about four minutes
  python -m benchmarks fit --largest 1000000        with a million resamples: minutes more
  python -m benchmarks laws                         other laws than Chinchilla's, and levers
  python -m benchmarks serving                      measured servers beside predictions, in a minute
  python -m benchmarks economics                    the greatest profit, in two minutes
"""
SUITES = {
    "solve": solve,
    "sweep": sweep,
    "fit": fit,
    "laws": laws,
    "serving": serving,
    "economics": economics,
}


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for, save it and show it; 1 where an answer was wrong."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.trillion and asked.benchmark != "sweep":
        parser.error("--trillion is of sweep")
    jax.config.update("jax_enable_x64", True)
    is_device = asked.device or asked.trillion
    is_timed = is_device and not asked.quick  # which is to reach every row
    until = time.perf_counter() + DEVICE_SECONDS if is_timed else math.inf
    options = Options(asked.quick, is_device, asked.trillion, asked.scenarios, asked.largest, until)
    suite = SUITES[asked.benchmark]
    try:
        result = suite.run(options)
    except Disagreement as wrong:
        print(f"nothing was timed: {wrong}", file=sys.stderr)
        return 1
    report.save_and_show(result, asked.benchmark, asked.output, suite.show)
    return 1 if harness.has_wrong(result) else 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times jaxscale beside what a user would pick instead.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", choices=list(SUITES), help="what to time")
    parser.add_argument(
        "--scenarios", type=_count, metavar="N",
        help=f"scenarios in each row, of solve and sweep to the nearest {ours.CHUNK} "
        f"(default: {solve.SCENARIOS}, of a sweep {sweep.SCENARIOS}, of laws {laws.SCENARIOS})",
    )  # fmt: skip
    parser.add_argument(
        "--largest", type=_count, metavar="N",
        help="where memory against size ends: scenarios of a sweep "
        f"(default: {sweep.LARGEST}), or resamples of a fit (default: {fit.LARGEST})",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true",
        help="few scenarios, few rounds; saved only where --output says",
    )  # fmt: skip
    parser.add_argument(
        "--device", action="store_true",
        help="our rows and the floor alone, in two minutes, by sizes that suit the device",
    )  # fmt: skip
    parser.add_argument(
        "--trillion", action="store_true",
        help="of sweep: as --device, and then 1e12 scenarios in float32 and in float64",
    )  # fmt: skip
    report.add_output(parser, "<benchmark>")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return count


if __name__ == "__main__":
    sys.exit(main())
