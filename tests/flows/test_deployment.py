"""Deployed, with a server and a worker on loopback: both forms of the command, failure, and a killed run's retry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from commands import run_command
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from toy_flow import open_toy
from toy_stages import write_pictures

from pipeline.config import build_config
from pipeline.manifest.finish import build_manifest
from pipeline.manifest.read import Manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Worker = subprocess.Popen[bytes]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    write_pictures(tmp_path / "in", 4)
    return {
        "sources": str(tmp_path / "in"),
        "manifest": str(tmp_path / "out" / "toy.parquet"),
        "work": str(tmp_path / "work"),
    }


@pytest.fixture(scope="module")
def calm_digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the same build in one go, without Prefect."""
    folder = tmp_path_factory.mktemp("calm")
    return build_manifest(
        open_toy(str(write_pictures(folder / "in", 4)), str(folder / "toy.parquet"), str(folder / "work"))
    ).digest


def ended(run_id: UUID | str, seconds: float = 180) -> FlowRun:
    """The flow run when it is over."""
    deadline = time.monotonic() + seconds
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            run = client.read_flow_run(UUID(str(run_id)))
            if run.state is not None and run.state.is_final():
                return run
            time.sleep(0.3)
    raise TimeoutError(f"flow run {run_id} is still {run.state}")


def started(printed: str) -> str:
    """The flow run's id that ``prefect deployment run`` prints."""
    found = re.search(r"UUID: (\S+)", printed)
    assert found, printed
    return found[1]


def parameters(values: dict[str, Any]) -> list[str]:
    return [part for name, value in values.items() for part in ("-p", f"{name}={json.dumps(value)}")]


def run_name(paths: dict[str, str]) -> str:
    return build_config(sources=(), manifest=paths["manifest"], work=paths["work"]).run


@pytest.mark.parametrize("name", ["toy-build", "toy-build/toy-build"])
def test_both_forms_of_the_name_start_a_run(name: str, worker: Worker, paths: dict[str, str], calm_digest: str) -> None:
    done = run_command("prefect", "deployment", "run", name, *parameters(paths))
    assert done.returncode == 0, done.stdout + done.stderr
    run = ended(started(done.stdout))
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    assert Manifest(paths["manifest"]).digest == calm_digest
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
    progress = [artifact for artifact in artifacts if artifact.type == "progress"]
    assert [(artifact.key, artifact.data) for artifact in progress] == [(f"build-{run_name(paths)}", 100.0)]
    assert "| variations | 48 | 48 | 48 | 0 | 0 |" in str(progress[0].description)


def test_an_unknown_name_is_still_an_error(worker: Worker) -> None:
    done = run_command("prefect", "deployment", "run", "no-such-deployment")
    assert done.returncode == 1
    assert "Deployment 'no-such-deployment' not found!" in done.stdout + done.stderr


def test_the_real_deployment_takes_the_build_s_options(worker: Worker) -> None:
    done = run_command("prefect", "deployment", "run", "build-dataset", "-p", "colour=3")
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert "'colour'" in said
    for name in (
        "sources",
        "manifest",
        "poses",
        "subjects",
        "backgrounds",
        "seed",
        "limit",
        "retry",
        "max_failure_rate",
    ):
        assert f"'{name}'" in said


def test_a_build_without_result_ends_failed_in_prefect(worker: Worker, paths: dict[str, str]) -> None:
    for picture in Path(paths["sources"]).iterdir():
        picture.write_bytes(b"no picture")
    run = run_deployment("toy-build/toy-build", parameters=paths, timeout=180)
    assert isinstance(run, FlowRun)
    assert run.state is not None
    assert run.state.is_failed()
    assert "nothing was accepted (4 unreadable)" in str(run.state.message)
    assert Path(Manifest(paths["manifest"]).rejected_path).exists()


def test_a_user_s_mistake_ends_failed_in_prefect(worker: Worker, tmp_path: Path) -> None:
    values = {"sources": [str(tmp_path / "nowhere")], "manifest": str(tmp_path / "x.parquet")}
    run = run_deployment("build-dataset/build-dataset", parameters=values, timeout=180)
    assert isinstance(run, FlowRun)
    assert run.state is not None
    assert run.state.is_failed()
    assert "no such file or folder" in str(run.state.message)


@pytest.fixture
def killed_run(worker: Worker, paths: dict[str, str]) -> UUID:
    """A flow run whose process was killed when some of its fragments, but not all, were there."""
    run = run_deployment("toy-build/toy-build", parameters={**paths, "seconds": 0.2, "workers": 1}, timeout=0)
    assert isinstance(run, FlowRun)
    fragments = Path(paths["work"]) / run_name(paths) / "variations"
    deadline = time.monotonic() + 120
    while not list(fragments.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    (engine,) = [p for p in psutil.Process(worker.pid).children(recursive=True) if "prefect.engine" in p.cmdline()]
    os.kill(engine.pid, 9)
    return run.id


def test_a_killed_run_that_is_retried_gives_the_same_manifest(
    killed_run: UUID, paths: dict[str, str], calm_digest: str
) -> None:
    crashed = ended(killed_run)
    assert crashed.state is not None
    assert crashed.state.is_crashed()
    assert not Path(paths["manifest"]).exists()
    finished = {path: path.stat().st_mtime_ns for path in Path(paths["work"]).rglob("[0-9]*.parquet")}
    assert 0 < len(finished) < 4 * 4

    # Prefect reports a crash twice, seconds apart. A retry in between is undone by the second report; its process works
    # on, and keeps the next retry from writing the same manifest until it is done.
    for _ in range(5):
        assert run_command("prefect", "flow-run", "retry", str(killed_run)).returncode == 0
        retried = ended(killed_run).state
        assert retried is not None
        if retried.is_completed():
            break
        assert retried.is_crashed() or "another build writes this manifest" in str(retried.message)
        time.sleep(3)
    assert retried.is_completed(), retried.message
    assert Manifest(paths["manifest"]).digest == calm_digest
    now = {path: path.stat().st_mtime_ns for path in Path(paths["work"]).rglob("[0-9]*.parquet")}
    assert finished.items() <= now.items(), "something that was finished was made again"
    assert not [path for path in Path(paths["work"]).rglob("*") if path.name.startswith(".")], "stray temporary files"
