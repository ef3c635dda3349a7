import jax
import pytest


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
