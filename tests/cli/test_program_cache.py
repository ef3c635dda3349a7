"""The command line keeps compiled programs where it may, and never stumbles over them."""

import os
import subprocess
import sys

import jax
import pytest

from jaxscale.cli import program_cache
from processes import HUNG

SCRIPT = """
import jax
from jaxscale.cli import program_cache
program_cache.use()
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
print(jax.jit(lambda x: 3 * x)(2.0), "/jax/compilation_cache/cache_hits" in events)
"""


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """An empty folder of caches, and JAX without a cache of its own."""
    monkeypatch.setattr(program_cache, "_caches", lambda: tmp_path)
    names = ("compilation_cache_dir", "persistent_cache_min_compile_time_secs")
    names += ("persistent_cache_min_entry_size_bytes",)
    before = {f"jax_{name}": jax.config.values[f"jax_{name}"] for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def folder():
    return jax.config.values["jax_compilation_cache_dir"]


def test_programs_of_any_size_are_kept_in_a_folder_of_the_processor(caches):
    program_cache.use()
    (kept,) = (caches / "jaxscale" / "programs").iterdir()
    assert folder() == str(kept)
    assert jax.config.values["jax_persistent_cache_min_compile_time_secs"] == 0
    assert os.name == "nt" or kept.stat().st_mode & 0o077 == 0


def test_a_variable_switches_it_off(caches, monkeypatch):
    monkeypatch.setenv("JAXSCALE_CACHE", "off")
    program_cache.use()
    assert folder() is None
    assert not list(caches.iterdir())


def test_a_cache_of_the_users_own_stays(caches):
    jax.config.update("jax_compilation_cache_dir", "theirs")
    program_cache.use()
    assert folder() == "theirs"


def test_a_folder_that_cannot_be_made_is_passed_over(caches):
    (caches / "jaxscale").write_text("a file")
    program_cache.use()
    assert folder() is None


def test_the_oldest_go_when_there_is_too_much(caches, monkeypatch):
    program_cache.use()
    for age in range(4):
        path = os.path.join(folder(), str(age))
        with open(path, "w") as file:
            file.write("program")
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(program_cache, "MOST_BYTES", 20)
    jax.config.update("jax_compilation_cache_dir", None)
    program_cache.use()
    assert sorted(os.listdir(folder())) == ["0"]  # half of 20 bytes holds one


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their folders follow no variable")
def test_a_damaged_program_is_compiled_again_in_silence(tmp_path):
    ours = {"JAX_COMPILATION_CACHE_DIR", "JAXSCALE_CACHE"}
    env = {name: x for name, x in os.environ.items() if name not in ours}

    def run():
        command = [sys.executable, "-c", SCRIPT]
        env["XDG_CACHE_HOME"] = str(tmp_path)
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=HUNG)
        return done.stdout.split(), done.stderr

    assert run() == (["6.0", "False"], "")
    assert run() == (["6.0", "True"], "")
    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    assert run() == (["6.0", "False"], "")
