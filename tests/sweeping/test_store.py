"""Sweeps on disk: what is marked done is right, whatever happens to the process or the disk."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from jaxscale.sweeping import fingerprint
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.store import copies, layout, store
from jaxscale.sweeping.store import writer as writer_module
from jaxscale.sweeping.store.store import Field, StoreError
from jaxscale.sweeping.store.writer import Writer
from sweeping.small_store import (
    AXES,
    CHUNKS,
    COORDINATES,
    DIGEST,
    FIELDS,
    PLAN,
    bytes_of,
    make,
    part,
    whole,
    write,
)


@pytest.fixture
def results():
    return whole(np.random.default_rng(11))


@pytest.fixture
def finished(tmp_path, results):
    path = tmp_path / "sweep.zarr"
    make(path)
    write(path, results)
    return path


def opened(path):
    """What xarray alone makes of a store; zarr 3.1 warns of labels of a fixed length."""
    import xarray

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The data type .FixedLengthUTF32")
        return xarray.open_zarr(path, consolidated=False, chunks=None)


def chunk(path, field, number):
    places = CHUNKS.starts(np.array([number]))[0] // np.array(CHUNKS.shape)
    return path / field / ".".join(["c", *map(str, places)])


def test_xarray_alone_reads_back_every_bit(finished, results):
    data = opened(finished)
    assert set(data.data_vars) == set(results)
    for name, values in results.items():
        assert data[name].dims == AXES
        assert data[name].dtype == values.dtype
        assert data[name].values.tobytes() == values.tobytes()


def test_xarray_alone_shows_coordinates_units_and_names(finished):
    data = opened(finished)
    for each in COORDINATES:
        np.testing.assert_array_equal(data[each.name].values.astype(each.values.dtype), each.values)
    assert data.total_cost.attrs == {"units": "dollars", "long_name": "lifetime cost"}
    assert data.loss.attrs == {"units": "nats/token"}
    assert data.attrs["title"] == "a test"
    near = data.total_cost.sel(loss=2.01, method="nearest")
    assert float(near.loss) == pytest.approx(2.0)
    assert data.ratio.sel(catalogue="H100-é").shape == (5, 3)


def test_nothing_in_a_store_is_strange_to_zarr(finished):
    import xarray

    # Warnings are errors here: the journal lies where Zarr would complain of loose files.
    tree = xarray.open_datatree(finished, engine="zarr", consolidated=False)
    assert "total_cost" in tree


def test_one_axis_is_a_store_as_well(tmp_path):
    path, chunks = tmp_path / "line.zarr", Chunks((1000,), (300,))
    fields = [Field("x", np.dtype("float32"), {})]
    values = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    store.create(path, chunks, ("scenario",), fields, [], {}, PLAN)
    with Writer(path, chunks, fields, DIGEST) as writer:
        for number in range(chunks.count):
            writer.write(number, {"x": values[chunks.slices(number)]})
    np.testing.assert_array_equal(opened(path).x.values, values)
    assert store.verify(path) == (4, (), ())


def test_chunks_not_computed_can_be_told_from_all_others(tmp_path, results):
    path = tmp_path / "sweep.zarr"
    make(path)
    write(path, results, [0])
    data = opened(path)
    assert np.isnan(data.total_cost.values[1]).all()
    assert (data.status.values[1] == data.status.attrs["not_computed"]).all()
    assert store.done(path, DIGEST) == {0}
    assert store.verify(path).missing == (1, 2, 3, 4, 5)


def test_writing_twice_in_any_order_leaves_the_same_bytes(tmp_path, finished, results):
    other = tmp_path / "other.zarr"
    make(other)
    write(other, results, [5, 0, 3])
    write(other, results, [4, 3, 2, 1])
    assert bytes_of(other) == bytes_of(finished)
    assert store.done(other, DIGEST) == set(range(6))


def test_a_chunk_of_fill_values_leaves_a_file(tmp_path, results):
    path = tmp_path / "sweep.zarr"
    make(path)
    nothing = {name: np.zeros_like(values) for name, values in results.items()}
    nothing["total_cost"][:] = nothing["ratio"][:] = np.nan
    write(path, nothing)
    assert all(chunk(path, field.name, 2).exists() for field in FIELDS)
    assert store.verify(path) == (6, (), ())


def test_nothing_is_done_before_it_is_flushed(tmp_path, results):
    path = tmp_path / "sweep.zarr"
    make(path)
    with Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        writer.write(1, part(results, 1))
        assert store.done(path, DIGEST) == set()
        writer.flush()
        assert store.done(path, DIGEST) == {1}


def test_an_exception_gives_up_what_was_not_flushed(tmp_path, results):
    path = tmp_path / "sweep.zarr"
    make(path)
    with contextlib.suppress(KeyboardInterrupt), Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        writer.write(1, part(results, 1))
        raise KeyboardInterrupt
    assert store.done(path, DIGEST) == set()


def test_chunks_are_marked_while_others_are_written(tmp_path, results, monkeypatch):
    monkeypatch.setattr(writer_module, "FILES_UNDER_WAY", 2 * len(FIELDS))
    monkeypatch.setattr(writer_module, "MARK_SECONDS", 0)
    path = tmp_path / "sweep.zarr"
    make(path)
    with contextlib.suppress(KeyboardInterrupt), Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        for number in range(5):
            writer.write(number, part(results, number))
            assert len(writer._writes) <= 2, "no more are held in memory"
        assert store.done(path, DIGEST) >= {0, 1, 2}
        raise KeyboardInterrupt
    assert store.done(path, DIGEST) >= {0, 1, 2}
    assert store.verify(path).bad == ()


def test_what_is_on_disk_is_marked_when_an_exception_ends_it(tmp_path, results, monkeypatch):
    monkeypatch.setattr(writer_module, "FILES_UNDER_WAY", 1)
    monkeypatch.setattr(writer_module, "MARK_SECONDS", 3600)
    path = tmp_path / "sweep.zarr"
    make(path)
    with contextlib.suppress(KeyboardInterrupt), Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        for number in range(4):
            writer.write(number, part(results, number))
        raise KeyboardInterrupt
    assert store.done(path, DIGEST) == {0, 1, 2}


def test_a_disk_that_refuses_while_others_are_written_says_so(tmp_path, results, monkeypatch):
    monkeypatch.setattr(writer_module, "FILES_UNDER_WAY", 1)
    path = tmp_path / "sweep.zarr"
    make(path)
    with Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        writer.write(0, part(results, 0))
        chunk(path, "ratio", 1).mkdir()  # where a file should go
        writer.write(1, part(results, 1))
        with pytest.raises(StoreError, match=r"cannot write to .*sweep\.zarr: .*Chunks marked"):
            writer.write(2, part(results, 2))
    assert store.done(path, DIGEST) == {0}


ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878


@pytest.mark.parametrize("damaged", [False, True])
def test_a_store_of_an_earlier_version_is_finished_as_it_was_begun(
    tmp_path, results, monkeypatch, damaged
):
    """Its chunks are compressed otherwise, and it may have no copies of its metadata."""
    path = tmp_path / "sweep.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(store, "make", lambda *content, zstd: layout.make(*content, zstd=True))
        make(path)
    write(path, results, [0, 3])
    copies.path_in(path).unlink()
    if damaged:
        (path / "ratio" / "zarr.json").unlink()
        (path / "status" / "zarr.json").write_bytes(b"{")
    make(path)
    assert store.done(path, DIGEST) == {0, 3}
    write(path, results, [1, 2, 4, 5])
    assert store.verify(path) == (6, (), ())
    for name, values in results.items():
        assert opened(path)[name].values.tobytes() == values.tobytes()
        for number in range(CHUNKS.count):
            assert chunk(path, name, number).read_bytes().startswith(ZSTD)


def test_a_store_without_copies_and_chunks_is_made_as_a_new_one(finished, tmp_path, results):
    other = tmp_path / "other.zarr"
    make(other)
    copies.path_in(other).unlink()
    (other / "ratio" / "zarr.json").unlink()
    make(other)
    write(other, results)
    assert bytes_of(other) == bytes_of(finished)


def flip_one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_one_bit, cut_short, empty, Path.unlink])
def test_verify_finds_a_damaged_chunk_and_forget_has_it_done_again(finished, results, damage):
    before = bytes_of(finished)
    damage(chunk(finished, "total_cost", 3))
    damage(chunk(finished, "status", 5))
    chunks_seen = []
    assert store.verify(finished, chunks_seen.append) == (6, (3, 5), ())
    assert sum(chunks_seen) == 6
    store.forget(finished, (3, 5))
    assert store.done(finished, DIGEST) == {0, 1, 2, 4}
    assert store.verify(finished) == (4, (), (3, 5))
    write(finished, results, [3, 5])
    assert store.verify(finished) == (6, (), ())
    assert bytes_of(finished) == before


def test_a_store_tells_its_attributes_and_its_plan(finished):
    assert store.read(finished) == ({"title": "a test"}, PLAN)


def test_the_same_plan_goes_on_with_what_is_there(finished):
    before = bytes_of(finished)
    make(finished)
    store.open_existing(finished, PLAN)
    assert bytes_of(finished) == before
    assert store.done(finished, DIGEST) == set(range(6))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dtype": "float32"}, 'dtype: "float64" in the store, "float32" asked for'),
        ({"space": {"loss": {"size": 9}}}, "space.loss.size: 5 in the store, 9 asked for"),
        ({"versions": {"jaxscale": "9"}}, 'versions.jaxscale: "0.1.0" in the store, "9" asked'),
    ],
)
def test_another_plan_is_refused_with_the_difference_named(finished, change, named):
    before = bytes_of(finished)
    with pytest.raises(StoreError, match=named.replace(".", r"\.")):
        make(finished, {**PLAN, **change})
    assert bytes_of(finished) == before


def foreign_folder(path):
    path.mkdir()
    (path / "thesis.txt").write_text("ten years of work")


def foreign_zarr(path):
    import zarr

    zarr.create_group(path, attributes={"title": "not ours"})


def foreign_file(path):
    path.write_text("ten years of work")


@pytest.mark.parametrize("foreign", [foreign_folder, foreign_zarr, foreign_file, Path.mkdir])
def test_what_is_not_ours_is_refused_and_left_alone(tmp_path, foreign):
    path = tmp_path / "sweep.zarr"
    foreign(path)
    before = bytes_of(path)
    with pytest.raises(StoreError, match="is not a sweep of jaxscale and is left as it is"):
        make(path)
    assert bytes_of(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_while_a_store_is_made_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(StoreError, match=r"cannot make .*no space left on device; make room"):
        make(tmp_path / "sweep.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_store_made_meanwhile_by_another_process_is_used(tmp_path, monkeypatch):
    path, rename = tmp_path / "sweep.zarr", os.rename

    def overtaken(temporary, final):
        shutil.copytree(temporary, final)
        rename(temporary, final)

    monkeypatch.setattr(os, "rename", overtaken)
    make(path)
    assert list(tmp_path.iterdir()) == [path]
    assert store.read(path)[1] == PLAN


def test_no_store_there_is_said(tmp_path):
    with pytest.raises(StoreError, match="there is no sweep at"):
        store.verify(tmp_path / "nowhere.zarr")


def test_names_that_are_no_folder_are_refused(tmp_path):
    fields = [Field("cost/year", np.dtype("float64"), {})]
    with pytest.raises(ValueError, match="cost/year"):
        store.create(tmp_path / "x.zarr", CHUNKS, AXES, fields, [], {}, PLAN)


def test_a_folder_deleted_meanwhile_is_one_clear_error(finished, results):
    writer = Writer(finished, CHUNKS, FIELDS, DIGEST)
    writer.write(0, part(results, 0))
    writer.flush()
    shutil.rmtree(finished)
    with pytest.raises(StoreError, match="moved or deleted"):
        writer.write(1, part(results, 1))
    writer.close()


SMALL_FILES = """
import resource, sys
import numpy as np
from jaxscale.sweeping.store import store
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.store.writer import Writer

path = sys.argv[1]
chunks, fields = Chunks((8, 4096), (1, 4096)), [store.Field("x", np.dtype("float64"), {})]
store.create(path, chunks, ("a", "b"), fields, [], {}, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, resource.RLIM_INFINITY))
digest = store.fingerprint.digest({})
with Writer(path, chunks, fields, digest) as writer:
    writer.write(0, {"x": np.zeros((1, 4096))})
    writer.flush()
    writer.write(1, {"x": np.random.default_rng(3).random((1, 4096))})
    writer.write(2, {"x": np.ones((1, 4096))})
    try:
        writer.flush()
    except store.StoreError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.done(path, digest) in ({0}, {0, 2}), store.done(path, digest)
with Writer(path, chunks, fields, digest) as writer:
    for number in set(range(8)) - store.done(path, digest):
        writer.write(number, {"x": np.full((1, 4096), number, float)})
print(store.verify(path))
"""


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_disk_that_refuses_is_one_clear_error_and_can_be_gone_on_with(tmp_path):
    path = tmp_path / "sweep.zarr"
    refused, verdict = run(SMALL_FILES, path).splitlines()
    assert refused == (
        f"cannot write to {path}: file too large; raise the limit on file sizes. "
        "Chunks marked done are kept; the same call goes on from there."
    )
    assert verdict == "Verdict(checked=8, bad=(), missing=())"


KILLED = """
import os, random, signal, sys, time
import numpy as np
from jaxscale.sweeping.store import store
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.store.writer import Writer

path, seed = sys.argv[1], int(sys.argv[2])
chunks = Chunks((400, 500), (1, 500))
fields = [store.Field(name, np.dtype("float64"), {}) for name in "xyz"]
digest = store.fingerprint.digest({})
store.create(path, chunks, ("a", "b"), fields, [], {}, {})
chance = random.Random(seed)
for _ in range(5):
    alive, begun = os.pipe()
    child = os.fork()
    if not child:
        with Writer(path, chunks, fields, digest) as writer:
            for number in sorted(set(range(400)) - store.done(path, digest)):
                content = np.full((1, 500), number, float)
                writer.write(number, {"x": content, "y": content + 1, "z": content + 2})
                if number % 3 == 0:
                    writer.flush()
                    os.write(begun, b"x")
        os._exit(0)
    os.close(begun)
    os.read(alive, 1)  # nothing, where there was nothing left to write
    time.sleep(chance.uniform(0, 0.15))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_no_chunk_marked_done_by_a_killed_process_is_wrong(tmp_path):
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    path = tmp_path / "sweep.zarr"
    run(KILLED, path, seed)
    verdict = store.verify(path)
    assert verdict.bad == ()
    assert verdict.checked >= 5
    assert verdict.checked + len(verdict.missing) == 400
    marked = sorted(store.done(path, fingerprint.digest({})))
    data = opened(path)
    for shift, name in enumerate("xyz"):
        expected = np.repeat(np.array(marked, float)[:, None], 500, axis=1) + shift
        np.testing.assert_array_equal(data[name].values[marked], expected)
    print(f"{len(marked)} of 400 chunks were done")
