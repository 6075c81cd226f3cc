"""Reads pictures from files that nobody vouches for."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from pipeline.records import Reason

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_EXIF_ORIENTATION = 0x0112


class Refused(Exception):
    """A picture that is not taken in, with the reason for the manifest."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def decode(data: bytes, max_pixels: int = 64_000_000, min_side: int = 1) -> Image.Image:
    """Decodes a picture to 8-bit RGB as a viewer would show it.

    The first frame of animations; turned by its EXIF orientation; 16 bits scaled to 8; CMYK and pictures with a colour
    profile brought to sRGB; transparency laid over white.

    Args:
        data: The file's bytes; JPEG, PNG, WebP or GIF, whatever its name.
        max_pixels: More than that is refused by what the header says, before anything is decoded.
        min_side: Pictures with a shorter side are refused.

    Raises:
        Refused: Empty, unreadable, cut off, too large or too small.
    """
    if not data:
        raise Refused(Reason.EMPTY_FILE, "0 bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(Reason.TOO_LARGE, str(error)) from error
    except UnidentifiedImageError as error:
        raise Refused(Reason.UNREADABLE, f"not a picture in one of the formats {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise Refused(Reason.UNREADABLE, _line(error)) from error
    _check_size(*image.size, max_pixels, min_side)
    try:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(_to_eight_bits(image)))
    except MemoryError as error:
        raise Refused(Reason.TOO_LARGE, "out of memory") from error
    except Exception as error:
        raise Refused(Reason.UNREADABLE, _line(error)) from error


def _check_size(width: int, height: int, max_pixels: int, min_side: int) -> None:
    if width * height > max_pixels:
        raise Refused(Reason.TOO_LARGE, f"{width}x{height} is more than {max_pixels} pixels")
    if min(width, height) < min_side:
        raise Refused(Reason.TOO_SMALL, f"{width}x{height}, the shorter side must have {min_side} pixels")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits: Pillow's own conversion clips at 255."""
    if not image.mode.startswith("I"):
        return image
    grey = np.clip(np.asarray(image, np.int64), 0, 65535)
    scaled = Image.fromarray(((grey + 128) // 257).astype(np.uint8), "L")
    if _EXIF_ORIENTATION in image.getexif():
        scaled.getexif()[_EXIF_ORIENTATION] = image.getexif()[_EXIF_ORIENTATION]
    return scaled


def _to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
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
