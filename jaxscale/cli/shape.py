"""An architecture in the terminal: what it holds, what it computes and what it keeps in memory."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale import architectures
from jaxscale.architectures.counts import TRAIN_OVER_FORWARD
from jaxscale.cli import tables
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw
from jaxscale.cli.quantities import count, counted, data_size
from jaxscale.laws import Kaplan
from jaxscale.laws.protocol import TRAIN_FLOPS, has_own_flops

COUNT = "operations"  # by which a training is priced
MEANINGS = {
    "operations": "products of matrices, full scores, logits",
    "deepseek": "the same without logits",
    "kaplan": "layers, half the scores: Kaplan et al. 2020",
    "hoffmann": "Hoffmann et al. 2022, Appendix F",
    "hoffmann_layers": "the same without embeddings and logits",
    "palm": "6 N and all scores: Chowdhery et al. 2022",
    "kipply": "matrices of layers alone",
    "6n": "6 N",
}


class Shape(NamedTuple):
    """An architecture with its name, and what it holds beside the fields, in sentences."""

    name: str
    architecture: js.Architecture
    remarks: tuple[str, ...]

    def params_of(self, law: Any) -> float:
        """What the law counts of what a token runs through: Kaplan's leaves out embeddings."""
        if isinstance(law, Kaplan):
            return float(self.architecture.active_non_embedding_params)
        return float(self.architecture.active_params)

    def flops_over_rule(self, named: NamedLaw) -> float:
        """FLOPs of a training over those of 6 N D; Mistake for a law that counts its own."""
        if has_own_flops(named.law):
            raise Mistake(
                f"--architecture: {named.name} counts its own FLOPs; choose another --law"
            )
        rule = TRAIN_FLOPS * self.params_of(named.law)
        return float(self.architecture.train_flops(COUNT)) / rule

    @property
    def is_sparse(self) -> bool:
        return bool(self.architecture.active_experts < self.architecture.experts)


def read_shape(text: str) -> Shape:
    """The architecture that `--architecture` names, or the one in that file."""
    with blamed_on("--architecture"):
        if text.lower().endswith((".toml", ".json")) or os.sep in text:
            return Shape(text, architectures.read(text), ())
        entry = architectures.entry(text)
    return Shape(entry.name, entry.architecture, entry.remarks)


def show_shape(shape: Shape) -> None:
    """Print the shape with its params, FLOPs and bytes as tables."""
    architecture = shape.architecture
    tables.note(f"{shape.name}: {_described(architecture)}", style="bold")
    tables.print_facts(_sizes(shape))
    header = ("FLOPs per token", "forward", "training", "over 6 N", "what is counted")
    rows = [
        (name, count(x["forward"]), count(x["train"]), f"{x['over_6n']:.3f}", MEANINGS[name])
        for name, x in _flops(architecture)
    ]
    tables.print_columns(header, rows, words=("what is counted",), emphasis=(COUNT,))
    tables.note(f"N is the params that a token runs through; context {architecture.context:,}.")
    for remark in shape.remarks:
        tables.note(remark, style="dim")


def record_of_shape(shape: Shape) -> dict[str, Any]:
    """The shape for machines."""
    architecture = shape.architecture
    return {
        "name": shape.name,
        "params": float(architecture.params),
        "active_params": float(architecture.active_params),
        "non_embedding_params": float(architecture.non_embedding_params),
        "flops_per_token": dict(_flops(architecture)),
        "bytes": {name: number for name, number, _ in _bytes(architecture)},
    }


def _described(a: js.Architecture) -> str:
    parts = [
        f"{counted(int(a.layers), 'layer')} of width {a.width:,}",
        f"{counted(int(a.heads), 'head')} of {a.head_size:,}"
        + (f", {a.kv_heads:,} of keys and values" if a.kv_heads != a.heads else ""),
        f"vocabulary of {a.vocabulary:,}",
    ]
    if a.experts != 1:
        parts.append(f"{a.active_experts:,} of {counted(int(a.experts), 'expert')}")
    return "; ".join(parts)


def _sizes(shape: Shape) -> Iterator[tuple[str, str]]:
    a = shape.architecture
    yield "params", f"{count(float(a.params), 4)} in all"
    if shape.is_sparse:
        yield "params", f"{count(float(a.active_params), 4)} that a token runs through"
    yield "params", f"{count(float(a.non_embedding_params), 4)} in matrices of layers"
    for name, number, meaning in _bytes(a):
        yield name.replace("_", " ").replace("kv", "KV"), f"{data_size(number)} {meaning}"


def _flops(a: js.Architecture) -> Iterator[tuple[str, dict[str, float]]]:
    rule = float(a.train_flops("6n"))
    for name in architectures.COUNTS:
        train = float(a.train_flops(name))
        yield name, {"forward": train / TRAIN_OVER_FORWARD, "train": train, "over_6n": train / rule}


def _bytes(a: js.Architecture) -> Iterator[tuple[str, float, str]]:
    cache = architectures.kv_cache_bytes
    yield "weights", float(architectures.weight_bytes(a)), "in bf16"
    yield "kv_cache_of_a_token", float(cache(a, 1.0)), "in bf16"
    yield "kv_cache_of_a_context", float(cache(a, a.context)), "in bf16"
    # Gradients are as many as weights.
    state = 2 * architectures.weight_bytes(a) + architectures.optimizer_bytes(a)
    yield "training_state", float(state), "of weights, gradients and Adam in mixed precision"
