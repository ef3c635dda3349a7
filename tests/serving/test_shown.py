"""What results of serving print: a line for one scenario, a table for several."""

import jax
import numpy as np

import jaxscale as js

SHAPE = js.architectures.published("llama-3-8b")
H100 = js.accelerator("H100-SXM", price=2.0)
REQUESTS = js.serving.Requests(1024, 256)


def test_one_pass_is_a_line_and_several_are_a_table():
    deployment = js.serving.Deployment(H100)
    steps = js.serving.step(SHAPE, deployment, np.array([1.0, 64.0, 2000.0]), 1024)
    lines = repr(steps).splitlines()
    assert lines[0] == "Pass of shape (3,)"
    # The sequences of the last do not fit, so that nothing limits their time.
    assert lines[-1].split() == ["2", "nan", "nan", "nan", "nan", "nan", "none", "OUT_OF_MEMORY"]
    one = repr(jax.tree.map(lambda x: x[1], steps))
    assert one.startswith("Pass(seconds=8.80 ms, tokens_per_second=7.27K, mfu=11 %, mbu=80 %, ")
    assert one.endswith("limit=WEIGHTS, status=OK)")
    assert steps._repr_html_().count("<tr>") == 1 + 3


def test_the_best_names_its_deployments():
    limits = js.serving.Limits(token_seconds=np.array([1e-4, 0.03]))
    best = js.serving.best(SHAPE, H100, REQUESTS, limits, counts=[1])
    first, second = repr(best).splitlines()[-2:]
    assert first.split()[:2] == ["0", "none"]
    assert first.endswith("TOO_SLOW")
    assert second.startswith("1  1 x H100-SXM")
    assert "<td>1 x H100-SXM</td>" in best._repr_html_()
    assert repr(best.service).splitlines()[0] == "Service of shape (2,)"


def test_a_traced_service_prints_too():
    shown = []

    @jax.jit
    def scenario(price):
        device = js.accelerator("H100-SXM", price=price)
        best = js.serving.best(SHAPE, device, REQUESTS, counts=[1])
        shown.extend([repr(best), repr(best.service)])
        assert best._repr_html_() is None
        return best.service.dollars_per_request

    scenario(2.0)
    assert all("Tracer" in text for text in shown)
