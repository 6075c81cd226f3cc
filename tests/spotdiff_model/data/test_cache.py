"""The feature cache: what is there is not computed again, what is broken is."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline import hidden_names
from spotdiff_model.data.cache import FeatureCache

FEATURES = np.arange(24, dtype=np.float16).reshape(4, 3, 2)


def _filled(root: Path | str) -> FeatureCache:
    cache = FeatureCache(root, "clip", {"revision": "a"})
    cache.add(["k0", "k1", "k2"], FEATURES[:3])
    cache.add(["k3"], FEATURES[3:])
    return cache


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_features_come_back_in_the_order_asked_for(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue("s3") if where == "s3" else tmp_path
    _filled(root)
    cache = FeatureCache(root, "clip", {"revision": "a"})
    assert np.array_equal(cache.get(["k3", "k0", "k3"]), FEATURES[[3, 0, 3]])
    assert cache.missing(["k0", "new", "k2", "new"]) == ["new"]
    assert "k1" in cache and "new" not in cache
    assert cache.missing(["k0", "k1", "k2", "k3"]) == []


def test_another_model_has_another_cache(tmp_path: Path) -> None:
    _filled(tmp_path)
    assert FeatureCache(tmp_path, "clip", {"revision": "b"}).missing(["k0"]) == ["k0"]
    assert FeatureCache(tmp_path, "latents", {"revision": "a"}).missing(["k0"]) == ["k0"]


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_a_file_that_is_not_whole_is_dropped(tmp_path: Path, kept: int, caplog: pytest.LogCaptureFixture) -> None:
    folder = Path(_filled(tmp_path).folder)
    path = max(folder.iterdir(), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:kept])
    cache = FeatureCache(tmp_path, "clip", {"revision": "a"})
    assert cache.missing(["k0", "k1", "k2", "k3"]) == ["k0", "k1", "k2"]
    assert "not whole" in caplog.text
    cache.add(["k0", "k1", "k2"], FEATURES[:3])
    assert np.array_equal(FeatureCache(tmp_path, "clip", {"revision": "a"}).get(["k1"]), FEATURES[1:2])


def test_a_file_whose_header_is_nested_without_end_is_dropped(tmp_path: Path) -> None:
    folder = Path(_filled(tmp_path).folder)
    path = max(folder.iterdir(), key=lambda p: p.stat().st_size)
    path.write_bytes(struct.pack("<Q", 100_000) + b"[" * 100_000)
    assert FeatureCache(tmp_path, "clip", {"revision": "a"}).missing(["k0", "k3"]) == ["k0"]


def test_a_killed_writers_leftovers_are_no_features(tmp_path: Path) -> None:
    folder = Path(_filled(tmp_path).folder)
    (folder / f".abc.safetensors.{hidden_names.machine()}-999999999-1.01234567.spotdiff-tmp").write_bytes(b"half")
    FeatureCache(tmp_path, "clip", {"revision": "a"})
    assert len(list(folder.iterdir())) == 2
