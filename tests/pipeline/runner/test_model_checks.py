"""Before any work: files, prompts, device and memory. One line each, with the remedy."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_layout import SAM2, VITPOSE, hub_profile
from toy_stages import write_pictures

from pipeline.config import UserError, build_config
from pipeline.runner import build as builds
from pipeline.runner import model_checks
from pipeline.runner.preflight import check


def opened(monkeypatch: pytest.MonkeyPatch, folder: Path, root: Path, name: str = "sd15", **changes: Any) -> Any:
    """A build of two sources with the small profile."""
    told = {"allow_cpu": True, **changes.pop("told", {})}
    made = hub_profile(name, models={"pose": VITPOSE, "sam": SAM2}, **changes)
    monkeypatch.setattr(builds, "load_profile", lambda _: made)
    config = build_config(
        sources=(str(write_pictures(folder / "in", 2)),), manifest=str(folder / "out" / "m.parquet"),
        work=str(folder / "work"), models_root=str(root), **told,
    )  # fmt: skip
    return builds.open_build(config)


def checked(*args: Any, **changes: Any) -> None:
    build = opened(*args, **changes)
    check(build, build.scan())


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_what_is_sound_passes(
    name: str, hub: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        checked(monkeypatch, tmp_path, hub[name], name=name)
    assert "torch finds none" in caplog.text  # allowed, and said all the same


def test_a_gpu_profile_is_refused_on_a_cpu_with_an_estimate(
    hub: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.models.estimate._flops_per_second", lambda: 1e9)

    def refused(**changes: Any) -> str:
        with pytest.raises(UserError, match=r"made for GPUs .* --allow-cpu") as told:
            checked(monkeypatch, tmp_path, hub["sd15"], told={"allow_cpu": False, **changes})
        return str(told.value)

    said = refused(subjects=10, backgrounds=10)
    assert "for 220 pictures" in said
    assert "minutes" in said or "hours" in said
    assert refused(subjects=1, backgrounds=1) != said


def test_the_estimate_counts_the_unet_s_arithmetic(hub: dict[str, Path]) -> None:
    """Twice the side is at least four times the work: attention grows faster than the picture."""
    from pipeline.models.estimate import unet_flops
    from pipeline.models.resolve import Model

    for name in ("sd15", "sdxl"):
        model = Model(hub_profile(name).models.base, str(hub[name]))
        assert unet_flops(model, 256) > 3.8 * unet_flops(model, 128) > 1e6


def test_models_that_do_not_fit_are_told(hub: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_checks, "_main_memory", lambda: 1e9)
    with pytest.raises(UserError, match=r"want about 2\.\d GB, and this machine has 1\.0 GB; take a larger machine"):
        checked(monkeypatch, tmp_path, hub["sd15"])


def test_on_a_gpu_one_pipeline_at_a_time_is_the_remedy(
    hub: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Card:
        total_memory = 1e9

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card())
    with pytest.raises(UserError, match=r'the GPU has 1\.0 GB; set runtime\.resident = "one"'):
        checked(monkeypatch, tmp_path, hub["sd15"], told={"allow_cpu": False})


def test_truncated_weights_are_told(hub: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    root = shutil.copytree(hub["sd15"], tmp_path / "hub")
    weights = root / hub_profile("sd15").models.controlnet.repo / "diffusion_pytorch_model.fp16.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"control_v11p_sd15_openpose: .* was cut short; get it again"):
        checked(monkeypatch, tmp_path, root)


@pytest.mark.parametrize(("field", "bank"), [("subject_bank", "tiny_subjects"), ("background_bank", "tiny_background")])
def test_a_prompt_that_is_too_long_is_told(
    field: str, bank: str, hub: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.config import PROFILES

    entries = json.loads((PROFILES / load_bank(field)).read_text())
    entries[3]["prompt"] += " and a hat" * 40
    path = tmp_path / "long.json"
    path.write_text(json.dumps(entries))
    build = opened(monkeypatch, tmp_path, hub["sd15"])
    longer = build.profile.model_copy(update={field: str(path)})
    monkeypatch.setattr(builds, "load_profile", lambda _: longer)
    build = builds.open_build(build.config)
    with pytest.raises(UserError, match=rf"long\.json: {entries[3]['id']}: with its template it has \d+ tokens"):
        check(build, build.scan())


def load_bank(field: str) -> str:
    return str(getattr(hub_profile("sd15"), field))
