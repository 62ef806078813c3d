"""Birds and flowers with texts, in the layouts in which they are published; every fault is named."""

import pickle

import numpy as np
import pytest

from gentoolkit.data import cub, oxford_flowers, pipeline, record, text
from gentoolkit.data.captions import OneText, SomeWords
from gentoolkit.data.transform import RandomCrop, horizontal_flip
from tests.data.captioned import letters, quarters, write

pytestmark = pytest.mark.fast
# Number, name, box (x, y, width, height), size, part of train_test_split, texts.
_BIRDS = [
    (1, "001.Black_footed_Albatross/One_0001_11", (2.0, 4.0, 4.0, 8.0), (24, 16), 1, ["a red bird.", "It is red"]),
    (2, "001.Black_footed_Albatross/Two_0002_12", (12.0, 8.0, 12.0, 8.0), (24, 16), 0, ["white, white!"]),
    (3, "002.Laysan_Albatross/Three_0003_13", (0.0, 0.0, 8.0, 8.0), (16, 24), 1, ["a b c d", "...", "e f"]),
]


@pytest.fixture
def birds(tmp_path):
    root = tmp_path / "birds"
    official = root / "CUB_200_2011"
    for _, name, _, size, _, texts in _BIRDS:
        quarters(official / "images" / f"{name}.jpg", *size)
        write(root / "text" / f"{name}.txt", "\n".join(texts) + "\n")
    write(official / "images.txt", "".join(f"{number} {name}.jpg\n" for number, name, *_ in _BIRDS))
    boxes = "".join(f"{number} {' '.join(map(str, box))}\n" for number, _, box, *_ in _BIRDS)
    write(official / "bounding_boxes.txt", boxes)
    write(official / "classes.txt", "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n")
    write(official / "train_test_split.txt", "".join(f"{bird[0]} {bird[4]}\n" for bird in _BIRDS))
    for split, chosen in (("train", _BIRDS[:2]), ("test", _BIRDS[2:])):
        (root / split).mkdir()
        names, numbers = [bird[1] for bird in chosen], [np.int64(bird[1][:3]) for bird in chosen]
        (root / split / "filenames.pickle").write_bytes(pickle.dumps(names, 0))
        (root / split / "class_info.pickle").write_bytes(pickle.dumps(numbers, 2))
    return root


def test_birds_are_cut_out_as_attngan_does_and_keep_their_box_and_class(birds, capsys):
    train = cub.load(birds, "train", image_size=4, num_captions=3, max_words=5)
    record.check(train, num=2)
    assert train.names == [bird[1] for bird in _BIRDS[:2]]
    assert train.fields["label"].class_names == ("Black footed Albatross", "Laysan Albatross")
    first, second = train[0], train[1]
    assert first["label"] == second["label"] == 0
    # Centre (4, 8), half side 6, so columns 0 to 10 (cut at the border) and rows 2 to 14; of these the central square,
    # rows 3 to 13. The colours change at row 8, the middle, and at column 12, which is outside.
    assert letters(first["image"]) == ["rrrr", "rrrr", "bbbb", "bbbb"]
    np.testing.assert_allclose(first["boxes"], [[0.2, 0.1, 0.6, 0.9]], atol=1e-6)
    # Centre (18, 12), half side 9: columns 9 to 24, rows 3 to 16; the central square is columns 10 to 23, where the box
    # is cut off too.
    np.testing.assert_allclose(second["boxes"], [[2 / 13, 5 / 13, 1, 1]], atol=1e-6)
    assert letters(second["image"]) == ["rggg", "rggg", "bwww", "bwww"]
    whole = cub.load(birds, "train", image_size=4, half_side=None, fit="stretch")
    np.testing.assert_allclose(whole[0]["boxes"], [[2 / 24, 4 / 16, 6 / 24, 12 / 16]], atol=1e-6)
    assert letters(whole[0]["image"]) == ["rrgg", "rrgg", "bbww", "bbww"]
    told = capsys.readouterr().err
    assert "CUB-200-2011, train: 2 pictures with fewer than 3 texts, which are repeated." in told


def test_texts_are_numbers_of_a_vocabulary_of_both_splits(birds, capsys):
    vocabulary = cub.read_vocabulary(birds)
    assert vocabulary.words == ("a", "red", "white", "b", "bird", "c", "d", "e", "f", "is", "it")
    rows = cub.load(birds, "train", image_size=4, num_captions=3, max_words=5)[0]["captions"]
    assert rows.shape == (3, 5)
    decoded = vocabulary.decode(text.Ragged(rows, (rows != 0).sum(1)))
    assert decoded == ["a red bird", "it is red", "a red bird"]  # two texts, repeated in turn
    test = cub.load(birds, "test", image_size=4, num_captions=1, max_words=3, vocabulary=text.Vocabulary(("a", "b")))
    assert test[0]["captions"].tolist() == [[2, 3, 1]]
    told = capsys.readouterr().err
    assert "1 pictures with more than 1 texts, of which the first stay" in told and "1 texts cut to 3 words" in told
    assert "2 words that the vocabulary lacks, 2 times (c, d)" in told
    steps = OneText(), SomeWords(2), RandomCrop((3, 3)), horizontal_flip
    stream = pipeline.Stream(cub.load(birds, "train", image_size=4), seed=0, batch_size=2, transforms=steps)
    assert stream[0]["caption"].values.shape == (2, 2) and stream[0]["image"].shape == (2, 3, 3, 3)


def test_birds_are_parted_by_the_data_sets_own_file_too(birds):
    train = cub.load(birds.parent, "train", image_size=4, split_files="train_test_split")
    test = cub.load(birds / "CUB_200_2011" / "..", "test", image_size=4, split_files="train_test_split")
    assert train.names == [_BIRDS[0][1], _BIRDS[2][1]] and test.names == [_BIRDS[1][1]]
    assert [int(train[row]["label"]) for row in range(2)] == [0, 1]


def refused(error, match, root, **options):
    with pytest.raises(error, match=match):
        cub.load(root, "train", image_size=4, **options)


def test_what_is_missing_is_named_with_what_to_put_where(birds):
    refused(FileNotFoundError, "root = .*nowhere' is not a folder", birds / "nowhere")
    (birds / "CUB_200_2011" / "images" / f"{_BIRDS[0][1]}.jpg").unlink()
    refused(FileNotFoundError, r"1 of 2 pictures not found.*One_0001_11.jpg.*CUB_200_2011.tgz", birds)
    (birds / "text" / f"{_BIRDS[1][1]}.txt").unlink()
    refused(FileNotFoundError, r"the texts Two_0002_12.txt not found.*text.zip inside AttnGAN's birds.zip", birds)
    (birds / "train" / "filenames.pickle").unlink()
    refused(FileNotFoundError, r"train/filenames.pickle not found.*or give split_files='train_test_split'", birds)
    (birds / "CUB_200_2011" / "images.txt").unlink()
    refused(FileNotFoundError, "CUB_200_2011/images.txt not found", birds)


def test_what_is_damaged_is_named_with_its_line_or_entry(birds):
    official = birds / "CUB_200_2011"
    boxes = (official / "bounding_boxes.txt").read_text()
    write(official / "bounding_boxes.txt", boxes.replace("2 12.0 8.0", "2 24.0 8.0"))
    refused(ValueError, r"bounding_boxes.txt': the box .* of '001.*Two.*' has no part in its picture of 24 x 16", birds)
    write(official / "bounding_boxes.txt", boxes.replace("2 12.0", "2 twelve"))
    refused(ValueError, r"bounding_boxes.txt', line 2: expected .*got '2 twelve 8.0 12.0 8.0'", birds)
    write(official / "bounding_boxes.txt", boxes.replace("2 12.0", "2"))
    refused(ValueError, r"bounding_boxes.txt', line 2: expected 5 words", birds)
    write(official / "bounding_boxes.txt", boxes)
    classes = (official / "classes.txt").read_text()
    write(official / "classes.txt", "1 002.Laysan_Albatross\n")
    refused(ValueError, "classes.txt' has no species '001.Black_footed_Albatross'", birds)
    write(official / "classes.txt", classes)
    picture = official / "images" / f"{_BIRDS[0][1]}.jpg"
    picture.write_bytes(b"no picture")
    refused(ValueError, "One_0001_11.jpg' cannot be read as an image", birds)
    write(birds / "text" / f"{_BIRDS[0][1]}.txt", "\n...\n")
    refused(ValueError, "One_0001_11.txt' holds no text", birds)
    (birds / "train" / "class_info.pickle").write_bytes(pickle.dumps([1, 2]))
    refused(ValueError, r"class_info.pickle', entry 1: class 2 for '001.*Two.*', but 1 for others", birds)
    (birds / "train" / "filenames.pickle").write_bytes(pickle.dumps(["003.None/x"]))
    (birds / "train" / "class_info.pickle").unlink()
    refused(ValueError, "1 names of split = 'train' are not in images.txt, such as '003.None/x'", birds)
    (birds / "train" / "filenames.pickle").write_bytes(pickle.dumps({"a": 1}))
    refused(ValueError, "filenames.pickle' holds no list of names", birds)
    write(official / "train_test_split.txt", "1 1\n2 2\n")
    refused(ValueError, "train_test_split.txt', line 2: expected 0 or 1", birds, split_files="train_test_split")
    refused(ValueError, "split_files must be one of filenames, train_test_split", birds, split_files="other")
    refused(ValueError, "half_side must be > 0", birds, half_side=0.0)
    refused(ValueError, "fit must be one of cover, stretch", birds, fit="exact")


def test_a_box_that_sticks_out_is_cut_off_and_told(birds, capsys):
    path = birds / "CUB_200_2011" / "bounding_boxes.txt"
    write(path, path.read_text().replace("2 12.0 8.0 12.0 8.0", "2 12.0 8.0 20.0 8.0"))
    train = cub.load(birds, "train", image_size=4, half_side=None, fit="stretch")
    np.testing.assert_allclose(train[1]["boxes"], [[0.5, 0.5, 1, 1]])
    assert "1 boxes that stuck out of their picture, cut off" in capsys.readouterr().err


@pytest.fixture
def flowers(tmp_path):
    root = tmp_path / "flowers"
    for number, name in ((1, "image_06734"), (1, "image_06735"), (102, "image_00001")):
        quarters(root / "jpg" / f"{name}.jpg", 16, 8)
        write(root / "text_c10" / f"class_{number:05d}" / f"{name}.txt", f"flower {name[-2:]}\nit is pink\n")
    write(root / "trainvalclasses.txt", "class_00001\n")
    write(root / "testclasses.txt", "class_00102\n")
    for split, names in (("train", ["jpg/image_06735", "jpg/image_06734"]), ("test", ["jpg/image_00001"])):
        (root / split).mkdir()
        (root / split / "filenames.pickle").write_bytes(pickle.dumps(names, 2))
    (root / "train" / "class_info.pickle").write_bytes(pickle.dumps([1, 1], 2))
    return root


def test_flowers_are_read_by_either_kind_of_split(flowers):
    train = oxford_flowers.load(flowers, "train", image_size=4, num_captions=2, max_words=3)
    record.check(train, num=2)
    assert train.names == ["image_06735", "image_06734"] and train[0]["label"] == 0
    assert train.fields["captions"].shape == (2, 3)
    # The central square of 16 x 8 has columns 4 to 12.
    assert letters(train[0]["image"]) == ["rrgg", "rrgg", "bbww", "bbww"]
    vocabulary = oxford_flowers.read_vocabulary(flowers)
    assert vocabulary.words[:2] == ("flower", "is")
    by_class = oxford_flowers.load(flowers, "train", image_size=4, split_files="classes", vocabulary=vocabulary)
    assert by_class.names == ["image_06734", "image_06735"]
    test = oxford_flowers.load(flowers.parent, "test", image_size=4, split_files="classes")
    assert test.names == ["image_00001"] and test[0]["label"] == 101


def test_faults_of_flowers_are_named(flowers):
    def refused(error, match, **options):
        with pytest.raises(error, match=match):
            oxford_flowers.load(flowers, "train", image_size=4, **options)

    (flowers / "train" / "class_info.pickle").write_bytes(pickle.dumps([1, 2], 2))
    refused(ValueError, "class_info.pickle', entry 1: class 2 for 'jpg/image_06734', but 1 for others")
    (flowers / "train" / "class_info.pickle").unlink()
    write(flowers / "trainvalclasses.txt", "class_00001\nrose\n")
    refused(ValueError, "trainvalclasses.txt', line 2: expected a class such as class_00001", split_files="classes")
    (flowers / "trainvalclasses.txt").unlink()
    refused(FileNotFoundError, "trainvalclasses.txt not found.*cvpr2016_flowers.tar.gz", split_files="classes")
    (flowers / "jpg" / "image_06735.jpg").unlink()
    refused(FileNotFoundError, "1 of 2 pictures not found.*102flowers.tgz")
    (flowers / "text_c10" / "class_00001" / "image_06735.txt").unlink()
    refused(FileNotFoundError, "texts of 1 of 2 pictures, such as 'image_06735', not found")
    write(flowers / "text_c10" / "class_00103" / "image_00002.txt", "x")
    refused(ValueError, "class_00103' is no class of Oxford-102 flowers")
