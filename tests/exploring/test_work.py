"""Threads of pages: a compile holds up nobody but those who need its program."""

import asyncio
import threading
import time

import pytest

from jaxscale.exploring.work import is_compiling, run


@pytest.fixture
def slow():
    """A function that waits until it is let go, and how often it was called."""
    gate, calls = threading.Event(), []

    def function():
        calls.append(1)
        assert gate.wait(30)
        return len(calls)

    yield function, gate, calls
    gate.set()


def test_known_keys_pass_those_that_compile(slow):
    function, gate, _ = slow

    async def pages():
        await run("known", int)
        first = [asyncio.create_task(run(("slow", each), function)) for each in range(4)]
        await asyncio.sleep(0.05)
        assert is_compiling()
        assert [await run("known", int) for _ in range(8)] == [0] * 8
        assert not any(task.done() for task in first)
        gate.set()
        return await asyncio.gather(*first)

    assert len(asyncio.run(pages())) == 4
    assert not is_compiling()


def test_a_key_is_compiled_once_for_all_who_ask(slow):
    function, gate, calls = slow

    async def pages():
        tasks = [asyncio.create_task(run("once", function)) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert len(calls) == 1
        gate.set()
        return await asyncio.gather(*tasks)

    assert sorted(asyncio.run(pages())) == [1, 2, 3, 4, 5]


def test_errors_are_raised_and_the_next_call_compiles_again():
    def fail():
        raise ValueError("no plan")

    async def pages():
        tasks = [asyncio.create_task(run("fails", fail)) for _ in range(2)]
        for task in tasks:
            with pytest.raises(ValueError, match="no plan"):
                await task
        return await run("fails", lambda: "well")

    assert asyncio.run(pages()) == "well"


def test_those_who_leave_hold_up_nobody(slow):
    function, gate, calls = slow

    async def pages():
        leaving = [asyncio.create_task(run("left", function)) for _ in range(2)]
        staying = asyncio.create_task(run("left", function))
        await asyncio.sleep(0.05)
        for task in leaving:
            task.cancel()
        await asyncio.sleep(0.05)
        assert all(task.cancelled() for task in leaving)
        gate.set()
        return await staying

    assert asyncio.run(pages()) == 2  # the first went on compiling, for the one who stayed
    assert len(calls) == 2


def test_pictures_let_answers_go_first():
    order = []

    async def pages():
        await asyncio.gather(run("answer", int), run("picture", int))
        answers = [
            run("answer", lambda: time.sleep(0.02) or order.append("answer")) for _ in range(6)
        ]
        pictures = [
            run("picture", lambda: order.append("picture"), is_picture=True) for _ in range(3)
        ]
        await asyncio.gather(answers[0], *pictures, *answers[1:])

    asyncio.run(pages())
    assert order == ["answer"] * 6 + ["picture"] * 3
