"""The list of requests as files: what somebody else's generator needs, and what its pictures are judged by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import ids, store
from pipeline.config import UserError
from pipeline.imaging.openpose18 import KEYPOINTS
from pipeline.imaging.png import to_png
from pipeline.imaging.skeleton import draw_pose
from spotdiff_model.evaluation.generation.requests import PARTS, Request, request_for
from spotdiff_model.evaluation.probes.factors import Sample

LIST = "requests.jsonl"


def write_requests(
    requests: Sequence[Request], folder: Path, *, manifest_digest: str, split: str, line_width: float
) -> Path:
    """Writes ``requests.jsonl``, a line for each picture, and beside it the pictures that the lines name.

    Args:
        requests: What is asked for.
        folder: Gets everything.
        manifest_digest, split: Where the references are from.
        line_width: Of the control pictures' limbs.
    """
    lines = []
    for request in requests:
        line: dict[str, Any] = {
            "id": request.name,
            "part": request.part,
            "subject": request.subject,
            "prompt": request.prompt,
            "class_prompt": request.spoken,
            "text_prompt": request.text_prompt,
            "background": request.background,
            "seed": request.seed,
            "reference": _put(folder, _name(request.reference_id), request.reference),
            "reference_mask": _put(
                folder, _name(request.reference_id, ".mask"), Image.fromarray(request.reference_mask)
            ),
            "examples": [
                _put(folder, _name(identity), picture)
                for identity, picture in zip(request.example_ids, request.examples, strict=True)
            ],
            "example_ids": list(request.example_ids),
            "keypoints": None if request.pose is None else np.asarray(request.pose, np.float64).tolist(),
            "control": None,
            "reference_id": request.reference_id,
            "truth_id": request.truth_id or None,
            "manifest_digest": manifest_digest,
            "split": split,
        }
        if request.pose is not None:
            control = draw_pose(request.pose, request.reference.width, line_width)
            line["control"] = _put(folder, f"controls/{request.name}.png", control)
        lines.append(json.dumps(line))
    path = folder / LIST
    store.write_bytes(str(path), ("\n".join(lines) + "\n").encode())
    return path


def read_requests(path: str, sample: Sample, manifest_digest: str) -> list[Request]:
    """The requests of a list; pictures and masks come from the manifest's rows that it names.

    Args:
        path: ``requests.jsonl``, or the folder that holds it.
        sample: The whole split that the list was made from.
        manifest_digest: Of the manifest.

    Raises:
        UserError: Not such a list, or of another manifest.
    """
    file = Path(path) / LIST if Path(path).is_dir() else Path(path)
    try:
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
        foreign = {line["manifest_digest"] for line in lines} - {manifest_digest}
        if foreign:
            raise UserError(
                f"--requests {file}: is of another manifest (digest {sorted(foreign)[0][:16]}, not "
                f"{manifest_digest[:16]}); name that one, or make the list anew: python -m spotdiff_model.requests"
            )
        rows = {name: row for row, name in enumerate(sample.ids.tolist())}
        return [_request(number, line, sample, rows) for number, line in enumerate(lines)]
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"--requests {file}: not a list that python -m spotdiff_model.requests has made "
            f"({type(error).__name__}: {str(error)[:80]})"
        ) from error


def _request(number: int, line: dict[str, Any], sample: Sample, rows: dict[str, int]) -> Request:
    if line["part"] not in PARTS or line["id"] != f"{number:05d}":
        raise ValueError(f"line {number + 1}: part {line['part']!r}, id {line['id']!r}")
    pose = None if line["keypoints"] is None else np.asarray(line["keypoints"], np.float32)
    if pose is not None and pose.shape != (KEYPOINTS, 3):
        raise ValueError(f"line {number + 1}: keypoints are {pose.shape}")
    return request_for(
        sample,
        rows[line["reference_id"]],
        part=line["part"],
        background=str(line["background"]),
        pose=pose,
        truth=rows[line["truth_id"]] if line["truth_id"] else None,
        seed=int(line["seed"]),
        number=number,
        examples=tuple(rows[name] for name in line["example_ids"]),
    )


def _name(variation_id: str, ending: str = "") -> str:
    """A file's name that no id can lead out of the folder."""
    return f"references/{ids.digest(['reference', variation_id])[:16]}{ending}.png"


def _put(folder: Path, name: str, picture: Image.Image) -> str:
    path = folder / name
    if not path.is_file():
        store.write_bytes(str(path), to_png(picture))
    return name
