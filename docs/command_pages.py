"""An MkDocs hook: the page of the command line, written from the commands themselves."""

import html
import re

import typer

from jaxscale.cli.app import app


def on_page_markdown(markdown: str, page: object, **kwargs: object) -> str:
    """The page with a section for each command where it says COMMANDS."""
    del kwargs
    if page.file.src_uri != "commands.md":  # pyright: ignore[reportAttributeAccessIssue]
        return markdown
    commands = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    sections = [_section(name, command) for name, command in commands.items()]
    return markdown.replace("COMMANDS", "\n\n".join(sections))


def _section(name, command):
    parts = [f"## jaxscale {name}", _plain(command.help), _examples(command.epilog)]
    panels = {}
    for parameter in command.params:
        panel = getattr(parameter, "rich_help_panel", None)
        panels.setdefault(panel or _default_panel(parameter), []).append(parameter)
    for panel, parameters in panels.items():
        rows = [f"| {_spelling(each)} | {_meaning(each)} |" for each in parameters]
        parts.append("\n".join([f"| {panel} | |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def _default_panel(parameter):
    return "Argument" if parameter.param_type_name == "argument" else "Option"


def _examples(epilog):
    lines = epilog.split("\b\n", 1)[1].rstrip()
    return f"```bash\n{lines}\n```"


def _spelling(parameter):
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        name = metavar or parameter.name.upper()
        return f"`{name}`" if parameter.required else f"`[{name}]`"
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    if getattr(parameter, "is_flag", False):
        return f"`{names}`"
    return f"`{names} {metavar or parameter.type.name.upper()}`"


def _meaning(parameter):
    text = _plain(parameter.help or "").replace("|", "\\|")
    default = parameter.default
    shown = default is not None and not callable(default) and default not in (False, (), [])
    return f"{text} Default: `{default}`." if shown and "default:" not in text else text


def _plain(text):
    """Rich's markup as Markdown."""
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"`\1`", text)
    text = re.sub(r"(?<!\\)\[/?(dim|bold|italic)\]", "", text)
    return html.escape(text.replace("\\[", "["), quote=False)
