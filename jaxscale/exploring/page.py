"""The page: a question at the side, its answer and pictures, and all of it in the address."""

import asyncio
import io
import logging
import math
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, TypeVar

import jax
import panel as pn
import panel_material_ui as pmui
from bokeh.models import CustomJS
from panel.util.parameters import edit_readonly

from jaxscale.exploring.answering import Answer, answer, answer_at_once, resamples_behind
from jaxscale.exploring.demand import demand_curve
from jaxscale.exploring.effects import effects
from jaxscale.exploring.fields import LEVER, label_of
from jaxscale.exploring.figures import (
    DemandPicture,
    EffectsPicture,
    LawsPicture,
    Look,
    LossPicture,
)
from jaxscale.exploring.form import Form
from jaxscale.exploring.laws_compared import Compared, compared
from jaxscale.exploring.opening import opened_with as opened_with
from jaxscale.exploring.python_text import as_python
from jaxscale.exploring.question import FIRST, Question
from jaxscale.exploring.read_law import entry_of, plain
from jaxscale.exploring.reading import Asked, Mistakes, read
from jaxscale.exploring.report import csv_of, headline, notes_of, table_of
from jaxscale.exploring.sections import (
    PictureSection,
    TextSection,
    download,
    fade,
    html,
)
from jaxscale.exploring.surfaces import loss_map
from jaxscale.exploring.theme import STYLES, THEME
from jaxscale.exploring.uncertainty import DRAWS, draws_of
from jaxscale.exploring.ways import Ways, asked_by
from jaxscale.exploring.work import knows, run
from jaxscale.laws.protocol import levers_of
from jaxscale.published import Entry

T = TypeVar("T")
logger = logging.getLogger(__name__)
TITLE = "jaxscale explore"
GRACE = 0.1  # seconds in which a newer question does not stop an older one's answer
LATE = 0.4  # seconds after which what is of an older question fades
CALM = 0.6  # seconds without a change after which the address follows
REST = 2.0  # seconds without a change after which a fit's intervals take all its resamples
AT_ONCE = "answers without a compiler"  # a key
FAULT = "This could not be computed, by a fault of the page."
BELOW = "What is below is the last answer."

# Keys scroll what a phone's width does not hold.
SCROLL = "<div class='scroll' role='region' aria-label='Answer' tabindex='0'>"


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
        self._is_busy = self._is_closed = False
        self._turns = 0
        self._news = asyncio.Event()  # a newer question
        self._location: Any = None
        self._form = Form(self._set_text, self._set_ways, own)
        self._status = pmui.Alert(
            severity="info", title="", object="Computing.", sizing_mode="stretch_width", margin=0
        )
        self._plans = html()
        look = Look()
        self._loss, self._demand, self._effects, self._laws = (
            PictureSection(kind(look))
            for kind in (LossPicture, DemandPicture, EffectsPicture, LawsPicture)
        )
        self._pictures = (self._loss, self._demand, self._effects, self._laws)
        self._command = TextSection("As a command", "command")
        self._python = TextSection("As Python", "Python script")
        self._main = pn.Column(
            self._status,
            self._plans,
            download(self._file, "plan.csv", "Numbers as CSV"),
            pn.FlexBox(
                *(each.view for each in self._pictures),
                gap="8px 24px",
                sizing_mode="stretch_width",
                margin=0,
            ),
            self._command.view,
            self._python.view,
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
            sidebar_resizable=False,  # which takes a mouse
            sidebar_open="Mobi" not in (pn.state.headers or {}).get("User-Agent", ""),
            theme_config=THEME,
            busy_indicator=None,
            meta_title=TITLE,
        )
        page.param.watch(lambda event: self._restyle(event.new), "dark_theme")
        is_wide = _told_of("(min-width: 900px)", lambda so: page.param.update(sidebar_open=so))
        is_dark = _told_of(
            "(prefers-color-scheme: dark)", lambda so: page.param.update(dark_theme=so)
        )
        page.main = [self._main, is_wide, is_dark]
        with edit_readonly(page):
            # Not that of Panel's state, which is one for all pages: it would tell each page of the
            # events of every other, and hold all of them after they are closed.
            page.busy = page.param.loading
        return page

    def start(self) -> None:
        """Answer the question, at once or as soon as the page is there."""
        pn.state.execute(self._work)
        pn.state.execute(self._settle)

    def close(self) -> None:
        """Work no more: nobody looks at it."""
        self._is_closed = True
        self._news.set()

    def follow(self, location: Any) -> None:
        """Keep the address of the page equal to its question."""
        self._location = location

    # --- What a person changes -----------------------------------------------------------------

    def ask(self, question: Question) -> None:
        """Answer this question instead."""
        self.question = question
        self._news.set()
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
        known = levers_of(entry.law) if entry is not None else {}
        ordinary = plain(entry.law, 1e9) if entry is not None else {}
        for name, (low, high) in known.items():
            key = f"{LEVER}{name}"
            value = ordinary.get(name, math.sqrt(max(low, 1e-3) * high))
            texts[key] = question.texts.get(key) or self._known.get(key) or f"{value:.3g}"
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
            while self._served is not self.question and not self._is_closed:
                self._news.clear()
                question = self.question
                await self._tried(question)
                self._served = question
        finally:
            self._is_busy = False

    async def _tried(self, question: Question) -> None:
        """Answer a question; a fault of ours is logged, and the page lives on."""
        try:
            await self._answer(question)
        except Exception:
            if self._is_closed:  # in the middle of it
                return
            logger.exception("%s", question.command())
            with pn.io.hold():
                self._mark_stale(FAULT, "error")

    async def _settle(self) -> None:
        """Let the address follow when nothing has changed for a moment."""
        self._turns += 1
        turn = self._turns
        await asyncio.sleep(CALM)
        if turn == self._turns and not self._is_closed:
            self._write_address()

    async def _answer(self, question: Question) -> None:
        """Show the answer to a question, and as they come the pictures; stop for a newer one."""
        try:
            asked = read(question, self._own)
        except Mistakes as mistakes:
            with pn.io.hold():
                self._show_question(mistakes.by_field)
                self._mark_stale(_unanswered(mistakes.by_field))
            return
        key = key_of(asked)
        if not knows(key):
            # What takes the compiler seconds takes NumPy a moment.
            early = await self._step(question, run(AT_ONCE, partial(answer_at_once, asked)))
            if early is None:
                return
            self._show(early)
        by_law = partial(compared, own=self._own, is_compiled=knows)
        computes = loss_map, demand_curve, effects, by_law
        drawn = [*zip(self._pictures, computes, strict=True)]
        is_known = all(knows((section.picture.name, key)) for section, _ in drawn)
        found = await self._step(question, run(key, partial(answer, asked, DRAWS)))
        if found is None:
            return
        self._show(found)
        # All in one message, which costs the server some milliseconds whatever it holds.
        arrays: list[Any] | None = []
        for some in [drawn] if is_known else [[each] for each in drawn]:
            work = partial(_each, [compute for _, compute in some], found)
            program = some[0][0].picture.name, key
            arrays = await self._step(question, run(program, work, is_picture=True))
            if arrays is None:
                return
            with pn.io.hold():
                for (section, _), data in zip(some, arrays, strict=True):
                    section.show(data, found)
        if resamples_behind(asked) > DRAWS:
            whole = await self._of_all_resamples(question, asked)
            if whole is None:
                return
            self._show(whole)
        *_, laws = arrays
        await self._compare_laws(question, found, laws)

    async def _compare_laws(self, question: Question, found: Answer, laws: Compared) -> None:
        """The best size by laws that wait for the compiler."""
        for group in laws.waiting:
            more = await self._step(question, run(group.key, group.sizes, is_picture=True))
            if more is None:
                return
            laws = laws.with_next(more)
            with pn.io.hold():
                self._laws.show(laws, found)

    async def _of_all_resamples(self, question: Question, asked: Asked) -> Answer | None:
        """The answer with the intervals of the command, when nothing has changed for a moment."""
        if not await self._step(question, asyncio.sleep(REST, True)):
            return None
        key = "all resamples", resamples_behind(asked), key_of(asked)
        return await self._step(question, run(key, partial(answer, asked), is_picture=True))

    async def _step(self, question: Question, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work gives; None where it is slow and a newer question has come."""
        task = asyncio.ensure_future(work)
        await asyncio.wait({task}, timeout=GRACE)
        patience: float | None = LATE - GRACE
        while not task.done():
            if self.question is not question or self._is_closed:
                task.cancel()  # what is compiling goes on
                self._mark_old(self.question)
                return None
            news = asyncio.ensure_future(self._news.wait())
            done, _ = await asyncio.wait(
                {task, news}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            news.cancel()
            if not done:
                self._mark_old(question)
                patience = None
        return None if self._is_closed else task.result()

    def _show(self, found: Answer) -> None:
        self.answer = found
        with pn.io.hold():
            self._show_question({})
            self._show_answer(found)

    def _show_question(self, mistakes: Mapping[str, str]) -> None:
        self._form.show(self.question, self._entry(self.question), mistakes)

    def _show_answer(self, found: Answer) -> None:
        self._say(headline(found), "success" if found.status.ok else "warning")
        self._plans.object = f"{SCROLL}{table_of(found)}</div>{notes_of(found)}"
        self._command.show(found.asked.question.command())
        self._python.show(as_python(found.asked))
        fade(self._plans, False)

    def _mark_stale(self, why: str, severity: str = "warning") -> None:
        if self.answer is None:
            self._say(why, severity)
            for section in self._pictures:
                section.picture.say("No answer yet.")
            return
        self._say(f"{why} {BELOW}", severity)
        fade(self._plans, True)
        self._dim()

    def _mark_old(self, question: Question) -> None:
        """Fade what is of another question, while the answer to this one takes its time."""
        is_answered = self.answer is not None and self.answer.asked.question is question
        with pn.io.hold():
            if not is_answered:
                self._say("Computing.")
                fade(self._plans, True)
            for section in self._pictures:
                shown = section.picture.answer
                section.dim(shown is None or shown.asked.question is not question)

    def _dim(self) -> None:
        for section in self._pictures:
            section.dim(True)

    def _say(self, text: str, severity: str = "info") -> None:
        self._status.param.update(object=escape(text), severity=severity)

    def _restyle(self, is_dark: bool) -> None:
        with pn.io.hold():
            for section in self._pictures:
                section.restyle(Look(is_dark))

    def _write_address(self) -> None:
        if self._location is not None:
            search = f"?{self.question.query()}"
            if self._location.search != search:
                self._location.search = search

    def _file(self) -> io.StringIO:
        return io.StringIO("" if self.answer is None else csv_of(self.answer))


def key_of(asked: Asked) -> Hashable:
    """What an answer is compiled for: the family of the law and the shape of the question."""
    numbers = asked.law, asked.given.values, tuple(asked.quality[:4]), asked.demand, asked.costs
    draws = draws_of(asked.entry)
    resamples = 0 if draws is None else len(jax.tree.leaves(draws)[0])
    shape = str(jax.tree.structure((numbers, asked.bounds)))
    return shape, resamples, asked.score is None, str(asked.given.over)


def session(question: Question, own: Mapping[str, Entry]) -> pmui.Page:
    """The page of one visitor: the question is that of the address, or the given one."""
    location = pn.state.location
    asked = Question.of_query(location.search if location is not None else "")
    explorer = Explorer(asked if asked.texts else question, own)
    explorer.follow(location)
    pn.state.on_session_destroyed(lambda session_context: explorer.close())
    pn.state.onload(explorer.start)
    # The page shows one answer, that of its address: earlier ones are no pages to go back to.
    one_place = CustomJS(code="history.pushState = history.replaceState")
    if pn.state.curdoc is not None:
        pn.state.curdoc.js_on_event("document_ready", one_place)
    return explorer.page()


def _unanswered(mistakes: Mapping[str, str]) -> str:
    """Where to look for what is wrong, or what is where no field is to blame.

    On a phone the fields are out of sight.
    """
    names = [label_of(name) for name in mistakes if name]
    beside = f"see what is wrong beside {' and '.join(names)}"
    return f"Not answered: {beside if names else mistakes[''].removesuffix('.')}."


def _each(functions: Sequence[Callable[[Answer], Any]], found: Answer) -> list[Any]:
    """What each function gives, which may be None."""
    return [function(found) for function in functions]


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
