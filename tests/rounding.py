"""Options of `jax.jit` for tests of roundings: `tests/conftest.py` has programs compiled quicker than for users."""

import importlib.metadata

# On a jaxlib that has no other code, nothing.
AS_USERS = {"xla_cpu_use_fusion_emitters": True} if importlib.metadata.version("jaxlib").startswith("0.10.") else {}
