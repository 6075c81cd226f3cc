"""Names, seeds and digests: everything that must come out the same on every machine and in every order."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.arrow import float32, schema_of
from pipeline.records import Row

if TYPE_CHECKING:
    from pipeline.config import Splits

ID_DIGITS = 16
SPLITS = ("train", "validation", "test")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_OUTSIDE = frozenset({"slot_digest", "error", "location"})
"""Row fields that say nothing about a row's content."""


def source_id(data: bytes | str) -> str:
    """Name of a source: first 16 hex of sha256 of the file's bytes, or of its path where it cannot be read."""
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()[:ID_DIGITS]


def pose_id(source: str, keypoints: Sequence[Sequence[float]]) -> str:
    """Name of a pose; ``keypoints`` [18][3], compared as float32 (what the manifest stores)."""
    return digest(["pose", source, [[_float32(value) for value in point] for point in keypoints]])[:ID_DIGITS]


def variation_id(source: str, subject: str, background: str) -> str:
    """Name of a variation: a function of its three factors alone."""
    return digest(["variation", source, subject, background])[:ID_DIGITS]


def seed_for(source: str, stage: str, subject: str, background: str, attempt: int, run_seed: int) -> int:
    """Seed of one image: first 63 bits of sha256 over all that tells it from the others."""
    return int(digest(["seed", source, stage, subject, background, attempt, run_seed])[:16], 16) >> 1


def split_of(source: str, run_seed: int, splits: Splits) -> str:
    """``train``, ``validation`` or ``test``: depends on the source and the run's seed, not on the other sources."""
    place = int(digest(["split", source, run_seed])[:13], 16) / 16**13
    if place < splits.test:
        return "test"
    return "validation" if place < splits.test + splits.validation else "train"


def digest(value: Any) -> str:
    """sha256 (64 hex) of a JSON-able value in canonical form: sorted keys, no spaces."""
    return _sha256(_CANONICAL.encode(value))


def digest_of_many(items: Iterable[Any], more: Any) -> str:
    """What ``digest([[*items], more])`` is; holds one item's text at a time."""
    sha256, between = hashlib.sha256(b"[["), b""
    for item in items:
        sha256.update(between + _CANONICAL.encode(item).encode("utf-8", "surrogatepass"))
        between = b","
    sha256.update(f"],{_CANONICAL.encode(more)}]".encode("utf-8", "surrogatepass"))
    return sha256.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def row_digest(row: Row, leaving_out: tuple[str, ...] = ()) -> str:
    """Digest of a row's content: the same before it was stored and after it was read back."""
    fields = _row_forms(type(row), leaving_out)  # type: ignore[arg-type]  # mypy: a dataclass has no hash
    values = ",".join([f"{name}:{_text(form, getattr(row, field))}" for field, name, form in fields])
    return _sha256(f"[{_CANONICAL.encode(row.KIND)},{{{values}}}]")


@functools.cache
def _row_forms(kind: type[Row], leaving_out: tuple[str, ...]) -> list[tuple[str, str, Form]]:
    """Each field that counts, in the order of a canonical object, with its name and its form in JSON."""
    skipped = _OUTSIDE.union(leaving_out)
    forms = {field.name: _form(field.type) for field in schema_of(kind) if field.name not in skipped}
    return [(name, _CANONICAL.encode(name), forms[name]) for name in sorted(forms)]


def _text(form: Form, value: Any) -> str:
    """What :func:`digest` would make of a value in canonical form."""
    if value is None:
        return "null"
    canonical = form(value)
    if type(canonical) is str:
        return _quoted(canonical)
    if type(canonical) is list:
        (*shape,), sha256 = canonical
        return f'[[{",".join(map(str, shape))}],"{sha256}"]'
    return repr(canonical) if type(canonical) in (int, float) else _CANONICAL.encode(canonical)


def slot_digest(slot: Row) -> str:
    """Digest of what a slot's result depends on: the blank row without the fields that only travel along."""
    return row_digest(slot, leaving_out=slot.CARRIED)


def rows_digest(rows: Iterable[Row]) -> str:
    """Digest of the rows that go on to the next stage (the ``ok`` ones), in order."""
    return digest([row_digest(row) for row in rows if row.ok])


def canonical(values: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """A row's values in the form that digests are made of: what survives Parquet, and nothing of its encoding.

    Bytes become their sha256, floats are rounded to float32; of a picture (struct of ``bytes`` and ``path``) only the
    bytes count.
    """
    if id(schema) not in _FORMS:  # asking a schema for its types costs more than all the rest
        _FORMS[id(schema)] = schema, {field.name: _form(field.type) for field in schema}
    forms = _FORMS[id(schema)][1]
    return {name: None if value is None else forms[name](value) for name, value in values.items()}


Form = Callable[[Any], Any]
_FORMS: dict[int, tuple[pa.Schema, dict[str, Form]]] = {}
"""Canonical forms by column, for each schema (kept alive, so that its id stays its own)."""


def _form(kind: pa.DataType) -> Form:
    if pa.types.is_struct(kind):
        return lambda value: _bytes(value["bytes"])
    if pa.types.is_binary(kind):
        return _bytes
    if pa.types.is_list(kind):
        return lambda value: _floats(
            [math.nan if number != number else number for number in value]
        )  # there are several
    if pa.types.is_fixed_size_list(kind):
        return _floats
    if pa.types.is_floating(kind):
        return _float32
    return str if pa.types.is_string(kind) else lambda value: value


def _bytes(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha256(value).hexdigest()


def _floats(value: Any) -> Any:
    with np.errstate(over="ignore"):
        numbers = np.asarray(value, "<f4")
    return [list(numbers.shape), hashlib.sha256(numbers.tobytes()).hexdigest()]


def _float32(value: float) -> float | str:
    rounded = float32(value)
    return rounded if math.isfinite(rounded) else str(rounded)
