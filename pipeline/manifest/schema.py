"""The columns of a manifest and of the list of what did not get into it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

FORMAT = 1
"""Raised when a column changes its name or meaning."""
FOOTER = b"spotdiff"
"""Parquet metadata key of the footer: what the dataset was made with, as JSON."""
ROW_GROUP = 100

PICTURE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
KEYPOINTS = pa.list_(pa.list_(pa.float32(), 3), 18)
PICTURES = ("image", "mask", "control")

_COLUMNS: dict[str, pa.DataType] = {
    # identity
    "variation_id": pa.string(),
    "source_id": pa.string(),
    "pose_id": pa.string(),
    "subject_id": pa.string(),
    "background_id": pa.string(),
    "split": pa.string(),
    # content
    "image": PICTURE,
    "mask": PICTURE,
    "control": PICTURE,
    "keypoints": KEYPOINTS,
    "width": pa.int32(),
    "height": pa.int32(),
    "sha256": pa.string(),
    "phash": pa.string(),
    "source_phash": pa.string(),
    # text
    "prompt": pa.string(),
    "subject_prompt": pa.string(),
    "background_prompt": pa.string(),
    "negative_prompt": pa.string(),
    # made by
    "subject_seed": pa.int64(),
    "background_seed": pa.int64(),
    "attempt": pa.int32(),
    # scores
    "pose_score": pa.float32(),
    "mask_score": pa.float32(),
    "mask_area": pa.float32(),
    "clip_t_subject": pa.float32(),
    "clip_t_background": pa.float32(),
    "subject_kept": pa.float32(),
    "nsfw": pa.bool_(),
    # rights
    "source_license": pa.string(),
    "source_attribution": pa.string(),
    "source_uri": pa.string(),
}
OPTIONAL = frozenset({"nsfw", "source_license", "source_attribution", "source_uri"})
"""Columns that may be empty in a row."""

_REJECTED: dict[str, pa.DataType] = {
    "kind": pa.string(),
    "source_id": pa.string(),
    "subject_id": pa.string(),
    "background_id": pa.string(),
    "path": pa.string(),
    "status": pa.string(),
    "reason": pa.string(),
    "error": pa.string(),
    "detail": pa.string(),
    "attempt": pa.int32(),
    "pose_score": pa.float32(),
    "people": pa.int32(),
    "mask_score": pa.float32(),
    "mask_area": pa.float32(),
    "clip_t_subject": pa.float32(),
    "clip_t_background": pa.float32(),
    "subject_kept": pa.float32(),
    "nsfw": pa.bool_(),
}

REJECTED_SCHEMA = pa.schema(list(_REJECTED.items()))


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A column's type as the ``datasets`` library writes it."""
    if kind == PICTURE:
        return {"_type": "Image"}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "List"}
    return {"dtype": {pa.float32(): "float32"}.get(kind, str(kind)), "_type": "Value"}


_FEATURES = {name: _feature(kind) for name, kind in _COLUMNS.items()}
SCHEMA = pa.schema(
    list(_COLUMNS.items()),  # nullable all of them: datasets takes no others for pictures
    # read by datasets.load_dataset, which then decodes the pictures without being told
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
