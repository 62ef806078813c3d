"""Pictures in pairs: cut, matched and listed as they should be, refused by name where they are not."""

import numpy as np
import pytest
from PIL import Image

from gentoolkit.data import aligned, columns
from gentoolkit.data.fields import Field

pytestmark = pytest.mark.fast


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def noise(seed, height=4, width=6):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_a_file_is_cut_in_the_middle_of_odd_and_even_widths(tmp_path):
    even, odd = save(tmp_path / "a.png", noise(0, 3, 8)), save(tmp_path / "b.png", noise(1, 3, 9))
    pairs = aligned.halves(tmp_path, left="photo", right="labels", image_shape=(3, 4, 3))
    assert len(pairs) == 2 and [name[-5:] for name in pairs.names] == ["a.png", "b.png"]
    np.testing.assert_array_equal(pairs[0]["photo"], even[:, :4])
    np.testing.assert_array_equal(pairs[0]["labels"], even[:, 4:])
    # The left half of nine columns has four; the right one of five is stretched to four.
    np.testing.assert_array_equal(pairs[1]["photo"], odd[:, :4])
    stretched = Image.fromarray(odd[:, 4:]).resize((4, 3), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pairs[1]["labels"], np.asarray(stretched))


def test_a_file_that_is_no_pair_is_named(tmp_path):
    save(tmp_path / "square.png", noise(0, 6, 6))
    with pytest.raises(ValueError, match=r"square.png' is 6 x 6 .*wider than high"):
        aligned.halves(tmp_path, image_shape=(6, 6, 3))
    with pytest.raises(ValueError, match="left and right must be two names, got 'a' twice"):
        aligned.halves(tmp_path, left="a", right="a", image_shape=(6, 6, 3))
    (tmp_path / "square.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="square.png' cannot be read as an image"):
        aligned.halves(tmp_path, image_shape=(6, 6, 3))


def test_folders_are_matched_by_name_whatever_the_suffix(tmp_path):
    edges = {name: save(tmp_path / "edges" / f"{name}.png", noise(ord(name))) for name in "cab"}
    photos = {name: save(tmp_path / "photo" / f"{name}.bmp", noise(ord(name) + 9)) for name in "bca"}
    pairs = aligned.folders(edges=tmp_path / "edges", photo=tmp_path / "photo", image_shape=(4, 6, 3))
    assert pairs.names == ["a", "b", "c"]
    for row, name in enumerate("abc"):
        np.testing.assert_array_equal(pairs[row]["edges"], edges[name])
        np.testing.assert_array_equal(pairs[row]["photo"], photos[name])
    save(tmp_path / "photo" / "lonely.png", noise(0))
    with pytest.raises(ValueError, match="1 pictures of .* have no partner in the other folder: lonely"):
        aligned.folders(edges=tmp_path / "edges", photo=tmp_path / "photo", image_shape=(4, 6, 3))
    save(tmp_path / "edges" / "a.gif", noise(0))
    with pytest.raises(ValueError, match="have the same name 'a': which belongs to the pair"):
        aligned.folders(edges=tmp_path / "edges", photo=tmp_path / "photo", image_shape=(4, 6, 3))
    with pytest.raises(ValueError, match="needs two folders or more"):
        aligned.folders(edges=tmp_path / "edges", image_shape=(4, 6, 3))


def test_photographs_and_sketches_of_cufs_are_matched(tmp_path):
    photo = save(tmp_path / "photos" / "f-005-01.png", noise(0))
    sketch = save(tmp_path / "sketches" / "F2-005-01-sz1.png", noise(1))
    save(tmp_path / "photos" / "m-005-01.png", noise(2))
    save(tmp_path / "sketches" / "M2-005-01-sz1.png", noise(3))
    pairs = aligned.folders(
        photo=tmp_path / "photos", sketch=tmp_path / "sketches", key=aligned.cufs_key, image_shape=(4, 6, 3)
    )
    assert pairs.names == ["f-005-01", "m-005-01"]
    np.testing.assert_array_equal(pairs[0]["photo"], photo)
    np.testing.assert_array_equal(pairs[0]["sketch"], sketch)
    with pytest.raises(ValueError, match="'portrait' is no name of CUFS"):
        aligned.cufs_key("portrait")


def test_a_list_names_its_lines(tmp_path):
    first, second = save(tmp_path / "x" / "one.png", noise(0)), save(tmp_path / "two words.png", noise(1))
    path = tmp_path / "list.txt"
    path.write_text("# a comment\n\nx/one.png\ttwo words.png\n", "utf-8")
    pairs = aligned.listed(path, names=("a", "b"), image_shape=(4, 6, 3))
    np.testing.assert_array_equal(pairs[0]["a"], first)
    np.testing.assert_array_equal(pairs[0]["b"], second)
    path.write_text("x/one.png two words.png\n")
    with pytest.raises(ValueError, match="list.txt', line 1: 3 files, but there are 2 columns"):
        aligned.listed(path, names=("a", "b"), image_shape=(4, 6, 3))
    path.write_text("x/one.png none.png\n")
    with pytest.raises(FileNotFoundError, match="line 1: .*none.png' is not there"):
        aligned.listed(path, names=("a", "b"), image_shape=(4, 6, 3))
    path.write_text("\n")
    with pytest.raises(ValueError, match="lists no picture"):
        aligned.listed(path, names=("a", "b"), image_shape=(4, 6, 3))


def test_swapped_sides_are_seen(tmp_path):
    for index in range(3):
        photo = noise(index, 16, 16)
        edges = np.where(noise(index + 9, 16, 16)[..., :1] < 20, 0, 255).astype(np.uint8).repeat(3, -1)
        save(tmp_path / f"{index}.png", np.concatenate([edges, photo], axis=1))
    pairs = aligned.halves(tmp_path, left="edges", right="photo", image_shape=(16, 16, 3))
    assert not aligned.looks_swapped(pairs, drawing="edges", photograph="photo")
    assert aligned.looks_swapped(pairs, drawing="photo", photograph="edges")
    assert not aligned.looks_swapped(pairs, drawing="photo", photograph="photo")
    for index in range(3):  # two kinds of photographs, one with fewer colours
        dark = noise(index, 16, 16) * np.array([0.5, 0.5, 0.2])
        save(tmp_path / f"{index}.png", np.concatenate([noise(index + 9, 16, 16), dark.astype(np.uint8)], axis=1))
    assert not aligned.looks_swapped(pairs, drawing="edges", photograph="photo")
    # A map of a few labels, resized, has more colours than a photograph of one hue, and fewer levels of grey.
    rng = np.random.default_rng(0)
    bright = np.linspace(0, 1, 16) + rng.random((16, 16)) / 4
    hue = np.clip(bright[..., None] * np.array([200, 120, 60]), 0, 255).astype(np.uint8)
    map_ = np.array([[0, 0, 255], [255, 0, 0], [0, 0, 170], [0, 85, 255]], np.uint8)[rng.integers(0, 4, (4, 4))]
    labels = np.asarray(Image.fromarray(map_).resize((16, 16), Image.Resampling.BILINEAR))
    save(tmp_path / "other" / "0.png", np.concatenate([labels, hue], axis=1))
    other = aligned.halves(tmp_path / "other", left="labels", right="photo", image_shape=(16, 16, 3))
    assert len(np.unique(labels.reshape(-1, 3) // 16, axis=0)) > len(np.unique(hue.reshape(-1, 3) // 16, axis=0))
    assert not aligned.looks_swapped(other, drawing="labels", photograph="photo")
    assert aligned.looks_swapped(other, drawing="photo", photograph="labels")


def test_each_column_has_channels_of_its_own(tmp_path):
    edges, photo = save(tmp_path / "x" / "a.png", noise(0)), save(tmp_path / "y" / "a.png", noise(1))
    (tmp_path / "list.txt").write_text("x/a.png y/a.png\n")
    save(tmp_path / "both" / "a.png", np.concatenate([edges, photo], axis=1))
    options = {"image_shape": {"x": (4, 6, 1), "y": (4, 6, 3)}, "convert_channels": True}
    for pairs in (
        aligned.folders(x=tmp_path / "x", y=tmp_path / "y", **options),
        aligned.listed(tmp_path / "list.txt", names=("x", "y"), **options),
        aligned.halves(tmp_path / "both", left="x", right="y", **options),
    ):
        np.testing.assert_array_equal(pairs[0]["x"][..., 0], np.asarray(Image.fromarray(edges).convert("L")))
        np.testing.assert_array_equal(pairs[0]["y"], photo)
    with pytest.raises(ValueError, match="image_shape must name the columns a, y, got x, y"):
        aligned.folders(a=tmp_path / "x", y=tmp_path / "y", **options)


def test_dealing_out_keeps_together_what_has_one_number():
    number = np.repeat(np.arange(40), np.arange(40) % 5 + 1)
    source = columns.from_values({"number": Field(dtype=np.int64)}, {"number": number})
    parts = columns.deal(source, 3, by="number")
    held = [part.take(np.arange(len(part)))["number"] for part in parts]
    assert sum(map(len, held)) == len(number) and max(map(len, held)) - min(map(len, held)) <= 5
    assert not set(held[0]) & set(held[1]) and not set(held[1]) & set(held[2]) and not set(held[0]) & set(held[2])
    assert all((np.diff(part) >= 0).all() for part in held)  # in the order of the source
    one_by_one = columns.deal(source, 3)
    assert {len(part) for part in one_by_one} == {40} and sorted(np.concatenate(held)) == sorted(number)
    other = columns.deal(source, 3, by="number", seed=1)[0]
    assert set(other.take(np.arange(len(other)))["number"]) != set(held[0])
    with pytest.raises(ValueError, match="too few for num_parts = 41"):
        columns.deal(source, 41, by="number")
    with pytest.raises(ValueError, match="There is no column 'none'"):
        columns.deal(source, 2, by="none")
