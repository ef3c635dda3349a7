"""The catalogue of published architectures: each with its source and what it leaves out."""

from dataclasses import dataclass

from jaxscale._numerics.names import unknown
from jaxscale.architectures.architecture import Architecture


@dataclass(frozen=True)
class Entry:
    """One published architecture. Not a pytree: pass its `architecture` to what computes."""

    name: str
    architecture: Architecture  # of Python integers
    source: str
    remarks: tuple[str, ...] = ()  # what the model has besides, in sentences


def _gpt(layers: int, width: int, heads: int, context: int, source: str, name: str) -> Entry:
    shape = Architecture(
        layers,
        width,
        heads,
        heads,
        width // heads,
        4 * width,
        50257,
        context,
        gated=False,
        tied=True,
        learned_positions=True,
    )
    return Entry(name, shape, source, ("It has biases, of norms too: less than 1 % of all.",))


def _gpt2(name: str, layers: int, width: int, heads: int) -> Entry:
    source = "Radford et al. 2019, Table 2; heads in hparams.json of the released models"
    return _gpt(layers, width, heads, 1024, source, name)


def _gpt3(name: str, layers: int, width: int, heads: int) -> Entry:
    source = "Brown et al. 2020, arXiv 2005.14165, Table 2.1; vocabulary of GPT-2"
    return _gpt(layers, width, heads, 2048, source, name)


def _chinchilla(name: str, layers: int, width: int, heads: int, table: str) -> Entry:
    shape = Architecture(
        layers, width, heads, heads, width // heads, 4 * width, 32000, 2048, gated=False, tied=True
    )
    remark = "It has relative positions, a matrix in each layer, and biases: see chinchilla_params."
    return Entry(name, shape, f"Hoffmann et al. 2022, arXiv 2203.15556, {table}", (remark,))


def _llama(
    name: str,
    layers: int,
    width: int,
    heads: int,
    ff_width: int,
    source: str,
    *,
    kv_heads: int | None = None,
    vocabulary: int = 32000,
    context: int = 4096,
    experts: int = 1,
    active_experts: int = 1,
) -> Entry:
    shape = Architecture(
        layers,
        width,
        heads,
        kv_heads or heads,
        width // heads,
        ff_width,
        vocabulary,
        context,
        gated=True,
        tied=False,
        experts=experts,
        active_experts=active_experts,
    )
    return Entry(name, shape, source)


_A4 = "Table A4; vocabulary and context that give its ratios"
_T4 = "Table 4; vocabulary and context of Rae et al. 2021"
_LLAMA = "Touvron et al. 2023, arXiv 2302.13971, Table 2; inner widths in the model files"
_LLAMA_2 = "Touvron et al. 2023, arXiv 2307.09288, Table 1, and the model files"
_LLAMA_3 = "Grattafiori et al. 2024, arXiv 2407.21783, Table 3; vocabulary in the model files"
_MIXTRAL = "Jiang et al. 2024, arXiv 2401.04088, Table 1"

_ENTRIES = (
    _gpt2("gpt2", 12, 768, 12),
    _gpt2("gpt2-medium", 24, 1024, 16),
    _gpt2("gpt2-large", 36, 1280, 20),
    _gpt2("gpt2-xl", 48, 1600, 25),
    # Without XL and 13B: their printed heads and width contradict their printed sizes.
    _gpt3("gpt3-small", 12, 768, 12),
    _gpt3("gpt3-medium", 24, 1024, 16),
    _gpt3("gpt3-large", 24, 1536, 16),
    _gpt3("gpt3-2.7b", 32, 2560, 32),
    _gpt3("gpt3-6.7b", 32, 4096, 32),
    _gpt3("gpt3-175b", 96, 12288, 96),
    # Called by their sizes in Table A9.
    _chinchilla("chinchilla-74m", 10, 640, 10, _A4),
    _chinchilla("chinchilla-306m", 20, 1024, 16, _A4),
    _chinchilla("chinchilla-552m", 24, 1280, 10, _A4),
    _chinchilla("chinchilla-1143m", 26, 1792, 14, _A4),
    _chinchilla("chinchilla-1593m", 28, 2048, 16, _A4),
    _chinchilla("chinchilla-6796m", 40, 3584, 28, _A4),
    _chinchilla("chinchilla-70b", 80, 8192, 64, _T4),
    _chinchilla("gopher-280b", 80, 16384, 128, _T4),
    _llama("llama-7b", 32, 4096, 32, 11008, _LLAMA, context=2048),
    _llama("llama-13b", 40, 5120, 40, 13824, _LLAMA, context=2048),
    _llama("llama-33b", 60, 6656, 52, 17920, _LLAMA, context=2048),
    _llama("llama-65b", 80, 8192, 64, 22016, _LLAMA, context=2048),
    _llama("llama-2-7b", 32, 4096, 32, 11008, _LLAMA_2),
    _llama("llama-2-13b", 40, 5120, 40, 13824, _LLAMA_2),
    _llama("llama-2-70b", 80, 8192, 64, 28672, _LLAMA_2, kv_heads=8),
    _llama(
        "llama-3-8b", 32, 4096, 32, 14336, _LLAMA_3, kv_heads=8, vocabulary=128256, context=8192
    ),
    _llama(
        "llama-3-70b", 80, 8192, 64, 28672, _LLAMA_3, kv_heads=8, vocabulary=128256, context=8192
    ),
    _llama(
        "mixtral-8x7b",
        32,
        4096,
        32,
        14336,
        _MIXTRAL,
        kv_heads=8,
        context=32768,
        experts=8,
        active_experts=2,
    ),
)


def catalog() -> tuple[Entry, ...]:
    """Every published architecture that is known, by model.

    Examples:
        >>> [entry.name for entry in js.architectures.catalog()][:3]
        ['gpt2', 'gpt2-medium', 'gpt2-large']
    """
    return _ENTRIES


def entry(name: str) -> Entry:
    """The published architecture of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> print(js.architectures.entry("llama-3-8b").source)
        Grattafiori et al. 2024, arXiv 2407.21783, Table 3; vocabulary in the model files
    """
    known = {each.name: each for each in _ENTRIES}
    key = str(name).lower()
    if key not in known:
        raise unknown("architecture", name, known)
    return known[key]


def published(name: str) -> Architecture:
    """The architecture of that name, as Python integers: `entry(name).architecture`.

    Examples:
        >>> js.architectures.published("llama-3-8b").layers
        32
    """
    return entry(name).architecture
