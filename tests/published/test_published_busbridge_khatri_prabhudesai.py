"""Distillation, reinforcement learning and reuse by diffusion: numbers that papers print."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import published, reinforcement
from published.numbers import assert_printed

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

BUSBRIDGE = "Busbridge et al. 2025, arXiv 2502.08606, Table 6"
ALONE = {
    **{"E": "1.220", "A": "3355", "B": "18186"},
    **{"alpha": "0.408", "beta": "0.431", "gamma": "0.452"},
}
STUDENT = {
    **{"A": "2243", "B": "24181", "alpha": "0.321", "beta": "0.637", "gamma": "0.764"},
    **{"c0": "2.549", "c1": "522.6", "f1": "0.090", "d1": "1.315"},
}


@pytest.mark.parametrize(
    "name",
    [f"busbridge2025_{kind}" for kind in ("student", "teacher_exists")]
    + [f"busbridge2025_{kind}" for kind in ("logits_stored", "teacher_trained")],
)
def test_coefficients_of_distillation(name):
    law = js.laws.published(name)
    for coefficient, printed in STUDENT.items():
        found = getattr(law, coefficient)
        assert_printed(found, printed, source=BUSBRIDGE, what=f"distillation, {coefficient}")
    for coefficient, printed in ALONE.items():
        found = getattr(law, f"{coefficient}_alone")
        assert_printed(found, printed, source=BUSBRIDGE, what=f"supervised, {coefficient}")
    # As of the supervised law: from the rounded exponents the third digit of a is one off.
    total = law.alpha + law.beta
    what = "distillation, exponent a"
    assert_printed(law.beta / total, "0.664", source=BUSBRIDGE, what=what, within=1e-3)
    what = "distillation, exponent b"
    assert_printed(law.alpha / total, "0.335", source=BUSBRIDGE, what=what)


def test_the_supervised_law():
    law = js.laws.published("busbridge2025")
    sum_of = {"E": law.E, "A": law.A ** (1 / law.k), "alpha": law.alpha, "beta": law.beta}
    sum_of |= {"B": law.R * law.A ** (1 / law.k), "gamma": law.k}
    for coefficient, printed in ALONE.items():
        found = sum_of[coefficient]
        assert_printed(found, printed, source=BUSBRIDGE, what=f"supervised, {coefficient}")
    a, b = (law.alpha / (law.alpha + law.beta), law.beta / (law.alpha + law.beta))
    # Printed with the exponents' own digits: from the rounded ones the third digit is one off.
    exponents = js.compute_optimal(law, flops=np.array([1e20, 1e22]))
    slope = np.diff(np.log(exponents.params)) / np.log(100)
    assert_allclose(slope, b, rtol=1e-9)
    assert_printed(b, "0.513", source=BUSBRIDGE, what="supervised, exponent a", within=1e-3)
    assert_printed(a, "0.486", source=BUSBRIDGE, what="supervised, exponent b", within=1e-3)
    # Worked out apart.
    assert_allclose(law.loss(1e9, 2e10), 2.3747, atol=5e-5)
    assert_allclose(law.loss(7e9, 1.4e12), 1.9019, atol=5e-5)


@pytest.mark.parametrize("params", [1e8, 1e9, 1e10, 1e11])
def test_the_best_teacher_of_endless_data_makes_the_supervised_student(params):
    """Appendix E.6, Figure 40: the two limits agree from 100M to 100B params, to 1 %."""
    law = js.laws.published("busbridge2025_student")
    teacher = np.linspace(1.25, 4, 5501)
    best = float(np.min(law.loss(params, 1e30, teacher_loss=teacher)))
    assert best == pytest.approx(float(law.alone().loss(params, 1e30)), rel=0.01)


KHATRI = {
    "khatri2025_8b": ("2542", "1.92", ".610"),
    "khatri2025_8b_32k": ("11272", "1.89", ".645"),
    "khatri2025_scout": ("4242", "1.65", ".710"),
    "khatri2025_batch512": ("2818", "1.77", ".605"),
    "khatri2025_batch2048": ("10909", "1.70", ".645"),
}


@pytest.mark.parametrize("name", KHATRI)
def test_curves_of_reinforcement_learning(name):
    law, source = reinforcement.published(name), "Khatri et al. 2025, arXiv 2510.13786, Table 1"
    for coefficient, printed in zip(("C_mid", "B", "A"), KHATRI[name], strict=True):
        found = getattr(law, coefficient)
        assert_printed(found, printed, source=source, what=f"{name}, {coefficient}")
    mid, B, A = map(float, KHATRI[name])
    for start in (0.0, 0.2, 0.4):
        assert_allclose(law.pass_rate(mid, start), (start + A) / 2, rtol=1e-14)
        gained = law.pass_rate(10 * mid, start) - start
        assert_allclose(gained, (A - start) / (1 + 10**-B), rtol=1e-13)


def test_every_curve_is_checked():
    assert set(KHATRI) == {entry.name for entry in reinforcement.catalog()}
    assert_printed(
        reinforcement.A_ERROR,
        ".02",
        source="Khatri et al. 2025, arXiv 2510.13786",
        what="error of A",
    )


REUSE = {
    "prabhudesai2025_diffusion": ("493.89", "1265.65"),
    "prabhudesai2025_autoregressive": ("31.19", "55.16"),
}


@pytest.mark.parametrize("name", REUSE)
def test_constants_of_reuse(name):
    law = js.laws.published(f"muennighoff2023+{name}")
    source = "Prabhudesai et al. 2025, arXiv 2507.15857, Table 1b"
    for coefficient, printed in zip(("R_D", "R_N"), REUSE[name], strict=True):
        what = f"{name.removeprefix('prabhudesai2025_')}, {coefficient}*"
        assert_printed(getattr(law, coefficient), printed, source=source, what=what)


@pytest.mark.parametrize(
    ("name", "epochs"),
    [("prabhudesai2025_diffusion", 100), ("prabhudesai2025_autoregressive", 4)],
)
def test_as_many_epochs_as_the_paper_says_are_nearly_as_good_as_fresh_data(name, epochs):
    law = js.laws.repeated("muennighoff2023", name)
    worth = law.effective_tokens(epochs * 1e8, unique_tokens=1e8) / (epochs * 1e8)
    assert 0.9 < worth < 1
    later = law.effective_tokens(10 * epochs * 1e8, unique_tokens=1e8) / (10 * epochs * 1e8)
    assert later < 0.65


def test_the_constants_of_muennighoff_are_those_of_their_own_entry():
    ours = js.laws.repeated("muennighoff2023", "muennighoff2023")
    assert ours == js.laws.published("muennighoff2023_repeated")
    assert len(published.shipped("reuse")) == 3
