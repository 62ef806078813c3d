"""Files that Pillow decodes whole: JPEG, WebP, BMP, one frame of GIF, and the pixels of PNG files of 8 bits."""

import io
import warnings

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from gentoolkit.data.pictures import exif, picture
from gentoolkit.data.pictures.picture import Metadata, Picture, Unreadable

_FORMATS = ("JPEG", "WEBP", "BMP", "GIF")  # JPEG files of several pictures open as "MPO"
UNKNOWN = UnidentifiedImageError
_SEGMENT = 65000  # bytes that fit into a segment of a JPEG file


def read(data: bytes) -> Picture:
    """Reads a file of one photograph.

    Raises:
      Unreadable: it is broken, an animation, or of another format.
    """
    with _opened(data, _FORMATS) as image:
        frames = getattr(image, "n_frames", 1)
        notes: tuple[str, ...] = ()
        if frames > 1 and image.format != "MPO":
            raise Unreadable(f"it is an animation of {frames} frames, and one photograph a file is read")
        if frames > 1:
            notes += (f"the first of its {frames} pictures",)
        image.load()
        said, cmyk = image.info, image.mode == "CMYK"
        orientation = image.getexif().get(exif.ORIENTATION, 1)
        metadata = Metadata(
            exif=said.get("exif") or None,
            icc_profile=None if cmyk else said.get("icc_profile") or None,
            xmp=said.get("xmp") or None,
            dpi=_dpi(image),
            comment=said.get("comment") if image.format in ("JPEG", "MPO") else None,
            photoshop=b"".join(
                b"\xff\xed" + (len(content) + 2).to_bytes(2) + content
                for name, content in getattr(image, "applist", ())
                if name == "APP13"
            )
            or None,
        )
        if cmyk:
            notes += ("CMYK, written as RGB",)
            image = rgb_of_cmyk(image, said.get("icc_profile"))
        pixels, alpha, grey = _arrays(image)
        lossless = image.format not in ("JPEG", "MPO", "WEBP") or (image.format == "WEBP" and b"VP8L" in data[:4096])
    return picture.turned(Picture(pixels, alpha, grey, lossless, metadata, notes), orientation)


def decoded(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Returns the pixels `[h, w, 3]` of a file of 8 bits, its alpha if there is one, and whether it is grey."""
    with _opened(data, (name,)) as image:
        image.load()
        return _arrays(image)


def rgb_of_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Returns an image of inks as sRGB, by its profile where it has one."""
    if profile:
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if converted is not None:
                return converted
        except ImageCms.PyCMSError:
            pass  # a broken profile says as much as none
    return image.convert("RGB")


def write_jpeg(shown: Picture) -> bytes:
    """Returns a JPEG file of quality 95."""
    said = shown.metadata
    options = {
        "exif": said.exif if said.exif and len(said.exif) < _SEGMENT else None,
        "xmp": said.xmp if said.xmp and len(said.xmp) < _SEGMENT else None,
        "icc_profile": said.icc_profile,
        "dpi": tuple(round(side) for side in said.dpi) if said.dpi else None,
        "comment": said.comment,
        "extra": said.photoshop,
    }
    return _saved(shown, "JPEG", alpha=False, quality=95, **options)


def write_webp(shown: Picture) -> bytes:
    """Returns a WebP file, without loss where the source had none."""
    said = shown.metadata
    quality = {"lossless": True, "exact": True} if shown.lossless else {"quality": 95}
    return _saved(shown, "WEBP", **quality, exif=said.exif, icc_profile=said.icc_profile, xmp=said.xmp)


def write_bmp(shown: Picture) -> bytes:
    """Returns a BMP file."""
    return _saved(shown, "BMP", alpha=False, dpi=shown.metadata.dpi)


def too_long(said: Metadata) -> list[str]:
    """Returns what a JPEG file has no room for."""
    parts = {"EXIF": said.exif, "XMP": said.xmp}
    return [name for name, content in parts.items() if content and len(content) >= _SEGMENT]


def _opened(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    with warnings.catch_warnings():
        # Large photographs are what the program is for; beyond twice that size Pillow refuses them.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(data), formats=formats)


def _arrays(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, bool]:
    grey = image.mode in ("1", "L", "LA", "La")
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        raise Unreadable(f"its pixels are of the kind {image.mode!r}, which is not understood")
    if image.has_transparency_data:
        channels = np.asarray(image.convert("RGBA"))
        return np.ascontiguousarray(channels[..., :3]), np.ascontiguousarray(channels[..., 3]), grey
    return np.asarray(image.convert("RGB")), None, grey


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Pixels per inch, where the file's header has them; Pillow makes up 72 for a JPEG file that says nothing."""
    if image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") not in (1, 2):
        return None
    found = image.info.get("dpi")
    return (float(found[0]), float(found[1])) if found and min(found) > 0 else None


def _saved(shown: Picture, name: str, *, alpha: bool = True, **options) -> bytes:
    channels = picture.to_channels(shown, alpha=alpha)
    if channels.shape[-1] == 2 and name == "WEBP":
        channels = channels[..., [0, 0, 0, 1]]
    file = io.BytesIO()
    image = Image.fromarray(channels[..., 0] if channels.shape[-1] == 1 else channels)
    image.save(file, name, **{option: value for option, value in options.items() if value is not None})
    return file.getvalue()
