"""A compiled function is never that of another class."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest

from jaxscale._numerics.compiled import compiled


def shifts(count):
    """Classes of one number each, the i-th of which adds i to it."""
    for i in range(count):
        body = {"__annotations__": {"x": float}, "shifted": lambda self, i=i: self.x + i}
        yield jax.tree_util.register_dataclass(dataclass(frozen=True)(type("Shift", (), body)))


def test_classes_of_equal_fields_are_told_apart():
    # Of 100 such classes jax.jit, of JAX 0.10.2, takes some five for others.
    function = compiled(lambda shift: shift.shifted())
    for number, kind in enumerate(shifts(100)):
        assert function(kind(np.float32(1))) == 1 + number


def test_static_arguments_come_first():
    function = compiled(lambda name, shift: {name: shift.shifted()}, static=1)
    (kind,) = shifts(1)
    assert function("a", kind(1.0)) == {"a": 1.0}
    assert function("b", kind(2.0)) == {"b": 2.0}


@pytest.mark.parametrize("mode", [jax.grad, jax.jit])
def test_it_is_traced_like_any_other(mode):
    (kind,) = shifts(1)
    function = compiled(lambda shift: 3 * shift.shifted())
    found = mode(function)(kind(2.0))
    assert (found.x if mode is jax.grad else found) == (3 if mode is jax.grad else 6)


def test_numbers_of_one_class_are_compiled_once():
    seen = []

    @compiled
    def function(shift):
        seen.append(shift)
        return shift.shifted()

    (kind,) = shifts(1)
    for number in (1.0, 2.0, 3.0):
        function(kind(np.float32(number)))
    assert len(seen) == 1
