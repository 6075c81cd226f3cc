"""Which files are pictures, by their names' endings; what is in them is up to :mod:`pipeline.imaging.decode`."""

from __future__ import annotations

import os

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif",
    ".jp2", ".j2k", ".jpx", ".heic", ".heif", ".hif",
)  # fmt: skip
"""Of pictures that can be decoded (HEIC with the package pillow-heif)."""

UNSUPPORTED = (
    ".jxl", ".psd", ".svg", ".ico", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".exr", ".hdr", ".eps",
    ".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw",
)  # fmt: skip
"""Of pictures that cannot. Raw ones must not reach a decoder: as TIFF it would take the small preview for the photo."""


def suffix(path: str) -> str:
    """A name's ending, in small letters, with its dot; empty where there is none."""
    return os.path.splitext(path.rsplit("/", 1)[-1])[1].lower()


def may_be_a_picture(path: str) -> bool:
    """Whether a file in a folder is listed: it ends like a picture, or not at all."""
    return suffix(path) in ("", *SUFFIXES, *UNSUPPORTED)
