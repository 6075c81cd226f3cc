"""The whole build, in order: what a profile and a build config come to."""

from __future__ import annotations

from pipeline import banks
from pipeline.config import BuildConfig, ModelRef, Profile
from pipeline.models.resolve import Model
from pipeline.stages import photo_gates
from pipeline.stages.backgrounds import InpaintBackgrounds
from pipeline.stages.base import Stage
from pipeline.stages.masks import SegmentSubjects
from pipeline.stages.poses import FindPoses
from pipeline.stages.quality import DistinctSubjects, JudgeSubjects, JudgeVariations
from pipeline.stages.rounds import Rounds, Step
from pipeline.stages.safety import CheckSafety
from pipeline.stages.sources import Sources
from pipeline.stages.subjects import GenerateSubjects


def recipe(profile: Profile, config: BuildConfig) -> list[Stage]:
    """The stages of a build: sources, poses, subjects, variations. Loads no model.

    Raises:
        UserError: A bank or a shipped model is missing, or the bank is too small.
    """

    def model(ref: ModelRef) -> Model:
        return Model(ref, config.models_root)

    models = profile.models
    sam, pose, clip = model(models.sam), model(models.pose), model(models.clip)
    vae = model(models.vae) if models.vae else None
    safety: tuple[Step, ...] = (CheckSafety(model(models.safety_checker)),) if models.safety_checker else ()
    photos: tuple[Step, ...] = ()
    if photo_gates.wanted(profile.quality):
        photos = (photo_gates.JudgePhotos(profile.quality, profile.masks, sam, pose),)
    subjects, backgrounds = banks.load(profile.subject_bank), banks.load(profile.background_bank)
    return [
        Sources.of(profile.sources),
        FindPoses(
            poses=profile.poses,
            size=profile.sources.size,
            extractor=model(models.extractor or models.pose),
            file=config.poses,
            splits=profile.splits,
            seed=config.seed,
        ),
        Rounds(
            name="subjects",
            generate=GenerateSubjects(
                subjects=profile.subjects,
                base=model(models.base),
                controlnet=model(models.controlnet),
                scheduler=profile.schedulers["subjects"],
                bank=subjects,
                count=config.subjects,
                seed=config.seed,
                vae=vae,
                runtime=profile.runtime,
            ),
            steps=(*safety, SegmentSubjects(profile.masks, sam), JudgeSubjects(profile.quality, pose, clip)),
            siblings=DistinctSubjects(profile.quality.min_sibling_distance),
            max_attempts=profile.subjects.max_attempts,
            pad_batches=profile.runtime.compile,
        ),
        Rounds(
            name="variations",
            generate=InpaintBackgrounds(
                backgrounds=profile.backgrounds,
                inpaint=model(models.inpaint),
                scheduler=profile.schedulers["backgrounds"],
                bank=backgrounds,
                count=config.backgrounds,
                seed=config.seed,
                vae=vae,
                runtime=profile.runtime,
            ),
            steps=(*safety, JudgeVariations(profile.quality, clip), *photos),
            max_attempts=profile.backgrounds.max_attempts,
            pad_batches=profile.runtime.compile,
        ),
    ]
