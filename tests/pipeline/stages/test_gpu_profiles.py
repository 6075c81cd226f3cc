"""``sd15`` and ``sdxl`` at small size, out of a folder in hub layout, through the real classes of every model."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_layout import SAM2, VITPOSE, flag_everything, hub_profile
from made_rows import pixels, posed

from pipeline.config import Profile, build_config
from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from pipeline.models import memory
from pipeline.records import Reason, Status, Subject, Variation
from pipeline.stages import rounds
from pipeline.stages.recipe import recipe
from pipeline.stages.rounds import Rounds
from pipeline.stages.safety import CheckSafety

FREE = {"pose": VITPOSE, "sam": SAM2}
"""In ``sd15``, by one line each: all that is not free for any use is out, and nothing is as large as SAM's own."""
SIDE = 128


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(memory, "_fitting", {})


def stages(made: Profile, root: Path) -> tuple[Rounds, Rounds]:
    told = {"sources": ("photos",), "manifest": "v1.parquet", "models_root": str(root), "subjects": 3, "backgrounds": 3}
    _, _, subjects, variations = recipe(made, build_config(**told))
    assert isinstance(subjects, Rounds)
    assert isinstance(variations, Rounds)
    return subjects, variations


def source() -> Any:
    row = posed(1)
    return posed(1, control=to_png(draw_pose(row.keypoints, SIDE, 0.016)))


def subjects_of(made: Profile, root: Path) -> list[Subject]:
    stage, _ = stages(made, root)
    return sorted(stage.process(stage.expand([source()])), key=str)


def variations_of(made: Profile, root: Path, rows: list[Subject]) -> list[Variation]:
    _, stage = stages(made, root)
    return sorted(stage.process(stage.expand(rows)), key=str)


@pytest.mark.parametrize(("name", "models"), [("sd15", FREE), ("sdxl", None)])
def test_a_source_goes_all_the_way(hub: dict[str, Path], name: str, models: dict[str, Any] | None) -> None:
    photo_gates = {"count_people": True, "max_mask_growth": 100, "max_seam": 1}
    made = hub_profile(name, models=models, quality=photo_gates)
    rows = subjects_of(made, hub[name])
    assert [row.status for row in rows] == ["ok"] * 3, [(row.error, row.reason) for row in rows]
    assert [(row.people, pixels(row.mask).shape) for row in rows] == [(1, (SIDE, SIDE))] * 3
    assert len({row.subject_image for row in rows}) == 3
    done = variations_of(made, hub[name], rows)
    assert [row.status for row in done] == ["ok"] * 9, [(row.error, row.reason, row.detail) for row in done]
    for row in done:
        assert row.nsfw is False
        assert row.seam is not None
        kept = pixels(row.mask) > 127
        assert np.abs(pixels(row.image)[~kept] - pixels(row.subject_image)[~kept]).mean() > 5 or kept.all()
    assert min(row.subject_kept or 0 for row in done) < 0.95  # a random segmenter does not find the same again


def test_openpose_reads_its_own_file(hub: dict[str, Path]) -> None:
    """A network that knows nothing sees nobody: that is what the gate is told, for all subjects in one batch."""
    made = hub_profile("sd15", models={"sam": SAM2})
    assert made.models.pose.kind == "openpose"
    rows = subjects_of(made, hub["sd15"])
    assert [(row.people, row.reason) for row in rows] == [(0, Reason.NOT_ONE_PERSON)] * 3


@pytest.fixture
def flagging(hub: dict[str, Path], tmp_path: Path) -> Path:
    root = shutil.copytree(hub["sd15"], tmp_path / "hub")
    flag_everything(root)
    return root


def test_what_the_checker_flags_is_rejected_and_not_blackened(
    hub: dict[str, Path], flagging: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = hub_profile("sd15", models=FREE)
    rows = subjects_of(made, hub["sd15"])
    for row in variations_of(made, flagging, rows):
        assert (row.status, row.reason, row.nsfw) == (Status.REJECTED, Reason.NSFW, True)
        assert pixels(row.image).std() > 5
    (subject, *_) = subjects_of(made, flagging)
    assert (subject.reason, subject.mask) == (Reason.NSFW, None)  # nothing more is spent on it
    assert "black" not in caplog.text


def test_without_a_checker_nothing_is_judged(hub: dict[str, Path]) -> None:
    made = hub_profile("sd15", models={**FREE, "safety_checker": None})
    done = variations_of(made, hub["sd15"], subjects_of(made, hub["sd15"]))
    assert {row.nsfw for row in done} == {None}
    assert not any(isinstance(step, CheckSafety) for stage in stages(made, hub["sd15"]) for step in stage.steps)


def test_want_of_memory_halves_the_batch_once(hub: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory above two pictures: the stage goes on with smaller batches, and gives the same pictures."""
    made = hub_profile("sdxl")
    expected = subjects_of(made, hub["sdxl"])
    stage, _ = stages(made, hub["sdxl"])
    seen = []

    def denoise(self: Any, rows: list[Any]) -> Any:
        seen.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, rows)

    real = type(stage.generate).denoise  # type: ignore[attr-defined]
    monkeypatch.setattr(type(stage.generate), "denoise", denoise)
    memory_after = []
    for _ in range(2):
        rows = sorted(stage.process(stage.expand([source()])), key=str)
        memory_after.append(memory.halved())
        assert [row.status for row in rows] == ["ok"] * 3
        for row, other in zip(rows, expected, strict=True):
            assert np.abs(pixels(row.subject_image) - pixels(other.subject_image)).max() <= 1
    assert seen == [3, 1, 1, 1, 1, 1, 1]  # tried once; three halved is one
    assert memory_after == [{"subjects": 1}] * 2


def test_a_picture_that_is_not_finite_is_degenerate_and_not_black(
    hub: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = hub_profile("sd15", models=FREE)
    stage, after = stages(made, hub["sd15"])

    def spoiled(real: Any) -> Any:
        def denoise(self: Any, rows: list[Any]) -> Any:
            pictures = real(self, rows).clone()
            pictures[1, 0, 5, 5] = float("nan")
            return pictures

        return denoise

    kind: Any = type(stage.generate)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "denoise", spoiled(kind.denoise))
        rows = list(stage.process(stage.expand([source()])))
    spoilt = [row for row in rows if not row.ok]
    assert [(row.status, row.reason, row.subject_image) for row in spoilt] == [("rejected", Reason.DEGENERATE, None)]
    assert "not finite" in str(spoilt[0].detail)
    kind = type(after.generate)
    monkeypatch.setattr(kind, "denoise", spoiled(kind.denoise))
    good = [row for row in rows if row.ok]
    done = list(after.process(after.expand(good[:1])))
    assert [row.reason for row in done].count(Reason.DEGENERATE) == 1
    assert sum(row.ok for row in done) == 2


def test_the_last_batch_is_padded_where_networks_are_compiled(
    hub: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *a, **k: compiled.append(type(self).__name__))
    made = hub_profile("sdxl", runtime={"compile": True}, subjects={"batch_size": 2})
    stage, _ = stages(made, hub["sdxl"])
    real, seen = type(stage.generate).denoise, []  # type: ignore[attr-defined]
    monkeypatch.setattr(
        type(stage.generate), "denoise", lambda self, rows: (seen.append(len(rows)), real(self, rows))[1]
    )
    rows = list(stage.process(stage.expand([source()])))
    assert [row.status for row in rows] == ["ok"] * 3
    assert seen == [2, 2]
    assert compiled == ["UNet2DConditionModel"]
    plain, _ = stages(hub_profile("sdxl", subjects={"batch_size": 2}), hub["sdxl"])
    assert plain.settings() != stage.settings()


def test_no_picture_is_decoded_that_this_process_has_made(
    hub: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.stages import pictures

    decoded: list[bytes] = []
    real = pictures.from_png
    monkeypatch.setattr(pictures, "from_png", lambda png: (decoded.append(png), real(png))[1])
    made = hub_profile("sd15", models=FREE, quality={"max_mask_growth": 100, "count_people": True})
    row = source()
    stage, after = stages(made, hub["sd15"])
    rows = list(stage.process(stage.expand([row])))
    done = list(after.process(after.expand(rows)))
    assert [one.status for one in done] == ["ok"] * 9
    assert set(decoded) <= {row.control}


def test_judging_goes_to_a_stream_of_its_own(hub: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU; here the marks alone are looked at: each batch's judge waits for that batch's denoising."""
    waited: list[Any] = []
    marks = iter(range(100))
    monkeypatch.setattr(rounds, "mark", lambda: next(marks))

    class Beside:
        def __init__(self, mark: int) -> None:
            waited.append(mark)

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(rounds, "beside", Beside)
    made = hub_profile("sdxl", subjects={"batch_size": 1})
    rows = subjects_of(made, hub["sdxl"])
    assert [row.status for row in rows] == ["ok"] * 3
    assert waited == [0, 1, 2]


def test_each_pipeline_has_its_scheduler(hub: dict[str, Path]) -> None:
    made = hub_profile("sd15", models=FREE)
    subjects, variations = stages(made, hub["sd15"])
    names = [stage.generate.settings()["scheduler"]["name"] for stage in (subjects, variations)]
    assert names == ["UniPCMultistepScheduler", "DPMSolverMultistepScheduler"]
    changed = hub_profile("sd15", models=FREE, backgrounds={"scheduler": {"name": "DDIMScheduler"}})
    others = stages(changed, hub["sd15"])
    pairs = zip(others, (subjects, variations), strict=True)
    assert [one.settings() != other.settings() for one, other in pairs] == [False, True]


def test_a_model_that_cannot_be_loaded_ends_the_stage(hub: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(hub["sdxl"], tmp_path / "hub")
    made = hub_profile("sdxl")
    weights = root / made.models.base.repo / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    from pipeline.config import UserError

    stage, _ = stages(made, root)
    with pytest.raises(
        UserError, match=r"stable-diffusion-xl-base-1\.0 with .*cannot be loaded .*get them again"
    ) as told:
        list(stage.process(stage.expand([source(), replace(source(), source_id="b")])))
    assert "\n" not in str(told.value)
