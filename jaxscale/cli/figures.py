"""`jaxscale figures`: pictures of published laws, for slides and for a first look."""

from typing import Annotated

import typer

from jaxscale import plots
from jaxscale.cli import options, tables
from jaxscale.cli.files import checked_path, save
from jaxscale.cli.mistakes import Mistake, path_of

PICTURES = {
    "laws.png": plots.published_laws,
    "ratios.png": plots.published_ratios,
    "repeated.png": plots.published_repeats,
    "overtraining.png": plots.published_overtraining,
    "allocations.png": plots.published_allocations,
    "flops.png": plots.published_flops,
}

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Where the pictures go.")]


def figures(folder: Folder = ".", as_json: options.Json = False) -> None:
    """Draw figures of published results: six pictures in a folder, which is made if need be.

    laws.png compares where laws spend compute; ratios.png shows the tokens per param that laws find
    best; repeated.png shows the best plans when data are
    short; overtraining.png shows what training for longer costs at a budget and gains at a size;
    allocations.png leads from Kaplan's allocation to Chinchilla's; flops.png sets counts of FLOPs
    against 6 N.
    """
    target = path_of(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file has that name, or the folder is not writable
        raise Mistake(f"FOLDER: cannot make {folder!r}: {error.strerror or error}") from None
    paths = {name: checked_path("FOLDER", str(target / name)) for name in PICTURES}
    for name, draw in PICTURES.items():
        save(draw(), paths[name])
        if not as_json:
            tables.note(str(paths[name]))
    if as_json:
        tables.print_json("figures", {"paths": [str(path) for path in paths.values()]})


EXAMPLES = """\
jaxscale figures
jaxscale figures pictures
"""
