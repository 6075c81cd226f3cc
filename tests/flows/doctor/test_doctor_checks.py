"""``spotdiff doctor``: what it finds, and what is wrong with machines that are made wrong."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.doctor import machine, software
from flows.doctor.finding import Finding, State

sys.path.insert(0, str(Path(__file__).parents[1]))
from commands import run_command


def doctor(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    done = run_command("spotdiff", "doctor", "--json", *arguments)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_it_is_quick_and_every_finding_but_ok_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    begun = time.monotonic()
    code, found = doctor("--work", tmp_path / "work")
    assert time.monotonic() - begun < 20  # 2 s on an idle machine
    assert code == 0
    assert {"python", "versions", "devices", "memory", "models: tiny", "prefect", "ray", "storage"} <= {
        one["subject"] for one in found
    }
    assert all(one["remedy"] for one in found if one["state"] != "ok")
    assert next(one for one in found if one["subject"] == "models: tiny")["state"] == "ok"


def test_a_dead_server_is_a_problem_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = run_command("spotdiff", "doctor")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert "no server answers at http://127.0.0.1:9/api  -> start it" in line


def tool(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What is said of devices where ``nvidia-smi`` is this script."""
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return list(machine.devices())


def test_gpus_are_listed_and_a_busy_one_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "NVIDIA A100, 81920, 80000, 550.54\nNVIDIA L4, 23034, 900, 550.54"
    free, busy = tool(tmp_path, f"printf '{lines}\n'", monkeypatch)
    assert (free.state, free.text) == (State.OK, "GPU 0: NVIDIA A100, 80 GB, 78 free, driver 550.54")
    assert busy.state == State.NOTE
    assert "CUDA_VISIBLE_DEVICES" in busy.remedy


def test_a_broken_driver_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = tool(tmp_path, "echo 'Driver/library version mismatch' >&2; exit 18", monkeypatch)
    assert (one.state, one.text) == (State.PROBLEM, "nvidia-smi: Driver/library version mismatch")


@pytest.mark.parametrize(("limit", "state"), [("1000000000", State.PROBLEM), ("5000000000", State.NOTE), ("max", None)])
def test_memory_is_what_the_control_group_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, state: State | None
) -> None:
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("500000000")
    whole = machine.available([])
    free = machine.available([tmp_path])
    assert free == pytest.approx(whole if limit == "max" else min(whole or 0, float(limit) - 5e8), rel=0.2)
    monkeypatch.setattr(machine, "available", lambda: free)
    (found,) = machine.memory()
    assert state is None or found.state == state


def test_missing_models_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOTDIFF_MODELS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    found = {one.subject: one for one in software.models(None)}
    assert found["models: photos"].remedy == "spotdiff models fetch photos"
    assert found["models: photos"].text == "not here: extractor"
    assert found["models: tiny"].state == State.OK


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("fastapi", "0.151.0", "breaks prefect 3.8"),
        ("prefect", "3.9.1", "prefect 3.9.1"),
        ("torch", "2.14.1+cpu", "without CUDA"),
        ("diffusers", None, "diffusers is not installed"),
    ],
)
def test_versions_that_break_something(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str | None, said: str
) -> None:
    there = software.installed
    monkeypatch.setattr(software, "installed", lambda asked: version if asked == name else there(asked))
    wrong = [one for one in software.versions() if one.state != State.OK]
    assert any(said in one.text and one.remedy for one in wrong)


def test_an_object_store_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(key, value)
    (found,) = software.storage("s3://nowhere/work")
    assert found.state == State.PROBLEM
    assert "AWS_ENDPOINT_URL" in found.remedy
