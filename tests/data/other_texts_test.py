"""ADE20K, Fashion-Gen and Multi30k in their published layouts."""

import gzip
import pickle
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from gentoolkit.data import ade20k, fashion_gen, multi30k, record, text
from tests.data.captioned import letters, quarters, write

pytestmark = pytest.mark.fast


@pytest.fixture
def ade(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    pixels = np.arange(8 * 16, dtype=np.uint8).reshape(8, 16)
    for split, name in (
        ("training", "ADE_train_00000001"),
        ("training", "ADE_train_00000002"),
        ("validation", "ADE_val_1"),
    ):
        quarters(root / "images" / split / f"{name}.jpg", 16, 8)
        path = root / "annotations" / split / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    write(root / "sceneCategories.txt", "ADE_train_00000001 living_room\nADE_train_00000002 beach\nADE_val_1 street\n")
    rows = "".join(
        f"{number}{' ' if number == 22 else ''}\t0.1\t9\t9\tthing {number} , other\n" for number in range(1, 151)
    )
    write(root / "objectInfo150.txt", f"Idx\tRatio\tTrain\tVal\tName\n{rows}")
    return root


def test_scenes_have_their_classes_of_pixels_and_their_name(ade):
    train = ade20k.load(ade, "training", image_size=8, max_words=3)
    assert train.names == ["ADE_train_00000001", "ADE_train_00000002"]
    record.check(train, num=2)
    assert train.fields["label"].class_names == ("beach", "living room", "street")
    first = train[0]
    assert first["label"] == 1 and letters(first["image"]) == ["rrrrgggg"] * 4 + ["bbbbwwww"] * 4
    np.testing.assert_array_equal(first["segmentation"], np.arange(8 * 16).reshape(8, 16)[:, 4:12])
    assert ade20k.read_vocabulary(ade).words == ("beach", "living", "room", "street")
    assert first["captions"].tolist() == [[3, 4, 0]]
    classes = ade20k.read_classes(ade.parent)
    assert len(classes) == 151 and classes[0] == "other" and classes[22] == "thing 22"


def test_faults_of_scenes_are_named(ade):
    def refused(error, match):
        with pytest.raises(error, match=match):
            ade20k.load(ade, "training", image_size=8)[0]

    path = ade / "annotations" / "training" / "ADE_train_00000001.png"
    Image.fromarray(np.full((8, 16), 151, np.uint8)).save(path)
    refused(ValueError, "ADE_train_00000001.png' has a class 151")
    Image.fromarray(np.zeros((4, 16), np.uint8)).save(path)
    refused(ValueError, "ADE_train_00000001.png' is 4 x 16 .*but its picture is 8 x 16")
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(path)
    refused(ValueError, "ADE_train_00000001.png' has pixels of mode 'RGB'")
    path.unlink()
    refused(FileNotFoundError, "classes of pixels of 1 of 2 pictures not found.*ADEChallengeData2016.zip")
    write(ade / "sceneCategories.txt", "ADE_train_00000001 beach\n")
    refused(ValueError, "sceneCategories.txt' has no scene of 'ADE_train_00000002'")
    write(ade / "sceneCategories.txt", "ADE_train_00000001\n")
    refused(ValueError, "sceneCategories.txt', line 1: expected a picture and its scene")
    write(ade / "objectInfo150.txt", "Idx\n1\twall\n")
    with pytest.raises(ValueError, match="objectInfo150.txt', line 2: expected a number, three counts and names"):
        ade20k.read_classes(ade)


@pytest.fixture
def clothes(tmp_path):
    """Files of HDF5 with parts and types as published: bytes of one length, a column of them."""
    h5py = pytest.importorskip("h5py")
    picture = quarters(tmp_path / "unused.png", 16, 16)
    for split, descriptions, categories in (
        ("train", [b"A red robe.", b" ", "Jupe \xe0 plis".encode("latin-1")], [b"DRESSES", b"NONE", b"SKIRTS"]),
        ("validation", [b"a coat"], [b"COATS"]),
    ):
        held = {
            "input_image": np.stack([picture] * len(categories)),
            "input_description": np.array(descriptions)[:, None],
            "input_name": np.array([b"Name"] * len(categories))[:, None],
            "input_category": np.array(categories)[:, None],
        }
        with h5py.File(tmp_path / f"fashiongen_256_256_{split}.h5", "w") as file:
            for name, values in held.items():
                file.create_dataset(name, data=values, chunks=(1, *values.shape[1:]), compression="gzip")
    return tmp_path


def test_clothes_have_their_texts_and_category(clothes, monkeypatch):
    train = fashion_gen.load(clothes, "train", image_size=4, max_words=4)
    record.check(train, num=2)
    assert len(train) == 2 and train.fields["label"].class_names == ("COATS", "DRESSES", "NONE", "SKIRTS")
    vocabulary = fashion_gen.read_vocabulary(clothes)
    assert vocabulary.words == ("a", "coat", "jupe", "plis", "red", "robe", "à")
    second = train[1]
    assert second["label"] == 3 and letters(second["image"]) == ["rrgg"] * 2 + ["bbww"] * 2
    assert vocabulary.decode(text.Ragged(second["captions"], np.array([3]))) == ["jupe à plis"]
    both = fashion_gen.load(clothes, "validation", image_size=4, texts=("name", "description"))
    assert both[0]["captions"].shape == (2, 48)
    again = pickle.loads(pickle.dumps(train))  # as a worker process is handed it
    np.testing.assert_array_equal(again[1]["image"], second["image"])
    with pytest.raises(ValueError, match="texts must be some of description, name"):
        fashion_gen.load(clothes, "train", texts=("brand",))
    validation = clothes / "fashiongen_256_256_validation.h5"
    whole = validation.read_bytes()
    damaged = bytearray(whole)
    damaged[whole.index(b"TREE") : whole.index(b"TREE") + 4] = b"EERT"
    validation.unlink()  # the library keeps what it has read of a file that is open
    validation.write_bytes(damaged)
    with pytest.raises(ValueError, match="validation.h5': the part 'input_description' cannot be read, or is damaged"):
        fashion_gen.load(clothes, "validation")
    packed = zlib.compress(quarters(clothes / "unused.png", 16, 16).tobytes(), 4)
    validation.unlink()
    validation.write_bytes(whole.replace(packed, packed[:9] + bytes(len(packed) - 9)))
    with pytest.raises(ValueError, match="validation.h5': picture 0 cannot be read, or is damaged"):
        fashion_gen.load(clothes, "validation")[0]
    validation.unlink()
    validation.write_bytes(b"no such file")
    with pytest.raises(ValueError, match="validation.h5' is no HDF5 file, or a damaged one"):
        fashion_gen.load(clothes, "validation")
    validation.unlink()
    with pytest.importorskip("h5py").File(validation, "w") as file:
        file["input_image"] = np.zeros((1, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="validation.h5' has no part 'input_description'; there are input_image"):
        fashion_gen.load(clothes, "validation")
    validation.unlink()
    with pytest.raises(FileNotFoundError, match="fashiongen_256_256_validation.h5 not found"):
        fashion_gen.load(clothes, "validation")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"published as HDF5, which the package h5py reads.*gentoolkit\[fashion\]"):
        fashion_gen.load(clothes, "train")


@pytest.fixture
def lines(tmp_path):
    raw = tmp_path / "dataset" / "data" / "task1" / "raw"
    raw.mkdir(parents=True)
    for split, english, german in (
        ("train", "A dog runs.\nTwo men\u2028talk.\n", "Ein Hund läuft.\nZwei Männer reden.\n"),
        ("val", "A cat.\n", "Eine Katze.\n"),
    ):
        (raw / f"{split}.en.gz").write_bytes(gzip.compress(english.encode()))
        write(raw / f"{split}.de", german)
    write(raw.parent / "image_splits" / "train.txt", "7.jpg\nCOCO_val2014_000000000009.jpg#12\n")
    for name in ("7.jpg", "COCO_val2014_000000000009.jpg"):
        quarters(tmp_path / "flickr30k-images" / name, 16, 8)
    return tmp_path


def test_texts_of_two_languages_line_by_line_with_and_without_pictures(lines):
    root, pictures = lines / "dataset", lines / "flickr30k-images"
    train = multi30k.load(root, "train", max_words=4)
    record.check(train, num=2)
    assert set(train.fields) == {"captions", "captions_de"} and len(train) == 2
    german = multi30k.read_vocabulary(root, "de")
    assert german.words == ("ein", "eine", "hund", "katze", "läuft", "männer", "reden", "zwei")
    assert german.decode(text.Ragged(train[1]["captions_de"], np.array([3]))) == ["zwei männer reden"]
    seen = multi30k.load(root, "train", languages=("de",), pictures=pictures, image_size=4)
    assert seen.names == ["7.jpg", "COCO_val2014_000000000009.jpg"]
    assert letters(seen[1]["image"]) == ["rrgg"] * 2 + ["bbww"] * 2
    several = multi30k.load(root, "val", languages=("en",), vocabularies={"en": text.Vocabulary(("a",))})
    assert several[0]["captions"][0, :3].tolist() == [2, 1, 0]
    for number in range(1, 6):
        write(root / "data" / "task2" / "raw" / f"train.{number}.en", f"text {number}\n")
    assert multi30k.load(root, "train", task=2, languages=("en",))[0]["captions"].shape == (5, 32)


def test_faults_of_lines_are_named(lines, capsys):
    root, raw = lines / "dataset", lines / "dataset" / "data" / "task1" / "raw"

    def refused(error, match, split="train", **options):
        with pytest.raises(error, match=match):
            multi30k.load(root, split, **options)

    refused(FileNotFoundError, r"val.txt or val_images.txt not found", "val", pictures=lines)
    (lines / "flickr30k-images" / "7.jpg").unlink()
    refused(FileNotFoundError, "1 of 2 pictures, such as 7.jpg not found", pictures=lines / "flickr30k-images")
    refused(FileNotFoundError, "train.fr not found.*multi30k/dataset", languages=("fr",))
    write(raw / "train.de", "Ein Hund.\n")
    refused(ValueError, "different numbers of lines: the texts in 'en' 2, the texts in 'de' 1")
    write(raw / "train.de", "Ein Hund.\n@@\n")
    assert len(multi30k.load(root, "train")) == 1
    assert "1 lines without a word in one of the languages, left out" in capsys.readouterr().err
    write(raw / "train.de", "\n\n")
    refused(ValueError, "no line is left that has a word in each language")
    (raw / "train.en.gz").write_bytes(b"\x1f\x8bbroken")
    refused(ValueError, "train.en.gz' is damaged")
    refused(ValueError, "task must be 1 or 2", task=3)
