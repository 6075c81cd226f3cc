"""One variation made again, from what the manifest's footer says and the source alone.

The quick way makes one picture: the subject at the attempt that was accepted, then its background. Where that comes out
different (a device may round differently by the size of a batch), all of the source's pictures are made in the very
batches of the build.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from pipeline import ids
from pipeline.config import BuildConfig, Profile, UserError, first_problem
from pipeline.exports.lookup import row_of
from pipeline.inputs.listing import list_sources
from pipeline.manifest.read import Manifest
from pipeline.models.resolve import Model
from pipeline.records import Listed, Posed, Source, Subject, Variation
from pipeline.stages.backgrounds import InpaintBackgrounds
from pipeline.stages.masks import SegmentSubjects
from pipeline.stages.recipe import recipe
from pipeline.stages.rounds import Rounds
from pipeline.stages.subjects import GenerateSubjects

_MOST_ATTEMPTS = 10_000
"""How far an accepted attempt's number is searched for; ``--retry rejected`` counts on without end."""


@dataclass(frozen=True)
class Remade:
    """A picture that was made again.

    Attributes:
        image: PNG bytes.
        expected: sha256 that the manifest has of it, 64 hex.
        in_batches: Whether it took the batches of the build.
        changed: Share of the pixels that differ from the manifest's picture, 0..1.
        largest, mean: Largest and mean absolute difference of a channel, 0..255.
        models: Roles of the models whose files are not those of the build.
    """

    image: bytes
    expected: str
    in_batches: bool
    changed: float
    largest: int
    mean: float
    models: tuple[str, ...]

    @property
    def same(self) -> bool:
        return hashlib.sha256(self.image).hexdigest() == self.expected


def reproduce(
    manifest: Manifest,
    variation_id: str,
    *,
    source: str | None = None,
    poses: str | None = None,
    models_root: str | None = None,
) -> Remade:
    """Makes one variation again.

    Args:
        manifest: Whose footer says how.
        variation_id: Which one.
        source: The source's file, or a folder to look for it in; None: where the build had it.
        poses: The pose file; None: the one of the build.
        models_root: See :class:`pipeline.config.BuildConfig`; None: that of the build.

    Raises:
        UserError: The footer does not say how, the source is not there, or its pose comes out different.
    """
    row = row_of(manifest, variation_id)
    told = {"poses": poses, "models_root": models_root, "sources": (source,) if source else None}
    profile, config = _settings(manifest, row, told)
    _, find_poses, subjects, backgrounds = stages = recipe(profile, config)
    assert isinstance(subjects, Rounds)
    assert isinstance(backgrounds, Rounds)
    posed = _posed(stages[0], find_poses, _listed(config, row["source_id"], manifest), row)
    image = _alone(posed, subjects, backgrounds, row)
    in_batches = image is None or hashlib.sha256(image).hexdigest() != row["sha256"]
    if in_batches:
        image = _in_batches(posed, subjects, backgrounds, row) or image
    if image is None:
        raise UserError(f"variation {variation_id}: comes out without a picture here (numbers that are not finite)")
    return Remade(
        image, row["sha256"], in_batches, *_off(image, row["image"]["bytes"]), _other_models(manifest, config)
    )


def _settings(manifest: Manifest, row: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[Profile, BuildConfig]:
    """Profile and config of the build that made a row; of several that were merged, the one with the row's seed."""
    for footer in manifest.footer.get("merged") or [manifest.footer]:
        if "profile" not in footer or "config" not in footer:
            raise UserError(
                f"manifest {manifest.path}: its footer does not say how it was made; take the manifest that its rows "
                "are from, or name that with `spotdiff filter --parent`"
            )
        try:
            profile = Profile.model_validate(footer["profile"])
            values = {**footer["config"], **{name: value for name, value in told.items() if value is not None}}
            config = BuildConfig.model_validate(values)
        except ValidationError as error:
            raise UserError(f"manifest {manifest.path}: footer: {first_problem(error)}") from error
        key = (row["source_id"], "variations", row["subject_id"], row["background_id"], row["attempt"], config.seed)
        if ids.seed_for(*key) == row["background_seed"]:
            return profile, config
    raise UserError(
        f"manifest {manifest.path}: variation {row['variation_id']} does not have the seed that its build gives it; "
        "is the manifest sound? (`spotdiff validate`)"
    )


def _listed(config: BuildConfig, source_id: str, manifest: Manifest) -> Listed:
    """The source's file: the one whose bytes have its id."""
    from pipeline.inputs.files import NotAFile, open_file

    for listed in list_sources(config.sources, None, config.poses):
        try:
            with open_file(listed.location) as file:
                if ids.source_id(file.read()) == source_id:
                    return listed
        except (NotAFile, OSError):
            continue
    places = ", ".join(config.sources)
    raise UserError(
        f"manifest {manifest.path}: no file in {places} is the source {source_id} (first 16 hex of its sha256); "
        "name it, or a folder it is in, with --source"
    )


def _posed(sources: Any, find_poses: Any, listed: Listed, row: Mapping[str, Any]) -> Posed:
    (opened,) = sources.process([listed])
    assert isinstance(opened, Source)
    if not opened.ok:
        raise UserError(f"source {listed.path}: {opened.reason or opened.error}")
    (posed,) = find_poses.process(find_poses.expand([opened]))
    assert isinstance(posed, Posed)
    if posed.pose_id != row["pose_id"]:
        found = f"pose {posed.pose_id}" if posed.ok else f"no pose ({posed.reason or posed.error})"
        raise UserError(
            f"source {listed.path}: {found} is found in it now, not {row['pose_id']}; the pose file has changed, or "
            "the extractor computes differently here: name the build's pose file with --poses"
        )
    return posed


def _alone(posed: Posed, subjects: Rounds, backgrounds: Rounds, row: Mapping[str, Any]) -> bytes | None:
    """The picture from one subject and one background; None: none comes out."""
    generate, inpaint = subjects.generate, backgrounds.generate
    assert isinstance(generate, GenerateSubjects)
    assert isinstance(inpaint, InpaintBackgrounds)
    slot: Subject = _slot(generate.expand([posed]), "subject_id", row, generate.bank.name)
    slot = replace(slot, subject_attempt=_attempt(row, generate.seed))
    (made,) = generate.finish([slot], generate.denoise([slot]))
    if not made.ok:
        return None
    segmenter = next(step for step in subjects.steps if isinstance(step, SegmentSubjects))
    (segmented,) = segmenter.process([made])
    slot_there: Variation = _slot(inpaint.expand([segmented]), "background_id", row, inpaint.bank.name)
    slot_there = replace(slot_there, attempt=row["attempt"])
    (done,) = inpaint.finish([slot_there], inpaint.denoise([slot_there]))
    return done.image if done.ok else None


def _slot(slots: Any, factor: str, row: Mapping[str, Any], bank: str) -> Any:
    prompt = f"{factor.removesuffix('_id')}_prompt"
    for slot in slots:
        if getattr(slot, factor) == row[factor] and getattr(slot, prompt) == row[prompt]:
            return slot
    raise UserError(f"bank {bank}: is not that of the build: it does not give {row[factor]} ({row[prompt]!r}) here")


def _attempt(row: Mapping[str, Any], run_seed: int) -> int:
    """Which attempt at the subject was accepted: the manifest holds its seed only."""
    for attempt in range(_MOST_ATTEMPTS):
        if ids.seed_for(row["source_id"], "subjects", row["subject_id"], "", attempt, run_seed) == row["subject_seed"]:
            return attempt
    raise UserError(f"variation {row['variation_id']}: its subject_seed is none of the build's; is the manifest sound?")


def _in_batches(posed: Posed, subjects: Rounds, backgrounds: Rounds, row: Mapping[str, Any]) -> bytes | None:
    """The picture out of all of the source's, batched as in the build; None: it is not accepted here."""
    accepted = [one for one in _in_order(subjects, [posed]) if one.ok]
    for one in _in_order(backgrounds, accepted):
        if one.variation_id == row["variation_id"] and one.ok:
            image: bytes = one.image
            return image
    return None


def _in_order(stage: Rounds, rows: list[Any]) -> list[Any]:
    slots = stage.expand(rows)
    done = {row.slot: row for row in stage.process(slots)}
    return [done[slot.slot] for slot in slots]


def _off(ours: bytes, theirs: bytes) -> tuple[float, int, float]:
    """Share of pixels that differ, largest and mean difference of a channel."""
    mine, other = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int16) for png in (ours, theirs))
    if mine.shape != other.shape:
        return 1.0, 255, 255.0
    off = np.abs(mine - other)
    return float((off.max(axis=-1) > 0).mean()), int(off.max()), float(off.mean())


def _other_models(manifest: Manifest, config: BuildConfig) -> tuple[str, ...]:
    """Roles whose model is here another one than the footer's."""
    profile = Profile.model_validate((manifest.footer.get("merged") or [manifest.footer])[0]["profile"])
    told = {model.get("role"): model.get("fingerprint") for model in manifest.footer.get("models") or ()}
    unused = {"extractor"} if config.poses else set()
    return tuple(
        role
        for role, ref in profile.models.roles()
        if role.partition(".")[0] not in unused
        and told.get(role)
        and Model(ref, config.models_root).fingerprint() != told[role]
    )
