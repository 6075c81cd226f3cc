"""A row's values as other formats' text takes them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """A value that JSON has: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def line(row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON."""
    text = json.dumps({name: plain(value) for name, value in row.items()}, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"
