"""A folder of pictures with a table of texts, in each form of table; every fault is named."""

import json

import numpy as np
import pytest
from PIL import Image

from gentoolkit.data import captioned_folder, record, text
from tests.data.captioned import letters, quarters, write

pytestmark = pytest.mark.fast
_ROWS = [
    {"id": "1", "split": "train", "title": 'A "red" shoe, new', "kind": "shoe"},
    {"id": "2", "split": "train", "title": "hat", "kind": "hat"},
    {"id": "3", "split": "test", "title": "blue hat", "kind": "bag"},
]


@pytest.fixture
def folder(tmp_path):
    for row in _ROWS:
        quarters(tmp_path / row["split"] / f"{row['id']}.png", 16, 8)
    return tmp_path


def table(folder, name, rows=_ROWS):
    header = list(rows[0])
    lines = {
        "t.csv": [",".join(header)] + [",".join('"' + row[c].replace('"', '""') + '"' for c in header) for row in rows],
        "t.tsv": ["\t".join(header)] + ["\t".join(row[c] for c in header) for row in rows],
        "t.jsonl": [json.dumps(row) for row in rows],
        "t.json": [json.dumps(rows)],
    }
    write(folder / name, "\n".join(lines[name]) + "\n")
    return folder / name


def load(folder, path, **options):
    options = {"image": "{split}/{id}.png", "texts": ("title",), "image_size": 4, "max_words": 5} | options
    return captioned_folder.load(folder, path, **options)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.json", "t.jsonl"])
def test_every_form_of_table_says_the_same(folder, name):
    path = table(folder, name)
    train = load(folder, path, where={"split": "train"}, labels=("kind",))
    record.check(train, num=2)
    assert train.names == ["train/1.png", "train/2.png"]
    # Classes and words are those of the whole table, so that other splits have the same numbers.
    assert train.fields["kind"].class_names == ("bag", "hat", "shoe") and train[0]["kind"] == 2
    vocabulary = captioned_folder.read_vocabulary(path, texts=("title",))
    assert vocabulary.words == ("hat", "a", "blue", "new", "red", "shoe")
    assert vocabulary.decode(text.Ragged(train[0]["captions"], np.array([4]))) == ["a red shoe new"]
    assert letters(train[0]["image"]) == ["rrgg"] * 2 + ["bbww"] * 2
    assert len(load(folder, path)) == 3


def test_lists_of_texts_numbers_in_names_and_rows_without_a_text(folder, capsys):
    quarters(folder / "images" / "000000000007.png", 8, 8)
    rows = [{"id": 7, "captions": ["a b", "c", "..."], "more": None}, {"id": 8, "captions": [], "more": None}]
    write(folder / "t.json", json.dumps({"images": rows, "licenses": []}))
    options = {"key": "images", "image": "images/{id:012d}.png", "texts": ("captions", "more"), "num_captions": 3}
    made = load(folder, folder / "t.json", **options)
    assert made[0]["captions"][:, :2].tolist() == [[2, 3], [4, 0], [2, 3]]
    read = {name: options[name] for name in ("key", "image", "texts")}
    assert captioned_folder.read_texts(folder / "t.json", **read) == {made.names[0]: ["a b", "c"]}
    assert "t.json: 1 rows without a text, left out; 1 pictures with fewer than 3 texts" in capsys.readouterr().err


def test_transparent_pixels_lie_over_white(folder):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(folder / "train" / "1.png")
    assert letters(load(folder, table(folder, "t.csv"))[0]["image"]) == ["rrrr"] * 2 + ["wwww"] * 2


def test_faults_are_named(folder, capsys):
    path = table(folder, "t.csv")

    def refused(error, match, path=path, **options):
        with pytest.raises(error, match=match):
            load(folder, path, **options)

    (folder / "train" / "2.png").unlink()
    refused(FileNotFoundError, r"t.csv' names 1 pictures that are not in .*: train/2.png. Put them there, or")
    assert len(load(folder, path, missing="leave out")) == 2
    assert "1 rows whose picture is not in" in capsys.readouterr().err
    quarters(folder / "train" / "stray.png", 8, 8)
    quarters(folder / "test" / "stray.png", 8, 8)  # beside no picture that is asked for
    load(folder, path, missing="leave out", where={"split": "train"})
    assert "1 pictures that no row names, left out" in capsys.readouterr().err
    refused(ValueError, r"t.csv' has no column 'caption'; there are id, split, title, kind", texts=("caption",))
    refused(
        ValueError, r"image = '{name}' does not fit the columns of .*\(id, split, title, kind\): 'name'", image="{name}"
    )
    refused(ValueError, "the picture '../1' leads out of the folder", image="../{id}")
    refused(ValueError, r"no row is left\.", where={"split": "dev"})
    refused(ValueError, "missing must be 'refuse' or 'leave out'", missing="skip")
    refused(FileNotFoundError, "none.csv' is not there", folder / "none.csv")
    write(folder / "u.csv", "id,title\n1,a\n2\n")
    refused(ValueError, r"u.csv', line 3: 1 values, but there are 2 columns \(id, title\)", folder / "u.csv")
    write(folder / "u.csv", "id,id\n1,a\n")
    refused(ValueError, "u.csv' has two columns of one name", folder / "u.csv")
    write(folder / "u.csv", "id,title\n")
    refused(ValueError, "u.csv' holds no row", folder / "u.csv")
    write(folder / "u.jsonl", '{"id": 1}\n{"id": \n')
    refused(ValueError, "u.jsonl', line 2: ", folder / "u.jsonl")
    write(folder / "u.json", "[1]")
    refused(ValueError, "u.json', entry 0: expected an object, got '1'", folder / "u.json")
    write(folder / "u.json", '{"a": 1}')
    refused(ValueError, "u.json' holds no list 'images'", folder / "u.json", key="images")
    write(folder / "u.json", '[{"id": 1, "title": 5}]')
    refused(ValueError, "u.json': the column 'title' must hold texts, got '5'", folder / "u.json")
    write(folder / "u.txt", "a")
    refused(ValueError, r"u.txt' must end in .csv, .tsv, .json or .jsonl", folder / "u.txt")
