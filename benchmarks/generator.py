"""How much of what it is told does the miniature's generator show? In free poses, in given ones, and after an edit.

    python benchmarks/generator.py [--weights FOLDER] [--checkpoint work/tiny/diffusion-grown.pt] [--prompts 80]

Held-out subjects before held-out backgrounds, told in words with no encoder, and judged like the pictures of
``python -m spotdiff_model.evaluate``. The same prompts, poses and noise every time, so weights can be compared;
``--checkpoint`` looks at the average that a training under way has reached.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: see torch_threads in the profile

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline.config import Profile, load_profile
from pipeline.models.clip import clip
from pipeline.models.diffusion import make_scheduler
from pipeline.models.resolve import Model
from spotdiff_model.config import sampling
from spotdiff_model.denoiser import Denoiser
from spotdiff_model.evaluation.clusters import ERROR
from spotdiff_model.evaluation.generation.generator import generate_from_text, picture_models
from spotdiff_model.evaluation.generation.measures import measure_pictures
from spotdiff_model.evaluation.generation.requests import EDIT, PARTS, Request
from spotdiff_model.placeholder import PLACEHOLDER
from tinyworld.train import WEIGHTS
from tinyworld.training.diffusion import noise_schedule, shipped
from tinyworld.training.growth import grown
from tinyworld.world.render import render_seed

SEED = 12_000_000
"""Scenes from here on are asked for; nothing from 10,000,000 on was trained on."""
_MEASURES = ("attributes_kept", "kept_", "person_found", "pose_followed", "edit_done")


def requests(count: int) -> list[Request]:
    """``count`` subjects, each once for every part: the poses are those of other scenes."""
    shots = [render_seed(SEED + number) for number in range(count)]
    found = []
    for number, shot in enumerate(shots):
        place = shots[(number + 1) % count].background
        for part in PARTS:
            who = f"{PLACEHOLDER} {EDIT}" if part == "edit" else PLACEHOLDER
            found.append(
                Request(
                    part=part,
                    subject=f"{number}",
                    reference=Image.fromarray(shot.image),
                    reference_mask=shot.mask,
                    reference_pose=shot.keypoints,
                    reference_background=shot.background.prompt(),
                    prompt=f"{who}, {place.prompt()}",
                    description=shot.identity.prompt(),
                    background=place.prompt(),
                    pose=shots[(number + 2) % count].keypoints if part == "new_pose" else None,
                    attributes=shot.identity.attributes(),
                    seed=number,
                )
            )
    return found


def generator_of(weights: Path, checkpoint: Path | None, profile: Profile) -> Denoiser:
    """The weights' models, sampled as the profile says."""
    vae, text_encoder, tokenizer, trained = shipped(weights)
    if checkpoint:
        state = torch.load(checkpoint, weights_only=True)["average"]
        if set(state) != set(trained.state_dict()):
            trained.unet = grown(trained.unet)
        trained.load_state_dict(state)
    how = sampling(profile)
    return Denoiser(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=trained.unet.eval(),
        controlnet=trained.controlnet.eval(),
        scheduler=make_scheduler(how.scheduler, noise_schedule().config),
        sampling=how,
    )


def measure(pipe: Denoiser, asked: Sequence[Request], profile: Profile, sheet: Path | None) -> dict[str, float]:
    """Shares by ``PART/MEASURE``."""
    console = Console(stderr=True)
    pictures = generate_from_text(pipe, asked, lambda done, total: console.print(f"pictures: {done} of {total}"))
    if sheet:
        contact_sheet(pictures[:240]).save(sheet)
    models = picture_models(profile, clip(Model(profile.models.clip)), None, None)
    assert models.pixels is not None
    ceilings = {f"real/kept_{name}": value for name, value in models.pixels.ceilings.items()}
    found = measure_pictures(asked, pictures, models)
    names = [(name.removeprefix("generation/"), value) for name, value in found.items()]
    return {**{name: value for name, value in names if _shown(name)}, **ceilings}


def _shown(name: str) -> bool:
    return name.split("/")[1].startswith(_MEASURES) and not name.endswith(ERROR)


def contact_sheet(pictures: Sequence[Image.Image], columns: int = 24) -> Image.Image:
    """All pictures, row by row."""
    side = pictures[0].width
    sheet = Image.new("RGB", (min(columns, len(pictures)) * side, -(-len(pictures) // columns) * side))
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % columns * side, place // columns * side))
    return sheet


def main() -> None:
    """Measures, prints and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="Weights folder, as --out of tinyworld.train.")
    parser.add_argument("--checkpoint", type=Path, help="Of a training that began with those weights.")
    parser.add_argument("--prompts", type=int, default=80, help="Subjects; each is generated three times.")
    parser.add_argument("--edits", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--sheet", type=Path, help="PNG file for the first pictures.")
    parser.add_argument("--out", type=Path, help="JSON file for the figures.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    profile = load_profile("tiny")
    asked = [request for request in requests(options.prompts) if options.edits or request.part != "edit"]
    found = measure(generator_of(options.weights, options.checkpoint, profile), asked, profile, options.sheet)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    columns = [("free pose", "new_background"), ("given pose", "new_pose"), ("red hat", "edit"), ("real", "real")]
    table = Table("share", *(title for title, _ in columns))
    for name in sorted({key.split("/")[1] for key in found}):
        values = [found.get(f"{part}/{name}") for _, part in columns]
        table.add_row(name, *("" if value is None else f"{value:.3f}" for value in values))
    Console().print(table)


if __name__ == "__main__":
    main()
