"""Published fits of Kaplan et al. 2020, Muennighoff et al. 2023 and Gadre et al. 2024."""

from dataclasses import replace
from math import exp

from jaxscale.laws._downstream import from_flops_form
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.entries import NOT_STATED, Entry
from jaxscale.laws.kaplan import Kaplan
from jaxscale.laws.repeated_data import Muennighoff

# --- Kaplan et al. 2020 --------------------------------------------------------------------

_NO_FLOOR = (
    "Nothing is irreducible in it, so losses below about 1.7 nats are meaningless; it was "
    "seen to hold above about 2."
)
_NO_FRONTIER = (
    "Its runs stopped early, with dropout and many epochs where data was short, so C = 6 N D "
    "does not hold of them: do not split a budget by it. The paper's own allocation is "
    "kaplan.efficient_allocation."
)
_THREE_TABLES = (
    "N_c is 6.4e13, 6.5e13 and 8.8e13 in Tables 2, 3 and 5, and alpha_N, D_c and alpha_D "
    "differ too: each set belongs to its own formula."
)
_NO_EMBEDDINGS = "Params leave embeddings out, 10 to 30 % of a model below 1e8 params."

_KAPLAN = Entry(
    name="kaplan2020",
    law=Kaplan(N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103),
    source="Kaplan et al. 2020, arXiv 2001.08361, eq. 1.5 and Table 2",
    dataset="WebText2",
    params_convention="embeddings of words and positions not counted",
    tokenizer="byte pairs, vocabulary of 50,257",
    params_range=(768, 1.5e9),
    tokens_range=(2.2e7, 2.3e10),
    tokens_per_param_range=None,
    errata=(_NO_FLOOR, _NO_FRONTIER, _NO_EMBEDDINGS, _THREE_TABLES),
)

_KAPLAN_TABLE_5 = replace(
    _KAPLAN,
    name="kaplan2020_table5",
    law=Kaplan(N_c=8.8e13, D_c=5.4e13, alpha_N=0.076, alpha_D=0.095),
    source="Kaplan et al. 2020, arXiv 2001.08361, eq. 1.5 with the coefficients of Table 5",
    errata=(
        "Not a fit of this formula: Table 5 is of the laws of one cause each. It is often used "
        "here all the same; at 1e9 params and 2.29e10 tokens it gives 2.429, and kaplan2020, "
        "which was fitted, 2.368.",
        *_KAPLAN.errata,
    ),
)

# --- Muennighoff et al. 2023, with the terms for repeated tokens and excess params ----------

_MUENNIGHOFF = Entry(
    name="muennighoff2023_repeated",
    # Kept as the logarithms that were fitted: ln E, ln A, ln B.
    law=Muennighoff(
        E=exp(0.6254804),
        A=exp(6.255414),
        B=exp(7.3049974),
        alpha=0.3526596,
        beta=0.3526596,
        R_D=15.387756,
        R_N=5.309743,
    ),
    source="Muennighoff et al. 2023, arXiv 2305.16264, huggingface/datablations, README.md; "
    "ranges from utils/parametric_fit.ipynb",
    dataset="C4: 182 runs on 1e8 to 1.78e11 unique tokens, at 1 to 9000 epochs",
    params_convention="total, embeddings counted",
    tokenizer="GPT-2",
    params_range=(7.09e6, 8.67e9),
    tokens_range=(1e8, 9e11),
    tokens_per_param_range=(0.0912, 63_830),
    errata=(
        "It never gets worse with repetition: real models do overfit, and runs in which excess "
        "params raised the loss were left out of the fit.",
        "R_D and R_N alone were fitted to these runs. The base law is muennighoff2023, read off "
        "a figure of Hoffmann et al. 2022; alpha = beta was imposed.",
        "Another fit, with alpha and beta free (R_D 16.26, R_N 4.96), draws some figures of the "
        "paper: it is not this one.",
    ),
)

# --- Gadre et al. 2024 -----------------------------------------------------------------------


def _gadre(train_set: str, label: str, law: Chinchilla, tested: str) -> Entry:
    return Entry(
        name=f"gadre2024_{label}",
        law=law,
        source="Gadre et al. 2024, arXiv 2403.08540: least squares on five of the runs in "
        "mlfoundations/scaling, exp_data/models, as its scaling/laws.py does it",
        dataset=f"{train_set} to train on; the loss is that on C4's validation text",
        params_convention="total, embeddings counted",
        tokenizer=NOT_STATED,
        # Four models at 20 tokens per param, and the smallest at 320.
        params_range=(10_569_312, 411_616_256),
        tokens_range=(2.11e8, 8.24e9),
        tokens_per_param_range=(20, 320),
        errata=(
            "The best tokens per param of this fit are 3 to 8 at every budget, because it saw "
            "20 and 320 alone: do not choose params at fixed compute by it. It is meant for "
            "losses along tokens per param.",
            f"Meant to be extrapolated, and tested so by the authors: {tested}",
            "alpha = beta was imposed. The released code returns (A, B, -alpha, E), which are "
            "not the paper's (a, b, eta, E): a = A 6^eta, b = B 6^eta, eta = alpha / 2.",
        ),
    )


# fmt: off
_GADRE = (  # E, a, b, eta
    _gadre("C4", "c4", from_flops_form(1.5082606, 141.27726, 189.51553, 0.12123612),
           "at 6.9e9 params and 20 tokens each it is 4.3 % below the run."),
    _gadre("RedPajama", "redpajama", from_flops_form(1.8366484, 212.2361, 366.68716, 0.13642535),
           "at 1.4e9 params and 640 tokens each, and at 6.9e9 and 20, it is 0.7 % above the runs."),
    _gadre("RefinedWeb", "refinedweb", from_flops_form(1.7344621, 157.11629, 246.20669, 0.12719742),
           "at 6.9e9 params and 20 tokens each it is 1.6 % below the run."),
)
# fmt: on

ENTRIES = (_KAPLAN, _KAPLAN_TABLE_5, _MUENNIGHOFF, *_GADRE)
