"""BlazePose (Bazarevsky et al. 2020, arXiv 2006.10204) for photographs: two small networks, fast without a GPU.

A detector finds the people, a second network reads 33 landmarks in the square around each. Both run in LiteRT, from the
files that ``spotdiff models fetch photos`` gets. The steps between are MediaPipe's (Apache-2.0), in a file each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.config import UserError
from pipeline.imaging.keypoints import oks
from pipeline.models.extractors.blazepose import detection, region
from pipeline.models.extractors.blazepose.landmarks import openpose_from_landmarks
from pipeline.models.fetch import fetch_command
from pipeline.models.resident import per_thread, shared_instance
from pipeline.models.resolve import Model

DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"
_MIN_SCORE, _MIN_IOU = 0.5, 0.15
"""Of a detection (as MediaPipe has it), and of two boxes that are one person's."""
_MIN_SURE = 0.6
"""Product of the detector's score and the second network's flag: cats and cups get one of the two, seldom both."""
_MIN_PRESENT = 0.4
"""Mean presence of the joints: 7 of 18. A cat's face passes for a person's, but without the joints."""
_SAME = 0.5
"""OKS of two poses that are one person's."""


class _Networks(NamedTuple):
    detector: Any
    landmarks: Any


def people(model: Model, image: np.ndarray) -> list[np.ndarray]:
    """Everybody in a picture, see :func:`pipeline.models.extractors.people`."""
    networks = per_thread(("blazepose", model), lambda: _load(model))
    square, from_square = detection.letterbox(image)
    raw, logits = _run(networks.detector, square, 2)
    found = detection.merge(detection.decode(raw[0], logits[0], _MIN_SCORE), _MIN_IOU)
    poses: list[np.ndarray] = []
    for score, points in zip(found.scores, found.points, strict=True):
        hips, rim, *_ = region.to_picture(points, from_square)
        if (hips == rim).all():
            continue
        area = region.region(hips, rim)
        marks, flag = _run(networks.landmarks, region.cut(image, area), 2)
        pose = openpose_from_landmarks(marks[0], region.SIDE)
        if score * float(flag.item()) < _MIN_SURE or pose[:, 2].mean() < _MIN_PRESENT:
            continue
        pose[:, :2] = region.to_picture(pose[:, :2], area) / image.shape[1::-1]
        pose[((pose[:, :2] < 0) | (pose[:, :2] > 1)).any(axis=1)] = 0.0
        if pose[:, 2].any() and all(oks(other, pose) < _SAME for other in poses):
            poses.append(pose)
    return poses


def _load(model: Model) -> _Networks:
    """A thread's own interpreters (they keep tensors between calls) around the process's one copy of the files."""
    interpreter, *files = shared_instance(("blazepose", model), lambda: _read(model))
    networks = [interpreter(model_content=content, num_threads=1) for content in files]
    for network in networks:
        network.allocate_tensors()
    return _Networks(*networks)


def _read(model: Model) -> tuple[Any, bytes, bytes]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError(
            f"model {model.ref.repo}: {error}; install the extra photos: pip install -c constraints.txt -e '.[photos]'"
        ) from error
    folder = model.folder(DETECTOR, LANDMARKS)
    return Interpreter, _bytes(model, folder / DETECTOR), _bytes(model, folder / LANDMARKS)


def _bytes(model: Model, path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"model {model.ref.repo}: {path} is missing; run `{fetch_command(path.parent.name)}`")
    return path.read_bytes()


def _run(network: Any, tensor: np.ndarray, outputs: int) -> list[np.ndarray]:
    network.set_tensor(network.get_input_details()[0]["index"], tensor)
    network.invoke()
    return [network.get_tensor(output["index"]) for output in network.get_output_details()[:outputs]]
