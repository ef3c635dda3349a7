"""Whatever the user gets wrong is one line on stderr and exit code 2."""

import os
import signal

import pytest

from jaxscale.cli import main

pytest.importorskip("typer")
pd = pytest.importorskip("pandas")
xarray = pytest.importorskip("xarray")

from jaxscale.sweeping.results import write_csv  # noqa: E402 - needs what is skipped above

LOSS = ("plan", "--loss", "1.9")
DEMAND = ("--inference-tokens", "1T")
PLAN = (*LOSS, *DEMAND)
ON = ("--train-on", "A100-40GB", "--serve-on", "A100-40GB")
BITS = (*PLAN, "--law", "kumar2024", "--lever")
SIZES = ("estimate", "--params", "7B", "--tokens", "1T")
COEFFICIENTS = "E=1.69,A=406.4,B=410.7,alpha=.336,beta=.283"

# What is typed, and a piece of what must be answered.
MISTAKES = [
    # numbers
    (("plan", "--loss", "low", *DEMAND), "--loss: 'low' is not a number"),
    (("plan", "--loss", "", *DEMAND), "--loss: '' is not a number"),
    (("plan", "--loss", "nan", *DEMAND), "--loss: 'nan' is not a number"),
    (("plan", "--loss", "inf", *DEMAND), "--loss: 'inf' is not a number"),
    (("plan", "--loss", "-2", *DEMAND), "--loss: '-2' must not be negative"),
    (("plan", "--loss", "0", *DEMAND), "--loss: '0' must be greater than zero"),
    (("plan", "--like-params", "70 G", *DEMAND), "--like-params: '70 G' is not a number"),
    (("plan", "--like-params", "-70B", *DEMAND), "--like-params: '-70B' must not be negative"),
    (("plan", "--like-params", "0", *DEMAND), "greater than zero"),
    ((*LOSS, "--inference-tokens", "-1"), "--inference-tokens: '-1' must not be negative"),
    ((*LOSS, "--inference-tokens", "1e999"), "beyond the range of float64"),
    ((*LOSS, "--inference-tokens", "1\n2"), "is not a number"),
    (("recipe", "--params", "7", "--tokens", "1T"), "--params: '7' is below the 768 params of the"),
    (("recipe", "--params", "7B", "--tokens", "1"), "--tokens: '1' is less than one sequence"),
    (("estimate", "--params", "70", "--tokens", "1T"), "--params: '70' is below"),
    (("plan", "--like-params", "70", *DEMAND), "--like-params: '70' is below"),
    ((*PLAN, "--max-params", "7"), "--max-params: '7' is below"),
    ((*PLAN, "--max-params", "0"), "--max-params: '0' must be greater than zero"),
    ((*PLAN, "--max-tokens", "many"), "--max-tokens: 'many' is not a number"),
    ((*PLAN, "--max-tokens-per-param", "nan"), "--max-tokens-per-param: 'nan'"),
    ((*PLAN, *ON, "--train-mfu", "50"), "at most 1, or 100%"),
    ((*PLAN, *ON, "--decode-mfu", "0"), "--decode-mfu: '0' must be greater than zero"),
    ((*PLAN, *ON, "--train-price", "free"), "--train-price: 'free' is not a number"),
    ((*PLAN, *ON, "--serve-price", "0"), "--serve-price: '0' must be greater than zero"),
    # which quality
    (("plan", *DEMAND), "give --loss, or --like-params"),
    ((*PLAN, "--like-params", "7B"), "either --loss or the model to match, not both"),
    ((*PLAN, "--like-tokens", "7B"), "either --loss or the model to match, not both"),
    (("plan", "--like-tokens", "1T", *DEMAND), "--like-tokens alone is not a model"),
    # which demand
    (LOSS, "the demand is missing: use --inference-tokens; or --input-tokens with"),
    ((*PLAN, "--requests", "1B"), "the demand is given in more than one way"),
    ((*LOSS, "--input-tokens", "1T"), "give --output-tokens too, or 0"),
    ((*LOSS, "--output-tokens", "1T"), "give --input-tokens too, or 0"),
    ((*LOSS, "--requests", "1B"), "give --input-per-request and --output-per-request too"),
    ((*LOSS, "--input-per-request", "9"), "give --requests and --output-per-request too"),
    (
        (*LOSS, "--requests", "1e300", "--input-per-request", "1e300", "--output-per-request", "1"),
        "Not a number to compute with: input tokens inf; correct",
    ),
    # laws
    ((*PLAN, "--law", "sardana2O24"), "unknown law 'sardana2O24' (did you mean sardana2024?)"),
    ((*PLAN, "--law", ""), "unknown law ''"),
    ((*PLAN, "--law", "[bold]"), "unknown law '[bold]'"),
    ((*PLAN, "--law", "E=1.69,A=406.4"), "B, alpha, beta missing"),
    ((*PLAN, "--law", f"{COEFFICIENTS},beta=.3"), "'beta' is given twice"),
    ((*PLAN, "--law", f"{COEFFICIENTS},gamma=1"), "'gamma' is not a coefficient"),
    ((*PLAN, "--law", "="), "'' is not a coefficient"),
    ((*PLAN, "--law", COEFFICIENTS.replace(".336", "nan")), "--law: alpha: 'nan' is not a number"),
    ((*PLAN, "--law", COEFFICIENTS.replace(".336", "0")), "alpha: '0' must be greater than zero"),
    ((*PLAN, "--law", COEFFICIENTS.replace("406.4", "-1")), "A: '-1' must not be negative"),
    (
        (*PLAN, "--law", COEFFICIENTS.replace(".336", "9")),
        "from 0.01 to 3; alpha is 9.",
    ),
    ((*PLAN, "--law", "Kaplen:N_c=1"), "--law: unknown family 'Kaplen' (did you mean Kaplan?)"),
    ((*PLAN, "--law", "Kaplan:N_c=1,E=2"), "--law: 'E' is not a coefficient of a Kaplan law; they"),
    (
        (*PLAN, "--law", "Kaplan:N_c=1e13,D_c=1e13"),
        "--law: alpha_N, alpha_D missing; write Kaplan:N_c=..,D_c=..,alpha_N=..,alpha_D=..",
    ),
    ((*PLAN, "--law", "Kaplan:N_c=x,D_c=1,alpha_N=1,alpha_D=1"), "--law: N_c: 'x' is not a number"),
    (
        (
            *("estimate", "--flops", "1e19", "--tokens", "10B"),
            *("--law", "tao2024", "--lever", "vocabulary_params=200M"),
        ),
        "--flops: no size of model takes that many FLOPs",
    ),
    # levers
    ((*PLAN, "--law", "kumar2024"), "--law: kumar2024 needs --lever bits=VALUE, 3.00 to 16.0"),
    ((*PLAN, "--lever", "bits=8"), "--lever: sardana2024 has no lever 'bits'; its levers: none"),
    ((*BITS, "bit=8"), "--lever: kumar2024 has no lever 'bit' (did you mean bits?)"),
    ((*BITS, "bits"), "--lever: 'bits' is not a lever; write bits=8"),
    ((*BITS, "=8"), "--lever: '=8' is not a lever; write bits=8"),
    ((*BITS, "bits=8", "--lever", "bits=9"), "--lever: 'bits=9' is given twice"),
    ((*BITS, "bits=few"), "--lever bits: 'few' is not a number"),
    ((*BITS, "bits=32"), "--lever bits: 32 is outside its range, 3.00 to 16.0"),
    (
        (*PLAN, "--law", "clark2022_hash", "--lever", "experts=64"),
        "The loss of this law does not depend on tokens, so no training length is better",
    ),
    (
        ("plan", "--like-params", "1B", *DEMAND, "--law", "clark2022_rlr", "--lever", "experts=2"),
        "--like-params: The loss of this law does not depend on tokens",
    ),
    (
        (*PLAN, "--law", "tao2024", "--lever", "vocabulary_params=200M"),
        "--loss: the loss of tao2024 is normalised by that of unigrams: use --like-params",
    ),
    (
        (*SIZES, "--law", "abnar2025", "--lever", "sparsity=best"),
        "--lever: sparsity=best is for jaxscale plan and compare; give one value",
    ),
    (
        (*SIZES, "--law", "ludziejewski2025", "--lever", "experts=1,8"),
        "--lever: experts=1,8 is for jaxscale plan and compare; give one value",
    ),
    (
        ("recipe", *SIZES[1:], "--law", "li2025"),
        "--law: the loss of li2025 is on a scale of its own",
    ),
    (
        (*PLAN, "--law", "li2025"),
        "--loss: the loss of li2025 is on a scale of its own",
    ),
    (
        ("plan", "--accuracy", "gadre2024_c4=15.01%", *DEMAND),
        "no model has 15.01 % on the 17 tasks of Gadre et al. 2024; give an accuracy between 15.1",
    ),
    (("simulate", "--law", "tao2024"), "--law: tao2024 needs vocabulary_params: use jaxscale"),
    (("fit", "runs.csv", "--law", "kaplan2020"), "--beside puts a published law next to the fit"),
    (("compare", *LOSS[1:], *DEMAND, "--lever", "bit=8"), "no law has 'bit' (did you mean bits?)"),
    (("compare", *DEMAND), "give --loss, or --like-params"),
    # accelerators
    ((*PLAN, "--train-on", "H1OO-SXM", "--serve-on", "L4"), "did you mean H100-SXM?"),
    ((*PLAN, "--train-on", "A100", "--serve-on", "L4"), "--train-on: accelerator 'A100' is ambig"),
    ((*PLAN, "--train-on", "", "--serve-on", "L4"), "--train-on: unknown accelerator ''"),
    ((*PLAN, "--train-on", "A100-40GB"), "give --serve-on too"),
    ((*PLAN, "--serve-on", "A100-40GB"), "give --train-on too"),
    ((*PLAN, *ON, "--serve-precision", "fp8"), "--serve-precision: A100-40GB has no peak for"),
    ((*PLAN, *ON, "--train-precision", "bf61"), "did you mean bf16?"),
    ((*PLAN, *ON, "--train-precision", ""), "A100-40GB has no peak for precision ''"),
    (
        (*PLAN, "--train-on", "H100-SXM", *ON[2:]),
        "H100-SXM has no default price: give --train-price",
    ),
    (
        (*PLAN, *ON[:2], "--serve-on", "GB200"),
        "give --serve-price in dollars per device-hour; quotes",
    ),
    ((*PLAN, "--train-mfu", "0.4"), "--train-mfu needs --train-on and --serve-on"),
    ((*PLAN, "--serve-price", "2"), "--serve-price needs --train-on and --serve-on"),
    ((*PLAN, "--train-precision", "fp8"), "--train-precision needs"),
    # the time of the training
    ((*PLAN, *ON, "--train-count", "1.5"), "--train-count: '1.5' must be a whole number"),
    ((*PLAN, *ON, "--train-count", "0"), "--train-count: '0' must be greater than zero"),
    ((*PLAN, *ON, "--deadline", "30"), "--deadline: '30' is not a time; write it like 30d"),
    ((*PLAN, *ON, "--deadline", "0d"), "--deadline: '0' must be greater than zero"),
    ((*PLAN, *ON, "--deadline", "1d", "--train-count", "8"), "not both: one follows"),
    ((*PLAN, "--deadline", "1d"), "--deadline needs --train-on and --serve-on"),
    # what no plan satisfies
    (
        ("plan", "--loss", "1.5", *DEMAND),
        "The loss 1.5 is not above the law's E, 1.69, so",
    ),
    (("plan", "--loss", "1.69", *DEMAND), "The loss 1.69 is not above the law's E, 1.69, so no"),
    # E as Kumar et al. 2024 print it.
    ((*BITS, "bits=8"), "The loss 1.9 is not above the law's E, 2.7648, so no model"),
    ((*PLAN, "--law", "kumar2024", "--lever", "bits=best"), "the law's E, 2.7648, so no model"),
    # 1.69 + 406.4 / 1e9^0.336, and 1.69 + 406.4 / 2e10^0.336 + 410.7 / 1e12^0.283
    ((*PLAN, "--max-params", "1B"), "at most 1.00B params reaches the loss 1.9; the least there"),
    ((*PLAN, "--max-params", "1B"), f"the least there is {1.69 + 406.4 / 1e9**0.336:.5g}: widen"),
    (
        (*PLAN, "--max-params", "20B", "--max-tokens", "1T"),
        f"the least there is {1.69 + 406.4 / 2e10**0.336 + 410.7 / 1e12**0.283:.5g}: widen bounds",
    ),
    (
        (*PLAN, "--max-params", "1B", "--max-tokens-per-param", "20"),
        "at most 1.00B params and at most 20.0 tokens per param reaches the loss 1.9; the least "
        f"there is {1.69 + 406.4 / 1e9**0.336 + 410.7 / 2e10**0.283:.5g}: widen bounds",
    ),
    ((*PLAN, "--json", "--max-params", "1B"), "at most 1.00B params reaches the loss 1.9"),
    (
        ("plan", "--like-params", "1e300", *DEMAND),
        "--like-params: A result over- or underflows float64",
    ),
    (("plan", "--loss", "1e300", *DEMAND), "float64 (loss 1e+300, input tokens 1e+12); use"),
    # estimate
    (("estimate",), "give two of --params, --tokens and --flops, or one with --compute-optimal"),
    (("estimate", "--params", "7B"), "give two of --params, --tokens and --flops"),
    ((*SIZES, "--flops", "1e22"), "give two of --params, --tokens and --flops"),
    ((*SIZES, "--compute-optimal"), "give one of --params, --tokens and --flops"),
    (("estimate", "--compute-optimal"), "give one of --params, --tokens and --flops"),
    ((*SIZES, "--train-mfu", "0.4"), "--train-mfu needs --train-on"),
    ((*SIZES, "--train-on", "TPU-v9"), "unknown accelerator 'TPU-v9'"),
    ((*SIZES, "--train-on", "L4"), "L4 has no default price: give --train-price"),
    (
        ("estimate", "--params", "1e280", "--compute-optimal"),
        "--compute-optimal: A result over- or underflows float64",
    ),
    (("estimate", "--params", "1e-300", "--flops", "1e300"), "--params: '1e-300' is below the 768"),
    (("estimate", "--params", "1e9", "--flops", "1e-300"), "underflows float64 (params 1e+09, tok"),
    # catalogues
    (("laws", "chinchilla"), "unknown law 'chinchilla'"),
    (("hardware", "abacus"), "unknown accelerator 'abacus'"),
    (("hardware", "H100"), "'H100' is ambiguous: choose from H100-SXM, H100-PCIe"),
    # the words themselves
    (("pln",), "no such command: pln (did you mean plan?); see jaxscale --help"),
    (("xyz",), "no such command: xyz; see jaxscale --help"),
    ((*PLAN, "--lik", "3"), "no such option: --lik (did you mean --like-params or --like-tokens?)"),
    ((*PLAN, "--inferense-tokens", "3"), "did you mean --inference-tokens?"),
    ((*PLAN, "--zzz"), "no such option: --zzz; see jaxscale plan --help"),
    (("--verison",), "no such option: --verison (did you mean --version?)"),
    ((*PLAN, "70"), "extra argument"),
    (("plan", "--loss"), "--loss"),
    ((*PLAN, "--json=yes"), "--json"),
    (("laws", "a", "b"), "extra argument"),
    (("plan", "\x1b[31m"), "extra argument"),
]


@pytest.mark.parametrize(
    ("typed", "answer"), MISTAKES, ids=[ascii(" ".join(typed)) for typed, _ in MISTAKES]
)
def test_a_mistake_is_one_line_and_exit_code_2(command, typed, answer):
    code, out, err = command(*typed)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert answer in err
    assert "Traceback" not in err


def test_ctrl_c_prints_no_traceback(command, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxscale.cli.plan.compare", interrupt)
    code, _, err = command(*PLAN)
    assert code == 130
    assert err.strip() in ("", "Aborted!")


SIGNALS = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.mark.usefixtures("signals_are_heard")
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_leaves_no_part_of_a_table_and_its_own_exit_code(
    command, monkeypatch, tmp_path, name
):
    number = getattr(signal, name)

    def parts(_):
        yield pd.DataFrame({"x": [1]})
        assert list(tmp_path.iterdir())  # so there is something to remove
        signal.raise_signal(number)
        yield pd.DataFrame({"x": [2]})

    monkeypatch.setattr("jaxscale.sweeping.results._tables", parts)
    monkeypatch.setattr(
        "jaxscale.cli.plan.compare", lambda *_: write_csv(xarray.Dataset(), tmp_path / "table.csv")
    )
    code, out, err = command(*PLAN)
    assert (code, out) == (128 + number, "")
    assert err.strip() in (("", "Aborted!") if name == "SIGINT" else (f"ended by {name}",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no SIGHUP on Windows")
def test_a_signal_that_the_process_ignores_stays_ignored(command, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        monkeypatch.setattr(
            "jaxscale.cli.plan.compare", lambda *_: signal.raise_signal(signal.SIGHUP)
        )
        monkeypatch.setattr("jaxscale.cli.plan_report.show", lambda _: None)
        assert command(*PLAN).code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_fault_of_our_own_is_not_blamed_on_the_user(monkeypatch):
    def fail(*_):
        raise ValueError("ours")

    monkeypatch.setattr("jaxscale.cli.plan.compare", fail)
    with pytest.raises(ValueError, match="ours"):
        main(PLAN)
