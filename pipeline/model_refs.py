"""The models that a profile names, and how they are run. :mod:`pipeline.config` holds the rest of a profile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFile(Settings):
    """What a model's file must be. ``spotdiff models lock`` finds out both where it is online."""

    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


class ModelRef(Settings):
    """One model.

    Attributes:
        repo: Hub id (``owner/name``), ``package:FOLDER`` for a folder shipped inside the ``pipeline`` package, or
            ``fetched:NAME`` for one that ``spotdiff models fetch`` made.
        revision: Commit on the hub; None for folders on this machine, whose content is hashed instead.
        subfolder, variant: As in ``from_pretrained``.
        dtype: ``float32``, ``float16`` or ``bfloat16``: the precision it runs in.
        license: SPDX id or the licence's name, carried into the manifest.
        checkpoint: A single file inside the repo (SAM's and OpenPose's .pth).
        kind: Picks the adapter: the family of a diffusion model (a file in ``pipeline/models/families``; None: ``sd``),
            the segmenter (``tiny``, ``vit_b`` ... ``vit_h``, ``sam2``) or the pose network (``tiny``, ``openpose``,
            ``vitpose``, ``blazepose``).
        files: What the files must be, by path inside the repo; those that are not named are not checked.
        url: Where a ``checkpoint`` is to be had without the hub.
        batch_size: Pictures that a segmenter or pose network is handed at once.
        detector: The network that finds people for a pose network that reads one box at a time (``vitpose``).
    """

    repo: str
    revision: str | None = None
    subfolder: str | None = None
    variant: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    license: str
    checkpoint: str | None = None
    kind: str | None = None
    files: dict[str, ModelFile] = {}
    url: str | None = None
    batch_size: Count = 1
    detector: ModelRef | None = None

    def __hash__(self) -> int:  # of what tells models apart; the fields that are dicts have none
        return hash((self.repo, self.revision, self.subfolder, self.variant, self.dtype, self.checkpoint, self.kind))


class Models(Settings):
    """The models of a profile; ``base`` with ``controlnet`` makes subjects, ``inpaint`` makes backgrounds.

    ``pose`` judges the subjects that were generated. ``extractor`` reads the sources' poses; None: ``pose`` does it.
    ``vae`` replaces the autoencoder of ``base`` and of ``inpaint``.
    """

    base: ModelRef
    controlnet: ModelRef
    inpaint: ModelRef
    vae: ModelRef | None = None
    sam: ModelRef
    pose: ModelRef
    extractor: ModelRef | None = None
    clip: ModelRef
    safety_checker: ModelRef | None = None

    def roles(self) -> Iterator[tuple[str, ModelRef]]:
        """Every model that is named, by its role; a pose network's detector as ``pose.detector``."""
        for role, ref in self:
            if ref is not None:
                yield role, ref
                if ref.detector:
                    yield f"{role}.detector", ref.detector


class Scheduler(Settings):
    """A diffusers scheduler by class name; ``options`` go on top of the repo's scheduler config."""

    name: str = "DPMSolverMultistepScheduler"
    options: dict[str, Any] = {}


class Runtime(Settings):
    """How a profile's models are run: what machine they need, and what is traded for speed and memory.

    Attributes:
        device: ``gpu``: a build on a CPU is refused unless it is told ``--allow-cpu``.
        resident: ``all``: every network stays on the device; ``one``: the two diffusion pipelines take turns there, and
            the other one waits in main memory. The judges stay: they work beside whichever denoises.
        vae_slicing: Decodes one picture at a time: less memory, hardly slower.
        compile: ``torch.compile`` for the UNets; the last batch is then padded, so that all have one shape.
    """

    device: Literal["any", "gpu"] = "any"
    resident: Literal["all", "one"] = "all"
    vae_slicing: bool = False
    compile: bool = False
