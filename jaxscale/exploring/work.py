"""Threads for pages: answers first, and nothing that is compiled waits for what is not.

Compiling takes seconds, but holds Python's lock for a small part of them, so threads are enough:
with the longest compile under way, known answers took 16 ms instead of 1.4, and 190 at worst.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = 0.5  # seconds that a picture lets answers of all pages go first
_answers = ThreadPoolExecutor(max(2, os.cpu_count() or 1), "jaxscale-answers")
_pictures = ThreadPoolExecutor(1, "jaxscale-pictures")
# Pictures of a law that is new may compile for a minute: answers have threads of their own.
_compilers = {
    is_picture: ThreadPoolExecutor(count, "jaxscale-compilers")
    for is_picture, count in ((False, 2), (True, 1))
}
_lock = threading.Lock()
_compiled: set[Hashable] = set()
_compiling: dict[Hashable, Future[None]] = {}  # done when the compile has ended, well or not
_answering: set[Future[Any]] = set()
_is_quiet = threading.Event()  # no answer is waited for
_is_quiet.set()


async def run(key: Hashable, function: Callable[[], T], *, is_picture: bool = False) -> T:
    """What `function` returns in a thread; its exception is raised.

    `key` names the programs that the function needs. The first call with a key compiles them.
    Meanwhile calls with the same key wait for it, and all others go on; those of pictures after
    those of answers. A call that is cancelled before its thread takes it up never runs; if it
    runs, what it compiles is kept.
    """
    while True:
        with _lock:
            is_compiled, compiling = key in _compiled, _compiling.get(key)
            if not is_compiled and compiling is None:
                _compiling[key] = Future()
        if is_compiled:
            return await asyncio.wrap_future(_draw(function) if is_picture else _answer(function))
        if compiling is None:
            first = _compilers[is_picture].submit(function)
            first.add_done_callback(partial(_end, key))
            return await asyncio.wrap_future(first)
        await asyncio.shield(asyncio.wrap_future(compiling))


def knows(key: Hashable) -> bool:
    """Whether what a key names is compiled."""
    return key in _compiled


def is_compiling() -> bool:
    """Whether a compile is under way, which nothing can stop."""
    return bool(_compiling)


def _end(key: Hashable, first: Future[Any]) -> None:
    with _lock:
        if not first.cancelled() and first.exception() is None:
            _compiled.add(key)
        _compiling.pop(key).set_result(None)


def _answer(function: Callable[[], T]) -> Future[T]:
    job = _answers.submit(function)
    with _lock:
        _answering.add(job)
        _is_quiet.clear()
    job.add_done_callback(_answered)
    return job


def _answered(job: Future[Any]) -> None:
    with _lock:
        _answering.discard(job)
        if not _answering:
            _is_quiet.set()


def _draw(function: Callable[[], T]) -> Future[T]:
    def when_quiet() -> T:
        _is_quiet.wait(PATIENCE)
        return function()

    return _pictures.submit(when_quiet)
