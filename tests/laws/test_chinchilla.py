"""The Chinchilla law: its values, its inverses, its derivatives, and where it has no answer."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

import reference
from jaxscale.laws import Chinchilla, published

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
DTYPE = DTYPES[-1]
NAMES = tuple(field.name for field in dataclasses.fields(Chinchilla))
LAW = published("besiroglu2024")


# Values of the law at 50 digits, straight from its definition and solved for each unknown.
def exact_loss(law, params, tokens):
    return reference.priced(law, params, tokens).loss


def exact_tokens_for(law, loss, params):
    with mp.workdps(max(reference.DIGITS, mp.dps)):
        E, A, B, alpha, beta = (mp.mpf(getattr(law, name)) for name in NAMES)
        return (B / (loss - E - A * mp.mpf(params) ** -alpha)) ** (1 / beta)


def exact_params_for(law, loss, tokens):
    return exact_tokens_for(mirrored(law), loss, tokens)


def mirrored(law):
    """The same law with params and tokens in each other's place."""
    return Chinchilla(law.E, law.B, law.A, law.beta, law.alpha)


METHODS = {
    "loss": (Chinchilla.loss, exact_loss),
    "tokens_for": (Chinchilla.tokens_for, exact_tokens_for),
    "params_for": (Chinchilla.params_for, exact_params_for),
}
ARGUMENTS = {
    "loss": {"params": 1e9, "tokens": 2e10},
    "tokens_for": {"loss": 2.5, "params": 1e9},
    "params_for": {"loss": 2.5, "tokens": 2e10},
}


# --- Values ---------------------------------------------------------------------------------

# Computed apart from the papers' coefficients; a law by name, or E, A, B, alpha, beta.
BESIROGLU_PRINTED = (1.8172, 482.01, 2085.43, 0.3478, 0.3658)
LOSSES = [
    # law, params, tokens, loss
    ("hoffmann2022", 70e9, 1.4e12, "1.93665"),
    ("hoffmann2022", 280e9, 300e9, "1.99326"),
    ("hoffmann2022", 1e9, 20e9, "2.58005"),
    ("hoffmann2022_unrounded", 70e9, 1.4e12, "1.92085"),
    (BESIROGLU_PRINTED, 70e9, 1.4e12, "1.97388"),
    (BESIROGLU_PRINTED, 1e9, 20e9, "2.53005"),
    ("muennighoff2023", 1e9, 20e9, "2.564635"),
    ("muennighoff2023", 1e9, 80e9, "2.430627"),
    ("sardana2024_le100", 1e9, 20e9, "2.7312"),
    ("sardana2024_le100", 1e9, 1e12, "2.2570"),
    ("sardana2024_le250", 1e9, 20e9, "2.8310"),
    ("sardana2024_le250", 1e9, 1e12, "2.4174"),
    ("sardana2024_le500", 1e9, 20e9, "2.9089"),
    ("sardana2024_le500", 1e9, 1e12, "2.5345"),
    ("sardana2024_all", 1e9, 20e9, "2.7257"),
    ("sardana2024_all", 1e9, 1e12, "2.4406"),
]


@pytest.mark.parametrize(("law", "params", "tokens", "loss"), LOSSES)
def test_loss_of_a_published_law(law, params, tokens, loss):
    law = published(law) if isinstance(law, str) else Chinchilla(*law)
    half_unit = 0.5 * 10.0 ** -len(loss.partition(".")[2])
    assert_allclose(law.loss(params, tokens), float(loss), rtol=0, atol=half_unit + 4e-7)


def lanes(*trees):
    """One scenario at a time, as Python floats."""
    columns, structure = jax.tree.flatten(trees)
    for values in zip(*columns, strict=True):
        yield jax.tree.unflatten(structure, [value.item() for value in values])


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_the_law_at_fifty_digits(dtype):
    draws = reference.random_scenarios(np.random.default_rng(0), 100, dtype)
    law = Chinchilla(*(draws[name] for name in NAMES))
    logs = np.random.default_rng(1).uniform(np.log(1e2), np.log(1e18), (2, 100))
    params, tokens = np.exp(logs).astype(dtype)
    expected = [float(exact_loss(*lane)) for lane in lanes(law, params, tokens)]
    # The logarithm of a term is a sum of numbers up to 2 * log(1e18), each rounded.
    assert_allclose(law.loss(params, tokens), expected, rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["tokens_for", "params_for"])
def test_size_is_the_inverse_at_fifty_digits(method, dtype):
    solve, exact = METHODS[method]
    draws = reference.random_scenarios(
        np.random.default_rng(2),
        100,
        dtype,
        exponents=(0.2, 1.0),
        coefficients=(1e0, 1e3),
        reducible=(1e-2, 1e1),
    )
    law = Chinchilla(*(draws[name] for name in NAMES))
    # The size that is known has a share of 5 % to 95 % in the reducible loss.
    share = np.random.default_rng(3).uniform(0.05, 0.95, 100)
    scale, power, other = law.A, law.alpha, law.beta
    if method == "params_for":
        scale, power, other = law.B, law.beta, law.alpha
    known = ((scale / (share * draws["reducible"])) ** (1 / power)).astype(dtype)
    found = solve(law, draws["loss"], known)
    expected = [float(exact(*lane)) for lane in lanes(law, draws["loss"], known)]
    # Logarithms up to 50 are rounded; the share left for the other size is a difference.
    errors = np.abs(np.asarray(found) / np.array(expected) - 1)
    assert np.all(errors <= 50 * np.finfo(dtype).eps / ((1 - share) * other))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["hoffmann2022", "besiroglu2024", "sardana2024_le100"])
def test_methods_undo_each_other(name, dtype):
    law = published(name)
    params, tokens = np.broadcast_arrays(
        np.geomspace(1e7, 1e12, 6, dtype=dtype)[:, None], np.geomspace(1e8, 1e14, 7, dtype=dtype)
    )
    loss = law.loss(params, tokens)
    for found, given, scale, power in (
        (law.tokens_for(loss, params), tokens, law.B, law.beta),
        (law.params_for(loss, tokens), params, law.A, law.alpha),
    ):
        # The loss is rounded, and its term that belongs to the size is a small part of it.
        part = scale * given**-power / loss
        assert np.all(np.abs(found / given - 1) <= 20 * np.finfo(dtype).eps / (part * power))


def test_mirrored_law_gives_the_same_answers():
    params, tokens = np.geomspace(1e7, 1e12, 6), np.geomspace(1e8, 1e14, 6)
    loss, mirror = LAW.loss(params, tokens), mirrored(LAW)
    assert_allclose(mirror.loss(tokens, params), loss, rtol=4 * np.finfo(DTYPE).eps)
    assert_array_equal(mirror.params_for(loss, params), LAW.tokens_for(loss, params))
    assert_array_equal(mirror.tokens_for(loss, tokens), LAW.params_for(loss, tokens))


def test_loss_falls_with_either_size_towards_E():
    sizes = np.geomspace(1e3, 1e18, 50)
    assert np.all(np.diff(LAW.loss(sizes, 1e10)) < 0)
    assert np.all(np.diff(LAW.loss(1e10, sizes)) < 0)
    assert_allclose(LAW.loss(1e300 if X64 else 1e38, 1e38), LAW.E, rtol=1e-6)


def test_smallest_size_that_reaches_a_loss():
    loss = 2.5
    smallest = (LAW.A / (loss - LAW.E)) ** (1 / LAW.alpha)
    assert np.isnan(LAW.tokens_for(loss, 0.9999 * smallest))
    assert LAW.tokens_for(loss, 1.0001 * smallest) > 1e15


# --- Where no answer exists -----------------------------------------------------------------

GOOD = {"E": LAW.E, "A": LAW.A, "B": LAW.B, "alpha": LAW.alpha, "beta": LAW.beta}
BAD = [("E", bad) for bad in (-0.1, np.nan, np.inf, -np.inf)]
BAD += [
    (name, bad)
    for name in ("A", "B", "alpha", "beta")
    for bad in (0.0, -1.0, np.nan, np.inf, -np.inf)
]
BAD_SIZES = [0.0, -1e9, np.nan, np.inf, -np.inf]
CASES = [(method, name, bad) for method in METHODS for name, bad in BAD]
CASES += [("loss", name, bad) for name in ("params", "tokens") for bad in BAD_SIZES]
CASES += [("tokens_for", "params", bad) for bad in [*BAD_SIZES, 1e3]]  # 1e3: too small for 2.5
CASES += [("params_for", "tokens", bad) for bad in [*BAD_SIZES, 1e3]]
CASES += [
    (method, "loss", bad)
    for method in ("tokens_for", "params_for")
    for bad in (LAW.E, 1.0, 0.0, -1.0, np.nan, np.inf, -np.inf)
]
# A size beyond the largest number: the exponent is 0.01, the other term has next to nothing.
CASES += [("tokens_for", "beta", 0.005), ("params_for", "alpha", 0.005)]


@pytest.mark.parametrize(("method", "name", "bad"), CASES)
def test_no_answer_is_nan_without_derivative_and_touches_no_neighbour(method, name, bad):
    solve, _ = METHODS[method]
    inputs = GOOD | ARGUMENTS[method]
    others = {n: np.full(3, value, DTYPE) for n, value in inputs.items()}
    lanes_with_bad = others | {name: np.array([inputs[name], bad, inputs[name]], DTYPE)}

    def total(inputs):
        law = Chinchilla(*(inputs[n] for n in NAMES))
        answer = solve(law, *(inputs[n] for n in ARGUMENTS[method]))
        return jnp.sum(jnp.where(jnp.isnan(answer), 0, answer)), answer

    derivatives, answer = jax.grad(total, has_aux=True)(lanes_with_bad)
    expected, untouched = jax.grad(total, has_aux=True)(others)
    assert_array_equal(np.isnan(answer), [False, True, False])
    assert_array_equal(answer[::2], untouched[::2])
    for n in inputs:
        assert derivatives[n][1] == 0
        assert_array_equal(derivatives[n][::2], expected[n][::2])
        assert np.isfinite(expected[n]).all()


def test_size_that_leaves_nothing_for_the_other_is_an_edge_without_answer():
    """1 / N is all of the loss, in every bit; the other size would have to be infinite."""
    law = Chinchilla(E=0.0, A=1.0, B=1.0, alpha=1.0, beta=1.0)
    for solve in (law.tokens_for, law.params_for):
        assert np.isnan(solve(0.5, 2.0))
        assert jax.grad(solve)(0.5, 2.0) == 0
        assert jax.grad(solve, argnums=1)(0.5, 2.0) == 0


def test_E_of_zero_is_a_law():
    law = dataclasses.replace(LAW, E=0.0)
    assert_allclose(law.tokens_for(law.loss(1e9, 2e10), 1e9), 2e10, rtol=1e-4)


# --- Shapes ---------------------------------------------------------------------------------


def test_scalars_give_scalars():
    for method, (solve, _) in METHODS.items():
        answer = solve(LAW, *ARGUMENTS[method].values())
        assert isinstance(answer, jax.Array)
        assert answer.shape == ()
        assert answer.dtype == DTYPE


def bootstrapped(count):
    """A law with a leading axis, as a bootstrap gives it."""
    draws = np.random.default_rng(3).uniform(0.95, 1.05, (5, count))
    return Chinchilla(*(value * draw for value, draw in zip(GOOD.values(), draws, strict=True)))


@pytest.mark.parametrize("method", METHODS)
def test_bootstrapped_law_is_a_loop_over_laws(method):
    solve, _ = METHODS[method]
    law = bootstrapped(9)
    first, second = ARGUMENTS[method].values()
    grid = first * np.array([1.0, 1.1, 1.2, 1.3])[:, None]
    answer = solve(law, grid, second)
    assert answer.shape == (4, 9)
    for i, one in enumerate(lanes(law)):
        alone = solve(*one, grid[:, 0], second)
        # XLA may use another exponential for another shape: an ulp, times 1 / beta.
        assert_allclose(answer[:, i], alone, rtol=100 * np.finfo(DTYPE).eps)


@pytest.mark.parametrize("method", METHODS)
def test_every_shape_broadcasts_as_in_numpy(method):
    solve, _ = METHODS[method]
    first, second = ARGUMENTS[method].values()
    law = dataclasses.replace(
        LAW, A=np.full((5, 1, 1, 1), LAW.A), beta=np.full((3, 1), LAW.beta), E=np.full(1, LAW.E)
    )
    answer = solve(law, np.full((4, 1, 1), first), np.full(2, second))
    assert answer.shape == (5, 4, 3, 2)
    expected = np.full(answer.shape, solve(LAW, first, second))
    assert_allclose(answer, expected, rtol=100 * np.finfo(DTYPE).eps)


def test_empty_batch_stays_empty():
    assert LAW.loss(np.zeros((0, 3)), 1e9).shape == (0, 3)


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"not broadcast.*params \(2,\).*tokens \(3,\)"):
        LAW.loss(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"not broadcast.*law\.alpha \(2,\).*params \(3,\)"):
        dataclasses.replace(LAW, alpha=np.ones(2)).loss(np.ones(3), 1.0)


# --- Numbers of all kinds -------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_float32_in_is_float32_out(method):
    solve, _ = METHODS[method]
    first, second = ARGUMENTS[method].values()
    for array in (np.float32(first), np.full(3, first, np.float32), jnp.float32(first)):
        assert solve(LAW, array, second).dtype == np.float32
    expected = solve(LAW, first, second)
    assert_allclose(solve(LAW, np.float32(first), np.float32(second)), expected, rtol=1e-4)


@pytest.mark.skipif(not X64, reason="there is no float64 without x64")
def test_widths_widen():
    assert LAW.loss(np.float32(1e9), np.float64(2e10)).dtype == np.float64
    wide = jax.tree.map(np.float64, LAW)
    assert wide.loss(np.float32(1e9), np.float32(2e10)).dtype == np.float64


@pytest.mark.parametrize(
    "params",
    [7_000_000_000, np.int64(7_000_000_000), np.array([7_000_000_000]), 7e9, np.float32(7e9)],
    ids=["int beyond int32", "int64", "integer array", "float", "float32"],
)
def test_integers_are_numbers(params):
    answer = LAW.loss(params, 1_400_000_000_000)
    assert_allclose(answer, np.full(np.shape(params), LAW.loss(7e9, 1.4e12)), rtol=1e-6)


def test_integer_coefficients_are_numbers():
    law = Chinchilla(E=2, A=400, B=np.int32(400), alpha=1, beta=np.array([1, 2]))
    assert_allclose(law.loss(200, 20), [24.0, 5.0], rtol=1e-6)


WRONG = ["1B", None, [1e9], (1e9, 1e9), True, 1j, np.array(1j), np.array("a"), np.array(True)]
WRONG += [np.float16(1), jnp.bfloat16(1), object()]


@pytest.mark.parametrize("wrong", WRONG, ids=[f"{type(x).__name__}:{x}"[:20] for x in WRONG])
def test_wrong_type_is_named(wrong):
    for call, name in [
        (lambda: LAW.loss(wrong, 1e9), "params"),
        (lambda: LAW.loss(1e9, wrong), "tokens"),
        (lambda: LAW.tokens_for(wrong, 1e9), "loss"),
        (lambda: LAW.tokens_for(2.5, wrong), "params"),
        (lambda: LAW.params_for(2.5, wrong), "tokens"),
        (lambda: dataclasses.replace(LAW, alpha=wrong).loss(1e9, 1e9), r"law\.alpha"),
    ]:
        with pytest.raises(TypeError, match=f"^{name} must be a real number or an array"):
            call()


# --- Derivatives ----------------------------------------------------------------------------


def along(function, method, name, x):
    """A method's answer as a function of one input."""
    inputs = {n: DTYPE(value).item() for n, value in (GOOD | ARGUMENTS[method]).items()}
    inputs[name] = x
    return function(
        Chinchilla(*(inputs[n] for n in NAMES)), *(inputs[n] for n in ARGUMENTS[method])
    )


@functools.cache
def derivatives_of(method):
    """First and second derivatives by each input, all compiled together."""

    @jax.jit
    def derivatives(inputs):
        found = {}
        for name, x in inputs.items():
            first = jax.grad(functools.partial(along, METHODS[method][0], method, name))
            found[name] = first(x), jax.grad(first)(x)
        return found

    return derivatives({n: DTYPE(value) for n, value in (GOOD | ARGUMENTS[method]).items()})


@pytest.mark.parametrize(
    ("method", "name"),
    [(method, name) for method, given in ARGUMENTS.items() for name in [*NAMES, *given]],
)
def test_derivatives_by_every_input(method, name):
    exact = functools.partial(along, METHODS[method][1], method, name)
    x = DTYPE((GOOD | ARGUMENTS[method])[name]).item()
    scale = 1e-2 * x  # within which the answer exists
    for order, found in zip((1, 2), derivatives_of(method)[name], strict=True):
        expected = float(reference.derivative(exact, x, order, scale))
        # Against a slope that would matter: loss is linear in A, its second derivative 0.
        tiny = 100 * np.finfo(DTYPE).eps * abs(float(exact(x))) / x**order
        assert_allclose(found, expected, rtol=1e-11 if X64 else 2e-3, atol=tiny)


@pytest.mark.skipif(not X64, reason="finite differences need float64")
@pytest.mark.parametrize("method", METHODS)
def test_derivatives_in_both_modes_to_second_order(method):
    solve, _ = METHODS[method]
    given = ARGUMENTS[method].values()

    def in_logs(law, first, second):
        moved = jax.tree.map(lambda log, value: jnp.exp(log) * value, (law, first, second), at)
        return jnp.log(solve(*moved))

    at = (LAW, *given)
    check_grads(in_logs, jax.tree.map(lambda _: np.float64(0.0), at), order=2, eps=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_jit_and_vmap_change_nothing(method):
    solve, _ = METHODS[method]
    law = bootstrapped(5)
    first, second = (np.full(5, value, DTYPE) for value in ARGUMENTS[method].values())
    answer = solve(law, first, second)
    assert_array_equal(jax.jit(solve)(law, first, second), answer)
    law = jax.tree.map(lambda x: x.astype(DTYPE), law)
    assert_allclose(jax.vmap(solve)(law, first, second), answer, rtol=4 * np.finfo(DTYPE).eps)


# --- The law itself -------------------------------------------------------------------------


def test_law_is_a_frozen_pytree_of_its_coefficients():
    leaves, structure = jax.tree.flatten(LAW)
    assert leaves == [LAW.E, LAW.A, LAW.B, LAW.alpha, LAW.beta]
    assert jax.tree.unflatten(structure, leaves) == LAW
    with pytest.raises(dataclasses.FrozenInstanceError):
        LAW.E = 0.0
