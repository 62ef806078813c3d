"""Folders of images and CelebA: what is found, what is converted, and what is refused."""

import os

import numpy as np
import pytest
from PIL import Image

from gentoolkit.data import celeb_a, folder
from gentoolkit.data._decode import Reader


def save(path, mode="RGB", size=(8, 6), seed=0):
    """Writes a random image, `size` = (width, height), and returns its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = Image.new(mode, (1, 1)).getbands()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(bands)), np.uint8)
    Image.fromarray(pixels.squeeze(), mode=None).convert(mode).save(path)
    return pixels


@pytest.mark.fast
def test_folder_is_listed_recursively_and_in_order(tmp_path):
    first = save(tmp_path / "b" / "deep" / "x.PNG", seed=1)
    second = save(tmp_path / "a.png", seed=2)
    save(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").touch()
    source = folder.load(tmp_path, image_shape=(6, 8, 3))
    assert len(source) == 2 and source.fields.keys() == {"image"}
    np.testing.assert_array_equal(source[0]["image"], second)
    np.testing.assert_array_equal(source[1]["image"], first)


@pytest.mark.fast
def test_labels_by_folder(tmp_path):
    for i, name in enumerate(["wolf/1.png", "bee/2.png", "bee/deep/1.png"]):
        save(tmp_path / name, seed=i)
    source = folder.load(tmp_path, image_shape=(6, 8, 3), label_by_folder=True)
    assert source.fields["label"].class_names == ("bee", "wolf")
    assert source.take(range(3))["label"].tolist() == [0, 0, 1]
    # Another split that lacks the first class counts as the first one does, not from its own zero.
    names = source.fields["label"].class_names
    options = {"image_shape": (6, 8, 3), "label_by_folder": True}
    save(tmp_path / "test" / "wolf" / "1.png")
    assert folder.load(tmp_path / "test", **options)[0]["label"] == 0
    other = folder.load(tmp_path / "test", class_names=names, **options)
    assert other[0]["label"] == 1 and other.fields == source.fields
    with pytest.raises(ValueError, match=r"test' is none of class_names = \['bee', 'wolf'\]"):
        folder.load(tmp_path, class_names=names, **options)
    with pytest.raises(ValueError, match="needs label_by_folder"):
        folder.load(tmp_path, class_names=names, image_shape=(6, 8, 3))
    save(tmp_path / "loose.png")
    with pytest.raises(ValueError, match="loose.png' lies outside every class folder"):
        folder.load(tmp_path, image_shape=(6, 8, 3), label_by_folder=True)


@pytest.mark.fast
def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="No image in"):
        folder.load(tmp_path, image_shape=(6, 8, 3))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"No image in .*There are 1 file of another kind \(notes.txt\)"):
        folder.load(tmp_path, image_shape=(6, 8, 3))
    with pytest.raises(FileNotFoundError, match="is not there"):
        folder.load(tmp_path / "nowhere", image_shape=(6, 8, 3))
    with pytest.raises(ValueError, match="an empty string"):
        folder.load("", image_shape=(6, 8, 3))  # which is not the folder one happens to be in
    save(tmp_path / "x.png")
    with pytest.raises(NotADirectoryError, match="x.png' is a file. Give the folder"):
        folder.load(tmp_path / "x.png", image_shape=(6, 8, 3))


@pytest.mark.fast
def test_what_is_passed_over_is_counted_in_a_line(tmp_path, capfd):
    save(tmp_path / "a.png")
    assert len(folder.load(tmp_path, image_shape=(6, 8, 3))) == 1 and capfd.readouterr().err == ""
    inside = save(tmp_path / "b.jpg" / "c.png", seed=1)  # a folder with the name of a picture
    save(tmp_path / ".thumbnails" / "a.png")
    for name in ("notes.txt", "x.mp4", "y.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")  # opening it would never return
    for directory in (tmp_path, tmp_path / "b.jpg"):
        np.testing.assert_array_equal(folder.load(directory, image_shape=(6, 8, 3))[-1]["image"], inside)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{tmp_path}: 2 images; passed over ")
    for told in (
        "1 hidden file or folder (.thumbnails)",
        "3 files of other kinds (notes.txt, x.mp4, y.mp4)",
        "1 link to nothing (gone.png)",
        "1 link to a folder (round)",
        "1 thing that is no file (pipe.png)",
    ):
        assert told in lines[0]


@pytest.mark.fast
def test_pictures_broken_beyond_their_header_are_found_and_named_or_skipped(tmp_path, capfd):
    whole = save(tmp_path / "b" / "1.png", size=(64, 64), seed=1)
    for name in ("a/0.png", "b/2.jpg"):
        save(tmp_path / name, size=(64, 64))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-2000])
    save(tmp_path / "c" / "small.png")
    options = {"image_shape": (64, 64, 3), "label_by_folder": True}
    told = r"3 of 4 images in .*: .*a/0.png' cannot be read.*2.jpg'.*small.png' is 6 x 8"
    with pytest.raises(ValueError, match=told):
        folder.load(tmp_path, check="all", **options)
    capfd.readouterr()
    kept = folder.load(tmp_path, check="skip", **options)
    assert len(kept) == 1 and kept[0]["label"] == 1 and kept.names[0].endswith("b/1.png")
    np.testing.assert_array_equal(kept[0]["image"], whole)
    assert "1 images; passed over 3 images that cannot be used (" in capfd.readouterr().err
    with pytest.raises(ValueError, match="4 of 4 images"):
        folder.load(tmp_path, check="skip", image_shape=(5, 5, 3))
    with pytest.raises(ValueError, match="check must be one of headers, all, skip"):
        folder.load(tmp_path, check="some", **options)


@pytest.mark.fast
def test_names_need_not_be_text(tmp_path, capfd):
    place = tmp_path / os.fsdecode(b"caf\xe9")
    pixels = save(place / os.fsdecode(b"\xff.png"))
    (place / os.fsdecode(b"\xfe.txt")).touch()
    images = folder.load(place, image_shape=(6, 8, 3))
    np.testing.assert_array_equal(images[0]["image"], pixels)
    print(images.description)
    out, err = capfd.readouterr()
    assert out == "caf\ufffd (1 images)\n" and "1 file of another kind" in err


@pytest.mark.fast
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif", ".png"])
def test_several_pictures_in_a_file_are_refused_unless_told(tmp_path, suffix):
    frames = [Image.fromarray(np.full((6, 8, 3), 80 * i, np.uint8)) for i in range(3)]
    frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:])
    options = {"image_shape": (6, 8, 3), "convert_channels": True}
    with pytest.raises(ValueError, match=f"x{suffix}' holds 3 pictures. Set first_frame=True"):
        folder.load(tmp_path, **options)
    assert folder.load(tmp_path, first_frame=True, **options)[0]["image"].max() == 0


@pytest.mark.fast
@pytest.mark.parametrize(
    ("mode", "shape", "message"),
    [
        ("RGB", (8, 8, 3), r"is 6 x 8 \(height x width\).*fit='cover'"),
        ("L", (6, 8, 3), r"mode 'L' \(1 channels\).*needs 3.*convert_channels=True"),
        ("RGB", (6, 8, 1), r"mode 'RGB' \(3 channels\).*needs 1"),
        ("RGBA", (6, 8, 3), r"mode 'RGBA' \(4 channels\)"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(tmp_path, mode, shape, message):
    save(tmp_path / "x.png", mode)
    with pytest.raises(ValueError, match=message) as error:
        folder.load(tmp_path, image_shape=shape)
    assert "x.png" in str(error.value)


@pytest.mark.fast
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_convert_when_told_to(tmp_path, mode, channels):
    save(tmp_path / "x.png", mode)
    source = folder.load(tmp_path, image_shape=(6, 8, channels), convert_channels=True)
    with Image.open(tmp_path / "x.png") as image:
        if mode == "RGBA":  # laid over white
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        expected = np.array(image.convert("RGB" if channels == 3 else "L")).reshape(6, 8, channels)
    np.testing.assert_array_equal(source[0]["image"], expected)


@pytest.mark.fast
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_become_eight_when_told_to(tmp_path, suffix):
    levels = np.array([[0, 128, 129, 257, 40000, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / f"x.{suffix}")
    with pytest.raises(ValueError, match="mode 'I;16'.*Set convert_channels=True"):
        folder.load(tmp_path, image_shape=(1, 6, 1))
    for channels in (1, 3):
        found = folder.load(tmp_path, image_shape=(1, 6, channels), convert_channels=True)[0]["image"]
        np.testing.assert_array_equal(found, np.uint8([[0, 0, 1, 1, 156, 255]])[..., None].repeat(channels, -1))
    if suffix == "png":
        Image.fromarray(levels).save(tmp_path / "x.png", transparency=40000)
        found = folder.load(tmp_path, image_shape=(1, 6, 1), convert_channels=True)[0]["image"]
        np.testing.assert_array_equal(found[0, :, 0], [0, 0, 1, 1, 255, 255])


@pytest.mark.fast
def test_thirty_two_bits_are_refused_even_then(tmp_path):
    Image.fromarray(np.full((6, 8), 40000, np.int32)).save(tmp_path / "x.tif")
    with pytest.raises(ValueError, match="8 or 16 bits a channel"):
        folder.load(tmp_path, image_shape=(6, 8, 1), convert_channels=True)


@pytest.mark.fast
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nnonsense", b"hello"])
def test_not_an_image(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match="x.png' cannot be read as an image"):
        folder.load(tmp_path, image_shape=(6, 8, 3))


@pytest.mark.fast
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_image_cut_short(tmp_path, suffix):
    """The header is whole, so it is only found out when read."""
    path = tmp_path / f"x{suffix}"
    save(path, size=(64, 64))
    path.write_bytes(path.read_bytes()[:-2000])
    source = folder.load(tmp_path, image_shape=(64, 64, 3))
    with pytest.raises(ValueError, match=f"x{suffix}' cannot be read as an image"):
        source[0]


@pytest.mark.fast
def test_sizes_convert_when_told_to():
    ramp = np.tile(np.arange(40, dtype=np.uint8)[:, None] * 6, (1, 20))  # 40 high, 20 wide, brighter downwards
    image = Image.fromarray(ramp)
    stretched = Reader((10, 10, 1), fit="stretch").convert(image, "ramp")[:, 5, 0]
    np.testing.assert_allclose(stretched, (np.arange(10) * 4 + 1.5) * 6, atol=4)
    covered = Reader((10, 10, 1), fit="cover").convert(image, "ramp")[:, 5, 0]
    np.testing.assert_allclose(covered, (10 + np.arange(10) * 2 + 0.5) * 6, atol=4)
    cropped = Reader((12, 12, 1), center_crop=12).convert(image, "ramp")[:, 5, 0]
    np.testing.assert_array_equal(cropped, ramp[14:26, 5])
    with pytest.raises(ValueError, match="too small for center_crop = 21"):
        Reader((12, 12, 1), center_crop=21, fit="stretch").convert(image, "ramp")


@pytest.mark.fast
@pytest.mark.parametrize(
    "options", [{"image_shape": (8, 8, 2)}, {"image_shape": (0, 8, 3)}, {"fit": "pad"}, {"center_crop": 0}]
)
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Reader(**{"image_shape": (8, 8, 3), **options})


@pytest.mark.fast
def test_photographs_are_turned_upright(tmp_path):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    image.save(tmp_path / "x.png", exif=exif)
    source = folder.load(tmp_path, image_shape=(8, 6, 1))
    np.testing.assert_array_equal(source[0]["image"][..., 0], np.rot90(np.array(image), -1))


@pytest.fixture
def faces(tmp_path):
    place = tmp_path / "celeb_a"
    lines = []
    for i in range(7):
        save(place / "img_align_celeba" / f"{i + 1:06d}.jpg", size=(178, 218), seed=i)
        lines.append(f"{i + 1:06d}.jpg {(0, 0, 0, 0, 1, 2, 2)[i]}")
    (place / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.fast
def test_celeb_a_splits_and_crop(faces):
    sources = {split: celeb_a.load(split, data_dir=faces) for split in celeb_a.SPLITS}
    assert {split: len(source) for split, source in sources.items()} == {"train": 4, "validation": 1, "test": 2}
    with Image.open(faces / "celeb_a" / "img_align_celeba" / "000005.jpg") as image:
        cropped = np.array(image)[39:179, 19:159]  # rows (218 - 140) / 2, columns (178 - 140) / 2
    np.testing.assert_array_equal(celeb_a.load("validation", data_dir=faces, size=140)[0]["image"], cropped)
    expected = np.array(Image.fromarray(cropped).resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(sources["validation"][0]["image"], expected)


@pytest.mark.fast
def test_celeb_a_damage(faces):
    place = faces / "celeb_a"
    (place / "img_align_celeba" / "000002.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"000002.jpg not found"):
        celeb_a.load("train", data_dir=faces)
    save(place / "img_align_celeba" / "000002.jpg", size=(178, 218))
    save(place / "img_align_celeba" / "000001.jpg", size=(64, 64))
    with pytest.raises(ValueError, match=r"000001.jpg' is 64 x 64 .* needs 218 x 178"):
        celeb_a.load("train", data_dir=faces)
    (place / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg\n")
    with pytest.raises(ValueError, match="line 2"):
        celeb_a.load("train", data_dir=faces)
    (place / "list_eval_partition.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"list_eval_partition.txt not found.*Put the unpacked"):
        celeb_a.load("train", data_dir=faces)
