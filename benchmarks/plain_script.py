"""What one would write without this project: load the models, loop over the stages, one image at a time.

Run by benchmarks/build.py, which tells it in a JSON file which images to make. Prints the seconds of its loops (wall,
CPU; loading is not counted) as JSON. It keeps no state, judges nothing and writes PNG files.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image


def load_subjects(folders: dict[str, str], scheduler: str, options: dict[str, Any]) -> Any:
    """The ControlNet pipeline, as in diffusers' documentation."""
    import diffusers

    controlnet = diffusers.ControlNetModel.from_pretrained(folders["controlnet"], dtype=torch.float32)
    pipe = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        folders["base"], controlnet=controlnet, safety_checker=None, dtype=torch.float32
    )
    return _scheduled(pipe, scheduler, options)


def load_inpaint(folders: dict[str, str], scheduler: str, options: dict[str, Any]) -> Any:
    """The inpainting pipeline, as in diffusers' documentation."""
    import diffusers

    pipe = diffusers.StableDiffusionInpaintPipeline.from_pretrained(
        folders["inpaint"], safety_checker=None, dtype=torch.float32
    )
    return _scheduled(pipe, scheduler, options)


def _scheduled(pipe: Any, scheduler: str, options: dict[str, Any]) -> Any:
    import diffusers

    pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to("cuda" if torch.cuda.is_available() else "cpu")


def main(job: dict[str, Any]) -> tuple[float, float]:
    """Makes the images of a job; returns (wall, CPU) seconds."""
    from transformers import CLIPModel, CLIPProcessor

    from pipeline.config import ModelRef
    from pipeline.models.extractors.openpose import detector
    from pipeline.models.resolve import Model
    from pipeline.models.segmenters.segment_anything import predictor

    profile, folders, out = job["profile"], job["folders"], Path(job["out"])
    scheduler = profile["scheduler"]["name"], profile["scheduler"]["options"]
    subjects, inpaint = load_subjects(folders, *scheduler), load_inpaint(folders, *scheduler)
    clip, processor = CLIPModel.from_pretrained(folders["clip"]), CLIPProcessor.from_pretrained(folders["clip"])
    sam = predictor(Model(ModelRef(**profile["models"]["sam"]), job["models_root"]))
    openpose = detector(Model(ModelRef(**profile["models"]["pose"]), job["models_root"]))

    def clip_score(image: Image.Image, text: str) -> float:
        inputs = processor(text=[text], images=image, return_tensors="pt", padding=True, truncation=True)
        with torch.no_grad():
            return float(clip(**inputs).logits_per_image)

    wall, cpu = time.perf_counter(), time.process_time()
    scores = []
    for one in job["subjects"]:
        image = subjects(
            prompt=profile["subjects"]["prompt_template"].format(subject=one["prompt"]),
            negative_prompt=one["negative_prompt"],
            image=Image.open(out / f"{one['source']}.png"),
            num_inference_steps=profile["subjects"]["num_inference_steps"],
            guidance_scale=profile["subjects"]["guidance_scale"],
            generator=torch.Generator("cpu").manual_seed(one["seed"]),
        ).images[0]
        points = np.array([(x, y) for x, y, there in one["keypoints"] if there]) * image.width
        sam.set_image(np.array(image))
        box = np.concatenate([points.min(axis=0), points.max(axis=0)])
        masks, found, _ = sam.predict(points, np.ones(len(points), int), box)
        scores += [clip_score(image, one["prompt"]), len(openpose.detect_poses(np.array(image)))]
        image.save(out / f"{one['source']}-{one['subject']}.png")
        Image.fromarray(masks[found.argmax()]).convert("L").save(out / f"{one['source']}-{one['subject']}-mask.png")
    for one in job["variations"]:
        subject = Image.open(out / f"{one['source']}-{one['subject']}.png")
        mask = Image.open(out / f"{one['source']}-{one['subject']}-mask.png")
        image = inpaint(
            prompt=one["prompt"],
            negative_prompt=one["negative_prompt"],
            image=subject,
            mask_image=mask.point(lambda value: 255 - value),
            height=subject.height,
            width=subject.width,
            num_inference_steps=profile["backgrounds"]["num_inference_steps"],
            guidance_scale=profile["backgrounds"]["guidance_scale"],
            generator=torch.Generator("cpu").manual_seed(one["seed"]),
        ).images[0]
        image.paste(subject, mask=mask)
        scores.append(clip_score(image, one["background_prompt"]))
        image.save(out / f"{one['source']}-{one['subject']}-{one['background']}.png")
    assert len(scores) == 2 * len(job["subjects"]) + len(job["variations"])
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    seconds = main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    sys.stdout.write(json.dumps(seconds) + "\n")
