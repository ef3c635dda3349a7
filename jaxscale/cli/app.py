"""The application: all commands, and the handler that turns a mistake into an exit code."""

import contextlib
import importlib
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import numpy as np
import typer

from jaxscale._version import __version__
from jaxscale.cli.mistakes import Mistake, Stopped, UsageError, one_line
from jaxscale.cli.signals import INTERRUPTED

# The module of each command, and its examples there.
COMMANDS = {
    "plan": ("plan", "EXAMPLES"),
    "compare": ("compare", "EXAMPLES"),
    "explore": ("explore", "EXAMPLES"),
    "estimate": ("estimate", "EXAMPLES"),
    "serve": ("serve", "EXAMPLES"),
    "profit": ("profit", "EXAMPLES"),
    "implied": ("implied", "EXAMPLES"),
    "recipe": ("recipe", "EXAMPLES"),
    "rl": ("rl", "EXAMPLES"),
    "fit": ("fit", "EXAMPLES"),
    "suggest": ("suggest", "EXAMPLES"),
    "simulate": ("simulate", "EXAMPLES"),
    "extrapolate": ("extrapolate", "EXAMPLES"),
    "design": ("design", "EXAMPLES"),
    "laws": ("catalogues", "LAWS_EXAMPLES"),
    "hardware": ("catalogues", "HARDWARE_EXAMPLES"),
    "allocations": ("catalogues", "ALLOCATIONS_EXAMPLES"),
    "figures": ("figures", "EXAMPLES"),
    "sweep": ("sweep", "SWEEP_EXAMPLES"),
    "resume": ("sweep", "RESUME_EXAMPLES"),
    "verify": ("inspect_store", "VERIFY_EXAMPLES"),
    "show": ("inspect_store", "SHOW_EXAMPLES"),
}


def application(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """The application with the commands of these names; the modules of others are not imported."""
    app = typer.Typer(
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="How large a language model should be, and how long to train it, once serving is "
        "counted.",
        epilog=(
            "[bold]Examples[/bold]\n\n\b\n"
            "jaxscale plan --like-params 70B --inference-tokens 10T\n"
            "jaxscale compare --loss 2.0 --inference-tokens 2T\n"
            "jaxscale explore\n"
            "jaxscale estimate --params 7B --compute-optimal --train-on A100-40GB\n"
            "jaxscale serve llama-3-70b --on H100-SXM --max-latency 50ms\n"
            "jaxscale fit runs.csv\n"
            "jaxscale suggest fit.json --budget 1e21 --for 2e24\n"
            "jaxscale laws besiroglu2024\n"
            "jaxscale sweep\n"
        ),
    )
    app.callback(invoke_without_command=True)(top)
    for name in names:
        home, examples = COMMANDS[name]
        module = importlib.import_module(f"jaxscale.cli.{home}")
        command = getattr(module, name)
        epilog = f"[bold]Examples[/bold]\n\n\b\n{getattr(module, examples)}"
        app.command(help=_described(command), epilog=epilog)(command)
    return app


def _described(command: Callable[..., None]) -> str:
    """A command's docstring with each paragraph on one line, for the terminal to wrap."""
    paragraphs = inspect.getdoc(command).split("\n\n")  # pyright: ignore[reportOptionalMemberAccess]
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    # Help and mistakes need to know every command.
    known = arguments and arguments[0] in COMMANDS
    app = application(arguments[:1]) if known else application()
    command = typer.main.get_command(app)
    try:
        with np.errstate(all="ignore"):  # an overflow has a status, with its sentence
            code = command.main(list(arguments), prog_name="jaxscale", standalone_mode=False)
    except (Mistake, UsageError) as error:
        color = None if os.environ.get("NO_COLOR") else "red"
        label = typer.style("error:", fg=color, bold=True)
        typer.echo(f"{label} {one_line(error)}", err=True)
        return 2
    except Stopped as stop:
        with contextlib.suppress(OSError):  # the terminal may be gone
            typer.echo(f"stopped: {one_line(stop)}", err=True)
        return INTERRUPTED
    except OSError as error:  # a full disk, say; a closed pipe ends silently
        typer.echo(f"error: cannot write the output: {error.strerror}", err=True)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jaxscale {__version__}")
        raise typer.Exit


def top(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version  # printed by its callback
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
