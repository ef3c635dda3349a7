"""The page: a question at the side, its answer, and all of it in the address."""

import asyncio
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from html import escape
from typing import Any, TypeVar

import jax
import panel as pn
import panel_material_ui as pmui
from panel.util.parameters import edit_readonly

from jaxscale.exploring.answering import Answer, answer
from jaxscale.exploring.fields import LEVER
from jaxscale.exploring.form import Form
from jaxscale.exploring.opening import opened_with as opened_with
from jaxscale.exploring.question import FIRST, Question
from jaxscale.exploring.reading import Asked, Mistakes, entry_of, plain, read
from jaxscale.exploring.report import csv_of, headline, notes_of, table_of
from jaxscale.exploring.theme import STYLES, THEME
from jaxscale.exploring.uncertainty import draws_of
from jaxscale.exploring.ways import Ways, asked_by
from jaxscale.exploring.work import run
from jaxscale.laws.protocol import levers_of
from jaxscale.published import Entry

T = TypeVar("T")
TITLE = "jaxscale explore"
SLOW = 0.3  # seconds after which the page says that it computes
CALM = 0.6  # seconds without a change after which the address follows


class Explorer(pn.viewable.Viewer):
    """A question, its answer and pictures, which follow as one changes it.

    A notebook shows it as the value of a cell, and `page()` is it as a whole page.
    """

    def __init__(self, question: Question, own: Mapping[str, Entry]) -> None:
        super().__init__()
        self.question = question
        self.answer: Answer | None = None
        self._own = own
        self._known: dict[str, str] = dict(question.texts)
        self._served: Question | None = None  # the last question that was worked on to the end
        self._is_busy = False
        self._calls = 0
        self._location: Any = None
        self._form = Form(self._set_text, self._set_ways, own)
        self._status = pmui.Alert(
            severity="info", title="", object="Computing.", sizing_mode="stretch_width", margin=0
        )
        self._table, self._notes = _html(), _html()
        self._command, self._python = _html(), _html()
        self._download = _download(self._csv, "plan.csv", "Numbers as CSV")
        self._main = pn.Column(
            self._status,
            self._table,
            self._notes,
            self._download,
            _html("<h2>As a command</h2>"),
            self._command,
            sizing_mode="stretch_width",
            margin=(8, 16),
        )
        self._show_question({})

    def __panel__(self) -> Any:
        self.start()
        side = pn.Column(self._form.view, width=340, margin=0)
        return pn.Row(side, self._main, sizing_mode="stretch_width")

    def page(self) -> pmui.Page:
        """The whole page, of which a server shows one to each visitor."""
        page = pmui.Page(
            header=[pn.pane.HTML(f"<h1>{TITLE}</h1>", stylesheets=[STYLES], margin=0)],
            sidebar=[self._form.view],
            sidebar_width=360,
            sidebar_open="Mobi" not in (pn.state.headers or {}).get("User-Agent", ""),
            theme_config=THEME,
            busy_indicator=None,
            meta_title=TITLE,
        )
        is_wide = _told_of("(min-width: 600px)", lambda so: page.param.update(sidebar_open=so))
        is_dark = _told_of(
            "(prefers-color-scheme: dark)", lambda so: page.param.update(dark_theme=so)
        )
        page.main = [self._main, is_wide, is_dark]
        with edit_readonly(page):
            # Panel's state is one for all pages: each event of one would be told to every other.
            page.busy = False
        return page

    def start(self) -> None:
        """Answer the question, at once or as soon as the page is there."""
        pn.state.execute(self._work)

    def follow(self, location: Any) -> None:
        """Keep the address of the page equal to its question."""
        self._location = location

    # --- What a person changes -----------------------------------------------------------------

    def ask(self, question: Question) -> None:
        """Answer this question instead."""
        self.question = question
        self._known.update(question.texts)
        self.start()

    def _set_text(self, name: str, text: str) -> None:
        question = self.question.with_texts({name: text})
        self.ask(self._with_levers(question) if name == "law" else question)

    def _set_ways(self, ways: Ways) -> None:
        known = dict(self._known)
        if self.answer is not None and self.answer.status.ok:
            known.setdefault("loss", f"{self.answer.target:.4g}")
        self.ask(self._with_levers(asked_by(self.question, ways, known)))

    def _with_levers(self, question: Question) -> Question:
        """The question with the levers of its law, and no others."""
        texts = {name: x for name, x in question.texts.items() if not name.startswith(LEVER)}
        entry = self._entry(Question(texts))
        if entry is None:
            return Question(texts)
        for name, value in plain(entry.law, 1e9).items() if levers_of(entry.law) else ():
            key = f"{LEVER}{name}"
            texts[key] = question.texts.get(key) or self._known.get(key) or f"{value:g}"
        return Question(texts)

    def _entry(self, question: Question) -> Entry | None:
        try:
            return read(question, self._own).entry
        except Mistakes:
            try:
                return entry_of(question.texts.get("law", FIRST.texts["law"]), self._own)
            except ValueError:
                return None

    # --- What follows ---------------------------------------------------------------------------

    async def _work(self) -> None:
        """Answer the newest question until there is no newer one."""
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._served is not self.question:
                question = self.question
                await self._answer(question)
                self._served = question
        finally:
            self._is_busy = False
        self._calls += 1
        calls = self._calls
        await asyncio.sleep(CALM)
        if calls == self._calls:
            self._write_address()

    async def _answer(self, question: Question) -> None:
        try:
            asked = read(question, self._own)
        except Mistakes as mistakes:
            with pn.io.hold():
                self._show_question(mistakes.by_field)
                self._mark_stale()
            return
        with pn.io.hold():
            self._show_question({})
        found = await self._step(question, key_of(asked), partial(answer, asked))
        if found is None:
            return
        self.answer = found
        with pn.io.hold():
            self._show_answer(found)

    async def _step(self, question: Question, key: Hashable, function: Callable[[], T]) -> T | None:
        """What the function gives; None where a newer question came while it was slow."""
        task = asyncio.ensure_future(run(key, function))
        done, _ = await asyncio.wait({task}, timeout=SLOW)
        while not done:
            if self.question is not question:
                task.add_done_callback(_ignore)
                return None
            self._say("Compiling for this kind of question: the first answer takes some seconds.")
            done, _ = await asyncio.wait({task}, timeout=SLOW)
        return task.result()

    def _show_question(self, mistakes: Mapping[str, str]) -> None:
        self._form.show(self.question, self._entry(self.question), mistakes)

    def _show_answer(self, found: Answer) -> None:
        self._say(headline(found), "success" if found.status.ok else "warning")
        self._table.object = f"<div class='scroll'>{table_of(found)}</div>"
        self._notes.object = notes_of(found)
        self._command.object = f"<pre>{escape(self.question.command())}</pre>"
        self._dim(1.0)

    def _mark_stale(self) -> None:
        self._say(
            "Not answered: see what is wrong beside the field. Below is the last answer.", "warning"
        )
        self._dim(0.45)

    def _dim(self, opacity: float) -> None:
        styles = {} if opacity == 1.0 else {"opacity": f"{opacity}"}
        for pane in (self._table, self._notes):
            if pane.styles != styles:
                pane.styles = styles

    def _say(self, text: str, severity: str = "info") -> None:
        self._status.param.update(object=escape(text), severity=severity)

    def _write_address(self) -> None:
        if self._location is not None:
            search = f"?{self.question.query()}"
            if self._location.search != search:
                self._location.search = search

    def _csv(self) -> Any:
        from io import StringIO

        return StringIO("" if self.answer is None else csv_of(self.answer))


def key_of(asked: Asked) -> Hashable:
    """What an answer is compiled for: the family of the law and the shape of the question."""
    numbers = asked.law, asked.levers, tuple(asked.quality[:4]), asked.demand, asked.costs
    draws = draws_of(asked.entry)
    resamples = 0 if draws is None else len(jax.tree.leaves(draws)[0])
    return str(jax.tree.structure((numbers, asked.bounds))), resamples


def session(question: Question, own: Mapping[str, Entry]) -> pmui.Page:
    """The page of one visitor: the question is that of the address, or the given one."""
    location = pn.state.location
    asked = Question.of_query(location.search if location is not None else "")
    explorer = Explorer(asked if asked.texts else question, own)
    explorer.follow(location)
    pn.state.onload(explorer.start)
    return explorer.page()


def _told_of(query: str, tell: Callable[[bool], Any]) -> pmui.BreakpointSwitcher:
    """A component that shows nothing and tells whether a media query holds in the browser."""
    small, large = (pn.Spacer(width=0, height=0) for _ in range(2))
    switcher = pmui.BreakpointSwitcher(
        media_query=query, small=small, large=large, width=0, height=0, margin=0
    )

    def told(event: Any) -> None:
        holds = event.new is large
        pn.state.onload(lambda: tell(holds))  # what is told earlier gets lost

    switcher.param.watch(told, "current")
    return switcher


def _html(text: str = "") -> Any:
    return pn.pane.HTML(text, stylesheets=[STYLES], sizing_mode="stretch_width", margin=(4, 0))


def _download(callback: Callable[[], Any], filename: str, label: str) -> Any:
    button = pmui.FileDownload(
        callback=callback, filename=filename, label=label, size="small", margin=(4, 0)
    )
    button.variant = "outlined"  # at the start it would warn of an older name
    return button


def _ignore(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()
