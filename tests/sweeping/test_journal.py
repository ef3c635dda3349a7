"""Records of done chunks: read back whole, whatever a kill or a disk left of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxscale.sweeping.store import journal
from jaxscale.sweeping.store.journal import Journal

MINE, OTHER = "ab" * 32, "cd" * 32


def recorded(folder, numbers, fingerprint=MINE):
    """A file of records of its own, and its path."""
    before = set(folder.iterdir())
    one = Journal(folder, fingerprint)
    one.record(numbers)
    one.close()
    (path,) = set(folder.iterdir()) - before
    return path


def test_records_of_all_writers_are_one_set(tmp_path):
    one, other = Journal(tmp_path, MINE), Journal(tmp_path, MINE)
    one.record([3, 1])
    other.record([10**15])
    one.record([7])
    assert journal.done(tmp_path, MINE) == {1, 3, 7, 10**15}
    assert len(list(tmp_path.iterdir())) == 2
    one.close()
    other.close()


def test_a_journal_without_records_leaves_no_file(tmp_path):
    Journal(tmp_path, MINE).close()
    assert list(tmp_path.iterdir()) == []
    assert journal.done(tmp_path, MINE) == set()


def test_records_of_another_sweep_do_not_count(tmp_path):
    recorded(tmp_path, [1, 2], OTHER)
    recorded(tmp_path, [5])
    assert journal.done(tmp_path, MINE) == {5}


def test_a_tail_torn_anywhere_loses_its_own_record_alone(tmp_path):
    path = recorded(tmp_path, [11, 22])
    text = path.read_bytes()
    end_of_first = text.index(b"\n") + 1
    for length in range(end_of_first, len(text) - 1):
        path.write_bytes(text[:length])
        assert journal.done(tmp_path, MINE) == {11}, length
    path.write_bytes(text[:-1])  # all but the end of the line, which says nothing
    assert journal.done(tmp_path, MINE) == {11, 22}


def test_a_flipped_bit_never_marks_a_chunk_that_is_not_done(tmp_path):
    path = recorded(tmp_path, [123456])
    text = path.read_bytes()
    for bit in range(0, 8 * (len(text) - 1), 3):
        flipped = bytearray(text)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert journal.done(tmp_path, MINE) <= {123456}, bit


def test_foreign_lines_and_files_are_passed_over(tmp_path):
    path = recorded(tmp_path, [4])
    path.write_bytes(b"\nhello\n\xff\x00 1 2\n" + path.read_bytes())
    (tmp_path / "zarr.json").write_text("{}")
    (tmp_path / "notes.log").write_text("nothing of ours")
    assert journal.done(tmp_path, MINE) == {4}


def test_rewriting_forgets_and_new_records_add_to_it(tmp_path):
    old = [recorded(tmp_path, [1, 2]), recorded(tmp_path, [3])]
    journal.rewrite(tmp_path, MINE, [1, 3])
    assert not any(path.exists() for path in old)
    recorded(tmp_path, [9])
    assert journal.done(tmp_path, MINE) == {1, 3, 9}


def test_rewriting_to_nothing_leaves_nothing(tmp_path):
    recorded(tmp_path, [1, 2])
    journal.rewrite(tmp_path, MINE, [])
    assert journal.done(tmp_path, MINE) == set()


def test_a_kill_before_old_files_are_removed_brings_nothing_back(tmp_path):
    old = recorded(tmp_path, [1, 2])
    text = old.read_bytes()
    journal.rewrite(tmp_path, MINE, [1])
    old.write_bytes(text)
    assert journal.done(tmp_path, MINE) == {1}


def test_a_kill_before_the_new_file_has_its_name_changes_nothing(tmp_path, monkeypatch):
    recorded(tmp_path, [1, 2])

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(Path, "unlink", killed)  # who is killed does not tidy up
    with pytest.raises(KeyboardInterrupt):
        journal.rewrite(tmp_path, MINE, [1])
    assert len(list(tmp_path.iterdir())) == 2
    assert journal.done(tmp_path, MINE) == {1, 2}


def test_a_deleted_journal_is_noticed(tmp_path):
    one = Journal(tmp_path, MINE)
    one.record([1])
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError):
        one.record([2])


def test_after_a_failure_records_go_to_a_new_file(tmp_path, monkeypatch):
    one = Journal(tmp_path, MINE)
    one.record([1])
    whole = os.write

    def full(descriptor, text):
        whole(descriptor, bytes(text)[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            one.record([2])
    one.record([3])
    one.close()
    assert journal.done(tmp_path, MINE) == {1, 3}


def test_short_writes_are_continued(tmp_path, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, text: whole(descriptor, text[:7]))
    numbers = np.random.default_rng(5).integers(0, 2**53, 40).tolist()
    recorded(tmp_path, numbers)
    assert journal.done(tmp_path, MINE) == set(numbers)
