"""The square: nothing lost, nothing stretched, and every point where the frame says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.imaging.frame import frame_of, square, to_square
from pipeline.imaging.phash import NearHashes, distance, phash
from pipeline.imaging.png import from_png, to_png

sides = st.integers(1, 3000)


@given(sides, sides)
def test_the_frame_holds_the_picture_centred(width: int, height: int) -> None:
    frame = frame_of(width, height)
    (left, top), (right, bottom) = to_square([(0, 0), (width, height)], frame)
    assert min(left, top) == 0
    assert max(right, bottom) == 1
    assert left + right == pytest.approx(1)
    assert top + bottom == pytest.approx(1)


@pytest.mark.parametrize("size", [64, 65, 512])
@pytest.mark.parametrize(("width", "height"), [(400, 300), (301, 457), (97, 1000), (640, 640), (40, 25), (33, 64)])
def test_points_land_where_the_frame_says(width: int, height: int, size: int) -> None:
    x, y = width * 0.3, height * 0.7
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    radius = max(3.0, min(width, height) / 10)
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (radius / 2) ** 2))
    image = Image.fromarray(np.repeat(spot[..., None], 3, axis=-1).astype(np.uint8))
    squared, frame = square(image, size)
    assert squared.size == (size, size)
    ((u, v),) = to_square([(x, y)], frame)
    weight = np.asarray(squared.convert("L"), np.float64)
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    found = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    assert found == pytest.approx((u * size, v * size), abs=0.12 * max(1, size / max(width, height)))


def test_padding_has_the_mean_colour_of_the_edges_it_adjoins() -> None:
    image = Image.new("RGB", (100, 40), (0, 0, 255))
    image.paste((200, 100, 0), (0, 0, 100, 3))
    image.paste((100, 200, 0), (0, 37, 100, 40))
    pixels = np.asarray(square(image, 50)[0])
    assert pixels[0, 0].tolist() == [150, 150, 0]
    assert pixels[49, 25].tolist() == [150, 150, 0]
    assert pixels[25, 25].tolist() == [0, 0, 255]


def test_a_very_long_picture_needs_no_square_of_its_length() -> None:
    squared, _ = square(Image.new("RGB", (60_000, 20), "red"), 64)
    assert squared.size == (64, 64)


def test_flat_pictures_stay_flat() -> None:
    for width, height in ((30, 70), (71, 30), (500, 501)):
        assert (
            np.ptp(np.asarray(square(Image.new("RGB", (width, height), (90, 80, 70)), 64)[0]), axis=(0, 1)).max() == 0
        )


def test_png_keeps_pixels_and_drops_the_rest() -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    marked = image.copy()
    marked.info.update(icc_profile=b"x" * 99, dpi=(300, 300), transparency=(1, 2, 3))
    assert to_png(marked) == to_png(image)
    assert (np.asarray(from_png(to_png(image))) == np.asarray(image)).all()
    assert from_png(to_png(image.convert("L"))).mode == "L"


def test_phash_survives_scaling_and_tells_pictures_apart() -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((200, 200)) for _ in range(20)]
    codes = [phash(image) for image in images]
    assert all(len(code) == 16 for code in codes)
    assert all(distance(code, phash(image.resize((150, 150)))) <= 4 for code, image in zip(codes, images, strict=True))
    assert min(distance(a, b) for n, a in enumerate(codes) for b in codes[:n]) > 8


@given(st.integers(0, 64), st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 2**64 - 1), st.data())
def test_near_hashes_finds_what_comparing_all_finds(
    limit: int, kept: list[int], code: int, data: st.DataObject
) -> None:
    flips = data.draw(st.sets(st.integers(0, 63), max_size=limit))
    if kept:  # a neighbour at a known distance
        code = kept[0]
        for bit in flips:
            code ^= 1 << bit
    hashes = NearHashes(limit)
    for number, other in enumerate(kept):
        hashes.add(f"{other:016x}", str(number))
    found = hashes.find(f"{code:016x}")
    near = {str(n) for n, other in enumerate(kept) if (other ^ code).bit_count() <= limit}
    assert found in near if near else found is None


@pytest.mark.parametrize("limit", range(1, 65))
def test_near_hashes_finds_bits_spread_evenly(limit: int) -> None:
    """One changed bit in each of as many bands as bits may change is the hardest case."""
    hashes = NearHashes(limit)
    hashes.add("0" * 16, "zero")
    for shift in (0, 63 // limit):
        spread = sum(1 << min(63, n * 64 // limit + shift) for n in range(limit))
        assert hashes.find(f"{spread:016x}") == "zero"
