"""The recipes of ``docker/``: the check of the RayJob finds what is wrong, and all speak of the same options."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"


def _check(job: dict[str, Any], tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    done = subprocess.run(
        [sys.executable, DOCKER / "kuberay" / "check.py", path], capture_output=True, text=True, check=False
    )
    assert bool(done.returncode) == bool(done.stderr)
    return done.stderr


def test_the_check_of_a_rayjob_finds_what_is_wrong(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes_validate")
    job = yaml.safe_load((DOCKER / "kuberay" / "rayjob.yaml").read_text())
    assert _check(job, tmp_path) == ""
    broken = copy.deepcopy(job)
    group = broken["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    group["template"]["spec"]["containers"][0]["resurces"] = {}
    group["replicas"] = 99
    said = _check(broken, tmp_path)
    assert "resurces" in said
    assert "replicas are not between" in said


def test_all_recipes_name_options_that_there_are() -> None:
    from typer.main import get_command

    from flows.cli.app import app

    build = get_command(app).commands["build"]  # type: ignore[attr-defined]
    known = {option for parameter in build.params for option in parameter.opts}
    for name in ("slurm/ray.sbatch", "slurm/parts.sbatch", "kuberay/rayjob.yaml"):
        text = (DOCKER / name).read_text()
        start = text.rindex("bin/spotdiff") if "bin/spotdiff" in text else text.index("spotdiff build")
        command = text[start:]
        used = set(re.findall(r"(?<=\s)--[a-z-]+", command.split("shutdownAfter")[0]))
        assert used
        assert used <= known, name


def test_every_variable_of_compose_is_in_the_example_of_its_settings() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_0-9]+)", (DOCKER / "compose.yaml").read_text()))
    told = set(re.findall(r"^([A-Z_0-9]+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert wanted - told == {"S3_IMAGE", "RAY_SHM"}
