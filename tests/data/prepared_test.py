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
from PIL import Image

from gentoolkit.data import celeb_a, cifar10, preparation, prepared
from gentoolkit.data import source as source_lib
from gentoolkit.data.pipeline import Stream
from gentoolkit.data.source import ArraySource, Subset


@pytest.fixture
def packed(source, tmp_path):
    train, test = Subset(source, range(15)), Subset(source, range(15, 23))
    path = preparation.prepare({"train": lambda: train, "test": lambda: test}, tmp_path / "out", name="made_up")
    return path, train, test


def test_round_trip(packed, source, capfd):
    path, train, test = packed
    assert "tensorflow" not in sys.modules
    for split, original in (("train", train), ("test", test)):
        copy = prepared.load(path, split)
        assert len(copy) == len(original) and copy.image_shape == (6, 5, 3) and copy.class_names == ("a", "b", "c", "d")
        for i in range(len(copy)):
            np.testing.assert_array_equal(copy[i]["image"], original[i]["image"])
            assert copy[i]["label"] == original[i]["label"] and isinstance(copy[i]["label"], int)
        everything = np.arange(len(copy))
        taken, expected = source_lib.take(copy, everything), source_lib.take(original, everything)
        for name in expected:
            np.testing.assert_array_equal(taken[name], expected[name])
            assert taken[name].dtype == expected[name].dtype
    np.testing.assert_array_equal(prepared.load(path, "train[5:8]")[0]["image"], train[5]["image"])
    # So the batches are those of the files themselves.
    a = next(iter(Stream(prepared.load(path, "train"), seed=0, batch_size=4)))
    np.testing.assert_array_equal(a["image"], Stream(train, seed=0, batch_size=4)[0]["image"])
    with pytest.raises(IndexError, match="index 15"):
        prepared.load(path, "train")[15]


def test_grey_and_without_class_names(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)
    original = ArraySource(images, np.array([0, 3, 9, 1, 2, 0]))
    path = preparation.prepare({"train": lambda: original}, tmp_path, name="grey")
    copy = source_lib.in_memory(prepared.load(path, "train"))
    np.testing.assert_array_equal(copy.images, images)
    np.testing.assert_array_equal(copy.labels, original.labels)


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
    class Broken(Subset):
        def __getitem__(self, index):
            if index == 9:
                raise ValueError("'face.png' cannot be read as an image")
            return super().__getitem__(index)

    broken = Broken(source, range(23))
    with pytest.raises(ValueError, match=r"face.png"):
        preparation.prepare({"train": lambda: broken}, tmp_path, name="faces")
    with pytest.raises(FileNotFoundError, match="No prepared data set"):
        prepared.load(tmp_path, "train")
    path = preparation.prepare({"train": lambda: source}, tmp_path, name="faces")
    assert len(prepared.load(tmp_path, "train")) == 23 and prepared.find(tmp_path) == path


_KILLED = """
import sys, time, numpy as np
from gentoolkit.data import preparation
from gentoolkit.data.source import ArraySource, Subset
class Slow(Subset):
    def __getitem__(self, index):
        if index == 5:
            print("half way", flush=True)
            time.sleep(60)
        return super().__getitem__(index)
source = ArraySource(np.zeros((10, 4, 4, 3), np.uint8), np.zeros(10, np.int32))
preparation.prepare({"train": lambda: Slow(source, range(10))}, sys.argv[1], name="killed")
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
    source = ArraySource(np.ones((10, 4, 4, 3), np.uint8), np.zeros(10, np.int32))
    path = preparation.prepare({"train": lambda: source}, tmp_path, name="killed")
    assert prepared.load(tmp_path, "train")[9]["image"].max() == 1
    assert not list((tmp_path / "killed").glob("incomplete*")) and path.is_dir()


def test_processes_that_share_a_folder_wait_for_each_other(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from gentoolkit.data import preparation\n"
        "from gentoolkit.data.source import ArraySource\n"
        "source = ArraySource(np.zeros((300, 4, 4, 3), np.uint8), np.zeros(300, np.int32))\n"
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
            image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
            image.save(tmp_path / "cifar10" / split / name / "0.jpg")
    path = cifar10.prepare(data_dir=tmp_path)
    assert path.is_relative_to(tmp_path / "prepared")
    copy, original = prepared.load(path, "test"), cifar10.load("test", data_dir=tmp_path)
    assert copy.class_names == cifar10.CLASS_NAMES
    for i in range(10):
        np.testing.assert_array_equal(copy[i]["image"], original[i]["image"])
        assert copy[i]["label"] == i


def test_celeb_a_is_prepared_once(tmp_path):
    place = tmp_path / "celeb_a"
    (place / "img_align_celeba").mkdir(parents=True)
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (218, 178, 3), np.uint8)
        Image.fromarray(pixels).save(place / "img_align_celeba" / f"{i}.jpg")
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
    expected = np.array(Image.fromarray(train[2]["image"]).convert("L"))[1:5, 0:4]
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
        prepared.load(path, "train", image_key="picture")
    assert prepared.load(path, "train", label_key=None)[3]["label"] == 0
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match="No prepared data set in"):
        prepared.load(tmp_path / "nowhere", "train")
    assert time.monotonic() - start < 2
    source = ArraySource(np.zeros((3, 4, 4, 3), np.uint8), np.zeros(3, np.int32))
    preparation.prepare({"train": lambda: source}, tmp_path / "out", name="other")
    with pytest.raises(ValueError, match="Several prepared data sets"):
        prepared.load(tmp_path / "out", "train")
    info = json.loads((path / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="tfrecord, which only tensorflow reads"):
        prepared.load(path, "train")


@pytest.mark.parametrize("change", ["missing", "cut short", "altered"])
def test_damaged_file(tmp_path, change):
    rng = np.random.default_rng(0)
    source = ArraySource(rng.integers(0, 256, (400, 16, 16, 3), np.uint8), np.zeros(400, np.int32))
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
    other = ArraySource(np.zeros((3, 4, 4, 3), np.uint8), np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="must agree in image shape"):
        preparation.prepare({"train": lambda: source, "test": lambda: other}, tmp_path, name="two")
    with pytest.raises(ValueError, match="name"):
        preparation.prepare({"train": lambda: source}, tmp_path, name="a/b")
