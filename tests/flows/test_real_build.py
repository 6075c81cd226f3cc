"""The shipped models, from pictures to manifest: by the command, and by a worker; the same rows either way."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import ROOT, run_command
from prefect.deployments import run_deployment
from test_cli import HEAVY, imported

from pipeline.manifest.read import Manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
EXAMPLES = ROOT / "examples" / "sources"
PHOTOS = ROOT.parent / "shared" / "photos"
ASKED: dict[str, Any] = {"limit": 3, "subjects": 3, "backgrounds": 3, "shard_size": 2}


def build(folder: Path, manifest: str, *more: str, sources: Path = EXAMPLES) -> tuple[int, str, str]:
    """Runs ``spotdiff build`` in a folder: exit code, stdout, stderr."""
    options = [part for name, value in ASKED.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    poses = ("--poses", EXAMPLES / "poses.json")
    done = run_command("spotdiff", "build", sources, *poses, "--manifest", manifest, *options, *more, cwd=folder)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished build ``m.parquet``, and what the command printed."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        code, printed, complained = build(folder, "m.parquet")
    assert code == 0, complained
    return folder, printed


def test_the_summary_says_where_to_look(built: tuple[Path, str]) -> None:
    folder, printed = built
    manifest = Manifest(str(folder / "m.parquet"))
    assert manifest.rows >= 15
    assert f"{manifest.rows} variations of 3 sources accepted" in printed
    assert manifest.digest in printed
    rejected = manifest.rejected_path.removeprefix(f"{folder}/")
    for place in ("m.parquet", rejected, "__report__/m/index.html"):
        assert re.search(rf"\s{re.escape(place)}$", printed, re.MULTILINE)
        assert (folder / place).exists()
    assert len(list((folder / "__report__" / "m" / "sources").glob("*.html"))) == 3


def test_the_manifest_is_sound(built: tuple[Path, str]) -> None:
    done = run_command("spotdiff", "validate", "m.parquet", cwd=built[0])
    assert (done.returncode, done.stderr) == (0, "")


def test_a_finished_build_answers_without_loading_anything(built: tuple[Path, str]) -> None:
    folder, printed = built
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    assert build(folder, "m.parquet")[:2] == (0, printed)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == files
    options = [part for name, value in ASKED.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    poses = ("--poses", EXAMPLES / "poses.json")
    code, modules = imported("build", EXAMPLES, *poses, "--manifest", "m.parquet", *options, cwd=folder)
    assert code == 0
    assert not modules & (HEAVY - {"cv2"})


def test_a_worker_builds_the_same_rows_in_other_shards(worker: object, built: tuple[Path, str], tmp_path: Path) -> None:
    values = {
        **ASKED,
        "shard_size": 1,
        "sources": [str(EXAMPLES)],
        "poses": str(EXAMPLES / "poses.json"),
        "manifest": str(tmp_path / "m.parquet"),
        "work": str(tmp_path / "work"),
    }
    parameters = [part for name, value in values.items() for part in ("-p", f"{name}={json.dumps(value)}")]
    done = run_command("prefect", "deployment", "run", "build-dataset", "--watch", *parameters, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Manifest(str(tmp_path / "m.parquet")).digest == Manifest(str(built[0] / "m.parquet")).digest


def test_without_parameters_the_flow_takes_the_examples_and_their_poses(worker: object, tmp_path: Path) -> None:
    """As ``prefect deployment run build-dataset`` does, only smaller, and written elsewhere."""
    values = {
        **ASKED, "limit": 3, "backgrounds": 1, "manifest": str(tmp_path / "m.parquet"), "work": str(tmp_path / "work")
    }  # fmt: skip
    run: Any = run_deployment("build-dataset/build-dataset", parameters=values, timeout=600)
    assert run.state.is_completed(), run.state.message
    config = Manifest(str(tmp_path / "m.parquet")).footer["config"]
    assert config["sources"] == ["examples/sources"]
    assert config["poses"] == "examples/sources/poses.json"


def test_bad_files_do_not_spoil_the_good_ones(
    built: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not PHOTOS.is_dir():
        pytest.skip(f"no photographs at {PHOTOS}")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    mixed = tmp_path / "mixed"
    shutil.copytree(PHOTOS / "bad", mixed)
    good = sorted(EXAMPLES.glob("world-*.png"))[:2]
    for path in good:
        shutil.copy(path, mixed)
    code, _, complained = build(tmp_path, "m.parquet", "--limit", "100", sources=mixed)
    assert code == 0, complained
    rejected = {
        row["path"]: row["reason"]
        for row in pq.read_table(Manifest(str(tmp_path / "m.parquet")).rejected_path).to_pylist()
    }
    reasons = {path.name: rejected.get(path.name) for path in (PHOTOS / "bad").iterdir()}
    assert reasons["empty.png"] == "empty_file"
    assert reasons["bomb.png"] == "too_large"
    assert reasons["truncated.jpg"] == reasons["not_an_image.jpg"] == "unreadable"
    assert reasons["cmyk.jpg"] == reasons["gray16.png"] == "not_in_pose_file"
    assert None not in reasons.values()
    sources = {
        str(value) for batch in Manifest(str(tmp_path / "m.parquet")).batches(["source_id"]) for value in batch[0]
    }
    assert len(sources) == len(good)
