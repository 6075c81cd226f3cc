"""``python -m spotdiff_model.generate --image FILE --prompt "S*, on a beach"``: pictures of a subject."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field

from pipeline.config import UserError, checked
from spotdiff_model.command import run, with_options
from spotdiff_model.shipped import DEFAULT

if TYPE_CHECKING:
    from PIL import Image

    from spotdiff_model.pipeline import SpotDiffPipeline


class GenerateConfig(BaseModel):
    """One call of the command; descriptions are its help."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        DEFAULT, description="Output folder of a training, an encoder's repo on the hub, or one of the package."
    )
    image: str = Field(description="A picture of the subject.")
    prompt: str = Field("S*", description="With S* where the subject is meant; appended where it is missing.")
    pose: str | None = Field(
        None, description="The pose to take: keypoints ([18][3], JSON) or a picture of somebody in that pose."
    )
    negative_prompt: str | None = Field(None, description="What not to show; default: as the dataset was made.")
    num_images_per_prompt: int = Field(4, ge=1, description="How many pictures.")
    num_inference_steps: int | None = Field(None, ge=1, description="Default: as the dataset was made.")
    guidance_scale: float | None = Field(None, description="Default: as the dataset was made.")
    seed: int = Field(0, ge=0, description="Of the first picture; the others count on from it.")
    output_dir: str = Field("work/generated", description="Gets the pictures, and beside each what it was made from.")
    models_root: str | None = Field(None, description="Folder in hub layout that stands in for the hub.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute.")


def main(**options: Any) -> None:
    """Makes pictures of the subject that one picture shows."""
    for path in generate(checked(GenerateConfig, "generate", options)):
        typer.echo(path)


def generate(config: GenerateConfig) -> list[Path]:
    """Makes and saves the pictures, each named by what it depends on.

    Returns:
        The pictures' paths; beside each lies a JSON with the same stem.

    Raises:
        UserError: Something that was named is not to be had.
    """
    reference = _picture(config.image, "--image")
    from spotdiff_model.pipeline import SpotDiffPipeline

    pipe = SpotDiffPipeline.from_encoder(config.model, config.models_root)
    if config.device != "auto":
        pipe.to(config.device)
    import torch

    pose = _pose(config, pipe) if config.pose else None
    seeds = [config.seed + number for number in range(config.num_images_per_prompt)]
    images = pipe(
        _square(reference),
        config.prompt,
        pose=pose,
        negative_prompt=config.negative_prompt,
        num_images_per_prompt=len(seeds),
        num_inference_steps=config.num_inference_steps,
        guidance_scale=config.guidance_scale,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
    ).images
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed, image in zip(seeds, images, strict=True):
        made_from = {**config.model_dump(mode="json"), "seed": seed}
        made_from.pop("output_dir"), made_from.pop("num_images_per_prompt")
        stem = f"{hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:12]}-{seed}"
        image.save(folder / f"{stem}.png")
        (folder / f"{stem}.json").write_text(json.dumps(made_from, indent=1) + "\n", "utf-8")
        paths.append(folder / f"{stem}.png")
    return paths


def _pose(config: GenerateConfig, pipe: SpotDiffPipeline) -> Image.Image:
    """The control picture of the pose that was asked for."""
    from pipeline.imaging.skeleton import draw_pose

    size = pipe.unet.config.sample_size * 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    assert config.pose
    keypoints = _keypoints(config.pose) if config.pose.lower().endswith(".json") else _found(config, pipe)
    return draw_pose(keypoints, size, pipe.encoder.config.sampling.line_width)


def _keypoints(path: str) -> Any:
    import numpy as np

    from pipeline.imaging.openpose18 import KEYPOINTS

    try:
        keypoints = np.asarray(json.loads(Path(path).read_text("utf-8")), np.float64)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"--pose {path}: not a JSON list of 18 keypoints [x, y, confidence] ({error})") from error
    if keypoints.shape != (KEYPOINTS, 3) or not np.isfinite(keypoints).all():
        raise UserError(f"--pose {path}: must be 18 OpenPose keypoints [x, y, confidence], x and y in 0..1")
    return keypoints


def _found(config: GenerateConfig, pipe: SpotDiffPipeline) -> Any:
    """The pose of the main person of a picture."""
    import numpy as np

    from pipeline.config import PoseSettings
    from pipeline.imaging.keypoints import main_person
    from pipeline.models.extractors import people
    from pipeline.models.resolve import Model
    from pipeline.records import Reason

    ref = pipe.encoder.config.models.pose
    if ref is None:
        raise UserError("--pose: the model names no pose estimator; give the keypoints as JSON")
    picture = _square(_picture(str(config.pose), "--pose"))
    found = main_person(people(Model(ref, config.models_root), np.asarray(picture)), PoseSettings())
    if isinstance(found, Reason):
        raise UserError(f"--pose {config.pose}: {found.value.replace('_', ' ')}; give the keypoints as JSON")
    return found


def _picture(path: str, option: str) -> Image.Image:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError) as error:
        raise UserError(f"{option} {path}: not a readable picture ({error})") from error


def _square(image: Image.Image) -> Image.Image:
    """The middle square."""
    from PIL import ImageOps

    side = min(image.size)
    return image if image.width == image.height else ImageOps.fit(image, (side, side))


if __name__ == "__main__":
    run(with_options(GenerateConfig, main))
