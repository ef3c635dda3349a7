"""Every file of a store: one changed byte in it is found, and put back or said."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from jaxscale.sweeping.processes import combined, remove_damaged
from jaxscale.sweeping.store import copies, store
from jaxscale.sweeping.store.layout import journal_folder
from jaxscale.sweeping.store.store import StoreError
from sweeping.small_store import CHUNKS, DIGEST, bytes_of, make, whole, write

ALL = set(range(CHUNKS.count))
COPIES = ".journal/blocks/copies"


@pytest.fixture
def results(rng):
    return whole(rng)


@pytest.fixture
def finished(tmp_path, results):
    path = tmp_path / "sweep.zarr"
    make(path)
    write(path, results)
    return path


def flip(path, rng):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    place, bit = int(rng.integers(len(content))), int(rng.integers(8))
    content[place] ^= 1 << bit
    path.write_bytes(content)
    print(f"bit {bit} of byte {place} of {path}")


def repaired(path, results):
    """What `jaxscale verify` does: put back, read, compute again what is bad."""
    mended = store.mend(path)
    bad = store.verify(path).bad
    if bad:
        store.forget(path, bad)
    write(path, results, sorted(ALL - store.done(path, DIGEST)))
    return mended, bad


def test_one_changed_bit_in_any_file_is_found_and_put_back(finished, results, rng):
    before = bytes_of(finished)
    kinds = {"chunk": 0, "other": 0}
    for name in sorted(before):
        for _ in range(3):
            flip(finished / name, rng)
            mended, bad = repaired(finished, results)
            assert mended.lost == ()
            is_chunk = "/c." in name
            assert (len(bad), mended.mended) == ((1, ()) if is_chunk else (0, (name,)))
            assert bytes_of(finished) == before, name
            kinds["chunk" if is_chunk else "other"] += 1
    assert kinds == {"chunk": 3 * 4 * CHUNKS.count, "other": 3 * 14}


def test_each_bit_of_a_chunk_of_bools_is_checked(finished):
    """Some of them raise an error of their own kind in tensorstore."""
    path = finished / "fits" / "c.0.1.0"
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert store.verify(finished).bad == (1,), bit


@pytest.mark.parametrize("damage", [flip, lambda path, _: path.unlink()])
def test_a_store_is_not_read_while_its_metadata_are_damaged(finished, rng, damage):
    once = [name for name in bytes_of(finished) if "/c." not in name and name != COPIES]
    assert len(once) == 13
    for name in once:
        content = (finished / name).read_bytes()
        damage(finished / name, rng)
        for action in (store.read, store.verify, make):
            with pytest.raises(StoreError, match=f"is damaged, in {name}: jaxscale verify "):
                action(finished)
        (finished / name).write_bytes(content)
    assert store.done(finished, DIGEST) == ALL


def test_a_changed_bit_in_the_journal_loses_that_record_alone(finished, results, rng):
    before = bytes_of(finished)
    for _ in range(20):
        (log,) = journal_folder(finished).glob("*.log")
        text = log.read_bytes()
        flip(log, rng)
        found = store.done(finished, DIGEST)
        # The end of a line that is changed takes the next line with it.
        assert found < ALL
        assert len(found) >= len(ALL) - 2
        mended, bad = repaired(finished, results)
        assert bad == ()
        # A last line without its end is what a kill leaves, and no damage.
        assert mended.records == (log.read_bytes()[-1:] == b"\n" if log.exists() else 1)
        assert store.done(finished, DIGEST) == ALL
        assert store.mend(finished) == ((), (), 0)
        assert bytes_of(finished) == before
        for each in journal_folder(finished).glob("*.log"):
            each.unlink()
        log.write_bytes(text)


def test_what_cannot_be_put_back_is_said_and_left_alone(finished):
    text = (finished / COPIES).read_bytes().split(b"\n")
    kept = [line for line in text if b'"name": "loss/c/0"' not in line or b"content" not in line]
    (finished / COPIES).write_bytes(b"\n".join(kept))
    (finished / "loss" / "c" / "0").write_bytes(b"nothing")
    before = bytes_of(finished)
    assert store.mend(finished).lost == ("loss/c/0",)
    del before[COPIES]
    assert before.items() <= bytes_of(finished).items()


def test_copies_that_are_deleted_are_made_again_by_the_same_call(finished):
    before = bytes_of(finished)
    (finished / COPIES).unlink()
    assert store.read(finished)[0] == {"title": "a test"}, "as a store of an earlier version"
    make(finished)
    assert bytes_of(finished) == before
    assert [each.name for each in finished.parent.iterdir()] == [finished.name]


@pytest.mark.parametrize("limit", [0, copies.LIMIT])
def test_without_copies_the_same_call_makes_everything_anew(finished, rng, monkeypatch, limit):
    monkeypatch.setattr(copies, "LIMIT", limit)
    before = bytes_of(finished)
    (finished / COPIES).unlink()
    flip(finished / "loss" / "c" / "0", rng)
    (finished / "ratio" / "zarr.json").unlink()
    (finished / "catalogue" / "c" / "0").write_bytes(b"")
    make(finished)
    after = bytes_of(finished)
    del before[COPIES], after[COPIES]
    assert after == before
    assert store.mend(finished) == ((), (), 0)


def test_long_coordinates_are_checked_though_not_copied(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(copies, "LIMIT", 0)
    path = tmp_path / "sweep.zarr"
    make(path)
    assert store.mend(path) == ((), (), 0)
    flip(path / COPIES, rng)
    assert store.mend(path) == ((COPIES,), (), 0)
    flip(path / "loss" / "c" / "0", rng)
    with pytest.raises(StoreError, match="is damaged, in loss/c/0"):
        store.read(path)
    assert store.mend(path) == ((), ("loss/c/0",), 0)


def test_a_journal_that_is_removed_is_named(finished):
    shutil.rmtree(finished / ".journal")
    for action in (store.read, store.verify, store.mend, make):
        with pytest.raises(StoreError, match=r"has lost its journal, .*put it back, or delete"):
            action(finished)


def test_a_chunk_that_is_deleted_is_not_done(finished, results):
    before = bytes_of(finished)
    (finished / "ratio" / "c.1.0.0").unlink()
    assert store.done(finished, DIGEST) == ALL - {3}
    write(finished, results, [3])
    assert bytes_of(finished) == before
    assert store.done(finished, DIGEST) == ALL


class Sum:
    """A reducer as far as totals of several processes go."""

    def merge(self, one, other):
        return {"sum": one["sum"] + other["sum"]}


def test_one_changed_bit_in_statistics_of_a_process_is_found(finished, rng):
    job = SimpleNamespace(store=finished, digest=DIGEST, reducers=(Sum(),))
    first, second = [{"sum": np.arange(3.0)}], [{"sum": np.ones(3)}]
    assert combined(job, first, (0, 2)) is first, "the other process has not come that far"
    (file,) = finished.rglob("0.totals")
    content = file.read_bytes()
    for _ in range(20):
        flip(file, rng)
        with pytest.raises(StoreError, match=r"0\.totals is damaged: start process 0 again"):
            combined(job, second, (1, 2))
        assert remove_damaged(finished) == [file.relative_to(finished).as_posix()]
        file.write_bytes(content)
    assert remove_damaged(finished) == []
    (together,) = combined(job, second, (1, 2))
    np.testing.assert_array_equal(together["sum"], [1, 2, 3])
