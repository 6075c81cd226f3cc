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


def _batch(name: str, tmp_path: Path, **slurm: str) -> str:
    """Runs a batch script as Slurm would, with programs that print what they are called with."""
    bin_ = tmp_path / ".venv" / "bin"
    bin_.mkdir(parents=True, exist_ok=True)
    says = {
        "spotdiff": 'echo "spotdiff $*; $PREFECT_HOME"',
        "ray": 'echo "ray $*"',
        "srun": 'echo "srun $1"; shift; "$@"',
    }
    for program, text in {**says, "scontrol": "printf 'first\\n'; sleep 0.1; printf 'second\\n'"}.items():
        (bin_ / program).write_text(f"#!/bin/bash\n{text}\n")
        (bin_ / program).chmod(0o755)
    environment = {"PATH": f"{bin_}:/usr/bin:/bin", "HOME": str(tmp_path), "SPOTDIFF": str(tmp_path), **slurm}
    done = subprocess.run(
        ["bash", DOCKER / "slurm" / name], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_array_of_parts_is_an_array_and_the_whole_is_not(tmp_path: Path) -> None:
    job = {"SLURM_JOB_ID": "7", "TMPDIR": "/tmp", "MANIFEST": "m.parquet", "WORK": "w"}
    array = {**job, "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MAX": "16"}
    whole = "spotdiff build /shared/photos --manifest m.parquet --work w --profile sd15"
    assert _batch("parts.sbatch", tmp_path, **array) == f"{whole} --part 3/16; /tmp/prefect-7\n"
    alone = {**array, "SLURM_ARRAY_TASK_MAX": "3", "PARTS": "16"}
    assert "--part 3/16;" in _batch("parts.sbatch", tmp_path, **alone), "one part submitted again"
    assert _batch("parts.sbatch", tmp_path, **job) == f"{whole}; /tmp/prefect-7\n"


def test_ray_on_slurm_is_one_command_on_every_node(tmp_path: Path) -> None:
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NNODES": "2", "SOURCES": "in"}
    step, ray = _batch("ray.sbatch", tmp_path, **job).splitlines()
    assert step == "srun --kill-on-bad-exit=1"
    command = f"{tmp_path}/.venv/bin/spotdiff build in --manifest /shared/spotdiff/v1.parquet"
    assert ray.startswith(f"ray symmetric-run --address first:6379 --min-nodes 2 -- {command}")
    assert ray.endswith("--engine ray --ray-address auto")
