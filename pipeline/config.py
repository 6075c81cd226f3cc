"""What a build is told: the :class:`Profile` (models, settings, thresholds; a TOML file) and the :class:`BuildConfig`.

A profile names everything that the result depends on; a build config names where from, where to and how much.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from pipeline.errors import UserError as UserError
from pipeline.model_refs import Count, Models, Settings
from pipeline.model_refs import ModelFile as ModelFile
from pipeline.model_refs import ModelRef as ModelRef
from pipeline.model_refs import Runtime as Runtime
from pipeline.model_refs import Scheduler as Scheduler
from pipeline.profile_lock import lock_path, with_pins

Checked = TypeVar("Checked", bound=BaseModel)

PROFILES = Path(__file__).parent / "profiles"
Share = Annotated[float, Field(ge=0, le=1)]


def manifest_stem(path: str) -> str:
    """A manifest's path without ``.parquet``: its folder of parts, and what its companions' names begin with.

    Raises:
        UserError: The path has another suffix.
    """
    if not path.endswith(".parquet"):
        raise UserError(f"manifest {path!r}: the name must end in .parquet")
    return path.removesuffix(".parquet")


class SourceSettings(Settings):
    """``phash_distance``: bits up to which two sources count as near-duplicates (of 64)."""

    size: Count
    """Side of the squares that are made of them, and of all that is generated, pixels."""
    extractor_size: Count | None = None
    """Side of the squares that the extractor reads instead, where it wants larger ones than are generated."""
    max_pixels: Count = 64_000_000
    min_side: Count = 32
    phash_distance: Annotated[int, Field(ge=0, le=64)] = 4


class PoseSettings(Settings):
    """``min_keypoints`` of 18; ``main_person_ratio``: how much larger the main person's box must be than the next's."""

    min_confidence: Share = 0.3
    min_keypoints: Annotated[int, Field(ge=1, le=18)] = 7
    main_person_ratio: Annotated[float, Field(ge=1)] = 1.5
    line_width: Annotated[float, Field(gt=0)] = 0.016
    """Of the control image's limbs, as a share of its side."""


def _template(*known: str) -> AfterValidator:
    """Checks that a prompt template has no other placeholders than ``known``."""

    def check(value: str) -> str:
        try:
            value.format(**dict.fromkeys(known, ""))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            may = " and ".join(f"{{{name}}}" for name in known)
            raise ValueError(f"only {may} may stand in braces; write {{{{ and }}}} for braces themselves") from error
        return value

    return AfterValidator(check)


class SubjectSettings(Settings):
    """Settings of the ControlNet generation (vocabulary of ``StableDiffusionControlNetPipeline``)."""

    num_inference_steps: Count
    guidance_scale: float
    controlnet_conditioning_scale: float = 1.0
    prompt_template: Annotated[str, _template("subject")] = "{subject}"
    negative_prompt: str = ""
    batch_size: Count
    max_attempts: Count = 4
    scheduler: Scheduler | None = None
    """None: the profile's."""


class MaskSettings(Settings):
    """Cleaning of SAM's masks: holes and islands below these shares of the mask's area go."""

    max_hole: Share = 0.05
    max_island: Share = 0.05
    box_margin: Share = 0.08
    """How far the prompt box reaches beyond the keypoints, as a share of the box's longer side."""


class BackgroundSettings(Settings):
    """Settings of the inpainting (vocabulary of ``StableDiffusionInpaintPipeline``)."""

    num_inference_steps: Count
    guidance_scale: float
    prompt_template: Annotated[str, _template("subject", "background")] = "{subject}, {background}"
    negative_prompt: str = ""
    batch_size: Count
    max_attempts: Count = 3
    feather: Annotated[float, Field(ge=0)] = 0.01
    """Standard deviation of the pasted seam's blur, as a share of the image's side."""
    mask_margin: Annotated[float, Field(ge=0)] = 0.0
    """How far the kept area, which is not repainted, reaches beyond the mask, as a share of the image's side."""
    paste_margin: Annotated[float, Field(ge=0)] | None = None
    """How far the pasted area reaches beyond the mask; None: as far as the kept area. Less than that lets the model
    paint the transition itself: it knows the mask's edge to one latent pixel only."""
    scheduler: Scheduler | None = None
    """None: the profile's."""


class QualitySettings(Settings):
    """Thresholds of the gates. Scores are kept in the data whatever the gate said."""

    min_pose_score: Share
    min_mask_score: Share
    min_mask_area: Share
    max_mask_area: Share
    min_main_component: Share
    min_keypoints_in_mask: Share
    min_clip_t_subject: Annotated[float, Field(ge=-1, le=1)]
    min_sibling_distance: Annotated[int, Field(ge=0, le=64)]
    """Perceptual-hash bits by which a subject must differ from each accepted sibling of the same source."""
    min_subject_kept: Share
    min_clip_t_background: Annotated[float, Field(ge=-1, le=1)]
    min_image_std: Share
    """Standard deviation of the background's grey values (0..1) below which a picture is degenerate ... 0 = off."""
    min_person_keypoints: Annotated[int, Field(ge=0, le=18)] = 0
    """Of a detection; one with fewer is a ghost and not counted as a person."""
    min_person_confidence: Share = 0.0
    """Mean confidence of a detection's keypoints; one with less is a ghost, too."""
    max_mask_growth: Annotated[float, Field(ge=0)] | None = None
    """A variation is segmented again; area that its subject has gained, as a share of the mask's. None = off."""
    count_people: bool = False
    """Whether a variation must hold exactly one person, as a subject must."""
    max_seam: Share | None = None
    """Mean step of the grey values (0..1) between pasted subject and painted picture along the seam. None = off."""


class Splits(Settings):
    """Shares of the sources that go to each split; the banks' entries carry their own split."""

    validation: Share = 0.1
    test: Share = 0.1


class Profile(Settings):
    """Everything a result depends on. See ``pipeline/profiles/tiny.toml``, and :func:`load_profile` for ``extends``."""

    name: str
    description: str = ""
    torch_threads: Count = 1
    gpus: Share = 0.0
    """GPUs that a worker on a cluster takes for itself; a fraction lets several share one, 0 leaves them alone."""
    runtime: Runtime = Runtime()
    models: Models
    scheduler: Scheduler = Scheduler()
    subject_bank: str
    background_bank: str
    splits: Splits = Splits()
    sources: SourceSettings
    poses: PoseSettings = PoseSettings()
    subjects: SubjectSettings
    masks: MaskSettings = MaskSettings()
    backgrounds: BackgroundSettings
    quality: QualitySettings

    @property
    def schedulers(self) -> dict[str, Scheduler]:
        """The scheduler of each pipeline."""
        return {
            "subjects": self.subjects.scheduler or self.scheduler,
            "backgrounds": self.backgrounds.scheduler or self.scheduler,
        }


def load_profile(name: str) -> Profile:
    """A profile by name (shipped) or by path or URL of a TOML file.

    ``extends = "NAME"`` takes another profile as the base: what the file says goes on top of it, section by section
    and there field by field. A field, a model too, is replaced as a whole.

    Raises:
        UserError: No such profile, or a field is wrong; the message names the file and the field.
    """
    try:
        return Profile.model_validate(_profile_data(name))
    except ValidationError as error:
        raise UserError(f"profile {profile_path(name)}: {first_problem(error)}") from error


def shipped_profiles() -> list[str]:
    """Names of the profiles that come with the package."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def profile_path(name: str) -> str:
    """Path or URL of a profile's file, named as in :func:`load_profile`."""
    return name if name.endswith(".toml") else str(PROFILES / f"{name}.toml")


def _profile_data(name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A profile's content with that of the profiles it extends; ``above``: those that extend it."""
    if name in above:
        raise UserError(f"profile {above[0]}: extends itself ({' -> '.join((*above, name))})")
    from pipeline import store  # not for --help

    path = profile_path(name)
    try:
        data = tomllib.loads(store.read_bytes(path).decode("utf-8"))
    except OSError as error:
        known = ", ".join(shipped_profiles())
        raise UserError(f"profile {name!r}: {error.strerror or error}; shipped profiles: {known}") from error
    except (ValueError, RecursionError) as error:  # bad TOML, bytes that are no UTF-8, tables nested without end
        raise UserError(f"profile {path}: not valid TOML: {error}") from error
    base = data.pop("extends", None)
    if base is not None and not isinstance(base, str):
        raise UserError(f"profile {path}: extends: must be a profile's name (got {str(base)[:60]!r})")
    merged = _profile_data(base, (*above, name)) if base else {}
    for field, value in data.items():
        section = merged.get(field)
        merged[field] = {**section, **value} if isinstance(section, dict) and isinstance(value, dict) else value
    return _with_pins(merged, lock_path(path))


def _with_pins(data: dict[str, Any], lock: str) -> dict[str, Any]:
    from pipeline import store

    models = data.get("models")
    try:
        return {**data, "models": with_pins(models, store.read_bytes(lock))} if isinstance(models, dict) else data
    except FileNotFoundError:
        return data
    except OSError as error:
        raise UserError(f"lock {lock}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:  # no JSON, or other shapes in it
        raise UserError(f"lock {lock}: {error}") from error


class BuildConfig(Settings):
    """One build. The command line, the flow and the deployment take their options from these fields."""

    sources: Annotated[
        tuple[str, ...],
        Field(description="Folders, globs, files, lists (.txt) or tables (.parquet, .csv) of images."),
    ]
    manifest: Annotated[str, Field(description="The Parquet file to write; the run is named after it.")] = (
        "manifests/v1.parquet"
    )
    profile: Annotated[str, Field(description="A shipped profile, or a TOML file or its URL.")] = "tiny"
    poses: Annotated[
        str | None,
        Field(description="COCO-keypoints JSON with the poses. Without it: the profile's extractor."),
    ] = None
    subjects: Annotated[Count, Field(description="New subjects per source.")] = 10
    backgrounds: Annotated[Count, Field(description="Backgrounds per subject.")] = 10
    seed: Annotated[int, Field(description="Seed of the run.")] = 0
    limit: Annotated[Count | None, Field(description="Take only the first so many sources.")] = None
    shard_size: Annotated[Count, Field(description="Sources per unit of work; does not change the result.")] = 2
    work: Annotated[str, Field(description="Folder or URL of the build's intermediate results.")] = "work"
    retry: Annotated[
        Literal["failed", "rejected"] | None,
        Field(description="Do the rows of an earlier build again that ended so."),
    ] = None
    max_failure_rate: Annotated[
        Share, Field(description="Share of failed rows in a stage above which the build fails.")
    ] = 0.05
    models_root: Annotated[
        str | None, Field(description="Folder with models in hub layout that stand in for the hub's.")
    ] = None
    allow_cpu: Annotated[bool, Field(description="Run a profile made for GPUs on the CPU, however long it takes.")] = (
        False
    )
    price: Annotated[
        float | None, Field(ge=0, description="Of a machine's hour, in any currency: the manifest then says the cost.")
    ] = None

    @property
    def run(self) -> str:
        """The run's name, ``<stem>-<8 hex>``: the digits tell manifests of one stem in different folders apart.

        On one disk they stand for the way from ``work`` to the manifest, so that both can be moved together.
        """
        manifest, work = (_place(path) for path in (self.manifest, self.work))
        both_here = "://" not in manifest + work
        way = os.path.relpath(manifest, work) if both_here else manifest
        digits = hashlib.sha256(way.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return f"{Path(manifest_stem(self.manifest)).name}-{digits}"


def _place(path: str) -> str:
    """One spelling of a local path or URL, whichever way it was written."""
    if "://" in path and not path.startswith("file://"):
        scheme, rest = path.split("://", 1)
        return f"{scheme}://{posixpath.normpath(rest)}"
    return os.path.realpath(os.path.expanduser(path.removeprefix("file://")))


def build_config(**values: Any) -> BuildConfig:
    """A checked build config; unset (None) values fall back to the defaults.

    Raises:
        UserError: Names the first wrong field.
    """
    return checked(BuildConfig, "build", values)


def checked(settings: type[Checked], what: str, values: Mapping[str, Any]) -> Checked:
    """Settings of that class; unset (None) values fall back to the defaults.

    Raises:
        UserError: Names ``what`` and the first wrong field.
    """
    try:
        return settings(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise UserError(f"{what}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as ``field: what is wrong (got ...)``."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    got = "" if problem["type"] == "missing" else f" (got {str(problem['input'])[:60]!r})"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}{got}"
