"""Reads pictures from files that nobody vouches for."""

from __future__ import annotations

import functools
import io
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from pipeline.imaging.mend import jpeg_without_its_end, png_without_notes
from pipeline.imaging.turn import TRANSPOSE
from pipeline.records import Reason

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000")
MAX_SIDE = 50_000
"""Pixels; what a square is made of grows with the longer side."""
MAX_RATIO = 20
"""Of the longer side to the shorter one: no person is to be seen in a longer strip."""
MAX_LOST = 0.02
"""Share of a cut-off JPEG's pixels that may be lost."""
_EXIF_ORIENTATION = 0x0112
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


class Refused(Exception):
    """A source that is not taken in, with the reason for the manifest."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: 8-bit RGB, upright.
        orientation: EXIF's, 1 to 8: how the stored picture was turned.
        note: What had to be mended, else None.
    """

    image: Image.Image
    orientation: int = 1
    note: str | None = None


def decode(data: bytes, max_pixels: int = 64_000_000, min_side: int = 1) -> Image.Image:
    """The picture alone; see :func:`read_picture`."""
    return read_picture(data, max_pixels, min_side).image


def read_picture(data: bytes, max_pixels: int = 64_000_000, min_side: int = 1) -> Picture:
    """Decodes a picture to 8-bit RGB as a viewer would show it.

    The first frame of animations; turned by its EXIF orientation; 16 bits scaled to 8; CMYK and pictures with a colour
    profile brought to sRGB; transparency laid over white. Damage that a viewer passes over is passed over here too:
    unusable EXIF, a PNG's broken notes, a JPEG's lost end.

    Args:
        data: The file's bytes in one of ``FORMATS`` (or HEIC, with the package pillow-heif), whatever its name.
        max_pixels: More than that is refused by what the header says, before anything is decoded; no picture made on
            the way needs more than 4 bytes for each of them.
        min_side: Pictures with a shorter side are refused.

    Raises:
        Refused: Empty, unreadable, cut off, too large, too small or too narrow.
    """
    if not data:
        raise Refused(Reason.EMPTY_FILE, "0 bytes")
    try:
        return _read(data, max_pixels, min_side)
    except Refused as refused:
        if refused.reason != Reason.UNREADABLE:
            raise
        mended = _mended(data)
        if mended is None:
            raise
    sound, note = mended
    return replace(_read(sound, max_pixels, min_side), note=note)


def _mended(data: bytes) -> tuple[bytes, str] | None:
    """The file without its damage, and what that was; None: it cannot be mended."""
    if data.startswith(b"\xff\xd8"):
        with suppress(Exception):  # whatever a decoder makes of it, then it is not sound
            whole, lost = jpeg_without_its_end(data)
            if lost <= MAX_LOST:
                return whole, f"cut off: {lost:.2%} of the pixels lost" if lost else "cut off after the last pixel"
    if (whole_png := png_without_notes(data)) is not None:
        return whole_png, "broken notes left out"
    return None


def _read(data: bytes, max_pixels: int, min_side: int) -> Picture:
    image = _open(data)
    _check_size(*image.size, max_pixels, min_side)
    try:
        before = _orientation(image)
        image.load()
        left = _orientation(image)  # a TIFF is turned by now
        upright = _to_eight_bits(image)
        if left in TRANSPOSE:
            upright = upright.transpose(TRANSPOSE[left])
        return Picture(_to_rgb(upright, image), max(before, left))
    except MemoryError as error:
        raise Refused(Reason.TOO_LARGE, "out of memory") from error
    except Refused:
        raise
    except Exception as error:
        raise Refused(Reason.UNREADABLE, _line(error)) from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=(*FORMATS, *_heic()))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(Reason.TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC and not _heic():
            detail = "HEIC, which needs the package pillow-heif: pip install 'spotdiff10k[heic]'"
            raise Refused(Reason.UNSUPPORTED_FORMAT, detail) from error
        raise Refused(Reason.UNREADABLE, f"not a picture in one of the formats {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise Refused(Reason.UNREADABLE, _line(error)) from error


@functools.cache
def _heic() -> tuple[str, ...]:
    """Pillow's name of HEIC, if something is installed that reads it."""
    try:
        import pillow_heif
    except ImportError:
        return ()
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _check_size(width: int, height: int, max_pixels: int, min_side: int) -> None:
    short, long = sorted((width, height))
    if width * height > max_pixels:
        raise Refused(Reason.TOO_LARGE, f"{width}x{height} is more than {max_pixels} pixels")
    if long > MAX_SIDE:
        raise Refused(Reason.TOO_LARGE, f"{width}x{height}, a side may have {MAX_SIDE} pixels")
    if short < min_side:
        raise Refused(Reason.TOO_SMALL, f"{width}x{height}, the shorter side must have {min_side} pixels")
    if long > MAX_RATIO * short:
        raise Refused(Reason.TOO_NARROW, f"{width}x{height}, a side may be {MAX_RATIO} times the other")


def _orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; 1 where the picture says nothing, or nothing that can be read."""
    try:
        said = image.getexif().get(_EXIF_ORIENTATION)
    except Exception:  # as with pictures: nearly anything
        return 1
    return said if said in TRANSPOSE else 1


_EIGHT_OF_SIXTEEN = ((np.arange(65536) + 128) // 257).astype(np.uint8)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits: Pillow's own conversion clips at 255."""
    if image.mode == "F":
        raise Refused(Reason.UNSUPPORTED_FORMAT, "floating-point pixels")
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray(_EIGHT_OF_SIXTEEN[np.asarray(image).clip(0, 65535)], "L")


def _to_rgb(image: Image.Image, told: Image.Image) -> Image.Image:
    """RGB of ``image``, of which ``told`` has the colour profile and the transparent colour."""
    profile = told.info.get("icc_profile")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        layer = image.convert("RGBA")
        flat = Image.new("RGBA", layer.size, "white")
        flat.alpha_composite(layer)
        image = flat.convert("RGB")
    if profile and image.mode in ("RGB", "CMYK"):
        image = _to_srgb(image, profile)
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours by the picture's own profile; one that cannot be used is left aside, as viewers do."""
    try:
        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return converted or image


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
