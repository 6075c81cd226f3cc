"""Checkpoints: whole folders, renamed into place, the oldest dropped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import store
from pipeline.config import UserError, first_problem
from spotdiff_model.config import TrainConfig

_PREFIX = "checkpoint-"
_PART = ".part"
_STATE = "trainer_state.json"
_MAY_DIFFER = {
    "manifest", "output_dir", "cache_dir", "models_root",  # where things lie: the manifest's digest is compared
    "checkpointing_steps", "checkpoints_total_limit", "resume_from_checkpoint",
    "report_to", "validation_steps", "num_validation_images", "push_to_hub", "hub_model_id",
}  # fmt: skip
"""Settings that bear on no weight; with any other one changed, a resumed training would not be the interrupted one."""


def checkpoints(output_dir: Path) -> list[Path]:
    """The whole checkpoints of a training, oldest first."""
    found = [p for p in output_dir.glob(f"{_PREFIX}*") if p.suffix != _PART and (p / _STATE).is_file()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(_PREFIX)))


def remove_all(output_dir: Path, accelerator: Any) -> None:
    """Clears away the checkpoints of an earlier training that a new one in its folder could be mistaken for."""
    if accelerator.is_main_process:
        for path in output_dir.glob(f"{_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)
    accelerator.wait_for_everyone()


def save(accelerator: Any, output_dir: Path, step: int, config: TrainConfig, digest: str, limit: int) -> Path:
    """Writes ``checkpoint-STEP`` and drops all but the newest ``limit``.

    Args:
        accelerator: Knows models, optimizer and scheduler.
        output_dir: Of the training.
        step: Steps that are done.
        config: Of the training.
        digest: Of the manifest.
        limit: How many to keep.
    """
    final = output_dir / f"{_PREFIX}{step}"
    part = output_dir / f"{_PREFIX}{step}{_PART}"
    if accelerator.is_main_process:
        shutil.rmtree(part, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(part), safe_serialization=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        state = {"step": step, "manifest_digest": digest, "config": config.model_dump(mode="json")}
        store.write_bytes(str(part / _STATE), json.dumps(state, indent=1).encode())
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        store.sync_folder(output_dir)
        for old in checkpoints(output_dir)[:-limit]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def to_resume(output_dir: Path, wanted: str | None, config: TrainConfig, digest: str) -> tuple[Path, int] | None:
    """The checkpoint to go on from and the steps that it has done; None: begin anew.

    Args:
        output_dir: Of the training.
        wanted: ``latest`` (begins anew where there is none), or the checkpoint's folder, by path or by name.
        config: Of the training that wants to go on.
        digest: Of its manifest.

    Raises:
        UserError: No such checkpoint, or it is of another training.
    """
    if not wanted:
        return None
    if wanted == "latest":
        found = checkpoints(output_dir)
        if not found:
            return None
        path = found[-1]
    else:
        path = next((p for p in (Path(wanted), output_dir / wanted) if (p / _STATE).is_file()), Path(wanted))
    try:
        state = json.loads((path / _STATE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--resume_from_checkpoint {wanted}: not a checkpoint of a training ({error})") from error
    if state["manifest_digest"] != digest:
        raise UserError(
            f"--resume_from_checkpoint {path}: was trained on another manifest; begin a training of its own"
        )
    was = _config_of(state["config"], path)
    for name in (name for name in TrainConfig.model_fields if name not in _MAY_DIFFER):
        before, now = getattr(was, name), getattr(config, name)
        if before != now:
            raise UserError(
                f"--resume_from_checkpoint {path}: was trained with {name} {before}, not {now}; say the same again or "
                "begin anew"
            )
    return path, int(state["step"])


def _config_of(saved: Any, path: Path) -> TrainConfig:
    try:
        return TrainConfig.model_validate(saved)
    except ValidationError as error:
        raise UserError(
            f"--resume_from_checkpoint {path}: is of another version ({first_problem(error)}); begin anew"
        ) from error
