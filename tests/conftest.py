"""Tests run in float64 under strict promotion; `JAXSCALE_TEST_X64=0` runs them in float32."""

import os

import jax

X64 = os.environ.get("JAXSCALE_TEST_X64", "1") == "1"
jax.config.update("jax_enable_x64", X64)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
