"""The command line: `python -m benchmarks solve`, `sweep`, `fit` or `laws`."""

import argparse
import sys

import jax

from benchmarks import fit, laws, ours, report, solve, sweep
from benchmarks.harness import Disagreement

EXAMPLES = """\
examples:
  python -m benchmarks solve                        everything, in about four minutes
  python -m benchmarks solve --quick                to see that it runs, in twenty seconds
  python -m benchmarks solve --scenarios 1000000    smaller arrays
  python -m benchmarks solve --output here.json     the results somewhere else
  python -m benchmarks sweep                        sweeps, in about five minutes
  python -m benchmarks sweep --largest 10000000     without the sweeps of up to 1e9 scenarios
  python -m benchmarks fit                          fits, in about four minutes
  python -m benchmarks fit --largest 1000000        with a million resamples: minutes more
  python -m benchmarks laws                         other laws than Chinchilla's, and levers
"""
SUITES = {"solve": solve, "sweep": sweep, "fit": fit, "laws": laws}


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for, save it and show it; 1 where an answer was wrong."""
    options = _parser().parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        result = _run(options)
    except Disagreement as wrong:
        print(f"nothing was timed: {wrong}", file=sys.stderr)
        return 1
    name = options.benchmark
    return report.save_and_show(result, name, options.output, SUITES[name].show)


def _run(options):
    suite, sizes = SUITES[options.benchmark], []
    if hasattr(suite, "SCENARIOS"):
        sizes.append(options.scenarios or suite.SCENARIOS)
    if hasattr(suite, "LARGEST"):
        sizes.append(options.largest or suite.LARGEST)
    return suite.run(*sizes, options.quick)


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
    parser.add_argument("--quick", action="store_true", help="few scenarios, few rounds")
    report.add_output(parser, "<benchmark>")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return count


if __name__ == "__main__":
    sys.exit(main())
