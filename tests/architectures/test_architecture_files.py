"""Architectures from TOML, JSON and configurations of Hugging Face."""

import json

import pytest

from jaxscale.architectures import Architecture, published, read

TOML = """
layers = 32
width = 4096
heads = 32
kv_heads = 8
head_size = 128
ff_width = 14336
vocabulary = 128256
context = 8192
gated = true
tied = false
"""
# As in the file of Llama-3-8B, with some of the fields that say nothing about sizes.
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
EXPERTS = {"num_local_experts": 8, "num_experts_per_tok": 2}


@pytest.fixture
def written(tmp_path):
    def write(content, name="config.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_toml_by_our_names(written):
    assert read(written(TOML, "llama.toml")) == published("llama-3-8b")


def test_json_by_our_names_with_all_that_may_be_left_out(written):
    fields = {"layers": 2, "width": 96, "heads": 5, "ff_width": 384, "vocabulary": 1000}
    found = read(written(fields | {"context": 64, "gated": False, "tied": True}))
    assert found == Architecture(2, 96, 5, 5, 19.2, 384, 1000, 64, gated=False, tied=True)


def test_a_configuration_of_hugging_face(written):
    assert read(str(written(CONFIG))) == published("llama-3-8b")
    sparse = CONFIG | EXPERTS | {"model_type": "mixtral", "vocab_size": 32000, "head_dim": None}
    sparse["max_position_embeddings"] = 32768
    assert read(written(sparse)) == published("mixtral-8x7b")


def test_a_configuration_of_a_type_that_is_not_known_says_the_rest_itself(written):
    other = {key: x for key, x in CONFIG.items() if key != "tie_word_embeddings"}
    other["model_type"] = "new"
    with pytest.raises(ValueError, match="gated is missing"):
        read(written(other))
    found = read(written(other | {"gated": False, "tied": True}))
    assert (found.gated, found.tied) == (False, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": -1}, "hidden_size must be a finite number above 0; got -1"),
        ({"hidden_size": True}, "hidden_size must be a finite number above 0; got True"),
        ({"vocab_size": "many"}, "vocab_size must be a finite number above 0; got 'many'"),
        ({"vocab_size": float("inf")}, "vocab_size must be a finite number above 0; got inf"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings must be true or false; got 1"),
        ({"num_hidden_layers": None}, r"layers \(or num_hidden_layers\) is missing"),
        ({"num_key_value_heads": 64}, "kv_heads must be at most heads, 32; got 64"),
        ({"num_local_experts": 8}, r"active_experts \(or num_experts_per_tok\) is missing"),
        ({"width": 4096}, "hidden_size and width are one field: give it once"),
        ({"n_routed_experts": 64}, "n_routed_experts is of a build that an Architecture cannot"),
    ],
)
def test_a_mistake_names_the_file_and_the_field(written, change, message):
    path = written(CONFIG | change)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_mistake_in_a_name_is_answered_with_the_nearest(written):
    with pytest.raises(ValueError, match=r"unknown field 'layer' \(did you mean layers\?\); known"):
        read(written(TOML.replace("layers", "layer"), "a.toml"))


@pytest.mark.parametrize("content", ["{", "[1, 2]", "\udcff"])
def test_what_holds_no_architecture_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"config\.json: (neither TOML nor JSON|must hold fields)"):
        read(path)
    with pytest.raises(ValueError, match=r"cannot read .*nowhere\.toml"):
        read(tmp_path / "nowhere.toml")
