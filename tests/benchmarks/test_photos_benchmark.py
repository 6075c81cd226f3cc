"""The benchmark of the extractors, on the photographs beside the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def benchmark(photos: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks" / "photos.py", "--photos", photos, *arguments]
    return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("weights")
def test_blazepose_reads_photographs_and_sees_nobody_in_a_cat(photos: Path, blazepose: Path) -> None:
    done = benchmark(photos, "--models_root", blazepose)
    assert done.returncode == 0, done.stderr[-2000:]
    table = [line.strip("│").split("│") for line in done.stdout.splitlines() if "│" in line]
    rows = {cells[0].strip(): cells[1:] for cells in table}
    tiny, ours = (float(cell) for cell in rows["mean"])
    assert ours >= 0.88 > 0.6 > tiny
    assert [cell.strip() for cell in rows["without a pose"]][1] == "0"
    for name in ("chelsea", "brick", "grass", "gravel"):
        assert rows[name][1].split()[0] == "0"


@pytest.mark.usefixtures("weights")
def test_a_photo_without_a_pose_counts_as_nothing(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 64), (90, 120, 150)).save(tmp_path / "images" / "empty.png")
    person = {"image_id": 1, "keypoints": [value for n in range(17) for value in (3 * n, 2 * n, 2)]}
    truth = {"images": [{"id": 1, "file_name": "empty.png"}], "annotations": [person]}
    (tmp_path / "person_keypoints.json").write_text(json.dumps(truth))
    done = benchmark(tmp_path, "--profiles", "tiny")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "0 (no_person)" in done.stdout
    assert "0.000" in done.stdout
