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
        ({"index_topk": 2048}, "index_topk is of a build that an Architecture cannot"),
        ({"kv_lora_rank": 512}, "qk_nope_head_dim is missing"),
        (
            {"kv_lora_rank": 512, "qk_nope_head_dim": 192, "v_head_dim": 256},
            "v_head_dim 256 beside a qk_nope_head_dim of 192 is of a build that",
        ),
        (
            {"layer_types": ["chunked_attention"] * 32},
            "chunked_attention in layer_types is of a bu",
        ),
        ({"layer_types": ["linear_attention"] * 32}, "linear_attention in layer_types of this mod"),
        ({"layer_types": ["full_attention"]}, "layer_types must list 32 layers; got 1"),
        ({"layer_types": "all"}, "layer_types must be a list; got 'all'"),
        ({"text_config": 3}, "text_config must hold fields by name; got int"),
        ({"model_type": "new", "gated": True, "sliding_window": 8}, "layer_types must list for th"),
        ({"window": -1}, "window must be a finite number 0 or above; got -1"),
        ({"window_layers": 33, "window": 8}, "must be at most layers together"),
        ({"window_layers": 3}, "window is missing, beside window_layers"),
        ({"rope_size": 64}, "rope_size is of latent attention: kv_latent is missing"),
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


SLIDING, FULL, LINEAR = "sliding_attention", "full_attention", "linear_attention"
MOE = {"num_experts_per_tok": 10, "decoder_sparse_step": 1, "mlp_only_layers": []}
# Of each published shape, a file with the fields that its counts depend on.
CONFIGS = {
    "mistral-7b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 32768,
        "model_type": "mistral",
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
        "tie_word_embeddings": False,
        "vocab_size": 32000,
    },
    "mistral-large-2": {
        "head_dim": 128,
        "hidden_size": 12288,
        "intermediate_size": 28672,
        "max_position_embeddings": 131072,
        "model_type": "mistral",
        "num_attention_heads": 96,
        "num_hidden_layers": 88,
        "num_key_value_heads": 8,
        "sliding_window": None,
        "vocab_size": 32768,
    },
    "gemma-2-27b": {
        "head_dim": 128,
        "hidden_size": 4608,
        "intermediate_size": 36864,
        "max_position_embeddings": 8192,
        "model_type": "gemma2",
        "num_attention_heads": 32,
        "num_hidden_layers": 46,
        "num_key_value_heads": 16,
        "sliding_window": 4096,
        "vocab_size": 256000,
    },
    "gemma-3-27b": {
        "model_type": "gemma3",
        "text_config": {
            "head_dim": 128,
            "hidden_size": 5376,
            "intermediate_size": 21504,
            "model_type": "gemma3_text",
            "num_attention_heads": 32,
            "num_hidden_layers": 62,
            "num_key_value_heads": 16,
            "sliding_window": 1024,
        },
        "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27},
    },
    "gpt-oss-20b": {
        "head_dim": 64,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "layer_types": [SLIDING, FULL] * 12,
        "max_position_embeddings": 131072,
        "model_type": "gpt_oss",
        "num_attention_heads": 64,
        "num_experts_per_tok": 4,
        "num_hidden_layers": 24,
        "num_key_value_heads": 8,
        "num_local_experts": 32,
        "sliding_window": 128,
        "vocab_size": 201088,
    },
    "deepseek-v3": {
        "first_k_dense_replace": 3,
        "head_dim": 64,  # as Transformers writes it: the rotary part
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "kv_lora_rank": 512,
        "max_position_embeddings": 163840,
        "model_type": "deepseek_v3",
        "moe_intermediate_size": 2048,
        "moe_layer_freq": 1,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_attention_heads": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 61,
        "num_key_value_heads": 128,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "tie_word_embeddings": False,
        "v_head_dim": 128,
        "vocab_size": 129280,
    },
    "qwen3-next-80b-a3b": MOE
    | {
        "full_attention_interval": 4,
        "head_dim": 256,
        "hidden_size": 2048,
        "intermediate_size": 5120,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_value_head_dim": 128,
        "max_position_embeddings": 262144,
        "model_type": "qwen3_next",
        "moe_intermediate_size": 512,
        "num_attention_heads": 16,
        "num_experts": 512,
        "num_hidden_layers": 48,
        "num_key_value_heads": 2,
        "shared_expert_intermediate_size": 512,
        "vocab_size": 151936,
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_is_the_published_shape(written, name):
    assert read(written(CONFIGS[name])) == published(name)


def changed(name, **changes):
    config = CONFIGS[name] | changes
    return {key: x for key, x in config.items() if x != "absent"}


def test_windows_are_those_of_the_layers_that_have_them(written):
    def windows(config):
        found = read(written(config))
        return found.window_layers, found.window

    # Where a file does not list its layers, every model type has its own rule.
    assert windows(changed("gpt-oss-20b", layer_types="absent")) == (12, 128)
    assert windows(changed("gemma-2-27b", num_hidden_layers=45)) == (23, 4096)
    text = CONFIGS["gemma-3-27b"]["text_config"]
    assert windows(text | {"sliding_window_pattern": 3}) == (62 - 62 // 3, 1024)
    assert windows(text | {"layer_types": [SLIDING] * 2 + [FULL] * 60}) == (2, 1024)
    assert windows(changed("mistral-7b", sliding_window="absent")) == (32, 4096)
    qwen = CONFIG | {"model_type": "qwen2", "sliding_window": 4096, "max_window_layers": 28}
    assert windows(qwen) == (0, 0)
    assert windows(qwen | {"use_sliding_window": True}) == (4, 4096)
    assert windows(qwen | {"use_sliding_window": True, "max_window_layers": 40}) == (0, 0)
    with pytest.raises(ValueError, match="sliding_window holds in layers that layer_types must"):
        windows(qwen | {"use_sliding_window": True, "model_type": "qwen3_moe"})
    assert windows(CONFIG | {"sliding_window": 4096}) == (0, 0)  # which Llama has not


def test_experts_and_layers_without_them(written):
    def experts(config):
        a = read(written(config))
        return a.experts, a.shared_experts, a.ff_width, a.dense_layers, a.dense_width

    moe = CONFIG | MOE | {"model_type": "qwen2_moe", "num_experts": 60}
    moe |= {"moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632}
    assert experts(moe) == (60, 4, 1408, 0, 0)
    assert experts(moe | {"shared_expert_intermediate_size": 704})[1] == 0.5
    assert experts(moe | {"decoder_sparse_step": 2}) == (60, 4, 1408, 16, 14336)
    assert experts(moe | {"mlp_only_layers": [0, 5, 99]}) == (60, 4, 1408, 2, 14336)
    qwen3 = moe | {"model_type": "qwen3_moe", "shared_expert_intermediate_size": None}
    assert experts(qwen3) == (60, 0, 1408, 0, 0)
    assert experts(moe | {"num_experts": 0}) == (1, 0, 14336, 0, 0)
    assert experts(changed("deepseek-v3", first_k_dense_replace="absent"))[3] == 3
    sparse = changed("deepseek-v3", moe_layer_freq=2, first_k_dense_replace=1)
    assert experts(sparse)[3] == 61 - 30  # layers 2, 4 to 60


def test_queries_may_come_from_the_stream(written):
    assert read(written(changed("deepseek-v3", q_lora_rank=None))).query_latent == 0
    assert read(written(changed("deepseek-v3", q_lora_rank="absent"))).query_latent == 1536
