"""Visual Genome in its published layout: objects, attributes, relations and texts of regions belong together."""

import json

import numpy as np
import pytest

from gentoolkit.data import record, visual_genome
from tests.data.captioned import letters, quarters, write

pytestmark = pytest.mark.fast


def thing(number, name, x, y, w, h):
    return {"object_id": number, "names": [name], "x": x, "y": y, "w": w, "h": h, "synsets": []}


def link(subject, predicate, other):
    return {"predicate": predicate, "subject": {"object_id": subject}, "object": {"object_id": other}, "synsets": []}


def region(phrase, x, y, width, height):
    return {"phrase": phrase, "x": x, "y": y, "width": width, "height": height}


class Folder:
    """A small Visual Genome, of which a test may change any part."""

    def __init__(self, root):
        self.root = root
        quarters(root / "VG_100K" / "1.jpg", 16, 8)
        quarters(root / "VG_100K_2" / "2.jpg", 8, 8)
        self.files = {
            "image_data": [
                {"image_id": 1, "width": 16, "height": 8, "url": "x/VG_100K/1.jpg"},
                {"image_id": 2, "width": 8, "height": 8, "url": "x/VG_100K_2/2.jpg"},
            ],
            "objects": [
                {
                    "image_id": 1,
                    "objects": [
                        thing(10, "Cat", 0, 0, 4, 4),
                        thing(11, "table ", 0, 2, 16, 8),
                        thing(12, "rare", 1, 1, 2, 2),
                    ],
                },
                {"image_id": 2, "objects": [thing(20, "kitten", 4, 4, 4, 4), thing(21, "cat", 9, 9, 2, 2)]},
            ],
            "attributes": [
                {"image_id": 1, "attributes": [{"object_id": 10, "attributes": ["Red", "rare"]}, {"object_id": 11}]},
                {"image_id": 2, "attributes": [{"object_id": 20, "attributes": ["red", "red", "small"]}]},
            ],
            "relationships": [
                {"image_id": 1, "relationships": [link(10, "ON", 11), link(12, "on", 11), link(11, "on top of", 10)]},
                {"image_id": 2, "relationships": []},
            ],
            "region_descriptions": [
                {"id": 1, "regions": [region("a red cat", 0, 0, 4, 4), region("A cat on a table.", 0, 0, 16, 8)]},
                {"id": 2, "regions": [region("the kitten", 4, 4, 4, 4), region("!", 0, 0, 8, 8)]},
            ],
            "vg_splits": {"train": [2, 1], "val": [2]},
        }
        write(root / "object_alias.txt", "cat,kitten\nkitten,young cat\n")
        write(root / "relationship_alias.txt", "on,on top of\n")

    def save(self):
        for name, held in self.files.items():
            write(self.root / f"{name}.json", json.dumps(held))
        return self

    def classes(self, **options):
        least = {"min_objects": 1, "min_attributes": 2, "min_relations": 2} | options
        return visual_genome.read_classes(self.root, **least)

    def load(self, split="train", **options):
        classes = visual_genome.Classes(("cat", "table"), ("red", "small"), ("on",))
        options = {"classes": classes, "image_size": 8, "num_captions": 3, "max_words": 4} | options
        return visual_genome.load(self.root, split, **options)

    def refused(self, error, match, split="train", **options):
        with pytest.raises(error, match=match):
            self.save().load(split, **options)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "vg").save()


def test_frequent_names_have_a_number_as_their_aliases_say(folder):
    classes = folder.classes()
    assert classes.objects == ("cat", "rare", "table")  # kitten is a cat; of equal frequency by the alphabet
    assert classes.attributes == ("red",) and classes.relations == ("on",)
    assert folder.classes(split="val").objects == ("cat",)
    with pytest.raises(ValueError, match="no object occurs min_objects = 9 times in 'train'"):
        folder.classes(min_objects=9)


def test_objects_attributes_relations_and_texts_belong_together(folder, capsys):
    train = folder.load()
    record.check(train, num=2)
    assert train.names == ["1.jpg", "2.jpg"]
    first, second = train[0], train[1]
    assert letters(first["image"]) == ["rrrrgggg"] * 4 + ["bbbbwwww"] * 4
    assert first["objects"].tolist() == [1, 0]  # the table is larger
    np.testing.assert_allclose(first["boxes"], [[0, 0.25, 1, 1], [0, 0, 0.25, 0.5]])
    assert first["attributes"].tolist() == [[False, False], [True, False]]
    assert first["relations"].tolist() == [[1, 0, 0], [0, 0, 1]]  # cat on table, and table on (top of) cat
    assert second["objects"].tolist() == [0] and second["attributes"].tolist() == [[True, True]]
    assert second["relations"].shape == (0, 3)
    vocabulary = visual_genome.read_vocabulary(folder.root)
    assert vocabulary.words == ("a", "cat", "kitten", "on", "red", "table", "the")
    words = [[vocabulary.words[word - 2] for word in row if word] for row in first["captions"]]
    assert words == [["a", "cat", "on", "a"], ["a", "red", "cat"], ["a", "cat", "on", "a"]]
    np.testing.assert_allclose(first["regions"], [[0, 0, 1, 1], [0, 0, 0.25, 0.5], [0, 0, 1, 1]])
    told = capsys.readouterr().err
    for said in (
        "1 objects whose class has no number, left out",
        "1 boxes without area or outside their picture, left out",
        "1 texts cut to 4 words",
        "2 pictures with fewer than 3 texts, which are repeated",
    ):
        assert said in told


def test_filters(folder, capsys):
    assert folder.load(min_objects=2).names == ["1.jpg"]
    assert "1 pictures with fewer than 2 objects or 0 relations, left out" in capsys.readouterr().err
    assert folder.load(min_relations=1).names == ["1.jpg"]
    one = folder.load("all", max_objects=1, captions=False)
    assert one[0]["objects"].tolist() == [1] and not one[0]["relations"].size and "captions" not in one.fields
    assert folder.load(min_pixels=5)[0]["objects"].tolist() == [1]
    assert folder.load(max_relations=1)[0]["relations"].tolist() == [[1, 0, 0]]
    central = folder.load(fit="cover")[0]  # columns 4 to 12: the cat is outside
    assert central["objects"].tolist() == [1] and central["boxes"].tolist() == [[0, 0.25, 1, 1]]
    folder.refused(ValueError, "no picture of 'train' is left: ", min_objects=9)
    plain = folder.load(classes=visual_genome.Classes(("cat",), (), ()))
    assert "attributes" not in plain.fields and not plain[0]["relations"].size


def test_faults_are_named_by_file_and_entry(folder):
    folder.files["objects"][1]["objects"][0]["w"] = "wide"
    folder.refused(ValueError, r"objects.json', entry 1, object 0: could not convert string to float: 'wide'")
    folder.files["objects"][1] = {"image_id": 3, "objects": [thing(1, "cat", 0, 0, 1, 1)]}
    folder.refused(ValueError, r"objects.json' speaks of picture 3, which is not in image_data.json")
    folder.files["objects"] = [{"objects": []}]
    folder.refused(ValueError, r"objects.json', entry 0: 'id' is missing or not known")
    folder.files["objects"] = [{"image_id": 1, "objects": 5}]
    folder.refused(ValueError, r"objects.json', entry 0: 'objects' is no list")
    folder.files["objects"] = []
    folder.files["relationships"][0]["relationships"][0]["subject"] = {}
    folder.refused(ValueError, r"relationships.json', entry 0, relationship 0: 'object_id' is missing")
    folder.files["relationships"] = []
    folder.files["region_descriptions"][0]["regions"][0]["phrase"] = 7
    folder.refused(ValueError, r"region_descriptions.json', entry 0, region 0: expected a text, got '7'")
    folder.files["vg_splits"]["val"] = [9]
    folder.refused(ValueError, r"vg_splits.json', val, entry 0: picture 9 is not in image_data.json", "val")
    folder.refused(ValueError, r"vg_splits.json' has the splits train, val and 'all', got split = 'dev'", "dev")


def test_what_is_missing_is_named_with_what_to_put_where(folder):
    (folder.root / "VG_100K_2" / "2.jpg").unlink()
    folder.refused(FileNotFoundError, r"1 of 2 pictures, such as 2.jpg not found.*VG_100K_2 of images2.zip")
    (folder.root / "attributes.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"attributes.json not found.*unpacked file of attributes.json.zip"):
        folder.load()
    (folder.root / "vg_splits.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"vg_splits.json not found.*or take split='all'"):
        folder.load()
    with pytest.raises(FileNotFoundError, match="image_data.json not found"):
        visual_genome.load(folder.root / "VG_100K", "all")
