"""Pictures from strangers: read rightly or refused."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.imaging import decode as module
from pipeline.imaging.decode import Refused, decode, read_picture
from pipeline.records import Reason

GRADIENT = np.stack(
    [
        np.tile(np.linspace(0, 255, 48), (32, 1)),
        np.tile(np.linspace(0, 255, 32)[:, None], (1, 48)),
        np.full((32, 48), 90),
    ],
    axis=-1,
).astype(np.uint8)


def _bytes(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _close(found: Image.Image, expected: np.ndarray, tolerance: float) -> bool:
    pixels = np.asarray(found, np.float64)
    return pixels.shape == expected.shape and float(np.abs(pixels - expected).mean()) <= tolerance


@pytest.mark.parametrize(
    ("form", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("JPEG", {"quality": 95}, 3),
        ("JPEG", {"quality": 95, "progressive": True}, 3),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 4),
        ("GIF", {}, 25),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "jpeg", "quality": 95}, 3),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("BMP", {}, 0),
        ("AVIF", {"quality": 95}, 4),
        ("JPEG2000", {"irreversible": False}, 0),
    ],
)
def test_formats(form: str, options: dict[str, Any], tolerance: float) -> None:
    found = decode(_bytes(Image.fromarray(GRADIENT), form, **options))
    assert found.mode == "RGB"
    assert _close(found, GRADIENT, tolerance)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256 * 40).reshape(40, 256).astype(np.uint16)
    found = np.asarray(decode(_bytes(Image.fromarray(ramp), "PNG")))
    assert np.abs(found[..., 0] - ramp / 257).max() <= 0.5
    assert (found[..., 0] == found[..., 2]).all()


def test_cmyk() -> None:
    rgb = Image.new("RGB", (40, 40), (200, 40, 60))
    found = decode(_bytes(rgb.convert("CMYK"), "JPEG", quality=95))
    assert _close(found, np.asarray(rgb), 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation: int) -> None:
    upright = Image.fromarray(GRADIENT)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert _close(decode(_bytes(stored, "PNG", exif=exif)), GRADIENT, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGBA palette"])
def test_transparency_lies_over_white(mode: str) -> None:
    image = Image.new("RGBA", (40, 40), (10, 20, 30, 255))
    image.paste((255, 0, 0, 0), (0, 0, 20, 40))
    if mode == "LA":
        data = _bytes(image.convert("LA"), "PNG")
    elif mode == "P":
        data = _bytes(image, "GIF")
    elif mode == "RGBA palette":
        data = _bytes(image.quantize(4), "PNG")
    else:
        data = _bytes(image, "PNG")
    found = np.asarray(decode(data), np.int64)
    assert (found[:, :18] == 255).all()
    assert (found[:, 22:] < 60).all()


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "lime", "blue")]
    for form in ("GIF", "WEBP"):
        data = _bytes(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
        assert decode(data).getpixel((20, 20)) == (255, 0, 0) or form == "WEBP"
        assert _close(decode(data), np.asarray(frames[0]), 2)


def test_colour_profiles_are_applied() -> None:
    swapped = _channel_swapping_profile()
    image = Image.new("RGB", (8, 8), (250, 20, 20))
    red, green, _ = np.asarray(decode(_bytes(image, "PNG", icc_profile=swapped)), np.int64)[0, 0]
    assert green > red
    plain = np.asarray(decode(_bytes(image, "PNG", icc_profile=b"broken profile")))[0, 0]
    assert plain.tolist() == [250, 20, 20]


def _channel_swapping_profile() -> bytes:
    """The sRGB profile with the tags of its red and green primaries changed over."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"tEmp").replace(b"gXYZ", b"rXYZ").replace(b"tEmp", b"gXYZ")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + _chunk(b"IEND", b"")
    )


def _webp_header(width: int, height: int) -> bytes:
    canvas = b"\x02\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@pytest.mark.parametrize(
    "data",
    [_png_header(30_000, 30_000), _png_header(8_001, 8_000), _png_header(12_000, 12_000), _webp_header(16_000, 16_000)],
    ids=["beyond Pillow's limit", "just beyond ours", "between", "webp"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_by_their_header(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Refused) as refused:
        decode(data)
    assert refused.value.reason == Reason.TOO_LARGE
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()


def test_the_limit_itself_is_allowed() -> None:
    data = _bytes(Image.new("RGB", (100, 50)), "PNG")
    assert decode(data, max_pixels=5000).size == (100, 50)
    with pytest.raises(Refused, match="100x50 is more than 4999 pixels"):
        decode(data, max_pixels=4999)
    assert decode(data, min_side=50).size == (100, 50)
    with pytest.raises(Refused) as refused:
        decode(data, min_side=51)
    assert refused.value.reason == Reason.TOO_SMALL


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.98])
def test_cut_off_files_are_refused(form: str, share: float) -> None:
    rng = np.random.default_rng(0)
    data = _bytes(Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)), form)
    with pytest.raises(Refused) as refused:
        decode(data[: int(len(data) * share)])
    assert refused.value.reason == Reason.UNREADABLE
    assert "\n" not in refused.value.detail
    assert "0x" not in refused.value.detail, "an address would differ from run to run"


def test_other_formats_and_nothing() -> None:
    image = Image.fromarray(GRADIENT)
    for data in (_bytes(image, "PPM"), _bytes(image, "PDF"), b"<html>", b"\0" * 100):
        with pytest.raises(Refused) as refused:
            decode(data)
        assert refused.value.reason == Reason.UNREADABLE
    with pytest.raises(Refused) as refused:
        decode(b"")
    assert refused.value.reason == Reason.EMPTY_FILE


def test_the_bad_photographs(photos: Path) -> None:
    found = {}
    for path in sorted((photos / "bad").iterdir()):
        try:
            found[path.name] = str(decode(path.read_bytes()).size)
        except Refused as refused:
            found[path.name] = refused.reason
    assert found == {
        "animated.gif": "(160, 120)",
        "bomb.png": Reason.TOO_LARGE,
        "cmyk.jpg": "(320, 240)",
        "empty.png": Reason.EMPTY_FILE,
        "exif_rotated.jpg": "(320, 240)",
        "gray16.png": "(320, 240)",
        "not_an_image.jpg": Reason.UNREADABLE,
        "truncated.jpg": Reason.UNREADABLE,
    }
    cmyk, turned = (
        np.asarray(decode((photos / "bad" / f"{name}.jpg").read_bytes()), np.int64) for name in ("cmyk", "exif_rotated")
    )
    assert np.abs(cmyk - turned).mean() < 8, "the same picture, once in CMYK and once lying on its side"
    ramp = np.asarray(decode((photos / "bad" / "gray16.png").read_bytes()))
    assert ramp.min() == 0
    assert ramp.max() == 255
    assert len(np.unique(ramp)) == 256


def _photo(width: int = 320, height: int = 240) -> Image.Image:
    """Something with detail everywhere, as photographs have."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lacking", [1, 2, 10, 40])
def test_a_jpeg_that_lacks_its_last_bytes_is_sound(lacking: int, progressive: bool) -> None:
    data = _bytes(_photo(), "JPEG", quality=90, progressive=progressive)
    whole, cut = read_picture(data), read_picture(data[:-lacking])
    assert whole.note is None
    assert str(cut.note).startswith("cut off")
    differ = (np.asarray(whole.image) != np.asarray(cut.image)).any(axis=2)
    assert differ.mean() <= 0.02
    if lacking <= 2:
        assert not differ.any()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
def test_a_jpeg_that_lacks_more_is_refused(share: float, progressive: bool) -> None:
    data = _bytes(_photo(), "JPEG", quality=90, progressive=progressive)
    with pytest.raises(Refused) as refused:
        decode(data[: int(len(data) * share)])
    assert refused.value.reason == Reason.UNREADABLE


def test_a_flat_jpeg_that_lacks_its_lower_half_is_refused() -> None:
    """What is missing is filled with flat blocks: in a flat picture nobody would see it."""
    image = _photo()
    image.paste((200, 200, 200), (0, 60, 320, 240))
    data = _bytes(image, "JPEG", quality=90)
    scan = data[: len(data) * 8 // 10]
    with pytest.raises(Refused):
        decode(scan)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0garbage", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_does_not_condemn_a_picture(form: str, exif: bytes) -> None:
    found = decode(_bytes(Image.fromarray(GRADIENT), form, exif=exif))
    assert _close(found, GRADIENT, 6)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _bytes(Image.fromarray(GRADIENT), "PNG", exif=exif)
    assert read_picture(data).orientation == 1
    assert _close(decode(data), GRADIENT, 0)


def _with_chunk(data: bytes, kind: bytes, content: bytes, sound: bool) -> bytes:
    chunk = _chunk(kind, content)
    return data[:33] + (chunk if sound else chunk[:-1] + bytes([chunk[-1] ^ 1])) + data[33:]


@pytest.mark.parametrize(
    ("kind", "content", "sound"),
    [
        (b"tEXt", b"Comment\0hello", False),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>", False),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * (80 << 20)), True),
        (b"zTXt", b"Comment\0\0broken", True),
        (b"tIME", b"\0\0\0\0\0\0\0", False),
        (b"eXIf", b"MM\0*", False),
        (b"prVt", b"whatever", False),
    ],
)
def test_broken_notes_do_not_condemn_a_png(kind: bytes, content: bytes, sound: bool) -> None:
    data = _with_chunk(_bytes(Image.fromarray(GRADIENT), "PNG"), kind, content, sound)
    assert _close(decode(data), GRADIENT, 0)


def test_a_note_that_breaks_the_reading_is_said_to_be_left_out() -> None:
    data = _with_chunk(_bytes(Image.fromarray(GRADIENT), "PNG"), b"tEXt", b"Comment\0hello", sound=False)
    assert read_picture(data).note == "broken notes left out"


@pytest.mark.parametrize("form", ["TIFF", "AVIF", "JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_is_told(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(GRADIENT)
    stored = stored.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else stored
    stored = stored.transpose(Image.Transpose.ROTATE_270) if orientation == 8 else stored
    stored = stored.transpose(Image.Transpose.ROTATE_180) if orientation == 3 else stored
    found = read_picture(_bytes(stored, form, exif=exif, quality=95))
    assert found.orientation == orientation
    assert _close(found.image, GRADIENT, 4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_tiffs_of_all_kinds(mode: str) -> None:
    image = Image.fromarray(np.full((40, 50), 30_000, np.uint16)) if mode == "I;16" else Image.new(mode, (50, 40))
    assert decode(_bytes(image, "TIFF")).size == (50, 40)


def test_floating_point_pixels_are_not_guessed_at() -> None:
    with pytest.raises(Refused) as refused:
        decode(_bytes(Image.fromarray(np.ones((40, 50), np.float32)), "TIFF"))
    assert refused.value.reason == Reason.UNSUPPORTED_FORMAT


def test_heic_is_decoded_if_something_is_installed_for_it() -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    assert _close(decode(_bytes(Image.fromarray(GRADIENT), "HEIF", quality=95)), GRADIENT, 4)


def test_heic_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_heic", tuple)
    with pytest.raises(Refused, match=r"pip install 'spotdiff10k\[heic\]'") as refused:
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    assert refused.value.reason == Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((400_000, 32), Reason.TOO_LARGE),
        ((32, 400_000), Reason.TOO_LARGE),
        ((1000, 51), None),
        ((1000, 49), Reason.TOO_NARROW),
        ((49, 1000), Reason.TOO_NARROW),
    ],
)
def test_sides_and_their_ratio_are_bounded(size: tuple[int, int], reason: Reason | None) -> None:
    data = _bytes(Image.new("1", size), "PNG")
    if reason is None:
        assert decode(data).size == size
        return
    with pytest.raises(Refused) as refused:
        decode(data)
    assert refused.value.reason == reason


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_no_picture_on_the_way_is_larger_than_it_must_be(mode: str) -> None:
    """64 million pixels in any mode, turned and squared: a few pictures of 4 bytes a pixel at most at once."""
    code = f"""
import io, resource
import numpy as np
from PIL import Image
from pipeline.imaging.decode import decode
from pipeline.imaging.frame import square
exif = Image.Exif()
exif[0x0112] = 6
size = (16_000, 1_000)
image = Image.fromarray(np.zeros(size[::-1], np.uint16)) if {mode!r} == "I;16" else Image.new({mode!r}, size)
file = io.BytesIO()
image.save(file, "TIFF", compression="tiff_lzw", exif=exif)
del image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
squared, _ = square(decode(file.getvalue()), 64)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(grown / (size[0] * size[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) < 24
