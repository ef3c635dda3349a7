"""A store that is moved under a sweep, writers that die or are stopped: nothing false is marked."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from jaxscale.sweeping.program import Program
from jaxscale.sweeping.store import store
from jaxscale.sweeping.store.journal import Journal
from jaxscale.sweeping.store.layout import journal_folder
from jaxscale.sweeping.store.store import StoreError
from jaxscale.sweeping.store.writer import Folder, Writer
from sweeping.small_store import CHUNKS, DIGEST, FIELDS, PLAN, bytes_of, make, part, whole, write
from sweeping.small_sweep import run

ALL = set(range(CHUNKS.count))


@pytest.fixture
def results(rng):
    return whole(rng)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "sweep.zarr"
    make(path)
    return path


@pytest.fixture
def expected(tmp_path, results):
    """Bytes of a store that nobody disturbed."""
    make(tmp_path / "other.zarr")
    write(tmp_path / "other.zarr", results)
    return bytes_of(tmp_path / "other.zarr")


def moved_away(path):
    path.rename(path.with_name("away.zarr"))


def replaced_by_a_copy(path):
    moved_away(path)
    shutil.copytree(path.with_name("away.zarr"), path)


def replaced_by_another_sweep(path):
    moved_away(path)
    make(path, {**PLAN, "dtype": "float32"})


def moved_back(path):
    """Put the store where it was, for whatever is there by now."""
    shutil.rmtree(path, ignore_errors=True)
    path.with_name("away.zarr").rename(path)


MOVES = pytest.mark.parametrize("move", [moved_away, replaced_by_a_copy, replaced_by_another_sweep])


@MOVES
def test_a_store_that_is_moved_between_chunks_stops_the_sweep(path, results, expected, move):
    with Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        writer.write(0, part(results, 0))
        writer.flush()
        writer.write(1, part(results, 1))
        writer.flush()
        move(path)
        before = bytes_of(path) if path.exists() else {}
        with pytest.raises(StoreError, match=r"moved or deleted meanwhile; move it back\. Chunks"):
            writer.write(2, part(results, 2))
    assert (bytes_of(path) if path.exists() else {}) == before, "nothing goes to the other folder"
    moved_back(path)
    assert store.done(path, DIGEST) == {0, 1}
    write(path, results, sorted(ALL - {0, 1}))
    assert bytes_of(path) == expected


@MOVES
@pytest.mark.parametrize("number", [1, 4])
def test_a_chunk_written_to_another_folder_is_not_marked(
    path, results, expected, move, number, monkeypatch
):
    """Away when a chunk is written, and back before it is marked: no look at the path shows it."""
    write(path, results, [4])  # of which a file is there already
    wait, check = Writer._wait, Folder.check

    def check_and_move(folder):
        check(folder)
        move(path)

    def written_and_moved_back(writer, chunk):
        chunk.outcome.result()
        if path.with_name("away.zarr").exists():
            for each in writer._writes_under_way:
                each.outcome.result()
            moved_back(path)
        wait(writer, chunk)

    with Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "check", check_and_move)
            writer.write(number, part(results, number))
        writer._writes_under_way = writer._writes[number]
        monkeypatch.setattr(Writer, "_wait", written_and_moved_back)
        with pytest.raises(StoreError, match="moved or deleted meanwhile"):
            writer.flush()
    assert store.done(path, DIGEST) == {4}
    monkeypatch.undo()
    write(path, results, sorted(ALL - {4}))
    assert bytes_of(path) == expected
    assert store.verify(path) == (6, (), ())


def test_records_go_to_the_journal_that_was_opened(path):
    journal = Journal(journal_folder(path), DIGEST)
    moved_away(path)
    make(path)
    journal.record([3])
    journal.close()
    assert list(journal_folder(path).glob("*.log")) == []
    moved_back(path)
    assert len(list(journal_folder(path).glob("*.log"))) == 1


def test_another_sweep_in_the_place_of_a_store_is_not_taken_for_it(path, results):
    write(path, results)
    replaced_by_another_sweep(path)
    for action in (lambda: store.done(path, DIGEST), lambda: write(path, results)):
        with pytest.raises(StoreError, match="holds another sweep by now"):
            action()


HOLDING = """
import os, sys, time
import tensorstore
kvstore = {"driver": "file", "path": sys.argv[1] + "/"}
folder = tensorstore.KvStore.open(kvstore).result()
content = bytes(int(sys.argv[2]))
while True:
    folder.write("c.0.0.0", content).result()
    print("written", flush=True)
"""


@pytest.fixture
def writing(path):
    """A process that writes one chunk again and again."""
    command = [sys.executable, "-c", HOLDING, path / "ratio", str(10**7)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        yield process
        process.kill()


def locks(path):
    return sorted(each.name for each in path.rglob("*.__lock"))


def test_a_lock_is_removed_when_its_writer_is_dead_and_not_before(path, writing):
    """Tensorstore writes a chunk to a locked file, which it renames."""
    for _ in range(20):
        store.tidy(path)  # or else a write would fail, and end the other process
        assert writing.stdout.readline() == "written\n"
    while True:
        os.kill(writing.pid, signal.SIGSTOP)
        os.waitpid(writing.pid, os.WUNTRACED)
        store.tidy(path)  # which may remove one that is made and not yet locked
        if locks(path):
            break
        os.kill(writing.pid, signal.SIGCONT)
        writing.stdout.readline()
    store.tidy(path)
    assert locks(path) == ["c.0.0.0.__lock"]
    writing.kill()
    writing.wait()
    store.tidy(path)
    assert locks(path) == []


def test_a_finished_sweep_and_a_mended_store_have_no_locks(tmp_path):
    sweep = tmp_path / "swept.zarr"
    run(sweep)
    for repair in (run, store.mend):
        for name in ("params/c.0.0.0.__lock", "total_cost/c.7.0.0.__lock"):
            (sweep / name).write_bytes(b"half a chunk")
        repair(sweep)
        assert locks(sweep) == []


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Writer, "write"),
        (Writer, "flush"),
        (Writer, "_wait"),
        (Journal, "record"),
        (Program, "launch"),
        (os, "rename"),
        (store, "tidy"),
    ],
)
def test_ctrl_c_anywhere_leaves_a_store_to_go_on_with(
    tmp_path, monkeypatch, undisturbed, rng, owner, name
):
    """Before or after any call of what writes."""
    # Each chunk waits for the one before and marks it, so that there are many calls of each.
    monkeypatch.setattr("jaxscale.sweeping.store.writer.FILES_UNDER_WAY", 1)
    monkeypatch.setattr("jaxscale.sweeping.store.writer.MARK_SECONDS", 0)
    sweep, action = tmp_path / "sweep.zarr", getattr(owner, name)
    often = owner in (Writer, Journal) and name != "flush"  # a launch takes several chunks
    calls = int(rng.integers(1, 9)) if often else 1
    late = bool(rng.integers(2))
    print("interrupted", "after" if late else "before", "call", calls)

    def interrupted(*arguments):
        nonlocal calls
        calls -= 1
        if calls == 0 and not late:
            raise KeyboardInterrupt
        outcome = action(*arguments)
        if calls == 0:
            raise KeyboardInterrupt
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(sweep)
    run(sweep)
    assert bytes_of(sweep) == undisturbed
    assert [each.name for each in tmp_path.iterdir()] == ["sweep.zarr"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "sweep.zarr"
    run(path)
    return bytes_of(path)
