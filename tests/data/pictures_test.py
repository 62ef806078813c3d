"""Files of every kind: read as other readers read them, kept whole, or refused by name."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from gentoolkit.data import pictures
from gentoolkit.data.pictures import exif, files
from gentoolkit.data.pictures import picture as picture_lib

pytestmark = pytest.mark.fast

RNG = np.random.default_rng(0)
RGB8 = RNG.integers(0, 256, (6, 9, 3), np.uint8)
RGB16 = RNG.integers(0, 65536, (6, 9, 3)).astype(np.uint16)
FLOATS = RNG.uniform(0, 1, (6, 9, 3)).astype(np.float32)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:rights="mine"/></x:xmpmeta>'


def _block(**tags):
    made = Image.Exif()
    made[0x0112], made[0x010F], made[0x8298] = tags.get("orientation", 1), "maker", "copyright"
    made.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    made.get_ifd(0x8769)[0xA002] = 9
    made.get_ifd(0x8825)[1] = "N"
    return made


def _again(folder, picture, name):
    lost = pictures.write(folder / name, picture)
    return pictures.read(folder / name), lost


def _tiff(path, array, **options):
    tifffile.imwrite(path, array, metadata=None, **options)
    return pictures.read(path)


TIFFS = {
    "planar": (RGB16.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}, RGB16),
    "tiled": (np.tile(RGB16, (4, 4, 1)), {"photometric": "rgb", "tile": (16, 16)}, np.tile(RGB16, (4, 4, 1))),
    "big endian": (RGB16, {"photometric": "rgb", "byteorder": ">"}, RGB16),
    "BigTIFF": (RGB16, {"photometric": "rgb", "bigtiff": True}, RGB16),
    "deflated": (RGB16, {"photometric": "rgb", "compression": "zlib", "predictor": True}, RGB16),
    "LZW": (RGB16, {"photometric": "rgb", "compression": "lzw"}, RGB16),
    "8 bits, planar, LZW": (
        RGB8.transpose(2, 0, 1),
        {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"},
        RGB8,
    ),
    "floats": (FLOATS, {"photometric": "rgb"}, FLOATS),
    "half floats": (FLOATS.astype(np.float16), {"photometric": "rgb"}, FLOATS.astype(np.float16)),
    "double floats": (FLOATS.astype(np.float64), {"photometric": "rgb"}, FLOATS),
    "grey": (RGB16[..., 0], {"photometric": "minisblack"}, RGB16[..., :1]),
    "white is zero": (RGB8[..., 0], {"photometric": "miniswhite"}, 255 - RGB8[..., :1]),
    "grey floats": (FLOATS[..., 0], {"photometric": "minisblack"}, FLOATS[..., :1]),
    "one bit": (RGB8[..., 0] > 99, {"photometric": "minisblack"}, 255 * (RGB8[..., :1] > 99)),
    "a row": (RGB16[:1], {"photometric": "rgb"}, RGB16[:1]),
    "a column": (RGB16[:, :1], {"photometric": "rgb"}, RGB16[:, :1]),
    "a pixel": (RGB16[:1, :1], {"photometric": "rgb"}, RGB16[:1, :1]),
    "12 bits": (RGB16 >> 4, {"photometric": "rgb", "bitspersample": 12}, np.round((RGB16 >> 4) / 4095 * 65535)),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_tiff_files_are_read_as_they_are_meant_and_written_so(kind, tmp_path):
    array, options, truth = TIFFS[kind]
    found = _tiff(tmp_path / "a.tif", array, **options)
    np.testing.assert_array_equal(found.pixels, np.broadcast_to(truth, (*truth.shape[:2], 3)))
    assert found.grey == (truth.shape[-1] == 1) and found.alpha is None
    assert found.pixels.dtype == (np.float32 if array.dtype.kind == "f" else found.pixels.dtype)
    pictures.write(tmp_path / "b.tif", found)
    written = tifffile.imread(tmp_path / "b.tif").reshape(truth.shape)
    np.testing.assert_array_equal(written, truth)
    np.testing.assert_array_equal(pictures.read(tmp_path / "b.tif").pixels, found.pixels)


REFUSED = {
    "floats beyond 1": (FLOATS * 3, {"photometric": "rgb"}, "not between 0 and 1"),
    "NaN": (FLOATS * np.float32(np.nan), {"photometric": "rgb"}, "NaN or infinite"),
    "floats with NaN": (np.where(FLOATS > 0.9, np.nan, FLOATS), {"photometric": "rgb"}, "finite"),
    "32 bits": (RGB16.astype(np.uint32), {"photometric": "rgb"}, "32-bit integers"),
    "signed": (RGB16[..., 0].astype(np.int16), {"photometric": "minisblack"}, "signed"),
    "complex": (FLOATS[..., 0].astype(np.complex64), {"photometric": "minisblack"}, "complex"),
    "five channels": (np.repeat(RGB8, 2, -1)[..., :5], {"photometric": "rgb"}, "5 channels"),
    "16-bit CMYK": (
        np.repeat(RGB16, 2, -1)[..., :4],
        {"photometric": "separated"},
        "16-bit CMYK, which is not understood; save it as 16-bit RGB, or as 8-bit CMYK",
    ),
    "16-bit YCbCr": (RGB16, {"photometric": "ycbcr"}, "16-bit YCbCr.*save it as 16-bit RGB, or as 8-bit YCbCr"),
    "sensor": (RGB16[..., 0], {"photometric": "cfa"}, "CFA"),
    "pages": (np.stack([RGB8] * 3), {"photometric": "rgb"}, "3 pages"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_tiff_files_that_are_not_understood_are_refused_by_name(kind, tmp_path):
    array, options, reason = REFUSED[kind]
    with pytest.raises(pictures.Unreadable, match=reason):
        _tiff(tmp_path / "a.tif", array, **options)


def test_a_tiff_file_without_all_of_its_pixels_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB16, photometric="rgb", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        place = file.pages[0].tags[279].valueoffset
    data = bytearray((tmp_path / "a.tif").read_bytes())
    struct.pack_into("<I", data, place, 0)  # an empty strip, which readers take for black
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(pictures.Unreadable, match="pixels are missing"):
        pictures.read(tmp_path / "a.tif")


def test_small_copies_in_a_tiff_file_are_passed_over_aloud(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB16, photometric="rgb", metadata=None)
        file.write(RGB16[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    found = pictures.read(tmp_path / "a.tif")
    assert "1 small copies" in found.notes[0] and found.pixels.shape == (6, 9, 3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB16, photometric="rgb", subfiletype=1, metadata=None)
    with pytest.raises(pictures.Unreadable, match="small copy"):
        pictures.read(tmp_path / "a.tif")


def test_pictures_below_that_of_a_tiff_file_are_passed_over_aloud(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB16, photometric="rgb", subifds=2, metadata=None)
        for step in (2, 3):
            file.write(RGB16[::step, ::step], photometric="rgb", subfiletype=1, metadata=None)
    found = pictures.read(tmp_path / "a.tif")
    assert found.notes == ("2 picture(s) below it (SubIFDs, as small copies are kept) left out",)
    np.testing.assert_array_equal(found.pixels, RGB16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("array", [RGB8, RGB16, FLOATS], ids=["8", "16", "float"])
def test_tiff_tags_are_kept_at_any_depth(array, order, tmp_path):
    tags = [(315, 2, 0, "artist", True), (33432, 2, 0, "mine", True), (700, 1, len(XMP), XMP, True)]
    tags += [(33550, 12, 3, (1.5, 2.5, 0.0), True), (34377, 7, 3, b"abc", True)]
    options = {"resolution": (300, 150), "resolutionunit": 2, "iccprofile": PROFILE, "datetime": "2020:01:02 03:04:05"}
    found = _tiff(tmp_path / "a.tif", array, photometric="rgb", byteorder=order, extratags=tags, **options)
    assert pictures.write(tmp_path / "b.tif", found) == []
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        page = file.pages[0]
        assert page.tags.valueof(315) == "artist" and page.tags.valueof(33432) == "mine"
        assert page.tags.valueof(33550) == (1.5, 2.5, 0.0) and page.tags.valueof(34377) == b"abc"
        assert page.tags.valueof(282) == (300, 1) and page.tags.valueof(283) == (150, 1)
        assert page.tags.valueof(34675) == PROFILE and page.tags.valueof(306).startswith("2020")
        assert page.tags.valueof(700) == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    if array.dtype == np.float32:
        return
    lost = pictures.write(tmp_path / "b.png", found)
    assert lost == ["TIFF tag 33550", "TIFF tag 34377"]
    with Image.open(tmp_path / "b.png") as image:
        assert image.getexif()[315] == "artist" and image.info["icc_profile"] == PROFILE
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)


def test_directories_below_the_tags_of_a_tiff_file_are_kept(tmp_path):
    Image.fromarray(RGB8).save(tmp_path / "a.jpg", exif=_block(orientation=1))
    pictures.write(tmp_path / "a.tif", pictures.read(tmp_path / "a.jpg"))
    found = pictures.read(tmp_path / "a.tif")
    assert found.metadata.exif is None and found.metadata.tags.below
    for name in ("b.tif", "b.jpg", "b.png", "b.webp"):
        pictures.write(tmp_path / name, found)
        with Image.open(tmp_path / name) as image:
            kept = image.getexif()
            assert kept[0x010F] == "maker" and kept.get_ifd(0x8825)[1] == "N", name
            assert kept.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("kind", ["8.png", "16.png", "8.jpg", "8.webp", "8.tif", "16.tif", "float.tif"])
def test_photographs_stay_upright(orientation, kind, tmp_path):
    depth = kind.split(".")[0]
    array = {"8": RGB8, "16": RGB16, "float": FLOATS}[depth]
    path = tmp_path / kind
    if kind.endswith("tif"):
        tifffile.imwrite(path, array, photometric="rgb", metadata=None, extratags=[(274, 3, 1, orientation, True)])
    elif depth == "16":
        plain = picture_lib.Picture(array, metadata=pictures.Metadata(exif=_block(orientation=orientation).tobytes()))
        pictures.write(path, plain)
    else:
        Image.fromarray(array).save(path, exif=_block(orientation=orientation), lossless=True, quality=95)
        with Image.open(path) as image:
            array = np.asarray(image.convert("RGB"))
    index = Image.fromarray(np.arange(54, dtype=np.int32).reshape(6, 9))
    marked = Image.Exif()
    marked[0x0112] = orientation
    index._exif = marked
    order = np.asarray(ImageOps.exif_transpose(index))
    found = pictures.read(path)
    np.testing.assert_array_equal(found.pixels, array.reshape(-1, 3)[order])
    again, _ = _again(tmp_path, found, f"b.{kind.split('.')[1]}")
    assert again.pixels.shape == found.pixels.shape
    if again.lossless:
        np.testing.assert_array_equal(again.pixels, found.pixels)
    if again.metadata.exif:
        with Image.open(tmp_path / f"b.{kind.split('.')[1]}") as image:
            kept = image.getexif()
            assert kept.get(0x0112) in (None, 1) and kept[0x010F] == "maker"
            assert kept.get_ifd(0x8769)[0xA002] == found.pixels.shape[1]


@pytest.mark.parametrize("array", [RGB8, RGB16, RGB8[..., :1], RGB16[..., :1]], ids=["8", "16", "grey 8", "grey 16"])
def test_png_files_keep_what_they_say(array, tmp_path):
    said = pictures.Metadata(exif=_block().tobytes(), icc_profile=PROFILE, xmp=XMP, dpi=(300.0, 100.0))
    alpha = np.where(np.arange(9) > 3, array[..., 0], 0)
    plain = picture_lib.Picture(np.broadcast_to(array, (6, 9, 3)), alpha, array.shape[-1] == 1, metadata=said)
    pictures.write(tmp_path / "a.png", plain)
    data = (tmp_path / "a.png").read_bytes()
    extra = [(b"gAMA", struct.pack(">I", 100000)), (b"cHRM", bytes(32)), (b"tEXt", b"Title\x00a street")]
    for name, content in extra:
        chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        data = data[:33] + chunk + data[33:]
    (tmp_path / "a.png").write_bytes(data)
    found = pictures.read(tmp_path / "a.png")
    np.testing.assert_array_equal(found.pixels, plain.pixels)
    np.testing.assert_array_equal(found.alpha, alpha)
    assert found.grey == plain.grey and found.pixels.dtype == array.dtype
    again, lost = _again(tmp_path, found, "b.png")
    assert lost == [] and again.metadata == found.metadata
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["gamma"] == 1 and image.info["Title"] == "a street" and image.info["icc_profile"] == PROFILE
        assert image.info["dpi"] == pytest.approx((300, 100), abs=0.02) and image.getexif()[0x010F] == "maker"
        assert b'dc:rights="mine"' in image.info["xmp"]


def test_gamma_is_kept_or_applied(tmp_path):
    plain = picture_lib.Picture(RGB8, metadata=pictures.Metadata(chunks=((b"gAMA", struct.pack(">I", 100000)),)))
    pictures.write(tmp_path / "a.png", plain)
    found = pictures.read(tmp_path / "a.png")
    np.testing.assert_array_equal(found.pixels, RGB8)
    assert pictures.write(tmp_path / "b.tif", found) == []
    truth = 255 * (RGB8 / 255) ** (1 / 2.2)  # a linear file for a screen of 2.2
    np.testing.assert_allclose(tifffile.imread(tmp_path / "b.tif"), truth, atol=0.51)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "palette with transparency"])
def test_pillows_modes(mode, tmp_path):
    grey = mode in ("1", "L", "LA", "I;16")
    if mode == "I;16":
        image, truth = Image.fromarray(RGB16[..., 0]), RGB16[..., :1]
    elif mode == "palette with transparency":
        image = Image.fromarray(RGB8).quantize(16)
        image.info["transparency"] = 3
        truth = np.asarray(image.convert("RGB"))
    else:
        base = Image.fromarray(RGB8).convert("RGBA")
        base.putalpha(Image.fromarray(RGB8[..., 0]))
        image = base.convert("RGB").convert(mode) if mode in ("1", "L", "P", "RGB", "CMYK") else base.convert(mode)
        truth = np.asarray(image.convert("RGB"))
    suffix = ".tif" if mode == "CMYK" else ".png"
    options = {"transparency": 3} if "palette" in mode else {}
    image.save(tmp_path / f"a{suffix}", **options)
    found = pictures.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(found.pixels, np.broadcast_to(truth, (6, 9, 3)))
    assert found.grey == grey and (found.alpha is not None) == (mode in ("LA", "RGBA") or "palette" in mode)
    again, lost = _again(tmp_path, found, f"b{suffix}")
    np.testing.assert_array_equal(again.pixels, found.pixels)
    assert again.grey == grey and not lost
    if found.alpha is not None:
        np.testing.assert_array_equal(again.alpha, found.alpha)
        assert pictures.write(tmp_path / "c.jpg", found) == ["transparency"]


def test_inks_become_rgb_by_their_profile_which_then_no_longer_holds(tmp_path):
    image = Image.fromarray(RGB8).convert("CMYK")
    for name in ("a.jpg", "a.tif"):
        image.save(tmp_path / name, icc_profile=PROFILE, quality=95)
        found = pictures.read(tmp_path / name)
        assert found.metadata.icc_profile is None and "CMYK" in found.notes[0]
        again, _ = _again(tmp_path, found, f"b{name[1:]}")
        assert again.metadata.icc_profile is None and again.pixels.shape == (6, 9, 3)


def test_lab_becomes_srgb_and_loses_its_profile(tmp_path):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(RGB8), srgb, lab, outputMode="LAB")
    image.save(tmp_path / "a.tif", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    found = pictures.read(tmp_path / "a.tif")
    errors = np.abs(found.pixels.astype(int) - RGB8)  # of 8 bits of LAB, coarse where sRGB is steep
    assert found.metadata.icc_profile is None and errors.max() <= 8 and errors.mean() < 1


def test_premultiplied_colours_are_divided(tmp_path):
    alpha = np.full((6, 9, 1), 128, np.uint8)
    color = np.full((6, 9, 3), 64, np.uint8)
    found = _tiff(
        tmp_path / "a.tif", np.concatenate([color, alpha], -1), photometric="rgb", extrasamples=["assocalpha"]
    )
    assert (found.pixels == 128).all() and (found.alpha == 128).all()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_are_refused(suffix, tmp_path):
    frames = [Image.fromarray(np.full((6, 9, 3), level, np.uint8)) for level in (10, 90, 200)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], duration=50)
    with pytest.raises(pictures.Unreadable, match="animation of 3 frames"):
        pictures.read(tmp_path / f"a{suffix}")


def test_of_several_pictures_in_a_jpeg_file_the_first_is_taken_aloud(tmp_path):
    one = Image.fromarray(RGB8)
    one.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.fromarray(RGB8[::2])])
    found = pictures.read(tmp_path / "a.jpg")
    assert found.notes == ("the first of its 2 pictures",) and found.pixels.shape == (6, 9, 3)


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_is_written_without_loss_if_it_was_so(lossless, tmp_path):
    alpha = np.where(RGB8[..., 0] > 99, 255, 0).astype(np.uint8)
    image = Image.fromarray(np.dstack([RGB8, alpha]))
    options = {"exif": _block(), "xmp": XMP, "icc_profile": PROFILE}
    image.save(tmp_path / "a.webp", lossless=lossless, exact=True, **options)
    found = pictures.read(tmp_path / "a.webp")
    assert found.lossless == lossless
    again, lost = _again(tmp_path, found, "b.webp")
    assert lost == [] and again.lossless == lossless and again.metadata.icc_profile == PROFILE
    assert b"VP8L" in (tmp_path / "b.webp").read_bytes() or not lossless
    if lossless:
        np.testing.assert_array_equal(again.pixels, RGB8)  # the invisible ones too


def test_jpeg_files_keep_what_they_say(tmp_path):
    options = {"exif": _block(), "icc_profile": PROFILE, "xmp": XMP, "dpi": (300, 150), "comment": b"hello"}
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x02ab"
    segment = b"\xff\xed" + (len(iptc) + 2).to_bytes(2) + iptc
    Image.fromarray(RGB8).save(tmp_path / "a.jpg", extra=segment, **options)
    found = pictures.read(tmp_path / "a.jpg")
    _, lost = _again(tmp_path, found, "b.jpg")
    assert lost == [] and segment in (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["dpi"] == (300, 150) and image.info["comment"] == b"hello"
        assert image.info["icc_profile"] == PROFILE and image.getexif()[0x8298] == "copyright"
        assert image.info["xmp"] == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    assert pictures.write(tmp_path / "b.bmp", found)[0] == "colour profile"
    with Image.open(tmp_path / "b.bmp") as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert pictures.write(tmp_path / "b.tif", found) == ["comment", "Photoshop resources"]
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].tags.valueof(33432) == "copyright" and file.pages[0].tags.valueof(282)[0] > 0


def test_makers_notes_keep_their_place_and_thumbnails_are_cut_off():
    note = b"\x07\x00\x00\x00" + bytes(range(60))
    below = exif.Directory({37500: exif.Value(7, note)})
    block = exif.block(exif.Directory({274: exif.short(6), 271: exif.Value(2, b"maker\x00")}, {34665: below}))
    body = bytearray(block[6:])
    end = 8 + 2 + 12 * 3
    struct.pack_into("<I", body, end, len(body))  # a second directory, as of a thumbnail
    body += struct.pack("<H", 0) + bytes(4)
    made = exif.upright(exif.PREFIX + bytes(body), width=6, height=9, turned=True)
    assert made.index(note) == block.index(note) and len(made) == 6 + len(body)
    assert struct.unpack_from("<I", made, 6 + end) == (0,)
    assert exif.number(exif.read(made), 274) == 1 and exif.read(made).below[34665].values[37500].data == note


@pytest.mark.parametrize("name", ["a.png", "a16.png", "a.jpg", "a.tif", "a16.tif", "a.webp", "a.bmp", "a.gif"])
def test_broken_and_renamed_files(name, tmp_path):
    if "16" in name:
        pictures.write(tmp_path / name, picture_lib.Picture(np.tile(RGB16, (9, 9, 1))))
    else:
        Image.fromarray(np.tile(RGB8, (9, 9, 1))).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    renamed = tmp_path / "renamed.jpg"
    renamed.write_bytes(data)
    np.testing.assert_array_equal(pictures.read(renamed).pixels, pictures.read(tmp_path / name).pixels)
    for length in (3, len(data) // 3, len(data) * 2 // 3):
        renamed.write_bytes(data[:length])
        with pytest.raises(pictures.Unreadable, match="cannot be read"):
            pictures.read(renamed)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not an image", "cannot be read"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), "HEIF.*convert it first, to PNG or TIFF if it has more than 8 bits"),
        (b"\x00\x00\x00\x18ftypavif" + bytes(40), "AVIF"),
        (b"%PDF-1.4", "PDF"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(40), "CR2"),
        (b"II*\x00\xff\xff\xff\xff", "cannot be read"),
    ],
)
def test_other_files_are_refused_in_a_line(content, reason, tmp_path):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(pictures.Unreadable, match=reason) as raised:
        pictures.read(tmp_path / "a.jpg")
    assert "\n" not in str(raised.value)


def test_depth_and_suffix_are_checked(tmp_path):
    for array, good, bad in ((RGB16, ".png", ".jpg"), (FLOATS, ".tif", ".png"), (RGB8, ".bmp", ".heic")):
        pictures.check(tmp_path / f"a{good}", picture_lib.Picture(array))
        with pytest.raises(ValueError, match="cannot hold|must end"):
            pictures.write(tmp_path / f"a{bad}", picture_lib.Picture(array))
        assert not list(tmp_path.iterdir())
    with pytest.raises(pictures.Unreadable, match="folder"):
        pictures.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        pictures.read(tmp_path / "none.jpg")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"good")
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(files.os, step, full)
            with pytest.raises(OSError, match="No space"):
                files.write(path, b"half")
    assert path.read_bytes() == b"good" and len(list(tmp_path.iterdir())) == 2
    files.write(tmp_path / "link", b"better")
    assert path.read_bytes() == b"better" and path.stat().st_mode & 0o777 == 0o640 and (tmp_path / "link").is_symlink()
    files.check_writable(tmp_path / "new" / "b.jpg")
    assert not (tmp_path / "new").exists()
    for bad in (path / "b.jpg", tmp_path / ("x" * 300)):
        with pytest.raises(OSError):
            files.check_writable(bad)


def test_names_of_any_bytes_can_be_shown():
    assert files.shown(b"a\xff\n\xc3\xa9.jpg".decode("utf-8", "surrogateescape")) == "a\\xff\\né.jpg"
    assert files.reason(OSError(28, "No space left on device", "x")) == "No space left on device"
    assert files.reason(RuntimeError("one\ntwo")) == "one" and files.reason(MemoryError()) == "MemoryError"
