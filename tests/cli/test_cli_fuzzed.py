"""Random command lines of nasty values: a line and an exit code, whatever is typed."""

import os
import random
import warnings

import pytest

pytest.importorskip("typer")
pytest.importorskip("pandas")

import typer

from jaxscale.cli.app import application

COMMANDS = typer.main.get_command(application()).commands
LINES = int(os.environ.get("JAXSCALE_FUZZED_LINES", "120"))
SEED = random.SystemRandom().getrandbits(32)
# What no option takes, with markup, controls, marks of direction, half a surrogate pair, homes that
# nobody has, names too long for a disk, and numbers that are none or beyond float64.
NASTY = (
    *("", " ", "inf", "nan", "-1", "-inf", "1e999", "1e-999", "7 G", "1/2", "0x1", "٣", "½", "*"),
    *("[/]", "[/].csv", "[/].png", "[/].json", "[bold]", "[red", "]", "\\[/]", ":smile:", "%s"),
    *("\x1b[31m", "a\x07b", "\x1b]0;t\x07.csv", "\u202etxt.csv", "\u2066x\u2069", "\x9b31m"),
    *("\r\n", "\0", "\ud800", "\udcff.csv", "\ufeff", "\u200b", "\x7f", "日本.csv", "$x$.csv"),
    *("~nosuch", "~nosuch/x.png", "~nosuch.csv", "~nosuch.toml", "~nosuch.json", "~", "~/no/x"),
    *("no/x.csv", "no/x.png", "no/x.json", "/dev/null", "/dev/null/x.csv", "inf.csv", "nan.json"),
    *("x" * 300, "x" * 300 + ".csv", "x" * 5000, "../" * 50 + "no.toml", "-", "--", "--=", "-x"),
    *("==", "E=1", "E=1,A=2,B=3,alpha=4,beta=[/]", "bits=8", "bits=inf", "x=best", "\x1b=1"),
    *("[/]=1", "moments:[/]", "lowest:params:0", "0/0", "2/1", "-1/3", "tcp://[/]", "\\", "{}"),
)
NUMBERS = ("0", "1", "7B", "1T", "1e300", "1e-300", "1e308", "2e12", "50%", "2.2")


def random_line(rng: random.Random) -> list[str]:
    """A command with some of its options, most of them with a value that nobody means."""
    name = rng.choice(sorted(COMMANDS))
    line = [rng.choice(NASTY) if rng.random() < 0.03 else name]
    params = [each for each in COMMANDS[name].params if each.opts and each.name != "help"]
    arguments = [each for each in params if each.param_type_name == "argument"]
    options = [each for each in params if each not in arguments]
    for option in rng.sample(options, min(len(options), rng.randint(1, 5))):
        value = rng.choice(NASTY if rng.random() < 0.6 else NUMBERS)
        line += [rng.choice(option.opts)] if option.is_flag else [option.opts[-1], value]
    if arguments and rng.random() < 0.8:
        line.insert(rng.randint(1, len(line)), rng.choice(NASTY))
    return line


def test_random_command_lines_end_in_a_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("jaxscale.sweeping.spec.DEFAULT", "__init__.py")  # not a million scenarios
    monkeypatch.setattr("jaxscale.cli.figures.PICTURES", {})
    monkeypatch.setattr("jaxscale.cli.explore._serve", lambda *_: None)  # which does not end
    print("seed", SEED)
    rng = random.Random(SEED)
    for _ in range(LINES):
        line = random_line(rng)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                code, out, err = command(*line)
            except BaseException as error:
                raise AssertionError(f"{line!r} raises {error!r}") from error
        assert code in (0, 1, 2), (line, code)
        raw = [char for char in out + err if not char.isprintable() and char != "\n"]
        assert not raw, (line, raw)
        assert code == 0 or len(err.splitlines()) == 1, (line, err)
        assert "Traceback" not in err, (line, err)
