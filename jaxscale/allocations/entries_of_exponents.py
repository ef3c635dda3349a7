"""Papers on other kinds of model of which the exponents alone are known."""

from jaxscale.allocations.entries import SIX_N_D, Entry
from jaxscale.published import NOT_STATED

_QUOTED = "as quoted in Open-Athena/scaling-law-analysis, chinchilla_numbers.md"


def _exponents(
    name: str, a: float, b: float, source: str, *errata: str, aliases: tuple[str, ...] = ()
) -> Entry:
    return Entry(
        name=name,
        allocation=None,
        exponents=(a, b),
        source=f"{source}; {_QUOTED}",
        params_convention=NOT_STATED,
        flops_convention=NOT_STATED,
        errata=errata,
        aliases=aliases,
    )


# --- Beck et al. 2025 -----------------------------------------------------------------------

_BECK = "Beck et al. 2025, xLSTM Scaling Laws, arXiv 2510.02228, IsoFLOP profiles on DCLM"
_XLSTM = (
    _exponents("beck2025_transformer", 0.575, 0.424, f"{_BECK}, Transformer"),
    _exponents(
        "beck2025_xlstm",
        0.547,
        0.417,
        f"{_BECK}, xLSTM",
        "The two exponents add up to 0.964: at C = 6 N D they would to 1.",
        aliases=("xlstm",),
    ),
)

# --- Merrill et al. 2026 --------------------------------------------------------------------


def _merrill(kind: str, label: str, alpha: float, beta: float) -> Entry:
    """Exponents of Hoffmann et al. 2022, eq. 4, from those of the loss."""
    total = alpha + beta
    return Entry(
        name=f"merrill2026_{kind}",
        allocation=None,
        exponents=(round(beta / total, 3), round(alpha / total, 3)),
        source="Merrill et al. 2026, Olmo Hybrid, arXiv 2604.03444, Figure 8 (parametric), "
        f"{label}; {_QUOTED}",
        params_convention=NOT_STATED,
        flops_convention=SIX_N_D,
        errata=(
            f"Worked out from the exponents of the loss, alpha = {alpha} and beta = {beta}: "
            "beta / (alpha + beta), and 1 less it.",
        ),
    )


_OLMO = (
    _merrill("transformer", "Transformer", 0.252, 0.213),
    _merrill("hybrid", "hybrid of attention and gated DeltaNet", 0.226, 0.219),
    _merrill("deltanet", "gated DeltaNet alone", 0.183, 0.227),
)

# --- Others ---------------------------------------------------------------------------------

_SHUKOR = _exponents(
    "shukor2025",
    0.526,
    0.473,
    "Shukor et al. 2025, Scaling Laws for Native Multimodal Models, arXiv 2504.07951, Table 2, "
    "early fusion, mean",
    "Of models of text and images.",
)
_DIFFUSION = _exponents(
    "vonrutte2025",
    0.589,
    0.411,
    "von Rütte et al. 2025, Scaling Behavior of Discrete Diffusion Language Models, arXiv "
    "2512.10858, Table 1",
    "Of language models by discrete diffusion, the best kind of the paper.",
)

ENTRIES = (*_XLSTM, *_OLMO, _SHUKOR, _DIFFUSION)
