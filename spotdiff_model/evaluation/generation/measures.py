"""Measures of generated pictures: is the subject kept, is there what was asked for, what is copied?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.imaging.keypoints import oks
from spotdiff_model.evaluation.clusters import clustered_error, error_key
from spotdiff_model.evaluation.generation.copying import WAYS, copied, greyed
from spotdiff_model.evaluation.generation.look_alikes import Gallery, look_alike_precision
from spotdiff_model.evaluation.generation.observe import Seen
from spotdiff_model.evaluation.generation.requests import EDITED, PARTS, Request
from spotdiff_model.evaluation.metrics import generation_key
from tinyworld.judges.attributes import JUDGED, PixelJudges, crown_color

COPIED = 0.5
"""Object keypoint similarity from which on a pose counts as the same (COCO's loosest threshold)."""
_POSES = {
    "oks_reference": "OKS with the reference's pose",
    "oks_asked": "OKS with the asked pose",
    "pose_copy_rate": "pose copied",
    "pose_followed": "pose followed",
    "pose_copy_chance": "pose copied, by chance",
}
_ATTRIBUTES = {
    "attributes_kept": "attributes kept",
    "edit_done": "edit done",
    **{f"kept_{name}": f"kept: {name}" for name in JUDGED},
}
MEASURES = {
    "clip_t": "CLIP-T",
    "clip_i": "CLIP-I",
    "clip_i_masked": "CLIP-I, masked",
    "dino": "DINO",
    "dino_masked": "DINO, masked",
    "person_found": "person found",
    "background_copy_rate": "background copied",
    **{f"copy_geo_{way}": f"copy_geo, {way}" for way in WAYS},
    "look_alike_map": "mAP among look-alikes",
    "look_alike_chance": "mAP among look-alikes, by chance",
    **_POSES,
    **_ATTRIBUTES,
    "internal_variance": "internal variance",
}
"""All that is measured, with its title, in the report's order."""
Embed = Callable[[Sequence[Image.Image]], np.ndarray]
"""Pictures to unit vectors ``[N, D]``."""
EmbedText = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class PictureModels:
    """What generated pictures are looked at with.

    Attributes:
        see: Pose and mask of the person in a picture.
        clip, text: CLIP's embeddings.
        dino: DINO's embedding, or None where its weights are not to be had.
        pixels: Attribute judges of the miniature world, or None for other worlds.
        gallery: Real pictures, for generated ones to find their subject in; None: not measured.
    """

    see: Callable[[Image.Image], Seen]
    clip: Embed
    text: EmbedText
    dino: Embed | None = None
    pixels: PixelJudges | None = None
    gallery: Gallery | None = None


def measure_pictures(
    requests: Sequence[Request], pictures: Sequence[Image.Image], models: PictureModels
) -> dict[str, float]:
    """All measures of generated pictures.

    Args:
        requests: What was asked for.
        pictures: What came, in the same order.
        models: What they are looked at with.

    Returns:
        Values by ``generation/PART/MEASURE``, and under ``..._error`` standard errors clustered by subject:

        - ``clip_t``: cosine of picture and prompt (the class noun in the place of ``S*``);
        - ``clip_i``, ``clip_i_masked``: cosine of picture and reference, whole, and with all but the subject greyed;
          ``dino``, ``dino_masked`` likewise;
        - ``internal_variance``: variance of the masked CLIP embedding over a subject's pictures, summed over channels;
        - ``person_found``: share of the pictures with one main person;
        - ``pose_copy_rate``: share whose pose is the reference's (OKS of at least 0.5); ``pose_copy_chance``: the same
          for the poses that were asked for, i.e. of a generator that obeys (without an asked pose: of the other
          references' poses); ``pose_followed``: share whose pose is the asked one; ``oks_reference``, ``oks_asked``;
        - ``background_copy_rate``: share that CLIP finds nearer to the reference's background than to the asked one;
        - ``copy_geo_identity``, ``_pose``, ``_background``: -1 the truth, +1 the reference
          (:mod:`~spotdiff_model.evaluation.generation.copying`);
        - ``look_alike_map``: the generated picture as a query among real pictures of its subject and its look-alikes;
        - ``attributes_kept``: share of the subject's visible attributes that pixel judges find again (all count as lost
          where no person is found), and by attribute; ``edit_done``: share with a red crown on the head.
    """
    seen = [models.see(picture) for picture in pictures]
    masked = [greyed(picture, look.mask) for picture, look in zip(pictures, seen, strict=True)]
    references = [request.reference for request in requests]
    cut = [greyed(request.reference, request.reference_mask) for request in requests]
    embedded = {
        "": (models.clip(pictures), models.clip(references)),
        "_masked": (models.clip(masked), models.clip(cut)),
    }
    rows = {
        "clip_t": _cosines(embedded[""][0], models.text([request.spoken for request in requests])),
        **{f"clip_i{kind}": _cosines(ours, theirs) for kind, (ours, theirs) in embedded.items()},
        **_dino(pictures, references, masked, cut, models.dino),
        "person_found": np.array([float(look.pose is not None) for look in seen]),
        "background_copy_rate": _backgrounds_copied(requests, embedded[""][0], models.text),
        **_poses(requests, seen),
        **copied(requests, pictures, seen, models.clip),
        **_look_alikes(requests, embedded["_masked"][0], models.gallery),
        **(_attributes(requests, pictures, seen, models.pixels) if models.pixels else {}),
    }
    subjects = np.array([request.subject for request in requests])
    parts = np.array([request.part for request in requests])
    found: dict[str, float] = {}
    for part in PARTS:
        here = parts == part
        for name, values in rows.items():
            counted = here & ~np.isnan(values)
            if counted.any():
                key = generation_key(part, name)
                found[key] = float(values[counted].mean())
                error = clustered_error(values[counted], subjects[counted])
                found |= {} if error is None else {error_key(key): error}
        variance = _internal_variance(embedded["_masked"][0][here], [r.subject for r in requests if r.part == part])
        if variance is not None:
            found[generation_key(part, "internal_variance")] = variance
    return found


def _look_alikes(requests: Sequence[Request], masked: np.ndarray, gallery: Gallery | None) -> Mapping[str, np.ndarray]:
    if gallery is None:
        return {}
    precision, chance = look_alike_precision(masked, requests, gallery)
    return {"look_alike_map": precision, "look_alike_chance": chance}


def _poses(requests: Sequence[Request], seen: Sequence[Seen]) -> Mapping[str, np.ndarray]:
    """Measures of each picture's pose; NaN where a measure does not apply."""
    rows = {name: np.full(len(requests), np.nan) for name in _POSES}
    poses = list({request.subject: request.reference_pose for request in requests}.values())
    for number, (request, look) in enumerate(zip(requests, seen, strict=True)):
        reference = 0.0 if look.pose is None else oks(request.reference_pose, look.pose)
        rows["oks_reference"][number] = reference
        rows["pose_copy_rate"][number] = reference >= COPIED
        if request.pose is not None:
            asked = 0.0 if look.pose is None else oks(request.pose, look.pose)
            rows["oks_asked"][number] = asked
            rows["pose_followed"][number] = asked >= COPIED
            rows["pose_copy_chance"][number] = oks(request.reference_pose, request.pose) >= COPIED
        else:
            others = [oks(request.reference_pose, pose) for pose in poses if pose is not request.reference_pose]
            if others:
                rows["pose_copy_chance"][number] = np.mean([value >= COPIED for value in others])
    return rows


def _attributes(
    requests: Sequence[Request], pictures: Sequence[Image.Image], seen: Sequence[Seen], judges: PixelJudges
) -> Mapping[str, np.ndarray]:
    rows = {name: np.full(len(requests), np.nan) for name in _ATTRIBUTES}
    found_at = [number for number, look in enumerate(seen) if look.pose is not None]
    images = np.stack([np.asarray(picture) for picture in pictures])
    poses = {number: pose for number in found_at if (pose := seen[number].pose) is not None}
    read = judges.read_all(images[found_at], np.stack([*poses.values()])) if poses else []
    read_at = dict(zip(found_at, read, strict=True))
    for number, request in enumerate(requests):
        asked = {name: request.attributes[name] for name in JUDGED}
        kept = {name: value for name, value in asked.items() if request.part != "edit" or name not in EDITED}
        if number in read_at:
            attributes = read_at[number]
            right = {name: attributes[name] == value for name, value in kept.items() if name in attributes}
        else:
            right = dict.fromkeys(kept, False)
        if right:
            rows["attributes_kept"][number] = np.mean(list(right.values()))
        for name, hit in right.items():
            rows[f"kept_{name}"][number] = hit
        if request.part == "edit" and "hat" in read_at.get(number, {}):
            rows["edit_done"][number] = crown_color(images[number], poses[number]) == EDITED["hat_color"]
    return rows


def _backgrounds_copied(requests: Sequence[Request], pictures: np.ndarray, text: EmbedText) -> np.ndarray:
    asked = _cosines(pictures, text([request.background for request in requests]))
    reference = _cosines(pictures, text([request.reference_background for request in requests]))
    return (reference > asked).astype(float)


def _dino(
    pictures: Sequence[Image.Image],
    references: Sequence[Image.Image],
    masked: Sequence[Image.Image],
    cut: Sequence[Image.Image],
    dino: Embed | None,
) -> Mapping[str, np.ndarray]:
    if dino is None:
        return {}
    return {"dino": _cosines(dino(pictures), dino(references)), "dino_masked": _cosines(dino(masked), dino(cut))}


def _internal_variance(embedded: np.ndarray, subjects: Sequence[str]) -> float | None:
    """Mean over the subjects with two pictures or more."""
    names = np.array(subjects)
    groups = [embedded[names == name] for name in sorted(set(subjects))]
    spreads = [group.var(axis=0).sum() for group in groups if len(group) > 1]
    return float(np.mean(spreads)) if spreads else None


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosines: np.ndarray = (a * b).sum(axis=1).astype(np.float64)
    return cosines
