"""OpenPose: controlnet_aux's ``OpenposeDetector`` with a body estimator, OpenPose's own or the miniature world's.

OpenPose's weights are for non-commercial use; whichever are used, the profile names their licence and the manifest
carries it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import UserError
from pipeline.imaging import openpose18
from pipeline.models.device import device
from pipeline.models.resident import shared_instance
from pipeline.models.resolve import Model

if TYPE_CHECKING:
    from controlnet_aux import OpenposeDetector


def detector(model: Model) -> OpenposeDetector:
    """The process's detector (it keeps no state between pictures)."""
    return shared_instance(("pose", model), lambda: _load(model))


def people(model: Model, image: np.ndarray) -> list[np.ndarray]:
    """Everybody in a picture, see :func:`pipeline.models.extractors.people`.

    Like ``detect_poses``, which gives the same places but drops how sure the estimator is of each.
    """
    import torch

    finder = detector(model)
    height, width = image.shape[:2]
    with torch.inference_mode():
        candidate, subset = finder.body_estimation(np.ascontiguousarray(image[..., ::-1]))  # it wants BGR
    bodies = finder.body_estimation.format_body_result(candidate, subset)
    poses = []
    for body in bodies:
        joints = [(0, 0, 0) if k is None else (k.x / width, k.y / height, min(k.score, 1)) for k in body.keypoints]
        poses.append(np.array(joints, np.float64))
    return poses


def _load(model: Model) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about timm's layout and mediapipe, neither of which is used
        from controlnet_aux import OpenposeDetector

    if model.ref.dtype != "float32":
        raise UserError(f'model {model.ref.repo}: the pose estimators run in float32 only; set dtype = "float32"')
    if model.ref.kind == "tiny":
        from pipeline.tiny.pose_net import load_body

        body: Any = load_body(model.network_dir(), openpose18.MIRRORED)
    else:  # OpenPose's own
        from controlnet_aux.open_pose.body import Body

        body = Body(str(model.file()))
    return OpenposeDetector(body.to(device()))
