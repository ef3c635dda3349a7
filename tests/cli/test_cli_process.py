"""The command as a process of its own: help, version, exit codes and clean streams."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import jaxscale as js
from processes import HUNG

pytest.importorskip("typer")

PLAN = ("plan", "--like-params", "70B", "--inference-tokens", "10T")


def shell(*arguments, script=None):
    """A finished process of `jaxscale`, or of a script that calls it."""
    start = ("-c", script) if script else ("-m", "jaxscale.cli")
    return subprocess.run(
        [sys.executable, *start, *arguments], capture_output=True, text=True, timeout=HUNG
    )


def test_json_is_all_that_stdout_holds_and_nothing_else_is_loaded_or_compiled():
    script = (
        "import jax, sys; from jaxscale.cli import main\n"
        "events = []\n"
        "listen = jax.monitoring.register_event_duration_secs_listener\n"
        "listen(lambda event, *_, **__: events.append(event.rsplit('/')[-1]))\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert 'backend_compile_duration' not in events, events\n"
        "others = 'matplotlib', 'optax', 'rich.progress', 'jaxscale.fitting', 'jaxscale.sweeping'\n"
        "assert not {*others} & {*sys.modules}"
    )
    done = shell(*PLAN, "--json", script=script)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert round(found["optimum"]["params"] / 1e9, 1) == 41.6
    # Float32 would miss the loss asked for in the eighth digit.
    assert abs(found["optimum"]["loss"] - found["target_loss"]) < 1e-12


@pytest.mark.thorough  # test_cli_mistakes.py in this process, a full disk in one of its own
def test_a_mistake_ends_with_exit_code_2_and_one_line():
    done = shell("plan", "--loss", "seven", "--inference-tokens", "10T")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_extra_one_line_says_what_to_install():
    script = (
        "import sys; sys.modules['typer'] = None\nfrom jaxscale.cli import main; main(['plan'])"
    )
    done = shell(script=script)
    assert done.returncode == 2
    assert done.stderr == "error: the command line needs: pip install 'jaxscale[all]'\n"


def test_importing_the_package_changes_no_switch_and_loads_no_terminal_or_picture():
    script = (
        "import sys, jaxscale, jaxscale.cli, jax\n"
        "assert not jax.config.jax_enable_x64\n"
        "assert not {'typer', 'rich', 'matplotlib'} & set(sys.modules)"
    )
    assert shell(script=script).returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("option", [(), pytest.param(("--json",), marks=pytest.mark.thorough)])
def test_a_full_disk_is_one_line(option):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "jaxscale.cli", *PLAN, *option],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=HUNG,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: cannot write the output: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT on Windows")
@pytest.mark.usefixtures("signals_are_heard")
def test_ctrl_c_ends_a_sweep_without_a_traceback(tmp_path, monkeypatch):
    # What is interrupted may leave half a program to the processes that share its cache.
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    (tmp_path / "spec.toml").write_text(
        "[axes]\nloss_nats_per_token = {from = 1.8, to = 2.6, count = 10_000}\n"
        "inference_tokens = {from = 1e9, to = 1e14, count = 10_000}"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "jaxscale.cli", "sweep", "spec.toml"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None and not list(tmp_path.glob("sweep.zarr/params/c*")):
                time.sleep(0.05)  # until it is at work
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=HUNG)
        finally:
            # Whatever failed: one that is left over warns in the tests that follow.
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.usefixtures("signals_are_heard")
def test_a_signal_while_the_libraries_load_prints_no_traceback(name):
    script = (
        "import signal, sys\n"
        "class Loading:\n"
        "    def find_spec(self, module, *_):\n"
        f"        if module == 'jax': signal.raise_signal(signal.{name})\n"
        "sys.meta_path.insert(0, Loading())\n"
        "from jaxscale._command import main\n"
        "main()"
    )
    done = shell(script=script)
    assert (done.returncode, done.stdout, done.stderr) == (128 + getattr(signal, name), "", "")


def test_the_command_that_is_installed_is_the_one_of_the_package():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    module, _, function = project["project"]["scripts"]["jaxscale"].partition(":")
    done = shell("--version", script=f"from {module} import {function}; {function}()")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("jaxscale")


NAMES = ["plan", "estimate", "fit", "simulate", "laws", "hardware"]
NAMES += ["sweep", "resume", "verify", "show"]


@pytest.mark.parametrize("name", [None, *NAMES])
def test_every_help_has_examples(command, name):
    code, out, err = command(*([name] if name else []), "--help")
    assert (code, err) == (0, "")
    assert "Examples" in out
    assert f"jaxscale {name or 'plan'}" in out.split("Examples")[1]


def test_no_command_prints_the_help(command):
    assert command().out == command("--help").out


def test_the_help_of_plan_explains_every_option(command):
    help_text = command("plan", "--help").out
    options = set(re.findall(r"--[a-z-]+", help_text))
    assert len(options) >= 24
    for option in ("--like-tokens", "--decode-mfu", "--max-tokens-per-param", "--json"):
        assert option in options
    assert "compute-optimal at no demand" in " ".join(help_text.replace("│", " ").split())


@pytest.fixture(scope="module")
def folder_of_a_fit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 60, key=1)
    fit = js.fit(js.laws.Chinchilla, runs)
    fit.save(folder / "fit.json", js.bootstrap(fit, resamples=50, key=1))
    return folder


@pytest.mark.parametrize("name", ["plan", "estimate", "laws", "hardware"])
def test_the_examples_of_the_help_run(command, name, folder_of_a_fit, monkeypatch):
    monkeypatch.chdir(folder_of_a_fit)
    text = re.sub(r"\\ *\n", " ", command(name, "--help").out.split("Examples")[1])
    lines = re.findall(r"^ *jaxscale (.+?) *$", text, re.MULTILINE)
    assert lines
    for line in lines:
        code, _, err = command(*shlex.split(line))
        assert (code, err) == (0, "")


def test_the_version_is_printed(command):
    code, out, err = command("--version")
    assert (code, err) == (0, "")
    assert out == f"jaxscale {js.__version__}\n"
