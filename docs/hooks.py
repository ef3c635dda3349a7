"""What MkDocs does while it builds: it writes the page of the commands, and formulas as MathML."""

import html
import re

import typer
from latex2mathml.converter import convert

from jaxscale.cli.app import application

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_markdown(markdown: str, page: object, **kwargs: object) -> str:
    """The page with a section for each command where it says COMMANDS."""
    del kwargs
    if page.file.src_uri != "commands.md":  # pyright: ignore[reportAttributeAccessIssue]
        return markdown
    commands = typer.main.get_command(application()).commands  # pyright: ignore[reportAttributeAccessIssue]
    sections = [_section(name, command) for name, command in commands.items()]
    return markdown.replace("COMMANDS", "\n\n".join(sections))


def on_page_content(content: str, **kwargs: object) -> str:
    """The page with its formulas as MathML, which browsers show without any script."""
    del kwargs
    return FORMULA.sub(_mathml, content)


def _mathml(formula):
    display = "block" if formula[1] == "div" else "inline"
    return convert(html.unescape(formula[2]), display=display)


def _section(name, command):
    parts = [f"## jaxscale {name}", _plain(command.help), _examples(command.epilog)]
    panels = {}
    for parameter in command.params:
        panel = getattr(parameter, "rich_help_panel", None)
        panels.setdefault(panel or _default_panel(parameter), []).append(parameter)
    for panel, parameters in panels.items():
        rows = [f"| {_spelling(each)} | {_meaning(each)} |" for each in parameters]
        parts += [f"**{panel}**", "\n".join(["| option | meaning |", "| --- | --- |", *rows])]
    return "\n\n".join(parts)


def _default_panel(parameter):
    return "Arguments" if parameter.param_type_name == "argument" else "Options"


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
