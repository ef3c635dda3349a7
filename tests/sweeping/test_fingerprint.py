"""A scenario is known by what it computes: in every process alike, and told from all others."""

import json
import os
import subprocess
import sys
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxscale as js
from jaxscale.sweeping import fingerprint
from jaxscale.sweeping.fingerprint import jaxpr_digest

PLAN_DIGESTS = """
import jax, jaxscale as js
from jaxscale.sweeping.fingerprint import jaxpr_digest

for name in ("sardana2024", "besiroglu2024"):
    law = js.laws.published(name)
    plan = lambda loss, tokens: js.minimize_cost(law, loss, js.Demand(tokens))
    print(jaxpr_digest(jax.make_jaxpr(plan)(2.0, 1e12)))
"""


def digest_of(function, *arguments):
    return jaxpr_digest(jax.make_jaxpr(function)(*(arguments or (1.5,))))


def test_two_processes_agree_on_a_plan_and_tell_laws_apart():
    # Another environment moves addresses; another seed reorders sets.
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PLAN_DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed, "PADDING": "x" * 100 * int(seed)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in "12"
    ]
    found = [run.communicate()[0].split() for run in runs]
    assert found[0] == found[1]
    assert len(set(found[0])) == 2
    assert all(len(each) == 64 for each in found[0])


def plan_digest(law, loss=2.0):
    return digest_of(
        lambda loss, tokens: js.minimize_cost(law, loss, js.Demand(tokens)), loss, 1e12
    )


def test_one_ulp_of_a_law_shows():
    numbers = {"A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}
    one = plan_digest(js.laws.Chinchilla(E=np.float32(1.69), **numbers), np.float32(2))
    near = np.nextafter(np.float32(1.69), np.float32(2))
    assert plan_digest(js.laws.Chinchilla(E=np.float32(1.69), **numbers), np.float32(2)) == one
    assert plan_digest(js.laws.Chinchilla(E=near, **numbers), np.float32(2)) != one


def add_in_jit(constant):
    inner = jax.jit(lambda x: x + constant)
    return lambda x: inner(x)


def add_in_rule(constant):
    @jax.custom_jvp
    def inner(x):
        return x + constant

    inner.defjvp(lambda primals, tangents: (inner(*primals), tangents[0]))
    return lambda x: inner(x)


def add_in_branch(constant):
    return lambda x: jax.lax.cond(x.sum() > 0, lambda y: y + constant, lambda y: y, x)


def add_in_loop(constant):
    return lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y + constant, x)


WAYS = {
    "plain": lambda constant: lambda x: x + constant,
    "jit": add_in_jit,
    "custom_jvp": add_in_rule,
    "cond": add_in_branch,
    "fori_loop": add_in_loop,
}
NUMBERS = {
    "numpy scalar": lambda number: np.float32(number),
    "jax scalar": lambda number: jnp.float32(number),
    "long array": lambda number: jnp.ones(5000, np.float32).at[2500].set(number),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_a_closure_shows_wherever_it_is_used(way, number):
    constant, close = NUMBERS[number], float(np.nextafter(np.float32(1.1), np.float32(2)))
    x = np.ones(np.shape(constant(1.1)), np.float32)
    one, same, other = (digest_of(WAYS[way](constant(each)), x) for each in (1.1, 1.1, close))
    assert one == same
    assert one != other


def test_another_operation_dtype_shape_or_order_shows():
    x, y = np.float32(1), np.float32(2)
    found = [
        digest_of(lambda x, y: x + y, x, y),
        digest_of(lambda x, y: x - y, x, y),
        digest_of(lambda x, y: y - x, x, y),
        digest_of(lambda x, y: x + y, np.int32(1), np.int32(2)),
        digest_of(lambda x, y: x + y, np.ones(2, np.float32), np.ones(2, np.float32)),
        digest_of(lambda x, y: (x + y, x), x, y),
        digest_of(lambda x, y: (x + y, y), x, y),
        digest_of(lambda x, y: jax.lax.reduce_precision(x + y, 8, 10), x, y),
        digest_of(lambda x, y: jax.lax.reduce_precision(x + y, 8, 11), x, y),
    ]
    assert len(set(found)) == len(found)


def test_weak_and_strong_types_differ():
    strong = np.asarray(1.5, jnp.result_type(float))
    assert digest_of(lambda x: x, 1.5) != digest_of(lambda x: x, strong)


def test_names_of_variables_do_not_show():
    def one(x):
        doubled = x + x
        return doubled * doubled

    def other(number):
        sum_of_both = number + number
        return sum_of_both * sum_of_both

    assert digest_of(one) == digest_of(other)


def test_a_random_key_of_a_closure_shows():
    def draws(seed):
        key = jax.random.key(seed)
        return digest_of(lambda x: jax.random.uniform(key, dtype=x.dtype), np.float32(1))

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


def test_a_digest_ignores_the_order_of_keys_and_what_json_makes_of_tuples():
    assert fingerprint.digest({"a": (1, 2), "b": 0.1}) == fingerprint.digest(
        {"b": 0.1, "a": [1, 2]}
    )
    assert fingerprint.digest({"a": 1}) != fingerprint.digest({"a": 2})


def test_versions_and_platform_name_what_computes():
    versions = fingerprint.versions()
    assert (versions["jaxscale"], versions["jax"]) == (js.__version__, jax.__version__)
    assert json.loads(fingerprint.canonical(fingerprint.versions()))
    assert fingerprint.platform().startswith(jax.default_backend())


def test_the_own_version_is_known_where_nothing_is_installed(monkeypatch):
    installed = metadata.version

    def version(name):
        if name == "jaxscale":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    assert fingerprint.versions()["jaxscale"] == js.__version__


def test_differences_name_each_value_by_its_path():
    stored = {
        "space": {"axes": {"loss": {"size": 100}, "price": {"size": 2}}},
        "chunk": [1, 10],
        "scenario": "a" * 64,
        "same": {"x": 1},
    }
    given = {
        "space": {"axes": {"loss": {"size": 200}, "requests": {"size": 3}}},
        "chunk": (1, 20),
        "scenario": "b" * 64,
        "same": {"x": 1},
    }
    assert fingerprint.differences(stored, given) == [
        "chunk: [1, 10] in the store, [1, 20] asked for",
        "scenario: contents aaaaaaaa in the store, contents bbbbbbbb asked for",
        "space.axes.loss.size: 100 in the store, 200 asked for",
        'space.axes.price: {"size": 2} in the store, not asked for',
        'space.axes.requests: not in the store, {"size": 3} asked for',
    ]
    assert fingerprint.differences(given, {**given, "chunk": [1, 20]}) == []
