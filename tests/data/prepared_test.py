"""Preparing once, without tensorflow, and reading what stands: exact, in order, and never half."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image as pillow

from gentoolkit.data import celeb_a, cifar10, columns, preparation, prepared
from gentoolkit.data.fields import Boxes, Field, Image, Mask, Ragged, Sound, Tokens
from gentoolkit.data.pipeline import Stream


@pytest.fixture
def packed(source, tmp_path):
    train, test = source.subset(range(15)), source.subset(range(15, 23))
    path = preparation.prepare({"train": lambda: train, "test": lambda: test}, tmp_path / "out", name="made_up")
    return path, train, test


def test_round_trip(packed, source, capfd):
    path, train, test = packed
    assert "tensorflow" not in sys.modules
    for split, original in (("train", train), ("test", test)):
        copy = prepared.load(path, split)
        assert len(copy) == len(original) and copy.fields == original.fields
        everything = np.arange(len(copy))
        taken, expected = copy.take(everything), original.take(everything)
        for name in expected:
            np.testing.assert_array_equal(taken[name], expected[name])
            assert taken[name].dtype == expected[name].dtype
    np.testing.assert_array_equal(prepared.load(path, "train[5:8]")[0]["image"], train[5]["image"])
    # So the batches are those of the files themselves.
    a = next(iter(Stream(prepared.load(path, "train"), seed=0, batch_size=4)))
    np.testing.assert_array_equal(a["image"], Stream(train, seed=0, batch_size=4)[0]["image"])
    with pytest.raises(IndexError, match="index 15"):
        prepared.load(path, "train")[15]


def test_every_kind_of_column_comes_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    fields = {
        "grey": Image(shape=(4, 5, 1)),
        "float": Image(shape=(4, 5, 2), dtype=np.float32),
        "mask": Mask(shape=(4, 5)),
        "objects": Mask(shape=(4, 5), dtype=bool, max_length=3),
        "boxes": Boxes(max_length=3),
        "caption": Tokens(max_length=6),
        "sound": Sound(max_length=9, rate=8000),
        "time": Field(dtype=np.float64),
    }
    values = {
        "grey": rng.integers(0, 256, (6, 4, 5, 1), np.uint8),
        "float": rng.normal(size=(6, 4, 5, 2)).astype(np.float32),
        "mask": rng.integers(0, 256, (6, 4, 5), np.uint8),
        "objects": [rng.random((k % 4, 4, 5)) < 0.5 for k in range(6)],
        "boxes": [rng.random((k % 4, 4), np.float32) for k in range(6)],
        "caption": [rng.integers(0, 99, k) for k in range(6)],
        "sound": [rng.integers(-(2**15), 2**15, 4 + k % 5, np.int16) for k in range(6)],
        "time": 1.7e9 + rng.random(6),
    }
    original = columns.from_values(fields, values)
    copy = prepared.load(preparation.prepare({"train": lambda: original}, tmp_path, name="scenes"), "train")
    assert copy.fields == fields
    for name, (one, other) in {n: (copy.take(range(6))[n], original.take(range(6))[n]) for n in fields}.items():
        assert isinstance(one, Ragged) == isinstance(other, Ragged), name
        for a, b in zip(*((c if isinstance(c, Ragged) else [c]) for c in (one, other)), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
            assert a.dtype == b.dtype


def test_progress_is_told_and_no_download_is_announced(source, tmp_path, capfd):
    preparation.prepare({"train": lambda: source}, tmp_path, name="told")
    out, err = capfd.readouterr()
    assert "Preparing told, train: 23/23 images" in err and "done" in err
    assert "ownload" not in out + err


def test_second_call_does_not_open_the_sources(packed, tmp_path):
    path, _, _ = packed

    def never():
        raise AssertionError("opened again")

    assert preparation.prepare({"train": never, "test": never}, tmp_path / "out", name="made_up") == path
    with pytest.raises(ValueError, match=r"holds the splits \['test', 'train'\], wanted \['train'\]"):
        preparation.prepare({"train": never}, tmp_path / "out", name="made_up")


def test_failure_leaves_nothing_and_the_next_call_succeeds(source, tmp_path):
    def face(index):
        if index == 9:
            raise ValueError("'face.png' cannot be read as an image")
        return source[index]["image"]

    broken = columns.images(face, np.zeros(23, int), image_shape=(6, 5, 3))
    with pytest.raises(ValueError, match=r"face.png"):
        preparation.prepare({"train": lambda: broken}, tmp_path, name="faces")
    with pytest.raises(FileNotFoundError, match="No prepared data set"):
        prepared.load(tmp_path, "train")
    path = preparation.prepare({"train": lambda: source}, tmp_path, name="faces")
    assert len(prepared.load(tmp_path, "train")) == 23 and prepared.find(tmp_path) == path


_KILLED = """
import sys, time, numpy as np
from gentoolkit.data import columns, preparation
def slow(index):
    if index == 5:
        print("half way", flush=True)
        time.sleep(60)
    return np.zeros((4, 4, 3), np.uint8)
source = columns.images(slow, np.zeros(10, np.int32), image_shape=(4, 4, 3))
preparation.prepare({"train": lambda: source}, sys.argv[1], name="killed")
"""


def test_kill_leaves_nothing_that_looks_complete(tmp_path):
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "half way\n"
        finally:
            os.kill(process.pid, signal.SIGKILL)
    (leftover,) = (tmp_path / "killed").glob("incomplete*")
    (leftover / "dataset_info.json").write_text("{}")  # as if killed between the last file and the move
    with pytest.raises(FileNotFoundError, match="No prepared data set"):
        prepared.load(tmp_path, "train")
    source = columns.images(np.ones((10, 4, 4, 3), np.uint8))
    path = preparation.prepare({"train": lambda: source}, tmp_path, name="killed")
    assert prepared.load(tmp_path, "train")[9]["image"].max() == 1
    assert not list((tmp_path / "killed").glob("incomplete*")) and path.is_dir()


def test_processes_that_share_a_folder_wait_for_each_other(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from gentoolkit.data import columns, preparation\n"
        "source = columns.images(np.zeros((300, 4, 4, 3), np.uint8))\n"
        "print(preparation.prepare({'train': lambda: source}, sys.argv[1], name='shared'))\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0] and said[0] == said[1]
    assert len(prepared.load(tmp_path, "train")) == 300


def test_cifar10_prepares_its_class_folders(tmp_path):
    rng = np.random.default_rng(0)
    for split in cifar10.SPLITS:
        for name in cifar10.CLASS_NAMES:
            (tmp_path / "cifar10" / split / name).mkdir(parents=True)
            image = pillow.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
            image.save(tmp_path / "cifar10" / split / name / "0.jpg")
    path = cifar10.prepare(data_dir=tmp_path)
    assert path.is_relative_to(tmp_path / "prepared")
    copy, original = prepared.load(path, "test"), cifar10.load("test", data_dir=tmp_path)
    assert copy.fields["label"].class_names == cifar10.CLASS_NAMES
    for i in range(10):
        np.testing.assert_array_equal(copy[i]["image"], original[i]["image"])
        assert copy[i]["label"] == i


def test_celeb_a_is_prepared_once(tmp_path):
    place = tmp_path / "celeb_a"
    (place / "img_align_celeba").mkdir(parents=True)
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (218, 178, 3), np.uint8)
        pillow.fromarray(pixels).save(place / "img_align_celeba" / f"{i}.jpg")
    (place / "list_eval_partition.txt").write_text("0.jpg 0\n1.jpg 1\n2.jpg 2\n")
    originals = {split: celeb_a.load(split, data_dir=tmp_path)[0]["image"] for split in celeb_a.SPLITS}
    path = celeb_a.prepare(data_dir=tmp_path)
    shutil.rmtree(place)  # the originals are not needed any more
    assert celeb_a.prepare(data_dir=tmp_path) == path
    for split, original in originals.items():
        np.testing.assert_array_equal(prepared.load(path, split)[0]["image"], original)


def test_conversions_on_reading(packed):
    path, train, _ = packed
    small = prepared.load(path, "train", image_shape=(4, 4, 1), center_crop=4, convert_channels=True)
    expected = np.array(pillow.fromarray(train[2]["image"]).convert("L"))[1:5, 0:4]
    np.testing.assert_array_equal(small[2]["image"][..., 0], expected)
    wrong = prepared.load(path, "train", image_shape=(4, 4, 3))
    with pytest.raises(ValueError, match=r"example 2' is 6 x 5"):
        wrong[2]
    with pytest.raises(ValueError, match="need image_shape"):
        prepared.load(path, "train", center_crop=4)


def test_what_cannot_be_read_is_named(packed, tmp_path):
    path, _, _ = packed
    with pytest.raises(ValueError, match="splits test, train, got"):
        prepared.load(path, "validation")
    with pytest.raises(ValueError, match="features image, label, got 'picture'"):
        prepared.load(path, "train", image_key="picture", image_shape=(6, 5, 3))
    assert prepared.load(path, "train", label_key=None)[3].keys() == {"image"}
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match="No prepared data set in"):
        prepared.load(tmp_path / "nowhere", "train")
    assert time.monotonic() - start < 2
    source = columns.images(np.zeros((3, 4, 4, 3), np.uint8))
    preparation.prepare({"train": lambda: source}, tmp_path / "out", name="other")
    with pytest.raises(ValueError, match="Several prepared data sets"):
        prepared.load(tmp_path / "out", "train")
    info = json.loads((path / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="tfrecord, which only tensorflow reads"):
        prepared.load(path, "train")


def test_a_data_set_of_another_hand_is_an_image_and_a_label(tmp_path):
    import tensorflow_datasets as tfds

    class Birds(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("2.0.0")

        def _info(self):
            picture, kind = tfds.features.Image(shape=(4, 5, 3), encoding_format="png"), ["owl", "wren"]
            features = {"picture": picture, "kind": tfds.features.ClassLabel(names=kind), "note": tfds.features.Text()}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(5):
                image = pillow.fromarray(np.full((4, 5, 3), 50 * i, np.uint8))
                yield i, {"picture": image, "kind": i % 2, "note": "seen"}

    Birds(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    birds = prepared.load(tmp_path, "train", image_key="picture", label_key="kind")
    assert birds.fields["label"].class_names == ("owl", "wren") and birds.fields.keys() == {"image", "label"}
    whole = birds.take(range(5))
    np.testing.assert_array_equal(whole["label"], whole["image"][:, 0, 0, 0] // 50 % 2)
    with pytest.raises(ValueError, match="features kind, note, picture, got 'image'"):
        prepared.load(tmp_path, "train")


@pytest.mark.parametrize("change", ["missing", "cut short", "altered"])
def test_damaged_file(tmp_path, change):
    rng = np.random.default_rng(0)
    source = columns.images(rng.integers(0, 256, (400, 16, 16, 3), np.uint8))
    path = preparation.prepare({"train": lambda: source}, tmp_path, name="damaged")
    (file,) = path.glob("*train.array_record*")
    content = file.read_bytes()
    if change == "missing":
        file.unlink()
    elif change == "cut short":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.write_bytes(content[:300] + bytes(100) + content[400:])
    with pytest.raises((FileNotFoundError, ValueError), match="damaged/1.0.0.*is (missing|damaged)"):
        prepared.load(path, "train")[0]


@pytest.mark.fast
def test_splits_that_disagree(source, tmp_path):
    other = columns.images(np.zeros((3, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="must agree in their fields"):
        preparation.prepare({"train": lambda: source, "test": lambda: other}, tmp_path, name="two")
    with pytest.raises(ValueError, match="name"):
        preparation.prepare({"train": lambda: source}, tmp_path, name="a/b")
