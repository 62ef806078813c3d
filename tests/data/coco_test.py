"""COCO in its published layout: texts, objects, boxes, masks and classes of pixels lie where they were annotated."""

import json

import chex
import numpy as np
import pytest
from PIL import Image

from gentoolkit.data import _masks, coco, pipeline, record
from gentoolkit.data.captions import OneText
from tests.data.captioned import letters, quarters, write

pytestmark = pytest.mark.fast
_CATEGORIES = [{"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}]
_STUFF = [{"id": 157, "name": "sky-other"}, {"id": 183, "name": "other"}]
_SIZES = {7: (16, 8), 9: (8, 8), 12: (8, 16)}
# A picture of 8 x 8 (height x width) with a square of 2 x 4 at row 1, column 2; columns are run through.
_RUNS = [17, 2, 6, 2, 6, 2, 6, 2, 21]


def annotation(picture, category, box, shape=None, crowd=0, number=1):
    left, top, width, height = box
    corners = [left, top, left + width, top, left + width, top + height, left, top + height]
    return {
        "id": number,
        "image_id": picture,
        "category_id": category,
        "bbox": box,
        "iscrowd": crowd,
        "segmentation": [corners] if shape is None else shape,
    }


class Folder:
    """A small COCO, of which a test may change any part."""

    def __init__(self, root, split="train2017"):
        self.root, self.split = root, split
        self.texts = [(9, "A man's dog."), (7, "a red car"), (9, "Two dogs!"), (7, " "), (9, "dogs")]
        self.objects = [
            annotation(9, 1, [2, 1, 4, 2], {"size": [8, 8], "counts": _RUNS}, crowd=1),
            annotation(9, 3, [2, 1, 4, 2], {"size": [8, 8], "counts": _RUNS}),
            annotation(9, 1, [0, 4, 8, 4]),
            annotation(7, 90, [0, 0, 6, 4]),
            annotation(7, 90, [1, 0, 2, 4]),
        ]
        self.stuff = [annotation(9, 157, [0, 0, 8, 6]), annotation(9, 183, [0, 0, 8, 8])]
        for number, size in _SIZES.items():
            quarters(self.root / split / self.file(number), *size)

    def file(self, number):
        """Files of 2014 say their split, those of 2017 do not."""
        return f"COCO_{self.split}_{number:012d}.jpg" if "2014" in self.split else f"{number:012d}.jpg"

    def save(self):
        images = [
            {"id": number, "file_name": self.file(number), "width": size[0], "height": size[1]}
            for number, size in _SIZES.items()
        ]
        texts = [{"id": 0, "image_id": number, "caption": text} for number, text in self.texts]
        for kind, annotations, categories in (
            ("captions", texts, []),
            ("instances", self.objects, _CATEGORIES),
            ("stuff", self.stuff, _STUFF),
        ):
            held = {"images": images, "annotations": annotations, "categories": categories}
            write(self.root / "annotations" / f"{kind}_{self.split}.json", json.dumps(held))
        other = f"captions_{self.split.replace('train', 'val')}.json"
        write(self.root / "annotations" / other, json.dumps({"images": [], "annotations": []}))
        return self

    def load(self, **options):
        return coco.load(self.root, self.split, **({"image_size": 8, "num_captions": 2, "max_words": 4} | options))

    def refused(self, error, match, **options):
        with pytest.raises(error, match=match):
            self.save().load(**options)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "coco").save()


def test_pictures_have_their_texts_objects_boxes_and_masks(folder, capsys):
    train = folder.load(masks=True, crowds=False)
    record.check(train, num=2)
    assert train.names == ["000000000007.jpg", "000000000009.jpg"]
    assert train.fields["objects"].class_names == ("person", "car", "toothbrush")
    vocabulary = coco.read_vocabulary(folder.root, ("train2017",))
    assert vocabulary.words == ("a", "dogs", "car", "dog", "man's", "red", "two")
    first, second = train[0], train[1]
    assert vocabulary.words[first["captions"][0, 1] - 2] == "red"
    assert (first["captions"][0] == first["captions"][1]).all()
    assert letters(first["image"]) == ["rrrrgggg"] * 4 + ["bbbbwwww"] * 4
    # Of 16 x 8, columns 4 to 12 stay: of a toothbrush two columns, of another nothing.
    assert first["objects"].tolist() == [2]
    np.testing.assert_allclose(first["boxes"], [[0, 0, 0.25, 0.5]])
    assert first["masks"].sum() == 8 and first["masks"][0, :4, :2].all()
    # The largest first; runs and polygons say the same as boxes here.
    assert second["objects"].tolist() == [0, 1]
    np.testing.assert_allclose(second["boxes"], [[0, 0.5, 1, 1], [0.25, 0.125, 0.75, 0.375]])
    assert second["masks"][0, 4:].all() and second["masks"][1, 1:3, 2:6].all() and second["masks"].sum() == 32 + 8
    told = capsys.readouterr().err
    for said in (
        "1 groups marked as one object, left out",
        "1 pictures without a text, left out",
        "1 objects outside what is kept of their picture, or too small, left out",
        "1 pictures with fewer than 2 texts, which are repeated",
        "1 pictures with more than 2 texts, of which the first stay",
        "1 other files in train2017",
    ):
        assert said in told
    assert len(folder.load(crowds=True)[1]["objects"]) == 3
    stream = pipeline.Stream(train, seed=0, batch_size=2, transforms=(OneText(),))
    assert stream[0]["boxes"].values.shape == (2, 10, 4) and stream[0]["caption"].values.shape == (2, 4)


def test_2014_differs_in_the_names_of_its_files_alone(folder, tmp_path):
    older, newer = Folder(tmp_path / "older", "train2014").save().load(masks=True), folder.load(masks=True)
    assert older.names == ["COCO_train2014_000000000007.jpg", "COCO_train2014_000000000009.jpg"]
    assert older.fields == newer.fields
    for old, new in zip(older, newer, strict=True):
        chex.assert_trees_all_equal(old, new)


def test_filters_of_published_systems(folder, capsys):
    squeezed = folder.load(fit="stretch", objects=True)
    np.testing.assert_allclose(squeezed[0]["boxes"], [[0, 0, 6 / 16, 0.5], [1 / 16, 0, 3 / 16, 0.5]])
    assert folder.load(fit="stretch", max_objects=1)[0]["objects"].shape == (1,)
    assert "2 pictures with more than 1 objects, of which the largest stay" in capsys.readouterr().err
    some = folder.load(fit="stretch", max_objects=2, min_objects=2, min_area=0.1, too_many="leave out")
    assert some.names == ["000000000009.jpg"]
    assert "1 pictures with objects fewer than 2 or more than 2, left out" in capsys.readouterr().err
    layouts = folder.load(captions=False, stuff=True)
    assert len(layouts) == 3 and "captions" not in layouts.fields
    assert layouts.fields["objects"].class_names == ("person", "car", "toothbrush", "sky-other")
    assert layouts[1]["objects"].tolist() == [3, 0, 1] and layouts[2]["objects"].size == 0
    texts = folder.load(objects=False)
    assert set(texts.fields) == {"image", "captions"}
    folder.refused(
        ValueError, "no picture of 'train2017' is left: 1 groups .*2 pictures with objects fewer than 9", min_objects=9
    )


@pytest.mark.parametrize("layout", ["stuffthingmaps/train2017", "annotations/stuff_train2017_pixelmaps"])
def test_classes_of_pixels_have_the_numbers_of_categories_in_either_layout(folder, layout):
    pixels = np.full((8, 8), 156, np.uint8)
    pixels[0], pixels[1, 2:] = 255, 0
    for number in (7, 9):
        path = folder.root / layout / f"{number:012d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if number == 9 else np.full((8, 16), 5, np.uint8)).save(path)
    made = folder.load(segmentation=True)[1]["segmentation"]
    if layout.startswith("stuffthing"):
        assert (made[0] == 0).all() and (made[1, 2:] == 1).all() and (made[2:] == 157).all()
    else:
        np.testing.assert_array_equal(made, pixels)
    Image.fromarray(pixels[:4]).save(folder.root / layout / "000000000009.png")
    with pytest.raises(ValueError, match="000000000009.png' is 4 x 8 .*but its picture is 8 x 8"):
        folder.load(segmentation=True)[1]
    (folder.root / layout / "000000000009.png").unlink()
    folder.refused(
        FileNotFoundError, r"classes of pixels of 1 of 2 pictures, such as 000000000009.png", segmentation=True
    )


def test_runs_as_text_are_those_of_pycocotools():
    """Its text of five pixels on a falling line, and its rule that a run is told from the last but one."""
    expected = np.pad(np.eye(5, dtype=bool), ((1, 2), (40, 1)))
    np.testing.assert_array_equal(_masks.of_runs("Q:1800000002", 8, 46), expected)
    np.testing.assert_array_equal(_masks.of_runs(b"Q:1800000002", 8, 46), expected)
    for wrong, match in (("Q:1800000001", "do not fill 8 x 46"), ("Q", "cut off"), ("~", "no '~'"), ([1.5], "whole")):
        with pytest.raises(ValueError, match=match):
            _masks.of_runs(wrong, 8, 46)


def test_a_polygon_holds_the_pixels_whose_middle_it_holds():
    window = np.array([10.0, 20.0, 18.0, 28.0])
    square = [12, 21, 16, 21, 16, 25, 12, 25]
    made = _masks.of_polygons([square], window, 8)
    assert made[1:5, 2:6].all() and made.sum() == 16
    assert _masks.of_polygons([square], window, 32).sum() == 16 * 16
    # Two that overlap are one; one that runs round twice has a hole; what lies outside the window changes nothing.
    assert _masks.of_polygons([square, [15, 21, 18, 21, 18, 25, 15, 25]], window, 8).sum() == 24
    ring = [*square, 12, 21, 13, 22, 13, 24, 15, 24, 15, 22, 13, 22, 12, 21]
    assert _masks.of_polygons([ring], window, 8).sum() == 12
    assert _masks.of_polygons([[0, 0, 40, 0, 40, 40, 0, 40]], window, 8).all()
    triangle = _masks.of_polygons([[10, 20, 18, 20, 10, 28]], window, 256)
    assert abs(triangle.mean() - 0.5) < 1 / 256


def test_what_is_missing_is_named_with_what_to_put_where(folder):
    (folder.root / "train2017" / "000000000009.jpg").unlink()
    folder.refused(FileNotFoundError, "1 of 2 pictures, such as 000000000009.jpg not found.*train2017.zip")
    (folder.root / "annotations" / "instances_train2017.json").unlink()
    with pytest.raises(FileNotFoundError, match="instances_train2017.json not found.*annotations_trainval2017.zip"):
        folder.load()
    with pytest.raises(FileNotFoundError, match="stuff_train2014.json|captions_train2014.json not found"):
        coco.load(folder.root, "train2014", stuff=True)
    with pytest.raises(FileNotFoundError, match="the folder annotations not found"):
        coco.load(folder.root / "train2017", "train2017")


@pytest.mark.parametrize(
    "change, match",
    [
        ({"category_id": 4}, "4 is missing or not known"),
        ({"image_id": 8}, "its picture 8 is not among the images"),
        ({"bbox": [1, 2, 3]}, "not enough values"),
        ({"bbox": [1, 2, 3, float("nan")]}, "expected x, y, width and height in pixels"),
        ({"segmentation": [[1, 2, 3, 4]]}, "a polygon must be three corners or more, x and y each, got 4"),
        ({"segmentation": {"size": [8, 8], "counts": [64]}}, r"a mask of \[8, 8\] .*its picture is 8 x 16"),
        ({"segmentation": {"size": [8, 16], "counts": [64]}}, "runs of 64 pixels in all do not fill 8 x 16"),
        ({"segmentation": None}, "segmentation must be polygons or runs"),
    ],
)
def test_a_damaged_annotation_is_named_by_file_and_entry(folder, change, match):
    folder.objects[3] |= change
    folder.refused(ValueError, f"instances_train2017.json', annotations, entry 3: {match}", masks=True)


def test_boxes_that_leave_the_picture_are_cut_off_or_left_out_and_told(folder, capsys):
    folder.objects += [annotation(9, 1, [4, 0, 9, 4]), annotation(9, 1, [8, 0, 3, 3]), annotation(9, 1, [1, 1, 0, 3])]
    second = folder.save().load()[1]
    np.testing.assert_allclose(second["boxes"][1], [0.5, 0, 1, 0.5])
    told = capsys.readouterr().err
    assert "2 boxes without area or outside their picture, left out" in told
    assert "1 boxes that stuck out of their picture, cut off" in told


def test_other_faults_are_named(folder):
    with pytest.raises(ValueError, match="split must be one of train2014"):
        coco.load(folder.root, "test2017")
    folder.refused(ValueError, r"min_objects in \[0, 2\].*got 'largest', 3 and 0.0", min_objects=3, max_objects=2)
    folder.refused(ValueError, "need objects=True", objects=False, masks=True)
    quarters(folder.root / "train2017" / "000000000009.jpg", 8, 9)
    with pytest.raises(ValueError, match="000000000009.jpg' is 9 x 8 .*made of a picture of 8 x 8"):
        folder.load()[1]
    folder.texts[0] = (9, None)
    folder.refused(ValueError, "captions_train2017.json', annotations, entry 0: expected a text, got 'None'")
    folder.texts[0] = (10, "of no picture")
    folder.refused(ValueError, "captions_train2017.json', annotations, entry 0: its picture 10 is not among the images")
    write(folder.root / "annotations" / "captions_train2017.json", '{"images": [')
    with pytest.raises(ValueError, match="captions_train2017.json' is no JSON file, or one that is cut off"):
        folder.load()
    write(folder.root / "annotations" / "captions_train2017.json", "[]")
    with pytest.raises(ValueError, match="captions_train2017.json' holds no list 'images'"):
        folder.load()
