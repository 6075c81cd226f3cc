"""OpenPose: controlnet_aux's ``OpenposeDetector`` with a body estimator, OpenPose's own or the miniature world's.

OpenPose's weights are for non-commercial use; whichever are used, the profile names their licence and the manifest
carries it.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import UserError
from pipeline.imaging import openpose18
from pipeline.models.device import device
from pipeline.models.loading import loading
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
    return _people(detector(model).body_estimation, image)


def batch(model: Model, images: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """The same for many pictures of one size: the network runs once for all, what comes after in a thread each.

    What comes after is half a second of one core's time for a picture of 512 px.
    """
    body = detector(model).body_estimation
    if model.ref.kind == "tiny":  # as fast one by one
        return [_people(body, image) for image in images]
    together = _Together(body.model, len(images))

    def one(seat: int) -> list[np.ndarray]:
        mine = copy.copy(body)
        mine.model = _Seat(together, seat)
        try:
            return _people(mine, images[seat])
        except BaseException:
            together.all_here.abort()  # the others wait for this one
            raise

    with ThreadPoolExecutor(len(images), thread_name_prefix="openpose") as pool:
        done = [pool.submit(one, seat) for seat in range(len(images))]
    errors = [error for error in (future.exception() for future in done) if error]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in done]


class _Together:
    """Waits for the input of each of ``count`` threads, runs the network on all of them as one batch."""

    def __init__(self, network: Any, count: int) -> None:
        self.network = network
        self.inputs: list[Any] = [None] * count
        self.outputs: list[Any] = [None] * count
        self.all_here = threading.Barrier(count, self._run)

    def _run(self) -> None:
        import torch

        with torch.inference_mode():
            made = self.network(torch.cat(self.inputs))
        self.outputs = list(zip(*(one.split(1) for one in made), strict=True))


@dataclass(frozen=True)
class _Seat:
    """One thread's view of the network: called with one picture, it answers when all are there."""

    together: _Together
    number: int

    def parameters(self) -> Any:
        return self.together.network.parameters()

    def __call__(self, pixels: Any) -> Any:
        self.together.inputs[self.number] = pixels
        self.together.all_here.wait()
        return self.together.outputs[self.number]


def _people(body: Any, image: np.ndarray) -> list[np.ndarray]:
    import torch

    height, width = image.shape[:2]
    with torch.inference_mode():
        candidate, subset = body(np.ascontiguousarray(image[..., ::-1]))  # it wants BGR
    bodies = body.format_body_result(candidate, subset)
    poses = []
    for one in bodies:
        joints = [(0, 0, 0) if k is None else (k.x / width, k.y / height, min(k.score, 1)) for k in one.keypoints]
        poses.append(np.array(joints, np.float64))
    return poses


def _load(model: Model) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about timm's layout and mediapipe, neither of which is used
        from controlnet_aux import OpenposeDetector

    if model.ref.dtype != "float32":
        raise UserError(f'model {model.ref.repo}: the pose estimators run in float32 only; set dtype = "float32"')
    with loading(model):
        if model.ref.kind == "tiny":
            from pipeline.tiny.pose_net import load_body

            body: Any = load_body(model.network_dir(), openpose18.MIRRORED)
        else:
            body = _body(model)
        return OpenposeDetector(body.to(device()))


def _body(model: Model) -> Any:
    """OpenPose's own body estimator; its class unpickles whatever the file says, so the weights are read here."""
    import torch
    from controlnet_aux.open_pose import util
    from controlnet_aux.open_pose.body import Body
    from controlnet_aux.open_pose.model import bodypose_model

    body = Body.__new__(Body)
    body.model = bodypose_model()
    weights = torch.load(model.file(), map_location="cpu", weights_only=True)
    body.model.load_state_dict(util.transfer(body.model, weights))
    body.model.eval().requires_grad_(False)
    return body
