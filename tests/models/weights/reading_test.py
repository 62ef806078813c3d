"""Each format is read without its framework; what is hostile, damaged or something else is refused by name."""

import hashlib
import io
import json
import os
import pickle
import struct
import time
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from gentoolkit.models import weights
from tests.models.weights import torch_files as tf

pytestmark = pytest.mark.fast

A = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
B = np.asarray([1.5, -2.25], np.float16)
C = np.asarray([7, -(2**40)], np.int64)
TREE = tf.ordered({"a.weight": tf.array("0", A), "b": tf.array("1", B), "c": tf.array("2", C), "steps": 3})
STORAGES = {"0": A.tobytes(), "1": B.tobytes(), "2": C.tobytes()}


def safetensors(arrays):
    header, at = {}, 0
    for name, (kind, x) in arrays.items():
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(x.tobytes() for _, x in arrays.values())


def npz(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def legacy(location="cpu"):
    parts = {"a.weight": tf.array("11", A, location=location, legacy=True), "b": tf.array("4", B, legacy=True)}
    parts["c"] = tf.array("7", C, legacy=True)
    return tf.legacy(tf.ordered(parts), {"11": (6, A.tobytes()), "4": (2, B.tobytes()), "7": (2, C.tobytes())})


FILES = {
    "torch zip": tf.archive(TREE, STORAGES, extra={"version": b"3\n", "byteorder": b"little"}),
    "torch legacy": legacy("cuda:0"),
    "npz": npz(**{"a.weight": A, "b": B, "c": C}),
    "safetensors": safetensors({"a.weight": ("F32", A), "b": ("F16", B), "c": ("I64", C)}),
    "flax msgpack": serialization.msgpack_serialize({"a.weight": A, "b": B, "c": C}),
}


@pytest.fixture
def write(tmp_path):
    def write(content, name="weights.bin"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("format", FILES)
def test_every_format_gives_the_same_arrays_and_the_hash_of_its_bytes(format, write):
    read = weights.read(write(FILES[format]))
    assert (read.format, read.sha256) == (format, hashlib.sha256(FILES[format]).hexdigest())
    assert list(read) == ["a.weight", "b", "c"]
    for name, want in {"a.weight": A, "b": B, "c": C}.items():
        assert read[name].dtype == want.dtype
        np.testing.assert_array_equal(read[name], want)
        with pytest.raises(ValueError, match="read-only"):
            read[name][...] = 0


@pytest.mark.parametrize("format", FILES)
def test_a_file_that_is_cut_off_anywhere_is_refused_by_name(format, write):
    content = FILES[format]
    for end in range(0, len(content) - 1, max(1, len(content) // 60)):
        with pytest.raises(weights.WeightsError, match="weights.bin"):
            weights.read(write(content[:end]))


@pytest.mark.parametrize("format", FILES)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(format, write):
    content, rng = FILES[format], np.random.default_rng(0)
    for at in rng.integers(0, len(content), 150):
        broken = bytearray(content)
        broken[at] ^= int(rng.integers(1, 256))
        try:
            weights.read(write(bytes(broken)))
        except weights.WeightsError as error:
            assert "weights.bin" in str(error)


class Hostile:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("attack", [(os.mkdir,), (eval, "1"), (getattr, "x", "y")], ids=lambda a: a[0].__name__)
def test_a_hostile_pickle_runs_nothing_and_is_refused(attack, protocol, write, tmp_path):
    goal = tmp_path / "made"
    function, *args = attack
    bad = pickle.dumps({"a": Hostile(function, *(args or [str(goal)]))}, protocol)
    bad = bad if bad.startswith(b"\x80") else b"\x80\x02" + bad
    files = [tf.archive(bad, {}), tf.archive(bad, {}, extra={"code/m.py": b"", "constants.pkl": b""})]
    for content in [*files, tf.LEGACY_MAGIC + tf.pickled(1001) + tf.pickled({}) + bad]:
        with pytest.raises(weights.WeightsError, match=f"asks for .*{function.__name__}.*could run any code"):
            weights.read(write(content))
    assert not goal.exists()


def test_state_given_to_what_the_reader_knows_changes_nothing(write):
    # BUILD sets attributes in Python's own machine: of the rebuilding function, here, if that were a function.
    built = tf.name("torch._utils", "_rebuild_tensor_v2") + tf.value({"__defaults__": (1,)}) + b"b0"
    tree = tf.value({"a": 1})[:-1] + tf.value("b") + tf.array("0", A) + b"u"
    read = weights.read(write(tf.archive(b"\x80\x02" + built + tree + b".", STORAGES)))
    np.testing.assert_array_equal(read["b"], A)


def test_strides_offsets_and_shared_storages(write):
    flat = np.arange(12, dtype=np.float32)
    parts = {
        "whole": tf.tensor("0", "Float", 12, (3, 4), (4, 1)),
        "transposed": tf.tensor("0", "Float", 12, (4, 3), (1, 4)),
        "part": tf.tensor("0", "Float", 12, (2, 2), (4, 1), offset=5),
        "one": tf.tensor("0", "Float", 12, (), (), offset=11),
        "repeated": tf.tensor("0", "Float", 12, (5, 2), (0, 1)),
        "empty": tf.tensor("1", "Float", 0, (0, 3), (3, 1)),
    }
    read = weights.read(write(tf.archive(tf.ordered(parts), {"0": flat.tobytes()})))
    whole = flat.reshape(3, 4)
    want = {"whole": whole, "transposed": whole.T, "part": whole[1:, 1:3], "one": flat[11]}
    for name, x in {**want, "repeated": [[0, 1]] * 5, "empty": np.zeros((0, 3))}.items():
        np.testing.assert_array_equal(read[name], x)
    assert np.shares_memory(read["whole"], read["part"])


def test_bfloat16_in_torch_and_in_safetensors(write):
    x = np.asarray([1.0, -3.5, 2.0**-120], jnp.bfloat16)
    in_torch = tf.ordered({"x": tf.tensor("0", "BFloat16", 3, (3,), (1,))})
    for content in [tf.archive(in_torch, {"0": x.tobytes()}), safetensors({"x": ("BF16", x)})]:
        read = weights.read(write(content))
        assert read["x"].dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.float32(read["x"]), np.float32(x))


def test_big_endian_archives_are_turned_round(write):
    content = tf.archive(
        tf.ordered({"a": tf.array("0", A)}), {"0": A.astype(">f4").tobytes()}, extra={"byteorder": b"big"}
    )
    np.testing.assert_array_equal(weights.read(write(content))["a"], A)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (dict(numel=7), "24 bytes, and its pickle says 28"),
        (dict(shape=(3, 3), strides=(3, 1)), "reaches beyond its storage '0'"),
        (dict(offset=1), "reaches beyond"),
        (dict(offset=-1), "proper shape"),
        (dict(strides=(3,)), "proper shape"),
        (dict(kind="QInt8"), "torch.QInt8Storage"),
        (dict(key="5"), "archive/data/5 is missing"),
    ],
)
def test_tensors_that_do_not_fit_their_storage_are_refused(broken, said, write):
    parts = dict(key="0", kind="Float", numel=6, shape=(2, 3), strides=(3, 1)) | broken
    with pytest.raises(weights.WeightsError, match=said):
        weights.read(write(tf.archive(tf.ordered({"a": tf.tensor(**parts)}), {"0": A.tobytes()})))


def test_a_script_archive_is_read_by_the_names_of_its_attributes(write):
    conv = tf.instance("__torch__.torch.nn.conv.Conv2d", "M", {"training": False, "weight": tf.array("0", A)})
    scale = tf.call("torch.jit._pickle", "restore_type_tag", 3, "int")
    top = tf.instance("__torch__", "Net", {"visual": conv, "scale": tf.array("1", B), "size": scale})
    code = {"code/__torch__.py": b"class Net(Module): ...", "constants.pkl": tf.pickled(())}
    read = weights.read(write(tf.archive(top, STORAGES, extra=code)))
    assert read.format == "torch script" and list(read) == ["visual.weight", "scale"]
    np.testing.assert_array_equal(read["visual.weight"], A)
    with pytest.raises(weights.WeightsError, match="__torch__"):
        weights.read(write(tf.archive(top, STORAGES)))  # the same names in an archive that is no script


def test_wrappers_and_the_prefix_of_distributed_models(write):
    parts = tf.ordered({"module.a": tf.array("0", A)})
    tree = tf.value(
        {"epoch": 3, "model_state_dict": parts, "ema": tf.value({"deep": tf.ordered({"b": tf.array("1", B)})})}
    )
    path = write(tf.archive(tree, STORAGES))
    read = weights.read(path)
    assert read.within == "model_state_dict" and list(read) == ["a"]
    assert list(weights.read(path, within="ema.deep")) == ["b"]
    with pytest.raises(weights.WeightsError, match="nothing under 'emma'; there are ema, epoch, model_state_dict"):
        weights.read(path, within="emma")


def test_nested_names_of_flax_are_joined_by_slashes(write):
    read = weights.read(write(serialization.msgpack_serialize({"params": {"conv": {"kernel": A}}, "step": 3})))
    assert list(read) == ["params/conv/kernel"]


def test_dictionaries_that_hold_one_another_end(write):
    circle = b"}\x71\x00" + tf.value("again") + b"h\x00s"
    with pytest.raises(weights.WeightsError, match="hold one another"):
        weights.read(write(tf.archive(b"\x80\x02" + circle + b".", {})))
    # Sixty dictionaries, each with the next one twice: 2^60 names, and tuples that would take as long to hash.
    doubled = b"}" + b"".join(
        bytes([0x71, i, ord("0"), ord("}")])
        + (tf.value("l") + b"h" + bytes([i]) + b"s")
        + (tf.value("r") + b"h" + bytes([i]) + b"s")
        for i in range(60)
    )
    with pytest.raises(weights.WeightsError, match="hold one another"):
        weights.read(write(tf.archive(b"\x80\x02" + doubled + b".", {})))
    tuples = b")" + b"".join(b"2\x86" for _ in range(60))
    with pytest.raises(weights.WeightsError, match="key of type tuple"):
        weights.read(write(tf.archive(b"\x80\x02}" + tuples + b"Ns.", {})))


# A tuple that holds the same tuple twice, sixty times over: writing it out, comparing or hashing it never ends.
DOUBLED = b")" + b"".join(b"2\x86" for _ in range(60))
TENSOR = tf.tensor("0", "Float", 6, (2, 3), (3, 1))


def rebuilt(storage, *rest):
    return tf.call("torch._utils", "_rebuild_tensor_v2", storage, 0, *rest, False, tf.ordered({}))


def stored(key, size=b"K\x06", kind=b"ctorch\nFloatStorage\n"):
    return b"(" + tf.value("storage") + kind + key + tf.value("cpu") + size + b"tQ"


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (rebuilt(stored(DOUBLED), (2, 3), (3, 1)), "something else than a text"),
        (rebuilt(stored(tf.value("k" * 2000)), (2, 3), (3, 1)), "up to 1000 letters"),
        (rebuilt(stored(tf.value("0"), kind=DOUBLED), (2, 3), (3, 1)), "'0' has no type"),
        (rebuilt(stored(tf.value("0"), size=DOUBLED), (2, 3), (3, 1)), "'0' has no proper size"),
        (rebuilt(stored(tf.value("0")), DOUBLED, DOUBLED), "without a proper shape"),
        (tf.tensor("0", "Float", 6, (1,), (2**61,)), "without a proper shape"),
        (tf.tensor("0", "Float", 6, (2**40, 2**40), (0, 0)), "larger than any memory"),
        (tf.tensor("0", "Float", 6, (2**40,), (0,)), "lie over one another: 4,398,046,511,104 bytes"),
        (tf.call("collections", "OrderedDict", b"](" + DOUBLED + b"e"), "something else than pairs"),
        (b"(0", "damaged"),
        (b"t", "damaged"),
        (tf.value({DOUBLED: 1}), "key of type tuple"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_what_would_hang_or_burst_is_refused_in_no_time(tree, said, form, write):
    tree = tf.value({"a": tree})
    numbers = A.tobytes()
    content = tf.archive(tree, {"0": numbers}) if form == "zip" else tf.legacy(tree, {"0": (6, numbers)})
    with pytest.raises(weights.WeightsError, match=f"weights.bin.*{said}"):
        weights.read(write(content))


@pytest.mark.parametrize(
    "order",
    [b"](" + b"]]a" + b"e", b"](" + DOUBLED + b"e", tf.value("0"), b"](" + tf.value("0") + tf.value("5") + b"e"],
)
def test_a_damaged_list_of_storages(order, write):
    content = tf.legacy(tf.value({"a": TENSOR}), {"0": (6, A.tobytes())})
    usual = tf.pickled(b"](" + tf.value("0") + b"e")
    assert usual in content
    with pytest.raises(weights.WeightsError, match="list of storages"):
        weights.read(write(content.replace(usual, tf.pickled(order))))


def test_a_pickle_of_marks_takes_time_in_proportion(write):
    # Forty thousand marks below, and as many tuples of nothing above them: a scan for the last mark took minutes.
    tree = b"(" * 40_000 + b"N" * 40_000 + b"(t0" * 40_000
    start = time.process_time()
    with pytest.raises(weights.WeightsError, match="one value, and not arrays"):
        weights.read(write(tf.archive(b"\x80\x02" + tree + b".", {})))
    assert time.process_time() - start < 5


def test_members_that_are_compressed_are_not_unpacked(write):
    burst = tf.archive(b"\x80\x02" + b"N0" * 10**6 + b"}.", {}, compression=zipfile.ZIP_DEFLATED)
    zeros = tf.archive(tf.value({"a": TENSOR}), {"0": A.tobytes()}, extra={"byteorder": b"little"})
    with pytest.raises(weights.WeightsError, match="member archive/data.pkl is compressed"):
        weights.read(write(burst))
    with pytest.raises(weights.WeightsError, match="member archive/data.pkl has two sizes"):
        broken = bytearray(zeros)
        at = broken.index(b"PK\x01\x02") + 24  # of the first member, in the directory
        broken[at : at + 4] = struct.pack("<I", 2**30)
        weights.read(write(bytes(broken)))


def test_an_npz_that_would_burst_is_not_unpacked(write):
    out = io.BytesIO()
    np.savez_compressed(out, a=np.zeros(80 << 20, np.int8))
    assert len(out.getvalue()) < 100_000
    with pytest.raises(weights.WeightsError, match="promises 83,886,208 bytes in a file of"):
        weights.read(write(out.getvalue()))


def test_a_long_name_above_many_tensors_is_not_repeated_for_each(write):
    flat = b"}(" + b"".join(tf.value(str(i)) + b"h\x00" for i in range(200)) + b"u"
    tree = TENSOR + b"\x71\x000" + tf.value({"k" * 500_000: flat})
    with pytest.raises(weights.WeightsError, match="letters together"):
        weights.read(write(tf.archive(b"\x80\x02" + tree + b".", {"0": A.tobytes()})))


def test_a_long_list_that_is_met_again_and_again(write):
    # Four levels of a hundred: a hundred million numbers, in a file of two kilobytes.
    tree = tf.value({"x": 1})
    for _ in range(4):
        tree = b"](" + tree + b"\x71\x00" + b"h\x00" * 99 + b"e"
    tree = tf.value({"a": TENSOR, "b": tree})
    with pytest.raises(weights.WeightsError, match="hold one another"):
        weights.read(write(tf.archive(tree, {"0": A.tobytes()})))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({"a": A}), "Python pickle, which could run any code"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
        (b"", "no safetensors"),
        (npz(a=np.asarray([None, {}], object)), "array 'a' cannot be read .it is not an array of numbers"),
        (tf.archive(tf.ordered({"epoch": 3}), {}), "holds no arrays"),
        (tf.archive(tf.array("0", A), STORAGES), "one value, and not arrays by name"),
    ],
)
def test_other_files_are_told_apart(content, said, write):
    with pytest.raises(weights.WeightsError, match=said):
        weights.read(write(content))


def test_the_hash_in_a_name(write):
    content = npz(a=A)
    digits = hashlib.sha256(content).hexdigest()
    read = weights.read(write(content, f"net-{digits[:8]}.pth"))
    assert read.named_hash == digits[:8]
    assert weights.of_file("net", read, published=(digits[:8],)).published
    assert not weights.of_file("net", read, published=("00000000", "")).published
    assert "not a known file" in str(weights.of_file("net", read))
    with pytest.raises(FileNotFoundError, match="no weights at"):
        weights.read("absent.pth")


def test_files_of_torch_itself(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its own files are not compared")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.norm = torch.nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.conv(x))

    net = Net()
    net.half_view = torch.nn.Parameter(torch.arange(12.0).half().reshape(3, 4).t()[1:])
    state = net.state_dict()
    torch.save(state, tmp_path / "zip.pth")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": state, "args": [1, "x"]}, tmp_path / "wrapped.pth")
    torch.jit.script(net).save(tmp_path / "script.pt")
    for name in ("zip.pth", "legacy.pth", "wrapped.pth", "script.pt"):
        read = weights.read(tmp_path / name)
        assert set(read) == set(state)
        for key, x in state.items():
            np.testing.assert_array_equal(read[key], x.numpy())
