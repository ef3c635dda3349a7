"""Allocations that teams fitted before they trained a model: DeepSeek, Llama 3, MiniCPM."""

from jaxscale.allocations.allocation import Allocation, from_tokens
from jaxscale.allocations.entries import SIX_N_D, Entry
from jaxscale.laws.protocol import TRAIN_FLOPS
from jaxscale.published import NOT_STATED

# --- DeepSeek LLM 2024 ----------------------------------------------------------------------

_DEEPSEEK_SOURCE = "DeepSeek-AI 2024, arXiv 2401.02954"
_FLOPS_PER_TOKEN = "a sixth of the training FLOPs per token, with attention, without embeddings"
_MODEL_SCALE = "M D, with M = 72 n_layer d_model^2 + 12 n_layer d_model l_seq a token"

_DEEPSEEK = Entry(
    name="deepseek2024",
    # M* = 0.1715 C^0.5243 FLOPs per token.
    allocation=Allocation(0.1715 / TRAIN_FLOPS, 0.5243, 5.8316, 0.4757),
    exponents=(0.5243, 0.4757),
    source=f"{_DEEPSEEK_SOURCE}, Section 3.2",
    params_convention=_FLOPS_PER_TOKEN,
    flops_convention=_MODEL_SCALE,
    flops_range=(1e17, 3e20),
    errata=(
        "The paper's size is M, FLOPs per token of training. Params here are M / 6, which is not "
        "what a checkpoint holds: params without embeddings are 0.43 of it for 8 layers of width "
        "512 and 0.92 for 80 layers of width 8192.",
        "Exponents depend on the data: better data gave params the larger share. This is the "
        "paper's current data; deepseek2024_early and deepseek2024_openwebtext2 are others.",
    ),
    aliases=("deepseek",),
)

_EARLY = Entry(
    name="deepseek2024_early",
    allocation=None,
    exponents=(0.450, 0.550),
    source=f"{_DEEPSEEK_SOURCE}, Table 4 (early data)",
    params_convention=_FLOPS_PER_TOKEN,
    flops_convention=_MODEL_SCALE,
)

_OPENWEBTEXT2 = Entry(
    name="deepseek2024_openwebtext2",
    allocation=None,
    exponents=(0.578, 0.422),
    source=f"{_DEEPSEEK_SOURCE}, Table 4 (OpenWebText2)",
    params_convention=_FLOPS_PER_TOKEN,
    flops_convention=_MODEL_SCALE,
)

# --- Llama 3 2024 ---------------------------------------------------------------------------

_LLAMA = Entry(
    name="llama3",
    allocation=from_tokens(0.299, 0.537),
    exponents=(0.463, 0.537),
    source="Grattafiori et al. 2024, arXiv 2407.21783, Section 3.2.1, Figure 3",
    params_convention=NOT_STATED,
    flops_convention=NOT_STATED,
    flops_range=(6e18, 1e22),
    errata=(
        "The figure's pair, D* = 0.299 C^0.537, is used. The text prints (0.53, 0.29), which at "
        "the paper's 3.8e25 FLOPs misses its own 402e9 params by 50 % and its 16.55e12 tokens by "
        "37 %; the figure's misses them by 3.3 % and 1.6 %.",
        "The paper calls it N*(C) but defines it as the number of training tokens. Params here "
        "are C / (6 D*).",
        "402e9 params and 16.55e12 tokens are 4.0e25 FLOPs, 5 % more than the printed 3.8e25.",
    ),
    aliases=("grattafiori2024",),
)

# --- MiniCPM 2024 ---------------------------------------------------------------------------

_MINICPM = Entry(
    name="minicpm2024",
    # N* / D* = K^2 (C / 6)^eta with K^2 = 0.01 and eta = -0.10, sizes in 1e9: N* is
    # K (C / 6)^((1 + eta) / 2), and D* is (C / 6) / N*.
    allocation=Allocation(0.1e9, 0.45, 10e9, 0.55, unit=TRAIN_FLOPS * 1e18),
    exponents=(0.45, 0.55),
    source="Hu et al. 2024, arXiv 2404.06395, Section 4.5, eq. 3, mean of six evaluations",
    params_convention="embeddings not counted",
    flops_convention=SIX_N_D,
    errata=(
        "Params and tokens are counted in billions in eq. 3, so C / 6 is in 1e18 FLOPs. The paper "
        "does not say so; in plain units its 192 tokens per param would be some ten thousand.",
        "K^2 is printed with one digit, so sizes are good to about 25 %: the ratio printed for "
        "1e21 FLOPs is 192, and this gives 167.",
        "eta is printed as -0.10; the printed alpha and beta, 0.29 and 0.23, give -0.115.",
        "Fitted to models of 0.04e9 to 2e9 params at 10 to 60 tokens each: best ratios of 100 and "
        "more are extrapolated.",
    ),
    aliases=("hu2024",),
)

ENTRIES = (_DEEPSEEK, _EARLY, _OPENWEBTEXT2, _LLAMA, _MINICPM)
