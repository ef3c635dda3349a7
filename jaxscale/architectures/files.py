"""Published architectures by name, and others from files.

A file is TOML or JSON with these names, or a `config.json` of Hugging Face:

layers = 32
width = 4096
heads = 32
kv_heads = 8          # as many as heads where left out
head_size = 128       # width / heads where left out
ff_width = 14336
vocabulary = 128256
context = 8192
gated = true
tied = false

and, where the model has them, with the other fields of `Architecture`, which are 0 or false where
left out.
"""

import json
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxscale._numerics.names import unknown
from jaxscale.architectures import hugging_face
from jaxscale.architectures.architecture import NEEDED, NUMBERS, OPTIONAL, Architecture
from jaxscale.published import Catalog, Entry, find, shipped

FLAGS = ("gated", "tied", "learned_positions", "gated_attention")
LARGEST = sys.float_info.max
PARTS = {
    "kv_heads": "heads",
    "active_experts": "experts",
    "dense_layers": "layers",
}


def read(path: str | Path) -> Architecture:
    """The architecture in a file: TOML where its name ends in `.toml`, else JSON.

    Fields go by their names here or by those of a Hugging Face `config.json`, in which others are
    passed over. Its windows, latent and linear attention, experts and dense layers are read for
    the model types llama, mistral, mixtral, qwen2, qwen3, qwen2_moe, qwen3_moe, qwen3_next, gemma,
    gemma2, gemma3, gpt_oss, deepseek_v2 and deepseek_v3; of a model that reads images too, the
    part that reads text. Raises ValueError that names the file, the field, the value and what is
    allowed.

    Examples:
        >>> import json
        >>> from pathlib import Path
        >>> llama = {"layers": 32, "width": 4096, "heads": 32, "kv_heads": 8, "head_size": 128}
        >>> llama |= {"ff_width": 14336, "vocabulary": 128256, "context": 8192}
        >>> llama |= {"gated": True, "tied": False}
        >>> _ = Path("shape.json").write_text(json.dumps(llama))
        >>> js.architectures.read("shape.json").kv_heads
        8
    """
    file = str(path)
    try:
        return from_fields(**_table(file))
    except OSError as error:
        raise ValueError(f"cannot read {file!r}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def from_fields(**fields: Any) -> Architecture:
    """The architecture of the fields of a file; raises ValueError as `read`, without the file."""
    named = _by_our_names(fields)
    _add_defaults(named)
    numbers = {name: _number(name, named) for name in NUMBERS}
    flags = {name: _flag(name, named) for name in FLAGS}
    for part, whole in PARTS.items():
        if numbers[part] > numbers[whole]:
            raise ValueError(
                f"{part} must be at most {whole}, {numbers[whole]}; got {numbers[part]}"
            )
    if numbers["window_layers"] + numbers["linear_layers"] > numbers["layers"]:
        raise ValueError("window_layers and linear_layers must be at most layers together")
    for part, size in NEEDED.items():
        if numbers[part] and not numbers[size]:
            raise ValueError(f"{size} is missing, beside {part}")
    for part in ("rope_size", "query_latent"):
        if numbers[part] and not numbers["kv_latent"]:
            raise ValueError(f"{part} is of latent attention: kv_latent is missing")
    return Architecture(**numbers, **flags)


def _table(file: str) -> Mapping[str, Any]:
    load = tomllib.loads if file.lower().endswith(".toml") else json.loads
    try:
        table = load(Path(os.path.expanduser(file)).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"neither TOML nor JSON as its name says: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"must hold fields by name; got {type(table).__name__}")
    return table


def _by_our_names(given: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Each field with the name that it has in the file."""
    ours = (*NUMBERS, *FLAGS)
    is_config = hugging_face.is_config(given)
    if is_config:
        given = hugging_face.architecture_fields(given)
    named: dict[str, tuple[str, Any]] = {}
    for name, value in given.items():
        if value is None:
            continue
        field = hugging_face.NAMES.get(name, name)
        if field not in ours:
            if is_config:
                continue
            raise unknown("field", name, ours)
        if field in named:
            raise ValueError(f"{named[field][0]} and {name} are one field: give it once")
        named[field] = name, value
    return named


def _add_defaults(named: dict[str, tuple[str, Any]]) -> None:
    """Add the fields that a file may leave out, where the others imply them."""
    if "kv_latent" in named:
        named.setdefault("kv_heads", ("kv_heads", 1))
    elif "heads" in named:
        named.setdefault("kv_heads", ("kv_heads", named["heads"][1]))
    numbers = [named.get(name, ("", None))[1] for name in ("width", "heads")]
    if all(_is_number(each) and each > 0 for each in numbers):
        width, heads = numbers
        named.setdefault(
            "head_size", ("head_size", width // heads if width % heads == 0 else width / heads)
        )
    if "experts" not in named:
        named.setdefault("experts", ("experts", 1))
        named.setdefault("active_experts", ("active_experts", 1))
    for name in OPTIONAL:
        named.setdefault(name, (name, 0))
    for name in ("learned_positions", "gated_attention"):
        named.setdefault(name, (name, False))


def _number(field: str, named: Mapping[str, tuple[str, Any]]) -> float:
    name, value = _given(field, named)
    may_be_zero = field in OPTIONAL
    if not _is_number(value) or value < 0 or (value == 0 and not may_be_zero):
        shown = f"{value!r:.40}" if isinstance(value, bool | float | str) else f"{value!s:.40}"
        allowed = "0 or above" if may_be_zero else "above 0"
        raise ValueError(f"{name} must be a finite number {allowed}; got {shown}")
    return value


def _flag(field: str, named: Mapping[str, tuple[str, Any]]) -> bool:
    name, value = _given(field, named)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {value!r:.40}")
    return value


def _given(field: str, named: Mapping[str, tuple[str, Any]]) -> tuple[str, Any]:
    if field not in named:
        others = [name for name, meant in hugging_face.NAMES.items() if meant == field]
        also = f" (or {others[0]})" if others else ""
        raise ValueError(f"{field}{also} is missing")
    return named[field]


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= LARGEST


# --- Published ------------------------------------------------------------------------------

FORMS = {"Architecture": from_fields}


def catalog() -> Catalog[Entry]:
    """All published architectures, by model.

    Examples:
        >>> [entry.name for entry in js.architectures.catalog()][:3]
        ['gpt2', 'gpt2-medium', 'gpt2-large']
    """
    return shipped("architectures")


def entry(name: str) -> Entry:
    """The published architecture of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> print(js.architectures.entry("llama-3-8b").source)
        Grattafiori et al. 2024, arXiv 2407.21783, Table 3; vocabulary in the model files
    """
    return find("architecture", catalog(), name)


def published(name: str) -> Architecture:
    """The architecture of that name, as Python integers: `entry(name).architecture`.

    Examples:
        >>> js.architectures.published("llama-3-8b").layers
        32
    """
    return entry(name).architecture
