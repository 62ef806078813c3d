"""CIFAR-10 in both of its forms."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from gentoolkit.data import cifar10, columns


@pytest.fixture
def batches(tmp_path):
    """Six binary files of four records each, and what they hold."""
    rng = np.random.default_rng(0)
    place = tmp_path / "cifar-10-batches-bin"
    place.mkdir()
    images = rng.integers(0, 256, (24, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, 24, np.uint8)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for i, name in enumerate(names):
        rows = slice(4 * i, 4 * i + 4)
        planes = images[rows].transpose(0, 3, 1, 2).reshape(4, -1)
        np.concatenate([labels[rows, None], planes], axis=1).tofile(place / name)
    return tmp_path, images, labels


def write_folders(root, suffix=".png", size=(32, 32), classes=cifar10.CLASS_NAMES):
    rng = np.random.default_rng(0)
    for split in cifar10.SPLITS:
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(2):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i:04d}{suffix}")


@pytest.mark.fast
def test_binary(batches):
    folder, images, labels = batches
    train = cifar10.load("train", data_dir=folder, verify=False)
    test = cifar10.load("test", data_dir=folder / "cifar-10-batches-bin", verify=False)
    first, last = train.take(range(20)), test.take(range(4))
    np.testing.assert_array_equal(np.concatenate([first["image"], last["image"]]), images)
    np.testing.assert_array_equal(np.concatenate([first["label"], last["label"]]), labels)
    with pytest.raises(ValueError, match=r"data_batch_1.bin' holds 12292 bytes, expected 30730000"):
        cifar10.load("train", data_dir=folder)


@pytest.mark.fast
def test_binary_damaged(batches):
    folder, _, _ = batches
    path = folder / "cifar-10-batches-bin" / "data_batch_3.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"data_batch_3.bin.*multiple of 3073"):
        cifar10.load("train", data_dir=folder, verify=False)
    path.write_bytes(whole[:3073] + b"\x0a" + whole[3074:])
    with pytest.raises(ValueError, match="record 1 has label 10"):
        cifar10.load("train", data_dir=folder, verify=False)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_3.bin not found"):
        cifar10.load("train", data_dir=folder, verify=False)


@pytest.mark.fast
def test_class_folders(tmp_path):
    write_folders(tmp_path / "cifar10")
    train = cifar10.load("train", data_dir=tmp_path)
    assert len(train) == 20 and train.fields["image"].shape == (32, 32, 3)
    assert train.fields["label"].class_names == cifar10.CLASS_NAMES
    assert train.take(range(20))["label"].tolist() == [i // 2 for i in range(20)]
    with Image.open(tmp_path / "cifar10" / "train" / "bird" / "0001.png") as image:
        np.testing.assert_array_equal(train[5]["image"], np.array(image))
    assert "JPEG" not in train.description


@pytest.mark.fast
def test_jpeg_folders_say_that_they_are(tmp_path):
    write_folders(tmp_path, ".jpg")
    assert "JPEG re-encoding" in cifar10.load("test", data_dir=tmp_path).description


@pytest.mark.fast
def test_class_folders_that_do_not_fit(tmp_path):
    write_folders(tmp_path / "small", size=(16, 32))
    with pytest.raises(ValueError, match=r"0000.png' is 32 x 16 .*needs 32 x 32"):
        cifar10.load("train", data_dir=tmp_path / "small")
    write_folders(tmp_path / "fewer", classes=("bird", "wolf"))
    with pytest.raises(ValueError, match="must hold the folders airplane.*got bird, wolf"):
        cifar10.load("train", data_dir=tmp_path / "fewer")


@pytest.mark.fast
def test_missing_and_packed(tmp_path):
    with pytest.raises(FileNotFoundError, match="binary batches or class folders not found.*Unpack"):
        cifar10.load("train", data_dir=tmp_path)
    (tmp_path / "cifar10_jpeg.tar.xz").touch()
    with pytest.raises(FileNotFoundError, match=r"cifar10_jpeg.tar.xz' is there but still packed"):
        cifar10.load("train", data_dir=tmp_path)
    with pytest.raises(ValueError, match="files must be"):
        cifar10.load("train", data_dir=tmp_path, files="tar")


def test_genuine_jpeg(genuine, tmp_path):
    """Forty files of the first class, beside nine made-up ones of the others."""
    archive = genuine("cifar10_jpeg.tar.xz") / "cifar10_jpeg.tar.xz"
    with tarfile.open(archive) as tar:
        taken = 0
        for member in tar:
            if member.isfile():
                tar.extract(member, tmp_path, filter="data")
                taken += 1
            if taken == 40:
                break
    pixels = np.zeros((32, 32, 3), np.uint8)
    for name in cifar10.CLASS_NAMES[1:]:
        (tmp_path / "train" / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / "train" / name / "0.png")
    train = columns.in_memory(cifar10.load("train", data_dir=tmp_path)).take(range(49))
    assert train["image"].shape == (49, 32, 32, 3)
    assert np.bincount(train["label"]).tolist() == [40] + [1] * 9
    assert 20 < train["image"][:40].std() < 120  # photographs
