"""What `--json` prints is what its page says, and every command has it."""

import json
import re
from pathlib import Path

import pytest

import jaxscale as js

typer = pytest.importorskip("typer")

from jaxscale.cli.app import application  # noqa: E402 - needs what is skipped above

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
SECTIONS = dict(re.findall(r"^## jaxscale (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = typer.main.get_command(application()).commands
SPECIFICATION = """
[axes]
loss_nats_per_token = [2.0, 2.1]
[fixed]
law = "sardana2024"
inference_tokens = 1e12
"""
# One cheap call of each command, in an order in which files are there before they are read.
CALLS = {
    "plan": ("--loss", "2", "--inference-tokens", "1T"),
    "estimate": ("--params", "7B", "--tokens", "1T"),
    "serve": ("llama-3-8b", "--on", "L4"),
    "profit": (
        *("--value-per-nat", "1B$", "--worthless-at", "2.2", "--inference-tokens", "1T"),
        *("--train-on", "H100-SXM", "--train-price", "2", "--serve-on", "H100-SXM"),
        *("--serve-price", "2"),
    ),
    "implied": ("llama-3-8b",),
    "recipe": ("--params", "1B", "--tokens", "100B"),
    "rl": ("--start", "30%", "--price", "2", "--point-value", "1000"),
    "laws": ("sardana2024",),
    "hardware": ("L4",),
    "allocations": (),
    "simulate": ("runs.csv",),
    "design": ("--budget", "1e21"),
    "sweep": ("spec.toml", "--store", "a.zarr"),
    "resume": ("a.zarr",),
    "verify": ("a.zarr",),
    "show": ("a.zarr",),
}


def documented(name):
    return re.findall(r"^\| `(\w+)` \|", SECTIONS[name], re.MULTILINE)


def test_every_command_prints_json_and_has_a_section():
    assert set(SECTIONS) == set(COMMANDS)
    for name, command in COMMANDS.items():
        assert "--json" in {option for each in command.params for option in each.opts}, name
        assert documented(name), name


def test_commands_print_the_keys_that_are_documented(command, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPECIFICATION)
    for name, arguments in CALLS.items():
        code, out, _ = command(name, *arguments, "--json")
        assert code == 0, name
        record = json.loads(out)
        assert list(record)[:2] == ["command", "version"]
        assert (record["command"], record["version"]) == (name, js.__version__)
        assert set(record) - {"command", "version"} == set(documented(name)), name


def test_the_keys_of_a_law_and_of_a_device_are_documented(command):
    for name, argument, key in (
        ("laws", "besiroglu2024", "laws"),
        ("hardware", "H100-SXM", "accelerators"),
    ):
        (record,) = json.loads(command(name, argument, "--json").out)[key]
        assert set(record) <= set(re.findall(r"`(\w+)`", SECTIONS[name]))
        assert record["name"] == argument


def test_a_coefficient_without_a_known_error_is_null(command):
    for record in json.loads(command("laws", "--json").out)["laws"]:
        json.dumps(record, allow_nan=False)


def test_completion_scripts_can_be_shown(command, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    code, out, _ = command("--show-completion")
    assert code == 0
    assert "_JAXSCALE_COMPLETE=complete_bash" in out


def test_names_of_laws_and_accelerators_are_completed():
    from jaxscale.cli import options

    assert "sardana2024" in options.complete_laws()
    assert "H100-SXM" in options.complete_accelerators()
