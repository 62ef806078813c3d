"""Pictures on pages: photographs as JPEG, drawings as PNG; strips stay strips; contact sheets hold their pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from gentoolkit import report
from gentoolkit.report import picture

pytestmark = pytest.mark.fast


def _photograph(height=96, width=128):
    """Smooth light with grain: what a camera gives, and what PNG cannot pack."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / width
    light = 0.5 + 0.4 * np.stack([np.sin(5 * x + y), np.cos(4 * y), np.sin(3 * x * y)], axis=-1)
    return np.clip(light + 0.02 * rng.normal(size=light.shape), 0, 1)


def _drawing(height=96, width=128):
    image = np.full((height, width, 3), 255, np.uint8)
    image[20:60, 30:90], image[50:80, 50:120] = (200, 30, 30), (20, 60, 160)
    return image


def _decoded(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded.content)))


def test_photographs_become_jpeg_and_drawings_png():
    photograph, drawing = _photograph(), _drawing()
    made = picture.encode(photograph)
    assert made.mime == "image/jpeg" and made[2:] == (128, 96)
    assert np.abs(_decoded(made) / 255 - photograph).mean() < 0.02
    assert picture.encode(photograph[..., 0]).mime == "image/jpeg"  # grey: never more than 256 colours
    made = picture.encode(drawing)
    assert made.mime == "image/png"
    np.testing.assert_array_equal(_decoded(made), drawing)
    alpha = np.concatenate([photograph, np.ones_like(photograph[..., :1])], axis=-1)
    assert picture.encode(alpha).mime == "image/png"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[0.0, 0.5], [1.0, 2.0]]), [[0, 128], [255, 255]]),
        (np.array([[np.nan, np.inf], [-np.inf, 0.25]], np.float32), [[0, 255], [0, 64]]),
        (np.array([[0, 128], [200, 255]], np.uint8), [[0, 128], [200, 255]]),
        (np.array([[0, 32896], [257, 65535]], np.uint16), [[0, 128], [1, 255]]),
        (np.array([[True, False]]), [[255, 0]]),
    ],
)
def test_every_type_of_pixel_keeps_its_brightness(image, expected, tmp_path):
    np.testing.assert_array_equal(_decoded(picture.encode(image)), expected)
    grid = np.asarray(Image.open(report.save_grid(tmp_path / "g.png", image[None, ..., None])))
    np.testing.assert_array_equal(
        grid[:: grid.shape[0] // len(expected), :: grid.shape[1] // len(expected[0])], expected
    )


def test_files_are_kept_or_made_smaller(tmp_path):
    drawing, deep = tmp_path / "d.png", tmp_path / "deep.png"
    Image.fromarray(_drawing()).save(drawing)
    assert picture.encode(drawing).content == drawing.read_bytes()
    Image.fromarray((65535 * _photograph()[..., 0]).astype(np.uint16)).save(deep)
    made = picture.encode(deep)
    assert made.mime == "image/jpeg" and np.abs(_decoded(made) / 255 - _photograph()[..., 0]).mean() < 0.02
    turned = Image.fromarray((255 * _photograph()).astype(np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "p.jpg", exif=exif)
    assert picture.encode(tmp_path / "p.jpg")[2:] == (96, 128)  # as a browser shows it: upright
    assert picture.encode(tmp_path / "p.jpg", longest=64)[2:] == (48, 64)
    with pytest.raises(FileNotFoundError, match=r"no picture '.*none\.png'"):
        picture.encode(tmp_path / "none.png")
    (tmp_path / "broken.png").write_bytes(drawing.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"broken\.png' cannot be read as an image"):
        picture.encode(tmp_path / "broken.png")
    for wrong in (np.zeros((4, 4, 2)), np.zeros((0, 4)), np.zeros(4), np.zeros((4, 4), int)):
        with pytest.raises(ValueError, match=r"[Ii]mage"):
            picture.encode(wrong)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((8, 8), 48), ((28, 28), 56), ((64, 64), 64), ((1, 480), 1), ((1, 20), 24), ((20, 3000), 3), ((480, 1), 480)],
)
def test_small_pictures_are_enlarged_and_strips_stay_on_the_screen(size, shown, tmp_path):
    width, height = size
    assert picture.shown_width(width, height) == shown
    saved = Image.open(report.save_grid(tmp_path / "g.png", np.zeros((1, height, width, 3)), columns=1))
    assert max(saved.size) <= max(480, width, height) and saved.width * height == saved.height * width


def test_grids_hold_the_pixels_in_order(tmp_path):
    images = np.linspace(0, 1, 6)[:, None, None, None] * np.ones((1, 50, 50, 1))
    sheet = np.asarray(Image.open(report.save_grid(tmp_path / "g.png", images, columns=3)))
    assert sheet.shape == (2 * 50 + 2, 3 * 50 + 4)
    np.testing.assert_array_equal(sheet[[0, 0, 0, 60, 60, 60], [0, 60, 110, 0, 60, 110]], [0, 51, 102, 153, 204, 255])
    small = np.asarray(Image.open(report.save_grid(tmp_path / "s.png", np.ones((1, 8, 8, 3)))))
    assert small.shape == (48, 48, 3)
    pairs = np.asarray(Image.open(report.save_pairs(tmp_path / "p.png", images, 1 - images, columns=3)))
    np.testing.assert_array_equal(pairs[[0, 60, 110, 160], [0, 0, 0, 0]], [0, 255, 153, 102])
    # Five pairs in rows of three: the last row is filled up with white, and no pair is lost.
    pairs = np.asarray(Image.open(report.save_pairs(tmp_path / "p.png", images[:5], 1 - images[:5], columns=3)))
    np.testing.assert_array_equal(pairs[[110, 160, 110, 160], [60, 60, 110, 110]], [204, 51, 255, 255])
    with pytest.raises(ValueError, match="images must be"):
        report.save_grid(tmp_path / "x.png", np.ones((3, 8, 8)))
    with pytest.raises(ValueError, match="columns must be >= 1, got 0"):
        report.save_grid(tmp_path / "x.png", images, columns=0)
    with pytest.raises(ValueError, match="Shapes must agree"):
        report.save_pairs(tmp_path / "x.png", images, images[:2])
