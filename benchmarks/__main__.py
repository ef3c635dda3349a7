"""The command line: `python -m benchmarks solve`."""

import argparse
import json
import sys
from pathlib import Path

import jax

from benchmarks import report, solve
from benchmarks.problem import Disagreement

EXAMPLES = """\
examples:
  python -m benchmarks solve                        everything, in about four minutes
  python -m benchmarks solve --quick                to see that it runs, in twenty seconds
  python -m benchmarks solve --scenarios 1000000    smaller arrays
  python -m benchmarks solve --output here.json     the results somewhere else
"""
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for, save it and show it; 1 where an answer was wrong."""
    options = _parser().parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        result = solve.run(options.scenarios, options.quick)
    except Disagreement as wrong:
        print(f"nothing was timed: {wrong}", file=sys.stderr)
        return 1
    output = options.output or RESULTS / f"solve-{result['machine']['name']}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    report.show(result)
    print(f"\nresults: {output}")
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Times jaxscale beside what a user would pick instead.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", choices=["solve"], help="what to time")
    parser.add_argument(
        "--scenarios", type=_count, default=solve.SCENARIOS, metavar="N",
        help="scenarios in each row, to the nearest 1024 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few scenarios, few rounds")
    parser.add_argument(
        "--output", type=Path, metavar="PATH",
        help="where the JSON goes (default: benchmarks/results/solve-<machine>.json)",
    )  # fmt: skip
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return count


if __name__ == "__main__":
    sys.exit(main())
