"""What a COCO-keypoints JSON says, entry by entry. Tools write it in many ways; an odd entry never spoils the rest."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.imaging.keypoints import openpose_from_coco
from pipeline.imaging.openpose18 import COCO_NAMES

_PEOPLE = {"person", "persons", "people", "human", "humans", "pedestrian"}
_ANIMALS = {"animal", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "macaque"}
_BODY = frozenset(COCO_NAMES[5:])
_ROWS = Mapping[str, Any]


class Odd(Exception):
    """An entry that is left out; the message says of what kind it is."""


@dataclass
class AnnotatedImage:
    """One entry of ``images`` with its annotations.

    Attributes:
        width, height: As the file states them, pixels; 0 where it does not.
        people: ``[18, 3]`` each, pixels of a picture of that size, and a confidence.
        others: How many more are annotated that have no keypoints, crowds among them.
        broken: What is wrong with one of its people, who then must not be passed over; None: nothing.
    """

    width: float = 0.0
    height: float = 0.0
    people: list[np.ndarray] = field(default_factory=list)
    others: int = 0
    broken: str | None = None


def pictures(data: Any) -> tuple[dict[str, list[AnnotatedImage]], Counter[str]]:
    """The pictures of a parsed file.

    Args:
        data: ``images`` and ``annotations``, perhaps ``categories``.

    Returns:
        By file name its entries (more than one where a picture was entered twice), and what was left out, by kind.

    Raises:
        ValueError: Not this layout, or nothing of it can be used.
    """
    left_out: Counter[str] = Counter()
    named: dict[str, list[AnnotatedImage]] = defaultdict(list)
    by_id: dict[str, AnnotatedImage] = {}
    name_of: dict[str, str] = {}
    for image in _rows(data, "images", left_out):
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip():
            left_out["image without file_name"] += 1
            continue
        picture = AnnotatedImage()
        try:
            picture.width, picture.height = _side(image.get("width")), _side(image.get("height"))
        except Odd as odd:
            picture.broken = str(odd)
            left_out[str(odd)] += 1
        named[name].append(picture)
        number = _id(image.get("id"))
        if name_of.setdefault(number, name) != name:
            picture.broken = by_id[number].broken = "image id that two images have"
            left_out[picture.broken] += 1
        by_id[number] = picture
    if left_out and not named:
        raise ValueError(f"no image can be used: {told(left_out)}")
    _annotate(data, by_id, left_out)
    return dict(named), left_out


def _annotate(data: Any, by_id: dict[str, AnnotatedImage], left_out: Counter[str]) -> None:
    """Gives the pictures their people."""
    orders = _keypoint_orders(data)
    usual = next(iter(orders.values())) if orders and len(orders) == 1 else COCO_NAMES
    used = 0
    annotations = list(_rows(data, "annotations", left_out))
    for annotation in annotations:
        try:
            picture = by_id.get(_id(annotation.get("image_id")))
            if picture is None:
                raise Odd("annotation of an unknown image")
            category = annotation.get("category_id")
            if orders is not None and category is not None and _id(category) not in orders:
                raise Odd("annotation of another category")
            if annotation.get("iscrowd") in (1, True, "1"):
                picture.others += 1
                raise Odd("crowd")
            if not annotation.get("keypoints"):
                picture.others += 1
                raise Odd("annotation without keypoints")
        except Odd as odd:
            left_out[str(odd)] += 1
            continue
        try:
            picture.people.append(_person(annotation["keypoints"], (orders or {}).get(_id(category), usual)))
            used += 1
        except Odd as odd:
            picture.broken = str(odd)
            left_out[str(odd)] += 1
    if annotations and not used and left_out.keys() - {"crowd"}:
        raise ValueError(f"no annotation can be used: {told(left_out)}")


def told(left_out: Counter[str]) -> str:
    """``left out: 4 (crowd 3, annotation of an unknown image 1)``."""
    ranked = sorted(left_out.items(), key=lambda item: (-item[1], item))
    return f"left out: {left_out.total()} ({', '.join(f'{kind} {count}' for kind, count in ranked)})"


def parse(text: str) -> Any:
    """The JSON.

    Raises:
        ValueError: Not JSON, or nested beyond what anybody writes.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _rows(data: Any, name: str, left_out: Counter[str]) -> Iterator[_ROWS]:
    rows = data.get(name) if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise ValueError(f"no list {name!r}")
    for row in rows:
        if isinstance(row, dict):
            yield row
        else:
            left_out[f"odd entry of {name}"] += 1


def _id(value: Any) -> str:
    """``"1"``, 1 and 1.0 are one id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _side(value: Any) -> float:
    """Width or height, 0 where it is not stated; tools write null, text and fractions."""
    try:
        side = float(value or 0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    if not 0 <= side < math.inf:
        raise Odd("image of negative or infinite size")
    return side


def _person(values: Any, names: tuple[str, ...]) -> np.ndarray:
    """``[18, 3]`` from a person's flat list of x, y and a flag (0, 1, 2) or a score (0..1)."""
    try:
        points = np.array(values, np.float64).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError) as error:
        raise Odd("keypoints that are not triples of numbers") from error
    if len(points) != len(names):
        raise Odd("another number of keypoints")
    if not np.isfinite(points).all():
        raise Odd("keypoints that are not finite")
    if points[:, 2].max() > 2:
        raise Odd("keypoints with neither flags (0, 1, 2) nor scores (0 to 1)")
    coco = np.zeros((len(COCO_NAMES), 3))
    for number, name in enumerate(COCO_NAMES):
        if name in names:
            coco[number] = points[names.index(name)]
    return openpose_from_coco(coco)


def _keypoint_orders(data: Any) -> dict[str, tuple[str, ...]] | None:
    """By the id of each category of people the names of its keypoints, in order; None: the file has no categories."""
    categories = data.get("categories")
    if not isinstance(categories, list) or not categories:
        return None
    orders: dict[str, tuple[str, ...]] = {}
    for category in categories:
        if isinstance(category, dict) and not _ANIMALS & {
            _word(category.get("name")),
            _word(category.get("supercategory")),
        }:
            names = category.get("keypoints")
            named = isinstance(names, list) and not all(str(name).isdigit() for name in names)
            order = tuple(_keypoint(name) for name in names or ()) if named else COCO_NAMES
            if set(order) >= _BODY:
                orders[_id(category.get("id"))] = order
    called = {_id(c.get("id")) for c in categories if isinstance(c, dict) and _word(c.get("name")) in _PEOPLE}
    return {number: order for number, order in orders.items() if number in called} or orders


def _word(value: Any) -> str:
    return str(value).strip().lower()


def _keypoint(name: Any) -> str:
    """A keypoint's name as COCO writes it: ``L-Shoulder``, ``leftShoulder`` and ``shoulder_left`` are one."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=^[LR])(?=[A-Z])", "_", str(name).strip())
    parts = [{"l": "left", "r": "right"}.get(part, part) for part in re.split(r"[\s_.\-]+", text.lower())]
    sides = [part for part in parts if part in ("left", "right")]
    return "_".join([*sides, *(part for part in parts if part not in ("left", "right"))])
