"""Published fits of laws with levers: experts, precision, vocabulary."""

from dataclasses import replace

from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.entries import NOT_STATED, Entry
from jaxscale.laws.experts import Abnar, Clark, Krajewski
from jaxscale.laws.precision import Kumar
from jaxscale.laws.vocabulary import Tao

# --- Clark et al. 2022: routed language models ---------------------------------------------

_SECOND_HAND = (
    "The coefficients were read in a secondary source that quotes the paper's table, not in the "
    "paper itself."
)


def _clark(name: str, router: str, cutoff: str, derived: str, law: Clark) -> Entry:
    return Entry(
        name=name,
        law=law,
        source=f"Clark et al. 2022, arXiv 2202.01169, Table 3, {router}",
        dataset=NOT_STATED,
        params_convention="of the dense model: experts that were added are not counted",
        tokenizer=NOT_STATED,
        params_range=None,
        tokens_range=(130e9, 130e9),
        tokens_per_param_range=None,
        errata=(
            _SECOND_HAND,
            "All runs had 130e9 tokens and up to 512 experts; the law says nothing of other "
            "durations, and Krajewski et al. 2024 trace its pessimism about large models to that.",
            f"The paper prints {cutoff} params as the size from which experts no longer help. "
            f"The rounded coefficients give 10^(-b / c) = {derived}: c has one significant digit, "
            "so do not derive the cutoff from them.",
            "Neither routing nor the memory of idle experts is counted in FLOPs: an optimum over "
            "the number of experts lies at an end of its range.",
        ),
    )


# fmt: off
_CLARK = (  # a, b, c, d, E_start, E_max
    _clark("clark2022_sbase", "S-BASE", "937e9", "1.0e12",
           Clark(-0.082, -0.108, 0.009, 1.104, 1.847, 314.478)),
    _clark("clark2022_rlr", "RL-R", "85e9", "3.2e10",
           Clark(-0.083, -0.126, 0.012, 1.111, 1.880, 469.982)),
    _clark("clark2022_hash", "HASH", "83e9", "2.2e11",
           Clark(-0.087, -0.136, 0.012, 1.157, 4.175, 477.741)),
)
# fmt: on

# --- Krajewski et al. 2024: fine-grained experts -------------------------------------------

_KRAJEWSKI = Entry(
    name="krajewski2024",
    law=Krajewski(c=0.47, g=2.1, gamma=0.58, a=18.1, alpha=0.115, b=30.8, beta=0.147),
    source="Krajewski et al. 2024, arXiv 2402.07871, eq. 9 and Table 1",
    dataset=NOT_STATED,
    params_convention="all experts counted, embeddings and routers not",
    tokenizer=NOT_STATED,
    params_range=(129e6, 3.7e9),
    tokens_range=(16e9, 130e9),
    tokens_per_param_range=None,
    errata=(
        "Fitted at 64 times the parameters of a dense feed-forward layer and granularities of 1 "
        "to 16. Table 2 of the paper goes to 64.",
        "The coefficients are rounded to two or three digits: the losses that they give are 0.011 "
        "to 0.023 nats below those of the paper's Table 2.",
        "At equal params the dense law of the same paper is lower, because it uses all of them "
        "on every token: compare the two at equal FLOPs.",
    ),
)

_KRAJEWSKI_DENSE = replace(
    _KRAJEWSKI,
    name="krajewski2024_dense",
    law=Chinchilla(E=0.47, A=16.3, B=26.7, alpha=0.126, beta=0.127),
    source="Krajewski et al. 2024, arXiv 2402.07871, eq. 1 and Table 1, dense",
    params_convention="embeddings not counted",
    params_range=None,
    tokens_range=None,
    errata=(
        "E was taken over from the fit to mixtures of experts in the same paper, not fitted.",
        "The sizes of the dense runs are not in the text.",
    ),
)

# --- Abnar et al. 2025: sparsity ------------------------------------------------------------

_ABNAR = Entry(
    name="abnar2025",
    law=Abnar(
        a=16612.50,
        alpha=0.5962,
        b=5455.67,
        beta=0.3954,
        c=0.4598,
        lambda_=-0.1666,
        d=17.26,
        delta=0.1603,
        gamma=0.1595,
        e=0.94,
    ),
    source="Abnar et al. 2025, arXiv 2501.12370, eq. 6 and Table 3",
    dataset=NOT_STATED,
    params_convention="total, all experts counted",
    tokenizer=NOT_STATED,
    params_range=None,
    tokens_range=None,
    tokens_per_param_range=None,
    errata=(
        _SECOND_HAND,
        "The fit explains 99 % of the variance of its own runs and only 68 % of those held out, "
        "at a sparsity of 0.98: do not trust it near the end of the range.",
        "The sizes of the runs are not known to this catalogue, so nothing counts as in range.",
    ),
)

# --- Kumar et al. 2024: precision -----------------------------------------------------------

_KUMAR = Entry(
    name="kumar2024",
    law=Kumar(
        A=4299.0,
        B=18060.0,
        E=2.7648,
        alpha=0.4965,
        beta=0.4965,
        gamma_w=2.6745,
        n_w=0.3037,
        gamma_a=2.2102,
        n_a=1.4072,
        gamma_kv=0.9578,
        n_kv=2.4185,
        C_T=0.0598,
        gamma_D=0.5068,
        gamma_N=0.3439,
        gamma_post=0.5907,
    ),
    source="Kumar et al. 2024, arXiv 2411.04330, Appendix K, Table 2",
    dataset="Dolma",
    params_convention=NOT_STATED,
    tokenizer=NOT_STATED,
    params_range=(30e6, 220e6),
    tokens_range=(1.5e9, 26e9),
    tokens_per_param_range=None,
    errata=(
        "The authors warn that these constants do not carry over to other data and models.",
        "Fitted on integer arithmetic of 3 to 16 bits; predictions were checked to 1.7e9 params. "
        "Runs with activations or cache at 3 bits often diverged and were left out of the fit, "
        "so with one precision for all the law holds from 4 bits.",
        "Equations 3 and 4 leave out the offsets n of Table 2. Without them the optimum of the "
        "printed constants is at 3.5 bits and not at the 7 to 8 bits that the paper reports; "
        "with `1 - exp(-P / gamma + n)` it is at 7.0.",
        "Table 2 prints an offset b = 1.1277 for the penalty of rounding after training, and no "
        "text says with which sign. It is 0 here; `dataclasses.replace(law, b=...)` sets it. At "
        "220e6 params, 26e9 tokens and 3 bits the penalty is 0.096 without it, 0.295 with plus "
        "and 0.031 with minus.",
        "The penalty of rounding has R^2 = 0.90 over more than 1000 points.",
        "FLOPs fall in proportion to bits, as in the paper's cost; it says that real gains are "
        "smaller.",
    ),
)

# --- Tao et al. 2024: vocabulary ------------------------------------------------------------

_TAO = Entry(
    name="tao2024",
    law=Tao(
        E=5.5327846803337435,
        A1=1.8313851559554126,
        A2=0.19584238398665638,
        B=2.1241123120064955,
        alpha1=0.44660634152009615,
        alpha2=0.6707374679896795,
        beta=0.44660634152009615,
    ),
    source="Tao et al. 2024, arXiv 2407.13623, sail-sg/scaling-with-vocab, optimal_Nv_predict.py; "
    "ranges from exp_data.csv",
    dataset="SlimPajama",
    params_convention="outside the vocabulary; the lever counts those in it, size times width",
    tokenizer="trained on the data, 4096 to 96,256 entries",
    params_range=(33.2e6, 1.13e9),
    tokens_range=(265e6, 54.8e9),
    tokens_per_param_range=None,
    errata=(
        "The loss is normalised by that of unigrams and negative: it cannot be compared with "
        "other entries, or met by a target in plain nats per token.",
        "The paper's summaries write characters in the data term; the script that fits it and "
        "the one that predicts from it use tokens.",
        "The script that fits (approach3_isoloss.py) hands the vocabulary in thousands to its "
        "tokens-per-character function, and so counts 2.6 to 3 times the true tokens. With true "
        "tokens, as in the script that predicts and here, the law is 0.1 to 1.5 nats above the "
        "losses of its own runs, most for the shortest: use it to compare vocabularies.",
        "Runs had 2.1e6 to 197e6 vocabulary params, and all with fewer than 2.18e17 FLOPs were "
        "left out of the fit. The 2.87e9-param models of the paper are not among them.",
        "The repository's picture caption says that vocabulary params should grow faster than "
        "all others; its own fits give an exponent of 0.83.",
    ),
)

ENTRIES: tuple[Entry, ...] = (*_CLARK, _KRAJEWSKI, _KRAJEWSKI_DENSE, _ABNAR, _KUMAR, _TAO)
