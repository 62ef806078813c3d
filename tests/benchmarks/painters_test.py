"""The peers of `painters_bench` are the same systems: both sides lose the same on the same weights, step by step."""

import jax
import numpy as np
import pytest

from benchmarks import painters_bench, painters_torch
from gentoolkit.data import scenes
from gentoolkit.data.fields import Ragged
from gentoolkit.training import functional

SIZE = {"batch": 6, "pixels": 16, "width": 4}


@pytest.mark.parametrize("name", ["dfgan", "vae", pytest.param("attngan", marks=pytest.mark.slow)])
def test_a_step_in_pytorch_loses_the_same_on_the_same_weights(name):
    torch = pytest.importorskip("torch")
    config = painters_bench.configuration(name, SIZE)
    system, program, encoders = painters_bench.program(config)
    state = _restless(program.init(0))
    twin = painters_torch.SYSTEMS[name](config, len(scenes.VOCABULARY))
    _, params, rest = functional.split(encoders)
    painters_torch.load(twin.networks, state.params | state.rest)
    painters_torch.load(twin.frozen, {k: v for k, v in (params | rest).items() if "dropout" not in k})
    trained = sum(v.size for v in state.params.values())
    assert painters_torch.parameters([*twin.networks.values()]) == trained
    step = painters_torch.step(twin, torch.channels_last, ema_decay=0.999)

    inputs = painters_bench.make_inputs(SIZE)
    for count in range(2):  # the second sees what the first has changed
        images, tokens, lengths = (inputs[key][count] for key in ("images", "tokens", "lengths"))
        drawn = _drawn(state.key, count, twin.noise_dim, flow=name == "vae")
        theirs = step(images, tokens, lengths, {key: torch.from_numpy(np.array(x)) for key, x in drawn.items()})
        state = program.step(state, {"image": images, "caption": Ragged(tokens, lengths)})
        ours = [state.meters.sums[f"{player}/loss"] for player in system.players]
        # Adam's first step is the sign of a slope, which rounding decides where there is next to none.
        np.testing.assert_allclose(theirs, ours, rtol=(2e-5, 2e-3)[count])


def _drawn(key, count, noise_dim, *, flow):
    """What the first player draws: its key is that of the step, the player and its only update."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, count), 0), 0)
    if not flow:
        return {"noise": jax.random.normal(key, (SIZE["batch"], noise_dim))}
    of_code, of_flow = jax.random.split(key)
    of_noise, of_times = jax.random.split(of_flow)
    rows = 4 * SIZE["batch"]
    return {
        "noise": jax.random.normal(of_code, (SIZE["batch"], noise_dim)),
        "flow_noise": jax.random.normal(of_noise, (rows, noise_dim)),
        "times": jax.random.uniform(of_times, (rows,)),
    }


def _restless(state):
    """A state without the zeros and ones that networks begin with, which hide what is left out."""
    rng = np.random.default_rng(0)

    def moved(x):
        flat = x.ndim < 2 or not np.any(x)
        return x + np.float32(0.1) * rng.standard_normal(x.shape, np.float32) if flat else x

    return state._replace(params={path: moved(x) for path, x in state.params.items()})
