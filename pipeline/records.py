"""The row of every stage. :mod:`pipeline.arrow` stores them.

A row is a frozen dataclass. Each stage adds fields to the row of the stage before it; a stage never changes a row
in place but makes a new one with :func:`dataclasses.replace` or :meth:`Row.grow`.

Every row carries a ``status``:

* ``ok``: goes on to the next stage;
* ``rejected``: a decision of ours, with a ``reason`` from :class:`Reason`;
* ``failed``: something broke, with the ``error``; worth another try (``--retry failed``).
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar

import pyarrow as pa

Keypoints = Annotated[list[list[float]], pa.list_(pa.list_(pa.float32(), 3), 18)]
"""18 OpenPose keypoints, each (x, y in 0..1 of the square image, confidence); missing: (0, 0, 0)."""


class Status(StrEnum):
    OK = "ok"
    REJECTED = "rejected"
    FAILED = "failed"


class Reason(StrEnum):
    """The closed list of why something was rejected. Values are what the manifests say."""

    # sources
    UNREADABLE = "unreadable"
    EMPTY_FILE = "empty_file"
    NOT_A_FILE = "not_a_file"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    TOO_NARROW = "too_narrow"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    # poses
    NOT_IN_POSE_FILE = "not_in_pose_file"
    BAD_POSE_ENTRY = "bad_pose_entry"
    NO_PERSON = "no_person"
    SEVERAL_PEOPLE = "several_people"
    TOO_FEW_KEYPOINTS = "too_few_keypoints"
    # subjects
    POSE_NOT_KEPT = "pose_not_kept"
    NOT_ONE_PERSON = "not_one_person"
    MASK_TOO_SMALL = "mask_too_small"
    MASK_TOO_LARGE = "mask_too_large"
    MASK_IN_PIECES = "mask_in_pieces"
    MASK_MISSES_KEYPOINTS = "mask_misses_keypoints"
    MASK_UNSURE = "mask_unsure"
    SUBJECT_PROMPT_MISSED = "subject_prompt_missed"
    SUBJECT_NEAR_DUPLICATE = "subject_near_duplicate"
    # variations
    SUBJECT_NOT_KEPT = "subject_not_kept"
    BACKGROUND_PROMPT_MISSED = "background_prompt_missed"
    SUBJECT_GREW = "subject_grew"
    SEAM_VISIBLE = "seam_visible"
    DEGENERATE = "degenerate"
    NSFW = "nsfw"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What all rows share.

    Attributes:
        status: See the module's text.
        reason: Why it was rejected, else None.
        error: What broke, one line, else None.
        detail: What there is to say about a rejection, e.g. the path of the source that it duplicates.
        slot_digest: Digest of the input that this row was made from; lets a later run keep the row when the
            input is still the same. Set by the runner, not by stages.
    """

    KIND: ClassVar[str] = "row"
    """Stands for the row's type in digests, and so never changes."""
    SLOT: ClassVar[tuple[str, ...]] = ()
    """Fields that name the slot which the row fills; the first one names the source that it is about."""
    CARRIED: ClassVar[tuple[str, ...]] = ()
    """Fields that only travel along: when they change, a finished row is kept and given the new ones."""
    OVERVIEW: ClassVar[tuple[str, ...]] = ()
    """Fields that a fragment's footer repeats, so that they are known of all rows without reading any."""
    ATTEMPT: ClassVar[str] = ""
    """The field that counts attempts, if the row's stage makes several."""

    status: Status = Status.OK
    reason: Reason | None = None
    error: str | None = None
    detail: str | None = None
    slot_digest: str = ""

    @property
    def slot(self) -> tuple[str, ...]:
        """The row's identity inside a run, e.g. (source_id, subject_id); by path where ids are not known yet."""
        return tuple(str(getattr(self, name)) for name in self.SLOT)

    def __str__(self) -> str:
        return "/".join(self.slot)

    @property
    def ok(self) -> bool:
        return self.status == Status.OK

    def reject(self, reason: Reason, detail: str | None = None) -> Self:
        return dataclasses.replace(self, status=Status.REJECTED, reason=reason, detail=detail)

    def fail(self, error: BaseException | str) -> Self:
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return dataclasses.replace(self, status=Status.FAILED, error=" ".join(text.split())[:500])

    def grow(self, kind: type[AnyRow], **more: Any) -> AnyRow:
        """A row of a later kind with the fields they share and ``more``; status starts again at ``ok``."""
        mine = {name: getattr(self, name) for name in _shared(type(self), kind)}  # type: ignore[arg-type]  # mypy: a dataclass has no hash
        return kind(**{**mine, **more})


AnyRow = TypeVar("AnyRow", bound=Row)


@functools.cache
def _shared(one: type[Row], other: type[Row]) -> tuple[str, ...]:
    """The fields of two row types that :meth:`Row.grow` hands on."""
    names = {f.name for f in dataclasses.fields(other)} - _OUTCOME
    return tuple(f.name for f in dataclasses.fields(one) if f.name in names)


_OUTCOME = {"status", "reason", "error", "detail", "slot_digest"}
_RIGHTS = ("source_license", "source_attribution", "source_uri")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed(Row):
    """One file of the listing, not opened yet: what the ``sources`` stage reads.

    Attributes:
        path: How the user knows it: relative to the folder that was given; unique in the listing.
        location: Where to open it: absolute path or URL. Not part of any digest, so that folders can move.
        fingerprint: Changes when the file does (size and time, or the object store's tag).
        pose_entry: What the pose file calls it; None: there is no pose file, or it has no entry.
    """

    KIND: ClassVar[str] = "listed"
    SLOT: ClassVar[tuple[str, ...]] = ("path",)
    CARRIED: ClassVar[tuple[str, ...]] = ("pose_entry", *_RIGHTS)

    path: str
    location: str = ""
    fingerprint: str = ""
    pose_entry: str | None = None
    source_license: str | None = None
    source_attribution: str | None = None
    source_uri: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Source(Row):
    """One original image, decoded, squared and resized.

    Attributes:
        source_id: First 16 hex of sha256 of the file's bytes (of its path where it cannot be read).
        path: Where it was read from, as the user named it (relative to the folder given).
        source_image: PNG bytes, RGB, square, at the profile's size; None unless ``ok``.
        frame: ``[x0, y0, side]`` of the square in the (EXIF-turned) original's pixels; parts of the square outside
            the original are padding. Maps keypoints of the original into the square.
        source_width, source_height: Of the original after EXIF rotation, pixels.
        source_orientation: EXIF's, 1 to 8: how the original was turned.
        source_phash: 64-bit perceptual hash, 16 hex.
    """

    KIND: ClassVar[str] = "source"
    SLOT: ClassVar[tuple[str, ...]] = ("path",)
    CARRIED: ClassVar[tuple[str, ...]] = ("pose_entry", *_RIGHTS)
    OVERVIEW: ClassVar[tuple[str, ...]] = ("status", "reason", "source_id", "path", "source_phash", *CARRIED)

    source_id: str
    path: str
    source_image: bytes | None = None
    frame: list[float] = field(default_factory=list)
    source_width: int = 0
    source_height: int = 0
    source_orientation: int = 1
    source_phash: str = ""
    pose_entry: str | None = None
    source_license: str | None = None
    source_attribution: str | None = None
    source_uri: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Posed(Source):
    """A source with its main person's pose.

    Attributes:
        pose_id: Names the pose (digest of source_id and keypoints).
        split: ``train``, ``validation`` or ``test``; a function of source_id and run seed.
        control: PNG bytes of the control image, drawn from the keypoints.
    """

    KIND: ClassVar[str] = "posed"
    SLOT: ClassVar[tuple[str, ...]] = ("source_id",)
    CARRIED: ClassVar[tuple[str, ...]] = _RIGHTS
    OVERVIEW: ClassVar[tuple[str, ...]] = ()

    pose_id: str = ""
    split: str = ""
    keypoints: Keypoints = field(default_factory=list)
    control: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject(Posed):
    """A generated figure in a source's pose (``source_image`` is dropped from here on).

    Attributes:
        subject_prompt: The bank entry's prompt, without the profile's template around it.
        attempt: Which attempt this is (0 = first); on a fresh row the attempt to begin with.
        subject_image: PNG bytes as generated.
        pose_score: OKS of the re-extracted pose against the asked one, 0..1.
        people: How many people the pose extractor found in it.
        mask: PNG bytes, mode L, 0/255.
        mask_score: SAM's predicted IoU, 0..1.
        mask_area: Share of the image, 0..1.
        clip_t_subject: Cosine of CLIP image and subject prompt.
    """

    KIND: ClassVar[str] = "subject"
    SLOT: ClassVar[tuple[str, ...]] = ("source_id", "subject_id")
    CARRIED: ClassVar[tuple[str, ...]] = ("path", "pose_entry", *_RIGHTS)
    ATTEMPT: ClassVar[str] = "subject_attempt"

    subject_id: str = ""
    subject_prompt: str = ""
    subject_negative_prompt: str = ""
    subject_seed: int = 0
    subject_attempt: int = 0
    subject_image: bytes | None = None
    pose_score: float | None = None
    people: int | None = None
    mask: bytes | None = None
    mask_score: float | None = None
    mask_area: float | None = None
    clip_t_subject: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation(Subject):
    """One image of the dataset: (source, subject, background).

    Attributes:
        image: PNG bytes.
        sha256: Of ``image``, 64 hex.
        phash: 64-bit perceptual hash of ``image``, 16 hex.
        clip_t_background: Cosine of CLIP image and background prompt.
        subject_kept: 1 - mean absolute difference to the subject's image inside the mask, 0..1; where the profile has
            variations segmented again, times the IoU of the mask and the one found in the variation.
        seam: Mean step of the grey values along the pasted edge, 0..1, see :func:`pipeline.imaging.paste.seam_step`.
        nsfw: What the profile's safety checker said; None where the profile has none.
    """

    KIND: ClassVar[str] = "variation"
    SLOT: ClassVar[tuple[str, ...]] = ("source_id", "subject_id", "background_id")
    ATTEMPT: ClassVar[str] = "attempt"

    variation_id: str = ""
    background_id: str = ""
    background_prompt: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    background_seed: int = 0
    attempt: int = 0
    image: bytes | None = None
    sha256: str = ""
    phash: str = ""
    clip_t_background: float | None = None
    subject_kept: float | None = None
    seam: float | None = None
    nsfw: bool | None = None
