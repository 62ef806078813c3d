"""What every source promises: shapes, types, order, and messages a person can act on."""

import subprocess
import sys
import time

import numpy as np
import pytest

from gentoolkit.data import cifar10, digits, mnist
from gentoolkit.data import source as source_lib
from gentoolkit.data.source import ArraySource, Subset


class PerItem:
    """A source without a `take` of its own and without declared shape."""

    def __init__(self, items):
        self._items = items

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        return self._items[index]


@pytest.mark.fast
def test_take_equals_item_by_item(source):
    indices = np.array([3, 0, 22, 3])
    items = PerItem([source[i] for i in range(len(source))])
    fast, slow = source_lib.take(source, indices), source_lib.take(items, indices)
    assert fast.keys() == slow.keys() == {"image", "label"}
    for name in fast:
        np.testing.assert_array_equal(fast[name], slow[name])
        assert fast[name].dtype == slow[name].dtype
    assert source_lib.image_shape(items) == source.image_shape == (6, 5, 3)


@pytest.mark.fast
def test_take_names_the_example_of_another_shape(source):
    items = [source[0], source[1], {"image": np.zeros((6, 6, 3), np.uint8), "label": 0}]
    with pytest.raises(ValueError, match=r"image of example 0 is \(6, 5, 3\), of example 2 \(6, 6, 3\)"):
        source_lib.take(PerItem(items), np.arange(3))


@pytest.mark.fast
def test_array_source_refuses(images):
    labels = np.zeros(23, np.int32)
    for wrong in (images[:, :, :, 0], images[:5], images[:0]):
        with pytest.raises(ValueError, match="images.shape"):
            ArraySource(wrong, labels)
    with pytest.raises(TypeError, match="float32"):
        ArraySource(images.astype(np.float32), labels)


@pytest.mark.fast
def test_subset_and_split(source):
    part = Subset(source, [5, 2, 9])
    np.testing.assert_array_equal(part[1]["image"], source[2]["image"])
    np.testing.assert_array_equal(part.take(np.array([2, 0]))["image"], source.images[[9, 5]])
    assert part.class_names == source.class_names and part.image_shape == source.image_shape
    train, test = source_lib.split(source, num_test=5)
    np.testing.assert_array_equal(np.sort(np.concatenate([train.indices, test.indices])), np.arange(23))
    assert len(test) == 5
    np.testing.assert_array_equal(source_lib.split(source, num_test=5)[1].indices, test.indices)
    assert not np.array_equal(source_lib.split(source, num_test=5, seed=1)[1].indices, test.indices)
    for wrong in (0, 23):
        with pytest.raises(ValueError, match="num_test"):
            source_lib.split(source, num_test=wrong)
    for wrong in ([], [23], [-1]):
        with pytest.raises(ValueError, match="indices"):
            Subset(source, wrong)


@pytest.mark.fast
def test_permutation_is_a_fixed_order():
    # The bits are Philox's, whose stream NumPy guarantees; the sort is stable. So these hold on every platform.
    np.testing.assert_array_equal(np.sort(source_lib.permutation(3, 1, 1000)), np.arange(1000))
    bits = np.random.Philox(np.random.SeedSequence([3, 0, 1])).random_raw(1000)
    assert (np.diff(bits[source_lib.permutation(3, 1, 1000)].astype(float)) >= 0).all()
    orders = [tuple(source_lib.permutation(*key, 50)) for key in ((0, 0), (0, 1), (1, 0))]
    assert len(set(orders)) == 3


@pytest.mark.fast
def test_permutation_is_uniform():
    # Of 3 examples, 6 orders; 3000 draws leave each within five standard deviations of 500.
    orders, counts = np.unique([source_lib.permutation(0, e, 3) for e in range(3000)], axis=0, return_counts=True)
    assert len(orders) == 6
    assert np.abs(counts - 500).max() < 5 * np.sqrt(3000 * (1 / 6) * (5 / 6))


@pytest.mark.fast
def test_in_memory(source):
    items = PerItem([source[i] for i in range(len(source))])
    copy = source_lib.in_memory(items, num_threads=2, chunk_size=4)
    np.testing.assert_array_equal(copy.images, source.images)
    np.testing.assert_array_equal(copy.labels, source.labels)
    assert source_lib.in_memory(source) is source


def test_digits():
    from sklearn import datasets

    train, test = digits.load("train"), digits.load("test")
    assert (len(train), len(test)) == (1500, 297)
    assert train.image_shape == (8, 8, 1) and train.images.dtype == np.uint8
    assert (train.images.min(), train.images.max()) == (0, 255)
    # Together, every image of the original once, and its 17 levels kept apart to within rounding.
    original = datasets.load_digits()
    together = np.concatenate([train.images, test.images]).reshape(1797, 64)
    levels = np.rint(together / 255 * 16)
    np.testing.assert_array_equal(np.sort(levels.view("f8,f8").ravel()), np.sort(original.data.view("f8,f8").ravel()))
    assert np.abs(together / 255 - levels / 16).max() <= 0.5 / 255 + 1e-9
    # Every class in both parts, and images still beside their labels.
    assert np.bincount(test.labels, minlength=10).min() > 15
    lookup = {tuple(row): label for row, label in zip(original.data, original.target, strict=True)}
    assert all(lookup[tuple(row)] == label for row, label in zip(levels[:1500], train.labels, strict=True))
    with pytest.raises(ValueError, match="validation"):
        digits.load("validation")


@pytest.mark.fast
def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, gentoolkit.data\n"
        "heavy = {'grain', 'tensorflow_datasets', 'jax', 'sklearn', 'PIL', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert gentoolkit.data.mnist.SPLITS == ('train', 'test') and 'pipeline' in dir(gentoolkit.data)\n"
        "heavy = {'grain', 'tensorflow_datasets', 'jax', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.fast
@pytest.mark.parametrize("load", [mnist.load, cifar10.load])
def test_no_data_folder(load, monkeypatch, tmp_path):
    monkeypatch.delenv("GENTOOLKIT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="GENTOOLKIT_DATA"):
        load("train")
    with pytest.raises(FileNotFoundError, match="data_dir = .*nowhere"):
        load("train", data_dir=tmp_path / "nowhere")
    monkeypatch.setenv("GENTOOLKIT_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="GENTOOLKIT_DATA = .*elsewhere"):
        load("train")


@pytest.mark.parametrize("module", ["mnist", "cifar10", "celeb_a"])
@pytest.mark.parametrize("call", ["load('train', data_dir={!r})", "prepare(data_dir={!r})"])
def test_missing_file_is_named_within_two_seconds(module, call, tmp_path):
    if module == "mnist" and call.startswith("prepare"):
        pytest.skip("MNIST is read as it is; nothing to prepare")
    code = (
        "import time\n"
        f"from gentoolkit.data import {module}\n"
        "start = time.perf_counter()\n"
        "try:\n"
        f"    {module}.{call.format(str(tmp_path))}\n"
        "except FileNotFoundError as error:\n"
        "    print(time.perf_counter() - start, error)\n"
    )
    start = time.perf_counter()
    said = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True).stdout
    assert time.perf_counter() - start < 20  # the interpreter and its imports, on a busy machine
    seconds, message = said.split(" ", 1)
    assert float(seconds) < 2
    assert str(tmp_path) in message and "not found" in message and "put " in message.lower()
