"""``python -m tinyworld.evaluate``: measures the shipped small models on held-out seeds.

Prints the table of ``pipeline/tiny/weights/README.md`` and writes the figures to ``weights/evaluation.json``. No scene
from seed 10,000,000 on was ever trained on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tinyworld.train import WEIGHTS

TARGETS: dict[str, tuple[str, float, float]] = {
    "autoencoder_psnr": ("autoencoder PSNR, dB", 25, 29),
    "pose_keypoints": ("pose network on renders: keypoints within 0.05", 0.95, 0.98),
    "sam_iou": ("SAM from keypoints + box on renders: mean IoU", 0.88, 0.95),
    "clip_recall": ("CLIP text-to-image R@1 among 256", 0.5, 0.8),
    "control_keypoints": ("ControlNet: asked keypoints found again within 0.05", 0.75, 0.92),
    "control_shirt_color": ("ControlNet: shirt colour right", 0.75, 0.92),
    "control_bottom_color": ("ControlNet: trouser/skirt colour right", 0.75, 0.92),
    "inpainting_kind": ("inpainting: background kind right", 0.85, 0.95),
}
"""What each figure is, what it must reach, and what it aims at."""


def main(
    work: Annotated[Path, typer.Option(help="Where rendered scenes are kept.")] = Path("work/tiny"),
    out: Annotated[Path, typer.Option(help="JSON file for the figures.")] = WEIGHTS / "evaluation.json",
    poses: Annotated[int, typer.Option(help="Held-out poses for the ControlNet, 8 identities each.")] = 32,
    figures: Annotated[int, typer.Option(help="Held-out figures for the inpainting.")] = 256,
    threads: Annotated[int, typer.Option(help="torch threads.")] = 2,
) -> None:
    """Measures the shipped small models on held-out scenes."""
    import torch

    torch.set_num_threads(threads)
    found = measure(work, poses, figures)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(found))


def measure(work: Path, poses: int, figures: int) -> dict[str, float]:
    """All figures by name; ``ceiling_*`` are what the judges say of real renders.

    Keypoints are looked for in renders that have been through the autoencoder: no generated picture is better.
    """
    from diffusers import AutoencoderKL
    from transformers import CLIPModel, CLIPTokenizer

    from pipeline.config import load_profile
    from pipeline.imaging.openpose18 import MIRRORED
    from pipeline.tiny.pose_net import load_body
    from tinyworld.judges.backgrounds import BackgroundJudge
    from tinyworld.training import autoencoder, clip, measure_diffusion
    from tinyworld.training.measure import evaluate_pose, evaluate_sam, score_pose
    from tinyworld.training.renders import EVALUATION_SEED, load_renders

    profile = load_profile("tiny")
    held_out = load_renders(work, 256, EVALUATION_SEED)
    seeds = range(EVALUATION_SEED, EVALUATION_SEED + 1000)
    judge = BackgroundJudge(load_renders(work, 4000, EVALUATION_SEED + 1_000_000))
    subjects = measure_diffusion.score_subjects(profile, poses)
    pose, sam = evaluate_pose(WEIGHTS / "pose", seeds), evaluate_sam(WEIGHTS / "sam", seeds)
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "diffusion" / "vae").float()
    text_and_image = CLIPModel.from_pretrained(WEIGHTS / "clip").float()
    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "clip")
    found = {
        "autoencoder_psnr": autoencoder.psnr(vae, held_out.images),
        "pose_keypoints": pose["keypoints_right"],
        "pose_false_person": pose["false_person"],
        "pose_two_people": pose["two_people"],
        "sam_iou": sam["iou"],
        "sam_iou_of_two": sam["iou_of_two"],
        "clip_recall": clip.recall(text_and_image, tokenizer, held_out),
        "control_keypoints": subjects["keypoints_right"],
        "control_shirt_color": subjects["shirt_color"],
        "control_bottom_color": subjects["bottom_color"],
        "inpainting_kind": measure_diffusion.score_backgrounds(profile, judge, figures)["background_kind"],
    }
    ceilings = measure_diffusion.ceilings(held_out, judge)
    through = autoencoder.round_trip(vae, held_out.images)
    body = load_body(WEIGHTS / "pose", MIRRORED)
    ceilings["control_keypoints"] = score_pose(body, through, held_out.keypoints)["keypoints_right"]
    return {**found, **{f"ceiling_{name}": value for name, value in ceilings.items()}}


def table(found: dict[str, float]) -> str:
    """The figures against their targets, as Markdown."""
    lines = ["| what | must reach | aim | measured |", "|---|---|---|---|"]
    for name, (what, must, aim) in TARGETS.items():
        value = found[name]
        verdict = "" if value >= must else " (missed)"
        lines.append(f"| {what} | {must:g} | {aim:g} | {value:.3g}{verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
