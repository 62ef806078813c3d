"""Named columns: what they hold comes back whole, in order and in its own type; what does not fit is refused."""

import subprocess
import sys

import numpy as np
import pytest

from gentoolkit.data import cifar10, columns, digits, mnist, pipeline
from gentoolkit.data.fields import Boxes, Field, Image, Label, Mask, Ragged, Sound, Tokens


@pytest.fixture(scope="module")
def scenes():
    """Nine pictures with everything that may belong to one, as lists of what each example holds."""
    rng = np.random.default_rng(0)
    fields = {
        "image": Image(shape=(6, 8, 3)),
        "mask": Mask(shape=(6, 8)),
        "boxes": Boxes(max_length=4),
        "objects": Mask(shape=(6, 8), dtype=bool, max_length=4),
        "caption": Tokens(max_length=7),
        "sound": Sound(max_length=20, rate=8000),
        "label": Label(class_names=("a", "b")),
        "depth": Field(),
    }
    counts = [0, 1, 4, 2, 3, 1, 4, 0, 2]
    values = {
        "image": list(rng.integers(0, 256, (9, 6, 8, 3), np.uint8)),
        "mask": list(rng.integers(0, 5, (9, 6, 8), np.uint8)),
        "boxes": [np.sort(rng.random((k, 2, 2), np.float32), axis=1).reshape(k, 4) for k in counts],
        "objects": [rng.random((k, 6, 8)) < 0.5 for k in counts],
        "caption": [rng.integers(1, 50, 7 - k).tolist() for k in range(8)] + [[5]],
        "sound": [rng.integers(-(2**15), 2**15, 20 - k, np.int16) for k in range(9)],
        "label": [0, 1, 1, 0, 0, 1, 0, 1, 1],
        "depth": rng.random(9).tolist(),
    }
    return fields, values


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert type(a[name]) is type(b[name])
        for one, other in zip(*((c if isinstance(c, Ragged) else [c]) for c in (a[name], b[name])), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


@pytest.mark.fast
def test_every_column_comes_back_as_it_is(scenes):
    fields, values = scenes
    source = columns.from_values(fields, values)
    for index in (0, 7, -1):
        example = source[index]
        assert example.keys() == fields.keys()
        for name, field in fields.items():
            np.testing.assert_array_equal(example[name], np.asarray(values[name][index], field.dtype))
            assert example[name].dtype == field.dtype
    batch = source.take([2, 0, 2])
    assert batch["image"].shape == (3, 6, 8, 3) and batch["label"].dtype == np.int32
    boxes = batch["boxes"]
    assert boxes.values.shape == (3, 4, 4) and boxes.lengths.tolist() == [4, 0, 4]
    assert boxes.valid.tolist() == [[True] * 4, [False] * 4, [True] * 4] and not boxes.values[1].any()
    assert batch["caption"].lengths.tolist() == [5, 7, 5] and batch["caption"].values.dtype == np.int32
    with pytest.raises(IndexError, match="index 9"):
        source[9]
    with pytest.raises(IndexError, match=r"\[0, 9\), got -1 to 3"):
        source.take([3, -1])


@pytest.mark.fast
def test_in_memory_keeps_all_columns(scenes):
    """Also those besides image and label, which it once dropped."""
    fields, values = scenes
    lazy = columns.from_values(
        fields, {name: value if name == "label" else value.__getitem__ for name, value in values.items()}
    )
    copy = columns.in_memory(lazy, num_threads=2, chunk_size=4)
    assert copy.fields == lazy.fields and copy.read is not lazy.read
    same(copy.take(range(9)), lazy.take(range(9)))
    same(copy.take(range(9)), columns.from_values(fields, values).take(range(9)))
    assert columns.in_memory(copy) is copy


@pytest.mark.fast
def test_only_the_columns_asked_for_are_read(scenes):
    fields, values = scenes

    def never(index):
        raise AssertionError("read")

    source = columns.from_values(fields, values | {"sound": never})
    chosen = source.select("label", picture="image")
    assert chosen.fields == {"label": fields["label"], "picture": fields["image"]}
    same(chosen.take([4]), {"label": np.array([0], np.int32), "picture": values["image"][4][None]})
    with pytest.raises(ValueError, match="no column 'sond'; there are image, mask"):
        source.select("sond")


@pytest.mark.fast
def test_subset_and_split(source, images):
    part = source.subset([5, 2, 9])
    np.testing.assert_array_equal(part[1]["image"], images[2])
    np.testing.assert_array_equal(part.subset([2, 0]).take([0, 1])["image"], images[[9, 5]])
    assert part.fields == source.fields and part.description == "made up (3 of 23)"
    named = columns.images(images, names=[f"{i}.png" for i in range(23)])
    assert list(named.subset([3, 1]).names) == ["3.png", "1.png"] and named.fields.keys() == {"image"}
    with pytest.raises(IndexError, match="index 3 lies outside a data set of 3"):
        part[3]
    train, test = columns.split(source, num_test=5)
    assert (len(part), len(train), len(test)) == (3, 18, 5)
    everything = np.concatenate([train.take(range(18))["image"], test.take(range(5))["image"]])
    np.testing.assert_array_equal(np.unique(everything, axis=0), np.unique(images, axis=0))
    np.testing.assert_array_equal(columns.split(source, num_test=5)[1][0]["image"], test[0]["image"])
    others = columns.split(source, num_test=5, seed=1)[1].take(range(5))["image"]
    assert not np.array_equal(others, test.take(range(5))["image"])
    for wrong in (0, 23):
        with pytest.raises(ValueError, match="num_test"):
            columns.split(source, num_test=wrong)
    for wrong in ([], [23], [-1]):
        with pytest.raises(ValueError, match="indices"):
            source.subset(wrong)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("field", "values", "error", "message"),
    [
        (Image(shape=(2, 2, 1)), np.zeros((3, 2, 3, 1), np.uint8), ValueError, r"x of example 0 has shape \(2, 3, 1\)"),
        (Image(shape=(2, 2, 1)), np.zeros((3, 2, 2, 1), np.float32), TypeError, "x holds float32.*keeps uint8"),
        (Label(), np.zeros(3), TypeError, "x holds float64.*keeps int32"),
        (Label(), [0, 2**33, 1], ValueError, "beyond the range of int32"),
        (Field(), [[1.0], [2.0], [3.0]], ValueError, r"x of example 0 has shape \(1,\)"),
        (Tokens(max_length=2), [[1], [1, 2, 3], []], ValueError, "example 1 has 3 items, more than max_length = 2"),
        (Boxes(max_length=2), [np.zeros((1, 4)), np.zeros((1, 3)), []], ValueError, r"example 1.*\('any', 4\)"),
        (Tokens(max_length=2), Ragged(np.zeros((3, 2), int), np.array([0, 3, 1])), ValueError, r"lie in \[0, 2\]"),
        (Tokens(max_length=2), Ragged(np.zeros((3, 3), int), np.zeros(3)), ValueError, r"must be \(3, 2\)"),
    ],
)
def test_what_does_not_fit_its_field_is_named(field, values, error, message):
    with pytest.raises(error, match=message):
        columns.from_values({"x": field}, {"x": values})
    listed = list(values.values) if isinstance(values, Ragged) else list(values)
    if not isinstance(values, Ragged):  # found out only when read
        source = columns.from_values({"x": field, "y": Field()}, {"x": listed.__getitem__, "y": np.zeros(3)})
        with pytest.raises(error, match=message):
            source.take(range(3))


@pytest.mark.fast
def test_what_is_no_data_set_is_refused(images):
    with pytest.raises(ValueError, match="height, width, channels"):
        columns.images(images[..., 0])
    with pytest.raises(ValueError, match="one length, got {'image': 5, 'label': 23}"):
        columns.images(images[:5], np.zeros(23, int))
    with pytest.raises(ValueError, match="needs an example"):
        columns.images(images[:0])
    with pytest.raises(ValueError, match="the same columns"):
        columns.from_values({"a": Field()}, {"b": np.zeros(3)})
    with pytest.raises(ValueError, match="'counts'"):
        columns.from_values({"counts": Field()}, {"counts": np.zeros(3)})
    with pytest.raises(ValueError, match="max_length = 0"):
        Tokens(max_length=0)
    with pytest.raises(ValueError, match="of integers or bool"):
        Mask(shape=(2, 2), dtype=np.float32)


@pytest.mark.fast
def test_permutation_is_a_fixed_and_uniform_order():
    # The bits are Philox's, whose stream NumPy guarantees; the sort is stable. So these hold on every platform.
    np.testing.assert_array_equal(np.sort(columns.permutation(3, 1, 1000)), np.arange(1000))
    bits = np.random.Philox(np.random.SeedSequence([3, 0, 1])).random_raw(1000)
    assert (np.diff(bits[columns.permutation(3, 1, 1000)].astype(float)) >= 0).all()
    assert len({tuple(columns.permutation(*key, 50)) for key in ((0, 0), (0, 1), (1, 0))}) == 3
    # Of 3 examples, 6 orders; 3000 draws leave each within five standard deviations of 500.
    orders, counts = np.unique([columns.permutation(0, e, 3) for e in range(3000)], axis=0, return_counts=True)
    assert len(orders) == 6
    assert np.abs(counts - 500).max() < 5 * np.sqrt(3000 * (1 / 6) * (5 / 6))


def test_digits():
    from sklearn import datasets

    train, test = digits.load("train"), digits.load("test")
    assert (len(train), len(test)) == (1500, 297)
    whole = [source.take(range(len(source))) for source in (train, test)]
    images, labels = (np.concatenate([part[name] for part in whole]) for name in ("image", "label"))
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.uint8 and (images.min(), images.max()) == (0, 255)
    # Together, every image of the original once, and its 17 levels kept apart to within rounding.
    original = datasets.load_digits()
    together = images.reshape(1797, 64)
    levels = np.rint(together / 255 * 16)
    np.testing.assert_array_equal(np.sort(levels.view("f8,f8").ravel()), np.sort(original.data.view("f8,f8").ravel()))
    assert np.abs(together / 255 - levels / 16).max() <= 0.5 / 255 + 1e-9
    # Every class in both parts, and images still beside their labels.
    assert np.bincount(labels[1500:], minlength=10).min() > 15
    lookup = {tuple(row): label for row, label in zip(original.data, original.target, strict=True)}
    assert all(lookup[tuple(row)] == label for row, label in zip(levels, labels, strict=True))
    assert train.fields["label"].class_names == tuple("0123456789")
    with pytest.raises(ValueError, match="validation"):
        digits.load("validation")


@pytest.mark.fast
def test_batches_are_those_of_earlier_releases():
    """Hashes of batches as the first release made them: an older run goes on with the same examples."""
    import hashlib

    from gentoolkit.data.transform import horizontal_flip

    def told(batch):
        return hashlib.sha256(batch["image"].tobytes() + batch["label"].tobytes()).hexdigest()[:16]

    options = {"transforms": (horizontal_flip,), "image_range": (-1.0, 1.0)}
    stream = pipeline.Stream(digits.load("train"), seed=3, batch_size=64, **options)
    assert [told(stream[t]) for t in (0, 23, 100)] == ["3a345fac9fd31de5", "d741c6f131e1a00b", "a174105b93571ae9"]
    part = pipeline.Stream(digits.load("train"), seed=0, batch_size=128, process_index=1, process_count=2)
    assert [told(part[t]) for t in (0, 11)] == ["5a87ea7d22370f5c", "a18e3c0e0909fb5d"]
    last = list(pipeline.EvaluationPass(digits.load("test"), batch_size=100))[-1]
    assert told(last) == "58029727b2eb50c0"


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


def test_missing_files_are_named_at_once_and_before_anything_heavy_is_loaded(tmp_path):
    """In one fresh process: tensorflow-datasets, once imported, would wait for the network."""
    code = (
        "import sys\n"
        "from gentoolkit.data import celeb_a, cifar10, mnist\n"
        "for call in (mnist.load, cifar10.load, celeb_a.load, cifar10.prepare, celeb_a.prepare):\n"
        "    try:\n"
        f"        call(*(['train'] if call.__name__ == 'load' else []), data_dir={str(tmp_path)!r})\n"
        "    except FileNotFoundError as error:\n"
        "        print(error)\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, timeout=20, capture_output=True, text=True).stdout
    lines = said.splitlines()
    assert len(lines) == 5
    for line in lines:
        assert str(tmp_path) in line and "not found" in line and "put " in line.lower()
