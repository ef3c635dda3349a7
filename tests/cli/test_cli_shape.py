"""`jaxscale estimate --architecture`: what a shape holds, computes and costs to train."""

import json

import pytest

pytest.importorskip("typer")

TOML = """
layers = 12
width = 768
heads = 12
ff_width = 3072
vocabulary = 50257
context = 1024
gated = false
tied = true
learned_positions = true
"""


@pytest.fixture
def estimate(command):
    def run(*arguments):
        code, out, err = command("estimate", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def test_a_shape_alone_says_what_it_holds(estimate):
    found = estimate("--architecture", "llama-2-13b")
    assert found["params"] == found["active_params"] == 13_015_864_320
    assert found["bytes"]["weights"] == 2 * 13_015_864_320
    assert found["bytes"]["training_state"] == 16 * 13_015_864_320
    assert 2 * found["bytes"]["kv_cache_of_a_context"] == 6_710_886_400  # 4096 tokens, not 8192
    flops = found["flops_per_token"]
    assert flops["6n"]["train"] == 6 * 13_015_864_320
    assert flops["palm"]["train"] == 6 * 13_015_864_320 + 12 * 40 * 5120 * 4096
    assert flops["palm"]["over_6n"] == pytest.approx(1 + 2 * 40 * 5120 * 4096 / 13_015_864_320)


def test_a_file_is_the_shape_in_it(estimate, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    assert estimate("--architecture", str(path))["params"] == 124_337_664


# Kaplan's and nanoGPT's count: 24 w^2 in a layer, 4 T w of scores and values, 2 V w of logits.
GPT2_TRAIN_FLOPS = 3 * (12 * (24 * 768**2 + 4 * 1024 * 768) + 2 * 50257 * 768)


def test_a_training_is_priced_by_the_shape(estimate):
    found = estimate("--architecture", "gpt2", "--tokens", "10B")
    assert found["flops"] == pytest.approx(10e9 * GPT2_TRAIN_FLOPS)
    assert found["params"] == 124_337_664
    by_flops = estimate("--architecture", "gpt2", "--flops", str(10e9 * GPT2_TRAIN_FLOPS))
    assert by_flops["tokens"] == pytest.approx(10e9)
    assert by_flops["loss"] == pytest.approx(found["loss"])
    by_rule = estimate("--params", "124337664", "--tokens", "10B")
    assert by_rule["loss"] == pytest.approx(found["loss"])
    assert by_rule["flops"] == pytest.approx(6 * 124_337_664 * 10e9)


def test_dollars_follow_the_flops_of_the_shape(estimate):
    rented = "--train-on", "H100-SXM", "--train-price", "2", "--train-mfu", "50%"
    found = estimate("--architecture", "gpt2", "--tokens", "10B", *rented)
    seconds = 10e9 * GPT2_TRAIN_FLOPS / (0.5 * 989.4e12)
    assert found["dollars"] == pytest.approx(2 * seconds / 3600, rel=1e-3)


def test_idle_experts_are_weights_and_no_flops(command, estimate):
    found = estimate("--architecture", "mixtral-8x7b", "--tokens", "1T")
    assert found["params"] == pytest.approx(12.9e9, rel=0.01)  # active, as its paper says
    assert found["flops"] > 6 * found["params"] * 1e12 * 0.9
    out = command("estimate", "--architecture", "mixtral-8x7b", "--tokens", "1T").out
    assert "dense model" in out


def test_tables_name_every_count(command):
    code, out, err = command("estimate", "--architecture", "gpt2")
    assert (code, err) == (0, "")
    for word in ("124.3M in all", "operations", "kaplan", "hoffmann", "palm", "kipply", "6n"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--architecture", "lama-7b"), "did you mean llama-7b?"),
        (("--architecture", "gpt2", "--params", "1B"), "not both"),
        (("--architecture", "gpt2", "--train-on", "H100-SXM"), "give --tokens or --flops"),
        (("--architecture", "gpt2", "--train-mfu", "40%"), "give --tokens or --flops"),
        (("--architecture", "gpt2", "--law", "nope"), "unknown law"),
        (("--architecture", "gpt2", "--tokens", "1e300"), "underflows"),
        (("--architecture", "gpt2", "--tokens", "1B", "--flops", "1e20"), "stands for --params"),
        (("--architecture", "no-such.toml"), "no-such.toml"),
        (
            ("--architecture", "gpt2", "--tokens", "1B", "--law", "kumar2024", "--lever", "bits=8"),
            "counts its own FLOPs",
        ),
    ],
)
def test_mistakes_are_one_line(command, arguments, message):
    code, out, err = command("estimate", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_law_without_embeddings_gets_the_params_that_it_counts(estimate):
    """12 layers of 12 w^2 matrices: Kaplan et al. 2020, Table 1."""
    found = estimate("--architecture", "gpt2", "--tokens", "10B", "--law", "kaplan2020")
    assert found["params"] == 12 * 12 * 768**2


def test_what_a_machine_reads_has_the_notes(estimate):
    assert "dense model" in estimate("--architecture", "mixtral-8x7b", "--tokens", "1T")["note"]


def test_a_shape_says_what_its_layers_keep(command, estimate):
    found = estimate("--architecture", "deepseek-v3")
    assert found["bytes"]["kv_cache_of_a_token"] == 61 * (512 + 64) * 2
    code, out, _ = command("estimate", "--architecture", "deepseek-v3")
    assert code == 0
    assert "128 heads of 128, latents of 512 and rotary keys of 64" in " ".join(out.split())
    assert "8 of 256 experts and 1 shared; 3 layers without experts" in " ".join(out.split())
    found = estimate("--architecture", "gpt-oss-120b")
    cached = 18 * 2 * 8 * 64 * 2 * (131072 + 128)
    assert found["bytes"]["kv_cache_of_a_context"] == cached
    found = estimate("--architecture", "qwen3-next-80b-a3b")
    assert found["bytes"]["kv_cache_of_a_token"] == 12 * 2 * 2 * 256 * 2
    of_states = 36 * (32 * 128 * 128 + 8192 * 4) * 2
    cached = 12 * 2 * 2 * 256 * 2 * 262144 + of_states
    assert found["bytes"]["kv_cache_of_a_context"] == cached


def test_facts_are_of_the_parts_that_a_shape_has():
    from jaxscale import architectures

    assert "window" not in dict(architectures.entry("llama-3-8b").facts())
    assert dict(architectures.entry("gpt-oss-20b").facts())["window"] == "128"
