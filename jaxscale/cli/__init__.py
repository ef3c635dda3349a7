"""The command `jaxscale`: plans, estimates, catalogues and sweeps in a terminal.

Only `main` is public. It computes in float64, and whatever the user gets wrong becomes one
line on stderr and exit code 2.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import jax


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `arguments`, or those of the process, and exit."""
    # A command needs little memory: leave the rest of a GPU to the jobs that share it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_enable_x64", True)
    try:
        from jaxscale.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print("error: the command line needs: pip install 'jaxscale[all]'", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
