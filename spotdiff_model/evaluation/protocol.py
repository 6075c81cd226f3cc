"""How everything was measured, for metrics.json: numbers of other protocols must not be put beside these."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from pipeline.config import Profile
from pipeline.manifest.footer import code_version
from spotdiff_model.config import Sampling
from spotdiff_model.evaluation.generation.look_alikes import LOOK_ALIKES
from spotdiff_model.evaluation.generation.requests import RequestSettings
from spotdiff_model.evaluation.scoring import ScoringSettings
from spotdiff_model.evaluation.settings import EvaluateConfig
from tinyworld.judges.attributes import PixelJudges

_LIBRARIES = ("torch", "diffusers", "transformers", "scikit-learn", "concept-erasure", "numpy")


def wanted_pictures(config: EvaluateConfig) -> RequestSettings:
    """How many pictures an evaluation asks for."""
    return RequestSettings(config.subjects, config.backgrounds, config.poses, config.edits)


def protocol(
    config: EvaluateConfig,
    profile: Profile,
    sampling: Sampling,
    settings: ScoringSettings,
    counts: Mapping[str, int],
    judges: PixelJudges | None,
) -> dict[str, Any]:
    """Backbones, preprocessing, probes, prompts, seeds and numbers of pictures; JSON-able.

    Args:
        config: The evaluation's options.
        profile: Of the manifest.
        sampling: Of the judged encoder's pictures.
        settings: Of probes and dependences.
        counts: Rows ``judged`` and ``fitted``, ``pictures`` generated.
        judges: Pixel judges, where the profile has some.
    """
    mlp = settings.mlp
    return {
        "reconstruction": "Subject encoder and protocol are our reconstruction; the paper's are not public to us.",
        "seeds": list(range(config.seeds)),
        "rows": {"judged": counts["judged"], "fitted": counts["fitted"]},
        "probes": {
            "linear": {**vars(settings.linear), "model": "ridge regression (R2), logistic regression (accuracy)"},
            "mlp": None if mlp is None else {**vars(mlp), "model": "64 hidden units", "seeds": 1},
            "held_out": {
                "pose": "subjects",
                "background": "subjects",
                "subject": "poses and backgrounds",
                "attributes": "subjects, poses and backgrounds: fitted on the training split",
            },
            "permuted": "f_s, labels permuted among the pictures, first seed",
            "normalised": "between chance and the better of CLIP's embedding and its tokens (256 components)",
        },
        "retrieval": {
            "distance": "cosine",
            "easy": "all pictures that share neither of the other two factors with the query",
            "hard": "besides, all that have both other factors of the query, but not the judged one",
        },
        "ranking": {
            "true views": "all pictures of the query's subject before another background",
            "impostors": "all pictures of other subjects before the query's background",
            "margin": 0.0,
            "strangers": "the same, without the query's near twins among the impostors",
        },
        "twins": "true views and pictures of near twins, both before another background and in another pose",
        "errors": "standard errors of means, clustered by subject (CR1)",
        "dependence": f"bias-corrected squared distance correlation, 500 rows, {settings.permutations} permutations",
        "clip": {**profile.models.clip.model_dump(), "preprocessing": "the repo's CLIPImageProcessor"},
        "generation": _generation(config, sampling, counts["pictures"], judges) if counts["pictures"] else None,
        "dino": config.dino or "not measured: no weights were named (--dino)",
        "profile": profile.name,
        "versions": {
            "spotdiff10k": code_version(),
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
    }


def _generation(
    config: EvaluateConfig, sampling: Sampling, pictures: int, judges: PixelJudges | None
) -> dict[str, Any]:
    return {
        **wanted_pictures(config).described(),
        **sampling.model_dump(mode="json"),
        "pictures": pictures,
        "seed": 0,
        "requests": config.requests or "drawn by seed 0",
        "copy_geo": "(angle to truth - angle to reference) / angle between them; identity: CLIP of the subject on "
        "grey; pose: keypoints without place and size; background: CLIP with the person greyed",
        "look_alikes": f"CLIP of the subject on grey; the subject and the {LOOK_ALIKES} nearest others",
        "masks": "generated pictures: SAM at the found pose; references: the manifest's masks; outside grey 127",
        "pixel_judges": {"ceilings": dict(judges.ceilings)} if judges else "none for this profile",
    }
