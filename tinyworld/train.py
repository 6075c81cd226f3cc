"""``python -m tinyworld.train``: trains the small models of the tiny profile, all or one of them.

::

    python -m tinyworld.train all                       # in order; several hours on 2 cores
    python -m tinyworld.train autoencoder --steps 4000  # one of them; run again to resume
    python -m tinyworld.train diffusion --tune          # on from the weights in --out
    python -m tinyworld.train diffusion --grow          # the same, with a UNet of an older, smaller make

Checkpoints and rendered scenes lie in ``--work``; a stopped run goes on from its last checkpoint when the same command
is given again; other ``--steps`` than before move its end and the learning rate's decay before it. The weights go to
``--out`` in hub layout, as float16 safetensors.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import pipeline

WEIGHTS = Path(pipeline.__file__).parent / "tiny" / "weights"
SCENES = 40_000


class Trainable(StrEnum):
    AUTOENCODER = "autoencoder"
    CLIP_TEXT = "clip-text"
    CLIP_IMAGE = "clip-image"
    POSE = "pose"
    SAM = "sam"
    DIFFUSION = "diffusion"
    INPAINTING = "inpainting"
    DECODER = "decoder"
    ALL = "all"


def main(
    model: Annotated[
        Trainable, typer.Argument(help="Which model; ALL trains them in the order in which they stand on each other.")
    ],
    out: Annotated[Path, typer.Option(help="Where the weights go.")] = WEIGHTS,
    work: Annotated[Path, typer.Option(help="Checkpoints and rendered scenes.")] = Path("work/tiny"),
    steps: Annotated[int | None, typer.Option(help="Training steps instead of the recipe's.")] = None,
    scenes: Annotated[int, typer.Option(help="How many scenes are rendered for training.")] = SCENES,
    threads: Annotated[int, typer.Option(help="torch threads.")] = 2,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the recipe's.")] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Begin with the weights in --out: pose, diffusion, decoder.")
    ] = False,
    compile: Annotated[
        bool, typer.Option("--compile", help="Let torch compile the model: minutes at the start, faster steps.")
    ] = False,
    grow: Annotated[
        bool, typer.Option("--grow", help="Begin with the weights in --out, grown to today's size: diffusion.")
    ] = False,
) -> None:
    """Trains the small models of the tiny profile; resumes where a checkpoint lies in --work."""
    if tune and model not in _TUNED:
        raise typer.BadParameter(f"{model} cannot be tuned; those that can: {', '.join(_TUNED)}", param_hint="--tune")
    if grow and (tune or model is not Trainable.DIFFUSION):
        raise typer.BadParameter(f"only {Trainable.DIFFUSION} can grow, and is tuned by that", param_hint="--grow")
    import torch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    wanted = [m for m in Trainable if m is not Trainable.ALL] if model is Trainable.ALL else [model]
    overrides: Overrides = {"steps": steps, "seed": seed, "compile": compile or None}
    for one in wanted:
        begin: dict[str, Path | bool] = {"start": out} if tune or grow else {}
        if grow:
            begin["grow"] = True
        _TRAINERS[one](out, work, scenes, overrides, **begin)


Overrides = dict[str, int | bool | None]


def _autoencoder(out: Path, work: Path, scenes: int, overrides: Overrides) -> None:
    from tinyworld.training import autoencoder
    from tinyworld.training.renders import load_renders

    autoencoder.train(work / "autoencoder", work, load_renders(work, scenes), _with(autoencoder.RECIPE, overrides))


def _clip_text(out: Path, work: Path, scenes: int, overrides: Overrides) -> None:
    from tinyworld.training import clip

    clip.train_text(work, _with(clip.TEXT_RECIPE, overrides))


def _clip_image(out: Path, work: Path, scenes: int, overrides: Overrides) -> None:
    from tinyworld.training import clip
    from tinyworld.training.renders import load_renders

    clip.train_image(out / "clip", work, load_renders(work, scenes), _with(clip.IMAGE_RECIPE, overrides))


def _pose(out: Path, work: Path, scenes: int, overrides: Overrides, start: Path | None = None) -> None:
    from diffusers import AutoencoderKL

    from tinyworld.training import diffusion, pose
    from tinyworld.training.renders import load_renders

    recipe = _with(pose.TUNING if start else pose.RECIPE, overrides)
    vae = diffusion.shipped(start).vae if start else AutoencoderKL.from_pretrained(work / "autoencoder")
    renders, pairs = load_renders(work, scenes), min(pose.PAIRS, scenes)
    pose.train(out / "pose", work, renders, recipe, pairs=pairs, vae=vae, start=start / "pose" if start else None)


def _sam(out: Path, work: Path, scenes: int, overrides: Overrides) -> None:
    from tinyworld.training import sam
    from tinyworld.training.renders import load_renders

    recipe = _with(sam.RECIPE, overrides)
    sam.train(out / "sam", work, load_renders(work, scenes), recipe, pairs=min(sam.PAIRS, scenes))


def _diffusion(
    out: Path, work: Path, scenes: int, overrides: Overrides, start: Path | None = None, grow: bool = False
) -> None:
    from tinyworld.training import diffusion
    from tinyworld.training.renders import STUDIO_SEED, load_renders

    recipe = _with(diffusion.GROWTH if grow else diffusion.TUNING if start else diffusion.RECIPE, overrides)
    studio, scenic = load_renders(work, scenes, STUDIO_SEED), load_renders(work, scenes)
    diffusion.train(out, work, studio, scenic, recipe, start=start, grow=grow)


def _inpainting(out: Path, work: Path, scenes: int, overrides: Overrides) -> None:
    from tinyworld.training import inpainting
    from tinyworld.training.renders import load_renders

    inpainting.train(out, work, load_renders(work, scenes), _with(inpainting.RECIPE, overrides))


def _decoder(out: Path, work: Path, scenes: int, overrides: Overrides, start: Path | None = None) -> None:
    from tinyworld.training import autoencoder, diffusion
    from tinyworld.training.renders import load_renders
    from tinyworld.training.save import save_half

    recipe, begun = _with(autoencoder.DECODER_RECIPE, overrides), diffusion.shipped(start).vae if start else None
    vae = autoencoder.polish(work / "decoder", work, load_renders(work, scenes), recipe, start=begun)
    for folder in ("diffusion", "inpainting"):
        save_half(vae, out / folder / "vae")


def _with(recipe, overrides: Overrides):  # type: ignore[no-untyped-def]
    return dataclasses.replace(recipe, **{name: value for name, value in overrides.items() if value is not None})


_TRAINERS: dict[Trainable, Callable[..., None]] = {
    Trainable.AUTOENCODER: _autoencoder,
    Trainable.CLIP_TEXT: _clip_text,
    Trainable.CLIP_IMAGE: _clip_image,
    Trainable.POSE: _pose,
    Trainable.SAM: _sam,
    Trainable.DIFFUSION: _diffusion,
    Trainable.INPAINTING: _inpainting,
    Trainable.DECODER: _decoder,
}
_TUNED = (Trainable.POSE, Trainable.DIFFUSION, Trainable.DECODER)
"""Those that can begin with shipped weights."""


if __name__ == "__main__":
    typer.run(main)
