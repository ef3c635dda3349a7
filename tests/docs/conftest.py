import jax
import jax.numpy as jnp
import pytest

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale.economics import regret
from jaxscale.plots import papers

# Not compute_optimal: it compiles soon, and an example rounds what depends on its last bit.
SOLVERS = (
    *((js, name) for name in ("minimize_cost", "minimize_loss", "evaluate")),
    (papers, "minimize_loss"),
    (regret, "_regrets"),
)


@pytest.fixture(autouse=True)
def _as_a_reader_runs_it():
    """JAX as it starts: single precision, promotion allowed."""
    settings = {
        "jax_enable_x64": False,
        "jax_numpy_dtype_promotion": "standard",
        "jax_numpy_rank_promotion": "allow",
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def solved_by_numpy(monkeypatch):
    """Solvers run by NumPy, as in the terminal, where nothing traces them: an example asks once."""

    def by_numpy(solve):
        def run(*args, **kwargs):
            if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs))):
                return solve(*args, **kwargs)
            return jax.tree.map(jnp.asarray, interpreted(solve, *args, **kwargs))

        return run

    for module, name in SOLVERS:
        monkeypatch.setattr(module, name, by_numpy(getattr(module, name)))
