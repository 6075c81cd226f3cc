"""ViTPose (Xu et al. 2022) by transformers, with RT-DETR to find the people: all pictures at once, half precision too.

Both are Apache-2.0, unlike OpenPose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.config import UserError
from pipeline.imaging.keypoints import openpose_from_coco
from pipeline.models.device import device, dtype_of, quieten
from pipeline.models.loading import loading
from pipeline.models.resident import shared_instance
from pipeline.models.resolve import Model

_MIN_PERSON, _MIN_JOINT = 0.3, 0.3
"""Scores below which a detection or a joint is not there, as the models' own examples have it."""


class _Networks(NamedTuple):
    pose: Any
    pose_processor: Any
    detector: Any
    detector_processor: Any
    person: int


def people(model: Model, image: np.ndarray) -> list[np.ndarray]:
    """Everybody in a picture, see :func:`pipeline.models.extractors.people`."""
    return batch(model, [image])[0]


def batch(model: Model, images: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Everybody in each of many pictures."""
    import torch

    networks = shared_instance(("vitpose", model), lambda: _load(model))
    with torch.inference_mode():
        boxes = _boxes(networks, images)
        found: list[list[np.ndarray]] = [[] for _ in images]
        where = [at for at, of_picture in enumerate(boxes) if of_picture]
        if not where:
            return found
        told = [boxes[at] for at in where]
        inputs = networks.pose_processor([images[at] for at in where], boxes=told, return_tensors="pt")
        pixels = inputs["pixel_values"].to(networks.pose.device, networks.pose.dtype)
        heatmaps = networks.pose(pixels)
        heatmaps.heatmaps = heatmaps.heatmaps.float()
        for at, poses in zip(where, networks.pose_processor.post_process_pose_estimation(heatmaps, told), strict=True):
            size = images[at].shape[1::-1]
            found[at] = [_pose(pose["keypoints"].numpy() / size, pose["scores"].numpy()) for pose in poses]
    return found


def _boxes(networks: _Networks, images: Sequence[np.ndarray]) -> list[list[list[float]]]:
    """Each picture's people as ``[x, y, width, height]`` in pixels."""
    detector = networks.detector
    inputs = networks.detector_processor(images=list(images), return_tensors="pt")
    seen = detector(inputs["pixel_values"].to(detector.device, detector.dtype))
    seen.logits, seen.pred_boxes = seen.logits.float(), seen.pred_boxes.float()
    sizes = [image.shape[:2] for image in images]
    found = networks.detector_processor.post_process_object_detection(seen, target_sizes=sizes, threshold=_MIN_PERSON)
    boxes = []
    for of_picture, (height, width) in zip(found, sizes, strict=True):
        corners = of_picture["boxes"][of_picture["labels"] == networks.person].cpu().numpy()
        corners = corners.clip(0, [width, height, width, height])
        corners[:, 2:] -= corners[:, :2]
        boxes.append(corners[(corners[:, 2:] >= 1).all(axis=1)].tolist())
    return boxes


def _pose(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """OpenPose-18 of COCO-17 points ``[17, 2]`` in 0..1; joints outside the picture are not there."""
    sure = np.where((scores >= _MIN_JOINT) & ((points >= 0) & (points <= 1)).all(axis=1), scores.clip(0, 1), 0)
    return openpose_from_coco(np.column_stack([points, sure]).astype(np.float64))


def _load(model: Model) -> _Networks:
    from transformers import (
        AutoImageProcessor,
        AutoModelForObjectDetection,
        VitPoseForPoseEstimation,
        VitPoseImageProcessor,
    )

    quieten()
    boxes = model.detector
    if boxes is None:
        raise UserError(f"model {model.ref.repo}: kind 'vitpose' reads a person's box; name a detector in the profile")
    with loading(model, boxes):
        folder, other = model.network_dir(), boxes.network_dir()
        pose = VitPoseForPoseEstimation.from_pretrained(folder, dtype=dtype_of(model.ref), use_safetensors=True)
        detector = AutoModelForObjectDetection.from_pretrained(other, dtype=dtype_of(boxes.ref), use_safetensors=True)
        person = {name.lower(): number for number, name in detector.config.id2label.items()}.get("person")
        if person is None:
            raise UserError(f"model {boxes.ref.repo}: its labels know no person")
        return _Networks(
            pose.to(device()).eval().requires_grad_(False),
            VitPoseImageProcessor.from_pretrained(folder),
            detector.to(device()).eval().requires_grad_(False),
            AutoImageProcessor.from_pretrained(other),
            int(person),
        )
