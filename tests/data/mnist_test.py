"""Reading idx files: the genuine ones, made-up ones, and damaged ones."""

import gzip
import struct

import numpy as np
import pytest

from gentoolkit.data import mnist


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """A small data set in MNIST's format: training files in gzip, test files plain, in the subfolder."""
    rng = np.random.default_rng(0)
    place = tmp_path / "mnist"
    place.mkdir()
    for prefix, n in (("train", 12), ("t10k", 5)):
        arrays = {
            f"{prefix}-images-idx3-ubyte": rng.integers(0, 256, (n, 28, 28), np.uint8),
            f"{prefix}-labels-idx1-ubyte": rng.integers(0, 10, n, np.uint8),
        }
        for name, array in arrays.items():
            if prefix == "train":
                (place / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (place / name).write_bytes(idx(array))
    return tmp_path


def test_genuine(genuine):
    data = genuine("mnist/train-images-idx3-ubyte.gz")
    train, test = mnist.load("train", data_dir=data), mnist.load("test", data_dir=data)
    assert (len(train), len(test)) == (60000, 10000) and test.fields["image"].shape == (28, 28, 1)
    whole = train.take(range(60000))
    # Published counts of the training labels, and the first five of them.
    assert np.bincount(whole["label"]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert whole["label"][:5].tolist() == [5, 0, 4, 1, 9]
    np.testing.assert_allclose(whole["image"].mean() / 255, 0.1307, atol=5e-5)


@pytest.mark.fast
@pytest.mark.parametrize(("split", "n"), [("train", 12), ("test", 5)])
@pytest.mark.parametrize("inside", ["", "mnist"])
def test_plain_and_gzip_alike(folder, split, n, inside, monkeypatch):
    source = mnist.load(split, data_dir=folder / inside, verify=False)
    assert len(source) == n and source.fields["image"].shape == (28, 28, 1)
    assert source[0]["image"].dtype == np.uint8 and source[0]["label"].dtype == np.int32
    assert "not verified" in source.description
    monkeypatch.setenv("GENTOOLKIT_DATA", str(folder))
    again = mnist.load(split, verify=False).take(range(n))
    np.testing.assert_array_equal(again["image"], source.take(range(n))["image"])


@pytest.mark.fast
def test_other_contents_are_refused(folder):
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz' is not the published.*verify=False"):
        mnist.load("train", data_dir=folder)


@pytest.mark.fast
def test_missing_file(folder):
    (folder / "mnist" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte \(or .*\.gz\) not found.*Put the four files"):
        mnist.load("test", data_dir=folder, verify=False)


@pytest.mark.fast
def test_damaged_gzip(folder):
    path = folder / "mnist" / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (whole[: len(whole) // 2], b"not gzip at all", bytes(flipped), b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz"):
            mnist.load("train", data_dir=folder, verify=False)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "states shape .5, 28, 28., 3936 bytes in all, but holds 3935"),
        (lambda content: content + b"x", "holds 3937"),
        (lambda content: content[:7], "not an idx file"),
        (lambda content: b"", "begins with nothing"),
        (lambda content: b"\0\0\x0d\3" + content[4:], "not an idx file of bytes: it begins with 00000d03"),
        (lambda content: idx(np.zeros((5, 784), np.uint8)), r"images \[n, h, w\]"),
        (lambda content: idx(np.zeros((4, 28, 28), np.uint8)), r"\(4, 28, 28\).*\(5,\)"),
    ],
)
def test_damaged_idx(folder, change, message):
    path = folder / "mnist" / "t10k-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        mnist.load("test", data_dir=folder, verify=False)
    assert str(path) in str(error.value)
