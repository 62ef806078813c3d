"""What is asked of the CPU backend, where there is one that knows it."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gentoolkit import training
from gentoolkit.training import cpu

pytestmark = pytest.mark.fast


@pytest.fixture
def forgetful():
    """What was found out about this process is found out anew."""
    cpu._knows.cache_clear()
    cpu.keep_memory.cache_clear()
    yield
    cpu._knows.cache_clear()
    cpu.keep_memory.cache_clear()


def test_options_only_where_they_are_known(forgetful, monkeypatch):
    """A CPU of this jaxlib has them; another platform, an unknown option and a flag of the user's get none."""
    name = cpu._NO_FUSIONS[0]
    assert cpu.compiler_options("cpu") == {name: ""}
    assert cpu.compiler_options("gpu") == cpu.once_options("gpu") == {}
    monkeypatch.setenv("XLA_FLAGS", f"--{name}=2")
    assert cpu.once_options("cpu") == {"xla_backend_optimization_level": 0}
    assert cpu.compiler_options("cpu") == {}
    monkeypatch.delenv("XLA_FLAGS")
    monkeypatch.setattr(cpu, "_NO_FUSIONS", ("xla_cpu_no_such_option", ""))
    assert cpu.compiler_options("cpu") == {}


def test_memory_is_kept_on_linux_unless_the_user_says_otherwise(forgetful, monkeypatch):
    """glibc alone; an environment that sets the same thresholds has precedence."""
    assert cpu.keep_memory("cpu") == (sys.platform == "linux")
    assert not cpu.keep_memory("gpu")
    for name, value in {"MALLOC_ARENA_MAX": "4", "GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"}.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            cpu.keep_memory.cache_clear()
            assert not cpu.keep_memory("cpu")


def test_the_platform_is_guessed_without_starting_jax(monkeypatch):
    """What the user asks for; else a CPU where no plugin is installed that might bring something else."""
    for asked, want in {"cpu": "cpu", "cuda,cpu": "cuda"}.items():
        monkeypatch.setattr(cpu, "_asked_for", lambda asked=asked: asked)
        assert cpu.expected_platform() == want
    monkeypatch.setattr(cpu, "_asked_for", lambda: None)
    monkeypatch.setattr(cpu.importlib.metadata, "entry_points", lambda group: [])
    monkeypatch.setattr(cpu.importlib.util, "find_spec", lambda name: None)
    assert cpu.expected_platform() == "cpu"
    monkeypatch.setattr(cpu.importlib.metadata, "entry_points", lambda group: ["cuda"])
    assert cpu.expected_platform() == "unknown"


def test_the_step_of_a_program_has_the_options(monkeypatch):
    """Of `program` alone, without a loop or a launch; with them a convolution is not handed to YNNPACK."""
    asked, jit = [], jax.jit
    monkeypatch.setattr(jax, "jit", lambda *a, **options: asked.append(options) or jit(*a, **options))

    def objective(models, batch, turn):
        return jnp.mean(models["net"](batch["x"])), {}

    player = {"p": training.Player(objective, optax.sgd(0.1))}
    training.program(lambda rngs: {"net": nnx.Linear(1, 1, rngs=rngs)}, player, {"x": np.zeros((8, 1), np.float32)})
    (options,) = [call["compiler_options"] for call in asked if "donate_argnums" in call]
    assert options == cpu.compiler_options("cpu") != {}
    x, kernel = np.zeros((2, 8, 8, 32), np.float32), np.zeros((3, 3, 32, 32), np.float32)

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    text = jit(convolve, compiler_options=options).lower(x, kernel).compile().as_text()
    assert "convolution" in text and "ynn" not in text
