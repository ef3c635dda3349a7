"""Sections of the page: a picture with its words and its files, and a text to copy."""

import io
from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource

from jaxscale.exploring.answering import Answer
from jaxscale.exploring.figures import Look, Picture
from jaxscale.exploring.theme import STYLES

# Two beside each other where there is room, else one.
SHARE = {"flex": "1 1 min(100%, 400px)", "min-width": "0"}

# Of what shows an earlier answer: its texts keep their contrast.
PALE, FAINT = "0.8", "0.45"


class PictureSection:
    """A picture under its title, with what it shows in words, and buttons that save both."""

    def __init__(self, picture: Picture[Any]) -> None:
        self.picture = picture
        self._words = html()
        name = picture.name.replace("-", " ").capitalize()
        png = pmui.Button(label=f"{name} as PNG", icon="image", size="small", margin=(4, 0))
        png.variant = "outlined"
        # Bokeh has no button of its own for this that keys reach.
        png.js_on_click(args={"tool": picture.save}, code="tool.do.emit()")
        files = pn.FlexBox(
            download(self._file, f"{picture.name}.csv", f"{name} as CSV"),
            png,
            gap="0 8px",
            margin=0,
        )
        self._figure = pn.pane.Bokeh(picture.figure, sizing_mode="stretch_width", margin=0)
        self.view = pn.Column(
            html(f"<h2>{escape(picture.title)}</h2>"),
            self._figure,
            self._words,
            files,
            sizing_mode="stretch_width",
            styles=SHARE,
            margin=0,
        )

    def show(self, data: Any, answer: Answer) -> None:
        """Show the arrays of an answer."""
        self.picture.update(data, answer)
        self._words.object = f"<p class='aside'>{escape(self.picture.describe())}</p>"
        self.dim(False)

    def dim(self, is_old: bool) -> None:
        """Fade what belongs to an earlier question."""
        fade(self._figure, is_old, FAINT)
        fade(self._words, is_old)

    def restyle(self, look: Look) -> None:
        """Change to the colours of a light or a dark page."""
        self.picture.restyle(look)

    def _file(self) -> io.StringIO:
        return io.StringIO("" if self.picture.answer is None else self.picture.csv())


class TextSection:
    """A text under its title, with a button that copies it."""

    def __init__(self, title: str, name: str) -> None:
        self._text = ""
        self._source = ColumnDataSource({"text": [""]})
        self._pane = html()
        copy = pmui.Button(
            label=f"Copy the {name}", icon="content_copy", size="small", margin=(4, 0)
        )
        copy.variant = "outlined"
        copy.js_on_click(
            args={"source": self._source},
            code="navigator.clipboard.writeText(source.data.text[0])",
        )
        self.view = pn.Column(
            html(f"<h2>{escape(title)}</h2>"),
            self._pane,
            copy,
            sizing_mode="stretch_width",
            margin=0,
        )

    def show(self, text: str) -> None:
        """Show another text."""
        if self._text != text:
            self._text = text
            self._source.update(data={"text": [text]})
            self._pane.object = f"<pre tabindex='0'>{escape(text)}</pre>"


def html(text: str = "") -> Any:
    """Text on the page."""
    return pn.pane.HTML(text, stylesheets=[STYLES], sizing_mode="stretch_width", margin=(2, 0))


def download(callback: Callable[[], Any], filename: str, label: str) -> Any:
    """A button that saves a file, written when it is asked for."""
    button = pmui.FileDownload(
        callback=callback, filename=filename, label=label, size="small", margin=(4, 0)
    )
    button.variant = "outlined"  # at the start it would warn of an older name
    return button


def fade(view: Any, is_old: bool, opacity: str = PALE) -> None:
    """Fade a component that shows an earlier answer."""
    styles = {**view.styles, "opacity": opacity if is_old else "1"}
    if view.styles.get("opacity", "1") != styles["opacity"]:
        view.styles = styles
