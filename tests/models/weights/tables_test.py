"""Tables put tensors where they belong, in our layouts, and name each that does not fit."""

import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import weights

pytestmark = pytest.mark.fast


class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 2), rngs=rngs)
        self.out = nnx.Linear(2 * 3 * 4, 5, rngs=rngs)
        self.scale = nnx.Param(jnp.ones(5))


KERNEL, BIAS = weights.normalized_convolution("c.weight", "bn.", epsilon=0.5)
TABLE = {
    "conv/kernel": KERNEL,
    "conv/bias": BIAS,
    "out/kernel": weights.linear_of_image("fc.weight", (2, 3, 4)),
    "out/bias": weights.same("fc.bias"),
    "scale": weights.same("s"),
}


@pytest.fixture(scope="module")
def net():
    return nnx.eval_shape(lambda: Net(nnx.Rngs(0)))


def tensors(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"c.weight": (4, 3, 3, 2), "fc.weight": (5, 24), "fc.bias": (5,), "s": (5,)}
    shapes |= {f"bn.{name}": (4,) for name in ("weight", "bias", "running_mean", "running_var")}
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()} | {"bn.count": np.int64(3)}


def file(arrays):
    return weights.Weights(arrays, path="net.pth", format="npz", sha256="00")


def test_kernels_are_turned_and_the_normalization_is_multiplied_in(net):
    t = tensors()
    filled = weights.assign(net, TABLE, file(t), ignore=("*.count",))
    x = np.random.default_rng(1).random((1, 3, 2, 3), np.float32)  # one place of the output
    at = np.einsum("hwi,oihw->o", x[0], t["c.weight"])
    want = (at - t["bn.running_mean"]) / np.sqrt(t["bn.running_var"] + 0.5) * t["bn.weight"] + t["bn.bias"]
    got = np.einsum("hwi,hwio->o", x[0], filled.conv.kernel[...]) + filled.conv.bias[...]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    image = np.random.default_rng(2).random((2, 3, 4), np.float32)
    want = t["fc.weight"] @ image.transpose(2, 0, 1).reshape(-1)
    np.testing.assert_allclose(image.reshape(-1) @ filled.out.kernel[...], want, rtol=1e-5)
    assert isinstance(net.scale.get_value(), jax.ShapeDtypeStruct), "the module that was handed in is left as it is"


def test_half_precision_is_widened(net):
    halves = {name: np.asarray(x, np.float16) for name, x in tensors().items()}
    filled = weights.assign(net, TABLE, file(halves), ignore=("*.count",))
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(filled))} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.bias": None}, "fc.bias [5] is missing (there is fc.biases)"),
        ({"bn.running_var": None}, "bn.running_var [4] is missing"),
        ({"c.weight": np.zeros((3, 2, 3, 4))}, "c.weight has the shape [3, 2, 3, 4] and should have [4, 3, 3, 2]"),
        ({"fc.weight": np.zeros((24, 5))}, "fc.weight has the shape [24, 5] and should have [5, 24]"),
        ({"aux.weight": np.zeros(2)}, "aux.weight [2] belongs to no part of the network"),
        ({"s": np.asarray([1, 2, np.nan, 4, 5])}, "s hold numbers that are not finite"),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(change, said, net):
    arrays = tensors() | ({"fc.biases": np.zeros(5)} if change.get("fc.bias", 0) is None else {}) | change
    arrays = {name: x for name, x in arrays.items() if x is not None}
    with pytest.raises(weights.WeightsError, match=f"'net.pth' .*Net.*{re.escape(said)}"):
        weights.assign(net, TABLE, file(arrays), ignore=("*.count", "fc.biases*"))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.bool_])
def test_whole_numbers_without_a_scale_are_no_weights(dtype, net):
    for name in ("c.weight", "fc.weight", "s"):
        arrays = tensors()
        arrays[name] = np.ones(arrays[name].shape, dtype)
        with pytest.raises(weights.WeightsError, match=f"{name} is of type {np.dtype(dtype)}, without the scale"):
            weights.assign(net, TABLE, file(arrays), ignore=("*.count",))


def test_names_like_a_missing_one_are_looked_for_a_few_times(net):
    # Two hundred thousand comparisons of names would take minutes.
    crowd = {f"fc.bias{i}" + "x" * (i % 50): np.zeros(1) for i in range(20_000)}
    start = time.process_time()
    found = weights.problems(net, TABLE, file(crowd), ignore=("*",))
    assert len(found) == 8 and sum("there is" in line for line in found) <= 5
    assert time.process_time() - start < 5


def test_a_table_of_another_network_is_our_own_fault(net):
    with pytest.raises(ValueError, match="scale"):
        weights.problems(net, {path: entry for path, entry in TABLE.items() if path != "scale"}, file(tensors()))
    assert list(weights.under("a/b", {"c": TABLE["scale"]})) == ["a/b/c"]


def test_random_weights_say_so_and_keep_the_size_of_what_passes(net):
    filled = weights.random(net, nnx.Rngs(0))
    again = weights.random(net, nnx.Rngs(0))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), nnx.state(filled), nnx.state(again)))
    other = weights.random(net, nnx.Rngs(1))
    assert not np.array_equal(other.conv.kernel[...], filled.conv.kernel[...])
    assert float(jnp.std(filled.out.kernel[...])) == pytest.approx((2 / 24) ** 0.5, rel=0.2)
    np.testing.assert_array_equal(filled.scale[...], 1)
    assert str(weights.of_random("net")) == "random net, for smoke tests"
