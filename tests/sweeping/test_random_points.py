"""Random points against published vectors and exact arithmetic."""

import hashlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxscale.sweeping.points import bits, key_words, uniforms
from solve.lanes import DTYPES, SEED

# Salmon et al. 2011, Random123's kat_vectors for threefry2x32 of 20 rounds: counter, key, result.
VECTORS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((2**32 - 1, 2**32 - 1), (2**32 - 1, 2**32 - 1), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]

# A point from each number, lane by lane, as a sweep does.
points = jax.jit(
    jax.vmap(lambda key, high, low: uniforms(bits((key[0], key[1]), high, low), jnp.float32)),
)


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_bits_are_those_published(counter, key, expected):
    found = bits(key, *(np.uint32(word) for word in counter))
    assert tuple(map(int, found)) == expected


def test_a_scenario_has_the_same_bits_in_any_chunk():
    numbers = np.arange(6)
    low, high = numbers.astype(np.uint32), (numbers // 4).astype(np.uint32)
    key = np.tile(np.array([3, 5], np.uint32), (6, 1))
    whole = np.asarray(points(key, high, low))
    parts = [points(key[part], high[part], low[part]) for part in np.split(numbers, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert np.unique(whole).size == 6


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_place_is_the_middle_of_the_cell_of_its_leading_bits(dtype):
    print("seed", SEED)
    words = np.random.default_rng(SEED).integers(2**32, size=(2, 50), dtype=np.uint32)
    words[:, :2] = 0, 2**32 - 1
    found = uniforms((jnp.asarray(words[0]), jnp.asarray(words[1])), dtype)
    assert found.dtype == dtype
    cells = 23 if dtype == np.float32 else 52
    for high, low, point in zip(*words.tolist(), np.asarray(found).tolist(), strict=True):
        cell = (high << 32 | low) >> (64 - cells)
        assert Fraction(point) == (cell + Fraction(1, 2)) / 2**cells
        assert 0 < point < 1


def test_places_of_one_key_are_uniform():
    n = 4096
    key = np.tile(np.array(key_words(jax.random.key(0), "price"), np.uint32), (n, 1))
    found = np.sort(points(key, np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32)))
    # Kolmogorov's distance: above 1.95 / sqrt(n) for one key in 1000.
    assert abs(found - (np.arange(n) + 0.5) / n).max() < 1.95 / np.sqrt(n)


def test_places_of_two_names_are_independent():
    n = 4096
    low = np.arange(n, dtype=np.uint32)
    one, other = (
        np.asarray(points(np.tile(np.array(words, np.uint32), (n, 1)), 0 * low, low))
        for words in (key_words(jax.random.key(0), name) for name in ("price", "demand"))
    )
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(n)


def test_words_of_a_key_are_a_hash_of_its_words_and_the_name():
    expected = hashlib.sha256(b"[0, 7] price").digest()[:8]
    assert key_words(jax.random.key(7), "price") == tuple(np.frombuffer(expected, "<u4"))


def test_typed_and_raw_keys_give_the_same_words():
    assert key_words(jax.random.key(7), "a") == key_words(jax.random.PRNGKey(7), "a")


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_and_names_give_words_of_their_own(impl):
    keys = [jax.random.key(seed, impl=impl) for seed in (0, 1)]
    found = {key_words(key, name) for key in keys for name in ("a", "b", "ab")}
    assert len(found) == 6
    assert all(0 <= word < 2**32 and type(word) is int for pair in found for word in pair)


@pytest.mark.parametrize("number", [0, 7, 2**32 - 1, np.int64(7)])
def test_a_whole_number_stands_for_its_jax_key(number):
    assert key_words(number, "price") == key_words(jax.random.key(number), "price")


WRONG_KEYS = {
    "a negative number": -1,
    "a number that is too large": 2**64,
    "a boolean": True,
    "two keys": jax.random.split(jax.random.key(0)),
    "floats": np.zeros(2),
    "signed words": np.zeros(2, np.int32),
}


@pytest.mark.parametrize("key", list(WRONG_KEYS.values()), ids=list(WRONG_KEYS))
def test_anything_but_one_key_is_refused(key):
    with pytest.raises(TypeError, match=r"^key must be one JAX key, such as jax\.random\.key\(0\)"):
        key_words(key, "price")


def test_a_traced_key_is_refused():
    with pytest.raises(TypeError, match=r"^key must be one JAX key"):
        jax.jit(lambda key: jnp.zeros(2) + key_words(key, "price")[0])(jax.random.key(0))
