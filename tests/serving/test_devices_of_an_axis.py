"""Accelerators of one structure, as an axis has them, serve as each does by itself."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxscale as js

NAMES = ("A10G", "L40S", "H100-SXM")  # without a known link, with a bus alone, with links
MODEL = js.architectures.published("llama-3-8b")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 8])
def test_a_device_beside_others_takes_the_time_it_takes_alone(name, count):
    among = js.hardware.comparable(*(js.accelerator(each, price=1.0) for each in NAMES))[name]
    found = js.serving.step(MODEL, js.serving.Deployment(among, count=count), 1, 1024)
    if name == "A10G" and count > 1:
        assert js.Status(int(found.status)) is js.Status.INVALID_INPUT
        assert np.isnan(found.seconds)
        return
    alone = js.serving.Deployment(js.accelerator(name, price=1.0), count=count)
    assert float(found.seconds) == pytest.approx(
        float(js.serving.step(MODEL, alone, 1, 1024).seconds), rel=1e-6
    )


def test_a_link_that_is_not_known_leaves_gradients_finite():
    device = js.hardware.comparable("A10G", "H100-SXM")["A10G"]

    def seconds(bandwidth):
        deployment = js.serving.Deployment(dataclasses.replace(device, memory_bandwidth=bandwidth))
        return js.serving.step(MODEL, deployment, 1, 1024).seconds

    assert np.isfinite(jax.grad(seconds)(600e9))
