"""A small bottom-up pose network that stands behind controlnet_aux's ``OpenposeDetector`` as its body estimator.

    detector = OpenposeDetector(load_body(folder, mirrored))
    detector.detect_poses(image)

The network sees the picture at 64 px and answers on a 16 x 16 grid: 19 heatmaps (18 joints and the person's centre),
for each joint the offset from the cell to the joint, and for each joint the way from the cell to the centre of the
person it belongs to. Joints are grouped by where they say their person's centre is: any number of people can be found.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

KEYPOINT_CHANNELS = 18
"""Keypoints that the network answers for, in OpenPose's order: one channel each of heatmaps, offsets and centres."""
CENTRE = KEYPOINT_CHANNELS
"""Channel of the heatmap of centres, which comes after the keypoints'."""


@dataclass(frozen=True)
class PoseNetConfig:
    """Shape of the network and thresholds of the decoding; ``config.json`` of a weights folder.

    Attributes:
        image_size: Side of the input in pixels; the grid has a quarter of it.
        channels: At strides 2, 4, 8 and 16.
        blocks: Residual blocks at strides 2, 4, 8 and 16.
        joint_threshold, centre_threshold: Height above which a heatmap's peak counts.
        vote_radius: How far a joint's vote may be from a centre, in image sides.
        min_joints: People with fewer joints are dropped (as OpenPose does).
    """

    image_size: int = 64
    channels: tuple[int, int, int, int] = (32, 64, 96, 128)
    blocks: tuple[int, int, int, int] = (1, 2, 2, 2)
    joint_threshold: float = 0.15
    centre_threshold: float = 0.3
    vote_radius: float = 0.25
    min_joints: int = 4

    @property
    def grid(self) -> int:
        return self.image_size // 4


class PoseMaps(NamedTuple):
    """What the network says of B pictures on a G x G grid.

    Attributes:
        heatmaps: [B, 19, G, G] logits.
        offset: [B, 18, 2, G, G] from the cell's middle to the joint, in cells.
        centre: [B, 18, 2, G, G] from the cell's middle to the centre of the joint's person, in image sides.
    """

    heatmaps: Tensor
    offset: Tensor
    centre: Tensor


def _conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class PoseNet(nn.Module):
    """An hourglass of residual blocks: down to stride 16, where it sees the whole figure, and back up to stride 4."""

    def __init__(self, config: PoseNetConfig) -> None:
        super().__init__()
        self.config = config
        c2, c4, c8, c16 = config.channels
        n2, n4, n8, n16 = config.blocks
        self.down2 = nn.Sequential(_conv(3, c2, stride=2, kernel=5), *(_Residual(c2) for _ in range(n2)))
        self.down4 = nn.Sequential(_conv(c2, c4, stride=2), *(_Residual(c4) for _ in range(n4)))
        self.down8 = nn.Sequential(_conv(c4, c8, stride=2), *(_Residual(c8) for _ in range(n8)))
        self.down16 = nn.Sequential(_conv(c8, c16, stride=2), *(_Residual(c16) for _ in range(n16)))
        self.lift16, self.up8 = _conv(c16, c8, kernel=1), _conv(c8, c8)
        self.lift8, self.up4 = _conv(c8, c4, kernel=1), _Residual(c4)
        self.head = nn.Sequential(_conv(c4, 2 * c4, kernel=1), nn.Conv2d(2 * c4, CENTRE + 1 + 4 * KEYPOINT_CHANNELS, 1))
        rare = -4.0  # nearly all cells are empty: start there, or the first steps are spent on learning it
        nn.init.constant_(self.head[-1].bias[: CENTRE + 1], rare)

    def forward(self, x: Tensor) -> PoseMaps:
        """Pictures [B, 3, S, S] in -1..1 to maps."""
        x4 = self.down4(self.down2(x))
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        y8 = self.up8(x8 + F.interpolate(self.lift16(x16), scale_factor=2.0))
        y4 = self.up4(x4 + F.interpolate(self.lift8(y8), scale_factor=2.0))
        out = self.head(y4)
        heatmaps, offset, centre = out.split((CENTRE + 1, 2 * KEYPOINT_CHANNELS, 2 * KEYPOINT_CHANNELS), dim=1)
        pairs = (len(x), KEYPOINT_CHANNELS, 2, *out.shape[-2:])
        return PoseMaps(heatmaps, offset.reshape(pairs), centre.reshape(pairs))


def both_ways(model: PoseNet, x: Tensor, mirrored: Sequence[int]) -> PoseMaps:
    """The mean of what the network says of pictures [B, 3, S, S] and of their mirror images ("flip test").

    Args:
        mirrored: Which keypoint each one becomes in a mirror.
    """
    plain, other = model(x), model(x.flip(-1))
    back = torch.tensor([-1.0, 1.0], device=x.device)[:, None, None]
    heatmaps = other.heatmaps[:, [*mirrored, CENTRE]].flip(-1)
    offset, centre = (way[:, list(mirrored)].flip(-1) * back for way in (other.offset, other.centre))
    return PoseMaps((plain.heatmaps + heatmaps) / 2, (plain.offset + offset) / 2, (plain.centre + centre) / 2)


def prepare(images: NDArray[np.uint8]) -> Tensor:
    """uint8 RGB [N, S, S, 3] to the network's input [N, 3, S, S]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


class TinyBody:
    """The body estimator; the same calls as ``controlnet_aux.open_pose.body.Body``.

    Args:
        model: The network.
        mirrored: Which keypoint each one becomes in a mirror: the network is asked about the mirror image too.

    Raises:
        ValueError: ``mirrored`` does not name each keypoint once.
    """

    def __init__(self, model: PoseNet, mirrored: Sequence[int]) -> None:
        if sorted(mirrored) != list(range(KEYPOINT_CHANNELS)):
            raise ValueError(f"mirrored: must name each of the {KEYPOINT_CHANNELS} keypoints once, is {mirrored}")
        self.model = model.eval()
        self.config = model.config
        self.mirrored = mirrored

    def to(self, device: Any) -> Self:
        self.model.to(device)
        return self

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Finds people.

        Args:
            image: uint8 BGR [H, W, 3]; other sizes than the network's are resized, sides that differ are squeezed.

        Returns:
            candidate: [N, 4] joints: x, y in pixels of ``image``, score in 0..1, running number.
            subset: [M, 20] people, best first: 18 indices into ``candidate`` or -1, sum of scores, count of joints.
        """
        people = self.find_people(image[None, :, :, ::-1])[0]
        height, width = image.shape[:2]
        joints: list[tuple[float, float, float, int]] = []
        rows = np.full((len(people), 20), -1.0)
        for row, person in zip(rows, people, strict=True):
            for joint in np.flatnonzero(person[:, 2]):
                x, y, score = person[joint]
                row[joint] = len(joints)
                joints.append((x * width, y * height, score, len(joints)))
            row[18:] = person[:, 2].sum(), (person[:, 2] > 0).sum()
        return np.array(joints, dtype=np.float64).reshape(-1, 4), rows

    def find_people(self, images: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """People of a batch of RGB pictures [N, H, W, 3]: for each an array [M, 18, 3] of x, y, score in 0..1."""
        side = self.config.image_size
        if images.shape[1:3] != (side, side):
            mode = cv2.INTER_AREA if images.shape[1] > side else cv2.INTER_LINEAR
            images = np.stack([cv2.resize(image, (side, side), interpolation=mode) for image in images])
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            return group(both_ways(self.model, prepare(images).to(device), self.mirrored), self.config)

    @staticmethod
    def format_body_result(candidate: NDArray[np.float64], subset: NDArray[np.float64]) -> list[Any]:
        from controlnet_aux.open_pose.body import Body  # imported late: takes seconds

        return Body.format_body_result(candidate, subset)


def group(maps: PoseMaps, config: PoseNetConfig) -> list[NDArray[np.float64]]:
    """People from maps: for each picture an array [M, 18, 3] of x, y (image sides) and score, best first."""
    heights = maps.heatmaps.sigmoid()
    peaks = heights * (heights == F.max_pool2d(heights, 3, 1, 1))
    arrays = [m.cpu().numpy().astype(np.float64) for m in (peaks, maps.offset, maps.centre)]
    return [_people(found, offset, centre, config) for found, offset, centre in zip(*arrays, strict=True)]


def _people(
    peaks: NDArray[np.float64], offset: NDArray[np.float64], centre: NDArray[np.float64], config: PoseNetConfig
) -> NDArray[np.float64]:
    """Groups the peaks of one picture ([19, G, G], [18, 2, G, G] twice) into [M, 18, 3], best first."""
    rows, columns = np.nonzero(peaks[CENTRE] > config.centre_threshold)
    centres = np.stack([columns + 0.5, rows + 0.5], axis=1) / config.grid
    people = np.zeros((len(centres), KEYPOINT_CHANNELS, 3))
    if not len(centres):
        return people
    for joint in range(KEYPOINT_CHANNELS):
        ys, xs = np.nonzero(peaks[joint] > config.joint_threshold)
        middles = np.stack([xs, ys], axis=1) + 0.5
        places = (middles + offset[joint][:, ys, xs].T) / config.grid
        votes = middles / config.grid + centre[joint][:, ys, xs].T
        scores = peaks[joint, ys, xs]
        distance = np.linalg.norm(votes[:, None] - centres[None], axis=2)
        distance[distance > distance.min(axis=1, keepdims=True)] = np.inf  # a peak serves its nearest centre only
        distance[distance > config.vote_radius] = np.inf
        worth = scores[:, None] * np.exp(-distance / config.vote_radius)
        for person in range(len(centres)):
            if len(worth) and worth[:, person].max() > 0:
                best = int(worth[:, person].argmax())
                people[person, joint] = *places[best].clip(0, 1), scores[best]
    people = people[(people[:, :, 2] > 0).sum(axis=1) >= config.min_joints]
    return people[np.argsort(-people[:, :, 2].sum(axis=1), kind="stable")]


def save_pose_net(model: PoseNet, folder: Path) -> None:
    """Writes ``config.json`` and ``model.safetensors`` (float16)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(model.config), indent=2) + "\n", "utf-8")
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")


def load_body(folder: str | Path, mirrored: Sequence[int]) -> TinyBody:
    """The body estimator of a weights folder, in float32.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors``.
        mirrored: Which keypoint each one becomes in a mirror, see :class:`TinyBody`.

    Raises:
        FileNotFoundError: One of the two files is not there.
    """
    values = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    values |= {name: tuple(values[name]) for name in ("channels", "blocks")}
    model = PoseNet(PoseNetConfig(**values))
    state = load_file(Path(folder) / "model.safetensors")
    model.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in state.items()})
    return TinyBody(model, mirrored)
