"""The `config.json` of Hugging Face Transformers, in the words of an architecture file.

What a field means, and what it is where a file leaves it out, is as in the configuration and
modelling code of each model type. Of a model that reads images, the part that reads text.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

# Transformers' name of each field that says the same as ours.
NAMES = {
    "num_hidden_layers": "layers",
    "hidden_size": "width",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_size",
    "intermediate_size": "ff_width",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "context",
    "tie_word_embeddings": "tied",
    "num_local_experts": "experts",
    "num_experts": "experts",
    "n_routed_experts": "experts",
    "num_experts_per_tok": "active_experts",
    "n_shared_experts": "shared_experts",
    "kv_lora_rank": "kv_latent",
    "q_lora_rank": "query_latent",
    "qk_rope_head_dim": "rope_size",
}
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")

_UNTIED = {"gated": True, "tie_word_embeddings": False}
_TIED = {"gated": True, "tie_word_embeddings": True}
_QWEN = _UNTIED | {"use_sliding_window": False, "sliding_window": 4096}
_DEEPSEEK = _UNTIED | {
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
# Of a `model_type`, what holds where the file does not say.
MODEL_TYPES: Mapping[str, Mapping[str, Any]] = {
    "llama": _UNTIED,
    "mistral": _UNTIED | {"sliding_window": 4096},
    "mixtral": _UNTIED,
    "qwen2": _QWEN,
    "qwen3": _QWEN | {"head_dim": 128},
    "qwen2_moe": _QWEN | {"shared_expert_intermediate_size": 5632},
    "qwen3_moe": _QWEN,
    "qwen3_next": _UNTIED | {"gated_attention": True},
    "gemma": _TIED | {"head_dim": 256},
    "gemma2": _TIED | {"head_dim": 256, "sliding_window": 4096},
    # The configuration of a part leaves out what is as by default.
    "gemma3_text": _TIED
    | {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "gpt_oss": _UNTIED | {"head_dim": 64, "sliding_window": 128},
    "deepseek_v2": _DEEPSEEK | {"first_k_dense_replace": 0},
    "deepseek_v3": _DEEPSEEK | {"first_k_dense_replace": 3},
}
# Types whose layers have no windows, whatever else their file says.
WITHOUT_WINDOWS = ("llama", "gemma", "deepseek_v2", "deepseek_v3")
# Fields whose null means that there is none, not that the default holds.
NULL_IS_NONE = ("sliding_window", "q_lora_rank")
# Fields of layers of another kind: sparse attention, state spaces, keys that layers share.
OTHER_BUILDS = (
    "index_topk",
    "attention_chunk_size",
    "num_kv_shared_layers",
    "global_head_dim",
    "interleave_moe_layer_step",
    "attn_layer_period",
    "hybrid_override_pattern",
    "mamba_d_state",
    "ssm_state_size",
)
CANNOT = "is of a build that an Architecture cannot describe"


def is_config(fields: Mapping[str, Any]) -> bool:
    """Whether the fields are those of a `config.json`."""
    return any(name in NAMES for name in fields) or "text_config" in fields


def architecture_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration by Transformers' names or ours, with what they leave out.

    Each of Transformers' names that is left means what its name in `NAMES` does. Raises
    ValueError that names the field for what an Architecture cannot describe.
    """
    config = _text_part(config)
    model_type = str(config.get("model_type"))
    stated = {name: x for name, x in config.items() if x is not None or name in NULL_IS_NONE}
    fields = {**MODEL_TYPES.get(model_type, {}), **stated}
    if "tied" in stated:  # in our words
        fields.pop("tie_word_embeddings", None)
    fields = {name: x for name, x in fields.items() if x is not None}
    for name in OTHER_BUILDS:
        if fields.get(name):
            raise ValueError(f"{name} {CANNOT}")
    _name_latents(fields)
    _name_experts(fields)
    _name_layers(fields, model_type)
    return fields


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    text = config.get("text_config")
    if text is None:
        return config
    if not isinstance(text, dict):
        raise ValueError(f"text_config must hold fields by name; got {type(text).__name__}")
    tied = {name: config[name] for name in ("tie_word_embeddings",) if name in config}
    return {**tied, **text}


def _name_latents(fields: dict[str, Any]) -> None:
    if "kv_lora_rank" not in fields:
        return
    size, of_values = _need(fields, "qk_nope_head_dim"), _need(fields, "v_head_dim")
    if size != of_values:
        raise ValueError(f"v_head_dim {of_values} beside a qk_nope_head_dim of {size} {CANNOT}")
    # A file may give the rotary part as `head_dim`, and the heads that latents are multiplied up
    # to as those of keys and values. What is kept is one head for all.
    fields.pop("head_dim", None)
    fields.pop("num_key_value_heads", None)
    fields |= {"head_size": size, "kv_heads": 1}


def _name_experts(fields: dict[str, Any]) -> None:
    if not any(fields.get(name) for name in EXPERTS):
        for name in (*EXPERTS, "num_experts_per_tok", "n_shared_experts"):
            fields.pop(name, None)
        return
    if "moe_intermediate_size" not in fields:
        return
    width = _whole(fields, "moe_intermediate_size")
    dense_width = fields.pop("intermediate_size", None)
    fields["ff_width"] = width
    dense = sum(not _has_experts(fields, layer) for layer in range(_layers(fields)))
    if dense:
        fields |= {"dense_layers": dense, "dense_width": dense_width}
    shared = fields.get("shared_expert_intermediate_size")
    if shared:
        shared = _whole(fields, "shared_expert_intermediate_size")
        fields["shared_experts"] = shared // width if shared % width == 0 else shared / width


def _has_experts(fields: Mapping[str, Any], layer: int) -> bool:
    """Whether the layer of that index from 0 has experts: DeepSeek's rule and Qwen's."""
    first = _whole(fields, "first_k_dense_replace", 0)
    frequency = _whole(fields, "moe_layer_freq", 1)
    step = _whole(fields, "decoder_sparse_step", 1)
    of_deepseek = layer >= first and layer % frequency == 0
    return of_deepseek and (layer + 1) % step == 0 and layer not in _list(fields, "mlp_only_layers")


def _name_layers(fields: dict[str, Any], model_type: str) -> None:
    """Count the layers that have windows or linear attention."""
    layers = _layers(fields)
    window = fields.get("sliding_window")
    if fields.get("use_sliding_window") is False or model_type in WITHOUT_WINDOWS:
        window = None
    if "layer_types" in fields:
        kinds = _list(fields, "layer_types")
        if layers and len(kinds) != layers:
            raise ValueError(f"layer_types must list {layers} layers; got {len(kinds)}")
    else:
        kinds = _kinds_by_default(fields, model_type, layers, window)
    counted = Counter(map(str, kinds))
    windows, linear = counted.pop("sliding_attention", 0), counted.pop("linear_attention", 0)
    counted.pop("full_attention", None)
    for other in counted:
        raise ValueError(f"{other} in layer_types {CANNOT}")
    if windows and window is not None:
        fields |= {"window_layers": windows, "window": window}
    if linear:
        if model_type != "qwen3_next":
            raise ValueError(f"linear_attention in layer_types of this model_type {CANNOT}")
        fields |= {"linear_layers": linear, **_delta_net(fields)}


def _kinds_by_default(
    fields: Mapping[str, Any], model_type: str, layers: int, window: Any
) -> list[str]:
    if model_type == "qwen3_next":
        every = _whole(fields, "full_attention_interval", 4)
        return ["full_attention" if i % every == 0 else "linear_attention" for i in _ranks(layers)]
    full, sliding = ["full_attention"], ["sliding_attention"]
    if window is None:
        return full * layers
    if model_type in ("mistral", "mixtral"):
        return sliding * layers
    if model_type in ("gemma2", "gemma3_text", "gpt_oss"):
        by_default = _whole(fields, "_sliding_window_pattern", 6 if "3" in model_type else 2)
        every = _whole(fields, "sliding_window_pattern", by_default)
        return [(full if i % every == 0 else sliding)[0] for i in _ranks(layers)]
    if model_type in ("qwen2", "qwen3"):
        first = min(_whole(fields, "max_window_layers", 28), layers)
        return full * first + sliding * (layers - first)
    raise ValueError(
        "sliding_window holds in layers that layer_types must list for this model_type"
    )


def _delta_net(fields: Mapping[str, Any]) -> dict[str, int]:
    """Params and state of a layer of Qwen3-Next's gated delta net.

    Its matrices give queries, keys, values and a gate, two numbers a value head, and the output;
    a convolution over time runs through queries, keys and values, and keeps as many steps as its
    kernel has.
    """
    key_heads, value_heads = (
        _whole(fields, "linear_num_key_heads"),
        _whole(fields, "linear_num_value_heads"),
    )
    key_size = _whole(fields, "linear_key_head_dim")
    value_size = _whole(fields, "linear_value_head_dim")
    kernel, width = _whole(fields, "linear_conv_kernel_dim", 4), _whole(fields, "hidden_size")
    keys, values = key_heads * key_size, value_heads * value_size
    mixed = 2 * keys + values
    matrices = width * (mixed + values + 2 * value_heads) + values * width
    convolution = mixed * kernel
    return {
        "linear_params": matrices + convolution,
        "linear_state": value_heads * key_size * value_size + convolution,
    }


# --- Values ---------------------------------------------------------------------------------


def _layers(fields: Mapping[str, Any]) -> int:
    """How many layers there are; 0 for what is no whole number, which is refused with the rest."""
    layers = fields.get("num_hidden_layers", fields.get("layers"))
    return layers if isinstance(layers, int) and layers > 0 else 0


def _ranks(layers: int) -> range:
    return range(1, layers + 1)


def _need(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise ValueError(f"{name} is missing")
    return fields[name]


def _whole(fields: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = _need(fields, name) if default is None else fields.get(name, default)
    least = 0 if default == 0 else 1
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number from {least}; got {value!r:.40}")
    return value


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list; got {value!r:.40}")
    return value
